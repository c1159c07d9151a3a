//! Runs a plan step by step.

use super::attention;
use super::attention::{Attention, DistanceBias, Piece};
use super::embed_layernorm::EmbedLayerNorm;
use super::layernorm::LayerNorm;
use super::matmul::MatMul;
use super::parallel::Pool;
use super::weight::Weight;
use super::{
    add_layernorm, attention_probabilities, embed_layernorm, gated_activation, gather_rows, matmul,
    mean_blocks, normalize_rows, panel, pool, rotary,
};
use crate::error::{Error, Result};
use crate::model::{WeightSource, WeightSpec};
use crate::plan::{BufferId, KernelTime, Norm, Outputs, Plan, RelativeBias, Step, WeightId};
use crate::text::PackedBatch;
use fearless_simd::{Level, dispatch, prelude::*};
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use web_time::Instant;

/// Computes plans on the CPU. One engine serves one encoder: weights are shared between its plans by their specs.
///
/// ```
/// use frostbert::model::Config;
/// use frostbert::plan::{OutputKind, RandomWeights, Request, families};
/// use frostbert::engine::cpu::CpuEngine;
/// use frostbert::text::PackedBatch;
///
/// let config = Config::bert(64, 2, 4, 128, 100);
/// let plan = families::plan(&config, &Request { hidden_states: vec![2], ..Request::default() })?;
/// let engine = CpuEngine::new(None)?;
/// let prepared = engine.prepare(&plan, &RandomWeights { seed: 1 })?;
///
/// let mut batch = PackedBatch::new();
/// batch.push(&[1, 17, 42, 2], &[0; 4], config.position_offset);
/// let outputs = engine.run(&prepared, &batch)?;
/// assert_eq!(plan.outputs[0].kind, OutputKind::HiddenState(2));
/// assert_eq!(outputs.buffers[0].len(), 4 * 64);
/// # Ok::<(), frostbert::Error>(())
/// ```
pub struct CpuEngine {
    level: Level,
    panel_width: usize,
    pool: Pool,
    weights: Mutex<HashMap<WeightSpec, Arc<Weight>>>,
}

/// A plan with its weights, ready to run.
pub struct PreparedPlan {
    plan: Plan,
    weights: Vec<Arc<Weight>>,
    /// Buffers of runs that have ended, for the next ones.
    arenas: Mutex<Vec<Arena>>,
}

/// Memory of one run.
#[derive(Default)]
struct Arena {
    /// Of [`Plan::buffers`], each as long as the longest run needed.
    buffers: Vec<Vec<f32>>,
    pieces: Vec<Piece>,
}

/// What every kernel gets besides its arguments.
pub struct Context<'a> {
    /// The instruction set.
    pub level: Level,
    /// Columns of a panel under it.
    pub panel_width: usize,
    /// The threads.
    pub pool: &'a Pool,
    /// The batch, cut up for attention.
    pub pieces: &'a [Piece],
}

impl CpuEngine {
    /// An engine of `threads` threads, or of as many as the machine has cores.
    ///
    /// # Errors
    /// The operating system refuses a thread.
    pub fn new(threads: Option<NonZeroUsize>) -> Result<Self> {
        Self::with_level(Level::new(), threads)
    }

    fn with_level(level: Level, threads: Option<NonZeroUsize>) -> Result<Self> {
        let panel_width = dispatch!(level, simd => panel_width_of(simd));
        Ok(CpuEngine { level, panel_width, pool: Pool::new(threads)?, weights: Mutex::default() })
    }

    /// Number of threads it computes with.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The instruction set it computes with: `Avx512`, say.
    pub fn instruction_set(&self) -> String {
        let debug = format!("{:?}", self.level);
        debug.split('(').next().unwrap_or_default().to_owned()
    }

