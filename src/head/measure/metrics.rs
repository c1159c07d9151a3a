//! How good predictions are.
//!
//! Values equal scikit-learn's for the same rows (tests/fixtures/head-goldens). Ties of the largest probability
//! go to the lowest class.

use serde::{Deserialize, Serialize};

use super::ranking::{average_precision, correlation, mean, ranking_precision, ranks, roc_auc};
use crate::head::data::targets::Targets;

/// Bins of the calibration error, of equal width: bin i is `[i/15, (i+1)/15)`.
const BINS: usize = 15;

/// Measures of any problem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "problem", rename_all = "kebab-case")]
pub enum Metrics {
    /// One class of several.
    SingleLabel(ClassMetrics),
    /// Any number of labels.
    MultiLabel(LabelMetrics),
    /// A number.
    Regression(ValueMetrics),
}

impl Metrics {
    /// Measures predictions against targets.
    ///
    /// Shapes: `predictions` `[rows, classes]` probabilities, `[rows, labels]` probabilities, or `[rows]` numbers.
    /// `thresholds` are those of a multi-label head; none means 0.5.
    ///
    /// # Panics
    /// When the shapes do not fit.
    pub fn of(targets: &Targets, predictions: &[f64], thresholds: Option<&[f64]>) -> Metrics {
        match targets {
            Targets::Classes { labels, names } => {
                Metrics::SingleLabel(ClassMetrics::new(labels, predictions, names))
            }
            Targets::MultiLabel { marks, names } => {
                let half = vec![0.5; names.len()];
                Metrics::MultiLabel(LabelMetrics::new(marks, predictions, thresholds.unwrap_or(&half), names))
            }
            Targets::Values { values, .. } => Metrics::Regression(ValueMetrics::new(values, predictions)),
        }
    }

    /// The one-number measures by name, in the order a table shows them. `None` where undefined.
    pub fn scalars(&self) -> Vec<(&'static str, Option<f64>)> {
        match self {
            Metrics::SingleLabel(m) => vec![
                ("accuracy", Some(m.accuracy)),
                ("balanced accuracy", Some(m.balanced_accuracy)),
                ("macro F1", Some(m.macro_f1)),
                ("weighted F1", Some(m.weighted_f1)),
                ("MCC", Some(m.mcc)),
                ("log loss", Some(m.log_loss)),
                ("Brier", Some(m.brier)),
                ("ECE", Some(m.ece)),
                ("ROC AUC", m.roc_auc),
                ("average precision", m.average_precision),
            ],
            Metrics::MultiLabel(m) => vec![
                ("micro F1", Some(m.micro_f1)),
                ("macro F1", Some(m.macro_f1)),
                ("subset accuracy", Some(m.subset_accuracy)),
                ("Hamming loss", Some(m.hamming_loss)),
                ("LRAP", Some(m.lrap)),
                ("log loss", Some(m.log_loss)),
                ("ROC AUC", m.roc_auc),
                ("average precision", m.average_precision),
            ],
            Metrics::Regression(m) => {
                vec![("R2", m.r2), ("MSE", Some(m.mse)), ("MAE", Some(m.mae)), ("Spearman", m.spearman)]
            }
        }
    }
}

/// Measures of a single-label classifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    /// Rows measured.
    pub rows: usize,
    /// Share of rows whose likeliest class is right.
    pub accuracy: f64,
    /// Mean recall over the classes that have rows.
    pub balanced_accuracy: f64,
    /// Mean F1 over the classes that have rows or predictions.
    pub macro_f1: f64,
    /// Mean F1, weighted by rows.
    pub weighted_f1: f64,
    /// Matthews' correlation coefficient; zero where undefined.
    pub mcc: f64,
    /// Mean negative logarithm of the true class's probability, in nats.
    pub log_loss: f64,
    /// Mean squared distance of the probabilities to the truth, summed over classes (0 to 2).
    pub brier: f64,
    /// Expected calibration error of the likeliest class, 15 bins of equal width.
    pub ece: f64,
    /// Area under the ROC curve, one class against the rest, mean over classes; none with a single class.
    pub roc_auc: Option<f64>,
    /// Average precision, one class against the rest, mean over classes; none with a single class.
    pub average_precision: Option<f64>,
    /// Rows by true class, then by predicted class.
    pub confusion: Vec<Vec<u64>>,
    /// Precision, recall and F1 of each class.
    pub classes: Vec<ClassRow>,
}

/// Measures of one class or label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassRow {
    /// Class name.
    pub name: String,
    /// Share of the rows predicted to be of it that are; zero when none is.
    pub precision: f64,
    /// Share of its rows that are predicted to be of it; zero when it has none.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
    /// Its rows.
    pub support: u64,
}

impl ClassRow {
    fn new(name: &str, hits: u64, predicted: u64, support: u64) -> Self {
        let share = |of: u64| if of == 0 { 0.0 } else { hits as f64 / of as f64 };
        let f1 =
            if predicted + support == 0 { 0.0 } else { 2.0 * hits as f64 / (predicted + support) as f64 };
        ClassRow { name: name.to_owned(), precision: share(predicted), recall: share(support), f1, support }
    }
}

