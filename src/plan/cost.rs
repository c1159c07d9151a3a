//! What a step costs: operations and bytes, to be set against what a device can do.

use super::{BufferId, Plan, Rows, Step, WeightId};
use crate::text::PackedBatch;
use serde::Serialize;

/// The least that a step must do for one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Floating-point operations (a multiply and an add are two) of what grows faster than its output: matmuls and attention.
    pub flops: u64,
    /// Bytes that go through memory if every input, weight and output is moved once. A table counts for the rows gathered.
    pub bytes: u64,
}

impl Plan {
    /// Floating-point operations of all steps; see [`Cost::flops`].
    pub fn flops(&self, batch: &PackedBatch) -> u64 {
        self.steps.iter().map(|step| self.cost(step, batch).flops).sum()
    }

    /// The cost of one step.
    pub fn cost(&self, step: &Step, batch: &PackedBatch) -> Cost {
        let buffer = |id: BufferId| self.buffer_len(id, batch) as u64;
        let optional = |id: Option<BufferId>| id.map_or(0, buffer);
        let weight = |id: WeightId| self.weight(id).len() as u64;
        let gathered =
            |id: Option<WeightId>| id.map_or(0, |id| self.weight(id).cols() as u64 * batch.tokens() as u64);
        let squares = || Rows::TokenPairs.count(batch) as u64;
        let (flops, elements) = match *step {
            Step::EmbedLayerNorm { words, positions, types, out, .. } => {
                (0, gathered(Some(words)) + gathered(positions) + gathered(types) + buffer(out))
            }
            Step::EmbedTokens { words, out } => (0, gathered(Some(words)) + buffer(out)),
            Step::MatMul { x, weight: matrix, residual, out, .. } => (
                2 * self.buffer(out).rows.count(batch) as u64 * weight(matrix),
                buffer(x) + weight(matrix) + optional(residual) + buffer(out),
            ),
            Step::Attention { qkv, heads, head_dim, out, .. } => {
                (4 * squares() * (heads * head_dim) as u64, buffer(qkv) + buffer(out))
            }
            // Half of the products, and values are not read.
            Step::AttentionProbabilities { qkv, heads, head_dim, out, .. } => {
                (2 * squares() * (heads * head_dim) as u64, buffer(qkv) * 2 / 3 + buffer(out))
            }
            Step::Rotary { qkv, .. } => (0, buffer(qkv) * 2 / 3 * 2),
            Step::AddLayerNorm { x, residual, out, .. } => (0, buffer(x) + optional(residual) + buffer(out)),
            Step::GatherRows { out, .. } => (0, 2 * buffer(out)),
            Step::GatedActivation { x, out, .. }
            | Step::MeanBlocks { x, out, .. }
            | Step::NormalizeRows { x, out } => (0, buffer(x) + buffer(out)),
            // Several poolings share an output: each writes as many columns as it reads.
            Step::Pool { x, out, .. } => {
                let written = self.buffer(out).rows.count(batch) * self.buffer(x).cols;
                (0, buffer(x) + written as u64)
            }
        };
        Cost { flops, bytes: 4 * elements }
    }

    /// The sizes that tell steps of one kernel apart: `1536 x 384` of a matrix, columns elsewhere.
    pub fn shape(&self, step: &Step) -> String {
        match *step {
            Step::MatMul { weight, .. } => {
                let spec = self.weight(weight);
                format!("{} x {}", spec.rows(), spec.cols())
            }
            Step::Attention { heads, head_dim, .. }
            | Step::AttentionProbabilities { heads, head_dim, .. } => {
                format!("{heads} x {head_dim}")
            }
            Step::Rotary { heads, head_dim, .. } => format!("{heads} x {head_dim}"),
            Step::EmbedLayerNorm { out, .. }
            | Step::EmbedTokens { out, .. }
            | Step::AddLayerNorm { out, .. }
            | Step::GatedActivation { out, .. }
            | Step::GatherRows { out, .. }
            | Step::Pool { out, .. }
            | Step::MeanBlocks { out, .. }
            | Step::NormalizeRows { out, .. } => self.buffer(out).cols.to_string(),
        }
    }
}

/// How long one dispatch, or one step on the CPU engine, took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KernelTime {
    /// `KERNEL.VARIANT`.
    pub kernel: String,
    /// Position in [`Plan::steps`].
    pub step: usize,
    /// Nanoseconds on the device.
    pub nanoseconds: f64,
}

/// What a device can do at most, as measured by kernels that do nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Peak {
    /// Fused multiply-adds in registers: f32 operations per second, two an instruction and lane.
    pub flops: f64,
    /// Multiply-adds of cooperative matrices, f16 in and f32 out, likewise; where kernels use them.
    pub cooperative: Option<f64>,
    /// Bytes per second of a copy, read and written.
    pub bytes: f64,
}

impl Peak {
    /// The operations per second that a kernel is measured against.
    pub fn of(&self, kernel: &str) -> f64 {
        self.cooperative.filter(|_| kernel.contains(".tensor")).unwrap_or(self.flops)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Config;
    use crate::model::{EmbeddingRequest, LayerMix, Pooling};
    use crate::plan::{Request, families};

    /// The figures that DESIGN-level arithmetic gives: 24 d² L + 4 S d L a token.
    #[test]
    fn a_bert_costs_what_the_formula_says() {
        let config = Config::bert(384, 6, 12, 1536, 1000);
        let embeddings = EmbeddingRequest {
            layers: vec![6],
            mix: LayerMix::Concat,
            layer_weights: None,
            pooling: vec![Pooling::Mean],
            modules: vec![],
            dimensions: None,
            normalize: true,
        };
        let request = Request { embeddings: Some(embeddings), ..Request::default() };
        let plan = families::plan(&config, &request).unwrap();
        let mut batch = PackedBatch::new();
        batch.push(&[7; 10], &[0; 10], 0);
        batch.push(&[7; 30], &[0; 30], 0);
        let expected = 40 * 24 * 384 * 384 * 6 + (100 + 900) * 4 * 384 * 6;
        assert_eq!(plan.flops(&batch), expected);
        let pool = plan.steps.iter().find(|step| matches!(step, Step::Pool { .. })).unwrap();
        assert_eq!(plan.cost(pool, &batch), Cost { flops: 0, bytes: 4 * (40 * 384 + 2 * 384) });
    }
}
