//! One embedding and its bytes on disk.

/// A stored embedding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// The vector, `[dim]`.
    pub vector: Vec<f32>,
    /// Tokens of the text before truncation, special tokens included.
    pub tokens: u32,
    /// Whether the text was cut to the maximum length.
    pub truncated: bool,
}

/// Checksum, tokens, flags.
const HEADER_BYTES: usize = 12;
const TRUNCATED: u32 = 1;

impl Entry {
    /// Little-endian: checksum u32, tokens u32, flags u32, vector f32s.
    pub(super) fn encode(&self, digest: &[u8; 32]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + 4 * self.vector.len());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.tokens.to_le_bytes());
        bytes.extend_from_slice(&(if self.truncated { TRUNCATED } else { 0 }).to_le_bytes());
        bytes.extend(self.vector.iter().flat_map(|value| value.to_le_bytes()));
        let sum = checksum(digest, &bytes[4..]);
        bytes[..4].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// `None` where the bytes are not what was stored under this digest.
    pub(super) fn decode(digest: &[u8; 32], bytes: &[u8]) -> Option<Self> {
        let (sum, body) = bytes.split_first_chunk()?;
        if u32::from_le_bytes(*sum) != checksum(digest, body) {
            return None;
        }
        let (tokens, body) = body.split_first_chunk()?;
        let (flags, values) = body.split_first_chunk()?;
        let (values, []) = values.as_chunks() else { return None };
        Some(Entry {
            vector: values.iter().map(|value| f32::from_le_bytes(*value)).collect(),
            tokens: u32::from_le_bytes(*tokens),
            truncated: u32::from_le_bytes(*flags) & TRUNCATED != 0,
        })
    }
}

/// The store trusts its pages while it reads (it checks them after a crash only), so a row carries a checksum of its
/// own. The digest is under it too: a sound row in the wrong place is no answer.
fn checksum(digest: &[u8; 32], body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(digest);
    crc.update(body);
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_bit_for_bit() {
        let vector = vec![0.0, -0.0, f32::MIN_POSITIVE / 2.0, f32::MAX, f32::NEG_INFINITY, 1.0 / 3.0];
        for (tokens, truncated) in [(0, false), (u32::MAX, true)] {
            let entry = Entry { vector: vector.clone(), tokens, truncated };
            let back = Entry::decode(&[7; 32], &entry.encode(&[7; 32])).unwrap();
            assert_eq!((back.tokens, back.truncated), (tokens, truncated));
            assert!(back.vector.iter().zip(&vector).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
        let empty = Entry::default();
        assert_eq!(Entry::decode(&[0; 32], &empty.encode(&[0; 32])), Some(empty));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = Entry { vector: vec![1.5, 2.5], tokens: 9, truncated: true }.encode(&[1; 32]);
        for bit in 0..8 * bytes.len() {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Entry::decode(&[1; 32], &damaged), None, "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_eq!(Entry::decode(&[1; 32], &bytes[..len]), None, "{len} bytes");
        }
        assert_eq!(Entry::decode(&[2; 32], &bytes), None, "another key's row");
    }
}
