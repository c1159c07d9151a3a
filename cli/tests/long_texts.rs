//! One answer a text, and nothing is cut without a word: the command line on long texts, on Chinese ones, and on heads with one
//! label. The checkpoints are those of tests/cases_encoder.rs.

#![allow(clippy::unwrap_used)] // Helpers of tests may.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

fn fixture(name: &str) -> String {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .join("tests/fixtures")
        .join(name)
        .display()
        .to_string()
}

fn frostbert(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("frostbert").unwrap();
    command.args(args).args(["--device", "cpu"]);
    command.env("FROSTBERT_CACHE", std::env::temp_dir().join("frostbert-cli-tests"));
    command
}

fn lines(command: &mut Command) -> Vec<Value> {
    let output = command.assert().success();
    let stdout = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_files(&path, &to);
        } else {
            std::fs::copy(&path, to).unwrap();
        }
    }
}

/// A copy of a checkpoint, to change a file of.
fn copy(name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    copy_files(Path::new(&fixture(name)), folder.path());
    let path = folder.path().to_path_buf();
    (folder, path)
}

fn change(file: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(file, serde_json::to_vec(&value).unwrap()).unwrap();
}

/// The models of these folders take 64 tokens at most, no more than windows share elsewhere.
#[test]
fn windows_of_short_models_overlap_by_less() {
    let texts = fixture("cases/window-misattributed/texts.txt");
    for (command, model) in [("classify", "model"), ("tag", "tagger")] {
        let model = fixture(&format!("cases/window-misattributed/{model}"));
        let given = |more: &[&str]| {
            let words = [command, "--model", &model, &texts, "--truncate", "window", "--max-tokens", "32"];
            frostbert(&words).args(more).arg("--json").assert().success().get_output().stdout.clone()
        };
        let own = given(&[]);
        assert!(!own.is_empty() && own == given(&["--window-overlap", "8"]), "{command}");
    }
}

#[test]
fn with_windows_every_command_gives_a_line_a_text() {
    let texts = fixture("cases/window-misattributed/texts.txt");
    let windows = ["--truncate", "window", "--window-overlap", "8", "--json"];
    let model = |name: &str| fixture(&format!("cases/window-misattributed/{name}"));

    let classify = ["classify", "--model", &model("model")];
    let found = lines(frostbert(&classify).arg(&texts).args(windows));
    let alone =
        lines(frostbert(&classify).args(["--text", "the movie was bad", "--text", "paris", "--json"]));
    assert_eq!((found.len(), &found[1..]), (3, &alone[..]));

    let found = lines(frostbert(&["tag", "--model", &model("tagger"), &texts]).args(windows));
    assert_eq!(found.len(), 3);
    for line in &found {
        let text = line["text"].as_str().unwrap();
        for entity in line["entities"].as_array().unwrap() {
            let (start, end) = (entity["start"].as_u64().unwrap(), entity["end"].as_u64().unwrap());
            assert_eq!(text[start as usize..end as usize], *entity["text"].as_str().unwrap());
        }
    }

    let rerank = ["rerank", "--model", &model("ranker"), "--query", "film", &texts];
    let mut indices: Vec<u64> =
        lines(frostbert(&rerank).args(windows)).iter().map(|line| line["index"].as_u64().unwrap()).collect();
    indices.sort_unstable();
    assert_eq!(indices, [0, 1, 2]);

    let bert = fixture("goldens/bert-pretraining");
    let tokens = ["tokens", "--model", &bert, "--text", &"fox ".repeat(100), "--text", "fox"];
    for more in [&["--ids-only"][..], &[]] {
        let found = lines(frostbert(&tokens).args(&windows[..4]).args(more));
        assert_eq!(found.len(), 2);
        assert_eq!(found[0]["ids"].as_array().unwrap().len(), 102);
    }
    frostbert(&tokens).args(&windows[..4]).arg("--pooler").assert().code(1).stderr(contains("windows"));
    frostbert(&["next-sentence", "--model", &bert, "--a", "fox", "--b", "fox", "--truncate", "window"])
        .assert()
        .code(1)
        .stderr(contains("window by window"));
}

