//! What every kernel gets besides its arguments.

use super::panel::Kernel;
use super::parallel::Pool;
use crate::text::PackedBatch;
use fearless_simd::Level;
use std::ops::Range;

/// What every kernel gets besides its arguments.
pub struct Context<'a> {
    /// The instruction set.
    pub level: Level,
    /// The inner loop of matrix products.
    pub kernel: Kernel,
    /// The threads.
    pub pool: &'a Pool,
    /// The batch, cut up for attention.
    pub pieces: &'a [Piece],
}

/// Queries of a job: enough that packing keys and values is a small part of it.
const JOB_QUERIES: usize = 96;

/// One job's place in the batch.
pub struct Piece {
    /// Token rows of the text.
    pub text: Range<usize>,
    /// Queries, from the start of the text.
    pub queries: Range<usize>,
    /// Where the probabilities of the text's first head begin, in elements over the number of heads.
    pub pairs: usize,
}

/// Cuts a batch into pieces; each is a job for every head.
pub fn pieces(batch: &PackedBatch, pieces: &mut Vec<Piece>) {
    pieces.clear();
    let mut pairs = 0;
    for text in 0..batch.texts() {
        let text = batch.rows(text);
        for first in (0..text.len()).step_by(JOB_QUERIES) {
            let queries = first..text.len().min(first + JOB_QUERIES);
            pieces.push(Piece { text: text.clone(), queries, pairs });
        }
        pairs += text.len() * text.len();
    }
}
