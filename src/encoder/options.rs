//! What a caller may choose when embedding.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::{LayerMix, Pooling};
use crate::text::{Truncate, TruncationSide};

/// Which layers are pooled.
///
/// ```
/// use frostbert::Layers;
/// assert_eq!("last".parse::<Layers>()?, Layers::Last);
/// assert_eq!("4,6".parse::<Layers>()?, Layers::These(vec![4, 6]));
/// assert_eq!("-2".parse::<Layers>()?, Layers::FromEnd(2));
/// # Ok::<(), frostbert::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Layers {
    /// The last one; of a checkpoint with a WeightedLayerPooling module, the layers that it takes, by its weights.
    #[default]
    Last,
    /// The n-th from the end: 1 is the last.
    FromEnd(usize),
    /// These, ascending: 0 is the output of the embeddings, the model's layer count the last.
    These(Vec<usize>),
    /// Every layer, the embeddings' output too.
    All,
}

impl Layers {
    /// Layer numbers for a model of `layers` layers, ascending.
    ///
    /// # Errors
    /// A layer that the model does not have, or a list that is not ascending.
    pub fn resolve(&self, layers: usize) -> Result<Vec<usize>> {
        match self {
            Layers::Last => Ok(vec![layers]),
            Layers::FromEnd(n) if (1..=layers + 1).contains(n) => Ok(vec![layers + 1 - n]),
            Layers::FromEnd(n) => Err(Error::input(format!(
                "layer -{n} was asked for, but the model has layers -1 to -{}",
                layers + 1
            ))),
            Layers::All => Ok((0..=layers).collect()),
            Layers::These(these) => {
                if let Some(layer) = these.iter().find(|layer| **layer > layers) {
                    return Err(Error::input(format!(
                        "layer {layer} was asked for, but the model has layers 0 (embeddings) to {layers}"
                    )));
                }
                if these.is_empty() || !these.windows(2).all(|pair| pair[0] < pair[1]) {
                    return Err(Error::input(format!(
                        "layers must be ascending and different, not {these:?}"
                    )));
                }
                Ok(these.clone())
            }
        }
    }
}

impl std::str::FromStr for Layers {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::input(format!(
                "--layers takes last, all, a number, -N or a list such as 4,5,6; found {text:?}"
            ))
        };
        match text.trim() {
            "last" => Ok(Layers::Last),
            "all" => Ok(Layers::All),
            other => match other.strip_prefix('-') {
                Some(n) => n.parse().map(Layers::FromEnd).map_err(|_| wrong()),
                None => other
                    .split(',')
                    .map(|part| part.trim().parse().map_err(|_| wrong()))
                    .collect::<Result<Vec<usize>>>()
                    .map(Layers::These),
            },
        }
    }
}

/// Text put before every input, as sentence-transformers does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Prompt {
    /// The checkpoint's `default_prompt_name`, if it names one.
    #[default]
    Default,
    /// None, whatever the checkpoint says.
    None,
    /// The checkpoint's prompt of this name.
    Named(String),
    /// This text.
    Text(String),
}

/// Called as texts are done; see [`EncodeProgress`].
pub type ProgressFn = Arc<dyn Fn(EncodeProgress) + Send + Sync>;

/// How far an encoder pass is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodeProgress {
    /// Texts embedded so far.
    pub texts: u64,
    /// Tokens computed so far.
    pub tokens: u64,
}

/// Stops a pass between two batches, from any thread.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// A token that has not been used.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks every pass that was given this token to stop; it ends with an error for which
    /// [`Error::is_cancelled`] is true.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(Error::cancelled()) } else { Ok(()) }
    }
}

/// How texts become vectors. The default is what the checkpoint says.
#[derive(Clone, Default)]
pub struct EmbedOptions {
    /// Poolings, side by side; none: as the checkpoint's `1_Pooling` says, the mean where it says nothing.
    pub pooling: Option<Vec<Pooling>>,
    /// Layers to pool.
    pub layers: Layers,
    /// How several layers become one vector.
    pub mix: LayerMix,
    /// Scale to unit length; none: as the checkpoint says (a `Normalize` module), no where it says nothing.
    pub normalize: Option<bool>,
    /// Keep only the first so many columns (Matryoshka models), before normalising.
    pub dimensions: Option<usize>,
    /// Keep only the first so many columns of the finished embedding, as it is; none: as the checkpoint says (`truncate_dim`). Where `normalize` is
    /// asked for, what the checkpoint keeps is scaled after the cut.
    pub truncate_dim: Option<usize>,
    /// Text put before every input.
    pub prompt: Prompt,
    /// Whether the prompt's tokens are pooled with the text's; none: as the checkpoint says, yes where it says nothing.
    pub include_prompt: Option<bool>,
    /// What happens to a text longer than the maximum.
    pub truncate: Truncate,
    /// Which end of a longer text is cut off; none: as the checkpoint says.
    pub truncation_side: Option<TruncationSide>,
    /// Longest sequence in tokens, special tokens included; none: as the checkpoint says.
    pub max_tokens: Option<usize>,
    /// Called after every batch.
    pub progress: Option<ProgressFn>,
    /// Stops the pass.
    pub cancel: Option<CancelToken>,
}

impl EmbedOptions {
    /// Stops a pass that is no longer wanted.
    pub(crate) fn check_cancel(&self) -> Result<()> {
        self.cancel.as_ref().map_or(Ok(()), CancelToken::check)
    }

    /// Tokens that the windows share which long texts are split into; none where they are not.
    pub(crate) fn window_overlap(&self) -> Option<usize> {
        match self.truncate {
            Truncate::Window { overlap } => Some(overlap),
            _ => None,
        }
    }

    /// Reports progress to this function.
    #[must_use]
    pub fn with_progress(mut self, progress: impl Fn(EncodeProgress) + Send + Sync + 'static) -> Self {
        self.progress = Some(Arc::new(progress));
        self
    }
}

impl std::fmt::Debug for EmbedOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbedOptions")
            .field("pooling", &self.pooling)
            .field("layers", &self.layers)
            .field("mix", &self.mix)
            .field("normalize", &self.normalize)
            .field("dimensions", &self.dimensions)
            .field("truncate_dim", &self.truncate_dim)
            .field("prompt", &self.prompt)
            .field("include_prompt", &self.include_prompt)
            .field("truncate", &self.truncate)
            .field("truncation_side", &self.truncation_side)
            .field("max_tokens", &self.max_tokens)
            .finish_non_exhaustive()
    }
}
