//! `out = activation(x Wᵀ + bias) + residual`.

use super::activation;
use super::context::Context;
use super::panel;
use super::panel::{Before, Kernel, Place, Plus, Rows};
use super::parallel::{Shared, with_scratch};
use super::simd::{dispatch, row_stride, zip_in_place};
use super::weight::Weight;
use crate::model::Activation;
use fearless_simd::prelude::*;
use std::ops::Range;

/// Rows of x that a job takes, each block of a panel being read from the first-level cache for all but the first few.
const JOB_ROWS: usize = 96;
/// Panels that a job takes at most: what the next job reads again of them stays in the second-level cache.
const JOB_PANELS: usize = 12;
/// Floats of x that stay in the second-level cache for one panel after the other. With more, blocks of k come one after the other.
const X_KEPT: usize = 64 << 10;
/// Jobs per thread at least, where there is as much to do, so that the threads end together.
const JOBS_PER_THREAD: usize = 16;

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
        let at_once = if rows.len() * args.weight.cols <= X_KEPT { 1 } else { panels.len() };
        with_scratch(JOB_ROWS * row_stride(at_once * width), |sums| {
            for first in panels.clone().step_by(at_once) {
                let panels = first..panels.end.min(first + at_once);
                let mut part = Part { kernel, args, rows: rows.clone(), panels, sums, out: &out };
                dispatch!(context.level, simd => part.compute(simd));
            }
        });
    });
}

/// What is computed before the sums' memory is used again.
struct Part<'a> {
    kernel: Kernel,
    args: &'a MatMul<'a>,
    rows: Range<usize>,
    panels: Range<usize>,
    /// Of all blocks of k but the last, `[rows, panels * width]`, rows [`row_stride`] apart.
    sums: &'a mut [f32],
    out: &'a Shared<'a>,
}

impl Part<'_> {
    #[cfg_attr(target_arch = "wasm32", inline(never))]
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    fn compute<S: Simd>(&mut self, simd: S) {
        let (k, n, width) = (self.args.weight.cols, self.args.weight.rows, self.kernel.width());
        for block in panel::blocks(k) {
            for panel in self.panels.clone() {
                let weights =
                    &self.args.weight.padded()[panel * width * k..][block.start * width..block.end * width];
                for first in self.rows.clone().step_by(self.kernel.max_rows()) {
                    let rows = first..self.rows.end.min(first + self.kernel.max_rows());
                    let x = Rows { values: &self.args.x[first * k + block.start..], stride: k };
                    let whole = (panel + 1) * width <= n;
                    if block.end == k && whole {
                        self.last_block(simd, x, weights, panel, rows, block.start == 0);
                        continue;
                    }
                    let (at, stride) = (self.sums_at(panel, first), self.sums_stride());
                    let sums = Place::new(&mut self.sums[at..], rows.len(), stride, width);
                    panel::multiply(simd, self.kernel, x, weights, Plus::sum(block.start == 0), sums);
                    if block.end == k {
                        self.finish(simd, panel, rows);
                    }
                }
            }
        }
    }

    /// Where the sums of a panel's columns begin.
    #[inline(always)]
    fn sums_at(&self, panel: usize, row: usize) -> usize {
        (row - self.rows.start) * self.sums_stride() + (panel - self.panels.start) * self.kernel.width()
    }

    #[inline(always)]
    fn sums_stride(&self) -> usize {
        row_stride(self.panels.len() * self.kernel.width())
    }

    /// The last block of k of a whole panel, and the rest of the layer, while the sums are in registers.
    #[inline(always)]
    fn last_block<S: Simd>(
        &mut self,
        simd: S,
        x: Rows<'_>,
        weights: &[f32],
        panel: usize,
        rows: Range<usize>,
        only: bool,
    ) {
        let (n, width, kernel) = (self.args.weight.rows, self.kernel.width(), self.kernel);
        let stride = self.sums_stride();
        let at = self.sums_at(panel, rows.start);
        let start = rows.start * n + panel * width;
        let residual = self.args.residual.map(|residual| Rows { values: &residual[start..], stride: n });
        let plus = Plus {
            before: if only { Before::None } else { Before::Rows(Rows { values: &self.sums[at..], stride }) },
            bias: self.args.bias.map(|bias| &bias.padded()[panel * width..]),
            residual: if self.args.activation.is_some() { None } else { residual },
        };
        // SAFETY: no other job has these rows and columns; so below.
        let place = || unsafe { Place::shared(self.out, start, rows.len(), n, width) };
        panel::multiply(simd, kernel, x, weights, plus, place());
        let Some(kind) = self.args.activation else { return };
        let mut place = place();
        activation::apply_rows(simd, kernel, kind, &mut place);
        if let Some(residual) = residual {
            for row in 0..rows.len() {
                add(simd, place.row(row), &residual.values[row * n..][..width]);
            }
        }
    }

    /// The rest of the layer for the columns of a panel that is not whole.
    #[inline(always)]
    fn finish<S: Simd>(&mut self, simd: S, panel: usize, rows: Range<usize>) {
        let (n, width) = (self.args.weight.rows, self.kernel.width());
        let at = self.sums_at(panel, rows.start);
        let sums = self.sums[at..].chunks(self.sums_stride());
        let columns = panel * width..n;
        for (row, sums) in rows.zip(sums) {
            let part = row * n + columns.start..row * n + columns.end;
            // SAFETY: no other job has these rows and columns.
            let out = unsafe { self.out.slice(part.clone()) };
            out.copy_from_slice(&sums[..columns.len()]);
            if let Some(bias) = self.args.bias {
                add(simd, out, &bias.padded()[columns.clone()]);
            }
            if let Some(kind) = self.args.activation {
                activation::apply(simd, self.kernel, kind, out);
            }
            if let Some(residual) = self.args.residual {
                add(simd, out, &residual[part]);
            }
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
