//! What a report is made of: plain numbers and texts, no engine and no head.
//!
//! Every section is an `Option` or a `Vec`; what is absent is left out of the page. A number that could not be
//! computed is NaN and prints as a dash; in JSON it is `null`.

use crate::error::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize};

/// Everything the report shows, in the order of the page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReportData {
    /// The page's title, usually the head's file name or the task.
    pub title: String,
    /// When the head was trained. The caller's text: the report reads no clock, so that the same data give the
    /// same bytes.
    pub created: Option<String>,
    /// The command line that trained the head.
    pub command: Option<String>,
    /// What a reader should know before believing the numbers (too few rows of a class, duplicates across train
    /// and test, ...), one sentence each.
    pub warnings: Vec<String>,
    /// The encoder.
    pub model: Option<Model>,
    /// The rows.
    pub data: Option<DataSummary>,
    /// The head's metrics beside those of simple baselines.
    pub metrics: Option<MetricTable>,
    /// One row a class, from the same predictions as [`confusion`](Self::confusion).
    pub classes: Vec<ClassScores>,
    /// True against predicted class.
    pub confusion: Option<Confusion>,
    /// Confidence against accuracy, before and after calibration.
    pub reliability: Option<Reliability>,
    /// ROC and precision-recall curves, one entry a class.
    pub curves: Vec<ClassCurves>,
    /// Predicted against true value, for regression.
    pub regression: Vec<RegressionPoint>,
    /// Score by number of training rows.
    pub learning_curve: Option<LearningCurve>,
    /// Which layers the embeddings may come from.
    pub layers: Option<CandidateTable>,
    /// How often the head is right where it decides only what it is surest of; the surest first.
    pub coverage: Vec<CoveragePoint>,
    /// What becomes of texts that are longer than the model takes.
    pub long: Option<CandidateTable>,
    /// How much the descriptions of the classes count.
    pub words: Option<CandidateTable>,
    /// Which kinds of head were tried.
    pub kinds: Option<CandidateTable>,
    /// Groups of the texts.
    pub clusters: Option<ClusterReport>,
    /// Maps of the embeddings: usually PCA and t-SNE of the same rows.
    pub maps: Vec<Map>,
    /// Wrong predictions, surest first.
    pub mistakes: Vec<Mistake>,
    /// Rows whose label is probably wrong, most suspicious first.
    pub label_errors: Vec<LabelError>,
    /// Token shares of some predictions.
    pub explanations: Vec<ExplainedAnswer>,
    /// Training settings, name and value.
    pub settings: Vec<(String, String)>,
    /// How to use the head.
    pub usage: Vec<Snippet>,
}

/// A mean and its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The estimate.
    #[serde(deserialize_with = "null_as_nan")]
    pub mean: f64,
    /// Lower end, usually of the 95% interval; NaN where there is none.
    #[serde(deserialize_with = "null_as_nan")]
    pub low: f64,
    /// Upper end; NaN where there is none.
    #[serde(deserialize_with = "null_as_nan")]
    pub high: f64,
}

impl Interval {
    /// A mean with its interval.
    pub fn new(mean: f64, low: f64, high: f64) -> Self {
        Interval { mean, low, high }
    }

    /// A number without an interval.
    pub fn point(mean: f64) -> Self {
        Interval { mean, low: f64::NAN, high: f64::NAN }
    }

    /// The interval's ends, if it has any.
    pub fn ends(self) -> Option<(f64, f64)> {
        (self.low.is_finite() && self.high.is_finite()).then_some((self.low, self.high))
    }
}

/// The encoder whose embeddings the head reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Model {
    /// Folder or hub id.
    pub name: String,
    /// `model_type`.
    pub family: String,
    /// Number of layers.
    pub layers: usize,
    /// Elements of one embedding.
    pub dim: usize,
    /// How tokens become one row, for example `mean, normalised`.
    pub pooling: String,
    /// Adapter or CPU that computed the embeddings.
    pub device: Option<String>,
    /// Tokens a second while embedding.
    pub tokens_per_second: Option<f64>,
}

/// The rows the head was trained and tested on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataSummary {
    /// Where the rows came from.
    pub file: String,
    /// Rows in all.
    pub rows: usize,
    /// Rows whose text was cut at the model's longest sequence.
    pub truncated: usize,
    /// Class name and number of rows.
    pub classes: Vec<(String, usize)>,
}

