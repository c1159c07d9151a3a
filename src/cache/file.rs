//! Opening the database file: shared with other processes, repaired after a kill, replaced when damaged.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use redb::{ConcurrencyMode, Database};

/// How long to wait for another process: it holds a lock for one transaction, or for a repair after a kill.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(2);

/// Pages kept in memory. Rows are read once a run, so this need only hold the inner pages of the trees.
const PAGE_CACHE_BYTES: usize = 64 << 20;

/// Why the store could not do something.
#[derive(Debug)]
pub(super) enum Failure {
    /// The file's content is at fault.
    Damaged(String),
    /// Another process kept the file for longer than [`PATIENCE`].
    Busy,
    /// The disk, permissions, another version of the store.
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::WouldBlock | redb::Error::DatabaseAlreadyOpen => Failure::Busy,
            // A file that is cut short, or no database at all.
            redb::Error::Io(error)
                if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
            {
                Failure::Damaged(error.to_string())
            }
            error @ (redb::Error::Corrupted(_)
            | redb::Error::UpgradeRequired(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::TableIsMultimap(_)) => Failure::Damaged(error.to_string()),
            error => Failure::Other(error.into()),
        }
    }
}

/// Runs work on the store. redb promises an error, not a panic, only for files that nobody else wrote to; a panic is
/// therefore taken as damage.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(Failure::Damaged(text.unwrap_or_else(|| "the store panicked".to_owned())))
    })
}

/// Repeats what another process may be in the way of.
pub(super) fn patiently<T>(mut attempt: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(Failure::Busy) if start.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            result => return result,
        }
    }
}

/// Where the files of a cache folder are.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    pub data: PathBuf,
    pub damaged: PathBuf,
    lock: PathBuf,
}

impl Paths {
    pub fn new(folder: &Path) -> Self {
        let file = |name: &str| folder.join(name);
        Paths {
            data: file("embeddings.redb"),
            damaged: file("embeddings.redb.damaged"),
            lock: file("embeddings.lock"),
        }
    }

    /// Opens the database, making the file if there is none. A damaged one is repaired if that can be done, otherwise moved
    /// aside; `note` is then told. `suspect`: check every page first, because a read found damage.
    pub fn open(&self, suspect: bool, mut note: impl FnMut(String)) -> Result<Database, Failure> {
        // One process at a time opens, so that of two that find the damage one moves the file aside and the other, when
        // its turn comes, finds the fresh one.
        let _turn = self.lock()?;
        if !suspect {
            match self.open_file(false) {
                Err(Failure::Damaged(_)) => {}
                other => return other,
            }
        }
        match self.open_file(true) {
            Err(Failure::Damaged(why)) => {
                fs::rename(&self.data, &self.damaged)?;
                note(format!(
                    "the embedding cache {} was damaged ({why}); it was moved to {} and an empty one started",
                    self.data.display(),
                    self.damaged.display()
                ));
                self.open_file(false)
            }
            other => other,
        }
    }

    fn open_file(&self, check: bool) -> Result<Database, Failure> {
        patiently(|| {
            guarded(|| {
                let mut builder = Database::builder();
                builder.set_concurrency_mode(ConcurrencyMode::MultiWriter);
                builder.set_cache_size(PAGE_CACHE_BYTES);
                builder.set_check_integrity_on_open(check);
                Ok(builder.create(&self.data)?)
            })
        })
    }

    /// Held until the file is dropped; the system releases it when a process dies.
    fn lock(&self) -> Result<File, Failure> {
        let file = File::options().create(true).write(true).truncate(false).open(&self.lock)?;
        patiently(|| match file.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => Err(Failure::Busy),
            Err(TryLockError::Error(error)) => Err(error.into()),
        })?;
        Ok(file)
    }
}
