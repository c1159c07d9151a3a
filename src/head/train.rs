//! Training: choose `C` by cross-validation, fit on all rows, calibrate on out-of-fold predictions.

use std::sync::OnceLock;

use super::calibrate::{Calibration, CalibrationKind};
use super::data::{Problem, Targets, TrainData};
use super::evaluate::{Estimate, Metrics, argmax};
use super::linear::{self, Curvature, Design, Linear};
use super::loss::Loss;
use super::model::{Head, Model, Record, expand, linear_outputs, to_probabilities};
use super::options::{ClassWeight, SelectBy, Strength, TrainOptions};
use super::parallel;
use super::split::Split;
use super::standardise::Standardisation;
use crate::Result;

/// How far training has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress<'a> {
    /// What is being done.
    pub stage: &'a str,
    /// Pieces done.
    pub done: usize,
    /// Pieces in all; fewer may be needed.
    pub total: usize,
}

/// A trained head and how it was found.
#[derive(Clone, Debug)]
pub struct Training {
    /// The head, trained on all rows.
    pub head: Head,
    /// Out-of-fold predictions and measures; none when nothing asked for folds.
    pub cross_validation: Option<CrossValidation>,
    /// Value of the objective, summed over the parts that are fitted on their own.
    pub objective: f64,
    /// Passes over the data that the last fit took.
    pub passes: usize,
    /// Whether the fit reached its optimum.
    pub converged: bool,
}

/// Predictions for rows that the model had not seen.
#[derive(Clone, Debug)]
pub struct CrossValidation {
    /// The folds.
    pub splits: Vec<Split>,
    /// Every value tried and its score: the smaller the better.
    pub path: Vec<PathPoint>,
    /// The value chosen.
    pub c: f64,
    /// Measures of each fold.
    pub folds: Vec<Metrics>,
    /// Mean and interval of each measure over folds.
    pub summary: Vec<(String, Estimate)>,
    /// Probabilities (of a regression: values) of each row of the first repeat, `[rows, names]`, calibrated as the
    /// head is.
    pub predictions: Vec<f64>,
}

/// One value of `C`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PathPoint {
    /// The value.
    pub c: f64,
    /// What was minimised, over the folds.
    pub score: Estimate,
}

