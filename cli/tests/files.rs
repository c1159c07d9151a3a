//! Which files a run may write over, and numbers without sense.

#![allow(clippy::unwrap_used)] // Helpers of tests may.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use predicates::str::contains;

fn model() -> String {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .join("tests/fixtures/goldens/sentence-mean")
        .display()
        .to_string()
}

fn frostbert(words: &[&str]) -> Command {
    let mut command = Command::cargo_bin("frostbert").unwrap();
    command.args(words).env("FROSTBERT_CACHE", std::env::temp_dir().join("frostbert-cli-files"));
    command
}

/// A folder for one test.
struct Work(tempfile::TempDir);

impl Work {
    fn new() -> Self {
        Work(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn name(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), bytes).unwrap();
        self.name(name)
    }

    fn reviews(&self) -> String {
        let row = |row: usize| match row % 2 {
            0 => format!("the brilliant wonderful film {row},good\n"),
            _ => format!("the terrible boring plot {row},bad\n"),
        };
        self.file("reviews.csv", "text,label\n".to_owned() + &(0..40).map(row).collect::<String>())
    }
}

fn embed(table: &str, more: &[&str]) -> Command {
    frostbert(&[&["embed", "--model", &model(), "--device", "cpu", table, "--column", "text"], more].concat())
}

fn train(table: &str, more: &[&str]) -> Command {
    let words =
        ["train", "--model", &model(), "--device", "cpu", table, "--label-column", "label", "--no-baselines"];
    frostbert(&[&words, more].concat())
}

#[test]
fn what_a_run_reads_it_never_replaces() {
    let work = Work::new();
    let table = work.reviews();
    let before = fs::read(&table).unwrap();
    let other = work.name("other.safetensors");
    fs::create_dir(work.path("folder")).unwrap();
    fs::hard_link(&table, work.path("hard.csv")).unwrap();
    let mut same = vec![table.clone(), work.name("folder/../reviews.csv"), work.name("hard.csv")];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&table, work.path("soft.csv")).unwrap();
        same.push(work.name("soft.csv"));
    }
    for out in &same {
        for force in [&[][..], &["--force"]] {
            let refused = |mut command: Command| {
                command.args(force).assert().code(1).stderr(contains("this run reads it"));
                assert_eq!(fs::read(&table).unwrap(), before);
            };
            refused(embed(&table, &["--out", out]));
            refused(train(&table, &["--out", &other, "--label-errors", out]));
            refused(train(&table, &["--out", out]));
            refused(train(&table, &["--out", &other, "--report", out]));
            refused(train(&table, &["--out", &other, "--card", out]));
            refused(train(&table, &["--out", &other, "--checkpoint", out]));
            refused(train(&work.file("more.csv", &before), &["--test", &table, "--out", out]));
        }
    }
    embed("-", &["--format", "csv", "--out", &table])
        .pipe_stdin(&table)
        .unwrap()
        .assert()
        .code(1)
        .stderr(contains(".csv"));
    assert_eq!(fs::read(&table).unwrap(), before);
    assert!(!Path::new(&other).exists());
    let texts = work.path("texts");
    fs::create_dir_all(texts.join("good")).unwrap();
    fs::write(texts.join("good/1.txt"), "fine").unwrap();
    embed(&texts.display().to_string(), &["--out", &work.name("texts/out.npy")])
        .assert()
        .code(1)
        .stderr(contains("read as texts"));
}

#[test]
fn files_of_the_checkpoint_are_safe() {
    let work = Work::new();
    let folder = work.path("model");
    fs::create_dir(&folder).unwrap();
    for entry in fs::read_dir(model()).unwrap().flatten() {
        if entry.path().is_file() {
            fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
    }
    let table = work.reviews();
    let own = folder.display().to_string();
    let before = fs::read(folder.join("model.safetensors")).unwrap();
    for name in ["model.safetensors", "model-2.safetensors", "config.json", "vocab.txt", "pytorch_model.bin"]
    {
        let out = folder.join(name).display().to_string();
        let words =
            ["train", "--model", &own, "--device", "cpu", &table, "--label-column", "label", "--force"];
        frostbert(&[&words[..], &["--out", &out]].concat())
            .assert()
            .code(1)
            .stderr(contains("belongs to the checkpoint"));
    }
    assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), before);
}

