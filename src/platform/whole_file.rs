//! Files that are there whole or not at all: written under another name in the same folder, and renamed when all is on disk.
//! A reader never sees half of one, and a full disk leaves the old one.
//!
//! A symbolic link is followed: what it points to is replaced, in its own folder. A file that is there keeps its permissions. What
//! is no file (a device, a pipe) cannot be replaced: it is written to, when all is there. What a run that was killed left behind
//! goes with the next run that writes into the same folder.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

const PREFIX: &str = ".frostbert-";
const SUFFIX: &str = ".tmp";

/// Writes a file whole, or leaves it as it was.
///
/// # Errors
/// The folder is not there, cannot be written to, or the disk is full.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = WholeFile::create(path)?;
    file.file().write_all(bytes)?;
    file.finish()
}

/// A file on its way: written under another name, or no name, until it is whole. Dropped before that, it leaves nothing.
pub(crate) struct WholeFile {
    content: Content,
}

enum Content {
    /// Beside the file it becomes.
    Named { temporary: NamedTempFile, target: PathBuf },
    /// To be copied to a device or a pipe.
    Nameless { temporary: File, target: File },
}

impl WholeFile {
    /// Starts a file.
    ///
    /// # Errors
    /// The folder is not there or cannot be written to; there is a folder of this name.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let there = match fs::metadata(path) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if there.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if there.as_ref().is_some_and(|metadata| !metadata.is_file()) || is_handle(path) {
            let target = fs::OpenOptions::new().write(true).open(path)?;
            return Ok(WholeFile { content: Content::Nameless { temporary: tempfile::tempfile()?, target } });
        }
        let target = followed(path)?;
        clean(folder(&target));
        let temporary = locked(folder(&target))?;
        if let Some(there) = there {
            keep_owner(temporary.as_file(), &there);
            temporary.as_file().set_permissions(there.permissions())?;
        }
        Ok(WholeFile { content: Content::Named { temporary, target } })
    }

    /// What to write to.
    pub(crate) fn file(&self) -> &File {
        match &self.content {
            Content::Named { temporary, .. } => temporary.as_file(),
            Content::Nameless { temporary, .. } => temporary,
        }
    }

    /// Gives the file its name, or the device its bytes.
    ///
    /// # Errors
    /// The disk is full, or the file may not be replaced; then it is as it was.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self.content {
            Content::Named { temporary, target } => {
                // Data before name: after a power cut the file is whole or not there.
                temporary.as_file().sync_all()?;
                temporary.persist(target)?;
                Ok(())
            }
            Content::Nameless { mut temporary, mut target } => {
                temporary.rewind()?;
                let mut buffer = vec![0; 1 << 16];
                loop {
                    match temporary.read(&mut buffer)? {
                        0 => return target.flush(),
                        read => target.write_all(&buffer[..read])?,
                    }
                }
            }
        }
    }
}

/// The folder of a file.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether a path stands for something open: replacing its name would miss it.
fn is_handle(path: &Path) -> bool {
    cfg!(unix) && ["/dev/fd", "/dev/stdout", "/dev/stderr", "/proc"].iter().any(|open| path.starts_with(open))
}

