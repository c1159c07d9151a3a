//! Opening a checkpoint.

use super::Weights;
use super::files::{Files, read_all};
use super::fingerprint;
use super::fingerprint::Fingerprint;
use super::heads::Heads;
use super::json::Object;
use super::modules::Modules;
use super::read_config::unnamed;
use super::sizes;
use super::static_embedding;
use crate::error::{Error, Result};
use crate::model::Config;
use crate::model::HeadKind;
use crate::model::{EmbeddingRequest, LayerMix, Pooling};
use crate::model::{TokenizerFiles, TokenizerSource};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A Hugging Face checkpoint, opened: what it holds is known, its tensors are read when asked for.
///
/// ```no_run
/// let checkpoint = frostbert::Checkpoint::open("all-MiniLM-L6-v2")?;
/// println!("{} layers of {}", checkpoint.config().layers, checkpoint.config().hidden);
/// # Ok::<(), frostbert::Error>(())
/// ```
#[derive(Clone)]
pub struct Checkpoint {
    files: Arc<dyn Files>,
    config: Config,
    modules: Option<Modules>,
    weights: Weights,
    heads: Heads,
    tokenizer: TokenizerFiles,
    fingerprint: OnceLock<Fingerprint>,
}

impl Checkpoint {
    /// Opens a checkpoint folder: config.json, model.safetensors or shards with an index, a tokenizer, and what
    /// sentence-transformers adds.
    ///
    /// # Errors
    /// [`is_model_file`](Error::is_model_file): something is missing, damaged or not computed here; the message names
    /// the file.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Self> {
        Self::from_files(super::FolderFiles::open(path)?)
    }

    /// Opens a checkpoint whose files come from anywhere.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_files(files: impl Files + 'static) -> Result<Self> {
        let files: Arc<dyn Files> = Arc::new(files);
        let mut modules = Modules::read(&*files)?;
        let root = modules.as_ref().map_or("", |modules| &modules.transformer).to_owned();
        let files = match &modules {
            Some(modules) => modules.overrides.over(files, &root)?,
            None => files,
        };
        if modules.as_ref().is_some_and(|modules| modules.static_embedding) {
            return Self::from_static_embedding(files, &root, modules);
        }
        let name = format!("{root}config.json");
        let Some(bytes) = read_all(&*files, &name)? else {
            return Err(Error::model_file(format!(
                "cannot open the checkpoint {}: there is no {name}; name a folder as the Hugging Face hub lays it out",
                files.location()
            )));
        };
        let mut config = Config::from_json(&bytes, &files.describe(&name))?;
        let raw =
            Object::from_value(super::json::parse(&bytes, &files.describe(&name))?, &files.describe(&name))?;
        drop(bytes);
        if let Some(modules) = &mut modules
            && raw.bool("output_hidden_states")? != Some(true)
        {
            // Such a transformer hands a WeightedLayerPooling module nothing, and it does nothing. Source: its `forward`.
            modules.layer_mean = None;
        }
        let mut weights = Weights::open(files.clone(), config.family, &root)?;
        weights.resolve_tied(config.tie_word_embeddings);
        sizes::check(&config, &weights, &files.describe(&name))?;
        add_modules(modules.as_ref(), &config, &mut weights)?;
        let heads = Heads::detect(&config, &weights);
        config.has_pooler = heads.has(HeadKind::Pooler);
        if config.labels.is_empty()
            && let Some(head) = heads.get(HeadKind::Sequence).or_else(|| heads.get(HeadKind::Token))
        {
            config.labels = (0..head.outputs).map(unnamed).collect();
        }
        let mut tokenizer = TokenizerFiles::read(&*files, &root)?;
        tokenizer.model_class =
            raw.get("tokenizer_class").and_then(|class| class.as_str()).map(str::to_owned);
        Ok(Checkpoint { files, config, modules, weights, heads, tokenizer, fingerprint: OnceLock::new() })
    }

    /// A table of token vectors: there is no config.json that anything reads, and no file of the tokenizer but tokenizer.json.
    fn from_static_embedding(files: Arc<dyn Files>, root: &str, modules: Option<Modules>) -> Result<Self> {
        let (json, max_tokens) = static_embedding::tokenizer(&*files, root)?;
        let (files, config, mut weights) = static_embedding::open(files, root, max_tokens)?;
        add_modules(modules.as_ref(), &config, &mut weights)?;
        let tokenizer =
            TokenizerFiles { json: Some(json), location: files.location(), ..TokenizerFiles::default() };
        let (heads, fingerprint) = (Heads::default(), OnceLock::new());
        Ok(Checkpoint { files, config, modules, weights, heads, tokenizer, fingerprint })
    }

    /// Where it was opened: the folder's path, or what its [`Files`] say.
    pub fn location(&self) -> String {
        self.files.location()
    }

    /// The encoder's sizes.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The tensors.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The heads that came with it.
    pub fn heads(&self) -> &Heads {
        &self.heads
    }

    /// What sentence-transformers does after the encoder; `None` for a plain transformers checkpoint.
    pub fn modules(&self) -> Option<&Modules> {
        self.modules.as_ref()
    }

    /// The files of the tokenizer.
    pub fn tokenizer_files(&self) -> &TokenizerFiles {
        &self.tokenizer
    }

    /// What the tokenizer is made from, for `text::Tokenizer::load`.
    pub fn tokenizer_source(&self) -> TokenizerSource<'_> {
        TokenizerSource {
            files: &self.tokenizer,
            family: self.config.family,
            max_tokens: self.max_tokens(),
            vocab_rows: self.config.vocab,
            type_rows: self.config.type_vocab,
            lowercase: self.modules.as_ref().is_some_and(|modules| modules.lowercase),
        }
    }

    /// Longest input in tokens, special tokens included: as sentence-transformers, its own `max_seq_length` before the
    /// tokenizer's `model_max_length`, and never more than the encoder has positions.
    pub fn max_tokens(&self) -> usize {
        let modules = self.modules.as_ref().and_then(|modules| modules.max_seq_length);
        let asked = modules.or_else(|| self.tokenizer.model_max_length());
        asked.map_or(self.config.max_tokens, |asked| asked.min(self.config.max_tokens))
    }

    /// The embedding that the checkpoint was made for: its modules' pooling, what follows it, and normalisation over the last
    /// layer, or over the layers that a WeightedLayerPooling module takes. Without modules.json it is the mean, not normalised, as
    /// sentence-transformers does with such a checkpoint.
    pub fn embedding_request(&self) -> EmbeddingRequest {
        let modules = self.modules.as_ref();
        let pooling = modules.map(|modules| modules.pooling.clone()).filter(|pooling| !pooling.is_empty());
        let mean = modules.and_then(|modules| modules.layer_mean.as_ref());
        EmbeddingRequest {
            layers: (mean.map_or(self.config.layers, |mean| mean.first)..=self.config.layers).collect(),
            mix: if mean.is_some() { LayerMix::Mean } else { LayerMix::Concat },
            layer_weights: mean.map(|mean| mean.weights.clone()),
            pooling: pooling.unwrap_or_else(|| vec![Pooling::Mean]),
            modules: modules.map(|modules| modules.after_pooling.clone()).unwrap_or_default(),
            dimensions: None,
            normalize: modules.is_some_and(|modules| modules.normalize),
        }
    }

    /// The names of a classifier's outputs: `id2label`, or `LABEL_0`, `LABEL_1`, ... where the config has none.
    ///
    /// # Errors
    /// There is no such head, what the config says of it cannot be read, or it names another number of labels than the head
    /// has.
    pub fn labels(&self, kind: HeadKind) -> Result<Vec<String>> {
        let Some(head) = self.heads.get(kind) else {
            return Err(Error::model_file(format!(
                "{} has no {} head; load a checkpoint that was fine-tuned with one",
                self.location(),
                kind.name()
            )));
        };
        if let Some(problem) = self.config.classifier_problems.first() {
            return Err(Error::model_file(problem.clone()));
        }
        if self.config.labels.len() != head.outputs {
            return Err(Error::model_file(format!(
                "cannot name the outputs of {}: `id2label` in config.json has {} names, {} has {} rows",
                self.location(),
                self.config.labels.len(),
                head.evidence,
                head.outputs
            )));
        }
        Ok(self.config.labels.clone())
    }

    /// Takes a fingerprint that was computed before, for callers that kept it beside files they know to be the same.
    #[must_use]
    pub fn with_fingerprint(mut self, known: Fingerprint) -> Self {
        self.fingerprint = OnceLock::from(known);
        self
    }

    /// What tells this encoder from others. The first call reads every weight (about a second a gigabyte); later calls are
    /// free.
    ///
    /// # Errors
    /// Reading failed.
    pub fn fingerprint(&self) -> Result<&Fingerprint> {
        if let Some(known) = self.fingerprint.get() {
            return Ok(known);
        }
        let found = Fingerprint {
            weights: fingerprint::of_weights(&self.weights)?,
            config: fingerprint::of_config(&self.config),
            tokenizer: self.tokenizer.hash(),
        };
        Ok(self.fingerprint.get_or_init(|| found))
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checkpoint({} in {})", self.config.family.name(), self.location())
    }
}