/// Each command by each way to treat long texts: what it says on stderr, and in its JSON.
#[test]
fn no_command_cuts_without_saying_so() {
    let long = "fox ".repeat(100);
    let case = |name: &str| fixture(&format!("cases/{name}"));
    let (sequence, tagger) = (case("cut-silently/model"), case("window-misattributed/tagger"));
    let bert = fixture("goldens/bert-pretraining");
    let with_mask = format!("a [MASK] {long}");
    let table: [(&str, Vec<&str>, Option<&str>); 8] = [
        ("classify", vec!["classify", "--model", &sequence, "--text", &long, "--json"], Some("/truncated")),
        ("tag", vec!["tag", "--model", &tagger, "--text", &long, "--json"], Some("/truncated")),
        (
            "rerank",
            vec!["rerank", "--model", &sequence, "--query", "fox", "--text", &long, "--json"],
            Some("/truncated"),
        ),
        ("tokens", vec!["tokens", "--model", &bert, "--text", &long], Some("/truncated")),
        ("ids", vec!["tokens", "--model", &bert, "--text", &long, "--ids-only"], Some("/truncated")),
        (
            "nsp",
            vec!["next-sentence", "--model", &bert, "--a", &long, "--b", "fox", "--json"],
            Some("/truncated"),
        ),
        ("score", vec!["fill-mask", "--model", &bert, "--score", &long, "--json"], Some("/truncated")),
        ("mask", vec!["fill-mask", "--model", &bert, &with_mask, "--json"], None),
    ];
    for (name, words, field) in &table {
        let done =
            frostbert(words).assert().success().stderr(contains("1 of 1 texts").and(contains("were cut")));
        if let Some(field) = field {
            let object: Value = serde_json::from_slice(&done.get_output().stdout).unwrap();
            assert_eq!(object.pointer(field), Some(&Value::Bool(true)), "{name}");
        }
        frostbert(words).args(["--truncate", "cut"]).assert().success().stderr(contains("were cut").not());
        frostbert(words).args(["--truncate", "error"]).assert().code(1).stderr(contains("tokens"));
        // What is long is decided by --max-tokens, too.
        let short = frostbert(words).args(["--max-tokens", "200"]).assert().code(1);
        short.stderr(contains("at most 64"));
    }
    let behind = format!("{long} [MASK]");
    frostbert(&["fill-mask", "--model", &bert, &behind])
        .assert()
        .code(1)
        .stderr(contains("beyond the 64 tokens").and(contains("has no mask").not()));
    frostbert(&["fill-mask", "--model", &bert, &behind, "--truncate", "window", "--window-overlap", "8"])
        .assert()
        .success();
}

#[test]
fn trained_heads_say_what_was_cut() {
    let work = tempfile::tempdir().unwrap();
    let name = |file: &str| work.path().join(file).display().to_string();
    let row = |n: usize| {
        let (words, label) =
            if n.is_multiple_of(2) { ("wonderful film", "good") } else { ("boring plot", "bad") };
        format!("the {words} {n} {},{label}\n", if n < 3 { "fox ".repeat(80) } else { String::new() })
    };
    let table = (0..40).map(row).collect::<String>();
    std::fs::write(name("reviews.csv"), format!("text,label\n{table}")).unwrap();
    let (model, head, reviews) =
        (fixture("goldens/sentence-mean"), name("head.safetensors"), name("reviews.csv"));
    let cut = || contains("3 of 40 texts").and(contains("were cut"));
    frostbert(&["train", "--model", &model, &reviews, "--label-column", "label", "--out", &head, "--c", "1"])
        .assert()
        .success()
        .stderr(cut());
    let done = frostbert(&["evaluate", "--head", &head, &reviews, "--label-column", "label", "--json"])
        .assert()
        .success()
        .stderr(cut());
    let object: Value = serde_json::from_slice(&done.get_output().stdout).unwrap();
    assert_eq!(object["truncated"], 3);
    for more in [&["--json"][..], &["--json", "--explain"]] {
        let done = frostbert(&["predict", "--head", &head, &reviews, "--column", "text"]).args(more).assert();
        let done = done.success().stderr(cut());
        let stdout = String::from_utf8(done.get_output().stdout.clone()).unwrap();
        assert_eq!(stdout.matches("\"truncated\":true").count(), 3 * more.len());
    }
}