#[test]
fn two_outputs_have_two_paths() {
    let work = Work::new();
    let table = work.reviews();
    let one = work.name("one");
    let (report, card) = (["--report", &one[..]], ["--card", &one[..]]);
    train(&table, &[&["--out", &work.name("h.safetensors")], &report[..], &card[..]].concat())
        .assert()
        .code(1)
        .stderr(contains("writes to the same file"));
    let again = work.name("./one");
    train(&table, &["--out", &one, "--card", &again])
        .assert()
        .code(1)
        .stderr(contains("--out writes to the same"));
    embed(
        &table,
        &["--precision", "int8", "--out", &work.name("a.npy"), "--save-ranges", &work.name("a.npy")],
    )
    .assert()
    .code(1)
    .stderr(contains("writes to the same file"));
    assert!(!work.path("one").exists());
}

/// Every kind of output is replaced by the next of its kind, and nothing else is without `--force`.
#[test]
fn only_earlier_outputs_are_replaced_unasked() {
    let work = Work::new();
    let table = work.reviews();
    let embeddings = ["npy", "safetensors", "jsonl", "csv", "parquet"];
    for ending in embeddings {
        let out = work.name(&format!("e.{ending}"));
        embed(&table, &["--out", &out]).assert().success();
        embed(&table, &["--out", &out, "--limit", "3"]).assert().success();
        let foreign = work.file(&format!("f.{ending}"), "somebody's\n");
        embed(&table, &["--out", &foreign]).assert().code(1).stderr(contains("--force"));
        assert_eq!(fs::read(&foreign).unwrap(), b"somebody's\n");
        embed(&table, &["--out", &foreign, "--force"]).assert().success();
        let empty = work.file(&format!("g.{ending}"), "");
        embed(&table, &["--out", &empty]).assert().success();
    }
    let (head, page, card, errors) =
        (work.name("h.safetensors"), work.name("p.html"), work.name("c.md"), work.name("l.csv"));
    let all = ["--out", &head, "--report", &page, "--card", &card, "--label-errors", &errors];
    train(&table, &all).assert().success();
    train(&table, &all).assert().success();
    // Each of them at the place of each other.
    let outputs = [&head, &page, &card, &errors];
    for (at, option) in ["--out", "--report", "--card", "--label-errors"].iter().enumerate() {
        for (other, path) in outputs.iter().enumerate() {
            let mut words = all;
            words[2 * at + 1] = &path[..];
            words[2 * other + 1] = &outputs[at][..];
            if at != other {
                train(&table, &words).assert().code(1).stderr(contains("--force"));
            }
        }
        let foreign = work.file("foreign", "somebody's");
        let mut words = all;
        words[2 * at + 1] = &foreign[..];
        train(&table, &words).assert().code(1).stderr(contains(*option));
        assert_eq!(fs::read(&foreign).unwrap(), b"somebody's");
    }
    // Embeddings are no head.
    train(&table, &["--out", &work.name("e.safetensors")]).assert().code(1).stderr(contains("--force"));
}

