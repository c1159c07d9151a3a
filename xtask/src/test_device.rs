//! `cargo xtask test-device`: everything that depends on a GPU, on the GPU that is here, in one command.

use std::path::{Path, PathBuf};

use crate::not_tested::NotTested;
use crate::process::{cargo, command, output, program, show, succeeds};
use crate::steps::Steps;
use crate::{Result, fetch, root};

/// The variable that tests take their device from (tests/support).
const VARIABLE: &str = "FROSTBERT_TEST_DEVICE";
/// The tests of the library that run on it: kernels, goldens, bits, weights in f16, whatever an engine promises.
const TESTS: [&str; 4] = ["kernels", "goldens", "invariance", "dtype"];
/// What is measured: the sizes of all-MiniLM-L6-v2 and of BERT-base, with random weights.
const SIZES: [&str; 2] = ["minilm-l6", "bert-base"];
const DTYPES: [&str; 2] = ["f16", "f32"];

/// `cargo xtask test-device [DEVICE]`: `gpu` unless it says another, as `--device` takes it.
pub fn run(words: &[&str]) -> Result<()> {
    let device = match words {
        [] => "gpu",
        [device] if !device.starts_with('-') => device,
        _ => return Err("usage: cargo xtask test-device [DEVICE], with DEVICE as --device takes it".into()),
    };
    let mut steps = Steps::new();
    let not_tested = NotTested::new()?;
    let frostbert = steps.run("build", || program("frostbert", "files"))?;
    steps.run("devices", || show(&mut command(&frostbert, ["devices"])))?;
    // One failure must not hide what the other tests say: the device may be lent for minutes.
    let mut failed: Vec<String> = Vec::new();
    for test in TESTS {
        let ran = steps.run(&format!("tests/{test}.rs on {device}"), || {
            let mut tests =
                cargo("test --workspace --exclude frostbert-web --all-features --no-fail-fast --test");
            show(not_tested.env(tests.arg(test).env(VARIABLE, device)))
        });
        failed.extend(ran.err());
    }
    let verified = steps.run("verify", || show(&mut command(&frostbert, ["verify", "--device", device])));
    failed.extend(verified.err());
    let benched = steps.run("bench", || bench(&frostbert, device));
    failed.extend(benched.err());
    not_tested.show();
    if failed.is_empty() {
        steps.summary("ok");
        return Ok(());
    }
    steps.summary("see above");
    Err(format!("{} failed:\n  {}", failed.len(), failed.join("\n  ")))
}

/// Every size in every type of weights, and PyTorch beside it where python3 has torch.
fn bench(frostbert: &Path, device: &str) -> Result<()> {
    for size in SIZES {
        for dtype in DTYPES {
            let arguments = ["bench", "--random", size, "--device", device, "--dtype", dtype];
            show(&mut command(frostbert, arguments))?;
        }
    }
    let script: PathBuf = root().join("benches/torch_encoder.py");
    if !succeeds(&mut command("python3", ["-c", "import torch, transformers"])) {
        println!("NOT MEASURED beside PyTorch: python3 has no torch and transformers here");
        return Ok(());
    }
    let found = output(command("python3", [&script]).args(SIZES))?;
    println!("{found}");
    if !succeeds(&mut command("python3", ["-c", "import sentence_transformers"])) {
        println!("NOT MEASURED beside sentence-transformers: python3 has none here");
        return Ok(());
    }
    // The real model: both read the same files.
    let model = fetch::MODEL.fetch()?;
    let found = output(command("python3", [&script]).arg("--sentence-transformers").arg(&model))?;
    println!("{found}");
    for dtype in DTYPES {
        let mut ours = command(frostbert, ["bench", "--device", device, "--dtype", dtype, "--model"]);
        show(ours.arg(&model))?;
    }
    Ok(())
}
