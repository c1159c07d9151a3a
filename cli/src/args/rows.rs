//! Which rows and columns of a table are read.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::{Args, ValueEnum};
use frostbert::data::{Filter, Format, LabelKind, ReadOptions, Row, Selection, Table, TextColumns};
use frostbert::workflow::Dataset;
use frostbert::{Error, Result, Text};

use crate::progress::Total;

/// Which rows and columns of a table are read.
#[derive(Args, Clone, Debug, Default)]
pub struct RowArgs {
    /// Text column, by name or number (#2: the second, whatever names there are); several, separated by commas, are joined. A name
    /// with a comma goes as it is where the table has it, else in quotes: '"a,b",c' [default: text, sentence, content, review, or
    /// the only one]
    #[arg(long = "column", visible_alias = "text-column", value_name = "NAME")]
    pub columns: Vec<String>,
    /// Read two text columns as pairs instead of joining them; with --text, take every two texts as a pair
    #[arg(long)]
    pub pair: bool,
    /// Only rows where a column has (=) or has not (!=) this value
    #[arg(long = "where", value_name = "COLUMN=VALUE", value_parser = parse_filter)]
    pub filters: Vec<Filter>,
    /// At most so many rows: the first ones; for training drawn at random, each class in proportion
    #[arg(long, value_name = "N")]
    pub limit: Option<NonZeroUsize>,
    /// Format of FILE, where its ending does not say: txt, csv, tsv, jsonl, parquet
    #[arg(long, value_parser = parse_format)]
    pub format: Option<Format>,
    /// The first row of a .csv or .tsv holds data, not names
    #[arg(long)]
    pub no_header: bool,
    /// Whether quotes enclose cells of a .csv or .tsv: standard, or none where a quote is a letter like any other, as in GLUE's
    /// tables (pandas: quoting=csv.QUOTE_NONE)
    #[arg(long, value_enum, default_value_t)]
    pub quoting: Quoting,
}

impl RowArgs {
    /// Opens a table (`-`: standard input).
    pub fn open(&self, file: &Path) -> Result<Table> {
        let options = ReadOptions {
            format: self.format,
            header: !self.no_header,
            quotes: self.quoting == Quoting::Standard,
        };
        Table::open_with(file, &options)
    }

    /// The selection without labels, of a table that has these columns.
    pub fn selection(&self, columns: &[String]) -> Selection {
        Selection {
            text: named_columns(&self.columns, columns),
            text_columns: if self.pair { TextColumns::Pair } else { TextColumns::default() },
            filters: self.filters.clone(),
            limit: self.limit.map(NonZeroUsize::get),
            ..Selection::default()
        }
    }

    /// The texts given with `--text`, or else those of a table.
    pub fn texts(&self, file: Option<&Path>, given: &[String]) -> Result<Texts> {
        let Some(file) = file else {
            let texts: Vec<Text> = match (self.pair, given.len() % 2) {
                (false, _) => given.iter().map(Text::from).collect(),
                (true, 0) => given.chunks_exact(2).map(|pair| Text::from((&*pair[0], &*pair[1]))).collect(),
                (true, _) => {
                    return Err(Error::input(format!(
                        "--pair takes texts two by two, and {} were given with --text",
                        given.len()
                    )));
                }
            };
            return Ok(Texts {
                total: Total::Known(texts.len() as u64),
                rows: Box::new(texts.into_iter().map(Ok)),
            });
        };
        let table = self.open(file)?;
        let selection = self.selection(table.columns());
        let rows = table.rows(&selection)?;
        let given = Arc::new(AtomicU64::new(0));
        let limit = self.limit.map(|limit| limit.get() as u64);
        let total = Total::ByBytes { given: given.clone(), read: rows.progress().clone(), limit };
        let counted = move |row: Result<Row>| {
            given.fetch_add(1, Ordering::Relaxed);
            row.map(|row| Text { first: row.text, second: row.pair })
        };
        Ok(Texts { total, rows: Box::new(rows.map(counted)) })
    }
}

/// `--quoting`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Quoting {
    /// "..." is one cell, and "" a quote in it
    #[default]
    Standard,
    /// Every quote is a letter
    None,
}

/// Texts of a table or of `--text`, as they are read.
pub struct Texts {
    /// One at a time.
    pub rows: Box<dyn Iterator<Item = Result<Text>> + Send>,
    /// How many there are.
    pub total: Total,
}

