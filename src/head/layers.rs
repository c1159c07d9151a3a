//! Which layers to take: every candidate cross-validated on the same folds.

use std::ops::Range;

use super::cross::{Path, Search, mean, summarise};
use super::data::TrainData;
use super::evaluate::Estimate;
use super::options::{Kind, TrainOptions};
use super::train::Progress;
use crate::{Error, Result};

/// One choice of layers.
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Debug, PartialEq)]
pub struct LayerChoice {
    /// The candidates, best score first.
    pub candidates: Vec<LayerCandidate>,
    /// Why the first was chosen, in one sentence.
    pub reason: String,
}

impl LayerChoice {
    /// The candidate chosen.
    pub fn best(&self) -> &LayerCandidate {
        &self.candidates[0]
    }

    /// Columns of the candidate chosen, for [`Matrix::select_columns`](super::Matrix::select_columns).
    pub fn columns(&self, layer_columns: usize) -> Vec<Range<usize>> {
        columns_of(&self.best().layers, layer_columns)
    }
}

/// Values of `C` that candidates are compared with: one a decade.
const COARSE: [f64; 9] = [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1e3, 1e4];
/// How many of the last layers are tried in pairs.
const PAIRED: usize = 4;

/// Compares layers by the cross-validated score of a linear head: each alone, pairs of the last four, all side by side;
/// each as it is and standardised.
///
/// `data.embeddings` is `[rows, layers * layer_columns]`: every layer's pooled vector, side by side. Of `options`, the
/// folds, the class weights and the score to go by count.
///
/// # Errors
/// The input, when the columns are no whole number of layers, and as [`Head::train`](super::Head::train).
pub fn choose_layers(
    data: &TrainData,
    layers: usize,
    options: &TrainOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<LayerChoice> {
    data.check()?;
    options.check()?;
    let columns = data.embeddings.columns();
    if layers == 0 || !columns.is_multiple_of(layers) {
        return Err(Error::input(format!(
            "choosing layers: expected embeddings of {layers} layers side by side, found {columns} columns"
        )));
    }
    let layer_columns = columns / layers;
    let sets = candidate_layers(layers);
    let total = 2 * sets.len();
    let mut candidates = Vec::with_capacity(total);
    for set in sets {
        let embeddings = data.embeddings.select_columns(&columns_of(&set, layer_columns));
        let of_set = TrainData { embeddings, ..data.view() };
        for standardise in [false, true] {
            progress(Progress { stage: "choosing layers", done: candidates.len(), total });
            let options = TrainOptions { kind: Kind::Linear, standardise, ..options.clone() };
            let path = Path::run(&of_set, &options, Search { grid: &COARSE, patience: 1 }, &mut |_| {})?;
            candidates.push(LayerCandidate {
                layers: set.clone(),
                standardise,
                c: path.chosen().c,
                score: path.chosen().score,
                summary: summarise(&path.measure(&of_set)),
            });
        }
    }
    progress(Progress { stage: "choosing layers", done: total, total });
    // Stable: of equals the one with fewer layers, as it is, comes first.
    candidates.sort_by(|a, b| a.score.mean.total_cmp(&b.score.mean));
    let reason = reason(&candidates, layers);
    Ok(LayerChoice { candidates, reason })
}

/// Each layer alone, pairs of the last ones, all.
fn candidate_layers(layers: usize) -> Vec<Vec<usize>> {
    let mut sets: Vec<Vec<usize>> = (0..layers).map(|layer| vec![layer]).collect();
    let from = layers.saturating_sub(PAIRED);
    for first in from..layers {
        sets.extend((first + 1..layers).map(|second| vec![first, second]));
    }
    if layers > 2 {
        sets.push((0..layers).collect());
    }
    sets
}

fn columns_of(layers: &[usize], layer_columns: usize) -> Vec<Range<usize>> {
    layers.iter().map(|layer| layer * layer_columns..(layer + 1) * layer_columns).collect()
}

fn reason(candidates: &[LayerCandidate], layers: usize) -> String {
    let best = &candidates[0];
    let last = candidates.iter().find(|candidate| candidate.layers == [layers - 1]);
    let name = |candidate: &LayerCandidate| match &candidate.layers[..] {
        [one] => format!("layer {one}"),
        all if all.len() == layers => "all layers".to_owned(),
        some => format!("layers {}", some.iter().map(usize::to_string).collect::<Vec<_>>().join(" and ")),
    };
    let style = if best.standardise { ", standardised," } else { "" };
    match last {
        Some(last) if !std::ptr::eq(last, best) => format!(
            "{}{style} score {:.4}, the last layer alone {:.4} (smaller is better)",
            name(best),
            best.score.mean,
            last.score.mean
        ),
        _ => format!("{}{style} has the lowest score, {:.4}", name(best), best.score.mean),
    }
}

/// One point of a learning curve.
#[derive(Clone, Debug, PartialEq)]
pub struct LearningPoint {
    /// Training rows of a fold, on average.
    pub rows: usize,
    /// Every measure on held-out rows, over the folds.
    pub held_out: Vec<(String, Estimate)>,
    /// Every measure on the training rows themselves, over the folds.
    pub train: Vec<(String, Estimate)>,
}

/// Measures heads trained on growing shares of each fold's training rows: is more data worth it?
///
/// Strata are kept in proportion. `options.c` must be given: the `C` of the head in question.
///
/// # Errors
/// The input, when a share is not above 0 and at most 1, `C` is to be chosen, or as [`Head::train`](super::Head::train).
pub fn learning_curve(
    data: &TrainData,
    shares: &[f64],
    options: &TrainOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<LearningPoint>> {
    use super::Head;
    data.check()?;
    options.check()?;
    let options = TrainOptions { cross_validate: false, calibration: Default::default(), ..options.clone() };
    if options.needs_folds() {
        return Err(Error::input(
            "a learning curve needs a kind and a C that are given, found ones to be chosen",
        ));
    }
    let splits = options.folds.split(&data.targets.strata(), data.groups.as_deref())?;
    let mut points = Vec::with_capacity(shares.len());
    for (at, &share) in shares.iter().enumerate() {
        progress(Progress { stage: "learning curve", done: at, total: shares.len() });
        if !(share > 0.0 && share <= 1.0) {
            return Err(Error::input(format!(
                "a learning curve: expected shares above 0 and at most 1, found {share}"
            )));
        }
        let (mut sizes, mut held_out, mut train) = (vec![], vec![], vec![]);
        for split in &splits {
            let strata: Vec<u32> = {
                let all = data.targets.strata();
                split.train.iter().map(|&row| all[row as usize]).collect()
            };
            let rows: Vec<u32> = if share < 1.0 {
                let part = super::train_test_split(&strata, None, 1.0 - share, options.folds.seed)?;
                part.train.iter().map(|&at| split.train[at as usize]).collect()
            } else {
                split.train.clone()
            };
            let known = data.select_rows(&rows);
            let head = Head::train(&known, &options, &mut |_| {})?.head;
            let test = data.select_rows(&split.test);
            sizes.push(rows.len() as f64);
            held_out.push(head.evaluate(&test.embeddings, &test.targets)?);
            train.push(head.evaluate(&known.embeddings, &known.targets)?);
        }
        let rows = mean(&sizes).round() as usize;
        points.push(LearningPoint { rows, held_out: summarise(&held_out), train: summarise(&train) });
    }
    progress(Progress { stage: "learning curve", done: shares.len(), total: shares.len() });
    Ok(points)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_singles_pairs_of_the_last_and_all() {
        assert_eq!(candidate_layers(1), [vec![0]]);
        assert_eq!(candidate_layers(2), [vec![0], vec![1], vec![0, 1]]);
        let sets = candidate_layers(7);
        assert_eq!(sets.len(), 7 + 6 + 1);
        assert!(
            sets.contains(&vec![3, 6]) && !sets.contains(&vec![2, 6]) && sets.contains(&(0..7).collect())
        );
        assert_eq!(columns_of(&[0, 2], 3), [0..3, 6..9]);
    }
}
