//! Options that several subcommands share.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::{Args, ValueEnum};
use frostbert::cache::{BestEffort, Cache};
use frostbert::checkpoint::{Hub, ModelSource};
use frostbert::data::{Filter, Format, LabelKind, Progress, ReadOptions, Row, Selection, Table, TextColumns};
use frostbert::head::Head;
use frostbert::model::{LayerMix, Pooling};
use frostbert::text::Truncate;
use frostbert::workflow::Dataset;
use frostbert::{Classifier, Device, Dtype, EmbedOptions, Encoder, Error, Layers, Prompt, Result, Text};

use crate::progress;

/// Which model runs where.
#[derive(Args, Clone, Debug)]
pub struct ModelArgs {
    /// Checkpoint folder, or a hub id such as sentence-transformers/all-MiniLM-L6-v2[@revision]
    #[arg(long, value_name = "FOLDER|ID")]
    pub model: String,
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// How a model runs.
#[derive(Args, Clone, Debug)]
pub struct EngineArgs {
    /// auto, cpu, gpu, software, a number or part of a name from `frostbert devices`
    #[arg(long, default_value = "auto", value_parser = parse_device)]
    pub device: Device,
    /// What weights are kept as: f32, f16 (half the memory), or auto (f16 where the checkpoint stores f16)
    #[arg(long, default_value_t)]
    pub dtype: Dtype,
    /// Tokens in one packed batch [default: by device]
    #[arg(long, value_name = "N", value_parser = parse_batch_tokens)]
    pub batch_tokens: Option<NonZeroUsize>,
    /// Threads of the CPU engine [default: one a core]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Measure which kernels suit this adapter and model best (about a second), and remember it
    #[arg(long)]
    pub tune: bool,
    /// Never touch the network: the model must be a folder or already in the hub cache
    #[arg(long)]
    pub offline: bool,
}

impl EngineArgs {
    /// Loads `model` and says on stderr what computes, where that was not asked for.
    pub fn load(&self, model: &str) -> Result<Encoder> {
        // A download is a step of its own, with bars.
        let folder = locate(model, self.offline)?;
        let spinner = progress::spinner(&format!("loading {model}"));
        let mut builder = Encoder::load(folder.to_string_lossy())
            .device(self.device.clone())
            .dtype(self.dtype)
            .tune(self.tune);
        if let Some(tokens) = self.batch_tokens {
            builder = builder.batch_tokens(tokens.get());
        }
        if let Some(threads) = self.bounded_threads() {
            builder = builder.threads(threads);
        }
        let encoder = builder.build();
        spinner.finish_and_clear();
        let encoder = encoder?;
        if let Some(note) = &encoder.device().note {
            eprintln!("note: {note}");
        }
        Ok(encoder)
    }
}

/// Threads a core: more only wait for each other, and thousands take minutes to start.
const THREADS_A_CORE: usize = 4;
/// Tokens of a batch: sixty times what any device has been fast with.
const MOST_BATCH_TOKENS: usize = 1 << 20;

impl EngineArgs {
    /// The threads asked for, as far as they make sense here.
    pub(crate) fn bounded_threads(&self) -> Option<NonZeroUsize> {
        let asked = self.threads?;
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let most = NonZeroUsize::MIN.saturating_add(cores * THREADS_A_CORE - 1);
        if asked > most {
            eprintln!("note: --threads {asked} is more than {THREADS_A_CORE} a core; using {most}");
        }
        Some(asked.min(most))
    }
}

impl ModelArgs {
    /// Loads the model.
    pub fn load(&self) -> Result<Encoder> {
        self.engine.load(&self.model)
    }
}

/// Whether embeddings are kept for the next run.
#[derive(Args, Clone, Debug, Default)]
pub struct CacheArgs {
    /// Embed every text anew, and keep nothing for the next run
    #[arg(long)]
    pub no_cache: bool,
}

impl CacheArgs {
    /// The user's cache, or none.
    pub fn open(&self) -> BestEffort {
        open_cache(!self.no_cache)
    }
}

/// The user's cache where it is wanted. One that cannot be used costs a warning and time, nothing else.
pub fn open_cache(wanted: bool) -> BestEffort {
    if !wanted {
        return BestEffort::off();
    }
    BestEffort::new(Cache::default_folder().and_then(Cache::open), |warning| eprintln!("warning: {warning}"))
}

/// Which head, and where its encoder is.
#[derive(Args, Clone, Debug)]
pub struct HeadArgs {
    /// Head file, as `frostbert train` wrote it
    #[arg(long, value_name = "FILE")]
    pub head: PathBuf,
    /// The encoder it was trained with [default: where it was at training]
    #[arg(long, value_name = "FOLDER|ID")]
    pub model: Option<String>,
    #[command(flatten)]
    pub engine: EngineArgs,
}

impl HeadArgs {
    /// Loads both and checks that they belong together.
    pub fn load(&self) -> Result<Classifier> {
        let head = Head::load(&self.head)?;
        let model = match (&self.model, &head.record.model_location) {
            (Some(model), _) | (None, Some(model)) => model.clone(),
            (None, None) => {
                return Err(Error::input(format!(
                    "{} does not say where its encoder is; name it with --model",
                    self.head.display()
                )));
            }
        };
        Classifier::new(self.engine.load(&model)?, head).map_err(|error| error.context(self.head.display()))
    }
}

/// The folder of a model, downloaded with progress bars if need be.
pub fn locate(model: &str, offline: bool) -> Result<PathBuf> {
    match model.parse()? {
        ModelSource::Folder(folder) => Ok(folder),
        source => {
            let mut bars = progress::Downloads::default();
            source.resolve(&Hub::from_env()?.offline(offline), &mut |step| bars.update(step))
        }
    }
}

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

/// How many texts a run has before it.
#[derive(Clone)]
pub enum Total {
    /// So many.
    Known(u64),
    /// By what was read of the file so far: texts given, bytes read and, at most, so many.
    ByBytes { given: Arc<AtomicU64>, read: Progress, limit: Option<u64> },
}

impl Total {
    /// The best guess so far; none on a pipe, and before anything was read.
    pub fn guess(&self) -> Option<u64> {
        match self {
            Total::Known(texts) => Some(*texts),
            Total::ByBytes { given, read, limit } => {
                let (done, all) = (read.read(), read.total()?);
                if done == 0 {
                    return None;
                }
                let texts = given.load(Ordering::Relaxed) as f64 * (all as f64 / done as f64).max(1.0);
                Some(limit.map_or(texts as u64, |limit| limit.min(texts as u64)))
            }
        }
    }
}

impl Texts {
    /// All of them.
    pub fn collect(self) -> Result<Vec<Text>> {
        self.rows.collect()
    }
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
        let columns = table.columns();
        let selection = Selection {
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
        };
        Dataset::read(table, &selection)
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

/// How texts become vectors.
#[derive(Args, Clone, Debug, Default)]
pub struct EmbedArgs {
    /// Pooling, several separated by commas: cls, mean, max, mean_sqrt_len_tokens, weightedmean, lasttoken, pooler
    /// [default: the checkpoint's]
    #[arg(long, value_delimiter = ',', value_parser = parse_pooling)]
    pub pooling: Vec<Pooling>,
    /// Layers to pool: last, all, a number (0 = embeddings), -N, or a list such as 4,5,6; `train` also takes auto, which
    /// compares layers by cross-validation
    #[arg(long, default_value = "last", allow_hyphen_values = true)]
    pub layers: String,
    /// How several layers become one vector
    #[arg(long, value_enum, default_value_t = Mix::Concat)]
    pub layer_mix: Mix,
    /// Scale vectors to unit length [default: as the checkpoint says]
    #[arg(long, overrides_with = "no_normalize")]
    pub normalize: bool,
    /// Leave vectors as they are
    #[arg(long)]
    pub no_normalize: bool,
    /// Keep only the first N columns (before normalising)
    #[arg(long, value_name = "N")]
    pub dimensions: Option<NonZeroUsize>,
    /// The checkpoint's prompt of this name, put before every text
    #[arg(long, value_name = "NAME", conflicts_with = "prompt")]
    pub prompt_name: Option<String>,
    /// This text, put before every text
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// Whether the prompt's tokens are pooled with the text's [default: as the checkpoint says]
    #[arg(long, value_name = "true|false")]
    pub include_prompt: Option<bool>,
    #[command(flatten)]
    pub length: LengthArgs,
}

/// Tokens that windows share, unless told otherwise.
const WINDOW_OVERLAP: usize = 64;

/// What happens to texts that are longer than the model takes.
#[derive(Args, Clone, Debug, Default)]
pub struct LengthArgs {
    /// Longest sequence in tokens, special tokens included [default: the checkpoint's]
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<NonZeroUsize>,
    /// What happens to longer texts: cut, warn (cut and say how many), error, or window (overlapping windows, one answer from
    /// all of them)
    #[arg(long, value_enum, default_value_t = TruncateArg::Warn)]
    pub truncate: TruncateArg,
    /// Tokens that neighbouring windows share [default: 64, or a quarter of a sequence of less than 128]
    #[arg(long, value_name = "N")]
    pub window_overlap: Option<usize>,
}

impl LengthArgs {
    /// These and nothing else, for heads that no embedding is pooled for.
    pub fn options(&self) -> EmbedOptions {
        EmbedOptions {
            truncate: match self.truncate {
                TruncateArg::Cut => Truncate::Cut,
                TruncateArg::Warn => Truncate::Warn,
                TruncateArg::Error => Truncate::Error,
                TruncateArg::Window => {
                    Truncate::Window { overlap: self.window_overlap.unwrap_or(WINDOW_OVERLAP) }
                }
            },
            max_tokens: self.max_tokens.map(NonZeroUsize::get),
            ..EmbedOptions::default()
        }
    }