    pub(super) fn level(&self) -> Level {
        self.level
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Loads what a plan needs. Weights that an earlier plan loaded are shared.
    ///
    /// # Errors
    /// `weights` lacks a tensor or has it in another shape.
    pub fn prepare(&self, plan: &Plan, weights: &dyn WeightSource) -> Result<PreparedPlan> {
        let loaded = plan.weights.iter().map(|spec| self.load(spec, weights)).collect::<Result<_>>()?;
        Ok(PreparedPlan { plan: plan.clone(), weights: loaded, arenas: Mutex::default() })
    }

    fn load(&self, spec: &WeightSpec, source: &dyn WeightSource) -> Result<Arc<Weight>> {
        let mut known = self.weights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(weight) = known.get(spec) {
            return Ok(Arc::clone(weight));
        }
        let values = source.load(spec)?;
        if values.len() != spec.len() {
            return Err(Error::model_file(format!(
                "{}: the plan expects {} numbers, the source gave {}",
                spec.label(),
                spec.len(),
                values.len()
            )));
        }
        let weight = Arc::new(Weight::new(spec, &values, self.panel_width));
        known.insert(spec.clone(), Arc::clone(&weight));
        Ok(weight)
    }

    /// Computes one batch. The same text gives the same bits in every batch, at every place in it.
    ///
    /// # Errors
    /// The batch does not fit the model (an id beyond a table, an empty text), or an output is infinite or NaN; the
    /// error names the first step that is.
    pub fn run(&self, prepared: &PreparedPlan, batch: &PackedBatch) -> Result<Outputs> {
        prepared.check_batch(batch)?;
        let mut arena = prepared.take_arena();
        let outputs = self.pool.enter(|| self.compute(prepared, batch, &mut arena));
        prepared.give_back(arena);
        outputs
    }

    /// Computes one batch and tells how long each step took. The outputs are dropped, unseen.
    ///
    /// # Errors
    /// The batch does not fit the model.
    pub fn profile(&self, prepared: &PreparedPlan, batch: &PackedBatch) -> Result<Vec<KernelTime>> {
        prepared.check_batch(batch)?;
        let mut arena = prepared.take_arena();
        let times = self.pool.enter(|| {
            let Arena { buffers, pieces } = &mut arena;
            attention::pieces(batch, pieces);
            let context =
                Context { level: self.level, panel_width: self.panel_width, pool: &self.pool, pieces };
            let run = Run { prepared, batch, context };
            let timed = |(at, step): (usize, &Step)| {
                let start = Instant::now();
                run.step(step, buffers);
                let nanoseconds = start.elapsed().as_nanos() as f64;
                KernelTime { kernel: format!("{}.cpu", step.kernel()), step: at, nanoseconds }
            };
            prepared.plan.steps.iter().enumerate().map(timed).collect()
        });
        prepared.give_back(arena);
        Ok(times)
    }

    fn compute(&self, prepared: &PreparedPlan, batch: &PackedBatch, arena: &mut Arena) -> Result<Outputs> {
        let Arena { buffers, pieces } = arena;
        attention::pieces(batch, pieces);
        let context = Context { level: self.level, panel_width: self.panel_width, pool: &self.pool, pieces };
        let run = Run { prepared, batch, context };
        for step in &prepared.plan.steps {
            run.step(step, buffers);
        }
        let finite = |output: BufferId, buffers: &[Vec<f32>]| {
            let values = &buffers[output.index()][..prepared.plan.buffer_len(output, batch)];
            dispatch!(self.level, simd => all_finite(simd, values))
        };
        if !prepared.plan.outputs.iter().all(|output| finite(output.buffer, buffers)) {
            // Once more, to tell where it began: only outputs are looked at as a rule. Some steps write a part of their
            // output, so that what this run left must go first.
            buffers.iter_mut().for_each(|buffer| buffer.fill(0.0));
            for (at, step) in prepared.plan.steps.iter().enumerate() {
                run.step(step, buffers);
                if !finite(out_of(step), buffers) {
                    return Err(prepared.not_finite(at, step));
                }
            }
        }
        let take = |output: BufferId, buffers: &mut [Vec<f32>]| {
            let mut values = std::mem::take(&mut buffers[output.index()]);
            values.truncate(prepared.plan.buffer_len(output, batch));
            values
        };
        let mut outputs = Outputs::default();
        for (at, output) in prepared.plan.outputs.iter().enumerate() {
            // The same buffer may be wanted under two names.
            let earlier = prepared.plan.outputs[..at].iter().position(|other| other.buffer == output.buffer);
            outputs.buffers.push(match earlier {
                Some(earlier) => outputs.buffers[earlier].clone(),
                None => take(output.buffer, buffers),
            });
        }
        Ok(outputs)
    }
}

impl PreparedPlan {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Bytes of weights that the plan uses, those shared with other plans included.
    pub fn weight_bytes(&self) -> usize {
        self.weights.iter().map(|weight| weight.bytes()).sum()
    }

