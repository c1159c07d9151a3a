//! Files of heads.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// The file's bytes.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path)
}

/// Writes a file under another name first: a reader never sees half of it, and a full disk leaves the old one.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = shared_file().prefix(".head-").suffix(".tmp").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Removes a file that may not be there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A temporary file with the permissions of any new file; by itself it would be its owner's alone.
#[cfg(unix)]
fn shared_file<'a>() -> tempfile::Builder<'a, 'a> {
    use std::os::unix::fs::PermissionsExt;
    let mut builder = tempfile::Builder::new();
    // The umask takes off what the user does not want to share.
    builder.permissions(fs::Permissions::from_mode(0o666));
    builder
}

/// Elsewhere a new file takes its folder's permissions.
#[cfg(not(unix))]
fn shared_file<'a>() -> tempfile::Builder<'a, 'a> {
    tempfile::Builder::new()
}
