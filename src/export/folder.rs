//! A folder that appears as a whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

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
    let temporary =
        tempfile::Builder::new().prefix(".frostbert-export-").tempdir_in(parent).map_err(failed)?;
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
