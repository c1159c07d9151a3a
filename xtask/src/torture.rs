//! `cargo xtask torture`: the command line killed at random moments, with full disks, closed pipes and several processes on one
//! cache. Whatever happens, a result is there whole or not at all, and a repeated run gives the undisturbed run's bits.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::process::{command, output, program, succeeds};
use crate::steps::seconds;
use crate::{Result, root};

/// How long, unless `--minutes` says.
const MINUTES: f64 = 3.0;
/// Rows of the table: enough for a run to last long enough to be hit.
const ROWS: usize = 12_000;
/// A process that does not end in this time hangs.
const HANG: Duration = Duration::from_secs(120);

/// A way to disturb a run.
type Case = fn(&mut Torture) -> Result<()>;

/// Each with what it counts.
const CASES: &[(&str, Case)] = &[
    ("embed --resume, killed", embed_killed),
    ("embed without a cache, killed", embed_killed_without_cache),
    ("train, killed", train_killed),
    ("train --head mlp --checkpoint, killed", mlp_killed),
    ("train --report, killed", report_killed),
    ("cache clear, killed", clear_killed),
    ("two processes on one cache", |torture| together(torture, 2, false)),
    ("four processes on one cache", |torture| together(torture, 4, false)),
    ("four processes on one cache, two of them killed", |torture| together(torture, 4, true)),
    ("SIGINT", interrupted),
    ("standard output closed early", closed_stdout),
    ("/dev/full as standard output", full_stdout),
    ("no home folder", no_home),
    ("a full disk for results", full_disk_for_results),
    ("a full disk for the cache", full_disk_for_cache),
];

/// `cargo xtask torture [--minutes N] [--seed N]`.
pub fn run(words: &[&str]) -> Result<()> {
    let mut minutes = MINUTES;
    let mut seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_secs());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let value = words.next().and_then(|value| value.parse::<f64>().ok()).filter(|value| *value >= 0.0);
        let value = value.ok_or_else(|| format!("{word} takes a number"))?;
        match *word {
            "--minutes" => minutes = value,
            "--seed" => seed = value as u64,
            _ => return Err(format!("no such option: {word}")),
        }
    }
    if !cfg!(unix) {
        return Err("torture kills with Unix signals; run it on Linux or macOS".into());
    }
    let mut torture = Torture::new(seed)?;
    println!("seed {seed}; an undisturbed run takes {}", seconds(torture.takes));
    let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let mut rounds = vec![0u64; CASES.len()];
    let mut wrong = vec![];
    let mut round = 0;
    // Every case once, then again as long as there is time.
    while round == 0 || Instant::now() < end {
        for (at, (name, case)) in CASES.iter().enumerate() {
            if round > 0 && Instant::now() >= end {
                break;
            }
            torture.fresh()?;
            match case(&mut torture) {
                Ok(()) => rounds[at] += 1,
                Err(error) => {
                    println!("WRONG: {name}: {error}");
                    wrong.push(format!("{name} (round {round}): {error}"));
                }
            }
        }
        round += 1;
    }
    println!("\n  rounds  case");
    for ((name, _), rounds) in CASES.iter().zip(&rounds) {
        println!("{rounds:>8}  {name}");
    }
    println!(
        "{} processes, {} killed or interrupted while they ran, {} wrong results",
        torture.started,
        torture.killed,
        wrong.len()
    );
    let skipped = std::mem::take(&mut torture.skipped);
    if !skipped.is_empty() {
        println!("NOT TESTED here: {}\n  {}", skipped.len(), skipped.join("\n  "));
    }
    // What is left is of use only where something went wrong.
    if wrong.is_empty() {
        let _ = fs::remove_dir_all(&torture.folder);
        Ok(())
    } else {
        Err(format!(
            "{} wrong (seed {seed}; files in {}):\n  {}",
            wrong.len(),
            torture.folder.display(),
            wrong.join("\n  ")
        ))
    }
}

struct Torture {
    frostbert: PathBuf,
    folder: PathBuf,
    model: PathBuf,
    table: PathBuf,
    /// What undisturbed runs gave.
    embeddings: Vec<u8>,
    head: Vec<u8>,
    mlp: Vec<u8>,
    /// How long one of them took.
    takes: Duration,
    random: u64,
    started: u64,
    killed: u64,
    skipped: Vec<String>,
}

