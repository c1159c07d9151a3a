//! `out = activation(x Wᵀ + bias) + residual`.

use super::engine::Context;
use super::panel::{self, Rows, VECTORS};
use super::parallel::Shared;
use super::simd::{store_part, zip_in_place};
use super::weight::Weight;
use super::{activation, panel::max_rows, panel::width};
use crate::checkpoint::Activation;
use fearless_simd::{dispatch, prelude::*};
use std::ops::Range;

/// Rows of x that a job takes: they stay in the first and second level of the cache while it goes along the panels.
const JOB_ROWS: usize = 96;
/// Weights that a job goes over, in f32: half of a usual second-level cache, for they are read once per tile.
const JOB_WEIGHTS: usize = 128 * 1024;
/// Jobs per thread, so that the threads end together.
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
    let (n, k) = (args.weight.rows, args.weight.cols);
    let rows = out.len() / n;
    let width = context.panel_width;
    let panels = n.div_ceil(width);
    let row_blocks = rows.div_ceil(JOB_ROWS);
    let wanted_groups = (JOBS_PER_THREAD * context.pool.threads()).div_ceil(row_blocks.max(1));
    let group = (JOB_WEIGHTS / (k * width)).min(panels / wanted_groups).max(1);
    let groups = panels.div_ceil(group);
    let out = Shared::new(out);
    context.pool.for_each(row_blocks * groups, |job| {
        // Neighbouring jobs share weights: those are what is larger than the cache.
        let (group_at, row_block) = (job / row_blocks, job % row_blocks);
        let panels = group_at * group..panels.min((group_at + 1) * group);
        let rows = row_block * JOB_ROWS..rows.min((row_block + 1) * JOB_ROWS);
        dispatch!(context.level, simd => block(simd, args, rows, panels, &out));
    });
}

/// The tile of `rows` and `panels`. No other job has the same.
#[inline(always)]
fn block<S: Simd>(simd: S, args: &MatMul<'_>, rows: Range<usize>, panels: Range<usize>, out: &Shared<'_>) {
    let (n, k) = (args.weight.rows, args.weight.cols);
    let lanes = S::f32s::LEN;
    let width = width::<S>();
    let columns = panels.start * width..n.min(panels.end * width);
    for first in rows.clone().step_by(max_rows::<S>()) {
        let count = max_rows::<S>().min(rows.end - first);
        let x = Rows { values: &args.x[first * k..(first + count) * k], stride: k, count };
        for at in panels.clone() {
            let column = at * width;
            let panel = &args.weight.padded()[column * k..][..width * k];
            let bias: [S::f32s; VECTORS] = std::array::from_fn(|vector| match args.bias {
                Some(bias) => S::f32s::from_slice(simd, &bias.padded()[column + vector * lanes..][..lanes]),
                None => S::f32s::splat(simd, 0.0),
            });
            panel::multiply(
                simd,
                x,
                k,
                panel,
                #[inline(always)]
                |row, sums| {
                    let start = (first + row) * n + column;
                    // SAFETY: this job alone has these rows and columns, and no other slice of them is alive.
                    let out = unsafe { out.slice(start..start + width.min(n - column)) };
                    for (vector, out) in out.chunks_mut(lanes).enumerate() {
                        store_part::<S>(sums[vector] + bias[vector], out);
                    }
                },
            );
        }
        // The rest of the layer while the tile is in the first-level cache.
        for row in first..first + count {
            let part = row * n + columns.start..row * n + columns.end;
            // SAFETY: as above.
            let out = unsafe { out.slice(part.clone()) };
            if let Some(kind) = args.activation {
                activation::apply(simd, kind, out);
            }
            if let Some(residual) = args.residual {
                zip_in_place(simd, out, &residual[part], |out, residual| out + residual);
            }
        }
    }
}
