//! The cluster's programs: their tests, and a walk through what they are for.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::not_tested::NotTested;
use crate::process::{cargo, command, output, program, show, watch};
use crate::steps::{Steps, seconds};
use crate::{Result, fetch, install, python, root};

/// Whether `cargo xtask test` tests the cluster where this variable says neither `on` nor `off`.
const SWITCH: &str = "FROSTBERT_TEST_CLUSTER";
/// From cold it takes ten minutes on two cores, nine of them compiling, and all the rest forty.
const BY_DEFAULT: bool = true;

/// The longest that the demonstration waits for anything but the work itself.
const PATIENCE: Duration = Duration::from_secs(120);

/// The workspace of the cluster, with a build folder of its own: the engine that it stands on is needed by nothing else.
fn own_cargo(words: &str) -> Command {
    let mut cargo = cargo(words);
    cargo.current_dir(root().join("cluster")).args(["--target-dir", "target"]);
    cargo
}

/// The step of `cargo xtask test`.
pub fn test_if_wanted(not_tested: &NotTested, each: impl FnMut(&str)) -> Result<()> {
    let wanted = match std::env::var(SWITCH).as_deref() {
        Ok("on") => true,
        Ok("off") => false,
        Ok(other) => return Err(format!("{SWITCH} takes on or off, not {other:?}")),
        Err(_) => BY_DEFAULT,
    };
    if wanted {
        test(not_tested, each)
    } else {
        not_tested.note(&format!("the cluster: {SWITCH} is off; `cargo xtask test-cluster` runs it"))
    }
}

/// `cargo xtask test-cluster`.
pub fn test(not_tested: &NotTested, each: impl FnMut(&str)) -> Result<()> {
    let mut format = cargo("fmt --check");
    show(format.current_dir(root().join("cluster")))?;
    show(install::cargo_deny()?.args([
        "--manifest-path",
        "cluster/Cargo.toml",
        "--config",
        "deny.toml",
        "check",
        "--hide-inclusion-graph",
        "licenses",
        "bans",
        "sources",
    ]))?;
    // Lints and tests in one build: a check would read all the engine's crates a second time, which takes minutes.
    let mut tests = own_cargo("test --locked --no-fail-fast");
    tests.env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver");
    // An S3 of its own, on loopback.
    tests
        .env("FROSTBERT_MOTO_PYTHON", python::Environment::install("cluster/tests/requirements.txt")?.path());
    watch(not_tested.env(&mut tests), each)
}

