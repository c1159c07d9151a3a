//! Sequence classification by the head that came in a checkpoint.
//!
//! Source: `BertForSequenceClassification`, `TextClassificationPipeline` of transformers.

use serde::Serialize;

use super::scores::{argmax, sigmoid, softmax};
use super::tokens::{TokenOutputs, TokenRequest};
use crate::encoder::session::{EncodeReport, select_none};
use crate::encoder::{EmbedOptions, Encoder, Text};
use crate::error::{Error, Result};
use crate::model::{HeadKind, ProblemType};
use crate::plan::HeadOutput;
use crate::platform::entry;
use crate::text::Encoding;

/// A text's labels, in the model's order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Classification {
    /// One score a label: probabilities that sum to 1 (single label), probabilities each for itself (multi label, and a single
    /// label that is not regression), or the raw value (regression).
    pub scores: Vec<f32>,
    /// The head's output before that. Of a text read in windows the mean of theirs, weighted by the tokens of the text that
    /// each holds.
    pub logits: Vec<f32>,
    /// Tokens of the text before truncation, special tokens included.
    pub tokens: u32,
    /// Whether the text was cut.
    pub truncated: bool,
}

impl Classification {
    /// Index of the highest score.
    pub fn best(&self) -> usize {
        // Scores may be equal where logits are not: from a logit of 17 on, a sigmoid is 1 in f32.
        argmax(&self.logits)
    }
}

impl Encoder {
    entry! {
        /// Classifies texts with the head that came in the checkpoint. One answer a text: with
        /// [windows](crate::text::Truncate::Window) it is made of the mean of their logits, weighted by tokens.
        ///
        /// # Errors
        /// The checkpoint has no such head, device errors.
        pub fn classify(&self, texts: impl IntoIterator<Item = impl Into<Text>>, options: &EmbedOptions) -> Result<Vec<Classification>> = classify_async;

        /// [`classify`](Self::classify) as a stream with flat memory: `sink` gets each text with its answer, in input order.
        ///
        /// # Errors
        /// As [`classify`](Self::classify), and what the iterator or `sink` return.
        pub fn classify_stream(&self, texts: impl IntoIterator<Item = Result<Text>, IntoIter: Send + 'static>, options: &EmbedOptions, sink: impl FnMut(Text, Classification) -> Result<()>) -> Result<EncodeReport> = classify_stream_async;
    }

    pub(crate) async fn classify_async<T: Into<Text>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        options: &EmbedOptions,
    ) -> Result<Vec<Classification>> {
        let texts: Vec<Result<Text>> = texts.into_iter().map(|text| Ok(text.into())).collect();
        let mut all = Vec::with_capacity(texts.len());
        self.classify_stream_async(texts, options, |_, answer| {
            all.push(answer);
            Ok(())
        })
        .await?;
        Ok(all)
    }

    pub(crate) async fn classify_stream_async<I>(
        &self,
        texts: I,
        options: &EmbedOptions,
        mut sink: impl FnMut(Text, Classification) -> Result<()>,
    ) -> Result<EncodeReport>
    where
        I: IntoIterator<Item = Result<Text>>,
        I::IntoIter: Send + 'static,
    {
        let request = TokenRequest::of_head(HeadOutput::Sequence);
        let problem = self.problem_type();
        self.stream_windows(texts, &request, &select_none, options, |text, windows| {
            let logits = mean_logits(&windows)?;
            let scores = match problem {
                ProblemType::Regression => logits.clone(),
                // Of one label alone a softmax is 1 whatever the model says.
                ProblemType::SingleLabel if logits.len() > 1 => softmax(&logits),
                ProblemType::SingleLabel | ProblemType::MultiLabel => {
                    logits.iter().map(|x| sigmoid(*x)).collect()
                }
            };
            let tokens = windows.first().map_or(0, |window| window.encoding.tokens as u32);
            let truncated = windows.iter().any(|window| window.encoding.truncated);
            sink(text, Classification { scores, logits, tokens, truncated })
        })
        .await
    }