    /// Bytes of weights, and of the buffers of the runs so far.
    pub fn bytes(&self) -> usize {
        let arenas = self.arenas.lock().unwrap_or_else(PoisonError::into_inner);
        let floats: usize = arenas.iter().flat_map(|arena| &arena.buffers).map(Vec::capacity).sum();
        self.weight_bytes() + 4 * floats
    }

    fn take_arena(&self) -> Arena {
        self.arenas.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn give_back(&self, arena: Arena) {
        self.arenas.lock().unwrap_or_else(PoisonError::into_inner).push(arena);
    }

    fn weight(&self, id: WeightId) -> &Weight {
        &self.weights[id.index()]
    }

    fn check_batch(&self, batch: &PackedBatch) -> Result<()> {
        let tokens = batch.tokens();
        let ends = batch.cu_seqlens.first() == Some(&0)
            && batch.cu_seqlens.last().is_some_and(|&last| last as usize == tokens);
        let lengths = batch.type_ids.len() == tokens && batch.position_ids.len() == tokens;
        if !ends || !lengths {
            return Err(Error::input(format!(
                "the packed batch has {tokens} ids, {} type ids, {} position ids and cumulative lengths {:?} to {:?}; \
                 they must agree",
                batch.type_ids.len(),
                batch.position_ids.len(),
                batch.cu_seqlens.first(),
                batch.cu_seqlens.last()
            )));
        }
        if let Some(text) = batch.cu_seqlens.windows(2).position(|pair| pair[0] >= pair[1]) {
            return Err(Error::input(format!("text {text} of the packed batch has no tokens")));
        }
        if let Some(row) = batch.selected.iter().find(|&&row| row as usize >= tokens) {
            return Err(Error::input(format!(
                "token row {row} was selected, but the batch has {tokens} tokens"
            )));
        }
        let within = |ids: &[u32], table: WeightId, what: &str| -> Result<()> {
            let rows = self.weight(table).rows;
            match ids.iter().position(|&id| id as usize >= rows) {
                Some(at) => Err(Error::input(format!(
                    "{what} {} at token {at} of the packed batch, but {} has {rows} rows",
                    ids[at],
                    self.plan.weight(table).label()
                ))),
                None => Ok(()),
            }
        };
        for step in &self.plan.steps {
            if let Step::EmbedLayerNorm { words, positions, types, .. } = step {
                within(&batch.ids, *words, "token id")?;
                if let Some(positions) = positions {
                    within(&batch.position_ids, *positions, "position")?;
                }
                if let Some(types) = types {
                    within(&batch.type_ids, *types, "token type")?;
                }
            }
        }
        Ok(())
    }

    fn not_finite(&self, at: usize, step: &Step) -> Error {
        let weight = match step {
            Step::MatMul { weight, .. } => Some(*weight),
            Step::EmbedLayerNorm { norm, .. } | Step::AddLayerNorm { norm, .. } => Some(norm.weight),
            _ => None,
        };
        let with = weight.map(|id| format!(" with {}", self.plan.weight(id).label())).unwrap_or_default();
        Error::model_file(format!(
            "the encoder's output is infinite or NaN, first in step {at} of {}: {}{with} -> {}; the checkpoint's \
             weights may be damaged, or too large for f32",
            self.plan.steps.len(),
            step.kernel(),
            self.plan.buffer(out_of(step)).label
        ))
    }
}

/// One pass over the steps.
struct Run<'a> {
    prepared: &'a PreparedPlan,
    batch: &'a PackedBatch,
    context: Context<'a>,
}

impl Run<'_> {
    fn step(&self, step: &Step, buffers: &mut Vec<Vec<f32>>) {
        let plan = &self.prepared.plan;
        buffers.resize_with(plan.buffers.len(), Vec::new);
        // The output is taken out of the list, so that the inputs can be read next to it.
        let target = out_of(step);
        let mut out = std::mem::take(&mut buffers[target.index()]);
        let len = plan.buffer_len(target, self.batch);
        if out.len() < len {
            out.resize(len, 0.0);
        }
        self.dispatch(step, buffers, &mut out[..len]);
        buffers[target.index()] = out;
    }

