//! Which embedding each text gets.

use super::{Activation, Pooling};
use serde::{Deserialize, Serialize};

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
    /// Prefix of its tensors: `2_Dense/linear`, say.
    pub name: String,
    /// Inputs.
    pub in_features: usize,
    /// Outputs.
    pub out_features: usize,
    /// Whether there is a bias.
    pub bias: bool,
    /// None for identity.
    pub activation: Option<Activation>,
}
