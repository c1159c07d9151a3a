//! Runs a plan step by step.

use super::attention;
use super::attention::{Attention, DistanceBias};
use super::context::{Context, Piece, pieces};
use super::embed_layernorm::EmbedLayerNorm;
use super::layernorm::LayerNorm;
use super::matmul::MatMul;
use super::panel::Kernel;
use super::parallel::Pool;
use super::weight::Weight;
use super::{
    add_layernorm, attention_probabilities, embed_layernorm, embed_tokens, gated_activation, gather_rows,
    matmul, mean_blocks, normalize_rows, pool, rotary,
};
use crate::engine::check;
use crate::engine::check::OutputCheck;
use crate::engine::rounding::Rounded;
use crate::error::Result;
use crate::model::{WeightSource, WeightSpec};
use crate::plan::kernels::WeightType;
use crate::plan::{BufferId, KernelTime, Norm, Outputs, Plan, RelativeBias, Step, WeightId};
use crate::text::PackedBatch;
use fearless_simd::Level;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
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
/// assert_eq!(plan.outputs()[0].kind, OutputKind::HiddenState(2));
/// assert_eq!(outputs.buffers[0].len(), 4 * 64);
/// # Ok::<(), frostbert::Error>(())
/// ```
pub struct CpuEngine {
    level: Level,
    kernel: Kernel,
    pool: Pool,
    /// Those that a living plan uses.
    weights: Mutex<HashMap<WeightSpec, Weak<Weight>>>,
    /// Buffers of runs that have ended, for the next ones, of whatever plan.
    arenas: Mutex<Vec<Arena>>,
}

/// A plan with its weights, ready to run.
pub struct CpuPlan {
    plan: Plan,
    weights: Vec<Arc<Weight>>,
    /// What the weights were rounded to.
    stored: WeightType,
}

/// Arenas kept for runs to come: as many as runs go on at once, within reason.
const ARENAS_KEPT: usize = 4;

/// Every value guarded here is whole at any time, also after a thread panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Memory of one run.
#[derive(Default)]
struct Arena {
    /// Of [`Plan::buffers`], each as long as the longest run needed.
    buffers: Vec<Vec<f32>>,
    pieces: Vec<Piece>,
}

impl CpuEngine {
    /// An engine of `threads` threads, or of as many as the machine has cores.
    ///
    /// # Errors
    /// The operating system refuses a thread.
    pub fn new(threads: Option<NonZeroUsize>) -> Result<Self> {
        let level = Level::new();
        Self::with_kernel(level, Kernel::new(level), threads)
    }

    fn with_kernel(level: Level, kernel: Kernel, threads: Option<NonZeroUsize>) -> Result<Self> {
        Ok(CpuEngine {
            level,
            kernel,
            pool: Pool::new(threads)?,
            weights: Mutex::default(),
            arenas: Mutex::default(),
        })
    }

    /// Number of threads it computes with.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The instruction set it computes with: `Avx512f`, say.
    pub fn instruction_set(&self) -> String {
        if self.kernel.avx512 {
            return "Avx512f".to_owned();
        }
        // What `dispatch` makes of a level, whatever else the processor has.
        #[cfg(target_arch = "x86_64")]
        return if self.level.as_avx2().is_some() { "Avx2" } else { "Sse2" }.to_owned();
        #[cfg(not(target_arch = "x86_64"))]
        format!("{:?}", self.level).split('(').next().unwrap_or_default().to_owned()
    }

    pub(super) fn level(&self) -> Level {
        self.level
    }

