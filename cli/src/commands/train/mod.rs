//! `frostbert train`

mod mlp_args;
mod stream;

use std::path::PathBuf;

use clap::ValueEnum;
use frostbert::cache::BestEffort;
use frostbert::export::model_card;
use frostbert::head::baselines;
use frostbert::head::{
    Baseline, CalibrationKind, ClassWeight, Estimate, Folds, Head, Kind, LabelIssue, Matrix, Metrics,
    Problem, Progress, SelectBy, Strength, Targets, TrainData, TrainOptions, Training, label_issues,
    train_test_split,
};
use frostbert::whole_file;
use frostbert::{
    CachedEmbeddings, EmbedOptions, Embeddings, Encoder, Error, Layers, Result, Text, bind_head,
};
use serde_json::json;

use self::mlp_args::MlpArgs;
use super::{print, print_json};
use crate::args::{CacheArgs, EmbedArgs, LabelArgs, Labelled, ModelArgs, RowArgs, renamed};
use crate::card;
use crate::label_errors::LabelErrors;
use crate::progress::{self, EncodeBar};
use crate::report_data::{Story, warnings};
use crate::tables;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Labelled texts: .csv, .tsv, .jsonl, .parquet, or a folder with a folder of text files a class
    data: PathBuf,
    #[command(flatten)]
    rows: RowArgs,
    #[command(flatten)]
    labels: LabelArgs,
    #[command(flatten)]
    embed: EmbedArgs,
    /// Held-out rows in a file of their own
    #[arg(long, value_name = "FILE", conflicts_with = "test_fraction")]
    test: Option<PathBuf>,
    /// Share of the rows to hold out; 0 holds out none
    #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
    test_fraction: f64,
    /// Kind of head; auto compares them by cross-validation and says why it chose
    #[arg(long, value_enum, default_value_t = KindArg::Linear)]
    head: KindArg,
    /// Share of the L1 norm in the elastic net's penalty, 0 to 1; 1 is the lasso
    #[arg(long, value_name = "SHARE", default_value_t = 0.5)]
    l1_ratio: f64,
    /// How many neighbours vote
    #[arg(long, value_name = "K", default_value_t = 15)]
    neighbours: usize,
    /// Inverse strength of the penalty, as in scikit-learn: auto (by cross-validation) or a number
    #[arg(long, default_value = "auto", value_parser = parse_strength)]
    c: Strength,
    /// What cross-validation chooses C by
    #[arg(long, value_enum, default_value_t = SelectArg::LogLoss)]
    select_by: SelectArg,
    /// How classes are weighted
    #[arg(long, value_enum, default_value_t = WeightArg::None)]
    class_weight: WeightArg,
    /// Bring every column to mean 0 and variance 1 first
    #[arg(long)]
    standardize: bool,
    /// Folds of the cross-validation
    #[arg(long, default_value_t = 5)]
    folds: usize,
    /// How often the rows are dealt into folds anew
    #[arg(long, default_value_t = 1)]
    repeats: usize,
    /// Keep rows with the same value in this column together when rows are held out
    #[arg(long, value_name = "NAME")]
    group_column: Option<String>,
    /// Weight of each row in training
    #[arg(long, value_name = "NAME")]
    weight_column: Option<String>,
    /// Calibrate the probabilities on out-of-fold predictions
    #[arg(long, value_enum, default_value_t = CalibrateArg::None)]
    calibrate: CalibrateArg,
    /// Keep an MLP's state here after every epoch of its last fit, and go on from it when it is there
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Learn from the first embeddings while the others are computed, a batch at a time in memory (--head mlp), however many
    /// rows there are; without cross-validation
    #[arg(long)]
    stream: bool,
    /// Decides splits and folds
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where to write the head
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
    #[command(flatten)]
    cache: CacheArgs,
    /// Write all that training found out as one HTML page
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Leave out the simple predictors that the head is compared with (class frequencies, nearest centroid, TF-IDF of the words)
    #[arg(long)]
    no_baselines: bool,
    /// Write rows whose label is likely wrong, by out-of-fold predictions, as CSV
    #[arg(long, value_name = "FILE.csv")]
    label_errors: Option<PathBuf>,
    /// Write a model card (markdown), too
    #[arg(long, value_name = "FILE.md")]
    card: Option<PathBuf>,
    /// JSON instead of tables
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    mlp: MlpArgs,
}

