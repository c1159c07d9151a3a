//! The command line: its answers, its exit codes, and what it says of bad input.

#![allow(clippy::unwrap_used)] // Helpers of tests may.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;

/// A tiny sentence-transformers checkpoint.
fn model() -> String {
    golden("sentence-mean")
}

fn golden(name: &str) -> String {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .join("tests/fixtures/goldens")
        .join(name)
        .display()
        .to_string()
}

fn frostbert(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("frostbert").unwrap();
    command.args(args).env("FROSTBERT_CACHE", std::env::temp_dir().join("frostbert-cli-tests"));
    command
}

/// A folder for one test, and a file in it.
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

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }

    fn name(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// Reviews that a head can tell apart by their words.
fn reviews(rows: usize) -> String {
    let mut text = String::from("text,label\n");
    for row in 0..rows {
        let (words, label) =
            if row % 2 == 0 { ("brilliant wonderful film", "good") } else { ("terrible boring plot", "bad") };
        text += &format!("the {words} {row},{label}\n");
    }
    text
}

#[test]
fn embed_prints_a_line_a_text_in_input_order() {
    let output = frostbert(&[
        "embed",
        "--model",
        &model(),
        "--device",
        "cpu",
        "--text",
        "fox",
        "--text",
        "the lazy dog jumps",
    ])
    .assert()
    .success();
    let stdout = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    let rows: Vec<serde_json::Value> =
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["embedding"].as_array().unwrap().len(), 48);
    assert_eq!(rows[0]["tokens"], 3);
    assert_eq!(rows[1]["truncated"], false);
    assert!(rows[1]["tokens"].as_u64() > rows[0]["tokens"].as_u64());
}

#[test]
fn the_cpu_engine_and_the_software_adapter_agree() {
    let run = |device: &str| {
        let output =
            frostbert(&["embed", "--model", &model(), "--device", device, "--text", "measure twice"])
                .assert()
                .success();
        let row: serde_json::Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
        row["embedding"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect::<Vec<f64>>()
    };
    let (cpu, wgsl) = (run("cpu"), run("software"));
    let worst = cpu.iter().zip(&wgsl).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst <= 2e-6, "largest difference {worst}");
    assert!(cpu.iter().any(|x| *x != 0.0));
}

#[test]
fn embed_writes_npy_and_leaves_nothing_else() {
    let work = Work::new();
    let table = work.file("in.csv", reviews(5));
    let out = work.name("out.npy");
    frostbert(&["embed", "--model", &model(), "--device", "cpu", &table, "--column", "text", "--out", &out])
        .assert()
        .success();
    let bytes = std::fs::read(&out).unwrap();
    assert_eq!(&bytes[..6], b"\x93NUMPY");
    assert_eq!(bytes.len() % 64, 5 * 48 * 4 % 64);
    assert_eq!(work.names(), ["in.csv", "out.npy"]);
}

#[test]
fn train_evaluate_predict() {
    let work = Work::new();
    let table = work.file("reviews.csv", reviews(80));
    let head = work.name("head.safetensors");
    let model = model();
    let columns = ["--text-column", "text", "--label-column", "label", "--device", "cpu"];
    let mut words = vec!["train", "--model", &model, &table, "--out", &head, "--seed", "3"];
    words.extend(columns);
    frostbert(&words).assert().success().stdout(contains("cross-validation").and(contains("held-out rows")));

    let mut words = vec!["evaluate", "--head", &head, &table, "--json"];
    words.extend(columns);
    let output = frostbert(&words).assert().success();
    let found: serde_json::Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert!(found["metrics"]["accuracy"].as_f64().unwrap() > 0.95, "{found}");

    frostbert(&[
        "predict",
        "--head",
        &head,
        "--device",
        "cpu",
        "--text",
        "the brilliant wonderful film 90",
        "--text",
        "the terrible boring plot 91",
    ])
    .assert()
    .success()
    .stdout(predicate::str::is_match("(?s)^good\t.*\nbad\t").unwrap());
    let output =
        frostbert(&["predict", "--head", &head, "--device", "cpu", "--json", "--text", "a wonderful film"])
            .assert()
            .success();
    let row: serde_json::Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    let sum: f64 = row["probabilities"].as_object().unwrap().values().map(|p| p.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-9, "probabilities sum to {sum}");
}

#[test]
fn the_same_seed_gives_the_same_head() {
    let work = Work::new();
    let table = work.file("reviews.csv", reviews(40));
    let model = model();
    let train = |out: &str| {
        let words = [
            "train",
            "--model",
            &model,
            &table,
            "--out",
            out,
            "--label-column",
            "label",
            "--device",
            "cpu",
            "--seed",
            "7",
        ];
        frostbert(&words).assert().success();
        std::fs::read(out).unwrap()
    };
    assert!(train(&work.name("a.safetensors")) == train(&work.name("b.safetensors")));
}

