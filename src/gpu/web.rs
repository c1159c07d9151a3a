//! What differs between a native program and a web page; the twin is native.rs.

use crate::error::Result;
use crate::plan::kernels::{Class, Tuning};

/// The class of an adapter that is not a CPU.
pub(super) const GPU_CLASS: Class = Class::Browser;

/// Whether `auto` may take an adapter that does not say that it is hardware: browsers tell no device types, and offer
/// one adapter.
pub(super) const TRUST_UNKNOWN: bool = true;

/// The browser drives the device by itself.
pub(super) fn wait(_device: &wgpu::Device, _submission: wgpu::SubmissionIndex) -> Result<()> {
    Ok(())
}

/// The browser cleans up by itself.
pub(super) fn tick(_device: &wgpu::Device) {}

/// Applies `f` to every item.
pub(super) fn map_all<T, R>(items: &[T], f: impl Fn(&T) -> R) -> Vec<R> {
    items.iter().map(f).collect()
}

/// Browsers keep compiled shaders themselves.
#[derive(Default)]
pub(super) struct DiskCache;

impl DiskCache {
    pub(super) fn new(_folder: Option<std::path::PathBuf>) -> Self {
        DiskCache
    }

    pub(super) fn get(&self, _context: &super::context::Context) -> Option<&wgpu::PipelineCache> {
        None
    }

    pub(super) fn save(&self) {}
}

/// A browser has no folder to keep measurements in.
pub(super) fn load_tuning(_folder: &std::path::Path, _report: &super::adapter::AdapterReport) -> Tuning {
    Tuning::default()
}

/// Nor to write them to.
pub(super) fn save_tuning(
    _folder: &std::path::Path,
    _report: &super::adapter::AdapterReport,
    _tuning: &Tuning,
) {
}
