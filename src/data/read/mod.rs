//! Tables of texts, row by row.

mod csv;
#[cfg(not(target_arch = "wasm32"))]
mod embeddings;
mod folder;
mod input;
mod line_starts;
mod lines;
mod list;
mod number;
#[cfg(feature = "parquet")]
mod parquet;
mod row;
mod select;

use std::io::Read;
use std::path::Path;
use std::str::FromStr;

#[cfg(not(target_arch = "wasm32"))]
pub use crate::data::read::embeddings::EmbeddingFile;
use crate::data::read::input::Input;
pub use crate::data::read::input::ReadProgress;
use crate::data::read::row::{Cell, Place};
pub use crate::data::read::row::{Label, LabelKind, Row};
pub use crate::data::read::select::{Filter, Selection, TableRows, TextColumns};
use crate::error::{Error, Result};

/// How a table is laid out on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// One text a line; its column is called `text`. Blank lines are empty texts, so that line N stays row N.
    Text,
    /// Comma-separated cells; semicolons and tabs are recognised in the header.
    Csv,
    /// Tab-separated cells.
    Tsv,
    /// One JSON object a line.
    Jsonl,
    /// Apache Parquet (cargo feature `parquet`).
    Parquet,
    /// Text files in one folder a class; columns `text`, `label`, `file`.
    Folder,
}

impl Format {
    const ENDINGS: &'static str = ".txt, .csv, .tsv, .jsonl, .parquet or a folder of text files";

    /// The format that a file's ending stands for.
    ///
    /// # Errors
    /// An input error for an ending that is not known; it lists those that are.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        ending.as_deref().and_then(Self::from_ending).ok_or_else(|| {
            Error::input(format!(
                "{}: the ending does not say what kind of table this is; expected {}, or name the format",
                path.display(),
                Self::ENDINGS
            ))
        })
    }

    fn from_ending(ending: &str) -> Option<Self> {
        Some(match ending {
            "txt" | "text" => Format::Text,
            "csv" => Format::Csv,
            "tsv" | "tab" => Format::Tsv,
            "jsonl" | "ndjson" => Format::Jsonl,
            "parquet" | "pq" => Format::Parquet,
            _ => return None,
        })
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::from_ending(&name.to_ascii_lowercase()).ok_or_else(|| {
            Error::input(format!("no such format: {name}; known are txt, csv, tsv, jsonl and parquet"))
        })
    }
}

/// How to read a table where its name does not say it all.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// The layout; `None`: by the file's ending (text lines on standard input).
    pub format: Option<Format>,
    /// Whether the first row of a CSV or TSV table names its columns. Without it they are called `1`, `2`, ...
    pub header: bool,
    /// Whether `"` quotes cells of a CSV or TSV table; without it a quote is a character like any other, as with pandas'
    /// `quoting=csv.QUOTE_NONE`.
    pub quotes: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        ReadOptions { format: None, header: true, quotes: true }
    }
}

/// A table of texts, opened and its columns known; [`rows`](Table::rows) reads it once.
///
/// ```
/// use frostbert::data::{Label, Selection, Table};
///
/// let table = Table::from_bytes("films.csv", "text,label\nA delight.,pos\nA bore.,neg\n")?;
/// assert_eq!(table.columns(), ["text", "label"]);
/// let selection = Selection { labels: vec!["label".into()], ..Selection::default() };
/// let rows = table.rows(&selection)?.collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(rows[1].text, "A bore.");
/// assert_eq!(rows[1].label, Some(Label::Name("neg".into())));
/// assert_eq!((rows[1].number, rows[1].line), (2, Some(3)));
/// # Ok::<(), frostbert::Error>(())
/// ```
pub struct Table {
    name: String,
    source: Box<dyn Source>,
    progress: ReadProgress,
}