impl Head {
    /// Trains a head.
    ///
    /// # Errors
    /// The input, when the data do not fit together or there is nothing to learn ([`TrainData::check`]), an option
    /// is out of range, or there are too few rows for the folds.
    ///
    /// ```
    /// use frostbert::head::{Head, Matrix, Strength, Targets, TrainData, TrainOptions};
    /// let embeddings = Matrix::new(4, 2, vec![0.0, 1.0, 0.1, 0.9, 1.0, 0.0, 0.9, 0.1])?;
    /// let data = TrainData::new(embeddings, Targets::classes(&["bad", "bad", "good", "good"]));
    /// let options = TrainOptions { c: Strength::Fixed(10.0), ..Default::default() };
    /// let head = Head::train(&data, &options, &mut |_| {})?.head;
    /// let p = head.predict_proba(&Matrix::new(1, 2, vec![1.0, 0.1])?)?;
    /// assert!(p[1] > 0.8);
    /// # Ok::<(), frostbert::Error>(())
    /// ```
    pub fn train(
        data: &TrainData,
        options: &TrainOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Training> {
        data.check()?;
        options.check()?;
        let path = options.needs_folds().then(|| Path::run(data, options, progress)).transpose()?;
        let c = match (options.c, &path) {
            (Strength::Fixed(c), _) => c,
            (Strength::Auto, Some(path)) => path.chosen().c,
            (Strength::Auto, None) => unreachable!("an automatic C asks for folds"),
        };
        progress(Progress { stage: "fitting", done: 0, total: 1 });
        let rows: Vec<u32> = (0..data.rows() as u32).collect();
        let fitted = Fitted::new(data, &rows, c, options, options.tolerance, None, None);
        let problem = data.targets.problem();
        let mut head = Head {
            problem,
            names: data.targets.names().to_vec(),
            dimension: data.embeddings.columns(),
            calibration: Calibration::identity(fitted.linear.intercepts.len()),
            thresholds: vec![
                0.5;
                if problem == Problem::MultiLabel { data.targets.names().len() } else { 0 }
            ],
            standardisation: options.standardise.then(|| fitted.standardisation.clone()),
            model: Model::Linear(fitted.linear.clone()),
            record: Record {
                settings: Some(options.clone()),
                train_rows: data.rows(),
                c: Some(c),
                ..Record::default()
            },
        };
        let cross_validation = path.map(|path| path.finish(data, options.calibration, &mut head));
        progress(Progress { stage: "fitting", done: 1, total: 1 });
        let Fitted { objective, passes, converged, .. } = fitted;
        Ok(Training { head, cross_validation, objective, passes, converged })
    }
}

/// A linear model of some rows.
#[derive(Clone, Debug)]
struct Fitted {
    /// Over standardised features.
    linear: Linear,
    /// Means are taken off in any case; without standardisation the intercepts already account for them.
    standardisation: Standardisation,
    /// The solver's coordinates of each part.
    warm: Vec<Vec<f64>>,
    objective: f64,
    passes: usize,
    converged: bool,
}

impl Fitted {
    /// Fits each part of the problem: all classes together, or label by label.
    fn new(
        data: &TrainData,
        rows: &[u32],
        c: f64,
        options: &TrainOptions,
        tolerance: f64,
        warm: Option<&[Vec<f64>]>,
        curvatures: Option<&[OnceLock<Curvature>]>,
    ) -> Self {
        let mut standardisation = if options.standardise {
            Standardisation::fit(&data.embeddings, rows)
        } else {
            Standardisation::centring(&data.embeddings, rows)
        };
        let mut linear = Linear { coefficients: vec![], intercepts: vec![] };
        let (mut starts, mut objective, mut passes, mut converged) = (vec![], 0.0, 0, true);
        for (part, loss) in losses(&data.targets).into_iter().enumerate() {
            let weights = row_weights(data, rows, &loss, options.class_weight);
            let design = Design {
                x: &data.embeddings,
                rows,
                weights: &weights,
                loss,
                standardisation: &standardisation,
            };
            let own = OnceLock::new();
            let curvature = design
                .is_stiff(c)
                .then(|| curvatures.map_or(&own, |all| &all[part]).get_or_init(|| Curvature::new(&design)));
            let start = warm.map(|starts| &starts[part][..]);
            let fit = linear::fit(&design, c, curvature, start, tolerance);
            linear.coefficients.extend(fit.linear.coefficients);
            linear.intercepts.extend(fit.linear.intercepts);
            starts.push(fit.warm);
            objective += fit.objective;
            passes += fit.passes;
            converged &= fit.converged;
        }
        if !options.standardise {
            linear = standardisation.unfold(&linear);
            standardisation.mean.fill(0.0);
        }
        Fitted { linear, standardisation, warm: starts, objective, passes, converged }
    }

    /// Uncalibrated outputs of the rows named.
    fn outputs(&self, data: &TrainData, rows: &[u32]) -> Vec<f64> {
        linear_outputs(&self.standardisation.unfold(&self.linear), &data.embeddings, Some(rows))
    }
}

/// What is fitted on its own: all classes, each label, the one number.
fn losses(targets: &Targets) -> Vec<Loss<'_>> {
    match targets {
        Targets::Classes { labels, names } if names.len() == 2 => vec![Loss::Logistic { labels }],
        Targets::Classes { labels, names } => vec![Loss::Softmax { labels, classes: names.len() }],
        Targets::MultiLabel { marks, names } => {
            let outputs = names.len();
            (0..outputs).map(|label| Loss::OneLabel { marks, outputs, label }).collect()
        }
        Targets::Values { values, .. } => vec![Loss::Squared { values }],
    }
}

/// Weight of each row of the data: its own times its class's, as counted among `rows`.
fn row_weights(data: &TrainData, rows: &[u32], loss: &Loss, class_weight: ClassWeight) -> Vec<f64> {
    let mut weights = data.weights.clone().unwrap_or_else(|| vec![1.0; data.rows()]);
    if class_weight == ClassWeight::None || matches!(loss, Loss::Squared { .. }) {
        return weights;
    }
    let class = |row: u32| match *loss {
        Loss::Softmax { labels, .. } | Loss::Logistic { labels } => labels[row as usize] as usize,
        _ => usize::from(loss.target(row as usize, 0) > 0.0),
    };
    let mut counts = vec![0usize; loss.outputs().max(2)];
    rows.iter().for_each(|&row| counts[class(row)] += 1);
    let present = counts.iter().filter(|&&count| count > 0).count();
    for &row in rows {
        weights[row as usize] *= rows.len() as f64 / (present * counts[class(row)]) as f64;
    }
    weights
}

/// Fits along a path of `C`, fold by fold.
struct Path {
    splits: Vec<Split>,
    points: Vec<PathPoint>,
    /// Of each point, the fits of all folds.
    fits: Vec<Vec<Fitted>>,
    chosen: usize,
}

