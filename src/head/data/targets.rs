//! What each row should give, and all of it together.

use std::collections::BTreeSet;

use super::matrix::Matrix;
use crate::error::{Error, Result};

/// What kind of question a head answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Problem {
    /// One class of several: probabilities sum to one.
    SingleLabel,
    /// Any number of labels: a probability of its own for each.
    MultiLabel,
    /// A number.
    Regression,
}

/// What each row should give.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Targets {
    /// One class a row.
    Classes {
        /// Class of each row, an index into `names`.
        labels: Vec<u32>,
        /// Class names.
        names: Vec<String>,
    },
    /// Any number of labels a row.
    MultiLabel {
        /// Whether row i bears label k, `[rows, names]`.
        marks: Vec<bool>,
        /// Label names.
        names: Vec<String>,
    },
    /// A number a row.
    Values {
        /// The numbers, `[rows]`.
        values: Vec<f64>,
        /// What the number is called.
        name: String,
    },
}

impl Targets {
    /// Classes by name, one a row. Names are sorted: as numbers when all are integers, else as text.
    ///
    /// ```
    /// # use frostbert::head::Targets;
    /// let Targets::Classes { labels, names } = Targets::classes(&["10", "9", "10"]) else { unreachable!() };
    /// assert_eq!((names, labels), (vec!["9".into(), "10".into()], vec![1, 0, 1]));
    /// ```
    pub fn classes<S: AsRef<str>>(rows: &[S]) -> Targets {
        let names = sorted_names(rows.iter().map(AsRef::as_ref));
        let labels = rows.iter().map(|row| index_of(&names, row.as_ref())).collect();
        Targets::Classes { labels, names }
    }

    /// Sets of labels by name, one set a row.
    pub fn multi_label<S: AsRef<str>>(rows: &[Vec<S>]) -> Targets {
        let names = sorted_names(rows.iter().flatten().map(AsRef::as_ref));
        let mut marks = vec![false; rows.len() * names.len()];
        for (row, marks) in rows.iter().zip(marks.chunks_exact_mut(names.len().max(1))) {
            for label in row {
                marks[index_of(&names, label.as_ref()) as usize] = true;
            }
        }
        Targets::MultiLabel { marks, names }
    }

    /// Numbers, one a row.
    pub fn values(values: Vec<f64>, name: impl Into<String>) -> Targets {
        Targets::Values { values, name: name.into() }
    }

    /// Which problem this is.
    pub fn problem(&self) -> Problem {
        match self {
            Targets::Classes { .. } => Problem::SingleLabel,
            Targets::MultiLabel { .. } => Problem::MultiLabel,
            Targets::Values { .. } => Problem::Regression,
        }
    }

    /// Names of what comes out: classes, labels, or the one number.
    pub fn names(&self) -> &[String] {
        match self {
            Targets::Classes { names, .. } | Targets::MultiLabel { names, .. } => names,
            Targets::Values { name, .. } => std::slice::from_ref(name),
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Targets::Classes { labels, .. } => labels.len(),
            Targets::MultiLabel { marks, names } => marks.len() / names.len().max(1),
            Targets::Values { values, .. } => values.len(),
        }
    }

