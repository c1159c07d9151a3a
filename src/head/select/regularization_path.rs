//! Cross-validated fits along a grid of `C`, each started from the last.

use std::sync::Arc;

use super::fit::{Curvatures, FitContext, Fitted, joint_loss};
use super::score::{Seen, mean, row_scores, score_of};
use crate::error::{Error, Result};
use crate::head::data::split::Split;
use crate::head::data::targets::TrainData;
use crate::head::linear::objective::Tolerance;
use crate::head::linear::preconditioner::Moments;
use crate::head::linear::prior::Prior;
use crate::head::linear::standardise::total_variance;
use crate::head::measure::estimate::Estimate;
use crate::head::measure::metrics::Metrics;
use crate::head::measure::warnings::Warning;
use crate::head::model::head::{expand, to_probabilities};
use crate::head::options::{Kind, SelectBy, Strength, TrainOptions};
use crate::head::progress::Progress;
use crate::platform;

/// Which values of `C` are tried: all of them. Held-out scores may have more than one valley, so that no early stop is safe.
#[derive(Clone, Copy)]
pub(crate) struct Search<'a> {
    /// The values, ascending.
    pub(crate) grid: Grid<'a>,
    /// Moments of the embeddings' columns, if somebody has them.
    pub(crate) moments: Option<&'a Moments>,
    /// Where the coefficients are drawn to; none: to zero.
    pub(crate) prior: Option<&'a Prior>,
}

/// Values of `C`.
#[derive(Clone, Copy)]
pub(crate) enum Grid<'a> {
    /// [`TrainOptions::GRID`], moved by whole decades to where it suits the features.
    Suited,
    /// These.
    These(&'a [f64]),
}

impl Search<'static> {
    /// All of [`TrainOptions::GRID`].
    pub(crate) const FINE: Self = Search { grid: Grid::Suited, moments: None, prior: None };
}

/// How near fits come while `C` is chosen: far nearer than folds differ by.
const PATH_TOLERANCE: Tolerance = Tolerance::Loss(1e-4);

/// One value of `C`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct PathPoint {
    /// The value.
    pub c: Option<f64>,
    /// What was minimised, over the folds. Held-out rows of a class that the fold's training rows lack are left out.
    pub score: Estimate,
}

/// Fits along a grid of `C`, fold by fold.
pub(crate) struct RegularizationPath {
    pub(crate) splits: Vec<Split>,
    /// What each fold's training rows have examples of.
    pub(crate) seen: Vec<Seen>,
    pub(crate) points: Vec<PathPoint>,
    /// Of each point, the score of each fold that has one.
    scores: Vec<Vec<f64>>,
    /// The chosen point's fit of each fold.
    pub(crate) fits: Arc<Vec<Fitted>>,
    chosen: usize,
    curvatures: Curvatures,
}

