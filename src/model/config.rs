//! What a plan needs to know of an encoder, whatever its family calls it in config.json.

use super::{Activation, Family};

/// What the logits of a sequence classifier mean. Source: `problem_type` of transformers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProblemType {
    /// Exactly one label: softmax.
    SingleLabel,
    /// Any number of labels: a sigmoid each.
    MultiLabel,
    /// A number: the logits as they are.
    Regression,
}

impl ProblemType {
    /// The name in config.json.
    pub fn name(self) -> &'static str {
        match self {
            ProblemType::SingleLabel => "single_label_classification",
            ProblemType::MultiLabel => "multi_label_classification",
            ProblemType::Regression => "regression",
        }
    }
}

/// How one layer's attention sees positions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LayerAttention {
    /// Local attention: a token sees others at most this many positions away on each side. None: all of them.
    pub window: Option<usize>,
    /// Base of the rotary frequencies. None: no rotary embedding.
    pub rope_theta: Option<f32>,
}

/// What a sequence classifier reads. Source: `classifier_pooling` of ModernBERT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClassifierPooling {
    /// The first token (every family but ModernBERT: always).
    Cls,
    /// The mean over the tokens.
    Mean,
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
    /// Rows of the position table; with rotary positions (ModernBERT), which have no table, the longest sequence.
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
    /// How each layer's attention sees positions, `[layers]`.
    pub attention: Vec<LayerAttention>,
    /// Rows of MPNet's table of relative positions; elsewhere none.
    pub relative_attention_buckets: Option<usize>,
    /// Sets of layer weights that the layers share (ALBERT's `num_hidden_groups`); elsewhere equal to `layers`.
    /// Layer i uses set `i * layer_groups / layers`.
    pub layer_groups: usize,
    /// Whether every LayerNorm has a shift.
    pub norm_bias: bool,
    /// Whether the projections of the attention have a bias.
    pub attention_bias: bool,
    /// Whether the feed-forward network has biases.
    pub mlp_bias: bool,
    /// What a sequence classifier reads.
    pub classifier_pooling: ClassifierPooling,
    /// ModernBERT: whether the dense layer of a head has a bias. Elsewhere true.
    pub classifier_bias: bool,
    /// ModernBERT: the function in its heads' dense layer. ELECTRA and others: what their class uses.
    pub classifier_activation: Activation,
    /// Whether the MLM decoder has a bias.
    pub decoder_bias: bool,
    /// Whether the MLM decoder is the word-embedding table unless the checkpoint says otherwise.
    pub tie_word_embeddings: bool,
    /// Names of a classifier's outputs in order, from `id2label`; empty where the config has none (transformers
    /// leaves out `LABEL_0`, `LABEL_1`).
    pub labels: Vec<String>,
    /// What a sequence classifier's logits mean; none where the config does not say.
    pub problem_type: Option<ProblemType>,
    /// What the config says of a classifier and cannot be read. Embeddings do without; whoever needs the classifier gets
    /// these as an error.
    pub classifier_problems: Vec<String>,
}

impl Config {
    /// The tensor `[1, hidden]` of zeros that a text without tokens gets in a family that puts no special tokens around
    /// texts.
    pub(crate) const NO_TOKENS: &str = "embeddings.no_tokens.weight";

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
            attention: vec![LayerAttention::default(); layers],
            relative_attention_buckets: None,
            layer_groups: layers,
            norm_bias: true,
            attention_bias: true,
            mlp_bias: true,
            classifier_pooling: ClassifierPooling::Cls,
            classifier_bias: true,
            classifier_activation: Activation::Tanh,
            decoder_bias: true,
            tie_word_embeddings: true,
            labels: vec![],
            problem_type: None,
            classifier_problems: vec![],
        }
    }
}
