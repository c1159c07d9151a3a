//! The inner loop of every matrix product here: a few rows of x times a panel of W, held in registers.
//!
//! A panel is [`width`] columns of `Wᵀ` stored k-major, `[k, width]`, so that one step of k reads two vectors of it
//! and one number of each row. Every output element is a sum over k in a fixed order: fused multiply-adds over
//! blocks of [`K_BLOCK`], the blocks added up. The number of rows computed at once changes nothing in it.

use fearless_simd::prelude::*;

/// Vectors across a panel.
pub const VECTORS: usize = 2;

/// Terms of a sum that one accumulator takes before it is put aside: a sum of short sums loses less than a long one.
const K_BLOCK: usize = 256;

/// Columns of a panel.
#[inline(always)]
pub const fn width<S: Simd>() -> usize {
    VECTORS * S::f32s::LEN
}

/// Most rows computed at once: as many as leave registers for two vectors of the panel and one of x.
#[inline(always)]
pub const fn max_rows<S: Simd>() -> usize {
    // AVX-512 and NEON have 32 vector registers, the others 16.
    if S::f32s::LEN == 16 || cfg!(target_arch = "aarch64") { 12 } else { 6 }
}

/// Rows of the left-hand side: row i starts at `i * stride`.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// From the first element of the first row on.
    pub values: &'a [f32],
    /// Elements from one row to the next.
    pub stride: usize,
    /// How many, 1 to [`max_rows`].
    pub count: usize,
}

/// Gives `store(row, sums)` for each row of `x`: its products with the `k * width` numbers of `panel`.
#[inline(always)]
pub fn multiply<S: Simd>(
    simd: S,
    x: Rows<'_>,
    k: usize,
    panel: &[f32],
    store: impl FnMut(usize, [S::f32s; VECTORS]),
) {
    // The smallest kernel that is large enough; one that is too large repeats the last row.
    match x.count {
        0 => {}
        1 => multiply_rows::<S, 1>(simd, x, k, panel, store),
        2 => multiply_rows::<S, 2>(simd, x, k, panel, store),
        3..=4 => multiply_rows::<S, 4>(simd, x, k, panel, store),
        5..=6 => multiply_rows::<S, 6>(simd, x, k, panel, store),
        7..=8 if max_rows::<S>() > 6 => multiply_rows::<S, 8>(simd, x, k, panel, store),
        9..=12 if max_rows::<S>() > 6 => multiply_rows::<S, 12>(simd, x, k, panel, store),
        count => unreachable!("{count} rows at once"),
    }
}

#[inline(always)]
fn multiply_rows<S: Simd, const ROWS: usize>(
    simd: S,
    x: Rows<'_>,
    k: usize,
    panel: &[f32],
    mut store: impl FnMut(usize, [S::f32s; VECTORS]),
) {
    simd.vectorize(
        #[inline(always)]
        move || {
            let zero = S::f32s::splat(simd, 0.0);
            let mut sums = [[zero; VECTORS]; ROWS];
            let panel = &panel[..k * width::<S>()];
            for (block, panel) in panel.chunks(K_BLOCK * width::<S>()).enumerate() {
                let start = block * K_BLOCK;
                let len = panel.len() / width::<S>();
                let rows: [&[f32]; ROWS] =
                    std::array::from_fn(|row| &x.values[row.min(x.count - 1) * x.stride + start..][..len]);
                let block_sums = multiply_block::<S, ROWS>(simd, rows, panel);
                for (sum, block_sum) in sums.iter_mut().zip(block_sums) {
                    for (sum, block_sum) in sum.iter_mut().zip(block_sum) {
                        *sum += block_sum;
                    }
                }
            }
            for (row, sums) in sums.into_iter().enumerate() {
                if row < x.count {
                    store(row, sums);
                }
            }
        },
    );
}

/// The hot loop. `panel` is `[len, width]`, each row `[len]`.
#[inline(always)]
fn multiply_block<S: Simd, const ROWS: usize>(
    simd: S,
    rows: [&[f32]; ROWS],
    panel: &[f32],
) -> [[S::f32s; VECTORS]; ROWS] {
    let len = panel.len() / width::<S>();
    assert!(rows.iter().all(|row| row.len() == len));
    let mut sums = [[S::f32s::splat(simd, 0.0); VECTORS]; ROWS];
    for (at, weights) in panel.chunks_exact(width::<S>()).enumerate() {
        let low = S::f32s::from_slice(simd, &weights[..S::f32s::LEN]);
        let high = S::f32s::from_slice(simd, &weights[S::f32s::LEN..]);
        for (row, sum) in rows.iter().zip(&mut sums) {
            // SAFETY: `at` is below the number of chunks, `len`, which is the length of every row. The compiler does
            // not see it through the array of slices, and a check here costs more than the arithmetic.
            let x = S::f32s::splat(simd, unsafe { *row.get_unchecked(at) });
            sum[0] = x.mul_add(low, sum[0]);
            sum[1] = x.mul_add(high, sum[1]);
        }
    }
    sums
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
            for (&x, out) in row.iter().zip(out[column..].iter_mut().step_by(width)) {
                *out = x;
            }
        }
    }
}
