//! The Hugging Face hub: its cache on this machine and, with the feature `hub`, downloads into it.
//!
//! The cache has huggingface_hub's layout, so a model that Python has downloaded is used as it is:
//! `models--ORG--NAME/refs/REVISION` holds a commit, `snapshots/COMMIT/` has that commit's files.

#[cfg(feature = "hub")]
mod download;
#[cfg(not(feature = "hub"))]
mod without;

#[cfg(feature = "hub")]
use download::download;
#[cfg(not(feature = "hub"))]
use without::download;

use crate::checkpoint::FolderFiles;
use crate::checkpoint::files::Files;
use crate::checkpoint::json::Object;
use crate::checkpoint::modules::ModuleEntry;
use crate::checkpoint::source::HubModel;
use crate::error::{Error, Result};
use std::fmt;
use std::path::PathBuf;

/// Where the hub is, where its files are cached, and whether it may be asked.
#[derive(Clone)]
pub struct Hub {
    endpoint: String,
    cache: PathBuf,
    token: Option<String>,
    offline: bool,
    retries: usize,
}

/// A step of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Download<'a> {
    /// The file, as it is called in the repository.
    pub file: &'a str,
    /// Its place among the files to download, from 0.
    pub index: usize,
    /// How many files there are to download.
    pub files: usize,
    /// Bytes that are there.
    pub done_bytes: u64,
    /// Bytes of the whole file.
    pub total_bytes: u64,
}

impl Hub {
    /// The hub as huggingface_hub finds it: `HF_ENDPOINT`, `HF_HUB_CACHE` or `HF_HOME`, `HF_TOKEN` or the token that
    /// `hf auth login` stored, `HF_HUB_OFFLINE`.
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
        let truths = ["1", "ON", "YES", "TRUE"];
        Ok(Hub {
            endpoint: set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned()),
            cache,
            token: set("HF_TOKEN").or_else(stored_token).filter(|token| !token.is_empty()),
            offline: set("HF_HUB_OFFLINE").is_some_and(|flag| truths.contains(&flag.to_uppercase().as_str())),
            retries: 2,
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
        match self.cached(model) {
            Ok(folder) => Ok(folder),
            Err(missing) if self.offline => Err(Error::model_file(format!(
                "cannot use {model} offline: {missing} in the cache {}. Fetch it once with the network on",
                self.cache.display()
            ))),
            Err(_) => download(self, model, progress),
        }
    }

    /// Asks the hub which commit the revision is at now and downloads what is not in the cache.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch); always when offline.
    pub fn refresh(&self, model: &HubModel, progress: &mut dyn FnMut(Download<'_>)) -> Result<PathBuf> {
        if self.offline {
            return Err(Error::input(format!("cannot refresh {model} offline")));
        }
        download(self, model, progress)
    }

    /// `models--ORG--NAME` in the cache.
    fn folder(&self, model: &HubModel) -> PathBuf {
        self.cache.join(format!("models--{}", model.id.replace('/', "--")))
    }

    /// The snapshot, or what is missing of it.
    fn cached(&self, model: &HubModel) -> Result<PathBuf, String> {
        let folder = self.folder(model);
        let commit = match std::fs::read_to_string(folder.join("refs").join(&model.revision)) {
            Ok(commit) => commit.trim().to_owned(),
            // A commit is its own name: huggingface_hub keeps no reference for it.
            Err(_) if is_commit(&model.revision) => model.revision.clone(),
            Err(_) => return Err(format!("there is no {model}")),
        };
        if !is_commit(&commit) {
            return Err(format!("the reference of {model} is damaged"));
        }
        let snapshot = folder.join("snapshots").join(&commit);
        let files =
            FolderFiles::open(&snapshot).map_err(|_| format!("there is no commit {commit} of {model}"))?;
        match first_missing(&files) {
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

fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The first file that a snapshot needs and does not have.
fn first_missing(files: &dyn Files) -> Result<Option<String>> {
    let entries = ModuleEntry::list(files)?.unwrap_or_default();
    let root = transformer_root(&entries);
    let has = |name: &str| Ok::<_, Error>(files.len(name)?.is_some());
    let any_of = |names: [String; 2]| Ok::<_, Error>(has(&names[0])? || has(&names[1])?);
    let inside = |name: &str| format!("{root}{name}");
    let mut needed = vec![inside("config.json")];
    if !any_of([inside("tokenizer.json"), inside("vocab.txt")])? {
        return Ok(Some(inside("tokenizer.json")));
    }
    for entry in entries.iter().filter(|entry| !entry.path.is_empty()) {
        match entry.class.as_str() {
            "Pooling" => needed.push(format!("{}/config.json", entry.path)),
            "Dense" => needed
                .extend(["config.json", "model.safetensors"].map(|name| format!("{}/{name}", entry.path))),
            _ => {}
        }
    }
    let index = inside("model.safetensors.index.json");
    if has(&index)? {
        needed.extend(shards(files, &index)?.into_iter().map(|shard| inside(&shard)));
    } else {
        needed.push(inside("model.safetensors"));
    }
    for name in needed {
        if !has(&name)? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// The folder of the transformer, empty or with a slash at the end.
fn transformer_root(entries: &[ModuleEntry]) -> String {
    match entries.first() {
        Some(first) if !first.path.is_empty() => format!("{}/", first.path),
        _ => String::new(),
    }
}

/// The files that an index of shards names, each once.
fn shards(files: &dyn Files, index: &str) -> Result<Vec<String>> {
    let Some(index) = Object::read(files, index)? else { return Ok(vec![]) };
    let Some(map) = index.object("weight_map")? else { return Ok(vec![]) };
    let mut shards = vec![];
    for (name, shard) in map.entries() {
        let shard = shard.as_str().ok_or_else(|| map.wrong(name, "a file name"))?;
        crate::checkpoint::files::check_relative(shard, index.file())?;
        shards.push(shard.to_owned());
    }
    shards.sort();
    shards.dedup();
    Ok(shards)
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