    /// The targets of the rows named, with the same names.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn select_rows(&self, rows: &[u32]) -> Targets {
        match self {
            Targets::Classes { labels, names } => Targets::Classes {
                labels: rows.iter().map(|&row| labels[row as usize]).collect(),
                names: names.clone(),
            },
            Targets::MultiLabel { marks, names } => {
                let k = names.len();
                let marks = rows.iter().flat_map(|&row| &marks[row as usize * k..(row as usize + 1) * k]);
                Targets::MultiLabel { marks: marks.copied().collect(), names: names.clone() }
            }
            Targets::Values { values, name } => Targets::Values {
                values: rows.iter().map(|&row| values[row as usize]).collect(),
                name: name.clone(),
            },
        }
    }

    /// Rows that each name has; of numbers, all.
    pub(crate) fn counts(&self) -> Vec<usize> {
        match self {
            Targets::Classes { labels, names } => {
                let mut counts = vec![0; names.len()];
                labels.iter().for_each(|&label| counts[label as usize] += 1);
                counts
            }
            Targets::MultiLabel { marks, names } => {
                let count = |k| marks.iter().skip(k).step_by(names.len()).filter(|&&mark| mark).count();
                (0..names.len()).map(count).collect()
            }
            Targets::Values { values, .. } => vec![values.len()],
        }
    }

    /// Mean and spread of the numbers to predict among the rows named: an MLP's learning rate is made for targets of size
    /// one. Classes and labels are that already. `weights` are those of all rows.
    pub(crate) fn size(&self, rows: &[u32], weights: Option<&[f64]>) -> (f64, f64) {
        let Targets::Values { values, .. } = self else { return (0.0, 1.0) };
        let weights = weights.filter(|weights| rows.iter().any(|&row| weights[row as usize] > 0.0));
        let weight = |row: u32| weights.map_or(1.0, |weights| weights[row as usize]);
        let count: f64 = rows.iter().map(|&row| weight(row)).sum();
        let mean = rows.iter().map(|&row| weight(row) * values[row as usize]).sum::<f64>() / count;
        let square = |&row: &u32| weight(row) * (values[row as usize] - mean).powi(2);
        let spread = rows.iter().map(square).sum::<f64>() / count;
        (mean, if spread > 0.0 { spread.sqrt() } else { 1.0 })
    }

    /// The same with numbers `(number - mean) / scale`.
    pub(crate) fn scaled(mut self, mean: f64, scale: f64) -> Targets {
        if let Targets::Values { values, .. } = &mut self {
            values.iter_mut().for_each(|value| *value = (*value - mean) / scale);
        }
        self
    }

    /// What stratified splits keep in proportion: the class, or the set of labels. Numbers have no strata.
    pub(crate) fn strata(&self) -> Vec<u32> {
        match self {
            Targets::Classes { labels, .. } => labels.clone(),
            Targets::MultiLabel { marks, names } => {
                let sets: Vec<&[bool]> = marks.chunks_exact(names.len().max(1)).collect();
                let kinds: BTreeSet<&[bool]> = sets.iter().copied().collect();
                let kinds: Vec<&[bool]> = kinds.into_iter().collect();
                sets.iter().map(|set| kinds.partition_point(|kind| kind < set) as u32).collect()
            }
            Targets::Values { values, .. } => vec![0; values.len()],
        }
    }
}

/// Mean of the weights above zero.
fn mean_weight(weights: &[f64]) -> f64 {
    // By the largest, so that the sum stays in range.
    let largest = weights.iter().copied().fold(0.0, f64::max);
    let counted: Vec<f64> = weights.iter().filter(|w| **w > 0.0).map(|w| w / largest).collect();
    if counted.is_empty() { 1.0 } else { largest * (counted.iter().sum::<f64>() / counted.len() as f64) }
}

/// Divides weights by the power of two nearest to their mean, and returns it.
pub(crate) fn unit_weights(weights: &mut [f64]) -> f64 {
    let unit = libm::exp2(libm::log2(mean_weight(weights)).round().clamp(-1000.0, 1000.0));
    weights.iter_mut().for_each(|weight| *weight /= unit);
    unit
}

fn sorted_names<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names: BTreeSet<&str> = names.collect();
    let mut names: Vec<&str> = names.into_iter().collect();
    if names.iter().all(|name| name.parse::<i64>().is_ok()) {
        // "07" and "7" are two names of one number: the text decides, so that the order is total.
        names.sort_by_key(|name| (name.parse::<i64>().unwrap_or_default(), *name));
    }
    names.into_iter().map(str::to_owned).collect()
}

fn index_of(names: &[String], name: &str) -> u32 {
    names.iter().position(|known| known == name).expect("names were collected from these rows") as u32
}

/// The largest number that can be predicted.
const LARGEST_TARGET: f64 = 1e140;

/// Embeddings, targets, and what else is known of each row.
#[derive(Clone, Debug)]
pub struct TrainData<'a> {
    /// Embeddings, `[rows, d]`.
    pub embeddings: Matrix<'a>,
    /// What each row should give.
    pub targets: Targets,
    /// Weight of each row: one of weight two counts as two rows, in the loss, the standardisation, balanced classes, the score that
    /// chooses `C`, calibration and thresholds. Measures count every row once. None means one each.
    pub weights: Option<Vec<f64>>,
    /// Group of each row: rows of one group never part in a split (the same author, document, patient).
    pub groups: Option<Vec<u32>>,
}

