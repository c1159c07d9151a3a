//! What surrounds a head on the command line: explanations, baselines, likely label errors, cards, export and import.

#![allow(clippy::unwrap_used)] // Helpers of tests may.

use std::io::Write;
use std::path::{Path, PathBuf};

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

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn name(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn run(&self, args: &[&str]) -> assert_cmd::assert::Assert {
        let mut command = Command::cargo_bin("frostbert").unwrap();
        command.args(args).env("FROSTBERT_CACHE", self.path("cache")).env_remove("NO_COLOR").assert()
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.run(args).success();
        serde_json::from_slice(&output.get_output().stdout).unwrap()
    }

    /// Reviews of two kinds; the rows in `wrong` have the other kind's label.
    fn reviews(&self, rows: usize, wrong: &[usize]) -> String {
        let mut text = String::from("text,label\n");
        for row in 0..rows {
            let good = row % 2 == 0;
            let words = if good { "brilliant wonderful film" } else { "terrible boring plot" };
            let label = if good != wrong.contains(&row) { "good" } else { "bad" };
            text += &format!("the {words} number {row},{label}\n");
        }
        std::fs::write(self.path("reviews.csv"), text).unwrap();
        self.name("reviews.csv")
    }

    fn train(&self, model: &str, rows: usize, more: &[&str]) -> String {
        let (table, head, model) = (self.reviews(rows, &[]), self.name("head.safetensors"), golden(model));
        let words = [
            "train",
            "--model",
            &model,
            &table,
            "--label-column",
            "label",
            "--device",
            "cpu",
            "--out",
            &head,
        ];
        self.run(&[&words[..], more].concat()).success();
        head
    }
}

