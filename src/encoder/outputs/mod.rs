//! What an encoder gives: pooled embeddings, token-level outputs, and the answers of heads that come in checkpoints.

pub(crate) mod classify;
pub(crate) mod cloze;
pub(crate) mod embeddings;
pub(crate) mod fill_mask;
mod join;
pub(crate) mod next_sentence;
pub(crate) mod rerank;
mod scores;
pub(crate) mod sparse;
pub(crate) mod tag;
pub(crate) mod tokens;
