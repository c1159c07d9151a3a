//! The models and heads of a process, by name, and how a query pins them down: an executor answers with the very encoder and
//! head that the query was planned with, or refuses.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard};

use frostbert::head::{Head, Problem};
use frostbert::model::HeadKind;
use frostbert::text::Truncate;
use frostbert::{Classifier, Device, Dtype, EmbedOptions, EmbeddingRecipe, Encoder, Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::lane::Lane;

/// A model or head, and the name that queries call it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// As queries call it.
    pub name: String,
    /// A checkpoint folder or hub id; of a head, its file.
    pub location: String,
}

impl FromStr for Named {
    type Err = Error;

    /// `NAME=LOCATION`, or a location, whose last part is the name: of a file without its ending.
    fn from_str(text: &str) -> Result<Self> {
        let (name, location) = match text.split_once('=') {
            Some((name, location)) => (name.to_owned(), location.to_owned()),
            None => {
                let last = text.trim_end_matches(['/', '\\']);
                let last = last.rsplit(['/', '\\']).next().unwrap_or(last);
                (last.strip_suffix(".safetensors").unwrap_or(last).to_owned(), text.to_owned())
            }
        };
        let fits = |c: char| c.is_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || !name.chars().all(fits) {
            return Err(Error::input(format!(
                "{name:?} cannot be a name in queries; use letters, digits, -, _ and ., as in NAME={location}"
            )));
        }
        if location.is_empty() {
            return Err(Error::input(format!("{text} names no place; write {name}=FOLDER or {name}=FILE")));
        }
        Ok(Named { name, location })
    }
}

/// How the models of a process run.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    /// Where to compute.
    pub device: Device,
    /// What weights are kept as.
    pub dtype: Dtype,
    /// Threads of the CPU engine; none: one a core.
    pub threads: Option<NonZeroUsize>,
    /// Tokens of one packed batch; none: by device.
    pub batch_tokens: Option<NonZeroUsize>,
    /// Never touch the network.
    pub offline: bool,
}

/// What a function is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// Vectors, or counts of tokens: a model and how it embeds.
    Vectors,
    /// A head's answers.
    Answers,
    /// A cross-encoder's scores.
    Scores,
}

/// What a query says of the model or head that it was planned with. It travels as JSON in an argument of each call, since of a
/// function itself an engine sends nothing but its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Pin {
    /// A model and how it embeds.
    Model {
        /// As the processes call it.
        name: String,
        /// All that decides a vector.
        recipe: Box<EmbeddingRecipe>,
        /// Columns of a vector.
        dim: usize,
        /// Whether a text that is too long ends the query.
        refuse_long: bool,
    },
    /// A head.
    Head {
        /// As the processes call it.
        name: String,
        /// SHA-256 of its file.
        file: String,
        /// What it decides, which settles the columns of its answers.
        problem: Problem,
        /// Its classes or labels.
        names: Vec<String>,
        /// Whether a text that is too long ends the query.
        refuse_long: bool,
    },
    /// A cross-encoder.
    Ranker {
        /// As the processes call it.
        name: String,
        /// SHA-256 over its configuration and weights: a recipe does not cover the head in a checkpoint.
        files: String,
        /// Longest sequence in tokens; none: the checkpoint's.
        max_tokens: Option<usize>,
        /// Whether a text that is too long ends the query.
        refuse_long: bool,
    },
}

impl Pin {
    /// The argument of a call that says it.
    ///
    /// # Errors
    /// None in practice: a pin is text and numbers.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|error| Error::io("cannot write down the model").with_source(error))
    }

    /// Reads the argument of a call.
    ///
    /// # Errors
    /// It was not written by [`to_json`](Self::to_json), or by another version.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| {
            Error::input(
                "the last argument of a frostbert function is written by frostbert-cluster run, and this one was not; leave it \
                 away, or run the same version on client, scheduler and executors",
            )
            .with_source(error)
        })
    }
}

/// A pin that has been held against this process's files.
pub enum Ready {
    /// Texts to vectors.
    Vectors(Lane),
    /// Texts to answers.
    Answers(Lane, Arc<Classifier>),
    /// Pairs to scores.
    Scores {
        /// The cross-encoder.
        encoder: Arc<Encoder>,
        /// How pairs are read.
        options: EmbedOptions,
    },
}

/// The models and heads of a process. Each is loaded once, when it is first needed, and shared by all partitions and tasks.
pub struct Models {
    models: Vec<Named>,
    heads: Vec<Named>,
    engine: Engine,
    options: EmbedOptions,
    loaded: Mutex<HashMap<String, Arc<Encoder>>>,
    ready: Mutex<HashMap<String, Arc<Ready>>>,
}

impl fmt::Debug for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Models")
            .field("models", &self.models)
            .field("heads", &self.heads)
            .finish_non_exhaustive()
    }
}

