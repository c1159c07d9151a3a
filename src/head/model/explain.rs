//! Which tokens a linear head's logit comes from.

use super::head::Head;
use crate::error::{Error, Result};
use crate::head::data::matrix::Matrix;
use crate::head::data::targets::Problem;
use crate::head::numeric::dense;

/// A logit taken apart: `logit = base + sum over tokens of share`.
///
/// Of two classes each has its log-odds against the other here: one is the other's negative, so that what speaks for the first
/// class shows as well as what speaks for the second.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenShares {
    /// Each token's share of each name's logit, `[tokens, names]`.
    pub shares: Vec<f64>,
    /// What each logit is without any token, `[names]`: the intercept, and what calibration and standardisation shift.
    pub base: Vec<f64>,
    /// Calibrated logits, `[names]`.
    pub logits: Vec<f64>,
}

impl Head {
    /// Each token's share of the logits of one text, for a linear head over mean pooling.
    ///
    /// Shapes: `tokens` `[tokens, dimension]`, the vectors that pooling takes the mean of. `normalised` says whether the
    /// mean is then scaled to length one.
    ///
    /// Without normalisation the logit is a sum over tokens, and the shares are exact: a token left out would take away
    /// its share (but for the mean's new count). With it, all tokens together decide the length that each is divided by;
    /// the shares hold that length fixed. They still sum to the logit exactly, but say what a token does only to first
    /// order.
    ///
    /// # Errors
    /// The input, when the head is not linear, there are no tokens, or they have another number of columns.
    pub fn token_shares(&self, tokens: &Matrix, normalised: bool) -> Result<TokenShares> {
        let Some((coefficients, intercepts)) = self.coefficients() else {
            return Err(Error::input(format!(
                "explaining a prediction: expected a linear head, found kind {:?}",
                self.kind()
            )));
        };
        if tokens.rows() == 0 || tokens.columns() != self.dimension() {
            return Err(Error::input(format!(
                "explaining a prediction: expected token vectors of {} columns, found {} of {}",
                self.dimension(),
                tokens.rows(),
                tokens.columns()
            )));
        }
        let (outputs, count) = (intercepts.len(), tokens.rows() as f64);
        let mut length = 1.0;
        if normalised {
            let mut mean = vec![0.0; tokens.columns()];
            for row in 0..tokens.rows() {
                mean.iter_mut().zip(tokens.row(row)).for_each(|(m, &v)| *m += f64::from(v) / count);
            }
            // The encoder's guard against a zero vector.
            length = dense::dot(&mean, &mean).sqrt().max(1e-12);
        }
        let rows: Vec<&[f32]> = (0..tokens.rows()).map(|row| tokens.row(row)).collect();
        let mut shares = vec![0.0; tokens.rows() * outputs];
        dense::affine(&rows, &coefficients, &vec![0.0; outputs], &mut shares);
        let calibration = self.calibration();
        for row in shares.chunks_exact_mut(outputs) {
            row.iter_mut()
                .zip(&calibration.scale)
                .for_each(|(share, scale)| *share *= scale / (count * length));
        }
        let mut base = intercepts;
        calibration.apply(&mut base);
        let logits: Vec<f64> = (0..outputs)
            .map(|output| base[output] + shares.iter().skip(output).step_by(outputs).sum::<f64>())
            .collect();
        let odds = self.problem() == Problem::SingleLabel && outputs == 1;
        let all = |values: &[f64]| -> Vec<f64> {
            if odds { values.iter().flat_map(|logit| [-logit, *logit]).collect() } else { values.to_vec() }
        };
        Ok(TokenShares { shares: all(&shares), base: all(&base), logits: all(&logits) })
    }
}
