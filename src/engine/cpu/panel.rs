//! The inner loop of every matrix product here: a few rows of x times a panel of W, held in registers.
//!
//! A panel is [`Kernel::width`] columns of `Wᵀ` stored k-major, `[k, width]`, so that one step of k reads two vectors of it
//! and one number of each row. Every output element is a sum over k in a fixed order: fused multiply-adds within the
//! [`blocks`] of k, then the blocks added one after another. The number of rows computed at once changes nothing in it.

use super::parallel::Shared;
use super::simd::dispatch;
use fearless_simd::{Level, prelude::*};
use std::marker::PhantomData;
use std::ops::Range;

/// Vectors across a panel.
const VECTORS: usize = 2;

/// The most rows that the loop written here computes at once: as many as the registers hold, with two vectors of the panel and one of x. NEON
/// has 32 registers, the others 16. Of six rows in 16 browsers spill: they need one for each product besides.
const MAX_ROWS: usize = if cfg!(target_arch = "wasm32") {
    4
} else if cfg!(target_arch = "aarch64") {
    8
} else {
    6
};

/// Longest block of k. A block of a panel stays in the first-level cache (24 KiB with AVX-512) while the rows go by,
/// and a sum of short sums loses less to rounding than a long one.
const K_BLOCK: usize = 192;

/// Which inner loop there is, and the shape of what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    width: usize,
    max_rows: usize,
    /// Whether it is the one of `avx512.rs`.
    pub(super) avx512: bool,
}

impl Kernel {
    /// The fastest that the processor has.
    pub fn new(level: Level) -> Self {
        #[cfg(target_arch = "x86_64")]
        if level.as_avx2().is_some() && std::arch::is_x86_feature_detected!("avx512f") {
            return Kernel { width: super::avx512::WIDTH, max_rows: super::avx512::MAX_ROWS, avx512: true };
        }
        Self::of_level(level)
    }

    /// The one written here, with the vectors of a level.
    pub fn of_level(level: Level) -> Self {
        dispatch!(level, simd => Self::generic(simd))
    }

    #[inline(always)]
    fn generic<S: Simd>(_simd: S) -> Self {
        Kernel { width: width::<S>(), max_rows: MAX_ROWS, avx512: false }
    }

    /// Columns of a panel.
    pub fn width(self) -> usize {
        self.width
    }

    /// Rows computed at once.
    pub fn max_rows(self) -> usize {
        self.max_rows
    }
}

#[inline(always)]
const fn width<S: Simd>() -> usize {
    VECTORS * S::f32s::LEN
}

/// The blocks that a sum over k is cut into: a function of k alone.
pub fn blocks(k: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    let len = k.div_ceil(k.div_ceil(K_BLOCK).max(1)).max(1);
    (0..k).step_by(len).map(move |start| start..k.min(start + len))
}

/// Rows of a matrix: row i starts at `i * stride`.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// From the first element of the first row on.
    pub values: &'a [f32],
    /// Elements from one row to the next.
    pub stride: usize,
}

impl<'a> Rows<'a> {
    /// The first elements of a row.
    #[inline(always)]
    fn row(&self, row: usize, len: usize) -> &'a [f32] {
        &self.values[row * self.stride..][..len]
    }
}

/// Where products go: `width` elements of each of some rows, row i from `i * stride` on. They may lie between elements that other
/// threads write at the same time.
pub struct Place<'a> {
    start: *mut f32,
    rows: usize,
    stride: usize,
    width: usize,
    memory: PhantomData<&'a mut [f32]>,
}

impl<'a> Place<'a> {
    /// Rows that are all one's own.
    #[inline(always)]
    pub fn new(values: &'a mut [f32], rows: usize, stride: usize, width: usize) -> Self {
        assert!(
            width <= stride && (rows - 1) * stride + width <= values.len(),
            "there is room for the products"
        );
        Place { start: values.as_mut_ptr(), rows, stride, width, memory: PhantomData }
    }

    /// Rows of a buffer that several jobs write, the first from `start` on.
    ///
    /// # Safety
    /// No other use of these elements goes on at the same time.
    #[inline(always)]
    pub unsafe fn shared(
        out: &'a Shared<'_>,
        start: usize,
        rows: usize,
        stride: usize,
        width: usize,
    ) -> Self {
        assert!(
            width <= stride && start + (rows - 1) * stride + width <= out.len(),
            "rows end within the buffer"
        );
        Place { start: out.start().wrapping_add(start), rows, stride, width, memory: PhantomData }
    }