#[test]
fn every_kind_of_head_trains_and_predicts() {
    let work = Work::new();
    let table = work.file("reviews.csv", reviews(60));
    let model = model();
    for kind in ["linear", "mlp", "centroid", "neighbours", "auto"] {
        let head = work.name(&format!("{kind}.safetensors"));
        let words = [
            "train",
            "--model",
            &model,
            &table,
            "--out",
            &head,
            "--label-column",
            "label",
            "--device",
            "cpu",
            "--head",
            kind,
        ];
        let done = frostbert(&words).assert().success();
        if kind == "auto" {
            done.stdout(contains("kinds compared"));
        }
        frostbert(&[
            "predict",
            "--head",
            &head,
            "--device",
            "cpu",
            "--text",
            "the brilliant wonderful film 90",
        ])
        .assert()
        .success()
        .stdout(predicate::str::starts_with("good"));
    }
}

#[test]
fn a_head_refuses_another_encoder() {
    let work = Work::new();
    let table = work.file("reviews.csv", reviews(40));
    let head = work.name("head.safetensors");
    frostbert(&[
        "train",
        "--model",
        &model(),
        &table,
        "--out",
        &head,
        "--label-column",
        "label",
        "--device",
        "cpu",
    ])
    .assert()
    .success();
    frostbert(&[
        "predict",
        "--head",
        &head,
        "--model",
        &golden("bert-act-relu"),
        "--device",
        "cpu",
        "--text",
        "fox",
    ])
    .assert()
    .code(1)
    .stderr(contains("belongs to encoder").and(contains("instead of")));
}

#[test]
fn bad_input_is_told_apart_and_leaves_no_file() {
    let work = Work::new();
    let good = work.file("good.csv", reviews(10));
    let latin1 = work.file("latin1.csv", b"text,label\ncaf\xe9,good\n");
    let binary = work.file("binary.csv", [0u8, 159, 146, 150, 0, 1, 2, 3]);
    let empty = work.file("empty.csv", "");
    let unlabelled = work.file("unlabelled.csv", "text,label\na film,good\na plot,\n");
    let one_class = work.file("one.csv", "text,label\na film,good\na plot,good\n");
    let before = work.names();
    let model = model();
    let out = work.name("out.safetensors");
    for (table, column, says) in [
        (&good, "lable", "lable"),
        (&latin1, "label", "UTF-8"),
        (&binary, "label", "binary"),
        (&empty, "label", "empty"),
        (&unlabelled, "label", "label"),
        (&one_class, "label", "class"),
    ] {
        frostbert(&[
            "train",
            "--model",
            &model,
            table,
            "--text-column",
            "text",
            "--label-column",
            column,
            "--out",
            &out,
            "--device",
            "cpu",
        ])
        .assert()
        .code(1)
        .stderr(contains("error:").and(contains(says)));
    }
    frostbert(&["embed", "--model", &model, &work.name("none.csv"), "--device", "cpu"])
        .assert()
        .code(1)
        .stderr(contains("none.csv"));
    frostbert(&["embed", "--model", &work.name("no-model"), "--text", "x", "--device", "cpu"])
        .assert()
        .code(1)
        .stderr(contains("no-model"));
    frostbert(&["embed", "--model", &model, &good, "--out", &work.name("out.png"), "--device", "cpu"])
        .assert()
        .code(1)
        .stderr(contains(".npy"));
    assert_eq!(work.names(), before);
}

#[test]
fn wrong_usage_exits_with_2() {
    frostbert(&["embed"]).assert().code(2);
    frostbert(&["embed", "--model", "x", "--text", "y", "--limit", "0"]).assert().code(2);
    frostbert(&["embed", "--model", "x", "--text", "y", "--pooling", "median"])
        .assert()
        .code(2)
        .stderr(contains("mean_sqrt_len_tokens"));
    frostbert(&["train", "--model", "x", "data.csv", "--out", "h", "--label-column", "l", "--c", "-1"])
        .assert()
        .code(2);
}

#[test]
fn truncation_is_never_silent() {
    let long = "the lazy dog jumps over the quick brown fox ".repeat(20);
    let model = model();
    let run = |mode: &str| {
        let words = [
            "embed",
            "--model",
            &model,
            "--device",
            "cpu",
            "--truncate",
            mode,
            "--window-overlap",
            "8",
            "--text",
            &long,
        ];
        frostbert(&words).assert()
    };
    run("warn").success().stdout(contains("\"truncated\":true")).stderr(contains("were cut"));
    run("cut").success().stdout(contains("\"truncated\":true")).stderr(contains("were cut").not());
    run("error").code(1).stderr(contains("tokens"));
    run("window").success().stdout(contains("\"truncated\":false"));
}

