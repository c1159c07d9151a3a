//! The plan: an encoder pass as data.
//!
//! A [`Plan`] is a list of [`Step`]s over typed buffer and weight ids. It knows no GPU and holds no numbers of
//! the model: [`families`] build it from a [`Config`](crate::model::Config) and a [`Request`], and an engine
//! (`engine/gpu` in WGSL, `engine/cpu` on the CPU) runs it over
//! [`PackedBatch`]es. Row counts are symbolic ([`Rows`]), so one plan serves every batch.

pub mod builder;
mod cost;
pub mod families;
pub mod kernels;
mod random_weights;
pub mod request;
mod step;

pub use builder::PlanBuilder;
pub use cost::{Cost, KernelTime, Peak};
pub use random_weights::RandomWeights;
pub use request::{HeadOutput, Request};
pub use step::{
    BufferId, BufferSpec, Norm, Output, OutputKind, RelativeBias, RowIndex, Rows, Step, WeightId,
};

use crate::model::WeightSpec;
use crate::text::PackedBatch;

/// An encoder pass: what to compute, in which order, into which buffers.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Steps in the order in which they run.
    pub steps: Vec<Step>,
    /// Every f32 buffer; [`BufferId`]s index it.
    pub buffers: Vec<BufferSpec>,
    /// Every weight; [`WeightId`]s index it.
    pub weights: Vec<WeightSpec>,
    /// What is read back, in this order.
    pub outputs: Vec<Output>,
}

impl Plan {
    /// The buffer's description.
    pub fn buffer(&self, id: BufferId) -> &BufferSpec {
        &self.buffers[id.index()]
    }

    /// The weight's description.
    pub fn weight(&self, id: WeightId) -> &WeightSpec {
        &self.weights[id.index()]
    }

    /// Length of a buffer for one batch, in f32 elements.
    pub fn buffer_len(&self, id: BufferId, batch: &PackedBatch) -> usize {
        let spec = self.buffer(id);
        spec.rows.count(batch) * spec.cols
    }
}

/// What one batch gave: a vector per [`Plan::outputs`] entry, in that order, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outputs {
    /// The values; `buffers[i]` belongs to `plan.outputs[i]`.
    pub buffers: Vec<Vec<f32>>,
}
