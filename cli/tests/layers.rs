//! `frostbert train`: layers and kinds of head chosen on the command line.

#![allow(clippy::unwrap_used)] // Helpers of tests may.

use std::path::Path;

use assert_cmd::Command;
use frostbert::head::Head;
use frostbert::{Device, EmbedOptions, Encoder, Layers};
use predicates::str::contains;
use serde_json::Value;

/// A tiny sentence-transformers checkpoint.
fn model() -> String {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .join("tests/fixtures/goldens/sentence-mean")
        .display()
        .to_string()
}

/// A folder of one test, with a table in it and a cache of its own.
struct Work(tempfile::TempDir);

impl Work {
    /// Reviews that a head can tell apart by their words; `label` names the row's label.
    fn new(label: impl Fn(usize) -> String) -> Self {
        let work = Work(tempfile::tempdir().unwrap());
        let mut text = String::from("text,label,weight\n");
        for row in 0..36 {
            let words = ["brilliant wonderful film", "terrible boring plot"][row % 2];
            text += &format!("the {words} {row},{},{}\n", label(row), 1 + row % 3);
        }
        std::fs::write(work.path("in.csv"), text).unwrap();
        work
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn frostbert(&self, args: &[&str]) -> Command {
        let mut command = Command::cargo_bin("frostbert").unwrap();
        command.args(args).env("FROSTBERT_CACHE", self.0.path().join("cache"));
        command
    }

    fn train(&self, args: &[&str]) -> Command {
        let (model, table, head) = (model(), self.path("in.csv"), self.path("head.safetensors"));
        let mut command =
            self.frostbert(&["train", "--model", &model, &table, "--device", "cpu", "--folds", "3"]);
        command.args(["--label-column", "label", "--column", "text", "--out", &head, "--json"]).args(args);
        command
    }

    fn train_json(&self, args: &[&str]) -> (Value, String) {
        let output = self.train(args).assert().success();
        let output = output.get_output();
        let json = serde_json::from_slice(&output.stdout).unwrap();
        (json, String::from_utf8(output.stderr.clone()).unwrap())
    }

    fn head(&self) -> Head {
        Head::load(self.path("head.safetensors")).unwrap()
    }
}

fn good_or_bad(row: usize) -> String {
    ["good", "bad"][row % 2].into()
}

#[test]
fn auto_compares_layers_says_so_and_keeps_the_best() {
    let work = Work::new(good_or_bad);
    let (json, stderr) = work.train_json(&["--layers", "auto"]);
    assert!(stderr.contains("standardised") && stderr.contains("on new rows"), "{stderr}");
    let layers = &json["layers"];
    let candidates = layers["candidates"].as_array().unwrap();
    let score = |at: usize| candidates[at]["score"]["mean"].as_f64().unwrap();
    assert!((1..candidates.len()).all(|at| score(at - 1) <= score(at)), "best first");
    assert!(candidates.len() >= 6 && candidates.iter().any(|candidate| candidate["standardise"] == true));
    let chosen: Vec<usize> = serde_json::from_value(candidates[0]["layers"].clone()).unwrap();
    let head = work.head();
    let recipe = &head.record.encoder.as_ref().unwrap().recipe;
    assert_eq!(recipe["layers"], serde_json::json!(chosen));
    assert_eq!(head.dimension(), 48 * chosen.len());
    assert_eq!(recipe["normalize"], false);

    // One entry a text holds every layer: a second run computes nothing.
    let (again, stderr) = work.train_json(&["--layers", "auto"]);
    assert!(stderr.contains("36 from the cache; 0 tokens"), "{stderr}");
    assert_eq!(again["layers"], json["layers"]);

    let head = work.path("head.safetensors");
    let predicted = work
        .frostbert(&["predict", "--head", &head, "--device", "cpu", "--text", "the terrible boring plot 7"])
        .assert()
        .success();
    let line = String::from_utf8(predicted.get_output().stdout.clone()).unwrap();
    assert!(line.contains("bad"), "{line}");
}

#[test]
fn chosen_columns_are_what_a_pass_over_the_chosen_layers_gives() {
    let encoder = Encoder::load(model()).device(Device::Cpu).build().unwrap();
    let embed = |layers: Layers| {
        let options = EmbedOptions { layers, normalize: Some(false), ..EmbedOptions::default() };
        encoder.embed(["the lazy dog jumps", "fox"], &options).unwrap()
    };
    let (all, some) = (embed(Layers::All), embed(Layers::These(vec![0, 2])));
    for (all, some) in all.rows().zip(some.rows()) {
        assert_eq!([&all[..48], &all[2 * 48..3 * 48]].concat(), some);
    }
}

#[test]
fn auto_refuses_what_it_cannot_compare() {
    let work = Work::new(good_or_bad);
    work.train(&["--layers", "auto", "--normalize"]).assert().failure().stderr(contains("--normalize"));
    work.train(&["--layers", "auto", "--dimensions", "8"])
        .assert()
        .failure()
        .stderr(contains("--dimensions"));
    assert!(!Path::new(&work.path("head.safetensors")).exists());
}

#[test]
fn an_elastic_net_is_sparse_and_its_c_sane() {
    // A few labels that no word explains: without them every larger C is better, and no fit is the best.
    let work = Work::new(|row| good_or_bad(row + usize::from(row % 7 == 3)));
    let (json, stderr) = work.train_json(&["--head", "elastic", "--l1-ratio", "1"]);
    assert!(!stderr.contains("stopped before its optimum"), "{stderr}");
    assert_eq!(json["kind"], "elastic-net");
    let head = work.head();
    let (coefficients, _) = head.coefficients().unwrap();
    let left = coefficients.iter().filter(|w| **w != 0.0).count();
    assert!((1..40).contains(&left), "{left} of {} coefficients", coefficients.len());
}

#[test]
fn an_mlp_learns_labels_and_numbers_with_weights() {
    let lists = Work::new(|row| ["happy;long", "sad", "happy", "sad;long"][row % 4].into());
    let arguments = ["--head", "mlp", "--hidden", "16", "--weight-column", "weight"];
    let labels = ["--labels", "list", "--label-separator", ";"];
    let (json, _) = lists.train_json(&[&arguments[..], &labels[..]].concat());
    assert_eq!((&json["kind"], json["classes"].as_array().unwrap().len()), (&Value::from("mlp"), 3));
    let numbers = Work::new(|row| format!("{}.5", [3, -2][row % 2]));
    let checkpoint = numbers.path("state");
    let number = ["--labels", "number", "--checkpoint", &checkpoint];
    let (json, _) = numbers.train_json(&[&arguments[..], &number[..]].concat());
    assert_eq!(json["kind"], "mlp");
    assert!(!Path::new(&checkpoint).exists(), "a checkpoint goes when the head is there");
}