    /// The options with what this model suggests, where they leave it open.
    pub fn suit(&self, mut options: EmbedOptions, encoder: &Encoder) -> EmbedOptions {
        if let Truncate::Window { overlap } = &mut options.truncate
            && self.window_overlap.is_none()
        {
            let longest = options.max_tokens.unwrap_or_else(|| encoder.checkpoint().max_tokens());
            *overlap = if longest < 2 * WINDOW_OVERLAP { longest / 4 } else { WINDOW_OVERLAP };
        }
        options
    }

    /// Says how many texts were cut, unless that was asked for.
    pub fn warn_truncated(&self, truncated: u64, texts: u64) {
        if truncated > 0 && self.truncate == TruncateArg::Warn {
            eprintln!(
                "warning: {truncated} of {texts} texts are longer than the model takes and were cut; \
                 --truncate window reads them whole, --truncate cut accepts it"
            );
        }
    }
}

/// `--layer-mix`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Mix {
    /// Side by side.
    #[default]
    Concat,
    /// Their mean.
    Mean,
}

/// `--truncate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TruncateArg {
    /// Cut silently here; every output row still says so.
    Cut,
    /// Cut, and say how many.
    #[default]
    Warn,
    /// Refuse.
    Error,
    /// Overlapping windows, pooled over all.
    Window,
}

