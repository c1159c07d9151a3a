//! Where a model named by a user is: a folder, or a repository on the hub.

use super::hub::{Download, Hub, HubModel};
use crate::error::{Error, Result};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A model as a user names it: a folder, or `org/name` on the hub, with `@revision` if not the main one.
///
/// ```
/// use frostbert::checkpoint::{HubModel, ModelSource};
/// let source: ModelSource = "sentence-transformers/all-MiniLM-L6-v2@refs/pr/21".parse()?;
/// let ModelSource::Hub(HubModel { id, revision }) = source else { panic!() };
/// assert_eq!((id.as_str(), revision.as_str()), ("sentence-transformers/all-MiniLM-L6-v2", "refs/pr/21"));
/// # Ok::<(), frostbert::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// A folder on this machine.
    Folder(PathBuf),
    /// A repository.
    Hub(HubModel),
}

impl ModelSource {
    /// The folder with the model's files: the one named, or a snapshot in the hub's cache, downloaded if need be.
    /// `progress` is told of every step of a download.
    ///
    /// # Errors
    /// As [`Hub::fetch`].
    pub fn resolve(&self, hub: &Hub, progress: &mut dyn FnMut(Download<'_>)) -> Result<PathBuf> {
        match self {
            ModelSource::Folder(path) => Ok(path.clone()),
            ModelSource::Hub(model) => hub.fetch(model, progress),
        }
    }
}

impl FromStr for ModelSource {
    type Err = Error;

    /// Whatever exists as a folder, or looks like a path, is one; the rest must be an id of the hub.
    fn from_str(name: &str) -> Result<Self> {
        let path = Path::new(name);
        let is_path = path.is_absolute() || name.starts_with('.') || name.starts_with('~') || path.exists();
        if is_path && !name.is_empty() {
            return Ok(ModelSource::Folder(path.to_path_buf()));
        }
        let (id, revision) = name.split_once('@').unwrap_or((name, "main"));
        let model = HubModel { id: id.to_owned(), revision: revision.to_owned() };
        if !model.is_name() {
            return Err(Error::input(format!(
                "cannot find the model {name:?}: it is neither a folder here nor an id of the hub (org/name, or \
                 org/name@revision)"
            )));
        }
        Ok(ModelSource::Hub(model))
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ModelSource::Folder(path) => path.display().fmt(f),
            ModelSource::Hub(model) => model.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_ids_and_neither() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        assert_eq!(path.parse::<ModelSource>().unwrap(), ModelSource::Folder(path.into()));
        assert!(matches!("./no/such".parse().unwrap(), ModelSource::Folder(_)));
        for (name, id, revision) in [
            ("bert-base-uncased", "bert-base-uncased", "main"),
            ("org/na.me_1", "org/na.me_1", "main"),
            ("org/name@v1.0", "org/name", "v1.0"),
        ] {
            let ModelSource::Hub(model) = name.parse().unwrap() else { panic!("{name}") };
            assert_eq!((model.id.as_str(), model.revision.as_str()), (id, revision));
            assert_eq!(ModelSource::Hub(model).to_string(), name);
        }
        for name in ["", "a/b/c", "org/", "org/name@", "org/na me", "org/..", "a@../../x", "https://x/y"] {
            assert!(name.parse::<ModelSource>().unwrap_err().is_input(), "{name:?}");
        }
    }
}
