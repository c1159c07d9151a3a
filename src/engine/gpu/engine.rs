//! The engine: prepares plans and submits batches.

use super::adapter::{AdapterReport, AdapterSelector};
use super::arena;
use super::arena::{Arena, Capacity};
use super::context::Context;
use super::fault::lock;
use super::pipelines::{Pipeline, Pipelines};
use super::platform;
use super::readback::{InFlight, Staging};
use super::weights::Weights;
use crate::error::{Error, Result};
use crate::model::WeightSource;
use crate::plan::kernels::{Class, Count, Dispatch, Groups, Limits, Resource, Tuning, WeightType, lower};
use crate::plan::{Plan, Rows, Step};
use crate::text::PackedBatch;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// What may be set before an engine starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuOptions {
    /// Which adapter.
    pub selector: AdapterSelector,
    /// Runs the kernels of another class than the adapter's own; for tests and measurements.
    pub class: Option<Class>,
    /// Runs a software adapter's kernels for subgroups of so many (0, 4 or 8), at most those for its own; for tests.
    pub subgroup: Option<u32>,
    /// Allocates for batches of so many tokens at the first one, instead of growing.
    pub batch_tokens: usize,
    /// How matrices and word tables are stored on the device.
    pub weights: WeightType,
    /// Takes the device to bind no more bytes than this; for tests.
    pub max_binding_bytes: Option<u64>,
    /// Keeps compiled kernels in this folder for the next process, where the adapter can (Vulkan).
    pub pipeline_cache: Option<std::path::PathBuf>,
    /// Fills every buffer with NaN before each batch, so that what a kernel leaves out shows; for tests.
    pub poison: bool,
}

/// One device that computes plans. An engine serves one checkpoint: plans share weights that have equal specs.
pub struct GpuEngine {
    context: Arc<Context>,
    class: Class,
    tuning: Tuning,
    /// Where compiled kernels and measurements of them are kept.
    folder: Option<std::path::PathBuf>,
    batch_tokens: usize,
    poison: bool,
    pipelines: Pipelines,
    weights: Weights,
    weight_type: WeightType,
}

/// A plan whose kernels are compiled and whose weights are on the device.
pub struct PreparedPlan {
    pub(super) plan: Plan,
    pub(super) dispatches: Vec<Dispatch>,
    pub(super) pipelines: Vec<Pipeline>,
    pub(super) weights: HashMap<Resource, Arc<wgpu::Buffer>>,
    /// The parameters of all dispatches, each at a multiple of `params_stride`; the counts are zero.
    pub(super) params: Vec<u8>,
    pub(super) params_stride: usize,
    pub(super) arena: Mutex<Option<Arena>>,
    pub(super) staging: Arc<Staging>,
    max_tokens: usize,
}

impl PreparedPlan {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Token rows that kernels are dispatched over for a batch of so many tokens: those that fill up the last tile, too.
    pub(crate) fn dispatched_rows(&self, tokens: usize) -> usize {
        let per_token = self.dispatches.iter().filter(|dispatch| dispatch.count == Count::Rows(Rows::Tokens));
        let rows = per_token.flat_map(|dispatch| dispatch.groups).map(|groups| match groups {
            Groups::Per(each) => groups.of(tokens) * each as usize,
            Groups::Fixed(_) => tokens,
        });
        rows.max().unwrap_or(tokens)
    }

    /// The most tokens that a batch may have on this device.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Bytes on the device: weights, those shared with other plans included, and the buffers of batches.
    pub fn bytes(&self) -> usize {
        let arena = lock(&self.arena).as_ref().map_or(0, Arena::bytes);
        let weights: u64 = self.weights.values().map(|buffer| buffer.size()).sum();
        (arena + weights) as usize
    }
}

impl GpuEngine {
    /// Opens an adapter.
    ///
    /// # Errors
    /// `is_device`: there is no such adapter, or it does not open.
    pub async fn new(selector: AdapterSelector) -> Result<Self> {
        Self::with_options(GpuOptions { selector, ..GpuOptions::default() }).await
    }

