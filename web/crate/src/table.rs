//! A table of texts and labels, read by the library's reader.

use std::collections::HashSet;

use frostbert::data::Table;
use js_sys::{Array, JsString, Uint32Array};
use serde::Serialize;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::encoder::json;
use crate::error::to_js;

/// Rows of a preview.
const PREVIEW_ROWS: usize = 20;
/// Characters of a cell of a preview.
const PREVIEW_CHARS: usize = 300;
/// Distinct values of a column are counted up to one more than this: a label column has fewer.
const DISTINCT: usize = 1000;

/// A file in memory.
#[wasm_bindgen]
pub struct WebTable {
    name: String,
    bytes: Vec<u8>,
}

/// `TablePreview` of the npm package.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Preview {
    columns: Vec<String>,
    rows: usize,
    preview: Vec<Vec<String>>,
    distinct: Vec<usize>,
    mean_chars: Vec<f64>,
}

#[wasm_bindgen]
impl WebTable {
    /// A file by its name, whose ending says what it is, and its bytes.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new(name: String, bytes: Vec<u8>) -> Self {
        WebTable { name, bytes }
    }

    /// `TablePreview` of the npm package, as JSON. Reads the whole file.
    ///
    /// # Errors
    /// The file is no table; the message says where it goes wrong.
    pub fn preview(&self) -> Result<String, JsValue> {
        json(&self.look().map_err(to_js)?)
    }

    /// `[row numbers, cells of the first column, of the second, ...]` for the rows in which every one of these columns
    /// has a value.
    ///
    /// # Errors
    /// As [`preview`](Self::preview).
    pub fn read(&self, columns: &[usize]) -> Result<Array, JsValue> {
        let cells: Vec<Array> = columns.iter().map(|_| Array::new()).collect();
        let mut numbers = Vec::new();
        for (number, row) in self.open().and_then(Table::cells).map_err(to_js)?.enumerate() {
            let row = row.map_err(to_js)?;
            let values: Option<Vec<&str>> =
                columns.iter().map(|column| value(row.get(*column)?.as_deref())).collect();
            let Some(values) = values else { continue };
            numbers.push(number as u32);
            for (cell, value) in cells.iter().zip(values) {
                cell.push(&JsString::from(value));
            }
        }
        let all = Array::of1(&Uint32Array::from(&numbers[..]));
        cells.iter().for_each(|column| {
            all.push(column);
        });
        Ok(all)
    }
}

/// What a data frame writes for a missing value is missing.
fn value(cell: Option<&str>) -> Option<&str> {
    cell.filter(|text| !matches!(text.trim(), "" | "nan" | "NaN" | "NAN"))
}

impl WebTable {
    fn open(&self) -> frostbert::Result<Table> {
        Table::from_bytes(self.name.clone(), self.bytes.clone())
    }

    fn look(&self) -> frostbert::Result<Preview> {
        let table = self.open()?;
        let columns = table.columns().to_vec();
        let mut distinct: Vec<HashSet<String>> = vec![HashSet::new(); columns.len()];
        let mut chars = vec![0usize; columns.len()];
        let mut preview = Vec::new();
        let mut rows = 0;
        for row in table.cells()? {
            let row = row?;
            for (at, cell) in row.iter().enumerate().take(columns.len()) {
                let text = cell.as_deref().unwrap_or("");
                chars[at] += text.len();
                if distinct[at].len() <= DISTINCT
                    && value(Some(text)).is_some()
                    && !distinct[at].contains(text)
                {
                    distinct[at].insert(text.to_owned());
                }
            }
            if rows < PREVIEW_ROWS {
                let cut =
                    |cell: Option<String>| cell.unwrap_or_default().chars().take(PREVIEW_CHARS).collect();
                preview.push(row.into_iter().map(cut).collect());
            }
            rows += 1;
        }
        Ok(Preview {
            columns,
            rows,
            preview,
            distinct: distinct.iter().map(HashSet::len).collect(),
            mean_chars: chars.iter().map(|sum| *sum as f64 / rows.max(1) as f64).collect(),
        })
    }
}
