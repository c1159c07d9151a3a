//! Which columns and rows of a table are wanted, and the iterator that gives them.

use std::fmt;
use std::str::FromStr;

use super::Source;
use super::input::Progress;
use super::row::{Cell, LabelKind, Place, Row, label, shown};
use crate::error::{Error, Result};

/// Which columns and rows to read. A column is told by its name or its number, from 1; a name wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Text columns. None: the only column, or the one called `text`, `sentence`, `content` or `review`.
    pub text: Vec<String>,
    /// What to do with several text columns.
    pub text_columns: TextColumns,
    /// Label columns; none: rows have no label.
    pub labels: Vec<String>,
    /// How label columns are read.
    pub label_kind: LabelKind,
    /// Column of groups that cross-validation keeps together.
    pub group: Option<String>,
    /// Column of weights in training.
    pub weight: Option<String>,
    /// Only rows that pass all of these.
    pub filters: Vec<Filter>,
    /// At most so many rows, after the filters.
    pub limit: Option<usize>,
}

/// What becomes of several text columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextColumns {
    /// One text, with this between the columns.
    Joined(String),
    /// A pair of texts, for models that read two sequences; exactly two columns.
    Pair,
}

impl Default for TextColumns {
    fn default() -> Self {
        TextColumns::Joined("\n".into())
    }
}

/// A condition on one column: `COLUMN=VALUE` or `COLUMN!=VALUE`.
///
/// ```
/// let filter: frostbert::data::Filter = "source=rotten_tomatoes".parse()?;
/// assert_eq!((filter.column.as_str(), filter.value.as_str()), ("source", "rotten_tomatoes"));
/// # Ok::<(), frostbert::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The column, by name or number.
    pub column: String,
    /// What the cell is compared with, letter by letter.
    pub value: String,
    /// Whether rows that hold the value pass (`=`) or those that do not (`!=`).
    pub equal: bool,
}

impl FromStr for Filter {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some((column, value)) = text.split_once('=') else {
            return Err(Error::input(format!(
                "cannot read the filter {text:?}; expected COLUMN=VALUE or COLUMN!=VALUE"
            )));
        };
        let (column, equal) = column.strip_suffix('!').map_or((column, true), |column| (column, false));
        Ok(Filter { column: column.trim().to_owned(), value: value.to_owned(), equal })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.column, if self.equal { "=" } else { "!=" }, self.value)
    }
}

/// Rows of a table, in order, one at a time.
///
/// An error ends the iteration. A table of which no row passes the filters gives an error, not nothing.
pub struct Rows {
    name: String,
    source: Box<dyn Source>,
    progress: Progress,
    selection: Selection,
    /// Columns asked of the source: texts, labels, group, weight, filters, in this order.
    columns: Vec<usize>,
    label_names: Vec<String>,
    cells: Vec<Cell>,
    seen: u64,
    given: usize,
    /// Values of the first filter's column, for the error when no row passes.
    values: Vec<String>,
    done: bool,
}

impl Rows {
    pub(super) fn new(
        name: String,
        mut source: Box<dyn Source>,
        progress: Progress,
        selection: &Selection,
    ) -> Result<Self> {
        let known = source.columns();
        let mut selection = selection.clone();
        if selection.limit == Some(0) {
            return Err(Error::input("a limit of 0 rows leaves nothing to do; give at least 1"));
        }
        if selection.text.is_empty() {
            selection.text = vec![guess_text(known).ok_or_else(|| {
                Error::input(format!("{name}: which column holds the texts? There are {}", listed(known)))
            })?];
        }
        if selection.text_columns == TextColumns::Pair && selection.text.len() != 2 {
            return Err(Error::input(format!(
                "a pair needs two text columns, found {}",
                selection.text.len()
            )));
        }
        if selection.labels.len() > 1 && selection.label_kind != LabelKind::Indicators {
            return Err(Error::input(format!(
                "{} label columns are given; several are read as one class each (indicators of 1 and 0), not as {:?}",
                selection.labels.len(),
                selection.label_kind
            )));
        }
        let wanted =
            selection.text.iter().chain(&selection.labels).chain(&selection.group).chain(&selection.weight);
        let wanted = wanted.chain(selection.filters.iter().map(|filter| &filter.column));
        let columns = wanted.map(|column| find(&name, known, column)).collect::<Result<Vec<_>>>()?;
        let labels = selection.text.len()..selection.text.len() + selection.labels.len();
        let label_names = columns[labels].iter().map(|&column| known[column].clone()).collect();
        source.project(&columns)?;
        Ok(Rows {
            name,
            source,
            progress,
            selection,
            columns,
            label_names,
            cells: Vec::new(),
            seen: 0,
            given: 0,
            values: Vec::new(),
            done: false,
        })
    }

    /// How much has been read (bytes).
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The names of the label columns, as the table has them.
    pub fn label_names(&self) -> &[String] {
        &self.label_names
    }

    fn next_row(&mut self) -> Result<Option<Row>> {
        if self.selection.limit.is_some_and(|limit| self.given >= limit) {
            return Ok(None);
        }
        loop {
            self.cells.clear();
            let Some(place) = self.source.next(&self.columns, &mut self.cells)? else {
                return if self.given == 0 { Err(self.nothing()) } else { Ok(None) };
            };
            self.seen += 1;
            if self.passes() {
                self.given += 1;
                return self.row(place).map(Some);
            }
        }
    }