#[test]
fn inspect_says_which_class_of_transformers_it_is() {
    frostbert(&["inspect", &golden("bert-pretraining")])
        .assert()
        .success()
        .stdout(contains("BertForPreTraining"));
    let output = frostbert(&["inspect", "--json", &golden("sentence-cls")]).assert().success();
    let summary: serde_json::Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(summary["family"], "bert");
}

#[test]
fn pretraining_heads_answer_and_are_refused_where_there_are_none() {
    let bert = golden("bert-pretraining");
    let words = [
        "fill-mask",
        "--model",
        &bert,
        "--device",
        "cpu",
        "the quick [MASK] jumps over a [MASK]",
        "--top",
        "3",
        "--json",
    ];
    let output = frostbert(&words).assert().success();
    let masks: serde_json::Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(masks.as_array().unwrap().len(), 2);
    assert_eq!(masks[0].as_array().unwrap().len(), 3);
    frostbert(&["fill-mask", "--model", &bert, "--device", "cpu", "no mask here"])
        .assert()
        .code(1)
        .stderr(contains("[MASK]"));
    frostbert(&["fill-mask", "--model", &bert, "--device", "cpu", "--score", "the quick brown fox"])
        .assert()
        .success()
        .stdout(contains("pseudo-perplexity"));
    frostbert(&["next-sentence", "--model", &bert, "--device", "cpu", "--a", "the fox", "--b", "the dog"])
        .assert()
        .success()
        .stdout(contains("follow"));
    frostbert(&["fill-mask", "--model", &model(), "--device", "cpu", "a [MASK]"])
        .assert()
        .code(1)
        .stderr(contains("BertForMaskedLM and BertForPreTraining checkpoints have one"));
}

