//! Tables of one row a line: plain text and JSON objects.

use std::io::{BufRead, BufReader};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::input::{Sniffed, not_utf8, reading};
use super::number;
use super::row::{Cell, Place, Value};
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
        cells.extend(columns.iter().map(|_| Cell::text(text)));
        Ok(Some(Place { row: line, line: Some(line) }))
    }
}

/// One JSON object a line; blank lines are skipped.
pub(super) struct Jsonl {
    lines: Lines,
    /// Keys of the first object, then others that were asked for.
    columns: Vec<String>,
    /// The first object, read to learn the columns, and not yet given out.
    first: Option<(Object, Place)>,
    /// Keys of the object given out last.
    keys: Vec<String>,
    row: u64,
}

/// An object's values as they are written, so that a number keeps every digit.
struct Object(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Object, M::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

impl Jsonl {
    pub(super) fn open(input: Sniffed) -> Result<Self> {
        let mut table =
            Jsonl { lines: Lines::new(input), columns: Vec::new(), first: None, keys: Vec::new(), row: 0 };
        table.first = table.object()?;
        if let Some((Object(fields), _)) = &table.first {
            for (name, _) in fields {
                if !table.columns.contains(name) {
                    table.columns.push(name.clone());
                }
            }
        }
        Ok(table)
    }

    fn object(&mut self) -> Result<Option<(Object, Place)>> {
        while let Some((text, line)) = self.lines.next()? {
            if text.trim().is_empty() {
                continue;
            }
            self.row += 1;
            let place = Place { row: self.row, line: Some(line) };
            let error = match serde_json::from_str(text) {
                Ok(object) => return Ok(Some((object, place))),
                Err(error) => error,
            };
            let text = match serde_json::from_str::<Box<RawValue>>(text) {
                Ok(other) => format!(
                    "expected a JSON object such as {{\"text\": \"...\"}}, found {}",
                    kind(other.get())
                ),
                Err(_) => format!("not JSON: {}; a .jsonl table holds one object a line", in_line(&error)),
            };
            return Err(Error::input(format!("{}, {place}: {text}", self.lines.name)));
        }
        Ok(None)
    }
}

/// What serde_json says of one line, which it calls line 1.
fn in_line(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at column ")
}

impl Source for Jsonl {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn open_ended(&self) -> bool {
        true
    }

    fn others(&self, but: &str) -> Vec<String> {
        self.keys.iter().filter(|key| *key != but).cloned().collect()
    }

    fn more(&mut self, name: &str) -> Option<usize> {
        self.columns.push(name.to_owned());
        Some(self.columns.len() - 1)
    }

    fn next(&mut self, columns: &[usize], cells: &mut Vec<Cell>) -> Result<Option<Place>> {
        let next = match self.first.take() {
            Some(first) => Some(first),
            None => self.object()?,
        };
        let Some((Object(fields), place)) = next else { return Ok(None) };
        for &column in columns {
            let name = &self.columns[column];
            let bad =
                |what: &str| Error::input(format!("{}, {place}: column \"{name}\" {what}", self.lines.name));
            let mut found = fields.iter().filter(|(key, _)| key == name).map(|(_, value)| value.get());
            let cell = match (found.next(), found.next()) {
                (None, _) => Cell::Missing,
                (Some(_), Some(_)) => return Err(bad("stands twice in the object; give it one value")),
                (Some(value), None) => cell(value).map_err(|found| {
                    bad(&format!("holds {found}; expected a text, a number, true, false or a list of these"))
                })?,
            };
            cells.push(cell);
        }
        self.keys = fields.into_iter().map(|(key, _)| key).collect();
        Ok(Some(place))
    }
}

/// A JSON value as a cell, or what it is that no cell can hold.
fn cell(json: &str) -> Result<Cell, String> {
    match json.as_bytes().first() {
        Some(b'n') => Ok(Cell::Missing),
        Some(b'[') => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(json).map_err(|error| in_line(&error))?;
            let item = |item: Box<RawValue>| match item.get().as_bytes().first() {
                Some(b'n') => Err("a list with null in it".to_owned()),
                Some(b'[' | b'{') => Err(format!("a list with {} in it", kind(item.get()))),
                _ => scalar(item.get()),
            };
            items.into_iter().map(item).collect::<Result<_, _>>().map(Cell::List)
        }
        Some(b'{') => Err(kind(json).to_owned()),
        _ => scalar(json).map(Cell::Value),
    }
}

fn scalar(json: &str) -> Result<Value, String> {
    Ok(match json.as_bytes().first() {
        Some(b'"') => Value::text(
            serde_json::from_str::<String>(json)
                .map_err(|error| format!("a text that is not JSON ({})", in_line(&error)))?,
        ),
        Some(b't' | b'f') => Value::text(json),
        _ => Value::number(number::json(json)),
    })
}

fn kind(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'n') => "null",
        Some(b't' | b'f') => "true or false",
        Some(b'"') => "a text",
        Some(b'[') => "a list",
        Some(b'{') => "an object",
        _ => "a number",
    }
}