    /// Whether the row in `cells` passes every filter.
    fn passes(&mut self) -> bool {
        let filters = &self.selection.filters;
        let cells = &self.cells[self.cells.len() - filters.len()..];
        let passes = filters.iter().zip(cells).all(|(filter, cell)| cell.is(&filter.value) == filter.equal);
        if !passes
            && self.values.len() < 8
            && let Some(Cell::Text(value)) = cells.first()
            && !self.values.contains(value)
        {
            self.values.push(value.clone());
        }
        passes
    }

    fn row(&mut self, place: Place) -> Result<Row> {
        let name = &self.name;
        let at = || format!("{name}, {place}");
        let selection = &self.selection;
        let mut cells = self.cells.drain(..);
        let mut texts = Vec::with_capacity(selection.text.len());
        for (column, cell) in selection.text.iter().zip(cells.by_ref()) {
            texts.push(cell.into_text().ok_or_else(|| {
                Error::input(format!("{}: the text is missing (column \"{column}\" has no value)", at()))
            })?);
        }
        let label = match self.label_names.len() {
            0 => None,
            count => Some(label(&selection.label_kind, &self.label_names, cells.by_ref().take(count), &at)?),
        };
        let group = match &selection.group {
            None => None,
            Some(column) => match cells.next().and_then(Cell::into_text) {
                Some(group) if !group.is_empty() => Some(group),
                _ => {
                    return Err(Error::input(format!(
                        "{}: the group is missing (column \"{column}\")",
                        at()
                    )));
                }
            },
        };
        let weight = match &selection.weight {
            None => None,
            Some(column) => {
                let text = cells.next().and_then(Cell::into_text).unwrap_or_default();
                match text.trim().parse::<f64>() {
                    Ok(weight) if weight.is_finite() && weight >= 0.0 => Some(weight),
                    _ => {
                        let found = shown(&text);
                        return Err(Error::input(format!(
                            "{}: column \"{column}\" holds {found}; expected a weight, a finite number not below 0",
                            at()
                        )));
                    }
                }
            }
        };
        drop(cells);
        let (text, pair) = match &selection.text_columns {
            TextColumns::Pair => {
                let second = texts.pop();
                (texts.pop().unwrap_or_default(), second)
            }
            // One column is the rule: its text is passed on, not copied.
            TextColumns::Joined(_) if texts.len() == 1 => (texts.pop().unwrap_or_default(), None),
            TextColumns::Joined(separator) => (texts.join(separator), None),
        };
        Ok(Row { number: place.row, line: place.line, text, pair, label, group, weight })
    }

    /// The error of a table that gave no row.
    fn nothing(&self) -> Error {
        if self.seen == 0 {
            return Error::input(format!("{} is empty: it has a header and no rows", self.name));
        }
        let filters: Vec<String> = self.selection.filters.iter().map(Filter::to_string).collect();
        let mut message =
            format!("{}: none of its {} rows has {}", self.name, self.seen, filters.join(" and "));
        if let ([filter], [_, ..]) = (&self.selection.filters[..], &self.values[..]) {
            let values: Vec<String> = self.values.iter().map(|value| shown(value)).collect();
            message += &format!("; column \"{}\" holds {}", filter.column, values.join(", "));
        }
        Error::input(message)
    }
}

impl Iterator for Rows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let row = self.next_row().transpose();
        self.done = !matches!(row, Some(Ok(_)));
        row
    }
}

impl std::iter::FusedIterator for Rows {}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("name", &self.name).field("given", &self.given).finish_non_exhaustive()
    }
}

/// The text column where none was named.
fn guess_text(columns: &[String]) -> Option<String> {
    if let [only] = columns {
        return Some(only.clone());
    }
    let usual = ["text", "sentence", "content", "review"];
    usual.iter().find_map(|name| columns.iter().find(|column| column.eq_ignore_ascii_case(name)).cloned())
}

/// The number of a column, from 0.
fn find(table: &str, columns: &[String], wanted: &str) -> Result<usize> {
    let mut named = columns.iter().enumerate().filter(|(_, name)| *name == wanted).map(|(at, _)| at);
    match (named.next(), named.next()) {
        (Some(at), None) => return Ok(at),
        (Some(first), Some(second)) => {
            return Err(Error::input(format!(
                "{table}: column \"{wanted}\" stands twice in the header, as numbers {} and {}; choose it by number",
                first + 1,
                second + 1
            )));
        }
        _ => {}
    }
    match wanted.parse::<usize>() {
        Ok(number) if (1..=columns.len()).contains(&number) => Ok(number - 1),
        _ => Err(Error::input(format!(
            "{table}: there is no column \"{wanted}\"; there are {}",
            listed(columns)
        ))),
    }
}

/// Column names for a message.
fn listed(columns: &[String]) -> String {
    const MOST: usize = 30;
    let names: Vec<String> = columns.iter().take(MOST).map(|name| format!("\"{name}\"")).collect();
    let more = columns.len().saturating_sub(MOST);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_as_typed() {
        let filter = |text: &str| text.parse::<Filter>();
        assert_eq!(filter("a=b=c").unwrap(), Filter { column: "a".into(), value: "b=c".into(), equal: true });
        assert_eq!(filter("a!=").unwrap(), Filter { column: "a".into(), value: String::new(), equal: false });
        assert!(filter("a").unwrap_err().is_input());
        assert_eq!(filter("a!=b").unwrap().to_string(), "a!=b");
    }
}
