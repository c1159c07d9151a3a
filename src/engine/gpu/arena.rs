//! Buffers that are as long as a batch, and the bind groups over them: one arena an engine, shared by all its plans.

use super::compiled::CompiledPlan;
use super::context::Context;
use super::fault::Caught;
use super::layout::{Capacity, Slot};
use crate::error::{Error, Result};
use crate::plan::kernels::{Count, Resource, TextTiles};
use crate::plan::{BufferSpec, Plan, Rows};
use crate::text::PackedBatch;
use std::collections::HashMap;

/// The buffers. Batches in flight share them: the queue runs one batch after another.
#[derive(Default)]
pub(super) struct Arena {
    /// The largest batch so far, of any plan.
    capacity: Capacity,
    buffers: HashMap<Slot, wgpu::Buffer>,
    /// One per dispatch, by plan; over the buffers as they are now.
    bind_groups: HashMap<u64, Vec<wgpu::BindGroup>>,
}

impl Arena {
    /// Makes room for a batch that needs `needed`, and where it has to allocate, for `roomy`.
    ///
    /// # Errors
    /// `is_limit`: a buffer would be larger than the device allows, or it has no memory left.
    pub(super) fn fit(
        &mut self,
        context: &Context,
        compiled: &CompiledPlan,
        needed: Capacity,
        roomy: Capacity,
    ) -> Result<Option<Caught>> {
        check(context, &compiled.plan, needed)?;
        let mut caught = None;
        if self.lacks(compiled, needed) {
            let wanted = roomy.max(needed).max(self.capacity);
            caught = Some(match self.grow(context, compiled, wanted) {
                Ok(caught) => caught,
                Err(_) => self.grow(context, compiled, needed)?,
            });
        }
        self.capacity = self.capacity.max(needed);
        if !self.bind_groups.contains_key(&compiled.id) {
            let scope = context.scope();
            let groups =
                (0..compiled.dispatches.len()).map(|index| self.bind_group(context, compiled, index));
            let groups = groups.collect();
            let mut bound = scope.close();
            bound.now().map_err(|error| error.context("binding buffers"))?;
            self.bind_groups.insert(compiled.id, groups);
            caught = Some(match caught {
                Some(caught) => caught.and(bound),
                None => bound,
            });
        }
        Ok(caught)
    }

    fn lacks(&self, compiled: &CompiledPlan, needed: Capacity) -> bool {
        let small =
            |slot: &Slot, bytes: u64| self.buffers.get(slot).is_none_or(|buffer| buffer.size() < bytes);
        needs(compiled, needed).into_iter().any(|need| small(&need.slot, need.bytes))
    }

    /// Replaces the buffers that are too small for `wanted`. The old ones go first: two at a time might not fit. Batches in
    /// flight keep what they use.
    fn grow(&mut self, context: &Context, compiled: &CompiledPlan, wanted: Capacity) -> Result<Caught> {
        check(context, &compiled.plan, wanted)?;
        let mut needs = needs(compiled, wanted);
        needs.retain(|need| self.buffers.get(&need.slot).is_none_or(|buffer| buffer.size() < need.bytes));
        self.bind_groups.clear();
        needs.iter().for_each(|need| drop(self.buffers.remove(&need.slot)));
        let scope = context.scope();
        for need in &needs {
            self.buffers.insert(need.slot, context.buffer(need.label, need.bytes, need.usage));
        }
        let mut caught = scope.close();
        if let Err(error) = caught.now() {
            needs.iter().for_each(|need| drop(self.buffers.remove(&need.slot)));
            return Err(error.context(format!("allocating buffers for batches of {} tokens", wanted.tokens)));
        }
        Ok(caught)
    }

    /// A buffer of the plan.
    pub(super) fn buffer(&self, slot: Slot) -> &wgpu::Buffer {
        &self.buffers[&slot]
    }

    /// The plan's bind groups, one per dispatch; `fit` has made them.
    pub(super) fn bind_groups(&self, compiled: &CompiledPlan) -> &[wgpu::BindGroup] {
        &self.bind_groups[&compiled.id]
    }

    /// Forgets a plan: its bind groups hold its weights.
    pub(super) fn forget(&mut self, plan: u64) {
        self.bind_groups.remove(&plan);
    }

    /// Bytes of all buffers.
    pub(super) fn bytes(&self) -> u64 {
        self.buffers.values().map(wgpu::Buffer::size).sum()
    }

    fn bind_group(&self, context: &Context, compiled: &CompiledPlan, index: usize) -> wgpu::BindGroup {
        let dispatch = &compiled.dispatches[index];
        let params = wgpu::BindGroupEntry {
            binding: 0,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: self.buffer(Slot::Params),
                offset: 0,
                size: wgpu::BufferSize::new(dispatch.params.len() as u64 * 4),
            }),
        };
        let storage = dispatch.bindings.iter().enumerate().map(|(at, (resource, _))| {
            let buffer = match resource {
                Resource::Buffer(_) | Resource::Half(_) => self.buffer(compiled.layout.slots[resource]),
                Resource::Weight(_) | Resource::Frequencies { .. } => &*compiled.weights[resource],
                _ => self.buffer(Slot::Input(*resource)),
            };
            wgpu::BindGroupEntry { binding: at as u32 + 1, resource: buffer.as_entire_binding() }
        });
        let entries: Vec<_> = std::iter::once(params).chain(storage).collect();
        context.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(dispatch.kernel.name),
            layout: &compiled.pipelines[index].layout,
            entries: &entries,
        })
    }

    /// Fills the plan's buffers with NaN.
    pub(super) fn poison(&self, queue: &wgpu::Queue, compiled: &CompiledPlan) {
        for slot in compiled.layout.slots.values() {
            let buffer = self.buffer(*slot);
            queue.write_buffer(buffer, 0, &vec![0xff; buffer.size() as usize]);
        }
    }

    /// Puts a batch where the kernels read it.
    pub(super) fn write(
        &self,
        queue: &wgpu::Queue,
        compiled: &CompiledPlan,
        batch: &PackedBatch,
        params: &[u8],
    ) {
        queue.write_buffer(self.buffer(Slot::Params), 0, params);
        for resource in &compiled.layout.inputs {
            let buffer = self.buffer(Slot::Input(*resource));
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
                Resource::Tiles(which) => {
                    queue.write_buffer(buffer, 0, bytemuck::cast_slice(&tiles(batch, *which)));
                }
                _ => {}
            }
        }
    }
}

