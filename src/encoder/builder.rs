//! Loading an encoder: checkpoint, tokenizer, device.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::{DeviceReport, Encoder};
use crate::checkpoint::{Checkpoint, Config};
use crate::device::Device;
use crate::dtype::Dtype;
use crate::engine::Engine;
use crate::error::Result;
use crate::gpu::{AdapterSelector, GpuEngine, GpuOptions};
use crate::plan::kernels::Class;
use crate::plan::{Request, families};
use crate::reference::CpuEngine;
use crate::text::Tokenizer;

/// Tokens in one batch on the CPU engine: the activations of a batch stay in the cache.
const CPU_BATCH_TOKENS: usize = 1024;
/// On a software adapter: large enough to keep its threads busy, small enough to show progress.
const SOFTWARE_BATCH_TOKENS: usize = 1024;
/// On a GPU: enough rows to fill it.
const GPU_BATCH_TOKENS: usize = 16_384;

/// Chooses how an encoder is loaded; see [`Encoder::load`].
pub struct EncoderBuilder {
    source: Source,
    device: Device,
    dtype: Dtype,
    batch_tokens: Option<usize>,
    threads: Option<NonZeroUsize>,
    kernels: Option<Class>,
    offline: bool,
    pipeline_cache: Option<PathBuf>,
    tune: bool,
    #[cfg(not(target_arch = "wasm32"))]
    download_progress: Option<native::DownloadProgress>,
}

enum Source {
    Model(String),
    Open(Box<Checkpoint>),
}

impl EncoderBuilder {
    pub(super) fn from_model(model: String) -> Self {
        Self::new(Source::Model(model))
    }

    pub(super) fn from_checkpoint(checkpoint: Checkpoint) -> Self {
        Self::new(Source::Open(Box::new(checkpoint)))
    }

    fn new(source: Source) -> Self {
        EncoderBuilder {
            source,
            device: Device::Auto,
            dtype: Dtype::Auto,
            batch_tokens: None,
            threads: None,
            kernels: None,
            offline: false,
            pipeline_cache: default_pipeline_cache(),
            tune: false,
            #[cfg(not(target_arch = "wasm32"))]
            download_progress: None,
        }
    }

    /// Where to compute; [`Device::Auto`] unless said.
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// What weights are kept as; [`Dtype::Auto`] unless said.
    #[must_use]
    pub fn dtype(mut self, dtype: Dtype) -> Self {
        self.dtype = dtype;
        self
    }

    /// Most tokens in one packed batch (a longer single text is a batch of its own). The default depends on the device.
    #[must_use]
    pub fn batch_tokens(mut self, tokens: usize) -> Self {
        self.batch_tokens = Some(tokens.max(1));
        self
    }

    /// Threads of the CPU engine; all unless said.
    #[must_use]
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Runs the kernels of another class than the adapter's own; for tests and measurements.
    #[must_use]
    pub fn kernels(mut self, class: Class) -> Self {
        self.kernels = Some(class);
        self
    }

    /// Never touch the network: the model must be a folder or already in the hub cache.
    #[must_use]
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// Keeps compiled kernels in this folder, where the adapter can, so that the next process starts sooner; `None`: keeps
    /// none. Unless said it is `pipelines` in Frostbert's cache folder, or none where the environment variable
    /// `FROSTBERT_PIPELINE_CACHE` is `off`.
    #[must_use]
    pub fn pipeline_cache(mut self, folder: Option<PathBuf>) -> Self {
        self.pipeline_cache = folder;
        self
    }

    /// Measures which kernels multiply this model's matrices fastest on the adapter, about a second, unless that is known
    /// from before. It is kept beside the [compiled kernels](Self::pipeline_cache), and used from then on whether asked for
    /// or not. Does nothing on the CPU engine and on software adapters.
    #[must_use]
    pub fn tune(mut self, tune: bool) -> Self {
        self.tune = tune;
        self
    }

