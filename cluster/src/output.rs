//! Where a query's result goes: to a folder beside its place first, and to its place when all of it is there.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};
use frostbert::{Error, Result};
use url::Url;

/// A result that is being written. What is not committed is removed.
pub struct Output {
    /// Where it goes, as an absolute path.
    target: PathBuf,
    /// Where it is written, beside it: on the same disk, so that one renaming puts it in place.
    staging: PathBuf,
    /// A single file instead of a folder of parts.
    single: bool,
    overwrite: bool,
}

impl Output {
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
            return Err(Error::input(format!(
                "{} is there already; name another place, or allow it with --overwrite",
                target.display()
            )));
        }
        fs::create_dir_all(parent).map_err(|error| cannot("make the folder", parent, error))?;
        let moment = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let staging =
            parent.join(format!(".{}.unfinished-{}-{moment}", name.to_string_lossy(), std::process::id()));
        fs::create_dir(&staging).map_err(|error| cannot("make the folder", &staging, error))?;
        Ok(Output { target, staging, single, overwrite })
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
        if files.len() != rows.len() {
            return Err(Error::io(format!(
                "{} parts of the result were written, but {} are in {}: every executor must write to one shared folder, under \
                 the same path",
                rows.len(),
                files.len(),
                self.staging.display()
            )));
        }
        let expected: u64 = rows.iter().sum();
        if files.iter().all(|file| file.extension() == Some(OsStr::new("parquet"))) {
            let found = files.iter().map(|file| rows_of(file)).sum::<Result<u64>>()?;
            if found != expected {
                return Err(Error::io(format!(
                    "{expected} rows were written, but the files of {} have {found}; nothing was put in place",
                    self.staging.display()
                )));
            }
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

impl Drop for Output {
    fn drop(&mut self) {
        if self.staging.exists()
            && let Err(error) = fs::remove_dir_all(&self.staging)
        {
            log::warn!("the unfinished result cannot be removed from {}: {error}", self.staging.display());
        }
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
        // One letter is a drive.
        Ok(url) if url.scheme().len() > 1 => Err(Error::input(format!(
            "cannot write to {target}: results go to a file system that all processes share, since an object store cannot put a \
             folder in its place at once; write there and copy"
        ))),
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
        let begin = || Output::begin(&format!("{}/", target.display()), false).unwrap();
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
        assert!(Output::begin(&target.display().to_string(), false).is_err_and(|error| error.is_input()));
        let output = Output::begin(&format!("{}/", target.display()), true).unwrap();
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
        let output = Output::begin(&target.display().to_string(), false).unwrap();
        fs::write(output.url(), "PAR1 and no more").unwrap();
        assert!(output.commit(&[3]).unwrap_err().to_string().contains("not whole"));
        assert!(entries(place.path()).is_empty());
        assert!(Output::begin("s3://bucket/out/", false).is_err_and(|error| error.is_input()));
    }
}
