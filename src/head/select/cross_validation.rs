//! Cross-validation: scores along a path of `C`, and predictions of models that had not seen the row.

use std::collections::BTreeMap;

use super::fit::{Curvatures, Fitted, Help, joint_loss};
use crate::error::Result;
use crate::head::data::split::Split;
use crate::head::data::targets::Problem;
use crate::head::data::targets::Targets;
use crate::head::data::targets::TrainData;
use crate::head::linear::objective::Tolerance;
use crate::head::linear::preconditioner::Moments;
use crate::head::measure::calibration::Calibration;
use crate::head::measure::metrics::{Estimate, Metrics, argmax};
use crate::head::model::head::{Head, expand, to_probabilities};
use crate::head::numeric::loss::Loss;
use crate::head::options::CalibrationKind;
use crate::head::options::{SelectBy, Strength, TrainOptions};
use crate::head::progress::Progress;
use crate::platform;

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
}

/// One value of `C`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct PathPoint {
    /// The value.
    pub c: Option<f64>,
    /// What was minimised, over the folds.
    pub score: Estimate,
}

/// Fits along a path of `C`, fold by fold.
pub(crate) struct Path {
    splits: Vec<Split>,
    points: Vec<PathPoint>,
    /// Of each point, the score of each fold.
    scores: Vec<Vec<f64>>,
    /// Of each point, the fit of each fold.
    fits: Vec<Vec<Fitted>>,
    chosen: usize,
    curvatures: Curvatures,
}

/// Which values of `C` are tried.
#[derive(Clone, Copy)]
pub(crate) struct Search<'a> {
    /// The values, ascending.
    pub(crate) grid: &'a [f64],
    pub(crate) order: Order,
    /// Moments of the embeddings' columns, if somebody has them.
    pub(crate) moments: Option<&'a Moments>,
}

/// In which order, and how many.
#[derive(Clone, Copy)]
pub(crate) enum Order {
    /// From the smallest. Ends so many values after the best one: larger ones only overfit more, and are the ones that take
    /// long.
    Ascend { patience: usize },
    /// From the value with this index downhill, until both neighbours of the best one are known.
    Climb { from: usize },
}

impl Search<'static> {
    /// All of [`TrainOptions::GRID`].
    pub(crate) const FINE: Self =
        Search { grid: &TrainOptions::GRID, order: Order::Ascend { patience: 3 }, moments: None };
}

impl Order {
    /// The value to try next, given the mean scores of those tried; none when the search is over.
    fn next(self, scores: &[Option<f64>]) -> Option<usize> {
        let tried = || scores.iter().enumerate().filter_map(|(at, score)| Some((at, (*score)?)));
        let last = scores.len() - 1;
        let Some((best, _)) = tried().min_by(|a, b| a.1.total_cmp(&b.1)) else {
            return Some(if let Order::Climb { from } = self { from.min(last) } else { 0 });
        };
        let untried = |at: usize| scores[at].is_none().then_some(at);
        match self {
            Order::Ascend { patience } => {
                let next = tried().count();
                (next <= last && next <= best + patience).then_some(next)
            }
            // The smaller value first: it is the quicker one.
            Order::Climb { .. } => {
                best.checked_sub(1).and_then(untried).or_else(|| untried((best + 1).min(last)))
            }
        }
    }
}

/// How near fits come while `C` is chosen: far nearer than folds differ by.
const PATH_TOLERANCE: Tolerance = Tolerance::Loss(1e-4);

