//! From steps to dispatches.

use super::halves;
use super::halves::Stored;
use super::shaders;
use super::shaders::Kernel;
use super::tiles;
use super::tiles::{AttentionKernel, ELEMENTWISE, Invocations, LANES, Tiles, Tuning, norm_invocations};
use super::{
    Access, Class, Cooperative, Count, Dispatch, Groups, Resource, WeightLayout, WeightSlice, WeightType,
    When, Word,
};
use crate::error::{Error, Result};
use crate::model::Activation;
use crate::model::Pooling;
use crate::plan::{BufferId, BufferSpec, Norm, Plan, RelativeBias, RowIndex, Rows, Step, WeightId};

/// What a device allows, as far as kernels depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one storage binding.
    pub max_binding_bytes: u64,
    /// Its cooperative matrices, if it has any that kernels can use.
    pub cooperative: Option<Cooperative>,
    /// 4 or 8: neighbouring invocations that share a subgroup, for kernels that let them. 0 for none.
    pub subgroup: u32,
    /// Bytes of workgroup memory.
    pub max_workgroup_bytes: u32,
}

/// Turns a plan into dispatches for one class of adapters, with matrices and word tables stored as `weights`, and with the
/// tiles of matmul kernels that `tuning` names.
///
/// A table or matrix larger than a binding may be is cut into slices, one dispatch each.
///
/// # Errors
/// A single row of a weight, or a vector, is larger than a binding may be; or a kernel needs more workgroup memory than there is.
pub fn lower(
    plan: &Plan,
    class: Class,
    weights: WeightType,
    limits: &Limits,
    tuning: &Tuning,
) -> Result<Vec<Dispatch>> {
    let tiles = Tiles {
        class,
        weights,
        cooperative: limits.cooperative,
        subgroup: limits.subgroup,
        max_workgroup_bytes: limits.max_workgroup_bytes,
        tuning,
    };
    let stored = halves::stored(plan, &tiles);
    let mut lowering = Lowering { plan, class, weights, limits, tiles, stored, step: 0, dispatches: vec![] };
    for (index, step) in plan.steps.iter().enumerate() {
        lowering.step = index;
        lowering.lower(step)?;
    }
    Ok(lowering.dispatches)
}

/// The bucket of MPNet's relative position bias for a key `distance` tokens after its query.
///
/// Source: `MPNetEncoder.relative_position_bucket`; the logarithm is taken in f32, as there.
pub fn relative_bucket(distance: i64, buckets: usize, max_distance: usize) -> usize {
    let half = buckets / 2;
    let side = if distance > 0 { half } else { 0 };
    let distance = distance.unsigned_abs() as usize;
    let exact = half / 2;
    if distance < exact {
        return side + distance;
    }
    let log = (distance as f32 / exact as f32).ln() / (max_distance as f64 / exact as f64).ln() as f32;
    side + (exact + (log * (half - exact) as f32) as usize).min(half - 1)
}

/// Index of an activation in shaders/prelude/activation.wgsl; 0 is none.
fn activation_index(activation: Option<Activation>) -> f64 {
    match activation {
        None => 0.0,
        Some(Activation::Gelu) => 1.0,
        Some(Activation::GeluTanh) => 2.0,
        Some(Activation::Relu) => 3.0,
        Some(Activation::Silu) => 4.0,
        Some(Activation::QuickGelu) => 5.0,
        Some(Activation::Tanh) => 6.0,
        Some(Activation::Sigmoid) => 7.0,
        Some(Activation::Mish) => 8.0,
        Some(Activation::Relu6) => 9.0,
        Some(Activation::LeakyRelu) => 10.0,
        Some(Activation::Laplace) => 11.0,
        Some(Activation::Relu2) => 12.0,
    }
}

/// Index of a pooling in shaders/common/pool.wgsl.
fn pooling_index(pooling: Pooling) -> f64 {
    match pooling {
        Pooling::Cls | Pooling::Pooler => 0.0,
        Pooling::Mean => 1.0,
        Pooling::Max => 2.0,
        Pooling::MeanSqrtLenTokens => 3.0,
        Pooling::WeightedMean => 4.0,
        Pooling::LastToken => 5.0,
    }
}

