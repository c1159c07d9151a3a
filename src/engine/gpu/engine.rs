//! The engine: prepares plans and submits batches.

use super::adapter::{AdapterReport, AdapterSelector};
use super::arena;
use super::arena::Arena;
use super::compiled::CompiledPlan;
use super::context::Context;
use super::fault::{Caught, lock};
use super::layout::{Capacity, Layout};
use super::pipelines::Pipelines;
use super::platform;
use super::readback::{InFlight, Staging};
use super::weights::Weights;
use crate::engine::check;
use crate::engine::check::OutputCheck;
use crate::error::{Error, Result};
use crate::model::WeightSource;
use crate::plan::kernels::{Class, Count, Groups, Limits, Tuning, WeightType, lower};
use crate::plan::{Plan, Rows};
use crate::platform::entry;
use crate::text::PackedBatch;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// What may be set before an engine starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuOptions {
    /// Which adapter.
    pub selector: AdapterSelector,
    /// Allocates for batches of so many tokens at the first one, instead of growing.
    pub batch_tokens: usize,
    /// How matrices and word tables are stored on the device.
    pub weights: WeightType,
    /// Keeps compiled kernels in this folder for the next process, where the adapter can (Vulkan).
    pub pipeline_cache: Option<std::path::PathBuf>,
    /// For tests and measurements: runs the kernels of another class than the adapter's own.
    #[doc(hidden)]
    pub class: Option<Class>,
    /// For tests: runs kernels for subgroups of so many (0, 4 or 8), at most those for the adapter's own.
    #[doc(hidden)]
    pub subgroup: Option<u32>,
    /// For tests: takes the device to bind no more bytes than this.
    #[doc(hidden)]
    pub max_binding_bytes: Option<u64>,
    /// For tests: fills every buffer with NaN before each batch, so that what a kernel leaves out shows.
    #[doc(hidden)]
    pub poison: bool,
    /// For tests: batches of so many tokens hold a command that the driver refuses.
    #[doc(hidden)]
    pub refused_tokens: Option<usize>,
    /// For tests: kernels that multiply f16 are sure to fail their check at start-up.
    #[doc(hidden)]
    pub spoil_self_check: bool,
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
    refused_tokens: Option<usize>,
    pipelines: Pipelines,
    weights: Weights,
    weight_type: WeightType,
    /// Shared by all plans: batches run one after another.
    arena: Arc<Mutex<Arena>>,
    staging: Arc<Staging>,
    /// Plans prepared so far.
    plans: AtomicU64,
    halves_refused: Option<String>,
}

/// A plan whose kernels are compiled and whose weights are on the device.
pub struct GpuPlan {
    pub(super) compiled: CompiledPlan,
    /// The engine's.
    pub(super) arena: Arc<Mutex<Arena>>,
}

impl GpuPlan {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.compiled.plan
    }

    /// Token rows that kernels are dispatched over for a batch of so many tokens: those that fill up the last tile, too.
    pub(crate) fn dispatched_rows(&self, tokens: usize) -> usize {
        let per_token =
            self.compiled.dispatches.iter().filter(|dispatch| {
                dispatch.count == Count::Rows(Rows::Tokens) && dispatch.when.holds(tokens)
            });
        let rows = per_token.flat_map(|dispatch| dispatch.groups).map(|groups| match groups {
            Groups::Per(each) => groups.of(tokens) * each as usize,
            Groups::Fixed(_) => tokens,
        });
        rows.max().unwrap_or(tokens)
    }

    /// The most tokens that a batch may have on this device.
    pub fn max_tokens(&self) -> usize {
        self.compiled.max_tokens
    }

    /// Bytes of weights on the device, those shared with other plans included.
    pub fn weight_bytes(&self) -> usize {
        self.compiled.weights.values().map(|buffer| buffer.size()).sum::<u64>() as usize
    }
}

impl Drop for GpuPlan {
    fn drop(&mut self) {
        lock(&self.arena).forget(self.compiled.id);
    }
}