/// Builds the cluster's program, as the tests do, and gives its path.
pub fn build() -> Result<PathBuf> {
    let mut build = own_cargo("test --locked --no-run --test processes");
    show(build.env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver"))?;
    let name = format!("frostbert-cluster{}", std::env::consts::EXE_SUFFIX);
    Ok(root().join("cluster/target/debug").join(name))
}

/// `cargo xtask cluster-demo`: labels the film reviews with a trained head, in one process and on a scheduler with two executors, one of
/// which is killed on the way.
pub fn demo(words: &[&str]) -> Result<()> {
    let rows = match words {
        [] => None,
        ["--rows", rows] => {
            Some(rows.parse::<usize>().map_err(|_| format!("--rows takes a number, not {rows}"))?)
        }
        _ => return Err("cluster-demo takes --rows N and nothing else".into()),
    };
    let mut steps = Steps::new();
    let (model, reviews) = steps.run("fetch a model and film reviews", || {
        Ok((fetch::MODEL.fetch()?, fetch::REVIEWS.fetch()?.join("movie-reviews.csv")))
    })?;
    let frostbert = steps.run("build frostbert", || program("frostbert", "files"))?;
    let cluster = steps.run("build frostbert-cluster (the first build takes minutes)", build)?;
    let place = root().join("target/cluster-demo");
    empty(&place)?;
    let demo = Demo { cluster, place, model, head: root().join("target/cluster-demo/sentiment.safetensors") };

    steps.run("train a head on short reviews", || {
        let mut train = command(
            &frostbert,
            ["train", "--device", "cpu", "--text-column", "text", "--label-column", "label"],
        );
        train.args([
            // So that a pass over all reviews takes minutes on two cores.
            "--max-tokens",
            "64",
            "--where",
            "source=rotten_tomatoes",
            "--limit",
            "4000",
            "--test-fraction",
            "0.2",
            "--seed",
            "1",
        ]);
        show(train.arg(&reviews).arg("--model").arg(&demo.model).arg("--out").arg(&demo.head))
    })?;
    let table = steps
        .run("the reviews as Parquet, in row groups that can be handed out", || demo.table(&reviews, rows))?;
    let started = Instant::now();
    steps.run("label them in one process with two threads", || {
        let mut run = command(&demo.cluster, ["run", "--device", "cpu", "--threads", "2", "--sql"]);
        show(demo.files(run.arg(demo.label(&table, "one-process"))))
    })?;
    let alone = started.elapsed();
    let mut machines = steps.run("start a scheduler and two executors of one thread each", || {
        let (model, head) = (demo.model.display().to_string(), demo.head.display().to_string());
        Machines::start(&demo.cluster, &demo.place, &["--model", &model, "--head", &head], 2)
    })?;
    let started = Instant::now();
    steps.run("label them on the cluster, and kill -9 one executor on the way", || {
        machines.label(&demo, &table)
    })?;
    let together = started.elapsed();
    let answers = steps.run("compare", || demo.compare())?;
    steps.summary("ok");
    println!("\n{answers}");
    println!("one process, two threads:                       {}", seconds(alone));
    println!("two executors of one thread, one of them killed: {}", seconds(together));
    println!("The results are in {}", demo.place.display());
    Ok(())
}

/// A folder with nothing in it.
pub fn empty(place: &Path) -> Result<()> {
    let gone = if place.exists() { fs::remove_dir_all(place) } else { Ok(()) };
    gone.and_then(|()| fs::create_dir_all(place)).map_err(|error| format!("{}: {error}", place.display()))
}

struct Demo {
    cluster: PathBuf,
    place: PathBuf,
    model: PathBuf,
    head: PathBuf,
}

impl Demo {
    fn files<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.arg("--model").arg(&self.model).arg("--head").arg(&self.head)
    }

    fn sql(&self, sql: &str) -> Command {
        command(&self.cluster, ["run", "--json", "--sql", sql])
    }

    /// Writes the table, with a number for each row.
    fn table(&self, reviews: &Path, rows: Option<usize>) -> Result<PathBuf> {
        let table = self.place.join("reviews.parquet");
        let limit =
            rows.map_or(String::new(), |rows| format!(" WHERE id % (33530 / {}) = 0", rows.clamp(1, 33530)));
        let numbered = format!("SELECT row_number() OVER () AS id, text, label FROM '{}'", reviews.display());
        let sql = format!(
            "COPY (SELECT * FROM ({numbered}){limit} ORDER BY id) TO '{}' OPTIONS (max_row_group_size 64)",
            table.display()
        );
        show(&mut self.sql(&sql))?;
        Ok(table)
    }

    fn label(&self, table: &Path, name: &str) -> String {
        format!(
            "COPY (SELECT id, label, frostbert_predict(text) AS p FROM '{}') TO '{}/'",
            table.display(),
            self.place.join(name).display()
        ) + " STORED AS PARQUET"
    }

    /// The accuracy, after making sure that both ways gave the same.
    fn compare(&self) -> Result<String> {
        let answers = |name: &str| {
            let place = self.place.join(name);
            output(&mut self.sql(&format!("SELECT id, label, p FROM '{}/' ORDER BY id", place.display())))
        };
        let (one, cluster) = (answers("one-process")?, answers("cluster")?);
        if one != cluster || one.is_empty() {
            return Err("the cluster's answers are not those of one process".into());
        }
        let accuracy = output(&mut self.sql(&format!(
            "SELECT count(*) AS reviews, round(avg(CASE WHEN p['label'] = CAST(label AS VARCHAR) THEN 1.0 ELSE 0.0 END), 4) AS \
             accuracy FROM '{}/'",
            self.place.join("cluster").display()
        )))?;
        Ok(format!("the same answers, bit for bit, both ways: {}", accuracy.trim()))
    }
}

