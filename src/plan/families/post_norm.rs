//! The layer that BERT and its close kin share: attention, add and norm, feed-forward, add and norm. The families
//! differ in what they call the tensors.
//!
//! Source: `BertLayer` of transformers.

use crate::plan::builder::AttentionSettings;
use crate::plan::{BufferId, PlanBuilder, Rows, Step};

/// Tensor names inside a layer, below the layer's prefix.
pub(super) struct Names {
    /// Query, key and value projections.
    pub qkv: [&'static str; 3],
    /// Projection of the attention's context.
    pub attention_out: &'static str,
    /// LayerNorm after the attention.
    pub attention_norm: &'static str,
    /// First feed-forward projection, before the activation.
    pub up: &'static str,
    /// Second feed-forward projection.
    pub down: &'static str,
    /// LayerNorm after the feed-forward network.
    pub out_norm: &'static str,
}

/// BERT's own names; RoBERTa, ELECTRA and others use them unchanged.
pub(super) const BERT: Names = Names {
    qkv: ["attention.self.query", "attention.self.key", "attention.self.value"],
    attention_out: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    out_norm: "output.LayerNorm",
};

/// `LayerNorm(word + position [+ type])`, as wide as the embeddings.
pub(super) fn embeddings(b: &mut PlanBuilder<'_>) -> BufferId {
    let config = b.config();
    let width = config.embedding_size;
    let words = b.table("embeddings.word_embeddings.weight", config.vocab, width);
    let positions = b.table("embeddings.position_embeddings.weight", config.max_positions, width);
    let types = (config.type_vocab > 0)
        .then(|| b.table("embeddings.token_type_embeddings.weight", config.type_vocab, width));
    let norm = b.norm("embeddings.LayerNorm", width, true);
    let out = b.buffer(Rows::Tokens, width, "hidden");
    b.step(Step::EmbedLayerNorm { words, positions: Some(positions), types, norm, out });
    out
}

/// One layer. `layer` counts from 0; `prefix` is where its tensors are, without a dot at the end.
pub(super) fn layer(
    b: &mut PlanBuilder<'_>,
    names: &Names,
    layer: usize,
    prefix: &str,
    settings: AttentionSettings,
    hidden: BufferId,
) -> BufferId {
    let config = b.config();
    let name = |tail: &str| format!("{prefix}.{tail}");

    let qkv = b.linear(hidden, &names.qkv.map(name), config.heads * config.head_dim, true, None, "qkv");
    let context = b.attention(layer, qkv, settings);
    b.release(qkv);

    let projected = b.linear(context, &[name(names.attention_out)], config.hidden, true, None, "hidden");
    b.release(context);
    let norm = b.norm(&name(names.attention_norm), config.hidden, true);
    let attended = b.add_layer_norm(projected, Some(hidden), norm, "hidden");
    b.release(projected);
    b.release(hidden);

    let activation = Some(config.activation);
    let inner = b.linear(attended, &[name(names.up)], config.intermediate, true, activation, "intermediate");
    let projected = b.linear(inner, &[name(names.down)], config.hidden, true, None, "hidden");
    b.release(inner);
    let norm = b.norm(&name(names.out_norm), config.hidden, true);
    let out = b.add_layer_norm(projected, Some(attended), norm, "hidden");
    b.release(projected);
    b.release(attended);
    out
}
