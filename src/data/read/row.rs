//! One row: its texts, its label, where it stood.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::list::split;
use super::number::Spellings;
use crate::error::{Error, Result};

/// A row of a table, as chosen by a [`Selection`](super::Selection).
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Number of the row in the table, from 1, the header not counted; rows that a filter left out are counted.
    pub number: u64,
    /// Line of the file on which the row starts, from 1, where there are lines.
    pub line: Option<u64>,
    /// The text; several columns joined by a separator.
    pub text: String,
    /// The second text of a pair.
    pub pair: Option<String>,
    /// The label, if label columns were asked for; of [`LabelKind::OptionalName`] none where the cell is empty.
    pub label: Option<Label>,
    /// The group that cross-validation keeps together, if asked for.
    pub group: Option<String>,
    /// The weight in training, if asked for; finite and not negative.
    pub weight: Option<f64>,
}

/// What a row is labelled with.
///
/// A name is the text of its cell. A cell of a CSV file is text as it is written: `01`, `1`, `1.0` and `1e3` are four names. The
/// numbers of JSON and Parquet are spelled as pandas writes them into a CSV file, so that the same rows have the same names in
/// each format: integers with all their digits, floats as `1.0`, `0.1`, `1e-05`; true and false as JSON spells them. Of equal
/// numbers of one column, such as JSON's 1 and 1.0, the first spelling is the name of all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Label {
    /// A finite number to predict.
    Number(f64),
    /// One class.
    Name(String),
    /// Any number of classes, in the order of the cell or of the columns, each once.
    Names(Vec<String>),
}

/// How label columns are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LabelKind {
    /// One column that holds a class.
    #[default]
    Name,
    /// One column that holds a class, or nothing where a row is not labelled yet.
    OptionalName,
    /// One column that holds a number (regression).
    Number,
    /// One column that holds several classes: a JSON list, a list, tuple or set as Python prints it, or names between separators. An
    /// empty cell is no class.
    List {
        /// What stands between names, for instance `,`.
        separator: String,
    },
    /// One column a class, named after it, that holds 1 or 0 (true or false, yes or no).
    Indicators,
}

/// A cell before anybody knows what it is for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Cell {
    /// JSON's null, a missing key, Parquet's null.
    #[default]
    Missing,
    Value(Value),
    List(Vec<Value>),
}

/// One value, as text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Value {
    pub(super) text: String,
    /// Whether the table says that it is a number, which may be written in several ways.
    pub(super) number: bool,
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Value { text: text.into(), number: false }
    }

    pub(super) fn number(text: impl Into<String>) -> Self {
        Value { text: text.into(), number: true }
    }
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Cell::Value(Value::text(text))
    }

    /// Whether the cell is this value, written as text.
    pub(super) fn is(&self, value: &str) -> bool {
        match self {
            Cell::Missing => value.is_empty(),
            Cell::Value(own) => own.text == value,
            Cell::List(items) => items.iter().any(|item| item.text == value),
        }
    }

    /// The cell's text; `None` if it is missing. A list's items are put on lines of their own.
    pub(super) fn into_text(self) -> Option<String> {
        match self {
            Cell::Missing => None,
            Cell::Value(value) => Some(value.text),
            Cell::List(items) => Some(items.into_iter().map(|item| item.text).collect::<Vec<_>>().join("\n")),
        }
    }

    /// The same with one spelling for equal numbers.
    pub(super) fn named(self, spellings: &mut Spellings) -> Self {
        let mut name = |value: Value| match value.number {
            true => Value { text: spellings.name(value.text), number: true },
            false => value,
        };
        match self {
            Cell::Missing => Cell::Missing,
            Cell::Value(value) => Cell::Value(name(value)),
            Cell::List(items) => Cell::List(items.into_iter().map(name).collect()),
        }
    }
}

/// Where a row stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) row: u64,
    pub(super) line: Option<u64>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {}", self.row)?;
        self.line.map_or(Ok(()), |line| write!(f, " (line {line})"))
    }
}

/// Reads label cells; none where they may be empty, and are. `columns` are their names; `place` is where they stood, with the table's name.
pub(super) fn label(
    kind: &LabelKind,
    columns: &[String],
    mut cells: impl Iterator<Item = Cell>,
    place: &dyn Fn() -> String,
) -> Result<Option<Label>> {
    let bad = |column: &str, found: &str, expected: &str| {
        Error::input(format!("{}: column \"{column}\" holds {found}; expected {expected}", place()))
    };
    if *kind == LabelKind::Indicators {
        let mut names = Vec::new();
        for (column, cell) in columns.iter().zip(cells) {
            let text = cell.into_text().unwrap_or_default();
            match text.trim().to_ascii_lowercase().as_str() {
                "1" | "1.0" | "true" | "yes" => names.push(column.clone()),
                "0" | "0.0" | "false" | "no" => {}
                _ => {
                    return Err(bad(
                        column,
                        &shown(&text),
                        "1 or 0, as each label column stands for one class",
                    ));
                }
            }
        }
        return Ok(Some(Label::Names(names)));
    }
    let (column, cell) = (columns.first().map_or("", String::as_str), cells.next().unwrap_or_default());
    let text = match (kind, cell) {
        (LabelKind::List { .. }, Cell::List(items)) => {
            return names(items.into_iter().map(|item| item.text).collect(), column, &bad).map(Some);
        }
        (LabelKind::List { separator }, Cell::Value(value)) => {
            let items = split(&value.text, separator).map_err(|why| {
                let found = format!("{}, {why}", shown(&value.text));
                bad(column, &found, "labels as [\"a\", \"b\"] or as names between separators")
            })?;
            return names(items, column, &bad).map(Some);
        }
        (_, Cell::List(_)) => {
            return Err(bad(column, "a list", "one label a row; for several, read the labels as lists"));
        }
        (_, Cell::Value(value)) if !value.text.trim().is_empty() => value.text,
        (LabelKind::OptionalName, _) => return Ok(None),
        _ => {
            return Err(Error::input(format!(
                "{}: the label is missing (column \"{column}\" is empty); give it one, or leave the row out",
                place()
            )));
        }
    };
    let text = text.trim();
    if *kind == LabelKind::Number {
        return match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(Label::Number(number))),
            _ => Err(bad(column, &shown(text), "a finite number")),
        };
    }
    if is_nan(text) {
        return Err(bad(column, &shown(text), "a label; this is how a missing value is often written"));
    }
    Ok(Some(Label::Name(text.to_owned())))
}

/// Trims names, drops empty ones and repetitions.
fn names(items: Vec<String>, column: &str, bad: &dyn Fn(&str, &str, &str) -> Error) -> Result<Label> {
    let mut names: Vec<String> = Vec::with_capacity(items.len());
    for name in items.iter().map(|item| item.trim()).filter(|name| !name.is_empty()) {
        if is_nan(name) {
            return Err(bad(
                column,
                &shown(name),
                "a list of labels; this is how a missing value is often written",
            ));
        }
        if names.iter().all(|known| known != name) {
            names.push(name.to_owned());
        }
    }
    Ok(Label::Names(names))
}

/// Whether a label is what data frames write for a missing value.
fn is_nan(label: &str) -> bool {
    matches!(label, "nan" | "NaN" | "NAN")
}

/// A cell for a message: quoted, not too long.
pub(super) fn shown(text: &str) -> String {
    let short: String = text.chars().take(40).collect();
    if short.len() < text.len() { format!("{short:?}...") } else { format!("{short:?}") }
}
