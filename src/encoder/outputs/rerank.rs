//! Ordering documents by relevance to a query with a cross-encoder.
//!
//! Source: `CrossEncoder.rank` of sentence-transformers.

use serde::Serialize;

use super::scores::{log_sum_exp, sigmoid, softmax};
use super::tokens::{TokenOutputs, TokenRequest};
use crate::encoder::session::select_none;
use crate::encoder::{EmbedOptions, Encoder, Text};
use crate::error::{Error, Result};
use crate::plan::HeadOutput;
use crate::platform::entry;

/// A document's relevance to a query.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ranked {
    /// Which document, by its place in the input.
    pub index: usize,
    /// Higher is more relevant: a sigmoid of the logit with one label, otherwise the probability of the last label.
    pub score: f32,
    /// What documents are ordered by: the logit, or the log-odds of the last label against the others. Scores close to 1 are
    /// equal in f32 where these are not.
    pub logit: f64,
    /// Whether the document was cut.
    pub truncated: bool,
}

impl Encoder {
    entry! {
        /// Orders documents by relevance to a query with a cross-encoder: query and document go in as one pair. Documents of
        /// equal logits stay in input order.
        ///
        /// A long document that is read in [windows](crate::text::Truncate::Window) is as relevant as the best of them, each
        /// with the whole query.
        ///
        /// # Errors
        /// The checkpoint has no sequence-classification head; with windows, a query that is longer than a document and does
        /// not fit beside it; device errors.
        pub fn rerank(&self, query: &str, documents: &[&str], options: &EmbedOptions) -> Result<Vec<Ranked>> = rerank_async;
    }

    pub(crate) async fn rerank_async(
        &self,
        query: &str,
        documents: &[&str],
        options: &EmbedOptions,
    ) -> Result<Vec<Ranked>> {
        let pairs: Vec<Result<Text>> =
            documents.iter().map(|document| Ok(Text::from((query, *document)))).collect();
        let request = TokenRequest::of_head(HeadOutput::Sequence);
        let mut ranked: Vec<Ranked> = Vec::with_capacity(pairs.len());
        self.stream_windows(pairs, &request, &select_none, options, |_, windows| {
            ranked.push(best_window(ranked.len(), &windows)?);
            Ok(())
        })
        .await?;
        ranked.sort_by(|a, b| b.logit.total_cmp(&a.logit).then(a.index.cmp(&b.index)));
        Ok(ranked)
    }
}

fn best_window(index: usize, windows: &[TokenOutputs]) -> Result<Ranked> {
    let query = |window: &TokenOutputs| {
        let end = window.encoding.second_start.unwrap_or(0);
        window.encoding.ids[..end].to_vec()
    };
    if let Some((first, rest)) = windows.split_first()
        && rest.iter().any(|window| query(window) != query(first))
    {
        return Err(Error::input(format!(
            "cannot read document {index} in windows: the query is longer than the document, and both do not fit; shorten \
             the query, or cut long texts (--truncate cut)"
        )));
    }
    let truncated = windows.iter().any(|window| window.encoding.truncated);
    let mut best: Option<Ranked> = None;
    for window in windows {
        let (score, logit) = match window.logits.as_deref().unwrap_or_default() {
            [] => return Err(Error::device("the classification head gave no logits for a document")),
            [logit] => (sigmoid(*logit), f64::from(*logit)),
            logits @ [others @ .., last] => {
                (softmax(logits).last().copied().unwrap_or(0.0), f64::from(*last) - log_sum_exp(others))
            }
        };
        if best.is_none_or(|best| logit > best.logit) {
            best = Some(Ranked { index, score, logit, truncated });
        }
    }
    best.ok_or_else(|| Error::device(format!("document {index} has no answer")))
}
