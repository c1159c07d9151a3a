//! What `frostbert train` is told.

use std::path::PathBuf;

use frostbert::head::{
    CalibrationKind, CautionOptions, ClassWeight, Folds, Kind, SelectBy, Strength, Targets, TrainOptions,
};
use frostbert::workflow::{Dataset, Description, LongTexts};
use frostbert::{EmbedOptions, Error, Result, Text};

use super::mlp_args::MlpArgs;
use crate::args::{CacheArgs, EmbedArgs, LabelArgs, ModelArgs, RowArgs, at_most, choice, share};
use crate::outputs::{Content, Files, OutputArgs};

#[derive(clap::Args)]
#[command(mut_arg("label_columns", |arg| arg.required(false).required_unless_present("describe")))]
pub struct Args {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Labelled texts: .csv, .tsv, .jsonl, .parquet, or a folder with a folder of text files a class; with --describe rows may
    /// lack a label, and there need not be a file at all
    #[arg(required_unless_present = "describe")]
    pub data: Option<PathBuf>,
    /// Start from words: what the texts of a class are like, once or more for each class. The description stands in for examples
    /// and gives way to them
    #[arg(long, value_name = "LABEL=TEXT", conflicts_with = "stream", value_parser = parse_description)]
    pub describe: Vec<Description>,
    #[command(flatten)]
    pub rows: RowArgs,
    #[command(flatten)]
    pub labels: LabelArgs,
    #[command(flatten)]
    pub embed: EmbedArgs,
    /// What of a text longer than the model takes is embedded: head, head-and-tail, tail or windows; auto compares them by
    /// cross-validation. The head remembers it [default: as --truncate says]
    #[arg(long, value_name = "auto|WAY", conflicts_with_all = ["truncate", "window_overlap"], value_parser = parse_long)]
    long: Option<Long>,
    /// Held-out rows in a file of their own
    #[arg(long, value_name = "FILE", conflicts_with = "test_fraction")]
    pub test: Option<PathBuf>,
    /// Share of the rows to hold out; 0 holds out none [default: 0.2, with --describe 0]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    test_fraction: Option<f64>,
    /// Kind of head; auto compares them by cross-validation and says why it chose
    #[arg(long, value_parser = choice::<Kind>(Kind::CHOICES), default_value_t)]
    head: Kind,
    /// Share of the L1 norm in the elastic net's penalty, 0 to 1; 1 is the lasso
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, value_parser = share)]
    l1_ratio: f64,
    /// How many neighbours vote
    #[arg(long, value_name = "K", default_value_t = 15, value_parser = at_most::<1_000_000>)]
    neighbours: usize,
    /// Inverse strength of the penalty, as in scikit-learn: auto (by cross-validation) or a number
    #[arg(long, default_value = "auto", value_parser = parse_strength)]
    c: Strength,
    /// What cross-validation chooses C by
    #[arg(long, value_parser = choice::<SelectBy>(SelectBy::CHOICES), default_value_t)]
    select_by: SelectBy,
    /// How classes are weighted
    #[arg(long, value_parser = choice::<ClassWeight>(ClassWeight::CHOICES), default_value_t)]
    class_weight: ClassWeight,
    /// Bring every column to mean 0 and variance 1 first
    #[arg(long)]
    standardize: bool,
    /// Folds of the cross-validation
    #[arg(long, default_value_t = 5)]
    pub folds: usize,
    /// How often the rows are dealt into folds anew
    #[arg(long, default_value_t = 1, value_parser = at_most::<1000>)]
    pub repeats: usize,
    /// Keep rows with the same value in this column together when rows are held out
    #[arg(long, value_name = "NAME")]
    pub group_column: Option<String>,
    /// Weight of each row in training
    #[arg(long, value_name = "NAME")]
    pub weight_column: Option<String>,
    /// Calibrate the probabilities on out-of-fold predictions
    #[arg(long, value_parser = choice::<CalibrationKind>(CalibrationKind::CHOICES), default_value_t)]
    calibrate: CalibrationKind,
    /// Decide only where decisions are right at this rate, by out-of-fold predictions: the head leaves the others undecided
    #[arg(long, value_name = "PRECISION", value_parser = share)]
    abstain_precision: Option<f64>,
    /// Name, beside the class, every class that may be right: sets that hold the right one at this rate
    #[arg(long, value_name = "COVERAGE", value_parser = share)]
    conformal: Option<f64>,
    /// Read labels as paths, such as sport/tennis: a parent is as likely as its children together, every level is measured, and
    /// answers stop at the level that is sure enough (likelier than all others, or by --abstain-precision). A letter says what
    /// stands between the parts
    #[arg(long, value_name = "SEPARATOR", num_args = 0..=1, default_missing_value = "/")]
    hierarchy: Option<char>,
    /// Keep at most so many of the training texts' embeddings, 20 or more, in the head's file [default: 500], and how all of them
    /// spread, 4.5 MiB together at most, so that `predict` can say which texts are unlike them, and `drift` needs no table; whoever has the head has
    /// them, too
    #[arg(long, value_name = "ROWS", num_args = 0..=1, default_missing_value = "500", value_parser = at_most::<100_000>)]
    pub keep_sample: Option<usize>,
    /// Keep an MLP's state here after every epoch of its last fit, and go on from it when it is there
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Learn from the first embeddings while the others are computed, a batch at a time in memory (--head mlp), however many
    /// rows there are; without cross-validation
    #[arg(long)]
    pub stream: bool,
    /// Decides splits and folds
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Where to write the head
    #[arg(long, value_name = "FILE.safetensors")]
    pub out: PathBuf,
    #[command(flatten)]
    pub cache: CacheArgs,
    /// Write all that training found out as one HTML page
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Leave out the simple predictors that the head is compared with (class frequencies, nearest centroid, TF-IDF of the words)
    #[arg(long)]
    pub no_baselines: bool,
    /// Write rows whose label is likely wrong, by out-of-fold predictions, as CSV
    #[arg(long, value_name = "FILE.csv")]
    pub label_errors: Option<PathBuf>,
    /// Write a model card (markdown), too
    #[arg(long, value_name = "FILE.md")]
    pub card: Option<PathBuf>,
    #[command(flatten)]
    pub outputs: OutputArgs,
    /// JSON instead of tables
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    mlp: MlpArgs,
}