/// `--head`.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KindArg {
    /// Logistic regression (of numbers: ridge regression)
    Linear,
    /// The same with an L1 penalty beside the L2 one: many coefficients are zero
    Elastic,
    /// Multilayer perceptron
    Mlp,
    /// Each class is its mean
    Centroid,
    /// The nearest training rows vote
    Neighbours,
    /// Whichever cross-validates best
    Auto,
}

/// `--select-by`.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SelectArg {
    /// Log loss: steadier, and good for probabilities
    LogLoss,
    /// Accuracy
    Accuracy,
}

/// `--class-weight`.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WeightArg {
    /// Every row counts the same
    None,
    /// Every class counts the same
    Balanced,
}

/// `--calibrate`.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CalibrateArg {
    /// Leave the probabilities as they are
    None,
    /// One temperature
    Temperature,
    /// A scale and a shift for each class
    Vector,
}

pub fn run(args: &Args) -> Result<()> {
    if args.stream {
        return stream::run(args);
    }
    let mut embed_options = args.embed.options()?;
    let train_options = args.train_options();
    let group = args.group_column.as_deref();
    let weight = args.weight_column.as_deref();
    let every_row = RowArgs { limit: None, ..args.rows.clone() };
    let data = args.labels.read(&args.data, &every_row, group, weight)?.drawn(args.rows.limit, args.seed)?;
    let test = args.test.as_ref().map(|test| args.labels.read(test, &every_row, None, None)).transpose()?;
    check_out(&args.out)?;
    args.report.as_deref().map_or(Ok(()), check_out)?;
    args.label_errors.as_deref().map_or(Ok(()), check_out)?;
    args.card.as_deref().map_or(Ok(()), check_out)?;

    let encoder = args.model.load()?;
    let cache = args.cache.open();
    let mut embedded = embed(&encoder, &data, &embed_options, &args.embed, &cache, "embedding")?;
    let mut test_texts: Vec<&Text> = Vec::new();
    let mut held_out = match &test {
        Some(test) => {
            let embeddings = embed(&encoder, test, &embed_options, &args.embed, &cache, "test rows")?;
            test_texts.extend(&test.texts);
            let targets = renamed(test.targets(), embedded.targets.names())?;
            Some((matrix(embeddings.embeddings)?, targets))
        }
        None if args.test_fraction == 0.0 => None,
        None => {
            let strata = strata(&embedded.targets);
            let split = train_test_split(&strata, embedded.groups.as_deref(), args.test_fraction, args.seed)?;
            test_texts.extend(split.test.iter().map(|row| &data.texts[*row as usize]));
            Some(embedded.hold_out(&split.train, &split.test)?)
        }
    };

    let layers = args.embed.chooses_layers().then(|| layers_of(&encoder)).transpose()?;
    let spinner = progress::spinner("training");
    let mut progress = |step: Progress| {
        spinner.set_message(format!("training: {} {}/{}", step.stage, step.done, step.total));
    };
    let training = match layers {
        Some(layers) => Head::train_on_layers(&embedded.train_data()?, layers, &train_options, &mut progress),
        None => Head::train(&embedded.train_data()?, &train_options, &mut progress),
    };
    spinner.finish_and_clear();
    let mut training = training?;
    if let (Some(choice), Some(layers)) = (&training.layers, layers) {
        eprint!("{}", tables::layers(choice));
        let columns = choice.columns(embedded.embeddings.dim / layers);
        embedded.keep_columns(&columns)?;
        if let Some((x, _)) = &mut held_out {
            *x = x.select_columns(&columns);
        }
        embed_options.layers = Layers::These(choice.best().layers.clone());
    }
    if !training.converged {
        eprintln!("warning: the fit stopped before its optimum; try --standardize or a smaller --c");
    }
    let texts: Vec<&Text> = embedded.rows.iter().map(|row| &data.texts[*row as usize]).collect();
    let warnings = warnings(&texts, &test_texts, &embedded.targets, &training);
    for warning in &warnings {
        eprintln!("warning: {warning}");
    }
    let baselines = if args.no_baselines {
        Vec::new()
    } else {
        let spinner = progress::spinner("training simple predictors to compare with");
        let words: Vec<String> = texts.iter().map(|text| joined(text)).collect();
        let found = baselines(&embedded.train_data()?, Some(&words), &train_options, &mut |_| {});
        spinner.finish_and_clear();
        found?
    };
    let issues = training
        .cross_validation
        .as_ref()
        .map(|cv| label_issues(&embedded.targets, &cv.predictions))
        .unwrap_or_default();
    if let Some(path) = &args.label_errors {
        let rows =
            LabelErrors { path, texts: &texts, numbers: &embedded.rows, names: embedded.targets.names() };
        rows.write(&issues)?;
        eprintln!("{} rows whose label is likely wrong written to {}", issues.len(), path.display());
    }
    let test_metrics =
        held_out.as_ref().map(|(x, targets)| training.head.evaluate(x, targets)).transpose()?;
    bind_head(&mut training.head, &encoder, &embed_options, &args.model.model)?;
    training.head.record.test.clone_from(&test_metrics);
    training.head.save(&args.out)?;
    write_card(args, &training.head, &encoder, &embed_options)?;
    if let Some(path) = &args.report {
        let spinner = progress::spinner("writing the report");
        let story = Story {
            file: &args.data,
            head_file: &args.out,
            model: &args.model.model,
            encoder: &encoder,
            options: &embed_options,
            texts: &texts,
            data: &embedded.train_data()?,
            truncated: embedded.truncated,
            tokens_per_second: embedded.tokens_per_second,
            training: &training,
            baselines: &baselines,
            label_issues: &issues,
            rows: &embedded.rows,
            test: test_metrics.as_ref(),
            warnings,
        };
        let written = story.data().and_then(|data| frostbert::report::write(path, &data));
        spinner.finish_and_clear();
        written?;
        eprintln!("report written to {}", path.display());
    }
    report(args, &encoder, &training, &baselines, &issues, test_metrics.as_ref())
}

