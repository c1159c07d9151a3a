//! Downloads into the hub's cache, by the hf-hub crate; this file picks what is needed, checks what came and makes a
//! snapshot visible only once it is whole.

use super::{Download, FolderFiles, Hub, is_commit, shards, transformer_root};
use crate::checkpoint::files::check_relative;
use crate::checkpoint::json;
use crate::checkpoint::modules::{MODULES, ModuleEntry, TRANSFORMER_CONFIGS};
use crate::checkpoint::source::HubModel;
use crate::error::{Error, Result};
use crate::platform::whole_file;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::api::{Progress, RepoInfo};
use hf_hub::{Cache, Repo, RepoType};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the hub may take to say what a repository holds.
const LISTING_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn download(
    hub: &Hub,
    model: &HubModel,
    progress: &mut dyn FnMut(Download<'_>),
) -> Result<PathBuf> {
    let failed = |error: ApiError| explain(hub, model, error);
    let api = ApiBuilder::from_cache(Cache::new(hub.cache.clone()))
        .with_endpoint(hub.endpoint.trim_end_matches('/').to_owned())
        .with_token(hub.token.clone())
        .with_user_agent("frostbert", env!("CARGO_PKG_VERSION"))
        .with_progress(false)
        .build()
        .map_err(failed)?;
    let info = listing(&api, model).map_err(failed)?;
    if !is_commit(&info.sha) {
        return Err(Error::model_file(format!(
            "cannot download {model}: {} does not say which commit it is at; is it a hub?",
            hub.endpoint
        )));
    }
    // Every file from the same commit, even if the branch moves meanwhile.
    let repo = Repo::with_revision(model.id.clone(), RepoType::Model, info.sha.clone());
    let mut fetcher = Fetcher {
        hub,
        model,
        repo: api.repo(repo),
        names: info.siblings.into_iter().map(|sibling| sibling.rfilename).collect(),
        snapshot: hub.folder(model).join("snapshots").join(&info.sha),
        progress,
        done: 0,
    };
    fetcher.run()?;
    let snapshot = fetcher.snapshot;
    set_reference(hub, model, &info.sha)
        .map_err(|error| Error::io(format!("cannot note the commit of {model}")).with_source(error))?;
    Ok(snapshot)
}

fn listing(api: &Api, model: &HubModel) -> Result<RepoInfo, ApiError> {
    let revision = Repo::with_revision(model.id.clone(), RepoType::Model, model.revision.clone());
    let request = api.repo(revision).info_request();
    let response = request.config().timeout_global(Some(LISTING_TIMEOUT)).build().call();
    let info = response.and_then(|mut response| response.body_mut().read_json());
    Ok(info.map_err(Box::new)?)
}

struct Fetcher<'a> {
    hub: &'a Hub,
    model: &'a HubModel,
    repo: ApiRepo,
    /// What the repository holds.
    names: BTreeSet<String>,
    snapshot: PathBuf,
    progress: &'a mut dyn FnMut(Download<'_>),
    /// Files that earlier calls of [`get`](Self::get) went through.
    done: usize,
}

