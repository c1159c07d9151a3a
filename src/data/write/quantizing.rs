//! Embeddings written in fewer bytes than they are computed in.

use std::io::{BufReader, BufWriter, Read, Seek, Write};

use super::{EmbeddingWriter, Values};
use crate::embeddings::Embeddings;
use crate::error::{Error, Result};
use crate::quantize::{Precision, Ranges, f16s, ubinary};

/// Rows read back from the spool at a time.
const CHUNK: usize = 1024;

/// Takes embeddings as they are computed and writes them in another precision.
///
/// [`Precision::Int8`] without ranges needs every row before it can write the first: the rows wait in a temporary file, not
/// in memory.
pub struct QuantizingWriter {
    writer: EmbeddingWriter,
    precision: Precision,
    dim: usize,
    ranges: Option<Ranges>,
    spool: Option<Spool>,
}

/// Rows that wait until their ranges are known.
struct Spool {
    file: BufWriter<std::fs::File>,
    ranges: Ranges,
    tokens: Vec<u32>,
    truncated: Vec<bool>,
}

impl QuantizingWriter {
    /// Writes vectors of `dim` columns to `writer`, which was started for the same columns and precision. `ranges` are those
    /// of int8 columns; unless given they are the rows' own, as in sentence-transformers.
    ///
    /// # Errors
    /// An input error for ranges of another number of columns, or where the precision takes none; an I/O error where
    /// there is no room for a temporary file.
    pub fn new(
        writer: EmbeddingWriter,
        precision: Precision,
        dim: usize,
        ranges: Option<Ranges>,
    ) -> Result<Self> {
        if let Some(ranges) = &ranges {
            if precision != Precision::Int8 {
                return Err(Error::input(format!("ranges are for int8; {precision} takes none")));
            }
            if ranges.dim() != dim {
                return Err(Error::input(format!(
                    "the ranges are of {} columns, and the embeddings have {dim}; take ranges of the same model and options",
                    ranges.dim()
                )));
            }
        }
        let spool = if precision == Precision::Int8 && ranges.is_none() {
            let file = tempfile::tempfile().map_err(spool_failed)?;
            Some(Spool {
                file: BufWriter::with_capacity(1 << 20, file),
                ranges: Ranges::new(dim),
                tokens: Vec::new(),
                truncated: Vec::new(),
            })
        } else {
            None
        };
        Ok(QuantizingWriter { writer, precision, dim, ranges, spool })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// As [`EmbeddingWriter::write`].
    pub fn write(&mut self, rows: &Embeddings) -> Result<()> {
        let Embeddings { values, tokens, truncated, .. } = rows;
        match (&mut self.spool, &self.ranges) {
            (Some(spool), _) => {
                if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                    return Err(Error::device(format!(
                        "the embedding of row {} holds {} in column {}; try another --device, and please report it",
                        spool.tokens.len() + at / self.dim + 1,
                        values[at],
                        at % self.dim
                    )));
                }
                spool.ranges.include(values);
                spool.tokens.extend(tokens);
                spool.truncated.extend(truncated);
                spool.file.write_all(bytemuck::cast_slice(values)).map_err(spool_failed)
            }
            (None, Some(ranges)) => {
                self.writer.write_values(Values::I8(&ranges.int8(values)), tokens, truncated)
            }
            (None, None) => match self.precision {
                Precision::F16 => self.writer.write_values(Values::F16(&f16s(values)), tokens, truncated),
                Precision::Ubinary => {
                    self.writer.write_values(Values::U8(&ubinary(values, self.dim)), tokens, truncated)
                }
                // int8 has ranges or a spool.
                Precision::F32 | Precision::Int8 => self.writer.write(values, tokens, truncated),
            },
        }
    }

    /// Completes the file; gives back how many rows it holds and the ranges its int8 columns were made with.
    ///
    /// # Errors
    /// As [`EmbeddingWriter::finish`].
    pub fn finish(mut self) -> Result<(u64, Option<Ranges>)> {
        if let Some(spool) = self.spool.take() {
            self.ranges = Some(spool.drain(&mut self.writer, self.dim)?);
        }
        Ok((self.writer.finish()?, self.ranges))
    }
}

impl Spool {
    fn drain(self, writer: &mut EmbeddingWriter, dim: usize) -> Result<Ranges> {
        let Spool { file, ranges, tokens, truncated } = self;
        let mut file = file.into_inner().map_err(|error| spool_failed(error.into_error()))?;
        file.rewind().map_err(spool_failed)?;
        let mut file = BufReader::with_capacity(1 << 20, file);
        let mut values = vec![0.0_f32; CHUNK * dim];
        for (tokens, truncated) in tokens.chunks(CHUNK).zip(truncated.chunks(CHUNK)) {
            let values = &mut values[..tokens.len() * dim];
            file.read_exact(bytemuck::cast_slice_mut(values)).map_err(spool_failed)?;
            writer.write_values(Values::I8(&ranges.int8(values)), tokens, truncated)?;
        }
        Ok(ranges)
    }
}

fn spool_failed(error: std::io::Error) -> Error {
    Error::io(
        "cannot keep rows in a temporary file until their ranges are known; make room in the temporary folder, or give \
         ranges",
    )
    .with_source(error)
}
