//! The models and heads of a server, loaded, unloaded and replaced while it runs.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use frostbert::head::Head;
use frostbert::model::HeadKind;
use frostbert::{Checkpoint, Classifier, EmbedOptions, Encoder, Error, Prompt, Result, Text};

use crate::blocking::blocking;
use crate::config::{Config, HeadSpec, ModelSpec};
use crate::error::{ApiError, ApiResult, Kind};
use crate::job::Job;
use crate::metrics::Metrics;
use crate::queue::{Limits, Queue};
use crate::worker::{Current, Worker, current};

/// A model by name, loaded or not.
pub(crate) struct Model {
    pub(crate) spec: ModelSpec,
    loaded: RwLock<Option<Arc<Loaded>>>,
    loading: tokio::sync::Mutex<()>,
    /// A number that grows with each use: the smallest was used longest ago.
    used: AtomicU64,
    /// Somebody unloaded it: it is loaded again when it is asked for, and the server is ready without it.
    put_away: AtomicBool,
}

/// A model on its device. Whoever holds it may put requests in; when nobody does, it goes.
pub(crate) struct Loaded {
    encoder: Current,
    pub(crate) queue: Arc<Queue>,
    pub(crate) bytes: u64,
    pub(crate) batch_tokens: usize,
    pub(crate) since: u64,
    lost: Arc<AtomicBool>,
}

impl Loaded {
    /// Whether its device computes. One that was lost is asked for a vector, which opens it anew where that is possible.
    pub(crate) async fn computes(&self, client: &str) -> bool {
        if !self.lost.load(Ordering::Relaxed) {
            return true;
        }
        let job = Job::Embed(EmbedOptions::default());
        self.queue.submit(client, job, vec![Text::from("ready")]).await.is_ok()
    }

    pub(crate) fn encoder(&self) -> Arc<Encoder> {
        current(&self.encoder)
    }

