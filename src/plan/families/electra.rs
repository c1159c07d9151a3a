//! ELECTRA: BERT with narrower embeddings and a projection, no pooler. Source: `ElectraModel`.

use super::heads;
use super::heads::MlmHead;
use super::{Steps, bert, post_norm};
use crate::model::Activation;
use crate::plan::{BufferId, HeadOutput, PlanBuilder};

pub(super) struct Electra;

impl Steps for Electra {
    fn embeddings(&self, b: &mut PlanBuilder<'_>) -> BufferId {
        let narrow = post_norm::embeddings(b);
        let config = b.config();
        if config.embedding_size == config.hidden {
            return narrow;
        }
        let hidden = b.linear(narrow, &["embeddings_project".into()], config.hidden, true, None, "hidden");
        b.release(narrow);
        hidden
    }

    fn layer(&self, b: &mut PlanBuilder<'_>, layer: usize, hidden: BufferId) -> BufferId {
        bert::Bert.layer(b, layer, hidden)
    }

    fn head(&self, b: &mut PlanBuilder<'_>, head: HeadOutput, hidden: BufferId) -> Option<BufferId> {
        let labels = heads::label_count(b);
        match head {
            HeadOutput::MaskedLm => Some(
                MlmHead {
                    dense: "generator_predictions.dense",
                    norm: "generator_predictions.LayerNorm",
                    decoder: "generator_lm_head.weight",
                    tied: "embeddings.word_embeddings.weight",
                    decoder_bias: "generator_lm_head.bias",
                    // `ElectraGeneratorPredictions` calls gelu whatever the config says.
                    activation: Activation::Gelu,
                    bias: true,
                }
                .logits(b, hidden),
            ),
            HeadOutput::NextSentence => None,
            HeadOutput::Sequence => {
                let dense = heads::first_token_dense(
                    b,
                    "classifier.dense",
                    hidden,
                    Activation::Gelu,
                    "classifier_dense",
                );
                Some(heads::classifier(b, "classifier.out_proj", dense, labels))
            }
            HeadOutput::Token => Some(heads::classifier(b, "classifier", hidden, labels)),
        }
    }
}
