//! `out[:, i] = activation(x[:, i]) * x[:, cols + i]`. Source: `ModernBertMLP`.

use super::activation;
use super::context::Context;
use super::panel::Kernel;
use super::simd::{dispatch, zip_in_place};
use crate::model::Activation;
use fearless_simd::prelude::*;

/// Writes `[rows, cols]` from `[rows, 2 * cols]`.
pub fn run(context: &Context<'_>, x: &[f32], activation: Activation, cols: usize, out: &mut [f32]) {
    context.pool.for_each_row(out, cols, |at, out| {
        let (input, gate) = x[at * 2 * cols..][..2 * cols].split_at(cols);
        out.copy_from_slice(input);
        dispatch!(context.level, simd => row(simd, context.kernel, activation, gate, out));
    });
}

#[inline(always)]
fn row<S: Simd>(simd: S, kernel: Kernel, kind: Activation, gate: &[f32], out: &mut [f32]) {
    activation::apply(simd, kernel, kind, out);
    zip_in_place(
        simd,
        out,
        gate,
        #[inline(always)]
        |out, gate| out * gate,
    );
}
