//! Which encoder a head belongs to.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// All that decides an encoder's embeddings. Two encoders with equal fingerprints give the same vectors (up to the
/// rounding of their devices).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EncoderFingerprint {
    /// Hash over the weights.
    pub weights: String,
    /// Hash over the configuration.
    pub config: String,
    /// Hash over the tokenizer.
    pub tokenizer: String,
    /// How token vectors become one vector.
    pub pooling: String,
    /// Which layers are pooled.
    pub layers: String,
    /// What is put before each text.
    pub prompt: String,
    /// Whether vectors are scaled to length one.
    pub normalise: bool,
    /// Most tokens of a text.
    pub max_length: usize,
}

impl EncoderFingerprint {
    /// One short name for all of it: the first 16 hexadecimal digits of a SHA-256 over the fields.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (name, value) in self.fields() {
            // Lengths keep neighbouring fields apart.
            hash.update(format!("{name}:{}:{value};", value.len()));
        }
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    fn fields(&self) -> [(&'static str, String); 8] {
        [
            ("weights", self.weights.clone()),
            ("config", self.config.clone()),
            ("tokenizer", self.tokenizer.clone()),
            ("pooling", self.pooling.clone()),
            ("layers", self.layers.clone()),
            ("prompt", self.prompt.clone()),
            ("normalise", self.normalise.to_string()),
            ("max_length", self.max_length.to_string()),
        ]
    }

    /// Checks that `other`, the encoder in use, is the one meant here.
    ///
    /// # Errors
    /// The input, naming both fingerprints and what differs.
    pub fn check(&self, other: &EncoderFingerprint) -> Result<()> {
        if self == other {
            return Ok(());
        }
        let differences: Vec<String> = (self.fields().into_iter().zip(other.fields()))
            .filter(|(own, other)| own != other)
            .map(|((name, own), (_, other))| format!("{name} {own:?} instead of {other:?}"))
            .collect();
        Err(Error::input(format!(
            "this head belongs to encoder {self}, but the encoder in use is {other}: it has {}; use the encoder it \
             was trained with, or train a new head",
            differences.join(", ")
        )))
    }
}

impl fmt::Display for EncoderFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_encoder_is_named_with_what_differs() {
        let own = EncoderFingerprint { weights: "abc".into(), max_length: 256, ..Default::default() };
        own.check(&own.clone()).unwrap();
        let other = EncoderFingerprint { pooling: "cls".into(), ..own.clone() };
        let message = own.check(&other).unwrap_err().to_string();
        assert!(message.contains(&own.digest()) && message.contains(&other.digest()), "{message}");
        assert!(message.contains("pooling \"\" instead of \"cls\""), "{message}");
        assert_ne!(own.digest(), other.digest());
        // One field's end must not be taken for the next one's start.
        let (a, b) = (
            EncoderFingerprint { weights: "a".into(), config: "b".into(), ..Default::default() },
            EncoderFingerprint { weights: "ab".into(), ..Default::default() },
        );
        assert_ne!(a.digest(), b.digest());
    }
}
