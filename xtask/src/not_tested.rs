//! What could not be tested here, counted and shown at the end: a test that was skipped must not look like one that passed.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use crate::{Result, root};

/// The variable that names the file in which tests note what they skipped, a line each.
const VARIABLE: &str = "FROSTBERT_NOT_TESTED";

/// Collects the notes.
pub struct NotTested {
    file: PathBuf,
}

impl NotTested {
    /// Starts with none.
    pub fn new() -> Result<Self> {
        let file = root().join("target/not-tested.txt");
        let made = file.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&file, ""));
        made.map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(NotTested { file })
    }

    /// Tells a test run where to note what it skips.
    pub fn env<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env(VARIABLE, &self.file)
    }

    /// Notes something that is not tested by choice.
    pub fn note(&self, what: &str) -> Result<()> {
        println!("NOT TESTED: {what}");
        let added = fs::OpenOptions::new()
            .append(true)
            .open(&self.file)
            .and_then(|mut file| writeln!(file, "{what}"));
        added.map_err(|error| format!("{}: {error}", self.file.display()))
    }

    /// Prints what was noted.
    pub fn show(&self) {
        let notes = fs::read_to_string(&self.file).unwrap_or_default();
        let count = notes.lines().count();
        if count > 0 {
            println!("NOT TESTED here: {count}");
            notes.lines().for_each(|line| println!("  {line}"));
        }
    }
}
