//! `out = activation(x Wᵀ + bias) + residual`.

use super::activation;
#[cfg(target_arch = "x86_64")]
use super::avx512;
use super::context::Context;
use super::panel;
use super::panel::{Kernel, Rows, Tile};
use super::parallel::{Shared, with_scratch};
use super::simd::{row_stride, zip_in_place};
use super::weight::Weight;
use crate::model::Activation;
use fearless_simd::{dispatch, prelude::*};
use std::ops::Range;

/// Rows of x that a job takes, each block of a panel being read from the first-level cache for all but the first few.
const JOB_ROWS: usize = 96;
/// Panels that a job takes at most: its tile of `out` stays in the second-level cache.
const JOB_PANELS: usize = 12;
/// Jobs per thread at least, where there is as much to do, so that the threads end together.
const JOBS_PER_THREAD: usize = 3;

/// What one matmul reads.
pub struct MatMul<'a> {
    /// `[rows, k]`.
    pub x: &'a [f32],
    /// Matrix `[n, k]`.
    pub weight: &'a Weight,
    /// `[n]`.
    pub bias: Option<&'a Weight>,
    /// Applied before the residual.
    pub activation: Option<Activation>,
    /// `[rows, n]`.
    pub residual: Option<&'a [f32]>,
}

/// Writes `[rows, n]`.
pub fn run(context: &Context<'_>, args: &MatMul<'_>, out: &mut [f32]) {
    let n = args.weight.rows;
    let rows = out.len() / n;
    let kernel = context.kernel;
    let width = kernel.width();
    let panels = n.div_ceil(width);
    let row_blocks = rows.div_ceil(JOB_ROWS);
    let wanted_groups = (JOBS_PER_THREAD * context.pool.threads()).div_ceil(row_blocks.max(1));
    let group = (panels / wanted_groups).clamp(1, JOB_PANELS);
    let groups = panels.div_ceil(group);
    let out = Shared::new(out);
    context.pool.for_each(row_blocks * groups, |job| {
        // Neighbouring jobs share weights: those are what is larger than the cache.
        let (group_at, row_block) = (job / row_blocks, job % row_blocks);
        let panels = group_at * group..panels.min((group_at + 1) * group);
        let rows = row_block * JOB_ROWS..rows.min((row_block + 1) * JOB_ROWS);
        with_scratch(JOB_ROWS * row_stride(panels.len() * width), |tile| {
            dispatch!(context.level, simd => {
                multiply(simd, kernel, args, rows.clone(), panels.clone(), tile);
                finish(simd, kernel, args, rows, panels, tile, &out);
            });
        });
    });
}

/// The products of `rows` and `panels`, `[JOB_ROWS, panels * width]`, rows [`row_stride`] apart.
#[cfg_attr(target_arch = "wasm32", inline(never))]
#[cfg_attr(not(target_arch = "wasm32"), inline(always))]
fn multiply<S: Simd>(
    simd: S,
    kernel: Kernel,
    args: &MatMul<'_>,
    rows: Range<usize>,
    panels: Range<usize>,
    tile: &mut [f32],
) {
    let k = args.weight.cols;
    let width = kernel.width();
    let stride = row_stride(panels.len() * width);
    for block in panel::blocks(k) {
        for (at, panel) in panels.clone().enumerate() {
            let panel = &args.weight.padded()[panel * width * k..][block.start * width..block.end * width];
            for first in rows.clone().step_by(kernel.max_rows()) {
                let count = kernel.max_rows().min(rows.end - first);
                let x = Rows { values: &args.x[first * k + block.start..], stride: k, count };
                let values = &mut tile[(first - rows.start) * stride + at * width..];
                panel::multiply(simd, kernel, x, panel, Tile { values, stride, add: block.start > 0 });
            }
        }
    }
}

/// The rest of the layer, while the tile is in the cache.
#[cfg_attr(target_arch = "wasm32", inline(never))]
#[cfg_attr(not(target_arch = "wasm32"), inline(always))]
fn finish<S: Simd>(
    simd: S,
    kernel: Kernel,
    args: &MatMul<'_>,
    rows: Range<usize>,
    panels: Range<usize>,
    tile: &[f32],
    out: &Shared<'_>,
) {
    let n = args.weight.rows;
    let width = kernel.width();
    let stride = row_stride(panels.len() * width);
    let columns = panels.start * width..n.min(panels.end * width);
    for (row, sums) in rows.zip(tile.chunks_exact(stride)) {
        let part = row * n + columns.start..row * n + columns.end;
        // SAFETY: no other job has these rows and columns.
        let out = unsafe { out.slice(part.clone()) };
        #[cfg(target_arch = "x86_64")]
        if kernel.avx512 && matches!(args.activation, None | Some(Activation::Gelu)) {
            let bias = args.bias.map(|bias| &bias.padded()[columns.clone()]);
            let residual = args.residual.map(|residual| &residual[part]);
            // SAFETY: `Kernel::new` has found AVX-512F.
            unsafe { avx512::finish(sums, bias, args.activation.is_some(), residual, out) };
            continue;
        }
        out.copy_from_slice(&sums[..columns.len()]);
        if let Some(bias) = args.bias {
            add(simd, out, &bias.padded()[columns.clone()]);
        }
        if let Some(kind) = args.activation {
            activation::apply(simd, kernel, kind, out);
        }
        if let Some(residual) = args.residual {
            add(simd, out, &residual[part]);
        }
    }
}

#[inline(always)]
fn add<S: Simd>(simd: S, out: &mut [f32], x: &[f32]) {
    zip_in_place(
        simd,
        out,
        x,
        #[inline(always)]
        |out, x| out + x,
    );
}
