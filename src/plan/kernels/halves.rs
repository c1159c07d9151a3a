//! What of a pass is stored as f16 on adapters whose products are of f16, with cooperative matrices or without: values that only products
//! read. Their kernels round to f16 what they read, so that storing it rounded changes no bit and halves what goes through memory.

use super::tiles::{Halves, Tiles, norm_invocations};
use crate::plan::{BufferId, Plan, Rows, Step};

/// How a step reads its operand and what it writes: by step.
pub(super) struct Stored {
    /// The step's x or qkv is read as f16.
    pub(super) reads: Vec<bool>,
    /// The step's out is written as f16: instead of f32 by products, as well by norms.
    pub(super) writes: Vec<bool>,
}

impl Stored {
    pub(super) fn of(&self, step: usize) -> Halves {
        Halves { input: self.reads[step], output: self.writes[step] }
    }
}

/// Decides for every value: what a step writes, until another step writes the same buffer. The time is linear in the plan.
pub(super) fn stored(plan: &Plan, tiles: &Tiles<'_>) -> Stored {
    let count = plan.steps.len();
    let mut stored = Stored { reads: vec![false; count], writes: vec![false; count] };
    if !tiles.has_halves() {
        return stored;
    }
    let mut values: Vec<Option<Value>> = plan.buffers.iter().map(|_| None).collect();
    for (at, step) in plan.steps.iter().enumerate() {
        // The first that a step reads is its operand; a residual is added in f32, even if it is the same buffer.
        let mut operand = operand(plan, tiles, step);
        for read in reads(step) {
            let as_operand = operand.take_if(|operand| *operand == read).is_some();
            match &mut values[read.index()] {
                Some(value) if as_operand => value.operand_of.push(at),
                Some(value) => value.read_as_f32 = true,
                None => {}
            }
        }
        let out = step.out();
        let begun = &mut values[out.index()];
        match writer(plan, tiles, step) {
            // Part of a value, or a change to it.
            Writer::Adds => {
                if let Some(value) = begun {
                    value.read_as_f32 = true;
                }
            }
            writer => {
                if let Some(value) = begun.replace(Value::new(at, writer)) {
                    value.settle(&mut stored);
                }
            }
        }
    }
    for output in &plan.outputs {
        if let Some(value) = &mut values[output.buffer.index()] {
            value.read_as_f32 = true;
        }
    }
    values.into_iter().flatten().for_each(|value| value.settle(&mut stored));
    stored
}

/// What can become of what a step writes.
#[derive(Clone, Copy, PartialEq)]
enum Writer {
    /// f32 or f16.
    Either,
    /// f32, and f16 besides.
    Both,
    /// f32.
    Full,
    /// The step writes a part of its buffer or changes it in place.
    Adds,
}

struct Value {
    writer: Writer,
    step: usize,
    operand_of: Vec<usize>,
    read_as_f32: bool,
}

impl Value {
    fn new(step: usize, writer: Writer) -> Self {
        Value { writer, step, operand_of: vec![], read_as_f32: false }
    }

    fn settle(self, stored: &mut Stored) {
        let half = match self.writer {
            Writer::Either => !self.read_as_f32,
            Writer::Both => true,
            Writer::Full | Writer::Adds => false,
        };
        if half && !self.operand_of.is_empty() {
            stored.writes[self.step] = true;
            self.operand_of.into_iter().for_each(|step| stored.reads[step] = true);
        }
    }
}

/// What a step reads and rounds to f16.
fn operand(plan: &Plan, tiles: &Tiles<'_>, step: &Step) -> Option<BufferId> {
    match *step {
        Step::MatMul { x, out, .. } => {
            let (k, to) = (plan.buffer(x).cols, plan.buffer(out));
            tiles.rounds_matmul(to.rows, k, to.cols).then_some(x)
        }
        Step::Attention { qkv, head_dim, .. } => tiles.rounds_attention(head_dim).then_some(qkv),
        _ => None,
    }
}

fn writer(plan: &Plan, tiles: &Tiles<'_>, step: &Step) -> Writer {
    match *step {
        Step::MatMul { .. } | Step::Attention { .. } if operand(plan, tiles, step).is_some() => {
            Writer::Either
        }
        Step::EmbedLayerNorm { out, .. } | Step::AddLayerNorm { out, .. } => {
            let spec = plan.buffer(out);
            let whole = spec.rows == Rows::Tokens && norm_invocations(spec.cols).is_some();
            if whole { Writer::Both } else { Writer::Full }
        }
        Step::Rotary { .. } | Step::Pool { .. } => Writer::Adds,
        _ => Writer::Full,
    }
}

/// Every buffer that a step reads.
fn reads(step: &Step) -> Vec<BufferId> {
    match *step {
        Step::EmbedLayerNorm { .. } | Step::EmbedTokens { .. } => vec![],
        Step::MatMul { x, residual, .. } | Step::AddLayerNorm { x, residual, .. } => {
            std::iter::once(x).chain(residual).collect()
        }
        Step::Attention { qkv, .. } | Step::AttentionProbabilities { qkv, .. } | Step::Rotary { qkv, .. } => {
            vec![qkv]
        }
        Step::GatedActivation { x, .. }
        | Step::GatherRows { x, .. }
        | Step::Pool { x, .. }
        | Step::MeanBlocks { x, .. }
        | Step::NormalizeRows { x, .. } => vec![x],
    }
}
