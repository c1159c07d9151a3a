//! A probability that decisions must have, and the bound that it is chosen by.

use serde::{Deserialize, Serialize};

/// A probability below which nothing is decided, chosen for a precision.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Abstain {
    /// The precision asked for: of the texts that are decided, the share that is right.
    pub precision: f64,
    /// The probability.
    pub below: f64,
    /// Share of the out-of-fold rows that it decides.
    pub coverage: f64,
    /// Share of those that are right.
    pub reached: f64,
}

/// The quantile of Wilson's one-sided bound: the precision is held in 95 of 100 trainings.
const Z: f64 = 1.6448536269514722;

/// What a row is answered where the threshold is no higher than the probability; it takes the place of an answer that the row had before.
pub(super) struct Step {
    pub(super) probability: f64,
    pub(super) row: usize,
    pub(super) is_right: bool,
}

impl Abstain {
    /// The threshold that answers most rows among those whose precision, by its lower bound, is what was asked for; otherwise the highest such bound
    /// that there is. Steps of one row that are equally likely stay in their order.
    pub(super) fn choose(
        mut steps: Vec<Step>,
        rows: usize,
        precision: f64,
    ) -> std::result::Result<Self, f64> {
        steps.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        let mut answers: Vec<Option<bool>> = vec![None; rows];
        let (mut answered, mut right, mut best, mut highest) = (0usize, 0usize, None, 0.0f64);
        for (at, Step { probability, row, is_right }) in steps.iter().enumerate() {
            match answers[*row].replace(*is_right) {
                None => answered += 1,
                Some(before) => right -= usize::from(before),
            }
            right += usize::from(*is_right);
            // What is equally sure is decided together.
            if steps.get(at + 1).is_some_and(|next| next.probability == *probability) {
                continue;
            }
            let bound = lower_bound(right, answered);
            highest = highest.max(bound);
            if bound >= precision {
                best = Some(Abstain {
                    precision,
                    below: *probability,
                    coverage: answered as f64 / rows as f64,
                    reached: right as f64 / answered as f64,
                });
            }
        }
        best.ok_or(highest)
    }
}

/// Wilson's lower bound of a share, one-sided, 95 %.
pub(super) fn lower_bound(right: usize, of: usize) -> f64 {
    let (n, share) = (of as f64, right as f64 / of as f64);
    let centre = share + Z * Z / (2.0 * n);
    let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    ((centre - spread) / (1.0 + Z * Z / n)).max(0.0)
}
