//! The formats that people read.

use std::io::{self, BufWriter, Write};

use serde::{Serialize, Serializer};

use super::{Chunk, Layout, Out, Values};

/// One JSON object a line.
pub(super) struct Jsonl<W: Write> {
    out: BufWriter<W>,
}

#[derive(Serialize)]
struct Line<'a> {
    tokens: u32,
    truncated: bool,
    embedding: Values<'a>,
}

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Values::F32(values) => values.serialize(serializer),
            Values::F16(values) => serializer.collect_seq(values.iter().map(|value| value.to_f32())),
            Values::I8(values) => values.serialize(serializer),
            Values::U8(values) => values.serialize(serializer),
        }
    }
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
            // Floats as the shortest decimal that reads back as the same number.
            match embedding {
                Values::F32(values) => join(&mut self.out, values)?,
                Values::F16(values) => join(&mut self.out, values)?,
                Values::I8(values) => join(&mut self.out, values)?,
                Values::U8(values) => join(&mut self.out, values)?,
            }
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }

    fn finish(&mut self, _rows: u64) -> io::Result<()> {
        self.out.flush()
    }
}

fn join<T: std::fmt::Display>(out: &mut Out, values: &[T]) -> io::Result<()> {
    values.iter().try_for_each(|value| write!(out, ",{value}"))
}
