//! DistilBERT: BERT's layers under other names, no token types, no pooler. Source: `DistilBertModel`.

use super::Steps;
use super::heads;
use super::heads::MlmHead;
use super::post_norm;
use super::post_norm::Names;
use crate::model::Activation;
use crate::plan::builder::AttentionSettings;
use crate::plan::{BufferId, HeadOutput, PlanBuilder};

const NAMES: Names = Names {
    qkv: ["attention.q_lin", "attention.k_lin", "attention.v_lin"],
    attention_out: "attention.out_lin",
    attention_norm: "sa_layer_norm",
    up: "ffn.lin1",
    down: "ffn.lin2",
    out_norm: "output_layer_norm",
};

pub(super) struct DistilBert;

impl Steps for DistilBert {
    fn embeddings(&self, b: &mut PlanBuilder<'_>) -> BufferId {
        post_norm::embeddings(b)
    }

    fn layer(&self, b: &mut PlanBuilder<'_>, layer: usize, hidden: BufferId) -> BufferId {
        let prefix = format!("transformer.layer.{layer}");
        post_norm::layer(b, &NAMES, layer, &prefix, AttentionSettings::default(), hidden)
    }

    fn head(&self, b: &mut PlanBuilder<'_>, head: HeadOutput, hidden: BufferId) -> Option<BufferId> {
        let labels = heads::label_count(b);
        match head {
            HeadOutput::MaskedLm => Some(
                MlmHead {
                    dense: "vocab_transform",
                    norm: "vocab_layer_norm",
                    decoder: "vocab_projector.weight",
                    tied: "embeddings.word_embeddings.weight",
                    decoder_bias: "vocab_projector.bias",
                    activation: b.config().activation,
                    bias: true,
                }
                .logits(b, hidden),
            ),
            HeadOutput::NextSentence => None,
            HeadOutput::Sequence => {
                let dense =
                    heads::first_token_dense(b, "pre_classifier", hidden, Activation::Relu, "pre_classifier");
                Some(heads::classifier(b, "classifier", dense, labels))
            }
            HeadOutput::Token => Some(heads::classifier(b, "classifier", hidden, labels)),
        }
    }
}
