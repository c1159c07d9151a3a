//! Where a query's result goes: beside its place first, and to its place when all of it is there.

mod folder;
mod stored;

use std::time::{Duration, Instant};

use datafusion::execution::runtime_env::RuntimeEnv;
use folder::Folder;
use frostbert::{Error, Result};
use stored::Stored;
use url::Url;

/// How long nothing more may have been written before a cluster's tasks are taken to have ended.
const AWAY: Duration = Duration::from_secs(1);
/// How long that is waited for.
const STRAGGLERS: Duration = Duration::from_secs(15);

/// A result that is being written.
pub enum Output {
    /// To a file system that all processes share.
    Folder(Folder),
    /// To an object store.
    Stored(Stored),
}

impl Output {
    /// Makes room for the result of `COPY ... TO 'target'`. A target that ends in `/`, or whose name has no ending, is a folder.
    ///
    /// # Errors
    /// The target cannot be written to, or is there already (unless it may be overwritten).
    pub async fn begin(target: &str, overwrite: bool, runtime: &RuntimeEnv) -> Result<Self> {
        match Url::parse(target) {
            // One letter is a drive.
            Ok(url) if url.scheme().len() > 1 && url.scheme() != "file" => {
                Ok(Output::Stored(Stored::begin(&url, overwrite, runtime).await?))
            }
            _ => Ok(Output::Folder(Folder::begin(target, overwrite)?)),
        }
    }

    /// Where the engine is to write.
    pub fn url(&self) -> String {
        match self {
            Output::Folder(folder) => folder.url(),
            Output::Stored(stored) => stored.url(),
        }
    }

    /// Where the result goes.
    pub fn target(&self) -> String {
        match self {
            Output::Folder(folder) => folder.target().display().to_string(),
            Output::Stored(stored) => stored.target(),
        }
    }

    /// Puts the result in its place once all parts are there, with all their rows. `rows` is what the writers counted, a number a part.
    ///
    /// # Errors
    /// Parts or rows are missing; the place cannot be taken.
    pub async fn commit(self, rows: &[u64]) -> Result<()> {
        match self {
            Output::Folder(folder) => folder.commit(rows),
            Output::Stored(stored) => stored.commit(rows).await,
        }
    }

    /// Removes what was written: the query failed. Tasks of a cluster were told to end but may still write, which makes the place
    /// anew: there it has to stay away for a while.
    pub async fn abandon(self, cluster: bool) {
        let ends = Instant::now() + STRAGGLERS;
        let mut away = Instant::now();
        loop {
            let found = match &self {
                Output::Folder(folder) => folder.abandon(),
                Output::Stored(stored) => stored.abandon().await,
            };
            if found {
                away = Instant::now();
            }
            if !cluster || away.elapsed() >= AWAY || Instant::now() >= ends {
                break;
            }
            tokio::time::sleep(AWAY / 10).await;
        }
    }
}

/// Whether as many parts are there as were written.
fn check_parts(found: usize, rows: &[u64], place: &str) -> Result<()> {
    if found == rows.len() {
        return Ok(());
    }
    Err(Error::io(format!(
        "{} parts of the result were written, but {found} are in {place}: every executor must write to one shared place, under the same name",
        rows.len()
    )))
}

/// Whether the parts have as many rows as were written.
fn check_rows(found: u64, rows: &[u64], place: &str) -> Result<()> {
    let expected: u64 = rows.iter().sum();
    if found == expected {
        return Ok(());
    }
    Err(Error::io(format!(
        "{expected} rows were written, but the files of {place} have {found}; nothing was put in place"
    )))
}

/// A name for what is not whole yet, beside others of other runs.
fn unfinished(name: &str) -> String {
    let moment = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    format!(".{name}.unfinished-{}-{moment}", std::process::id())
}

/// What is said where something is there already.
fn taken(place: &str) -> Error {
    Error::input(format!("{place} is there already; name another place, or allow it with --overwrite"))
}
