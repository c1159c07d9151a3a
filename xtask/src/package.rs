//! What `cargo publish` would send: every file that the crates need, and none that is not theirs.

use crate::Result;
use crate::process::{cargo, output, show};

/// Each published package, what must be in it, and what must not.
const PACKAGES: &[(&str, &[&str], &[&str])] = &[
    (
        "frostbert",
        &[
            "Cargo.toml",
            "README.md",
            "NOTICE",
            "LICENSE-MIT",
            "LICENSE-APACHE",
            "src/lib.rs",
            "shaders/prelude/activation.wgsl",
            "docs/outputs.md",
        ],
        &["cli/", "fuzz/", "python/", "serve/", "web/", "xtask/", "tests/fixtures/", "target/", ".github/"],
    ),
    ("frostbert-serve", &["Cargo.toml", "src/lib.rs", "assets/index.html", "assets/docs.html"], &["target/"]),
    (
        "frostbert-cli",
        &["Cargo.toml", "README.md", "src/lib.rs", "src/main.rs"],
        &["tests/fixtures/", "target/"],
    ),
];

/// A step of `cargo xtask test`.
pub fn run() -> Result<()> {
    for (package, needed, unwanted) in PACKAGES {
        let list = output(&mut cargo(&format!("package --list --allow-dirty --package {package}")))?;
        let files: Vec<String> = list.lines().map(|line| line.replace('\\', "/")).collect();
        println!("{package}: {} files", files.len());
        if let Some(missing) = needed.iter().find(|name| !files.iter().any(|file| file == *name)) {
            return Err(format!("{package} would be published without {missing}"));
        }
        if let Some(file) = files.iter().find(|file| unwanted.iter().any(|part| file.starts_with(part))) {
            return Err(format!("{package} would be published with {file}; exclude it in its Cargo.toml"));
        }
    }
    // All at once, since the later ones need the earlier, which are not published yet.
    show(&mut cargo(
        "package --no-verify --allow-dirty --quiet --package frostbert --package frostbert-serve --package frostbert-cli",
    ))
}
