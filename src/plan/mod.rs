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
mod validate;

pub use builder::PlanBuilder;
pub use cost::{Cost, KernelTime, Peak};
pub use random_weights::RandomWeights;
pub use request::{HeadOutput, Request};
pub use step::{
    BufferId, BufferSpec, Norm, Output, OutputKind, RelativeBias, RowIndex, Rows, Step, WeightId,
};

use crate::error::Result;
use crate::model::WeightSpec;
use crate::text::PackedBatch;

/// An encoder pass: what to compute, in which order, into which buffers.
///
/// A plan is valid from the start: both ways to one, [`PlanBuilder::finish`] and [`Plan::new`], refuse steps whose ids or
/// sizes do not agree. Engines rely on it, since kernels are compiled without bounds checks.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    steps: Vec<Step>,
    buffers: Vec<BufferSpec>,
    weights: Vec<WeightSpec>,
    outputs: Vec<Output>,
}

impl Plan {
    /// A plan of these steps, in the order in which they run. [`BufferId`]s index `buffers`, [`WeightId`]s index `weights`;
    /// `outputs` are read back in their order.
    ///
    /// # Errors
    /// `is_input`: an id is out of range, sizes do not agree, or a step reads what no step before it wrote; the error names
    /// the step.
    ///
    /// ```
    /// use frostbert::plan::{BufferId, BufferSpec, Output, OutputKind, Plan, Rows};
    ///
    /// let buffers = vec![BufferSpec { rows: Rows::Tokens, cols: 8, label: "hidden" }];
    /// let outputs = vec![Output { kind: OutputKind::HiddenState(0), buffer: BufferId::new(0) }];
    /// let error = Plan::new(vec![], buffers, vec![], outputs).unwrap_err();
    /// assert!(error.to_string().contains("no step before has written"));
    /// ```
    pub fn new(
        steps: Vec<Step>,
        buffers: Vec<BufferSpec>,
        weights: Vec<WeightSpec>,
        outputs: Vec<Output>,
    ) -> Result<Self> {
        let plan = Plan { steps, buffers, weights, outputs };
        validate::validate(&plan)?;
        Ok(plan)
    }

    /// Steps in the order in which they run.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Every f32 buffer; [`BufferId`]s index it.
    pub fn buffers(&self) -> &[BufferSpec] {
        &self.buffers
    }

    /// Every weight; [`WeightId`]s index it.
    pub fn weights(&self) -> &[WeightSpec] {
        &self.weights
    }

    /// What is read back, in this order.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The buffer's description.
    ///
    /// # Panics
    /// The id is of another plan.
    pub fn buffer(&self, id: BufferId) -> &BufferSpec {
        &self.buffers[id.index()]
    }

    /// The weight's description.
    ///
    /// # Panics
    /// The id is of another plan.
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
