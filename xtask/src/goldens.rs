//! `cargo xtask goldens`: how far both engines are from transformers, as docs/fidelity.md.

use std::fs;

use crate::process::{command, output, program};
use crate::{Result, fetch, install, root};

const HEAD: &str = "# Fidelity

Every output of every golden checkpoint against what transformers computes from the same weights in float64, by
`cargo xtask goldens`. *Largest error* is absolute, over real rows. */ PyTorch's* is the largest ratio, over tensors, of our
error to the error of PyTorch's own float32 run there: the contract allows 4 (with a floor of 4e-6 · max(1, |largest value|)).
all-MiniLM-L6-v2 is the real model: 64 sentence embeddings, of which no coordinate may be off by more than 2e-6.

";

/// `cargo xtask goldens`.
pub fn run() -> Result<()> {
    install::vulkan()?;
    let model = fetch::MODEL.fetch()?;
    let frostbert = program("frostbert", "files")?;
    let goldens = root().join("tests/fixtures/goldens");
    let mut verify =
        command(&frostbert, ["verify", "--device", "cpu", "--also", "software", "--markdown", "--model"]);
    let table = output(verify.arg(model).arg(goldens))?;
    let path = root().join("docs/fidelity.md");
    fs::write(&path, format!("{HEAD}{table}")).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("{table}\nwritten to {}", path.display());
    Ok(())
}
