//! An encoder and a head together: texts in, decisions out.

use std::sync::Arc;

use crate::embeddings::Embeddings;
use crate::encoder::{EmbedOptions, EmbeddingRecipe, Encoder, Text};
use crate::error::{Error, Result};
use crate::head::{AnswerOptions, Head, HeadAnswer, Matrix};
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
///     println!("{:?}", answer.answer.probabilities);
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
    /// What the head says.
    pub answer: HeadAnswer,
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
        let embeddings = self.encoder.embed_async(texts, &self.options).await?;
        self.predict_embeddings(embeddings, &AnswerOptions::default())
    }

    /// Decides for embeddings that were made with these [`options`](Self::options): heads whose options agree can share a
    /// pass of the encoder.
    ///
    /// # Errors
    /// The embeddings have another number of columns than the head takes; as [`Head::answers`].
    pub fn predict_embeddings(
        &self,
        embeddings: Embeddings,
        options: &AnswerOptions,
    ) -> Result<Vec<Prediction>> {
        let (rows, dim) = (embeddings.len(), embeddings.dim);
        let answers = self.head.answers(&Matrix::new(rows, dim, embeddings.values)?, options)?;
        // What is zipped below must not end early.
        if [answers.len(), embeddings.tokens.len(), embeddings.truncated.len()] != [rows; 3] {
            return Err(Error::model_file(format!(
                "predicting: expected an answer for each of {rows} texts, found {} for {}",
                answers.len(),
                embeddings.tokens.len()
            )));
        }
        Ok((answers.into_iter().zip(embeddings.tokens).zip(embeddings.truncated))
            .map(|((answer, tokens), truncated)| Prediction { answer, tokens, truncated })
            .collect())
    }
}