impl Fetcher<'_> {
    /// Gets what is needed, the small files first: they say which large ones there are.
    fn run(&mut self) -> Result<()> {
        self.get(vec![MODULES.to_owned()])?;
        std::fs::create_dir_all(&self.snapshot).map_err(|error| self.not_written(error))?;
        let files = FolderFiles::open(&self.snapshot)?;
        let entries = ModuleEntry::list(&files)?.unwrap_or_default();
        let root = transformer_root(&entries);
        let config = format!("{root}config.json");
        if !self.names.contains(&config) {
            return Err(self.lacks(&config, "it is no checkpoint of transformers"));
        }
        let single = format!("{root}model.safetensors");
        let index = format!("{root}model.safetensors.index.json");
        if !self.names.contains(&single) && !self.names.contains(&index) {
            return Err(self.lacks(
                &single,
                "try the revision refs/pr/1, where the hub's robot often offers one, or convert it",
            ));
        }
        let mut small = vec![config];
        let tokenizer = format!("{root}tokenizer.json");
        small.push(match self.names.contains(&tokenizer) {
            true => tokenizer,
            false => format!("{root}vocab.txt"),
        });
        small.extend(
            ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"]
                .map(|name| format!("{root}{name}")),
        );
        small.extend(TRANSFORMER_CONFIGS.map(|name| format!("{root}{name}")));
        small.push("config_sentence_transformers.json".to_owned());
        let folders: Vec<&ModuleEntry> = entries.iter().filter(|entry| !entry.path.is_empty()).collect();
        small.extend(folders.iter().map(|entry| format!("{}/config.json", entry.path)));
        if !self.names.contains(&single) {
            small.push(index.clone());
        }
        self.get(small)?;

        let dense = folders.iter().filter(|entry| entry.class == "Dense");
        let mut large: Vec<String> = dense.map(|entry| format!("{}/model.safetensors", entry.path)).collect();
        if self.names.contains(&single) {
            large.push(single);
        } else {
            large.extend(shards(&files, &index)?.into_iter().map(|shard| format!("{root}{shard}")));
        }
        if let Some(missing) = large.iter().find(|name| !self.names.contains(*name)) {
            return Err(self.lacks(missing, "it is incomplete there"));
        }
        self.get(large)
    }

    /// Gets those of the files that the repository has and the snapshot has not.
    fn get(&mut self, mut wanted: Vec<String>) -> Result<()> {
        wanted.retain(|name| self.names.contains(name) && !self.snapshot.join(name).exists());
        wanted.dedup();
        let files = self.done + wanted.len();
        for name in wanted {
            check_relative(&name, &self.model.id)?;
            self.get_one(&name, files)?;
            self.done += 1;
        }
        Ok(())
    }

    fn get_one(&mut self, name: &str, files: usize) -> Result<()> {
        let mut tries = 0;
        let (path, len) = loop {
            let mut size = 0;
            let step = Download { file: name, index: self.done, files, done_bytes: 0, total_bytes: 0 };
            let reporter = Reporter { step, size: &mut size, progress: &mut *self.progress };
            match self.repo.download_with_progress(name, reporter) {
                Ok(path) => break (path, size),
                // The part that arrived is kept, and the next try asks for the rest.
                Err(error) if tries < self.hub.retries && is_broken_off(&error) => tries += 1,
                Err(error) => {
                    return Err(explain(self.hub, self.model, error).context(format!("file {name}")));
                }
            }
        };
        if let Err(problem) = check(&path, len) {
            // Not kept: a later try must not resume from it.
            let blob = std::fs::canonicalize(&path);
            let _ = std::fs::remove_file(&path);
            let _ = blob.map(std::fs::remove_file);
            return Err(Error::model_file(format!(
                "cannot use {name} of {} as {} sent it: {problem}; it was thrown away, try again",
                self.model, self.hub.endpoint
            )));
        }
        if path != self.snapshot.join(name) {
            return Err(Error::model_file(format!(
                "cannot use {name} of {}: {} sent it from another commit than was asked for",
                self.model, self.hub.endpoint
            )));
        }
        Ok(())
    }

    fn lacks(&self, name: &str, advice: &str) -> Error {
        let pickle = self.names.iter().any(|name| name.ends_with("pytorch_model.bin"));
        let found = if pickle { " (only pytorch_model.bin, a pickle, which is not read here)" } else { "" };
        Error::model_file(format!("cannot use {} of the hub: it has no {name}{found}; {advice}", self.model))
    }

    fn not_written(&self, error: std::io::Error) -> Error {
        Error::io(format!("cannot write to the hub's cache {}", self.hub.cache.display())).with_source(error)
    }
}