/// A text as one string; a pair's texts one after the other.
fn joined(text: &Text) -> String {
    text.second.as_ref().map_or_else(|| text.first.clone(), |second| format!("{} {second}", text.first))
}

impl Args {
    fn train_options(&self) -> TrainOptions {
        TrainOptions {
            kind: match self.head {
                KindArg::Linear => Kind::Linear,
                KindArg::Elastic => Kind::ElasticNet { l1_ratio: self.l1_ratio },
                KindArg::Mlp => Kind::Mlp(self.mlp.options()),
                KindArg::Centroid => Kind::NearestCentroid,
                KindArg::Neighbours => Kind::Neighbours { k: self.neighbours },
                KindArg::Auto => Kind::Auto,
            },
            c: self.c,
            select_by: match self.select_by {
                SelectArg::LogLoss => SelectBy::LogLoss,
                SelectArg::Accuracy => SelectBy::Accuracy,
            },
            class_weight: match self.class_weight {
                WeightArg::None => ClassWeight::None,
                WeightArg::Balanced => ClassWeight::Balanced,
            },
            standardise: self.standardize,
            checkpoint: self.checkpoint.clone(),
            cross_validate: true,
            folds: Folds { folds: self.folds, repeats: self.repeats, seed: self.seed },
            calibration: match self.calibrate {
                CalibrateArg::None => CalibrationKind::None,
                CalibrateArg::Temperature => CalibrationKind::Temperature,
                CalibrateArg::Vector => CalibrationKind::Vector,
            },
            ..TrainOptions::default()
        }
    }
}

