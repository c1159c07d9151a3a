//! Which layers to take: every candidate cross-validated on the same folds.

use std::ops::Range;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::cross_validation::summarise;
use super::regularization_path::{Grid, RegularizationPath, Search, moved_to};
use super::score::{LossKind, mean};
use crate::error::{Error, Result};
use crate::head::data::split::below;
use crate::head::data::targets::Problem;
use crate::head::data::targets::TrainData;
use crate::head::linear::preconditioner::{Curvature, Moments};
use crate::head::linear::standardise::Standardisation;
use crate::head::measure::estimate::Estimate;
use crate::head::options::{Kind, SelectBy, TrainOptions};
use crate::head::progress::Progress;

/// One choice of layers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerCandidate {
    /// Layers side by side, in the order of the embeddings.
    pub layers: Vec<usize>,
    /// Whether features were standardised.
    pub standardise: bool,
    /// The best `C` of a coarse grid.
    pub c: Option<f64>,
    /// What was minimised, over the folds.
    pub score: Estimate,
    /// Every measure, over the folds.
    pub summary: Vec<(String, Estimate)>,
}

/// All candidates and the one to take.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerChoice {
    /// The candidates, best score first.
    pub candidates: Vec<LayerCandidate>,
    /// What the score is. The smaller the better.
    #[serde(rename = "score_name")]
    pub score: LossKind,
    /// The score to expect on new rows, and of classes and labels the accuracy. The best candidate's own score is too good:
    /// the best of many is so by luck too. Here each of many draws of rows, with replacement, chooses its best candidate, and
    /// the rows not drawn measure it.
    ///
    /// Source: Tsamardinos, Greasidou and Borboudakis, *Bootstrapping the out-of-sample predictions for efficient and accurate
    /// cross-validation* (2018). Half-widths are those of the middle 95% of the draws.
    pub corrected: Vec<(&'static str, Estimate)>,
    /// Why the first was chosen, in one sentence.
    pub reason: String,
}

impl LayerChoice {
    /// The candidate chosen.
    pub fn best(&self) -> &LayerCandidate {
        &self.candidates[0]
    }

    /// Columns of the candidate chosen, for [`Matrix::select_columns`](crate::head::Matrix::select_columns).
    pub fn columns(&self, layer_columns: usize) -> Vec<Range<usize>> {
        columns_of(&self.best().layers, layer_columns)
    }
}

/// Values of `C` that candidates are compared with, for features of a total variance of one: one a decade.
const COARSE: [f64; 7] = [1e-2, 1e-1, 1.0, 10.0, 100.0, 1e3, 1e4];
/// How many of the last layers are tried in pairs and runs.
const LAST: usize = 4;

