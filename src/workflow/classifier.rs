//! An encoder and a head together: texts in, decisions out.

use std::sync::Arc;

use crate::embeddings::Embeddings;
use crate::encoder::{EmbedOptions, EmbeddingRecipe, Encoder, Text};
use crate::error::{Error, Result};
use crate::head::{Decision, Head, Level, Matrix, Novelty};
use crate::platform::entry;

/// A head joined with the encoder it was trained on.
///
/// ```no_run
/// use frostbert::{Classifier, Device, Encoder};
/// use frostbert::head::Head;
///
/// let head = Head::load("head.safetensors")?;
/// let encoder = Encoder::load("models/all-MiniLM-L6-v2").device(Device::Auto).build()?;
/// let classifier = Classifier::new(encoder, head)?;
/// for answer in classifier.predict(["An unexpected joy."])? {
///     println!("{:?}", answer.probabilities);
/// }
/// # Ok::<(), frostbert::Error>(())
/// ```
pub struct Classifier {
    encoder: Arc<Encoder>,
    head: Head,
    options: EmbedOptions,
}

/// What a classifier says of one text.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The decision.
    pub decision: Decision,
    /// Probability of each class or label (of a regression: the value), in the order of [`Head::names`].
    pub probabilities: Vec<f64>,
    /// Classes of which one is right at the rate that the head was trained for, likeliest first; none unless the head has
    /// [conformal sets](crate::head::Conformal).
    pub set: Option<Vec<usize>>,
    /// The path from the top down as far as it is sure enough; empty where not even the first level is. None unless the head [reads class names as
    /// paths](crate::head::Caution::levels).
    pub levels: Option<Vec<Level>>,
    /// How far the text is from those that the head learnt from; none unless it [keeps some](Head::keep_sample).
    pub novelty: Option<Novelty>,
    /// Tokens of the text before truncation.
    pub tokens: u32,
    /// Whether the text was cut.
    pub truncated: bool,
}

impl Classifier {
    /// Joins the two. Several heads may share an encoder behind an [`Arc`].
    ///
    /// # Errors
    /// The head was trained on another encoder's embeddings (what differs is named), or it does not say how its
    /// embeddings were made.
    pub fn new(encoder: impl Into<Arc<Encoder>>, head: Head) -> Result<Self> {
        let encoder = encoder.into();
        let options = Self::options_for(&encoder, &head)?;
        Ok(Classifier { encoder, head, options })
    }

    /// How texts are embedded for a head, after checking that the encoder is the head's.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn options_for(encoder: &Encoder, head: &Head) -> Result<EmbedOptions> {
        let options = EmbeddingRecipe::of_head(head)?.map(|recipe| recipe.options()).unwrap_or_default();
        encoder.recipe(&options)?.check_head(head)?;
        let dim = encoder.dim(&options)?;
        if dim != head.dimension() {
            return Err(Error::input(format!(
                "the head takes embeddings of {} columns, but the encoder gives {dim}",
                head.dimension()
            )));
        }
        Ok(options)
    }

    /// The encoder.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// How texts are embedded for this head.
    pub fn options(&self) -> &EmbedOptions {
        &self.options
    }

    entry! {
        /// Classifies texts; answers come in input order.
        ///
        /// # Errors
        /// As [`Encoder::embed`].
        pub fn predict(&self, texts: impl IntoIterator<Item = impl Into<Text>>) -> Result<Vec<Prediction>> = predict_async;
    }

    pub(crate) async fn predict_async<T: Into<Text>>(
        &self,
        texts: impl IntoIterator<Item = T>,
    ) -> Result<Vec<Prediction>> {
        self.predict_embeddings(self.encoder.embed_async(texts, &self.options).await?, None)
    }

    /// Decides for embeddings that were made with these [`options`](Self::options): heads whose options agree can share a
    /// pass of the encoder. What is less sure than `abstain` is left undecided.
    ///
    /// # Errors
    /// The embeddings have another number of columns than the head takes.
    pub fn predict_embeddings(
        &self,
        embeddings: Embeddings,
        abstain: Option<f64>,
    ) -> Result<Vec<Prediction>> {
        let (rows, dim) = (embeddings.len(), embeddings.dim);
        let matrix = Matrix::new(rows, dim, embeddings.values)?;
        let probabilities = self.head.predict_proba(&matrix)?;
        let novelty = self.head.sample().map(|sample| sample.novelty(&matrix)).transpose()?;
        let width = self.head.names().len();
        // What is zipped below must not end early.
        let found =
            [probabilities.len(), embeddings.tokens.len() * width, embeddings.truncated.len() * width];
        if found != [rows * width; 3] {
            return Err(Error::model_file(format!(
                "predicting: expected {width} probabilities for each of {rows} texts, found {} for {}",
                probabilities.len(),
                embeddings.tokens.len()
            )));
        }
        let tree = self.head.hierarchy();
        let sure = abstain.or(self.head.sure_enough());
        Ok(probabilities
            .chunks_exact(width.max(1))
            .zip(embeddings.tokens.iter().zip(&embeddings.truncated))
            .enumerate()
            .map(|(at, (row, (tokens, truncated)))| Prediction {
                novelty: novelty.as_ref().map(|found| found[at]),
                decision: self.head.decide(row, abstain),
                levels: tree.as_ref().map(|tree| tree.answer(row, sure)),
                set: self.head.caution().conformal.map(|sets| sets.set(row)),
                probabilities: row.to_vec(),
                tokens: *tokens,
                truncated: *truncated,
            })
            .collect())
    }
}
