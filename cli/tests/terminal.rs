//! No text, label or name can steer a terminal, whatever the command.

#![cfg(unix)] // Elsewhere files cannot have such names.
#![allow(clippy::unwrap_used)] // Helpers of tests may.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;

/// Sets the window's title, rings, colours, goes back, turns the direction of writing, hides.
const HOSTILE: &str = "\u{1b}]0;x\u{7}\u{9b}31m\r\u{8}\u{7f}\u{202e}\u{2066}\u{200f}\u{200b}evil";

fn golden(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join("tests/fixtures/goldens").join(name)
}

/// A copy of a checkpoint, in a folder with a hostile name, whose labels are hostile too.
fn hostile_checkpoint(work: &Path, name: &str) -> String {
    let folder = work.join(format!("{name}{HOSTILE}"));
    copy(&golden(name), &folder);
    let config = folder.join("config.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    if let Some(labels) = json["id2label"].as_object_mut() {
        for label in labels.values_mut() {
            *label = format!("{}{HOSTILE}", label.as_str().unwrap()).into();
        }
        let labels = json["id2label"].as_object().unwrap().clone();
        json["label2id"] = labels
            .iter()
            .map(|(id, label)| (label.as_str().unwrap().to_owned(), id.parse::<u64>().unwrap().into()))
            .collect::<serde_json::Map<_, _>>()
            .into();
    }
    fs::write(&config, json.to_string()).unwrap();
    folder.display().to_string()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Runs a command and looks at every byte it says. `exact`: its stdout is JSON, which holds texts as they are.
#[track_caller]
fn run(words: &[&str], succeeds: bool, exact: bool) -> (String, String) {
    let mut command = Command::cargo_bin("frostbert").unwrap();
    let output = command
        .args(words)
        .env("FROSTBERT_CACHE", std::env::temp_dir().join("frostbert-cli-terminal"))
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.success(), succeeds, "{words:?}\n{stdout}\n{stderr}");
    let streams = if exact { vec![&stderr] } else { vec![&stdout, &stderr] };
    for stream in streams {
        let sent = stream.chars().find(|c| HOSTILE.contains(*c) && !c.is_ascii_graphic());
        assert_eq!(sent, None, "{words:?} sent it to the terminal:\n{stream:?}");
    }
    (stdout, stderr)
}

