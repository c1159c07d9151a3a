//! Two engines with one face: [`gpu`] runs WGSL kernels on any adapter that WebGPU reaches, [`cpu`] the same kernels in Rust.
//!
//! The encoder opens one and from then on knows neither by name.

mod check;
pub mod cpu;
#[cfg(feature = "gpu")]
pub mod gpu;
mod open;
pub(crate) mod rounding;
pub(crate) mod scheduler;

pub(crate) use open::{Settings, open};

use crate::error::Result;
use crate::model::WeightSource;
use crate::plan::kernels::WeightType;
use crate::plan::{KernelTime, Outputs, Peak, Plan};
use crate::platform::pause;
use crate::text::PackedBatch;

/// What computes, in words.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DeviceReport {
    /// The adapter's name, or `CPU engine`.
    pub name: String,
    /// `vulkan`, `metal`, `dx12`, `webgpu` or `cpu`.
    pub backend: String,
    /// Which kernels run: `gpu`, `browser`, `half`, `tensor`, `software`, or `cpu`.
    pub class: String,
    /// Why this device, where that is not what was asked for: "no GPU was found; using the CPU engine".
    pub note: Option<String>,
}

impl DeviceReport {
    /// Whether its kernels round to f16 what they multiply with f16 weights.
    pub fn multiplies_f16(&self) -> bool {
        ["half", "tensor"].contains(&self.class.as_str())
    }
}

/// What computes.
pub(crate) enum Engine {
    Cpu(cpu::CpuEngine),
    #[cfg(feature = "gpu")]
    Gpu(Box<gpu::GpuEngine>),
}

/// A plan with its weights on the engine.
pub(crate) enum Prepared {
    Cpu(cpu::CpuPlan),
    #[cfg(feature = "gpu")]
    Gpu(Box<gpu::GpuPlan>),
}

/// A batch that was handed to an engine.
pub(crate) enum InFlight {
    /// The CPU engine computes as it is asked.
    Ready(Outputs),
    #[cfg(feature = "gpu")]
    Gpu(gpu::InFlight),
}

/// Only a defect of ours gets here: an encoder has one engine, and its plans are prepared by it.
#[cfg(feature = "gpu")]
fn foreign_plan() -> crate::error::Error {
    crate::error::Error::device("a plan prepared for one engine was given to another")
}

impl Engine {
    /// Loads the plan's weights, kept as `weights`, and builds what it needs to run.
    pub(crate) async fn prepare(
        &self,
        plan: &Plan,
        source: &dyn WeightSource,
        weights: WeightType,
    ) -> Result<Prepared> {
        Ok(match self {
            Engine::Cpu(engine) => Prepared::Cpu(engine.prepare_as(plan, source, weights)?),
            #[cfg(feature = "gpu")]
            Engine::Gpu(engine) => Prepared::Gpu(Box::new(engine.prepare_async(plan, source).await?)),
        })
    }

    /// Starts a batch. The GPU engine returns at once; the CPU engine when the batch is computed.
    pub(crate) fn submit(&self, prepared: &Prepared, batch: &PackedBatch) -> Result<InFlight> {
        match (self, prepared) {
            (Engine::Cpu(engine), Prepared::Cpu(plan)) => Ok(InFlight::Ready(engine.run(plan, batch)?)),
            #[cfg(feature = "gpu")]
            (Engine::Gpu(engine), Prepared::Gpu(plan)) => Ok(InFlight::Gpu(engine.submit(plan, batch)?)),
            #[cfg(feature = "gpu")]
            _ => Err(foreign_plan()),
        }
    }

    /// Runs a batch and tells how long each kernel took.
    pub(crate) async fn profile(&self, prepared: &Prepared, batch: &PackedBatch) -> Result<Vec<KernelTime>> {
        match (self, prepared) {
            (Engine::Cpu(engine), Prepared::Cpu(plan)) => engine.profile(plan, batch),
            #[cfg(feature = "gpu")]
            (Engine::Gpu(engine), Prepared::Gpu(plan)) => engine.profile_async(plan, batch).await,
            #[cfg(feature = "gpu")]
            _ => Err(foreign_plan()),
        }
    }

    /// What the device can do at most.
    pub(crate) async fn peak(&self) -> Result<Peak> {
        match self {
            Engine::Cpu(engine) => Ok(engine.peak()),
            #[cfg(feature = "gpu")]
            Engine::Gpu(engine) => engine.peak_async().await,
        }
    }

    /// Bytes of the weights in use, and of the buffers of batches, which all plans share.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Engine::Cpu(engine) => engine.bytes(),
            #[cfg(feature = "gpu")]
            Engine::Gpu(engine) => engine.bytes(),
        }
    }

    /// Gives a GPU up.
    pub(crate) fn lose(&self) {
        match self {
            Engine::Cpu(_) => {}
            #[cfg(feature = "gpu")]
            Engine::Gpu(engine) => engine.destroy(),
        }
    }

    /// How many batches may be in flight at once.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Engine::Cpu(_) => 1,
            #[cfg(feature = "gpu")]
            Engine::Gpu(_) => 2,
        }
    }
}

impl InFlight {
    /// Waits for the results.
    pub(crate) async fn outputs(self) -> Result<Outputs> {
        match self {
            InFlight::Ready(outputs) => {
                pause().await;
                Ok(outputs)
            }
            #[cfg(feature = "gpu")]
            InFlight::Gpu(batch) => batch.outputs_async().await,
        }
    }
}