/// A table of metrics: one row a metric, one column a system.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MetricTable {
    /// How the numbers were got, for example `5-fold, repeated 3 times; 95% intervals`.
    pub protocol: String,
    /// Column names: the head first, then the baselines.
    pub systems: Vec<String>,
    /// The metrics, the most telling first.
    pub rows: Vec<MetricRow>,
}

/// One metric of every system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricRow {
    /// Its name.
    pub name: String,
    /// Whether a smaller number is a better one (log loss, Brier, ECE).
    #[serde(default)]
    pub lower_is_better: bool,
    /// One value a system, in the order of [`MetricTable::systems`].
    pub values: Vec<Interval>,
}

impl MetricRow {
    /// The system with the best mean, if any mean is a number.
    pub fn best(&self) -> Option<usize> {
        let sign = if self.lower_is_better { -1.0 } else { 1.0 };
        let finite = self.values.iter().enumerate().filter(|(_, value)| value.mean.is_finite());
        // Ties go to the earlier system: the head, then the baselines.
        finite
            .fold(None, |best: Option<(usize, f64)>, (at, value)| {
                let score = sign * value.mean;
                best.filter(|(_, top)| *top >= score).or(Some((at, score)))
            })
            .map(|(at, _)| at)
    }
}

/// One class of the per-class table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// Its name.
    pub name: String,
    /// True rows of the class.
    pub support: usize,
    /// Right among those predicted as the class.
    #[serde(deserialize_with = "null_as_nan")]
    pub precision: f64,
    /// Found among the true rows.
    #[serde(deserialize_with = "null_as_nan")]
    pub recall: f64,
    /// Harmonic mean of the two.
    #[serde(deserialize_with = "null_as_nan")]
    pub f1: f64,
    /// Decision threshold, for multi-label heads.
    #[serde(default)]
    pub threshold: Option<f64>,
}

/// A confusion matrix of counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Confusion {
    /// Class names.
    pub labels: Vec<String>,
    /// `counts[true][predicted]`.
    pub counts: Vec<Vec<usize>>,
}

impl Confusion {
    /// The mistaken pairs `(true, predicted, count)`, most frequent first.
    pub fn top_confusions(&self) -> Vec<(usize, usize, usize)> {
        let cells = self.counts.iter().enumerate().flat_map(|(truth, row)| {
            row.iter().enumerate().map(move |(predicted, &count)| (truth, predicted, count))
        });
        let mut pairs: Vec<_> =
            cells.filter(|&(truth, predicted, count)| truth != predicted && count > 0).collect();
        pairs.sort_by(|a, b| b.2.cmp(&a.2).then(a.cmp(b)));
        pairs
    }

    pub(super) fn check(&self) -> Result<()> {
        let classes = self.labels.len();
        match self.counts.iter().map(Vec::len).find(|&columns| columns != classes) {
            None if self.counts.len() == classes => Ok(()),
            columns => Err(Error::input(format!(
                "cannot show the confusion matrix: expected {classes} rows of {classes} counts, one a class, found {} \
                 rows{}",
                self.counts.len(),
                columns.map(|columns| format!(", one of them with {columns} counts")).unwrap_or_default()
            ))),
        }
    }
}

/// How far confidence can be believed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reliability {
    /// The head's own probabilities.
    pub before: Vec<ReliabilityPoint>,
    /// The same after calibration.
    pub after: Vec<ReliabilityPoint>,
    /// Expected calibration error before.
    pub ece_before: Option<f64>,
    /// Expected calibration error after.
    pub ece_after: Option<f64>,
    /// What calibrates, for example `temperature 1.31`.
    pub method: Option<String>,
}

/// Predictions whose confidence falls into one bin.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityPoint {
    /// Mean confidence of the bin's rows.
    #[serde(deserialize_with = "null_as_nan")]
    pub confidence: f64,
    /// Share of them that is right.
    #[serde(deserialize_with = "null_as_nan")]
    pub accuracy: f64,
    /// Number of rows.
    pub count: usize,
}