    pub(super) fn kernel(&self) -> Kernel {
        self.kernel
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Loads what a plan needs. Weights that a living plan uses are shared.
    ///
    /// # Errors
    /// `is_model_file`: `weights` lacks a tensor, has it in another shape, or with numbers that are not finite.
    pub fn prepare(&self, plan: &Plan, weights: &dyn WeightSource) -> Result<CpuPlan> {
        self.prepare_as(plan, weights, WeightType::F32)
    }

    /// [`prepare`](Self::prepare), with weights rounded as a device rounds them that stores `stored`.
    pub(crate) fn prepare_as(
        &self,
        plan: &Plan,
        source: &dyn WeightSource,
        stored: WeightType,
    ) -> Result<CpuPlan> {
        let rounded;
        let source: &dyn WeightSource = match stored {
            WeightType::F32 => source,
            WeightType::F16 => {
                rounded = Rounded::new(source, plan);
                &rounded
            }
        };
        let mut known = lock(&self.weights);
        known.retain(|_, weight| weight.strong_count() > 0);
        let load = |spec: &WeightSpec| {
            if let Some(weight) = known.get(spec).and_then(Weak::upgrade) {
                return Ok(weight);
            }
            let weight = Arc::new(Weight::new(spec, &check::weight(source, spec)?, self.kernel.width()));
            known.insert(spec.clone(), Arc::downgrade(&weight));
            Ok(weight)
        };
        let weights = plan.weights().iter().map(load).collect::<Result<_>>()?;
        Ok(CpuPlan { plan: plan.clone(), weights, stored })
    }

    /// Bytes of the weights that living plans use, and of the buffers of the runs so far.
    pub fn bytes(&self) -> usize {
        let weights: usize =
            lock(&self.weights).values().filter_map(Weak::upgrade).map(|weight| weight.bytes()).sum();
        let floats: usize =
            lock(&self.arenas).iter().flat_map(|arena| &arena.buffers).map(Vec::capacity).sum();
        weights + 4 * floats
    }

    fn take_arena(&self) -> Arena {
        lock(&self.arenas).pop().unwrap_or_default()
    }

    fn give_back(&self, arena: Arena) {
        let mut arenas = lock(&self.arenas);
        if arenas.len() < ARENAS_KEPT {
            arenas.push(arena);
        }
    }

    /// Computes one batch. The same text gives the same bits in every batch, at every place in it.
    ///
    /// # Errors
    /// The batch does not fit the model (an id beyond a table, an empty text), or an output is infinite or NaN; the
    /// error names the first step that is.
    pub fn run(&self, prepared: &CpuPlan, batch: &PackedBatch) -> Result<Outputs> {
        check::batch(&prepared.plan, batch)?;
        let mut arena = self.take_arena();
        let outputs = self.pool.enter(|| self.compute(prepared, batch, &mut arena));
        self.give_back(arena);
        outputs
    }

    /// Computes one batch and tells how long each step took. The outputs are dropped, unseen.
    ///
    /// # Errors
    /// The batch does not fit the model.
    pub fn profile(&self, prepared: &CpuPlan, batch: &PackedBatch) -> Result<Vec<KernelTime>> {
        check::batch(&prepared.plan, batch)?;
        let mut arena = self.take_arena();
        let times = self.pool.enter(|| {
            let Arena { buffers, pieces: cut } = &mut arena;
            pieces(batch, self.pool.threads(), cut);
            let context = Context { level: self.level, kernel: self.kernel, pool: &self.pool, pieces: cut };
            let run = Run { prepared, batch, context };
            let timed = |(at, step): (usize, &Step)| {
                let start = Instant::now();
                run.step(step, buffers);
                let nanoseconds = start.elapsed().as_nanos() as f64;
                KernelTime { kernel: format!("{}.cpu", step.kernel()), step: at, nanoseconds }
            };
            prepared.plan.steps().iter().enumerate().map(timed).collect()
        });
        self.give_back(arena);
        Ok(times)
    }

    fn compute(&self, prepared: &CpuPlan, batch: &PackedBatch, arena: &mut Arena) -> Result<Outputs> {
        let Arena { buffers, pieces: cut } = arena;
        pieces(batch, self.pool.threads(), cut);
        let context = Context { level: self.level, kernel: self.kernel, pool: &self.pool, pieces: cut };
        let run = Run { prepared, batch, context };
        for step in prepared.plan.steps() {
            run.step(step, buffers);
        }
        let take = |output: BufferId, buffers: &mut [Vec<f32>]| {
            let mut values = std::mem::take(&mut buffers[output.index()]);
            values.truncate(prepared.plan.buffer_len(output, batch));
            values
        };
        let mut outputs = Outputs::default();
        for (at, output) in prepared.plan.outputs().iter().enumerate() {
            // The same buffer may be wanted under two names.
            let earlier =
                prepared.plan.outputs()[..at].iter().position(|other| other.buffer == output.buffer);
            outputs.buffers.push(match earlier {
                Some(earlier) => outputs.buffers[earlier].clone(),
                None => take(output.buffer, buffers),
            });
        }
        OutputCheck::new(&prepared.plan, batch, prepared.stored)
            .check(&outputs)
            .map_err(|error| error.detail(run.first_not_finite(buffers)))?;
        Ok(outputs)
    }
}

impl CpuPlan {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Bytes of weights that the plan uses, those shared with other plans included.
    pub fn weight_bytes(&self) -> usize {
        self.weights.iter().map(|weight| weight.bytes()).sum()
    }

