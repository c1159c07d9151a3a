//! What a caller wants out of an encoder pass.

use crate::model::{EmbeddingRequest, HeadKind};

/// Logits of a head that came with the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeadOutput {
    /// Masked-language-model logits at the selected rows, `[selected, vocab]`.
    MaskedLm,
    /// Next-sentence logits, `[texts, 2]`.
    NextSentence,
    /// Sequence-classification logits, `[texts, labels]`.
    Sequence,
    /// Token-classification logits, `[tokens, labels]`.
    Token,
}

impl HeadOutput {
    /// The head that gives these logits.
    pub fn kind(self) -> HeadKind {
        match self {
            HeadOutput::MaskedLm => HeadKind::MaskedLm,
            HeadOutput::NextSentence => HeadKind::NextSentence,
            HeadOutput::Sequence => HeadKind::Sequence,
            HeadOutput::Token => HeadKind::Token,
        }
    }
}

/// What one pass computes. Only what is asked for is computed and read back, and a pass stops at the last layer needed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// Pooled embeddings, if any.
    pub embeddings: Option<EmbeddingRequest>,
    /// Hidden states wanted, by layer (0 = embeddings, `layers` = last).
    pub hidden_states: Vec<usize>,
    /// Attention probabilities wanted, by layer (0 = first).
    pub attentions: Vec<usize>,
    /// `pooler_output`.
    pub pooler_output: bool,
    /// Logits of a head in the checkpoint.
    pub head: Option<HeadOutput>,
}
