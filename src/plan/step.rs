//! Steps, buffers and weights of a plan.

use crate::model::Activation;
use crate::text::PackedBatch;

/// Names one f32 buffer of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(u32);

impl BufferId {
    /// The one at this position in [`Plan::buffers`](super::Plan::buffers).
    pub const fn new(index: u32) -> Self {
        BufferId(index)
    }

    /// Position in [`Plan::buffers`](super::Plan::buffers).
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Names one weight of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WeightId(u32);

impl WeightId {
    /// The one at this position in [`Plan::weights`](super::Plan::weights).
    pub const fn new(index: u32) -> Self {
        WeightId(index)
    }

    /// Position in [`Plan::weights`](super::Plan::weights).
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// How many rows a buffer has; known once there is a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rows {
    /// One row a token of the packed batch.
    Tokens,
    /// One row a text (sequence).
    Texts,
    /// One row per entry of [`PackedBatch::selected`] (masked positions, say).
    Selected,
    /// `sum(S * S)` over the texts' lengths S: with `cols` = heads this holds attention probabilities. Layout:
    /// text after text, each `[heads, S, S]`.
    TokenPairs,
}

impl Rows {
    /// The count for one batch.
    pub fn count(self, batch: &PackedBatch) -> usize {
        match self {
            Rows::Tokens => batch.tokens(),
            Rows::Texts => batch.texts(),
            Rows::Selected => batch.selected.len(),
            Rows::TokenPairs => batch.seqlens().map(|len| len * len).sum(),
        }
    }
}

/// Shape of one f32 buffer: `[rows, cols]`, row-major, dense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferSpec {
    /// Symbolic row count.
    pub rows: Rows,
    /// Elements per row.
    pub cols: usize,
    /// What it holds, for error messages and debuggers.
    pub label: &'static str,
}

/// Parameters of a LayerNorm: `(x - mean) / sqrt(var + eps) * weight + bias`, statistics in f32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// Scale, `[cols]`.
    pub weight: WeightId,
    /// Shift, `[cols]`; ModernBERT has none.
    pub bias: Option<WeightId>,
    /// Added to the (biased) variance.
    pub eps: f32,
}

/// MPNet's bucketed relative position bias, added to the scaled scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RelativeBias {
    /// Table `[buckets, heads]`.
    pub weight: WeightId,
    /// Number of buckets.
    pub buckets: usize,
    /// Distance at which the logarithmic buckets end.
    pub max_distance: usize,
}

/// Which rows [`Step::GatherRows`] takes from a token buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowIndex {
    /// The first token of each text (`[CLS]`): output rows are [`Rows::Texts`].
    FirstToken,
    /// The rows in [`PackedBatch::selected`]: output rows are [`Rows::Selected`].
    Selected,
}

