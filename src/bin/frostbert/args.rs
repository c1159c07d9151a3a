//! Options that several subcommands share.

use std::num::NonZeroUsize;

use clap::{Args, ValueEnum};
use frostbert::plan::{LayerMix, Pooling};
use frostbert::text::Truncate;
use frostbert::{Device, EmbedOptions, Encoder, Error, Layers, Prompt, Result};

use crate::progress;

/// Which model runs where.
#[derive(Args, Clone, Debug)]
pub struct ModelArgs {
    /// Checkpoint folder, or a hub id such as sentence-transformers/all-MiniLM-L6-v2[@revision]
    #[arg(long, value_name = "FOLDER|ID")]
    pub model: String,
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// How a model runs.
#[derive(Args, Clone, Debug)]
pub struct EngineArgs {
    /// auto, cpu, gpu, software, a number or part of a name from `frostbert devices`
    #[arg(long, default_value = "auto", value_parser = parse_device)]
    pub device: Device,
    /// Tokens in one packed batch [default: by device]
    #[arg(long, value_name = "N")]
    pub batch_tokens: Option<NonZeroUsize>,
    /// Threads of the CPU engine [default: all]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Never touch the network: the model must be a folder or already in the hub cache
    #[arg(long)]
    pub offline: bool,
}

impl EngineArgs {
    /// Loads `model` and says on stderr what computes.
    pub fn load(&self, model: &str) -> Result<Encoder> {
        let spinner = progress::spinner(&format!("loading {model}"));
        let bars = progress::Downloads::new();
        let mut builder = Encoder::load(model)
            .device(self.device.clone())
            .offline(self.offline)
            .download_progress(move |progress| bars.update(&progress));
        if let Some(tokens) = self.batch_tokens {
            builder = builder.batch_tokens(tokens.get());
        }
        if let Some(threads) = self.threads {
            builder = builder.threads(threads);
        }
        let encoder = builder.build_blocking();
        spinner.finish_and_clear();
        let encoder = encoder?;
        let device = encoder.device();
        if let Some(note) = &device.note {
            eprintln!("note: {note}");
        }
        Ok(encoder)
    }
}

/// How texts become vectors.
#[derive(Args, Clone, Debug, Default)]
pub struct EmbedArgs {
    /// Pooling, several separated by commas: cls, mean, max, mean_sqrt_len_tokens, weightedmean, lasttoken, pooler
    /// [default: the checkpoint's]
    #[arg(long, value_delimiter = ',', value_parser = parse_pooling)]
    pub pooling: Vec<Pooling>,
    /// Layers to pool: last, all, a number (0 = embeddings), -N, or a list such as 4,5,6
    #[arg(long, default_value = "last", allow_hyphen_values = true)]
    pub layers: String,
    /// How several layers become one vector
    #[arg(long, value_enum, default_value_t = Mix::Concat)]
    pub layer_mix: Mix,
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
    /// Longest sequence in tokens, special tokens included [default: the checkpoint's]
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<NonZeroUsize>,
    /// What happens to longer texts: cut, warn (cut and say how many), error, or window (overlapping windows, pooled over all)
    #[arg(long, value_enum, default_value_t = TruncateArg::Warn)]
    pub truncate: TruncateArg,
    /// Tokens that neighbouring windows share
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub window_overlap: usize,
}

/// `--layer-mix`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Mix {
    /// Side by side.
    #[default]
    Concat,
    /// Their mean.
    Mean,
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

impl EmbedArgs {
    /// The library's options.
    pub fn options(&self) -> Result<EmbedOptions> {
        Ok(EmbedOptions {
            pooling: (!self.pooling.is_empty()).then(|| self.pooling.clone()),
            layers: self.layers.parse::<Layers>()?,
            mix: match self.layer_mix {
                Mix::Concat => LayerMix::Concat,
                Mix::Mean => LayerMix::Mean,
            },
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
            truncate: match self.truncate {
                TruncateArg::Cut => Truncate::Cut,
                TruncateArg::Warn => Truncate::Warn,
                TruncateArg::Error => Truncate::Error,
                TruncateArg::Window => Truncate::Window { overlap: self.window_overlap },
            },
            max_tokens: self.max_tokens.map(NonZeroUsize::get),
            ..EmbedOptions::default()
        })
    }
}

fn parse_device(text: &str) -> std::result::Result<Device, Error> {
    text.parse()
}

fn parse_pooling(text: &str) -> std::result::Result<Pooling, String> {
    Pooling::from_name(text).ok_or_else(|| {
        let known: Vec<&str> = Pooling::ALL.iter().map(|pooling| pooling.name()).collect();
        format!("no such pooling; known are {}", known.join(", "))
    })
}