impl<'a> TrainData<'a> {
    /// Rows of equal weight, without groups.
    pub fn new(embeddings: Matrix<'a>, targets: Targets) -> Self {
        TrainData { embeddings, targets, weights: None, groups: None }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.embeddings.rows()
    }

    /// The same data without a copy of the embeddings.
    pub fn view(&self) -> TrainData<'_> {
        TrainData {
            embeddings: self.embeddings.view(),
            targets: self.targets.clone(),
            weights: self.weights.clone(),
            groups: self.groups.clone(),
        }
    }

    /// The same data with weights divided by the power of two nearest to their mean, and that power: what is fitted must not
    /// depend on the weights' unit, nor leave the range of numbers for it. A power of two rounds nothing.
    pub(crate) fn with_unit_weights(&self) -> (TrainData<'_>, f64) {
        let mut data = self.view();
        let unit = data.weights.as_mut().map_or(1.0, |weights| unit_weights(weights));
        (data, unit)
    }

    /// Weights of the rows named; none where all count the same.
    pub(crate) fn weights_of(&self, rows: &[u32]) -> Option<Vec<f64>> {
        self.weights.as_ref().map(|weights| rows.iter().map(|&row| weights[row as usize]).collect())
    }

    /// Whether some row counts more than another.
    pub(crate) fn weights_differ(&self) -> bool {
        self.weights.as_ref().is_some_and(|weights| weights.windows(2).any(|pair| pair[0] != pair[1]))
    }

    /// Mean weight of the rows that count.
    pub(crate) fn mean_weight(&self) -> f64 {
        self.weights.as_ref().map_or(1.0, |weights| mean_weight(weights))
    }

    /// Weighted mean and standard deviation of the numbers to predict; 0 and 1 of classes, labels and numbers that do not vary.
    pub(crate) fn target_scale(&self) -> (f64, f64) {
        let Targets::Values { values, .. } = &self.targets else { return (0.0, 1.0) };
        let weight = |row: usize| self.weights.as_ref().map_or(1.0, |weights| weights[row]);
        let total: f64 = (0..values.len()).map(weight).sum();
        let mean = values.iter().enumerate().map(|(row, v)| weight(row) * v).sum::<f64>() / total;
        // The largest distance comes first, so that no square leaves the range of numbers.
        let off = |row: usize| (values[row] - mean).abs();
        let largest = (0..values.len()).filter(|&row| weight(row) > 0.0).map(off).fold(0.0, f64::max);
        if !(largest > 1e-13 * mean.abs()) {
            return (mean, 1.0);
        }
        let square = |row: usize| weight(row) * (off(row) / largest).powi(2);
        (mean, largest * ((0..values.len()).map(square).sum::<f64>() / total).sqrt())
    }

    /// A copy of the rows named, in that order.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn select_rows(&self, rows: &[u32]) -> TrainData<'static> {
        TrainData {
            embeddings: self.embeddings.select_rows(rows),
            targets: self.targets.select_rows(rows),
            weights: self.weights.as_ref().map(|all| rows.iter().map(|&row| all[row as usize]).collect()),
            groups: self.groups.as_ref().map(|all| rows.iter().map(|&row| all[row as usize]).collect()),
        }
    }

    /// Checks that the parts belong together and that there is something to learn.
    ///
    /// # Errors
    /// The input: no rows or columns, targets, weights or groups of another length, labels out of range,
    /// fewer than two classes that have rows, a weight or value that is negative or not finite.
    pub fn check(&self) -> Result<()> {
        let rows = self.rows();
        if rows == 0 || self.embeddings.columns() == 0 {
            return fail(format!(
                "expected at least one row and one column, found {rows} rows of {} columns",
                self.embeddings.columns()
            ));
        }
        self.check_parts()?;
        let names = self.targets.names();
        match &self.targets {
            Targets::Classes { labels, names } => {
                let seen: BTreeSet<u32> = labels.iter().copied().collect();
                if seen.len() < 2 {
                    let only = seen.first().map_or("none", |&label| &names[label as usize]);
                    return fail(format!(
                        "expected at least two classes, found only one ({only:?}): check the label column"
                    ));
                }
                if let Some(name) = (0..names.len() as u32).find(|class| !seen.contains(class)) {
                    return fail(format!("class {:?} has no row", names[name as usize]));
                }
            }
            Targets::MultiLabel { .. } => {
                if names.is_empty() {
                    return fail("no row bears any label: check the label column".into());
                }
                for (name, count) in names.iter().zip(self.targets.counts()) {
                    if count == 0 || count == rows {
                        return fail(format!(
                            "label {name:?} is on {count} of {rows} rows: there is nothing to learn about it"
                        ));
                    }
                }
            }
            Targets::Values { values, .. } => {
                if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                    return fail(format!("expected finite target values, found {} in row {at}", values[at]));
                }
                // Their squares are summed.
                if let Some(at) = values.iter().position(|value| value.abs() > LARGEST_TARGET) {
                    return fail(format!(
                        "expected target values up to {LARGEST_TARGET:e} in size, found {:e} in row {at}: use another unit",
                        values[at]
                    ));
                }
            }
        }
        Ok(())
    }

    /// Checks that the parts belong together, whether or not there is anything to learn.
    pub(crate) fn check_parts(&self) -> Result<()> {
        let rows = self.rows();
        for (what, len) in [
            ("targets", self.targets.rows()),
            ("sample weights", self.weights.as_ref().map_or(rows, Vec::len)),
            ("groups", self.groups.as_ref().map_or(rows, Vec::len)),
        ] {
            if len != rows {
                return fail(format!("expected one of {what} for each of {rows} rows, found {len}"));
            }
        }
        if let Some(weights) = &self.weights {
            if let Some(at) = weights.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
                return fail(format!(
                    "expected sample weights of zero or more, found {} in row {at}",
                    weights[at]
                ));
            }
            if rows > 0 && !weights.iter().any(|weight| *weight > 0.0) {
                return fail("all sample weights are zero".into());
            }
        }
        let names = self.targets.names();
        let mut sorted: Vec<&String> = names.iter().collect();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return fail(format!("the name {:?} is there twice", pair[0]));
        }
        if let Targets::Classes { labels, names } = &self.targets
            && let Some(at) = labels.iter().position(|&label| label as usize >= names.len())
        {
            return fail(format!(
                "row {at} has class {}, but there are only {} class names",
                labels[at],
                names.len()
            ));
        }
        Ok(())
    }
}