    /// Rows.
    #[inline(always)]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Elements from one row to the next.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Elements of a row.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The first element of the first row.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub fn start(&mut self) -> *mut f32 {
        self.start
    }

    /// The elements of a row.
    #[inline(always)]
    pub fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows);
        // SAFETY: within the memory by the assertion of `new` or `shared`; of nobody else by the borrow or the promise given there, and
        // rows do not overlap.
        unsafe { std::slice::from_raw_parts_mut(self.start.wrapping_add(row * self.stride), self.width) }
    }
}

/// What is added to products before they are stored, in this order.
#[derive(Clone, Copy, Default)]
pub struct Plus<'a> {
    /// Sums of the blocks of k before this one.
    pub before: Before<'a>,
    /// The same for every row.
    pub bias: Option<&'a [f32]>,
    /// One for each product.
    pub residual: Option<Rows<'a>>,
}

impl Plus<'_> {
    /// For products that are summed where they are stored: nothing but what is there, unless it is the first block.
    #[inline(always)]
    pub fn sum(first: bool) -> Self {
        let before = if first { Before::None } else { Before::There };
        Plus { before, ..Plus::default() }
    }
}

/// Where sums of blocks before this one are.
#[derive(Clone, Copy, Default)]
pub enum Before<'a> {
    /// It is the first.
    #[default]
    None,
    /// Where the products go.
    There,
    /// Elsewhere.
    Rows(Rows<'a>),
}

/// Multiplies rows of `x`, as many as `out` has (1 to [`Kernel::max_rows`]), with a block of a panel, `[len, width]`.
#[inline(always)]
pub fn multiply<S: Simd>(
    simd: S,
    kernel: Kernel,
    x: Rows<'_>,
    panel: &[f32],
    plus: Plus<'_>,
    out: Place<'_>,
) {
    #[cfg(target_arch = "x86_64")]
    if kernel.avx512 {
        // SAFETY: `Kernel::new` has found AVX-512F.
        return unsafe { super::avx512::multiply(x, panel, plus, out) };
    }
    debug_assert_eq!(kernel, Kernel::generic(simd));
    // The smallest kernel that is large enough; one that is too large computes the last row again.
    match out.rows() {
        1 => multiply_rows::<S, 1>(simd, x, panel, plus, out),
        2 => multiply_rows::<S, 2>(simd, x, panel, plus, out),
        3..=4 => multiply_rows::<S, 4>(simd, x, panel, plus, out),
        5..=6 if MAX_ROWS > 4 => multiply_rows::<S, 6>(simd, x, panel, plus, out),
        7..=8 if MAX_ROWS > 6 => multiply_rows::<S, 8>(simd, x, panel, plus, out),
        count => unreachable!("{count} rows at once"),
    }
}

// On wasm every function has the same features, so `vectorize` makes no boundary, and browsers give a loop in a function
// of megabytes no registers.
#[cfg_attr(target_arch = "wasm32", inline(never))]
#[cfg_attr(not(target_arch = "wasm32"), inline(always))]
fn multiply_rows<S: Simd, const ROWS: usize>(
    simd: S,
    x: Rows<'_>,
    panel: &[f32],
    plus: Plus<'_>,
    mut out: Place<'_>,
) {
    // A function of its own for each number of rows, so that each has the registers to itself.
    simd.vectorize(
        #[inline(always)]
        move || {
            let lanes = S::f32s::LEN;
            let len = panel.len() / width::<S>();
            let count = out.rows();
            let mut rows: [&[f32]; ROWS] = [&[]; ROWS];
            unrolled::<ROWS>(
                #[inline(always)]
                |row| rows[row] = x.row(row.min(count - 1), len),
            );
            let mut sums = [[S::f32s::splat(simd, 0.0); VECTORS]; ROWS];
            // Every row is `len` long, so that its elements need no check of their own.
            for (at, weights) in panel.chunks_exact(width::<S>()).enumerate() {
                let low = S::f32s::from_slice(simd, &weights[..lanes]);
                let high = S::f32s::from_slice(simd, &weights[lanes..]);
                unrolled::<ROWS>(
                    #[inline(always)]
                    |row| {
                        let x = S::f32s::splat(simd, rows[row][at]);
                        sums[row] = [x.mul_add(low, sums[row][0]), x.mul_add(high, sums[row][1])];
                    },
                );
            }
            unrolled::<ROWS>(
                #[inline(always)]
                |row| {
                    if row >= count {
                        return;
                    }
                    let [mut low, mut high] = sums[row];
                    let mut add = |values: &[f32]| {
                        low += S::f32s::from_slice(simd, &values[..lanes]);
                        high += S::f32s::from_slice(simd, &values[lanes..][..lanes]);
                    };
                    match plus.before {
                        Before::None => {}
                        Before::There => add(out.row(row)),
                        Before::Rows(before) => add(before.row(row, width::<S>())),
                    }
                    if let Some(bias) = plus.bias {
                        add(bias);
                    }
                    if let Some(residual) = plus.residual {
                        add(residual.row(row, width::<S>()));
                    }
                    let (out_low, out_high) = out.row(row)[..width::<S>()].split_at_mut(lanes);
                    low.store_slice(out_low);
                    high.store_slice(out_high);
                },
            );
        },
    );
}

