//! How texts become vectors.

use std::num::NonZeroUsize;

use clap::{Args, ValueEnum};
use frostbert::model::{LayerMix, Pooling};
use frostbert::text::Truncate;
use frostbert::{EmbedOptions, Encoder, Layers, Prompt, Result};

use super::choice;

/// How texts become vectors.
#[derive(Args, Clone, Debug, Default)]
pub struct EmbedArgs {
    /// Pooling, several separated by commas: cls, mean, max, mean_sqrt_len_tokens, weightedmean, lasttoken, pooler
    /// [default: the checkpoint's]
    #[arg(long, value_delimiter = ',', value_parser = parse_pooling)]
    pub pooling: Vec<Pooling>,
    /// Layers to pool: last, all, a number (0 = embeddings), -N, or a list such as 4,5,6; `train` also takes auto, which
    /// compares layers by cross-validation
    #[arg(long, default_value = "last", allow_hyphen_values = true)]
    pub layers: String,
    /// How several layers become one vector
    #[arg(long, value_parser = choice::<LayerMix>(LayerMix::CHOICES), default_value_t)]
    pub layer_mix: LayerMix,
    /// Scale vectors to unit length [default: as the checkpoint says]
    #[arg(long, overrides_with = "no_normalize")]
    pub normalize: bool,
    /// Leave vectors as they are
    #[arg(long)]
    pub no_normalize: bool,
    /// Keep only the first N columns (before normalising)
    #[arg(long, value_name = "N")]
    pub dimensions: Option<NonZeroUsize>,
    /// The checkpoint's prompt of this name, put before every text
    #[arg(long, value_name = "NAME", conflicts_with = "prompt")]
    pub prompt_name: Option<String>,
    /// This text, put before every text
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// Whether the prompt's tokens are pooled with the text's [default: as the checkpoint says]
    #[arg(long, value_name = "true|false")]
    pub include_prompt: Option<bool>,
    #[command(flatten)]
    pub length: LengthArgs,
}

impl EmbedArgs {
    /// Says how many texts were cut, unless that was asked for.
    pub fn warn_truncated(&self, truncated: u64, texts: u64) {
        self.length.warn_truncated(truncated, texts);
    }

    /// The library's options.
    pub fn options(&self) -> Result<EmbedOptions> {
        Ok(EmbedOptions {
            pooling: (!self.pooling.is_empty()).then(|| self.pooling.clone()),
            layers: self.layers.parse::<Layers>()?,
            mix: self.layer_mix,
            normalize: match (self.normalize, self.no_normalize) {
                (true, _) => Some(true),
                (_, true) => Some(false),
                _ => None,
            },
            dimensions: self.dimensions.map(NonZeroUsize::get),
            prompt: match (&self.prompt_name, &self.prompt) {
                (Some(name), _) => Prompt::Named(name.clone()),
                (_, Some(text)) => Prompt::Text(text.clone()),
                _ => Prompt::Default,
            },
            include_prompt: self.include_prompt,
            ..self.length.options()
        })
    }
}

/// Tokens that windows share, unless told otherwise.
const WINDOW_OVERLAP: usize = 64;

/// What happens to texts that are longer than the model takes.
#[derive(Args, Clone, Debug, Default)]
pub struct LengthArgs {
    /// Longest sequence in tokens, special tokens included [default: the checkpoint's]
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<NonZeroUsize>,
    /// What happens to longer texts: cut, warn (cut and say how many), error, or window (overlapping windows, one answer from
    /// all of them)
    #[arg(long, value_enum, default_value_t = TruncateArg::Warn)]
    pub truncate: TruncateArg,
    /// Tokens that neighbouring windows share [default: 64, or a quarter of a sequence of less than 128]
    #[arg(long, value_name = "N")]
    pub window_overlap: Option<usize>,
}

impl LengthArgs {
    /// These and nothing else, for heads that no embedding is pooled for.
    pub fn options(&self) -> EmbedOptions {
        EmbedOptions {
            truncate: match self.truncate {
                TruncateArg::Cut => Truncate::Cut,
                TruncateArg::Warn => Truncate::Warn,
                TruncateArg::Error => Truncate::Error,
                TruncateArg::Window => {
                    Truncate::Window { overlap: self.window_overlap.unwrap_or(WINDOW_OVERLAP) }
                }
            },
            max_tokens: self.max_tokens.map(NonZeroUsize::get),
            ..EmbedOptions::default()
        }
    }

    /// The options with what this model suggests, where they leave it open.
    pub fn suit(&self, mut options: EmbedOptions, encoder: &Encoder) -> EmbedOptions {
        if let Truncate::Window { overlap } = &mut options.truncate
            && self.window_overlap.is_none()
        {
            let longest = options.max_tokens.unwrap_or_else(|| encoder.checkpoint().max_tokens());
            *overlap = if longest < 2 * WINDOW_OVERLAP { longest / 4 } else { WINDOW_OVERLAP };
        }
        options
    }

    /// Says how many texts were cut, unless that was asked for.
    pub fn warn_truncated(&self, truncated: u64, texts: u64) {
        if truncated > 0 && self.truncate == TruncateArg::Warn {
            eprintln!(
                "warning: {truncated} of {texts} texts are longer than the model takes and were cut; \
                 --truncate window reads them whole, --truncate cut accepts it"
            );
        }
    }
}

/// `--truncate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TruncateArg {
    /// Cut silently here; every output row still says so.
    Cut,
    /// Cut, and say how many.
    #[default]
    Warn,
    /// Refuse.
    Error,
    /// Overlapping windows, pooled over all.
    Window,
}

fn parse_pooling(text: &str) -> std::result::Result<Pooling, String> {
    Pooling::from_name(text).ok_or_else(|| {
        let known: Vec<&str> = Pooling::ALL.iter().map(|pooling| pooling.name()).collect();
        format!("no such pooling; known are {}", known.join(", "))
    })
}
