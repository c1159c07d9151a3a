//! What an embedding is stored under.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Starts every hash. Counted up when the same inputs come to mean another vector.
const FORMAT: &[u8] = b"frostbert embedding 1";

/// Where one embedding is stored: the encoder, and a SHA-256 over all that decides the vector.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    // This order sorts keys by table, then by place in the table.
    pub(super) encoder: Arc<str>,
    pub(super) digest: [u8; 32],
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}/", self.encoder)?;
        self.digest[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// Makes the keys of one encoder with one set of options; what they have in common is hashed once.
///
/// ```
/// use frostbert::cache::KeySpace;
/// let space = KeySpace::new("abc", "f32", &"last layer, mean")?;
/// assert_eq!(space.key("a text", None), space.key("a text", None));
/// assert_ne!(space.key("a text", None), space.key("a text", Some("")));
/// assert_ne!(space.key("a text", None), KeySpace::new("abc", "f16", &"last layer, mean")?.key("a text", None));
/// # Ok::<(), frostbert::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct KeySpace {
    encoder: Arc<str>,
    common: Sha256,
}

impl KeySpace {
    /// Keys for the encoder of this fingerprint, computing in `dtype`, asked for `request`: layers, mix, pooling, dense
    /// modules, dimensions, normalisation, truncation, longest sequence, prompt. What `request` serialises to is hashed,
    /// so it must hold all of these and nothing else.
    ///
    /// # Errors
    /// `request` cannot be written as JSON (a map with keys that are not strings).
    pub fn new(encoder: &str, dtype: &str, request: &impl Serialize) -> Result<Self> {
        let request = serde_json::to_vec(request).map_err(|error| {
            Error::input("cannot make cache keys: the request does not serialise to JSON").with_source(error)
        })?;
        let mut common = Sha256::new();
        for part in [FORMAT, encoder.as_bytes(), dtype.as_bytes(), &request] {
            update(&mut common, part);
        }
        Ok(KeySpace { encoder: encoder.into(), common })
    }

    /// The key of a text, or of a pair that the model reads together. The texts are taken as the caller gave them: without
    /// the prompt, which belongs to the request.
    pub fn key(&self, text: &str, pair: Option<&str>) -> Key {
        let mut hash = self.common.clone();
        update(&mut hash, text.as_bytes());
        if let Some(pair) = pair {
            update(&mut hash, pair.as_bytes());
        }
        Key { encoder: self.encoder.clone(), digest: hash.finalize().into() }
    }
}

/// Adds a part with its length before it, so that no part can flow into the next.
fn update(hash: &mut Sha256, part: &[u8]) {
    hash.update((part.len() as u64).to_le_bytes());
    hash.update(part);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn whatever_decides_the_vector_decides_the_key() {
        let spaces =
            [("e", "f32", "r"), ("e", "f32", "q"), ("e", "f16", "r"), ("d", "f32", "r"), ("ef", "32", "r")];
        let texts = [
            ("ab", None),
            ("a", Some("b")),
            ("", Some("ab")),
            ("ab", Some("")),
            ("", None),
            ("b", Some("a")),
        ];
        let mut seen = HashSet::new();
        for (encoder, dtype, request) in spaces {
            let space = KeySpace::new(encoder, dtype, &request).unwrap();
            for (text, pair) in texts {
                assert!(
                    seen.insert(space.key(text, pair).digest),
                    "{encoder} {dtype} {request} {text} {pair:?}"
                );
            }
        }
    }

    #[test]
    fn keys_stay_the_same_from_version_to_version() {
        // A change here throws away every user's cache: count FORMAT up and say so in the changelog.
        let key =
            KeySpace::new("encoder", "f32", &(vec![6], "mean", true)).unwrap().key("text", Some("pair"));
        let hex: String = key.digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "8dc636ed5e10b8de51853c18aefe60b02b225f11369212ad01dc87c7d46ac15f");
    }
}
