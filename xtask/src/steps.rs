//! Named steps with their times.

use std::time::{Duration, Instant};

use crate::Result;

/// Runs steps one after another and remembers how long each took.
pub struct Steps {
    started: Instant,
    done: Vec<(String, Duration)>,
}

impl Steps {
    pub fn new() -> Self {
        Steps { started: Instant::now(), done: Vec::new() }
    }

    /// Runs one step under a heading; its error says which step failed.
    pub fn run<T>(&mut self, name: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("\n=== {name} (at {})", seconds(self.started.elapsed()));
        let started = Instant::now();
        let outcome = step();
        self.done.push((name.to_owned(), started.elapsed()));
        outcome.map_err(|error| {
            self.summary("FAILED");
            format!("step \"{name}\" failed: {error}")
        })
    }

    /// Prints every step with its time; `last` is the outcome of the last one.
    pub fn summary(&self, last: &str) {
        println!("\n=== summary");
        for (at, (name, took)) in self.done.iter().enumerate() {
            let outcome = if at + 1 == self.done.len() { last } else { "ok" };
            println!("  {:>8}  {outcome:<6}  {name}", seconds(*took));
        }
        println!("  {:>8}  in all", seconds(self.started.elapsed()));
    }
}

/// A duration for people: `12.3 s`, `4 min 05 s`.
pub fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    if whole < 60 {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{} min {:02} s", whole / 60, whole % 60)
    }
}
