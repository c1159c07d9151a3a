//! Linear heads with an elastic-net penalty: `C * sum_i w_i loss_i + (1 - r)/2 ||W||² + r ||W||₁`.
//!
//! Two kinds of step take turns. A proximal step finds out which coefficients are zero: it takes the gradient and minimises a
//! quadratic that lies above the loss there (from the features' Gram matrix) plus the penalty, exactly, by coordinate
//! descent in memory, so that correlated features do not slow it down. Then L-BFGS minimises over the coefficients that are
//! not zero, with their signs held, which is smooth. Both only ever go down; once the zeros are the right ones, the second
//! ends at the optimum.
//!
//! Source: the proximal step is Lee, Sun and Saunders' (2014), turns with subspace steps are Wen, Yin, Goldfarb and
//! Zhang's FPC_AS (2010).

use super::active_set::ActiveSet;
use super::objective::{Fit, Penalised, Tolerance, linear_of};
use super::preconditioner::Curvature;
use crate::head::linear::design::Design;
use crate::head::numeric::dense;
use crate::head::numeric::lbfgs::{Objective, Stop};
use crate::head::numeric::loss::Loss;
use crate::platform;

/// Passes after which a fit gives up.
const MOST_PASSES: usize = 3000;

/// Fits to the optimum for one `C` and one share `l1_ratio` of the L1 norm.
///
/// `tolerance` bounds the smallest subgradient at the result, whose scale is that of the penalty: one.
pub(crate) fn fit(
    design: &Design,
    c: f64,
    l1_ratio: f64,
    curvature: &Curvature,
    start: Option<&[f64]>,
    tolerance: Tolerance,
) -> Fit {
    let outputs = design.loss.outputs();
    let d = design.x.columns();
    let (ridge, l1) = (1.0 - l1_ratio, l1_ratio);
    let smooth = Penalised::new(design, c, None).with_ridge(ridge);
    let mut x = start.map_or_else(|| smooth.null_model(), <[f64]>::to_vec);
    let most = match design.loss {
        Loss::Squared { .. } => 1.0,
        Loss::Softmax { .. } => 0.5,
        _ => 0.25,
    };
    let weight: f64 = design.rows.iter().map(|&row| design.weights[row as usize]).sum();
    // Boldly below the bound of the Hessian: where probabilities are far from even, the loss is flatter. The check tells.
    let bold = if most == 1.0 { c * weight } else { c * weight * most / 4.0 };
    let mut quadratic = Quadratic { moments: curvature.covariance(), strength: bold, ridge, l1, d };
    let stop = tolerance.gradient(design, c, smooth.strengths());
    let norm = |x: &[f64]| l1 * x[..outputs * d].iter().map(|w| w.abs()).sum::<f64>();
    let mut gradient = vec![0.0; x.len()];
    let mut value = smooth.evaluate(&x, &mut gradient);
    let mut passes = 1;
    let mut next_gradient = gradient.clone();
    let mut signs: Vec<f64> = vec![];
    let converged = loop {
        if subgradient(&x, &gradient, outputs * d, l1) <= stop {
            break true;
        }
        if passes >= MOST_PASSES {
            break false;
        }
        let next = quadratic.minimise(&x, &gradient, outputs);
        let step: Vec<f64> = next.iter().zip(&x).map(|(a, b)| a - b).collect();
        let next_value = smooth.evaluate(&next, &mut next_gradient);
        passes += 1;
        let model = value + dense::dot(&step, &gradient) + 0.5 * quadratic.product(&step, &step, outputs);
        if !(next_value <= model + 1e-12 * model.abs()) && quadratic.strength < 1e6 * c * weight {
            // Below the loss: too flat a quadratic, or moments of a part of the rows that fall short.
            quadratic.strength *= 2.0;
            continue;
        }
        quadratic.strength = (quadratic.strength * 0.8).max(bold / 16.0);
        (x, value) = (next, next_value);
        std::mem::swap(&mut gradient, &mut next_gradient);
        if let Loss::Softmax { .. } = design.loss {
            value += centre(&mut x, &mut gradient, outputs, l1, ridge);
        }
        let far = subgradient(&x, &gradient, outputs * d, l1);
        if far <= stop {
            break true;
        }
        let active = ActiveSet::new(&smooth, l1, ridge, &quadratic.moments, &x);
        // One that has stayed the same is probably the right one.
        let before = std::mem::replace(&mut signs, active.signs());
        let steps = if before == signs { 1000 } else { 20 };
        let goal = Stop { gradient: (0.5 * stop).max(0.01 * far), iterations: steps };
        let (better, taken) = active.descend(value + norm(&x), goal, &mut next_gradient);
        passes += taken;
        if let Some(better) = better {
            (x, value) = better;
            std::mem::swap(&mut gradient, &mut next_gradient);
        }
    };
    Fit { linear: linear_of(design, &x), objective: value + norm(&x), passes, converged, warm: x }
}

