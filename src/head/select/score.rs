//! What cross-validation minimises, and what of a held-out row can be scored at all.

use crate::head::data::targets::Problem;
use crate::head::data::targets::TrainData;
use crate::head::measure::metrics::argmax;
use crate::head::numeric::loss::Loss;
use crate::head::options::SelectBy;
use crate::head::select::fit::joint_loss;
use crate::names::named;

/// Which answers a model had examples of. What it never saw, it cannot get right: the less it is held back by a penalty, the
/// surer it is of something else. Such answers say nothing about which penalty is best, and are left out of the score.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Of each output, whether rows without and with it were seen.
    answers: Vec<[bool; 2]>,
}

impl Seen {
    /// Among the rows named; rows of weight zero do not count.
    pub(crate) fn among(data: &TrainData, rows: &[u32]) -> Self {
        let loss = joint_loss(&data.targets);
        let mut answers = vec![[false; 2]; loss.outputs()];
        let counts = |row: u32| data.weights.as_ref().is_none_or(|weights| weights[row as usize] > 0.0);
        for &row in rows.iter().filter(|&&row| counts(row)) {
            match loss {
                Loss::Softmax { labels, .. } => answers[labels[row as usize] as usize][1] = true,
                Loss::Squared { .. } => answers[0] = [true; 2],
                _ => {
                    for (output, answers) in answers.iter_mut().enumerate() {
                        answers[usize::from(loss.target(row as usize, output) > 0.0)] = true;
                    }
                }
            }
        }
        Seen { answers }
    }

    /// Whether the target of `row` on `output` can be scored; for classes, whether the row can.
    fn has(&self, loss: &Loss, row: u32, output: usize) -> bool {
        match *loss {
            Loss::Softmax { labels, .. } => self.answers[labels[row as usize] as usize][1],
            Loss::Logistic { labels } => self.answers[0][labels[row as usize] as usize],
            _ => self.answers[output] == [true; 2],
        }
    }

    /// Whether there were examples of all that the row's target says.
    pub(crate) fn has_target(&self, loss: &Loss, row: u32) -> bool {
        let of_output = |output| self.answers[output][usize::from(loss.target(row as usize, output) > 0.0)];
        match loss {
            Loss::Sigmoid { .. } => (0..loss.outputs()).all(of_output),
            _ => self.has(loss, row, 0),
        }
    }

    /// Names that rows have and that cannot be scored there, as indices.
    pub(crate) fn missing(&self, loss: &Loss, rows: &[u32]) -> Vec<usize> {
        let mut missing: Vec<usize> = match *loss {
            Loss::Softmax { labels, .. } | Loss::Logistic { labels } => rows
                .iter()
                .filter(|&&row| !self.has(loss, row, 0))
                .map(|&row| labels[row as usize] as usize)
                .collect(),
            Loss::Squared { .. } => vec![],
            _ => (0..loss.outputs()).filter(|&output| self.answers[output] != [true; 2]).collect(),
        };
        missing.sort_unstable();
        missing.dedup();
        missing
    }
}

/// Mean loss of uncalibrated logits, or share of wrong answers, over rows weighted by their own weights; none when nothing
/// can be scored.
pub(crate) fn score_of(
    data: &TrainData,
    rows: &[u32],
    logits: &[f64],
    by: SelectBy,
    seen: &Seen,
) -> Option<f64> {
    let (mut sum, mut total) = (0.0, 0.0);
    for (&row, value) in rows.iter().zip(row_scores(data, rows, logits, by, seen)) {
        let weight = data.weights.as_ref().map_or(1.0, |weights| weights[row as usize]);
        if let Some(value) = value {
            sum += weight * value;
            total += weight;
        }
    }
    // A fold may hold nothing but rows of weight zero.
    (total > 0.0).then(|| sum / total)
}

