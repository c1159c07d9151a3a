//! Learning curves: heads trained on growing shares of the rows.

use super::cross_validation::summarise;
use super::score::mean;
use crate::error::{Error, Result};
use crate::head::data::targets::TrainData;
use crate::head::measure::estimate::Estimate;
use crate::head::model::head::Head;
use crate::head::options::TrainOptions;
use crate::head::progress::Progress;

/// One point of a learning curve.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
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
/// The input, when a share is not above 0 and at most 1, `C` is to be chosen, or as [`Head::train`](crate::head::Head::train).
pub fn learning_curve(
    data: &TrainData,
    shares: &[f64],
    options: &TrainOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<LearningPoint>> {
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
                let part = crate::head::train_test_split(&strata, None, 1.0 - share, options.folds.seed)?;
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
