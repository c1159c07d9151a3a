//! What makes two embeddings comparable: a head trained on one recipe is refused with another.

use serde::{Deserialize, Serialize};

use super::{EmbedOptions, Encoder, Layers, Prompt};
use crate::checkpoint::Fingerprint;
use crate::error::Result;
use crate::model::{LayerMix, Pooling};
use crate::text::{Truncate, TruncationSide};

/// Everything that decides a text's embedding. Equal recipes give embeddings that may be mixed.
///
/// The device is no part of it: embeddings from different devices agree within the numerics contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbeddingRecipe {
    /// Hashes over weights, config and tokenizer.
    pub checkpoint: Fingerprint,
    /// Layers pooled.
    pub layers: Vec<usize>,
    /// How several layers become one.
    pub mix: LayerMix,
    /// Poolings, side by side.
    pub pooling: Vec<Pooling>,
    /// Modules applied after pooling: where each is, and what it does.
    pub dense: Vec<String>,
    /// Columns kept, before scaling.
    pub dimensions: Option<usize>,
    /// Columns kept of the finished vector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncate_dim: Option<usize>,
    /// Scaled to unit length.
    pub normalize: bool,
    /// Text put before every input.
    pub prompt: Option<String>,
    /// Whether that text's tokens are left out of pooling.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prompt_left_out: bool,
    /// What decides tokens beside tokenizer.json: [`Tokenizer::settings`](crate::text::Tokenizer::settings). None in the
    /// records of heads from before this was written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer_settings: Option<serde_json::Value>,
    /// Longest sequence in tokens.
    pub max_tokens: usize,
    /// Overlap of the windows that longer texts are split into; none where they are cut.
    pub window_overlap: Option<usize>,
}

impl EmbeddingRecipe {
    /// Options that embed by this recipe.
    pub fn options(&self) -> EmbedOptions {
        EmbedOptions {
            pooling: Some(self.pooling.clone()),
            layers: Layers::These(self.layers.clone()),
            mix: self.mix,
            normalize: Some(self.normalize),
            dimensions: self.dimensions,
            truncate_dim: self.truncate_dim,
            prompt: self.prompt.clone().map_or(Prompt::None, Prompt::Text),
            include_prompt: Some(!self.prompt_left_out),
            truncate: match self.window_overlap {
                Some(overlap) => Truncate::Window { overlap },
                None => Truncate::Warn,
            },
            max_tokens: Some(self.max_tokens),
            truncation_side: self.truncation_side(),
            ..EmbedOptions::default()
        }
    }

    /// The end that long texts are cut at; none where the recipe is from before this was written down.
    fn truncation_side(&self) -> Option<TruncationSide> {
        let settings = self.tokenizer_settings.as_ref()?;
        Some(match settings.get("truncation_side").and_then(serde_json::Value::as_str) {
            Some("left") => TruncationSide::Left,
            Some("middle") => TruncationSide::Middle,
            _ => TruncationSide::Right,
        })
    }

    /// How token vectors become one vector, in words.
    pub fn pooling_in_words(&self) -> String {
        let mut words = self.pooling.iter().map(|p| p.name()).collect::<Vec<_>>().join("+");
        for dense in &self.dense {
            words = format!("{words} > {dense}");
        }
        if let Some(dimensions) = self.dimensions.or(self.truncate_dim) {
            words = format!("{words} > first {dimensions}");
        }
        if let Some(overlap) = self.window_overlap {
            words = format!("{words} over windows overlapping by {overlap}");
        }
        if self.prompt_left_out {
            words = format!("{words} without the prompt");
        }
        words
    }

    /// Which layers are pooled, in words.
    pub fn layers_in_words(&self) -> String {
        let layers = self.layers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        if self.mix == LayerMix::Mean { format!("mean of {layers}") } else { layers }
    }
}

impl Encoder {
    /// The recipe these options stand for.
    ///
    /// # Errors
    /// Options the model cannot fulfil; a checkpoint file that cannot be read for its hash.
    pub fn recipe(&self, options: &EmbedOptions) -> Result<EmbeddingRecipe> {
        let request = self.embedding_request(options)?;
        let recipe = self.text_recipe(options)?;
        let truncate_dim = self.truncate_dim(options, &request);
        Ok(EmbeddingRecipe {
            checkpoint: self.checkpoint.fingerprint()?.clone(),
            layers: request.layers,
            mix: request.mix,
            pooling: request.pooling,
            dense: request.modules.iter().map(ToString::to_string).collect(),
            dimensions: request.dimensions,
            truncate_dim,
            normalize: request.normalize,
            prompt_left_out: recipe.prompt.is_some() && !recipe.include_prompt,
            prompt: recipe.prompt,
            tokenizer_settings: Some(self.tokenizer.settings_with(options.truncation_side)),
            max_tokens: options.max_tokens.unwrap_or_else(|| self.checkpoint.max_tokens()),
            window_overlap: match options.truncate {
                Truncate::Window { overlap } => Some(overlap),
                _ => None,
            },
        })
    }
}
