//! The commands that docs/outputs.md and docs/labelling.md show are run as they stand there, on small checkpoints.

#![allow(clippy::unwrap_used)] // Helpers of tests may.

use assert_cmd::Command;
use std::path::Path;

/// The lines of the shell blocks that start with `frostbert`, without their comments.
fn commands(markdown: &str) -> Vec<String> {
    let mut shell = false;
    let mut found = Vec::new();
    for line in markdown.lines() {
        match line {
            "```sh" => shell = true,
            "```" => shell = false,
            _ if shell && line.starts_with("frostbert ") => {
                found.push(line.split(" #").next().unwrap().trim().to_owned());
            }
            _ => {}
        }
    }
    found
}

/// Words as a shell splits them; double quotes are all that the document uses.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for letter in command.chars() {
        match letter {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            letter => words.last_mut().unwrap().push(letter),
        }
    }
    words.into_iter().filter(|word| !word.is_empty()).collect()
}

/// The small checkpoint that can answer a command.
fn golden(command: &str) -> &'static str {
    match command.split(' ').nth(1).unwrap() {
        "embed" if command.contains("--prompt-name") => "sentence-max",
        "embed" if command.contains("--pooling cls") || command.contains("--layers") => "bert-pretraining",
        "embed" => "sentence-mean",
        "tokens" | "fill-mask" | "next-sentence" => "bert-pretraining",
        "classify" if command.contains("--template") => "bert-pretraining",
        "classify" | "rerank" => "bert-sequence-single-label",
        "tag" => "bert-token-classification",
        other => panic!("no checkpoint for frostbert {other}"),
    }
}

#[test]
fn every_command_of_the_guide_works() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let guide = std::fs::read_to_string(root.join("docs/outputs.md")).unwrap();
    let found = commands(&guide);
    assert!(found.len() > 15, "only {} commands", found.len());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("reviews.csv"), "text,label\nthe quick fox,1\nthe lazy dog,0\n")
        .unwrap();
    std::fs::write(folder.path().join("passages.txt"), "the fox\nthe dog\na third\nand a fourth\n").unwrap();
    for command in found {
        let model = root.join("tests/fixtures/goldens").join(golden(&command));
        // The small ones have three layers of 48 columns and few words.
        let command = command
            .replace("--layers 4,5,6", "--layers 1,2,3")
            .replace("--layers 0,6 --attentions 1,6", "--layers 0,3 --attentions 1,3")
            .replace("--dimensions 256", "--dimensions 16")
            .replace("capital,heart", "fox,dog")
            .replace("great", "brilliant");
        let mut run = Command::cargo_bin("frostbert").unwrap();
        run.current_dir(folder.path()).env("FROSTBERT_CACHE", folder.path().join("cache"));
        for word in words(&command).iter().skip(1) {
            run.arg(if word == "MODEL" { model.to_str().unwrap() } else { word });
        }
        let output = run.args(["--device", "cpu"]).assert().success();
        assert!(!output.get_output().stdout.is_empty(), "{command} said nothing");
    }
}

/// Rows of two kinds, good and bad, with a label as `label` makes it of the kind.
fn table(header: &str, rows: usize, label: impl Fn(bool, usize) -> String) -> String {
    let row = |at: usize| {
        let words = if at.is_multiple_of(2) { "a brilliant wonderful film" } else { "terrible boring plot" };
        format!("{words} number {at}{}\n", label(at.is_multiple_of(2), at))
    };
    format!("{header}\n{}", (0..rows).map(row).collect::<String>())
}

#[test]
fn every_command_of_the_labelling_guide_works() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let guide = std::fs::read_to_string(root.join("docs/labelling.md")).unwrap();
    let found = commands(&guide);
    assert!(found.len() > 15, "only {} commands", found.len());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let write = |name: &str, text: String| std::fs::write(path(name), text).unwrap();
    let name = |good: bool| if good { "good" } else { "bad" };
    write("unlabelled.csv", table("text", 60, |_, _| String::new()));
    write(
        "half-labelled.csv",
        table("text,label", 60, |good, at| format!(",{}", if at < 44 { name(good) } else { "" })),
    );
    write("reviews.csv", table("text,label", 200, |good, _| format!(",{}", name(good))));
    write(
        "articles.csv",
        table("text,label", 60, |good, at| format!("{},{}", " fox".repeat(at * 2), name(good))),
    );
    write(
        "topics.csv",
        table("text,topic", 80, |good, _| format!(",film/{}", if good { "liked" } else { "disliked/much" })),
    );
    write("train.csv", table("text,label", 100, |good, _| format!(",{}", name(good))));
    write("new.csv", table("text", 60, |_, _| String::new()));
    write("test.csv", table("text,label,source", 60, |good, at| format!(",{},{}", name(good), at % 3)));
    let model = root.join("tests/fixtures/goldens/sentence-mean");
    let with_mask = root.join("tests/fixtures/goldens/bert-pretraining");
    for command in found {
        if command.contains("old.safetensors") {
            // What somebody trained before and after.
            for copy in ["old.safetensors", "new.safetensors"] {
                std::fs::copy(path("head.safetensors"), path(copy)).unwrap();
            }
        }
        let (command, into) = match command.split_once(" > ") {
            Some((command, file)) => (command.to_owned(), Some(path(file))),
            None => (command, None),
        };
        let mut run = Command::cargo_bin("frostbert").unwrap();
        run.current_dir(folder.path()).env("FROSTBERT_CACHE", path("cache"));
        // The small checkpoint knows few words.
        for word in words(&command.replace("great", "brilliant")).iter().skip(1) {
            run.arg(match &**word {
                "MODEL" => model.to_str().unwrap(),
                "MLM-MODEL" => with_mask.to_str().unwrap(),
                word => word,
            });
        }
        // The small checkpoint finds everything alike.
        if command.starts_with("frostbert suggest") {
            run.args(["--duplicate", "1"]);
        }
        let output = run.args(["--device", "cpu"]).assert().success();
        if let Some(file) = into {
            std::fs::write(file, &output.get_output().stdout).unwrap();
        }
        if command.ends_with("--out label-me.csv") {
            let mut filled = csv::Writer::from_path(path("filled.csv")).unwrap();
            let mut rows = csv::Reader::from_path(path("label-me.csv")).unwrap();
            filled.write_record(rows.headers().unwrap()).unwrap();
            for row in rows.records() {
                let row = row.unwrap();
                let label = if row[1].contains("film") { "good" } else { "bad" };
                filled.write_record([&row[0], &row[1], label, &row[3]]).unwrap();
            }
            filled.flush().unwrap();
            std::fs::rename(path("filled.csv"), path("label-me.csv")).unwrap();
        }
    }
}
