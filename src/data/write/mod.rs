//! Files of embeddings, written as rows arrive.

mod npy;
#[cfg(feature = "parquet")]
mod parquet;
mod quantizing;
mod safetensors;
mod text;

pub use quantizing::QuantizingWriter;

use half::f16;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::ops::Range;
use std::path::Path;

use crate::embeddings::Embeddings;
use crate::error::{Error, Result};
use crate::platform::whole_file::{self, WholeFile};
use crate::quantize::Precision;

/// The layouts that embeddings are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EmbeddingFormat {
    /// NumPy: float32 `[texts, dim]`. It holds the vectors only: token counts and truncation have no place in it.
    Npy,
    /// Tensors `embeddings` (float32 `[texts, dim]`), `tokens` (int32 `[texts]`), `truncated` (bool `[texts]`).
    Safetensors,
    /// One object a line: `{"tokens": 5, "truncated": false, "embedding": [...]}`.
    Jsonl,
    /// Columns `tokens`, `truncated`, `e0`, `e1`, ...
    Csv,
    /// Columns `tokens` (int32), `truncated` (bool), `embedding` (list of float). Cargo feature `parquet`.
    Parquet,
}

impl EmbeddingFormat {
    /// The format that a file's ending stands for.
    ///
    /// # Errors
    /// An input error for an ending that is not known; it lists those that are.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        Ok(match ending.as_deref() {
            Some("npy") => EmbeddingFormat::Npy,
            Some("safetensors") => EmbeddingFormat::Safetensors,
            Some("jsonl" | "ndjson") => EmbeddingFormat::Jsonl,
            Some("csv") => EmbeddingFormat::Csv,
            #[cfg(feature = "parquet")]
            Some("parquet" | "pq") => EmbeddingFormat::Parquet,
            #[cfg(not(feature = "parquet"))]
            Some("parquet" | "pq") => {
                return Err(Error::input(format!(
                    "{}: this build cannot write Parquet; build with the cargo feature `parquet`",
                    path.display()
                )));
            }
            _ => {
                return Err(Error::input(format!(
                    "{}: the ending does not say how to write embeddings; known are .npy, .safetensors, .jsonl, .csv and .parquet",
                    path.display()
                )));
            }
        })
    }

    /// Whether the format has a place for token counts and truncation.
    pub fn holds_tokens(self) -> bool {
        self != EmbeddingFormat::Npy
    }
}

/// Rows of embeddings in the numbers they are written in, row-major.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// 16-bit floats.
    F16(&'a [f16]),
    /// Signed bytes.
    I8(&'a [i8]),
    /// Bytes: bits of eight columns each.
    U8(&'a [u8]),
}

impl Values<'_> {
    fn len(self) -> usize {
        match self {
            Values::F32(values) => values.len(),
            Values::F16(values) => values.len(),
            Values::I8(values) => values.len(),
            Values::U8(values) => values.len(),
        }
    }

    /// Position of the first value that is NaN or infinite.
    fn not_finite(self) -> Option<usize> {
        match self {
            Values::F32(values) => values.iter().position(|value| !value.is_finite()),
            Values::F16(values) => values.iter().position(|value| !value.is_finite()),
            Values::I8(_) | Values::U8(_) => None,
        }
    }

    fn precision(self) -> Precision {
        match self {
            Values::F32(_) => Precision::F32,
            Values::F16(_) => Precision::F16,
            Values::I8(_) => Precision::Int8,
            Values::U8(_) => Precision::Ubinary,
        }
    }

    /// Numbers `range`.
    fn part(self, range: Range<usize>) -> Self {
        match self {
            Values::F32(values) => Values::F32(&values[range]),
            Values::F16(values) => Values::F16(&values[range]),
            Values::I8(values) => Values::I8(&values[range]),
            Values::U8(values) => Values::U8(&values[range]),
        }
    }
}

/// Writes embeddings to a file, chunk by chunk, in input order.
///
/// The rows go to a temporary file beside the target, which [`finish`](Self::finish) renames: the target is whole, or
/// it is as it was before, and a file that is there keeps its permissions. A link is followed; a device or a pipe gets the whole
/// file at the end. Dropping the writer without finishing removes the temporary file. Memory does not grow with
/// the rows, but for 5 bytes a row of the safetensors format.
///
/// ```
/// use frostbert::data::EmbeddingWriter;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("vectors.npy");
/// let mut writer = EmbeddingWriter::create(&path, 2)?;
/// writer.write(&[0.6, 0.8, 1.0, 0.0], &[5, 7], &[false, true])?;
/// assert!(!path.exists());
/// assert_eq!(writer.finish()?, 2);
/// assert!(path.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct EmbeddingWriter {
    name: String,
    /// Numbers a row: eight columns are one number of [`Precision::Ubinary`].
    dim: usize,
    precision: Precision,
    rows: u64,
    format: Box<dyn Layout>,
    /// None for a stream.
    file: Option<WholeFile>,
}

