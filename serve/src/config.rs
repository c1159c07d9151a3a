//! What a server serves, and within which limits.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use frostbert::{Device, Dtype, Error, Result};

/// A model and the name it is asked for by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSpec {
    /// As requests call it.
    pub name: String,
    /// A checkpoint folder or a hub id.
    pub location: String,
}

impl FromStr for ModelSpec {
    type Err = Error;

    /// `NAME=LOCATION`, or a location, whose last part is the name.
    fn from_str(text: &str) -> Result<Self> {
        let (name, location) = match text.split_once('=') {
            Some((name, location)) => (name.to_owned(), location.to_owned()),
            None => {
                let path = text.trim_end_matches(['/', '\\']);
                (path.rsplit(['/', '\\']).next().unwrap_or(path).to_owned(), text.to_owned())
            }
        };
        check_name(&name, "--model")?;
        if location.is_empty() {
            return Err(Error::input(format!("--model {text} names no folder and no hub id")));
        }
        Ok(ModelSpec { name, location })
    }
}

/// A trained head and the name it is asked for by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadSpec {
    /// As requests call it.
    pub name: String,
    /// The file that `frostbert train` wrote.
    pub file: PathBuf,
}

impl FromStr for HeadSpec {
    type Err = Error;

    /// `NAME=FILE`, or a file, whose stem is the name.
    fn from_str(text: &str) -> Result<Self> {
        let (name, file) = match text.split_once('=') {
            Some((name, file)) => (name.to_owned(), PathBuf::from(file)),
            None => {
                let file = PathBuf::from(text);
                (file.file_stem().unwrap_or_default().to_string_lossy().into_owned(), file)
            }
        };
        check_name(&name, "--head")?;
        Ok(HeadSpec { name, file })
    }
}

fn check_name(name: &str, what: &str) -> Result<()> {
    let fits = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if !name.is_empty() && name.chars().all(fits) {
        return Ok(());
    }
    Err(Error::input(format!(
        "{what}: {name:?} cannot be a name in requests; use letters, digits, -, _ and ., as in {what} NAME=..."
    )))
}

/// What a server serves, and within which limits. [`Config::default`] serves nothing: add models.
#[derive(Clone, Debug)]
pub struct Config {
    /// The first is meant where a request names none.
    pub models: Vec<ModelSpec>,
    /// Each belongs to one of the models; one whose model is not among them brings it.
    pub heads: Vec<HeadSpec>,
    /// Where to compute.
    pub device: Device,
    /// What weights are kept as.
    pub dtype: Dtype,
    /// Tokens of one packed batch; none: by device.
    pub batch_tokens: Option<usize>,
    /// Threads of the CPU engine; none: one a core.
    pub threads: Option<NonZeroUsize>,
    /// Never touch the network.
    pub offline: bool,
    /// Load models when they are first asked for.
    pub lazy: bool,
    /// Bytes of weights on the device at most: models that were not asked for longest are unloaded. None: no limit.
    pub memory_limit: Option<u64>,
    /// Cut texts that are too long where a request does not say; otherwise they are refused.
    pub auto_truncate: bool,
    /// The prompt of this name where a request names none.
    pub default_prompt_name: Option<String>,
    /// Requests in progress at most.
    pub max_concurrent_requests: usize,
    /// Texts that wait for a model at most.
    pub max_queued_texts: usize,
    /// How long a request waits for its turn at most.
    pub queue_timeout: Duration,
    /// Bytes of a request at most.
    pub payload_limit: usize,
    /// Bytes of all requests in progress at most.
    pub payload_budget: usize,
    /// How long a client may take to send a request.
    pub read_timeout: Duration,
    /// API keys; none: everybody may ask.
    pub api_keys: Vec<String>,
    /// A file of API keys with names, read again on SIGHUP.
    pub api_keys_file: Option<PathBuf>,
    /// The key for the admin routes; none: they are off.
    pub admin_key: Option<String>,
    /// Origins whose pages may ask; `*`: all.
    pub cors_allow_origin: Vec<String>,
    /// An OpenTelemetry collector that takes OTLP over HTTP, `http://localhost:4318`: it gets a trace of every request. None: no
    /// traces. Needs the feature `opentelemetry`.
    pub otlp_endpoint: Option<String>,
    /// The service's name in traces.
    pub otlp_service_name: String,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            models: Vec::new(),
            heads: Vec::new(),
            device: Device::Auto,
            dtype: Dtype::Auto,
            batch_tokens: None,
            threads: None,
            offline: false,
            lazy: false,
            memory_limit: None,
            auto_truncate: true,
            default_prompt_name: None,
            max_concurrent_requests: 512,
            max_queued_texts: 100_000,
            queue_timeout: Duration::from_secs(60),
            payload_limit: 32 << 20,
            payload_budget: 256 << 20,
            read_timeout: Duration::from_secs(30),
            api_keys: Vec::new(),
            api_keys_file: None,
            admin_key: None,
            cors_allow_origin: Vec::new(),
            otlp_endpoint: None,
            otlp_service_name: "frostbert".to_owned(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_locations() {
        let model = |text: &str| text.parse::<ModelSpec>().map(|spec| (spec.name, spec.location));
        assert_eq!(model("a/b/").unwrap(), ("b".into(), "a/b/".into()));
        assert_eq!(model("org/name").unwrap().0, "name");
        assert_eq!(model("x=org/name").unwrap(), ("x".into(), "org/name".into()));
        for wrong in ["", "=a", "a b=c", "a="] {
            assert!(model(wrong).unwrap_err().is_input(), "{wrong}");
        }
        let head: HeadSpec = "runs/reviews.safetensors".parse().unwrap();
        assert_eq!(head.name, "reviews");
        assert!("x/y=z".parse::<HeadSpec>().is_err());
    }
}
