//! Results in an object store. It has no renaming that takes a whole folder, so parts are copied to their place within the store when all of them
//! are there, and an empty object `_SUCCESS` beside them, written last, says that they are whole: as Hadoop's and Spark's committers do.

use std::sync::Arc;

use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::ParquetMetaDataReader;
use frostbert::{Error, Result};
use futures::{StreamExt, TryStreamExt};
use object_store::path::{Path, PathPart};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload};
use url::{Position, Url};

use super::{check_parts, check_rows, taken, unfinished};
use crate::stores;

/// Requests at a time.
const AT_ONCE: usize = 8;
/// Bytes of a Parquet file's end that are read first.
const FOOTER: u64 = 64 << 10;
/// Written last.
const SUCCESS: &str = "_SUCCESS";

/// A result that is being written to an object store.
pub struct Stored {
    store: Arc<dyn ObjectStore>,
    /// Scheme and bucket: what stands before the path.
    root: Url,
    target: Path,
    staging: Path,
    /// A single object instead of parts under a prefix.
    single: bool,
    overwrite: bool,
}

impl Stored {
    pub async fn begin(url: &Url, overwrite: bool, runtime: &RuntimeEnv) -> Result<Self> {
        let store = runtime
            .object_store_registry
            .get_store(url)
            .map_err(|error| Error::input(error.strip_backtrace()))?;
        let target = Path::from_url_path(url.path())
            .map_err(|error| Error::input(format!("{url} is no place of a store")).with_source(error))?;
        let Some(name) = target.filename() else {
            return Err(Error::input(format!("{url} is a whole bucket; name a folder or a file in it")));
        };
        let single = !url.path().ends_with('/') && name.contains('.');
        // As it is: a string would be escaped once more.
        let beside = unfinished(name);
        let beside = PathPart::parse(&beside)
            .map_err(|error| Error::input(format!("{url} is no place of a store: {error}")))?;
        let mut parts: Vec<PathPart<'_>> = target.parts().collect();
        parts.pop();
        parts.push(beside);
        let staging = parts.into_iter().collect();
        let output = Stored { store, root: url.clone(), target, staging, single, overwrite };
        if !overwrite && !output.at_target().await?.is_empty() {
            return Err(taken(&output.target()));
        }
        Ok(output)
    }

    pub fn url(&self) -> String {
        let mut url = stores::url_of(&self.root, &self.staging).unwrap_or_else(|| self.root.clone());
        if let Ok(mut segments) = url.path_segments_mut() {
            // A folder ends in a slash.
            let name = self.target.filename().filter(|_| self.single);
            segments.push(name.unwrap_or_default());
        }
        url.into()
    }

    pub fn target(&self) -> String {
        self.place(&self.target)
    }

    fn place(&self, path: &Path) -> String {
        format!("{}/{path}", &self.root[..Position::BeforePath])
    }

    pub async fn commit(self, rows: &[u64]) -> Result<()> {
        let whole = self.whole(rows).await;
        let (staged, old) = match whole {
            Ok(found) => found,
            Err(error) => {
                self.abandon().await;
                return Err(error);
            }
        };
        if let Err(error) = self.replace(&staged, old).await {
            return Err(Error::io(format!(
                "the result could not be copied to {}; it is whole in {}, from where it can be taken",
                self.target(),
                self.place(&self.staging)
            ))
            .with_source(error));
        }
        self.abandon().await;
        Ok(())
    }

    /// The parts, after making sure that they are all there, and what stands in their place.
    async fn whole(&self, rows: &[u64]) -> Result<(Vec<ObjectMeta>, Vec<ObjectMeta>)> {
        let staged = self.list(&self.staging).await?;
        self.check(&staged, rows).await?;
        let old = self.at_target().await?;
        if self.overwrite || old.is_empty() { Ok((staged, old)) } else { Err(taken(&self.target())) }
    }

