//! Linear heads with an L2 penalty, fitted to their optimum.
//!
//! The objective is scikit-learn's: `C * sum_i w_i loss_i + 0.5 * ||W||²`, the intercept free of penalty. It
//! exceeds a quadratic of curvature one, so a point whose gradient is `g` lies within `||g||` of the optimum:
//! that is what the tolerance means.
//!
//! Features are centred, and standardised where asked for, on the way (never copied): the intercept takes up
//! the shift. What is left of ill-conditioning goes to a Cholesky factor of the Hessian at the start, which
//! L-BFGS takes as its preconditioner; a Gram matrix serves every `C` of a path.

use super::preconditioner::Curvature;
use super::standardise::Standardisation;
use crate::head::linear::coefficients::Linear;
use crate::head::linear::design::Design;
use crate::head::linear::design::null_curvatures;
use crate::head::numeric::cholesky::Cholesky;
use crate::head::numeric::dense;
use crate::head::numeric::lbfgs;
use crate::head::numeric::lbfgs::{Minimum, Objective, Stop};
use crate::head::numeric::loss::Loss;
use crate::platform;

/// How near to its optimum a fit has to come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tolerance {
    /// So far at most from its coefficients, times the root of the outputs. Less where coefficients are small because features
    /// are large, and where intercepts are loosely held because `C` is small.
    Distance(f64),
    /// A loss of at most this share of the null model's above its loss.
    Loss(f64),
}

