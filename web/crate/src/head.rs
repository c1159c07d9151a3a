//! Heads: trained here, or read from a file that the command line wrote.

use frostbert::EmbeddingRecipe;
use frostbert::head::{
    CalibrationKind, ClassMetrics, ClassRow, ClassWeight, CrossValidation, Estimate, Folds, Head, Matrix,
    Metrics, Strength, Targets, TrainOptions, reliability,
};
use frostbert::workflow::{Dataset, EmbeddedRows, FitSettings, train_embedded};
use js_sys::Function;
use serde::{Deserialize, Serialize};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::encoder::{json, parse};
use crate::error::to_js;

/// Bins of the reliability diagram.
const BINS: usize = 10;

/// `TrainOptions` of the npm package.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct WebTrainOptions {
    c: Option<WebStrength>,
    class_weight: ClassWeight,
    standardize: bool,
    folds: Option<usize>,
    seed: u64,
    /// The embedding recipe, as `WebEncoder::recipe` wrote it.
    recipe: String,
    /// Where the encoder was.
    model: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WebStrength {
    Given(f64),
    Named(String),
}

impl WebTrainOptions {
    fn options(&self) -> frostbert::Result<TrainOptions> {
        let c = match &self.c {
            None => Strength::Auto,
            Some(WebStrength::Given(c)) => Strength::Fixed(*c),
            Some(WebStrength::Named(name)) if name == "auto" => Strength::Auto,
            Some(WebStrength::Named(name)) => {
                return Err(frostbert::Error::input(format!("c is a number or \"auto\", not {name:?}")));
            }
        };
        let folds = Folds { folds: self.folds.unwrap_or(5), seed: self.seed, ..Folds::default() };
        Ok(TrainOptions {
            c,
            class_weight: self.class_weight,
            standardise: self.standardize,
            folds,
            cross_validate: true,
            calibration: CalibrationKind::Temperature,
            ..TrainOptions::default()
        })
    }
}

/// A head that was just trained, and what was measured on the way.
#[wasm_bindgen]
pub struct WebTraining {
    head: Head,
    validation: CrossValidation,
    /// Of all out-of-fold predictions together.
    metrics: ClassMetrics,
    labels: Vec<u32>,
}

/// `TrainReport` of the npm package, without what crosses as typed arrays.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    classes: &'a [String],
    counts: Vec<u64>,
    folds: usize,
    /// Every linear head has one.
    c: Option<f64>,
    path: Vec<PathPoint>,
    accuracy: Interval,
    balanced_accuracy: Interval,
    macro_f1: Interval,
    log_loss: Interval,
    majority: f64,
    confusion: &'a [Vec<u64>],
    per_class: &'a [ClassRow],
    reliability: Reliability,
    temperature: f64,
}

#[derive(Serialize)]
struct PathPoint {
    c: Option<f64>,
    score: f64,
}

#[derive(Serialize)]
struct Interval {
    mean: f64,
    low: f64,
    high: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reliability {
    before: Vec<Bin>,
    after: Vec<Bin>,
    ece_before: f64,
    ece_after: f64,
}

#[derive(Clone, Copy, Default, Serialize)]
struct Bin {
    low: f64,
    high: f64,
    count: u64,
    confidence: f64,
    accuracy: f64,
}

/// Trains a linear head on embeddings `[rows, dim]`, one label a row. `progress(stage, done, total)` is called on the way.
///
/// # Errors
/// There is nothing to learn (one label, too few rows for the folds), or an option is out of range.
#[wasm_bindgen(js_name = trainHead)]
pub fn train_head(
    data: Vec<f32>,
    dim: usize,
    labels: Vec<String>,
    options: &str,
    progress: &Function,
) -> Result<WebTraining, JsValue> {
    let options: WebTrainOptions = parse(options)?;
    train(data, dim, &labels, &options, progress).map_err(to_js)
}

fn train(
    data: Vec<f32>,
    dim: usize,
    labels: &[String],
    options: &WebTrainOptions,
    progress: &Function,
) -> frostbert::Result<WebTraining> {
    let recipe: EmbeddingRecipe = serde_json::from_str(&options.recipe).map_err(|error| {
        frostbert::Error::input("the embeddings do not say how they were made; take them from Encoder.embed")
            .with_source(error)
    })?;
    let targets = Targets::classes(labels);
    let Targets::Classes { labels: numbers, .. } = &targets else {
        return Err(frostbert::Error::input("labels are classes here"));
    };
    let numbers = numbers.clone();
    let matrix = Matrix::new(labels.len(), dim, data)?;
    let rows = EmbeddedRows::new(Dataset::without_texts("the labelled texts", targets), matrix)?;
    let mut settings = FitSettings::default();
    (settings.head, settings.baselines) = (options.options()?, false);
    let mut trained = train_embedded(rows, None, &settings, &mut |progressed| {
        // What the worker's own callback throws has nowhere to go.
        let _ = progress.call3(
            &JsValue::NULL,
            &progressed.stage.into(),
            &(progressed.done as f64).into(),
            &(progressed.total as f64).into(),
        );
    })?;
    recipe.bind(&mut trained.head, &options.model)?;
    let (Some(validation), Some(Metrics::SingleLabel(metrics))) =
        (trained.record.cross_validation, trained.record.out_of_fold)
    else {
        return Err(frostbert::Error::input("cross-validation was asked for and did not run"));
    };
    Ok(WebTraining { head: trained.head, validation, metrics, labels: numbers })
}

#[wasm_bindgen]
impl WebTraining {
    /// The head file.
    ///
    /// # Errors
    /// It cannot be written (a measure is not finite).
    pub fn bytes(&self) -> Result<Vec<u8>, JsValue> {
        self.head.to_bytes().map_err(to_js)
    }

