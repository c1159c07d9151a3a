//! Which encoder a head belongs to, written into its record and read from there.

use std::path::Path;

use serde_json::Value;

use crate::encoder::{EmbedOptions, EmbeddingRecipe, Encoder};
use crate::error::{Error, Result};
use crate::head::{EncoderBinding, Head};

/// Where heads written before `encoder` held the recipe keep it: JSON in a string.
const OLD_NOTE: &str = "recipe";

/// Settings of the tokenizer that the first version followed without writing them down.
const FOLLOWED_BEFORE: [&str; 4] = ["do_lower_case", "special_tokens", "token_types", "truncation_side"];

/// Writes into a head's record which encoder and which options made its embeddings, so that [`Classifier::new`] can do the same.
///
/// `location` is where the model was: a folder or a hub id; a folder is kept as an absolute path.
///
/// # Errors
/// The checkpoint cannot be read for its hash.
///
/// [`Classifier::new`]: crate::Classifier::new
pub fn bind_head(head: &mut Head, encoder: &Encoder, options: &EmbedOptions, location: &str) -> Result<()> {
    let path = Path::new(location);
    let absolute = path.is_dir().then(|| std::path::absolute(path).ok()).flatten();
    let location = absolute.map_or_else(|| location.to_owned(), |path| path.display().to_string());
    encoder.recipe(options)?.bind(head, location)
}

impl EmbeddingRecipe {
    /// What a head stores and compares.
    ///
    /// # Errors
    /// None in practice: a recipe is text and numbers.
    pub fn binding(&self) -> Result<EncoderBinding> {
        let recipe = serde_json::to_value(self)
            .map_err(|error| Error::io("cannot write the recipe").with_source(error))?;
        Ok(EncoderBinding::new(recipe))
    }

    /// Writes into a head's record that it was trained on embeddings of this recipe, and where their model was. For those
    /// who have the embeddings and not the encoder; others call [`bind_head`].
    ///
    /// # Errors
    /// None in practice: a recipe is text and numbers.
    pub fn bind(&self, head: &mut Head, location: impl Into<String>) -> Result<()> {
        head.record.encoder = Some(self.binding()?);
        head.record.notes.remove(OLD_NOTE);
        head.record.model_location = Some(location.into());
        Ok(())
    }

    /// The recipe that a head was bound to; none where it knows no encoder.
    ///
    /// # Errors
    /// The record is damaged.
    pub fn of_head(head: &Head) -> Result<Option<Self>> {
        let damaged = |error: serde_json::Error| {
            Error::model_file("the head's record of how its embeddings were made is damaged")
                .with_source(error)
        };
        if let Some(json) = head.record.notes.get(OLD_NOTE) {
            return serde_json::from_str(json).map(Some).map_err(damaged);
        }
        let Some(binding) = &head.record.encoder else { return Ok(None) };
        serde_json::from_value(binding.recipe.clone()).map(Some).map_err(damaged)
    }

    /// Checks that a head was trained on embeddings of this recipe. A head that knows no encoder fits any.
    ///
    /// Heads of the first version say less: what they do not say is taken to be as it is now, unless that version is known to
    /// have computed it otherwise.
    ///
    /// # Errors
    /// The input, naming what differs.
    pub fn check_head(&self, head: &Head) -> Result<()> {
        let Some(theirs) = Self::of_head(head)? else { return Ok(()) };
        if theirs.tokenizer_settings.is_some() {
            return head.check_encoder(&self.binding()?);
        }
        let mut ignored: Vec<&str> = self
            .tokenizer_settings
            .as_ref()
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(|settings| settings.keys().map(String::as_str))
            .filter(|key| !FOLLOWED_BEFORE.contains(key))
            .collect();
        ignored.extend(self.truncate_dim.map(|_| "truncate_dim"));
        if !ignored.is_empty() {
            return Err(Error::input(format!(
                "this head was trained by a version of frostbert that did not read {} of this checkpoint's files, and gave \
                 other embeddings: train it again",
                ignored.join(", ")
            )));
        }
        let names = |dense: &[String]| {
            dense.iter().map(|dense| dense.split(": ").next().unwrap_or_default().to_owned()).collect()
        };
        let then = EmbeddingRecipe { tokenizer_settings: None, dense: names(&self.dense), ..self.clone() };
        theirs.binding()?.check(&then.binding()?)
    }
}
