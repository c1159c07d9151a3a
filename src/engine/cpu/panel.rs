//! The inner loop of every matrix product here: a few rows of x times a panel of W, held in registers.
//!
//! A panel is [`Kernel::width`] columns of `Wᵀ` stored k-major, `[k, width]`, so that one step of k reads two vectors of it
//! and one number of each row. Every output element is a sum over k in a fixed order: fused multiply-adds within the
//! [`blocks`] of k, then the blocks added one after another. The number of rows computed at once changes nothing in it.

use fearless_simd::{Level, dispatch, prelude::*};
use std::ops::Range;

/// Vectors across a panel.
const VECTORS: usize = 2;

/// The most rows that the loop written here computes at once.
const MAX_ROWS: usize = 8;

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
    /// The fastest that the processor has. Servers of the years before Ice Lake have AVX-512, but not all of what
    /// `fearless_simd` asks for; the multiply-adds alone need only its foundation, and are twice as many a cycle as AVX2's.
    pub fn new(level: Level) -> Self {
        #[cfg(target_arch = "x86_64")]
        if matches!(level, Level::Avx2(_)) && std::arch::is_x86_feature_detected!("avx512f") {
            return Kernel { width: super::avx512::WIDTH, max_rows: super::avx512::MAX_ROWS, avx512: true };
        }
        Self::of_level(level)
    }

    /// That of `fearless_simd`'s level.
    pub fn of_level(level: Level) -> Self {
        dispatch!(level, simd => Self::generic(simd))
    }

    #[inline(always)]
    fn generic<S: Simd>(_simd: S) -> Self {
        Kernel { width: width::<S>(), max_rows: max_rows::<S>(), avx512: false }
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

/// As many as the registers hold, with two vectors of the panel and one of x.
#[inline(always)]
const fn max_rows<S: Simd>() -> usize {
    // AVX-512 and NEON have 32 vector registers, the others 16. Twelve rows would fit in 32, but rustc then spills, and of
    // six in 16 browsers do: they need one for each product besides.
    match S::f32s::LEN {
        _ if cfg!(target_arch = "wasm32") => 4,
        _ if cfg!(target_arch = "aarch64") => MAX_ROWS,
        16 => MAX_ROWS,
        _ => 6,
    }
}

/// The blocks that a sum over k is cut into: a function of k alone.
pub fn blocks(k: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    let len = k.div_ceil(k.div_ceil(K_BLOCK).max(1)).max(1);
    (0..k).step_by(len).map(move |start| start..k.min(start + len))
}

/// Rows of the left-hand side: row i starts at `i * stride`.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// From the first element of the first row on.
    pub values: &'a [f32],
    /// Elements from one row to the next.
    pub stride: usize,
    /// How many, 1 to [`Kernel::max_rows`].
    pub count: usize,
}

/// Where products go: row i of x to `values[i * stride..][..width]`.
pub struct Tile<'a> {
    /// From the first element of the first row on; room for a multiple of [`Kernel::max_rows`] rows.
    pub values: &'a mut [f32],
    /// Elements from one row to the next.
    pub stride: usize,
    /// Whether to add to what is there: for every block of k but the first.
    pub add: bool,
}

/// Multiplies the rows of `x` with a block of a panel, `[len, width]`. Rows of `out` after the last may be overwritten.
#[inline(always)]
pub fn multiply<S: Simd>(simd: S, kernel: Kernel, x: Rows<'_>, panel: &[f32], out: Tile<'_>) {
    #[cfg(target_arch = "x86_64")]
    if kernel.avx512 {
        // SAFETY: `Kernel::new` has found AVX-512F.
        return unsafe { super::avx512::multiply(x, panel, out) };
    }
    debug_assert_eq!(kernel, Kernel::generic(simd));
    // The smallest kernel that is large enough; one that is too large repeats the last row.
    match x.count {
        1 => multiply_rows::<S, 1>(simd, x, panel, out),
        2 => multiply_rows::<S, 2>(simd, x, panel, out),
        3..=4 => multiply_rows::<S, 4>(simd, x, panel, out),
        5..=6 if max_rows::<S>() > 4 => multiply_rows::<S, 6>(simd, x, panel, out),
        7..=8 if max_rows::<S>() > 6 => multiply_rows::<S, 8>(simd, x, panel, out),
        count => unreachable!("{count} rows at once"),
    }
}

// On wasm every function has the same features, so `vectorize` makes no boundary, and browsers give a loop in a function
// of megabytes no registers.
#[cfg_attr(target_arch = "wasm32", inline(never))]
#[cfg_attr(not(target_arch = "wasm32"), inline(always))]
fn multiply_rows<S: Simd, const ROWS: usize>(simd: S, x: Rows<'_>, panel: &[f32], out: Tile<'_>) {
    // A function of its own for each number of rows, so that each has the registers to itself.
    simd.vectorize(
        #[inline(always)]
        move || {
            let lanes = S::f32s::LEN;
            let len = panel.len() / width::<S>();
            let mut rows: [&[f32]; ROWS] = [&[]; ROWS];
            unrolled::<ROWS>(
                #[inline(always)]
                |row| rows[row] = &x.values[row.min(x.count - 1) * x.stride..][..len],
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
                    let [low, high] = sums[row];
                    let (out_low, out_high) =
                        out.values[row * out.stride..][..width::<S>()].split_at_mut(lanes);
                    if out.add {
                        (low + S::f32s::from_slice(simd, out_low)).store_slice(out_low);
                        (high + S::f32s::from_slice(simd, out_high)).store_slice(out_high);
                    } else {
                        low.store_slice(out_low);
                        high.store_slice(out_high);
                    }
                },
            );
        },
    );
}

/// Calls `step` with every row. Spelled out, since registers have no index: LLVM unrolls a loop for other targets, but leaves
/// it one for wasm, and the sums in memory.
#[inline(always)]
fn unrolled<const ROWS: usize>(mut step: impl FnMut(usize)) {
    const { assert!(ROWS <= MAX_ROWS) };
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
        16 => pack_squares::<S, 16>(simd, width, w, stride, n, k, panels),
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
