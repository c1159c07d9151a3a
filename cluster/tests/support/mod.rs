//! What the tests share: tiny models, tables, the program, and a cluster of real processes on loopback.

#![allow(clippy::unwrap_used, dead_code, reason = "tests, each of which uses a part")]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use frostbert::{Device, EmbedOptions, Encoder};
use serde_json::Value;

/// The longest that anything here may take.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// A checkpoint of the library's tests.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/goldens").join(name)
}

/// A model that embeds.
pub fn model() -> String {
    format!("tiny={}", golden("sentence-mean").display())
}

pub fn encoder(folder: &Path) -> Encoder {
    Encoder::load(folder.display().to_string()).device(Device::Cpu).build().unwrap()
}

/// Texts of many lengths, the same at every call.
pub fn text(row: usize) -> String {
    const WORDS: [&str; 12] =
        ["the", "fox", "runs", "a", "river", "cold", "and", "old", "house", "sees", "light", "not"];
    let mut seed = row as u64 * 2_654_435_761 + 17;
    let mut next = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    let words = 1 + next() % 24;
    (0..words).map(|_| WORDS[next() % WORDS.len()]).collect::<Vec<_>>().join(" ")
}

/// A CSV table of `id` and `text`; every seventh text is missing where asked.
pub fn table(folder: &Path, rows: usize, some_missing: bool) -> PathBuf {
    let mut csv = String::from("id,text\n");
    for row in 0..rows {
        match some_missing && row % 7 == 3 {
            true => writeln!(csv, "{row},").unwrap(),
            false => writeln!(csv, "{row},{}", text(row)).unwrap(),
        }
    }
    let path = folder.join("texts.csv");
    fs::write(&path, csv).unwrap();
    path
}

/// The same as Parquet in row groups of so many rows, which is how a table can be divided.
pub fn parquet(folder: &Path, rows: usize, row_group: usize, some_missing: bool) -> PathBuf {
    let csv = table(folder, rows, some_missing);
    let target = folder.join("texts.parquet");
    let sql = format!(
        "COPY (SELECT id, text FROM '{}' ORDER BY id) TO '{}' OPTIONS (max_row_group_size {row_group})",
        csv.display(),
        target.display()
    );
    done(program(["run", "--sql", &sql]).output().unwrap());
    target
}

/// The program.
pub fn program<'a>(words: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frostbert-cluster"));
    command.args(words).stdin(Stdio::null());
    command
}

