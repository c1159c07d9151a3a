//! Which kernel multiplies which matrix, and what a workgroup of it covers: a small table, which a measurement on the
//! device may overrule. All tiles of a device sum in the same order, so that the choice shows in no bit: batches of few rows have one of
//! their own.

use super::shaders;
use super::shaders::Kernel;
use super::{Class, Cooperative, TextTiles, WeightType};
use crate::plan::Rows;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Invocations of a workgroup in kernels for CPUs: the lanes of software Vulkan.
pub(super) const LANES: u32 = 8;

/// Invocations of a workgroup in kernels that have one invocation per element, and at least so many in those that reduce rows on GPUs.
pub(super) const ELEMENTWISE: u32 = 64;

/// Numbers of a row that an invocation keeps in registers (shaders/gpu/layernorm.wgsl).
const KEPT: usize = 16;
/// Invocations of a workgroup that every device has room for.
const MOST_INVOCATIONS: usize = 256;

/// Invocations of a workgroup that keeps a row of such a width in registers, where there is one.
pub(super) fn norm_invocations(cols: usize) -> Option<u32> {
    let invocations = cols.div_ceil(KEPT).next_power_of_two().max(ELEMENTWISE as usize);
    (cols.is_multiple_of(4) && invocations <= MOST_INVOCATIONS).then_some(invocations as u32)
}

/// What a workgroup of a matmul kernel covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tile {
    /// For CPUs, without workgroup memory: 16 rows and 64 columns, with subgroups of four 24 and 16, of eight 32 and 32.
    Software,
    /// 64 rows and 64 columns.
    Small,
    /// 128 rows and 64 columns.
    Medium,
    /// 128 rows and 128 columns.
    Large,
    /// Cooperative matrices, for f16 weights: eight squares of them each way.
    Cooperative,
    /// Likewise: sixteen rows of squares and eight columns.
    #[serde(rename = "cooperative-large")]
    CooperativeLarge,
}

impl Tile {
    /// Those that a GPU may be better off with, depending on the matrix.
    pub const OF_GPUS: [Tile; 5] =
        [Tile::Small, Tile::Medium, Tile::Large, Tile::Cooperative, Tile::CooperativeLarge];

    /// Whether it is made of cooperative matrices.
    pub fn is_cooperative(self) -> bool {
        matches!(self, Tile::Cooperative | Tile::CooperativeLarge)
    }

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Tile::Software => "software",
            Tile::Small => "small",
            Tile::Medium => "medium",
            Tile::Large => "large",
            Tile::Cooperative => "cooperative",
            Tile::CooperativeLarge => "cooperative-large",
        }
    }
}

/// The tiles that a device was measured to multiply fastest with; where it was not, the table holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuning(BTreeMap<(usize, usize), Tile>);

impl Tuning {
    /// The tile for a matrix of `n` rows and `k` columns.
    pub fn get(&self, k: usize, n: usize) -> Option<Tile> {
        self.0.get(&(k, n)).copied()
    }

    /// Names the tile for a matrix of `n` rows and `k` columns.
    pub fn set(&mut self, k: usize, n: usize, tile: Tile) {
        self.0.insert((k, n), tile);
    }

    /// `(k, n)` and tile of every matrix.
    pub fn iter(&self) -> impl Iterator<Item = ((usize, usize), Tile)> + '_ {
        self.0.iter().map(|(shape, tile)| (*shape, *tile))
    }
}

/// Invocations of a workgroup.
#[derive(Clone, Copy)]
pub(super) enum Invocations {
    /// A constant of the kernel, which sizes arrays with it.
    Fixed(u32),
    /// The override `workgroup_size`.
    Override(u32),
}

/// Bytes of workgroup memory that a kernel may ask for at most, whatever the device says it has: above, NVIDIA's driver was seen to
/// hang where it should have refused.
const MOST_WORKGROUP_BYTES: u32 = 48 << 10;
/// What kernels without cooperative matrices take at most: every device has so much.
const PLAIN_WORKGROUP_BYTES: u32 = 16 << 10;

