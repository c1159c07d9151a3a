//! Scaled dot-product attention within each text of a packed batch.
//!
//! A job is one head of up to [`JOB_QUERIES`] tokens of one text. It packs the keys and values it can see into panels,
//! then goes over a few queries at a time: scores, softmax, weighted sum of values, all in scratch memory of the
//! thread. Nothing of length S * S exists.

use super::activation::exp;
use super::context::{BLOCK_QUERIES, Context, Piece};
use super::panel;
use super::panel::{Kernel, Place, Plus, Rows};
use super::parallel::{Shared, with_scratch};
use super::simd::{dispatch, row_stride};
use super::weight::Weight;
use crate::plan::RelativeBias;
use fearless_simd::prelude::*;
use std::ops::Range;

/// What attention reads.
pub struct Attention<'a> {
    /// `[tokens, 3 * heads * head_dim]`.
    pub qkv: &'a [f32],
    /// Number of heads.
    pub heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Factor on the scores.
    pub scale: f32,
    /// How far a token sees on each side.
    pub window: Option<usize>,
    /// Added to the scaled scores.
    pub relative_bias: Option<DistanceBias<'a>>,
}

/// The relative bias of MPNet, with the bucket of every distance looked up beforehand.
pub struct DistanceBias<'a> {
    /// `[buckets, heads]`.
    table: &'a Weight,
    /// Buckets of the distances 0, 1, 2, ... to keys before the query.
    before: Vec<usize>,
    /// The same to keys after it.
    after: Vec<usize>,
}

impl<'a> DistanceBias<'a> {
    /// For texts of up to `longest` tokens.
    pub fn new(bias: &RelativeBias, table: &'a Weight, longest: usize) -> Self {
        let half = bias.buckets / 2;
        let before: Vec<usize> =
            (0..longest).map(|distance| bucket(distance, half, bias.max_distance)).collect();
        let after = before.iter().map(|bucket| bucket + half).collect();
        DistanceBias { table, before, after }
    }

    /// Biases of one head by `key - query`, from `-(len - 1)` up to `len - 1`.
    fn fill(&self, head: usize, len: usize, out: &mut [f32]) {
        let bias = |bucket: usize| self.table.row(bucket)[head];
        for distance in 0..len {
            if distance > 0 {
                out[len - 1 + distance] = bias(self.after[distance]);
            }
            out[len - 1 - distance] = bias(self.before[distance]);
        }
        out[2 * len - 1..].fill(0.0);
    }
}

/// Distances below `half / 2` have a bucket each, the others share by their logarithm.
///
/// Source: `MPNetEncoder.relative_position_bucket`, with its f32 logarithm.
fn bucket(distance: usize, half: usize, max_distance: usize) -> usize {
    let exact = half / 2;
    if distance < exact {
        return distance;
    }
    let span = (max_distance as f64 / exact as f64).ln() as f32;
    let steps = (distance as f32 / exact as f32).ln() / span * (half - exact) as f32;
    (exact + steps as usize).min(half - 1)
}

/// Writes `[tokens, heads * head_dim]`.
pub fn run(context: &Context<'_>, args: &Attention<'_>, out: &mut [f32]) {
    let out = Shared::new(out);
    for_each_job(context, args, |piece, head| {
        let job = Job::new(args, piece, head, context.kernel);
        with_scratch(job.scratch_len(), |scratch| {
            dispatch!(context.level, simd => job.attend(simd, scratch, &out));
        });
    });
}

/// Writes the probabilities: text after text `[heads, S, S]`.
pub fn run_probabilities(context: &Context<'_>, args: &Attention<'_>, out: &mut [f32]) {
    let out = Shared::new(out);
    for_each_job(context, args, |piece, head| {
        let job = Job::new(args, piece, head, context.kernel);
        with_scratch(job.scratch_len(), |scratch| {
            dispatch!(context.level, simd => job.probabilities(simd, scratch, &out));
        });
    });
}

fn for_each_job(context: &Context<'_>, args: &Attention<'_>, job: impl Fn(&Piece, usize) + Send + Sync) {
    context.pool.for_each(context.pieces.len() * args.heads, |at| {
        job(&context.pieces[at / args.heads], at % args.heads);
    });
}

struct Job<'a> {
    args: &'a Attention<'a>,
    piece: &'a Piece,
    head: usize,
    kernel: Kernel,
    /// Keys that any query of the piece sees, from the start of the text.
    keys: Range<usize>,
    /// Their number, in whole panels.
    padded_keys: usize,
    /// Elements from one row of scores to the next.
    score_stride: usize,
    /// `head_dim` in whole panels.
    padded_dim: usize,
}

/// A few queries with the exponentials of their scores.
struct Block<'a> {
    /// From the start of the text.
    queries: Range<usize>,
    /// Keys scored, from the start of the text.
    keys: Range<usize>,
    /// `[queries, score_stride]`, the first `keys.len()` of each row used.
    weights: &'a [f32],
    /// Sum of each row.
    sums: &'a [f32],
    /// Panels of the values of every key of the job.
    values: &'a [f32],
    /// Room for `[BLOCK_QUERIES, padded_dim]`.
    context: &'a mut [f32],
}

