//! What each kernel is given: parameters, bindings, override constants and workgroup counts, as data without wgpu.
//!
//! [`lower`] turns a [`Plan`](crate::plan::Plan) into a list of [`Dispatch`]es for one [`Class`] of adapters. Nothing in a
//! dispatch depends on a batch but its row count, so a plan is lowered once.

mod halves;
mod lower;
mod shaders;
mod tiles;

pub use lower::{Limits, lower, relative_bucket};
pub use shaders::{KERNELS, Kernel, PEAK_COOPERATIVE, PEAK_COPY, PEAK_FMA};
pub use tiles::{Tile, Tuning};

use crate::plan::{BufferId, Rows, WeightId};
use crate::text::PackedBatch;
use serde::{Deserialize, Serialize};

/// Which kernels suit an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// A GPU with cooperative matrices (tensor cores). They take f16: with f32 weights it runs the kernels of `gpu`.
    Tensor,
    /// A GPU without them whose shaders know f16, natively or through a browser. With f32 weights it runs the kernels of `gpu`.
    Half,
    /// A GPU through Vulkan, Metal or DX12 that has neither.
    Gpu,
    /// A GPU through a browser that offers no f16: no subgroups, default limits.
    Browser,
    /// A CPU that plays GPU (lavapipe, SwiftShader, WARP): barriers and per-lane loads are what costs.
    Software,
}

impl Class {
    /// The name that reports, benches and the command line use.
    pub fn name(self) -> &'static str {
        match self {
            Class::Tensor => "tensor",
            Class::Half => "half",
            Class::Gpu => "gpu",
            Class::Browser => "browser",
            Class::Software => "software",
        }
    }
}

/// The cooperative matrices of a device: f16 in, f32 out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Cooperative {
    /// Rows and columns of one: 8 or 16.
    pub side: u32,
    /// Invocations of a workgroup that has at least [`SUBGROUPS`](Self::SUBGROUPS) subgroups.
    pub invocations: u32,
}

impl Cooperative {
    /// Subgroups that share a workgroup's tile.
    pub const SUBGROUPS: u32 = 8;
}

/// How matrices and word tables are stored on the device. Vectors and small tables are f32 always, and so is what is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightType {
    /// As they are used.
    #[default]
    F32,
    /// Two to a word: half the memory, and half the bytes to read.
    F16,
}

impl WeightType {
    /// The name that cache keys and reports use.
    pub fn name(self) -> &'static str {
        match self {
            WeightType::F32 => "f32",
            WeightType::F16 => "f16",
        }
    }

    /// Bytes of one number.
    pub fn bytes(self) -> u64 {
        match self {
            WeightType::F32 => 4,
            WeightType::F16 => 2,
        }
    }
}

/// A value of a kernel's `Params` struct.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Word {
    /// `u32`
    U32(u32),
    /// `f32`
    F32(f32),
}

impl Word {
    /// The four bytes that the shader sees, as an integer.
    pub fn bits(self) -> u32 {
        match self {
            Word::U32(value) => value,
            Word::F32(value) => value.to_bits(),
        }
    }
}

/// How a weight lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WeightLayout {
    /// As in the checkpoint, row-major.
    Rows,
    /// A matrix `[n, k]` transposed to `[k, n]`, with n padded with zeros to a multiple of `columns`: neighbouring
    /// invocations compute neighbouring outputs, so they read neighbouring values.
    Transposed {
        /// Columns that one workgroup covers.
        columns: usize,
    },
    /// A relative bias table `[buckets, heads]` spread out to `[heads, 2 * max_distance + 1]`, by distance.
    ByDistance {
        /// Distance at which the buckets end.
        max_distance: usize,
    },
}

/// Rows of a weight in one buffer: all of them, unless the weight is larger than a binding may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WeightSlice {
    /// Which weight.
    pub weight: WeightId,
    /// How it lies in memory.
    pub layout: WeightLayout,
    /// How its numbers are stored.
    pub stored: WeightType,
    /// First row.
    pub first: usize,
    /// Number of rows.
    pub rows: usize,
}

