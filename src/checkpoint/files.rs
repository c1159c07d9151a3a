//! Where the bytes of a checkpoint come from: a folder, memory, or whatever else implements [`Files`].

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, Range};

#[cfg(not(target_arch = "wasm32"))]
pub use folder::FolderFiles;

/// The files of one checkpoint, read by byte range so that a large tensor file need not be in memory as a whole.
///
/// Names are relative, with `/` between folders: `model.safetensors`, `1_Pooling/config.json`.
pub trait Files: Send + Sync {
    /// Length in bytes; `None` where there is no such file.
    ///
    /// # Errors
    /// The file is there but cannot be looked at.
    fn len(&self, name: &str) -> Result<Option<u64>>;

    /// The bytes `range` of a file.
    ///
    /// # Errors
    /// There is no such file, it is shorter than the range's end, or reading failed.
    fn read(&self, name: &str, range: Range<u64>) -> Result<Bytes<'_>>;

    /// The file's name as a user knows it, for messages: its path, or its address.
    fn describe(&self, name: &str) -> String;

    /// Where the files are, for messages and for a head to remember.
    fn location(&self) -> String;
}

/// Bytes of a file: borrowed, read, or a window into a memory map.
pub enum Bytes<'a> {
    /// Held by the source.
    Borrowed(&'a [u8]),
    /// Read for this call.
    Owned(Vec<u8>),
    /// A part of a mapped file, which stays mapped as long as this lives.
    #[cfg(not(target_arch = "wasm32"))]
    Mapped(std::sync::Arc<memmap2::Mmap>, Range<usize>),
}

impl Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Borrowed(bytes) => bytes,
            Bytes::Owned(bytes) => bytes,
            #[cfg(not(target_arch = "wasm32"))]
            Bytes::Mapped(map, range) => &map[range.clone()],
        }
    }
}

impl fmt::Debug for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.len())
    }
}

/// The largest file that is read whole; vocabularies of a million tokens are a tenth of it.
const LARGEST_BYTES: u64 = 256 << 20;

/// The whole file, or `None` where there is none. For small files: config, tokenizer.
pub(super) fn read_all<'a>(files: &'a dyn Files, name: &str) -> Result<Option<Bytes<'a>>> {
    match files.len(name)? {
        Some(len) if len > LARGEST_BYTES => Err(Error::model_file(format!(
            "cannot read {}: it has {len} bytes, and a file of its kind at most {LARGEST_BYTES}",
            files.describe(name)
        ))),
        Some(len) => files.read(name, 0..len).map(Some),
        None => Ok(None),
    }
}

/// Checks a name that a file of the checkpoint gives for another one: relative, and inside the checkpoint.
pub(super) fn check_relative(name: &str, named_in: &str) -> Result<()> {
    let inside = |part: &str| !part.is_empty() && part != "." && part != "..";
    if name.split('/').all(inside) && !name.contains(['\\', ':', '\0']) {
        return Ok(());
    }
    Err(Error::model_file(format!("{named_in} names the file {name:?}, which lies outside the checkpoint")))
}

/// `range` as indices into `len` bytes.
fn checked_range(range: &Range<u64>, len: usize, name: &str) -> Result<Range<usize>> {
    let bounds = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
    bounds.filter(|(start, end)| start <= end && *end <= len).map(|(start, end)| start..end).ok_or_else(
        || {
            Error::model_file(format!(
                "cannot read {name}: bytes {} to {} were wanted, the file has {len}",
                range.start, range.end
            ))
        },
    )
}

/// A checkpoint in memory: files by name. For browsers and tests.
///
/// ```
/// use frostbert::checkpoint::{Files, MemoryFiles};
/// let files = MemoryFiles::from_iter([("config.json", b"{}".to_vec())]);
/// assert_eq!(files.len("config.json")?, Some(2));
/// # Ok::<(), frostbert::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles {
    files: BTreeMap<String, Vec<u8>>,
}

impl MemoryFiles {
    /// No files yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces a file.
    pub fn insert(&mut self, name: impl Into<String>, bytes: Vec<u8>) {
        self.files.insert(name.into(), bytes);
    }

    /// Takes a file out.
    pub fn remove(&mut self, name: &str) -> Option<Vec<u8>> {
        self.files.remove(name)
    }
}

impl<S: Into<String>> FromIterator<(S, Vec<u8>)> for MemoryFiles {
    fn from_iter<I: IntoIterator<Item = (S, Vec<u8>)>>(files: I) -> Self {
        MemoryFiles { files: files.into_iter().map(|(name, bytes)| (name.into(), bytes)).collect() }
    }
}

impl Files for MemoryFiles {
    fn len(&self, name: &str) -> Result<Option<u64>> {
        Ok(self.files.get(name).map(|bytes| bytes.len() as u64))
    }