impl<'a> Job<'a> {
    fn new(args: &'a Attention<'a>, piece: &'a Piece, head: usize, kernel: Kernel) -> Self {
        let len = piece.text.len();
        let keys = match args.window {
            Some(window) => {
                // From a whole panel of the text on, so that the order of sums does not follow from where the piece begins.
                let start = piece.queries.start.saturating_sub(window) / kernel.width() * kernel.width();
                start..len.min(piece.queries.end.saturating_add(window))
            }
            None => 0..len,
        };
        let padded_keys = keys.len().next_multiple_of(kernel.width());
        let padded_dim = args.head_dim.next_multiple_of(kernel.width());
        let score_stride = row_stride(padded_keys);
        Job { args, piece, head, kernel, keys, padded_keys, score_stride, padded_dim }
    }

    fn scratch_len(&self) -> usize {
        let panels = self.padded_keys * (self.args.head_dim + self.padded_dim);
        panels + BLOCK_QUERIES * (self.score_stride + self.padded_dim) + self.bias_len()
    }

    fn bias_len(&self) -> usize {
        // Rows are read in whole panels, so beyond the last distance.
        match self.args.relative_bias {
            Some(_) => 2 * self.piece.text.len() + self.padded_keys,
            None => 0,
        }
    }

    /// The part (0 query, 1 key, 2 value) of this head for the tokens from `token` (of the text) on.
    fn part(&self, part: usize, token: usize) -> &'a [f32] {
        let Attention { heads, head_dim, .. } = *self.args;
        &self.args.qkv
            [(self.piece.text.start + token) * self.stride() + (part * heads + self.head) * head_dim..]
    }

    fn stride(&self) -> usize {
        3 * self.args.heads * self.args.head_dim
    }

    /// Keys that query `query` sees.
    fn visible(&self, query: usize) -> Range<usize> {
        match self.args.window {
            Some(window) => {
                query.saturating_sub(window)
                    ..self.keys.end.min(query.saturating_add(window).saturating_add(1))
            }
            None => self.keys.clone(),
        }
    }

    #[inline(always)]
    fn attend<S: Simd>(&self, simd: S, scratch: &mut [f32], out: &Shared<'_>) {
        let Attention { heads, head_dim, .. } = *self.args;
        let width = self.kernel.width();
        self.for_each_block(
            simd,
            scratch,
            true,
            #[inline(always)]
            |block| {
                let Block { queries, keys, weights, sums, values, context } = block;
                let offset = keys.start - self.keys.start;
                for part in panel::blocks(keys.len()) {
                    let part_values = (offset + part.start) * width..(offset + part.end) * width;
                    for (at, panel) in values.chunks_exact(self.keys.len() * width).enumerate() {
                        for first in (0..queries.len()).step_by(self.kernel.max_rows()) {
                            let x = Rows {
                                values: &weights[first * self.score_stride + part.start..],
                                stride: self.score_stride,
                            };
                            let count = self.kernel.max_rows().min(queries.len() - first);
                            let context = &mut context[first * self.padded_dim + at * width..];
                            let out = Place::new(context, count, self.padded_dim, width);
                            let plus = Plus::sum(part.start == 0);
                            panel::multiply(simd, self.kernel, x, &panel[part_values.clone()], plus, out);
                        }
                    }
                }
                for (row, query) in queries.enumerate() {
                    let token = self.piece.text.start + query;
                    let start = (token * heads + self.head) * head_dim;
                    // SAFETY: this job alone has these tokens of this head.
                    let out = unsafe { out.slice(start..start + head_dim) };
                    let context = &context[row * self.padded_dim..][..head_dim];
                    for (out, x) in out.iter_mut().zip(context) {
                        *out = x / sums[row];
                    }
                }
            },
        );
    }

    #[inline(always)]
    fn probabilities<S: Simd>(&self, simd: S, scratch: &mut [f32], out: &Shared<'_>) {
        let len = self.piece.text.len();
        self.for_each_block(
            simd,
            scratch,
            false,
            #[inline(always)]
            |block| {
                for (row, query) in block.queries.clone().enumerate() {
                    let start = self.piece.pairs * self.args.heads + (self.head * len + query) * len;
                    // SAFETY: this job alone has these queries of this head.
                    let out = unsafe { out.slice(start..start + len) };
                    out.fill(0.0);
                    let weights = &block.weights[row * self.score_stride..][..block.keys.len()];
                    for (out, weight) in out[block.keys.clone()].iter_mut().zip(weights) {
                        *out = weight / block.sums[row];
                    }
                }
            },
        );
    }

    #[inline(always)]
    fn for_each_block<S: Simd>(
        &self,
        simd: S,
        scratch: &mut [f32],
        with_values: bool,
        mut each: impl FnMut(Block<'_>),
    ) {
        let (dim, width) = (self.args.head_dim, self.kernel.width());
        let (keys, scratch) = scratch.split_at_mut(self.padded_keys * dim);
        let (values, scratch) = scratch.split_at_mut(self.keys.len() * self.padded_dim);
        let (scores, scratch) = scratch.split_at_mut(BLOCK_QUERIES * self.score_stride);
        let (context, biases) = scratch.split_at_mut(BLOCK_QUERIES * self.padded_dim);
        panel::pack_fast(
            simd,
            width,
            self.part(1, self.keys.start),
            self.stride(),
            self.keys.len(),
            dim,
            keys,
        );
        if with_values {
            self.pack_values(width, values);
        }
        if let Some(bias) = &self.args.relative_bias {
            bias.fill(self.head, self.piece.text.len(), &mut biases[..self.bias_len()]);
        }
        for first in self.piece.queries.clone().step_by(BLOCK_QUERIES) {
            let queries = first..self.piece.queries.end.min(first + BLOCK_QUERIES);
            // From a whole panel on, so that panels need not be cut.
            let seen = self.visible(first).start - self.keys.start;
            let start = self.keys.start + seen / width * width;
            let block_keys = start..self.visible(queries.end - 1).end;
            for at in (0..block_keys.len()).step_by(width) {
                let panel = &keys[(start - self.keys.start + at) * dim..][..width * dim];
                self.score(simd, queries.clone(), panel, &mut scores[at..]);
            }
            let mut sums = [0.0; BLOCK_QUERIES];
            for (row, query) in queries.clone().enumerate() {
                let scores =
                    &mut scores[row * self.score_stride..][..block_keys.len().next_multiple_of(width)];
                let visible = self.visible(query);
                let visible = visible.start - start..visible.end - start;
                let bias = self.args.relative_bias.is_some().then(|| {
                    let len = self.piece.text.len();
                    &biases[start + len - 1 - query..]
                });
                sums[row] = softmax_weights(simd, self.kernel, scores, visible, self.args.scale, bias);
            }
            each(Block { queries, keys: block_keys, weights: scores, sums: &sums, values, context });
        }
    }

    /// Scores of some queries against a panel of keys; rows of `scores` are `score_stride` apart.
    #[inline(always)]
    fn score<S: Simd>(&self, simd: S, queries: Range<usize>, panel: &[f32], scores: &mut [f32]) {
        let (dim, width) = (self.args.head_dim, self.kernel.width());
        for block in panel::blocks(dim) {
            let panel = &panel[block.start * width..block.end * width];
            for first in queries.clone().step_by(self.kernel.max_rows()) {
                let count = self.kernel.max_rows().min(queries.end - first);
                let x = Rows { values: &self.part(0, first)[block.start..], stride: self.stride() };
                let scores = &mut scores[(first - queries.start) * self.score_stride..];
                let out = Place::new(scores, count, self.score_stride, width);
                panel::multiply(simd, self.kernel, x, panel, Plus::sum(block.start == 0), out);
            }
        }
    }

    /// Panels `[keys, width]` of the values.
    #[inline(always)]
    fn pack_values(&self, width: usize, panels: &mut [f32]) {
        let rows = self.part(2, self.keys.start);
        for (panel, out) in panels.chunks_exact_mut(self.keys.len() * width).enumerate() {
            let first = panel * width;
            let columns = width.min(self.args.head_dim - first);
            for (key, out) in out.chunks_exact_mut(width).enumerate() {
                let row = &rows[key * self.stride() + first..][..columns];
                if columns == width {
                    out.copy_from_slice(row);
                } else {
                    out[..columns].copy_from_slice(row);
                    out[columns..].fill(0.0);
                }
            }
        }
    }
}