/// A matmul kernel and what a workgroup of it covers.
pub(super) struct MatMulKernel {
    pub(super) kernel: &'static Kernel,
    pub(super) invocations: Invocations,
    pub(super) rows: u32,
    pub(super) columns: u32,
    /// Whether it rounds x to f16.
    pub(super) rounds: bool,
    /// Whether the widths of x and of Wᵀ are constants of it.
    pub(super) constant_widths: bool,
    pub(super) constants: Vec<(&'static str, f64)>,
    pub(super) workgroup_bytes: u32,
}

/// An attention kernel, the texts that it is for and the query rows that a workgroup of it covers.
pub(super) struct AttentionKernel {
    pub(super) kernel: &'static Kernel,
    pub(super) invocations: Invocations,
    pub(super) texts: TextTiles,
    pub(super) constants: Vec<(&'static str, f64)>,
    pub(super) workgroup_bytes: u32,
}

/// What is stored as f16 of what a product reads and writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Halves {
    pub(super) input: bool,
    pub(super) output: bool,
}

/// What the choice depends on.
pub(super) struct Tiles<'a> {
    pub(super) class: Class,
    pub(super) weights: WeightType,
    pub(super) cooperative: Option<Cooperative>,
    pub(super) subgroup: u32,
    pub(super) max_workgroup_bytes: u32,
    pub(super) tuning: &'a Tuning,
}