fn fail(message: String) -> Result<()> {
    Err(Error::input(format!("training a head: {message}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_training_data_is_told_apart() {
        let embeddings = || Matrix::new(3, 1, vec![0.0, 1.0, 2.0]).unwrap();
        let message = |data: TrainData| data.check().unwrap_err().to_string();
        let good = TrainData::new(embeddings(), Targets::classes(&["a", "b", "a"]));
        good.check().unwrap();
        assert!(
            message(TrainData::new(embeddings(), Targets::classes(&["a"; 3]))).contains("only one (\"a\")")
        );
        assert!(
            message(TrainData::new(embeddings(), Targets::classes(&["a", "b"]))).contains("3 rows, found 2")
        );
        assert!(
            message(TrainData { weights: Some(vec![1.0, f64::NAN, 1.0]), ..good.clone() })
                .contains("NaN in row 1")
        );
        assert!(message(TrainData { weights: Some(vec![0.0; 3]), ..good.clone() }).contains("all sample"));
        let targets = Targets::Classes { labels: vec![0, 1, 2], names: vec!["a".into(), "b".into()] };
        assert!(message(TrainData::new(embeddings(), targets)).contains("class 2"));
        let targets = Targets::multi_label(&[vec!["x"], vec!["x", "y"], vec!["x"]]);
        assert!(message(TrainData::new(embeddings(), targets)).contains("\"x\" is on 3 of 3"));
        let targets = Targets::values(vec![0.0, f64::INFINITY, 0.0], "stars");
        assert!(message(TrainData::new(embeddings(), targets)).contains("inf in row 1"));
    }

    #[test]
    fn strata_are_classes_or_sets_of_labels() {
        assert_eq!(Targets::classes(&["b", "a", "b"]).strata(), [1, 0, 1]);
        let targets = Targets::multi_label(&[vec!["x"], vec![], vec!["y", "x"], vec!["x"]]);
        assert_eq!(targets.strata(), [1, 0, 2, 1]);
    }
}
