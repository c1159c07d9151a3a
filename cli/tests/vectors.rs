//! What embeddings say beside a label: `search`, `dedupe`, `cluster`, `suggest`, `drift`, and `compare` of two heads.

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
fn cluster_finds_the_kinds_of_texts_and_names_them() {
    let work = Work::new();
    let table = work.write("texts.csv", &reviews(80, 0));
    let model = model();
    let words = ["cluster", "--model", &model, &table, "--label-column", "label"];
    let (out, page) = (work.name("clusters.csv"), work.name("clusters.html"));
    let two = [&words[..], &["--count", "2", "--json"]].concat();
    let found = &work.lines(&[&two[..], &["--out", &out, "--report", &page]].concat())[0];
    assert_eq!(
        (&found["texts"], &found["outside"], &found["method"]),
        (&80.into(), &0.into(), &"kmeans".into())
    );
    let clusters = found["clusters"].as_array().unwrap();
    let number = |value: &Value| value.as_f64().unwrap();
    // A model of random weights puts a row or two on the other side.
    for group in ["all", "clustered"] {
        let agreement = &found["agreement"][group];
        assert!(number(&agreement["adjusted_rand"]) > 0.7, "{found}");
        assert!(number(&agreement["normalized_mutual_information"]) > 0.6, "{found}");
    }
    for cluster in clusters {
        let words: Vec<&str> =
            cluster["words"].as_array().unwrap().iter().map(|word| word["word"].as_str().unwrap()).collect();
        let label = &cluster["label"];
        let names = if label["label"] == "good" { ["brilliant", "film"] } else { ["boring", "plot"] };
        // What both kinds have, "number", names neither.
        assert!(names.iter().all(|name| words.contains(name)) && !words.contains(&"number"), "{words:?}");
        assert!(cluster["texts"].as_u64().unwrap() > 30 && number(&label["share"]) > 0.9, "{cluster}");
        assert_eq!(cluster["typical"].as_array().unwrap().len(), 3);
    }
    assert_ne!(clusters[0]["label"]["label"], clusters[1]["label"]["label"]);
    let tree = found["tree"].as_array().unwrap();
    assert_eq!((tree.len(), &tree[0]["left"], &tree[0]["right"]), (1, &1.into(), &2.into()));
    assert_eq!(*found, work.lines(&two)[0], "the same again");

    let written = std::fs::read_to_string(&out).unwrap();
    assert!(
        written.starts_with("row,text,cluster,name,similarity\n1,a brilliant wonderful film number 0,"),
        "{written}"
    );
    assert_eq!(written.lines().count(), 81);
    let drawn = std::fs::read_to_string(&page).unwrap();
    for part in [
        "id=\"clusters\"",
        "Cosine distance of the centres",
        "Most frequent label",
        "id=\"map\"",
        "80 texts in 2 clusters",
    ] {
        assert!(drawn.contains(part), "no {part}");
    }
    // Its own earlier output is replaced.
    work.run(&[&two[..], &["--out", &out, "--report", &page]].concat()).success();

    work.run(&[&words[..], &["--count", "2"]].concat()).success().stdout(
        contains("80 texts in 2 clusters")
            .and(contains("adjusted Rand index 0."))
            .and(contains("good 100 %")),
    );
    let chosen = &work.lines(&[&words[..4], &["--json"]].concat())[0];
    assert_eq!((chosen["candidates"].as_array().unwrap().len(), &chosen["agreement"]), (7, &Value::Null));
    let dense =
        &work.lines(&[&words[..4], &["--method", "hdbscan", "--min-size", "15", "--json"]].concat())[0];
    let sizes: u64 =
        dense["clusters"].as_array().unwrap().iter().map(|one| one["texts"].as_u64().unwrap()).sum();
    assert_eq!(sizes + dense["outside"].as_u64().unwrap(), 80, "{dense}");
}

