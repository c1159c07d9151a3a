//! Blocking twins of what the heads in a checkpoint answer, for programs without an async runtime.

use crate::encoder::{EmbedOptions, Encoder, Text};
use crate::error::Result;
use crate::finetuned::{Aggregation, Classification, Entity, Ranked};
use crate::pretraining::{MaskCandidate, NextSentence, PseudoPerplexity};
use pollster::block_on;

impl Encoder {
    /// [`fill_mask`](Self::fill_mask), blocking.
    ///
    /// # Errors
    /// As [`fill_mask`](Self::fill_mask).
    pub fn fill_mask_blocking(
        &self,
        text: impl Into<Text>,
        top: usize,
        targets: &[String],
    ) -> Result<Vec<Vec<MaskCandidate>>> {
        block_on(self.fill_mask(text, top, targets))
    }

    /// [`pseudo_perplexity`](Self::pseudo_perplexity), blocking.
    ///
    /// # Errors
    /// As [`pseudo_perplexity`](Self::pseudo_perplexity).
    pub fn pseudo_perplexity_blocking(&self, text: impl Into<Text>) -> Result<PseudoPerplexity> {
        block_on(self.pseudo_perplexity(text))
    }

    /// [`next_sentence`](Self::next_sentence), blocking.
    ///
    /// # Errors
    /// As [`next_sentence`](Self::next_sentence).
    pub fn next_sentence_blocking(&self, first: &str, second: &str) -> Result<NextSentence> {
        block_on(self.next_sentence(first, second))
    }

    /// [`classify`](Self::classify), blocking.
    ///
    /// # Errors
    /// As [`classify`](Self::classify).
    pub fn classify_blocking<T: Into<Text>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        options: &EmbedOptions,
    ) -> Result<Vec<Classification>> {
        block_on(self.classify(texts, options))
    }

    /// [`tag`](Self::tag), blocking.
    ///
    /// # Errors
    /// As [`tag`](Self::tag).
    pub fn tag_blocking(
        &self,
        texts: &[&str],
        aggregation: Aggregation,
        options: &EmbedOptions,
    ) -> Result<Vec<Vec<Entity>>> {
        block_on(self.tag(texts, aggregation, options))
    }

    /// [`rerank`](Self::rerank), blocking.
    ///
    /// # Errors
    /// As [`rerank`](Self::rerank).
    pub fn rerank_blocking(
        &self,
        query: &str,
        documents: &[&str],
        options: &EmbedOptions,
    ) -> Result<Vec<Ranked>> {
        block_on(self.rerank(query, documents, options))
    }
}
