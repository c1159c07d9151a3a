//! How a head is trained.

use serde::{Deserialize, Serialize};

use super::calibrate::CalibrationKind;
use super::split::Folds;
use crate::{Error, Result};

/// How a head is trained. The defaults suit most data.
///
/// ```
/// use frostbert::head::{ClassWeight, Strength, TrainOptions};
/// let options = TrainOptions { c: Strength::Fixed(1.0), class_weight: ClassWeight::Balanced, ..Default::default() };
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainOptions {
    /// How much the data counts against the penalty (`C` of scikit-learn; a regression's `1 / alpha`).
    pub c: Strength,
    /// What cross-validation chooses `C` by.
    pub select_by: SelectBy,
    /// Whether the smallest `C` that is as good as the best one within a standard error is taken.
    ///
    /// The standard error is that of the differences to the best `C`, fold by fold: folds differ more from each
    /// other than values of `C` do, and what they have in common must not widen the margin.
    pub one_standard_error: bool,
    /// How classes are weighted.
    pub class_weight: ClassWeight,
    /// Whether features are brought to mean zero and variance one first.
    pub standardise: bool,
    /// Whether cross-validation runs even when nothing has to be chosen by it, for its measures.
    pub cross_validate: bool,
    /// Folds of the cross-validation, and the seed of everything random.
    pub folds: Folds,
    /// How logits are calibrated, on out-of-fold predictions.
    pub calibration: CalibrationKind,
    /// Largest distance of the coefficients to the optimum.
    pub tolerance: f64,
}

impl Default for TrainOptions {
    fn default() -> Self {
        TrainOptions {
            c: Strength::Auto,
            select_by: SelectBy::LogLoss,
            one_standard_error: false,
            class_weight: ClassWeight::None,
            standardise: false,
            cross_validate: false,
            folds: Folds::default(),
            calibration: CalibrationKind::None,
            tolerance: 1e-5,
        }
    }
}

impl TrainOptions {
    /// Values of `C` that are tried: two a decade from 1e-4 to 1e4, ascending.
    pub const GRID: [f64; 17] =
        [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4];

    pub(crate) fn check(&self) -> Result<()> {
        let bad = |what: &str, value: f64| {
            Err(Error::input(format!("training a head: expected {what} above zero, found {value}")))
        };
        if let Strength::Fixed(c) = self.c
            && !(c > 0.0 && c.is_finite())
        {
            return bad("C", c);
        }
        if !(self.tolerance > 0.0 && self.tolerance.is_finite()) {
            return bad("a tolerance", self.tolerance);
        }
        Ok(())
    }

    /// Whether something is chosen, fitted or measured on out-of-fold predictions.
    pub(crate) fn needs_folds(&self) -> bool {
        self.cross_validate || self.c == Strength::Auto || self.calibration != CalibrationKind::None
    }
}

/// How much the data counts against the penalty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strength {
    /// Chosen by cross-validation from [`TrainOptions::GRID`].
    #[default]
    Auto,
    /// Given.
    Fixed(f64),
}

/// What cross-validation minimises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SelectBy {
    /// Log loss (a regression: mean squared error). Steadier than accuracy, and good for probabilities.
    #[default]
    LogLoss,
    /// Share of wrong rows (several labels: of wrong decisions; a regression: mean squared error).
    Accuracy,
}

/// How classes are weighted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassWeight {
    /// Each row counts the same.
    #[default]
    None,
    /// Each class counts the same: rows are weighted by `rows / (classes * rows of the class)`.
    Balanced,
}
