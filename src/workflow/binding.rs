//! Which encoder a head belongs to, written into its record and read from there.

use std::path::Path;

use crate::encoder::{EmbedOptions, EmbeddingRecipe, Encoder};
use crate::error::{Error, Result};
use crate::head::{EncoderFingerprint, Head};
use crate::model::{LayerMix, Pooling};

/// Where in a head's record the recipe of its embeddings is kept.
const RECIPE_NOTE: &str = "recipe";

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
    /// What a head stores and compares.
    pub fn fingerprint(&self) -> EncoderFingerprint {
        let names = |poolings: &[Pooling]| poolings.iter().map(|p| p.name()).collect::<Vec<_>>().join("+");
        let mut pooling = names(&self.pooling);
        for dense in &self.dense {
            pooling = format!("{pooling} > {dense}");
        }
        if let Some(dimensions) = self.dimensions {
            pooling = format!("{pooling} > first {dimensions}");
        }
        if let Some(overlap) = self.window_overlap {
            pooling = format!("{pooling} over windows overlapping by {overlap}");
        }
        if self.prompt_left_out {
            pooling = format!("{pooling} without the prompt");
        }
        let layers = self.layers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        EncoderFingerprint {
            weights: self.checkpoint.weights.clone(),
            config: self.checkpoint.config.clone(),
            tokenizer: self.checkpoint.tokenizer.clone(),
            pooling,
            layers: if self.mix == LayerMix::Mean { format!("mean of {layers}") } else { layers },
            prompt: self.prompt.clone().unwrap_or_default(),
            normalise: self.normalize,
            max_length: self.max_tokens,
        }
    }

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