/// A buffer that a plan needs for batches of some size.
struct Need {
    slot: Slot,
    label: &'static str,
    bytes: u64,
    usage: wgpu::BufferUsages,
}

fn needs(compiled: &CompiledPlan, capacity: Capacity) -> Vec<Need> {
    use wgpu::BufferUsages as Usage;
    let mut needs = vec![Need {
        slot: Slot::Params,
        label: "params",
        bytes: compiled.params.len() as u64,
        usage: Usage::UNIFORM | Usage::COPY_DST,
    }];
    needs.extend(compiled.layout.inputs.iter().map(|resource| {
        let (label, bytes) = match resource {
            Resource::Tokens => ("tokens", 16 * capacity.tokens),
            Resource::CuSeqlens => ("cu_seqlens", 4 * (capacity.texts + 1)),
            Resource::PoolSpans => ("pool_spans", 16 * capacity.texts),
            Resource::Selected => ("selected", 4 * capacity.selected),
            // At worst every text ends with a tile of one row.
            Resource::Tiles(tiles) => {
                ("tiles", 16 * (capacity.tokens / tiles.rows as usize + capacity.texts))
            }
            _ => ("nothing", 0),
        };
        Need {
            slot: Slot::Input(*resource),
            label,
            bytes: bytes as u64,
            usage: Usage::STORAGE | Usage::COPY_DST,
        }
    }));
    needs.extend(compiled.layout.slots.iter().filter_map(|(resource, slot)| {
        let (id, share) = match resource {
            Resource::Buffer(id) => (*id, 1),
            Resource::Half(id) => (*id, 2),
            _ => return None,
        };
        let spec = compiled.plan.buffer(id);
        Some(Need {
            slot: *slot,
            label: spec.label,
            // Copies and clears go by four bytes.
            bytes: (bytes(spec, capacity) / share).next_multiple_of(4),
            usage: Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST,
        })
    }));
    needs
}

fn bytes(spec: &BufferSpec, capacity: Capacity) -> u64 {
    4 * capacity.rows(spec.rows) as u64 * spec.cols as u64
}

/// See [`Resource::Tiles`].
fn tiles(batch: &PackedBatch, which: TextTiles) -> Vec<[u32; 4]> {
    let mut tiles = Vec::with_capacity(Count::Tiles(which).of(batch));
    let mut pairs = 0;
    for text in batch.cu_seqlens.windows(2) {
        let (begin, end) = (text[0], text[1]);
        let of_text = (0..which.of((end - begin) as usize) as u32).map(|tile| begin + tile * which.rows);
        tiles.extend(of_text.map(|first| [first, begin, end, pairs]));
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

/// The most bytes of a buffer that kernels index element by element, in 32 bits.
const MOST_INDEXED_BYTES: u64 = 4 * u32::MAX as u64;

/// The most tokens a batch of this plan may have, as far as buffers with a row a token go.
pub(super) fn max_tokens(context: &Context, plan: &Plan) -> usize {
    let limits = &context.report.limits;
    let columns = |id| {
        let spec = plan.buffer(id);
        if spec.rows == Rows::Tokens { spec.cols as u64 } else { 0 }
    };
    let widest =
        plan.buffers().iter().filter(|spec| spec.rows == Rows::Tokens).map(|spec| spec.cols as u64).max();
    let read_back: u64 = plan.outputs().iter().map(|output| columns(output.buffer)).sum();
    // 16 bytes: an entry of `Resource::Tokens`.
    let by_binding = limits.max_binding_bytes.min(MOST_INDEXED_BYTES) / (4 * widest.unwrap_or(0)).max(16);
    let by_buffer = limits.max_buffer_bytes / (4 * read_back).max(16);
    by_binding.min(by_buffer) as usize
}

/// Whether the device allows every buffer of an arena, and a staging buffer for its outputs.
fn check(context: &Context, plan: &Plan, capacity: Capacity) -> Result<()> {
    let limits = &context.report.limits;
    let refuse = |what: String, bytes: u64, most: u64| {
        Err(Error::limit(format!(
            "{what} needs {bytes} bytes, but {} allows {most}; make batches smaller (--batch-tokens)",
            context.report.name
        )))
    };
    let most = limits.max_binding_bytes.min(limits.max_buffer_bytes).min(MOST_INDEXED_BYTES);
    for spec in plan.buffers() {
        if bytes(spec, capacity) > most {
            let what = format!("buffer {} [{}, {}]", spec.label, capacity.rows(spec.rows), spec.cols);
            return refuse(what, bytes(spec, capacity), most);
        }
    }
    // A buffer that is an output under two names is read back twice.
    let read_back: u64 =
        plan.outputs().iter().map(|output| bytes(plan.buffer(output.buffer), capacity)).sum();
    if read_back > limits.max_buffer_bytes {
        let what = format!("reading back {} outputs of {} tokens", plan.outputs().len(), capacity.tokens);
        return refuse(what, read_back, limits.max_buffer_bytes);
    }
    Ok(())
}