    /// Out-of-fold probabilities, calibrated, `[rows, classes]`.
    #[must_use]
    pub fn probabilities(&self) -> Vec<f32> {
        self.validation.predictions.iter().map(|p| *p as f32).collect()
    }

    /// `TrainReport` of the npm package, as JSON.
    ///
    /// # Errors
    /// A measure is not finite.
    pub fn report(&self) -> Result<String, JsValue> {
        let names = self.head.names();
        let predictions = &self.validation.predictions;
        let metrics = &self.metrics;
        let counts: Vec<u64> = metrics.classes.iter().map(|row| row.support).collect();
        let temperature = self.head.calibration().temperature().unwrap_or(1.0);
        let uncalibrated: Vec<f64> =
            predictions.chunks_exact(names.len()).flat_map(|row| sharpened(row, temperature)).collect();
        let before = ClassMetrics::new(&self.labels, &uncalibrated, names);
        json(&Report {
            classes: names,
            folds: self.validation.splits.len(),
            c: self.validation.c,
            path: self
                .validation
                .path
                .iter()
                .map(|point| PathPoint { c: point.c, score: point.score.mean })
                .collect(),
            accuracy: self.interval("accuracy", 1.0),
            balanced_accuracy: self.interval("balanced accuracy", 1.0),
            macro_f1: self.interval("macro F1", 1.0),
            log_loss: self.interval("log loss", f64::MAX),
            majority: counts.iter().copied().max().unwrap_or(0) as f64 / self.labels.len().max(1) as f64,
            counts,
            confusion: &metrics.confusion,
            per_class: &metrics.classes,
            reliability: Reliability {
                before: bins(&self.labels, &uncalibrated),
                after: bins(&self.labels, predictions),
                ece_before: before.ece,
                ece_after: metrics.ece,
            },
            temperature,
        })
    }
}

impl WebTraining {
    fn interval(&self, name: &str, most: f64) -> Interval {
        let found = self
            .validation
            .summary
            .iter()
            .find(|(measure, _)| measure == name)
            .map(|(_, estimate)| *estimate);
        let Estimate { mean, half_width } = found.unwrap_or(Estimate { mean: 0.0, half_width: 0.0 });
        Interval { mean, low: (mean - half_width).max(0.0), high: (mean + half_width).min(most) }
    }
}

/// Probabilities before they were divided by the temperature: `p^t`, scaled to sum to 1.
fn sharpened(row: &[f64], temperature: f64) -> Vec<f64> {
    let raised: Vec<f64> = row.iter().map(|p| p.max(f64::MIN_POSITIVE).powf(temperature)).collect();
    let sum: f64 = raised.iter().sum();
    raised.into_iter().map(|p| p / sum).collect()
}

/// Rows by the probability of their likeliest class; bins without rows are there, too.
fn bins(labels: &[u32], probabilities: &[f64]) -> Vec<Bin> {
    let width = 1.0 / BINS as f64;
    let empty = |at: usize| Bin { low: at as f64 * width, high: (at + 1) as f64 * width, ..Bin::default() };
    let mut bins: Vec<Bin> = (0..BINS).map(empty).collect();
    for found in reliability(labels, probabilities, BINS) {
        let bin = &mut bins[(found.from * BINS as f64).round() as usize];
        (bin.count, bin.confidence, bin.accuracy) = (found.rows as u64, found.confidence, found.accuracy);
    }
    bins
}

/// A head file, read.
#[wasm_bindgen]
pub struct WebHead {
    pub(crate) head: Head,
}

/// `HeadInfo` of the npm package.
#[derive(Serialize)]
struct HeadInfo<'a> {
    kind: &'a str,
    problem: frostbert::head::Problem,
    labels: &'a [String],
    dim: usize,
    recipe: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
}

#[wasm_bindgen]
impl WebHead {
    /// Reads a head file.
    ///
    /// # Errors
    /// It is no head file, is damaged, or is of a newer version.
    #[wasm_bindgen(constructor)]
    pub fn new(bytes: &[u8]) -> Result<WebHead, JsValue> {
        Ok(WebHead { head: Head::from_bytes(bytes).map_err(to_js)? })
    }

    /// `HeadInfo` of the npm package, as JSON.
    ///
    /// # Errors
    /// None in practice: every field is text or a number.
    pub fn info(&self) -> Result<String, JsValue> {
        let record = &self.head.record;
        json(&HeadInfo {
            kind: self.head.kind().name(),
            problem: self.head.problem(),
            labels: self.head.names(),
            dim: self.head.dimension(),
            recipe: record.encoder.as_ref().map(|encoder| encoder.digest.clone()).unwrap_or_default(),
            model: record.model_location.as_deref(),
        })
    }
}