impl Tiles<'_> {
    /// The kernel for `rows` rows of width `k` and a matrix of `n` rows.
    pub(super) fn matmul(&self, rows: Rows, k: usize, n: usize, halves: Halves) -> MatMulKernel {
        let any_width = !k.is_multiple_of(4) || !n.is_multiple_of(4);
        let tuned = self.tuning.get(k, n).filter(|_| rows == Rows::Tokens && self.class != Class::Software);
        let tile = tuned.unwrap_or_else(|| self.rule(rows, n));
        let plain = |tile: &MatMulTile| self.plain_matmul(tile, any_width);
        if tile.is_cooperative()
            && !any_width
            && let Some(kernel) = self.tensor_matmul(tile, halves)
        {
            return kernel;
        }
        if self.has_plain_halves() && rows == Rows::Tokens && !any_width {
            let (size, covers) = match tile {
                Tile::Small => (1, &SMALL),
                Tile::Medium => (2, &MEDIUM),
                _ => (3, &LARGE),
            };
            return self.half_matmul(size, covers, halves);
        }
        match tile {
            Tile::Software if self.subgroup == 4 && !any_width => plain(&QUAD),
            Tile::Software if self.subgroup == 8 && !any_width => plain(&OCTET),
            Tile::Software => plain(&SOFTWARE),
            Tile::Small => plain(&SMALL),
            Tile::Medium => plain(&MEDIUM),
            Tile::Large | Tile::Cooperative | Tile::CooperativeLarge => plain(&LARGE),
        }
    }

    /// The kernel for batches of few rows, at most [`FEW_ROWS`](super::FEW_ROWS), where there is one beside `many`, which is for the others:
    /// it wastes less on rows that are not there, has more workgroups, and takes fewer steps through k. Both read the same layout of Wᵀ.
    pub(super) fn few_rows(
        &self,
        many: &MatMulKernel,
        k: usize,
        n: usize,
        halves: Halves,
    ) -> Option<MatMulKernel> {
        if self.class == Class::Software || !k.is_multiple_of(4) || !n.is_multiple_of(4) {
            return None;
        }
        match (many.constant_widths, many.rounds) {
            (true, _) => self.tensor_matmul_of_few(halves),
            (false, true) => Some(self.half_matmul(0, &FEW, halves)),
            (false, false) => Some(self.plain_matmul(&FEW, false)),
        }
    }

    fn plain_matmul(&self, tile: &MatMulTile, any_width: bool) -> MatMulKernel {
        MatMulKernel {
            kernel: tile.kernels[self.weights as usize][usize::from(any_width)],
            invocations: Invocations::Fixed(tile.invocations),
            rows: tile.rows,
            columns: tile.columns,
            rounds: false,
            constant_widths: false,
            constants: vec![],
            workgroup_bytes: PLAIN_WORKGROUP_BYTES,
        }
    }

    fn half_matmul(&self, size: usize, covers: &MatMulTile, halves: Halves) -> MatMulKernel {
        let kernel = shaders::MATMUL_HALF[size][usize::from(halves.input)][usize::from(halves.output)];
        MatMulKernel { kernel, rounds: true, ..self.plain_matmul(covers, false) }
    }

    /// The kernel of this tile or, where the device has no workgroup memory for it, of the smaller one, with two stages or one.
    fn tensor_matmul(&self, tile: Tile, halves: Halves) -> Option<MatMulKernel> {
        let cooperative = self.cooperative()?;
        let medium = |stages| MatMulKernel {
            constants: vec![("stages", f64::from(stages))],
            ..tensor_kernel(cooperative, &TensorMatMulTile { stages, ..TENSOR_MEDIUM }, halves)
        };
        let large =
            (tile == Tile::CooperativeLarge).then(|| tensor_kernel(cooperative, &TENSOR_LARGE, halves));
        let mut best_first = large.into_iter().chain([2, 1].map(medium));
        best_first.find(|kernel| kernel.workgroup_bytes <= self.workgroup_limit())
    }

    fn tensor_matmul_of_few(&self, halves: Halves) -> Option<MatMulKernel> {
        let kernel = tensor_kernel(self.cooperative()?, &TENSOR_FEW, halves);
        (kernel.workgroup_bytes <= self.workgroup_limit()).then_some(kernel)
    }

    /// Whether a matmul is done by a kernel that rounds x to f16, so that x may as well be stored so.
    pub(super) fn rounds_matmul(&self, rows: Rows, k: usize, n: usize) -> bool {
        self.matmul(rows, k, n, Halves::default()).rounds
    }

    fn workgroup_limit(&self) -> u32 {
        self.max_workgroup_bytes.min(MOST_WORKGROUP_BYTES)
    }

    /// Large tiles load less; small ones waste less where a matrix is narrow, or its rows are few: texts, not tokens.
    fn rule(&self, rows: Rows, n: usize) -> Tile {
        match self.class {
            Class::Software => Tile::Software,
            _ if rows != Rows::Tokens => Tile::Small,
            // The large one was measured at 1.05 times the other on n = 3072; that it loses where it leaves processors idle is
            // an estimate.
            _ if self.cooperative().is_some() && n >= 1024 => Tile::CooperativeLarge,
            _ if self.cooperative().is_some() => Tile::Cooperative,
            _ if n >= 256 => Tile::Large,
            _ => Tile::Small,
        }
    }

    /// Heads of more than 64 would not fit a browser's 16 KiB of workgroup memory: the kernel without workgroup memory
    /// takes them everywhere. No model of the families here has any.
    pub(super) fn attention(&self, head_dim: usize, halves: Halves) -> Vec<AttentionKernel> {
        if let Some(kernels) = self.tensor_attention(head_dim, halves) {
            return kernels.into();
        }
        if let Some(kernel) = self.half_attention(head_dim, halves) {
            return vec![kernel];
        }
        let tile = match (self.class, head_dim) {
            (Class::Software, _) if self.subgroup == 4 && head_dim.is_multiple_of(8) => &ATTENTION_QUAD,
            (Class::Software, _) if self.subgroup == 8 && head_dim.is_multiple_of(8) => &ATTENTION_OCTET,
            (Class::Software, _) | (_, 65..) => &ATTENTION_SOFTWARE,
            (_, 33..) => &ATTENTION_HEAD_64,
            _ => &ATTENTION_HEAD_32,
        };
        vec![tile.kernel(head_dim)]
    }

    /// For short texts, and for the others. A short text is one block of keys, and its rows are cut into tiles of one subgroup: in the
    /// tile for long texts three of four subgroups would have little to do.
    fn tensor_attention(&self, head_dim: usize, halves: Halves) -> Option<[AttentionKernel; 2]> {
        let cooperative = self.cooperative().filter(|_| head_dim <= 64 && head_dim.is_multiple_of(4))?;
        let wide = head_dim > 32;
        let side = cooperative.side;
        let longest = SHORT.key_strips * side;
        let kernel = |tile: &TensorAttentionTile, shortest, longest| AttentionKernel {
            kernel: shaders::ATTENTION_TENSOR[usize::from(side == 16)][usize::from(wide)]
                [usize::from(halves.input)][usize::from(halves.output)],
            invocations: Invocations::Override(
                cooperative.invocations / Cooperative::SUBGROUPS * tile.strips,
            ),
            texts: TextTiles { rows: tile.strips * side, shortest, longest },
            constants: vec![
                ("strips", f64::from(tile.strips)),
                ("key_strips", f64::from(tile.key_strips)),
                ("one_block", f64::from(u8::from(tile.one_block))),
            ],
            workgroup_bytes: tile.workgroup_bytes(side, if wide { 64 } else { 32 }),
        };
        let kernels = [kernel(&SHORT, 0, longest), kernel(&LONG, longest + 1, u32::MAX)];
        kernels.iter().all(|kernel| kernel.workgroup_bytes <= self.workgroup_limit()).then_some(kernels)
    }

    /// Without cooperative matrices: the tile is that of narrow heads for wide ones as well, since f16 takes half the workgroup memory.
    fn half_attention(&self, head_dim: usize, halves: Halves) -> Option<AttentionKernel> {
        let fits = self.has_plain_halves() && head_dim <= 64 && head_dim.is_multiple_of(4);
        let kernel = shaders::ATTENTION_HALF[usize::from(self.has_octets())][usize::from(head_dim > 32)]
            [usize::from(halves.input)][usize::from(halves.output)];
        fits.then(|| AttentionKernel { kernel, ..ATTENTION_HEAD_32.kernel(head_dim) })
    }

    /// Whether attention is done by a kernel that rounds q, k and v to f16.
    pub(super) fn rounds_attention(&self, head_dim: usize) -> bool {
        self.tensor_attention(head_dim, Halves::default()).is_some()
            || self.half_attention(head_dim, Halves::default()).is_some()
    }

    /// Whether products over tokens are of f16, so that what only they read may be stored so.
    pub(super) fn has_halves(&self) -> bool {
        self.cooperative().is_some() || self.has_plain_halves()
    }

    /// Likewise, and without cooperative matrices.
    fn has_plain_halves(&self) -> bool {
        self.class == Class::Half && self.weights == WeightType::F16
    }

    /// Whether its kernels talk within subgroups, of eight neighbours at least.
    pub(super) fn has_octets(&self) -> bool {
        self.class == Class::Half && self.subgroup >= 8
    }

    /// The device's cooperative matrices, where this plan is to use them.
    pub(super) fn cooperative(&self) -> Option<Cooperative> {
        let wanted = self.class == Class::Tensor && self.weights == WeightType::F16;
        self.cooperative.filter(|cooperative| wanted && matches!(cooperative.side, 8 | 16))
    }
}