impl ClassMetrics {
    /// Measures probabilities `[rows, classes]`.
    ///
    /// # Panics
    /// When the shapes do not fit.
    pub fn new(labels: &[u32], probabilities: &[f64], names: &[String]) -> Self {
        let (rows, k) = (labels.len(), names.len());
        assert_eq!(probabilities.len(), rows * k, "probabilities are [rows, classes]");
        let mut confusion = vec![vec![0u64; k]; k];
        let (mut log_loss, mut brier) = (0.0, 0.0);
        let mut bins = [(0u64, 0u64, 0.0f64); BINS];
        for (&label, p) in labels.iter().zip(probabilities.chunks_exact(k)) {
            let label = label as usize;
            let best = argmax(p);
            confusion[label][best] += 1;
            // scikit-learn's clip: a probability of zero costs 36 nats instead of infinity.
            log_loss -= libm::log(p[label].clamp(f64::EPSILON, 1.0 - f64::EPSILON));
            brier += p.iter().enumerate().map(|(j, p)| (p - indicator(j == label)).powi(2)).sum::<f64>();
            let bin = &mut bins[((p[best] * BINS as f64) as usize).min(BINS - 1)];
            *bin = (bin.0 + 1, bin.1 + u64::from(best == label), bin.2 + p[best]);
        }
        let n = rows.max(1) as f64;
        let support = |j: usize| confusion[j].iter().sum::<u64>();
        let predicted = |j: usize| confusion.iter().map(|row| row[j]).sum::<u64>();
        let hits: u64 = (0..k).map(|j| confusion[j][j]).sum();
        let classes: Vec<ClassRow> =
            (0..k).map(|j| ClassRow::new(&names[j], confusion[j][j], predicted(j), support(j))).collect();
        let seen = || classes.iter().filter(|row| row.support > 0);
        let either = || (0..k).filter(|&j| support(j) + predicted(j) > 0);
        let one_against_rest = |measure: fn(&[f64], &[bool]) -> Option<f64>| {
            mean((0..k).filter_map(|j| {
                let scores: Vec<f64> = probabilities.iter().skip(j).step_by(k).copied().collect();
                let truth: Vec<bool> = labels.iter().map(|&label| label as usize == j).collect();
                measure(&scores, &truth)
            }))
        };
        ClassMetrics {
            rows,
            accuracy: hits as f64 / n,
            balanced_accuracy: mean(seen().map(|row| row.recall)).unwrap_or(0.0),
            macro_f1: mean(either().map(|j| classes[j].f1)).unwrap_or(0.0),
            weighted_f1: classes.iter().map(|row| row.f1 * row.support as f64).sum::<f64>() / n,
            mcc: mcc(&confusion),
            log_loss: log_loss / n,
            brier: brier / n,
            ece: bins
                .iter()
                .filter(|bin| bin.0 > 0)
                .map(|&(_, right, confidence)| (right as f64 - confidence).abs() / n)
                .sum(),
            roc_auc: one_against_rest(roc_auc),
            average_precision: one_against_rest(average_precision),
            confusion,
            classes,
        }
    }
}

/// Measures of a multi-label classifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelMetrics {
    /// Rows measured.
    pub rows: usize,
    /// F1 over all decisions together.
    pub micro_f1: f64,
    /// Mean F1 over labels.
    pub macro_f1: f64,
    /// Share of rows whose whole set is right.
    pub subset_accuracy: f64,
    /// Share of decisions that are wrong.
    pub hamming_loss: f64,
    /// Label ranking average precision.
    pub lrap: f64,
    /// Mean cross entropy of one decision, in nats.
    pub log_loss: f64,
    /// Area under the ROC curve, mean over the labels that have both answers.
    pub roc_auc: Option<f64>,
    /// Average precision, mean over the labels that have both answers.
    pub average_precision: Option<f64>,
    /// Precision, recall and F1 of each label.
    pub labels: Vec<ClassRow>,
}