/// Whether what came is what was announced: its length, its hash where the hub names the file by it, and that JSON is JSON
/// (a proxy's sign-in page is not).
fn check(path: &Path, len: u64) -> Result<(), String> {
    let unreadable = |error: std::io::Error| format!("it cannot be read back ({error})");
    let blob = std::fs::canonicalize(path).map_err(unreadable)?;
    let found = blob.metadata().map_err(unreadable)?.len();
    if found != len {
        return Err(format!("expected {len} bytes, found {found}"));
    }
    let name = blob.file_name().unwrap_or_default().to_string_lossy();
    // Large files are named by their SHA-256, small ones by git's hash.
    if name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let hash = sha256(&blob).map_err(unreadable)?;
        if hash != *name {
            return Err(format!("expected content with the SHA-256 {name}, found {hash}"));
        }
    }
    if path.extension().is_some_and(|extension| extension == "json") {
        let bytes = std::fs::read(&blob).map_err(unreadable)?;
        json::parse(&bytes, "the file").map_err(|error| format!("expected JSON ({error:#})"))?;
    }
    Ok(())
}

fn sha256(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            len => hash.update(&buffer[..len]),
        }
    }
    Ok(crate::checkpoint::fingerprint::hex(&hash.finalize()))
}

/// Writes `refs/REVISION`, which makes the snapshot the model's current one.
fn set_reference(hub: &Hub, model: &HubModel, commit: &str) -> std::io::Result<()> {
    let refs = hub.folder(model).join("refs");
    // hf-hub leaves a reference under the commit's own name, which huggingface_hub does not know.
    let _ = std::fs::remove_file(refs.join(commit));
    if model.revision == commit {
        return Ok(());
    }
    let path = refs.join(&model.revision);
    let folder = path.parent().unwrap_or(&refs);
    std::fs::create_dir_all(folder)?;
    whole_file::write(&path, commit.as_bytes())
}

/// Passes hf-hub's reports on as totals.
struct Reporter<'a> {
    step: Download<'a>,
    size: &'a mut u64,
    progress: &'a mut dyn FnMut(Download<'_>),
}

impl Progress for Reporter<'_> {
    // Called again for each part that is asked for, with what is there already as the first update.
    fn init(&mut self, size: usize, _filename: &str) {
        *self.size = size as u64;
        self.step.total_bytes = size as u64;
        self.step.done_bytes = 0;
    }

    fn update(&mut self, size: usize) {
        self.step.done_bytes += size as u64;
        (self.progress)(self.step);
    }

    fn finish(&mut self) {}
}

fn is_broken_off(error: &ApiError) -> bool {
    match error {
        ApiError::IoError(_) => true,
        ApiError::RequestError(error) => {
            matches!(**error, ureq::Error::Io(_) | ureq::Error::ConnectionFailed)
        }
        _ => false,
    }
}

/// What an answer of the hub means to a user.
fn explain(hub: &Hub, model: &HubModel, error: ApiError) -> Error {
    let endpoint = &hub.endpoint;
    let status = match &error {
        ApiError::RequestError(error) => match **error {
            ureq::Error::StatusCode(status) => Some(status),
            _ => None,
        },
        _ => None,
    };
    let message = match status {
        Some(404) => format!(
            "cannot download {model}: {endpoint} has no such model or revision; check the spelling, and if it is private \
             set HF_TOKEN"
        ),
        Some(status @ (401 | 403)) => format!(
            "cannot download {model}: {endpoint} refuses access ({status}); the model does not exist, is private or needs \
             its terms accepted: set HF_TOKEN to a token that may read it"
        ),
        Some(429) => {
            format!("cannot download {model}: {endpoint} asks for a pause (429); try again in a few minutes")
        }
        Some(status) if status >= 500 => {
            format!(
                "cannot download {model}: {endpoint} has a problem of its own ({status}); try again later"
            )
        }
        Some(status) => format!("cannot download {model}: {endpoint} answered {status}"),
        None => {
            let advice = match &error {
                ApiError::LockAcquisition(_) => "another program is downloading the same file; wait for it".to_owned(),
                ApiError::InvalidResume => format!(
                    "what an earlier try left is longer than the file; delete {}",
                    hub.folder(model).join("blobs").join("*.part").display()
                ),
                _ => "check the network, or name a folder. What has arrived is kept, and the next try goes on from \
                      there"
                    .to_owned(),
            };
            format!("cannot download {model} from {endpoint}: {error}; {advice}")
        }
    };
    match status {
        Some(_) => Error::model_file(message),
        None => Error::io(message).with_source(error),
    }
}
