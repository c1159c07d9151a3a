//! What tells one encoder from another: hashes over its weights, its config and its tokenizer.

use super::Weights;
use super::heads::is_encoder;
use crate::error::Result;
use crate::model::{Config, Family};
use crate::platform;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Bytes hashed as one unit of parallel work.
const CHUNK_BYTES: u64 = 1 << 20;

/// Hashes (SHA-256, in hexadecimal) of what makes an encoder's embeddings what they are. A head stores them, together
/// with pooling, layers and the like, and is refused with another encoder.
///
/// What is hashed is chosen so that saving a checkpoint again (other shards, other JSON formatting, a head taken off) does
/// not change it, and anything that moves an embedding does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Fingerprint {
    /// The tensors of encoder, pooler and Dense modules in the order of their names: name, type, shape and the hashes of
    /// their bytes by pieces of 1 MiB. Neither shards nor prefixes nor heads count.
    pub weights: String,
    /// The sizes and functions in [`Config`], not the file's bytes: labels, dropout and version numbers do not count.
    pub config: String,
    /// The bytes of tokenizer.json; without one, those of vocab.txt and tokenizer_config.json.
    pub tokenizer: String,
}

/// Hash of several byte strings; each is preceded by its length, so that none can flow into the next.
pub(super) fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(super) fn of_weights(weights: &Weights) -> Result<String> {
    let tensors: Vec<_> = weights.iter().filter(|(name, _)| is_encoder(name)).collect();
    let chunks: Vec<(&str, std::ops::Range<u64>)> = tensors
        .iter()
        .flat_map(|(_, tensor)| {
            let std::ops::Range { start, end } = tensor.range;
            let pieces = (start..end).step_by(CHUNK_BYTES as usize);
            pieces.map(move |from| (&*tensor.file, from..end.min(from + CHUNK_BYTES)))
        })
        .collect();
    let files = weights.files();
    let hashes = platform::map(chunks.len(), |chunk| {
        let (file, range) = &chunks[chunk];
        files.read(file, range.clone()).map(|bytes| Sha256::digest(&bytes[..]))
    });
    let mut hash = Sha256::new();
    for (name, tensor) in tensors {
        hash.update(format!("{name} {:?} {:?}\n", tensor.dtype, tensor.shape));
    }
    for chunk in hashes {
        hash.update(chunk?);
    }
    Ok(hex(&hash.finalize()))
}

pub(super) fn of_config(config: &Config) -> String {
    // Spelled out: a field added to Config later must not change the fingerprints of existing heads.
    let mut text = format!(
        "{} {} {} {} {} {} {} {} {} {} {} {:e} {:?} {:?} {}",
        config.family.name(),
        config.hidden,
        config.embedding_size,
        config.layers,
        config.heads,
        config.intermediate,
        config.vocab,
        config.max_positions,
        config.position_offset,
        config.type_vocab,
        config.layer_groups,
        config.layer_norm_eps,
        config.activation,
        config.relative_attention_buckets,
        config.pad_token_id,
    );
    // Only where they are on: fingerprints from before they counted stay.
    if config.family == Family::ModernBert && (config.norm_bias || config.attention_bias || config.mlp_bias) {
        let _ = write!(text, " {} {} {}", config.norm_bias, config.attention_bias, config.mlp_bias);
    }
    for layer in &config.attention {
        let _ = write!(text, " {:?}/{:?}", layer.window, layer.rope_theta);
    }
    of_parts([text.as_bytes()])
}