    fn dispatch(&self, step: &Step, buffers: &[Vec<f32>], out: &mut [f32]) {
        let Run { prepared, batch, context } = self;
        let plan = &prepared.plan;
        let read = |id: BufferId| &buffers[id.index()][..plan.buffer_len(id, batch)];
        let cols = |id: BufferId| plan.buffer(id).cols;
        let weight = |id: WeightId| prepared.weight(id);
        match *step {
            Step::EmbedLayerNorm { words, positions, types, norm, .. } => {
                let args = EmbedLayerNorm {
                    words: weight(words),
                    positions: positions.map(weight),
                    types: types.map(weight),
                    norm: self.norm(norm),
                };
                embed_layernorm::run(context, &args, batch, out);
            }
            Step::MatMul { x, weight: matrix, bias, activation, residual, .. } => {
                let args = MatMul {
                    x: read(x),
                    weight: weight(matrix),
                    bias: bias.map(weight),
                    activation,
                    residual: residual.map(read),
                };
                matmul::run(context, &args, out);
            }
            Step::Attention { qkv, heads, head_dim, scale, window, relative_bias, .. } => {
                let relative_bias = relative_bias.map(|bias| self.distance_bias(&bias));
                let args = Attention { qkv: read(qkv), heads, head_dim, scale, window, relative_bias };
                attention::run(context, &args, out);
            }
            Step::AttentionProbabilities { qkv, heads, head_dim, scale, window, relative_bias, .. } => {
                let relative_bias = relative_bias.map(|bias| self.distance_bias(&bias));
                let args = Attention { qkv: read(qkv), heads, head_dim, scale, window, relative_bias };
                attention_probabilities::run(context, &args, out);
            }
            Step::Rotary { heads, head_dim, theta, .. } => {
                rotary::run(context, heads, head_dim, theta, batch, out);
            }
            Step::AddLayerNorm { x, residual, norm, .. } => {
                add_layernorm::run(context, read(x), residual.map(read), &self.norm(norm), out);
            }
            Step::GatedActivation { x, activation, out: target } => {
                gated_activation::run(context, read(x), activation, cols(target), out);
            }
            Step::GatherRows { x, index, .. } => gather_rows::run(read(x), index, batch, cols(x), out),
            Step::Pool { x, pooling, column, out: target } => {
                pool::run(context, read(x), cols(x), pooling, batch, (column, cols(target)), out);
            }
            Step::MeanBlocks { x, blocks, out: target } => {
                mean_blocks::run(context, read(x), blocks, cols(target), out);
            }
            Step::NormalizeRows { x, out: target } => {
                normalize_rows::run(context, read(x), cols(x), cols(target), out);
            }
        }
    }

    fn norm(&self, norm: Norm) -> LayerNorm<'_> {
        LayerNorm {
            weight: self.prepared.weight(norm.weight),
            bias: norm.bias.map(|bias| self.prepared.weight(bias)),
            eps: norm.eps,
        }
    }

    fn distance_bias(&self, bias: &RelativeBias) -> DistanceBias<'_> {
        let longest = self.batch.seqlens().max().unwrap_or(0);
        DistanceBias::new(bias, self.prepared.weight(bias.weight), longest)
    }
}

/// The buffer that a step writes.
fn out_of(step: &Step) -> BufferId {
    match *step {
        Step::EmbedLayerNorm { out, .. }
        | Step::MatMul { out, .. }
        | Step::Attention { out, .. }
        | Step::AttentionProbabilities { out, .. }
        | Step::AddLayerNorm { out, .. }
        | Step::GatedActivation { out, .. }
        | Step::GatherRows { out, .. }
        | Step::Pool { out, .. }
        | Step::MeanBlocks { out, .. }
        | Step::NormalizeRows { out, .. } => out,
        Step::Rotary { qkv, .. } => qkv,
    }
}

#[inline(always)]
fn panel_width_of<S: Simd>(_simd: S) -> usize {
    panel::width::<S>()
}

#[inline(always)]
fn all_finite<S: Simd>(simd: S, values: &[f32]) -> bool {
    // 0 * x is 0 for finite x and NaN otherwise, and a sum keeps NaN: no branch in the loop.
    super::layernorm::sum(
        simd,
        values,
        #[inline(always)]
        |x| x * 0.0,
    ) == 0.0
}