/// The kernel that stores every probability.
pub(super) fn probabilities(head_dim: usize) -> AttentionKernel {
    ATTENTION_PROBABILITIES.kernel(head_dim)
}

/// Rows and columns that a workgroup of a matmul kernel covers.
struct MatMulTile {
    /// By [`WeightType`]; each first for widths that are multiples of four, then for any.
    kernels: [[&'static Kernel; 2]; 2],
    invocations: u32,
    rows: u32,
    columns: u32,
}

const SOFTWARE: MatMulTile = MatMulTile {
    kernels: [
        [&shaders::MATMUL_SOFTWARE, &shaders::MATMUL_SOFTWARE_SCALAR],
        [&shaders::MATMUL_SOFTWARE_F16, &shaders::MATMUL_SOFTWARE_SCALAR_F16],
    ],
    invocations: LANES,
    rows: 16,
    columns: LANES * 8,
};

/// Needs widths that are multiples of four.
const QUAD: MatMulTile = MatMulTile {
    kernels: [[&shaders::MATMUL_QUAD; 2], [&shaders::MATMUL_QUAD_F16; 2]],
    invocations: 4,
    rows: 24,
    columns: 16,
};

/// Likewise.
const OCTET: MatMulTile = MatMulTile {
    kernels: [[&shaders::MATMUL_OCTET; 2], [&shaders::MATMUL_OCTET_F16; 2]],
    invocations: 8,
    rows: 32,
    columns: 32,
};

/// Needs widths that are multiples of four.
const FEW: MatMulTile = MatMulTile {
    kernels: [[&shaders::MATMUL_FEW; 2], [&shaders::MATMUL_FEW_F16; 2]],
    invocations: 256,
    rows: 32,
    columns: 64,
};

const SMALL: MatMulTile = MatMulTile {
    kernels: [
        [&shaders::MATMUL_SMALL, &shaders::MATMUL_SMALL_SCALAR],
        [&shaders::MATMUL_SMALL_F16, &shaders::MATMUL_SMALL_SCALAR_F16],
    ],
    invocations: 256,
    rows: 64,
    columns: 64,
};

const MEDIUM: MatMulTile = MatMulTile {
    kernels: [
        [&shaders::MATMUL_MEDIUM, &shaders::MATMUL_MEDIUM_SCALAR],
        [&shaders::MATMUL_MEDIUM_F16, &shaders::MATMUL_MEDIUM_SCALAR_F16],
    ],
    invocations: 256,
    rows: 128,
    columns: 64,
};

const LARGE: MatMulTile = MatMulTile {
    kernels: [
        [&shaders::MATMUL_LARGE, &shaders::MATMUL_LARGE_SCALAR],
        [&shaders::MATMUL_LARGE_F16, &shaders::MATMUL_LARGE_SCALAR_F16],
    ],
    invocations: 256,
    rows: 128,
    columns: 128,
};

/// Query rows that a workgroup of an attention kernel covers.
struct AttentionTile {
    kernel: &'static Kernel,
    scalar: &'static Kernel,
    invocations: u32,
    rows: u32,
}

impl AttentionTile {
    fn kernel(&self, head_dim: usize) -> AttentionKernel {
        AttentionKernel {
            kernel: if head_dim.is_multiple_of(4) { self.kernel } else { self.scalar },
            invocations: Invocations::Fixed(self.invocations),
            texts: TextTiles::all(self.rows),
            constants: vec![],
            workgroup_bytes: PLAIN_WORKGROUP_BYTES,
        }
    }
}

/// What a workgroup of shaders/tensor/matmul.wgsl covers, in squares of cooperative matrices, eight columns of them. tests/shaders.rs holds
/// it against the shaders.
struct TensorMatMulTile {
    /// Position in [`shaders::MATMUL_TENSOR`].
    kernel: usize,
    down: u32,
    /// Of k, in a step.
    depth: u32,
    stages: u32,
}

const TENSOR_FEW: TensorMatMulTile = TensorMatMulTile { kernel: 0, down: 2, depth: 4, stages: 1 };
const TENSOR_MEDIUM: TensorMatMulTile = TensorMatMulTile { kernel: 1, down: 8, depth: 2, stages: 2 };
const TENSOR_LARGE: TensorMatMulTile = TensorMatMulTile { kernel: 2, down: 16, depth: 2, stages: 1 };

impl TensorMatMulTile {
    /// What the kernel declares.
    fn workgroup_bytes(&self, side: u32) -> u32 {
        let (rows, depth) = (self.down * side, self.depth * side);
        let (x, w) = (rows * (depth / 4 + 2), depth * (2 * side + 2));
        let sums = Cooperative::SUBGROUPS * side * side / 4;
        self.stages * (x + w) * 8 + sums * 16
    }
}

fn tensor_kernel(cooperative: Cooperative, tile: &TensorMatMulTile, halves: Halves) -> MatMulKernel {
    let side = cooperative.side;
    MatMulKernel {
        kernel: shaders::MATMUL_TENSOR[usize::from(side == 16)][tile.kernel][usize::from(halves.input)]
            [usize::from(halves.output)],
        invocations: Invocations::Override(cooperative.invocations),
        rows: side * tile.down,
        columns: 8 * side,
        rounds: true,
        constant_widths: true,
        constants: vec![],
        workgroup_bytes: tile.workgroup_bytes(side),
    }
}

/// What a workgroup of shaders/tensor/attention.wgsl covers, in squares of cooperative matrices.
struct TensorAttentionTile {
    /// Of query rows: one to each subgroup.
    strips: u32,
    /// Of keys in a block.
    key_strips: u32,
    /// Whether a block is all there is.
    one_block: bool,
}

const LONG: TensorAttentionTile = TensorAttentionTile { strips: 4, key_strips: 4, one_block: false };
const SHORT: TensorAttentionTile = TensorAttentionTile { strips: 1, key_strips: 2, one_block: true };

impl TensorAttentionTile {
    /// What the kernel declares, likewise.
    fn workgroup_bytes(&self, side: u32, head: u32) -> u32 {
        let (tile, block) = (self.strips * side, self.key_strips * side);
        let halves = block * (head / 4 + 2) + tile * (block / 4 + 2);
        let scores = tile * (block.max(head) / 4 + 1);
        halves * 8 + scores * 16 + self.strips * 64 * 4
    }
}

const ATTENTION_SOFTWARE: AttentionTile = AttentionTile {
    kernel: &shaders::ATTENTION_SOFTWARE,
    scalar: &shaders::ATTENTION_SOFTWARE_SCALAR,
    invocations: LANES,
    rows: LANES * 4,
};

/// Needs heads whose widths are multiples of eight.
const ATTENTION_QUAD: AttentionTile = AttentionTile {
    kernel: &shaders::ATTENTION_QUAD,
    scalar: &shaders::ATTENTION_QUAD,
    invocations: 4,
    rows: 16,
};

/// Likewise.
const ATTENTION_OCTET: AttentionTile = AttentionTile {
    kernel: &shaders::ATTENTION_OCTET,
    scalar: &shaders::ATTENTION_OCTET,
    invocations: 8,
    rows: 32,
};

const ATTENTION_HEAD_32: AttentionTile = AttentionTile {
    kernel: &shaders::ATTENTION_HEAD_32,
    scalar: &shaders::ATTENTION_HEAD_32_SCALAR,
    invocations: 64,
    rows: 32,
};

const ATTENTION_HEAD_64: AttentionTile = AttentionTile {
    kernel: &shaders::ATTENTION_HEAD_64,
    scalar: &shaders::ATTENTION_HEAD_64_SCALAR,
    invocations: 64,
    rows: 16,
};

const ATTENTION_PROBABILITIES: AttentionTile = AttentionTile {
    kernel: &shaders::ATTENTION_PROBABILITIES,
    scalar: &shaders::ATTENTION_PROBABILITIES,
    invocations: LANES,
    rows: LANES,
};