impl Torture {
    fn new(seed: u64) -> Result<Self> {
        let frostbert = program("frostbert", "files")?;
        let folder = root().join("target/torture");
        let _ = fs::remove_dir_all(&folder);
        let mut torture = Torture {
            frostbert,
            model: root().join("tests/fixtures/goldens/sentence-mean"),
            table: folder.join("table.csv"),
            folder,
            embeddings: vec![],
            head: vec![],
            mlp: vec![],
            takes: Duration::ZERO,
            random: seed,
            started: 0,
            killed: 0,
            skipped: vec![],
        };
        torture.fresh()?;
        let table = torture.make_table();
        fs::write(&torture.table, table).map_err(|error| error.to_string())?;
        let out = torture.out("npy");
        let started = Instant::now();
        torture.good(torture.embed(&out, true))?;
        torture.takes = started.elapsed();
        torture.embeddings = read(&out)?;
        let out = torture.out("safetensors");
        torture.good(torture.train(&out))?;
        torture.head = read(&out)?;
        let out = torture.out("mlp.safetensors");
        torture.good(torture.mlp(&out))?;
        torture.mlp = read(&out)?;
        Ok(torture)
    }

    /// Words of the model's own vocabulary and others, in texts of different lengths, of three classes.
    fn make_table(&mut self) -> String {
        let words = [
            "kernel",
            "shader",
            "coffee",
            "tokyo",
            "market",
            "vector",
            "loan",
            "token",
            "yesterday",
            "unheard",
        ];
        let mut table = "text,label\n".to_owned();
        for row in 0..ROWS {
            let count = 1 + self.below(24);
            let text: Vec<&str> = (0..count).map(|_| words[self.below(words.len())]).collect();
            table += &format!("{} {row},{}\n", text.join(" "), ["a", "b", "c"][self.below(3)]);
        }
        table
    }

