//! What an encoder gives besides embeddings: token-level outputs and the answers of heads that come in checkpoints.

pub(crate) mod finetuned;
pub(crate) mod pretraining;
pub(crate) mod tokens;