/// Compares layers by the cross-validated score of a linear head: each alone, pairs and runs of the last four, all side by
/// side; each as it is and standardised.
///
/// `data.embeddings` is `[rows, layers * layer_columns]`: every layer's pooled vector, side by side. Of `options`, the
/// folds, the class weights, a given `C` and the score to go by count. It takes memory for another copy of the embeddings.
///
/// # Errors
/// The input, when the columns are no whole number of layers, and as [`Head::train`](crate::head::Head::train).
pub fn choose_layers(
    data: &TrainData,
    layers: usize,
    options: &TrainOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<LayerChoice> {
    Ok(compare_layers(data, layers, options, progress)?.0)
}

/// [`choose_layers`], and the moments of all columns, where there are not too many of them.
pub(crate) fn compare_layers(
    data: &TrainData,
    layers: usize,
    options: &TrainOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<(LayerChoice, Option<Moments>)> {
    data.check()?;
    options.check()?;
    let (data, unit) = &data.with_unit_weights();
    let options = &options.in_weight_unit(*unit)?;
    let columns = data.embeddings.columns();
    if layers == 0 || !columns.is_multiple_of(layers) {
        return Err(Error::input(format!(
            "choosing layers: expected embeddings of {layers} layers side by side, found {columns} columns"
        )));
    }
    let rows: Vec<u32> = (0..data.rows() as u32).collect();
    let scaling = Standardisation::fit(&data.embeddings, &rows, data.weights.as_deref());
    let ones = vec![1.0; data.rows()];
    // One matrix of moments holds those of every candidate, while it is not too large itself.
    let moments = (columns <= Curvature::MOST_COLUMNS)
        .then(|| Moments::new(&data.embeddings, &rows, &ones, &scaling.mean));
    let sets = candidate_layers(layers);
    let total = 2 * sets.len();
    let mut compared = Vec::with_capacity(total);
    for set in sets {
        let ranges = columns_of(&set, columns / layers);
        let variance: f64 = ranges.iter().cloned().flatten().map(|j| scaling.scale[j].powi(2)).sum();
        let known = moments.as_ref().map(|moments| moments.select_columns(&ranges));
        let of_set = TrainData { embeddings: data.embeddings.select_columns(&ranges), ..data.view() };
        for standardise in [false, true] {
            progress(Progress { stage: "choosing layers", done: compared.len(), total });
            let options = TrainOptions { kind: Kind::Linear, standardise, ..options.clone() };
            let spread = if standardise { of_set.embeddings.columns() as f64 } else { variance };
            let grid = moved_to(&COARSE, spread);
            let search = Search { grid: Grid::These(&grid), moments: known.as_ref(), prior: None };
            let path = RegularizationPath::run(&of_set, &options, search, &mut |_| {})?;
            let c = path.chosen().c.map(|c| c / unit);
            let candidate = LayerCandidate {
                layers: set.clone(),
                standardise,
                c,
                score: path.chosen().score,
                summary: summarise(&path.measure(&of_set)),
            };
            compared.push(Compared {
                candidate,
                scores: path.row_scores(&of_set, options.select_by),
                errors: path.row_scores(&of_set, SelectBy::Accuracy),
            });
        }
    }
    progress(Progress { stage: "choosing layers", done: total, total });
    // Stable: of equals the one with fewer layers, as it is, comes first.
    compared.sort_by(|a, b| a.candidate.score.mean.total_cmp(&b.candidate.score.mean));
    let problem = data.targets.problem();
    let kind = LossKind::of(problem, options.select_by);
    let (score, error) = bootstrap(&compared, data.groups.as_deref(), options.folds.seed);
    let mut corrected = vec![(kind.name(), score)];
    if problem != Problem::Regression {
        corrected.push(("accuracy", Estimate { mean: 1.0 - error.mean, ..error }));
    }
    let candidates: Vec<LayerCandidate> = compared.into_iter().map(|compared| compared.candidate).collect();
    let reason = reason(&candidates, layers, kind.name());
    Ok((LayerChoice { candidates, score: kind, corrected, reason }, moments))
}

/// A candidate and what it made of each row out of fold.
struct Compared {
    candidate: LayerCandidate,
    scores: Vec<Option<f64>>,
    errors: Vec<Option<f64>>,
}

/// Score and share of errors of the best candidate of a draw of rows, on the rows not drawn. Rows of a group are drawn
/// together.
fn bootstrap(compared: &[Compared], groups: Option<&[u32]>, seed: u64) -> (Estimate, Estimate) {
    const DRAWS: usize = 400;
    let rows = compared[0].scores.len();
    let unit = |row: usize| groups.map_or(row, |groups| groups[row] as usize);
    let units = 1 + (0..rows).map(unit).max().unwrap_or(0);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut scores, mut errors) = (Vec::with_capacity(DRAWS), Vec::with_capacity(DRAWS));
    for _ in 0..DRAWS {
        let mut drawn = vec![0.0; units];
        (0..units).for_each(|_| drawn[below(&mut rng, units as u32) as usize] += 1.0);
        let count: Vec<f64> = (0..rows).map(|row| drawn[unit(row)]).collect();
        // The same rows cannot be scored for any candidate.
        let inside = |compared: &Compared| -> f64 {
            compared.scores.iter().zip(&count).filter_map(|(score, n)| Some((*score)? * n)).sum()
        };
        let best = compared.iter().map(|compared| (inside(compared), compared));
        let Some((_, best)) = best.min_by(|a, b| a.0.total_cmp(&b.0)) else { continue };
        let outside = |values: &[Option<f64>]| {
            let left =
                || values.iter().zip(&count).filter(|(_, n)| **n == 0.0).filter_map(|(value, _)| *value);
            left().sum::<f64>() / left().count() as f64
        };
        scores.push(outside(&best.scores));
        errors.push(outside(&best.errors));
    }
    (middle(scores), middle(errors))
}

/// The mean of draws and half of what their middle 95% span. Draws that left no row out are not numbers and do not count.
fn middle(mut draws: Vec<f64>) -> Estimate {
    draws.retain(|value| value.is_finite());
    draws.sort_by(f64::total_cmp);
    let Some(last) = draws.len().checked_sub(1) else {
        return Estimate { mean: f64::NAN, half_width: f64::NAN };
    };
    let at = |share: f64| draws[(share * last as f64).round() as usize];
    Estimate { mean: mean(&draws), half_width: 0.5 * (at(0.975) - at(0.025)) }
}

/// Each layer alone, pairs and runs of the last ones, all.
fn candidate_layers(layers: usize) -> Vec<Vec<usize>> {
    let mut sets: Vec<Vec<usize>> = (0..layers).map(|layer| vec![layer]).collect();
    let from = layers.saturating_sub(LAST);
    for first in from..layers {
        sets.extend((first + 1..layers).map(|second| vec![first, second]));
    }
    sets.extend((3..=LAST.min(layers)).map(|run| (layers - run..layers).collect()));
    if layers > LAST {
        sets.push((0..layers).collect());
    }
    sets
}

fn columns_of(layers: &[usize], layer_columns: usize) -> Vec<Range<usize>> {
    layers.iter().map(|layer| layer * layer_columns..(layer + 1) * layer_columns).collect()
}

fn reason(candidates: &[LayerCandidate], layers: usize, score: &str) -> String {
    let best = &candidates[0];
    let name = match &best.layers[..] {
        [one] => format!("layer {one}"),
        all if all.len() == layers => "all layers side by side".to_owned(),
        some => format!(
            "layers {} side by side",
            some.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
        ),
    };
    let style = if best.standardise { ", standardised," } else { "" };
    let least = format!("{name}{style} have the lowest {score}, {:.4}", best.score.mean);
    let least = if best.layers.len() == 1 { least.replacen(" have ", " has ", 1) } else { least };
    match candidates.iter().find(|candidate| candidate.layers == [layers - 1]) {
        Some(last) if last.layers != best.layers => {
            format!("{least}; the last layer alone has {:.4}", last.score.mean)
        }
        _ => least,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_singles_pairs_and_runs_of_the_last_and_all() {
        assert_eq!(candidate_layers(1), [vec![0]]);
        assert_eq!(candidate_layers(2), [vec![0], vec![1], vec![0, 1]]);
        assert_eq!(candidate_layers(3).len(), 3 + 3 + 1);
        let sets = candidate_layers(7);
        assert_eq!(sets.len(), 7 + 6 + 2 + 1);
        assert!(sets.contains(&vec![3, 6]) && !sets.contains(&vec![2, 6]));
        assert!(sets.contains(&vec![4, 5, 6]) && sets.contains(&(0..7).collect()));
        for (at, set) in sets.iter().enumerate() {
            assert!(!sets[..at].contains(set), "{set:?} twice");
        }
        assert_eq!(columns_of(&[0, 2], 3), [0..3, 6..9]);
    }

    #[test]
    fn the_best_of_many_equals_is_no_better_than_they_are() {
        // Forty candidates that err on half of the rows, at random.
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let compared: Vec<Compared> = (0..40)
            .map(|_| {
                let scores: Vec<f64> = (0..300).map(|_| f64::from(below(&mut rng, 2))).collect();
                let mean = mean(&scores);
                let scores: Vec<Option<f64>> = scores.into_iter().map(Some).collect();
                let score = Estimate { mean, half_width: 0.0 };
                let (layers, standardise, c, summary) = (vec![0], false, None, vec![]);
                let candidate = LayerCandidate { layers, standardise, c, score, summary };
                Compared { candidate, errors: scores.clone(), scores }
            })
            .collect();
        let best = compared.iter().map(|compared| compared.candidate.score.mean).fold(1.0, f64::min);
        assert!(best <= 0.46, "{best} looks better than chance");
        let (score, error) = bootstrap(&compared, None, 3);
        assert_eq!(score, error);
        assert!(score.mean > best + 0.015 && score.half_width > 0.03, "{score:?} {best}");
        let groups: Vec<u32> = (0..300).map(|row| row / 3).collect();
        assert!(bootstrap(&compared, Some(&groups), 3).0.half_width > 0.03);
    }
}
