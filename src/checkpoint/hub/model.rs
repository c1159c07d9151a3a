//! A model's name on the hub.

use crate::error::{Error, Result};
use std::fmt;

/// A repository on the hub, at a revision.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HubModel {
    /// `org/name`, or `name` for some old ones.
    pub id: String,
    /// A branch, a tag, a commit or `refs/pr/N`.
    pub revision: String,
}

impl HubModel {
    /// Whether this can be a name: its parts become folders in the cache and parts of an address.
    pub(in crate::checkpoint) fn is_name(&self) -> bool {
        let is_word = |word: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !word.is_empty()
                && word.chars().all(allowed)
                && !word.starts_with(['.', '-'])
                && !word.contains("..")
        };
        let parts = self.id.split('/').count();
        parts <= 2 && self.id.split('/').all(is_word) && self.revision.split('/').all(is_word)
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.is_name() {
            return Ok(());
        }
        Err(Error::input(format!(
            "cannot look for {:?} at revision {:?} on the hub: expected org/name, and a branch, a tag or a commit",
            self.id, self.revision
        )))
    }
}

impl fmt::Display for HubModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.revision.as_str() {
            "main" => f.write_str(&self.id),
            revision => write!(f, "{}@{revision}", self.id),
        }
    }
}