/// Values of `C` after the best one that are tried before the path ends: larger ones only overfit more, and are
/// the ones that take long.
const PATIENCE: usize = 3;
/// Distance to the optimum allowed while `C` is chosen: far below what folds differ by.
const PATH_TOLERANCE: f64 = 1e-3;

impl Path {
    fn run(data: &TrainData, options: &TrainOptions, progress: &mut dyn FnMut(Progress)) -> Result<Path> {
        let splits = options.folds.split(&data.targets.strata(), data.groups.as_deref())?;
        let grid = match options.c {
            Strength::Auto => TrainOptions::GRID.to_vec(),
            Strength::Fixed(c) => vec![c],
        };
        // Moments of all rows serve every fold: they decide how fast the optimum is found, not where it is.
        let curvatures = curvatures(data, options, &grid);
        let stage = "cross-validation";
        let (mut scores, mut fits): (Vec<Vec<f64>>, Vec<Vec<Fitted>>) = (vec![], vec![]);
        let mut best = 0;
        for (at, &c) in grid.iter().enumerate() {
            progress(Progress { stage, done: at, total: grid.len() });
            let last = fits.last();
            let tolerance = if grid.len() == 1 { options.tolerance } else { PATH_TOLERANCE };
            let fitted = parallel::map(splits.len(), |fold| {
                let warm = last.map(|fits| &fits[fold].warm[..]);
                Fitted::new(data, &splits[fold].train, c, options, tolerance, warm, curvatures.as_deref())
            });
            scores.push(parallel::map(splits.len(), |fold| {
                let test = &splits[fold].test;
                score(data, test, &fitted[fold].outputs(data, test), options.select_by)
            }));
            fits.push(fitted);
            if mean(&scores[at]) < mean(&scores[best]) {
                best = at;
            } else if at >= best + PATIENCE {
                break;
            }
        }
        progress(Progress { stage, done: grid.len(), total: grid.len() });
        let chosen = if options.one_standard_error { within_one_error(&scores, best) } else { best };
        let points =
            scores.iter().zip(&grid).map(|(s, &c)| PathPoint { c, score: Estimate::over(s) }).collect();
        Ok(Path { splits, points, fits, chosen })
    }

    fn chosen(&self) -> PathPoint {
        self.points[self.chosen]
    }

    /// Calibrates the head and chooses its thresholds on out-of-fold predictions, and measures them.
    fn finish(self, data: &TrainData, kind: CalibrationKind, head: &mut Head) -> CrossValidation {
        let fits = &self.fits[self.chosen];
        let outputs = head.model.outputs();
        let mut all_rows = Vec::new();
        let mut all_outputs = Vec::new();
        for (split, fit) in self.splits.iter().zip(fits) {
            all_rows.extend_from_slice(&split.test);
            all_outputs.extend(fit.outputs(data, &split.test));
        }
        let targets = data.targets.select_rows(&all_rows);
        head.calibration = Calibration::fit(kind, &all_outputs, &joint_loss(&targets));
        head.calibration.apply(&mut all_outputs);
        let (problem, names) = (head.problem, head.names.len());
        let mut predictions = expand(&all_outputs, problem, names);
        to_probabilities(&mut predictions, problem, names);
        if let Targets::MultiLabel { marks, .. } = &targets {
            head.thresholds =
                (0..names).map(|label| best_threshold(marks, &predictions, names, label)).collect();
        }
        let thresholds = (problem == Problem::MultiLabel).then_some(&head.thresholds[..]);
        let mut from = 0;
        let folds: Vec<Metrics> = (self.splits.iter())
            .map(|split| {
                let to = from + split.test.len();
                let of_fold = &predictions[from * names..to * names];
                from = to;
                Metrics::of(&data.targets.select_rows(&split.test), of_fold, thresholds)
            })
            .collect();
        // The first repeat holds every row once.
        let mut in_order = vec![0.0; data.rows() * names];
        for (&row, prediction) in all_rows.iter().zip(predictions.chunks_exact(names)).take(data.rows()) {
            in_order[row as usize * names..][..names].copy_from_slice(prediction);
        }
        debug_assert_eq!(outputs, head.calibration.scale.len());
        let summary = summarise(&folds);
        head.record.cross_validation = summary.clone();
        CrossValidation {
            c: self.chosen().c,
            splits: self.splits,
            path: self.points,
            folds,
            summary,
            predictions: in_order,
        }
    }
}

