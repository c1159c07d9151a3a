//! Parquet tables, a few hundred rows of the chosen columns at a time.

mod pages;

use parquet::basic::{Compression, ConvertedType, LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use self::pages::{Chunks, OpenPages};
use super::Source;
use super::input::ReadProgress;
use super::number;
use super::row::{Cell, Place, Value};
use crate::error::{Error, Result};

/// Rows decoded at once: enough to make decoding cheap, few enough to keep huge cells out of memory.
const BATCH: usize = 256;

/// A Parquet table.
pub(super) struct Parquet {
    name: String,
    file: Box<dyn FileReader>,
    /// The same file, for columns whose compression the crate does not read.
    pages: Box<dyn OpenPages>,
    columns: Vec<String>,
    /// The columns read, each once, in the order of first use.
    wanted: Vec<Column>,
    /// Index into `wanted` for each column of the projection.
    projection: Vec<usize>,
    group: usize,
    /// Rows of the current row group not yet decoded.
    left: usize,
    row: u64,
    rows: u64,
    progress: ReadProgress,
    bytes: u64,
}

struct Column {
    name: String,
    /// Index among the leaves of the schema.
    leaf: usize,
    reader: Option<ColumnReader>,
    cells: std::vec::IntoIter<Cell>,
}

impl Parquet {
    pub(super) fn open<R: ChunkReader + 'static>(
        name: String,
        bytes: R,
        len: u64,
        progress: ReadProgress,
    ) -> Result<Self> {
        if len == 0 {
            return Err(Error::input(format!("{name} is empty: there is no text in it")));
        }
        let bytes = Chunks::new(bytes);
        let file = guarded(|| SerializedFileReader::new(bytes.clone())).map_err(|error| {
            Error::input(format!("{name} is not a Parquet file: {error}")).with_source(error)
        })?;
        check_ranges(file.metadata(), len).map_err(|error| damaged(&name, error))?;
        let metadata = file.metadata().file_metadata();
        let fields = metadata.schema_descr().root_schema().get_fields();
        let columns = fields.iter().map(|field| field.name().to_owned()).collect();
        let rows = u64::try_from(metadata.num_rows()).unwrap_or(0);
        Ok(Parquet {
            name,
            file: Box::new(file),
            pages: Box::new(bytes),
            columns,
            wanted: Vec::new(),
            projection: Vec::new(),
            group: 0,
            left: 0,
            row: 0,
            rows,
            progress,
            bytes: len,
        })
    }

    /// The one leaf below a column, if its values can be cells.
    fn leaf(&self, column: usize) -> Result<usize> {
        let name = &self.columns[column];
        let refuse = |found: String| {
            Err(Error::input(format!(
                "{}: column \"{name}\" holds {found}; expected texts, numbers, true or false, or lists of these",
                self.name
            )))
        };
        let schema = self.file.metadata().file_metadata().schema_descr();
        let mut leaves = (0..schema.num_columns()).filter(|&leaf| schema.get_column_root_idx(leaf) == column);
        let (Some(leaf), None) = (leaves.next(), leaves.next()) else {
            return refuse("records".into());
        };
        let descriptor = schema.column(leaf);
        if descriptor.max_rep_level() > 1 {
            return refuse("lists of lists".into());
        }
        if !is_plain(&descriptor) {
            return refuse(format!("{} values", descriptor.physical_type()));
        }
        for group in self.file.metadata().row_groups() {
            if group.column(leaf).compression() == Compression::LZO {
                return Err(Error::input(format!(
                    "{}: column \"{name}\" is compressed with LZO, which is not read; save the table with zstd or snappy",
                    self.name
                )));
            }
        }
        Ok(leaf)
    }

    /// Decodes the next rows of every wanted column; false at the end of the file.
    fn fill(&mut self) -> Result<bool> {
        let groups = self.file.num_row_groups();
        while self.left == 0 {
            if self.group == groups {
                self.progress.set(self.bytes);
                return Ok(false);
            }
            let failed = |error| damaged(&self.name, error);
            let group = guarded(|| self.file.get_row_group(self.group)).map_err(failed)?;
            let schema = self.file.metadata().file_metadata().schema_descr();
            for column in &mut self.wanted {
                let reader = guarded(|| {
                    let chunk = group.metadata().column(column.leaf);
                    match self.pages.open(chunk, group.metadata().num_rows())? {
                        Some(pages) => Ok(get_column_reader(schema.column(column.leaf), pages)),
                        None => group.get_column_reader(column.leaf),
                    }
                });
                column.reader = Some(reader.map_err(failed)?);
            }
            self.left = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
            self.group += 1;
        }
        let count = self.left.min(BATCH);
        let schema = self.file.metadata().file_metadata().schema_descr();
        for column in &mut self.wanted {
            let Some(reader) = &mut column.reader else { continue };
            let cells = guarded(|| read(reader, &schema.column(column.leaf), count))
                .map_err(|error| damaged(&format!("{}, column \"{}\"", self.name, column.name), error))?;
            if cells.len() != count {
                return Err(Error::input(format!(
                    "{}, column \"{}\": the file is damaged: it says {count} more rows and holds {}",
                    self.name,
                    column.name,
                    cells.len()
                )));
            }
            column.cells = cells.into_iter();
        }
        self.left -= count;
        // Row groups hold columns one after another, so bytes are told by the share of rows.
        self.progress
            .set(((self.row + count as u64) as f64 / self.rows.max(1) as f64 * self.bytes as f64) as u64);
        Ok(true)
    }
}

