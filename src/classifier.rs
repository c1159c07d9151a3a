//! An encoder and a head together: texts in, decisions out.

use std::path::Path;

#[cfg(not(target_arch = "wasm32"))]
use crate::cache::BestEffort;
use crate::embeddings::Embeddings;
use crate::encoder::{EmbedOptions, EmbeddingRecipe, Encoder, Text};
use crate::error::{Error, Result};
use crate::head::{Decision, Head, Matrix};

/// Where in a head's record the recipe of its embeddings is kept.
const RECIPE_NOTE: &str = "recipe";

/// A head joined with the encoder it was trained on.
///
/// ```no_run
/// use frostbert::{Classifier, Device, Encoder};
/// use frostbert::head::Head;
///
/// let head = Head::load("head.safetensors")?;
/// let encoder = Encoder::load("models/all-MiniLM-L6-v2").device(Device::Auto).build_blocking()?;
/// let classifier = Classifier::new(encoder, head)?;
/// for answer in classifier.predict_blocking(["An unexpected joy."])? {
///     println!("{:?}", answer.probabilities);
/// }
/// # Ok::<(), frostbert::Error>(())
/// ```
pub struct Classifier {
    encoder: Encoder,
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
    /// Tokens of the text before truncation.
    pub tokens: u32,
    /// Whether the text was cut.
    pub truncated: bool,
}

impl Classifier {
    /// Joins the two.
    ///
    /// # Errors
    /// The head was trained on another encoder's embeddings (both fingerprints are named), or it does not say how its
    /// embeddings were made.
    pub fn new(encoder: Encoder, head: Head) -> Result<Self> {
        let options = match EmbeddingRecipe::of_head(&head)? {
            Some(recipe) => recipe.options(),
            None => EmbedOptions::default(),
        };
        head.check_encoder(&encoder.recipe(&options)?.fingerprint())?;
        let dim = encoder.dim(&options)?;
        if dim != head.dimension() {
            return Err(Error::input(format!(
                "the head takes embeddings of {} columns, but the encoder gives {dim}",
                head.dimension()
            )));
        }
        Ok(Classifier { encoder, head, options })
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

    /// Classifies texts; answers come in input order.
    ///
    /// # Errors
    /// As [`Encoder::embed`].
    pub async fn predict<T: Into<Text>>(
        &self,
        texts: impl IntoIterator<Item = T>,
    ) -> Result<Vec<Prediction>> {
        self.answers(self.encoder.embed(texts, &self.options).await?)
    }

    /// [`predict`](Self::predict) with embeddings taken from a cache, and left in it, where it can be; blocking.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    #[cfg(not(target_arch = "wasm32"))]
    pub fn predict_cached_blocking<T: Into<Text>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        cache: &BestEffort,
    ) -> Result<Vec<Prediction>> {
        self.answers(self.encoder.embed_cached_blocking(texts, &self.options, cache)?.embeddings)
    }

    fn answers(&self, embeddings: Embeddings) -> Result<Vec<Prediction>> {
        let (rows, dim) = (embeddings.len(), embeddings.dim);
        let probabilities = self.head.predict_proba(&Matrix::new(rows, dim, embeddings.values)?)?;
        let width = self.head.names().len();
        Ok(probabilities
            .chunks_exact(width.max(1))
            .zip(embeddings.tokens.iter().zip(&embeddings.truncated))
            .map(|(row, (tokens, truncated))| Prediction {
                decision: self.head.decide(row, None),
                probabilities: row.to_vec(),
                tokens: *tokens,
                truncated: *truncated,
            })
            .collect())
    }

    /// [`predict`](Self::predict), blocking.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    #[cfg(not(target_arch = "wasm32"))]
    pub fn predict_blocking<T: Into<Text>>(
        &self,
        texts: impl IntoIterator<Item = T>,
    ) -> Result<Vec<Prediction>> {
        pollster::block_on(self.predict(texts))
    }
}

/// Writes into a head's record which encoder and which options made its embeddings, so that [`Classifier::new`] can do the same.
///
/// `location` is where the model was: a folder or a hub id; a folder is kept as an absolute path.
///
/// # Errors
/// The checkpoint cannot be read for its hash.
pub fn bind_head(head: &mut Head, encoder: &Encoder, options: &EmbedOptions, location: &str) -> Result<()> {
    let path = Path::new(location);
    let absolute = path.is_dir().then(|| std::path::absolute(path).ok()).flatten();
    let location = absolute.map_or_else(|| location.to_owned(), |path| path.display().to_string());
    encoder.recipe(options)?.bind(head, location)
}

impl EmbeddingRecipe {
    /// Writes into a head's record that it was trained on embeddings of this recipe, and where their model was. For those
    /// who have the embeddings and not the encoder; others call [`bind_head`].
    ///
    /// # Errors
    /// None in practice: a recipe is text and numbers.
    pub fn bind(&self, head: &mut Head, location: impl Into<String>) -> Result<()> {
        let json = serde_json::to_string(self)
            .map_err(|error| Error::io("cannot write the recipe").with_source(error))?;
        head.record.encoder = Some(self.fingerprint());
        head.record.notes.insert(RECIPE_NOTE.into(), json);
        head.record.model_location = Some(location.into());
        Ok(())
    }

    /// The recipe that a head was bound to; none where it knows no encoder.
    ///
    /// # Errors
    /// The record is damaged.
    pub fn of_head(head: &Head) -> Result<Option<Self>> {
        let Some(json) = head.record.notes.get(RECIPE_NOTE) else { return Ok(None) };
        let recipe = serde_json::from_str(json).map_err(|error| {
            Error::model_file("the head's record of how its embeddings were made is damaged")
                .with_source(error)
        })?;
        Ok(Some(recipe))
    }
}
