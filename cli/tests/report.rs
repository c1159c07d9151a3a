//! `frostbert train --report`: the page holds what training found out.

#![allow(clippy::unwrap_used)] // Helpers of tests may.

use std::path::Path;

use assert_cmd::Command;
use predicates::str::contains;

#[test]
fn the_report_holds_every_section_that_is_known() {
    let work = tempfile::tempdir().unwrap();
    let name = |file: &str| work.path().join(file).display().to_string();
    let model = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .join("tests/fixtures/goldens/sentence-mean")
        .display()
        .to_string();
    // One row in nine bears the other label, so that there are mistakes; all texts of a kind differ but one pair.
    let mut table = String::from("text,label\n");
    for row in 0..90 {
        let (words, other) =
            if row % 2 == 0 { ("brilliant wonderful film", "bad") } else { ("terrible boring plot", "good") };
        let own = if other == "bad" { "good" } else { "bad" };
        table += &format!("the {words} {row} <script>,{}\n", if row % 9 == 0 { other } else { own });
    }
    table += "seldom seen,rare\nseldom seen,rare\nseldom heard,rare\nseldom known,rare\nhardly seen,rare\nnever seen,rare\n";
    let (data, head, page) = (name("data.csv"), name("head.safetensors"), name("report.html"));
    std::fs::write(&data, table).unwrap();

    let words =
        ["train", "--model", &model, &data, "--out", &head, "--report", &page, "--label-column", "label"];
    Command::cargo_bin("frostbert")
        .unwrap()
        .args(words)
        .args(["--device", "cpu", "--folds", "3", "--no-cache"])
        .assert()
        .success()
        .stderr(contains("classes with fewer than 20 training rows"));
    let html = std::fs::read_to_string(&page).unwrap();
    for part in [
        "<!DOCTYPE html>",
        "CPU engine",
        "cross-validation",
        "held-out rows",
        "class frequencies",
        "Confusion",
        "Reliability",
        "ROC",
        "PCA",
        "t-SNE",
        "fewer than 20 training rows",
        "frostbert predict --head",
    ] {
        assert!(html.contains(part), "the report lacks {part:?}");
    }
    assert!(!html.contains("film 2 <script>"), "a text must not become markup");
}

#[test]
fn a_report_that_cannot_be_written_is_refused_before_the_work() {
    let work = tempfile::tempdir().unwrap();
    let data = work.path().join("data.csv");
    std::fs::write(&data, "text,label\na,x\nb,y\n").unwrap();
    let head = work.path().join("head.safetensors");
    let page = work.path().join("absent").join("report.html");
    Command::cargo_bin("frostbert")
        .unwrap()
        .args(["train", "--model", "/nonexistent", "--label-column", "label"])
        .arg(&data)
        .args(["--out".as_ref(), head.as_os_str(), "--report".as_ref(), page.as_os_str()])
        .assert()
        .failure()
        .stderr(contains("report.html: its folder does not exist"));
}