impl RegularizationPath {
    /// `data` has weights of unit size ([`TrainData::with_unit_weights`]).
    pub(crate) fn run(
        data: &TrainData,
        options: &TrainOptions,
        search: Search,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self> {
        let splits = options.folds.split(&data.targets.strata(), data.groups.as_deref())?;
        let seen: Vec<Seen> = splits.iter().map(|split| Seen::among(data, &split.train)).collect();
        let chooses = options.kind.has_strength() && options.c == Strength::Auto;
        let mut curvatures = Curvatures::new(data, options);
        let grid = match options.c {
            _ if !options.kind.has_strength() => vec![None],
            Strength::Fixed(c) => vec![Some(c)],
            Strength::Auto => {
                let null = curvatures.largest_null_c(data, options);
                let mut grid = search.grid.values(data, options, null);
                // Values that leave no coefficient are all the same.
                let useless = grid.iter().filter(|c| **c <= null).count();
                grid.drain(..useless.min(grid.len() - 1));
                grid.into_iter().map(Some).collect()
            }
        };
        let largest = grid.last().copied().flatten().unwrap_or(0.0);
        curvatures.make(data, options, largest, search.moments);
        let share = 1.0 - 1.0 / options.folds.folds as f64;
        let tolerance = if grid.len() == 1 { Tolerance::Distance(options.tolerance) } else { PATH_TOLERANCE };
        let mut scores: Vec<Vec<f64>> = Vec::with_capacity(grid.len());
        // Fits are large: only those are kept that may be wanted.
        let mut kept: Vec<Option<Arc<Vec<Fitted>>>> = Vec::with_capacity(grid.len());
        let mut last: Option<Arc<Vec<Fitted>>> = None;
        let mut best = 0;
        for (at, &c) in grid.iter().enumerate() {
            progress(Progress { stage: "cross-validation", done: at, total: grid.len() });
            if let Some(c) = c {
                curvatures.prepare(data, options, c, share);
            }
            let of_fold = |fold: usize| {
                let context = FitContext {
                    warm: last.as_ref().map(|fits| &fits[fold]),
                    curvatures: Some(&curvatures),
                    checkpoint: None,
                    prior: search.prior,
                };
                let split: &Split = &splits[fold];
                let c = c.unwrap_or(1.0);
                let fit = Fitted::new(data, &split.train, c, tolerance, options, context, |_, _| {})?;
                let logits = fit.logits(data, &split.test);
                let score = score_of(data, &split.test, &logits, options.select_by, &seen[fold]);
                Ok((score, fit))
            };
            let folds: Result<Vec<(Option<f64>, Fitted)>> =
                platform::map(splits.len(), of_fold).into_iter().collect();
            let (own, fits): (Vec<Option<f64>>, Vec<Fitted>) = folds?.into_iter().unzip();
            scores.push(own.into_iter().flatten().collect());
            let fits = Arc::new(fits);
            kept.push(Some(Arc::clone(&fits)));
            last = Some(fits);
            if at > 0 && mean(&scores[at]) < mean(&scores[best]) {
                best = at;
            }
            if !options.one_standard_error {
                kept.iter_mut()
                    .enumerate()
                    .filter(|(other, _)| *other != best)
                    .for_each(|(_, fits)| *fits = None);
            }
        }
        progress(Progress { stage: "cross-validation", done: grid.len(), total: grid.len() });
        if chooses && !mean(&scores[best]).is_finite() {
            return Err(Error::input(
                "choosing C by cross-validation: no held-out row can be scored, because no class has rows in two folds; \
                 give C (1, say), or more rows of each class",
            ));
        }
        let within = |point: &Vec<f64>| within_one_error(point, &scores[best]);
        let chosen =
            if options.one_standard_error { scores.iter().position(within).unwrap_or(best) } else { best };
        let points = (grid.iter().zip(&scores))
            .map(|(&c, scores)| PathPoint {
                c,
                score: Estimate::over(if scores.is_empty() { &[0.0] } else { scores }),
            })
            .collect();
        let fits = kept.swap_remove(chosen).expect("the best point's fits are kept");
        Ok(RegularizationPath { splits, seen, points, scores, fits, chosen, curvatures })
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

    /// Of paths over the same folds, those to be preferred first: the one with the lowest score, and the first within a standard error of it.
    pub(crate) fn lowest_and_preferred(tried: &[&RegularizationPath]) -> (usize, usize) {
        let score = |at: usize| tried[at].chosen().score.mean;
        let lowest =
            (1..tried.len()).fold(0, |lowest, at| if score(at) < score(lowest) { at } else { lowest });
        let within = |path: &&RegularizationPath| within_one_error(path.scores(), tried[lowest].scores());
        (lowest, tried.iter().position(within).unwrap_or(lowest))
    }

    /// The chosen value's score of each fold.
    fn scores(&self) -> &[f64] {
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
        self.splits.iter().zip(self.fits.iter()).map(of_fold).collect()
    }

    /// Out-of-fold score of each row under the chosen value, the mean over repeats; none for a row that cannot be scored.
    pub(crate) fn row_scores(&self, data: &TrainData, by: SelectBy) -> Vec<Option<f64>> {
        let (mut sums, mut counts) = (vec![0.0; data.rows()], vec![0.0; data.rows()]);
        for ((split, fit), seen) in self.splits.iter().zip(self.fits.iter()).zip(&self.seen) {
            let scores = row_scores(data, &split.test, &fit.logits(data, &split.test), by, seen);
            for (&row, score) in split.test.iter().zip(scores) {
                if let Some(score) = score {
                    sums[row as usize] += score;
                    counts[row as usize] += 1.0;
                }
            }
        }
        sums.iter().zip(&counts).map(|(sum, count)| (*count > 0.0).then(|| sum / count)).collect()
    }

    /// Names of which a fold holds rows that could not be scored.
    pub(crate) fn warnings(&self, data: &TrainData) -> Vec<Warning> {
        let loss = joint_loss(&data.targets);
        let folds = self.splits.iter().zip(&self.seen);
        let mut missing: Vec<usize> =
            folds.flat_map(|(split, seen)| seen.missing(&loss, &split.test)).collect();
        missing.sort_unstable();
        missing.dedup();
        let counts = data.targets.counts();
        let of_name =
            |name: usize| Warning::NotScored { name: data.targets.names()[name].clone(), rows: counts[name] };
        missing.into_iter().map(of_name).collect()
    }
}

impl Grid<'_> {
    /// The values, for weights of unit size; `null` is the largest that leaves no coefficient.
    ///
    /// A value means the same wherever rows weigh one on average, features vary by one altogether (as unit vectors do) and, with
    /// an L1 norm, the first coefficient appears near 0.01. Where they don't by far, the grid is moved.
    fn values(self, data: &TrainData, options: &TrainOptions, null: f64) -> Vec<f64> {
        let values = match self {
            Grid::These(values) => values.to_vec(),
            Grid::Suited => {
                let sparse = matches!(options.kind, Kind::ElasticNet { l1_ratio } if l1_ratio >= 0.1);
                let size = if sparse {
                    0.01 / null
                } else if options.standardise {
                    1.0
                } else {
                    total_variance(&data.embeddings, data.weights.as_deref())
                };
                moved(&TrainOptions::GRID, size)
            }
        };
        let weight = data.mean_weight();
        values.into_iter().map(|c| c / weight).collect()
    }
}

/// A `C` that is meant for rows of weight one and features that vary by about one altogether, for these.
pub(crate) fn suited(c: f64, data: &TrainData) -> f64 {
    moved(&[c], total_variance(&data.embeddings, data.weights.as_deref()))[0] / data.mean_weight()
}

/// [`moved_to`] where that is two decades or more: nearer, the grid reaches far enough as it is.
fn moved(grid: &[f64], size: f64) -> Vec<f64> {
    if libm::log10(size).round().abs() < 2.0 { grid.to_vec() } else { moved_to(grid, size) }
}

/// A grid that suits features of size one, for those of another: divided by the nearest power of ten.
pub(crate) fn moved_to(grid: &[f64], size: f64) -> Vec<f64> {
    let decades = libm::log10(size).round();
    if !decades.is_finite() {
        return grid.to_vec();
    }
    let moved = |&c: &f64| {
        // By way of decimals: 3e-4 / 100 is 3e-6, not its neighbour.
        let text = format!("{c:e}");
        let (digits, exponent) = text.split_once('e')?;
        let exponent = exponent.parse::<f64>().ok()? - decades;
        format!("{digits}e{exponent}").parse().ok()
    };
    grid.iter().map(moved).collect::<Option<Vec<f64>>>().unwrap_or_else(|| grid.to_vec())
}

/// Whether the scores' mean exceeds the best one's by no more than the standard error of their differences.
fn within_one_error(scores: &[f64], best: &[f64]) -> bool {
    let differences: Vec<f64> = scores.iter().zip(best).map(|(a, b)| a - b).collect();
    let average = mean(&differences);
    let n = differences.len() as f64;
    let variance = differences.iter().map(|d| (d - average).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    average <= (variance / n).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_follows_the_features() {
        let grid = TrainOptions::GRID;
        for near in [0.05, 0.9, 30.0, 0.0, f64::NAN, f64::INFINITY] {
            assert_eq!(moved(&grid, near), grid, "{near}");
        }
        assert_eq!(moved(&[1e-4, 3e-4, 1.0], 120.0), [1e-6, 3e-6, 0.01]);
        assert_eq!(moved(&[1e-4, 30.0, 1e4], 2e-6), [1e2, 3e7, 1e10]);
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