#[test]
fn words_for_a_mask_classify_without_a_label() {
    let work = Work::new();
    let words = ["--words", "good=brilliant,wonderful", "--words", "bad=terrible,boring"];
    let classify = |model: &str, more: &[&str]| {
        let mut command = frostbert(&["classify", "--model", &golden(model), "--device", "cpu"]);
        command.args(more);
        command
    };
    let template = ["--template", "{text} it {mask} film"];
    let lines = |more: &[&str]| -> Vec<serde_json::Value> {
        let output = classify("bert-pretraining", &[&template, &words[..], &["--json"], more].concat());
        let output = { output }.assert().success();
        let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let table = work.file("reviews.csv", reviews(40));
    let score = |row: &serde_json::Value, label: &str| row["scores"][label].as_f64().unwrap();
    let mean = |rows: &[serde_json::Value]| {
        rows.iter().map(|row| score(row, "good")).sum::<f64>() / rows.len() as f64
    };
    let plain = lines(&[&table, "--calibrate", "none"]);
    assert_eq!(plain.len(), 40);
    for row in &plain {
        assert!((score(row, "good") + score(row, "bad") - 1.0).abs() < 1e-6);
        let best = if score(row, "good") > score(row, "bad") { "good" } else { "bad" };
        assert_eq!(
            (row["label"].as_str(), row["problem"].as_str()),
            (Some(best), Some("single_label_classification"))
        );
    }
    // Dividing by the mean over the table's texts moves the answers towards the middle, and each as the formula says.
    let (prior, by_texts) = (mean(&plain), lines(&[&table, "--calibrate", "texts"]));
    for (plain, found) in plain.iter().zip(&by_texts) {
        let (good, bad) = (score(plain, "good") / prior, score(plain, "bad") / (1.0 - prior));
        assert!((score(found, "good") - good / (good + bad)).abs() < 1e-5);
    }
    let good = by_texts.iter().filter(|row| row["label"] == "good").count();
    assert!((1..40).contains(&good), "{good} of 40 above their mean");
    // Those of texts without content do not hang on what else is asked.
    let alone = lines(&["--text", "a film"]);
    assert_eq!(alone, lines(&["--text", "a film", "--text", "it"])[..1]);
    assert_ne!(alone, lines(&["--text", "a film", "--calibrate", "none"]));

    let refused = |model: &str, more: &[&str], code: i32, says: &str| {
        classify(model, &[&["--text", "a film"], more].concat()).assert().code(code).stderr(contains(says));
    };
    let all = [&template[..], &words].concat();
    refused("sentence-mean", &all, 1, "BertForMaskedLM and BertForPreTraining checkpoints have one");
    refused("bert-pretraining", &[&all[..], &["--calibrate", "texts"]].concat(), 1, "1 texts are too few");
    refused("bert-pretraining", &template, 2, "--words");
    refused("bert-pretraining", &words, 2, "--template");
    refused("bert-pretraining", &["--calibrate", "none"], 2, "--template");
    refused("bert-pretraining", &[&template[..], &["--words", "good"]].concat(), 2, "LABEL=WORD");
    let unknown = ["--words", "good=unthinkable", "--words", "bad=boring"];
    refused("bert-pretraining", &[&template[..], &unknown].concat(), 1, "\"unthinkable\" is not one token");
}

#[test]
fn fine_tuned_heads_answer_by_problem_type() {
    let classify = |name: &str| {
        let output = frostbert(&[
            "classify",
            "--model",
            &golden(name),
            "--device",
            "cpu",
            "--json",
            "--text",
            "a wonderful film",
        ])
        .assert()
        .success();
        serde_json::from_slice::<serde_json::Value>(&output.get_output().stdout).unwrap()
    };
    let single = classify("bert-sequence-single-label");
    let sum: f64 = single["scores"].as_object().unwrap().values().map(|x| x.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-6, "{single}");
    assert_eq!(single["scores"].as_object().unwrap().keys().collect::<Vec<_>>(), ["bad", "fine", "good"]);
    assert_eq!(classify("bert-sequence-multi-label")["problem"], "multi_label_classification");
    assert_eq!(classify("bert-sequence-regression")["problem"], "regression");
    frostbert(&[
        "tag",
        "--model",
        &golden("bert-token-classification"),
        "--device",
        "cpu",
        "--aggregation",
        "none",
        "--text",
        "the lazy dog",
    ])
    .assert()
    .success()
    .stdout(contains("LABEL_").and(contains("dog")));
    frostbert(&[
        "rerank",
        "--model",
        &golden("bert-sequence-regression"),
        "--device",
        "cpu",
        "--query",
        "fox",
        "--text",
        "a dog",
        "--text",
        "a bank",
    ])
    .assert()
    .success()
    .stdout(predicate::str::is_match("(?s)^.*\n.*\n$").unwrap());
}

#[test]
fn tokens_gives_what_was_asked_for_and_nothing_else() {
    let model = golden("bert-pretraining");
    let words = ["tokens", "--model", &model, "--device", "cpu", "--text", "the fox", "--layers", "0,3"];
    let run = |more: &[&str]| {
        let output = frostbert(&[&words[..], more].concat()).assert().success();
        serde_json::from_slice::<serde_json::Value>(&output.get_output().stdout).unwrap()
    };
    let row = run(&["--attentions", "2", "--pooler"]);
    let tokens = row["tokens"].as_array().unwrap().len();
    assert_eq!(row["tokens"][0], "[CLS]");
    assert_eq!(row["hidden_states"]["3"].as_array().unwrap().len(), tokens);
    assert_eq!(row["hidden_states"]["0"][0].as_array().unwrap().len(), 48);
    assert_eq!(row["attentions"]["2"].as_array().unwrap().len(), 4);
    let first = row["attentions"]["2"][0][0].as_array().unwrap();
    let sum: f64 = first.iter().map(|p| p.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-5, "attention sums to {sum}");
    assert_eq!(row["pooler_output"].as_array().unwrap().len(), 48);
    assert!(run(&["--ids-only"]).get("hidden_states").is_none());
}

#[test]
fn verify_holds_on_a_golden() {
    frostbert(&["verify", &golden("bert-act-relu"), "--device", "cpu"])
        .assert()
        .success()
        .stdout(contains("14 of 14"));
}

/// What the program brings along, in both types of weights.
#[test]
fn verify_needs_no_goldens() {
    let output = frostbert(&["verify", "--device", "cpu"]).assert().success();
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    for golden in ["bert-float16", "mpnet", "sentence-mean"] {
        for dtype in ["f32", "f16"] {
            let line = text.lines().find(|line| {
                let words: Vec<_> = line.split_whitespace().collect();
                words[..2] == [golden, dtype]
            });
            assert!(line.is_some_and(|line| !line.contains("FAILS")), "{golden} {dtype}: {text}");
        }
    }
}

#[test]
fn devices_lists_the_software_adapter() {
    let output = frostbert(&["devices", "--json"]).assert().success();
    let adapters: serde_json::Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert!(
        adapters.as_array().unwrap().iter().any(|adapter| adapter["class"] == "software"),
        "no software adapter: on Debian or Ubuntu install mesa-vulkan-drivers; found {adapters}"
    );
}
