//! The embedding cache as the command line uses it.

#![allow(clippy::unwrap_used)] // Helpers of tests may.

use std::path::Path;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;

const COLUMNS: [&str; 4] = ["--label-column", "label", "--device", "cpu"];

fn model() -> String {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .join("tests/fixtures/goldens/sentence-mean")
        .display()
        .to_string()
}

fn frostbert(cache: &Path, args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("frostbert").unwrap();
    command.args(args).env("FROSTBERT_CACHE", cache);
    command
}

/// So many different reviews, the first of them once more at the end.
fn reviews(folder: &Path, rows: usize) -> String {
    let row = |row: usize| {
        let (words, label) = if row.is_multiple_of(2) {
            ("brilliant wonderful film", "good")
        } else {
            ("terrible boring plot", "bad")
        };
        format!("the {words} {row},{label}\n")
    };
    let path = folder.join("reviews.csv");
    std::fs::write(&path, format!("text,label\n{}{}", (0..rows).map(row).collect::<String>(), row(0)))
        .unwrap();
    path.display().to_string()
}

fn train<'a>(model: &'a str, table: &'a str, out: &'a str) -> Vec<&'a str> {
    [&["train", "--model", model, table, "--out", out, "--c", "1"][..], &COLUMNS].concat()
}

#[test]
fn a_second_run_embeds_only_new_texts_and_learns_the_same_head() {
    let work = tempfile::tempdir().unwrap();
    let cache = work.path().join("cache");
    let name = |file: &str| work.path().join(file).display().to_string();
    let (model, table) = (model(), reviews(work.path(), 60));
    let (first, second) = (name("first.safetensors"), name("second.safetensors"));
    frostbert(&cache, &train(&model, &table, &first))
        .assert()
        .success()
        .stderr(contains("61 texts, 0 from the cache"));
    frostbert(&cache, &train(&model, &table, &second))
        .assert()
        .success()
        .stderr(contains("61 texts, 61 from the cache; 0 tokens"));
    assert!(std::fs::read(&first).unwrap() == std::fs::read(&second).unwrap(), "the heads differ");

    // 60: identical texts are kept once.
    frostbert(&cache, &["cache", "info"]).assert().success().stdout(contains("60 embeddings"));
    let table = reviews(work.path(), 64);
    let words = [&["evaluate", "--head", &first, &table][..], &COLUMNS].concat();
    frostbert(&cache, &words).assert().success().stderr(contains("65 texts, 61 from the cache"));
    frostbert(&cache, &["cache", "clear"]).assert().success().stdout(contains("64 embeddings removed"));
    frostbert(&cache, &train(&model, &table, &second))
        .assert()
        .success()
        .stderr(contains("65 texts, 0 from the cache"));
}

#[test]
fn no_cache_leaves_nothing_behind() {
    let work = tempfile::tempdir().unwrap();
    let cache = work.path().join("cache");
    let (model, table) = (model(), reviews(work.path(), 60));
    let out = work.path().join("head.safetensors").display().to_string();
    frostbert(&cache, &train(&model, &table, &out)).arg("--no-cache").assert().success();
    assert!(!cache.exists());
}

#[test]
fn a_cache_that_cannot_be_used_costs_a_warning() {
    let work = tempfile::tempdir().unwrap();
    let (model, table) = (model(), reviews(work.path(), 60));
    let out = work.path().join("head.safetensors").display().to_string();
    // A file where the folder should be.
    let cache = work.path().join("cache");
    std::fs::write(&cache, "in the way").unwrap();
    frostbert(&cache, &train(&model, &table, &out))
        .assert()
        .success()
        .stderr(contains("warning: cannot make the cache folder").and(contains("0 from the cache")));
}

#[test]
fn embedding_through_the_cache_gives_the_same_rows() {
    let work = tempfile::tempdir().unwrap();
    let cache = work.path().join("cache");
    let model = model();
    let words =
        ["embed", "--model", &model, "--device", "cpu", "--text", "fox", "--text", "a dog", "--text", "fox"];
    let rows = |extra: &[&str]| {
        let done = frostbert(&cache, &words).args(extra).assert().success();
        String::from_utf8(done.get_output().stdout.clone()).unwrap()
    };
    let plain = rows(&[]);
    assert_eq!(plain.lines().count(), 3);
    assert_eq!(plain, rows(&["--cache"]));
    assert_eq!(plain, rows(&["--cache"]));
    frostbert(&cache, &words).arg("--cache").assert().stderr(contains("3 texts came from the cache"));
    // Other options, other rows.
    frostbert(&cache, &words)
        .args(["--cache", "--pooling", "cls"])
        .assert()
        .stderr(contains("0 texts came from the cache"));
}

/// `--resume`: what a killed run had done is not done again, and the file is as if nothing had happened.
#[test]
fn a_run_that_was_killed_goes_on_where_it_was() {
    use std::io::Write;
    let work = tempfile::tempdir().unwrap();
    let cache = work.path().join("cache");
    let name = |file: &str| work.path().join(file).display().to_string();
    let lines: String = (0..6000).map(|row| format!("review number {row} of a film\n")).collect();
    std::fs::write(name("texts.txt"), &lines).unwrap();
    let model = model();
    let embed = |from: &str, out: &str| -> Vec<String> {
        let words = ["embed", "--model", &model, "--device", "cpu", "--format", "txt", from, "--out", out];
        words.iter().map(|word| (*word).to_owned()).collect()
    };

    // The input stays open, so that the run cannot end by itself.
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_frostbert"))
        .args(embed("-", &name("killed.npy")))
        .arg("--resume")
        .env("FROSTBERT_CACHE", &cache)
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines.as_bytes()).unwrap();
    let kept = || {
        let output = frostbert(&cache, &["cache", "info", "--json"]).output().unwrap();
        serde_json::from_slice::<serde_json::Value>(&output.stdout)
            .ok()
            .and_then(|info| info["entries"].as_u64())
            .unwrap_or(0)
    };
    let waiting = std::time::Instant::now();
    while kept() == 0 {
        assert!(waiting.elapsed().as_secs() < 120, "the run left nothing in the cache");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!Path::new(&name("killed.npy")).exists(), "half a file was left under the target's name");

    let (texts, resumed, whole) = (name("texts.txt"), name("resumed.npy"), name("whole.npy"));
    let done = kept();
    let words = embed(&texts, &resumed);
    let words: Vec<&str> = words.iter().map(String::as_str).chain(["--resume"]).collect();
    frostbert(&cache, &words)
        .assert()
        .success()
        .stderr(contains(format!("{done} texts came from the cache")));
    let words = embed(&texts, &whole);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    frostbert(&cache, &words).assert().success();
    assert!(std::fs::read(&resumed).unwrap() == std::fs::read(&whole).unwrap(), "the rows differ");
}
