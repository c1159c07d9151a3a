//! BERT: post-norm layers, learned positions. Source: `BertModel` of transformers.

use crate::checkpoint::Activation;
use crate::error::Result;
use crate::plan::builder::{AttentionSettings, Progress};
use crate::plan::{BufferId, Plan, PlanBuilder, Rows, Step};

pub(super) fn plan(mut b: PlanBuilder<'_>) -> Result<Plan> {
    let mut hidden = embeddings(&mut b);
    let mut progress = b.hidden_state(0, hidden);
    let mut layer = 0;
    while progress == Progress::Continue {
        hidden = encoder_layer(&mut b, layer, hidden);
        layer += 1;
        progress = b.hidden_state(layer, hidden);
    }
    let pooler = (b.needs_pooler() && b.config().has_pooler).then(|| pooler(&mut b, hidden));
    b.finish(pooler)
}

fn embeddings(b: &mut PlanBuilder<'_>) -> BufferId {
    let config = b.config();
    let hidden = config.hidden;
    let words = b.table("embeddings.word_embeddings.weight", config.vocab, hidden);
    let positions = b.table("embeddings.position_embeddings.weight", config.max_positions, hidden);
    let types = b.table("embeddings.token_type_embeddings.weight", config.type_vocab, hidden);
    let norm = b.norm("embeddings.LayerNorm", hidden, true);
    let out = b.buffer(Rows::Tokens, hidden, "hidden");
    b.step(Step::EmbedLayerNorm { words, positions: Some(positions), types: Some(types), norm, out });
    out
}

fn encoder_layer(b: &mut PlanBuilder<'_>, layer: usize, hidden: BufferId) -> BufferId {
    let config = b.config();
    let prefix = format!("encoder.layer.{layer}");
    let inner = config.heads * config.head_dim;

    let qkv_names = ["query", "key", "value"].map(|name| format!("{prefix}.attention.self.{name}"));
    let qkv = b.linear(hidden, &qkv_names, inner, true, None, "qkv");
    let context = b.attention(layer, qkv, AttentionSettings::default());
    b.release(qkv);

    let projected =
        b.linear(context, &[format!("{prefix}.attention.output.dense")], config.hidden, true, None, "hidden");
    b.release(context);
    let norm = b.norm(&format!("{prefix}.attention.output.LayerNorm"), config.hidden, true);
    let attended = b.add_layer_norm(projected, Some(hidden), norm, "hidden");
    b.release(projected);
    b.release(hidden);

    let intermediate = b.linear(
        attended,
        &[format!("{prefix}.intermediate.dense")],
        config.intermediate,
        true,
        Some(config.activation),
        "intermediate",
    );
    let projected =
        b.linear(intermediate, &[format!("{prefix}.output.dense")], config.hidden, true, None, "hidden");
    b.release(intermediate);
    let norm = b.norm(&format!("{prefix}.output.LayerNorm"), config.hidden, true);
    let out = b.add_layer_norm(projected, Some(attended), norm, "hidden");
    b.release(projected);
    b.release(attended);
    out
}

fn pooler(b: &mut PlanBuilder<'_>, hidden: BufferId) -> BufferId {
    let first = b.first_tokens(hidden);
    let size = b.config().hidden;
    b.linear(first, &["pooler.dense".into()], size, true, Some(Activation::Tanh), "pooler_output")
}
