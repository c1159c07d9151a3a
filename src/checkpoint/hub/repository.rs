//! One model's part of the cache, in huggingface_hub's layout: `models--ORG--NAME/refs/REVISION` holds a commit,
//! `snapshots/COMMIT/` that commit's files as links to `blobs/ETAG`, and `.locks/models--ORG--NAME/ETAG.lock` is held by
//! whoever downloads a blob, in Python as here.

use super::model::HubModel;
use std::path::{Path, PathBuf};

/// A model's folders.
pub(super) struct Repository {
    cache: PathBuf,
    name: String,
}

impl Repository {
    pub(super) fn new(cache: &Path, model: &HubModel) -> Self {
        Repository { cache: cache.to_path_buf(), name: format!("models--{}", model.id.replace('/', "--")) }
    }

    fn folder(&self) -> PathBuf {
        self.cache.join(&self.name)
    }

    /// The files of a commit.
    pub(super) fn snapshot(&self, commit: &Commit) -> PathBuf {
        self.folder().join("snapshots").join(&commit.0)
    }

    /// What `refs/REVISION` holds; `None` where there is no such file.
    pub(super) fn reference(&self, revision: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.folder().join("refs").join(revision)).ok()?;
        Some(text.trim().to_owned())
    }
}

/// A commit: 40 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commit(String);

impl Commit {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_commit = text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_commit.then(|| Commit(text.to_owned()))
    }

    #[cfg(feature = "hub")]
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(feature = "hub")]
pub(super) use writing::{BlobName, Hash};

/// What a download writes.
#[cfg(feature = "hub")]
mod writing {
    use super::{Commit, Repository};
    use crate::platform::whole_file;
    use std::fmt;
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicU64, Ordering};

    impl Repository {
        pub(in super::super) fn blob(&self, name: &BlobName) -> PathBuf {
            self.folder().join("blobs").join(&name.0)
        }

        /// Where the part of a blob is that has come so far.
        pub(in super::super) fn partial(&self, name: &BlobName) -> PathBuf {
            self.folder().join("blobs").join(format!("{}.incomplete", name.0))
        }

        pub(in super::super) fn lock(&self, name: &BlobName) -> PathBuf {
            self.cache.join(".locks").join(&self.name).join(format!("{}.lock", name.0))
        }

        /// Writes `refs/REVISION`, which makes the snapshot the model's current one. A commit is its own name.
        pub(in super::super) fn set_reference(&self, revision: &str, commit: &Commit) -> io::Result<()> {
            if revision == commit.0 {
                return Ok(());
            }
            let path = self.folder().join("refs").join(revision);
            std::fs::create_dir_all(whole_file::folder(&path))?;
            whole_file::write(&path, commit.0.as_bytes())
        }

        /// Puts a blob into a snapshot under the file's name: as a relative link where the system allows it, else as a copy.
        pub(in super::super) fn link(&self, blob: &BlobName, commit: &Commit, file: &str) -> io::Result<()> {
            let path = self.snapshot(commit).join(file);
            let folder = whole_file::folder(&path);
            std::fs::create_dir_all(folder)?;
            let up = "../".repeat(2 + file.matches('/').count());
            let target = PathBuf::from(format!("{up}blobs/{}", blob.0));
            // Under another name first: a link that is there already, to nothing, is replaced in one step.
            // A name of this call's own: threads of one program link at once, too.
            static CALLS: AtomicU64 = AtomicU64::new(0);
            let call = CALLS.fetch_add(1, Ordering::Relaxed);
            let temporary = folder.join(format!(".{}-{}-{call}.tmp", blob.0, std::process::id()));
            let _ = std::fs::remove_file(&temporary);
            symlink(&target, &temporary)
                .or_else(|_| std::fs::hard_link(self.blob(blob), &temporary))
                .or_else(|_| std::fs::copy(self.blob(blob), &temporary).map(drop))
                .and_then(|()| std::fs::rename(&temporary, &path))
                .inspect_err(|_| drop(std::fs::remove_file(&temporary)))
        }
    }

    #[cfg(unix)]
    fn symlink(target: &Path, link: &Path) -> io::Result<()> {
        std::os::unix::fs::symlink(target, link)
    }

    /// Allowed to administrators and in developer mode alone.
    #[cfg(windows)]
    fn symlink(target: &Path, link: &Path) -> io::Result<()> {
        std::os::windows::fs::symlink_file(target, link)
    }

    #[cfg(not(any(unix, windows)))]
    fn symlink(_: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The name of a blob, which is the file's ETag and says, for a hub, what the file's hash is.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(in super::super) struct BlobName(String);

    /// The hash that a blob's name gives.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(in super::super) enum Hash {
        /// Of the content: large files.
        Sha256,
        /// SHA-1 of git's header and the content: small files.
        GitBlob,
    }

    impl BlobName {
        /// A name from an ETag. It becomes a file's name, so it must be one, and nothing else: no separators, no drive, not
        /// hidden, and no name of ours.
        pub(in super::super) fn from_etag(etag: &str) -> Option<Self> {
            let etag = etag.trim();
            let etag = etag.strip_prefix("W/").unwrap_or(etag);
            let name = etag.strip_prefix('"').map_or(Some(etag), |rest| rest.strip_suffix('"'))?;
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            let good = !name.is_empty()
                && name.len() <= 128
                && name.bytes().all(allowed)
                && !name.starts_with('.')
                && !name.ends_with('.')
                && !name.ends_with(".incomplete");
            good.then(|| BlobName(name.to_owned()))
        }

        /// The hash in the name; `None` where a mirror names its files otherwise, and nothing can be checked.
        pub(in super::super) fn hash(&self) -> Option<Hash> {
            let is_hex = self.0.bytes().all(|byte| byte.is_ascii_hexdigit());
            match self.0.len() {
                64 if is_hex => Some(Hash::Sha256),
                40 if is_hex => Some(Hash::GitBlob),
                _ => None,
            }
        }

        pub(in super::super) fn is(&self, hash: &str) -> bool {
            self.0.eq_ignore_ascii_case(hash)
        }
    }

    impl fmt::Display for BlobName {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.0)
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn etags_that_are_file_names() {
            let (sha256, git) = ("a".repeat(64), "0".repeat(40));
            for (etag, name, hash) in [
                (format!("\"{sha256}\""), &*sha256, Some(Hash::Sha256)),
                (format!("W/\"{git}\""), &*git, Some(Hash::GitBlob)),
                (git.clone(), &*git, Some(Hash::GitBlob)),
                ("\"5f3c-62.gz\"".to_owned(), "5f3c-62.gz", None),
            ] {
                let blob = BlobName::from_etag(&etag).unwrap();
                assert_eq!((blob.to_string().as_str(), blob.hash()), (name, hash), "{etag}");
            }
        }

        #[test]
        fn etags_that_are_not() {
            let long = "a".repeat(129);
            for etag in [
                "",
                "\"\"",
                "\"",
                "..",
                ".",
                "../../x",
                "\"../x\"",
                "/etc/passwd",
                "a/b",
                "a\\b",
                "C:x",
                "a b",
                "a\0b",
                "é",
                ".hidden",
                "x.incomplete",
                "con.",
                "\"a\"b\"",
                &long,
            ] {
                assert_eq!(BlobName::from_etag(etag), None, "{etag:?}");
            }
        }
    }
}