impl EmbeddingWriter {
    /// Starts a file of vectors of `dim` numbers, in the format of the path's ending.
    ///
    /// # Errors
    /// An input error if the ending is not known or the path is a folder; an I/O error if the folder cannot be written to.
    pub fn create(path: impl AsRef<Path>, dim: usize) -> Result<Self> {
        let path = path.as_ref();
        Self::create_as(path, EmbeddingFormat::from_path(path)?, dim, Precision::F32)
    }

    /// Starts a file in a format told apart from its name, of vectors of `dim` columns in other numbers than 32-bit floats,
    /// to be given to [`write_values`](Self::write_values).
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_as(
        path: impl AsRef<Path>,
        format: EmbeddingFormat,
        dim: usize,
        precision: Precision,
    ) -> Result<Self> {
        let dim = precision.columns(dim);
        let path = path.as_ref();
        let name = path.display().to_string();
        if path.is_dir() {
            return Err(Error::input(format!(
                "cannot write {name}: it is a folder; give the name of a file in it"
            )));
        }
        let folder = whole_file::folder(path);
        let cannot = |error: io::Error| {
            let what = if error.kind() == ErrorKind::NotFound {
                "its folder does not exist"
            } else {
                "cannot create a file there"
            };
            Error::io(format!("cannot write {name}: {what} ({})", folder.display())).with_source(error)
        };
        let whole = WholeFile::create(path).map_err(cannot)?;
        let file = BufWriter::with_capacity(1 << 20, whole.file().try_clone().map_err(cannot)?);
        let layout: io::Result<Box<dyn Layout>> = match format {
            EmbeddingFormat::Npy => npy::Npy::new(file, dim, precision).map(boxed),
            EmbeddingFormat::Safetensors => safetensors::Safetensors::new(file, dim, precision).map(boxed),
            EmbeddingFormat::Jsonl => Ok(boxed(text::Jsonl::new(file))),
            EmbeddingFormat::Csv => text::Csv::new(file, dim).map(boxed),
            #[cfg(feature = "parquet")]
            EmbeddingFormat::Parquet => parquet::Parquet::new(file, dim, precision).map(boxed),
            #[cfg(not(feature = "parquet"))]
            EmbeddingFormat::Parquet => {
                return Err(Error::input(
                    "this build cannot write Parquet; build with the cargo feature `parquet`",
                ));
            }
        };
        let format = layout.map_err(|error| failed(&name, 0, error))?;
        Ok(EmbeddingWriter { name, dim, precision, rows: 0, format, file: Some(whole) })
    }

    /// Writes `.jsonl` rows to a stream, such as standard output, as they come.
    pub fn jsonl(
        name: impl Into<String>,
        stream: impl Write + Send + 'static,
        dim: usize,
        precision: Precision,
    ) -> Self {
        let format = Box::new(text::Jsonl::new(BufWriter::new(stream)));
        EmbeddingWriter {
            name: name.into(),
            dim: precision.columns(dim),
            precision,
            rows: 0,
            format,
            file: None,
        }
    }

    /// Adds rows.
    ///
    /// Shapes: `values` `[texts, dim]`, `tokens` `[texts]`, `truncated` `[texts]`.
    ///
    /// # Errors
    /// An input error if the shapes do not agree; a device error if a value is NaN or infinite; an I/O error if the rows
    /// cannot be written: on a full disk it says so, and dropping the writer gives the space back.
    pub fn write(&mut self, values: &[f32], tokens: &[u32], truncated: &[bool]) -> Result<()> {
        self.write_values(Values::F32(values), tokens, truncated)
    }