/// The loss of each row's logits, or whether the answer is wrong; none where it cannot be scored.
pub(crate) fn row_scores(
    data: &TrainData,
    rows: &[u32],
    logits: &[f64],
    by: SelectBy,
    seen: &Seen,
) -> Vec<Option<f64>> {
    let loss = joint_loss(&data.targets);
    let width = loss.outputs();
    let mut own = vec![0.0; width];
    let score = |(&row, logits): (&u32, &[f64])| {
        if let Loss::Sigmoid { marks, outputs } = loss {
            let scored = || (0..width).filter(|&label| seen.has(&loss, row, label));
            let count = scored().count();
            let of_label = |label: usize| {
                let mark = marks[row as usize * outputs + label];
                match by {
                    SelectBy::Accuracy => f64::from(u8::from((logits[label] > 0.0) != mark)),
                    SelectBy::LogLoss => {
                        Loss::OneLabel { marks, outputs, label }.row(row as usize, &mut [logits[label]])
                    }
                }
            };
            let sum: f64 = scored().map(of_label).sum();
            let per = if by == SelectBy::Accuracy { count as f64 } else { 1.0 };
            return (count > 0).then(|| sum / per);
        }
        seen.has(&loss, row, 0).then(|| match (by, &loss) {
            (SelectBy::Accuracy, Loss::Softmax { .. }) => 1.0 - loss.target(row as usize, argmax(logits)),
            (SelectBy::Accuracy, Loss::Logistic { .. }) => {
                f64::from(u8::from((logits[0] > 0.0) != (loss.target(row as usize, 0) > 0.0)))
            }
            _ => {
                own.copy_from_slice(logits);
                loss.row(row as usize, &mut own)
            }
        })
    };
    rows.iter().zip(logits.chunks_exact(width)).map(score).collect()
}

/// What a score is that the smaller is the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LossKind {
    /// Mean log loss over rows.
    LogLoss,
    /// Share of wrong decisions.
    ErrorRate,
    /// Mean squared error of numbers, in their unit squared.
    SquaredError,
}

impl LossKind {
    pub(crate) fn of(problem: Problem, select_by: SelectBy) -> Self {
        match (problem, select_by) {
            (Problem::Regression, _) => LossKind::SquaredError,
            (_, SelectBy::LogLoss) => LossKind::LogLoss,
            (_, SelectBy::Accuracy) => LossKind::ErrorRate,
        }
    }

    /// Its name in messages and reports.
    pub fn name(self) -> &'static str {
        self.label()
    }
}

named! { LossKind, "loss",
    "log loss", "Mean log loss over rows" => LossKind::LogLoss, LossKind::LogLoss,
    "error rate", "Share of wrong decisions" => LossKind::ErrorRate, LossKind::ErrorRate,
    "mean squared error", "Of numbers, in their unit squared" => LossKind::SquaredError, LossKind::SquaredError,
}

impl serde::Serialize for LossKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The mean; NaN of nothing.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::data::matrix::Matrix;
    use crate::head::data::targets::Targets;

    fn data(targets: Targets) -> TrainData<'static> {
        let rows = targets.rows();
        TrainData::new(Matrix::from_parts(vec![0.0; rows], rows, 1), targets)
    }

    #[test]
    fn what_was_never_seen_is_not_scored() {
        let classes = data(Targets::classes(&["a", "b", "c", "a"]));
        let seen = Seen::among(&classes, &[0, 1]);
        let scores = row_scores(&classes, &[2, 3], &[0.0; 6], SelectBy::LogLoss, &seen);
        assert!(scores[0].is_none() && (scores[1].unwrap() - 3f64.ln()).abs() <= 1e-12, "{scores:?}");
        assert_eq!(seen.missing(&joint_loss(&classes.targets), &[2, 3]), [2]);
        let weighted = TrainData { weights: Some(vec![0.0, 1.0, 1.0, 1.0]), ..classes.clone() };
        let seen = Seen::among(&weighted, &[0, 1]);
        assert_eq!(score_of(&weighted, &[3], &[0.0; 3], SelectBy::LogLoss, &seen), None, "weight zero");

        let labels = data(Targets::multi_label(&[vec!["x", "y"], vec!["y"], vec!["x"], vec![]]));
        let seen = Seen::among(&labels, &[0, 1]);
        // Every row seen bears y: only x counts.
        let scores = row_scores(&labels, &[2, 3], &[1.0, 9.0, 1.0, 9.0], SelectBy::Accuracy, &seen);
        assert_eq!(scores, [Some(0.0), Some(1.0)]);
        assert_eq!(seen.missing(&joint_loss(&labels.targets), &[2, 3]), [1]);
    }
}