    fn read(&self, name: &str, range: Range<u64>) -> Result<Bytes<'_>> {
        let bytes =
            self.files.get(name).ok_or_else(|| Error::model_file(format!("there is no file {name}")))?;
        Ok(Bytes::Borrowed(&bytes[checked_range(&range, bytes.len(), name)?]))
    }

    fn describe(&self, name: &str) -> String {
        name.to_owned()
    }

    fn location(&self) -> String {
        "memory".to_owned()
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod folder {
    use super::{Bytes, Files, check_relative, checked_range};
    use crate::error::{Error, Result};
    use memmap2::Mmap;
    use std::collections::HashMap;
    use std::fs::File;
    use std::io::ErrorKind;
    use std::ops::Range;
    use std::path::{Path, PathBuf};
    use std::sync::{Arc, Mutex, PoisonError};

    /// Files up to this length are read, not mapped: a mapping costs more than a copy of a page or two.
    const MAP_FROM_BYTES: u64 = 64 * 1024;

    /// A checkpoint folder. Tensor files are memory-mapped, each once.
    ///
    /// As with every memory map, a file that another program truncates meanwhile ends this one (`SIGBUS` on Unix).
    #[derive(Debug)]
    pub struct FolderFiles {
        root: PathBuf,
        maps: Mutex<HashMap<String, Arc<Mmap>>>,
    }

    impl FolderFiles {
        /// The folder at `path`.
        ///
        /// # Errors
        /// There is nothing there, or it is not a folder.
        pub fn open(path: impl AsRef<Path>) -> Result<Self> {
            let root = path.as_ref().to_path_buf();
            let told = root.display();
            match std::fs::metadata(&root) {
                Ok(metadata) if metadata.is_dir() => Ok(FolderFiles { root, maps: Mutex::default() }),
                Ok(_) => Err(Error::model_file(format!(
                    "cannot open the checkpoint {told}: expected a folder with config.json, found a file; \
                     name the folder it lies in"
                ))),
                Err(error) => Err(Error::model_file(format!(
                    "cannot open the checkpoint {told}: expected a folder with config.json"
                ))
                .with_source(error)),
            }
        }

        fn failed(&self, name: &str, error: std::io::Error) -> Error {
            Error::model_file(format!("cannot read {}", self.describe(name))).with_source(error)
        }

        /// Where a file is: never outside the folder, whatever a file of the checkpoint calls another.
        fn path(&self, name: &str) -> Result<PathBuf> {
            check_relative(name, &self.location())?;
            Ok(self.root.join(name))
        }

        fn map(&self, name: &str) -> Result<Arc<Mmap>> {
            let mut maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(map) = maps.get(name) {
                return Ok(map.clone());
            }
            let file = File::open(self.path(name)?).map_err(|error| self.failed(name, error))?;
            // SAFETY: the map is read-only and never handed out as anything but bytes. Another process may still
            // change the file under it, as with every memory map; the type's documentation says so.
            let map = unsafe { Mmap::map(&file) }.map_err(|error| self.failed(name, error))?;
            let map = Arc::new(map);
            maps.insert(name.to_owned(), map.clone());
            Ok(map)
        }
    }

    impl Files for FolderFiles {
        fn len(&self, name: &str) -> Result<Option<u64>> {
            match std::fs::metadata(self.path(name)?) {
                Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
                Ok(_) => Ok(None),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                    Ok(None)
                }
                Err(error) => Err(self.failed(name, error)),
            }
        }

        fn read(&self, name: &str, range: Range<u64>) -> Result<Bytes<'_>> {
            let len = self.len(name)?.ok_or_else(|| {
                Error::model_file(format!("cannot read {}: there is no such file", self.describe(name)))
            })?;
            if len < MAP_FROM_BYTES {
                let mut bytes = std::fs::read(self.path(name)?).map_err(|error| self.failed(name, error))?;
                let range = checked_range(&range, bytes.len(), &self.describe(name))?;
                bytes.truncate(range.end);
                bytes.drain(..range.start);
                return Ok(Bytes::Owned(bytes));
            }
            let map = self.map(name)?;
            let range = checked_range(&range, map.len(), &self.describe(name))?;
            Ok(Bytes::Mapped(map, range))
        }

        fn describe(&self, name: &str) -> String {
            self.root.join(name).display().to_string()
        }

        fn location(&self) -> String {
            self.root.display().to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside_the_checkpoint() {
        for name in ["model-00001-of-00002.safetensors", "2_Dense/model.safetensors"] {
            check_relative(name, "index").unwrap();
        }
        for name in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "C:\\x", "./x", "a\\b"] {
            assert!(check_relative(name, "index").unwrap_err().is_model_file(), "{name}");
        }
    }

    #[test]
    fn a_range_past_the_end_is_an_error_in_memory_and_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        for len in [10usize, 200_000] {
            let bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
            std::fs::write(folder.path().join("x"), &bytes).unwrap();
            let memory = MemoryFiles::from_iter([("x", bytes.clone())]);
            let mapped = FolderFiles::open(folder.path()).unwrap();
            assert!(mapped.len("/etc/passwd").unwrap_err().is_model_file());
            assert!(mapped.read("../x", 0..1).unwrap_err().is_model_file());
            for files in [&memory as &dyn Files, &mapped] {
                assert_eq!(&files.read("x", 3..7).unwrap()[..], &bytes[3..7]);
                assert!(files.read("x", 0..len as u64 + 1).unwrap_err().is_model_file());
                assert!(files.read("y", 0..1).unwrap_err().is_model_file());
                assert_eq!(files.len("y").unwrap(), None);
            }
        }
    }
}