    /// Adds rows in the numbers that the file was started for.
    ///
    /// Shapes: `values` `[texts, columns]` with [`Precision::columns`], `tokens` `[texts]`, `truncated` `[texts]`.
    ///
    /// # Errors
    /// As [`write`](Self::write); an input error for other numbers.
    pub fn write_values(&mut self, values: Values<'_>, tokens: &[u32], truncated: &[bool]) -> Result<()> {
        if values.precision() != self.precision {
            return Err(Error::input(format!(
                "cannot write {}: the file was started for {}, and the rows are {}",
                self.name,
                self.precision,
                values.precision()
            )));
        }
        let texts = tokens.len();
        if values.len() != texts * self.dim || truncated.len() != texts {
            return Err(Error::input(format!(
                "cannot write {}: {texts} rows of {} need as many marks of truncation and {} values; found {} and {}",
                self.name,
                self.dim,
                texts * self.dim,
                truncated.len(),
                values.len()
            )));
        }
        if let Some(at) = values.not_finite() {
            let step = match values {
                Values::F16(_) => {
                    "it may be too large for f16: write f32, or scale to unit length (--normalize)"
                }
                _ => "try another --device, and please report it",
            };
            return Err(Error::device(format!(
                "cannot write {}: the embedding of row {} is infinite or NaN in column {}; {step}",
                self.name,
                self.rows + (at / self.dim) as u64 + 1,
                at % self.dim
            )));
        }
        let chunk = Chunk { dim: self.dim, values, tokens, truncated };
        self.format.rows(&chunk).map_err(|error| failed(&self.name, self.rows, error))?;
        self.rows += texts as u64;
        Ok(())
    }

    /// Adds what an encoder gave.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_embeddings(&mut self, embeddings: &Embeddings) -> Result<()> {
        self.write(&embeddings.values, &embeddings.tokens, &embeddings.truncated)
    }

    /// Completes the file, gives it its name, and says how many rows it holds.
    ///
    /// # Errors
    /// An I/O error if the rest cannot be written or the file cannot be renamed; nothing is left behind then.
    pub fn finish(mut self) -> Result<u64> {
        let failed = |error| failed(&self.name, self.rows, error);
        self.format.finish(self.rows).map_err(failed)?;
        if let Some(file) = self.file {
            file.finish().map_err(failed)?;
        }
        Ok(self.rows)
    }
}

impl std::fmt::Debug for EmbeddingWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddingWriter")
            .field("name", &self.name)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

/// Rows on their way into a file.
struct Chunk<'a> {
    dim: usize,
    /// `[texts, dim]`.
    values: Values<'a>,
    tokens: &'a [u32],
    truncated: &'a [bool],
}

impl<'a> Chunk<'a> {
    /// Vector, token count and truncation of each text.
    fn rows(&self) -> impl Iterator<Item = (Values<'a>, u32, bool)> {
        let (values, dim) = (self.values, self.dim);
        let rows = self.tokens.iter().zip(self.truncated).enumerate();
        rows.map(move |(row, (&tokens, &truncated))| {
            (values.part(row * dim..(row + 1) * dim), tokens, truncated)
        })
    }
}

/// One way of writing.
trait Layout: Send {
    fn rows(&mut self, chunk: &Chunk<'_>) -> io::Result<()>;
    /// Writes what could not be written before, and flushes. `rows` is how many there were.
    fn finish(&mut self, rows: u64) -> io::Result<()>;
}

fn boxed(layout: impl Layout + 'static) -> Box<dyn Layout> {
    Box::new(layout)
}

/// A file that is being written.
type Out = BufWriter<File>;

fn failed(name: &str, rows: u64, error: io::Error) -> Error {
    let full =
        matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge);
    let message = if full {
        format!(
            "cannot write {name}: the disk is full, or no larger file is allowed, after {rows} rows; nothing of it is left \
             behind. Make room, or write it elsewhere"
        )
    } else {
        format!("cannot write {name} after {rows} rows")
    };
    Error::io(message).with_source(error)
}