    /// Loads the encoder.
    ///
    /// # Errors
    /// The checkpoint is missing or damaged; the device does not exist; weights do not fit it.
    pub async fn build(self) -> Result<Encoder> {
        let checkpoint = match self.source {
            Source::Open(checkpoint) => *checkpoint,
            #[cfg(not(target_arch = "wasm32"))]
            Source::Model(ref model) => native::open(model, self.offline, self.download_progress)?,
            #[cfg(target_arch = "wasm32")]
            Source::Model(model) => {
                return Err(crate::Error::input(format!(
                    "cannot open {model}: a browser has no folders; load with Encoder::from_checkpoint"
                )));
            }
        };
        let tokenizer = Arc::new(Tokenizer::load(&checkpoint)?);
        let weights = self.dtype.weight_type(checkpoint.weights());
        let options = GpuOptions {
            class: self.kernels,
            weights,
            pipeline_cache: self.pipeline_cache,
            ..GpuOptions::default()
        };
        let (mut engine, mut device) = choose_engine(&self.device, self.threads, options).await?;
        if let (true, Engine::Gpu(engine)) = (self.tune, &mut engine) {
            device.note = tuned(engine, checkpoint.config()).await?;
        }
        let batch_tokens = self.batch_tokens.unwrap_or(match (&engine, device.class.as_str()) {
            (Engine::Cpu(_), _) => CPU_BATCH_TOKENS,
            (_, "software") => SOFTWARE_BATCH_TOKENS,
            _ => GPU_BATCH_TOKENS,
        });
        Ok(Encoder {
            checkpoint,
            tokenizer,
            engine,
            device,
            weights,
            batch_tokens,
            plans: Mutex::new(Vec::new()),
        })
    }
}

/// Tunes an engine for a model, and says how.
async fn tuned(engine: &mut GpuEngine, config: &Config) -> Result<Option<String>> {
    let request = Request { hidden_states: vec![config.layers], ..Request::default() };
    let tuning = engine.tune(&families::plan(config, &request)?).await?;
    let tiles: Vec<_> = tuning.iter().map(|((k, n), tile)| format!("{n} x {k} {}", tile.name())).collect();
    Ok((!tiles.is_empty()).then(|| format!("tiles for this adapter: {}", tiles.join(", "))))
}

/// Nothing of this is on disk in a browser.
#[cfg(target_arch = "wasm32")]
fn default_pipeline_cache() -> Option<PathBuf> {
    None
}

#[cfg(not(target_arch = "wasm32"))]
fn default_pipeline_cache() -> Option<PathBuf> {
    if std::env::var_os("FROSTBERT_PIPELINE_CACHE").is_some_and(|value| value == "off") {
        return None;
    }
    crate::cache::Cache::default_folder().ok().map(|folder| folder.join("pipelines"))
}

async fn choose_engine(
    device: &Device,
    threads: Option<NonZeroUsize>,
    options: GpuOptions,
) -> Result<(Engine, DeviceReport)> {
    let selector = match device {
        Device::Cpu => return cpu(threads, None),
        Device::Auto => AdapterSelector::Auto,
        Device::Gpu => AdapterSelector::Gpu,
        Device::Software => AdapterSelector::Software,
        Device::Index(index) => AdapterSelector::Index(*index),
        Device::Name(name) => AdapterSelector::Name(name.clone()),
    };
    let options = GpuOptions { selector, ..options };
    match GpuEngine::with_options(options).await {
        Ok(engine) => {
            let report = engine.report();
            let device = DeviceReport {
                name: report.name.clone(),
                backend: report.backend.to_string(),
                class: engine.class().name().to_owned(),
                note: None,
            };
            Ok((Engine::Gpu(Box::new(engine)), device))
        }
        Err(error) if *device == Device::Auto && error.is_device() => {
            cpu(threads, Some(format!("using the CPU engine ({error})")))
        }
        Err(error) => Err(error),
    }
}

fn cpu(threads: Option<NonZeroUsize>, note: Option<String>) -> Result<(Engine, DeviceReport)> {
    let engine = CpuEngine::new(threads)?;
    let name = format!("CPU engine ({}, {} threads)", engine.instruction_set(), engine.threads());
    let device = DeviceReport { name, backend: "cpu".into(), class: "cpu".into(), note };
    Ok((Engine::Cpu(engine), device))
}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use super::{Checkpoint, Encoder, EncoderBuilder, Result};
    use crate::checkpoint::{Download, Hub, ModelSource};

    pub(super) type DownloadProgress = Box<dyn FnMut(Download<'_>)>;

    impl EncoderBuilder {
        /// Called at every step of a download.
        #[must_use]
        pub fn download_progress(mut self, progress: impl FnMut(Download<'_>) + 'static) -> Self {
            self.download_progress = Some(Box::new(progress));
            self
        }

        /// [`build`](Self::build), blocking.
        ///
        /// # Errors
        /// As [`build`](Self::build).
        pub fn build_blocking(self) -> Result<Encoder> {
            pollster::block_on(self.build())
        }
    }

    pub(super) fn open(model: &str, offline: bool, progress: Option<DownloadProgress>) -> Result<Checkpoint> {
        let folder = match model.parse()? {
            ModelSource::Folder(folder) => folder,
            source => {
                let mut progress = progress.unwrap_or_else(|| Box::new(|_| {}));
                source.resolve(&Hub::from_env()?.offline(offline), &mut *progress)?
            }
        };
        Checkpoint::open(folder)
    }
}
