//! Which of several embeddings of the same rows to take: each cross-validated on the same folds.

use super::regularization_path::{RegularizationPath, Search};
use crate::error::{Error, Result};
use crate::head::data::matrix::Matrix;
use crate::head::data::targets::TrainData;
use crate::head::measure::estimate::Estimate;
use crate::head::options::{Kind, TrainOptions};
use crate::head::progress::Progress;

/// Embeddings of the same rows, compared.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct EmbeddingChoice {
    /// Of each, in their order, the `C` it does best with, and what was minimised, over the folds.
    pub candidates: Vec<(Option<f64>, Estimate)>,
    /// The one with the lowest score.
    pub best: usize,
    /// The first whose score is within a standard error of the lowest.
    pub chosen: usize,
}

/// Compares embeddings of the same rows by the cross-validated score of a linear head; of those that are about as good the first is taken.
///
/// Shapes: each of `candidates` `[rows, columns]`, which stand in for `data.embeddings`. Of `options`, the folds, the class weights, a given `C`
/// and the score to go by count.
///
/// # Errors
/// The input: no candidates, another number of rows, and as [`Head::train`](crate::head::Head::train).
pub fn choose_embeddings(
    data: &TrainData,
    candidates: &[Matrix],
    options: &TrainOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<EmbeddingChoice> {
    data.check()?;
    options.check()?;
    if candidates.is_empty() || candidates.iter().any(|matrix| matrix.rows() != data.rows()) {
        return Err(Error::input(format!(
            "comparing embeddings: expected one or more of {} rows each, found {:?}",
            data.rows(),
            candidates.iter().map(Matrix::rows).collect::<Vec<_>>()
        )));
    }
    let (data, unit) = &data.with_unit_weights();
    let options = TrainOptions { kind: Kind::Linear, ..options.in_weight_unit(*unit)? };
    let mut tried = Vec::with_capacity(candidates.len());
    for (done, matrix) in candidates.iter().enumerate() {
        progress(Progress { stage: "comparing embeddings", done, total: candidates.len() });
        let own = TrainData { embeddings: matrix.view(), ..data.view() };
        tried.push(RegularizationPath::run(&own, &options, Search::FINE, &mut |_| {})?);
    }
    let (best, chosen) = RegularizationPath::lowest_and_preferred(&tried.iter().collect::<Vec<_>>());
    let candidate = |path: &RegularizationPath| (path.chosen().c.map(|c| c / unit), path.chosen().score);
    Ok(EmbeddingChoice { candidates: tried.iter().map(candidate).collect(), best, chosen })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Targets;

    #[test]
    fn the_first_of_equals_and_the_best_of_others_is_taken() {
        let noise = |at: usize| ((at * at * 31 + at * 7) % 97) as f32 / 97.0 - 0.5;
        let labels: Vec<&str> = (0..120).map(|row| if row % 2 == 0 { "a" } else { "b" }).collect();
        let rows = |signal: f32, from: usize| {
            let of = |at: usize| noise(at + from) + if at.is_multiple_of(8) { signal } else { 0.0 };
            Matrix::new(120, 4, (0..480).map(of).collect::<Vec<f32>>()).unwrap()
        };
        let data = TrainData::new(rows(0.0, 0), Targets::classes(&labels));
        let options = TrainOptions::default();
        let found =
            |candidates: &[Matrix]| choose_embeddings(&data, candidates, &options, &mut |_| {}).unwrap();
        let choice = found(&[rows(0.0, 0), rows(1.0, 0), rows(1.0, 0)]);
        assert_eq!((choice.best, choice.chosen), (1, 1));
        assert!(choice.candidates[1].1.mean < choice.candidates[0].1.mean - 0.1, "{choice:?}");
        let same = found(&[rows(1.0, 0), rows(1.0, 0)]);
        assert_eq!((same.best, same.chosen, same.candidates[0] == same.candidates[1]), (0, 0, true));
        assert!(choose_embeddings(&data, &[], &options, &mut |_| {}).unwrap_err().is_input());
    }
}
