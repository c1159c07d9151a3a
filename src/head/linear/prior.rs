//! Where the coefficients of a linear head are drawn to, where that is not zero.

use super::coefficients::Linear;
use super::standardise::Standardisation;

/// A linear model that is taken to be about right before any row is seen: coefficients are penalised by how far they are from its own.
///
/// The objective is that of a normal prior with this mean: the more rows, the less it counts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Prior {
    /// On features as they are.
    pub(crate) linear: Linear,
    /// How many rows its intercepts are worth: they are penalised, too, by how far they move the mean logits.
    pub(crate) rows: f64,
}

impl Prior {
    /// Curvature of the penalty on the mean logit of one of `outputs` outputs.
    pub(crate) fn intercept_strength(&self, c: f64, outputs: usize) -> f64 {
        let share = 1.0 / outputs.max(2) as f64;
        c * self.rows * share * (1.0 - share)
    }

    /// Its own coefficients on top of those that were fitted on features as they are.
    pub(crate) fn add_to(&self, fitted: &mut Linear) {
        let own = self.linear.coefficients.iter().chain(&self.linear.intercepts);
        fitted.coefficients.iter_mut().chain(&mut fitted.intercepts).zip(own).for_each(|(w, own)| *w += own);
    }

    /// The same on features that are standardised.
    pub(crate) fn add_to_standardised(&self, fitted: &mut Linear, scaling: &Standardisation) {
        let d = scaling.mean.len();
        let own = self.linear.coefficients.chunks_exact(d).zip(&self.linear.intercepts);
        let fitted = fitted.coefficients.chunks_exact_mut(d).zip(&mut fitted.intercepts);
        for ((w, b), (own_w, own_b)) in fitted.zip(own) {
            *b += own_b;
            for j in 0..d {
                w[j] += own_w[j] * scaling.scale[j];
                *b += own_w[j] * scaling.mean[j];
            }
        }
    }
}