/// Shifts each feature's coefficients, of all classes alike, to where the penalty is least: the loss of a softmax does not
/// see it, and steps along it would have no end. Keeps the gradient true, and returns by how much the smooth part rises.
///
/// Source: Friedman, Hastie and Tibshirani (2010), section 4.1.
fn centre(x: &mut [f64], gradient: &mut [f64], outputs: usize, l1: f64, ridge: f64) -> f64 {
    let d = (x.len() - outputs) / outputs;
    let mut rise = 0.0;
    for j in 0..d {
        let mut sorted: Vec<f64> = (0..outputs).map(|output| x[output * d + j]).collect();
        sorted.sort_by(f64::total_cmp);
        let shift = least_penalty(&sorted, l1, ridge);
        for at in (0..outputs).map(|output| output * d + j).filter(|_| shift != 0.0) {
            let new = x[at] - shift;
            rise += 0.5 * ridge * (new * new - x[at] * x[at]);
            gradient[at] += ridge * (new - x[at]);
            x[at] = new;
        }
    }
    rise
}

/// The `t` of least `sum_k l1 |w_k - t| + ridge / 2 (w_k - t)²`, `w` ascending.
fn least_penalty(w: &[f64], l1: f64, ridge: f64) -> f64 {
    let (count, sum) = (w.len() as f64, w.iter().sum::<f64>());
    // The slope just below and above each value; it rises along the values.
    for (below, &value) in w.iter().enumerate() {
        let slope = ridge * (count * value - sum) + l1 * (2.0 * below as f64 - count);
        if slope > 0.0 {
            // Between this value and the one before it, where only a ridge can turn the slope.
            return (sum - l1 * (2.0 * below as f64 - count) / ridge) / count;
        }
        if slope + 2.0 * l1 >= 0.0 {
            return value;
        }
    }
    sum / count
}

/// The largest `C` at which every coefficient is zero.
pub(crate) fn largest_null_c(design: &Design, l1_ratio: f64) -> f64 {
    let smooth = Penalised::new(design, 1.0, None);
    let x = smooth.null_model();
    let mut gradient = vec![0.0; x.len()];
    smooth.evaluate(&x, &mut gradient);
    let coefficients = design.loss.outputs() * design.x.columns();
    let steepest = gradient[..coefficients].iter().fold(0.0f64, |most, g| most.max(g.abs()));
    if steepest > 0.0 { l1_ratio / steepest } else { 0.0 }
}

/// Euclidean length of the shortest subgradient of the whole objective.
fn subgradient(x: &[f64], gradient: &[f64], coefficients: usize, l1: f64) -> f64 {
    let shortest = |at: usize| -> f64 {
        let g = gradient[at];
        if at >= coefficients {
            g
        } else if x[at] != 0.0 {
            g + l1 * x[at].signum()
        } else {
            (g.abs() - l1).max(0.0)
        }
    };
    (0..x.len()).map(|at| shortest(at).powi(2)).sum::<f64>().sqrt()
}

/// A quadratic above the smooth part, the same for each output, with the penalty.
struct Quadratic {
    /// Covariance of the features, `[d, d]`, both triangles.
    moments: Vec<f64>,
    /// What the covariance is multiplied by.
    strength: f64,
    ridge: f64,
    l1: f64,
    d: usize,
}