/// Finds out before the long work whether its result can be written.
fn check_out(out: &std::path::Path) -> Result<()> {
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        Some(folder) if !folder.is_dir() => {
            Err(Error::input(format!("cannot write {}: its folder does not exist", out.display())))
        }
        _ if out.is_dir() => Err(Error::input(format!("cannot write {}: it is a folder", out.display()))),
        _ => Ok(()),
    }
}

/// The model card, where one is wanted.
fn write_card(args: &Args, head: &Head, encoder: &Encoder, options: &EmbedOptions) -> Result<()> {
    let Some(path) = &args.card else { return Ok(()) };
    let name = args.out.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let card = model_card(&card::of_head(head, &encoder.recipe(options)?, name, false));
    whole_file::write(path, card.as_bytes())
        .map_err(|error| Error::io(format!("cannot write {}", path.display())).with_source(error))?;
    eprintln!("model card written to {}", path.display());
    Ok(())
}

/// How many layers there are to choose from.
fn layers_of(encoder: &Encoder) -> Result<usize> {
    if !encoder.recipe(&EmbedOptions::default())?.dense.is_empty() {
        return Err(Error::input(
            "--layers auto compares pooled layers, but this checkpoint has Dense modules, which were trained on its last \
             layer alone; name the layers",
        ));
    }
    Ok(encoder.config().layers + 1)
}

/// Embedded rows and what they are to teach.
pub struct Embedded {
    pub embeddings: Embeddings,
    pub targets: Targets,
    groups: Option<Vec<u32>>,
    weights: Option<Vec<f64>>,
    /// Rows of the table that are still here.
    rows: Vec<u32>,
    pub truncated: usize,
    tokens_per_second: Option<f64>,
}

/// Embeds labelled rows with a bar.
pub fn embed(
    encoder: &Encoder,
    data: &Labelled,
    options: &EmbedOptions,
    args: &EmbedArgs,
    cache: &BestEffort,
    what: &str,
) -> Result<Embedded> {
    let bar = EncodeBar::new(Some(data.texts.len() as u64), what);
    let embeddings = encoder.embed_cached(data.texts.iter().cloned(), &bar.attach(options.clone()), cache);
    bar.finish();
    let CachedEmbeddings { embeddings, from_cache, report } = embeddings?;
    let (seconds, device) = (bar.seconds(), &encoder.device().name);
    eprintln!(
        "{} texts, {from_cache} from the cache; {} tokens embedded in {seconds:.1} s on {device}",
        embeddings.len(),
        report.real_tokens
    );
    let truncated = embeddings.truncated.iter().filter(|cut| **cut).count();
    args.warn_truncated(truncated as u64, embeddings.len() as u64);
    Ok(Embedded {
        targets: data.targets(),
        groups: (!data.groups.is_empty()).then(|| numbered(&data.groups)),
        rows: (0..data.texts.len() as u32).collect(),
        truncated,
        tokens_per_second: (report.real_tokens > 0).then(|| report.real_tokens as f64 / seconds.max(1e-9)),
        weights: (!data.weights.is_empty()).then(|| data.weights.clone()),
        embeddings,
    })
}

/// The class of each row, for splits that keep proportions; one stratum where there are no classes.
fn strata(targets: &Targets) -> Vec<u32> {
    match targets {
        Targets::Classes { labels, .. } => labels.clone(),
        _ => vec![0; targets.rows()],
    }
}

fn numbered(names: &[String]) -> Vec<u32> {
    let mut known = std::collections::HashMap::new();
    names
        .iter()
        .map(|name| {
            let next = known.len() as u32;
            *known.entry(name.as_str()).or_insert(next)
        })
        .collect()
}

pub fn matrix(embeddings: Embeddings) -> Result<Matrix<'static>> {
    Matrix::new(embeddings.len(), embeddings.dim, embeddings.values)
}

