//! Decisions for a stream of texts, in input order.

use super::classifier::{Classifier, Prediction};
use super::embed::{EmbedRun, EmbeddingSummary, embed_after};
use super::explanation::Explanation;
use crate::encoder::Text;
use crate::error::Result;
use crate::head::{AnswerOptions, Decision};
use crate::platform::entry;

/// Texts predicted at a time: memory stays flat however many there are.
const CHUNK: usize = 4096;

/// What is wanted of each prediction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PredictOptions {
    /// When an answer is withheld.
    pub answer: AnswerOptions,
    /// Take the logits apart into the tokens' shares. For a linear head over mean pooling.
    pub explain: bool,
}

/// A text and what the classifier says of it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// The text.
    pub text: Text,
    /// What the classifier says.
    pub prediction: Prediction,
    /// Which tokens that comes from, where it was asked for.
    pub explanation: Option<Explanation>,
}

impl Answer {
    /// Whose logit explains the answer, an index into the names: the class decided for; of several labels, and where nothing was
    /// decided, the likeliest.
    pub fn leading(&self) -> usize {
        let answer = &self.prediction.answer;
        let probabilities = &answer.probabilities;
        match answer.decision {
            Decision::Class { class, .. } => class,
            _ => (0..probabilities.len())
                .max_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b]))
                .unwrap_or(0),
        }
    }
}

impl Classifier {
    entry! {
        /// Classifies texts as they come; `sink` gets the answers in input order, a few thousand at a time.
        ///
        /// # Errors
        /// What the iterator or `sink` return, explanations of a head that has none, and as
        /// [`Encoder::embed`](crate::Encoder::embed).
        pub fn predict_stream(&self, texts: impl IntoIterator<Item = Result<Text>>, options: &PredictOptions, run: &EmbedRun<'_>, sink: impl FnMut(Answer) -> Result<()>) -> Result<EmbeddingSummary> = predict_stream_async;
    }

    pub(crate) async fn predict_stream_async(
        &self,
        texts: impl IntoIterator<Item = Result<Text>>,
        options: &PredictOptions,
        run: &EmbedRun<'_>,
        mut sink: impl FnMut(Answer) -> Result<()>,
    ) -> Result<EmbeddingSummary> {
        options.answer.check(self.head())?;
        let mut texts = texts.into_iter();
        let mut all = EmbeddingSummary::default();
        loop {
            let chunk = texts.by_ref().take(CHUNK).collect::<Result<Vec<Text>>>()?;
            if chunk.is_empty() {
                return Ok(all);
            }
            let (embeddings, part) =
                embed_after(self.encoder(), chunk.iter().cloned(), self.options(), run, &all).await?;
            all.add(&part);
            let predictions = self.predict_embeddings(embeddings, &options.answer)?;
            let mut explanations = if options.explain {
                self.explain_async(chunk.iter().cloned()).await?.into_iter()
            } else {
                Vec::new().into_iter()
            };
            for (text, prediction) in chunk.into_iter().zip(predictions) {
                sink(Answer { text, prediction, explanation: explanations.next() })?;
            }
        }
    }
}
