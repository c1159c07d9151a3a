//! From token vectors to one vector a text.

use serde::{Deserialize, Serialize};

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