impl Embedded {
    /// Takes the test rows out.
    fn hold_out(&mut self, train: &[u32], test: &[u32]) -> Result<(Matrix<'static>, Targets)> {
        let all = matrix(std::mem::take(&mut self.embeddings))?;
        let held_out = (all.select_rows(test), self.targets.select_rows(test));
        let kept = all.select_rows(train);
        self.targets = self.targets.select_rows(train);
        self.rows = train.to_vec();
        let pick = |rows: &[u32]| train.iter().map(|row| rows[*row as usize]).collect();
        self.groups = self.groups.take().map(|groups| pick(&groups));
        self.weights =
            self.weights.take().map(|weights| train.iter().map(|row| weights[*row as usize]).collect());
        self.embeddings = Embeddings {
            dim: kept.columns(),
            tokens: vec![0; kept.rows()],
            truncated: vec![false; kept.rows()],
            values: kept.values().to_vec(),
        };
        Ok(held_out)
    }

    /// Keeps some columns of the embeddings.
    fn keep_columns(&mut self, columns: &[std::ops::Range<usize>]) -> Result<()> {
        let all = Matrix::new(self.embeddings.len(), self.embeddings.dim, self.embeddings.values.as_slice())?;
        let kept = all.select_columns(columns);
        self.embeddings.dim = kept.columns();
        self.embeddings.values = kept.values().to_vec();
        Ok(())
    }

    fn train_data(&self) -> Result<TrainData<'_>> {
        let x = Matrix::new(self.embeddings.len(), self.embeddings.dim, self.embeddings.values.as_slice())?;
        let mut data = TrainData::new(x, self.targets.clone());
        data.groups.clone_from(&self.groups);
        data.weights.clone_from(&self.weights);
        Ok(data)
    }
}

fn report(
    args: &Args,
    encoder: &Encoder,
    training: &Training,
    baselines: &[Baseline],
    issues: &[LabelIssue],
    test: Option<&Metrics>,
) -> Result<()> {
    let cv = training.cross_validation.as_ref();
    let head = &training.head;
    if args.json {
        let measures = |summary: &[(String, Estimate)]| -> Vec<serde_json::Value> {
            let row = |(name, estimate): &(String, Estimate)| json!({ "measure": name, "mean": estimate.mean, "half_width": estimate.half_width });
            summary.iter().map(row).collect()
        };
        let summary = cv.map(|cv| measures(&cv.summary)).unwrap_or_default();
        return print_json(&json!({
            "head": args.out,
            "kind": head.kind(),
            "classes": head.names(),
            "c": head.record.c,
            "train_rows": head.record.train_rows,
            "device": encoder.device(),
            "cross_validation": { "folds": args.folds, "repeats": args.repeats, "measures": summary },
            "baselines": baselines
                .iter()
                .map(|baseline| (baseline.name.to_owned(), json!(measures(&baseline.summary))))
                .collect::<serde_json::Map<_, _>>(),
            "likely_label_errors": issues.len(),
            "layers": training.layers,
            "test": test,
        }));
    }
    let mut text = String::new();
    let what = match head.problem() {
        Problem::Regression => "a number".to_owned(),
        _ => format!("{} classes", head.names().len()),
    };
    text += &format!(
        "{} head for {what}, trained on {} rows, C = {}\n",
        head.kind(),
        head.record.train_rows,
        head.record.c.map_or_else(|| "none".into(), |c| format!("{c}"))
    );
    if let Some(choice) = &training.choice {
        text += "\nkinds compared on the same folds (the smaller the better)\n";
        for (kind, score) in &choice.scores {
            text += &format!("  {kind:<20} {:.4} ± {:.4}\n", score.mean, score.half_width);
        }
        text += &format!("  {}\n", choice.reason);
    }
    if let Some(cv) = cv {
        text += &format!(
            "\n{}-fold cross-validation on the training rows (mean ± half of the 95% interval)\n",
            args.folds
        );
        text += &tables::beside(&cv.summary, head.kind(), baselines);
    }
    if !issues.is_empty() && args.label_errors.is_none() {
        text += &format!(
            "\n{} rows have a label that is likely wrong; --label-errors FILE.csv lists them\n",
            issues.len()
        );
    }
    if let Some(metrics) = test {
        text += "\nheld-out rows\n";
        text += &tables::metrics(metrics);
    }
    text += &format!("\nhead written to {}\n", args.out.display());
    print(&text)
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
