//! The tokens of a text as one vector. Source: sentence-transformers `Pooling`.

use super::context::Context;
use super::parallel::Shared;
use crate::model::Pooling;
use crate::text::PackedBatch;

/// Columns summed at once: one cache line of x, in f64 accumulators that the compiler keeps in registers.
const COLUMNS: usize = 16;

/// Writes columns `column .. column + cols` of `out`, `[texts, wide]`, from `x`, `[tokens, cols]` (`[texts, cols]` for
/// [`Pooling::Pooler`]).
pub fn run(
    context: &Context<'_>,
    x: &[f32],
    cols: usize,
    pooling: Pooling,
    batch: &PackedBatch,
    (column, wide): (usize, usize),
    out: &mut [f32],
) {
    let out = Shared::new(out);
    context.pool.for_each(batch.texts(), |text| {
        let start = text * wide + column;
        // SAFETY: each text has its own row.
        let out = unsafe { out.slice(start..start + cols) };
        let tokens = batch.rows(text);
        let pooled = batch.pooled_rows(text);
        // Tokens left out still count as places.
        let skipped = pooled.start - tokens.start;
        let rows = &x[match pooling {
            Pooling::Pooler => text * cols..(text + 1) * cols,
            Pooling::Cls => tokens.start * cols..(tokens.start + 1) * cols,
            _ => pooled.start * cols..pooled.end * cols,
        }];
        let count = pooled.len() as f64;
        match pooling {
            Pooling::Cls | Pooling::Pooler => out.copy_from_slice(&rows[..cols]),
            Pooling::LastToken => out.copy_from_slice(&rows[rows.len() - cols..]),
            Pooling::Max => max(rows, cols, out),
            Pooling::Mean => weighted_sum(rows, cols, |_| 1.0, count, out),
            Pooling::MeanSqrtLenTokens => weighted_sum(rows, cols, |_| 1.0, count.sqrt(), out),
            Pooling::WeightedMean => {
                let places = count * (skipped + 1 + tokens.len()) as f64 / 2.0;
                weighted_sum(rows, cols, |at| (skipped + at + 1) as f64, places, out);
            }
        }
    });
}

fn weighted_sum(rows: &[f32], cols: usize, weight: impl Fn(usize) -> f64, divisor: f64, out: &mut [f32]) {
    for (block, out) in out.chunks_mut(COLUMNS).enumerate() {
        let mut sums = [0.0_f64; COLUMNS];
        for (at, row) in rows.chunks_exact(cols).enumerate() {
            let weight = weight(at);
            for (sum, &x) in sums.iter_mut().zip(&row[block * COLUMNS..][..out.len()]) {
                *sum += weight * f64::from(x);
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = (sum / divisor) as f32;
        }
    }
}

fn max(rows: &[f32], cols: usize, out: &mut [f32]) {
    out.copy_from_slice(&rows[..cols]);
    for row in rows.chunks_exact(cols).skip(1) {
        for (out, &x) in out.iter_mut().zip(row) {
            // NaN stays NaN, as in torch.
            if x > *out || x.is_nan() {
                *out = x;
            }
        }
    }
}
