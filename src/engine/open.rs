//! Which engine: the one place that knows both.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::cpu::CpuEngine;
use super::{DeviceReport, Engine};
use crate::device::Device;
use crate::error::Result;
use crate::plan::Plan;
use crate::plan::kernels::{Class, WeightType};

/// Tokens in one batch on the CPU engine: the activations of a batch stay in the cache.
const CPU_BATCH_TOKENS: usize = 1024;

/// What may be said before an engine is opened.
#[derive(Clone, Debug, Default)]
#[cfg_attr(not(feature = "gpu"), allow(dead_code, reason = "the CPU engine has fewer settings"))]
pub(crate) struct Settings {
    /// How matrices and word tables are kept.
    pub(crate) weights: WeightType,
    /// Threads of the CPU engine; all unless said.
    pub(crate) threads: Option<NonZeroUsize>,
    /// Runs the kernels of another class than the adapter's own.
    pub(crate) class: Option<Class>,
    /// Keeps compiled kernels in this folder.
    pub(crate) pipeline_cache: Option<PathBuf>,
    /// Measures which kernels are the fastest for a plan.
    pub(crate) tune: bool,
}

/// An open engine, and what it is.
pub(crate) struct Opened {
    pub(crate) engine: Engine,
    pub(crate) device: DeviceReport,
    /// Tokens of a batch that keep it busy.
    pub(crate) batch_tokens: usize,
}

/// Opens the engine that a device means; `plan` is what it is tuned for, where that is asked for.
///
/// # Errors
/// There is no such device, or it does not open.
pub(crate) async fn open(
    device: &Device,
    settings: Settings,
    plan: impl FnOnce() -> Result<Plan>,
) -> Result<Opened> {
    if *device == Device::Cpu {
        return cpu(settings.threads, None);
    }
    let threads = settings.threads;
    match gpu::open(device, settings, plan).await {
        Err(error) if *device == Device::Auto && error.is_device() => {
            cpu(threads, Some(format!("using the CPU engine ({error})")))
        }
        opened => opened,
    }
}

fn cpu(threads: Option<NonZeroUsize>, note: Option<String>) -> Result<Opened> {
    let engine = CpuEngine::new(threads)?;
    let name = format!("CPU engine ({}, {} threads)", engine.instruction_set(), engine.threads());
    let device = DeviceReport { name, backend: "cpu".into(), class: "cpu".into(), note };
    Ok(Opened { engine: Engine::Cpu(engine), device, batch_tokens: CPU_BATCH_TOKENS })
}

#[cfg(not(feature = "gpu"))]
mod gpu {
    use super::{Device, Opened, Plan, Result, Settings};
    use crate::error::Error;

    pub(super) async fn open(
        _device: &Device,
        _settings: Settings,
        _plan: impl FnOnce() -> Result<Plan>,
    ) -> Result<Opened> {
        Err(Error::device("this build has no WGSL engine (cargo feature `gpu` is off); use --device cpu"))
    }
}

#[cfg(feature = "gpu")]
mod gpu {
    use super::{Class, Device, DeviceReport, Engine, Opened, Plan, Result, Settings};
    use crate::engine::gpu::{AdapterSelector, GpuEngine, GpuOptions};

    /// Tokens in one batch on a software adapter: large enough to keep its threads busy, small enough to show progress.
    const SOFTWARE_BATCH_TOKENS: usize = 1024;
    /// On a GPU: enough rows to fill it.
    const GPU_BATCH_TOKENS: usize = 16_384;
    /// Likewise with cooperative matrices: 7 to 10 % faster on an H100 than half of it, and twice as many are no better. Up to 1 GiB of
    /// buffers for BERT-large.
    const TENSOR_BATCH_TOKENS: usize = 32_768;

    pub(super) async fn open(
        device: &Device,
        settings: Settings,
        plan: impl FnOnce() -> Result<Plan>,
    ) -> Result<Opened> {
        let selector = match device {
            Device::Auto | Device::Cpu => AdapterSelector::Auto,
            Device::Gpu => AdapterSelector::Gpu,
            Device::Software => AdapterSelector::Software,
            Device::Index(index) => AdapterSelector::Index(*index),
            Device::Name(name) => AdapterSelector::Name(name.clone()),
        };
        let mut engine = GpuEngine::open_async(GpuOptions {
            selector,
            class: settings.class,
            weights: settings.weights,
            pipeline_cache: settings.pipeline_cache,
            ..GpuOptions::default()
        })
        .await?;
        let refused = engine.halves_refused().map(|why| {
            format!("the kernels that multiply f16 failed their check, so the plain ones run: {why}")
        });
        let tuned = if settings.tune { tuned(&mut engine, &plan()?).await? } else { None };
        let notes: Vec<String> = refused.into_iter().chain(tuned).collect();
        let note = (!notes.is_empty()).then(|| notes.join("; "));
        let batch_tokens = match engine.class() {
            Class::Software => SOFTWARE_BATCH_TOKENS,
            // Cards of that kind have memory of their own, and enough of it.
            Class::Tensor if engine.report().device_type == "discrete" => TENSOR_BATCH_TOKENS,
            _ => GPU_BATCH_TOKENS,
        };
        let report = engine.report();
        let device = DeviceReport {
            name: report.name.clone(),
            backend: report.backend.to_string(),
            class: engine.class().name().to_owned(),
            note,
        };
        Ok(Opened { engine: Engine::Gpu(Box::new(engine)), device, batch_tokens })
    }

    /// Tunes an engine for a plan, and says how.
    async fn tuned(engine: &mut GpuEngine, plan: &Plan) -> Result<Option<String>> {
        let tuning = engine.tune_async(plan).await?;
        let tiles: Vec<_> =
            tuning.iter().map(|((k, n), tile)| format!("{n} x {k} {}", tile.name())).collect();
        Ok((!tiles.is_empty()).then(|| format!("tiles for this adapter: {}", tiles.join(", "))))
    }
}
