//! Results on a file system that all processes share: one renaming puts a whole folder in its place.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};
use frostbert::{Error, Result};
use url::Url;

use super::{check_parts, check_rows, taken, unfinished};

/// A result that is being written. What is not committed is removed.
pub struct Folder {
    /// Where it goes, as an absolute path.
    target: PathBuf,
    /// Where it is written, beside it: on the same disk, so that one renaming puts it in place.
    staging: PathBuf,
    /// A single file instead of a folder of parts.
    single: bool,
    overwrite: bool,
}

impl Folder {
    /// Makes room for the result of `COPY ... TO 'target'`. A target that ends in `/`, or whose name has no ending, is a folder.
    ///
    /// # Errors
    /// The target is not on a file system, is there already (unless it may be overwritten), or has no folder to stand in.
    pub fn begin(target: &str, overwrite: bool) -> Result<Self> {
        let path = local_path(target)?;
        let single = !target.ends_with('/') && path.extension().is_some();
        let target = std::path::absolute(&path)
            .map_err(|error| Error::input(format!("{target} is no path")).with_source(error))?;
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(Error::input(format!(
                "{} cannot be written to; name a folder or a file",
                target.display()
            )));
        };
        if !overwrite && !is_free(&target) {
            return Err(taken(&target.display().to_string()));
        }
        fs::create_dir_all(parent).map_err(|error| cannot("make the folder", parent, error))?;
        let staging = parent.join(unfinished(&name.to_string_lossy()));
        fs::create_dir(&staging).map_err(|error| cannot("make the folder", &staging, error))?;
        Ok(Folder { target, staging, single, overwrite })
    }

    /// Where the engine is to write.
    pub fn url(&self) -> String {
        match (self.single, self.target.file_name()) {
            (true, Some(name)) => self.staging.join(name).display().to_string(),
            _ => format!("{}/", self.staging.display()),
        }
    }

    /// Where the result goes.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Puts the result in its place once all parts are there, with all their rows. `rows` is what the writers counted, a number a
    /// part.
    ///
    /// # Errors
    /// Parts or rows are missing; the place cannot be taken.
    pub fn commit(self, rows: &[u64]) -> Result<()> {
        let files = self.files()?;
        let place = self.staging.display().to_string();
        check_parts(files.len(), rows, &place)?;
        if files.iter().all(|file| file.extension() == Some(OsStr::new("parquet"))) {
            let found = files.iter().map(|file| rows_of(file)).sum::<Result<u64>>()?;
            check_rows(found, rows, &place)?;
        }
        let replaced =
            (self.overwrite && !is_free(&self.target)).then(|| self.staging.with_extension("replaced"));
        if let Some(replaced) = &replaced {
            fs::rename(&self.target, replaced).map_err(|error| cannot("move away", &self.target, error))?;
        }
        let from = match files.first() {
            Some(file) if self.single => file,
            _ => &self.staging,
        };
        fs::rename(from, &self.target).map_err(|error| {
            // What was there stays there.
            if let Some(replaced) = &replaced {
                let _ = fs::rename(replaced, &self.target);
            }
            cannot("put the result in place at", &self.target, error)
        })?;
        if let Some(replaced) = &replaced {
            let removed =
                if replaced.is_dir() { fs::remove_dir_all(replaced) } else { fs::remove_file(replaced) };
            if let Err(error) = removed {
                log::warn!("what was replaced cannot be removed from {}: {error}", replaced.display());
            }
        }
        Ok(())
    }

    /// Removes what was written beside the place. Whether there was anything.
    pub fn abandon(&self) -> bool {
        match fs::remove_dir_all(&self.staging) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => {
                log::warn!(
                    "the unfinished result cannot be removed from {}: {error}",
                    self.staging.display()
                );
                true
            }
        }
    }

    /// The parts, after removing what a task left that did not end.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(&self.staging).map_err(|error| cannot("list", &self.staging, error))?;
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| cannot("list", &self.staging, error))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // An object store names what is not yet whole NAME#NUMBER.
            if name.contains('#') {
                fs::remove_file(&path).map_err(|error| cannot("remove", &path, error))?;
            } else {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// Whether there is nothing, or an empty folder, which a renaming replaces.
fn is_free(target: &Path) -> bool {
    match fs::read_dir(target) {
        Ok(mut entries) => entries.next().is_none(),
        Err(_) => !target.exists(),
    }
}

fn rows_of(file: &Path) -> Result<u64> {
    let damaged = |error: Box<dyn std::error::Error + Send + Sync>| {
        Error::io(format!("{} is not whole; nothing was put in place", file.display())).with_source(error)
    };
    let open = fs::File::open(file).map_err(|error| damaged(error.into()))?;
    let reader = SerializedFileReader::new(open).map_err(|error| damaged(error.into()))?;
    Ok(u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or(0))
}

fn local_path(target: &str) -> Result<PathBuf> {
    match Url::parse(target) {
        Ok(url) if url.scheme() == "file" => {
            url.to_file_path().map_err(|()| Error::input(format!("{target} is no path on this machine")))
        }
        _ => Ok(PathBuf::from(target)),
    }
}

fn cannot(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::io(format!("cannot {what} {}", path.display())).with_source(error)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn entries(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_appears_when_all_of_it_is_there() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("out");
        let begin = || Folder::begin(&format!("{}/", target.display()), false).unwrap();
        let output = begin();
        fs::write(format!("{}part-00000.json", output.url()), "{}\n").unwrap();
        assert!(!target.exists());
        // A part is missing: nothing is put in place, and nothing is left.
        assert!(output.commit(&[1, 1]).unwrap_err().is_io());
        assert!(entries(place.path()).is_empty());
        let output = begin();
        fs::write(format!("{}part-00000.json", output.url()), "{}\n").unwrap();
        fs::write(format!("{}part-00000.json#1", output.url()), "{").unwrap();
        output.commit(&[1]).unwrap();
        assert_eq!(entries(place.path()), ["out"]);
        assert_eq!(entries(&target), ["part-00000.json"]);
        // What is there stays, unless asked.
        assert!(Folder::begin(&target.display().to_string(), false).is_err_and(|error| error.is_input()));
        let output = Folder::begin(&format!("{}/", target.display()), true).unwrap();
        fs::write(format!("{}part-00000.csv", output.url()), "a\n").unwrap();
        assert_eq!(entries(&target), ["part-00000.json"]);
        output.commit(&[1]).unwrap();
        assert_eq!(entries(&target), ["part-00000.csv"]);
        assert_eq!(entries(place.path()), ["out"]);
    }

    #[test]
    fn a_file_is_whole_or_not_there() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("out.parquet");
        let output = Folder::begin(&target.display().to_string(), false).unwrap();
        fs::write(output.url(), "PAR1 and no more").unwrap();
        assert!(output.commit(&[3]).unwrap_err().to_string().contains("not whole"));
        assert!(entries(place.path()).is_empty());
    }
}
