//! All that training found out, once: the terminal, JSON, the HTML report, the model card and the page read it from here.

use serde::Serialize;

use super::dataset::Dataset;
use super::embed::{EmbeddedRows, EmbeddingSummary};
use super::explanation::Explanation;
use super::long_texts::LongChoice;
use crate::encoder::{EmbeddingRecipe, Encoder};
use crate::engine::DeviceReport;
use crate::error::{Error, Result};
use crate::head::{
    Baseline, Calibration, Choice, CrossValidation, Head, HierarchyMeasures, LabelIssue, LayerChoice,
    LearningPoint, Metrics, Problem, Targets, TrainOptions, Warning, WordsChoice,
};
use crate::model::Family;

/// A finished training.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Trained {
    /// The head, bound to its encoder.
    pub head: Head,
    /// What was found out on the way.
    pub record: TrainingRecord,
    /// The rows it learnt from, with the embeddings that it sees; none where they were streamed.
    pub rows: Option<EmbeddedRows>,
}

/// All that training found out. Rows are counted from 0 among the training rows where nothing else is said.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct TrainingRecord {
    /// The rows it learnt from.
    pub data: DataRecord,
    /// What embedded them; none where the embeddings came from elsewhere.
    pub encoder: Option<EncoderRecord>,
    /// What embedding took, the held-out rows' too; none where the embeddings came from elsewhere.
    pub embedding: Option<EmbeddingSummary>,
    /// Which problem the head solves.
    pub problem: Problem,
    /// Names of what comes out: classes, labels, or the one number.
    pub names: Vec<String>,
    /// How it was trained; of [`Kind::Auto`](crate::head::Kind::Auto), with the kind that was chosen.
    pub settings: TrainOptions,
    /// `C` it was fitted with.
    pub c: Option<f64>,
    /// The calibration of its logits.
    pub calibration: Calibration,
    /// Thresholds of each label; empty unless multi-label.
    pub thresholds: Vec<f64>,
    /// Whether the fit reached its optimum.
    pub converged: bool,
    /// Out-of-fold predictions, and their measures by fold.
    pub cross_validation: Option<CrossValidation>,
    /// Measures of all out-of-fold predictions together.
    pub out_of_fold: Option<Metrics>,
    /// Measures on held-out rows.
    pub held_out: Option<Metrics>,
    /// Measures of each level on all out-of-fold predictions together (without any: on held-out rows); none unless class names are read as paths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub levels: Option<HierarchyMeasures>,
    /// Which kinds of head were compared.
    pub choice: Option<Choice>,
    /// Which layers were compared.
    pub layers: Option<LayerChoice>,
    /// What was compared for texts that are longer than the model takes.
    pub long: Option<LongChoice>,
    /// How much descriptions of the classes count, where it started from words.
    pub words: Option<WordsChoice>,
    /// Simple predictors to compare with, on the same folds.
    pub baselines: Vec<Baseline>,
    /// Measures with fewer rows, the fewest first; empty where it was not asked for, or the head is not linear.
    pub learning_curve: Vec<LearningPoint>,
    /// Rows whose label is likely wrong, the surest first.
    pub label_issues: Vec<LabelIssue>,
    /// The surest wrong out-of-fold predictions of a single-label head, the surest first.
    pub mispredictions: Vec<Misprediction>,
    /// What a reader should know before believing the figures.
    pub warnings: Vec<Warning>,
}

/// The rows that a head learnt from.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DataRecord {
    /// Where they came from.
    pub name: String,
    /// How many.
    pub rows: usize,
    /// How many of their texts were cut.
    pub truncated: usize,
    /// Rows of each class or label; empty for numbers.
    pub classes: Vec<(String, usize)>,
}

/// The encoder that embedded the rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EncoderRecord {
    /// Folder or hub id.
    pub location: String,
    /// Its family.
    pub family: Family,
    /// Its layers.
    pub layers: usize,
    /// Columns of the embeddings that the head sees.
    pub dim: usize,
    /// How texts become vectors.
    pub recipe: EmbeddingRecipe,
    /// What computed.
    pub device: DeviceReport,
}

/// A wrong out-of-fold prediction.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Misprediction {
    /// The row.
    pub row: usize,
    /// Its class, an index into the names.
    pub given: usize,
    /// The class predicted, an index into the names.
    pub predicted: usize,
    /// How likely the head holds that.
    pub probability: f64,
    /// What each token adds; none where it was not asked for, or the logit is no sum over tokens.
    pub explanation: Option<Explanation>,
}

impl DataRecord {
    pub(super) fn of(data: &Dataset, truncated: usize) -> Self {
        let counts: Vec<usize> = match &data.targets {
            Targets::Classes { labels, names } => {
                let mut counts = vec![0; names.len()];
                labels.iter().for_each(|label| counts[*label as usize] += 1);
                counts
            }
            Targets::MultiLabel { marks, names } => {
                let rows =
                    |at: usize| marks.iter().skip(at).step_by(names.len()).filter(|mark| **mark).count();
                (0..names.len()).map(rows).collect()
            }
            Targets::Values { .. } => Vec::new(),
        };
        let classes = data.targets.names().iter().cloned().zip(counts).collect();
        DataRecord { name: data.name.clone(), rows: data.len(), truncated, classes }
    }
}

impl EncoderRecord {
    pub(super) fn of(encoder: &Encoder, location: &str, head: &Head, recipe: EmbeddingRecipe) -> Self {
        EncoderRecord {
            location: location.to_owned(),
            family: encoder.config().family,
            layers: encoder.config().layers,
            dim: head.dimension(),
            recipe,
            device: encoder.device().clone(),
        }
    }
}

impl Trained {
    /// The rows whose label is likely wrong as a CSV table for a person to go through, the surest first. `row` is the row's
    /// number in the table, from 1, the header not counted.
    ///
    /// # Errors
    /// None in practice: the table is written to memory.
    pub fn label_issues_csv(&self) -> Result<String> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::io("cannot write the table of likely label errors").with_source(error)
        };
        let mut table = csv::Writer::from_writer(Vec::new());
        table
            .write_record(["row", "label", "probability", "suggested", "suggested_probability", "text"])
            .map_err(|error| failed(error.into()))?;
        let rows =
            self.rows.iter().flat_map(|rows| self.record.label_issues.iter().map(move |issue| (rows, issue)));
        for (rows, issue) in rows {
            let text = rows.data.texts.get(issue.row).map_or("", |text| text.first.as_str());
            table
                .write_record([
                    rows.data.numbers[issue.row].to_string().as_str(),
                    self.record.names[issue.given].as_str(),
                    format!("{:.4}", issue.given_probability).as_str(),
                    self.record.names[issue.suggested].as_str(),
                    format!("{:.4}", issue.suggested_probability).as_str(),
                    text,
                ])
                .map_err(|error| failed(error.into()))?;
        }
        let bytes = table.into_inner().map_err(|error| failed(error.to_string().into()))?;
        String::from_utf8(bytes).map_err(|error| failed(error.into()))
    }
}