impl Quadratic {
    /// `a · H b`, all outputs and intercepts together.
    fn product(&self, a: &[f64], b: &[f64], outputs: usize) -> f64 {
        let (a, a_intercepts) = a.split_at(outputs * self.d);
        let (b, b_intercepts) = b.split_at(outputs * self.d);
        let of_output = |a: &[f64], b: &[f64]| -> f64 {
            let rows = self.moments.chunks_exact(self.d).zip(a).filter(|(_, a)| **a != 0.0);
            rows.map(|(row, a)| a * dense::dot(row, b)).sum()
        };
        let curved: f64 =
            a.chunks_exact(self.d).zip(b.chunks_exact(self.d)).map(|(a, b)| of_output(a, b)).sum();
        self.strength * (curved + dense::dot(a_intercepts, b_intercepts)) + self.ridge * dense::dot(a, b)
    }

    /// The minimum of the quadratic around `at`, plus the L1 norm.
    fn minimise(&self, at: &[f64], gradient: &[f64], outputs: usize) -> Vec<f64> {
        let mut x = at.to_vec();
        let (coefficients, intercepts) = x.split_at_mut(outputs * self.d);
        for (b, g) in intercepts.iter_mut().zip(&gradient[outputs * self.d..]) {
            *b -= g / self.strength;
        }
        platform::for_chunks(coefficients, self.d, |output, w| {
            self.descend(w, gradient[output * self.d..(output + 1) * self.d].to_vec());
        });
        x
    }

