//! The cache: rows in, rows out.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableDefinition, TableError, TableHandle};

use super::file::{Failure, PATIENCE, Paths, guarded, patiently};
use super::{Entry, Key};
use crate::error::{Error, Result};

/// A table's name is this and the encoder's fingerprint. The number is the rows' format.
const TABLE_PREFIX: &str = "embeddings 1 ";

type Table<'a> = TableDefinition<'a, &'static [u8; 32], &'static [u8]>;

/// Embeddings on disk; see the [module](crate::cache) for what holds.
///
/// All methods take `&self` and may be called from several threads.
pub struct Cache {
    paths: Paths,
    // Closed after a failure, opened again at the next call: redb refuses further work after an I/O error.
    database: Mutex<Option<Arc<Database>>>,
    notes: Mutex<Vec<String>>,
}

/// What is in a cache.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Info {
    /// The file.
    pub path: PathBuf,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Embeddings in all.
    pub entries: u64,
    /// The encoders, by fingerprint.
    pub encoders: Vec<EncoderInfo>,
}

/// What a cache holds of one encoder.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct EncoderInfo {
    /// The fingerprint given to [`KeySpace::new`](super::KeySpace::new).
    pub fingerprint: String,
    /// Embeddings.
    pub entries: u64,
}

/// What [`Cache::clear`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Cleared {
    /// Embeddings.
    pub entries: u64,
    /// Bytes by which the file became smaller. Space inside the file that is not given back is used again.
    pub bytes: u64,
}

