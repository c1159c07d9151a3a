//! A short campaign over every target, and the driver itself: what dies is seen, told apart and counted.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

fn fuzz(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_frostbert-fuzz"))
        .arg("run")
        .arg("--no-keep")
        .args(words)
        .output()
        .unwrap()
}

#[test]
fn mutated_inputs_end_in_answers_or_errors() {
    let output = fuzz(&["--seconds", "12"]);
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}{}", String::from_utf8_lossy(&output.stderr));
    let mut targets = 0;
    for line in told.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, inputs, failures @ ..] = &words[..] else { continue };
        let Ok(inputs) = inputs.parse::<u64>() else { continue };
        if failures.len() != 4 || *name == "all" {
            continue;
        }
        targets += 1;
        // A target that refuses all its good inputs at once would run, too.
        assert!(inputs > 10, "{line}");
        assert!(failures.iter().all(|count| *count == "0"), "{told}");
    }
    assert!(targets > 15, "{told}");
}

#[test]
fn every_way_of_dying_is_seen() {
    for (target, column) in [("self-panic", 0), ("self-abort", 1), ("self-memory", 2), ("self-hang", 3)] {
        if cfg!(not(unix)) && target == "self-memory" {
            continue;
        }
        let output = fuzz(&["--target", target, "--seconds", "0.2", "--hang", "2"]);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(
            output.status.code(),
            Some(1),
            "{target}: {told}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let row = told.lines().find(|line| line.starts_with(target)).unwrap();
        let counts: Vec<u64> = row.split_whitespace().skip(2).map(|count| count.parse().unwrap()).collect();
        for (at, count) in counts.iter().enumerate() {
            assert_eq!(*count > 0, at == column, "{target}: {told}");
        }
    }
}

#[test]
fn wrong_words_are_wrong_usage() {
    for words in [&["--target", "nothing"][..], &["--minutes"], &["--seconds", "x"], &["--nothing"]] {
        assert_eq!(fuzz(words).status.code(), Some(2), "{words:?}");
    }
}