/// Finds the tensors of the modules after the pooling, and checks their sizes.
fn add_modules(modules: Option<&Modules>, config: &Config, weights: &mut Weights) -> Result<()> {
    let Some(modules) = modules else { return Ok(()) };
    for folder in modules.tensor_folders() {
        weights.add_module(folder)?;
    }
    modules.check_sizes(config, weights)
}

impl TokenizerFiles {
    fn read(files: &dyn Files, root: &str) -> Result<Self> {
        let bytes = |name: &str| -> Result<Option<Vec<u8>>> {
            Ok(read_all(files, &format!("{root}{name}"))?.map(|bytes| bytes.to_vec()))
        };
        let object = |name: &str| -> Result<serde_json::Value> {
            let name = format!("{root}{name}");
            let value = super::json::read_value(files, &name)?.unwrap_or_default();
            if !value.is_null() {
                // Checked here, so that readers may take any other type as absent.
                Object::from_value(value.clone(), &files.describe(&name))?;
            }
            Ok(value)
        };
        let json = bytes("tokenizer.json")?;
        let vocab = if json.is_none() { bytes("vocab.txt")? } else { None };
        Ok(TokenizerFiles {
            json,
            vocab,
            config: object("tokenizer_config.json")?,
            special_tokens: object("special_tokens_map.json")?,
            added_tokens: object("added_tokens.json")?,
            model_class: None,
            location: files.location(),
        })
    }

    /// `model_max_length`, unless it is the huge number that means none.
    fn model_max_length(&self) -> Option<usize> {
        // A float, because transformers writes 1e30 as a whole number for "no limit".
        let len = self.config.get("model_max_length")?.as_f64()?;
        (1.0..1e9).contains(&len).then_some(len as usize)
    }

    fn hash(&self) -> String {
        match (&self.json, &self.vocab) {
            (Some(json), _) => fingerprint::of_parts([&json[..]]),
            (None, vocab) => {
                let config = self.config.to_string();
                fingerprint::of_parts([vocab.as_deref().unwrap_or_default(), config.as_bytes()])
            }
        }
    }
}
