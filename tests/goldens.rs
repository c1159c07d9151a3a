//! The numerics contract: every golden checkpoint, every tensor, on both engines.

#![allow(clippy::unwrap_used)] // Helpers of tests may.

use std::path::{Path, PathBuf};

use frostbert::workflow::verify;
use frostbert::{Checkpoint, Device, Encoder};

fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens");
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&root)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", root.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("config.json").exists())
        .collect();
    folders.sort();
    assert_eq!(folders.len(), 28, "the small goldens in {}", root.display());
    folders
}

/// Every tensor of every golden on one device; all failures are listed at once.
fn check(device: &Device) {
    let mut failures = Vec::new();
    let mut compared = 0;
    for folder in folders() {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let build =
            |checkpoint: Checkpoint| Encoder::from_checkpoint(checkpoint).device(device.clone()).build();
        match verify::golden(&folder, build) {
            Ok(comparisons) => {
                compared += comparisons.len();
                let worst = comparisons
                    .iter()
                    .map(|c| c.error / c.torch_error)
                    .fold(0.0, |worst: f64, ratio| if ratio.is_nan() { ratio } else { worst.max(ratio) });
                println!(
                    "{name}: {} tensors, worst error / PyTorch's float32 error {worst:.2}",
                    comparisons.len()
                );
                failures.extend(comparisons.into_iter().filter(|c| !c.holds()).map(|c| {
                    format!(
                        "{name} {}: error {:.3e}, allowed {:.3e} (PyTorch float32 {:.3e})",
                        c.tensor, c.error, c.allowed, c.torch_error
                    )
                }));
            }
            Err(error) => failures.push(format!("{name}: {error:#}")),
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert!(compared > 300, "only {compared} tensors were compared");
}

#[test]
fn goldens_on_the_cpu_engine() {
    check(&Device::Cpu);
}

#[cfg(feature = "gpu")]
#[test]
fn goldens_on_the_software_adapter() {
    check(&Device::Software);
}
