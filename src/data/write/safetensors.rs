//! Safetensors with a header that is filled in last.
//!
//! The `safetensors` crate writes tensors it is given whole; here the rows are not known when the first are written, so the
//! header's place is kept free and padded with spaces, as the format allows.
//!
//! Source: <https://github.com/huggingface/safetensors#format>

use std::io::{self, Seek, SeekFrom, Write};

use serde_json::json;

use super::npy::write_f32;
use super::{Chunk, Layout, Out};

/// Length field and header; a multiple of 8, so that the tensors are aligned, with room for any shape.
const HEADER_BYTES: usize = 512;

pub(super) struct Safetensors {
    out: Out,
    dim: usize,
    /// These two follow the vectors in the file, so they wait: 5 bytes a row.
    tokens: Vec<i32>,
    truncated: Vec<u8>,
}

impl Safetensors {
    pub(super) fn new(mut out: Out, dim: usize) -> io::Result<Self> {
        out.write_all(&[b' '; HEADER_BYTES])?;
        Ok(Safetensors { out, dim, tokens: Vec::new(), truncated: Vec::new() })
    }

    fn header(&self) -> [u8; HEADER_BYTES] {
        let rows = self.tokens.len();
        let vectors = rows * self.dim * size_of::<f32>();
        let tokens = vectors + rows * size_of::<i32>();
        let text = json!({
            "__metadata__": { "format": "frostbert-embeddings" },
            "embeddings": { "dtype": "F32", "shape": [rows, self.dim], "data_offsets": [0, vectors] },
            "tokens": { "dtype": "I32", "shape": [rows], "data_offsets": [vectors, tokens] },
            "truncated": { "dtype": "BOOL", "shape": [rows], "data_offsets": [tokens, tokens + rows] },
        })
        .to_string();
        let mut header = [b' '; HEADER_BYTES];
        header[..8].copy_from_slice(&((HEADER_BYTES - 8) as u64).to_le_bytes());
        // About 260 bytes and eight numbers of at most 20 digits, so it fits.
        header[8..8 + text.len()].copy_from_slice(text.as_bytes());
        header
    }
}

impl Layout for Safetensors {
    fn rows(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        write_f32(&mut self.out, chunk.values)?;
        self.tokens.extend(chunk.tokens.iter().map(|&tokens| i32::try_from(tokens).unwrap_or(i32::MAX)));
        self.truncated.extend(chunk.truncated.iter().map(|&truncated| u8::from(truncated)));
        Ok(())
    }

    fn finish(&mut self, _rows: u64) -> io::Result<()> {
        for tokens in &self.tokens {
            self.out.write_all(&tokens.to_le_bytes())?;
        }
        self.out.write_all(&self.truncated)?;
        self.out.seek(SeekFrom::Start(0))?;
        let header = self.header();
        self.out.write_all(&header)?;
        self.out.flush()
    }
}
