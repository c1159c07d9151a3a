//! What the commands that compare vectors share.

use std::path::Path;

use frostbert::cache::BestEffort;
use frostbert::data::{Label, LabelKind};
use frostbert::head::{Head, Matrix};
use frostbert::report::{self, ReportData};
use frostbert::{Classifier, EmbedOptions, Encoder, Error, Result, Text, whole_file};

use crate::args::{EmbedArgs, EngineArgs, HeadArgs, RowArgs};
use crate::progress::{self, EncodeBar};
use crate::terminal::cell;

/// A head with its encoder, or a model alone.
#[derive(clap::Args, Clone, Debug)]
pub struct SourceArgs {
    /// Head file, as `frostbert train` wrote it: texts are embedded as it was trained
    #[arg(long, value_name = "FILE", required_unless_present = "model")]
    pub head: Option<std::path::PathBuf>,
    /// Checkpoint folder, or a hub id [default: the head's]
    #[arg(long, value_name = "FOLDER|ID")]
    pub model: Option<String>,
    #[command(flatten)]
    pub engine: EngineArgs,
    #[command(flatten)]
    pub embed: EmbedArgs,
}

/// What embeds the texts.
pub enum Source {
    /// A model, and how.
    Model(Box<Encoder>, Box<EmbedOptions>),
    /// A head's encoder, as the head was trained.
    Head(Box<Classifier>),
}

impl SourceArgs {
    /// Loads the model, and the head if there is one.
    pub fn load(&self) -> Result<Source> {
        let Some(path) = &self.head else {
            let model = self.model.as_deref().unwrap_or_default();
            let options = self.embed.options()?;
            let encoder = self.engine.load(model)?;
            let options = self.embed.length.suit(options, &encoder);
            return Ok(Source::Model(Box::new(encoder), Box::new(options)));
        };
        let head = HeadArgs { head: path.clone(), model: self.model.clone(), engine: self.engine.clone() };
        Ok(Source::Head(Box::new(head.load()?)))
    }
}

impl Source {
    /// The head, if there is one.
    pub fn head(&self) -> Option<&Head> {
        match self {
            Source::Model(..) => None,
            Source::Head(classifier) => Some(classifier.head()),
        }
    }

    fn parts(&self) -> (&Encoder, &EmbedOptions) {
        match self {
            Source::Model(encoder, options) => (encoder, options),
            Source::Head(classifier) => (classifier.encoder(), classifier.options()),
        }
    }

    /// One row for each text.
    pub fn embed(&self, texts: &[Text], what: &str, cache: &BestEffort) -> Result<Matrix<'static>> {
        let (encoder, options) = self.parts();
        embed(encoder, options, texts, what, cache)
    }
}

/// One row for each text, through the cache, with a bar, and a word about those that were cut.
pub fn embed(
    encoder: &Encoder,
    options: &EmbedOptions,
    texts: &[Text],
    what: &str,
    cache: &BestEffort,
) -> Result<Matrix<'static>> {
    let bar = EncodeBar::new(Some(texts.len() as u64), what);
    let found = encoder.embed_cached(texts.iter().cloned(), &bar.attach(options.clone()), cache);
    bar.finish();
    let embeddings = found?.embeddings;
    let cut = embeddings.truncated.iter().filter(|cut| **cut).count();
    if cut > 0 {
        eprintln!("warning: {cut} of {} texts are longer than the model takes and were cut", texts.len());
    }
    Matrix::new(embeddings.len(), embeddings.dim, embeddings.values)
}

/// The texts of a table, and the number of each row in it.
pub fn read(rows: &RowArgs, file: &Path) -> Result<(Vec<Text>, Vec<u64>)> {
    let read = read_labelled(rows, file, None)?;
    Ok((read.texts, read.numbers))
}

/// The rows of a table.
#[derive(Default)]
pub struct Labelled {
    pub texts: Vec<Text>,
    /// The number of each row in the table.
    pub numbers: Vec<u64>,
    /// The label of each row, where it has one.
    pub labels: Vec<Option<String>>,
}

/// The texts of a table with their labels; without a column there are none.
pub fn read_labelled(rows: &RowArgs, file: &Path, column: Option<&str>) -> Result<Labelled> {
    let table = rows.open(file)?;
    let mut selection = rows.selection(table.columns());
    selection.labels = column.map(str::to_owned).into_iter().collect();
    selection.label_kind = LabelKind::OptionalName;
    let mut read = Labelled::default();
    for row in table.rows(&selection)? {
        let row = row?;
        read.numbers.push(row.number);
        read.texts.push(Text { first: row.text, second: row.pair });
        read.labels.push(match row.label {
            Some(Label::Name(name)) => Some(name),
            _ => None,
        });
    }
    if read.texts.is_empty() {
        return Err(Error::input(format!(
            "{}: there is no text in it, or the filters leave none",
            file.display()
        )));
    }
    Ok(read)
}

/// Writes a page with maps of two sets of rows, one behind the other, by kind.
pub fn draw(
    path: &Path,
    title: &str,
    (first, second): (&Matrix<'_>, &Matrix<'_>),
    kinds: &[usize],
    names: &[String],
    texts: &[&Text],
) -> Result<()> {
    let values: Vec<f32> = first.values().iter().chain(second.values()).copied().collect();
    let all = Matrix::new(first.rows() + second.rows(), first.columns(), values)?;
    let data = ReportData { title: title.to_owned(), ..ReportData::default() };
    draw_with(path, data, &all, kinds, names, texts)
}

/// Writes a page with maps of rows by kind, and whatever else is in the data.
pub fn draw_with(
    path: &Path,
    data: ReportData,
    rows: &Matrix<'_>,
    kinds: &[usize],
    names: &[String],
    texts: &[&Text],
) -> Result<()> {
    let spinner = progress::spinner("drawing the map");
    let maps = report::maps_of(rows, kinds, names, texts);
    let written = maps.and_then(|maps| report::write(path, &ReportData { maps, ..data }));
    spinner.finish_and_clear();
    written?;
    eprintln!("page written to {}", path.display());
    Ok(())
}

/// The start of a text, for a line of a terminal.
pub fn shown(text: &Text) -> String {
    const CHARS: usize = 80;
    let whole = cell(&text.first);
    match whole.char_indices().nth(CHARS) {
        Some((at, _)) => format!("{}…", &whole[..at]),
        None => whole.into_owned(),
    }
}

/// A CSV table that a command may be asked to write, or not.
pub struct Table<'a> {
    path: Option<&'a Path>,
    writer: csv::Writer<Vec<u8>>,
}

impl<'a> Table<'a> {
    /// Starts a table with these columns.
    pub fn new(path: Option<&'a Path>, columns: &str) -> Result<Self> {
        let mut table = Table { path, writer: csv::Writer::from_writer(Vec::new()) };
        table.row(columns.split(','))?;
        Ok(table)
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<()> {
        let written = self.writer.write_record(cells);
        written.map_err(|error| Error::io("cannot write a row of the table").with_source(error))
    }

    /// Writes the file whole, if it was asked for.
    pub fn finish(self) -> Result<()> {
        let Some(path) = self.path else { return Ok(()) };
        let failed = || Error::io(format!("cannot write {}", path.display()));
        let bytes = self.writer.into_inner().map_err(|error| failed().with_source(error.into_error()))?;
        whole_file::write(path, &bytes).map_err(|error| failed().with_source(error))
    }
}
