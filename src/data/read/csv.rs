//! Tables of separated cells.

use csv::{ErrorKind, ReaderBuilder, StringRecord};

use super::input::{Sniffed, reading};
use super::line_starts::{LineStarts, Start, Watched};
use super::row::{Cell, Place};
use super::{ReadOptions, Reader, Source};
use crate::error::{Error, Result};

/// Which of the two kinds of separated table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Csv,
    Tsv,
}

/// A CSV or TSV table.
pub(super) struct Csv {
    name: String,
    reader: csv::Reader<Watched<Reader>>,
    lines: LineStarts,
    columns: Vec<String>,
    record: StringRecord,
    row: u64,
    skipped: u64,
    /// What to try when a row has the wrong number of cells.
    hint: &'static str,
}

impl Csv {
    pub(super) fn open(input: Sniffed, dialect: Dialect, options: &ReadOptions) -> Result<Self> {
        let delimiter = match dialect {
            Dialect::Csv => delimiter(&input.head, options.quotes),
            Dialect::Tsv => b'\t',
        };
        let lines = LineStarts::default();
        let reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .quoting(options.quotes)
            .has_headers(options.header)
            .buffer_capacity(256 << 10)
            .from_reader(lines.watch(input.reader));
        let hint = if options.quotes {
            "a quote or a separator is missing, or quotes are plain characters here (then read without quoting: --quoting none)"
        } else {
            "a separator is missing, or the cells are quoted (then read with quoting: --quoting standard)"
        };
        let mut table = Csv {
            name: input.name,
            reader,
            lines,
            columns: Vec::new(),
            record: StringRecord::new(),
            row: 0,
            skipped: input.skipped,
            hint,
        };
        let header = match table.reader.headers() {
            Ok(header) => header.clone(),
            Err(error) => return Err(table.error(error)),
        };
        table.columns = if options.header {
            header.iter().map(str::to_owned).collect()
        } else {
            (1..=header.len()).map(|number| number.to_string()).collect()
        };
        Ok(table)
    }

    /// Where a record starts: its position is where the reader stood before it, which may be before blank lines.
    fn start(&self, position: &csv::Position) -> Option<Start> {
        self.lines.at_or_after(position.byte())
    }

    fn error(&self, error: csv::Error) -> Error {
        let name = &self.name;
        let start = error.position().and_then(|at| self.start(at));
        let (line, offset) = start.map_or((0, 0), |at| (at.line, at.byte + self.skipped));
        match error.into_kind() {
            ErrorKind::Io(error) => reading(name, error),
            ErrorKind::Utf8 { err, .. } => {
                let column = self.columns.get(err.field()).map_or_else(
                    || format!("column {}", err.field() + 1),
                    |column| format!("column \"{column}\""),
                );
                Error::input(format!(
                    "{name}, line {line}, {column}: not UTF-8 (after {} good bytes of the cell, in the row that starts at byte \
                     {offset}); save the table as UTF-8 (spreadsheets call it \"CSV UTF-8\")",
                    err.valid_up_to()
                ))
            }
            ErrorKind::UnequalLengths { expected_len, len, .. } => Error::input(format!(
                "{name}, line {line}: the row has {len} cells, the rows before it have {expected_len}: {}",
                self.hint
            )),
            other => Error::input(format!("{name}, line {line}: cannot read the row: {other:?}")),
        }
    }
}

impl Source for Csv {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn next(&mut self, columns: &[usize], cells: &mut Vec<Cell>) -> Result<Option<Place>> {
        match self.reader.read_record(&mut self.record) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => return Err(self.error(error)),
        }
        self.row += 1;
        // Rows are never ragged here, so the cell is there.
        cells.extend(columns.iter().map(|&column| Cell::text(self.record.get(column).unwrap_or_default())));
        let line = self.record.position().and_then(|at| self.start(at)).map(|start| start.line);
        Ok(Some(Place { row: self.row, line }))
    }
}

/// The separator that the header line uses most, outside quotes; a comma if it has none.
fn delimiter(head: &[u8], quotes: bool) -> u8 {
    let mut quoted = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    for &byte in head {
        match byte {
            b'"' if quotes => quoted = !quoted,
            b'\n' | b'\r' if !quoted => break,
            _ if !quoted => {
                counts.iter_mut().filter(|(separator, _)| *separator == byte).for_each(|(_, n)| *n += 1)
            }
            _ => {}
        }
    }
    let most = counts.iter().map(|(_, count)| *count).max().unwrap_or(0);
    counts.iter().find(|(_, count)| *count == most).map_or(b',', |(separator, _)| *separator)
}

#[cfg(test)]
mod tests {
    use super::delimiter;

    #[test]
    fn delimiter_is_read_off_the_header() {
        assert_eq!(delimiter(b"text,label\na;b;c;d,e\n", true), b',');
        assert_eq!(delimiter(b"text;label\r\na,b,c;d\n", true), b';');
        assert_eq!(delimiter(b"text\tlabel\n", true), b'\t');
        assert_eq!(delimiter(b"\"a;b;c\",d\n", true), b',');
        assert_eq!(delimiter(b"text\n", true), b',');
    }
}