/// Turns scores into `exp(score * scale + bias - max)`, 0 outside `visible`, and gives their sum.
#[cfg_attr(target_arch = "wasm32", inline(never))]
#[cfg_attr(not(target_arch = "wasm32"), inline(always))]
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables, reason = "elsewhere there is one kernel"))]
fn softmax_weights<S: Simd>(
    simd: S,
    kernel: Kernel,
    scores: &mut [f32],
    visible: Range<usize>,
    scale: f32,
    bias: Option<&[f32]>,
) -> f32 {
    let lanes = S::f32s::LEN;
    scores[..visible.start].fill(f32::NEG_INFINITY);
    scores[visible.end..].fill(f32::NEG_INFINITY);
    #[cfg(target_arch = "x86_64")]
    if kernel.avx512 {
        // SAFETY: `Kernel::new` has found AVX-512F.
        let sums = unsafe { super::avx512::softmax_weights(scores, scale, bias) };
        return S::f32s::from_slice(simd, &sums).reduce_sum();
    }
    let mut max = S::f32s::splat(simd, f32::NEG_INFINITY);
    for (at, scores) in scores.chunks_exact_mut(lanes).enumerate() {
        let mut x = S::f32s::from_slice(simd, scores) * scale;
        if let Some(bias) = bias {
            x += S::f32s::from_slice(simd, &bias[at * lanes..][..lanes]);
        }
        x.store_slice(scores);
        max = max.max(x);
    }
    let max = max.reduce_max();
    let mut sum = S::f32s::splat(simd, 0.0);
    for scores in scores.chunks_exact_mut(lanes) {
        let x = exp(simd, S::f32s::from_slice(simd, scores) - max);
        x.store_slice(scores);
        sum += x;
    }
    sum.reduce_sum()
}