fn golden(name: &str) -> String {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .join("tests/fixtures/goldens")
        .join(name)
        .display()
        .to_string()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

const TEXT: &str = "the wonderful plot of a boring film";

/// Shares and what is there without tokens sum to the logit, and the logits are the probabilities that `predict` gives.
#[test]
fn shares_of_tokens_sum_to_the_logit() {
    for (model, more) in [
        ("sentence-mean", &["--c", "1"][..]),
        ("bert-pretraining", &["--c", "1"]),
        ("bert-pretraining", &["--c", "1", "--layers", "1,3", "--standardize", "--calibrate", "temperature"]),
        ("bert-pretraining", &["--c", "1", "--layers", "2,3", "--layer-mix", "mean", "--normalize"]),
    ] {
        let work = Work::new();
        let head = work.train(model, 60, more);
        let found = work.json(&[
            "predict",
            "--head",
            &head,
            "--device",
            "cpu",
            "--text",
            TEXT,
            "--explain",
            "--json",
        ]);
        let explained = &found["explanation"];
        let tokens = explained["tokens"].as_array().unwrap();
        assert_eq!(tokens[0], "[CLS]");
        let (base, logits) = (numbers(&explained["base"]), numbers(&explained["logits"]));
        for name in 0..2 {
            let shares = explained["shares"].as_array().unwrap();
            assert_eq!(shares.len(), tokens.len());
            let sum: f64 = shares.iter().map(|token| numbers(token)[name]).sum();
            assert!((base[name] + sum - logits[name]).abs() <= 1e-9, "{model} {more:?}: {sum}");
        }
        // Of two classes, log-odds: one is the other's negative.
        assert_eq!(logits[0], -logits[1]);
        let probability = 1.0 / (1.0 + logits[0].exp());
        let labels = found["probabilities"].as_object().unwrap();
        let second = labels.values().nth(1).unwrap().as_f64().unwrap();
        // The vector that was pooled on the device, and the sum taken here, agree to f32's rounding.
        assert!((probability - second).abs() <= 1e-5, "{model} {more:?}: {probability} for {second}");
        assert_eq!(explained["exact"], model == "bert-pretraining" && !more.contains(&"--normalize"));
    }
}

#[test]
fn explanations_show_in_a_terminal_and_as_a_page() {
    let work = Work::new();
    let head = work.train("sentence-mean", 60, &["--c", "1"]);
    let page = work.name("page.html");
    work.run(&[
        "predict",
        "--head",
        &head,
        "--device",
        "cpu",
        "--text",
        TEXT,
        "--explain",
        "--report",
        &page,
    ])
    .success()
    .stdout(
        contains("from the tokens (to first order").and(contains("wonderful")).and(contains("\x1b").not()),
    );
    let html = std::fs::read_to_string(page).unwrap();
    assert!(html.contains("wonderful") && html.starts_with("<!DOCTYPE html>"));
    // A largest value is no sum over tokens.
    let head = work.train("sentence-mean", 60, &["--c", "1", "--pooling", "max"]);
    work.run(&["predict", "--head", &head, "--device", "cpu", "--text", TEXT, "--explain"])
        .failure()
        .code(1)
        .stderr(contains("pooled by max"));
}

#[test]
fn simple_predictors_stand_beside_the_head() {
    let work = Work::new();
    let table = work.reviews(80, &[]);
    let (head, model) = (work.name("head.safetensors"), golden("sentence-mean"));
    let words = [
        "train",
        "--model",
        &model,
        &table,
        "--label-column",
        "label",
        "--device",
        "cpu",
        "--out",
        &head,
        "--c",
        "1",
    ];
    work.run(&words)
        .success()
        .stdout(contains("prior").and(contains("nearest-centroid")).and(contains("tf-idf")));
    let found = work.json(&[&words[..], &["--json"]].concat());
    let accuracy = |name: &str| {
        let rows = found["baselines"][name].as_array().unwrap();
        rows.iter().find(|row| row["measure"] == "accuracy").unwrap()["mean"].as_f64().unwrap()
    };
    assert!((accuracy("prior") - 0.5).abs() <= 0.05);
    // The words tell these reviews apart.
    assert!(accuracy("tf-idf") >= 0.95);
    let found = work.json(&[&words[..], &["--json", "--no-baselines"]].concat());
    assert_eq!(found["baselines"].as_object().unwrap().len(), 0);
}

#[test]
fn labels_that_are_likely_wrong_are_listed() {
    let work = Work::new();
    let flipped = [7, 20, 51];
    let table = work.reviews(120, &flipped);
    let (head, model, errors) =
        (work.name("head.safetensors"), golden("sentence-mean"), work.name("errors.csv"));
    let words =
        ["train", "--model", &model, &table, "--label-column", "label", "--device", "cpu", "--out", &head];
    let more =
        ["--c", "10", "--test-fraction", "0", "--label-errors", &errors, "--card", &work.name("card.md")];
    work.run(&[&words[..], &more[..]].concat()).success();
    let rows: Vec<usize> = csv::Reader::from_path(&errors)
        .unwrap()
        .records()
        .map(|row| row.unwrap()[0].parse::<usize>().unwrap() - 1)
        .collect();
    assert!(flipped.iter().all(|row| rows.contains(row)), "{rows:?}");
    assert!(rows.len() <= 8, "far more than were flipped: {rows:?}");
    let card = std::fs::read_to_string(work.path("card.md")).unwrap();
    assert!(card.starts_with("---\n") && card.contains("bad") && card.contains("cross-validation"), "{card}");
}

/// What transformers would load gives the answers that the head gives.
#[test]
fn an_exported_folder_classifies_as_the_head_does() {
    for pooling in ["pooler", "cls"] {
        let work = Work::new();
        let head = work.train("bert-pretraining", 60, &["--c", "1", "--pooling", pooling, "--no-normalize"]);
        let folder = work.name("exported");
        work.run(&["export", "--head", &head, "--to", "transformers", &folder])
            .success()
            .stdout(contains("BertForSequenceClassification"));
        assert!(work.path("exported/README.md").exists());
        let head_says = work.json(&["predict", "--head", &head, "--device", "cpu", "--text", TEXT, "--json"]);
        let folder_says =
            work.json(&["classify", "--model", &folder, "--device", "cpu", "--text", TEXT, "--json"]);
        let text = folder_says.to_string();
        for (name, p) in head_says["probabilities"].as_object().unwrap() {
            let found = folder_says["scores"][name].as_f64();
            let found = found.unwrap_or_else(|| panic!("no score of {name} in {text}"));
            assert!((found - p.as_f64().unwrap()).abs() <= 1e-4, "{pooling}, {name}: {found} for {p}");
        }
        // A folder with something in it is left alone.
        work.run(&["export", "--head", &head, "--to", "transformers", &folder]).failure().code(1);
    }
    let work = Work::new();
    let head = work.train("sentence-mean", 60, &["--c", "1"]);
    work.run(&["export", "--head", &head, "--to", "transformers", &work.name("exported")])
        .failure()
        .code(1)
        .stderr(contains("cannot export the head"));
    assert!(!work.path("exported").exists());
}

/// NumPy's format, by hand.
fn npy(shape: &str, values: &[f64]) -> Vec<u8> {
    let mut header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}");
    header.push_str(&" ".repeat(127 - 10 - header.len()));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    bytes
}

