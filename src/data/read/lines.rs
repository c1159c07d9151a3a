//! Tables of one row a line: plain text and JSON objects.

use std::io::{BufRead, BufReader};

use serde_json::Value;

use super::input::{Sniffed, not_utf8, reading};
use super::row::{Cell, Place};
use super::{Reader, Source};
use crate::error::{Error, Result};

/// Lines of UTF-8, numbered; the end of line (LF or CR LF) taken off.
struct Lines {
    name: String,
    reader: BufReader<Reader>,
    buffer: Vec<u8>,
    line: u64,
    /// Where the line in the buffer starts in the file (bytes).
    start: u64,
}

impl Lines {
    fn new(input: Sniffed) -> Self {
        Lines {
            name: input.name,
            reader: BufReader::with_capacity(256 << 10, input.reader),
            buffer: Vec::new(),
            line: 0,
            start: input.skipped,
        }
    }

    /// The next line and its number, from 1.
    fn next(&mut self) -> Result<Option<(&str, u64)>> {
        self.start += self.buffer.len() as u64;
        self.buffer.clear();
        let read =
            self.reader.read_until(b'\n', &mut self.buffer).map_err(|error| reading(&self.name, error))?;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        let mut text = self.buffer.as_slice();
        for end in [b'\n', b'\r'] {
            text = text.strip_suffix(&[end]).unwrap_or(text);
        }
        match std::str::from_utf8(text) {
            Ok(text) => Ok(Some((text, self.line))),
            Err(error) => {
                let place = format!("line {}", self.line);
                Err(not_utf8(&self.name, &place, text, error.valid_up_to(), self.start))
            }
        }
    }
}

/// One text a line.
pub(super) struct Text {
    lines: Lines,
    columns: [String; 1],
}

impl Text {
    pub(super) fn open(input: Sniffed) -> Self {
        Text { lines: Lines::new(input), columns: ["text".into()] }
    }
}

impl Source for Text {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn next(&mut self, columns: &[usize], cells: &mut Vec<Cell>) -> Result<Option<Place>> {
        let Some((text, line)) = self.lines.next()? else { return Ok(None) };
        cells.extend(columns.iter().map(|_| Cell::Text(text.to_owned())));
        Ok(Some(Place { row: line, line: Some(line) }))
    }
}

/// One JSON object a line; blank lines are skipped.
pub(super) struct Jsonl {
    lines: Lines,
    columns: Vec<String>,
    /// The first object, read to learn the columns, and not yet given out.
    first: Option<(Object, Place)>,
    row: u64,
}

type Object = serde_json::Map<String, Value>;

impl Jsonl {
    pub(super) fn open(input: Sniffed) -> Result<Self> {
        let mut table = Jsonl { lines: Lines::new(input), columns: Vec::new(), first: None, row: 0 };
        table.first = table.object()?;
        if let Some((object, _)) = &table.first {
            table.columns = object.keys().cloned().collect();
        }
        Ok(table)
    }

    fn object(&mut self) -> Result<Option<(Object, Place)>> {
        while let Some((text, line)) = self.lines.next()? {
            if text.trim().is_empty() {
                continue;
            }
            let parsed = serde_json::from_str(text);
            self.row += 1;
            let place = Place { row: self.row, line: Some(line) };
            return match parsed {
                Ok(Value::Object(object)) => Ok(Some((object, place))),
                Ok(other) => Err(Error::input(format!(
                    "{}, {place}: expected a JSON object such as {{\"text\": \"...\"}}, found {}",
                    self.lines.name,
                    kind(&other)
                ))),
                Err(error) => Err(Error::input(format!(
                    "{}, {place}: not JSON: {error}; a .jsonl table holds one object a line",
                    self.lines.name
                ))),
            };
        }
        Ok(None)
    }
}

impl Source for Jsonl {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn next(&mut self, columns: &[usize], cells: &mut Vec<Cell>) -> Result<Option<Place>> {
        let next = match self.first.take() {
            Some(first) => Some(first),
            None => self.object()?,
        };
        let Some((object, place)) = next else { return Ok(None) };
        for &column in columns {
            let name = &self.columns[column];
            let cell = object.get(name).map_or(Some(Cell::Missing), cell);
            cells.push(cell.ok_or_else(|| {
                let found = object.get(name).map_or("nothing", kind);
                Error::input(format!(
                    "{}, {place}: column \"{name}\" holds {found}; expected a text, a number, true, false or a list of these",
                    self.lines.name
                ))
            })?);
        }
        Ok(Some(place))
    }
}

/// A JSON value as a cell; `None` for what no cell can hold.
fn cell(value: &Value) -> Option<Cell> {
    match value {
        Value::Null => Some(Cell::Missing),
        Value::Array(values) => values.iter().map(scalar).collect::<Option<_>>().map(Cell::List),
        value => scalar(value).map(Cell::Text),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