    /// Opens an adapter with settings of one's own.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub async fn with_options(options: GpuOptions) -> Result<Self> {
        let tensor =
            options.weights == WeightType::F16 && matches!(options.class, None | Some(Class::Tensor));
        let mut context = Context::open(&options.selector, tensor, options.subgroup).await?;
        let limits = &mut context.report.limits;
        limits.max_binding_bytes =
            options.max_binding_bytes.unwrap_or(u64::MAX).min(limits.max_binding_bytes);
        let mut engine = GpuEngine {
            class: options.class.unwrap_or(context.report.class),
            tuning: options
                .pipeline_cache
                .as_deref()
                .map_or_else(Tuning::default, |folder| platform::load_tuning(folder, &context.report)),
            folder: options.pipeline_cache.clone(),
            context: Arc::new(context),
            batch_tokens: options.batch_tokens,
            poison: options.poison,
            pipelines: Pipelines::new(options.pipeline_cache),
            weights: Weights::default(),
            weight_type: options.weights,
        };
        if tensor && engine.class == Class::Tensor && !engine.tensor_kernels_agree().await? {
            engine.class = Class::Gpu;
        }
        Ok(engine)
    }

    /// Runs the kernels of another class than the adapter's own; for tests and measurements.
    #[must_use]
    pub fn with_class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// Allocates for batches of so many tokens at the first one, instead of growing with the batches.
    #[must_use]
    pub fn with_batch_tokens(mut self, tokens: usize) -> Self {
        self.batch_tokens = tokens;
        self
    }

    /// The adapter.
    pub fn report(&self) -> &AdapterReport {
        &self.context.report
    }

    /// Gives the device up: whatever is asked of this engine from now on fails.
    pub fn destroy(&self) {
        self.context.device.destroy();
    }

    /// Which kernels run.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The tiles that were measured to be fastest on this device, now or by a process before.
    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// Names the tiles for matrices; plans prepared from now on use them.
    pub fn set_tuning(&mut self, tuning: Tuning) {
        self.tuning = tuning;
    }

    pub(super) fn kernel_folder(&self) -> Option<&std::path::Path> {
        self.folder.as_deref()
    }

    /// Whether [`Tile::Cooperative`] is a kernel of its own here.
    pub(super) fn has_cooperative_kernels(&self) -> bool {
        self.class == Class::Tensor
            && self.weight_type == WeightType::F16
            && self.context.report.cooperative.is_some()
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Compiles the plan's kernels and uploads its weights, those that no other plan has uploaded before.
    ///
    /// # Errors
    /// `is_limit`: a weight is too large for the device. `is_model_file`: a weight cannot be loaded. `is_device`:
    /// the driver refuses something.
    pub async fn prepare(&self, plan: &Plan, source: &dyn WeightSource) -> Result<PreparedPlan> {
        self.prepare_with(self.class, &self.tuning, plan, source).await
    }

    /// [`prepare`](Self::prepare) with the kernels of a class, and of a tuning.
    pub(super) async fn prepare_with(
        &self,
        class: Class,
        tuning: &Tuning,
        plan: &Plan,
        source: &dyn WeightSource,
    ) -> Result<PreparedPlan> {
        let limits = &self.context.report.limits;
        let kernel_limits = Limits {
            max_binding_bytes: limits.max_binding_bytes.min(limits.max_buffer_bytes),
            cooperative: self.context.report.cooperative,
            subgroup: self.context.report.subgroup,
        };
        let dispatches = lower(plan, class, self.weight_type, &kernel_limits, tuning)?;
        let resources: Vec<_> = dispatches
            .iter()
            .flat_map(|dispatch| dispatch.bindings.iter().map(|(resource, _)| *resource))
            .collect();
        let pipelines = self.pipelines.get(&self.context, &dispatches);
        self.context.fault.check().map_err(|error| error.context("compiling kernels"))?;
        let weights = self.weights.get(&self.context, plan, source, &resources)?;

        let params_stride = self.context.device.limits().min_uniform_buffer_offset_alignment as usize;
        let mut params = vec![0; params_stride * dispatches.len()];
        for (dispatch, bytes) in dispatches.iter().zip(params.chunks_exact_mut(params_stride)) {
            for ((_, word), bytes) in dispatch.params.iter().zip(bytes.chunks_exact_mut(4)) {
                bytes.copy_from_slice(&word.bits().to_ne_bytes());
            }
        }
        Ok(PreparedPlan {
            max_tokens: arena::max_tokens(&self.context, plan).min(limits.max_workgroups as usize),
            plan: plan.clone(),
            dispatches,
            pipelines,
            weights,
            params,
            params_stride,
            arena: Mutex::new(None),
            staging: Arc::default(),
        })
    }

    /// Starts a batch: one submission with all dispatches and the copies to a staging buffer. Returns without waiting;
    /// several batches may be in flight, the device computes them in order.
    ///
    /// # Errors
    /// `is_input`: the batch does not fit the model (an id outside of its table, a text without tokens). `is_limit`:
    /// it does not fit the device. `is_device`: the driver refuses something.
    pub fn submit(&self, prepared: &PreparedPlan, batch: &PackedBatch) -> Result<InFlight> {
        let mut slot = lock(&prepared.arena);
        let arena = self.make_room(prepared, batch, &mut slot)?;
        let mut encoder = self.encoder("batch");
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for index in 0..prepared.dispatches.len() {
                record(&mut pass, prepared, arena, batch, index);
            }
        }
        let lens: Vec<_> = prepared
            .plan
            .outputs
            .iter()
            .map(|output| prepared.plan.buffer_len(output.buffer, batch))
            .collect();
        let total = lens.iter().sum::<usize>() as u64 * 4;
        let staging = prepared.staging.take(&self.context, total);
        let mut at = 0;
        for (output, len) in prepared.plan.outputs.iter().zip(&lens) {
            let bytes = *len as u64 * 4;
            encoder.copy_buffer_to_buffer(&arena.buffers[output.buffer.index()], 0, &staging, at, bytes);
            at += bytes;
        }
        let submission = self.context.queue.submit([encoder.finish()]);
        drop(slot);
        self.context.fault.check().map_err(|error| error.context("submitting a batch"))?;
        Ok(InFlight::new(self.context.clone(), prepared.staging.clone(), staging, submission, lens))
    }

    /// Checks the batch, gives it an arena that is large enough, and writes it there.
    pub(super) fn make_room<'a>(
        &self,
        prepared: &PreparedPlan,
        batch: &PackedBatch,
        slot: &'a mut Option<Arena>,
    ) -> Result<&'a Arena> {
        check_batch(&prepared.plan, batch)?;
        for dispatch in &prepared.dispatches {
            let count = dispatch.count.of(batch);
            let most = self.context.report.limits.max_workgroups as usize;
            if dispatch.groups.iter().any(|groups| groups.of(count) > most) {
                return Err(Error::limit(format!(
                    "{} of a batch of {} tokens needs more than {most} workgroups, the most {} allows; make batches \
                     smaller (--batch-tokens)",
                    dispatch.kernel.name,
                    batch.tokens(),
                    self.context.report.name
                )));
            }
        }
        let needed = Capacity::of(batch, &prepared.plan);
        if slot.as_ref().is_none_or(|arena| !arena.capacity.holds(&needed)) {
            // The old arena goes first: two at a time might not fit. Batches in flight keep what they use.
            let old = slot.take().map_or(Capacity::default(), |arena| arena.capacity);
            let tokens = self.batch_tokens.min(prepared.max_tokens);
            let roomy = Capacity { tokens, texts: needed.texts * 5 / 4, ..needed };
            let wanted = roomy.max(needed).max(old);
            let arena = Arena::new(&self.context, prepared, wanted)
                .or_else(|_| Arena::new(&self.context, prepared, needed))?;
            *slot = Some(arena);
        }
        let arena = slot.as_ref().expect("made just above");
        if self.poison {
            arena.poison(&self.context.queue);
        }
        let mut params = prepared.params.clone();
        for (dispatch, bytes) in
            prepared.dispatches.iter().zip(params.chunks_exact_mut(prepared.params_stride))
        {
            bytes[..4].copy_from_slice(&(dispatch.count.of(batch) as u32).to_ne_bytes());
        }
        arena.write(&self.context.queue, batch, &params);
        Ok(arena)
    }

    pub(super) fn encoder(&self, label: &str) -> wgpu::CommandEncoder {
        self.context.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some(label) })
    }
}

