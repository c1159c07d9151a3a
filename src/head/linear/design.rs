//! The rows that a linear head is fitted on, and passes over them.

use super::coefficients::Linear;
use super::prior::Prior;
use super::standardise::Standardisation;
use crate::head::data::matrix::Matrix;
use crate::head::numeric::dense;
use crate::head::numeric::loss::Loss;
use crate::platform;

/// Rows to fit on.
pub(crate) struct Design<'a> {
    pub(crate) x: &'a Matrix<'a>,
    /// Rows of `x` and of the loss's targets.
    pub(crate) rows: &'a [u32],
    /// Weight of each row of `x`.
    pub(crate) weights: &'a [f64],
    pub(crate) loss: Loss<'a>,
    /// What the features are taken through on the way.
    pub(crate) standardisation: &'a Standardisation,
    /// Where the coefficients are drawn to; none: to zero.
    pub(crate) prior: Option<&'a Prior>,
}

/// The most pieces that rows are cut into; the cut decides the order of sums, so it never follows the threads.
const PIECES: usize = 64;
/// Rows whose logits and residuals are kept at a time: few enough for the features to stay in the L1 cache.
const BLOCK: usize = 16;

impl Design<'_> {
    /// Number of coefficients and intercepts.
    pub(crate) fn parameters(&self) -> usize {
        self.loss.outputs() * (self.x.columns() + 1)
    }

    /// Whether a fit takes so many fewer steps with a preconditioner that making it pays.
    ///
    /// Without one the steps grow with the root of the Hessian's condition. Its smallest eigenvalue is one; its largest is
    /// bounded here by the trace, from a few rows.
    pub(crate) fn is_stiff(&self, c: f64) -> bool {
        const ROWS: usize = 256;
        const LIMIT: f64 = 300.0;
        let Standardisation { mean, scale } = self.standardisation;
        let stride = self.rows.len().div_ceil(ROWS).max(1);
        let (mut squares, mut count) = (0.0, 0.0);
        for &row in self.rows.iter().step_by(stride) {
            let square = |(j, &value): (usize, &f32)| ((f64::from(value) - mean[j]) / scale[j]).powi(2);
            squares += self.weights[row as usize]
                * self.x.row(row as usize).iter().enumerate().map(square).sum::<f64>();
            count += 1.0;
        }
        let bound = if matches!(self.loss, Loss::Squared { .. }) { 1.0 } else { 0.25 };
        c * bound * squares / count * self.rows.len() as f64 > LIMIT
    }

    /// Mean squared length of the features, from a few rows.
    pub(crate) fn mean_square(&self) -> f64 {
        const ROWS: usize = 64;
        let Standardisation { mean, scale } = self.standardisation;
        let rows = self.rows.iter().step_by(self.rows.len().div_ceil(ROWS).max(1));
        let count = rows.len().max(1) as f64;
        let square = |(j, &value): (usize, &f32)| ((f64::from(value) - mean[j]) / scale[j]).powi(2);
        let squares = rows.map(|&row| self.x.row(row as usize).iter().enumerate().map(square).sum::<f64>());
        squares.sum::<f64>() / count
    }

    /// Sum of `w * loss` of the model that knows only the targets' mean.
    pub(crate) fn null_loss(&self) -> f64 {
        let biases: Vec<f64> =
            null_curvatures(self, 1.0).0.iter().map(|&mean| self.loss.bias_of(mean, 0.0)).collect();
        let mut logits = biases.clone();
        let of_row = |&row: &u32| {
            logits.copy_from_slice(&biases);
            self.weights[row as usize] * self.loss.row(row as usize, &mut logits)
        };
        self.rows.iter().map(of_row).sum()
    }

    pub(crate) fn piece_len(&self) -> usize {
        self.rows.len().div_ceil(PIECES).next_multiple_of(BLOCK)
    }

    /// Sums of `w * loss`, of its gradient in the raw coefficients, and of the residuals.
    pub(crate) fn sums(&self, raw: &Linear) -> Sums {
        let (outputs, d) = (self.loss.outputs(), self.x.columns());
        let pieces: Vec<&[u32]> = self.rows.chunks(self.piece_len().max(1)).collect();
        let parts = platform::map(pieces.len(), |piece| {
            let mut sums = Sums::new(outputs, d);
            let mut logits = [0.0; BLOCK * 8];
            let mut many = vec![0.0; if outputs > 8 { BLOCK * outputs } else { 0 }];
            let logits = if outputs > 8 { &mut many[..] } else { &mut logits[..BLOCK * outputs] };
            let mut features: Vec<&[f32]> = Vec::with_capacity(BLOCK);
            for rows in pieces[piece].chunks(BLOCK) {
                features.clear();
                features.extend(rows.iter().map(|&row| self.x.row(row as usize)));
                let logits = &mut logits[..rows.len() * outputs];
                dense::affine(&features, &raw.coefficients, &raw.intercepts, logits);
                for (&row, logits) in rows.iter().zip(logits.chunks_exact_mut(outputs)) {
                    let weight = self.weights[row as usize];
                    sums.loss += weight * self.loss.row(row as usize, logits);
                    for (residual, sum) in logits.iter_mut().zip(&mut sums.residuals) {
                        *residual *= weight;
                        *sum += *residual;
                    }
                }
                dense::add_outer(&features, logits, outputs, &mut sums.gradient);
            }
            sums
        });
        parts.into_iter().reduce(Sums::add).unwrap_or_else(|| Sums::new(outputs, d))
    }
}

pub(crate) struct Sums {
    pub(crate) loss: f64,
    pub(crate) gradient: Vec<f64>,
    pub(crate) residuals: Vec<f64>,
}

impl Sums {
    pub(crate) fn new(outputs: usize, d: usize) -> Self {
        Sums { loss: 0.0, gradient: vec![0.0; outputs * d], residuals: vec![0.0; outputs] }
    }

    pub(crate) fn add(mut self, other: Sums) -> Sums {
        self.loss += other.loss;
        self.gradient.iter_mut().zip(&other.gradient).for_each(|(a, b)| *a += b);
        self.residuals.iter_mut().zip(&other.residuals).for_each(|(a, b)| *a += b);
        self
    }
}

/// Of each output, its mean target and the sum over rows of `C * w * loss''`, for a model that knows only that mean.
pub(crate) fn null_curvatures(design: &Design, c: f64) -> (Vec<f64>, Vec<f64>) {
    let weight: f64 = design.rows.iter().map(|&row| design.weights[row as usize]).sum();
    // A class without rows (in a fold, say) counts as half a row: its intercept has no optimum, but a way there.
    let counted = design.rows.iter().filter(|&&row| design.weights[row as usize] > 0.0).count();
    let least = (0.5 / counted.max(1) as f64).min(0.5);
    let mean = |output: usize| {
        let target = |&row: &u32| design.weights[row as usize] * design.loss.target(row as usize, output);
        let mean = design.rows.iter().map(target).sum::<f64>() / weight;
        if let Loss::Squared { .. } = design.loss { mean } else { mean.clamp(least, 1.0 - least) }
    };
    let means: Vec<f64> = (0..design.loss.outputs()).map(mean).collect();
    let strengths = means.iter().map(|&mean| c * weight * design.loss.curvature(mean)).collect();
    (means, strengths)
}
