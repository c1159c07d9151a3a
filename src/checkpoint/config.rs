//! config.json, read into the sizes that a plan needs, whatever the family calls them.

/// A family of encoders: which tensors there are and how a layer computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// `model_type: bert`.
    Bert,
}

impl Family {
    /// The `model_type` in config.json.
    pub fn name(self) -> &'static str {
        match self {
            Family::Bert => "bert",
        }
    }
}

/// An elementwise function. Source: `ACT2FN` of transformers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x/2 * (1 + erf(x / sqrt 2))`: `gelu`.
    Gelu,
    /// `x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x³)))`: `gelu_new`, `gelu_pytorch_tanh`, `gelu_fast`.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
    /// `x * sigmoid(x)`: `silu`, `swish`.
    Silu,
    /// `x * sigmoid(1.702 x)`.
    QuickGelu,
    /// `tanh(x)`.
    Tanh,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
}

/// Sizes of an encoder, whatever the family calls them in config.json.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The family.
    pub family: Family,
    /// Class names in `architectures`.
    pub architectures: Vec<String>,
    /// Width of a hidden state.
    pub hidden: usize,
    /// Width of the embeddings before their projection (ELECTRA, ALBERT); elsewhere equal to `hidden`.
    pub embedding_size: usize,
    /// Number of layers.
    pub layers: usize,
    /// Attention heads per layer.
    pub heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Width inside the feed-forward network.
    pub intermediate: usize,
    /// Rows of the word-embedding table.
    pub vocab: usize,
    /// Rows of the position table.
    pub max_positions: usize,
    /// Added to a token's index to get its row in the position table (RoBERTa: padding id + 1).
    pub position_offset: usize,
    /// Rows of the token-type table; 0 where there is none.
    pub type_vocab: usize,
    /// Added to the variance in every LayerNorm.
    pub layer_norm_eps: f32,
    /// `hidden_act`.
    pub activation: Activation,
    /// Whether the checkpoint has the pooler's tensors.
    pub has_pooler: bool,
    /// `pad_token_id`.
    pub pad_token_id: u32,
    /// Longest sequence the model takes, special tokens included: positions less the offset.
    pub max_tokens: usize,
}

impl Config {
    /// A BERT of these sizes, for benches and tests with random weights.
    pub fn bert(hidden: usize, layers: usize, heads: usize, intermediate: usize, vocab: usize) -> Self {
        Config {
            family: Family::Bert,
            architectures: vec!["BertModel".into()],
            hidden,
            embedding_size: hidden,
            layers,
            heads,
            head_dim: hidden / heads,
            intermediate,
            vocab,
            max_positions: 512,
            position_offset: 0,
            type_vocab: 2,
            layer_norm_eps: 1e-12,
            activation: Activation::Gelu,
            has_pooler: true,
            pad_token_id: 0,
            max_tokens: 512,
        }
    }
}