impl Table {
    /// Opens a file, a folder of text files, or standard input (`-`).
    ///
    /// # Errors
    /// An I/O error if it cannot be opened; an input error if it is empty, binary, not UTF-8, has no header that can be
    /// read, or is of a kind that is not known.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &ReadOptions::default())
    }

    /// [`open`](Self::open), with the layout told.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Self> {
        let path = path.as_ref();
        if path == Path::new("-") {
            let format = options.format.unwrap_or(Format::Text);
            let input = Input::new("standard input".into(), Box::new(std::io::stdin()), None);
            return Self::from_input(input, format, options);
        }
        let name = path.display().to_string();
        let cannot = |error: std::io::Error| Error::io(format!("cannot open {name}")).with_source(error);
        let metadata = std::fs::metadata(path).map_err(cannot)?;
        if metadata.is_dir() {
            let progress = ReadProgress::new(None);
            let (source, total) = folder::Folder::open(path, progress.clone())?;
            return Ok(Table { name, source: Box::new(source), progress: progress.with_total(total) });
        }
        let format = options.format.map_or_else(|| Format::from_path(path), Ok)?;
        let file = std::fs::File::open(path).map_err(cannot)?;
        #[cfg(feature = "parquet")]
        if format == Format::Parquet {
            let progress = ReadProgress::new(Some(metadata.len()));
            let source = parquet::Parquet::open(name.clone(), file, metadata.len(), progress.clone())?;
            return Ok(Table { name, source: Box::new(source), progress });
        }
        // A pipe or a device has no length worth showing.
        let total = metadata.is_file().then_some(metadata.len());
        Self::from_input(Input::new(name, Box::new(file), total), format, options)
    }

    /// A table that lies in memory; the name's ending says what kind it is.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Result<Self> {
        Self::from_bytes_with(name, bytes, &ReadOptions::default())
    }

    /// [`from_bytes`](Self::from_bytes), with the layout told.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes_with(
        name: impl Into<String>,
        bytes: impl Into<Vec<u8>>,
        options: &ReadOptions,
    ) -> Result<Self> {
        let (name, bytes) = (name.into(), bytes.into());
        let format = options.format.map_or_else(|| Format::from_path(&name), Ok)?;
        let total = bytes.len() as u64;
        Self::from_input(
            Input::new(name, Box::new(std::io::Cursor::new(bytes)), Some(total)),
            format,
            options,
        )
    }

    fn from_input(input: Input, format: Format, options: &ReadOptions) -> Result<Self> {
        let (name, progress) = (input.name().to_owned(), input.progress().clone());
        let source: Box<dyn Source> = match format {
            Format::Text => Box::new(lines::Text::open(input.sniffed()?)),
            Format::Csv => Box::new(csv::Csv::open(input.sniffed()?, csv::Dialect::Csv, options)?),
            Format::Tsv => Box::new(csv::Csv::open(input.sniffed()?, csv::Dialect::Tsv, options)?),
            Format::Jsonl => Box::new(lines::Jsonl::open(input.sniffed()?)?),
            #[cfg(feature = "parquet")]
            Format::Parquet => {
                let bytes = ::bytes::Bytes::from(input.read_all()?);
                let len = bytes.len() as u64;
                Box::new(parquet::Parquet::open(name.clone(), bytes, len, progress.clone())?)
            }
            #[cfg(not(feature = "parquet"))]
            Format::Parquet => {
                return Err(Error::input(format!(
                    "{name}: this build cannot read Parquet; build with the cargo feature `parquet`, or save the table as .jsonl"
                )));
            }
            Format::Folder => {
                return Err(Error::input(format!("{name}: expected a folder of text files, found a file")));
            }
        };
        Ok(Table { name, source, progress })
    }

    /// What the table is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of the columns, in order. For `.jsonl` they are the keys of the first object; later objects may have others, which
    /// can be chosen as well.
    pub fn columns(&self) -> &[String] {
        self.source.columns()
    }

    /// How much has been read, to be looked at while [`TableRows`] runs (bytes).
    pub fn progress(&self) -> ReadProgress {
        self.progress.clone()
    }

    /// Starts reading the chosen columns.
    ///
    /// # Errors
    /// An input error if there is no such column (the message lists those there are; in a `.jsonl` table it shows at the row
    /// that lacks it), a chosen name stands twice in the header, or the limit is zero.
    pub fn rows(self, selection: &Selection) -> Result<TableRows> {
        TableRows::new(self.name, self.source, self.progress, selection)
    }

    /// Starts reading every cell as text, for a preview: nothing is checked but that the file can be read.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn cells(mut self) -> Result<Cells> {
        let columns: Vec<usize> = (0..self.source.columns().len()).collect();
        self.source.project(&columns)?;
        Ok(Cells { source: self.source, columns, cells: Vec::new() })
    }
}

/// Every row of a table, each as the texts of its cells; `None` where a cell has no value.
pub struct Cells {
    source: Box<dyn Source>,
    columns: Vec<usize>,
    cells: Vec<Cell>,
}

impl Iterator for Cells {
    type Item = Result<Vec<Option<String>>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.cells.clear();
        match self.source.next(&self.columns, &mut self.cells) {
            Ok(Some(_)) => Some(Ok(self.cells.drain(..).map(Cell::into_text).collect())),
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("name", &self.name)
            .field("columns", &self.columns())
            .finish_non_exhaustive()
    }
}

/// A reader of one layout.
trait Source: Send {
    /// Names of all columns.
    fn columns(&self) -> &[String];

    /// Whether rows may have columns that are not among these.
    fn open_ended(&self) -> bool {
        false
    }

    /// The number of a column that is not among them but that rows may have.
    fn more(&mut self, _name: &str) -> Option<usize> {
        None
    }

    /// Where rows may have columns of their own: those of the last row but this one.
    fn others(&self, _but: &str) -> Vec<String> {
        Vec::new()
    }

    /// Says once, before the first row, which columns will be asked for.
    fn project(&mut self, _columns: &[usize]) -> Result<()> {
        Ok(())
    }

    /// Reads the next row: puts one cell into `cells` for each entry of `columns`. `None` at the end.
    fn next(&mut self, columns: &[usize], cells: &mut Vec<Cell>) -> Result<Option<Place>>;
}

/// A reader that can be sent to another thread.
type Reader = Box<dyn Read + Send>;