#[test]
fn a_pair_has_no_spans_and_rerank_makes_its_own_pairs() {
    let pair = ["--pair", "--text", "fox", "--text", "dog"];
    let tagger = fixture("cases/window-misattributed/tagger");
    frostbert(&["tag", "--model", &tagger]).args(pair).assert().code(1).stderr(contains("pair"));
    let ranker = fixture("cases/window-misattributed/ranker");
    frostbert(&["rerank", "--model", &ranker, "--query", "fox"])
        .args(pair)
        .assert()
        .code(1)
        .stderr(contains("--pair"));
}

#[test]
fn chinese_words_by_aggregation() {
    let model = fixture("cases/tag-joins-chinese/model");
    let tag = |aggregation: &str| {
        let found = lines(&mut frostbert(&[
            "tag",
            "--model",
            &model,
            "--text",
            "你好paris中文",
            "--json",
            "--aggregation",
            aggregation,
        ]));
        found[0]["entities"].as_array().unwrap().len()
    };
    assert_eq!(tag("first"), 4);
    assert_eq!(tag("none"), 5);
    assert!(tag("average") >= 2 && tag("max") >= 2);
    frostbert(&["tag", "--model", &model, "--text", "x", "--aggregation", "last"])
        .assert()
        .code(2)
        .stderr(contains("none, simple, first, average, max"));
}

#[test]
fn ranks_and_single_labels() {
    let rank = ["rerank", "--model", &fixture("cases/rerank-ties/model"), "--query", "fine film", "--json"];
    let documents = ["hello world", "Paris is the capital of france", "The film was fine"];
    let found = lines(frostbert(&rank).args(documents.iter().flat_map(|text| ["--text", text])));
    assert_eq!(found.iter().map(|line| line["index"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 0, 1]);

    let model = fixture("cases/one-label-softmax/model");
    let found =
        lines(&mut frostbert(&["classify", "--model", &model, "--json", "--text", "The film was fine"]));
    let score = found[0]["scores"]["LABEL_0"].as_f64().unwrap();
    assert!((score - 0.4993).abs() < 1e-4, "{score}");
}

#[test]
fn labels_of_one_name_keep_their_scores_apart() {
    let (_folder, path) = copy("cases/window-misattributed/model");
    change(&path.join("config.json"), |config| {
        config["id2label"] = serde_json::json!({ "0": "good", "1": "bad", "2": "good" });
        config["label2id"] = serde_json::json!({ "good": 2, "bad": 1 });
    });
    let words = ["classify", "--model", &path.display().to_string(), "--text", "paris"];
    let scores = lines(frostbert(&words).arg("--json"))[0]["scores"].as_object().unwrap().clone();
    assert_eq!(scores.keys().collect::<Vec<_>>(), ["good (0)", "bad", "good (2)"]);
    let sum: f64 = scores.values().map(|score| score.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-6);
    frostbert(&words).assert().success().stdout(contains("good (0)"));
}

/// A tokenizer that panics at a text: rows that were written before it are not taken for all.
#[test]
fn a_tokenizer_that_panics_is_an_error_and_leaves_no_file() {
    let (folder, path) = copy("goldens/sentence-mean");
    change(&path.join("tokenizer.json"), |tokenizer| {
        // A pair's template names a token that it does not define: the first pair is where it shows.
        tokenizer["post_processor"]["pair"] = serde_json::json!([
            { "Sequence": { "id": "A", "type_id": 0 } },
            { "SpecialToken": { "id": "[NOWHERE]", "type_id": 0 } },
            { "Sequence": { "id": "B", "type_id": 1 } },
        ]);
    });
    let model = path.display().to_string();
    let out = folder.path().join("rows.npy");
    let table = folder.path().join("pairs.csv");
    std::fs::write(&table, "a,b\n".to_owned() + &"fox,dog\n".repeat(200)).unwrap();
    let words = ["embed", "--model", &model, &table.display().to_string(), "--pair", "--column", "a,b"];
    for more in [&[][..], &["--cache"]] {
        frostbert(&words)
            .args(["--out", &out.display().to_string()])
            .args(more)
            .env("FROSTBERT_CACHE", folder.path().join("cache"))
            .assert()
            .code(1)
            .stderr(contains("error:"));
        let left: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name.contains("rows.npy") || name.ends_with(".tmp"))
            .collect();
        assert_eq!(left, Vec::<String>::new());
    }
}