/// The moments behind each part's preconditioner, filled when first needed.
fn curvatures(data: &TrainData, options: &TrainOptions, grid: &[f64]) -> Option<Vec<OnceLock<Curvature>>> {
    let rows: Vec<u32> = (0..data.rows() as u32).collect();
    let standardisation = if options.standardise {
        Standardisation::fit(&data.embeddings, &rows)
    } else {
        Standardisation::centring(&data.embeddings, &rows)
    };
    let largest = grid.iter().copied().fold(0.0, f64::max);
    let of_part = |loss: Loss| {
        let weights = row_weights(data, &rows, &loss, options.class_weight);
        let design = Design {
            x: &data.embeddings,
            rows: &rows,
            weights: &weights,
            loss,
            standardisation: &standardisation,
        };
        let cell = OnceLock::new();
        if design.is_stiff(largest) {
            cell.get_or_init(|| Curvature::new(&design));
        }
        cell
    };
    Some(losses(&data.targets).into_iter().map(of_part).collect())
}

/// The loss of all outputs together, for calibration.
fn joint_loss(targets: &Targets) -> Loss<'_> {
    match targets {
        Targets::MultiLabel { marks, names } => Loss::Sigmoid { marks, outputs: names.len() },
        _ => losses(targets).remove(0),
    }
}

/// Mean loss of uncalibrated outputs, or share of wrong answers, over rows weighted by their own weights.
fn score(data: &TrainData, rows: &[u32], outputs: &[f64], by: SelectBy) -> f64 {
    let loss = joint_loss(&data.targets);
    let width = loss.outputs();
    let (mut sum, mut total) = (0.0, 0.0);
    let mut logits = vec![0.0; width];
    for (&row, outputs) in rows.iter().zip(outputs.chunks_exact(width)) {
        let weight = data.weights.as_ref().map_or(1.0, |weights| weights[row as usize]);
        let right = |class: usize| loss.target(row as usize, class);
        let value = match (by, &loss) {
            (SelectBy::Accuracy, Loss::Softmax { .. }) => 1.0 - right(argmax(outputs)),
            (SelectBy::Accuracy, Loss::Logistic { .. } | Loss::Sigmoid { .. }) => {
                let wrong = |j: usize| f64::from(u8::from((outputs[j] > 0.0) != (right(j) > 0.0)));
                (0..width).map(wrong).sum()
            }
            _ => {
                logits.copy_from_slice(outputs);
                loss.row(row as usize, &mut logits)
            }
        };
        sum += weight * value;
        total += weight;
    }
    sum / total
}

/// The first point whose mean exceeds the best one's by no more than the standard error of their differences.
fn within_one_error(scores: &[Vec<f64>], best: usize) -> usize {
    let acceptable = |point: &Vec<f64>| {
        let differences: Vec<f64> = point.iter().zip(&scores[best]).map(|(a, b)| a - b).collect();
        let average = mean(&differences);
        let n = differences.len() as f64;
        let variance = differences.iter().map(|d| (d - average).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        average <= (variance / n).sqrt()
    };
    scores.iter().position(acceptable).unwrap_or(best)
}

/// The threshold of largest F1 for one label, halfway between the two probabilities it lies between.
fn best_threshold(marks: &[bool], probabilities: &[f64], names: usize, label: usize) -> f64 {
    let mut rows: Vec<(f64, bool)> =
        (probabilities.iter().zip(marks)).skip(label).step_by(names).map(|(&p, &mark)| (p, mark)).collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let support = rows.iter().filter(|row| row.1).count();
    let (mut hits, mut best, mut threshold) = (0, 0.0, 0.5);
    for (at, &(p, mark)) in rows.iter().enumerate() {
        hits += usize::from(mark);
        let next = rows.get(at + 1).map_or(0.0, |row| row.0);
        let f1 = 2.0 * hits as f64 / (at + 1 + support) as f64;
        if next < p && f1 > best {
            (best, threshold) = (f1, 0.5 * (p + next));
        }
    }
    threshold
}

/// Mean and interval of each measure that every fold has.
fn summarise(folds: &[Metrics]) -> Vec<(String, Estimate)> {
    let scalars: Vec<_> = folds.iter().map(Metrics::scalars).collect();
    let names = scalars.first().map(|first| first.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    (names.unwrap_or_default().into_iter().enumerate())
        .filter_map(|(at, name)| {
            let values: Option<Vec<f64>> = scalars.iter().map(|fold| fold[at].1).collect();
            values.map(|values| (name.to_owned(), Estimate::over(&values)))
        })
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
