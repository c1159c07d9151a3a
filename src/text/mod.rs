//! Text to token ids to packed batches.

mod batch;
mod encoding;
mod guard;
mod pieces;
mod settings;
mod template;
mod tokenizer;
mod vocab;

pub use batch::{PackedBatch, pack};
pub use encoding::{Encoding, TextInput, Truncate};
pub(crate) use template::Within;
pub use tokenizer::{EncodeOptions, SpecialTokens, Tokenizer, TruncationSide};
