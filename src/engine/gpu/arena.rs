//! Buffers of a prepared plan that are as long as a batch, and the bind groups over them.

use super::context::Context;
use super::engine::PreparedPlan;
use crate::error::{Error, Result};
use crate::plan::kernels::{Count, Resource};
use crate::plan::{BufferSpec, Plan, Rows};
use crate::text::PackedBatch;
use std::collections::HashMap;

/// How large a batch an arena holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Capacity {
    pub(super) tokens: usize,
    pub(super) texts: usize,
    pub(super) selected: usize,
    pub(super) pairs: usize,
}

impl Capacity {
    pub(super) fn of(batch: &PackedBatch, plan: &Plan) -> Self {
        let needs_pairs = plan.buffers.iter().any(|buffer| buffer.rows == Rows::TokenPairs);
        Capacity {
            tokens: batch.tokens(),
            texts: batch.texts(),
            selected: batch.selected.len(),
            pairs: if needs_pairs { Rows::TokenPairs.count(batch) } else { 0 },
        }
    }

    pub(super) fn holds(&self, other: &Capacity) -> bool {
        self.tokens >= other.tokens
            && self.texts >= other.texts
            && self.selected >= other.selected
            && self.pairs >= other.pairs
    }

    pub(super) fn max(self, other: Capacity) -> Capacity {
        Capacity {
            tokens: self.tokens.max(other.tokens),
            texts: self.texts.max(other.texts),
            selected: self.selected.max(other.selected),
            pairs: self.pairs.max(other.pairs),
        }
    }

    pub(super) fn rows(&self, rows: Rows) -> usize {
        match rows {
            Rows::Tokens => self.tokens,
            Rows::Texts => self.texts,
            Rows::Selected => self.selected,
            Rows::TokenPairs => self.pairs,
        }
    }
}

/// The buffers. Batches in flight share them: the queue runs one batch after another.
pub(super) struct Arena {
    pub(super) capacity: Capacity,
    /// Tokens, cumulative lengths and the like, by resource.
    pub(super) inputs: HashMap<Resource, wgpu::Buffer>,
    /// The plan's buffers.
    pub(super) buffers: Vec<wgpu::Buffer>,
    /// The parameters of all dispatches.
    pub(super) params: wgpu::Buffer,
    /// One per dispatch.
    pub(super) bind_groups: Vec<wgpu::BindGroup>,
}

impl Arena {
    /// Allocates for batches of this size.
    ///
    /// # Errors
    /// A buffer would be larger than the device allows; then nothing was allocated.
    pub(super) fn new(context: &Context, prepared: &PreparedPlan, capacity: Capacity) -> Result<Self> {
        check(context, &prepared.plan, capacity)?;
        use wgpu::BufferUsages as Usage;
        let mut inputs = HashMap::new();
        for (resource, _) in prepared.dispatches.iter().flat_map(|dispatch| &dispatch.bindings) {
            let (label, bytes) = match resource {
                Resource::Tokens => ("tokens", 16 * capacity.tokens),
                Resource::CuSeqlens => ("cu_seqlens", 4 * (capacity.texts + 1)),
                Resource::PoolSpans => ("pool_spans", 16 * capacity.texts),
                Resource::Selected => ("selected", 4 * capacity.selected),
                // At worst every text ends with a tile of one row.
                Resource::Tiles(rows) => ("tiles", 16 * (capacity.tokens / *rows as usize + capacity.texts)),
                Resource::Nothing => ("nothing", 0),
                Resource::Buffer(_) | Resource::Weight(_) | Resource::Frequencies { .. } => continue,
            };
            inputs
                .entry(*resource)
                .or_insert_with(|| context.buffer(label, bytes as u64, Usage::STORAGE | Usage::COPY_DST));
        }
        let buffers: Vec<_> = prepared
            .plan
            .buffers
            .iter()
            .map(|spec| {
                let bytes = 4 * capacity.rows(spec.rows) as u64 * spec.cols as u64;
                context.buffer(spec.label, bytes, Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST)
            })
            .collect();
        let params = context.buffer("params", prepared.params.len() as u64, Usage::UNIFORM | Usage::COPY_DST);
        let mut arena = Arena { capacity, inputs, buffers, params, bind_groups: vec![] };
        arena.bind_groups =
            (0..prepared.dispatches.len()).map(|index| arena.bind_group(context, prepared, index)).collect();
        context.fault.check().map_err(|error| {
            error.context(format!("allocating buffers for batches of {} tokens", capacity.tokens))
        })?;
        Ok(arena)
    }

    /// Bytes of all buffers.
    pub(super) fn bytes(&self) -> u64 {
        let inputs = self.inputs.values().map(wgpu::Buffer::size);
        inputs.chain(self.buffers.iter().map(wgpu::Buffer::size)).sum::<u64>() + self.params.size()
    }

