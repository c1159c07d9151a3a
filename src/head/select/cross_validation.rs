//! Predictions of models that had not seen the row, what they measure, and what is chosen on them.

use super::fit::{Fitted, joint_loss};
use super::regularization_path::{PathPoint, RegularizationPath};
use crate::head::data::split::Split;
use crate::head::data::targets::Problem;
use crate::head::data::targets::Targets;
use crate::head::data::targets::TrainData;
use crate::head::measure::calibration::Calibration;
use crate::head::measure::estimate::Estimate;
use crate::head::measure::metrics::Metrics;
use crate::head::measure::thresholds;
use crate::head::measure::warnings::Warning;
use crate::head::model::head::{Head, expand, to_probabilities};
use crate::head::options::CalibrationKind;

/// Predictions for rows that the model had not seen.
#[derive(Clone, Debug, serde::Serialize)]
pub struct CrossValidation {
    /// The folds.
    pub splits: Vec<Split>,
    /// Every value of `C` tried and its score; one entry without a value for a kind that has no `C`.
    pub path: Vec<PathPoint>,
    /// The value chosen.
    pub c: Option<f64>,
    /// Measures of each fold.
    pub folds: Vec<Metrics>,
    /// Mean and interval of each measure over folds.
    pub summary: Vec<(String, Estimate)>,
    /// Probabilities (of a regression: values) of each row of the first repeat, `[rows, names]`, calibrated as the
    /// head is.
    pub predictions: Vec<f64>,
    /// What the folds had too few rows for.
    pub warnings: Vec<Warning>,
}

impl CrossValidation {
    /// Gives values of `C` for weights that were divided by `unit` as values for the weights that were given.
    pub(crate) fn divide_c(&mut self, unit: f64) {
        let of_points = self.path.iter_mut().map(|point| &mut point.c);
        of_points.chain([&mut self.c]).flatten().for_each(|c| *c /= unit);
    }
}

impl RegularizationPath {
    /// Calibrates the head and chooses its thresholds on out-of-fold predictions, and measures them.
    pub(crate) fn finish(self, data: &TrainData, kind: CalibrationKind, head: &mut Head) -> CrossValidation {
        let mut warnings = self.warnings(data);
        let (problem, names, width) = (head.problem, head.names.len(), head.model.outputs());
        let loss = joint_loss(&data.targets);
        let (mut all_rows, mut logits) = (Vec::new(), Vec::new());
        // What to calibrate on: a class that was never seen says nothing about how sure to be.
        let (mut known_rows, mut known_logits) = (Vec::new(), Vec::new());
        for ((split, fit), seen) in self.splits.iter().zip(self.fits.iter()).zip(&self.seen) {
            let own: Vec<f64> = Fitted::logits(fit, data, &split.test);
            for (&row, logits) in split.test.iter().zip(own.chunks_exact(width)) {
                if seen.has_target(&loss, row) {
                    known_rows.push(row);
                    known_logits.extend_from_slice(logits);
                }
            }
            all_rows.extend_from_slice(&split.test);
            logits.extend(own);
        }
        if !known_rows.is_empty() {
            let targets = data.targets.select_rows(&known_rows);
            let weights = data.weights_of(&known_rows);
            head.calibration =
                Calibration::fit(kind, &known_logits, &joint_loss(&targets), weights.as_deref());
        }
        head.calibration.apply(&mut logits);
        let mut predictions = expand(&logits, problem, names);
        to_probabilities(&mut predictions, problem, names);
        let targets = data.targets.select_rows(&all_rows);
        if let Targets::MultiLabel { marks, .. } = &targets {
            // Rows of weight zero say nothing.
            let counted: Vec<u32> = (0..data.rows() as u32)
                .filter(|&row| data.weights.as_ref().is_none_or(|weights| weights[row as usize] > 0.0))
                .collect();
            let with = data.targets.select_rows(&counted).counts();
            let counts: Vec<(usize, usize)> =
                with.into_iter().map(|with| (with, counted.len() - with)).collect();
            let weights = data.weights_of(&all_rows);
            head.thresholds = thresholds::choose(marks, &predictions, weights.as_deref(), &counts);
            for (name, &(with, without)) in head.names.iter().zip(&counts) {
                let (rows, enough) = (with.min(without), thresholds::ENOUGH);
                if rows < enough {
                    warnings.push(Warning::NoThreshold { name: name.clone(), rows, enough });
                }
            }
        }
        let thresholds = (problem == Problem::MultiLabel).then_some(&head.thresholds[..]);
        let mut from = 0;
        let mut folds = Vec::with_capacity(self.splits.len());
        for split in &self.splits {
            let to = from + split.test.len();
            let of_fold = &predictions[from * names..to * names];
            folds.push(Metrics::of(&data.targets.select_rows(&split.test), of_fold, thresholds));
            from = to;
        }
        // The first repeat holds every row once.
        let mut in_order = vec![0.0; data.rows() * names];
        for (&row, prediction) in all_rows.iter().zip(predictions.chunks_exact(names)).take(data.rows()) {
            in_order[row as usize * names..][..names].copy_from_slice(prediction);
        }
        let c = self.chosen().c;
        let summary = summarise(&folds);
        CrossValidation {
            c,
            splits: self.splits,
            path: self.points,
            folds,
            summary,
            predictions: in_order,
            warnings,
        }
    }
}

/// Mean and interval of each measure that every fold has.
pub(crate) fn summarise(folds: &[Metrics]) -> Vec<(String, Estimate)> {
    let scalars: Vec<_> = folds.iter().map(Metrics::scalars).collect();
    let names: Vec<&str> =
        scalars.first().map_or(vec![], |first| first.iter().map(|(name, _)| *name).collect());
    (names.into_iter().enumerate())
        .filter_map(|(at, name)| {
            let values: Option<Vec<f64>> = scalars.iter().map(|fold| fold[at].1).collect();
            values.map(|values| (name.to_owned(), Estimate::over(&values)))
        })
        .collect()
}
