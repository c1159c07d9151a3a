//! Starts the processes, watches them, counts and keeps.

use crate::child;
use frostbert_fuzz::TARGETS;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Address space of a process: far more than any of these inputs may need.
const MEMORY_KIB: u64 = 4 << 20;
/// An input that takes longer hangs.
const HANG: Duration = Duration::from_secs(20);
/// A target whose processes keep dying is left alone after so many.
const MOST_DEATHS: usize = 25;

/// How an input failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Failure {
    Panic,
    Abort,
    Memory,
    Hang,
}

impl Failure {
    fn name(self) -> &'static str {
        match self {
            Failure::Panic => "panic",
            Failure::Abort => "abort",
            Failure::Memory => "memory",
            Failure::Hang => "hang",
        }
    }
}

/// What a target did.
#[derive(Default)]
struct Tally {
    inputs: u64,
    /// Panics, aborts, memory, hangs.
    failures: [u64; 4],
    /// One line for each place that failed.
    lines: Vec<String>,
    places: BTreeSet<String>,
}

struct Options {
    seconds: f64,
    targets: Vec<String>,
    seed: u64,
    keep: bool,
    hang: Duration,
}

fn options(words: &[String]) -> Result<Options, String> {
    let mut options = Options { seconds: 60.0, targets: vec![], seed: 1, keep: true, hang: HANG };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = || -> Result<f64, String> {
            let value = words.next().and_then(|value| value.parse().ok()).filter(|value: &f64| *value >= 0.0);
            value.ok_or_else(|| format!("{word} takes a number"))
        };
        match word.as_str() {
            "--minutes" => options.seconds = number()? * 60.0,
            "--seconds" => options.seconds = number()?,
            "--seed" => options.seed = number()? as u64,
            "--hang" => options.hang = Duration::from_secs_f64(number()?.min(3600.0)),
            "--no-keep" => options.keep = false,
            "--target" => options.targets.push(words.next().ok_or("--target takes a name")?.clone()),
            other => return Err(format!("no such option: {other}")),
        }
    }
    if options.targets.is_empty() {
        options.targets = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    }
    for target in &options.targets {
        if !target.starts_with("self-") && !TARGETS.iter().any(|known| known.name == target) {
            let known: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            return Err(format!("no such target: {target}; known are {}", known.join(", ")));
        }
    }
    Ok(options)
}

/// Runs what is asked for; whether all went well.
pub fn run(words: &[String]) -> Result<bool, String> {
    let options = options(words)?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from).min(options.targets.len());
    let each = options.seconds * jobs as f64 / options.targets.len() as f64;
    println!(
        "{} targets, {each:.1} s each, {jobs} at once, seed {}; inputs that failed before come first",
        options.targets.len(),
        options.seed
    );
    let queue = Mutex::new(options.targets.clone().into_iter());
    let done = Mutex::new(vec![]);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(target) = queue.lock().ok().and_then(|mut queue| queue.next()) {
                    let tally = campaign(&target, &options, each);
                    if let Ok(mut done) = done.lock() {
                        done.push((target, tally));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().map_err(|_| "a thread of the driver panicked")?;
    done.sort_by_key(|(target, _)| options.targets.iter().position(|name| name == target));
    println!(
        "{:<12} {:>9} {:>7} {:>7} {:>7} {:>7}",
        "target", "inputs", "panics", "aborts", "memory", "hangs"
    );
    let mut good = true;
    let (mut inputs, mut failures) = (0, [0; 4]);
    for (target, tally) in &done {
        let tally = tally.as_ref().map_err(|error| format!("{target}: {error}"))?;
        let [panics, aborts, memory, hangs] = tally.failures;
        println!("{target:<12} {:>9} {panics:>7} {aborts:>7} {memory:>7} {hangs:>7}", tally.inputs);
        inputs += tally.inputs;
        failures.iter_mut().zip(tally.failures).for_each(|(sum, one)| *sum += one);
        good &= tally.failures == [0; 4];
    }
    let [panics, aborts, memory, hangs] = failures;
    println!("{:<12} {inputs:>9} {panics:>7} {aborts:>7} {memory:>7} {hangs:>7}", "all");
    for (target, tally) in &done {
        for line in tally.iter().flat_map(|tally| &tally.lines) {
            println!("{target}: {line}");
        }
    }
    Ok(good)
}

fn campaign(target: &str, options: &Options, seconds: f64) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions").join(target);
    let files = child::regressions(&kept);
    if !files.is_empty() {
        let input = |number: u64| -> Option<(Vec<u8>, String)> {
            let file = files.get(usize::try_from(number).ok()?)?;
            Some((fs::read(file).ok()?, file.display().to_string()))
        };
        let words = || vec!["files".to_owned(), kept.display().to_string()];
        let mut first = 0;
        while first < files.len() as u64 {
            first = watch(target, first, words(), options, &mut tally, &input, None)?;
        }
    }
    let seeds = child::seeds(target)?;
    let input = |number: u64| {
        Some((seeds.input(options.seed, number), format!("seed {}, input {number}", options.seed)))
    };
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let (mut first, mut deaths) = (0, 0);
    loop {
        let left = end.saturating_duration_since(Instant::now()).as_secs_f64();
        if left <= 0.0 && first > 0 {
            break;
        }
        if deaths == MOST_DEATHS {
            tally.lines.push(format!("left alone after {MOST_DEATHS} processes that died"));
            break;
        }
        deaths += 1;
        let words = vec!["seed".to_owned(), options.seed.to_string(), left.to_string()];
        first = watch(target, first, words, options, &mut tally, &input, options.keep.then_some(&*kept))?;
    }
    Ok(tally)
}