impl Tolerance {
    /// Length of a gradient that is short enough.
    ///
    /// `strengths` are the curvatures of the intercepts, which no penalty keeps at one.
    pub(crate) fn gradient(self, design: &Design, c: f64, strengths: &[f64]) -> f64 {
        let least = strengths.iter().copied().fold(1.0, f64::min);
        match self {
            Tolerance::Distance(distance) => {
                // 100 times the distance is near enough for an intercept, and for a logit.
                let size = 100.0 / design.mean_square().sqrt();
                distance * (design.loss.outputs() as f64).sqrt() * size.min(100.0 * least).min(1.0)
            }
            // Over a curvature of `least` or more, half its square by it bounds what is left to gain.
            Tolerance::Loss(share) => (2.0 * share * c * design.null_loss() * least).sqrt(),
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
    let stop = Stop { gradient: tolerance.gradient(design, c, penalised.strengths()), iterations: 5000 };
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

    /// No coefficients, and the intercepts that give each output its mean target; of a prior, what it says.
    pub(crate) fn null_model(&self) -> Vec<f64> {
        let mut start = vec![0.0; self.design.parameters()];
        if self.design.prior.is_some() {
            return start;
        }
        let from = self.means.len() * self.design.x.columns();
        for (intercept, &share) in start[from..].iter_mut().zip(&self.means) {
            *intercept = self.design.loss.bias_of(share, 0.0);
        }
        start
    }

    /// Curvature of what holds the intercepts; zero without a prior.
    fn held(&self) -> f64 {
        self.design.prior.map_or(0.0, |prior| prior.intercept_strength(self.c, self.means.len()))
    }

    /// Coefficients for features as they are.
    fn raw(&self, parameters: &[f64]) -> Linear {
        let (coefficients, intercepts) = parameters.split_at(self.means.len() * self.design.x.columns());
        let linear = Linear { coefficients: coefficients.to_vec(), intercepts: intercepts.to_vec() };
        let mut raw = self.design.standardisation.unfold(&linear);
        self.design.prior.iter().for_each(|prior| prior.add_to(&mut raw));
        raw
    }
}

impl Objective for Penalised<'_> {
    fn evaluate(&self, x: &[f64], gradient: &mut [f64]) -> f64 {
        let d = self.design.x.columns();
        let sums = self.design.sums(&self.raw(x));
        let Standardisation { mean, scale } = self.design.standardisation;
        let coefficients = x.len() - self.means.len();
        let held = self.held();
        let (of_coefficients, of_intercepts) = gradient.split_at_mut(coefficients);
        for (output, residual) in sums.residuals.iter().enumerate() {
            of_intercepts[output] = self.c * residual + held * x[coefficients + output];
            for j in 0..d {
                let at = output * d + j;
                of_coefficients[at] =
                    self.c * (sums.gradient[at] - mean[j] * residual) / scale[j] + self.ridge * x[at];
            }
        }
        let intercepts = &x[coefficients..];
        self.c * sums.loss
            + 0.5 * self.ridge * dense::dot(&x[..coefficients], &x[..coefficients])
            + 0.5 * held * dense::dot(intercepts, intercepts)
    }

    fn precondition(&self, gradient: &mut [f64]) {
        let d = self.design.x.columns();
        let (of_coefficients, of_intercepts) = gradient.split_at_mut(self.means.len() * d);
        let held = self.held();
        for (g, strength) in of_intercepts.iter_mut().zip(&self.strengths) {
            *g /= strength + held;
        }
        if !self.factors.is_empty() {
            platform::for_chunks(of_coefficients, d, |output, g| {
                self.factors[output].solve(g);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::data::matrix::Matrix;
    use crate::head::linear::prior::Prior;
    use crate::head::numeric::lbfgs::tests::gradient_and_differences;

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
        for standardisation in
            [Standardisation::fit(&x, &rows, None), Standardisation::centring(&x, &rows, None)]
        {
            for (name, loss) in [
                ("softmax", Loss::Softmax { labels: &labels, classes: 3 }),
                ("logistic", Loss::Logistic { labels: &binary }),
                ("sigmoid", Loss::Sigmoid { marks: &marks, outputs: 2 }),
                ("one label", Loss::OneLabel { marks: &marks, outputs: 2, label: 1 }),
                ("squared", Loss::Squared { values: &numbers }),
            ] {
                let standardisation = &standardisation;
                check(
                    &Design { x: &x, rows: &rows, weights: &weights, loss, standardisation, prior: None },
                    name,
                );
            }
        }
    }

    fn check_gradient(objective: &Penalised, at: &[f64], name: &str) {
        for (i, (gradient, want)) in gradient_and_differences(objective, at).into_iter().enumerate() {
            let error = (gradient - want).abs();
            assert!(error <= 1e-6 * want.abs().max(1.0), "{name}, parameter {i}: {gradient} {want}");
        }
    }

    #[test]
    fn gradients_match_finite_differences() {
        with_each_loss(|design, name| {
            let objective = Penalised::new(design, 0.7, None);
            let at: Vec<f64> = (0..design.parameters()).map(|i| ((i * 37 % 11) as f64) / 7.0 - 0.8).collect();
            check_gradient(&objective, &at, name);
        });
    }

    #[test]
    fn gradients_towards_a_prior_match_finite_differences() {
        with_each_loss(|design, name| {
            let parameters = design.parameters();
            let numbers = |by: usize| (0..parameters).map(move |i| ((i * by % 13) as f64) / 9.0 - 0.6);
            let all: Vec<f64> = numbers(29).collect();
            let (coefficients, intercepts) = all.split_at(parameters - design.loss.outputs());
            let linear = Linear { coefficients: coefficients.to_vec(), intercepts: intercepts.to_vec() };
            let prior = Prior { linear, rows: 3.0 };
            let design = Design { prior: Some(&prior), ..*design };
            let objective = Penalised::new(&design, 0.7, None);
            let at: Vec<f64> = numbers(37).collect();
            check_gradient(&objective, &at, name);
        });
    }

    #[test]
    fn the_optimum_near_a_prior_is_that_of_scipy() {
        // scipy.optimize.minimize (BFGS, gtol 1e-12) of the objective as it is written, C = 0.7.
        let x = vec![1.0, 0.2, 0.8, -0.4, -0.5, 0.9, -1.1, 0.3, 0.1, 1.2, 0.4, -0.9];
        let x = Matrix::new(6, 2, x).unwrap();
        let rows: Vec<u32> = (0..6).collect();
        let fitted = |loss: Loss, coefficients: Vec<f64>, intercepts: Vec<f64>, standardise: bool| {
            let standardisation = if standardise {
                Standardisation::fit(&x, &rows, None)
            } else {
                Standardisation::centring(&x, &rows, None)
            };
            let prior = Prior { linear: Linear { coefficients, intercepts }, rows: 2.0 };
            let (standardisation, prior) = (&standardisation, Some(&prior));
            let design = Design { x: &x, rows: &rows, weights: &[1.0; 6], loss, standardisation, prior };
            let fit = fit(&design, 0.7, None, None, Tolerance::Distance(1e-9));
            assert!(fit.converged);
            let mut linear = fit.linear.clone();
            prior.unwrap().add_to_standardised(&mut linear, standardisation);
            let folded = standardisation.unfold(&linear);
            let mut raw = standardisation.unfold(&fit.linear);
            prior.unwrap().add_to(&mut raw);
            let all = |linear: &Linear| [&linear.coefficients[..], &linear.intercepts].concat();
            for (a, b) in all(&folded).iter().zip(all(&raw)) {
                assert!((a - b).abs() <= 1e-12, "two ways to add a prior: {a} {b}");
            }
            (all(&raw), fit.objective)
        };
        let near = |found: (Vec<f64>, f64), want: &[f64], objective: f64| {
            // x is f32 here, and 0.2 is not the same number there.
            assert!((found.1 - objective).abs() <= 1e-7, "{} {objective}", found.1);
            for (a, b) in found.0.iter().zip(want) {
                assert!((a - b).abs() <= 1e-6, "{:?} {want:?}", found.0);
            }
        };
        let binary = Loss::Logistic { labels: &[1, 1, 0, 0, 0, 1] };
        let found = fitted(binary, vec![0.5, -2.0], vec![0.3], false);
        near(found, &[0.9675128, -2.23104294, 0.3855237514189687], 0.8174887077055955);
        let three = Loss::Softmax { labels: &[0, 1, 2, 2, 1, 0], classes: 3 };
        let found = fitted(three, vec![1.0, 0.0, 0.0, 1.0, -1.0, -1.0], vec![0.1, -0.2, 0.1], false);
        let want = [
            1.11991362,
            -0.27838349,
            0.39620496,
            0.81079738,
            -1.51611867,
            -0.53241399,
            -0.10253646,
            -0.0981222,
            0.20065857,
        ];
        near(found, &want, 3.179946351874343);
        // Standardised features have another penalty, and the two ways to add a prior agree there, too.
        fitted(binary, vec![0.5, -2.0], vec![0.3], true);
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
