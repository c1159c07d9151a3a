//! The numerics contract: every golden checkpoint, every tensor, on both engines, as the checkpoint stores its weights and in f16.

#![allow(clippy::unwrap_used)] // Helpers of tests may.

mod support;

use std::path::{Path, PathBuf};

use frostbert::workflow::verify;
use frostbert::workflow::verify::Contract;
use frostbert::{Checkpoint, Device, Dtype, Encoder};

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

/// Every tensor of every golden on one device; all failures are listed at once. Returns how many tensors were held to f16's contract.
fn check(device: &Device, dtype: Dtype) -> usize {
    let mut failures = Vec::new();
    let (mut compared, mut rounded) = (0, 0);
    for folder in folders() {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let build = |checkpoint: Checkpoint| {
            Encoder::from_checkpoint(checkpoint).device(device.clone()).dtype(dtype).build()
        };
        match verify::golden(&folder, build) {
            Ok(comparisons) => {
                compared += comparisons.len();
                rounded += comparisons.iter().filter(|c| c.contract == Contract::F16).count();
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
    rounded
}

#[test]
fn goldens_on_the_cpu_engine() {
    assert_eq!(check(&Device::Cpu, Dtype::Auto), 0, "checkpoints in f16 lose nothing there");
}

#[test]
fn goldens_in_f16_on_the_cpu_engine() {
    assert!(check(&Device::Cpu, Dtype::F16) > 300);
}

#[cfg(feature = "gpu")]
#[test]
fn goldens_on_the_adapter() {
    check(&support::device(), Dtype::Auto);
}

/// An f16 checkpoint too: on adapters that multiply f16 that is where it is exact.
#[cfg(feature = "gpu")]
#[test]
fn goldens_in_f32_on_the_adapter() {
    assert_eq!(check(&support::device(), Dtype::F32), 0);
}

#[cfg(feature = "gpu")]
#[test]
fn goldens_in_f16_on_the_adapter() {
    assert!(check(&support::device(), Dtype::F16) > 300);
}