    fn weight(&self, id: WeightId) -> &Weight {
        &self.weights[id.index()]
    }
}

/// One pass over the steps.
struct Run<'a> {
    prepared: &'a CpuPlan,
    batch: &'a PackedBatch,
    context: Context<'a>,
}

impl Run<'_> {
    /// Runs the pass once more, to tell where numbers stopped being finite: only outputs are looked at as a rule.
    fn first_not_finite(&self, buffers: &mut Vec<Vec<f32>>) -> String {
        let plan = &self.prepared.plan;
        // Some steps write a part of their output, so that what this run left must go first.
        buffers.iter_mut().for_each(|buffer| buffer.fill(0.0));
        for (at, step) in plan.steps().iter().enumerate() {
            self.step(step, buffers);
            let out = step.out();
            let values = &buffers[out.index()][..plan.buffer_len(out, self.batch)];
            if check::first_not_finite(values).is_some() {
                let weight = match step {
                    Step::MatMul { weight, .. } => Some(*weight),
                    Step::EmbedLayerNorm { norm, .. } | Step::AddLayerNorm { norm, .. } => Some(norm.weight),
                    _ => None,
                };
                let with = weight.map(|id| format!(" with {}", plan.weight(id).label())).unwrap_or_default();
                return format!(
                    "first in step {at} of {}: {}{with} -> {}",
                    plan.steps().len(),
                    step.kernel(),
                    plan.buffer(out).label
                );
            }
        }
        "and a second run was finite".to_owned()
    }

    fn step(&self, step: &Step, buffers: &mut Vec<Vec<f32>>) {
        let plan = &self.prepared.plan;
        if buffers.len() < plan.buffers().len() {
            buffers.resize_with(plan.buffers().len(), Vec::new);
        }
        // The output is taken out of the list, so that the inputs can be read next to it.
        let target = step.out();
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
            Step::EmbedTokens { words, .. } => embed_tokens::run(context, weight(words), batch, out),
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
            Step::MeanBlocks { x, blocks, weights, out: target } => {
                let weights = weights.map(|id| &weight(id).padded()[..blocks]);
                mean_blocks::run(context, read(x), blocks, weights, cols(target), out);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Config;
    use crate::plan::{RandomWeights, Request, families};

    /// The bits of `avx512.rs` are those of AVX2. On machines without it there is one kernel, and this says so.
    #[test]
    fn both_matrix_kernels_give_the_same_bits() {
        let level = Level::new();
        let (kernel, generic) = (Kernel::new(level), Kernel::of_level(level));
        if kernel == generic {
            println!("NOT TESTED: this processor has no second matrix kernel");
            return;
        }
        // Widths that are no multiple of a panel, longer than a block of k; texts that leave each number of rows over.
        let config = Config::bert(36 * 6, 2, 6, 4 * 101, 50);
        let request = Request {
            hidden_states: vec![2],
            attentions: vec![0],
            pooler_output: true,
            ..Request::default()
        };
        let plan = families::plan(&config, &request).unwrap();
        let mut batch = PackedBatch::new();
        for len in [1, 2, 3, 5, 7, 8, 9, 31, 33, 100, 211] {
            let ids: Vec<u32> = (0..len).map(|at| (at * 7 + len) % 50).collect();
            batch.push(&ids, &vec![0; ids.len()], 0);
        }
        let outputs = [kernel, generic].map(|kernel| {
            let engine = CpuEngine::with_kernel(level, kernel, None).unwrap();
            let prepared = engine.prepare(&plan, &RandomWeights { seed: 3 }).unwrap();
            engine.run(&prepared, &batch).unwrap()
        });
        for (a, b) in outputs[0].buffers.iter().zip(&outputs[1].buffers) {
            assert!(a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }
}