impl Models {
    /// Nothing is loaded yet. `options` is how queries planned here embed with a model.
    ///
    /// # Errors
    /// Two of one name.
    pub fn new(models: Vec<Named>, heads: Vec<Named>, engine: Engine, options: EmbedOptions) -> Result<Self> {
        for all in [&models, &heads] {
            for (at, named) in all.iter().enumerate() {
                if all[..at].iter().any(|other| other.name == named.name) {
                    return Err(Error::input(format!(
                        "two are called {0}; give one another name: NAME={1}",
                        named.name, named.location
                    )));
                }
            }
        }
        Ok(Models { models, heads, engine, options, loaded: Mutex::default(), ready: Mutex::default() })
    }

    /// Loads everything that was named, so that what is missing is said at the start.
    ///
    /// # Errors
    /// A model or head that cannot be loaded, a head whose model is another.
    pub fn load_all(&self) -> Result<()> {
        for model in &self.models {
            self.encoder(&model.location)
                .map_err(|error| error.context(format!("the model {}", model.name)))?;
        }
        for head in &self.heads {
            self.classifier(head)?;
        }
        Ok(())
    }

    /// What is here, in words.
    pub fn in_words(&self) -> String {
        let names = |all: &[Named]| all.iter().map(|one| one.name.clone()).collect::<Vec<_>>().join(", ");
        match (self.models.is_empty(), self.heads.is_empty()) {
            (true, true) => "nothing".to_owned(),
            (false, true) => format!("the models {}", names(&self.models)),
            (true, false) => format!("the heads {}", names(&self.heads)),
            (false, false) => {
                format!("the models {} and the heads {}", names(&self.models), names(&self.heads))
            }
        }
    }

    /// The pin of the model or head of this name; the first where there is none.
    ///
    /// # Errors
    /// There is none of this name, or it cannot be loaded.
    pub fn pin(&self, wanted: Wanted, name: Option<&str>) -> Result<Pin> {
        let refuse_long = self.options.truncate == Truncate::Error;
        if wanted == Wanted::Answers {
            let named = self.find(&self.heads, "head", name)?;
            let bytes = read(&named.location)?;
            let head = Head::from_bytes(&bytes).map_err(|error| error.context(&named.location))?;
            return Ok(Pin::Head {
                name: named.name.clone(),
                file: sha256([&bytes[..]]),
                problem: head.problem(),
                names: head.names().to_vec(),
                refuse_long,
            });
        }
        let named = self.find(&self.models, "model", name)?;
        let encoder = self.encoder(&named.location)?;
        if wanted == Wanted::Scores {
            if !encoder.checkpoint().heads().has(HeadKind::Sequence) {
                return Err(Error::input(format!(
                    "frostbert_rank takes a cross-encoder, and the model {} has no sequence-classification head; name one that \
                     has, or order by the distance of two frostbert_embed vectors",
                    named.name
                )));
            }
            return Ok(Pin::Ranker {
                name: named.name.clone(),
                files: files(&encoder)?,
                max_tokens: self.options.max_tokens,
                refuse_long,
            });
        }
        Ok(Pin::Model {
            name: named.name.clone(),
            recipe: Box::new(encoder.recipe(&self.options)?),
            dim: encoder.dim(&self.options)?,
            refuse_long,
        })
    }

    /// What a pin stands for, loaded and held against the files of this process.
    ///
    /// # Errors
    /// There is none of its name here, it cannot be loaded, or it is another: the error then has both fingerprints.
    pub fn ready(&self, pin_json: &str) -> Result<Arc<Ready>> {
        let mut ready = lock(&self.ready);
        if let Some(known) = ready.get(pin_json) {
            return Ok(known.clone());
        }
        let made = Arc::new(self.make_ready(&Pin::from_json(pin_json)?)?);
        ready.insert(pin_json.to_owned(), made.clone());
        Ok(made)
    }

    fn make_ready(&self, pin: &Pin) -> Result<Ready> {
        match pin {
            Pin::Model { name, recipe, refuse_long, .. } => {
                let named = self.find(&self.models, "model", Some(name))?;
                let encoder = self.encoder(&named.location)?;
                let mut options = recipe.options();
                let here = encoder.recipe(&options)?;
                if here != **recipe {
                    return Err(differs("model", name, &fingerprint(&here)?, &fingerprint(recipe)?));
                }
                refuse(&mut options, *refuse_long);
                Ok(Ready::Vectors(Lane::start(name, encoder, options)?))
            }
            Pin::Head { name, file, refuse_long, .. } => {
                let named = self.find(&self.heads, "head", Some(name))?;
                let here = sha256([&read(&named.location)?[..]]);
                if here != *file {
                    return Err(differs("head", name, &here, file));
                }
                let classifier = self.classifier(named)?;
                let mut options = classifier.options().clone();
                refuse(&mut options, *refuse_long);
                let encoder = self.encoder(&self.model_of(named)?)?;
                Ok(Ready::Answers(Lane::start(name, encoder, options)?, classifier))
            }
            Pin::Ranker { name, files: theirs, max_tokens, refuse_long } => {
                let named = self.find(&self.models, "model", Some(name))?;
                let encoder = self.encoder(&named.location)?;
                let here = files(&encoder)?;
                if here != *theirs {
                    return Err(differs("model", name, &here, theirs));
                }
                let mut options = EmbedOptions { max_tokens: *max_tokens, ..EmbedOptions::default() };
                refuse(&mut options, *refuse_long);
                Ok(Ready::Scores { encoder, options })
            }
        }
    }