/// Records one dispatch.
pub(super) fn record(
    pass: &mut wgpu::ComputePass<'_>,
    prepared: &PreparedPlan,
    arena: &Arena,
    batch: &PackedBatch,
    index: usize,
) {
    let dispatch = &prepared.dispatches[index];
    let count = dispatch.count.of(batch);
    let [x, y, z] = dispatch.groups.map(|groups| groups.of(count) as u32);
    pass.set_pipeline(&prepared.pipelines[index].pipeline);
    pass.set_bind_group(0, &arena.bind_groups[index], &[(index * prepared.params_stride) as u32]);
    pass.dispatch_workgroups(x, y, z);
}

/// Kernels read tables without checks: ids are checked here.
fn check_batch(plan: &Plan, batch: &PackedBatch) -> Result<()> {
    let tokens = batch.tokens();
    let lens_agree = batch.type_ids.len() == tokens
        && batch.position_ids.len() == tokens
        && batch.cu_seqlens.first() == Some(&0)
        && batch.cu_seqlens.last().is_some_and(|last| *last as usize == tokens);
    if !lens_agree {
        return Err(Error::input(format!(
            "the batch is inconsistent: {tokens} ids, {} type ids, {} positions, cu_seqlens from {:?} to {:?}",
            batch.type_ids.len(),
            batch.position_ids.len(),
            batch.cu_seqlens.first(),
            batch.cu_seqlens.last()
        )));
    }
    if let Some(text) = batch.cu_seqlens.windows(2).position(|pair| pair[0] >= pair[1]) {
        return Err(Error::input(format!("text {text} of the batch has no tokens; leave it out")));
    }
    let below = |values: &[u32], most: usize, what: &str| match values.iter().max() {
        Some(&largest) if largest as usize >= most => Err(Error::input(format!(
            "{what} {largest} is outside of the model's {most}; was the text cut to the model's longest input, and \
             does the tokenizer belong to the model?"
        ))),
        _ => Ok(()),
    };
    below(&batch.selected, tokens, "selected row")?;
    for step in &plan.steps {
        if let Step::EmbedLayerNorm { words, positions, types, .. } = step {
            let rows = |weight| plan.weight(weight).rows();
            below(&batch.ids, rows(*words), "token id")?;
            if let Some(positions) = positions {
                below(&batch.position_ids, rows(*positions), "position")?;
            }
            if let Some(types) = types {
                below(&batch.type_ids, rows(*types), "token type")?;
            }
        }
    }
    Ok(())
}
