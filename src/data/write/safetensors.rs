//! Safetensors with a header that is filled in last.
//!
//! The `safetensors` crate writes tensors it is given whole; here the rows are not known when the first are written, so the
//! header's place is kept free and padded with spaces, as the format allows.
//!
//! Source: <https://github.com/huggingface/safetensors#format>

use std::io::{self, Seek, SeekFrom, Write};

use serde_json::json;

use super::npy::write_values;
use super::{Chunk, Layout, Out};
use crate::quantize::Precision;

/// Length field and header; a multiple of 8, so that the tensors are aligned, with room for any shape.
const HEADER_BYTES: usize = 512;

pub(super) struct Safetensors {
    out: Out,
    dim: usize,
    precision: Precision,
    /// These two follow the vectors in the file, so they wait: 5 bytes a row.
    tokens: Vec<i32>,
    truncated: Vec<u8>,
}

impl Safetensors {
    pub(super) fn new(mut out: Out, dim: usize, precision: Precision) -> io::Result<Self> {
        out.write_all(&[b' '; HEADER_BYTES])?;
        Ok(Safetensors { out, dim, precision, tokens: Vec::new(), truncated: Vec::new() })
    }

    /// The format's name of the numbers, and their bytes.
    fn dtype(&self) -> (&'static str, usize) {
        match self.precision {
            Precision::F32 => ("F32", 4),
            Precision::F16 => ("F16", 2),
            Precision::Int8 => ("I8", 1),
            Precision::Ubinary => ("U8", 1),
        }
    }

    fn vector_bytes(&self) -> usize {
        self.tokens.len() * self.dim * self.dtype().1
    }

    fn header(&self) -> [u8; HEADER_BYTES] {
        let rows = self.tokens.len();
        let (dtype, _) = self.dtype();
        let vectors = self.vector_bytes();
        let start = vectors.next_multiple_of(4);
        let tokens = start + rows * size_of::<i32>();
        let mut text = json!({
            "__metadata__": { "format": "frostbert-embeddings" },
            "embeddings": { "dtype": dtype, "shape": [rows, self.dim], "data_offsets": [0, vectors] },
            "tokens": { "dtype": "I32", "shape": [rows], "data_offsets": [start, tokens] },
            "truncated": { "dtype": "BOOL", "shape": [rows], "data_offsets": [tokens, tokens + rows] },
        });
        if start > vectors {
            // The format allows no gaps, and readers want numbers of four bytes at a multiple of four.
            text["padding"] =
                json!({ "dtype": "U8", "shape": [start - vectors], "data_offsets": [vectors, start] });
        }
        let text = text.to_string();
        let mut header = [b' '; HEADER_BYTES];
        header[..8].copy_from_slice(&((HEADER_BYTES - 8) as u64).to_le_bytes());
        // About 330 bytes and eleven numbers of at most 20 digits, so it fits.
        header[8..8 + text.len()].copy_from_slice(text.as_bytes());
        header
    }
}

impl Layout for Safetensors {
    fn rows(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        write_values(&mut self.out, chunk.values)?;
        self.tokens.extend(chunk.tokens.iter().map(|&tokens| i32::try_from(tokens).unwrap_or(i32::MAX)));
        self.truncated.extend(chunk.truncated.iter().map(|&truncated| u8::from(truncated)));
        Ok(())
    }

    fn finish(&mut self, _rows: u64) -> io::Result<()> {
        let vectors = self.vector_bytes();
        self.out.write_all(&[0; 4][..vectors.next_multiple_of(4) - vectors])?;
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
