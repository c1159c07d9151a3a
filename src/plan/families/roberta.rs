//! RoBERTa, CamemBERT, XLM-RoBERTa: BERT's layers; positions start after the padding id. Source: `RobertaModel`.

use super::heads;
use super::heads::MlmHead;
use super::{Steps, bert, post_norm};
use crate::model::Activation;
use crate::plan::{BufferId, HeadOutput, PlanBuilder};

pub(super) struct Roberta;

impl Steps for Roberta {
    fn embeddings(&self, b: &mut PlanBuilder<'_>) -> BufferId {
        post_norm::embeddings(b)
    }

    fn layer(&self, b: &mut PlanBuilder<'_>, layer: usize, hidden: BufferId) -> BufferId {
        bert::Bert.layer(b, layer, hidden)
    }

    fn pooler(&self, b: &mut PlanBuilder<'_>, hidden: BufferId) -> Option<BufferId> {
        bert::Bert.pooler(b, hidden)
    }

    fn head(&self, b: &mut PlanBuilder<'_>, head: HeadOutput, hidden: BufferId) -> Option<BufferId> {
        head_logits(b, head, hidden)
    }
}

/// RoBERTa's heads; MPNet has the same.
pub(super) fn head_logits(b: &mut PlanBuilder<'_>, head: HeadOutput, hidden: BufferId) -> Option<BufferId> {
    let labels = heads::label_count(b);
    match head {
        HeadOutput::MaskedLm => Some(
            MlmHead {
                dense: "lm_head.dense",
                norm: "lm_head.layer_norm",
                decoder: "lm_head.decoder.weight",
                tied: "embeddings.word_embeddings.weight",
                decoder_bias: "lm_head.bias",
                // `RobertaLMHead` calls gelu whatever the config says.
                activation: Activation::Gelu,
                bias: true,
            }
            .logits(b, hidden),
        ),
        HeadOutput::NextSentence => None,
        HeadOutput::Sequence => {
            let dense =
                heads::first_token_dense(b, "classifier.dense", hidden, Activation::Tanh, "classifier_dense");
            Some(heads::classifier(b, "classifier.out_proj", dense, labels))
        }
        HeadOutput::Token => Some(heads::classifier(b, "classifier", hidden, labels)),
    }
}