/// Where a path leads after its links, whether a file is there or not.
fn followed(path: &Path) -> io::Result<PathBuf> {
    // As many as Linux follows.
    const MOST: usize = 40;
    let mut path = path.to_path_buf();
    for _ in 0..MOST {
        match fs::read_link(&path) {
            Ok(target) => path = folder(&path).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many links, one behind the other"))
}

/// A temporary file that others can see is in use: its lock goes with the process.
fn locked(folder: &Path) -> io::Result<NamedTempFile> {
    loop {
        let file = builder().tempfile_in(folder)?;
        match file.as_file().try_lock() {
            // Somebody who cleans up may have seen it before it was locked.
            Ok(()) if !file.path().exists() => {}
            Err(TryLockError::WouldBlock) => {}
            // A file system without locks is no reason to fail; nor can anybody lock it there to remove it.
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(file),
        }
    }
}

/// Makes temporary files with the permissions of any new file; by themselves they would be their owner's alone.
fn builder<'a>() -> Builder<'a, 'a> {
    let mut builder = Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    // The umask takes off what the user does not want to share. Elsewhere a new file takes its folder's permissions.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
}

/// Whether no process holds the lock of a file: whoever made it is gone.
pub(crate) fn is_abandoned(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

/// Removes what killed runs left in a folder: temporary files of ours that no process holds. What cannot be removed stays.
fn clean(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        if is_abandoned(&entry.path()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A file that somebody else owns stays theirs, where the system lets us.
#[cfg(unix)]
fn keep_owner(file: &File, there: &fs::Metadata) {
    use std::os::unix::fs::MetadataExt;
    if file.metadata().is_ok_and(|own| (own.uid(), own.gid()) != (there.uid(), there.gid())) {
        let _ = std::os::unix::fs::fchown(file, Some(there.uid()), Some(there.gid()));
    }
}

#[cfg(not(unix))]
fn keep_owner(_file: &File, _there: &fs::Metadata) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        write(&path, b"old").unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["table.csv"]);
        assert!(write(&folder.path().join("absent/table.csv"), b"").is_err());
        assert!(write(folder.path(), b"").is_err());
    }

    #[test]
    fn what_a_killed_run_left_goes_and_what_another_writes_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        fs::write(folder.path().join(".frostbert-killed.tmp"), b"half").unwrap();
        fs::write(folder.path().join(".frostbert-notes"), b"not ours").unwrap();
        let other = WholeFile::create(&folder.path().join("other.csv")).unwrap();
        other.file().write_all(b"other").unwrap();
        write(&path, b"new").unwrap();
        other.finish().unwrap();
        assert_eq!(names(folder.path()), [".frostbert-notes", "other.csv", "table.csv"]);
        assert_eq!(fs::read(folder.path().join("other.csv")).unwrap(), b"other");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_has_the_permissions_of_any_other_or_those_it_had() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, other) = (folder.path().join("ours"), folder.path().join("other"));
        write(&ours, b"").unwrap();
        fs::write(&other, b"").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&other));
        for kept in [0o600, 0o640, 0o664, 0o755] {
            fs::set_permissions(&ours, fs::Permissions::from_mode(kept)).unwrap();
            write(&ours, b"new").unwrap();
            assert_eq!(mode(&ours) & 0o7777, kept);
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("real"), b"old").unwrap();
        let at = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink("elsewhere/real", at("link")).unwrap();
        std::os::unix::fs::symlink("link", at("link to a link")).unwrap();
        std::os::unix::fs::symlink("elsewhere/not yet", at("dangling")).unwrap();
        std::os::unix::fs::symlink("circle", at("circle")).unwrap();
        write(&at("link to a link"), b"new").unwrap();
        write(&at("dangling"), b"first").unwrap();
        assert!(write(&at("circle"), b"").is_err());
        for link in ["link", "link to a link", "dangling"] {
            assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink(), "{link}");
        }
        assert_eq!(fs::read(elsewhere.join("real")).unwrap(), b"new");
        assert_eq!(fs::read(elsewhere.join("not yet")).unwrap(), b"first");
        assert_eq!(names(&elsewhere), ["not yet", "real"]);
    }

    #[cfg(unix)]
    #[test]
    fn devices_and_pipes_are_written_to() {
        use std::os::unix::fs::FileTypeExt;
        write(Path::new("/dev/null"), b"gone").unwrap();
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        assert!(write(Path::new("/dev/full"), b"no room").is_err() || !Path::new("/dev/full").exists());
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        write(&pipe, &[7; 200_000]).unwrap();
        assert_eq!(reader.join().unwrap(), [7; 200_000]);
        assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
    }
}
