//! Linear heads with an L2 penalty, fitted to their optimum.
//!
//! The objective is scikit-learn's: `C * sum_i w_i loss_i + 0.5 * ||W||²`, the intercept free of penalty. It
//! exceeds a quadratic of curvature one, so a point whose gradient is `g` lies within `||g||` of the optimum:
//! that is what the tolerance means.
//!
//! Features are centred, and standardised where asked for, on the way (never copied): the intercept takes up
//! the shift. What is left of ill-conditioning goes to a Cholesky factor of the Hessian at the start, which
//! L-BFGS takes as its preconditioner; a Gram matrix serves every `C` of a path.

use super::curvature::Curvature;
use super::data::Matrix;
use super::dense::{self, Cholesky};
use super::lbfgs::{self, Minimum, Objective, Stop};
use super::loss::Loss;
use super::parallel;
use super::standardise::Standardisation;

/// Coefficients and intercepts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Linear {
    /// `[outputs, d]`.
    pub(crate) coefficients: Vec<f64>,
    /// `[outputs]`.
    pub(crate) intercepts: Vec<f64>,
}

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
}

/// The most pieces that rows are cut into; the cut decides the order of sums, so it never follows the threads.
const PIECES: usize = 64;
/// Rows whose logits and residuals are kept at a time: few enough for the features to stay in the L1 cache.
const BLOCK: usize = 16;