    fn below(&mut self, end: usize) -> usize {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.random >> 33) % end.max(1) as u64) as usize
    }

    /// An empty cache and no results.
    fn fresh(&mut self) -> Result<()> {
        for part in ["cache", "out", "home"] {
            let path = self.folder.join(part);
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }

    fn out(&self, ending: &str) -> PathBuf {
        self.folder.join("out").join(format!("result.{ending}"))
    }

    fn run<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = command(&self.frostbert, words);
        command.env("HOME", self.folder.join("home")).env("XDG_CACHE_HOME", self.folder.join("cache"));
        command
    }

    fn embed(&self, out: &Path, cache: bool) -> Command {
        let mut embed = self.run(["embed", "--device", "cpu", "--column", "text", "--model"]);
        embed.arg(&self.model).arg(&self.table).arg("--out").arg(out);
        if cache {
            embed.arg("--resume");
        }
        embed
    }

    fn train(&self, out: &Path) -> Command {
        let mut train = self.run([
            "train",
            "--device",
            "cpu",
            "--text-column",
            "text",
            "--label-column",
            "label",
            "--model",
        ]);
        train.arg(&self.model).arg(&self.table).args(["--limit", "2000", "--seed", "1", "--out"]).arg(out);
        train
    }

    fn mlp(&self, out: &Path) -> Command {
        let mut train = self.train(out);
        train.args(["--head", "mlp", "--no-baselines", "--checkpoint"]).arg(self.folder.join("out/state"));
        train
    }

    /// Runs to the end, which must be a good one.
    fn good(&mut self, command: Command) -> Result<()> {
        let (status, said) = self.ends(command)?;
        if status.success() { Ok(()) } else { Err(format!("{status}: {said}")) }
    }

    /// Runs to the end, whatever it is; no panic, no hang.
    fn ends(&mut self, mut command: Command) -> Result<(ExitStatus, String)> {
        command.stdout(Stdio::null());
        let (child, err) = self.start(command)?;
        self.wait(child, &err)
    }

    fn start(&mut self, mut command: Command) -> Result<(Child, PathBuf)> {
        self.started += 1;
        let err = self.folder.join(format!("stderr-{}", self.started));
        let file = File::create(&err).map_err(|error| format!("{}: {error}", err.display()))?;
        let child =
            command.stderr(file).spawn().map_err(|error| format!("cannot start frostbert: {error}"))?;
        Ok((child, err))
    }

    fn wait(&self, mut child: Child, err: &Path) -> Result<(ExitStatus, String)> {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
                break status;
            }
            if started.elapsed() > HANG {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("no end after {}", seconds(HANG)));
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let said = fs::read_to_string(err).unwrap_or_default();
        let _ = fs::remove_file(err);
        if said.contains("panicked at") || status.code() == Some(101) {
            return Err(format!("a panic: {said}"));
        }
        Ok((status, said.trim().to_owned()))
    }

    /// Starts a run and kills it at a random moment, perhaps after its end.
    fn killed(&mut self, mut command: Command) -> Result<()> {
        command.stdout(Stdio::null());
        let (mut child, err) = self.start(command)?;
        let most = self.takes.as_millis() as usize * 12 / 10;
        std::thread::sleep(Duration::from_millis(self.below(most) as u64));
        self.killed += u64::from(matches!(child.try_wait(), Ok(None)));
        let _ = child.kill();
        self.wait(child, &err).map(drop)
    }

    /// A result is there whole, or not at all.
    fn whole_or_absent(&self, path: &Path, expected: &[u8]) -> Result<()> {
        if path.exists() { self.same(path, expected) } else { Ok(()) }
    }

    fn same(&self, path: &Path, expected: &[u8]) -> Result<()> {
        let found = read(path)?;
        if found == expected {
            return Ok(());
        }
        let at = found.iter().zip(expected).position(|(a, b)| a != b);
        Err(format!(
            "{}: {} bytes, of an undisturbed run {}; the first difference is at {at:?}",
            path.display(),
            found.len(),
            expected.len()
        ))
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn embed_killed(torture: &mut Torture) -> Result<()> {
    let out = torture.out("npy");
    for _ in 0..=torture.below(3) {
        torture.killed(torture.embed(&out, true))?;
        torture.whole_or_absent(&out, &torture.embeddings)?;
    }
    torture.good(torture.embed(&out, true))?;
    torture.same(&out, &torture.embeddings)
}

fn embed_killed_without_cache(torture: &mut Torture) -> Result<()> {
    let out = torture.out("npy");
    torture.killed(torture.embed(&out, false))?;
    torture.whole_or_absent(&out, &torture.embeddings)
}

fn train_killed(torture: &mut Torture) -> Result<()> {
    let out = torture.out("safetensors");
    torture.killed(torture.train(&out))?;
    torture.whole_or_absent(&out, &torture.head)?;
    torture.good(torture.train(&out))?;
    torture.same(&out, &torture.head)
}

fn mlp_killed(torture: &mut Torture) -> Result<()> {
    let out = torture.out("mlp.safetensors");
    for _ in 0..=torture.below(2) {
        torture.killed(torture.mlp(&out))?;
        torture.whole_or_absent(&out, &torture.mlp)?;
    }
    torture.good(torture.mlp(&out))?;
    torture.same(&out, &torture.mlp)
}

fn report_killed(torture: &mut Torture) -> Result<()> {
    let (out, report) = (torture.out("safetensors"), torture.out("html"));
    let run = |torture: &Torture| {
        let mut train = torture.train(&out);
        train.arg("--report").arg(&report);
        train
    };
    // The report tells times, which differ; it must be a whole page.
    let whole = || match fs::read_to_string(&report) {
        Ok(page) if page.trim_end().ends_with("</html>") => Ok(()),
        Ok(page) => Err(format!("half a report of {} bytes", page.len())),
        Err(_) => Ok(()),
    };
    torture.killed(run(torture))?;
    whole()?;
    torture.good(run(torture))?;
    whole()?;
    torture.same(&out, &torture.head)
}

fn clear_killed(torture: &mut Torture) -> Result<()> {
    let out = torture.out("npy");
    torture.good(torture.embed(&out, true))?;
    let (mut child, err) = {
        let mut clear = torture.run(["cache", "clear"]);
        clear.stdout(Stdio::null());
        torture.start(clear)?
    };
    std::thread::sleep(Duration::from_millis(torture.below(60) as u64));
    torture.killed += u64::from(matches!(child.try_wait(), Ok(None)));
    let _ = child.kill();
    torture.wait(child, &err)?;
    torture.good(torture.embed(&out, true))?;
    torture.same(&out, &torture.embeddings)
}

fn together(torture: &mut Torture, count: usize, kill: bool) -> Result<()> {
    let outs: Vec<PathBuf> = (0..count).map(|at| torture.out(&format!("{at}.npy"))).collect();
    let mut children = vec![];
    for out in &outs {
        let mut embed = torture.embed(out, true);
        embed.stdout(Stdio::null());
        children.push(torture.start(embed)?);
    }
    if kill {
        let most = torture.takes.as_millis() as usize;
        std::thread::sleep(Duration::from_millis(torture.below(most) as u64));
        for (child, _) in &mut children[..2] {
            torture.killed += u64::from(matches!(child.try_wait(), Ok(None)));
            let _ = child.kill();
        }
    }
    for (at, ((child, err), out)) in children.into_iter().zip(&outs).enumerate() {
        let (status, said) = torture.wait(child, &err)?;
        if kill && at < 2 {
            torture.whole_or_absent(out, &torture.embeddings)?;
        } else if status.success() {
            torture.same(out, &torture.embeddings)?;
        } else {
            return Err(format!("{status}: {said}"));
        }
    }
    // What they left in the cache together is right, too.
    torture.good(torture.embed(&outs[0], true))?;
    torture.same(&outs[0], &torture.embeddings)
}

fn interrupted(torture: &mut Torture) -> Result<()> {
    let out = torture.out("npy");
    let mut embed = torture.embed(&out, true);
    embed.stdout(Stdio::null());
    let (mut child, err) = torture.start(embed)?;
    let most = torture.takes.as_millis() as usize;
    std::thread::sleep(Duration::from_millis(torture.below(most) as u64));
    torture.killed += u64::from(matches!(child.try_wait(), Ok(None)));
    let sent = Instant::now();
    let _ = succeeds(&mut command("kill", ["-INT", &child.id().to_string()]));
    torture.wait(child, &err)?;
    if sent.elapsed() > Duration::from_secs(10) + torture.takes {
        return Err(format!("it went on for {} after SIGINT", seconds(sent.elapsed())));
    }
    torture.whole_or_absent(&out, &torture.embeddings)?;
    torture.good(torture.embed(&out, true))?;
    torture.same(&out, &torture.embeddings)
}

/// Commands that print, long and short.
fn printing(torture: &Torture) -> Vec<Command> {
    let mut embed =
        torture.run(["embed", "--device", "cpu", "--column", "text", "--limit", "3000", "--model"]);
    embed.arg(&torture.model).arg(&torture.table);
    let mut inspect = torture.run(["inspect", "--json"]);
    inspect.arg(&torture.model);
    vec![embed, inspect, torture.run(["--help"]), torture.run(["cache", "info"])]
}

fn closed_stdout(torture: &mut Torture) -> Result<()> {
    for mut run in printing(torture) {
        run.stdout(Stdio::piped());
        let (mut child, err) = torture.start(run)?;
        if let Some(mut stdout) = child.stdout.take() {
            let _ = stdout.read(&mut [0; 10]);
        }
        torture.wait(child, &err)?;
    }
    Ok(())
}

fn full_stdout(torture: &mut Torture) -> Result<()> {
    if !Path::new("/dev/full").exists() {
        torture.skip("/dev/full: this system has none");
        return Ok(());
    }
    for mut run in printing(torture) {
        let full = File::options().write(true).open("/dev/full").map_err(|error| error.to_string())?;
        run.stdout(full);
        let words = format!("{run:?}");
        let (child, err) = torture.start(run)?;
        let (status, said) = torture.wait(child, &err)?;
        if status.success() {
            return Err(format!("{words} ended well although nothing could be written: {said}"));
        }
    }
    Ok(())
}

fn no_home(torture: &mut Torture) -> Result<()> {
    let out = torture.out("npy");
    for cache in [false, true] {
        let mut embed = torture.embed(&out, cache);
        for name in ["HOME", "XDG_CACHE_HOME", "HF_HOME"] {
            embed.env_remove(name);
        }
        torture.good(embed)?;
        torture.same(&out, &torture.embeddings)?;
    }
    Ok(())
}

/// A disk with room for so many KiB, mounted for a run.
fn with_disk(
    torture: &mut Torture,
    kib: usize,
    run: impl FnOnce(&mut Torture, &Path) -> Result<()>,
) -> Result<()> {
    let disk = torture.folder.join("disk");
    fs::create_dir_all(&disk).map_err(|error| error.to_string())?;
    let size = format!("size={kib}k");
    let place = disk.display().to_string();
    let mounted = output(&mut command("mount", ["-t", "tmpfs", "-o", &size, "tmpfs", &place]));
    if let Err(error) = mounted {
        let error = error.lines().last().unwrap_or_default().to_owned();
        torture.skip(&format!("full disks: a small one cannot be mounted here ({error}); run it as root"));
        return Ok(());
    }
    let outcome = run(torture, &disk);
    let unmounted = output(&mut command("umount", [&place]));
    outcome.and(unmounted.map(drop))
}

impl Torture {
    /// Notes what could not be tried, once.
    fn skip(&mut self, why: &str) {
        if !self.skipped.iter().any(|known| known == why) {
            println!("NOT TESTED: {why}");
            self.skipped.push(why.to_owned());
        }
    }
}

fn full_disk_for_results(torture: &mut Torture) -> Result<()> {
    let room = 64 + torture.below(torture.embeddings.len() / 1024 / 2);
    with_disk(torture, room, |torture, disk| {
        let out = disk.join("result.npy");
        let (status, said) = torture.ends(torture.embed(&out, false))?;
        if status.success() || out.exists() {
            return Err(format!("{status} with a result that had no room: {said}"));
        }
        let left: Vec<_> = fs::read_dir(disk)
            .map_err(|error| error.to_string())?
            .flatten()
            .map(|entry| entry.path())
            .collect();
        if left.is_empty() { Ok(()) } else { Err(format!("left on the full disk: {left:?}")) }
    })
}

fn full_disk_for_cache(torture: &mut Torture) -> Result<()> {
    let room = 64 + torture.below(2048);
    with_disk(torture, room, |torture, disk| {
        let out = torture.out("npy");
        let mut embed = torture.embed(&out, true);
        embed.env("XDG_CACHE_HOME", disk);
        // A cache only saves time: without one the result is the same.
        torture.good(embed)?;
        torture.same(&out, &torture.embeddings)
    })
}
