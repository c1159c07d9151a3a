//! Downloads a model into the hub's cache: picks what is needed, gets each file and makes the snapshot the model's current
//! one only when it is whole.

use super::blob::Fetch;
use super::http::{Client, Failure, escape};
use super::model::HubModel;
use super::needed::{shards, transformer_root};
use super::remote::{Download, Remote};
use super::repository::{Commit, Repository};
use crate::checkpoint::FolderFiles;
use crate::checkpoint::files::check_relative;
use crate::checkpoint::modules::{MODULES, ModuleEntry, TRANSFORMER_CONFIGS};
use crate::error::{Error, Result};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Before the first retry; doubled with each.
const PAUSE: Duration = Duration::from_millis(250);
/// Bytes by which a try must have got further for the next to count as the first again.
const PROGRESS_BYTES: u64 = 1 << 20;

pub(super) fn download(
    remote: &Remote<'_>,
    model: &HubModel,
    progress: &mut dyn FnMut(Download<'_>),
) -> Result<PathBuf> {
    let client = Client::new(remote.endpoint, remote.token, remote.timeout)
        .map_err(|problem| Error::input(format!("cannot download {model}: {problem}")))?;
    let say = Words { remote, model };
    let (commit, names) = listing(&client, model).map_err(|failure| say.explain(failure, None))?;
    let repository = Repository::new(remote.cache, model);
    let mut fetcher = Fetcher {
        snapshot: repository.snapshot(&commit),
        // Every file from the same commit, even if the branch moves meanwhile.
        commit,
        say,
        client,
        repository,
        names,
        progress,
        done: 0,
    };
    fetcher.run()?;
    let Fetcher { repository, commit, snapshot, .. } = fetcher;
    repository
        .set_reference(&model.revision, &commit)
        .map_err(|error| Error::io(format!("cannot note the commit of {model}")).with_source(error))?;
    Ok(snapshot)
}

/// The commit that a revision is at, and the names of its files.
fn listing(client: &Client, model: &HubModel) -> Result<(Commit, BTreeSet<String>), Failure> {
    let path = format!("/api/models/{}/revision/{}", model.id, escape(&model.revision));
    let body = client.small(&path)?;
    let wrong = |what: &str| Failure::Answer(format!("{what}; is it a hub?"));
    let info: Value = serde_json::from_slice(&body)
        .map_err(|error| wrong(&format!("its list of the model's files is not JSON ({error})")))?;
    let commit = info.get("sha").and_then(Value::as_str).and_then(Commit::parse);
    let commit = commit.ok_or_else(|| wrong("it does not say which commit the model is at"))?;
    let siblings = info.get("siblings").and_then(Value::as_array);
    let siblings = siblings.ok_or_else(|| wrong("it does not say which files the model has"))?;
    let name = |sibling: &Value| sibling.get("rfilename").and_then(Value::as_str).map(str::to_owned);
    Ok((commit, siblings.iter().filter_map(name).collect()))
}

struct Fetcher<'a> {
    say: Words<'a>,
    client: Client,
    repository: Repository,
    commit: Commit,
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
        std::fs::create_dir_all(&self.snapshot).map_err(|error| self.say.not_written(error))?;
        let files = FolderFiles::open(&self.snapshot)?;
        let entries = ModuleEntry::list(&files)?.unwrap_or_default();
        let root = transformer_root(&entries);
        let config = format!("{root}config.json");
        let only_a_table = ModuleEntry::is_static_embedding(&entries);
        if !only_a_table && !self.names.contains(&config) {
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
        let inside = |name: &str| format!("{root}{name}");
        let mut small = vec![];
        if only_a_table {
            small.push(inside("tokenizer.json"));
        } else {
            let json = inside("tokenizer.json");
            let tokenizer = if self.names.contains(&json) { json } else { inside("vocab.txt") };
            small.extend([config, tokenizer]);
            small.extend(
                ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"].map(inside),
            );
            small.extend(TRANSFORMER_CONFIGS.map(inside));
        }
        small.push("config_sentence_transformers.json".to_owned());
        let folders: Vec<&ModuleEntry> = entries.iter().filter(|entry| !entry.path.is_empty()).collect();
        small.extend(folders.iter().map(|entry| format!("{}/config.json", entry.path)));
        if !self.names.contains(&single) {
            small.push(index.clone());
        }
        self.get(small)?;

        let with_tensors = folders.iter().filter(|entry| entry.has_tensors());
        let mut large: Vec<String> =
            with_tensors.map(|entry| format!("{}/model.safetensors", entry.path)).collect();
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
        let mut seen = BTreeSet::new();
        wanted.retain(|name| {
            self.names.contains(name) && !self.snapshot.join(name).exists() && seen.insert(name.clone())
        });
        let files = self.done + wanted.len();
        for name in wanted {
            check_relative(&name, &self.say.model.id)?;
            self.get_one(&name, files).map_err(|failure| self.say.explain(failure, Some(&name)))?;
            self.done += 1;
        }
        Ok(())
    }

    fn get_one(&mut self, name: &str, files: usize) -> Result<(), Failure> {
        let parts: Vec<String> = name.split('/').map(escape).collect();
        let path = format!("/{}/resolve/{}/{}", self.say.model.id, self.commit.as_str(), parts.join("/"));
        let fetch = Fetch {
            client: &self.client,
            repository: &self.repository,
            commit: &self.commit,
            file: name,
            path: &path,
        };
        let (mut tries, mut pause, mut furthest) = (0, PAUSE, 0);
        let blob = loop {
            let mut reached = 0;
            let step = Download { file: name, index: self.done, files, done_bytes: 0, total_bytes: 0 };
            let outcome = fetch.run(&mut |done_bytes, total_bytes| {
                reached = done_bytes;
                (self.progress)(Download { done_bytes, total_bytes, ..step });
            });
            match outcome {
                Ok(meta) => break meta.blob,
                // The part that arrived is kept, and the next try asks for the rest.
                Err(Failure::Broken(error)) => {
                    if reached >= furthest + PROGRESS_BYTES {
                        (tries, pause) = (0, PAUSE);
                    }
                    furthest = furthest.max(reached);
                    if tries == self.say.remote.retries {
                        return Err(Failure::Broken(error));
                    }
                    tries += 1;
                    std::thread::sleep(pause);
                    pause *= 2;
                }
                Err(failure) => return Err(failure),
            }
        };
        self.repository.link(&blob, &self.commit, name).map_err(Failure::Disk)
    }

    fn lacks(&self, name: &str, advice: &str) -> Error {
        let pickle = self.names.iter().any(|name| name.ends_with("pytorch_model.bin"));
        let found = if pickle { " (only pytorch_model.bin, a pickle, which is not read here)" } else { "" };
        let model = self.say.model;
        Error::model_file(format!("cannot use {model} of the hub: it has no {name}{found}; {advice}"))
    }
}