    async fn replace(&self, staged: &[ObjectMeta], old: Vec<ObjectMeta>) -> Result<()> {
        // The sign first: without it no reader takes what is there for whole.
        let success = self.target.clone().join(SUCCESS);
        let (sign, old): (Vec<_>, Vec<_>) = old.into_iter().partition(|found| found.location == success);
        self.remove(sign).await?;
        if !self.single {
            self.remove(old).await?;
        }
        if let Err(error) = self.put_in_place(staged).await {
            if !self.single {
                // Best as it can: nobody takes them for whole without the sign.
                let copied = self.at_target().await.unwrap_or_default();
                let _ = self.remove(copied).await;
            }
            return Err(self.cannot("copy to", &self.target, error));
        }
        Ok(())
    }

    async fn check(&self, staged: &[ObjectMeta], rows: &[u64]) -> Result<()> {
        check_parts(staged.len(), rows, &self.place(&self.staging))?;
        if staged.iter().all(|part| part.location.extension() == Some("parquet")) {
            let counts = futures::stream::iter(staged).map(|part| self.rows_of(part)).buffered(AT_ONCE);
            let counts: Vec<u64> = counts.try_collect().await?;
            check_rows(counts.iter().sum(), rows, &self.place(&self.staging))?;
        }
        Ok(())
    }

    async fn put_in_place(&self, staged: &[ObjectMeta]) -> object_store::Result<()> {
        let copies = staged.iter().map(|part| async move {
            let to = match part.location.filename() {
                Some(name) if !self.single => self.target.clone().join(name),
                _ => self.target.clone(),
            };
            self.store.copy(&part.location, &to).await
        });
        futures::stream::iter(copies).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
        if !self.single {
            self.store.put(&self.target.clone().join(SUCCESS), PutPayload::default()).await?;
        }
        Ok(())
    }

    /// Removes what was written beside the place. Whether there was anything.
    pub async fn abandon(&self) -> bool {
        let removed = match self.list(&self.staging).await {
            Ok(found) if found.is_empty() => return false,
            Ok(found) => self.remove(found).await,
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            log::warn!(
                "the unfinished result cannot be removed from {}: {error:#}",
                self.place(&self.staging)
            );
        }
        true
    }

    async fn at_target(&self) -> Result<Vec<ObjectMeta>> {
        if self.single {
            return match self.store.head(&self.target).await {
                Ok(found) => Ok(vec![found]),
                Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
                Err(error) => Err(self.cannot("look at", &self.target, error)),
            };
        }
        self.list(&self.target).await
    }

    async fn list(&self, prefix: &Path) -> Result<Vec<ObjectMeta>> {
        let found = self.store.list(Some(prefix)).try_collect().await;
        found.map_err(|error| self.cannot("list", prefix, error))
    }

    async fn remove(&self, objects: Vec<ObjectMeta>) -> Result<()> {
        let places = futures::stream::iter(objects.into_iter().map(|object| Ok(object.location)));
        let removed: object_store::Result<Vec<Path>> =
            self.store.delete_stream(places.boxed()).try_collect().await;
        removed.map(drop).map_err(|error| self.cannot("remove objects beside", &self.target, error))
    }

    async fn rows_of(&self, part: &ObjectMeta) -> Result<u64> {
        let damaged = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::io(format!("{} is not whole; nothing was put in place", self.place(&part.location)))
                .with_source(error)
        };
        let mut reader = ParquetMetaDataReader::new();
        let mut wanted = FOOTER.min(part.size);
        loop {
            let end = self.store.get_range(&part.location, part.size - wanted..part.size).await;
            let end = end.map_err(|error| damaged(error.into()))?;
            match reader.try_parse_sized(&end, part.size) {
                Ok(()) => break,
                Err(ParquetError::NeedMoreData(needed)) if needed as u64 > wanted => wanted = needed as u64,
                Err(error) => return Err(damaged(error.into())),
            }
        }
        let metadata = reader.finish().map_err(|error| damaged(error.into()))?;
        Ok(u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0))
    }

    fn cannot(&self, what: &str, path: &Path, error: object_store::Error) -> Error {
        Error::io(format!("cannot {what} {}", self.place(path))).with_source(error)
    }
}