#[cfg(unix)]
#[test]
fn devices_pipes_links_and_permissions() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    let work = Work::new();
    let table = work.reviews();
    train(
        &table,
        &[
            "--out",
            "/dev/null",
            "--report",
            "/dev/null",
            "--card",
            "/dev/null",
            "--label-errors",
            "/dev/null",
        ],
    )
    .assert()
    .success();
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());

    let out = work.name("e.npy");
    embed(&table, &["--out", &out]).assert().success();
    fs::set_permissions(&out, fs::Permissions::from_mode(0o600)).unwrap();
    let whole = fs::read(&out).unwrap();
    fs::create_dir(work.path("links")).unwrap();
    symlink("../e.npy", work.path("links/e.npy")).unwrap();
    embed(&table, &["--out", &work.name("links/e.npy"), "--limit", "5"]).assert().success();
    assert!(fs::symlink_metadata(work.path("links/e.npy")).unwrap().is_symlink());
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(fs::read(&out).unwrap().len() < whole.len());

    for ending in ["npy", "safetensors", "jsonl", "csv", "parquet"] {
        let pipe = work.path(&format!("pipe.{ending}"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let plain = work.name(&format!("plain.{ending}"));
        embed(&table, &["--out", &plain]).assert().success();
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        embed(&table, &["--out", &pipe.display().to_string()]).assert().success();
        assert_eq!(reader.join().unwrap(), fs::read(&plain).unwrap(), "{ending}");
        assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
    }
    assert!(
        fs::read_dir(work.0.path())
            .unwrap()
            .flatten()
            .all(|entry| !entry.file_name().to_string_lossy().contains(".tmp"))
    );
}

/// No byte can be written: a limit on the size of files, which fails like a full disk.
#[cfg(unix)]
#[test]
fn the_cache_is_cleared_on_a_full_disk() {
    let work = Work::new();
    let table = work.reviews();
    let cache = work.name("cache");
    embed(&table, &["--cache"]).env("FROSTBERT_CACHE", &cache).assert().success();
    let clear =
        format!("trap '' XFSZ; ulimit -f 0 && exec \"{}\" cache clear", env!("CARGO_BIN_EXE_frostbert"));
    let output = Command::new("sh").args(["-c", &clear]).env("FROSTBERT_CACHE", &cache).assert().success();
    assert!(String::from_utf8_lossy(&output.get_output().stdout).contains("embeddings removed"));
    frostbert(&["cache", "info"])
        .env("FROSTBERT_CACHE", &cache)
        .assert()
        .success()
        .stdout(contains("0 embeddings"));
}

#[test]
fn numbers_without_sense_are_refused_or_capped_at_once() {
    let work = Work::new();
    let table = work.reviews();
    let head = work.name("h.safetensors");
    for threads in ["5000", "20000", "18446744073709551615"] {
        embed(&table, &["--threads", threads, "--limit", "2"])
            .timeout(std::time::Duration::from_secs(20))
            .assert()
            .success()
            .stderr(contains("note: --threads"));
    }
    let huge = "18446744073709551615";
    for (option, value) in
        [("--batch-tokens", huge), ("--batch-tokens", "0"), ("--threads", "0"), ("--limit", "0")]
    {
        embed(&table, &[option, value]).assert().code(2);
    }
    for (option, value) in [
        ("--repeats", huge),
        ("--repeats", "1000000"),
        ("--repeats", "0"),
        ("--neighbours", huge),
        ("--hidden", huge),
        ("--hidden", "0"),
        ("--epochs", huge),
        ("--batch-rows", huge),
        ("--test-fraction", "nan"),
        ("--test-fraction", "-1"),
        ("--l1-ratio", "2"),
        ("--label-separator", ""),
    ] {
        train(&table, &["--out", &head, option, value]).assert().code(2);
    }
    for folds in ["0", "1", "41", huge] {
        train(&table, &["--out", &head, "--folds", folds]).assert().code(1).stderr(contains("folds"));
    }
    embed(&table, &["--limit", huge]).assert().success();
    frostbert(&["inspect", &model(), "--batch-tokens", huge]).assert().code(2);
    // Ranges whose header claims more than the file holds.
    for columns in [48_u64, 1 << 32, u64::MAX] {
        let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': (2, {columns}), }}");
        header += &" ".repeat(117 - header.len());
        header.push('\n');
        let npy = [&b"\x93NUMPY\x01\x00\x76\x00"[..], header.as_bytes(), &[0; 64]].concat();
        let ranges = work.file("ranges.npy", npy);
        embed(&table, &["--precision", "int8", "--ranges", &ranges])
            .assert()
            .code(1)
            .stderr(contains("ranges.npy").and(contains("header says")));
    }
}

use predicates::prelude::PredicateBooleanExt;
