//! BERT: post-norm layers, learned positions, token types. Source: `BertModel`, `BertForPreTraining`.

use super::heads;
use super::heads::MlmHead;
use super::{Steps, post_norm};
use crate::plan::builder::AttentionSettings;
use crate::plan::{BufferId, HeadOutput, PlanBuilder};

pub(super) struct Bert;

impl Steps for Bert {
    fn embeddings(&self, b: &mut PlanBuilder<'_>) -> BufferId {
        post_norm::embeddings(b)
    }

    fn layer(&self, b: &mut PlanBuilder<'_>, layer: usize, hidden: BufferId) -> BufferId {
        let prefix = format!("encoder.layer.{layer}");
        post_norm::layer(b, &post_norm::BERT, layer, &prefix, AttentionSettings::default(), hidden)
    }

    fn pooler(&self, b: &mut PlanBuilder<'_>, hidden: BufferId) -> Option<BufferId> {
        Some(heads::pooler(b, "pooler.dense", hidden))
    }

    fn head(&self, b: &mut PlanBuilder<'_>, head: HeadOutput, hidden: BufferId) -> Option<BufferId> {
        let labels = heads::label_count(b);
        Some(match head {
            HeadOutput::MaskedLm => MlmHead {
                dense: "cls.predictions.transform.dense",
                norm: "cls.predictions.transform.LayerNorm",
                decoder: "cls.predictions.decoder.weight",
                tied: "embeddings.word_embeddings.weight",
                decoder_bias: "cls.predictions.bias",
                activation: b.config().activation,
                bias: true,
            }
            .logits(b, hidden),
            HeadOutput::NextSentence => {
                let pooled = heads::pooler(b, "pooler.dense", hidden);
                heads::classifier(b, "cls.seq_relationship", pooled, 2)
            }
            HeadOutput::Sequence => {
                let pooled = heads::pooler(b, "pooler.dense", hidden);
                heads::classifier(b, "classifier", pooled, labels)
            }
            HeadOutput::Token => heads::classifier(b, "classifier", hidden, labels),
        })
    }
}
