//! The inner loop of [`panel`](super::panel) with the foundation of AVX-512 alone.
//!
//! `fearless_simd` has AVX-512 from Ice Lake on. The servers before it, of which clouds are full, do half of their
//! multiply-adds a cycle with what it has for them. The sums are the same, in the same order: so are the bits.

use super::panel::{Rows, Tile};
use std::arch::x86_64::{
    __m512, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_storeu_ps,
};

/// Numbers of a vector.
const LANES: usize = 16;
/// Vectors across a panel.
const VECTORS: usize = 2;
/// Columns of a panel.
pub const WIDTH: usize = VECTORS * LANES;
/// Rows computed at once: sixteen sums, two vectors of the panel and one of x, of 32 registers. More would find no more free
/// multipliers, and their addresses no registers.
pub const MAX_ROWS: usize = 8;

/// Multiplies the rows of `x` with a block of a panel, `[len, WIDTH]`. Rows of `out` after the last may be overwritten.
#[target_feature(enable = "avx512f")]
pub fn multiply(x: Rows<'_>, panel: &[f32], out: Tile<'_>) {
    match x.count {
        1 => multiply_rows::<1>(x, panel, out),
        2 => multiply_rows::<2>(x, panel, out),
        3..=4 => multiply_rows::<4>(x, panel, out),
        5..=6 => multiply_rows::<6>(x, panel, out),
        7..=MAX_ROWS => multiply_rows::<MAX_ROWS>(x, panel, out),
        count => unreachable!("{count} rows at once"),
    }
}

#[target_feature(enable = "avx512f")]
fn multiply_rows<const ROWS: usize>(x: Rows<'_>, panel: &[f32], out: Tile<'_>) {
    let steps = panel.as_chunks::<WIDTH>().0;
    // Every row is as long as there are steps, so that its elements need no check of their own.
    let rows: [&[f32]; ROWS] =
        std::array::from_fn(|row| &x.values[row.min(x.count - 1) * x.stride..][..steps.len()]);
    let mut sums = [[_mm512_setzero_ps(); VECTORS]; ROWS];
    for (at, weights) in steps.iter().enumerate() {
        let (low, high) = (load(&weights[..LANES]), load(&weights[LANES..]));
        for (sums, row) in sums.iter_mut().zip(&rows) {
            // SAFETY: each row has as many elements as there are steps.
            let x = _mm512_set1_ps(unsafe { *row.get_unchecked(at) });
            *sums = [_mm512_fmadd_ps(x, low, sums[0]), _mm512_fmadd_ps(x, high, sums[1])];
        }
    }
    let Tile { values, stride, add } = out;
    for (row, [low, high]) in sums.into_iter().enumerate() {
        let (out_low, out_high) = values[row * stride..][..WIDTH].split_at_mut(LANES);
        if add {
            store(_mm512_add_ps(low, load(out_low)), out_low);
            store(_mm512_add_ps(high, load(out_high)), out_high);
        } else {
            store(low, out_low);
            store(high, out_high);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(values: &[f32]) -> __m512 {
    let values = &values[..LANES];
    // SAFETY: there are as many values as a vector has.
    unsafe { _mm512_loadu_ps(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(vector: __m512, out: &mut [f32]) {
    let out = &mut out[..LANES];
    // SAFETY: there is room for as many values as a vector has.
    unsafe { _mm512_storeu_ps(out.as_mut_ptr(), vector) }
}

/// Rounds of multiply-adds in registers, for the peak: `rounds * 12 * 16` of them.
#[target_feature(enable = "avx512f")]
pub fn multiply_adds(factor: f32, rounds: usize) -> f32 {
    let x = _mm512_set1_ps(factor);
    let mut sums = [_mm512_set1_ps(1.0); PEAK_SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, x, x);
        }
    }
    let total = sums.into_iter().fold(_mm512_setzero_ps(), |all, sum| _mm512_add_ps(all, sum));
    let mut numbers = [0.0; LANES];
    store(total, &mut numbers);
    numbers.iter().sum()
}

/// Independent sums of [`multiply_adds`].
pub const PEAK_SUMS: usize = 12;