    fn bind_group(&self, context: &Context, prepared: &PreparedPlan, index: usize) -> wgpu::BindGroup {
        let dispatch = &prepared.dispatches[index];
        let params = wgpu::BindGroupEntry {
            binding: 0,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &self.params,
                offset: 0,
                size: wgpu::BufferSize::new(dispatch.params.len() as u64 * 4),
            }),
        };
        let storage = dispatch.bindings.iter().enumerate().map(|(at, (resource, _))| {
            let buffer = match resource {
                Resource::Buffer(id) => &self.buffers[id.index()],
                Resource::Weight(_) | Resource::Frequencies { .. } => &*prepared.weights[resource],
                _ => &self.inputs[resource],
            };
            wgpu::BindGroupEntry { binding: at as u32 + 1, resource: buffer.as_entire_binding() }
        });
        let entries: Vec<_> = std::iter::once(params).chain(storage).collect();
        context.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(dispatch.kernel.name),
            layout: &prepared.pipelines[index].layout,
            entries: &entries,
        })
    }

    /// Fills the plan's buffers with NaN.
    pub(super) fn poison(&self, queue: &wgpu::Queue) {
        for buffer in &self.buffers {
            queue.write_buffer(buffer, 0, &vec![0xff; buffer.size() as usize]);
        }
    }

    /// Puts a batch where the kernels read it.
    pub(super) fn write(&self, queue: &wgpu::Queue, batch: &PackedBatch, params: &[u8]) {
        queue.write_buffer(&self.params, 0, params);
        for (resource, buffer) in &self.inputs {
            match resource {
                Resource::Tokens => {
                    let mut tokens = Vec::with_capacity(batch.tokens());
                    for text in 0..batch.texts() {
                        tokens.extend(batch.rows(text).map(|row| {
                            [batch.ids[row], batch.type_ids[row], batch.position_ids[row], text as u32]
                        }));
                    }
                    queue.write_buffer(buffer, 0, bytemuck::cast_slice(&tokens));
                }
                Resource::PoolSpans => {
                    queue.write_buffer(buffer, 0, bytemuck::cast_slice(&pool_spans(batch)));
                }
                Resource::CuSeqlens => queue.write_buffer(buffer, 0, bytemuck::cast_slice(&batch.cu_seqlens)),
                Resource::Selected => queue.write_buffer(buffer, 0, bytemuck::cast_slice(&batch.selected)),
                Resource::Tiles(rows) => {
                    queue.write_buffer(buffer, 0, bytemuck::cast_slice(&tiles(batch, *rows)))
                }
                _ => {}
            }
        }
    }
}

/// See [`Resource::Tiles`].
fn tiles(batch: &PackedBatch, rows: u32) -> Vec<[u32; 4]> {
    let mut tiles = Vec::with_capacity(Count::Tiles(rows).of(batch));
    let mut pairs = 0;
    for text in batch.cu_seqlens.windows(2) {
        let (begin, end) = (text[0], text[1]);
        tiles.extend((begin..end).step_by(rows as usize).map(|first| [first, begin, end, pairs]));
        // Only read by plans whose pairs were checked to fit a buffer; others may wrap.
        pairs = (end - begin).wrapping_mul(end - begin).wrapping_add(pairs);
    }
    tiles
}

/// What [`Resource::PoolSpans`] holds.
fn pool_spans(batch: &PackedBatch) -> Vec<[u32; 4]> {
    let span = |text| {
        let pooled = batch.pooled_rows(text);
        [batch.cu_seqlens[text], pooled.start as u32, pooled.end as u32, 0]
    };
    (0..batch.texts()).map(span).collect()
}

/// The most tokens a batch of this plan may have, as far as buffers with a row a token go.
pub(super) fn max_tokens(context: &Context, plan: &Plan) -> usize {
    let limits = &context.report.limits;
    let columns = |id| {
        let spec = plan.buffer(id);
        if spec.rows == Rows::Tokens { spec.cols as u64 } else { 0 }
    };
    let widest =
        plan.buffers.iter().filter(|spec| spec.rows == Rows::Tokens).map(|spec| spec.cols as u64).max();
    let read_back: u64 = plan.outputs.iter().map(|output| columns(output.buffer)).sum();
    // 16 bytes: an entry of `Resource::Tokens`.
    let by_binding = limits.max_binding_bytes / (4 * widest.unwrap_or(0)).max(16);
    let by_buffer = limits.max_buffer_bytes / (4 * read_back).max(16);
    by_binding.min(by_buffer) as usize
}

/// Whether the device allows every buffer of an arena, and a staging buffer for its outputs.
fn check(context: &Context, plan: &Plan, capacity: Capacity) -> Result<()> {
    let limits = &context.report.limits;
    let bytes = |spec: &BufferSpec| 4 * capacity.rows(spec.rows) as u64 * spec.cols as u64;
    let refuse = |what: String, bytes: u64, most: u64| {
        Err(Error::limit(format!(
            "{what} needs {bytes} bytes, but {} allows {most}; make batches smaller (--batch-tokens)",
            context.report.name
        )))
    };
    let most = limits.max_binding_bytes.min(limits.max_buffer_bytes);
    for spec in &plan.buffers {
        if bytes(spec) > most {
            let what = format!("buffer {} [{}, {}]", spec.label, capacity.rows(spec.rows), spec.cols);
            return refuse(what, bytes(spec), most);
        }
    }
    let read_back: u64 = plan.outputs.iter().map(|output| bytes(plan.buffer(output.buffer))).sum();
    if read_back > limits.max_buffer_bytes {
        let what = format!("reading back {} outputs of {} tokens", plan.outputs.len(), capacity.tokens);
        return refuse(what, read_back, limits.max_buffer_bytes);
    }
    Ok(())
}