/// One kernel's work. Each variant's name in snake case is the kernel's file, entry point, Rust module, CPU twin
/// and debug label.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// `out[t] = LayerNorm(words[id[t]] + positions[position[t]] + types[type[t]])`. Source: `BertEmbeddings`.
    EmbedLayerNorm {
        /// Table `[vocab, cols]`.
        words: WeightId,
        /// Table `[max_positions, cols]`; none with rotary positions.
        positions: Option<WeightId>,
        /// Table `[type_vocab, cols]`.
        types: Option<WeightId>,
        /// The norm over `cols`.
        norm: Norm,
        /// `[tokens, cols]`.
        out: BufferId,
    },
    /// `out[t] = words[id[t]]`. Source: `StaticEmbedding` of sentence-transformers.
    EmbedTokens {
        /// Table `[vocab, cols]`.
        words: WeightId,
        /// `[tokens, cols]`.
        out: BufferId,
    },
    /// `out = activation(x Wᵀ + bias) + residual`; rows may be tokens, texts or selected rows.
    MatMul {
        /// `[rows, k]`.
        x: BufferId,
        /// Matrix `[n, k]`.
        weight: WeightId,
        /// `[n]`.
        bias: Option<WeightId>,
        /// Applied before the residual.
        activation: Option<Activation>,
        /// `[rows, n]`, never the same buffer as `out`.
        residual: Option<BufferId>,
        /// `[rows, n]`.
        out: BufferId,
    },
    /// Scaled dot-product attention within each text of the packed batch, with an online softmax.
    /// `qkv` rows are `[q | k | v]`, each `heads * head_dim` wide.
    Attention {
        /// `[tokens, 3 * heads * head_dim]`.
        qkv: BufferId,
        /// Number of heads.
        heads: usize,
        /// Width of one head.
        head_dim: usize,
        /// Factor on the scores, `1 / sqrt(head_dim)` as a rule.
        scale: f32,
        /// Local attention: a token sees others at most this many positions away on each side.
        window: Option<usize>,
        /// Added to the scaled scores.
        relative_bias: Option<RelativeBias>,
        /// `[tokens, heads * head_dim]`.
        out: BufferId,
    },
    /// The probabilities of the same attention, stored: only where a caller asks for them.
    AttentionProbabilities {
        /// `[tokens, 3 * heads * head_dim]`.
        qkv: BufferId,
        /// Number of heads.
        heads: usize,
        /// Width of one head.
        head_dim: usize,
        /// Factor on the scores.
        scale: f32,
        /// As in [`Step::Attention`].
        window: Option<usize>,
        /// As in [`Step::Attention`].
        relative_bias: Option<RelativeBias>,
        /// [`Rows::TokenPairs`] with `cols` = heads.
        out: BufferId,
    },
    /// Rotary position embedding, in place on the q and k parts of `qkv` (rotate-half form). Source: `ModernBert`.
    Rotary {
        /// `[tokens, 3 * heads * head_dim]`, changed in place.
        qkv: BufferId,
        /// Number of heads.
        heads: usize,
        /// Width of one head, even.
        head_dim: usize,
        /// Base of the frequencies.
        theta: f32,
    },
    /// `out = LayerNorm(x + residual)`.
    AddLayerNorm {
        /// `[rows, cols]`.
        x: BufferId,
        /// `[rows, cols]`.
        residual: Option<BufferId>,
        /// The norm over `cols`.
        norm: Norm,
        /// `[rows, cols]`.
        out: BufferId,
    },
    /// `out[:, i] = activation(x[:, i]) * x[:, cols + i]` with `cols` the width of `out`. Source: `ModernBertMLP`.
    GatedActivation {
        /// `[tokens, 2 * cols]`.
        x: BufferId,
        /// Applied to the first half.
        activation: Activation,
        /// `[tokens, cols]`.
        out: BufferId,
    },
    /// `out[i] = x[index[i]]`.
    GatherRows {
        /// `[tokens, cols]`.
        x: BufferId,
        /// Which rows.
        index: RowIndex,
        /// `[texts or selected, cols]`.
        out: BufferId,
    },
    /// Pools the tokens of each text into columns `column ..` of `out`. Source: sentence-transformers `Pooling`.
    Pool {
        /// `[tokens, cols]`.
        x: BufferId,
        /// One of the token poolings.
        pooling: crate::model::Pooling,
        /// First column written: several poolings or layers lie side by side in one buffer.
        column: usize,
        /// `[texts, wide]`.
        out: BufferId,
    },
    /// `out[:, i] = mean over b of x[:, b * cols + i]` with `cols` the width of `out`: the mean of several layers' embeddings,
    /// weighted (`sum of w[b] * x / sum of w[b]`) where there are weights.
    MeanBlocks {
        /// `[texts, blocks * cols]`.
        x: BufferId,
        /// Number of blocks.
        blocks: usize,
        /// `[blocks]`.
        weights: Option<WeightId>,
        /// `[texts, cols]`.
        out: BufferId,
    },
    /// `out[i] = x[i] / max(|x[i]|, 1e-12)`, over the first `cols` of `out` columns of `x` (Matryoshka truncation
    /// happens before). Source: `torch.nn.functional.normalize`.
    NormalizeRows {
        /// `[texts, >= cols]`.
        x: BufferId,
        /// `[texts, cols]`.
        out: BufferId,
    },
}

impl Step {
    /// The buffer that it writes or changes.
    pub fn out(&self) -> BufferId {
        match *self {
            Step::EmbedLayerNorm { out, .. }
            | Step::EmbedTokens { out, .. }
            | Step::MatMul { out, .. }
            | Step::Attention { out, .. }
            | Step::AttentionProbabilities { out, .. }
            | Step::Rotary { qkv: out, .. }
            | Step::AddLayerNorm { out, .. }
            | Step::GatedActivation { out, .. }
            | Step::GatherRows { out, .. }
            | Step::Pool { out, .. }
            | Step::MeanBlocks { out, .. }
            | Step::NormalizeRows { out, .. } => out,
        }
    }

    /// The kernel's name.
    pub fn kernel(&self) -> &'static str {
        match self {
            Step::EmbedLayerNorm { .. } => "embed_layernorm",
            Step::EmbedTokens { .. } => "embed_tokens",
            Step::MatMul { .. } => "matmul",
            Step::Attention { .. } => "attention",
            Step::AttentionProbabilities { .. } => "attention_probabilities",
            Step::Rotary { .. } => "rotary",
            Step::AddLayerNorm { .. } => "add_layernorm",
            Step::GatedActivation { .. } => "gated_activation",
            Step::GatherRows { .. } => "gather_rows",
            Step::Pool { .. } => "pool",
            Step::MeanBlocks { .. } => "mean_blocks",
            Step::NormalizeRows { .. } => "normalize_rows",
        }
    }
}

/// What an output means to the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutputKind {
    /// Pooled rows, `[texts, dim]`.
    Embeddings,
    /// The hidden state of a layer (0 = embeddings), `[tokens, hidden]`.
    HiddenState(usize),
    /// `BertModel.pooler_output`, `[texts, hidden]`.
    PoolerOutput,
    /// Attention probabilities of a layer, [`Rows::TokenPairs`].
    Attentions(usize),
    /// Logits of a head that came with the checkpoint; rows by the head's kind.
    Logits,
}

/// One buffer that is read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its meaning.
    pub kind: OutputKind,
    /// The buffer.
    pub buffer: BufferId,
}