impl EmbedArgs {
    /// Says how many texts were cut, unless that was asked for.
    pub fn warn_truncated(&self, truncated: u64, texts: u64) {
        self.length.warn_truncated(truncated, texts);
    }

    /// The library's options.
    pub fn options(&self) -> Result<EmbedOptions> {
        Ok(EmbedOptions {
            pooling: (!self.pooling.is_empty()).then(|| self.pooling.clone()),
            layers: self.layers.parse::<Layers>()?,
            mix: match self.layer_mix {
                Mix::Concat => LayerMix::Concat,
                Mix::Mean => LayerMix::Mean,
            },
            normalize: match (self.normalize, self.no_normalize) {
                (true, _) => Some(true),
                (_, true) => Some(false),
                _ => None,
            },
            dimensions: self.dimensions.map(NonZeroUsize::get),
            prompt: match (&self.prompt_name, &self.prompt) {
                (Some(name), _) => Prompt::Named(name.clone()),
                (_, Some(text)) => Prompt::Text(text.clone()),
                _ => Prompt::Default,
            },
            include_prompt: self.include_prompt,
            ..self.length.options()
        })
    }
}

/// A whole number from 1 to `MOST`: beyond it a run would not end, or not fit into memory.
pub fn at_most<const MOST: usize>(text: &str) -> std::result::Result<usize, String> {
    match text.parse::<usize>() {
        Ok(number) if (1..=MOST).contains(&number) => Ok(number),
        _ => Err(format!("expected a number from 1 to {MOST}")),
    }
}

/// A share: from 0 to 1.
pub fn share(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a number from 0 to 1".into()),
    }
}

fn parse_batch_tokens(text: &str) -> std::result::Result<NonZeroUsize, String> {
    match text.parse::<NonZeroUsize>() {
        Ok(tokens) if tokens.get() <= MOST_BATCH_TOKENS => Ok(tokens),
        _ => Err(format!("expected a number from 1 to {MOST_BATCH_TOKENS}")),
    }
}

fn parse_filter(text: &str) -> std::result::Result<Filter, Error> {
    text.parse()
}

fn parse_format(text: &str) -> std::result::Result<Format, Error> {
    text.parse()
}

fn parse_device(text: &str) -> std::result::Result<Device, Error> {
    text.parse()
}

fn parse_pooling(text: &str) -> std::result::Result<Pooling, String> {
    Pooling::from_name(text).ok_or_else(|| {
        let known: Vec<&str> = Pooling::ALL.iter().map(|pooling| pooling.name()).collect();
        format!("no such pooling; known are {}", known.join(", "))
    })
}
