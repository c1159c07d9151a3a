//! What was found out about the words that a head started from.

use serde::Serialize;

use crate::head::measure::estimate::Estimate;

/// How much descriptions count in a head that started from them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct WordsChoice {
    /// Factor of the words' own logits: 1 is what they weigh without an example, 0 leaves them out.
    pub weight: f64,
    /// Weights compared by cross-validation, each at its best `C`; empty where there are too few examples for that.
    pub candidates: Vec<WordsCandidate>,
    /// Unlabelled texts that were looked at.
    pub unlabelled: usize,
    /// Classes without any example.
    pub without_rows: usize,
    /// Why the weight was taken, in one sentence.
    pub reason: String,
}

/// One weight of the words.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WordsCandidate {
    /// Factor of the words' own logits.
    pub weight: f64,
    /// The `C` it does best with.
    pub c: Option<f64>,
    /// What was minimised, over the folds.
    pub score: Estimate,
}
