//! What embeddings say beside a label: `search`, `dedupe`, `suggest`, `drift`, and `compare` of two heads.

#![allow(clippy::unwrap_used)] // Helpers of tests may.

use std::path::Path;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

struct Work {
    folder: tempfile::TempDir,
}

impl Work {
    fn new() -> Self {
        Work { folder: tempfile::tempdir().unwrap() }
    }

    fn name(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.folder.path().join(name), text).unwrap();
        self.name(name)
    }

    fn run(&self, args: &[&str]) -> assert_cmd::assert::Assert {
        let mut command = Command::cargo_bin("frostbert").unwrap();
        command
            .args(args)
            .args(["--device", "cpu"])
            .env("FROSTBERT_CACHE", self.folder.path().join("cache"))
            .assert()
    }

    fn lines(&self, args: &[&str]) -> Vec<Value> {
        let output = self.run(args).success();
        let stdout = String::from_utf8(output.get_output().stdout.clone()).unwrap();
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A head trained on rows of two kinds, of which these have the other kind's label.
    fn head(&self, name: &str, wrong: usize) -> String {
        let (table, head) = (self.write("train.csv", &reviews(80, wrong)), self.name(name));
        let words =
            ["train", "--model", &model(), &table, "--label-column", "label", "--out", &head, "--c", "10"];
        self.run(&words).success();
        head
    }
}

fn model() -> String {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    root.join("tests/fixtures/goldens/sentence-mean").display().to_string()
}

fn reviews(rows: usize, wrong: usize) -> String {
    let mut text = String::from("text,label,source\n");
    for row in 0..rows {
        let good = row % 2 == 0;
        let words = if good { "a brilliant wonderful film" } else { "terrible boring plot" };
        let label = if good != (row < wrong) { "good" } else { "bad" };
        text += &format!("{words} number {row},{label},{}\n", if row < rows / 2 { "press" } else { "web" });
    }
    text
}

#[test]
fn search_finds_the_same_words_first() {
    let work = Work::new();
    let table =
        work.write("texts.csv", "id,text\n1,the plot is boring\n2,a wonderful film\n3,number of the day\n");
    let words =
        ["search", "--model", &model(), &table, "--query", "a wonderful film", "--json", "--top", "2"];
    let found = work.lines(&words);
    assert_eq!(found.len(), 2);
    assert_eq!((&found[0]["row"], &found[0]["text"]), (&2.into(), &"a wonderful film".into()));
    assert!((found[0]["similarity"].as_f64().unwrap() - 1.0).abs() < 1e-5);
    assert!(found[1]["similarity"].as_f64().unwrap() < found[0]["similarity"].as_f64().unwrap());
    let plain = ["search", "--model", &model(), &table, "--query", "a wonderful film", "--query", "boring"];
    work.run(&plain).success().stdout(contains("1.0000\t2\ta wonderful film"));
    work.run(&["search", "--model", &model(), &table, "--query", "x", "--query-prompt-name", "nope"])
        .code(1)
        .stderr(contains("no prompt"));
    let empty = work.write("empty.csv", "id,text\n");
    work.run(&["search", "--model", &model(), &empty, "--query", "x"]).code(1).stderr(contains("no rows"));
}

#[test]
fn dedupe_names_the_row_to_keep_and_writes_a_table() {
    let work = Work::new();
    let table = work.write("texts.txt", "a film\nthe plot\na film\nA  film\nnumber nine\n");
    let found = work.lines(&["dedupe", "--model", &model(), &table, "--threshold", "0.9999", "--json"]);
    let pairs: Vec<(u64, u64)> = found
        .iter()
        .map(|line| (line["row"].as_u64().unwrap(), line["duplicate_of"].as_u64().unwrap()))
        .collect();
    assert_eq!(pairs, [(3, 1), (4, 1)]);
    let out = work.name("out.csv");
    let words = ["dedupe", "--model", &model(), &table, "--threshold", "0.9999", "--out", &out];
    work.run(&words).success().stderr(contains("2 of 5 texts are nearly the same as an earlier one"));
    let written = std::fs::read_to_string(&out).unwrap();
    assert!(written.starts_with("row,duplicate_of,similarity,text\n3,1,1"), "{written}");
    // Its own earlier output is replaced, another file is not.
    work.run(&words).success();
    let other = work.write("other.csv", "id,text\n1,mine\n");
    work.run(&["dedupe", "--model", &model(), &table, "--out", &other]).code(1).stderr(contains("--force"));
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "id,text\n1,mine\n");
    for wrong in ["0", "1.5", "NaN"] {
        work.run(&["dedupe", "--model", &model(), &table, "--threshold", wrong])
            .code(1)
            .stderr(contains("cosine"));
    }
}

#[test]
fn suggest_leaves_out_what_is_labelled_and_asks_for_what_is_unsure() {
    let work = Work::new();
    let head = work.head("head.safetensors", 0);
    let pool = work.write("pool.csv", &reviews(60, 0));
    let labelled = work.write("labelled.csv", &reviews(20, 0));
    let words = [
        "suggest",
        "--head",
        &head,
        &pool,
        "--labelled",
        &labelled,
        "--count",
        "6",
        "--duplicate",
        "0.9999",
        "--json",
    ];
    let found = work.lines(&words);
    assert!(!found.is_empty() && found.len() <= 6);
    assert!(found.iter().all(|one| one["row"].as_u64().unwrap() > 20 && one["margin"].is_number()));
    assert_eq!(found, work.lines(&words));
    // A cold start, and the table that comes of it.
    let out = work.name("label-me.csv");
    work.run(&[
        "suggest",
        "--model",
        &model(),
        &pool,
        "--count",
        "4",
        "--duplicate",
        "0.9999",
        "--out",
        &out,
    ])
    .success();
    let written = std::fs::read_to_string(&out).unwrap();
    assert!(written.starts_with("row,text,label,margin\n") && written.lines().count() == 5, "{written}");
    work.run(&["suggest", "--model", &model(), &pool, "--strategy", "margin"])
        .code(1)
        .stderr(contains("needs a head"));
    work.run(&["suggest", &pool]).code(2).stderr(contains("--head"));
    work.run(&["suggest", "--model", &model(), &labelled, "--labelled", &labelled])
        .code(1)
        .stderr(contains("labelled already"));
}

