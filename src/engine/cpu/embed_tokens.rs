//! `out[t] = words[id[t]]`.

use super::context::Context;
use super::weight::Weight;
use crate::text::PackedBatch;

/// Writes `[tokens, cols]`. The ids were checked against the table.
pub fn run(context: &Context<'_>, words: &Weight, batch: &PackedBatch, out: &mut [f32]) {
    context.pool.for_each_row(out, words.cols, |token, out| {
        out.copy_from_slice(words.row(batch.ids[token] as usize));
    });
}
