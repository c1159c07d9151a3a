//! One file of a repository into the cache: under a lock, resumed where an earlier try stopped, and checked before it is
//! given its name.

use super::http::{Answer, Client, Failure, Metadata};
use super::repository::{BlobName, Commit, Hash, Repository};
use crate::checkpoint::fingerprint::hex;
use crate::checkpoint::json;
use crate::platform::whole_file;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Larger than any file of JSON or words; weights may have any size.
const MAX_SMALL_BYTES: u64 = 256 << 20;
/// How often a lock is tried that another program holds.
const LOCK_POLL: Duration = Duration::from_millis(100);
/// Time-outs without a byte more before the holder of a lock counts as stuck: it may be hashing a large file.
const LOCK_PATIENCE: u32 = 20;

/// A file to get, and where to.
pub(super) struct Fetch<'a> {
    pub(super) client: &'a Client,
    pub(super) repository: &'a Repository,
    pub(super) commit: &'a Commit,
    /// The file in the repository.
    pub(super) file: &'a str,
    /// Its path at the hub.
    pub(super) path: &'a str,
}

impl Fetch<'_> {
    /// Makes sure that the file's content is in the cache, whole and checked.
    ///
    /// # Errors
    /// The hub does not give it, gives something else, or the cache cannot be written to.
    pub(super) fn run(&self, report: &mut dyn FnMut(u64, u64)) -> Result<Metadata, Failure> {
        let answer = self.client.get(self.path, 0)?;
        let meta = answer.metadata()?;
        if meta.commit != *self.commit {
            return Err(Failure::Content("it is from another commit than was asked for".to_owned()));
        }
        let is_weights = self.file.ends_with(".safetensors");
        if !is_weights && meta.bytes > MAX_SMALL_BYTES {
            return Err(Failure::Content(format!(
                "expected at most {MAX_SMALL_BYTES} bytes, it is said to have {}",
                meta.bytes
            )));
        }
        if self.is_there(&meta)? {
            return Ok(meta);
        }
        let mut report = |done: u64| report(done, meta.bytes);
        let blob = self.repository.blob(&meta.blob);
        std::fs::create_dir_all(whole_file::folder(&blob)).map_err(Failure::Disk)?;
        let lock_path = self.repository.lock(&meta.blob);
        std::fs::create_dir_all(whole_file::folder(&lock_path)).map_err(Failure::Disk)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(Failure::Disk)?;
        let answer = match lock.try_lock() {
            Err(TryLockError::WouldBlock) => {
                // The hub would not wait for us as long as we wait for the lock.
                drop(answer);
                self.wait(&lock, &lock_path, &meta, &mut report)?;
                if self.is_there(&meta)? {
                    return Ok(meta);
                }
                None
            }
            // Some network file systems know no locks; two downloads at once then end in an error of one of them.
            Ok(()) | Err(TryLockError::Error(_)) => Some(answer),
        };
        self.download(answer, &meta, &mut report)?;
        Ok(meta)
    }

    /// Whether the blob is there. One of another length is what a damaged disk or a killed program left.
    fn is_there(&self, meta: &Metadata) -> Result<bool, Failure> {
        let blob = self.repository.blob(&meta.blob);
        match blob.metadata() {
            Ok(found) if found.is_file() && found.len() == meta.bytes => Ok(true),
            Ok(found) if found.is_file() => std::fs::remove_file(blob).map(|()| false).map_err(Failure::Disk),
            Ok(_) => Err(Failure::Disk(io::Error::other(format!("{} is not a file", blob.display())))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Failure::Disk(error)),
        }
    }

    /// Waits for another program (or thread) that downloads the same file, and shows how far it is.
    fn wait(
        &self,
        lock: &File,
        lock_path: &Path,
        meta: &Metadata,
        report: &mut dyn FnMut(u64),
    ) -> Result<(), Failure> {
        let patience = self.client.timeout() * LOCK_PATIENCE;
        let partial = self.repository.partial(&meta.blob);
        let (mut before, mut since) = (None, Instant::now());
        loop {
            match lock.try_lock() {
                Ok(()) | Err(TryLockError::Error(_)) => return Ok(()),
                Err(TryLockError::WouldBlock) => {}
            }
            let done = partial.metadata().ok().map(|found| found.len());
            if done != before {
                (before, since) = (done, Instant::now());
                report(done.unwrap_or(0).min(meta.bytes));
            }
            if since.elapsed() > patience {
                return Err(Failure::Busy(format!(
                    "another program has been downloading it and got no further for {} seconds; end that program (it \
                     holds the lock {})",
                    patience.as_secs(),
                    lock_path.display()
                )));
            }
            std::thread::sleep(LOCK_POLL);
        }
    }

    /// Downloads under the lock: what is there of an earlier try is kept where it can be checked in the end.
    fn download(
        &self,
        mut answer: Option<Answer>,
        meta: &Metadata,
        report: &mut dyn FnMut(u64),
    ) -> Result<(), Failure> {
        let partial = self.repository.partial(&meta.blob);
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&partial);
        let mut file = file.map_err(Failure::Disk)?;
        let mut there = file.metadata().map_err(Failure::Disk)?.len();
        loop {
            if there > meta.bytes || meta.blob.hash().is_none() {
                there = 0;
            }
            let resumed = there;
            if there < meta.bytes || meta.bytes == 0 {
                let first = match answer.take().filter(|_| there == 0) {
                    Some(answer) => answer,
                    None => self.client.get(self.path, there)?,
                };
                if first.is_past_the_end() && there > 0 {
                    there = 0;
                    continue;
                }
                self.receive(first, &mut file, meta, &mut there, report).inspect_err(|failure| {
                    // Not kept: a later try must not resume from it.
                    if matches!(failure, Failure::Content(_)) {
                        let _ = std::fs::remove_file(&partial);
                    }
                })?;
            }
            file.sync_all().map_err(Failure::Disk)?;
            match check(&mut file, meta, self.file).map_err(Failure::Disk)? {
                Ok(()) => break,
                // What an earlier try left may be of another file.
                Err(_) if resumed > 0 => (there, answer) = (0, None),
                Err(problem) => {
                    let _ = std::fs::remove_file(&partial);
                    return Err(Failure::Content(problem));
                }
            }
        }
        drop(file);
        std::fs::rename(&partial, self.repository.blob(&meta.blob)).map_err(Failure::Disk)
    }

    /// Writes an answer's body after the first `there` bytes, which are counted on.
    fn receive(
        &self,
        answer: Answer,
        file: &mut File,
        meta: &Metadata,
        there: &mut u64,
        report: &mut dyn FnMut(u64),
    ) -> Result<(), Failure> {
        if answer.metadata()?.blob != meta.blob {
            return Err(Failure::Content("it changed while it was asked for".to_owned()));
        }
        // A server that knows no ranges begins at the first byte.
        let begins = answer.begins_at(meta.bytes)?;
        if begins != 0 && begins != *there {
            return Err(Failure::Answer(format!(
                "it was asked for byte {there} and on, and sent byte {begins} and on"
            )));
        }
        *there = begins;
        file.set_len(*there).map_err(Failure::Disk)?;
        file.seek(SeekFrom::Start(*there)).map_err(Failure::Disk)?;
        report(*there);
        let missing = meta.bytes - *there;
        let got = answer.read(self.client.timeout(), missing, |part| {
            file.write_all(part)?;
            *there += part.len() as u64;
            report(*there);
            Ok(())
        });
        match got {
            Ok(len) if len == missing => Ok(()),
            Ok(len) => Err(Failure::Broken(format!("expected {missing} bytes more, {len} came").into())),
            Err(failure) => Err(failure),
        }
    }
}