impl Source for Parquet {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn project(&mut self, columns: &[usize]) -> Result<()> {
        for &column in columns {
            let leaf = self.leaf(column)?;
            let known = self.wanted.iter().position(|wanted| wanted.leaf == leaf);
            self.projection.push(known.unwrap_or(self.wanted.len()));
            if known.is_none() {
                let name = self.columns[column].clone();
                self.wanted.push(Column { name, leaf, reader: None, cells: Vec::new().into_iter() });
            }
        }
        Ok(())
    }

    fn next(&mut self, _columns: &[usize], cells: &mut Vec<Cell>) -> Result<Option<Place>> {
        if self.wanted.first().is_none_or(|column| column.cells.len() == 0) && !self.fill()? {
            return Ok(None);
        }
        self.row += 1;
        let mut row: Vec<Cell> =
            self.wanted.iter_mut().map(|column| column.cells.next().unwrap_or_default()).collect();
        for (at, &wanted) in self.projection.iter().enumerate() {
            let again = self.projection[at + 1..].contains(&wanted);
            cells.push(if again { row[wanted].clone() } else { std::mem::take(&mut row[wanted]) });
        }
        Ok(Some(Place { row: self.row, line: None }))
    }
}

/// Whether a leaf's values mean what their physical type says: dates and decimals do not.
fn is_plain(leaf: &ColumnDescriptor) -> bool {
    let logical = matches!(
        leaf.logical_type_ref(),
        None | Some(
            LogicalType::String
                | LogicalType::Enum
                | LogicalType::Json
                | LogicalType::Integer { .. }
                // A column without a value: pandas' of None alone.
                | LogicalType::Unknown
        )
    );
    let converted = !matches!(
        leaf.converted_type(),
        ConvertedType::DECIMAL
            | ConvertedType::DATE
            | ConvertedType::TIMESTAMP_MILLIS
            | ConvertedType::TIMESTAMP_MICROS
    );
    let physical = !matches!(leaf.physical_type(), Type::INT96 | Type::FIXED_LEN_BYTE_ARRAY);
    logical && converted && physical
}