#[test]
fn what_becomes_of_long_texts_is_chosen_and_remembered() {
    let model = fixture("goldens/sentence-mean");
    let folder = tempfile::tempdir().unwrap();
    let name = |name: &str| folder.path().join(name).display().to_string();
    let (table, short, head) = (name("long.csv"), name("short.csv"), name("head.safetensors"));
    // What a text is stands at its end; every third is short.
    let row = |at: usize, filler: usize| {
        let (words, label) = if at.is_multiple_of(2) {
            ("a brilliant wonderful film", "good")
        } else {
            ("terrible boring plot", "bad")
        };
        let filler = if at.is_multiple_of(3) { String::new() } else { "the quick brown fox ".repeat(filler) };
        format!("{filler}number {at} {words},{label}\n")
    };
    let rows = |filler: usize| (0..90).map(|at| row(at, filler)).collect::<String>();
    std::fs::write(&table, format!("text,label\n{}", rows(12))).unwrap();
    std::fs::write(&short, format!("text,label\n{}", rows(0))).unwrap();
    let train = |table: &str, more: &[&str]| {
        let words = [
            "train",
            "--model",
            &model,
            table,
            "--label-column",
            "label",
            "--out",
            &head,
            "--max-tokens",
            "24",
        ];
        frostbert(&words).args(more).arg("--json").assert().success().get_output().stdout.clone()
    };
    let long = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap()["long"].clone();
    let number = |value: &Value| value.as_f64().unwrap();
    let found = long(&train(&table, &["--long", "auto", "--test-fraction", "0"]));
    let candidates = found["candidates"].as_array().unwrap();
    assert_eq!(
        (candidates.len(), &found["long_texts"], &found["max_tokens"]),
        (4, &60.into(), &24.into()),
        "{found}"
    );
    assert!(found["chosen"] == "tail" || found["chosen"] == "head-and-tail", "{found}");
    assert!(
        number(&candidates[0]["score"]["mean"]) > number(&candidates[2]["score"]["mean"]) + 0.1,
        "{found}"
    );
    assert!(number(&candidates[0]["cut"]) > 0.3 && number(&candidates[3]["cut"]) == 0.0);
    // The head does the same to new texts.
    let text = format!("{}number 7 terrible boring plot", "the quick brown fox ".repeat(30));
    let answer = lines(&mut frostbert(&["predict", "--head", &head, "--text", &text, "--json"]));
    assert_eq!((&answer[0]["label"], &answer[0]["truncated"]), (&"bad".into(), &true.into()));
    let by_hand = name("by-hand.safetensors");
    let way = found["chosen"].as_str().unwrap().to_owned();
    let chosen = std::fs::read(&head).unwrap();
    train(&table, &["--long", &way, "--test-fraction", "0"]);
    std::fs::rename(&head, &by_hand).unwrap();
    assert_eq!(std::fs::read(&by_hand).unwrap(), chosen, "chosen or named, it is one head");
    for way in ["head", "windows"] {
        train(&table, &["--long", way]);
    }
    let found = long(&train(&short, &["--long", "auto"]));
    assert!(found["candidates"].as_array().unwrap().is_empty() && found["chosen"] == "head", "{found}");
    let fails = |more: &[&str], code: i32, says: &str| {
        let words = ["train", "--model", &model, &table, "--label-column", "label", "--out", &head];
        frostbert(&words).args(more).assert().code(code).stderr(contains(says));
    };
    fails(&["--long", "middle"], 2, "head-and-tail");
    fails(&["--long", "auto", "--truncate", "window"], 2, "cannot be used");
    fails(&["--long", "auto", "--layers", "auto"], 1, "not chosen at once");
    fails(&["--long", "auto", "--head", "mlp", "--stream"], 1, "--long auto");
}
