//! Who may ask: API keys, compared in constant time.

use std::path::Path;

use axum::http::{HeaderMap, header};
use frostbert::{Error, Result};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Keys with names. What is kept is their hashes: all are of one length, and none is in memory to be read.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    keys: Vec<(String, [u8; 32])>,
}

impl Keys {
    /// Adds a key.
    ///
    /// # Errors
    /// It is empty, or no header could hold it.
    pub fn add(&mut self, name: impl Into<String>, key: &str) -> Result<()> {
        let name = name.into();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::input(format!(
                "the API key {name:?} must be of printable ASCII characters without spaces, at least one"
            )));
        }
        self.keys.push((name, Sha256::digest(key.as_bytes()).into()));
        Ok(())
    }

    /// Adds the keys of a file: a line each, `NAME KEY`, or a key alone; `#` begins a comment.
    ///
    /// # Errors
    /// The file cannot be read, or a line is something else.
    pub fn add_file(&mut self, path: &Path) -> Result<()> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::io(format!("cannot read API keys of {}", path.display())).with_source(error)
        })?;
        for (at, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                [] => {}
                [first, ..] if first.starts_with('#') => {}
                [key] => self.add(format!("key {}", at + 1), key)?,
                [name, key] => self.add(name, key)?,
                _ => {
                    return Err(Error::input(format!(
                        "line {} of {} holds {} words; expected NAME KEY",
                        at + 1,
                        path.display(),
                        words.len()
                    )));
                }
            }
        }
        if self.keys.is_empty() {
            return Err(Error::input(format!("{} holds no API key", path.display())));
        }
        Ok(())
    }

    /// Whether there is none: then everybody may ask.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The name of the key that a request shows. All are compared, so that time tells nothing.
    pub(crate) fn name_of(&self, headers: &HeaderMap) -> Option<&str> {
        let shown: [u8; 32] = Sha256::digest(shown(headers)?.as_bytes()).into();
        let mut found = None;
        for (name, key) in &self.keys {
            if bool::from(key.ct_eq(&shown)) {
                found = Some(name.as_str());
            }
        }
        found
    }
}

/// The key of `Authorization: Bearer KEY`.
fn shown(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_names_and_others_have_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        std::fs::write(&file, "# team\nalice s3cret\n\nother\n").unwrap();
        let mut keys = Keys::default();
        keys.add_file(&file).unwrap();
        let name = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            keys.name_of(&headers).map(str::to_owned)
        };
        assert_eq!(name("Bearer s3cret").as_deref(), Some("alice"));
        assert_eq!(name("bearer other").as_deref(), Some("key 4"));
        for wrong in ["Bearer s3cre", "Bearer s3cret1", "Basic s3cret", "s3cret", "Bearer "] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
        std::fs::write(&file, "a b c\n").unwrap();
        assert!(keys.add_file(&file).unwrap_err().is_input());
        assert!(Keys::default().add("x", "").is_err());
    }
}