/// The surest rows, and how many of them are right.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CoveragePoint {
    /// The least probability among them.
    #[serde(deserialize_with = "null_as_nan")]
    pub at_least: f64,
    /// Their share of all rows.
    #[serde(deserialize_with = "null_as_nan")]
    pub coverage: f64,
    /// The share of them that is right.
    #[serde(deserialize_with = "null_as_nan")]
    pub accuracy: f64,
}

/// ROC and precision-recall curve of one class against the rest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClassCurves {
    /// The class.
    pub class: String,
    /// `[false positive rate, true positive rate]`, from (0, 0) to (1, 1).
    #[serde(deserialize_with = "nulls_as_nan")]
    pub roc: Vec<[f64; 2]>,
    /// `[recall, precision]`.
    #[serde(deserialize_with = "nulls_as_nan")]
    pub pr: Vec<[f64; 2]>,
    /// Area under the ROC curve.
    pub roc_auc: Option<f64>,
    /// Average precision.
    pub average_precision: Option<f64>,
}

/// One row of a regression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegressionPoint {
    /// The label.
    #[serde(deserialize_with = "null_as_nan")]
    pub truth: f64,
    /// What the head says.
    #[serde(deserialize_with = "null_as_nan")]
    pub predicted: f64,
    /// The row's text.
    pub text: String,
}

/// Score by number of training rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LearningCurve {
    /// Which metric, for example `Accuracy`.
    pub metric: String,
    /// Points, fewest rows first.
    pub points: Vec<CurvePoint>,
}

/// One point of a learning curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Training rows.
    pub rows: usize,
    /// Score on held-out rows.
    pub score: Interval,
    /// Score on the training rows themselves.
    #[serde(default)]
    pub train: Option<f64>,
}

/// Candidates compared by one score: layer sets, kinds of head, or weights of words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CandidateTable {
    /// Which metric, for example `Accuracy, 5-fold`.
    pub metric: String,
    /// Whether a smaller score is a better one.
    pub lower_is_better: bool,
    /// Why the chosen one was chosen.
    pub reason: Option<String>,
    /// The candidates.
    pub rows: Vec<Candidate>,
}

impl CandidateTable {
    /// Names of the settings that any candidate has, in the order of their first appearance.
    pub fn setting_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = vec![];
        for (name, _) in self.rows.iter().flat_map(|row| &row.settings) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }
}

/// One candidate of a [`CandidateTable`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its name, for example `5` or `all` (layers), `linear` or `mlp 256` (kinds).
    pub name: String,
    /// Its score.
    pub score: Interval,
    /// Name and value of what else tells it apart (C, standardised, ...).
    #[serde(default)]
    pub settings: Vec<(String, String)>,
    /// Time to fit it.
    #[serde(default)]
    pub seconds: Option<f64>,
    /// Whether the head uses it.
    #[serde(default)]
    pub chosen: bool,
}

/// Groups of texts, and which are near each other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterReport {
    /// How they were found and how good they are, in a sentence or two.
    pub note: String,
    /// Texts that are in none.
    pub outside: usize,
    /// The clusters, the largest first.
    pub clusters: Vec<ClusterSummary>,
    /// Which clusters come together, the nearest first.
    pub merges: Vec<ClusterMerge>,
}

impl ClusterReport {
    pub(super) fn check(&self) -> Result<()> {
        let mut taken = vec![false; self.clusters.len() + self.merges.len()];
        for (at, merge) in self.merges.iter().enumerate() {
            for side in [merge.left, merge.right] {
                if side >= self.clusters.len() + at || std::mem::replace(&mut taken[side], true) {
                    return Err(Error::input(format!(
                        "cannot draw the tree of {} clusters: merge {at} takes {side}, which is not there or already taken",
                        self.clusters.len()
                    )));
                }
            }
        }
        Ok(())
    }
}

/// One cluster of a [`ClusterReport`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterSummary {
    /// What it is called.
    pub name: String,
    /// How many texts.
    pub texts: usize,
    /// Mean cosine of its texts with their centre.
    #[serde(deserialize_with = "null_as_nan")]
    pub cohesion: f64,
    /// Words that tell it from the others, with their scores.
    pub words: Vec<ScoredName>,
    /// The texts nearest to its centre.
    pub typical: Vec<String>,
    /// The most frequent label of its texts, where they have any, and its share.
    pub label: Option<ScoredName>,
}

