//! The Hugging Face hub: its cache on this machine and, with the feature `hub`, downloads into it.
//!
//! The cache has huggingface_hub's layout, so a model that Python has downloaded is used as it is, and the other way round.
//! A hub is not trusted: what it sends is checked before it becomes a name, a path or a file.

#[cfg(feature = "hub")]
mod blob;
#[cfg(feature = "hub")]
mod download;
#[cfg(feature = "hub")]
mod http;
mod model;
mod needed;
mod remote;
mod repository;
#[cfg(not(feature = "hub"))]
mod without;

pub use model::HubModel;
pub use remote::Download;

#[cfg(feature = "hub")]
use download::download;
#[cfg(not(feature = "hub"))]
use without::download;

use crate::checkpoint::FolderFiles;
use crate::error::{Error, Result};
use remote::Remote;
use repository::{Commit, Repository};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where the hub is, where its files are cached, and whether it may be asked.
#[derive(Clone)]
pub struct Hub {
    endpoint: String,
    cache: PathBuf,
    token: Option<String>,
    offline: bool,
    retries: usize,
    timeout: Duration,
}

impl Hub {
    /// The hub as huggingface_hub finds it: `HF_ENDPOINT`, `HF_HUB_CACHE` or `HF_HOME`, `HF_TOKEN` or the token that
    /// `hf auth login` stored, `HF_HUB_OFFLINE`, `HF_HUB_DOWNLOAD_TIMEOUT`. Proxies are those of the environment.
    ///
    /// # Errors
    /// Nothing says where the cache is, not even a home folder.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(&|name| std::env::var(name).ok(), std::env::home_dir())
    }

    fn from_variables(variable: &dyn Fn(&str) -> Option<String>, user: Option<PathBuf>) -> Result<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let caches = set("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(user?.join(".cache")));
        let home = set("HF_HOME").map(PathBuf::from).or_else(|| Some(caches?.join("huggingface")));
        let cache = set("HF_HUB_CACHE").or_else(|| set("HUGGINGFACE_HUB_CACHE")).map(PathBuf::from);
        let Some(cache) = cache.or_else(|| Some(home.as_ref()?.join("hub"))) else {
            return Err(Error::io("cannot find the hub's cache: there is no home folder; set HF_HOME"));
        };
        let stored_token = || {
            let path = set("HF_TOKEN_PATH").map(PathBuf::from).or_else(|| Some(home?.join("token")))?;
            std::fs::read_to_string(path).ok().map(|token| token.trim().to_owned())
        };
        let seconds = set("HF_HUB_DOWNLOAD_TIMEOUT").and_then(|text| text.trim().parse::<u64>().ok());
        let truths = ["1", "ON", "YES", "TRUE"];
        Ok(Hub {
            endpoint: set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned()),
            cache,
            token: set("HF_TOKEN").or_else(stored_token).filter(|token| !token.is_empty()),
            offline: set("HF_HUB_OFFLINE").is_some_and(|flag| truths.contains(&flag.to_uppercase().as_str())),
            retries: 2,
            timeout: Duration::from_secs(seconds.unwrap_or(30).clamp(1, 3600)),
        })
    }

    /// Never ask the network.
    #[must_use]
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline |= offline;
        self
    }

    /// Another place than `https://huggingface.co`.
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = endpoint.into();
        self
    }

    /// Another cache folder (the one with `models--...` in it).
    #[must_use]
    pub fn cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache = folder.into();
        self
    }

    /// The token to show, or none.
    #[must_use]
    pub fn token(mut self, token: Option<String>) -> Self {
        self.token = token;
        self
    }

    /// How long the hub may keep us waiting, for a connection, an answer or the next bytes (30 s unless set). A download of
    /// fewer than 1024 bytes a second over this time is given up, too.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.clamp(Duration::from_millis(1), Duration::from_secs(3600));
        self
    }

    /// How often a file whose download broke off is resumed before giving up (2 unless set).
    #[must_use]
    pub fn retries(mut self, retries: usize) -> Self {
        self.retries = retries;
        self
    }

    /// The model's folder: a complete snapshot in the cache, without any network; else a download.
    ///
    /// A snapshot that Python has made without sentence-transformers lacks its modules.json; [`refresh`](Self::refresh)
    /// gets what is missing.
    ///
    /// # Errors
    /// The model is not in the cache, and the network may not be asked, does not answer, or does not have it.
    pub fn fetch(&self, model: &HubModel, progress: &mut dyn FnMut(Download<'_>)) -> Result<PathBuf> {
        model.check()?;
        match self.cached(model) {
            Ok(folder) => Ok(folder),
            Err(missing) if self.offline => Err(Error::model_file(format!(
                "cannot use {model} offline: {missing} in the cache {}. Fetch it once with the network on",
                self.cache.display()
            ))),
            Err(_) => download(&self.remote(), model, progress),
        }
    }

    /// Asks the hub which commit the revision is at now and downloads what is not in the cache.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch); always when offline.
    pub fn refresh(&self, model: &HubModel, progress: &mut dyn FnMut(Download<'_>)) -> Result<PathBuf> {
        model.check()?;
        if self.offline {
            return Err(Error::input(format!("cannot refresh {model} offline")));
        }
        download(&self.remote(), model, progress)
    }

    fn remote(&self) -> Remote<'_> {
        Remote {
            endpoint: &self.endpoint,
            token: self.token.as_deref(),
            timeout: self.timeout,
            retries: self.retries,
            cache: &self.cache,
        }
    }

    /// The snapshot, or what is missing of it.
    fn cached(&self, model: &HubModel) -> Result<PathBuf, String> {
        let repository = Repository::new(&self.cache, model);
        let commit = match repository.reference(&model.revision) {
            Some(text) => {
                Commit::parse(&text).ok_or_else(|| format!("the reference of {model} is damaged"))?
            }
            // A commit is its own name: huggingface_hub keeps no reference for it.
            None => Commit::parse(&model.revision).ok_or_else(|| format!("there is no {model}"))?,
        };
        let snapshot = repository.snapshot(&commit);
        let files = FolderFiles::open(&snapshot).map_err(|_| {
            let name = snapshot.file_name().unwrap_or_default().display();
            format!("there is no commit {name} of {model}")
        })?;
        match needed::first_missing(&files) {
            Ok(None) => Ok(snapshot),
            Ok(Some(name)) => Err(format!("there is no {name} of {model}")),
            Err(error) => Err(format!("{error}, which stands for {model}")),
        }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the token.
        let Hub { endpoint, cache, offline, .. } = self;
        write!(f, "Hub({endpoint}, cache {}{})", cache.display(), if *offline { ", offline" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(variables: &[(&str, &str)]) -> Hub {
        let find = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Hub::from_variables(&find, Some("/home/me".into())).unwrap()
    }

    #[test]
    fn the_environment_is_read_as_huggingface_hub_reads_it() {
        assert_eq!(hub(&[]).cache, PathBuf::from("/home/me/.cache/huggingface/hub"));
        assert_eq!(hub(&[("XDG_CACHE_HOME", "/c")]).cache, PathBuf::from("/c/huggingface/hub"));
        assert_eq!(hub(&[("HF_HOME", "/hf"), ("XDG_CACHE_HOME", "/c")]).cache, PathBuf::from("/hf/hub"));
        assert_eq!(hub(&[("HF_HUB_CACHE", "/x"), ("HF_HOME", "/hf")]).cache, PathBuf::from("/x"));
        assert_eq!(hub(&[]).endpoint, "https://huggingface.co");
        assert_eq!(hub(&[("HF_ENDPOINT", "http://mirror")]).endpoint, "http://mirror");
        assert_eq!(hub(&[("HF_TOKEN", "secret")]).token.as_deref(), Some("secret"));
        for (flag, offline) in [("1", true), ("true", true), ("0", false), ("", false)] {
            assert_eq!(hub(&[("HF_HUB_OFFLINE", flag)]).offline, offline, "{flag:?}");
        }
        assert_eq!(hub(&[("HF_HUB_DOWNLOAD_TIMEOUT", "7")]).timeout, Duration::from_secs(7));
        for unusable in ["", "0", "-1", "soon", "99999999999999999999"] {
            let timeout = hub(&[("HF_HUB_DOWNLOAD_TIMEOUT", unusable)]).timeout.as_secs();
            assert!((1..=30).contains(&timeout), "{unusable:?}: {timeout}");
        }
        // What the caller says can only add to it.
        assert!(hub(&[("HF_HUB_OFFLINE", "1")]).offline(false).offline);
        assert!(!format!("{:?}", hub(&[("HF_TOKEN", "secret")])).contains("secret"));
    }

    #[test]
    fn a_stored_token_is_found() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), "stored\n").unwrap();
        let path = home.path().to_str().unwrap();
        assert_eq!(hub(&[("HF_HOME", path)]).token.as_deref(), Some("stored"));
        assert_eq!(hub(&[("HF_HOME", path), ("HF_TOKEN", "given")]).token.as_deref(), Some("given"));
    }
}
