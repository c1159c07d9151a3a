//! The process in which inputs run. Before each it notes the input's number, so that the parent knows which one ended it.

use frostbert_fuzz::{Seeds, TARGETS, Target, corpus};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What takes an input.
type Run = fn(&[u8]);

/// Targets that fail as they are told to, for the driver's own test.
const FAILING: &[(&str, Run)] = &[
    ("self-panic", |_| panic!("as asked")),
    ("self-abort", |_| std::process::abort()),
    ("self-hang", |_| std::thread::sleep(Duration::from_secs(3600))),
    ("self-memory", |_| {
        let mut all = vec![];
        loop {
            all.push(std::hint::black_box(vec![0u8; 64 << 20]));
        }
    }),
];

/// Where the last panic was.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// `child TARGET STATE FIRST seed SEED SECONDS`, or `child TARGET STATE FIRST files FOLDER`.
pub fn run(words: &[String]) -> Result<(), String> {
    let [target, state, first, rest @ ..] = words else { return Err("child: too few words".to_owned()) };
    let name = target.as_str();
    let run: Run = match TARGETS.iter().find(|target| target.name == name) {
        Some(target) => target.run,
        None => {
            FAILING.iter().find(|(known, _)| *known == name).map(|(_, run)| *run).ok_or("no such target")?
        }
    };
    let first: u64 = first.parse().map_err(|_| "child: FIRST is a number")?;
    let mut state = File::options().write(true).open(state).map_err(|error| error.to_string())?;
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(String::new, |at| format!("{}:{}", at.file(), at.line()));
        let what = payload(info).replace(['\n', '\t'], " ");
        let what: String = what.chars().take(120).collect();
        // The first of a chain tells most: rayon and the library may panic again because of it.
        if let Ok(mut last) = PANIC.lock()
            && last.is_empty()
        {
            *last = format!("{place}\t{what}");
        }
    }));
    let mut try_one = |number: u64, input: &[u8]| -> Result<(), String> {
        state
            .seek(SeekFrom::Start(0))
            .and_then(|_| state.write_all(&number.to_le_bytes()))
            .map_err(|error| error.to_string())?;
        let outcome = std::panic::catch_unwind(|| run(input));
        let panic = PANIC.lock().map(|mut last| std::mem::take(&mut *last)).unwrap_or_default();
        if outcome.is_err() {
            println!("panic\t{number}\t{panic}");
        }
        Ok(())
    };
    let end = match rest {
        [how, seed, seconds] if how == "seed" => {
            let seed: u64 = seed.parse().map_err(|_| "child: SEED is a number")?;
            let seconds: f64 = seconds.parse().map_err(|_| "child: SECONDS is a number")?;
            let seeds = seeds(name)?;
            let started = Instant::now();
            let mut number = first;
            while started.elapsed().as_secs_f64() < seconds {
                try_one(number, &seeds.input(seed, number))?;
                number += 1;
            }
            number
        }
        [how, folder] if how == "files" => {
            let files = regressions(Path::new(folder));
            for (number, file) in (0u64..).zip(&files).skip(usize::try_from(first).unwrap_or(usize::MAX)) {
                let input = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
                try_one(number, &input)?;
            }
            files.len() as u64
        }
        _ => return Err("child: expected seed or files".to_owned()),
    };
    try_end(&mut state, end)
}

fn try_end(state: &mut File, end: u64) -> Result<(), String> {
    state
        .seek(SeekFrom::Start(0))
        .and_then(|_| state.write_all(&end.to_le_bytes()))
        .map_err(|error| error.to_string())
}

/// The inputs of a target.
pub fn seeds(name: &str) -> Result<Seeds, String> {
    let Some(Target { kind, .. }) = TARGETS.iter().find(|target| target.name == name) else {
        return Ok(Seeds::new(vec![b"x".to_vec()]));
    };
    let seeds = corpus(*kind);
    if seeds.is_empty() || seeds.iter().all(Vec::is_empty) {
        return Err(format!("{name}: no inputs to start from; are tests/fixtures there?"));
    }
    Ok(Seeds::new(seeds))
}

/// The inputs that failed once, in order.
pub fn regressions(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return vec![] };
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// What a panic says. (`payload_as_str` is newer than the oldest Rust promised.)
fn payload<'a>(info: &'a std::panic::PanicHookInfo<'_>) -> &'a str {
    let payload = info.payload();
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("?")
}