impl GpuEngine {
    entry! {
        /// Opens an adapter.
        ///
        /// # Errors
        /// `is_device`: there is no such adapter, or it does not open.
        pub fn new(selector: AdapterSelector) -> Result<Self> = new_async;

        /// Opens an adapter with settings of one's own.
        ///
        /// # Errors
        /// As [`new`](Self::new).
        pub fn with_options(options: GpuOptions) -> Result<Self> = open_async;
    }

    async fn new_async(selector: AdapterSelector) -> Result<Self> {
        Self::open_async(GpuOptions { selector, ..GpuOptions::default() }).await
    }

    pub(crate) async fn open_async(options: GpuOptions) -> Result<Self> {
        let wanted = options.weights == WeightType::F16
            && matches!(options.class, None | Some(Class::Tensor | Class::Half));
        if !wanted {
            return Self::start(&options, false).await;
        }
        let refused = match Self::with_halves(&options).await {
            Ok(engine) => return Ok(engine),
            // There is no such adapter, or it is lost: without those kernels no less.
            Err(error) => error,
        };
        // A driver that fails on these kernels may have lost the device. So the plain ones run on another one, which was never asked for the
        // others; what is wrong with the adapter itself shows there again.
        let mut engine = Self::start(&options, false).await?;
        if matches!(engine.class, Class::Tensor | Class::Half) {
            engine.become_plain();
        }
        engine.halves_refused = Some(format!("{refused:#}"));
        Ok(engine)
    }

    /// An engine whose kernels that multiply f16 are right, or that has none.
    ///
    /// # Errors
    /// `is_device`: the adapter does not open with what they need, or they are wrong.
    async fn with_halves(options: &GpuOptions) -> Result<Self> {
        let mut engine = Self::start(options, true).await?;
        let has = match engine.class {
            Class::Tensor => engine.context.report.cooperative.is_some(),
            Class::Half => engine.context.has_f16(),
            _ => return Ok(engine),
        };
        // A spoilt check has to find something wrong wherever it runs.
        if !has && !options.spoil_self_check {
            engine.become_plain();
            return Ok(engine);
        }
        let agree = engine.halves_agree(options.spoil_self_check).await;
        let octets = engine.class == Class::Half && engine.context.report.subgroup >= 8;
        if matches!(agree, Ok(true)) {
            return Ok(engine);
        }
        drop(engine);
        if octets {
            // Neighbours that share no subgroup, it may be, which the same kernels without subgroups do not mind.
            let without = GpuOptions { subgroup: Some(0), ..options.clone() };
            let engine = Self::start(&without, true).await?;
            if matches!(engine.halves_agree(options.spoil_self_check).await, Ok(true)) {
                return Ok(engine);
            }
        }
        agree.and(Err(Error::device("they compute something else than the plain ones")))
    }

    /// Opens the adapter, with what kernels that multiply f16 need or without it.
    async fn start(options: &GpuOptions, halves: bool) -> Result<Self> {
        let mut context = Context::open(&options.selector, options.class, halves, options.subgroup).await?;
        let limits = &mut context.report.limits;
        limits.max_binding_bytes =
            options.max_binding_bytes.unwrap_or(u64::MAX).min(limits.max_binding_bytes);
        let mut engine = GpuEngine {
            class: options.class.unwrap_or(context.report.class),
            tuning: Tuning::default(),
            folder: options.pipeline_cache.clone(),
            context: Arc::new(context),
            batch_tokens: options.batch_tokens,
            poison: options.poison,
            refused_tokens: options.refused_tokens,
            pipelines: Pipelines::new(options.pipeline_cache.clone()),
            weights: Weights::default(),
            weight_type: options.weights,
            arena: Arc::default(),
            staging: Arc::default(),
            plans: AtomicU64::new(0),
            halves_refused: None,
        };
        engine.load_tuning();
        Ok(engine)
    }

    /// Takes the kernels without f16 in shaders, and what was measured of them.
    fn become_plain(&mut self) {
        self.class = platform::GPU_CLASS;
        self.load_tuning();
    }

