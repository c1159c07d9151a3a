//! Measured tiles on disk, beside the compiled kernels of the same adapter.

use super::adapter::AdapterReport;
use super::pipeline_cache::{keep, key};
use crate::plan::kernels::{Class, Tile, Tuning, WeightType};
use std::path::{Path, PathBuf};

/// What is kept for this adapter in a folder; nothing where there is nothing that can be read. Kernels of another class or for other
/// weights were not measured by it: those of cooperative matrices take f16 alone, say.
pub(super) fn load(folder: &Path, report: &AdapterReport, kernels: (Class, WeightType)) -> Tuning {
    let mut tuning = Tuning::default();
    let read = std::fs::read(path(folder, report, kernels)).ok();
    let kept: Option<Vec<(usize, usize, Tile)>> = read.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    for (k, n, tile) in kept.unwrap_or_default() {
        tuning.set(k, n, tile);
    }
    tuning
}

/// A failure costs the next process a second, and is not worth a word.
pub(super) fn save(folder: &Path, report: &AdapterReport, kernels: (Class, WeightType), tuning: &Tuning) {
    let kept: Vec<_> = tuning.iter().map(|((k, n), tile)| (k, n, tile)).collect();
    if let Ok(json) = serde_json::to_vec(&kept) {
        let _ = keep(&path(folder, report, kernels), &json);
    }
}

fn path(folder: &Path, report: &AdapterReport, (class, weights): (Class, WeightType)) -> PathBuf {
    folder.join(format!("{}.{}-{}.tiles.json", key(report), class.name(), weights.name()))
}