    /// What the sequence-classification head's scores mean: `problem_type`, and where the config is silent what the pipeline of
    /// transformers (and the `CrossEncoder` of sentence-transformers) makes of the number of labels. Several: a softmax over
    /// them; one: a sigmoid.
    pub fn problem_type(&self) -> ProblemType {
        let outputs = self.checkpoint().heads().get(HeadKind::Sequence).map_or(0, |head| head.outputs);
        let guess = if outputs == 1 { ProblemType::MultiLabel } else { ProblemType::SingleLabel };
        self.config().problem_type.unwrap_or(guess)
    }

    /// Names of the sequence-classification head's labels, in the order of [`Classification::scores`]. Labels that have the
    /// same name in the checkpoint are told apart by their numbers: `good (1)`.
    ///
    /// # Errors
    /// The checkpoint has no such head, or other names than outputs.
    pub fn classification_labels(&self) -> Result<Vec<String>> {
        Ok(told_apart(self.checkpoint().labels(HeadKind::Sequence)?))
    }
}

/// The logits of a text: the mean over its windows, weighted by tokens of the text.
fn mean_logits(windows: &[TokenOutputs]) -> Result<Vec<f32>> {
    let logits: Vec<&[f32]> =
        windows.iter().map(|window| window.logits.as_deref().unwrap_or_default()).collect();
    let labels = logits.first().map_or(0, |logits| logits.len());
    if labels == 0 || logits.iter().any(|logits| logits.len() != labels) {
        return Err(Error::device("the classification head gave no logits for a text"));
    }
    Ok(weighted_mean(logits.into_iter().zip(windows.iter().map(|window| text_tokens(&window.encoding)))))
}

/// Tokens of a window that are not special.
pub(super) fn text_tokens(encoding: &Encoding) -> f64 {
    encoding.special_tokens_mask.iter().filter(|special| !**special).count() as f64
}

/// The mean of rows of one length, each with its weight; of one row itself.
pub(super) fn weighted_mean<R: AsRef<[f32]>>(rows: impl Iterator<Item = (R, f64)>) -> Vec<f32> {
    let rows: Vec<(R, f64)> = rows.collect();
    if let [(only, _)] = &rows[..] {
        return only.as_ref().to_vec();
    }
    let total: f64 = rows.iter().map(|(_, weight)| weight).sum();
    let mean = |label: usize| {
        let sum: f64 = rows.iter().map(|(row, weight)| weight * f64::from(row.as_ref()[label])).sum();
        (sum / total) as f32
    };
    (0..rows.first().map_or(0, |(row, _)| row.as_ref().len())).map(mean).collect()
}

/// Adds its number to every name that is there more than once.
fn told_apart(labels: Vec<String>) -> Vec<String> {
    let count = |label: &String| labels.iter().filter(|other| *other == label).count();
    let mut names: Vec<String> = labels
        .iter()
        .enumerate()
        .map(|(id, label)| if count(label) > 1 { format!("{label} ({id})") } else { label.clone() })
        .collect();
    // A name that looks like such a one already.
    let mut taken: std::collections::HashSet<String> = std::collections::HashSet::new();
    for (id, name) in names.iter_mut().enumerate() {
        while !taken.insert(name.clone()) {
            *name = format!("{name} ({id})");
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_one_name_are_told_apart() {
        let names = |labels: &[&str]| told_apart(labels.iter().map(|label| (*label).to_owned()).collect());
        assert_eq!(names(&["good", "bad"]), ["good", "bad"]);
        assert_eq!(names(&["good", "bad", "good"]), ["good (0)", "bad", "good (2)"]);
        let names = names(&["a (2)", "b", "a", "a"]);
        assert_eq!(names.iter().collect::<std::collections::HashSet<_>>().len(), 4, "{names:?}");
    }
}
