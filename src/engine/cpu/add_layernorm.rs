//! `out = LayerNorm(x + residual)`.

use super::context::Context;
use super::layernorm::LayerNorm;
use super::simd::{dispatch, zip_in_place};
use fearless_simd::prelude::*;

/// Writes `[rows, cols]`.
pub fn run(
    context: &Context<'_>,
    x: &[f32],
    residual: Option<&[f32]>,
    norm: &LayerNorm<'_>,
    out: &mut [f32],
) {
    let cols = norm.weight.rows;
    context.pool.for_each_row(out, cols, |at, out| {
        let part = at * cols..(at + 1) * cols;
        out.copy_from_slice(&x[part.clone()]);
        let residual = residual.map(|residual| &residual[part]);
        dispatch!(context.level, simd => row(simd, residual, norm, out));
    });
}

#[inline(always)]
fn row<S: Simd>(simd: S, residual: Option<&[f32]>, norm: &LayerNorm<'_>, out: &mut [f32]) {
    if let Some(residual) = residual {
        zip_in_place(
            simd,
            out,
            residual,
            #[inline(always)]
            |out, x| out + x,
        );
    }
    norm.apply(simd, out);
}
