//! Which embedding each text gets.

use super::{Activation, Pooling};
use crate::names::named;
use serde::{Deserialize, Serialize};
use std::fmt;

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

named! { LayerMix, "way of mixing layers",
    "concat", "Side by side" => LayerMix::Concat, LayerMix::Concat,
    "mean", "Their mean" => LayerMix::Mean, LayerMix::Mean,
}

/// Which embedding each text gets.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingRequest {
    /// Layers to pool, ascending (0 = embeddings output, `layers` = last).
    pub layers: Vec<usize>,
    /// How several layers become one vector.
    pub mix: LayerMix,
    /// The tensor of their weights in a mean, `[layers]`, where they do not count the same.
    pub layer_weights: Option<String>,
    /// Poolings, side by side.
    pub pooling: Vec<Pooling>,
    /// What a sentence-transformers checkpoint does to the pooled vector, in order.
    pub modules: Vec<PooledModule>,
    /// Keep only the first so many columns.
    pub dimensions: Option<usize>,
    /// Scale to unit length.
    pub normalize: bool,
}

/// A module that changes the pooled vector.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PooledModule {
    /// `activation(x Wᵀ + b)`.
    Dense(DenseLayer),
    /// `(x - mean) / sqrt(var + 1e-5) * weight + bias`, over the columns.
    LayerNorm(PooledNorm),
}

/// A LayerNorm module of a sentence-transformers checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct PooledNorm {
    /// Prefix of its tensors: `2_LayerNorm/norm`, say.
    pub name: String,
    /// Columns in and out.
    pub width: usize,
}

impl PooledNorm {
    /// Added to the variance. Source: `torch.nn.LayerNorm`, whose default sentence-transformers takes.
    pub const EPS: f32 = 1e-5;
}

impl PooledModule {
    /// Prefix of its tensors.
    pub fn name(&self) -> &str {
        match self {
            PooledModule::Dense(dense) => &dense.name,
            PooledModule::LayerNorm(norm) => &norm.name,
        }
    }

    /// Columns that it takes.
    pub fn in_features(&self) -> usize {
        match self {
            PooledModule::Dense(dense) => dense.in_features,
            PooledModule::LayerNorm(norm) => norm.width,
        }
    }

    /// Columns that it gives.
    pub fn out_features(&self) -> usize {
        match self {
            PooledModule::Dense(dense) => dense.out_features,
            PooledModule::LayerNorm(norm) => norm.width,
        }
    }
}

/// All that decides what it does but its tensors' numbers.
impl fmt::Display for PooledModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PooledModule::Dense(dense) => dense.fmt(f),
            PooledModule::LayerNorm(PooledNorm { name, width }) => write!(f, "{name}: LayerNorm of {width}"),
        }
    }
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

/// All that decides what it does but its tensors' numbers: `2_Dense/linear: 16 to 8, bias, tanh`.
impl fmt::Display for DenseLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DenseLayer { name, in_features, out_features, bias, activation } = self;
        let bias = if *bias { "bias" } else { "no bias" };
        let activation = activation.map_or("identity", Activation::name);
        write!(f, "{name}: {in_features} to {out_features}, {bias}, {activation}")
    }
}
