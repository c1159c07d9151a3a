//! The formats that people read.

use std::io::{self, BufWriter, Write};

use serde::Serialize;

use super::{Chunk, Layout, Out};

/// One JSON object a line.
pub(super) struct Jsonl<W: Write> {
    out: BufWriter<W>,
}

#[derive(Serialize)]
struct Line<'a> {
    tokens: u32,
    truncated: bool,
    embedding: &'a [f32],
}

impl<W: Write> Jsonl<W> {
    pub(super) fn new(out: BufWriter<W>) -> Self {
        Jsonl { out }
    }
}

impl<W: Write + Send> Layout for Jsonl<W> {
    fn rows(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        for (embedding, tokens, truncated) in chunk.rows() {
            serde_json::to_writer(&mut self.out, &Line { tokens, truncated, embedding })?;
            self.out.write_all(b"\n")?;
        }
        // A reader at the other end of a pipe sees a chunk when it is there.
        self.out.flush()
    }

    fn finish(&mut self, _rows: u64) -> io::Result<()> {
        self.out.flush()
    }
}

/// Comma-separated numbers under a header.
pub(super) struct Csv {
    out: Out,
}

impl Csv {
    pub(super) fn new(mut out: Out, dim: usize) -> io::Result<Self> {
        out.write_all(b"tokens,truncated")?;
        for column in 0..dim {
            write!(out, ",e{column}")?;
        }
        out.write_all(b"\n")?;
        Ok(Csv { out })
    }
}

impl Layout for Csv {
    fn rows(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        // Numbers, true and false: nothing that would need quotes.
        for (embedding, tokens, truncated) in chunk.rows() {
            write!(self.out, "{tokens},{truncated}")?;
            for value in embedding {
                // The shortest decimal that reads back as the same float32.
                write!(self.out, ",{value}")?;
            }
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }

    fn finish(&mut self, _rows: u64) -> io::Result<()> {
        self.out.flush()
    }
}