#[test]
fn scikit_learns_coefficients_become_a_head() {
    let work = Work::new();
    let coefficients: Vec<f64> = (0..48).map(|at| ((at * 29 % 17) as f64 - 8.0) / 4.0).collect();
    let write = |name: &str, columns: usize| {
        let mut archive = zip::ZipWriter::new(std::fs::File::create(work.path(name)).unwrap());
        for (array, bytes) in [
            ("coef_.npy", npy(&format!("(1, {columns})"), &coefficients[..columns])),
            ("intercept_.npy", npy("(1,)", &[0.25])),
        ] {
            archive.start_file(array, zip::write::SimpleFileOptions::default()).unwrap();
            archive.write_all(&bytes).unwrap();
        }
        archive.finish().unwrap();
        work.name(name)
    };
    let (file, out, model) = (write("head.npz", 48), work.name("head.safetensors"), golden("sentence-mean"));
    work.run(&["import-head", &file, "--model", &model, "--device", "cpu", "--out", &out]).success();
    let vectors = work.json(&["embed", "--model", &model, "--device", "cpu", "--text", TEXT]);
    let logit: f64 =
        numbers(&vectors["embedding"]).iter().zip(&coefficients).map(|(x, w)| x * w).sum::<f64>() + 0.25;
    let found = work.json(&["predict", "--head", &out, "--device", "cpu", "--text", TEXT, "--json"]);
    let second = found["probabilities"]["1"].as_f64().unwrap();
    assert!((second - 1.0 / (1.0 + (-logit).exp())).abs() <= 1e-6, "{found}");

    let narrow = write("narrow.npz", 7);
    let none = work.name("none.safetensors");
    work.run(&["import-head", &narrow, "--model", &model, "--device", "cpu", "--out", &none])
        .failure()
        .code(1)
        .stderr(contains("takes 7 columns, but the encoder gives 48"));
    assert!(!work.path("none.safetensors").exists());
}

/// The same head, whether its embeddings come from the engine or from the cache, and whenever they come.
#[test]
fn an_mlp_learns_from_a_stream() {
    let work = Work::new();
    let stream = ["--head", "mlp", "--stream", "--hidden", "16", "--json"];
    let head = work.train("sentence-mean", 300, &stream);
    let first = std::fs::read(&head).unwrap();
    let found = work.json(&[
        "predict",
        "--head",
        &head,
        "--device",
        "cpu",
        "--text",
        "the brilliant wonderful film",
        "--json",
    ]);
    assert!(found.to_string().contains("good"), "{found}");
    work.train("sentence-mean", 300, &stream);
    assert_eq!(std::fs::read(&head).unwrap(), first, "the same bits from the cache");

    // Held-out rows in a file of their own, a card, a checkpoint that belongs to other texts.
    let (table, state, card) = (work.reviews(40, &[]), work.name("state"), work.path("card.md"));
    let card_name = card.display().to_string();
    std::fs::copy(&table, work.path("held_out.csv")).unwrap();
    let held_out = work.name("held_out.csv");
    let more = ["--test", &held_out, "--card", &card_name, "--checkpoint", &state];
    work.train("sentence-mean", 300, &[&stream[..], &more].concat());
    assert!(card.exists() && !work.path("state").exists());
    std::fs::write(&state, "nonsense").unwrap();
    let (table, model) = (work.reviews(300, &[]), golden("sentence-mean"));
    let words =
        ["train", "--model", &model, &table, "--label-column", "label", "--device", "cpu", "--out", &head];
    work.run(&[&words[..], &stream, &more].concat()).failure().stderr(contains("delete it to start anew"));

    let (table, golden) = (work.reviews(300, &[]), golden("sentence-mean"));
    let base = [
        "train",
        "--model",
        &golden,
        &table,
        "--label-column",
        "label",
        "--device",
        "cpu",
        "--stream",
        "--out",
        &head,
    ];
    for (more, words) in [
        (vec![], "--head mlp"),
        (vec!["--head", "mlp", "--layers", "auto"], "--layers auto"),
        (vec!["--head", "mlp", "--calibrate", "vector"], "--calibrate"),
        (vec!["--head", "mlp", "--report", "r.html"], "--report"),
    ] {
        work.run(&[&base[..], &more].concat()).failure().stderr(contains(words));
    }
}