#[test]
fn cluster_says_what_is_wrong_with_its_input() {
    let work = Work::new();
    let table = work.write("texts.csv", &reviews(20, 0));
    let model = model();
    let fails = |file: &str, args: &[&str], code: i32, says: &str| {
        work.run(&[&["cluster", "--model", &model, file][..], args].concat())
            .code(code)
            .stderr(contains(says));
    };
    fails(&table, &["--count", "21"], 1, "from 1 to 20 clusters");
    fails(&table, &["--count", "0"], 2, "expected auto, or a number");
    fails(&table, &["--count", "many"], 2, "expected auto, or a number");
    fails(&table, &["--label-column", "nope"], 1, "nope");
    fails(&table, &["--min-size", "5"], 1, "--min-size says nothing to --method kmeans");
    fails(&table, &["--min-samples", "5"], 1, "--min-samples says nothing to --method kmeans");
    fails(&table, &["--method", "hdbscan", "--count", "auto"], 1, "--count says nothing to --method hdbscan");
    fails(&table, &["--method", "hdbscan", "--min-size", "21"], 1, "of 2 to 20 texts");
    fails(&table, &["--method", "dbscan"], 2, "hdbscan");
    fails(&work.write("empty.csv", "text\n"), &[], 1, "no rows");
    fails(&work.write("one.csv", "text\nalone\n"), &[], 1, "at least two");
    let unlabelled = work.write("unlabelled.csv", "text,label\na film,\nthe plot,\n");
    fails(&unlabelled, &["--label-column", "label", "--count", "2"], 1, "no text has a label");
    let other = work.write("other.csv", "id,text\n1,mine\n");
    fails(&table, &["--out", &other], 1, "--force");
    fails(&table, &["--report", &table], 1, "this run reads it");
    let same = work.write("same.csv", &format!("text\n{}", "a film\n".repeat(12)));
    let page = work.name("same.html");
    work.run(&["cluster", "--model", &model, &same, "--count", "3", "--report", &page])
        .success()
        .stdout(contains("12 texts in 1 cluster\n"))
        .stderr(contains("found 1 of 3 clusters"));
    work.run(&[
        "cluster",
        "--model",
        &model,
        &same,
        "--method",
        "hdbscan",
        "--min-size",
        "3",
        "--report",
        &page,
    ])
    .success()
    .stdout(contains("12 texts in 0 clusters, 12 in none"))
    .stderr(contains("no place is dense enough"));
    work.run(&["cluster", "--model", &model, &same]).success();
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
    let page = work.name("map.html");
    work.run(&[&words[..], &["--report", &page]].concat()).success().stderr(contains("page written"));
    let drawn = std::fs::read_to_string(&page).unwrap();
    assert!(drawn.contains("not suggested") && drawn.contains("labelled") && drawn.contains("<svg"));
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

#[test]
fn train_starts_from_words_with_examples_and_without() {
    let work = Work::new();
    let head = work.name("words.safetensors");
    let words = ["--describe", "good=a brilliant wonderful film", "--describe", "bad=terrible boring plot"];
    let model = model();
    let test = work.write("test.csv", &reviews(60, 0));
    let accuracy = |head: &str| -> f64 {
        let found = work.lines(&["evaluate", "--head", head, &test, "--label-column", "label", "--json"]);
        let all = found[0].to_string();
        let from = all.find("\"accuracy\":").unwrap() + "\"accuracy\":".len();
        all[from..].split([',', '}']).next().unwrap().parse().unwrap()
    };
    // No file at all.
    let train = ["train", "--model", &model, "--out", &head, "--json"];
    let record = work.lines(&[&train[..], &words].concat());
    assert_eq!((&record[0]["train_rows"], &record[0]["words"]["weight"]), (&0.into(), &1.0.into()));
    // Nothing is nearer to a text than itself; more must not be asked of a model with random weights.
    let predict = ["predict", "--head", &head, "--json", "--text"];
    for (text, label) in [("a brilliant wonderful film", "good"), ("terrible boring plot", "bad")] {
        assert_eq!(work.lines(&[&predict[..], &[text]].concat())[0]["label"], label);
    }
    // A table without labels, by name of a column or without one.
    let unlabelled = reviews(40, 0)
        .lines()
        .map(|line| format!("{}\n", line.split(',').next().unwrap()))
        .collect::<String>();
    let unlabelled = work.write("unlabelled.csv", &unlabelled);
    let record = work.lines(&[&train[..], &[&unlabelled], &words].concat());
    assert_eq!(record[0]["words"]["unlabelled"], 40);
    // Some labels, too few to choose by, and many.
    let some = |labelled: usize| -> String {
        let keep = |(at, line): (usize, &str)| match line.split(',').collect::<Vec<_>>()[..] {
            [text, _, source] if at > labelled => format!("{text},,{source}\n"),
            _ => format!("{line}\n"),
        };
        reviews(60, 0).lines().enumerate().map(keep).collect()
    };
    let few = work.write("few.csv", &some(4));
    let labelled = ["--label-column", "label"];
    let record = work.lines(&[&train[..], &[&few], &labelled, &words].concat());
    assert_eq!((&record[0]["train_rows"], &record[0]["words"]["unlabelled"]), (&4.into(), &56.into()));
    assert_eq!(record[0]["words"]["candidates"].as_array().unwrap().len(), 0);
    let half = work.write("half.csv", &some(44));
    let (report, card) = (work.name("report.html"), work.name("card.md"));
    let shown = ["train", "--model", &model, &half, "--out", &head, "--report", &report, "--card", &card];
    work.run(&[&shown[..], &labelled, &words].concat())
        .success()
        .stdout(contains("how much the words count"));
    assert!(std::fs::read_to_string(&report).unwrap().contains("Started from words"));
    assert!(accuracy(&head) > 0.9);
    // A report of next to nothing is a report.
    let shown = ["train", "--model", &model, &few, "--out", &head, "--report", &report];
    work.run(&[&shown[..], &labelled, &words].concat()).success().stdout(contains("too few to choose by"));

    let fails = |args: &[&str], says: &str| {
        work.run(&[&train[..], args].concat()).failure().stderr(contains(says));
    };
    fails(&["--describe", "good=a film"], "at least two classes");
    fails(&["--describe", "good", "--describe", "bad=x"], "LABEL=TEXT");
    fails(
        &[&[&*few][..], &labelled[..], &["--describe", "good=x", "--describe", "fine=y"]].concat(),
        "\"bad\", which is not described",
    );
    fails(&[&words[..], &["--head", "mlp"]].concat(), "only a linear head");
    fails(&[&words[..], &["--layers", "auto"]].concat(), "name the layers");
    fails(&[&[&*few][..], &labelled[..], &words[..], &["--labels", "list"]].concat(), "one a text");
    // Without words everything is as it was.
    work.run(&["train", "--model", &model, "--out", &head]).code(2).stderr(contains("required"));
    work.run(&["train", "--model", &model, &few, "--out", &head]).code(2).stderr(contains("--label-column"));
    fails(&[&[&*few][..], &labelled[..]].concat(), "the label is missing");
}

#[test]
fn labels_that_are_paths_are_answered_as_far_as_they_are_sure() {
    let work = Work::new();
    let rows = |from: usize, to: usize| {
        let mut text = String::from("text,label\n");
        for row in from..to {
            let (words, label) = match row % 4 {
                0 => ("a brilliant wonderful film", "film/good"),
                1 => ("terrible boring plot", "film/bad"),
                // What these two are is not to be seen from their words.
                2 => (
                    "the quick brown fox jumps over the lazy dog",
                    if row % 8 == 2 { "animal/fox" } else { "animal/dog" },
                ),
                _ => (
                    "the quick brown fox jumps over the lazy dog",
                    if row % 8 == 3 { "animal/dog" } else { "animal/fox" },
                ),
            };
            text += &format!("{words} {row},{label}\n");
        }
        text
    };
    let (table, test, head) = (
        work.write("train.csv", &rows(0, 160)),
        work.write("test.csv", &rows(160, 240)),
        work.name("head.safetensors"),
    );
    let model = model();
    let train = ["train", "--model", &model, &table, "--label-column", "label", "--out", &head, "--c", "10"];
    let record = work.lines(&[&train[..], &["--hierarchy", "--json"]].concat());
    let levels = record[0]["levels"]["levels"].as_array().unwrap();
    assert_eq!((levels.len(), &levels[0]["nodes"], &levels[1]["nodes"]), (2, &2.into(), &4.into()));
    let number = |value: &Value| value.as_f64().unwrap();
    assert!(number(&levels[0]["accuracy"]) > 0.95 && number(&levels[1]["accuracy"]) < 0.95, "{levels:?}");
    // A promise that only the first level can keep everywhere.
    let record =
        work.lines(&[&train[..], &["--hierarchy", "/", "--abstain-precision", "0.9", "--json"]].concat());
    assert!(number(&record[0]["caution"]["abstain"]["reached"]) >= 0.9, "{}", record[0]["caution"]);
    assert_eq!(record[0]["caution"]["levels"]["separator"], "/");
    let found = work.lines(&["evaluate", "--head", &head, &test, "--label-column", "label", "--json"]);
    let levels = found[0]["levels"]["levels"].as_array().unwrap();
    assert!(number(&levels[0]["answered"]) > 0.9 && number(&levels[1]["answered"]) < 0.9, "{levels:?}");
    work.run(&["evaluate", "--head", &head, &test, "--label-column", "label"])
        .success()
        .stdout(contains("levels of the classes"));
    let dog = "the quick brown fox jumps over the lazy dog 7";
    let texts = ["--text", "a brilliant wonderful film 7", "--text", dog];
    let answers = work.lines(&[&["predict", "--head", &head, "--json"][..], &texts[..]].concat());
    assert_eq!(
        (&answers[0]["label"], &answers[1]["label"]),
        (&"film/good".into(), &"animal".into()),
        "{answers:?}"
    );
    let (parent, leaf) = (&answers[0]["levels"][0], &answers[0]["levels"][1]);
    assert!(parent["name"] == "film" && number(&parent["probability"]) >= number(&leaf["probability"]));
    work.run(&["predict", "--head", &head, "--text", dog])
        .success()
        .stdout(predicates::str::starts_with("animal "));
    let sure = ["predict", "--head", &head, "--text", dog, "--abstain", "1", "--json"];
    assert_eq!(work.lines(&sure)[0]["label"], Value::Null);

    let flat = work.write("flat.csv", &reviews(40, 0));
    let words = ["train", "--model", &model, &flat, "--label-column", "label", "--out", &head, "--hierarchy"];
    work.run(&words).code(1).stderr(contains("only one level"));
    let words = [&train[..], &["--hierarchy", "--labels", "list"]].concat();
    work.run(&words).code(1).stderr(contains("levels of classes"));
}

#[test]
fn a_head_that_keeps_a_sample_needs_no_table_and_knows_what_is_unlike_it() {
    let work = Work::new();
    let (table, head) = (work.write("train.csv", &reviews(120, 0)), work.name("head.safetensors"));
    let model = model();
    let train = ["train", "--model", &model, &table, "--label-column", "label", "--out", &head, "--c", "10"];
    let number = |value: &Value| value.as_f64().unwrap();
    // Without one, as before.
    work.run(&train).success();
    let plain = std::fs::metadata(&head).unwrap().len();
    let same = work.write("same.csv", &reviews(100, 0));
    work.run(&["drift", "--head", &head, &same]).code(1).stderr(contains("--keep-sample"));
    work.run(&["predict", "--head", &head, "--text", "x", "--novel", "0.01"])
        .code(1)
        .stderr(contains("--keep-sample"));
    work.run(&[&train[..], &["--keep-sample"]].concat()).success();
    let kept = std::fs::metadata(&head).unwrap().len();
    assert!(kept > plain + 96 * 48 && kept < plain + 600_000, "{plain} {kept}");
    // The same kind of texts is quiet, another one is not.
    let quiet = work.lines(&["drift", "--head", &head, &same, "--json"]);
    assert_eq!(quiet[0]["drifted"], false, "{}", quiet[0]);
    assert!(
        quiet[0]["label_shares"]
            .as_array()
            .unwrap()
            .iter()
            .all(|row| (number(&row["new"]) - 0.5).abs() < 0.1)
    );
    let other: String =
        (0..60).map(|row| format!("the quick brown fox jumps over {row} lazy dogs\n")).collect();
    let other = work.write("other.csv", &format!("text\n{other}"));
    let page = work.name("drift.html");
    let loud = work.lines(&["drift", "--head", &head, &other, "--json", "--report", &page]);
    assert!(std::fs::read_to_string(&page).unwrap().contains("new, unlike the reference"));
    assert!(loud[0]["drifted"] == true && number(&loud[0]["novel_share"]) > 0.5, "{}", loud[0]);
    let fox = "the quick brown fox jumps over the lazy dog";
    let texts = ["predict", "--head", &head, "--text", "a brilliant wonderful film number 7", "--text", fox];
    let answers = work.lines(&[&texts[..], &["--novel", "0.02", "--json"]].concat());
    assert_eq!((&answers[0]["label"], &answers[1]["label"]), (&"good".into(), &Value::Null), "{answers:?}");
    assert!(number(&answers[0]["novelty"]["share"]) > 0.05 && number(&answers[1]["novelty"]["share"]) < 0.02);
    for by in ["mahalanobis", "energy"] {
        let answers = work.lines(&[&texts[..], &["--novel", "0.02", "--novel-by", by, "--json"]].concat());
        for answer in &answers {
            let share = number(&answer["novelty"][by]["share"]);
            assert_eq!(answer["label"].is_null(), share <= 0.02, "{by}: {answer}");
        }
        assert!(by == "energy" || number(&answers[1]["novelty"][by]["share"]) < 0.02, "{answers:?}");
    }
    work.run(&[&texts[..], &["--novel-by", "energy"]].concat()).code(2).stderr(contains("--novel"));
    work.run(&[&texts[..], &["--novel", "0.1", "--novel-by", "far"]].concat())
        .code(2)
        .stderr(contains("mahalanobis"));
    work.run(&[&texts[..], &["--novel", "0.02"]].concat())
        .success()
        .stdout(contains("unlike the training texts"));
    let few = work.write("few.csv", &reviews(18, 0));
    let words =
        ["train", "--model", &model, &few, "--label-column", "label", "--out", &head, "--keep-sample", "50"];
    work.run(&words).code(1).stderr(contains("at least 20"));
}

#[test]
fn search_reads_a_file_of_embeddings_and_finds_the_same_in_fewer_bytes() {
    let work = Work::new();
    let table = work.write("texts.csv", &reviews(120, 0));
    let model = model();
    let query = ["--query", "a brilliant wonderful film number 8", "--top", "5", "--json"];
    let search =
        |more: &[&str]| work.lines(&[&["search", "--model", &model, &table][..], &query, more].concat());
    let plain = search(&[]);
    for name in ["rows.npy", "rows.safetensors"] {
        let file = work.name(name);
        work.run(&["embed", "--model", &model, &table, "--out", &file]).success();
        assert_eq!(search(&["--embeddings", &file]), plain, "{name}");
        for (how, more) in [("int8", "24"), ("binary", "24")] {
            assert_eq!(
                search(&["--embeddings", &file, "--compact", how, "--rescore", more]),
                plain,
                "{name} {how}"
            );
        }
    }
    let found = search(&["--compact", "int8"]);
    assert_eq!((found.len(), &found[0]), (5, &plain[0]));
    let other = work.write("other.csv", &reviews(7, 0));
    let file = work.name("rows.npy");
    let words = ["search", "--model", &model, &other, "--query", "x", "--embeddings", &file];
    work.run(&words).code(1).stderr(contains("120 rows").and(contains("7 texts")));
    let wrong = ["search", "--model", &model, &table, "--query", "x", "--embeddings", &table];
    work.run(&wrong).code(1).stderr(contains("reading embeddings from"));
    work.run(&["search", "--model", &model, &table, "--query", "x", "--rescore", "3"]).code(2);
}