    fn find<'a>(&self, all: &'a [Named], what: &str, name: Option<&str>) -> Result<&'a Named> {
        let found = match name {
            Some(name) => all.iter().find(|one| one.name == name),
            None => all.first(),
        };
        found.ok_or_else(|| {
            let asked = name.map_or_else(|| format!("no {what}"), |name| format!("no {what} {name:?}"));
            Error::input(format!(
                "this process has {asked}; it has {}: add --{what} [NAME=]PLACE",
                self.in_words()
            ))
        })
    }

    /// The encoder of a model's name.
    ///
    /// # Errors
    /// There is none of this name here, or it cannot be loaded.
    pub fn encoder_of(&self, name: &str) -> Result<Arc<Encoder>> {
        self.encoder(&self.find(&self.models, "model", Some(name))?.location)
    }

    /// The encoder of a place, loaded once.
    fn encoder(&self, location: &str) -> Result<Arc<Encoder>> {
        let mut loaded = lock(&self.loaded);
        if let Some(encoder) = loaded.get(location) {
            return Ok(encoder.clone());
        }
        let engine = &self.engine;
        let mut builder =
            Encoder::load(location).device(engine.device.clone()).dtype(engine.dtype).offline(engine.offline);
        if let Some(tokens) = engine.batch_tokens {
            builder = builder.batch_tokens(tokens.get());
        }
        if let Some(threads) = engine.threads {
            builder = builder.threads(threads);
        }
        let encoder = Arc::new(builder.build()?);
        if let Some(note) = &encoder.device().note {
            log::info!("{location}: {note}");
        }
        loaded.insert(location.to_owned(), encoder.clone());
        Ok(encoder)
    }

    /// A head joined with the model it was trained on.
    fn classifier(&self, named: &Named) -> Result<Arc<Classifier>> {
        let head = Head::load(&named.location)?;
        let encoder = self.encoder(&self.model_of(named)?)?;
        let classifier = Classifier::new(encoder, head).map_err(|error| error.context(&named.location))?;
        Ok(Arc::new(classifier))
    }

    /// Where a head's model is: the one model of this process that fits, else where it was at training.
    fn model_of(&self, named: &Named) -> Result<String> {
        let head = Head::load(&named.location)?;
        for model in &self.models {
            let encoder = self.encoder(&model.location)?;
            if Classifier::options_for(&encoder, &head).is_ok() {
                return Ok(model.location.clone());
            }
        }
        match &head.record.model_location {
            Some(location) => Ok(location.clone()),
            None => Err(Error::input(format!(
                "the head {} does not say which model it was trained with, and it fits none of those here: add --model FOLDER",
                named.location
            ))),
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn refuse(options: &mut EmbedOptions, long: bool) {
    if long {
        options.truncate = Truncate::Error;
    }
}

fn differs(what: &str, name: &str, here: &str, theirs: &str) -> Error {
    Error::model_file(format!(
        "the {what} {name} of this process is another than the query's: its fingerprint is {here}, and the query was planned with \
         {theirs}; give every process the same files and the same version"
    ))
}

fn read(file: &str) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|error| Error::model_file(format!("cannot read {file}")).with_source(error))
}

/// SHA-256, as `sha256sum` prints it, of byte strings end to end.
fn sha256<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A recipe in sixty-four digits.
fn fingerprint(recipe: &EmbeddingRecipe) -> Result<String> {
    let text = serde_json::to_vec(recipe)
        .map_err(|error| Error::io("cannot write down how the model embeds").with_source(error))?;
    Ok(sha256([&text[..]]))
}

/// Hash over a checkpoint's configuration, tokenizer and weights with the head's.
fn files(encoder: &Encoder) -> Result<String> {
    let checkpoint = encoder.checkpoint();
    let known = checkpoint.fingerprint()?;
    let folder = PathBuf::from(checkpoint.location());
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .map_err(|error| Error::model_file(format!("cannot list {}", folder.display())).with_source(error))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name == "config.json" || name.ends_with(".safetensors")
        })
        .collect();
    files.sort();
    let mut hashes = vec![known.tokenizer.clone()];
    for file in files {
        hashes.push(sha256([&read(&file.to_string_lossy())?[..]]));
    }
    Ok(sha256(hashes.iter().map(String::as_bytes)))
}
