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

/// Wilson's lower bound of a share, one-sided, 95 %.
pub(super) fn lower_bound(right: usize, of: usize) -> f64 {
    let (n, share) = (of as f64, right as f64 / of as f64);
    let centre = share + Z * Z / (2.0 * n);
    let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    ((centre - spread) / (1.0 + Z * Z / n)).max(0.0)
}
