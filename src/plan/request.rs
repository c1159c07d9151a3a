//! What a caller wants out of an encoder pass.

use serde::{Deserialize, Serialize};

use crate::checkpoint::HeadKind;

/// How the tokens of a text become one vector, as in sentence-transformers' `Pooling`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The first token's vector.
    Cls,
    /// The mean over all tokens.
    Mean,
    /// The largest value per column.
    Max,
    /// The sum divided by the square root of the token count.
    #[serde(rename = "mean_sqrt_len_tokens")]
    MeanSqrtLenTokens,
    /// Mean weighted by position (1 for the first token, 2 for the second, ...).
    WeightedMean,
    /// The last token's vector.
    LastToken,
    /// `BertModel`'s `pooler_output`: `tanh(W h_cls + b)`. Last layer only.
    Pooler,
}

impl Pooling {
    /// Every pooling, in the order in which sentence-transformers concatenates them.
    pub const ALL: [Pooling; 7] = [
        Pooling::Cls,
        Pooling::Max,
        Pooling::Mean,
        Pooling::MeanSqrtLenTokens,
        Pooling::WeightedMean,
        Pooling::LastToken,
        Pooling::Pooler,
    ];

    /// The name used by sentence-transformers, configs and the command line.
    pub fn name(self) -> &'static str {
        match self {
            Pooling::Cls => "cls",
            Pooling::Mean => "mean",
            Pooling::Max => "max",
            Pooling::MeanSqrtLenTokens => "mean_sqrt_len_tokens",
            Pooling::WeightedMean => "weightedmean",
            Pooling::LastToken => "lasttoken",
            Pooling::Pooler => "pooler",
        }
    }

    /// The pooling of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|pooling| pooling.name() == name)
    }
}

/// How the embeddings of several layers become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerMix {
    /// Side by side.
    #[default]
    Concat,
    /// Their mean.
    Mean,
}

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

/// Which embedding each text gets.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingRequest {
    /// Layers to pool, ascending (0 = embeddings output, `layers` = last).
    pub layers: Vec<usize>,
    /// How several layers become one vector.
    pub mix: LayerMix,
    /// Poolings, side by side.
    pub pooling: Vec<Pooling>,
    /// Dense modules after pooling, in order.
    pub dense: Vec<DenseLayer>,
    /// Keep only the first so many columns.
    pub dimensions: Option<usize>,
    /// Scale to unit length.
    pub normalize: bool,
}

/// A Dense module of a sentence-transformers checkpoint: `activation(x Wᵀ + b)`.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseLayer {
    /// Prefix of its tensors in [`Weights`](crate::checkpoint::Weights): `2_Dense/linear`, say.
    pub name: String,
    /// Inputs.
    pub in_features: usize,
    /// Outputs.
    pub out_features: usize,
    /// Whether there is a bias.
    pub bias: bool,
    /// None for identity.
    pub activation: Option<crate::checkpoint::Activation>,
}