    fn load_tuning(&mut self) {
        if let Some(folder) = &self.folder {
            self.tuning = platform::load_tuning(folder, &self.context.report, self.kernels());
        }
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

    /// Why kernels that multiply f16 do not run although the adapter can: what their check at start-up found.
    pub fn halves_refused(&self) -> Option<&str> {
        self.halves_refused.as_deref()
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

    /// Which kernels are measured and run.
    pub(super) fn kernels(&self) -> (Class, WeightType) {
        (self.class, self.weight_type)
    }

    /// Whether cooperative tiles have kernels of their own here.
    pub(super) fn has_cooperative_kernels(&self) -> bool {
        self.class == Class::Tensor
            && self.weight_type == WeightType::F16
            && self.context.report.cooperative.is_some()
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Bytes on the device: weights that living plans use, and the buffers of batches, which plans share.
    pub fn bytes(&self) -> usize {
        (self.weights.bytes() + lock(&self.arena).bytes() + self.staging.bytes()) as usize
    }

    entry! {
        /// Compiles the plan's kernels and uploads its weights, those that no living plan has uploaded before.
        ///
        /// # Errors
        /// `is_limit`: a weight is too large for the device. `is_model_file`: a weight cannot be loaded, or holds numbers
        /// that are not finite. `is_device`: the driver refuses something.
        pub fn prepare(&self, plan: &Plan, source: &dyn WeightSource) -> Result<GpuPlan> = prepare_async;
    }

    pub(crate) async fn prepare_async(&self, plan: &Plan, source: &dyn WeightSource) -> Result<GpuPlan> {
        self.prepare_with(self.class, &self.tuning, plan, source).await
    }

    /// [`prepare`](Self::prepare) with the kernels of a class, and of a tuning.
    pub(super) async fn prepare_with(
        &self,
        class: Class,
        tuning: &Tuning,
        plan: &Plan,
        source: &dyn WeightSource,
    ) -> Result<GpuPlan> {
        let limits = &self.context.report.limits;
        let kernel_limits = Limits {
            max_binding_bytes: limits.max_binding_bytes.min(limits.max_buffer_bytes),
            cooperative: self.context.report.cooperative,
            subgroup: self.context.report.subgroup,
            max_workgroup_bytes: limits.max_workgroup_bytes,
        };
        let dispatches = lower(plan, class, self.weight_type, &kernel_limits, tuning)?;
        let resources: Vec<_> = dispatches
            .iter()
            .flat_map(|dispatch| dispatch.bindings.iter().map(|(resource, _)| *resource))
            .collect();
        // Compiling takes as long as rounding and laying out the weights.
        let (pipelines, weights) = platform::both(
            || self.pipelines.get(&self.context, &dispatches),
            || self.weights.get(&self.context, plan, source, &resources),
        )
        .await;
        let (pipelines, (weights, uploads)) = (pipelines?, weights?);
        for caught in uploads {
            caught.settled().await.map_err(|error| error.context("uploading weights"))?;
        }

        let params_stride = self.context.device.limits().min_uniform_buffer_offset_alignment as usize;
        let mut params = vec![0; params_stride * dispatches.len()];
        for (dispatch, bytes) in dispatches.iter().zip(params.chunks_exact_mut(params_stride)) {
            for ((_, word), bytes) in dispatch.params.iter().zip(bytes.chunks_exact_mut(4)) {
                bytes.copy_from_slice(&word.bits().to_ne_bytes());
            }
        }
        let compiled = CompiledPlan {
            id: self.plans.fetch_add(1, Ordering::Relaxed),
            layout: Layout::new(plan, &dispatches),
            max_tokens: arena::max_tokens(&self.context, plan).min(limits.max_workgroups as usize),
            plan: plan.clone(),
            dispatches,
            pipelines,
            weights,
            params,
            params_stride,
        };
        Ok(GpuPlan { compiled, arena: self.arena.clone() })
    }

    /// Starts a batch: one submission with all dispatches and the copies to a staging buffer. Returns without waiting;
    /// several batches may be in flight, the device computes them in order.
    ///
    /// # Errors
    /// `is_input`: the batch does not fit the model (an id outside of its table, a text without tokens). `is_limit`:
    /// it does not fit the device. `is_device`: the driver refuses something of this batch.
    pub fn submit(&self, prepared: &GpuPlan, batch: &PackedBatch) -> Result<InFlight> {
        let GpuPlan { compiled, arena: shared } = prepared;
        let mut arena = lock(shared);
        let room = self.make_room(compiled, batch, &mut arena)?;
        let lens =
            compiled.plan.outputs().iter().map(|output| compiled.plan.buffer_len(output.buffer, batch));
        let lens: Vec<_> = lens.collect();
        let scope = self.context.scope();
        self.write(compiled, batch, &arena);
        let mut encoder = self.encoder("batch");
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for index in 0..compiled.dispatches.len() {
                record(&mut pass, compiled, &arena, batch, index);
            }
        }
        let total = lens.iter().sum::<usize>() as u64 * 4;
        let staging = self.staging.take(&self.context, total);
        let mut at = 0;
        for (output, len) in compiled.plan.outputs().iter().zip(&lens) {
            let bytes = *len as u64 * 4;
            let buffer = arena.buffer(compiled.layout.output(output.buffer));
            encoder.copy_buffer_to_buffer(buffer, 0, &staging, at, bytes);
            at += bytes;
        }
        if self.refused_tokens == Some(batch.tokens()) {
            encoder.copy_buffer_to_buffer(&staging, 0, &staging, staging.size(), 4);
        }
        let submission = self.context.queue.submit([encoder.finish()]);
        let caught = room.into_iter().fold(scope.close(), Caught::and);
        drop(arena);
        let (context, kept) = (self.context.clone(), self.staging.clone());
        let in_flight = InFlight::new(context, kept, staging, submission, caught, lens)
            .map_err(|error| error.context("submitting a batch"))?;
        let check = OutputCheck::new(&compiled.plan, batch, self.weight_type);
        Ok(in_flight.checked(check, shared.clone()))
    }

    /// Checks the batch, and makes the arena large enough for it.
    pub(super) fn make_room(
        &self,
        compiled: &CompiledPlan,
        batch: &PackedBatch,
        arena: &mut Arena,
    ) -> Result<Option<Caught>> {
        check::batch(&compiled.plan, batch)?;
        for dispatch in compiled.dispatches.iter().filter(|dispatch| dispatch.is_for(batch)) {
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
        let needed = Capacity::of(batch, &compiled.plan);
        let tokens = self.batch_tokens.min(compiled.max_tokens);
        let roomy = Capacity { tokens, texts: needed.texts * 5 / 4, ..needed };
        arena.fit(&self.context, compiled, needed, roomy)
    }

    /// Writes a batch to where the kernels read it.
    pub(super) fn write(&self, compiled: &CompiledPlan, batch: &PackedBatch, arena: &Arena) {
        if self.poison {
            arena.poison(&self.context.queue, compiled);
        }
        let mut params = compiled.params.clone();
        for (dispatch, bytes) in
            compiled.dispatches.iter().zip(params.chunks_exact_mut(compiled.params_stride))
        {
            bytes[..4].copy_from_slice(&(dispatch.count.of(batch) as u32).to_ne_bytes());
        }
        arena.write(&self.context.queue, compiled, batch, &params);
    }

    pub(super) fn encoder(&self, label: &str) -> wgpu::CommandEncoder {
        self.context.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some(label) })
    }
}

/// Records one dispatch.
pub(super) fn record(
    pass: &mut wgpu::ComputePass<'_>,
    compiled: &CompiledPlan,
    arena: &Arena,
    batch: &PackedBatch,
    index: usize,
) {
    let dispatch = &compiled.dispatches[index];
    if !dispatch.is_for(batch) {
        return; // no text of that length, say
    }
    let count = dispatch.count.of(batch);
    let [x, y, z] = dispatch.groups.map(|groups| groups.of(count) as u32);
    pass.set_pipeline(&compiled.pipelines[index].pipeline);
    pass.set_bind_group(0, &arena.bind_groups(compiled)[index], &[(index * compiled.params_stride) as u32]);
    pass.dispatch_workgroups(x, y, z);
}
