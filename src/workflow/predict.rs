//! Decisions for a stream of texts, in input order.

use super::classifier::{Classifier, Prediction};
use super::embed::{EmbedRun, EmbeddingSummary, embed_after};
use super::explanation::Explanation;
use crate::encoder::Text;
use crate::error::{Error, Result};
use crate::head::Decision;
use crate::platform::entry;

/// Texts predicted at a time: memory stays flat however many there are.
const CHUNK: usize = 4096;

/// What is wanted of each prediction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PredictOptions {
    /// Leave undecided what is less sure than this probability.
    pub abstain: Option<f64>,
    /// Leave undecided what is as far from the training texts as this share of them: 0.01 is one in a hundred. For heads that [keep a
    /// sample](crate::head::Head::keep_sample).
    pub novel: Option<f64>,
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
        let probabilities = &self.prediction.probabilities;
        match self.prediction.decision {
            Decision::Class { class, .. } => class,
            _ => (0..probabilities.len())
                .max_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b]))
                .unwrap_or(0),
        }
    }
}

impl Prediction {
    /// Whether the text is as far from the training texts as this share of them, or farther.
    pub fn is_novel(&self, share: f64) -> bool {
        self.novelty.is_some_and(|found| found.share <= share)
    }

    /// Takes back the decision for a class, or a path of classes; labels and numbers stay.
    fn withhold(&mut self) {
        if let Decision::Class { class, probability } = self.decision {
            self.decision = Decision::Abstained { class, probability };
        }
        self.levels.iter_mut().for_each(Vec::clear);
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
        if options.novel.is_some() && self.head().sample().is_none() {
            return Err(Error::input(
                "this head keeps no sample of its training texts, so it cannot say which texts are unlike them; train it with \
                 --keep-sample",
            ));
        }
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
            let predictions = self.predict_embeddings(embeddings, options.abstain)?;
            let mut explanations = if options.explain {
                self.explain_async(chunk.iter().cloned()).await?.into_iter()
            } else {
                Vec::new().into_iter()
            };
            for (text, mut prediction) in chunk.into_iter().zip(predictions) {
                if options.novel.is_some_and(|share| prediction.is_novel(share)) {
                    prediction.withhold();
                }
                sink(Answer { text, prediction, explanation: explanations.next() })?;
            }
        }
    }
}