impl LabelMetrics {
    /// Measures probabilities `[rows, labels]`; a label is predicted where its probability exceeds its threshold.
    ///
    /// # Panics
    /// When the shapes do not fit.
    pub fn new(marks: &[bool], probabilities: &[f64], thresholds: &[f64], names: &[String]) -> Self {
        let k = names.len();
        assert!(marks.len() == probabilities.len() && marks.len().is_multiple_of(k), "[rows, labels]");
        assert_eq!(thresholds.len(), k, "a threshold for each label");
        let rows = marks.len() / k;
        let (mut subset, mut wrong, mut log_loss, mut lrap) = (0u64, 0u64, 0.0, 0.0);
        let mut counts = vec![(0u64, 0u64, 0u64); k];
        for (marks, p) in marks.chunks_exact(k).zip(probabilities.chunks_exact(k)) {
            let mut errors = 0;
            for j in 0..k {
                let predicted = p[j] > thresholds[j];
                errors += u64::from(predicted != marks[j]);
                let (hits, predictions, support) = &mut counts[j];
                *hits += u64::from(predicted && marks[j]);
                *predictions += u64::from(predicted);
                *support += u64::from(marks[j]);
                let own = if marks[j] { p[j] } else { 1.0 - p[j] };
                log_loss -= libm::log(own.clamp(f64::EPSILON, 1.0 - f64::EPSILON));
            }
            wrong += errors;
            subset += u64::from(errors == 0);
            lrap += ranking_precision(marks, p);
        }
        let labels: Vec<ClassRow> =
            names.iter().zip(&counts).map(|(name, &(hits, p, s))| ClassRow::new(name, hits, p, s)).collect();
        let all = counts.iter().fold((0, 0, 0), |sum, c| (sum.0 + c.0, sum.1 + c.1, sum.2 + c.2));
        let each = |measure: fn(&[f64], &[bool]) -> Option<f64>| {
            mean((0..k).filter_map(|j| {
                let scores: Vec<f64> = probabilities.iter().skip(j).step_by(k).copied().collect();
                let truth: Vec<bool> = marks.iter().skip(j).step_by(k).copied().collect();
                measure(&scores, &truth)
            }))
        };
        let (n, cells) = (rows.max(1) as f64, marks.len().max(1) as f64);
        LabelMetrics {
            rows,
            micro_f1: ClassRow::new("", all.0, all.1, all.2).f1,
            macro_f1: mean(labels.iter().map(|row| row.f1)).unwrap_or(0.0),
            subset_accuracy: subset as f64 / n,
            hamming_loss: wrong as f64 / cells,
            lrap: lrap / n,
            log_loss: log_loss / cells,
            roc_auc: each(roc_auc),
            average_precision: each(average_precision),
            labels,
        }
    }
}

/// Measures of a regression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValueMetrics {
    /// Rows measured.
    pub rows: usize,
    /// Share of the variance explained; none when the truth does not vary.
    pub r2: Option<f64>,
    /// Mean squared error.
    pub mse: f64,
    /// Mean absolute error.
    pub mae: f64,
    /// Spearman's rank correlation; none when either side does not vary.
    pub spearman: Option<f64>,
}

impl ValueMetrics {
    /// Measures predicted numbers `[rows]`.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn new(values: &[f64], predictions: &[f64]) -> Self {
        assert_eq!(values.len(), predictions.len(), "a prediction for each value");
        let errors = || values.iter().zip(predictions).map(|(truth, guess)| truth - guess);
        let average = mean(values.iter().copied()).unwrap_or(0.0);
        let spread: f64 = values.iter().map(|value| (value - average).powi(2)).sum();
        let squares: f64 = errors().map(|error| error * error).sum();
        ValueMetrics {
            rows: values.len(),
            r2: (spread > 0.0).then(|| 1.0 - squares / spread),
            mse: squares / values.len().max(1) as f64,
            mae: mean(errors().map(f64::abs)).unwrap_or(0.0),
            spearman: correlation(&ranks(values), &ranks(predictions)),
        }
    }
}

/// The index of the largest value; the first of equals.
pub(crate) fn argmax(values: &[f64]) -> usize {
    (1..values.len()).fold(0, |best, at| if values[at] > values[best] { at } else { best })
}

fn indicator(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// Matthews' coefficient for any number of classes (Gorodkin 2004).
fn mcc(confusion: &[Vec<u64>]) -> f64 {
    let k = confusion.len();
    let total: f64 = confusion.iter().flatten().sum::<u64>() as f64;
    let right: f64 = (0..k).map(|j| confusion[j][j] as f64).sum();
    let truth: Vec<f64> = confusion.iter().map(|row| row.iter().sum::<u64>() as f64).collect();
    let guess: Vec<f64> = (0..k).map(|j| confusion.iter().map(|row| row[j]).sum::<u64>() as f64).collect();
    let inner = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let both = total * right - inner(&truth, &guess);
    let scale = (total * total - inner(&guess, &guess)) * (total * total - inner(&truth, &truth));
    if scale > 0.0 { both / scale.sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(k: usize) -> Vec<String> {
        (0..k).map(|j| j.to_string()).collect()
    }

    #[test]
    fn undefined_measures_are_said_to_be_so() {
        let m = ClassMetrics::new(&[1, 1], &[0.3, 0.7, 0.6, 0.4], &names(2));
        assert_eq!((m.roc_auc, m.average_precision, m.mcc), (None, None, 0.0));
        assert_eq!((m.accuracy, m.balanced_accuracy), (0.5, 0.5));
        let m = ValueMetrics::new(&[2.0, 2.0], &[1.0, 3.0]);
        assert_eq!((m.r2, m.spearman, m.mse, m.mae), (None, None, 1.0, 1.0));
    }

    #[test]
    fn ties_and_order_are_handled() {
        assert_eq!(argmax(&[0.5, 0.5]), 0);
        let m = ValueMetrics::new(&[1.0, 2.0, 3.0, 4.0], &[1.0, 4.0, 9.0, 16.0]);
        assert_eq!(m.spearman, Some(1.0));
        let m = ValueMetrics::new(&[1.0, 2.0, 3.0, 4.0], &[1.5, 2.5, 2.5, 4.0]);
        assert!((m.r2.unwrap() - 0.85).abs() <= 1e-12);
    }
}
