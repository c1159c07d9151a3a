//! Parquet with one list of floats a row.

use std::io;
use std::sync::Arc;

use parquet::basic::{Compression, Encoding};
use parquet::data_type::{BoolType, FloatType, Int32Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;

use super::{Chunk, Layout, Out, Values};
use crate::quantize::Precision;

/// The three-level list that every reader of Parquet knows.
fn schema(precision: Precision) -> String {
    let element = match precision {
        // Parquet's own half floats are read by few; a float holds the same number.
        Precision::F32 | Precision::F16 => "float element",
        Precision::Int8 => "int32 element (INTEGER(8, true))",
        Precision::Ubinary => "int32 element (INTEGER(8, false))",
    };
    format!(
        "message embeddings {{
            required int32 tokens;
            required boolean truncated;
            required group embedding (LIST) {{ repeated group list {{ required {element}; }} }}
        }}"
    )
}
/// Values held back until they fill a row group: 16 MiB.
const GROUP_VALUES: usize = 4 << 20;

pub(super) struct Parquet {
    /// None after it was closed.
    writer: Option<SerializedFileWriter<Out>>,
    dim: usize,
    /// Of floats; empty where the numbers are bytes.
    values: Vec<f32>,
    bytes: Vec<i32>,
    tokens: Vec<i32>,
    truncated: Vec<bool>,
}

impl Parquet {
    pub(super) fn new(out: Out, dim: usize, precision: Precision) -> io::Result<Self> {
        let schema = Arc::new(parse_message_type(&schema(precision)).map_err(io_error)?);
        let embedding = ColumnPath::from(["embedding", "list", "element"].map(str::to_owned).to_vec());
        // Embeddings do not repeat and do not compress: a dictionary, statistics and snappy would only cost time.
        let properties = WriterProperties::builder()
            .set_created_by(concat!("frostbert version ", env!("CARGO_PKG_VERSION")).into())
            .set_compression(Compression::SNAPPY)
            .set_column_compression(embedding.clone(), Compression::UNCOMPRESSED)
            .set_column_dictionary_enabled(embedding.clone(), false)
            .set_column_encoding(embedding.clone(), Encoding::PLAIN)
            .set_column_statistics_enabled(embedding, EnabledStatistics::None)
            .build();
        let writer = SerializedFileWriter::new(out, schema, Arc::new(properties)).map_err(io_error)?;
        Ok(Parquet {
            writer: Some(writer),
            dim,
            values: Vec::new(),
            bytes: Vec::new(),
            tokens: Vec::new(),
            truncated: Vec::new(),
        })
    }

    /// Writes the rows held back as a row group.
    fn flush(&mut self) -> Result<(), ParquetError> {
        let (Some(writer), false) = (&mut self.writer, self.tokens.is_empty()) else { return Ok(()) };
        // 0 starts a new list, 1 goes on with it; every element is there, so all are defined.
        let len = self.values.len() + self.bytes.len();
        let mut repetitions = vec![1; len];
        repetitions.iter_mut().step_by(self.dim.max(1)).for_each(|level| *level = 0);
        let definitions = vec![1; len];
        let mut group = writer.next_row_group()?;
        if let Some(mut column) = group.next_column()? {
            column.typed::<Int32Type>().write_batch(&self.tokens, None, None)?;
            column.close()?;
        }
        if let Some(mut column) = group.next_column()? {
            column.typed::<BoolType>().write_batch(&self.truncated, None, None)?;
            column.close()?;
        }
        if let Some(mut column) = group.next_column()? {
            let (definitions, repetitions) = (Some(&definitions[..]), Some(&repetitions[..]));
            if self.bytes.is_empty() {
                column.typed::<FloatType>().write_batch(&self.values, definitions, repetitions)?;
            } else {
                column.typed::<Int32Type>().write_batch(&self.bytes, definitions, repetitions)?;
            }
            column.close()?;
        }
        group.close()?;
        self.values.clear();
        self.bytes.clear();
        self.tokens.clear();
        self.truncated.clear();
        Ok(())
    }
}

impl Layout for Parquet {
    fn rows(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        for (vector, tokens, truncated) in chunk.rows() {
            match vector {
                Values::F32(values) => self.values.extend_from_slice(values),
                Values::F16(values) => self.values.extend(values.iter().map(|value| value.to_f32())),
                Values::I8(values) => self.bytes.extend(values.iter().map(|value| i32::from(*value))),
                Values::U8(values) => self.bytes.extend(values.iter().map(|value| i32::from(*value))),
            }
            self.tokens.push(i32::try_from(tokens).unwrap_or(i32::MAX));
            self.truncated.push(truncated);
            if self.values.len() + self.bytes.len() >= GROUP_VALUES {
                self.flush().map_err(io_error)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, _rows: u64) -> io::Result<()> {
        self.flush().map_err(io_error)?;
        match self.writer.take() {
            Some(writer) => io::Write::flush(&mut writer.into_inner().map_err(io_error)?),
            None => Ok(()),
        }
    }
}

/// The I/O error inside a Parquet error, so that a full disk is known as one.
fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}