/// Processes that end with this.
pub struct Machines {
    port: u16,
    scheduler: Child,
    executors: Vec<Child>,
}

impl Machines {
    /// A scheduler and executors of one thread each, which have the models and heads that `words` name. Their logs are in `place`.
    pub fn start(program: &Path, place: &Path, words: &[&str], executors: usize) -> Result<Self> {
        let port = free_port()?;
        let mut scheduler = command(program, ["scheduler", "--executor-timeout", "6", "--port"]);
        let scheduler = spawn(scheduler.arg(port.to_string()), &place.join("scheduler.log"))?;
        let mut machines = Machines { port, scheduler, executors: Vec::new() };
        wait_for(port, "the scheduler")?;
        for number in 0..executors {
            let own = free_port()?;
            let mut executor =
                command(program, ["executor", "--device", "cpu", "--threads", "1", "--tasks", "1"]);
            executor.args([
                "--heartbeat",
                "2",
                "--scheduler",
                &format!("127.0.0.1:{port}"),
                "--port",
                &own.to_string(),
            ]);
            let log = place.join(format!("executor-{number}.log"));
            machines.executors.push(spawn(executor.args(words), &log)?);
            wait_for(own, "an executor")?;
        }
        Ok(machines)
    }

    /// Where clients find the scheduler.
    pub fn url(&self) -> String {
        format!("df://127.0.0.1:{}", self.port)
    }

    fn label(&mut self, demo: &Demo, table: &Path) -> Result<()> {
        let url = self.url();
        let mut run =
            command(&demo.cluster, ["run", "--cluster", &url, "--sql", &demo.label(table, "cluster")]);
        let log = demo.place.join("run.log");
        let mut job = spawn(demo.files(&mut run), &log)?;
        let mut killed = false;
        loop {
            let ended = job.try_wait().map_err(|error| format!("waiting for the job: {error}"))?;
            if let Some(status) = ended {
                let said = fs::read_to_string(&log).unwrap_or_default();
                print!("{said}");
                return match (status.success(), killed) {
                    (true, true) => Ok(()),
                    (true, false) => Err("the job had ended before an executor was killed".into()),
                    (false, _) => Err(format!("the job ended with {status}; see {}", demo.place.display())),
                };
            }
            if !killed && parts(&demo.place) >= 4 {
                kill(&mut self.executors[0]);
                println!("four parts are written; an executor is killed");
                killed = true;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        kill(&mut self.scheduler);
        self.executors.iter_mut().for_each(kill);
    }
}

fn kill(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// Parts of a result that is being written.
fn parts(place: &Path) -> usize {
    let staging =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".cluster."));
    let list = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let found = list(place).find(staging);
    found.map_or(0, |folder| list(&folder).filter(|path| !path.to_string_lossy().contains('#')).count())
}

fn spawn(command: &mut Command, log: &Path) -> Result<Child> {
    let said = |error: std::io::Error| format!("{}: {error}", log.display());
    let file = File::create(log).map_err(said)?;
    command.stdout(Stdio::null()).stderr(file).spawn().map_err(said)
}

fn free_port() -> Result<u16> {
    let wrong = |error: std::io::Error| format!("no free port on loopback: {error}");
    loop {
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).map_err(wrong)?.port();
        // An executor takes the next one, too.
        if port.checked_add(1).is_some_and(|next| TcpListener::bind(("127.0.0.1", next)).is_ok()) {
            return Ok(port);
        }
    }
}

fn wait_for(port: u16, what: &str) -> Result<()> {
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if started.elapsed() > PATIENCE {
            return Err(format!(
                "{what} does not listen on port {port}; see its log in the folder of results under target/"
            ));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
