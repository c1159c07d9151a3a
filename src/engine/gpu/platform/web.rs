//! What differs between a native program and a web page; the twin is native.rs.

use crate::engine::gpu::adapter::{self, AdapterReport};
use crate::error::Result;
use crate::plan::kernels::{Class, Kernel, Tuning, WeightType};
use std::pin::Pin;
use wasm_bindgen::JsCast;

/// The class of a GPU without f16 in shaders, and of one whose kernels for that fail their check.
pub(in crate::engine::gpu) const GPU_CLASS: Class = Class::Browser;

/// Whether `auto` may take an adapter that does not say that it is hardware: browsers tell no device types, and offer
/// one adapter.
pub(in crate::engine::gpu) const TRUST_UNKNOWN: bool = true;

/// wgpu 30 cannot ask a browser for subgroups: the script that opens a device does (web/src/worker/webgpu.ts).
pub(in crate::engine::gpu) const SUBGROUP: wgpu::Features = wgpu::Features::empty();

/// Whether kernels may talk within subgroups.
pub(in crate::engine::gpu) fn has_subgroups(device: &wgpu::Device) -> bool {
    let has = |device: &wgpu::webgpu::GpuDevice| -> std::result::Result<bool, wasm_bindgen::JsValue> {
        let features = js_sys::Reflect::get(device.as_ref(), &"features".into())?;
        let has: js_sys::Function = js_sys::Reflect::get(&features, &"has".into())?.dyn_into()?;
        Ok(has.call1(&features, &"subgroups".into())?.is_truthy())
    };
    device.as_webgpu().is_some_and(|device| has(device).unwrap_or(false))
}

/// A kernel as the device takes it. naga, which reads it elsewhere, does not know the directive yet.
pub(in crate::engine::gpu) fn source(kernel: &Kernel) -> String {
    let enable = if kernel.uses_subgroups() { "enable subgroups;\n" } else { "" };
    enable.to_owned() + &kernel.source()
}

/// The browser drives the device by itself.
pub(in crate::engine::gpu) fn wait(_device: &wgpu::Device, _submission: wgpu::SubmissionIndex) -> Result<()> {
    Ok(())
}

/// The browser cleans up by itself.
pub(in crate::engine::gpu) fn tick(_device: &wgpu::Device) {}

/// What an error scope has caught: a browser tells later.
pub(in crate::engine::gpu) struct Pending(Pin<Box<dyn Future<Output = Option<wgpu::Error>>>>);

impl Pending {
    pub(in crate::engine::gpu) fn new(popped: impl Future<Output = Option<wgpu::Error>> + 'static) -> Self {
        Pending(Box::pin(popped))
    }

    /// What is known without waiting: nothing.
    pub(in crate::engine::gpu) fn now(&mut self) -> Option<wgpu::Error> {
        None
    }

    pub(in crate::engine::gpu) async fn settled(self) -> Option<wgpu::Error> {
        self.0.await
    }
}

/// A page has one thread: nobody else opens a device.
pub(in crate::engine::gpu) async fn alone<T>(opening: impl Future<Output = T>) -> T {
    opening.await
}

/// Applies `f` to every item.
pub(in crate::engine::gpu) fn map_all<T, R>(items: &[T], f: impl Fn(&T) -> R) -> Vec<R> {
    items.iter().map(f).collect()
}

/// What both give, one after the other.
pub(in crate::engine::gpu) async fn both<A: Future, B>(
    first: impl FnOnce() -> A,
    second: impl FnOnce() -> B,
) -> (A::Output, B) {
    (first().await, second())
}

/// Browsers keep compiled shaders themselves.
#[derive(Default)]
pub(in crate::engine::gpu) struct DiskCache;

impl DiskCache {
    pub(in crate::engine::gpu) fn new(_folder: Option<std::path::PathBuf>) -> Self {
        DiskCache
    }

    pub(in crate::engine::gpu) fn get(
        &self,
        _context: &crate::engine::gpu::context::Context,
    ) -> Option<&wgpu::PipelineCache> {
        None
    }

    pub(in crate::engine::gpu) fn save(&self) {}
}

/// A browser has no folder to keep measurements in, so that none are made.
pub(in crate::engine::gpu) const TUNES: bool = false;

/// None are kept.
pub(in crate::engine::gpu) fn load_tuning(
    _folder: &std::path::Path,
    _report: &crate::engine::gpu::adapter::AdapterReport,
    _kernels: (Class, WeightType),
) -> Tuning {
    Tuning::default()
}

/// Nor written.
pub(in crate::engine::gpu) fn save_tuning(
    _folder: &std::path::Path,
    _report: &crate::engine::gpu::adapter::AdapterReport,
    _kernels: (Class, WeightType),
    _tuning: &Tuning,
) {
}

/// Lists the adapters of this machine, in the order in which `--device INDEX` counts them.
pub async fn adapters() -> Vec<AdapterReport> {
    adapter::list().await
}
