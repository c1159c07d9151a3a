//! `cargo xtask test`: everything that must hold, each a named step, the cheapest first.

use crate::process::{cargo, show, watch};
use crate::steps::Steps;
use crate::web::Web;
use crate::{Result, fetch, install, layers};

/// The browser's target.
const WASM: &str = "wasm32-unknown-unknown";

/// `cargo xtask test`.
pub fn run() -> Result<()> {
    let mut steps = Steps::new();
    let cargo_step = |words: &'static str| move || show(&mut cargo(words));

    steps.run("install what is missing", || {
        install::rust_component("rustfmt", "fmt")?;
        install::rust_component("clippy", "clippy")?;
        install::rust_target(WASM)?;
        install::vulkan()
    })?;
    steps.run("fetch the model and data that tests use", fetch::run)?;
    steps.run("formatting", cargo_step("fmt --all --check"))?;
    steps.run("who imports whom", layers::run)?;
    // Warnings are denied through the tools' own arguments, never RUSTFLAGS: those would build every dependency again.
    steps.run(
        "lints",
        cargo_step("clippy --workspace --exclude frostbert-web --all-targets --all-features -- -D warnings"),
    )?;
    steps.run("documentation", || {
        show(cargo("doc --package frostbert --all-features --no-deps").env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    steps.run(
        "without the gpu feature",
        cargo_step("clippy --package frostbert --all-targets --no-default-features -- -D warnings"),
    )?;
    steps.run(
        "for the browser",
        cargo_step(
            "clippy --package frostbert --lib --no-default-features --features gpu --target wasm32-unknown-unknown \
             -- -D warnings",
        ),
    )?;
    let mut tally = Tally::default();
    steps.run("unit, integration and command-line tests", || {
        watch(
            &mut cargo(
                "test --workspace --exclude frostbert-web --all-features --lib --bins --tests --examples --no-fail-fast",
            ),
            |line| tally.read(line),
        )
        .map_err(|error| format!("{error}\n  {}", tally.line()))
    })?;
    steps.run("examples in the documentation", || {
        watch(&mut cargo("test --package frostbert --all-features --doc"), |line| tally.read(line))
            .map_err(|error| format!("{error}\n  {}", tally.line()))
    })?;
    let web = steps.run("install what the browser side needs", Web::install)?;
    steps.run(
        "lints of the browser's crate",
        cargo_step("clippy --package frostbert-web --target wasm32-unknown-unknown -- -D warnings"),
    )?;
    steps.run("build the WebAssembly, the npm package and the page", || web.build())?;
    steps.run("tests in a browser", || {
        web.test(|line| tally.read(line)).map_err(|error| format!("{error}\n  {}", tally.line()))
    })?;
    steps.summary("ok");
    if tally.passed == 0 {
        return Err("no test ran at all".into());
    }
    println!("\n{}", tally.line());
    Ok(())
}

/// Sums the result lines of cargo's test runs.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    /// Takes a line such as `test result: ok. 12 passed; 0 failed; 0 ignored; ...`; others count nothing.
    fn read(&mut self, line: &str) {
        let Some((_, counts)) = line.split_once("test result: ") else { return };
        let count = |what: &str| -> u64 {
            let before = counts.split(what).next().unwrap_or_default();
            before.split_whitespace().last().and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        self.passed += count(" passed;");
        self.failed += count(" failed;");
    }

    fn line(&self) -> String {
        format!("{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn result_lines_are_summed() {
        let mut tally = Tally::default();
        tally.read(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s",
        );
        tally.read("test result: FAILED. 3 passed; 2 failed; 0 ignored");
        tally.read("test head::fit ... ok");
        assert_eq!(tally.line(), "15 passed, 2 failed");
    }
}
