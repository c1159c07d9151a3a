//! Which model and head run, where, and what is kept of what they computed.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use frostbert::cache::{BestEffort, Cache};
use frostbert::checkpoint::{Hub, ModelSource};
use frostbert::head::Head;
use frostbert::{Classifier, Device, Dtype, Encoder, Error, Result};

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

impl ModelArgs {
    /// Loads the model.
    pub fn load(&self) -> Result<Encoder> {
        self.engine.load(&self.model)
    }
}

/// How a model runs.
#[derive(Args, Clone, Debug)]
pub struct EngineArgs {
    /// auto, cpu, gpu, software, a number or part of a name from `frostbert devices`
    #[arg(long, default_value = "auto", value_parser = parse_device)]
    pub device: Device,
    /// What weights are kept as: f32, f16 (half the memory), or auto (f16 where the checkpoint stores f16)
    #[arg(long, default_value_t)]
    pub dtype: Dtype,
    /// Tokens in one packed batch [default: by device]
    #[arg(long, value_name = "N", value_parser = parse_batch_tokens)]
    pub batch_tokens: Option<NonZeroUsize>,
    /// Threads of the CPU engine [default: one a core]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Measure which kernels suit this adapter and model best (about a second), and remember it
    #[arg(long)]
    pub tune: bool,
    /// Never touch the network: the model must be a folder or already in the hub cache
    #[arg(long)]
    pub offline: bool,
}

impl EngineArgs {
    /// Loads `model` and says on stderr what computes, where that was not asked for.
    pub fn load(&self, model: &str) -> Result<Encoder> {
        // A download is a step of its own, with bars.
        let folder = locate(model, self.offline)?;
        let spinner = progress::spinner(&format!("loading {model}"));
        let mut builder = Encoder::load(folder.to_string_lossy())
            .device(self.device.clone())
            .dtype(self.dtype)
            .tune(self.tune);
        if let Some(tokens) = self.batch_tokens {
            builder = builder.batch_tokens(tokens.get());
        }
        if let Some(threads) = self.bounded_threads() {
            builder = builder.threads(threads);
        }
        let encoder = builder.build();
        spinner.finish_and_clear();
        let encoder = encoder?;
        if let Some(note) = &encoder.device().note {
            eprintln!("note: {note}");
        }
        Ok(encoder)
    }
}

/// Threads a core: more only wait for each other, and thousands take minutes to start.
const THREADS_A_CORE: usize = 4;
/// Tokens of a batch: sixty times what any device has been fast with.
const MOST_BATCH_TOKENS: usize = 1 << 20;

impl EngineArgs {
    /// The threads asked for, as far as they make sense here.
    pub(crate) fn bounded_threads(&self) -> Option<NonZeroUsize> {
        let asked = self.threads?;
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let most = NonZeroUsize::MIN.saturating_add(cores * THREADS_A_CORE - 1);
        if asked > most {
            eprintln!("note: --threads {asked} is more than {THREADS_A_CORE} a core; using {most}");
        }
        Some(asked.min(most))
    }
}

/// Whether embeddings are kept for the next run.
#[derive(Args, Clone, Debug, Default)]
pub struct CacheArgs {
    /// Embed every text anew, and keep nothing for the next run
    #[arg(long)]
    pub no_cache: bool,
}

impl CacheArgs {
    /// The user's cache, or none.
    pub fn open(&self) -> BestEffort {
        open_cache(!self.no_cache)
    }
}

/// The user's cache where it is wanted. One that cannot be used costs a warning and time, nothing else.
pub fn open_cache(wanted: bool) -> BestEffort {
    if !wanted {
        return BestEffort::off();
    }
    BestEffort::new(Cache::default_folder().and_then(Cache::open), |warning| eprintln!("warning: {warning}"))
}

/// Which head, and where its encoder is.
#[derive(Args, Clone, Debug)]
pub struct HeadArgs {
    /// Head file, as `frostbert train` wrote it
    #[arg(long, value_name = "FILE")]
    pub head: PathBuf,
    /// The encoder it was trained with [default: where it was at training]
    #[arg(long, value_name = "FOLDER|ID")]
    pub model: Option<String>,
    #[command(flatten)]
    pub engine: EngineArgs,
}

impl HeadArgs {
    /// Loads both and checks that they belong together.
    pub fn load(&self) -> Result<Classifier> {
        let head = Head::load(&self.head)?;
        let model = match (&self.model, &head.record.model_location) {
            (Some(model), _) | (None, Some(model)) => model.clone(),
            (None, None) => {
                return Err(Error::input(format!(
                    "{} does not say where its encoder is; name it with --model",
                    self.head.display()
                )));
            }
        };
        Classifier::new(self.engine.load(&model)?, head).map_err(|error| error.context(self.head.display()))
    }
}

/// The folder of a model, downloaded with progress bars if need be.
pub fn locate(model: &str, offline: bool) -> Result<PathBuf> {
    match model.parse()? {
        ModelSource::Folder(folder) => Ok(folder),
        source => {
            let mut bars = progress::Downloads::default();
            source.resolve(&Hub::from_env()?.offline(offline), &mut |step| bars.update(step))
        }
    }
}

fn parse_device(text: &str) -> std::result::Result<Device, Error> {
    text.parse()
}

fn parse_batch_tokens(text: &str) -> std::result::Result<NonZeroUsize, String> {
    match text.parse::<NonZeroUsize>() {
        Ok(tokens) if tokens.get() <= MOST_BATCH_TOKENS => Ok(tokens),
        _ => Err(format!("expected a number from 1 to {MOST_BATCH_TOKENS}")),
    }
}