/// Calls `step` with every row. Spelled out, since registers have no index: LLVM unrolls a loop for other targets, but leaves
/// it one for wasm, and the sums in memory.
#[inline(always)]
fn unrolled<const ROWS: usize>(mut step: impl FnMut(usize)) {
    const { assert!(ROWS <= 8) };
    if ROWS > 0 {
        step(0);
    }
    if ROWS > 1 {
        step(1);
    }
    if ROWS > 2 {
        step(2);
    }
    if ROWS > 3 {
        step(3);
    }
    if ROWS > 4 {
        step(4);
    }
    if ROWS > 5 {
        step(5);
    }
    if ROWS > 6 {
        step(6);
    }
    if ROWS > 7 {
        step(7);
    }
}

/// Lays `[n, k]` (rows `stride` apart) out as panels of `[k, width]`, one after another, with zeros beyond n.
pub fn pack(width: usize, w: &[f32], stride: usize, n: usize, k: usize, panels: &mut [f32]) {
    for (panel, out) in panels.chunks_exact_mut(k * width).take(n.div_ceil(width)).enumerate() {
        let first = panel * width;
        if n - first < width {
            out.fill(0.0);
        }
        // Rows are read along, since they may lie a page apart; the panel that is written all over stays in the cache.
        for column in 0..width.min(n - first) {
            let row = &w[(first + column) * stride..][..k];
            for (&x, out) in row.iter().zip(out.chunks_exact_mut(width)) {
                out[column] = x;
            }
        }
    }
}

/// [`pack`] for matrices that are packed at every run.
#[inline(always)]
pub fn pack_fast<S: Simd>(
    simd: S,
    width: usize,
    w: &[f32],
    stride: usize,
    n: usize,
    k: usize,
    panels: &mut [f32],
) {
    match S::f32s::LEN {
        _ if !k.is_multiple_of(S::f32s::LEN) => pack(width, w, stride, n, k, panels),
        4 => pack_squares::<S, 4>(simd, width, w, stride, n, k, panels),
        8 => pack_squares::<S, 8>(simd, width, w, stride, n, k, panels),
        lanes => unreachable!("{lanes} lanes"),
    }
}

/// Transposes square after square, LANES (of a vector) rows and columns each.
#[cfg_attr(target_arch = "wasm32", inline(never))]
#[cfg_attr(not(target_arch = "wasm32"), inline(always))]
fn pack_squares<S: Simd, const LANES: usize>(
    simd: S,
    width: usize,
    w: &[f32],
    stride: usize,
    n: usize,
    k: usize,
    panels: &mut [f32],
) {
    simd.vectorize(
        #[inline(always)]
        || {
            for first in (0..n.next_multiple_of(width)).step_by(LANES) {
                let out = &mut panels[first / width * width * k + first % width..];
                for column in (0..k).step_by(LANES) {
                    let mut square: [S::f32s; LANES] = std::array::from_fn(
                        #[inline(always)]
                        |row| match first + row < n {
                            true => S::f32s::from_slice(simd, &w[(first + row) * stride + column..][..LANES]),
                            false => S::f32s::splat(simd, 0.0),
                        },
                    );
                    // A perfect shuffle of the rows, as often as LANES has factors of two, is a transposition.
                    for _ in 0..LANES.ilog2() {
                        square = std::array::from_fn(
                            #[inline(always)]
                            |row| {
                                let (upper, lower) = (square[row / 2], square[row / 2 + LANES / 2]);
                                if row % 2 == 0 { upper.zip_low(lower) } else { upper.zip_high(lower) }
                            },
                        );
                    }
                    for (row, values) in square.iter().enumerate() {
                        values.store_slice(&mut out[(column + row) * width..][..LANES]);
                    }
                }
            }
        },
    );
}