#[test]
fn no_command_sends_control_characters_to_the_terminal() {
    let work = tempfile::tempdir().unwrap();
    let at = |name: &str| work.path().join(format!("{name}{HOSTILE}")).display().to_string();
    let model = hostile_checkpoint(work.path(), "sentence-mean");
    let on = ["--model", &model[..], "--device", "cpu"];
    // A table with hostile texts, labels and a hostile column.
    let table = at("table") + ".csv";
    let column = format!("column{HOSTILE}");
    let row = |row: usize| {
        let (words, label) =
            if row.is_multiple_of(2) { ("brilliant film", "good") } else { ("boring plot", "bad") };
        format!("\"{words}{HOSTILE}\n{row}\",\"{label}{HOSTILE}\"\n")
    };
    fs::write(&table, format!("\"{column}\",label\n") + &(0..40).map(row).collect::<String>()).unwrap();
    let text = format!("a text{HOSTILE}\nand more");
    let shown = "\\u{1b}]0;x\\u{7}\\u{9b}31m\\r\\u{8}\\u{7f}\\u{202e}\\u{2066}\\u{200f}\\u{200b}evil";

    // Tables, columns, labels.
    let columns = ["--column", &column[..], "--label-column", "label"];
    let head = at("head") + ".safetensors";
    let (page, card, errors) = (at("page"), at("card"), at("errors"));
    let files = ["--out", &head, "--report", &page, "--card", &card, "--label-errors", &errors];
    let train = [&["train", &table[..]][..], &on, &columns, &files].concat();
    let (stdout, stderr) = run(&train, true, false);
    assert!(stdout.contains(shown) && stderr.contains(shown), "{stdout}\n{stderr}");
    let given = ["--head", &head[..], "--device", "cpu"];
    run(&[&["evaluate", &table][..], &given, &columns].concat(), true, false);
    let (stdout, _) = run(&[&["predict", "--text", &text][..], &given].concat(), true, false);
    assert!(stdout.contains(&format!("a text{shown}\\nand more")), "{stdout}");
    run(
        &[&["predict", "--text", &text, "--explain", "--report", &at("explained")][..], &given].concat(),
        true,
        false,
    );
    let (stdout, _) = run(&[&["predict", "--json", "--text", &text][..], &given].concat(), true, true);
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(json["text"], text, "JSON is exact");
    run(
        &[&["embed", &table, "--column", &column, "--out", &(at("e") + ".npy")][..], &on].concat(),
        true,
        false,
    );
    run(&[&["embed", &table, "--column", &text][..], &on].concat(), false, false);
    run(
        &[&["embed", &table, "--column", &column, "--where", &format!("label={text}")][..], &on].concat(),
        false,
        false,
    );
    run(
        &[
            &[
                "train",
                &table,
                "--out",
                &head,
                "--column",
                &column,
                "--label-column",
                "label",
                "--labels",
                "number",
            ][..],
            &on,
        ]
        .concat(),
        false,
        false,
    );
    run(&["export", "--head", &head, "--to", "transformers", &at("exported")], false, false);

    // Heads of checkpoints.
    let of = |name: &str| hostile_checkpoint(work.path(), name);
    let say = ["--device", "cpu", "--text", &text[..], "--text", "the lazy dog jumps"];
    for name in ["bert-sequence-single-label", "bert-sequence-multi-label", "bert-sequence-regression"] {
        run(&[&["classify", "--model", &of(name)][..], &say].concat(), true, false);
    }
    run(
        &[&["tag", "--aggregation", "none", "--model", &of("bert-token-classification")][..], &say].concat(),
        true,
        false,
    );
    run(
        &[&["rerank", "--query", &text, "--model", &of("bert-sequence-regression")][..], &say].concat(),
        true,
        false,
    );
    let pretraining = of("bert-pretraining");
    let bert = ["--model", &pretraining[..], "--device", "cpu"];
    run(&[&["fill-mask", &format!("the [MASK] fox {HOSTILE}")][..], &bert].concat(), true, false);
    run(&[&["fill-mask", "--score", &format!("the fox {HOSTILE}")][..], &bert].concat(), true, false);
    run(&[&["fill-mask", &format!("no mask {HOSTILE}")][..], &bert].concat(), false, false);
    run(&[&["next-sentence", "--a", &text, "--b", &text][..], &bert].concat(), true, false);
    run(&[&["tokens", "--ids-only", "--text", &text][..], &bert].concat(), true, true);

    // Names in messages.
    run(&["inspect", &pretraining], true, false);
    for command in ["inspect", "fetch"] {
        run(&[command, "--offline", &at("none")], false, false);
        run(&[command, "--offline", HOSTILE], false, false);
    }
    run(&[&["embed", &at("none.csv")][..], &on].concat(), false, false);
    run(&["embed", "--text", "x", "--device", "cpu", "--model", &at("no model")], false, false);
    run(&["predict", "--head", &at("no head"), "--text", "x"], false, false);
    run(&[&["import-head", &at("no.npz"), "--out", &at("imported")][..], &on].concat(), false, false);
    run(&["verify", &at("no golden"), "--device", "cpu"], false, false);
    run(
        &["bench", "--model", &model, "--device", "cpu", "--no-cold-start", "--texts", &at("none.txt")],
        false,
        false,
    );
    let modules = Path::new(&model).join("modules.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&modules).unwrap()).unwrap();
    json[1]["type"] = format!("sentence_transformers.models.{HOSTILE}").into();
    fs::write(&modules, json.to_string()).unwrap();
    run(&[&["embed", "--text", "x"][..], &on].concat(), false, false);
    run(&["inspect", &model], false, false);
    // Wrong usage.
    for words in [
        &["embed", HOSTILE, HOSTILE, HOSTILE][..],
        &[HOSTILE],
        &["embed", "--device", HOSTILE],
        &["embed", "--where", HOSTILE],
    ] {
        let (_, stderr) = run(words, false, false);
        assert!(stderr.contains("error:"), "{stderr}");
    }
}

/// The cache names its folder, and devices their adapters.
#[test]
fn commands_about_this_machine() {
    let work = tempfile::tempdir().unwrap();
    let folder = work.path().join(format!("cache{HOSTILE}"));
    for words in [&["cache", "info"][..], &["cache", "clear"], &["devices"]] {
        let mut command = Command::cargo_bin("frostbert").unwrap();
        let output = command.args(words).env("FROSTBERT_CACHE", &folder).output().unwrap();
        for stream in [&output.stdout, &output.stderr] {
            let text = String::from_utf8(stream.clone()).unwrap();
            assert!(!text.chars().any(|c| HOSTILE.contains(c) && !c.is_ascii_graphic()), "{text:?}");
        }
    }
}
