//! Sparse vectors over the vocabulary, from the masked-language-model head.
//!
//! Source: Formal et al., "SPLADE v2" (2021); `SpladePooling` of sentence-transformers.

use serde::Serialize;

use super::tokens::TokenRequest;
use crate::encoder::{EmbedOptions, Encoder, Text};
use crate::error::{Error, Result};
use crate::model::HeadKind;
use crate::plan::HeadOutput;
use crate::platform::entry;
use crate::text::Encoding;

/// Logits of one run at most, in elements: a text at the longest has some 16 million of them.
const RUN_LOGITS: usize = 1 << 24;

/// A text's weights of the vocabulary's tokens; those that are missing are 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SparseEmbedding {
    /// Token ids, ascending.
    pub indices: Vec<u32>,
    /// Their weights, above 0.
    pub values: Vec<f32>,
    /// Tokens of the text before truncation, special tokens included.
    pub tokens: u32,
    /// Whether the text was cut.
    pub truncated: bool,
}

impl Encoder {
    entry! {
        /// Sparse embeddings (SPLADE): for each token of the vocabulary the largest `ln(1 + relu(logit))` over the text's tokens,
        /// special tokens among them.
        ///
        /// # Errors
        /// The checkpoint has no MLM head; [windows](crate::text::Truncate::Window) are refused; device errors.
        pub fn embed_sparse(&self, texts: impl IntoIterator<Item = impl Into<Text>>, options: &EmbedOptions) -> Result<Vec<SparseEmbedding>> = embed_sparse_async;
    }

    pub(crate) async fn embed_sparse_async<T: Into<Text>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        options: &EmbedOptions,
    ) -> Result<Vec<SparseEmbedding>> {
        self.require_head(HeadKind::MaskedLm)?;
        if options.window_overlap().is_some() {
            return Err(Error::input(
                "a sparse embedding is of one encoding a text: cut long texts instead of splitting them into windows",
            ));
        }
        let vocab = self.config().vocab;
        let request = TokenRequest::of_head(HeadOutput::MaskedLm);
        let mut encodings = self.encode(texts, options)?.into_iter().peekable();
        let mut all = Vec::new();
        while encodings.peek().is_some() {
            let mut run: Vec<Encoding> = Vec::new();
            let mut tokens = 0;
            while let Some(encoding) = encodings
                .next_if(|next| run.is_empty() || (tokens + next.len()).saturating_mul(vocab) <= RUN_LOGITS)
            {
                tokens += encoding.len();
                run.push(encoding);
            }
            let every = |encoding: &Encoding| (0..encoding.len()).collect();
            self.run_encodings(run.into_iter(), &request, &every, options, |output| {
                let logits = output.logits.unwrap_or_default();
                if logits.len() != output.encoding.len() * vocab {
                    return Err(Error::device(format!(
                        "the masked-language-model head gave {} logits for {} tokens",
                        logits.len(),
                        output.encoding.len()
                    )));
                }
                all.push(sparse(&logits, vocab, &output.encoding));
                Ok(())
            })
            .await?;
        }
        Ok(all)
    }
}

/// The logarithm keeps the order, so that it is taken of the largest alone.
fn sparse(logits: &[f32], vocab: usize, encoding: &Encoding) -> SparseEmbedding {
    let mut largest = vec![0.0f32; vocab];
    for row in logits.chunks_exact(vocab.max(1)) {
        largest.iter_mut().zip(row).for_each(|(largest, logit)| *largest = largest.max(*logit));
    }
    let weights = (0u32..).zip(&largest).filter(|(_, logit)| **logit > 0.0);
    let (indices, values) = weights.map(|(id, logit)| (id, f64::from(*logit).ln_1p() as f32)).unzip();
    SparseEmbedding { indices, values, tokens: encoding.tokens as u32, truncated: encoding.truncated }
}
