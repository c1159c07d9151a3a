//! Heads that come in checkpoints.

/// A head that transformers puts on an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadKind {
    /// `BertPooler`: `tanh(W h_cls + b)`.
    Pooler,
    /// Masked language model (`predictions`).
    MaskedLm,
    /// Next-sentence prediction (`seq_relationship`).
    NextSentence,
    /// `ForSequenceClassification`.
    Sequence,
    /// `ForTokenClassification`.
    Token,
}

impl HeadKind {
    /// What a reader knows it as.
    pub fn name(self) -> &'static str {
        match self {
            HeadKind::Pooler => "pooler",
            HeadKind::MaskedLm => "masked language model",
            HeadKind::NextSentence => "next-sentence prediction",
            HeadKind::Sequence => "sequence classification",
            HeadKind::Token => "token classification",
        }
    }
}
