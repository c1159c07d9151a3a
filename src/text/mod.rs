//! Text to token ids to packed batches.

mod batch;

pub use batch::PackedBatch;