    /// Coordinate descent; `slope` is the quadratic's gradient and follows every step.
    fn descend(&self, w: &mut [f64], mut slope: Vec<f64>) {
        const SWEEPS: usize = 200;
        for sweep in 0..SWEEPS {
            let mut largest = 0.0f64;
            for j in 0..self.d {
                // After the first sweep only what is not zero, and every tenth time all.
                if sweep % 10 != 0 && w[j] == 0.0 {
                    continue;
                }
                let curve = self.strength * self.moments[j * self.d + j] + self.ridge;
                if !(curve > 0.0) {
                    continue;
                }
                let goal = w[j] - slope[j] / curve;
                let new = goal.signum() * (goal.abs() - self.l1 / curve).max(0.0);
                let step = new - w[j];
                if step != 0.0 {
                    w[j] = new;
                    let pull = self.strength * step;
                    let row = &self.moments[j * self.d..(j + 1) * self.d];
                    dense::add_scaled(&mut slope, pull, row);
                    slope[j] += self.ridge * step;
                    largest = largest.max(curve * step.abs());
                }
            }
            // In units of the gradient, whose scale is one.
            if sweep % 10 == 0 && largest <= 1e-9 {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::data::matrix::Matrix;
    use crate::head::linear::objective as linear;
    use crate::head::linear::standardise::Standardisation;

    /// Three informative columns of eight, two of them nearly the same.
    fn features(n: usize) -> (Matrix<'static>, Vec<f64>) {
        let mut x = Vec::new();
        let mut signal = Vec::new();
        for row in 0..n {
            let value =
                |salt: usize| ((row * (2 * salt + 3) + row * row * (salt + 1)) % 97) as f64 / 48.0 - 1.0;
            let columns: Vec<f64> =
                (0..8).map(|j| if j == 1 { value(0) + 0.05 * value(9) } else { value(j) }).collect();
            signal.push(2.0 * columns[0] - 1.5 * columns[2] + 0.3 * value(11));
            x.extend(columns.iter().map(|&v| v as f32));
        }
        (Matrix::new(n, 8, x).unwrap(), signal)
    }

    fn with_designs(see: impl Fn(&str, &Design)) {
        let (x, signal) = features(150);
        let rows: Vec<u32> = (0..150).collect();
        let weights: Vec<f64> = (0..150).map(|row| 0.5 + f64::from(row % 2)).collect();
        let binary: Vec<u32> = signal.iter().map(|s| u32::from(*s > 0.0)).collect();
        let labels: Vec<u32> = signal.iter().map(|s| u32::from(*s > -1.0) + u32::from(*s > 0.8)).collect();
        let standardisation = &Standardisation::fit(&x, &rows, None);
        for (name, loss) in [
            ("squared", Loss::Squared { values: &signal }),
            ("logistic", Loss::Logistic { labels: &binary }),
            ("softmax", Loss::Softmax { labels: &labels, classes: 3 }),
        ] {
            see(name, &Design { x: &x, rows: &rows, weights: &weights, loss, standardisation, prior: None });
        }
    }

    fn check(l1_ratio: f64, c: f64, see: impl Fn(&str, &Fit, f64, usize)) {
        with_designs(|name, design| {
            let curvature = Curvature::new(design);
            let fit = fit(design, c, l1_ratio, &curvature, None, Tolerance::Distance(1e-7));
            assert!(fit.converged && fit.passes < 1000, "{name}: {} passes", fit.passes);
            let smooth = Penalised::new(design, c, None).with_ridge(1.0 - l1_ratio);
            let mut gradient = vec![0.0; fit.warm.len()];
            smooth.evaluate(&fit.warm, &mut gradient);
            let outputs = design.loss.outputs();
            see(name, &fit, subgradient(&fit.warm, &gradient, outputs * 8, l1_ratio), outputs);
        });
    }

    #[test]
    fn without_l1_it_is_the_ridge_optimum() {
        let (x, signal) = features(150);
        let rows: Vec<u32> = (0..150).collect();
        let weights = vec![1.0; 150];
        let binary: Vec<u32> = signal.iter().map(|s| u32::from(*s > 0.0)).collect();
        let standardisation = Standardisation::centring(&x, &rows, None);
        let loss = Loss::Logistic { labels: &binary };
        let design = Design {
            x: &x,
            rows: &rows,
            weights: &weights,
            loss,
            standardisation: &standardisation,
            prior: None,
        };
        let curvature = Curvature::new(&design);
        let (a, b) = (
            fit(&design, 3.0, 0.0, &curvature, None, Tolerance::Distance(1e-8)),
            linear::fit(&design, 3.0, None, None, Tolerance::Distance(1e-8)),
        );
        for (a, b) in a.linear.coefficients.iter().zip(&b.linear.coefficients) {
            assert!((a - b).abs() <= 1e-6, "{a} {b}");
        }
        assert!((a.objective - b.objective).abs() <= 1e-9 * b.objective);
    }

    #[test]
    fn optima_satisfy_the_subgradient_condition_and_are_sparse() {
        for (l1_ratio, c) in [(1.0, 0.2), (1.0, 5.0), (0.5, 1.0), (0.9, 300.0)] {
            check(l1_ratio, c, |name, fit, shortest, outputs| {
                assert!(shortest <= 1e-6, "{name}: {shortest}");
                if (l1_ratio, c) == (1.0, 0.2) {
                    let zeros = fit.linear.coefficients.iter().filter(|w| **w == 0.0).count();
                    assert!(zeros >= 3 * outputs, "{name}: {:?}", fit.linear.coefficients);
                    assert!(fit.linear.coefficients.iter().any(|w| w.abs() > 0.1), "{name}");
                }
            });
        }
    }

    #[test]
    fn shifts_have_the_least_penalty() {
        for w in [vec![-1.0, 0.25, 3.0], vec![-2.0, -0.5, 0.0, 4.0], vec![1.0, 1.0, 1.5]] {
            for (l1, ridge) in [(1.0, 0.0), (0.5, 0.5), (0.1, 0.9), (0.0, 1.0)] {
                let penalty = |t: f64| {
                    w.iter().map(|v| l1 * (v - t).abs() + 0.5 * ridge * (v - t).powi(2)).sum::<f64>()
                };
                let found = penalty(least_penalty(&w, l1, ridge));
                let least =
                    (0..7000).map(|i| penalty(f64::from(i) / 1000.0 - 2.5)).fold(f64::INFINITY, f64::min);
                assert!(found <= least + 1e-9, "{w:?} {l1} {ridge}: {found} {least}");
            }
        }
    }

    #[test]
    fn coefficients_leave_zero_where_they_are_said_to() {
        with_designs(|name, design| {
            let c = largest_null_c(design, 0.7);
            let curvature = Curvature::new(design);
            for (c, none) in [(0.99 * c, true), (1.05 * c, false)] {
                let fit = fit(design, c, 0.7, &curvature, None, Tolerance::Distance(1e-7));
                assert_eq!(fit.linear.coefficients.iter().all(|w| *w == 0.0), none, "{name} {c}");
            }
        });
    }
}
