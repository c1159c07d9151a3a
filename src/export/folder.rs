//! A folder that appears as a whole or not at all.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::platform::whole_file::is_abandoned;

/// How the temporary folders are called, and the file in them that is locked while somebody fills them.
const PREFIX: &str = ".frostbert-export-";
const LOCK: &str = "lock";

/// Removes what killed runs left: temporary folders whose lock nobody holds. What cannot be removed stays, and so does a folder
/// without a lock, which somebody may be about to take.
fn clean(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if is_abandoned(&entry.path().join(LOCK)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Fills a new folder beside `target` with `fill`, then renames it.
pub(super) fn write_folder(target: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    check_free(target)?;
    let failed = |error: std::io::Error| {
        Error::io(format!("cannot write the folder {}", target.display())).with_source(error)
    };
    // An absolute path has a parent to put the temporary folder into, on the same file system.
    let target: PathBuf = std::path::absolute(target).map_err(failed)?;
    let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
        return Err(Error::input(format!("cannot write to {}: name a folder", target.display())));
    };
    fs::create_dir_all(parent).map_err(failed)?;
    clean(parent);
    let temporary = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent).map_err(failed)?;
    // Held as long as this runs: who cleans up sees by it that the folder is in use. A file system without locks does not matter.
    let lock = File::create(temporary.path().join(LOCK)).map_err(failed)?;
    let _ = lock.try_lock();
    // A folder inside: the temporary one can be entered by its owner only.
    let filled = temporary.path().join(name);
    fs::create_dir(&filled).map_err(failed)?;
    fill(&filled)?;
    if target.exists() {
        // Empty, or this fails: somebody else may have written to it since.
        fs::remove_dir(&target).map_err(failed)?;
    }
    fs::rename(&filled, &target).map_err(failed)
}

fn check_free(target: &Path) -> Result<()> {
    let taken = |what: &str| {
        Err(Error::input(format!(
            "cannot write to {}: {what}; name a new or an empty folder",
            target.display()
        )))
    };
    match fs::read_dir(target) {
        Ok(mut entries) => match entries.next() {
            Some(_) => taken("the folder is not empty"),
            None => Ok(()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(_) if target.is_file() => taken("there is a file of this name"),
        Err(error) => Err(Error::io(format!("cannot look into {}", target.display())).with_source(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_killed_runs_left_goes_and_what_is_in_use_stays() {
        let work = tempfile::tempdir().unwrap();
        let left = |name: &str| {
            let folder = work.path().join(name);
            fs::create_dir_all(folder.join("model")).unwrap();
            fs::write(folder.join("model/config.json"), "{}").unwrap();
            (File::create(folder.join(LOCK)).unwrap(), folder)
        };
        let (killed, in_use, other) =
            (left(".frostbert-export-a"), left(".frostbert-export-b"), left("export-c"));
        drop(killed.0);
        in_use.0.try_lock().unwrap();
        drop(other.0);
        let fill =
            |folder: &Path| fs::write(folder.join("x"), "y").map_err(|error| Error::io(error.to_string()));
        write_folder(&work.path().join("out"), fill).unwrap();
        assert!(!killed.1.exists() && in_use.1.exists() && other.1.exists());
        let written: Vec<_> = fs::read_dir(work.path().join("out")).unwrap().collect();
        assert_eq!(written.len(), 1, "no lock in what was written");
        assert_eq!(fs::read_dir(work.path()).unwrap().count(), 3);
    }
}
