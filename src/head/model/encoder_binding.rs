//! Which encoder a head belongs to.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// The recipe of the embeddings that a head was trained on, as those who made them wrote it down. A head reads nothing of it;
/// it compares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct EncoderBinding {
    /// One short name for the recipe: the first 16 hexadecimal digits of its SHA-256.
    pub digest: String,
    /// All that decides a vector, as JSON.
    pub recipe: Value,
}

/// How it stands in head files: as it is now, or the loose fields of the first version.
#[derive(Deserialize)]
struct Stored {
    recipe: Option<Value>,
    digest: Option<String>,
    #[serde(flatten)]
    loose: Map<String, Value>,
}

impl From<Stored> for EncoderBinding {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored { recipe: Some(recipe), digest: Some(digest), .. } => EncoderBinding { digest, recipe },
            Stored { loose, .. } => EncoderBinding::new(loose.into()),
        }
    }
}

impl EncoderBinding {
    /// A binding to what `recipe` stands for.
    pub fn new(recipe: Value) -> Self {
        let hash = Sha256::digest(recipe.to_string());
        let digest = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        EncoderBinding { digest, recipe }
    }

    /// Checks that `other`, the encoder in use, is the one meant here.
    ///
    /// # Errors
    /// The input, naming both and what differs.
    pub fn check(&self, other: &EncoderBinding) -> Result<()> {
        let mut differences = vec![];
        compare("", &self.recipe, &other.recipe, &mut differences);
        if differences.is_empty() {
            return Ok(());
        }
        Err(Error::input(format!(
            "this head belongs to encoder {}, but the encoder in use is {}: {}; use the encoder it was trained with, or \
             train a new head",
            self.digest,
            other.digest,
            differences.join(", ")
        )))
    }
}

/// Says in words where two recipes differ.
fn compare(name: &str, own: &Value, other: &Value, differences: &mut Vec<String>) {
    let at = |key: &str| {
        let name = if name.is_empty() { String::new() } else { format!("{name}: ") };
        format!("{name}{}", key.replace('_', " "))
    };
    match (own, other) {
        (Value::Object(own), Value::Object(other)) => {
            let absent = Value::Null;
            let more = other.keys().filter(|key| !own.contains_key(*key));
            for key in own.keys().chain(more) {
                let value = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or(absent.clone());
                compare(&at(key), &value(own), &value(other), differences);
            }
        }
        _ if own == other => {}
        // Settings that one of the two has none of.
        (Value::Null, Value::Object(map)) | (Value::Object(map), Value::Null) if map.is_empty() => {}
        _ => differences.push(format!("{name} {} instead of {}", brief(own), brief(other))),
    }
}

fn brief(value: &Value) -> String {
    let text = match value {
        Value::Null => return "none".to_owned(),
        // A hash: enough of it to be told from another.
        Value::String(text) if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            return format!("{}…", &text[..12]);
        }
        value => value.to_string(),
    };
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn another_encoder_is_named_with_what_differs() {
        let own =
            EncoderBinding::new(json!({"checkpoint": {"weights": "ab"}, "pooling": ["mean"], "cut": null}));
        own.check(&own.clone()).unwrap();
        let other = EncoderBinding::new(
            json!({"checkpoint": {"weights": "ac"}, "pooling": ["cls"], "prompt": "q: "}),
        );
        let message = own.check(&other).unwrap_err().to_string();
        for part in [
            own.digest.as_str(),
            other.digest.as_str(),
            "checkpoint: weights \"ab\" instead of \"ac\"",
            "pooling [\"mean\"] instead of [\"cls\"]",
            "prompt none instead of \"q: \"",
        ] {
            assert!(message.contains(part), "{message}");
        }
        assert!(!message.contains("cut"));
    }

    #[test]
    fn the_first_version_is_read_and_fits_nothing() {
        let old: EncoderBinding = serde_json::from_value(json!({"weights": "a", "max_length": 5})).unwrap();
        assert_eq!(old.recipe["max_length"], 5);
        old.check(&EncoderBinding::new(json!({"layers": [3]}))).unwrap_err();
        let new: EncoderBinding = serde_json::from_value(serde_json::to_value(&old).unwrap()).unwrap();
        assert_eq!(new, old);
    }
}