/// What a failure means to a user.
struct Words<'a> {
    remote: &'a Remote<'a>,
    model: &'a HubModel,
}

impl Words<'_> {
    fn not_written(&self, error: io::Error) -> Error {
        Error::io(format!("cannot write to the hub's cache {}", self.remote.cache.display()))
            .with_source(error)
    }

    fn explain(&self, failure: Failure, file: Option<&str>) -> Error {
        let Words { remote: Remote { endpoint, .. }, model } = self;
        let what = match file {
            Some(file) => format!("{file} of {model}"),
            None => model.to_string(),
        };
        match failure {
            Failure::Status(status) => Error::model_file(format!(
                "cannot download {what}: {endpoint} {}",
                match status {
                    404 => "has no such model or revision; check the spelling, and if it is private set HF_TOKEN".to_owned(),
                    401 | 403 => format!(
                        "refuses access ({status}); the model does not exist, is private or needs its terms accepted: \
                         accept them on its page, and set HF_TOKEN to a token that may read it"
                    ),
                    429 => "asks for a pause (429); try again in a few minutes".to_owned(),
                    500.. => format!("has a problem of its own ({status}); try again later"),
                    _ => format!("answered {status}, which is no answer to a download"),
                }
            )),
            Failure::Broken(error) => Error::io(format!(
                "cannot download {what} from {endpoint}: the connection failed or broke off; check the network, or name a \
                 folder. What has arrived is kept, and the next try goes on from there"
            ))
            .with_source(error),
            Failure::Answer(problem) => Error::io(format!("cannot download {what} from {endpoint}: {problem}")),
            Failure::Content(problem) => Error::model_file(format!(
                "cannot use {what} as {endpoint} sent it: {problem}; it was thrown away, try again"
            )),
            Failure::Busy(problem) => Error::io(format!("cannot download {what}: {problem}")),
            Failure::Disk(error) => self.not_written(error).context(format!("cannot download {what}")),
        }
    }
}
