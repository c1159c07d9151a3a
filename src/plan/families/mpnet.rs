//! MPNet: BERT's layers with a bucketed relative position bias, shared by all layers. Source: `MPNetModel`.

use super::post_norm;
use super::post_norm::Names;
use super::{Steps, bert, roberta};
use crate::plan::builder::AttentionSettings;
use crate::plan::{BufferId, HeadOutput, PlanBuilder, RelativeBias};

const NAMES: Names = Names {
    qkv: ["attention.attn.q", "attention.attn.k", "attention.attn.v"],
    attention_out: "attention.attn.o",
    attention_norm: "attention.LayerNorm",
    ..post_norm::BERT
};

/// `MPNetEncoder.relative_position_bucket`'s default; no config names another.
const MAX_DISTANCE: usize = 128;

pub(super) struct Mpnet;

impl Steps for Mpnet {
    fn embeddings(&self, b: &mut PlanBuilder<'_>) -> BufferId {
        post_norm::embeddings(b)
    }

    fn layer(&self, b: &mut PlanBuilder<'_>, layer: usize, hidden: BufferId) -> BufferId {
        let config = b.config();
        let relative_bias = config.relative_attention_buckets.map(|buckets| {
            let weight = b.table("encoder.relative_attention_bias.weight", buckets, config.heads);
            RelativeBias { weight, buckets, max_distance: MAX_DISTANCE }
        });
        let settings = AttentionSettings { relative_bias, ..AttentionSettings::default() };
        post_norm::layer(b, &NAMES, layer, &format!("encoder.layer.{layer}"), settings, hidden)
    }

    fn pooler(&self, b: &mut PlanBuilder<'_>, hidden: BufferId) -> Option<BufferId> {
        bert::Bert.pooler(b, hidden)
    }

    fn head(&self, b: &mut PlanBuilder<'_>, head: HeadOutput, hidden: BufferId) -> Option<BufferId> {
        roberta::head_logits(b, head, hidden)
    }
}