impl Cache {
    /// Opens the cache in `folder`, making both if need be. A damaged file is moved aside; ask
    /// [`take_notes`](Self::take_notes).
    ///
    /// # Errors
    /// The folder or the file cannot be made, read or written, or another process keeps it for longer than 20 s.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder).map_err(|error| {
            Error::io(format!("cannot make the cache folder {}", folder.display())).with_source(error)
        })?;
        let cache = Cache { paths: Paths::new(folder), database: Mutex::new(None), notes: Mutex::default() };
        cache.database(false).map_err(|failure| cache.error("open", failure))?;
        Ok(cache)
    }

    /// The folder used unless another is given: `$FROSTBERT_CACHE`, or `frostbert` in the user's cache folder
    /// (`$XDG_CACHE_HOME`, `~/.cache`; `%LOCALAPPDATA%` on Windows).
    ///
    /// # Errors
    /// There is no home folder to be found.
    pub fn default_folder() -> Result<PathBuf> {
        crate::platform::cache_folder()
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.paths.data
    }

    /// What the user should be told and was not yet: that a damaged file was moved aside.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut locked(&self.notes))
    }

    /// Looks embeddings up; `None` where there is none. For data larger than memory call it for a few thousand keys at a
    /// time, in the order of the data.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>> {
        // Sorted: neighbours lie on the same page, and an encoder's table is opened once.
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_unstable_by(|a, b| keys[*a].cmp(&keys[*b]));
        self.run("read", |database| {
            let transaction = database.begin_read()?;
            let mut found = vec![None; keys.len()];
            for group in order.chunk_by(|a, b| keys[*a].encoder == keys[*b].encoder) {
                let name = table_name(&keys[group[0]].encoder);
                let table = match transaction.open_table(Table::new(&name)) {
                    Ok(table) => table,
                    Err(TableError::TableDoesNotExist(_)) => continue,
                    Err(error) => return Err(error.into()),
                };
                for &at in group {
                    let digest = &keys[at].digest;
                    found[at] = table.get(digest)?.and_then(|row| Entry::decode(digest, row.value()));
                }
            }
            Ok(found)
        })
    }

    /// Stores embeddings, replacing what is under the same keys. One transaction, on the disk when this returns: pass a few
    /// hundred or more at a time.
    ///
    /// # Errors
    /// The file cannot be written, the disk is full for instance; nothing of this call is stored then. Or another process
    /// is in one write transaction for longer than 20 s.
    pub fn put_many(&self, entries: &[(Key, Entry)]) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut order: Vec<usize> = (0..entries.len()).collect();
        // Stable: of equal keys the last one stays.
        order.sort_by(|a, b| entries[*a].0.cmp(&entries[*b].0));
        self.run("write", |database| {
            let transaction = patiently(|| Ok(database.try_begin_write()?))?;
            for group in order.chunk_by(|a, b| entries[*a].0.encoder == entries[*b].0.encoder) {
                let name = table_name(&entries[group[0]].0.encoder);
                let mut table = transaction.open_table(Table::new(&name))?;
                for &at in group {
                    let (key, entry) = &entries[at];
                    table.insert(&key.digest, entry.encode(&key.digest).as_slice())?;
                }
            }
            Ok(transaction.commit()?)
        })
    }

    /// What is in the cache.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn info(&self) -> Result<Info> {
        let mut encoders = self.run("read", |database| {
            let transaction = database.begin_read()?;
            let mut encoders = Vec::new();
            for table in transaction.list_tables()? {
                if let Some(fingerprint) = table.name().strip_prefix(TABLE_PREFIX) {
                    let entries = transaction.open_table(Table::new(table.name()))?.len()?;
                    encoders.push(EncoderInfo { fingerprint: fingerprint.to_owned(), entries });
                }
            }
            Ok(encoders)
        })?;
        encoders.sort_by(|a, b| a.fingerprint.cmp(&b.fingerprint));
        Ok(Info {
            path: self.paths.data.clone(),
            bytes: self.file_bytes(),
            entries: encoders.iter().map(|encoder| encoder.entries).sum(),
            encoders,
        })
    }

    /// Removes everything in the cache of a folder, which need not be there. Where the store can write nothing, because the disk
    /// is full for instance, its file goes as a whole.
    ///
    /// # Errors
    /// The file cannot be removed, or another process keeps it for longer than 20 s.
    pub fn clear_folder(folder: impl AsRef<Path>) -> Result<Cleared> {
        let paths = Paths::new(folder.as_ref());
        if !paths.data.exists() && !paths.damaged.exists() {
            return Ok(Cleared::default());
        }
        Cache { paths, database: Mutex::new(None), notes: Mutex::default() }.clear(None)
    }

    /// Removes the embeddings of the encoders whose fingerprint starts with `prefix`, or everything, a damaged file that was
    /// moved aside included.
    ///
    /// # Errors
    /// The file cannot be written; where everything is to go, it cannot be removed either.
    pub fn clear(&self, prefix: Option<&str>) -> Result<Cleared> {
        let before = self.file_bytes();
        let prefix = format!("{TABLE_PREFIX}{}", prefix.unwrap_or_default());
        let everything = prefix == TABLE_PREFIX;
        let cleared = self.attempts(|database| {
            let transaction = patiently(|| Ok(database.try_begin_write()?))?;
            let tables: Vec<_> =
                transaction.list_tables()?.filter(|table| table.name().starts_with(&prefix)).collect();
            let mut entries = 0;
            for table in tables {
                entries += transaction.open_table(Table::new(table.name()))?.len()?;
                transaction.delete_table(table)?;
            }
            transaction.commit()?;
            Ok(entries)
        });
        let entries = match cleared {
            // To remove a file takes no room on the disk.
            Err(Failure::Other(_)) if everything => {
                let entries = self.info().map_or(0, |info| info.entries);
                self.close();
                remove(&self.paths.data)?;
                entries
            }
            cleared => cleared.map_err(|failure| self.error("clear", failure))?,
        };
        if everything {
            remove(&self.paths.damaged)?;
        }
        if !self.compact() && everything {
            remove(&self.paths.data)?;
        }
        Ok(Cleared { entries, bytes: before.saturating_sub(self.file_bytes()) })
    }

    /// Gives space back to the disk. Done where nobody else has the file open; elsewhere the space is used again later. False if
    /// the file could not be written.
    fn compact(&self) -> bool {
        let mut slot = locked(&self.database);
        let Some(mut database) = slot.take().and_then(Arc::into_inner) else { return true };
        // A failure costs space only, and what it means for the file shows when it is opened again.
        let compacted = guarded(|| Ok(database.compact().map_err(redb::Error::from)?));
        let _ = guarded(|| Ok(database.close()?));
        let unwritable = |failure: &Failure| {
            let Failure::Other(error) = failure else { return false };
            matches!(error.downcast_ref(), Some(redb::Error::Io(_) | redb::Error::PreviousIo))
        };
        !compacted.is_err_and(|failure| unwritable(&failure))
    }

    fn file_bytes(&self) -> u64 {
        std::fs::metadata(&self.paths.data).map_or(0, |data| data.len())
    }

    /// Runs `work` on the database; after damage once more, on the repaired or fresh one.
    fn run<T>(&self, what: &str, work: impl Fn(&Database) -> Result<T, Failure>) -> Result<T> {
        self.attempts(work).map_err(|failure| self.error(what, failure))
    }

    fn attempts<T>(&self, work: impl Fn(&Database) -> Result<T, Failure>) -> Result<T, Failure> {
        let attempt = |suspect| {
            let database = self.database(suspect)?;
            let result = guarded(|| work(&database));
            if matches!(result, Err(Failure::Damaged(_) | Failure::Other(_))) {
                self.close();
            }
            result
        };
        match attempt(false) {
            Err(Failure::Damaged(_)) => attempt(true),
            result => result,
        }
    }

    /// The open database, opened if need be.
    fn database(&self, suspect: bool) -> Result<Arc<Database>, Failure> {
        let mut slot = locked(&self.database);
        if let Some(database) = &*slot {
            return Ok(database.clone());
        }
        let database = Arc::new(self.paths.open(suspect, |note| locked(&self.notes).push(note))?);
        Ok(slot.insert(database).clone())
    }

    fn close(&self) {
        let database = locked(&self.database).take();
        // Closing writes; on a damaged file even that may panic.
        let _ = guarded(|| {
            drop(database);
            Ok(())
        });
    }

    fn error(&self, what: &str, failure: Failure) -> Error {
        let path = self.paths.data.display();
        match failure {
            Failure::Busy => Error::io(format!(
                "cannot {what} the embedding cache {path}: another process has kept it for {} s",
                PATIENCE.as_secs()
            )),
            Failure::Damaged(why) => Error::io(format!(
                "cannot {what} the embedding cache {path}: it is damaged ({why}); delete it"
            )),
            Failure::Other(error) => {
                Error::io(format!("cannot {what} the embedding cache {path}")).with_source(error)
            }
        }
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Cache").field(&self.paths.data).finish()
    }
}

/// Removes a file that may not be there.
fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(format!("cannot remove {}", path.display())).with_source(error))
        }
        _ => Ok(()),
    }
}

fn table_name(encoder: &str) -> String {
    format!("{TABLE_PREFIX}{encoder}")
}

/// A panic elsewhere leaves nothing half done under these locks.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
