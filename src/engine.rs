//! The two engines behind one face: the encoder joins a plan with either.

use crate::error::{Error, Result};
use crate::gpu::{self, GpuEngine};
use crate::pause::pause;
use crate::plan::{KernelTime, Outputs, Peak, Plan, WeightSource};
use crate::reference::{self, CpuEngine};
use crate::text::PackedBatch;

/// What computes.
pub(crate) enum Engine {
    Cpu(CpuEngine),
    Gpu(Box<GpuEngine>),
}

/// A plan with its weights on the engine.
pub(crate) enum Prepared {
    Cpu(reference::PreparedPlan),
    Gpu(Box<gpu::PreparedPlan>),
}

/// A batch that was handed to an engine.
pub(crate) enum InFlight {
    /// The CPU engine computes as it is asked.
    Ready(Outputs),
    Gpu(gpu::InFlight),
}

impl Engine {
    /// Loads the plan's weights and builds what it needs to run.
    pub(crate) async fn prepare(&self, plan: &Plan, weights: &dyn WeightSource) -> Result<Prepared> {
        Ok(match self {
            Engine::Cpu(engine) => Prepared::Cpu(engine.prepare(plan, weights)?),
            Engine::Gpu(engine) => Prepared::Gpu(Box::new(engine.prepare(plan, weights).await?)),
        })
    }

    /// Starts a batch. The GPU engine returns at once; the CPU engine when the batch is computed.
    pub(crate) fn submit(&self, prepared: &Prepared, batch: &PackedBatch) -> Result<InFlight> {
        match (self, prepared) {
            (Engine::Cpu(engine), Prepared::Cpu(plan)) => Ok(InFlight::Ready(engine.run(plan, batch)?)),
            (Engine::Gpu(engine), Prepared::Gpu(plan)) => Ok(InFlight::Gpu(engine.submit(plan, batch)?)),
            _ => Err(Error::device("a plan prepared for one engine was given to another")),
        }
    }

    /// Runs a batch and tells how long each kernel took.
    pub(crate) async fn profile(&self, prepared: &Prepared, batch: &PackedBatch) -> Result<Vec<KernelTime>> {
        match (self, prepared) {
            (Engine::Cpu(engine), Prepared::Cpu(plan)) => engine.profile(plan, batch),
            (Engine::Gpu(engine), Prepared::Gpu(plan)) => engine.profile(plan, batch).await,
            _ => Err(Error::device("a plan prepared for one engine was given to another")),
        }
    }

    /// What the device can do at most.
    pub(crate) async fn peak(&self) -> Result<Peak> {
        match self {
            Engine::Cpu(engine) => Ok(engine.peak()),
            Engine::Gpu(engine) => engine.peak().await,
        }
    }

    /// How many batches may be in flight at once.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Engine::Cpu(_) => 1,
            Engine::Gpu(_) => 2,
        }
    }
}

impl Prepared {
    /// Bytes of weights and buffers on the engine.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Prepared::Cpu(plan) => plan.bytes(),
            Prepared::Gpu(plan) => plan.bytes(),
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
            InFlight::Gpu(batch) => batch.outputs().await,
        }
    }
}