struct Lowering<'a> {
    plan: &'a Plan,
    class: Class,
    weights: WeightType,
    limits: &'a Limits,
    tiles: Tiles<'a>,
    stored: Stored,
    step: usize,
    dispatches: Vec<Dispatch>,
}

/// What a dispatch still lacks after its kernel, constants and parameters are known.
struct Shape {
    count: Count,
    when: When,
    invocations: Invocations,
    groups: [Groups; 3],
    workgroup_bytes: u32,
}

/// The kernels of a norm.
struct NormKernels {
    /// A workgroup a row, which stays in registers.
    vec4: &'static Kernel,
    /// A workgroup a row of any width.
    scalar: &'static Kernel,
    /// An invocation a row.
    software: &'static Kernel,
}

/// Partial sums of a workgroup's strips (shaders/prelude/workgroup_sum.wgsl).
const STRIPS: u32 = 8;

fn row_shape(rows: Rows, workgroup_size: u32, rows_each: u32) -> Shape {
    Shape {
        count: Count::Rows(rows),
        when: When::Always,
        invocations: Invocations::Override(workgroup_size),
        groups: [Groups::Per(rows_each), Groups::Fixed(1), Groups::Fixed(1)],
        // A sum of each invocation and of each strip.
        workgroup_bytes: 4 * (workgroup_size + STRIPS),
    }
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

fn u(value: usize) -> Word {
    Word::U32(value as u32)
}

fn groups(len: usize, each: u32) -> Groups {
    Groups::Fixed(len.div_ceil(each as usize) as u32)
}

impl Lowering<'_> {
    fn lower(&mut self, step: &Step) -> Result<()> {
        match *step {
            Step::EmbedLayerNorm { words, positions, types, norm, out } => {
                self.embed_layernorm(words, positions, types, norm, out)
            }
            Step::EmbedTokens { words, out } => self.embed_tokens(words, out),
            Step::MatMul { x, weight, bias, activation, residual, out } => {
                self.matmul(x, weight, bias, activation, residual, out)
            }
            Step::Attention { qkv, heads, head_dim, scale, window, relative_bias, out } => {
                for tile in self.tiles.attention(head_dim, self.stored.of(self.step)) {
                    self.attention(tile, qkv, [heads, head_dim], scale, window, relative_bias, out)?;
                }
                Ok(())
            }
            Step::AttentionProbabilities { qkv, heads, head_dim, scale, window, relative_bias, out } => {
                let tile = tiles::probabilities(head_dim);
                self.attention(tile, qkv, [heads, head_dim], scale, window, relative_bias, out)
            }
            Step::Rotary { qkv, heads, head_dim, theta } => self.rotary(qkv, heads, head_dim, theta),
            Step::AddLayerNorm { x, residual, norm, out } => self.add_layernorm(x, residual, norm, out),
            Step::GatedActivation { x, activation, out } => {
                let constants = vec![("activation", activation_index(Some(activation)))];
                let reads = vec![Resource::Buffer(x)];
                self.elementwise(&shaders::GATED_ACTIVATION, constants, vec![], reads, out)
            }
            Step::GatherRows { x, index, out } => {
                let index = match index {
                    RowIndex::FirstToken => Resource::CuSeqlens,
                    RowIndex::Selected => Resource::Selected,
                };
                let reads = vec![index, Resource::Buffer(x)];
                self.elementwise(&shaders::GATHER_ROWS, vec![], vec![], reads, out)
            }
            Step::MeanBlocks { x, blocks, weights, out } => {
                let constants = vec![("has_weights", flag(weights.is_some()))];
                let reads = vec![Resource::Buffer(x), self.rows_or_nothing(weights)?];
                self.elementwise(&shaders::MEAN_BLOCKS, constants, vec![("blocks", u(blocks))], reads, out)
            }
            Step::Pool { x, pooling, column, out } => self.pool(x, pooling, column, out),
            Step::NormalizeRows { x, out } => self.normalize_rows(x, out),
        }
    }

    fn push(
        &mut self,
        kernel: &'static Kernel,
        mut constants: Vec<(&'static str, f64)>,
        params: Vec<(&'static str, Word)>,
        reads: Vec<Resource>,
        writes: &[Resource],
        shape: Shape,
    ) -> Result<()> {
        if shape.workgroup_bytes > self.limits.max_workgroup_bytes {
            return Err(Error::limit(format!(
                "the kernel {} needs {} bytes of workgroup memory, but the device has {}; use --device cpu or another adapter",
                kernel.label(),
                shape.workgroup_bytes,
                self.limits.max_workgroup_bytes
            )));
        }
        let workgroup_size = match shape.invocations {
            Invocations::Fixed(size) => size,
            Invocations::Override(size) => {
                constants.push(("workgroup_size", f64::from(size)));
                size
            }
        };
        let mut bindings: Vec<_> = reads.into_iter().map(|resource| (resource, Access::Read)).collect();
        bindings.extend(writes.iter().map(|resource| (*resource, Access::ReadWrite)));
        self.dispatches.push(Dispatch {
            kernel,
            step: self.step,
            constants,
            params,
            count: shape.count,
            when: shape.when,
            bindings,
            workgroup_size: [workgroup_size, 1, 1],
            groups: shape.groups,
            workgroup_bytes: shape.workgroup_bytes,
        });
        Ok(())
    }

    /// Where the step's operand is.
    fn operand(&self, id: BufferId) -> Resource {
        if self.stored.of(self.step).input { Resource::Half(id) } else { Resource::Buffer(id) }
    }

    /// Where a product's output goes.
    fn product(&self, id: BufferId) -> Resource {
        if self.stored.of(self.step).output { Resource::Half(id) } else { Resource::Buffer(id) }
    }

    /// One invocation per element of `out`: columns along x, rows along y.
    fn elementwise(
        &mut self,
        kernel: &'static Kernel,
        constants: Vec<(&'static str, f64)>,
        more_params: Vec<(&'static str, Word)>,
        reads: Vec<Resource>,
        out: BufferId,
    ) -> Result<()> {
        let spec = *self.plan.buffer(out);
        let mut params = vec![("rows", u(0)), ("cols", u(spec.cols))];
        params.extend(more_params);
        let shape = Shape {
            count: Count::Rows(spec.rows),
            when: When::Always,
            invocations: Invocations::Override(ELEMENTWISE),
            groups: [groups(spec.cols, ELEMENTWISE), Groups::Per(1), Groups::Fixed(1)],
            workgroup_bytes: 0,
        };
        self.push(kernel, constants, params, reads, &[Resource::Buffer(out)], shape)
    }

    /// Kernels that reduce rows: an invocation per row on CPUs, a workgroup per row on GPUs.
    fn row_kernel(
        &self,
        rows: Rows,
        gpu: &'static Kernel,
        software: &'static Kernel,
    ) -> (&'static Kernel, Shape) {
        let (kernel, workgroup_size, rows_each) = match self.class {
            Class::Software => (software, LANES, LANES),
            _ => (gpu, ELEMENTWISE, 1),
        };
        (kernel, row_shape(rows, workgroup_size, rows_each))
    }

    /// The kernel of a norm.
    fn norm_kernel(&self, spec: BufferSpec, kernels: &NormKernels) -> (&'static Kernel, Shape) {
        match norm_invocations(spec.cols) {
            Some(invocations) if self.class != Class::Software => {
                (kernels.vec4, row_shape(spec.rows, invocations, 1))
            }
            _ => self.row_kernel(spec.rows, kernels.scalar, kernels.software),
        }
    }

    /// A whole weight as it is in the checkpoint.
    fn rows(&self, weight: WeightId) -> Result<Resource> {
        let mut slices = self.slices(weight, WeightLayout::Rows, WeightType::F32)?;
        match (slices.pop(), slices.is_empty()) {
            (Some(slice), true) => Ok(Resource::Weight(slice)),
            _ => Err(self.too_large(weight, self.plan.weight(weight).len() as u64 * 4)),
        }
    }

    fn rows_or_nothing(&self, weight: Option<WeightId>) -> Result<Resource> {
        weight.map_or(Ok(Resource::Nothing), |weight| self.rows(weight))
    }

    /// Cuts a weight into the fewest slices that a binding can hold.
    fn slices(&self, weight: WeightId, layout: WeightLayout, stored: WeightType) -> Result<Vec<WeightSlice>> {
        let spec = self.plan.weight(weight);
        let (row_len, unit) = match layout {
            WeightLayout::Rows => (spec.cols() as u64, 1),
            WeightLayout::Transposed { columns } => (spec.cols().next_multiple_of(4) as u64, columns),
            WeightLayout::ByDistance { max_distance } => (2 * max_distance as u64 + 1, spec.cols()),
        };
        let row_bytes = row_len * stored.bytes();
        // Kernels count elements in 32 bits.
        let most = (self.limits.max_binding_bytes / row_bytes).min(u64::from(u32::MAX) / row_len);
        let most = most as usize / unit * unit;
        if most == 0 {
            return Err(self.too_large(weight, row_bytes * unit as u64));
        }
        let rows = match layout {
            WeightLayout::ByDistance { .. } => spec.cols(),
            _ => spec.rows(),
        };
        let slice = |first| WeightSlice { weight, layout, stored, first, rows: most.min(rows - first) };
        Ok((0..rows).step_by(most).map(slice).collect())
    }

    fn too_large(&self, weight: WeightId, bytes: u64) -> Error {
        Error::limit(format!(
            "{} needs a binding of {bytes} bytes, but the device binds at most {} bytes, and kernels index at most {} \
             numbers; use --device cpu or another adapter",
            self.plan.weight(weight).label(),
            self.limits.max_binding_bytes,
            u32::MAX
        ))
    }

    fn embed_layernorm(
        &mut self,
        words: WeightId,
        positions: Option<WeightId>,
        types: Option<WeightId>,
        norm: Norm,
        out: BufferId,
    ) -> Result<()> {
        let spec = *self.plan.buffer(out);
        for slice in self.slices(words, WeightLayout::Rows, self.weights)? {
            let reads = vec![
                Resource::Tokens,
                Resource::Weight(slice),
                self.rows_or_nothing(positions)?,
                self.rows_or_nothing(types)?,
                self.rows(norm.weight)?,
                self.rows_or_nothing(norm.bias)?,
            ];
            let constants = vec![
                ("has_positions", flag(positions.is_some())),
                ("has_types", flag(types.is_some())),
                ("has_shift", flag(norm.bias.is_some())),
            ];
            let params = vec![
                ("rows", u(0)),
                ("cols", u(spec.cols)),
                ("first", u(slice.first)),
                ("words", u(slice.rows)),
                ("eps", Word::F32(norm.eps)),
            ];
            let kernels = match self.weights {
                WeightType::F32 => NormKernels {
                    vec4: &shaders::EMBED_LAYERNORM,
                    scalar: &shaders::EMBED_LAYERNORM_SCALAR,
                    software: &shaders::EMBED_LAYERNORM_SOFTWARE,
                },
                WeightType::F16 => NormKernels {
                    vec4: &shaders::EMBED_LAYERNORM_F16,
                    scalar: &shaders::EMBED_LAYERNORM_SCALAR_F16,
                    software: &shaders::EMBED_LAYERNORM_SOFTWARE_F16,
                },
            };
            let (mut kernel, shape) = self.norm_kernel(spec, &kernels);
            let mut writes = vec![Resource::Buffer(out)];
            if self.stored.of(self.step).output {
                kernel = shaders::EMBED_LAYERNORM_HALVES[usize::from(self.tiles.has_octets())];
                writes.push(Resource::Half(out));
            }
            self.push(kernel, constants, params, reads, &writes, shape)?;
        }
        Ok(())
    }

    fn embed_tokens(&mut self, words: WeightId, out: BufferId) -> Result<()> {
        let kernel = match self.weights {
            WeightType::F32 => &shaders::EMBED_TOKENS,
            WeightType::F16 => &shaders::EMBED_TOKENS_F16,
        };
        for slice in self.slices(words, WeightLayout::Rows, self.weights)? {
            let params = vec![("first", u(slice.first)), ("words", u(slice.rows))];
            let reads = vec![Resource::Tokens, Resource::Weight(slice)];
            self.elementwise(kernel, vec![], params, reads, out)?;
        }
        Ok(())
    }

    fn add_layernorm(
        &mut self,
        x: BufferId,
        residual: Option<BufferId>,
        norm: Norm,
        out: BufferId,
    ) -> Result<()> {
        let spec = *self.plan.buffer(out);
        let reads = vec![
            Resource::Buffer(x),
            residual.map_or(Resource::Nothing, Resource::Buffer),
            self.rows(norm.weight)?,
            self.rows_or_nothing(norm.bias)?,
        ];
        let constants =
            vec![("has_residual", flag(residual.is_some())), ("has_shift", flag(norm.bias.is_some()))];
        let params = vec![("rows", u(0)), ("cols", u(spec.cols)), ("eps", Word::F32(norm.eps))];
        let kernels = NormKernels {
            vec4: &shaders::ADD_LAYERNORM,
            scalar: &shaders::ADD_LAYERNORM_SCALAR,
            software: &shaders::ADD_LAYERNORM_SOFTWARE,
        };
        let (mut kernel, shape) = self.norm_kernel(spec, &kernels);
        let mut writes = vec![Resource::Buffer(out)];
        if self.stored.of(self.step).output {
            kernel = shaders::ADD_LAYERNORM_HALVES[usize::from(self.tiles.has_octets())];
            writes.push(Resource::Half(out));
        }
        self.push(kernel, constants, params, reads, &writes, shape)
    }

    fn normalize_rows(&mut self, x: BufferId, out: BufferId) -> Result<()> {
        let spec = *self.plan.buffer(out);
        let params = vec![("rows", u(0)), ("cols", u(spec.cols)), ("stride", u(self.plan.buffer(x).cols))];
        let (kernel, shape) =
            self.row_kernel(spec.rows, &shaders::NORMALIZE_ROWS, &shaders::NORMALIZE_ROWS_SOFTWARE);
        self.push(kernel, vec![], params, vec![Resource::Buffer(x)], &[Resource::Buffer(out)], shape)
    }

    fn matmul(
        &mut self,
        x: BufferId,
        weight: WeightId,
        bias: Option<WeightId>,
        activation: Option<Activation>,
        residual: Option<BufferId>,
        out: BufferId,
    ) -> Result<()> {
        let (spec, k) = (*self.plan.buffer(out), self.plan.buffer(x).cols);
        let halves = self.stored.of(self.step);
        let many = self.tiles.matmul(spec.rows, k, spec.cols, halves);
        let columns = many.columns as usize;
        let layout = WeightLayout::Transposed { columns };
        let tiles = match self.tiles.few_rows(&many, k, spec.cols, halves) {
            Some(few) => vec![(few, When::Few), (many, When::Many)],
            None => vec![(many, When::Always)],
        };
        for slice in self.slices(weight, layout, self.weights)? {
            let stride = slice.rows.next_multiple_of(columns) / 4;
            // Both kernels bind the same slice.
            for (tile, when) in &tiles {
                let reads = vec![
                    self.operand(x),
                    Resource::Weight(slice),
                    self.rows_or_nothing(bias)?,
                    residual.map_or(Resource::Nothing, Resource::Buffer),
                ];
                let mut constants = vec![
                    ("has_bias", flag(bias.is_some())),
                    ("has_residual", flag(residual.is_some())),
                    ("activation", activation_index(activation)),
                ];
                constants.extend(tile.constants.iter().copied());
                if tile.constant_widths {
                    constants.extend([("width", k as f64), ("row_vecs", stride as f64)]);
                }
                let params = vec![
                    ("rows", u(0)),
                    ("k", u(k)),
                    ("n", u(spec.cols)),
                    ("first", u(slice.first)),
                    ("columns", u(slice.rows)),
                    ("stride", u(stride)),
                ];
                let shape = Shape {
                    count: Count::Rows(spec.rows),
                    when: *when,
                    invocations: tile.invocations,
                    groups: [groups(slice.rows, tile.columns), Groups::Per(tile.rows), Groups::Fixed(1)],
                    workgroup_bytes: tile.workgroup_bytes,
                };
                self.push(tile.kernel, constants, params, reads, &[self.product(out)], shape)?;
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of two steps that differ in their kernel only")]
    fn attention(
        &mut self,
        tile: AttentionKernel,
        qkv: BufferId,
        [heads, head_dim]: [usize; 2],
        scale: f32,
        window: Option<usize>,
        relative_bias: Option<RelativeBias>,
        out: BufferId,
    ) -> Result<()> {
        let bias = match relative_bias {
            None => Resource::Nothing,
            Some(RelativeBias { weight, max_distance, .. }) => {
                let mut slices =
                    self.slices(weight, WeightLayout::ByDistance { max_distance }, WeightType::F32)?;
                slices.pop().map_or(Resource::Nothing, Resource::Weight)
            }
        };
        let reads = vec![self.operand(qkv), Resource::Tiles(tile.texts), bias];
        let mut constants =
            vec![("has_bias", flag(relative_bias.is_some())), ("has_window", flag(window.is_some()))];
        constants.extend(tile.constants);
        let params = vec![
            ("tiles", u(0)),
            ("heads", u(heads)),
            ("head_dim", u(head_dim)),
            ("window", u(window.unwrap_or(0))),
            ("max_distance", u(relative_bias.map_or(0, |bias| bias.max_distance))),
            ("scale", Word::F32(scale)),
        ];
        let shape = Shape {
            count: Count::Tiles(tile.texts),
            when: When::Always,
            invocations: tile.invocations,
            groups: [Groups::Per(1), Groups::Fixed(heads as u32), Groups::Fixed(1)],
            workgroup_bytes: tile.workgroup_bytes,
        };
        self.push(tile.kernel, constants, params, reads, &[self.product(out)], shape)
    }

    fn rotary(&mut self, qkv: BufferId, heads: usize, head_dim: usize, theta: f32) -> Result<()> {
        let params = vec![("rows", u(0)), ("heads", u(heads)), ("head_dim", u(head_dim))];
        let reads = vec![
            Resource::Tokens,
            Resource::Frequencies { theta_bits: theta.to_bits(), head_dim: head_dim as u32 },
        ];
        let shape = Shape {
            count: Count::Rows(self.plan.buffer(qkv).rows),
            when: When::Always,
            invocations: Invocations::Override(ELEMENTWISE),
            groups: [groups(heads * head_dim / 2, ELEMENTWISE), Groups::Per(1), Groups::Fixed(2)],
            workgroup_bytes: 0,
        };
        self.push(&shaders::ROTARY, vec![], params, reads, &[Resource::Buffer(qkv)], shape)
    }

    fn pool(&mut self, x: BufferId, pooling: Pooling, column: usize, out: BufferId) -> Result<()> {
        let (x_spec, out_spec) = (*self.plan.buffer(x), *self.plan.buffer(out));
        let constants =
            vec![("pooling", pooling_index(pooling)), ("per_text", flag(x_spec.rows == Rows::Texts))];
        let params = vec![
            ("rows", u(0)),
            ("cols", u(x_spec.cols)),
            ("stride", u(out_spec.cols)),
            ("column", u(column)),
        ];
        let shape = Shape {
            count: Count::Rows(out_spec.rows),
            when: When::Always,
            invocations: Invocations::Override(ELEMENTWISE),
            groups: [groups(x_spec.cols, ELEMENTWISE), Groups::Per(1), Groups::Fixed(1)],
            workgroup_bytes: 0,
        };
        let reads = vec![Resource::PoolSpans, Resource::Buffer(x)];
        self.push(&shaders::POOL, constants, params, reads, &[Resource::Buffer(out)], shape)
    }
}