impl Design<'_> {
    /// Number of coefficients and intercepts.
    fn parameters(&self) -> usize {
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

    /// Sum of `w * loss` of the model that knows only the targets' mean.
    fn null_loss(&self) -> f64 {
        let biases: Vec<f64> =
            null_curvatures(self, 1.0).0.iter().map(|&mean| self.loss.bias_of(mean, 0.0)).collect();
        let mut logits = biases.clone();
        let of_row = |&row: &u32| {
            logits.copy_from_slice(&biases);
            self.weights[row as usize] * self.loss.row(row as usize, &mut logits)
        };
        self.rows.iter().map(of_row).sum()
    }

    fn piece_len(&self) -> usize {
        self.rows.len().div_ceil(PIECES).next_multiple_of(BLOCK)
    }

    /// Sums of `w * loss`, of its gradient in the raw coefficients, and of the residuals.
    fn sums(&self, raw: &Linear) -> Sums {
        let (outputs, d) = (self.loss.outputs(), self.x.columns());
        let pieces: Vec<&[u32]> = self.rows.chunks(self.piece_len().max(1)).collect();
        let parts = parallel::map(pieces.len(), |piece| {
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

struct Sums {
    loss: f64,
    gradient: Vec<f64>,
    residuals: Vec<f64>,
}

impl Sums {
    fn new(outputs: usize, d: usize) -> Self {
        Sums { loss: 0.0, gradient: vec![0.0; outputs * d], residuals: vec![0.0; outputs] }
    }

    fn add(mut self, other: Sums) -> Sums {
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
    let least = (0.5 / weight).min(0.5);
    let mean = |output: usize| {
        let target = |&row: &u32| design.weights[row as usize] * design.loss.target(row as usize, output);
        let mean = design.rows.iter().map(target).sum::<f64>() / weight;
        if let Loss::Squared { .. } = design.loss { mean } else { mean.clamp(least, 1.0 - least) }
    };
    let means: Vec<f64> = (0..design.loss.outputs()).map(mean).collect();
    let strengths = means.iter().map(|&mean| c * weight * design.loss.curvature(mean)).collect();
    (means, strengths)
}

/// How near to its optimum a fit has to come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tolerance {
    /// So far at most from its coefficients, as a share of `max(1, sqrt(outputs))`.
    Distance(f64),
    /// A loss of at most this share of the null model's above its loss.
    Loss(f64),
}

impl Tolerance {
    /// Length of a gradient that is short enough.
    pub(crate) fn gradient(self, design: &Design, c: f64) -> f64 {
        match self {
            Tolerance::Distance(distance) => distance * (design.loss.outputs() as f64).sqrt(),
            // Over a curvature of one or more, half its square bounds what is left to gain.
            Tolerance::Loss(share) => (2.0 * share * c * design.null_loss()).sqrt(),
        }
    }
}

/// How a fit went.
#[derive(Clone, Debug)]
pub(crate) struct Fit {
    /// In standardised features.
    pub(crate) linear: Linear,
    /// Value of the objective.
    pub(crate) objective: f64,
    /// Passes over the data.
    pub(crate) passes: usize,
    pub(crate) converged: bool,
    /// The solver's own coordinates, to start the next fit from.
    pub(crate) warm: Vec<f64>,
}

/// Fits to the optimum for one `C`.
pub(crate) fn fit(
    design: &Design,
    c: f64,
    curvature: Option<&Curvature>,
    start: Option<&[f64]>,
    tolerance: Tolerance,
) -> Fit {
    let penalised = Penalised::new(design, c, curvature);
    let start = start.map_or_else(|| penalised.null_model(), <[f64]>::to_vec);
    let stop = Stop { gradient: tolerance.gradient(design, c), iterations: 5000 };
    let Minimum { x, value, evaluations, converged, .. } = lbfgs::minimise(&penalised, start, stop);
    Fit { linear: linear_of(design, &x), objective: value, passes: evaluations, converged, warm: x }
}

/// Coefficients and intercepts of the solver's coordinates.
pub(crate) fn linear_of(design: &Design, x: &[f64]) -> Linear {
    let outputs = design.loss.outputs();
    let (coefficients, intercepts) = x.split_at(outputs * design.x.columns());
    let mut linear = Linear { coefficients: coefficients.to_vec(), intercepts: intercepts.to_vec() };
    if let Loss::Softmax { .. } = design.loss {
        // A common shift of all intercepts changes nothing; the one without it is reported.
        let mean = linear.intercepts.iter().sum::<f64>() / outputs as f64;
        linear.intercepts.iter_mut().for_each(|b| *b -= mean);
    }
    linear
}

/// The penalised loss over standardised features; parameters are coefficients, then intercepts.
pub(crate) struct Penalised<'a> {
    design: &'a Design<'a>,
    c: f64,
    /// Weight of the squared coefficients; one unless there is another penalty beside.
    ridge: f64,
    /// Mean target of each output.
    means: Vec<f64>,
    /// Sum over rows of `C * w * loss''` at the null model, for each output.
    strengths: Vec<f64>,
    /// Preconditioner of each output's coefficients; empty without.
    factors: Vec<&'a Cholesky>,
}

impl<'a> Penalised<'a> {
    pub(crate) fn new(design: &'a Design<'a>, c: f64, curvature: Option<&'a Curvature>) -> Self {
        let (means, strengths) = null_curvatures(design, c);
        let factors = curvature.and_then(|curvature| {
            strengths.iter().map(|&strength| curvature.nearest(strength)).collect::<Option<Vec<_>>>()
        });
        Penalised { design, c, ridge: 1.0, means, strengths, factors: factors.unwrap_or_default() }
    }

    /// Sum over rows of `C * w * loss''` at the null model, for each output.
    pub(crate) fn strengths(&self) -> &[f64] {
        &self.strengths
    }

    /// The same with another weight of the squared coefficients.
    pub(crate) fn with_ridge(self, ridge: f64) -> Self {
        Penalised { ridge, ..self }
    }

    /// No coefficients, and the intercepts that give each output its mean target.
    pub(crate) fn null_model(&self) -> Vec<f64> {
        let mut start = vec![0.0; self.design.parameters()];
        let from = self.means.len() * self.design.x.columns();
        for (intercept, &share) in start[from..].iter_mut().zip(&self.means) {
            *intercept = self.design.loss.bias_of(share, 0.0);
        }
        start
    }

    /// Coefficients for features as they are.
    fn raw(&self, parameters: &[f64]) -> Linear {
        let (coefficients, intercepts) = parameters.split_at(self.means.len() * self.design.x.columns());
        let linear = Linear { coefficients: coefficients.to_vec(), intercepts: intercepts.to_vec() };
        self.design.standardisation.unfold(&linear)
    }
}

impl Objective for Penalised<'_> {
    fn evaluate(&self, x: &[f64], gradient: &mut [f64]) -> f64 {
        let d = self.design.x.columns();
        let sums = self.design.sums(&self.raw(x));
        let Standardisation { mean, scale } = self.design.standardisation;
        let coefficients = x.len() - self.means.len();
        let (of_coefficients, of_intercepts) = gradient.split_at_mut(coefficients);
        for (output, residual) in sums.residuals.iter().enumerate() {
            of_intercepts[output] = self.c * residual;
            for j in 0..d {
                let at = output * d + j;
                of_coefficients[at] =
                    self.c * (sums.gradient[at] - mean[j] * residual) / scale[j] + self.ridge * x[at];
            }
        }
        self.c * sums.loss + 0.5 * self.ridge * dense::dot(&x[..coefficients], &x[..coefficients])
    }

    fn precondition(&self, gradient: &mut [f64]) {
        let d = self.design.x.columns();
        let (of_coefficients, of_intercepts) = gradient.split_at_mut(self.means.len() * d);
        for (g, strength) in of_intercepts.iter_mut().zip(&self.strengths) {
            *g /= strength;
        }
        if !self.factors.is_empty() {
            parallel::for_chunks(of_coefficients, d, |output, g| {
                self.factors[output].solve(g);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A few rows of every kind of target.
    fn with_each_loss(check: impl Fn(&Design, &str)) {
        let (n, d) = (57, 5);
        let values: Vec<f32> =
            (0..n * d).map(|at| (((at * at * 7 + at * 3) % 101) as f32) / 25.0 - 2.0).collect();
        let x = Matrix::new(n, d, values).unwrap();
        let rows: Vec<u32> = (0..n as u32).filter(|row| row % 5 != 3).collect();
        let weights: Vec<f64> = (0..n).map(|row| 0.5 + (row % 3) as f64).collect();
        let labels: Vec<u32> = (0..n as u32).map(|row| row * row % 7 % 3).collect();
        let binary: Vec<u32> = (0..n as u32).map(|row| row * row % 7 % 2).collect();
        let marks: Vec<bool> = (0..2 * n).map(|at| at * at % 5 < 2).collect();
        let numbers: Vec<f64> = (0..n).map(|row| (row as f64).sin()).collect();
        for standardisation in [Standardisation::fit(&x, &rows), Standardisation::centring(&x, &rows)] {
            for (name, loss) in [
                ("softmax", Loss::Softmax { labels: &labels, classes: 3 }),
                ("logistic", Loss::Logistic { labels: &binary }),
                ("sigmoid", Loss::Sigmoid { marks: &marks, outputs: 2 }),
                ("one label", Loss::OneLabel { marks: &marks, outputs: 2, label: 1 }),
                ("squared", Loss::Squared { values: &numbers }),
            ] {
                let standardisation = &standardisation;
                check(&Design { x: &x, rows: &rows, weights: &weights, loss, standardisation }, name);
            }
        }
    }

    #[test]
    fn gradients_match_finite_differences() {
        with_each_loss(|design, name| {
            let objective = Penalised::new(design, 0.7, None);
            let at: Vec<f64> = (0..design.parameters()).map(|i| ((i * 37 % 11) as f64) / 7.0 - 0.8).collect();
            let mut gradient = vec![0.0; at.len()];
            objective.evaluate(&at, &mut gradient);
            for i in 0..at.len() {
                let moved = |step: f64| {
                    let mut at = at.clone();
                    at[i] += step;
                    objective.evaluate(&at, &mut vec![0.0; at.len()])
                };
                let want = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                let error = (gradient[i] - want).abs();
                assert!(error <= 1e-6 * want.abs().max(1.0), "{name}, parameter {i}: {} {want}", gradient[i]);
            }
        });
    }

    #[test]
    fn any_start_and_any_preconditioner_end_at_the_same_optimum() {
        with_each_loss(|design, name| {
            let mut curvature = Curvature::new(design);
            curvature.prepare(design, 30.0);
            let plain = fit(design, 30.0, None, None, Tolerance::Distance(1e-8));
            let stiff = fit(design, 30.0, Some(&curvature), None, Tolerance::Distance(1e-8));
            let weak = fit(design, 0.3, Some(&curvature), None, Tolerance::Distance(1e-8));
            let warm = fit(design, 30.0, Some(&curvature), Some(&weak.warm), Tolerance::Distance(1e-8));
            for other in [&stiff, &warm] {
                assert!(plain.converged && other.converged, "{name}");
                let parts =
                    |fit: &Fit| [fit.linear.coefficients.clone(), fit.linear.intercepts.clone()].concat();
                for (a, b) in parts(&plain).iter().zip(parts(other)) {
                    assert!((a - b).abs() <= 1e-6, "{name}: {a} {b}");
                }
            }
        });
    }

    #[test]
    fn ridge_is_exact_in_one_preconditioned_step() {
        with_each_loss(|design, name| {
            if name == "squared" {
                let mut curvature = Curvature::new(design);
                curvature.prepare(design, 2.0);
                let fit = fit(design, 2.0, Some(&curvature), None, Tolerance::Distance(1e-9));
                assert!(fit.passes <= 12, "{} passes", fit.passes);
            }
        });
    }
}
