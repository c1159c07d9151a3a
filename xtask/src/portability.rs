//! `cargo xtask portability`: what takes too long for every change, and needs more of the network: the oldest Rust that is
//! promised, the other systems' targets, known vulnerabilities. The workflow on GitHub runs it.

use std::fs;

use crate::process::{cargo, command, show};
use crate::steps::Steps;
use crate::{Result, install, root};

/// Systems that are not this one: their code is type-checked, which needs no linker of theirs. Without `hub`, whose TLS has
/// parts in C.
const TARGETS: [&str; 3] = ["x86_64-pc-windows-msvc", "x86_64-pc-windows-gnu", "aarch64-apple-darwin"];

/// `cargo xtask portability`.
pub fn run() -> Result<()> {
    let mut steps = Steps::new();
    let mut not_tested = vec![];
    let oldest = steps.run("every package promises the same Rust", oldest)?;
    steps.run(&format!("with Rust {oldest}"), || {
        if !install::toolchain(&oldest) {
            not_tested.push(format!("Rust {oldest}: the toolchain could not be installed"));
            return Ok(());
        }
        // A folder of its own: another compiler's results would replace those of this one.
        let mut check =
            command("rustup", ["run", &oldest, "cargo", "check", "--workspace", "--all-features"]);
        check.args(["--exclude", "frostbert-web", "--target-dir", "target/oldest"]);
        show(check.env_remove("CARGO").env_remove("RUSTC"))
    })?;
    for target in TARGETS {
        steps.run(target, || {
            if install::rust_target(target).is_err() {
                not_tested.push(format!("{target}: its standard library could not be installed"));
                return Ok(());
            }
            show(&mut cargo(&format!(
                "check --package frostbert --features cache,export,parquet,report --target {target}"
            )))
        })?;
    }
    steps.run("known vulnerabilities and yanked versions", || {
        let checked = show(install::cargo_deny()?.args(["check", "advisories"]));
        if checked.is_err() && std::env::var_os("CI").is_none() {
            not_tested.push(
                "advisories: cargo-deny failed, or its database could not be fetched (see above)".to_owned(),
            );
            return Ok(());
        }
        checked
    })?;
    steps.summary("ok");
    if !not_tested.is_empty() {
        println!("\nNOT TESTED here: {}\n  {}", not_tested.len(), not_tested.join("\n  "));
    }
    Ok(())
}

/// The `rust-version` of every package, which must be one.
fn oldest() -> Result<String> {
    let mut found: Option<String> = None;
    for manifest in
        ["Cargo.toml", "cli/Cargo.toml", "fuzz/Cargo.toml", "web/crate/Cargo.toml", "xtask/Cargo.toml"]
    {
        let path = root().join(manifest);
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let version = text.lines().find_map(|line| line.strip_prefix("rust-version = \""));
        let version = version.map(|rest| rest.trim_end_matches('"').to_owned());
        let version = version.ok_or_else(|| format!("{manifest} says no rust-version"))?;
        match &found {
            Some(first) if *first != version => {
                return Err(format!("{manifest} says rust-version {version}, Cargo.toml {first}"));
            }
            _ => found = Some(version),
        }
    }
    found.ok_or_else(|| "no package".to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_package_promises_the_same_rust() {
        assert!(super::oldest().unwrap().starts_with("1."));
    }
}
