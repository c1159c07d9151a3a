//! A table of token vectors without a transformer. Source: `StaticEmbedding` of sentence-transformers.

use super::Steps;
use crate::model::Config;
use crate::plan::{BufferId, HeadOutput, PlanBuilder, Rows, Step};

pub(super) struct StaticEmbedding;

impl Steps for StaticEmbedding {
    fn embeddings(&self, b: &mut PlanBuilder<'_>) -> BufferId {
        let &Config { vocab, hidden, .. } = b.config();
        // The row after the vocabulary is zero: what a text without tokens is made of.
        let words = b.tables(&[("embeddings.word_embeddings.weight", vocab), (Config::NO_TOKENS, 1)], hidden);
        let out = b.buffer(Rows::Tokens, hidden, "hidden");
        b.step(Step::EmbedTokens { words, out });
        out
    }

    fn layer(&self, _: &mut PlanBuilder<'_>, _: usize, hidden: BufferId) -> BufferId {
        // Never asked for: there are no layers.
        hidden
    }

    fn head(&self, _: &mut PlanBuilder<'_>, _: HeadOutput, _: BufferId) -> Option<BufferId> {
        None
    }
}