impl Path {
    pub(crate) fn run(
        data: &TrainData,
        options: &TrainOptions,
        search: Search,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Path> {
        let splits = options.folds.split(&data.targets.strata(), data.groups.as_deref())?;
        let mut grid = match options.c {
            _ if !options.kind.has_strength() => vec![None],
            Strength::Auto => search.grid.iter().copied().map(Some).collect(),
            Strength::Fixed(c) => vec![Some(c)],
        };
        let largest = grid.last().copied().flatten().unwrap_or(0.0);
        let mut curvatures = Curvatures::new(data, options, largest, search.moments);
        // Values that leave no coefficient are all the same: nothing says in which direction to go on.
        let null = curvatures.largest_null_c(data, options);
        let useless = grid.iter().filter(|c| c.is_some_and(|c| c <= null)).count();
        grid.drain(..useless.min(grid.len() - 1));
        let share = 1.0 - 1.0 / options.folds.folds as f64;
        let tolerance = if grid.len() == 1 { Tolerance::Distance(options.tolerance) } else { PATH_TOLERANCE };
        let mut means: Vec<Option<f64>> = vec![None; grid.len()];
        // By place in the grid, what each fold scored and its fit.
        let mut tried: BTreeMap<usize, (Vec<f64>, Vec<Fitted>)> = BTreeMap::new();
        while let Some(at) = search.order.next(&means) {
            progress(Progress { stage: "cross-validation", done: tried.len(), total: grid.len() });
            let c = grid[at];
            if let Some(c) = c {
                curvatures.prepare(data, options, c, share);
            }
            let near = tried.iter().min_by_key(|(other, _)| other.abs_diff(at)).map(|(_, (_, fits))| fits);
            let of_fold = |fold: usize| {
                let help = Help {
                    warm: near.map(|fits| &fits[fold]),
                    curvatures: Some(&curvatures),
                    checkpoint: None,
                };
                let split: &Split = &splits[fold];
                let fit =
                    Fitted::new(data, &split.train, c.unwrap_or(1.0), tolerance, options, help, |_, _| {})?;
                let score = score_of(data, &split.test, &fit.logits(data, &split.test), options.select_by);
                Ok((score, fit))
            };
            let folds: Result<Vec<(f64, Fitted)>> =
                platform::map(splits.len(), of_fold).into_iter().collect();
            let (scores, fits): (Vec<f64>, Vec<Fitted>) = folds?.into_iter().unzip();
            means[at] = Some(mean(&scores));
            tried.insert(at, (scores, fits));
        }
        progress(Progress { stage: "cross-validation", done: grid.len(), total: grid.len() });
        let points = (tried.iter())
            .map(|(&at, (scores, _))| PathPoint { c: grid[at], score: Estimate::over(scores) })
            .collect();
        let (scores, fits): (Vec<Vec<f64>>, Vec<Vec<Fitted>>) = tried.into_values().unzip();
        let best = (1..scores.len())
            .fold(0, |best, at| if mean(&scores[at]) < mean(&scores[best]) { at } else { best });
        let within = |point: &Vec<f64>| within_one_error(point, &scores[best]);
        let chosen =
            if options.one_standard_error { scores.iter().position(within).unwrap_or(best) } else { best };
        Ok(Path { splits, points, scores, fits, chosen, curvatures })
    }

    /// The value chosen.
    pub(crate) fn chosen(&self) -> PathPoint {
        self.points[self.chosen]
    }

    /// Preconditioners for a fit of all rows with this `C`.
    pub(crate) fn curvatures(&mut self, data: &TrainData, options: &TrainOptions, c: f64) -> &Curvatures {
        self.curvatures.prepare(data, options, c, 1.0);
        &self.curvatures
    }

    /// The chosen value's score of each fold.
    pub(crate) fn scores(&self) -> &[f64] {
        &self.scores[self.chosen]
    }

    /// Measures of each fold, uncalibrated, with thresholds of one half.
    pub(crate) fn measure(&self, data: &TrainData) -> Vec<Metrics> {
        let (problem, names) = (data.targets.problem(), data.targets.names().len());
        let of_fold = |(split, fit): (&Split, &Fitted)| {
            let mut predictions = expand(&fit.logits(data, &split.test), problem, names);
            to_probabilities(&mut predictions, problem, names);
            Metrics::of(&data.targets.select_rows(&split.test), &predictions, None)
        };
        self.splits.iter().zip(&self.fits[self.chosen]).map(of_fold).collect()
    }

    /// Out-of-fold score of each row under the chosen value, the mean over repeats.
    pub(crate) fn row_scores(&self, data: &TrainData, by: SelectBy) -> Vec<f64> {
        let (mut sums, mut counts) = (vec![0.0; data.rows()], vec![0.0; data.rows()]);
        for (split, fit) in self.splits.iter().zip(&self.fits[self.chosen]) {
            let scores = row_scores(data, &split.test, &fit.logits(data, &split.test), by);
            for (&row, score) in split.test.iter().zip(scores) {
                sums[row as usize] += score;
                counts[row as usize] += 1.0;
            }
        }
        sums.iter().zip(&counts).map(|(sum, count)| sum / count).collect()
    }

    /// Calibrates the head and chooses its thresholds on out-of-fold predictions, and measures them.
    pub(crate) fn finish(self, data: &TrainData, kind: CalibrationKind, head: &mut Head) -> CrossValidation {
        let mut all_rows = Vec::new();
        let mut logits = Vec::new();
        for (split, fit) in self.splits.iter().zip(&self.fits[self.chosen]) {
            all_rows.extend_from_slice(&split.test);
            logits.extend(fit.logits(data, &split.test));
        }
        let targets = data.targets.select_rows(&all_rows);
        head.calibration = Calibration::fit(kind, &logits, &joint_loss(&targets));
        head.calibration.apply(&mut logits);
        let (problem, names) = (head.problem, head.names.len());
        let mut predictions = expand(&logits, problem, names);
        to_probabilities(&mut predictions, problem, names);
        if let Targets::MultiLabel { marks, .. } = &targets {
            head.thresholds =
                (0..names).map(|label| best_threshold(marks, &predictions, names, label)).collect();
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
        CrossValidation { c, splits: self.splits, path: self.points, folds, summary, predictions: in_order }
    }
}

/// Mean loss of uncalibrated logits, or share of wrong answers, over rows weighted by their own weights.
pub(crate) fn score_of(data: &TrainData, rows: &[u32], logits: &[f64], by: SelectBy) -> f64 {
    let (mut sum, mut total) = (0.0, 0.0);
    for (&row, value) in rows.iter().zip(row_scores(data, rows, logits, by)) {
        let weight = data.weights.as_ref().map_or(1.0, |weights| weights[row as usize]);
        sum += weight * value;
        total += weight;
    }
    // A fold may hold nothing but rows of weight zero.
    if total > 0.0 { sum / total } else { 0.0 }
}

/// The loss of each row's logits, or whether the answer is wrong.
fn row_scores(data: &TrainData, rows: &[u32], logits: &[f64], by: SelectBy) -> Vec<f64> {
    let loss = joint_loss(&data.targets);
    let width = loss.outputs();
    let mut own = vec![0.0; width];
    let score = |(&row, logits): (&u32, &[f64])| {
        let target = |output: usize| loss.target(row as usize, output);
        match (by, &loss) {
            (SelectBy::Accuracy, Loss::Softmax { .. }) => 1.0 - target(argmax(logits)),
            (SelectBy::Accuracy, Loss::Logistic { .. } | Loss::Sigmoid { .. }) => {
                let wrong = |j: &usize| (logits[*j] > 0.0) != (target(*j) > 0.0);
                (0..width).filter(wrong).count() as f64 / width as f64
            }
            _ => {
                own.copy_from_slice(logits);
                loss.row(row as usize, &mut own)
            }
        }
    };
    rows.iter().zip(logits.chunks_exact(width)).map(score).collect()
}

/// Whether the scores' mean exceeds the best one's by no more than the standard error of their differences.
pub(crate) fn within_one_error(scores: &[f64], best: &[f64]) -> bool {
    let differences: Vec<f64> = scores.iter().zip(best).map(|(a, b)| a - b).collect();
    let average = mean(&differences);
    let n = differences.len() as f64;
    let variance = differences.iter().map(|d| (d - average).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    average <= (variance / n).sqrt()
}

/// The threshold of largest F1 for one label, halfway between the two probabilities it lies between.
fn best_threshold(marks: &[bool], probabilities: &[f64], names: usize, label: usize) -> f64 {
    let of_label = probabilities.iter().zip(marks).skip(label).step_by(names);
    let mut rows: Vec<(f64, bool)> = of_label.map(|(&p, &mark)| (p, mark)).collect();
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

pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_have_the_largest_f1() {
        // Label 0 of two: marked rows have 0.9, 0.6 and 0.2, the others 0.7, 0.1 and 0.05.
        let p = [0.9, 0.5, 0.6, 0.5, 0.2, 0.5, 0.7, 0.5, 0.1, 0.5, 0.05, 0.5];
        let marks = [true, false, true, true, true, false, false, true, false, false, false, true];
        let threshold = best_threshold(&marks, &p, 2, 0);
        assert!((threshold - 0.15).abs() <= 1e-12, "{threshold}: four taken, three of them right");
        // Equal probabilities cannot be parted.
        let threshold = best_threshold(&marks, &p, 2, 1);
        assert!((threshold - 0.25).abs() <= 1e-12, "{threshold}");
    }

    #[test]
    fn a_search_finds_the_valley_and_leaves_out_the_rest() {
        let valley = [5.0, 4.0, 3.0, 2.0, 3.5, 4.5, 5.5, 6.5];
        let run = |order: Order| {
            let mut scores = vec![None; valley.len()];
            let mut seen = vec![];
            while let Some(at) = order.next(&scores) {
                scores[at] = Some(valley[at]);
                seen.push(at);
            }
            seen
        };
        assert_eq!(run(Order::Ascend { patience: 2 }), [0, 1, 2, 3, 4, 5]);
        assert_eq!(run(Order::Climb { from: 3 }), [3, 2, 4]);
        assert_eq!(run(Order::Climb { from: 5 }), [5, 4, 3, 2]);
        assert_eq!(run(Order::Climb { from: 1 }), [1, 0, 2, 3, 4]);
        assert_eq!(run(Order::Climb { from: 99 }), [7, 6, 5, 4, 3, 2]);
    }

    #[test]
    fn the_error_is_that_of_paired_differences() {
        let best = [0.50, 0.60, 0.70];
        assert!(within_one_error(&best, &best));
        // Worse by the same on every fold: the folds' own spread must not excuse it.
        assert!(!within_one_error(&[0.51, 0.61, 0.71], &best));
        assert!(within_one_error(&[0.48, 0.63, 0.70], &best));
    }
}
