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

/// Queries whose scores are held at once: a panel of keys is read from the first-level cache for all but the first few, and
/// the scores of a text of some hundred tokens stay in the second. A multiple of every [`Kernel::max_rows`].
pub const BLOCK_QUERIES: usize = 24;

/// Queries of a job where there are few texts: enough that packing keys and values is a small part of it.
const JOB_QUERIES: usize = 4 * BLOCK_QUERIES;
/// Where there are many: the text is packed once.
const LONG_JOB_QUERIES: usize = 24 * BLOCK_QUERIES;

/// One job's place in the batch.
pub struct Piece {
    /// Token rows of the text.
    pub text: Range<usize>,
    /// Queries, from the start of the text.
    pub queries: Range<usize>,
    /// Where the probabilities of the text's first head begin, in elements over the number of heads.
    pub pairs: usize,
}

/// Cuts a batch into pieces; each is a job for every head. Where the cuts are changes no result.
pub fn pieces(batch: &PackedBatch, threads: usize, pieces: &mut Vec<Piece>) {
    pieces.clear();
    let longest = if batch.texts() < 2 * threads { JOB_QUERIES } else { LONG_JOB_QUERIES };
    let mut pairs = 0;
    for text in 0..batch.texts() {
        let text = batch.rows(text);
        for first in (0..text.len()).step_by(longest) {
            let queries = first..text.len().min(first + longest);
            pieces.push(Piece { text: text.clone(), queries, pairs });
        }
        pairs += text.len() * text.len();
    }
}