#[test]
fn drift_is_quiet_on_the_same_and_loud_on_another_kind() {
    let work = Work::new();
    let head = work.head("head.safetensors", 0);
    let (even, odd): (Vec<usize>, Vec<usize>) = (0..160).partition(|row| row % 4 < 2);
    let all = reviews(160, 0);
    let rows: Vec<&str> = all.lines().skip(1).collect();
    let table = |name: &str, of: &[usize]| {
        let lines: Vec<&str> = of.iter().map(|row| rows[*row]).collect();
        work.write(name, &format!("text,label,source\n{}\n", lines.join("\n")))
    };
    let (old, same) = (table("old.csv", &even), table("same.csv", &odd));
    let quiet = &work.lines(&["drift", "--head", &head, &old, &same, "--json"])[0];
    assert_eq!(quiet["drifted"], false, "{quiet}");
    let bad: Vec<usize> = (0..160).filter(|row| row % 2 == 1).collect();
    let moved = table("moved.csv", &bad);
    let loud = &work.lines(&["drift", "--head", &head, &old, &moved, "--json"])[0];
    assert_eq!(loud["drifted"], true, "{loud}");
    let shares = loud["label_shares"].as_array().unwrap();
    let good = shares.iter().find(|share| share["label"] == "good").unwrap();
    assert!(good["reference"].as_f64().unwrap() > 0.4 && good["new"].as_f64().unwrap() < 0.2, "{loud}");
    work.run(&["drift", "--head", &head, &old, &moved]).success().stdout(contains("look different"));
    let few = work.write("few.csv", &reviews(5, 0));
    work.run(&["drift", "--head", &head, &old, &few]).code(1).stderr(contains("too few"));
}

#[test]
fn compare_says_which_head_is_better_and_where() {
    let work = Work::new();
    let right = work.head("right.safetensors", 0);
    let wrong = work.head("wrong.safetensors", 80);
    let data = work.write("test.csv", &reviews(60, 0));
    let words = ["compare", &wrong, &right, &data, "--label-column", "label", "--by", "source"];
    let found = &work.lines(&[&words[..], &["--json"]].concat())[0];
    assert_eq!(found["rows"], 60);
    assert!(found["right"]["only_second"].as_u64().unwrap() > 50, "{found}");
    assert!(found["measures"][0]["p"].as_f64().unwrap() < 1e-9);
    let slices = found["slices"].as_array().unwrap();
    assert_eq!(slices.len(), 2);
    assert!(slices.iter().all(|slice| slice["rows"] == 30 && slice["measure"]["p"].as_f64().unwrap() < 0.01));
    work.run(&words).success().stdout(contains("B is better").and(contains("press (30 rows)")));
    let same = ["compare", &right, &right, &data, "--label-column", "label"];
    work.run(&same).success().stdout(contains("no difference to speak of"));
    work.run(&["compare", &right, &right, &data, "--label-column", "source"])
        .code(1)
        .stderr(contains("label"));
    work.run(&[&words[..6], &["--by", "nope"]].concat()).code(1).stderr(contains("nope"));
}

#[test]
fn a_head_that_is_told_to_be_cautious_stays_so_in_its_file() {
    let work = Work::new();
    // A fifth of the labels is wrong, so that nothing is certain.
    let mut table = String::from("text,label\n");
    for row in 0..300 {
        let good = row % 2 == 0;
        let words = if good { "a brilliant wonderful film" } else { "terrible boring plot" };
        table += &format!("{words} number {row},{}\n", if good == (row % 5 != 0) { "good" } else { "bad" });
    }
    let (table, head) = (work.write("noisy.csv", &table), work.name("head.safetensors"));
    let train = ["train", "--model", &model(), &table, "--label-column", "label", "--out", &head, "--c", "1"];
    let told = ["--conformal", "0.9", "--abstain-precision", "0.7"];
    work.run(&[&train[..], &told].concat()).success().stdout(
        contains("sets hold the right class 90 % of the time").and(contains("decides what it is at least")),
    );
    let found = work.lines(&["predict", "--head", &head, "--text", "a brilliant wonderful film", "--json"]);
    let set = found[0]["set"].as_array().unwrap();
    assert!(!set.is_empty() && set.iter().all(|name| name == "good" || name == "bad"), "{}", found[0]);
    // What is asked for on the command line comes before what the head was trained to do.
    let unsure = ["predict", "--head", &head, "--text", "film", "--json", "--abstain", "0.999"];
    assert_eq!(work.lines(&unsure)[0]["label"], Value::Null);
    work.run(&[&train[..], &["--abstain-precision", "0.99"]].concat())
        .code(1)
        .stderr(contains("cannot be promised"));
    work.run(&[&train[..], &["--conformal", "1"]].concat()).code(1).stderr(contains("below 1"));
}