impl Args {
    /// What is read and what is written.
    pub fn files(&self) -> Files<'_> {
        Files::new(&self.outputs)
            .input(self.data.as_deref())
            .input(self.test.as_deref())
            .model(&self.model.model)
            .output("--out", Some(&self.out), Content::Head)
            .output("--report", self.report.as_deref(), Content::Page)
            .output("--label-errors", self.label_errors.as_deref(), Content::LabelErrors)
            .output("--card", self.card.as_deref(), Content::Card)
            .output("--checkpoint", self.checkpoint.as_deref(), Content::TrainingState)
    }

    /// The library's options.
    pub fn train_options(&self) -> TrainOptions {
        TrainOptions {
            kind: match self.head {
                Kind::ElasticNet { .. } => Kind::ElasticNet { l1_ratio: self.l1_ratio },
                Kind::Mlp(_) => Kind::Mlp(self.mlp.options()),
                Kind::Neighbours { .. } => Kind::Neighbours { k: self.neighbours },
                ref other => other.clone(),
            },
            c: self.c,
            select_by: self.select_by,
            class_weight: self.class_weight,
            standardise: self.standardize,
            checkpoint: self.checkpoint.clone(),
            cross_validate: true,
            folds: Folds { folds: self.folds, repeats: self.repeats, seed: self.seed },
            calibration: self.calibrate,
            ..TrainOptions::default()
        }
    }

    /// What the head does when it is unsure.
    pub fn caution(&self) -> CautionOptions {
        CautionOptions {
            abstain_precision: self.abstain_precision,
            conformal: self.conformal,
            levels: self.hierarchy,
        }
    }

    /// How rows are embedded; of `--layers auto`, all but the layers, which are chosen then.
    pub fn embed_options(&self) -> Result<EmbedOptions> {
        if self.chooses_layers() {
            return EmbedArgs { layers: "all".into(), ..self.embed.clone() }.options();
        }
        self.embed.options()
    }

    /// `--long auto`.
    pub fn chooses_long(&self) -> bool {
        self.long == Some(Long::Auto)
    }

    /// The options with long texts treated as `--long` says, for a model that takes so many tokens.
    pub fn treat_long(&self, options: EmbedOptions, max_tokens: usize) -> EmbedOptions {
        match self.long {
            Some(Long::So(way)) => way.apply(&options, options.max_tokens.unwrap_or(max_tokens)),
            _ => options,
        }
    }

    /// `--layers auto`.
    pub fn chooses_layers(&self) -> bool {
        self.embed.layers.trim() == "auto"
    }

    /// The share of the rows that is held out.
    pub fn test_fraction(&self) -> f64 {
        // Where words stand in for examples there are few to give up.
        self.test_fraction.unwrap_or(if self.describe.is_empty() { 0.2 } else { 0.0 })
    }

    /// The rows to learn from, those of `--test`, and texts without a label.
    pub fn read(&self) -> Result<(Dataset, Option<Dataset>, Vec<Text>)> {
        let every_row = RowArgs { limit: None, ..self.rows.clone() };
        let (group, weight) = (self.group_column.as_deref(), self.weight_column.as_deref());
        let (mut data, mut unlabelled) = match &self.data {
            None => (Dataset::new("no table", Vec::<Text>::new(), Targets::classes::<&str>(&[]))?, vec![]),
            Some(file) if self.describe.is_empty() => {
                (self.labels.read(file, &every_row, group, weight)?, vec![])
            }
            Some(file) => self.labels.read_partly_labelled(file, &every_row, group, weight)?,
        };
        if let Some(limit) = self.rows.limit {
            data = data.draw(limit.get(), self.seed)?;
            unlabelled.truncate(limit.get());
        }
        if self.describe.is_empty() {
            data.check()?;
        }
        let test = self.test.as_ref().map(|test| self.labels.read(test, &every_row, None, None));
        Ok((data, test.transpose()?, unlabelled))
    }
}

/// `--long`.
#[derive(Clone, Copy, PartialEq)]
enum Long {
    /// Whatever cross-validates best.
    Auto,
    /// This.
    So(LongTexts),
}

fn parse_long(text: &str) -> std::result::Result<Long, Error> {
    if text == "auto" { Ok(Long::Auto) } else { text.parse().map(Long::So) }
}

fn parse_description(text: &str) -> std::result::Result<Description, Error> {
    text.parse()
}

fn parse_strength(text: &str) -> std::result::Result<Strength, String> {
    match text {
        "auto" => Ok(Strength::Auto),
        number => match number.parse::<f64>() {
            Ok(c) if c > 0.0 && c.is_finite() => Ok(Strength::Fixed(c)),
            _ => Err("expected auto or a number above 0".into()),
        },
    }
}