impl Texts {
    /// All of them.
    pub fn collect(self) -> Result<Vec<Text>> {
        self.rows.collect()
    }
}

/// The columns that were named, some perhaps several in one argument. `known` are the table's.
fn named_columns(given: &[String], known: &[String]) -> Vec<String> {
    let split = |argument: &String| {
        if known.iter().any(|column| column.trim() == argument.trim()) {
            return vec![argument.clone()];
        }
        let mut cells = csv::ReaderBuilder::new().has_headers(false).from_reader(argument.as_bytes());
        match cells.records().next() {
            Some(Ok(cells)) => cells.iter().map(str::to_owned).collect(),
            _ => vec![argument.clone()],
        }
    };
    given.iter().flat_map(split).collect()
}

/// Columns of a table of labelled texts.
#[derive(Args, Clone, Debug, Default)]
pub struct LabelArgs {
    /// Label column, by name or number as with --column; several with --labels indicators
    #[arg(long = "label-column", value_name = "NAME", required = true)]
    pub label_columns: Vec<String>,
    /// What the label column holds
    #[arg(long = "labels", value_enum, default_value_t = LabelsArg::Class)]
    pub kind: LabelsArg,
    /// What separates labels in a list
    #[arg(long, default_value = ",", value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub label_separator: String,
}

impl LabelArgs {
    /// Reads a table of labelled texts.
    pub fn read(
        &self,
        file: &Path,
        rows: &RowArgs,
        group: Option<&str>,
        weight: Option<&str>,
    ) -> Result<Dataset> {
        let table = rows.open(file)?;
        let selection = self.selection(table.columns(), rows, group, weight);
        Dataset::read(table, &selection)
    }

    /// The same, and the texts of rows that have no label.
    pub fn read_partly_labelled(
        &self,
        file: &Path,
        rows: &RowArgs,
        group: Option<&str>,
        weight: Option<&str>,
    ) -> Result<(Dataset, Vec<Text>)> {
        let table = rows.open(file)?;
        let mut selection = self.selection(table.columns(), rows, group, weight);
        if selection.label_kind == LabelKind::Name {
            selection.label_kind = LabelKind::OptionalName;
        }
        Dataset::read_partly_labelled(table, &selection)
    }

    fn selection(
        &self,
        columns: &[String],
        rows: &RowArgs,
        group: Option<&str>,
        weight: Option<&str>,
    ) -> Selection {
        Selection {
            labels: named_columns(&self.label_columns, columns),
            label_kind: match self.kind {
                LabelsArg::Class => LabelKind::Name,
                LabelsArg::List => LabelKind::List { separator: self.label_separator.clone() },
                LabelsArg::Indicators => LabelKind::Indicators,
                LabelsArg::Number => LabelKind::Number,
            },
            group: group.map(str::to_owned),
            weight: weight.map(str::to_owned),
            ..rows.selection(columns)
        }
    }
}

impl LabelArgs {
    /// Reads a table of labelled texts and, where a column is named, the slice of each row.
    pub fn read_sliced(
        &self,
        file: &Path,
        rows: &RowArgs,
        by: Option<&str>,
    ) -> Result<(Dataset, Option<Vec<String>>)> {
        if by.is_some() && file == Path::new("-") {
            return Err(Error::input(
                "--by reads the table twice, which standard input cannot be; name a file",
            ));
        }
        let data = self.read(file, rows, None, None)?;
        let Some(by) = by else { return Ok((data, None)) };
        let table = rows.open(file)?;
        let selection = Selection { group: Some(by.to_owned()), ..rows.selection(table.columns()) };
        let slices = table.rows(&selection)?.map(|row| Ok(row?.group.unwrap_or_default()));
        Ok((data, Some(slices.collect::<Result<_>>()?)))
    }
}

/// `--labels`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LabelsArg {
    /// One class a row
    #[default]
    Class,
    /// Any number of labels a row: a list of JSON or Python, or names between separators
    List,
    /// One column a label, holding 1 or 0
    Indicators,
    /// A number to predict
    Number,
}

fn parse_filter(text: &str) -> std::result::Result<Filter, Error> {
    text.parse()
}

fn parse_format(text: &str) -> std::result::Result<Format, Error> {
    text.parse()
}