fn read(reader: &mut ColumnReader, leaf: &ColumnDescriptor, count: usize) -> Result<Vec<Cell>, ParquetError> {
    let unsigned =
        leaf.converted_type() == ConvertedType::UINT_64 || leaf.converted_type() == ConvertedType::UINT_32;
    match reader {
        ColumnReader::BoolColumnReader(reader) => {
            typed(reader, leaf, count, |value| Ok(Value::text(value.to_string())))
        }
        ColumnReader::Int32ColumnReader(reader) => typed(reader, leaf, count, |value| {
            Ok(Value::number(if unsigned { (value as u32).to_string() } else { value.to_string() }))
        }),
        ColumnReader::Int64ColumnReader(reader) => typed(reader, leaf, count, |value| {
            Ok(Value::number(if unsigned { (value as u64).to_string() } else { value.to_string() }))
        }),
        ColumnReader::FloatColumnReader(reader) => {
            typed(reader, leaf, count, |value| Ok(Value::number(number::float(value))))
        }
        ColumnReader::DoubleColumnReader(reader) => {
            typed(reader, leaf, count, |value| Ok(Value::number(number::float(value))))
        }
        ColumnReader::ByteArrayColumnReader(reader) => typed(reader, leaf, count, utf8),
        _ => Err(ParquetError::NYI(format!("values of type {}", leaf.physical_type()))),
    }
}

fn utf8(value: ByteArray) -> Result<Value, ParquetError> {
    String::from_utf8(value.data().to_vec())
        .map(Value::text)
        .map_err(|error| ParquetError::General(format!("a value is not UTF-8 ({})", error.utf8_error())))
}

/// Reads `count` rows and puts the values, which are stored without nulls and without nesting, back into rows.
fn typed<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    leaf: &ColumnDescriptor,
    count: usize,
    convert: impl Fn(T::T) -> Result<Value, ParquetError>,
) -> Result<Vec<Cell>, ParquetError> {
    let (mut definitions, mut repetitions, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let (mut rows, mut levels) = (0, 0);
    // A page ends where it likes, so one call may give fewer rows.
    while rows < count {
        let (got, _, more) =
            reader.read_records(count - rows, Some(&mut definitions), Some(&mut repetitions), &mut values)?;
        if got == 0 {
            break;
        }
        (rows, levels) = (rows + got, levels + more);
    }
    let mut values = values.into_iter();
    let whole = leaf.max_def_level();
    let list = leaf.max_rep_level() > 0;
    // Below this level the list itself is null; at it, the list is there and empty.
    let empty = leaf.repeated_ancestor_def_level() - 1;
    let mut cells: Vec<Cell> = Vec::with_capacity(rows);
    for level in 0..levels {
        // Columns that cannot be null have no definition levels.
        let definition = definitions.get(level).copied().unwrap_or(whole);
        let starts = repetitions.get(level).is_none_or(|&repetition| repetition == 0);
        let value = if definition == whole { values.next().map(&convert).transpose()? } else { None };
        match (list, starts, value) {
            (false, _, value) => cells.push(value.map_or(Cell::Missing, Cell::Value)),
            (true, true, Some(value)) => cells.push(Cell::List(vec![value])),
            (true, true, None) if definition < empty => cells.push(Cell::Missing),
            (true, true, None) if definition == empty => cells.push(Cell::List(Vec::new())),
            (true, _, None) => {
                return Err(ParquetError::General(
                    "a list has a null in it; leave it out of the list".into(),
                ));
            }
            (true, false, Some(value)) => {
                if let Some(Cell::List(items)) = cells.last_mut() {
                    items.push(value);
                }
            }
        }
    }
    Ok(cells)
}

/// Column chunks lie inside the file. The crate takes this for granted and panics where it is not so.
fn check_ranges(metadata: &ParquetMetaData, len: u64) -> Result<(), ParquetError> {
    for chunk in metadata.row_groups().iter().flat_map(|group| group.columns()) {
        let start = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
        let end = start.checked_add(chunk.compressed_size()).and_then(|end| u64::try_from(end).ok());
        if start < 0 || chunk.compressed_size() < 0 || end.is_none_or(|end| end > len) {
            let column = chunk.column_path().string();
            return Err(ParquetError::General(format!("column \"{column}\" does not lie inside the file")));
        }
    }
    Ok(())
}

/// Runs the crate's code on bytes that may be damaged: it panics on some that its checks miss, and input must not be
/// able to do that. What it was working on is given up after such an error, so no broken state is seen again.
fn guarded<T>(work: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(ParquetError::General("the data contradicts itself".into())))
}

fn damaged(name: &str, error: ParquetError) -> Error {
    Error::input(format!("{name}: cannot read the Parquet data: {error}")).with_source(error)
}