/// A name, and a number that says how much of it there is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScoredName {
    /// The name.
    pub name: String,
    /// The number.
    #[serde(deserialize_with = "null_as_nan")]
    pub score: f64,
}

/// Two clusters, or groups of them, that come together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterMerge {
    /// A cluster, or of `n` clusters the merge of this number less `n`.
    pub left: usize,
    /// The other one.
    pub right: usize,
    /// How far they are from each other.
    #[serde(deserialize_with = "null_as_nan")]
    pub distance: f64,
}

/// A 2-d map of embeddings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Map {
    /// How it was made, for example `PCA (14% of the variance)`.
    pub method: String,
    /// Class names, which points refer to.
    pub labels: Vec<String>,
    /// The points.
    pub points: Vec<MapPoint>,
    /// How many rows `points` were drawn from, if it is a sample.
    pub sampled_from: Option<usize>,
}

impl Map {
    pub(super) fn check(&self) -> Result<()> {
        let classes = self.labels.len();
        let outside = |point: &&MapPoint| {
            point.class >= classes || point.predicted.is_some_and(|predicted| predicted >= classes)
        };
        match self.points.iter().find(outside) {
            None => Ok(()),
            Some(point) => Err(Error::input(format!(
                "cannot draw the map `{}`: a point has class {} and prediction {:?}, but there are {classes} labels",
                self.method, point.class, point.predicted
            ))),
        }
    }
}

/// One text on a [`Map`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapPoint {
    /// Horizontal position, any unit.
    #[serde(deserialize_with = "null_as_nan")]
    pub x: f64,
    /// Vertical position, same unit.
    #[serde(deserialize_with = "null_as_nan")]
    pub y: f64,
    /// Index into [`Map::labels`].
    pub class: usize,
    /// What the head predicts (out of fold), if known.
    #[serde(default)]
    pub predicted: Option<usize>,
    /// The text.
    pub text: String,
}

/// A wrong prediction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mistake {
    /// The text.
    pub text: String,
    /// Its label.
    pub truth: String,
    /// What the head says.
    pub predicted: String,
    /// How sure it is of that.
    #[serde(deserialize_with = "null_as_nan")]
    pub probability: f64,
    /// What each token adds to the predicted class's logit, if known.
    #[serde(default)]
    pub shares: Vec<TokenShare>,
}

/// A row whose label the out-of-fold predictions contradict. Source: Northcutt et al., "Confident Learning", 2021.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelError {
    /// Row number in the data, counted from 1 without the header.
    #[serde(default)]
    pub row: Option<usize>,
    /// The text.
    pub text: String,
    /// The label it has.
    pub given: String,
    /// The label it probably should have.
    pub suggested: String,
    /// Out-of-fold probability of the given label.
    #[serde(deserialize_with = "null_as_nan")]
    pub given_probability: f64,
    /// Out-of-fold probability of the suggested label.
    #[serde(deserialize_with = "null_as_nan")]
    pub suggested_probability: f64,
}

/// What one token adds to a logit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenShare {
    /// The token as the tokenizer names it: `##` or a missing `▁` glues it to the one before.
    pub token: String,
    /// Its share of the logit.
    #[serde(deserialize_with = "null_as_nan")]
    pub share: f64,
}

/// One prediction taken apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplainedAnswer {
    /// The class whose logit is explained.
    pub label: String,
    /// Its probability.
    #[serde(deserialize_with = "null_as_nan")]
    pub probability: f64,
    /// The logit: the sum of the shares and the bias.
    #[serde(deserialize_with = "null_as_nan")]
    pub logit: f64,
    /// What the head adds whatever the text.
    #[serde(deserialize_with = "null_as_nan")]
    pub bias: f64,
    /// Whether the shares are exact, or to first order (after normalisation).
    pub exact: bool,
    /// One entry a token.
    pub shares: Vec<TokenShare>,
}

/// Something to copy: a command or a few lines of code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snippet {
    /// What it does.
    pub caption: String,
    /// The text to copy.
    pub code: String,
}

// JSON has no NaN: serde_json writes `null`, which must come back as NaN.
fn null_as_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

fn nulls_as_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<[f64; 2]>, D::Error> {
    let points = Vec::<[Option<f64>; 2]>::deserialize(deserializer)?;
    Ok(points.into_iter().map(|point| point.map(|value| value.unwrap_or(f64::NAN))).collect())
}
