//! What differs between a native program and a web page; the twin is web.rs.

use crate::engine::gpu::adapter::{self, AdapterReport};
use crate::engine::gpu::context::Context;
use crate::engine::gpu::fault::lock;
use crate::engine::gpu::pipeline_cache::PipelineCache;
use crate::error::{Error, Result};
use crate::plan::kernels::{Class, Kernel};
use rayon::prelude::*;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

/// The class of a GPU without f16 in shaders, and of one whose kernels for that fail their check.
pub(in crate::engine::gpu) const GPU_CLASS: Class = Class::Gpu;

/// Whether `auto` may take an adapter that does not say that it is hardware.
pub(in crate::engine::gpu) const TRUST_UNKNOWN: bool = false;

/// What a device is asked for that talks within subgroups.
pub(in crate::engine::gpu) const SUBGROUP: wgpu::Features = wgpu::Features::SUBGROUP;

/// Whether kernels may talk within subgroups.
pub(in crate::engine::gpu) fn has_subgroups(device: &wgpu::Device) -> bool {
    device.features().contains(SUBGROUP)
}

/// A kernel as the device takes it.
pub(in crate::engine::gpu) fn source(kernel: &Kernel) -> String {
    kernel.source()
}

/// Drives the device until this submission is done and its buffers are mapped.
pub(in crate::engine::gpu) fn wait(device: &wgpu::Device, submission: wgpu::SubmissionIndex) -> Result<()> {
    let poll = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
    device
        .poll(poll)
        .map(|_| ())
        .map_err(|error| Error::device("waiting for the adapter to finish a batch failed").with_source(error))
}

/// Lets the device clean up after what is done.
pub(in crate::engine::gpu) fn tick(device: &wgpu::Device) {
    // An error here is a lost device, which the next check reports.
    let _ = device.poll(wgpu::PollType::Poll);
}

/// What an error scope has caught: known as soon as it is popped.
pub(in crate::engine::gpu) struct Pending(Option<wgpu::Error>);

impl Pending {
    pub(in crate::engine::gpu) fn new(popped: impl Future<Output = Option<wgpu::Error>>) -> Self {
        Pending(pollster::block_on(popped))
    }

    /// What is known without waiting.
    pub(in crate::engine::gpu) fn now(&mut self) -> Option<wgpu::Error> {
        self.0.take()
    }

    pub(in crate::engine::gpu) async fn settled(self) -> Option<wgpu::Error> {
        self.0
    }
}

/// Waits for a device to be opened, or adapters to be listed, while no other thread does so: NVIDIA's driver has crashed when
/// four opened devices at once.
pub(in crate::engine::gpu) async fn alone<T>(opening: impl Future<Output = T>) -> T {
    static OPENING: Mutex<()> = Mutex::new(());
    let _alone = lock(&OPENING);
    // Nothing is awaited while the lock is held: here such a future is done when it is first asked.
    pollster::block_on(opening)
}

/// Applies `f` to every item, on all cores.
pub(in crate::engine::gpu) fn map_all<T: Sync, R: Send>(
    items: &[T],
    f: impl Fn(&T) -> R + Sync + Send,
) -> Vec<R> {
    items.par_iter().map(f).collect()
}

/// What both give, the second on a thread of its own meanwhile. No thread of rayon's: one that waits takes up other work, perhaps of
/// somebody who waits for a lock that our caller holds.
pub(in crate::engine::gpu) async fn both<A: Future, B: Send>(
    first: impl FnOnce() -> A,
    second: impl FnOnce() -> B + Send,
) -> (A::Output, B) {
    std::thread::scope(|scope| {
        let second = scope.spawn(second);
        let first = pollster::block_on(first());
        (first, second.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Whether tiles are measured, so that any may be used.
pub(in crate::engine::gpu) const TUNES: bool = true;

pub(in crate::engine::gpu) use crate::engine::gpu::tuning_file::{load as load_tuning, save as save_tuning};

/// The pipeline cache on disk, opened when the first kernel is compiled.
#[derive(Default)]
pub(in crate::engine::gpu) struct DiskCache {
    folder: Option<PathBuf>,
    open: OnceLock<Option<PipelineCache>>,
}

impl DiskCache {
    pub(in crate::engine::gpu) fn new(folder: Option<PathBuf>) -> Self {
        DiskCache { folder, open: OnceLock::new() }
    }

    pub(in crate::engine::gpu) fn get(&self, context: &Context) -> Option<&wgpu::PipelineCache> {
        let folder = self.folder.as_ref()?;
        let open = || PipelineCache::open(&context.device, &context.report, folder);
        self.open.get_or_init(open).as_ref().map(PipelineCache::inner)
    }

    pub(in crate::engine::gpu) fn save(&self) {
        if let Some(Some(cache)) = self.open.get() {
            cache.save();
        }
    }
}

/// Lists the adapters of this machine, in the order in which `--device INDEX` counts them.
pub fn adapters() -> Vec<AdapterReport> {
    pollster::block_on(adapter::list())
}
