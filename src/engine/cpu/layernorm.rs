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
        let mut chunks = row.chunks_exact_mut(lanes);
        let mut at = 0;
        for chunk in &mut chunks {
            self.scaled(simd, S::f32s::from_slice(simd, chunk), scale, at).store_slice(chunk);
            at += lanes;
        }
        let rest = chunks.into_remainder();
        if !rest.is_empty() {
            store_part::<S>(self.scaled(simd, load_part(simd, rest), scale, at), rest);
        }
    }

    /// `x * scale * weight + bias` for the columns from `at` on.
    #[inline(always)]
    fn scaled<S: Simd>(&self, simd: S, x: S::f32s, scale: f32, at: usize) -> S::f32s {
        let weight = S::f32s::from_slice(simd, &self.weight.padded()[at..][..S::f32s::LEN]);
        match self.bias {
            Some(bias) => {
                let bias = S::f32s::from_slice(simd, &bias.padded()[at..][..S::f32s::LEN]);
                (x * scale).mul_add(weight, bias)
            }
            None => (x * scale) * weight,
        }
    }
}

/// The sum of `f` over a row. `f(0)` is 0, for the lanes beyond its end. Four sums side by side, since each waits for the addition before.
#[inline(always)]
pub fn sum<S: Simd>(simd: S, row: &[f32], f: impl Fn(S::f32s) -> S::f32s) -> f32 {
    let lanes = S::f32s::LEN;
    let zero = S::f32s::splat(simd, 0.0);
    // Variables, not an array: see `panel::unrolled`.
    let (mut a, mut b, mut c, mut d) = (zero, zero, zero, zero);
    let blocks = row.chunks_exact(4 * lanes);
    let chunks = blocks.remainder().chunks_exact(lanes);
    for block in blocks {
        a += f(S::f32s::from_slice(simd, &block[..lanes]));
        b += f(S::f32s::from_slice(simd, &block[lanes..][..lanes]));
        c += f(S::f32s::from_slice(simd, &block[2 * lanes..][..lanes]));
        d += f(S::f32s::from_slice(simd, &block[3 * lanes..][..lanes]));
    }
    let rest = chunks.remainder();
    for chunk in chunks {
        a += f(S::f32s::from_slice(simd, chunk));
    }
    if !rest.is_empty() {
        b += f(load_part(simd, rest));
    }
    ((a + b) + (c + d)).reduce_sum()
}