/// What a run that went well said on stdout.
pub fn done(output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a run that failed said on stderr.
pub fn failed(output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// Rows of a SELECT.
pub fn rows(sql: &str, more: &[&str]) -> Vec<Value> {
    let output = program(["run", "--json", "--device", "cpu", "--sql", sql]).args(more).output().unwrap();
    done(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Vectors by id, as they were written: bits of each number, nothing where it is null.
pub fn vectors(folder: &Path) -> Vec<(u64, Option<Vec<u32>>)> {
    let sql = format!("SELECT id, v FROM '{}/' ORDER BY id", folder.display());
    rows(&sql, &[]).iter().map(|row| (row["id"].as_u64().unwrap(), bits(&row["v"]))).collect()
}

pub fn bits(of: &Value) -> Option<Vec<u32>> {
    let numbers = of.as_array()?;
    // JSON has the shortest digits that give the number back.
    Some(numbers.iter().map(|number| number.to_string().parse::<f32>().unwrap().to_bits()).collect())
}

/// What the library gives for the same rows.
pub fn expected(rows: usize, some_missing: bool) -> Vec<(u64, Option<Vec<u32>>)> {
    let encoder = encoder(&golden("sentence-mean"));
    let there = |row: &usize| !(some_missing && row % 7 == 3);
    let texts: Vec<String> = (0..rows).filter(there).map(text).collect();
    let embeddings = encoder.embed(&texts, &EmbedOptions::default()).unwrap();
    let mut given = embeddings.rows();
    (0..rows)
        .map(|row| {
            let vector =
                there(&row).then(|| given.next().unwrap().iter().map(|value| value.to_bits()).collect());
            (row as u64, vector)
        })
        .collect()
}

/// Files and folders in a folder, hidden ones too.
pub fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Says loudly what could not be tested, where `cargo xtask test` counts it.
pub fn not_tested(what: &str) {
    eprintln!("NOT TESTED: {what}");
    if let Some(notes) = std::env::var_os("FROSTBERT_NOT_TESTED") {
        let mut file = File::options().create(true).append(true).open(notes).unwrap();
        std::io::Write::write_all(&mut file, format!("{what}\n").as_bytes()).unwrap();
    }
}

/// Waits for something to be so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !so() {
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A process that is killed when the test ends, however it ends.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub fn start(command: &mut Command, log: PathBuf) -> Self {
        let said = File::options().create(true).append(true).open(&log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).spawn().unwrap();
        Process { child, log }
    }

    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// kill -STOP, kill -CONT and the like.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The outcome: whether it went well, and what it said.
    pub fn wait(mut self) -> (bool, String) {
        until("the process to end", || !self.is_running());
        (self.child.wait().unwrap().success(), self.said())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that is free, and so is the next one.
pub fn free_port() -> u16 {
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}

/// A scheduler and executors, each a process.
pub struct Cluster {
    pub port: u16,
    pub scheduler: Process,
    pub executors: Vec<Process>,
    pub place: PathBuf,
    /// Variables that each process has beside the test's own.
    environment: Vec<(String, String)>,
}

impl Cluster {
    /// Starts a scheduler, and an executor for each list of words; each has one thread and computes one partition at a time.
    pub fn start(place: &Path, executors: &[&[&str]]) -> Self {
        Self::start_with(place, executors, Vec::new())
    }

    /// The same with more variables in the environment of all processes.
    pub fn start_with(place: &Path, executors: &[&[&str]], environment: Vec<(String, String)>) -> Self {
        let port = free_port();
        let scheduler = Self::scheduler(place, port, &environment);
        let mut cluster =
            Cluster { port, scheduler, executors: Vec::new(), place: place.to_owned(), environment };
        for words in executors {
            cluster.add(words);
        }
        cluster
    }

    fn scheduler(place: &Path, port: u16, environment: &[(String, String)]) -> Process {
        let port_word = port.to_string();
        let words = ["scheduler", "--port", &port_word, "--executor-timeout", "4"];
        let mut command = program(words);
        command.envs(environment.iter().cloned());
        let process = Process::start(&mut command, place.join("scheduler.log"));
        until("the scheduler to listen", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        process
    }

    pub fn add(&mut self, words: &[&str]) {
        let (scheduler, port) = (format!("127.0.0.1:{}", self.port), free_port().to_string());
        let mut command =
            program(["executor", "--scheduler", &scheduler, "--port", &port, "--device", "cpu"]);
        command.args(["--threads", "1", "--tasks", "1", "--heartbeat", "1"]).args(words);
        command.envs(self.environment.iter().cloned());
        let log = self.place.join(format!("executor-{}.log", self.executors.len()));
        let executor = Process::start(&mut command, log);
        let listening = || TcpStream::connect(("127.0.0.1", port.parse::<u16>().unwrap())).is_ok();
        until("the executor to listen", || listening() || executor.said().contains("error:"));
        self.executors.push(executor);
    }

    /// Starts the scheduler anew after it was killed; executors come back by themselves.
    pub fn restart_scheduler(&mut self) {
        self.scheduler.kill();
        self.scheduler = Self::scheduler(&self.place, self.port, &self.environment);
    }

    /// `run` on this cluster.
    pub fn run<'a>(&self, sql: &str, more: impl IntoIterator<Item = &'a str>) -> Command {
        let url = format!("df://127.0.0.1:{}", self.port);
        let mut command = program(["run", "--cluster", &url, "--sql", sql]);
        command.args(more).envs(self.environment.iter().cloned());
        command
    }

    /// What all processes said, for a test that fails.
    pub fn said(&self) -> String {
        let executors = self.executors.iter().map(Process::said).collect::<Vec<_>>().join("\n---\n");
        format!("{}\n---\n{executors}", self.scheduler.said())
    }
}

/// Whether a part of a result that is being written is there: the job is under way.
pub fn parts_written(place: &Path) -> usize {
    let Ok(all) = fs::read_dir(place) else { return 0 };
    let staging = all
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(".unfinished-")));
    let Some(staging) = staging else { return 0 };
    let Ok(files) = fs::read_dir(staging) else { return 0 };
    files.flatten().filter(|entry| !entry.file_name().to_string_lossy().contains('#')).count()
}

/// A copy of a checkpoint in which a word's vector is so large that what is computed of it is no number.
pub fn broken_copy(of: &Path, to: &Path, word: &str) {
    copy(of, to);
    let encoder = encoder(of);
    let id = encoder.tokenizer().token_to_id(word).unwrap() as usize;
    let path = to.join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let tensors: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let (_, table) = tensors
        .as_object()
        .unwrap()
        .iter()
        .find(|(name, _)| name.ends_with("word_embeddings.weight"))
        .unwrap();
    let start = 8 + header + table["data_offsets"][0].as_u64().unwrap() as usize;
    let row = table["shape"][1].as_u64().unwrap() as usize * 4;
    for at in (start + id * row..start + (id + 1) * row).step_by(4) {
        bytes[at..at + 4].copy_from_slice(&f32::MAX.to_le_bytes());
    }
    fs::write(path, bytes).unwrap();
}

/// A copy of a checkpoint of which one number differs.
pub fn other_copy(of: &Path, to: &Path) {
    copy(of, to);
    let path = to.join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&0.125_f32.to_le_bytes());
    fs::write(path, bytes).unwrap();
}

fn copy(of: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(of).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
