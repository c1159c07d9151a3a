//! Runs the targets, each in processes of its own under a limit of memory and of time, and keeps the inputs that fail.
//!
//! `cargo xtask fuzz` is the way to call it; `frostbert-fuzz run --help` lists what it takes.

mod child;
mod parent;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match words.first().map(String::as_str) {
        Some("run") => parent::run(&words[1..]),
        Some("child") => child::run(&words[1..]).map(|()| true),
        _ => Err(
            "usage: frostbert-fuzz run [--minutes N | --seconds N] [--target NAME] [--seed N] [--no-keep]"
                .to_owned(),
        ),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("frostbert-fuzz: {message}");
            ExitCode::from(2)
        }
    }
}