    pub(crate) fn has(&self, kind: HeadKind) -> bool {
        self.encoder().checkpoint().heads().has(kind)
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// A head by name.
pub(crate) struct ServedHead {
    pub(crate) spec: HeadSpec,
    /// An index into the models.
    pub(crate) model: usize,
    head: RwLock<Arc<BoundHead>>,
}

/// A head and how its texts are embedded.
pub(crate) struct BoundHead {
    pub(crate) head: Arc<Head>,
    classifier: RwLock<Option<Arc<Classifier>>>,
}

pub(crate) struct Registry {
    pub(crate) config: Config,
    pub(crate) models: Vec<Arc<Model>>,
    pub(crate) heads: Vec<Arc<ServedHead>>,
    metrics: Arc<Metrics>,
    clock: AtomicU64,
    /// One model is loaded at a time: together they would each find the room that is there for one.
    room: Mutex<()>,
}

/// What a request's `model` names.
pub(crate) enum Target {
    Model(Arc<Model>),
    Head(Arc<ServedHead>),
}

impl Registry {
    /// Reads the heads, and loads the models unless they are to be loaded lazily.
    pub(crate) fn open(config: Config, metrics: Arc<Metrics>) -> Result<Self> {
        let mut specs = config.models.clone();
        let mut heads = Vec::new();
        for spec in &config.heads {
            let head = Head::load(&spec.file)?;
            let model = model_of(&head, spec, &mut specs)?;
            heads.push(Arc::new(ServedHead {
                spec: spec.clone(),
                model,
                head: RwLock::new(Arc::new(BoundHead {
                    head: Arc::new(head),
                    classifier: RwLock::default(),
                })),
            }));
        }
        if specs.is_empty() {
            return Err(Error::input("nothing to serve: name a model with --model or a head with --head"));
        }
        let mut names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        names.extend(config.heads.iter().map(|spec| spec.name.as_str()));
        for (at, name) in names.iter().enumerate() {
            if names[..at].contains(name) {
                return Err(Error::input(format!(
                    "two models or heads are called {name}; give one another name: NAME={name}"
                )));
            }
        }
        let model = |spec: ModelSpec| Model {
            spec,
            loaded: RwLock::default(),
            loading: tokio::sync::Mutex::default(),
            used: AtomicU64::new(0),
            put_away: AtomicBool::new(false),
        };
        let models = specs.into_iter().map(|spec| Arc::new(model(spec))).collect();
        let registry =
            Registry { config, models, heads, metrics, clock: AtomicU64::new(1), room: Mutex::default() };
        if !registry.config.lazy {
            for model in &registry.models {
                registry.load(model)?;
            }
            for head in &registry.heads {
                if let Some(loaded) = registry.models[head.model].get() {
                    head.classifier(&loaded).map_err(|error| error.context(head.spec.file.display()))?;
                }
            }
        }
        Ok(registry)
    }

    /// The model or head of a name; the first model where there is none.
    pub(crate) fn find(&self, name: Option<&str>) -> ApiResult<Target> {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return match self.models.first() {
                Some(model) => Ok(Target::Model(model.clone())),
                None => Err(ApiError::new(Kind::NotFound, "this server has no model")),
            };
        };
        let model = self.models.iter().find(|model| model.spec.name == name || model.spec.location == name);
        if let Some(model) = model {
            return Ok(Target::Model(model.clone()));
        }
        if let Some(head) = self.heads.iter().find(|head| head.spec.name == name) {
            return Ok(Target::Head(head.clone()));
        }
        let models = self.models.iter().map(|model| model.spec.name.as_str());
        let known: Vec<&str> = models.chain(self.heads.iter().map(|head| head.spec.name.as_str())).collect();
        Err(ApiError::new(
            Kind::NotFound,
            format!("there is no model {name:?} here; there are: {}", known.join(", ")),
        ))
    }

    /// The model, loaded if it is not.
    pub(crate) async fn loaded(self: &Arc<Self>, model: &Arc<Model>) -> ApiResult<Arc<Loaded>> {
        model.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        if let Some(loaded) = model.get() {
            return Ok(loaded);
        }
        let _one = model.loading.lock().await;
        if let Some(loaded) = model.get() {
            return Ok(loaded);
        }
        self.load_in_background(model).await
    }

    /// Loads a model, in place of the one that is there if there is one, whose requests are still answered.
    pub(crate) async fn reload(self: &Arc<Self>, model: &Arc<Model>) -> ApiResult<Arc<Loaded>> {
        let _one = model.loading.lock().await;
        self.load_in_background(model).await
    }

    async fn load_in_background(self: &Arc<Self>, model: &Arc<Model>) -> ApiResult<Arc<Loaded>> {
        let (registry, wanted) = (self.clone(), model.clone());
        blocking("loading the model", move || registry.load(&wanted)).await?.map_err(|error| {
            tracing::error!("cannot load {}: {error:#}", model.spec.name);
            // Paths of the server are for its log.
            ApiError::new(
                Kind::Unhealthy,
                format!("the model {} cannot be loaded; the server's log says why", model.spec.name),
            )
        })
    }

    fn load(&self, model: &Arc<Model>) -> Result<Arc<Loaded>> {
        let spec = &model.spec;
        let build = {
            let (config, location) = (self.config.clone(), spec.location.clone());
            move || -> Result<Encoder> {
                let mut builder = Encoder::load(location.clone())
                    .device(config.device.clone())
                    .dtype(config.dtype)
                    .offline(config.offline);
                if let Some(tokens) = config.batch_tokens {
                    builder = builder.batch_tokens(tokens);
                }
                if let Some(threads) = config.threads {
                    builder = builder.threads(threads);
                }
                builder.build()
            }
        };
        let _alone =
            self.config.memory_limit.map(|_| self.room.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(limit) = self.config.memory_limit
            && Path::new(&spec.location).is_dir()
        {
            self.make_room(weights_bytes(&Checkpoint::open(&spec.location)?), limit, model)?;
        }
        let encoder = build()?;
        if let Some(prompt) = &self.config.default_prompt_name {
            let options = EmbedOptions { prompt: Prompt::Named(prompt.clone()), ..EmbedOptions::default() };
            encoder.encode(["ready"], &options).map_err(|error| {
                Error::input(format!(
                    "--default-prompt-name goes with every model that is served; leave it out, and name prompts in requests: {}",
                    spec.name
                ))
                .with_source(error)
            })?;
        }
        self_check(&encoder).map_err(|error| error.context(format!("checking {}", spec.name)))?;
        let bytes = weights_bytes(encoder.checkpoint());
        // What came from the hub is known by now only.
        if let Some(limit) = self.config.memory_limit {
            self.make_room(bytes, limit, model)?;
        }
        let device = encoder.device().name.clone();
        let max_tokens = encoder.checkpoint().max_tokens();
        // Two packed batches: one is tokenised while the other is computed.
        let batch_tokens = encoder.batch_tokens().saturating_mul(2);
        let limits = Limits { texts: self.config.max_queued_texts, wait: self.config.queue_timeout };
        let queue = Arc::new(Queue::new(limits, max_tokens));
        let encoder: Current = Arc::new(RwLock::new(Arc::new(encoder)));
        let lost = Arc::new(AtomicBool::new(false));
        let worker = Worker {
            queue: queue.clone(),
            encoder: encoder.clone(),
            reopen: Box::new(build),
            batch_tokens,
            metrics: self.metrics.clone(),
            reopened: None,
            lost: lost.clone(),
        };
        std::thread::Builder::new()
            .name(format!("encoder {}", spec.name))
            .spawn(move || worker.run())
            .map_err(|error| Error::io("cannot start a thread for the encoder").with_source(error))?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
        let loaded = Arc::new(Loaded { encoder, queue, bytes, batch_tokens, since, lost });
        *model.loaded.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(loaded.clone());
        model.put_away.store(false, Ordering::Relaxed);
        tracing::info!("{} is loaded from {} on {device}", spec.name, spec.location);
        Ok(loaded)
    }

    /// Unloads what was not used longest until `bytes` more are within the limit.
    fn make_room(&self, bytes: u64, limit: u64, model: &Arc<Model>) -> Result<()> {
        loop {
            let others = self.models.iter().filter(|other| !Arc::ptr_eq(other, model));
            let loaded: Vec<_> = others.filter_map(|other| Some((other, other.get()?))).collect();
            let used: u64 = loaded.iter().map(|(_, loaded)| loaded.bytes).sum();
            if used + bytes <= limit {
                return Ok(());
            }
            let oldest = loaded.iter().min_by_key(|(other, _)| other.used.load(Ordering::Relaxed));
            let Some((oldest, _)) = oldest else {
                return Err(Error::limit(format!(
                    "loading {}: its weights take {bytes} bytes, and the limit is {limit}; allow more with --memory-limit",
                    model.spec.name
                )));
            };
            self.unload(oldest);
        }
    }

    /// Unloads a model once its requests are answered; whether it was loaded.
    pub(crate) fn unload(&self, model: &Arc<Model>) -> bool {
        model.put_away.store(true, Ordering::Relaxed);
        let gone = model.loaded.write().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        // Classifiers hold on to the encoder.
        for head in self.heads.iter().filter(|head| Arc::ptr_eq(&self.models[head.model], model)) {
            head.forget();
        }
        if gone.is_some() {
            tracing::info!("{} is unloaded", model.spec.name);
        }
        gone.is_some()
    }

    /// Whether every model that should be loaded is.
    pub(crate) fn ready(&self) -> bool {
        self.config.lazy
            || self.config.memory_limit.is_some()
            || self.models.iter().all(|model| model.get().is_some() || model.put_away.load(Ordering::Relaxed))
    }
}

impl Model {
    pub(crate) fn get(&self) -> Option<Arc<Loaded>> {
        self.loaded.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}

impl ServedHead {
    pub(crate) fn bound(&self) -> Arc<BoundHead> {
        self.head.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// The head joined with the encoder of its model.
    pub(crate) fn classifier(&self, loaded: &Loaded) -> Result<Arc<Classifier>> {
        self.bound().classifier(loaded)
    }

    fn forget(&self) {
        *self.bound().classifier.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = None;
    }

    /// Reads the file again. What is wrong with it leaves the head as it was.
    pub(crate) fn reload(&self, loaded: Option<&Loaded>) -> Result<()> {
        let fresh = BoundHead { head: Arc::new(Head::load(&self.spec.file)?), classifier: RwLock::default() };
        if let Some(loaded) = loaded {
            fresh.classifier(loaded).map_err(|error| error.context(self.spec.file.display()))?;
        }
        *self.head.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(fresh);
        tracing::info!("the head {} is read from {}", self.spec.name, self.spec.file.display());
        Ok(())
    }
}

impl BoundHead {
    pub(crate) fn classifier(&self, loaded: &Loaded) -> Result<Arc<Classifier>> {
        let encoder = loaded.encoder();
        let known = self.classifier.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        if let Some(known) = known.filter(|known| std::ptr::eq(known.encoder(), Arc::as_ptr(&encoder))) {
            return Ok(known);
        }
        let made = Arc::new(Classifier::new(encoder, Head::clone(&self.head))?);
        *self.classifier.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(made.clone());
        Ok(made)
    }
}

/// Which model a head belongs to: the one that it was trained with, which is added where it is not among them.
fn model_of(head: &Head, spec: &HeadSpec, models: &mut Vec<ModelSpec>) -> Result<usize> {
    let place = |location: &str| std::path::absolute(location).unwrap_or_else(|_| location.into());
    let trained = head.record.model_location.as_deref();
    if let Some(trained) = trained {
        let same = |model: &ModelSpec| model.location == trained || place(&model.location) == place(trained);
        if let Some(at) = models.iter().position(same) {
            return Ok(at);
        }
    }
    match (models.len(), trained) {
        (1, _) => Ok(0),
        (0, Some(trained)) => {
            models.push(trained.parse()?);
            Ok(0)
        }
        (_, Some(trained)) => Err(Error::input(format!(
            "the head {} was trained with {trained}, which is none of the models: add --model {trained}",
            spec.file.display()
        ))),
        (_, None) => Err(Error::input(format!(
            "the head {} does not say which model it was trained with; serve it beside that one alone",
            spec.file.display()
        ))),
    }
}

fn weights_bytes(checkpoint: &Checkpoint) -> u64 {
    checkpoint.summary(1).memory.map_or(0, |memory| memory.weights_f32_bytes)
}

/// A device that computes is ready: two texts give the same rows together as alone.
fn self_check(encoder: &Encoder) -> Result<()> {
    let options = EmbedOptions {
        max_tokens: Some(encoder.checkpoint().max_tokens().min(16)),
        ..EmbedOptions::default()
    };
    let texts = ["ready", "a longer text to be ready with"];
    let both = encoder.embed(texts, &options)?;
    let alone = encoder.embed([texts[1]], &options)?;
    if both.row(1) != alone.row(0) {
        return Err(Error::device(
            "the device gives one text other numbers alone than beside another; use another device",
        ));
    }
    Ok(())
}