/// Whether what came is what was announced: its length, its hash where the hub names the file by it, and that JSON is JSON
/// (a proxy's sign-in page is not).
fn check(file: &mut File, meta: &Metadata, name: &str) -> io::Result<Result<(), String>> {
    let found = file.metadata()?.len();
    if found != meta.bytes {
        return Ok(Err(format!("expected {} bytes, found {found}", meta.bytes)));
    }
    if name.ends_with(".json") {
        let mut bytes = vec![];
        file.seek(SeekFrom::Start(0))?;
        file.read_to_end(&mut bytes)?;
        if let Err(error) = json::parse(&bytes, "the file") {
            return Ok(Err(format!("expected JSON ({error:#})")));
        }
    }
    let Some((what, hash)) = hash(file, &meta.blob)? else { return Ok(Ok(())) };
    Ok(match meta.blob.is(&hash) {
        true => Ok(()),
        false => Err(format!("expected content with the {what} {}, found {hash}", meta.blob)),
    })
}

/// The hash that the blob's name promises, of what came.
fn hash(file: &mut File, blob: &BlobName) -> io::Result<Option<(&'static str, String)>> {
    file.seek(SeekFrom::Start(0))?;
    Ok(match blob.hash() {
        None => None,
        Some(Hash::Sha256) => Some(("SHA-256", digest(Sha256::new(), file)?)),
        Some(Hash::GitBlob) => {
            let header = format!("blob {}\0", file.metadata()?.len());
            Some(("git hash", digest(Sha1::new().chain_update(header), file)?))
        }
    })
}

fn digest(mut hash: impl Digest, file: &mut File) -> io::Result<String> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            len => hash.update(&buffer[..len]),
        }
    }
}
