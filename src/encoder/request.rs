//! What the options leave to the checkpoint, filled in.

use super::Encoder;
use super::options::{EmbedOptions, Layers, Prompt};
use super::stages::tokenize::Recipe;
use crate::error::{Error, Result};
use crate::model::{EmbeddingRequest, LayerMix};
use crate::plan::{OutputKind, Plan, Request, families};
use crate::text::EncodeOptions;

impl Encoder {
    /// Columns of an embedding under these options.
    ///
    /// # Errors
    /// Options the model cannot fulfil.
    pub fn dim(&self, options: &EmbedOptions) -> Result<usize> {
        let request = self.embedding_request(options)?;
        let dimensions = request.dimensions.or_else(|| self.truncate_dim(options, &request));
        let plan =
            families::plan(self.config(), &Request { embeddings: Some(request), ..Request::default() })?;
        // A plan that does not normalise leaves the cut to whoever takes the rows.
        Ok(dimensions.unwrap_or(usize::MAX).min(embedding_width(&plan)))
    }

    /// Columns that are kept of the finished embedding.
    pub(crate) fn truncate_dim(&self, options: &EmbedOptions, request: &EmbeddingRequest) -> Option<usize> {
        if request.dimensions.is_some() {
            return None;
        }
        let trained = self.checkpoint.embedding_request();
        let as_trained = request.pooling == trained.pooling && request.layers == trained.layers;
        options.truncate_dim.or_else(|| self.kept().filter(|_| as_trained))
    }

    /// Columns that the checkpoint keeps of its own finished embedding.
    fn kept(&self) -> Option<usize> {
        self.checkpoint.modules().and_then(|modules| modules.truncate_dim)
    }

    pub(crate) fn embedding_request(&self, options: &EmbedOptions) -> Result<EmbeddingRequest> {
        let trained = self.checkpoint.embedding_request();
        // Without a choice it is what the checkpoint takes: the last layer, or the mean of several by weights of its own.
        let layers = match options.layers {
            Layers::Last => trained.layers.clone(),
            ref chosen => chosen.resolve(self.config().layers)?,
        };
        let mix = if options.layers == Layers::Last { trained.mix } else { options.mix };
        let pooling = options.pooling.clone().unwrap_or_else(|| trained.pooling.clone());
        let as_trained = pooling == trained.pooling && layers == trained.layers;
        Ok(EmbeddingRequest {
            mix,
            layer_weights: trained.layer_weights.filter(|_| as_trained && mix == LayerMix::Mean),
            // Modules behind the pooling were trained on the checkpoint's own pooling of the last layer; behind another they mean nothing.
            modules: if as_trained { trained.modules } else { Vec::new() },
            // Who asks for unit length gets it: the columns that the checkpoint keeps are scaled, not cut off a row of unit length.
            dimensions: options.dimensions.or_else(|| {
                let asked = options.normalize == Some(true) && options.truncate_dim.is_none();
                self.kept().filter(|_| as_trained && asked)
            }),
            normalize: options.normalize.unwrap_or(trained.normalize),
            layers,
            pooling,
        })
    }

    pub(crate) fn text_recipe(&self, options: &EmbedOptions) -> Result<Recipe> {
        Ok(Recipe {
            prompt: self.prompt(&options.prompt)?,
            include_prompt: self.include_prompt(options),
            encode: EncodeOptions {
                truncate: options.truncate,
                max_tokens: options.max_tokens,
                side: options.truncation_side,
            },
        })
    }

    pub(crate) fn include_prompt(&self, options: &EmbedOptions) -> bool {
        let trained = || self.checkpoint.modules().is_none_or(|modules| modules.include_prompt);
        options.include_prompt.unwrap_or_else(trained)
    }

    fn prompt(&self, prompt: &Prompt) -> Result<Option<String>> {
        let modules = self.checkpoint.modules();
        let named = |name: &str| {
            modules.and_then(|modules| modules.prompts.get(name)).cloned().ok_or_else(|| {
                let known: Vec<&str> =
                    modules.iter().flat_map(|modules| modules.prompts.keys()).map(String::as_str).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                Error::input(format!("the checkpoint has no prompt {name:?}; it has: {known}"))
            })
        };
        Ok(match prompt {
            Prompt::None => None,
            Prompt::Text(text) => Some(text.clone()),
            Prompt::Named(name) => Some(named(name)?),
            Prompt::Default => {
                modules.and_then(|modules| modules.default_prompt_name.as_deref()).map(named).transpose()?
            }
        }
        .filter(|prompt| !prompt.is_empty()))
    }
}

/// Columns of the rows that a plan gives back for embeddings. The one place that says how wide a row is.
pub(crate) fn embedding_width(plan: &Plan) -> usize {
    let output = plan.outputs().iter().find(|output| output.kind == OutputKind::Embeddings);
    output.map_or(0, |output| plan.buffer(output.buffer).cols)
}
