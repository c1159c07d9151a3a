//! `cargo xtask test`: everything that must hold, each a named step, the cheapest first.

use crate::not_tested::NotTested;
use crate::process::{cargo, show, watch};
use crate::steps::Steps;
use crate::web::Web;
use crate::{Result, cluster, fetch, install, layers, package, python, root, serve};

/// The browser's target.
const WASM: &str = "wasm32-unknown-unknown";

/// Steps that can be run by themselves, too.
const PYTHON: &str = "the Python package";
const CLIENTS: &str = "clients of the server";
const CLUSTER: &str = "the cluster's programs";

/// `cargo xtask test`.
pub fn run() -> Result<()> {
    let mut steps = Steps::new();
    let not_tested = NotTested::new()?;
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
    steps.run("licences, sources and versions of dependencies", || {
        show(install::cargo_deny()?.args(["check", "--hide-inclusion-graph", "licenses", "bans", "sources"]))
    })?;
    // Warnings are denied through the tools' own arguments, never RUSTFLAGS: those would build every dependency again.
    steps.run(
        "lints",
        cargo_step("clippy --workspace --exclude frostbert-web --all-targets --all-features -- -D warnings"),
    )?;
    steps.run("documentation", || {
        // One after the other: the command line's page is called frostbert, too, and must not replace the library's.
        for words in [
            "doc --package frostbert-cli --no-deps",
            "doc --package frostbert --all-features --no-deps",
            "doc --package frostbert-serve --all-features --no-deps",
        ] {
            show(cargo(words).env("RUSTDOCFLAGS", "-D warnings"))?;
        }
        Ok(())
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
    steps.run("each feature alone", || {
        for feature in features()? {
            show(&mut cargo(&format!(
                "check --package frostbert --lib --no-default-features --features {feature}"
            )))?;
        }
        Ok(())
    })?;
    steps.run("what is published", package::run)?;
    let mut tally = Tally::default();
    counted(&mut steps, &mut tally, "unit, integration and command-line tests", |each| {
        let mut tests = cargo(
            "test --workspace --exclude frostbert-web --all-features --lib --bins --tests --examples --no-fail-fast",
        );
        watch(not_tested.env(&mut tests), each)
    })?;
    counted(&mut steps, &mut tally, "examples in the documentation", |each| {
        watch(&mut cargo("test --workspace --exclude frostbert-web --all-features --doc"), each)
    })?;
    counted(&mut steps, &mut tally, PYTHON, |each| python::test(&not_tested, each))?;
    counted(&mut steps, &mut tally, CLIENTS, |each| serve::test(&not_tested, each))?;
    browser(&mut steps, &mut tally, &not_tested)?;
    counted(&mut steps, &mut tally, CLUSTER, |each| cluster::test_if_wanted(&not_tested, each))?;
    steps.summary("ok");
    if tally.passed == 0 {
        return Err("no test ran at all".into());
    }
    println!("\n{}", tally.line());
    not_tested.show();
    Ok(())
}

/// `cargo xtask test-browser`: only what runs in a browser.
pub fn run_browser() -> Result<()> {
    let (mut steps, mut tally, not_tested) = (Steps::new(), Tally::default(), NotTested::new()?);
    steps.run("install what is missing", || install::rust_target(WASM))?;
    steps.run("fetch the model and data that tests use", fetch::run)?;
    browser(&mut steps, &mut tally, &not_tested)?;
    steps.summary("ok");
    println!("\n{}", tally.line());
    not_tested.show();
    Ok(())
}

/// `cargo xtask test-python`: only the Python package.
pub fn run_python() -> Result<()> {
    alone(PYTHON, |not_tested, each| python::test(not_tested, each))
}

/// `cargo xtask test-serve`: only the server as its clients see it.
pub fn run_serve() -> Result<()> {
    alone(CLIENTS, |not_tested, each| serve::test(not_tested, each))
}

/// `cargo xtask test-cluster`: only scheduler, executors and SQL.
pub fn run_cluster() -> Result<()> {
    alone(CLUSTER, |not_tested, each| cluster::test(not_tested, each))
}

/// One step with what it needs to run by itself.
fn alone(name: &str, step: impl FnOnce(&NotTested, &mut dyn FnMut(&str)) -> Result<()>) -> Result<()> {
    let (mut steps, mut tally, not_tested) = (Steps::new(), Tally::default(), NotTested::new()?);
    steps.run("fetch the model and data that tests use", fetch::run)?;
    counted(&mut steps, &mut tally, name, |each| step(&not_tested, each))?;
    steps.summary("ok");
    not_tested.show();
    Ok(())
}

/// A step whose lines are counted; its error says how many tests there were.
fn counted(
    steps: &mut Steps,
    tally: &mut Tally,
    name: &str,
    step: impl FnOnce(&mut dyn FnMut(&str)) -> Result<()>,
) -> Result<()> {
    steps.run(name, || {
        let outcome = step(&mut |line| tally.read(line));
        outcome.map_err(|error| format!("{error}\n  {}", tally.line()))
    })
}

fn browser(steps: &mut Steps, tally: &mut Tally, not_tested: &NotTested) -> Result<()> {
    let web = steps.run("install what the browser side needs", Web::install)?;
    steps.run("lints of the browser's crate", || {
        show(&mut cargo("clippy --package frostbert-web --target wasm32-unknown-unknown -- -D warnings"))
    })?;
    steps.run("build the WebAssembly, the npm package and the page", || web.build())?;
    counted(steps, tally, "tests in a browser", |each| web.test(not_tested, each))
}

/// The library's features, from its Cargo.toml.
fn features() -> Result<Vec<String>> {
    let path = root().join("Cargo.toml");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let section = text.split("\n[features]\n").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let names =
        section.lines().filter_map(|line| line.split_once(" = [")).map(|(name, _)| name.trim().to_owned());
    let names: Vec<String> = names.filter(|name| name != "default" && !name.starts_with('#')).collect();
    if names.is_empty() { Err(format!("{} has no features", path.display())) } else { Ok(names) }
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
    use super::{Tally, features};

    #[test]
    fn features_are_found() {
        let found = features().unwrap();
        for name in ["gpu", "cache", "export", "hub", "parquet", "report"] {
            assert!(found.iter().any(|known| known == name), "{found:?}");
        }
    }

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