/// One process, from input number `first` until it ends; the number to go on with.
fn watch(
    target: &str,
    first: u64,
    how: Vec<String>,
    options: &Options,
    tally: &mut Tally,
    input: &dyn Fn(u64) -> Option<(Vec<u8>, String)>,
    keep: Option<&Path>,
) -> Result<u64, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let state = folder.path().join("state");
    let failed = |error: std::io::Error| format!("cannot start a process: {error}");
    fs::write(&state, first.to_le_bytes()).map_err(failed)?;
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    let mut command = limited(&std::env::current_exe().map_err(failed)?);
    command.args(["child", target]).arg(&state).arg(first.to_string()).args(how);
    command.stdin(Stdio::null());
    command.stdout(File::create(&out).map_err(failed)?).stderr(File::create(&err).map_err(failed)?);
    let mut process = command.spawn().map_err(failed)?;
    let at = || -> u64 {
        let bytes = fs::read(&state).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(first, u64::from_le_bytes)
    };
    let (mut number, mut since) = (first, Instant::now());
    let status: Option<ExitStatus> = loop {
        if let Some(status) = process.try_wait().map_err(failed)? {
            break Some(status);
        }
        let now = at();
        if now != number {
            (number, since) = (now, Instant::now());
        }
        if since.elapsed() > options.hang {
            let _ = process.kill();
            process.wait().map_err(failed)?;
            break None;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let number = at();
    let text = |path: &PathBuf| {
        fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    };
    for line in text(&out).lines() {
        let mut parts = line.splitn(4, '\t');
        if let (Some("panic"), Some(number), place) =
            (parts.next(), parts.next(), parts.collect::<Vec<_>>().join(": "))
        {
            let number = number.parse().unwrap_or(first);
            tally.take(Failure::Panic, &place, input(number), keep);
        }
    }
    match status {
        Some(status) if status.success() => {
            tally.inputs += number - first;
            Ok(number)
        }
        status => {
            let said = text(&err);
            let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no word").to_owned();
            let (failure, place) = match status {
                None => (Failure::Hang, format!("no end after {} s", options.hang.as_secs())),
                Some(_) if said.contains("memory allocation of") || said.contains("out of memory") => {
                    (Failure::Memory, "memory exhausted".to_owned())
                }
                Some(status) if status.code() == Some(2) => return Err(last),
                Some(status) => (Failure::Abort, format!("{status}: {last}")),
            };
            tally.take(failure, &place, input(number), keep);
            tally.inputs += number + 1 - first;
            Ok(number + 1)
        }
    }
}

impl Tally {
    fn take(&mut self, failure: Failure, place: &str, input: Option<(Vec<u8>, String)>, keep: Option<&Path>) {
        self.failures[failure as usize] += 1;
        // Of one place a few inputs tell as much as many; digits of sizes and numbers do not make another place.
        let kind: String =
            place.chars().filter(|c| failure == Failure::Panic || !c.is_ascii_digit()).collect();
        let seen = self.places.iter().filter(|known| known.contains(&kind)).count();
        if seen >= if failure == Failure::Panic { 1 } else { 3 } {
            return;
        }
        let Some((bytes, name)) = input else { return };
        self.places.insert(format!("{seen} {} {kind}", failure.name()));
        let mut line = format!("{} at {place} ({name})", failure.name());
        if let Some(folder) = keep {
            let path = folder.join(format!("{}-{:016x}", failure.name(), hash(&bytes)));
            match fs::create_dir_all(folder).and_then(|()| fs::write(&path, &bytes)) {
                Ok(()) => line += &format!(", kept as {}", path.display()),
                Err(error) => line += &format!(", which could not be kept: {error}"),
            }
        }
        self.lines.push(line);
    }
}

/// FNV-1a: a name for an input.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A program under a limit of memory, where the system's shell can set one.
fn limited(program: &Path) -> Command {
    if cfg!(unix) {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -v \"$0\" && exec \"$@\"", &MEMORY_KIB.to_string()]).arg(program);
        command
    } else {
        Command::new(program)
    }
}
