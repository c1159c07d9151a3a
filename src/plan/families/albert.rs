//! ALBERT: narrow embeddings, a projection, and layers that share their weights. Source: `AlbertModel`.

use super::Steps;
use super::heads;
use super::heads::MlmHead;
use super::post_norm;
use super::post_norm::Names;
use crate::plan::builder::AttentionSettings;
use crate::plan::{BufferId, HeadOutput, PlanBuilder};

const NAMES: Names = Names {
    qkv: ["attention.query", "attention.key", "attention.value"],
    attention_out: "attention.dense",
    attention_norm: "attention.LayerNorm",
    up: "ffn",
    down: "ffn_output",
    out_norm: "full_layer_layer_norm",
};

pub(super) struct Albert;

impl Steps for Albert {
    fn embeddings(&self, b: &mut PlanBuilder<'_>) -> BufferId {
        let narrow = post_norm::embeddings(b);
        let size = b.config().hidden;
        let hidden =
            b.linear(narrow, &["encoder.embedding_hidden_mapping_in".into()], size, true, None, "hidden");
        b.release(narrow);
        hidden
    }

    fn layer(&self, b: &mut PlanBuilder<'_>, layer: usize, hidden: BufferId) -> BufferId {
        let config = b.config();
        let group = layer * config.layer_groups / config.layers;
        let prefix = format!("encoder.albert_layer_groups.{group}.albert_layers.0");
        post_norm::layer(b, &NAMES, layer, &prefix, AttentionSettings::default(), hidden)
    }

    fn pooler(&self, b: &mut PlanBuilder<'_>, hidden: BufferId) -> Option<BufferId> {
        Some(heads::pooler(b, "pooler", hidden))
    }

    fn head(&self, b: &mut PlanBuilder<'_>, head: HeadOutput, hidden: BufferId) -> Option<BufferId> {
        let labels = heads::label_count(b);
        match head {
            HeadOutput::MaskedLm => Some(
                MlmHead {
                    dense: "predictions.dense",
                    norm: "predictions.LayerNorm",
                    decoder: "predictions.decoder.weight",
                    tied: "embeddings.word_embeddings.weight",
                    decoder_bias: "predictions.bias",
                    activation: b.config().activation,
                    bias: true,
                }
                .logits(b, hidden),
            ),
            // ALBERT's `sop_classifier` tells sentence order, another question than BERT's next sentence.
            HeadOutput::NextSentence => None,
            HeadOutput::Sequence => {
                let pooled = heads::pooler(b, "pooler", hidden);
                Some(heads::classifier(b, "classifier", pooled, labels))
            }
            HeadOutput::Token => Some(heads::classifier(b, "classifier", hidden, labels)),
        }
    }
}
