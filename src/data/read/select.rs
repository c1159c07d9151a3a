//! Which columns and rows of a table are wanted, and the iterator that gives them.

use std::fmt;
use std::str::FromStr;

use super::Source;
use super::input::ReadProgress;
use super::number::Spellings;
use super::row::{Cell, LabelKind, Place, Row, label, shown};
use crate::error::{Error, Result};

/// Which columns and rows to read. A column is told by its name or its number, from 1; a name wins, and `#2` is always the
/// second. Spaces around a name do not matter where no other column has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Text columns. None: the one called `text`, `sentence`, `content` or `review`, or the only column. (A `.jsonl` table has
    /// an only column where every object has that one key alone, and a text under it.)
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

/// A condition on one column: `COLUMN=VALUE` or `COLUMN!=VALUE`. Of several `=`, the first splits, unless the table has a column
/// whose name goes on to a later one.
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
        Ok(Filter { column: column.to_owned(), value: value.to_owned(), equal })
    }
}

impl Filter {
    /// The same condition, split where the table has a column of that name.
    fn for_columns(&self, columns: &[String]) -> Filter {
        let known = |name: &str| columns.iter().any(|column| column == name || column.trim() == name.trim());
        if known(&self.column) {
            return self.clone();
        }
        let text = self.to_string();
        let splits = text.match_indices('=').flat_map(|(at, _)| {
            let (name, value) = (&text[..at], &text[at + 1..]);
            let unequal = name.strip_suffix('!').map(|name| (name, value, false));
            unequal.into_iter().chain([(name, value, true)])
        });
        let mut splits = splits.filter(|(name, _, _)| known(name));
        splits.next().map_or_else(
            || self.clone(),
            |(column, value, equal)| Filter { column: column.to_owned(), value: value.to_owned(), equal },
        )
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
pub struct TableRows {
    name: String,
    source: Box<dyn Source>,
    progress: ReadProgress,
    selection: Selection,
    /// Columns asked of the source: texts, labels, group, weight, filters, in this order.
    columns: Vec<usize>,
    label_names: Vec<String>,
    label_spellings: Spellings,
    group_spellings: Spellings,
    /// Columns of filters, by place among the filters, that no row has had so far.
    absent: Vec<usize>,
    /// Where the only column was taken for the texts though rows may have others: its name.
    only: Option<String>,
    cells: Vec<Cell>,
    seen: u64,
    given: usize,
    /// Values of the first filter's column, for the error when no row passes.
    values: Vec<String>,
    done: bool,
}

impl TableRows {
    pub(super) fn new(
        name: String,
        mut source: Box<dyn Source>,
        progress: ReadProgress,
        selection: &Selection,
    ) -> Result<Self> {
        let mut selection = selection.clone();
        if selection.limit == Some(0) {
            return Err(Error::input("a limit of 0 rows leaves nothing to do; give at least 1"));
        }
        let mut only = None;
        if selection.text.is_empty() {
            let columns = source.columns();
            selection.text = vec![match (usual_text(columns), columns) {
                (Some(usual), _) => usual,
                (None, [column]) if source.open_ended() => {
                    only = Some(column.clone());
                    column.clone()
                }
                (None, [column]) => column.clone(),
                _ => {
                    return Err(Error::input(format!(
                        "{name}: which column holds the texts? There are {}",
                        listed(columns)
                    )));
                }
            }];
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
        for filter in &mut selection.filters {
            *filter = filter.for_columns(source.columns());
        }
        let first = source.columns().len();
        let wanted =
            selection.text.iter().chain(&selection.labels).chain(&selection.group).chain(&selection.weight);
        let wanted = wanted.chain(selection.filters.iter().map(|filter| &filter.column));
        let columns = wanted.map(|column| find(&name, &mut *source, column)).collect::<Result<Vec<_>>>()?;
        let labels = selection.text.len()..selection.text.len() + selection.labels.len();
        let label_names =
            columns[labels].iter().map(|&column| source.columns()[column].trim().to_owned()).collect();
        let filtered = &columns[columns.len() - selection.filters.len()..];
        let absent = (0..filtered.len()).filter(|&filter| filtered[filter] >= first).collect();
        source.project(&columns)?;
        Ok(TableRows {
            name,
            source,
            progress,
            selection,
            columns,
            label_names,
            label_spellings: Spellings::default(),
            group_spellings: Spellings::default(),
            absent,
            only,
            cells: Vec::new(),
            seen: 0,
            given: 0,
            values: Vec::new(),
            done: false,
        })
    }

    /// How much has been read (bytes).
    pub fn progress(&self) -> &ReadProgress {
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
                return match self.absent.first() {
                    Some(&filter) if self.seen > 0 => Err(self.no_such_column(filter)),
                    _ if self.given == 0 => Err(self.nothing()),
                    _ => Ok(None),
                };
            };
            self.seen += 1;
            self.check_only(place)?;
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
        self.absent.retain(|&filter| cells[filter] == Cell::Missing);
        let passes = filters.iter().zip(cells).all(|(filter, cell)| cell.is(&filter.value) == filter.equal);
        if !passes
            && self.values.len() < 8
            && let Some(Cell::Value(value)) = cells.first()
            && !self.values.contains(&value.text)
        {
            self.values.push(value.text.clone());
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
                Error::input(format!(
                    "{}: the text is missing (column \"{column}\" has no value); give it one, leave the row out, or name another \
                     column",
                    at()
                ))
            })?);
        }
        let label = match self.label_names.len() {
            0 => None,
            count => {
                let spellings = &mut self.label_spellings;
                // Of labels that are numbers only the value counts.
                let named = !matches!(selection.label_kind, LabelKind::Number | LabelKind::Indicators);
                let cells =
                    cells.by_ref().take(count).map(|cell| if named { cell.named(spellings) } else { cell });
                label(&selection.label_kind, &self.label_names, cells, &at)?
            }
        };
        let group = match &selection.group {
            None => None,
            Some(column) => {
                match cells.next().and_then(|cell| cell.named(&mut self.group_spellings).into_text()) {
                    Some(group) if !group.is_empty() => Some(group),
                    _ => {
                        return Err(Error::input(format!(
                            "{}: the group is missing (column \"{column}\")",
                            at()
                        )));
                    }
                }
            }
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

    /// Where the only column was taken for the texts, every row has that one alone.
    fn check_only(&self, place: Place) -> Result<()> {
        let Some(only) = &self.only else { return Ok(()) };
        let others: Vec<String> = self.source.others(only);
        let missing = |why: String| {
            Err(Error::input(format!(
                "{}, {place}: the text is missing (column \"text\" has no value), and {why}; name the column of the texts with \
                 --column",
                self.name
            )))
        };
        match (others.is_empty(), self.cells.first()) {
            (false, _) => missing(format!("the row has {} beside \"{only}\"", listed(&others))),
            (true, Some(Cell::Value(value))) if value.number => missing(format!("\"{only}\" holds a number")),
            _ => Ok(()),
        }
    }

    /// The error of a filter whose column is in no row.
    fn no_such_column(&self, filter: usize) -> Error {
        Error::input(format!(
            "{}: none of the {} rows read has the column \"{}\" of {}",
            self.name, self.seen, self.selection.filters[filter].column, self.selection.filters[filter]
        ))
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

impl Iterator for TableRows {
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

impl std::iter::FusedIterator for TableRows {}

impl fmt::Debug for TableRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableRows")
            .field("name", &self.name)
            .field("given", &self.given)
            .finish_non_exhaustive()
    }
}

/// The text column where none was named, by its usual names.
fn usual_text(columns: &[String]) -> Option<String> {
    let usual = ["text", "sentence", "content", "review"];
    usual
        .iter()
        .find_map(|name| columns.iter().find(|column| column.trim().eq_ignore_ascii_case(name)).cloned())
}

/// The number of a column, from 0.
fn find(table: &str, source: &mut dyn Source, wanted: &str) -> Result<usize> {
    let columns = source.columns();
    let exact = |name: &String| name == wanted;
    let trimmed = |name: &String| name.trim() == wanted.trim();
    for alike in [&exact as &dyn Fn(&String) -> bool, &trimmed] {
        let mut named = columns.iter().enumerate().filter(|(_, name)| alike(name)).map(|(at, _)| at);
        match (named.next(), named.next()) {
            (Some(at), None) => return Ok(at),
            (Some(first), Some(second)) => {
                let (first, second) = (first + 1, second + 1);
                return Err(Error::input(format!(
                    "{table}: column \"{wanted}\" stands twice in the header, as numbers {first} and {second}; choose it by \
                     number: #{first} or #{second}"
                )));
            }
            _ => {}
        }
    }
    let number = wanted.strip_prefix('#').unwrap_or(wanted).parse::<usize>();
    match number {
        Ok(number) if (1..=columns.len()).contains(&number) => return Ok(number - 1),
        _ => {}
    }
    let unknown = format!("{table}: there is no column \"{wanted}\"; there are {}", listed(columns));
    source.more(wanted).ok_or_else(|| Error::input(unknown))
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
        let columns = ["a=b".to_owned(), "c!".to_owned(), "d".to_owned()];
        let split = |text: &str| {
            let Filter { column, value, equal } = filter(text).unwrap().for_columns(&columns);
            (column, value, equal)
        };
        assert_eq!(split("a=b=c=d"), ("a=b".into(), "c=d".into(), true));
        assert_eq!(split("a=b!=c"), ("a=b".into(), "c".into(), false));
        assert_eq!(split("c!=x"), ("c!".into(), "x".into(), true));
        assert_eq!(split("c!!=x"), ("c!".into(), "x".into(), false));
        assert_eq!(split("d!=x=y"), ("d".into(), "x=y".into(), false));
        assert_eq!(split("e=x"), ("e".into(), "x".into(), true));
        assert!(filter("a").unwrap_err().is_input());
        assert_eq!(filter("a!=b").unwrap().to_string(), "a!=b");
    }
}
