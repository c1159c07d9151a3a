//! Loading an encoder: checkpoint, tokenizer, device.

use crate::platform::{self, entry};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::Encoder;
use super::dtype::Dtype;
use crate::checkpoint::Checkpoint;
use crate::device::Device;
use crate::engine::{Settings, open};
use crate::error::Result;
use crate::plan::kernels::Class;
use crate::plan::{Request, families};
use crate::text::Tokenizer;

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

    /// For tests and measurements: runs the kernels of another class than the adapter's own.
    #[doc(hidden)]
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

    entry! {
        /// Loads the encoder.
        ///
        /// # Errors
        /// The checkpoint is missing or damaged; the device does not exist; weights do not fit it.
        pub fn build(self) -> Result<Encoder> = build_async;
    }

    pub(crate) async fn build_async(self) -> Result<Encoder> {
        let checkpoint = match self.source {
            Source::Open(checkpoint) => *checkpoint,
            #[cfg(not(target_arch = "wasm32"))]
            Source::Model(ref model) => native::open(model, self.offline, self.download_progress)?,
            #[cfg(target_arch = "wasm32")]
            Source::Model(model) => {
                return Err(crate::error::Error::input(format!(
                    "cannot open {model}: a browser has no folders; load with Encoder::from_checkpoint"
                )));
            }
        };
        let tokenizer = Arc::new(Tokenizer::load(checkpoint.tokenizer_source())?);
        let weights = self.dtype.weight_type(checkpoint.weights());
        let settings = Settings {
            weights,
            threads: self.threads,
            class: self.kernels,
            pipeline_cache: self.pipeline_cache,
            tune: self.tune,
        };
        let config = checkpoint.config();
        let opened = open(&self.device, settings, || {
            let request = Request { hidden_states: vec![config.layers], ..Request::default() };
            families::plan(config, &request)
        })
        .await?;
        let batch_tokens = self.batch_tokens.unwrap_or(opened.batch_tokens);
        Ok(Encoder {
            checkpoint,
            tokenizer,
            engine: opened.engine,
            device: opened.device,
            weights,
            batch_tokens,
            plans: Mutex::new(Vec::new()),
        })
    }
}

/// None in a browser, which has no folders.
fn default_pipeline_cache() -> Option<PathBuf> {
    if std::env::var_os("FROSTBERT_PIPELINE_CACHE").is_some_and(|value| value == "off") {
        return None;
    }
    platform::cache_folder().ok().map(|folder| folder.join("pipelines"))
}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use super::{Checkpoint, EncoderBuilder, Result};
    use crate::checkpoint::{Download, Hub, ModelSource};

    pub(super) type DownloadProgress = Box<dyn FnMut(Download<'_>)>;

    impl EncoderBuilder {
        /// Called at every step of a download.
        #[must_use]
        pub fn download_progress(mut self, progress: impl FnMut(Download<'_>) + 'static) -> Self {
            self.download_progress = Some(Box::new(progress));
            self
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
