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

use super::{Chunk, Layout, Out};

/// The three-level list that every reader of Parquet knows.
const SCHEMA: &str = "message embeddings {
    required int32 tokens;
    required boolean truncated;
    required group embedding (LIST) { repeated group list { required float element; } }
}";
/// Values held back until they fill a row group: 16 MiB.
const GROUP_VALUES: usize = 4 << 20;

pub(super) struct Parquet {
    /// None after it was closed.
    writer: Option<SerializedFileWriter<Out>>,
    dim: usize,
    values: Vec<f32>,
    tokens: Vec<i32>,
    truncated: Vec<bool>,
}

impl Parquet {
    pub(super) fn new(out: Out, dim: usize) -> io::Result<Self> {
        let schema = Arc::new(parse_message_type(SCHEMA).map_err(io_error)?);
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
            tokens: Vec::new(),
            truncated: Vec::new(),
        })
    }

    /// Writes the rows held back as a row group.
    fn flush(&mut self) -> Result<(), ParquetError> {
        let (Some(writer), false) = (&mut self.writer, self.tokens.is_empty()) else { return Ok(()) };
        // 0 starts a new list, 1 goes on with it; every element is there, so all are defined.
        let mut repetitions = vec![1; self.values.len()];
        repetitions.iter_mut().step_by(self.dim.max(1)).for_each(|level| *level = 0);
        let definitions = vec![1; self.values.len()];
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
            column.typed::<FloatType>().write_batch(&self.values, Some(&definitions), Some(&repetitions))?;
            column.close()?;
        }
        group.close()?;
        self.values.clear();
        self.tokens.clear();
        self.truncated.clear();
        Ok(())
    }
}

impl Layout for Parquet {
    fn rows(&mut self, chunk: &Chunk<'_>) -> io::Result<()> {
        for (vector, tokens, truncated) in chunk.rows() {
            self.values.extend_from_slice(vector);
            self.tokens.push(i32::try_from(tokens).unwrap_or(i32::MAX));
            self.truncated.push(truncated);
            if self.values.len() >= GROUP_VALUES {
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
