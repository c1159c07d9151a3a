//! LayerNorm of one row, for `embed_layernorm` and `add_layernorm`.

use super::simd::{load_part, map_in_place, store_part};
use super::weight::Weight;
use fearless_simd::prelude::*;

/// Parameters of a LayerNorm.
pub struct LayerNorm<'a> {
    /// Scale, `[cols]`.
    pub weight: &'a Weight,
    /// Shift, `[cols]`.
    pub bias: Option<&'a Weight>,
    /// Added to the variance.
    pub eps: f32,
}

impl LayerNorm<'_> {
    /// `(row - mean) / sqrt(var + eps) * weight + bias`, in place. Two passes: the variance is that of the differences.
    #[inline(always)]
    pub fn apply<S: Simd>(&self, simd: S, row: &mut [f32]) {
        let lanes = S::f32s::LEN;
        let len = row.len() as f32;
        let mean = sum(
            simd,
            row,
            #[inline(always)]
            |x| x,
        ) / len;
        map_in_place(
            simd,
            row,
            #[inline(always)]
            |x| x - mean,
        );
        let variance = sum(
            simd,
            row,
            #[inline(always)]
            |x| x * x,
        ) / len;
        let scale = 1.0 / (variance + self.eps).sqrt();
        let weights = self.weight.padded().chunks_exact(lanes);
        for (at, (row, weight)) in row.chunks_mut(lanes).zip(weights).enumerate() {
            let x = if row.len() == lanes { S::f32s::from_slice(simd, row) } else { load_part(simd, row) };
            let weight = S::f32s::from_slice(simd, weight);
            let y = match self.bias {
                Some(bias) => {
                    let bias = S::f32s::from_slice(simd, &bias.padded()[at * lanes..][..lanes]);
                    (x * scale).mul_add(weight, bias)
                }
                None => (x * scale) * weight,
            };
            store_part::<S>(y, row);
        }
    }
}

/// The sum of `f` over a row. `f(0)` is 0, for the lanes beyond its end.
#[inline(always)]
pub fn sum<S: Simd>(simd: S, row: &[f32], f: impl Fn(S::f32s) -> S::f32s) -> f32 {
    let chunks = row.chunks_exact(S::f32s::LEN);
    let mut sum = f(load_part(simd, chunks.remainder()));
    for chunk in chunks {
        sum += f(S::f32s::from_slice(simd, chunk));
    }
    sum.reduce_sum()
}