/// What is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// `array<vec4<u32>>`, `[tokens]`: id, token type, row of the position table, text.
    Tokens,
    /// `array<u32>`, `[texts + 1]`.
    CuSeqlens,
    /// `array<vec4<u32>>`, `[texts]`: the text's first row, its first row that is pooled, the row after its last, and 0.
    PoolSpans,
    /// `array<u32>`, `[selected]`.
    Selected,
    /// `array<vec4<u32>>`: texts cut into tiles; first row, the text's first row, the row after its last, and the sum of S² over
    /// the texts before.
    Tiles(TextTiles),
    /// `array<f32>`, `[head_dim / 2]`: `theta^(-2i / head_dim)`, the frequencies of rotary positions.
    Frequencies {
        /// Bits of theta.
        theta_bits: u32,
        /// Width of a head.
        head_dim: u32,
    },
    /// A buffer of the plan, as f32.
    Buffer(BufferId),
    /// A buffer of the plan as f16, beside or instead of the f32 one: what only products read, whose kernels round it anyway.
    Half(BufferId),
    /// A weight or a part of one.
    Weight(WeightSlice),
    /// An optional input that is not there: the kernel has a constant that says so and never reads it.
    Nothing,
}

/// Which texts a dispatch of attention is for, and the tiles that they are cut into. A text's length alone decides, so that its bits do
/// not depend on its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TextTiles {
    /// Rows of a tile.
    pub rows: u32,
    /// Tokens of the shortest text.
    pub shortest: u32,
    /// Tokens of the longest text.
    pub longest: u32,
}

impl TextTiles {
    /// Every text, in tiles of so many rows.
    pub fn all(rows: u32) -> Self {
        TextTiles { rows, shortest: 0, longest: u32::MAX }
    }

    /// Tiles of a text of `len` tokens.
    pub fn of(self, len: usize) -> usize {
        let ours = self.shortest as usize <= len && len <= self.longest as usize;
        if ours { len.div_ceil(self.rows as usize) } else { 0 }
    }
}

/// How a kernel uses what is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    ReadWrite,
}

/// What a dispatch's first parameter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Count {
    /// Rows of a buffer.
    Rows(Rows),
    /// Tiles of [`Resource::Tiles`].
    Tiles(TextTiles),
}

impl Count {
    /// The count for one batch.
    pub fn of(self, batch: &PackedBatch) -> usize {
        match self {
            Count::Rows(rows) => rows.count(batch),
            Count::Tiles(tiles) => batch.seqlens().map(|len| tiles.of(len)).sum(),
        }
    }
}

/// Workgroups along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Groups {
    /// So many, whatever the batch.
    Fixed(u32),
    /// One for so many of what the first parameter counts.
    Per(u32),
}

impl Groups {
    /// Number of workgroups, `count` being the first parameter.
    pub fn of(self, count: usize) -> usize {
        match self {
            Groups::Fixed(groups) => groups as usize,
            Groups::Per(each) => count.div_ceil(each as usize),
        }
    }
}

/// Rows up to which a batch has few of them: matmuls have kernels of their own for such, with the same bits.
pub const FEW_ROWS: usize = 64;

/// Which batches a dispatch is for, by what its first parameter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum When {
    /// Every one.
    Always,
    /// Those with at most [`FEW_ROWS`].
    Few,
    /// Those with more.
    Many,
}

impl When {
    /// Whether it is for a batch with `count` of them. One with none has nothing to do.
    pub fn holds(self, count: usize) -> bool {
        match self {
            When::Always => count > 0,
            When::Few => (1..=FEW_ROWS).contains(&count),
            When::Many => count > FEW_ROWS,
        }
    }
}

/// One dispatch of one kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatch {
    /// Which kernel.
    pub kernel: &'static Kernel,
    /// Position in [`Plan::steps`](crate::plan::Plan::steps).
    pub step: usize,
    /// Override constants, by name.
    pub constants: Vec<(&'static str, f64)>,
    /// Fields of the kernel's `Params`, in order. The first is `count` and is filled in for each batch.
    pub params: Vec<(&'static str, Word)>,
    /// What the first parameter counts.
    pub count: Count,
    /// Which batches it is for.
    pub when: When,
    /// Bindings 1, 2, ... of group 0; binding 0 is the parameters.
    pub bindings: Vec<(Resource, Access)>,
    /// Invocations per workgroup.
    pub workgroup_size: [u32; 3],
    /// Workgroups to dispatch.
    pub groups: [Groups; 3],
    /// Bytes of workgroup memory, at most.
    pub workgroup_bytes: u32,
}

impl Dispatch {
    /// Whether it has anything to do for a batch.
    pub fn is_for(&self, batch: &PackedBatch) -> bool {
        self.when.holds(self.count.of(batch))
    }
}
