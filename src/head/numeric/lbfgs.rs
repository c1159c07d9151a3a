//! L-BFGS for smooth convex functions, with a preconditioner.
//!
//! Source: Nocedal and Wright, *Numerical Optimization*, algorithm 7.5; the acceptance test near the optimum is
//! Hager and Zhang's (2005), because differences of the value drown in rounding long before the gradient does.

use std::collections::VecDeque;

use super::dense::dot;

/// A convex function with a gradient.
pub(crate) trait Objective {
    /// The value at `x`; writes the gradient.
    fn evaluate(&self, x: &[f64], gradient: &mut [f64]) -> f64;

    /// Replaces a gradient by an estimate of the Newton step (without its sign).
    fn precondition(&self, _gradient: &mut [f64]) {}
}

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    /// Largest Euclidean length of the gradient.
    pub(crate) gradient: f64,
    /// Most iterations.
    pub(crate) iterations: usize,
}

/// Where it stopped.
#[derive(Clone, Debug)]
pub(crate) struct Minimum {
    pub(crate) x: Vec<f64>,
    pub(crate) value: f64,
    /// Evaluations of the function.
    pub(crate) evaluations: usize,
    /// Whether the gradient got as small as asked for, or as small as rounding allows.
    pub(crate) converged: bool,
}

/// Pairs of steps and gradient changes kept.
const MEMORY: usize = 12;

/// Minimises `objective` from `x`.
pub(crate) fn minimise(objective: &impl Objective, mut x: Vec<f64>, stop: Stop) -> Minimum {
    let mut gradient = vec![0.0; x.len()];
    let mut value = objective.evaluate(&x, &mut gradient);
    let mut memory: VecDeque<Pair> = VecDeque::with_capacity(MEMORY);
    let (mut evaluations, mut iterations) = (1, 0);
    let mut converged = false;
    loop {
        let length = dot(&gradient, &gradient).sqrt();
        converged |= length <= stop.gradient;
        if converged || iterations == stop.iterations || !length.is_finite() {
            return Minimum { x, value, evaluations, converged };
        }
        iterations += 1;
        let mut direction = descent(objective, &memory, &gradient);
        let mut slope = dot(&direction, &gradient);
        if !(slope < 0.0) {
            // Rounding has spoilt the memory: start over from the preconditioned gradient.
            memory.clear();
            direction = descent(objective, &memory, &gradient);
            slope = dot(&direction, &gradient);
        }
        let line = Line { objective, from: &x, direction: &direction, value, slope };
        let Some(next) = line.search(&mut evaluations) else {
            // No point on the line is better by more than rounding: this is the optimum for f64.
            converged = true;
            continue;
        };
        let step: Vec<f64> = next.x.iter().zip(&x).map(|(new, old)| new - old).collect();
        let change: Vec<f64> = next.gradient.iter().zip(&gradient).map(|(new, old)| new - old).collect();
        let curvature = dot(&step, &change);
        if curvature > 1e-14 * dot(&change, &change).sqrt() * dot(&step, &step).sqrt() {
            let mut scaled = change.clone();
            objective.precondition(&mut scaled);
            let scale = curvature / dot(&change, &scaled);
            if memory.len() == MEMORY {
                memory.pop_front();
            }
            memory.push_back(Pair { step, change, curvature, scale });
        }
        (x, value, gradient) = (next.x, next.value, next.gradient);
    }
}

/// One step and what it did to the gradient.
struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    /// `step · change`.
    curvature: f64,
    /// By how much the preconditioner has to be scaled to fit this pair.
    scale: f64,
}

/// The two-loop recursion: minus the estimated inverse Hessian times the gradient.
fn descent(objective: &impl Objective, memory: &VecDeque<Pair>, gradient: &[f64]) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut weights = Vec::with_capacity(memory.len());
    for pair in memory.iter().rev() {
        let weight = dot(&pair.step, &direction) / pair.curvature;
        add(&mut direction, -weight, &pair.change);
        weights.push(weight);
    }
    objective.precondition(&mut direction);
    if let Some(last) = memory.back() {
        direction.iter_mut().for_each(|value| *value *= last.scale);
    }
    for (pair, weight) in memory.iter().zip(weights.iter().rev()) {
        let back = dot(&pair.change, &direction) / pair.curvature;
        add(&mut direction, weight - back, &pair.step);
    }
    direction
}

fn add(to: &mut [f64], scale: f64, other: &[f64]) {
    to.iter_mut().zip(other).for_each(|(to, other)| *to += scale * other);
}

/// The function along a line.
struct Line<'a, O> {
    objective: &'a O,
    from: &'a [f64],
    direction: &'a [f64],
    value: f64,
    slope: f64,
}

struct Point {
    x: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
}

impl<O: Objective> Line<'_, O> {
    /// A point that satisfies the Wolfe conditions.
    ///
    /// The function is convex, so its slope grows along the line and brackets the minimum by its sign.
    fn search(&self, evaluations: &mut usize) -> Option<Point> {
        // Below this a difference of two values says nothing.
        let noise = 1e-14 * self.value.abs();
        let (mut low, mut low_slope) = (0.0, self.slope);
        let mut high: Option<(f64, f64)> = None;
        let mut step = 1.0;
        // The end that moved last, to see when the other one stays put.
        let mut moved_low = None;
        for _ in 0..60 {
            let mut x = self.from.to_vec();
            add(&mut x, step, self.direction);
            let mut gradient = vec![0.0; x.len()];
            let value = self.objective.evaluate(&x, &mut gradient);
            *evaluations += 1;
            let slope = dot(&gradient, self.direction);
            let decreased = value <= self.value + 1e-4 * step * self.slope;
            let level = value <= self.value + noise && slope <= -0.8 * self.slope;
            if slope.abs() <= 0.9 * self.slope.abs() && (decreased || level) {
                return Some(Point { x, value, gradient });
            }
            // Where the secant stalls at one end, that end's slope counts half each time (the Illinois rule).
            if slope < 0.0 && value <= self.value + noise {
                (low, low_slope) = (step, slope);
                if let (Some(true), Some((_, slope))) = (moved_low, &mut high) {
                    *slope *= 0.5;
                }
                moved_low = Some(true);
            } else {
                // Overflow lands here too: an infinite slope makes the next step a tenth.
                high = Some((step, if slope.is_finite() { slope.abs() } else { f64::INFINITY }));
                if moved_low == Some(false) {
                    low_slope *= 0.5;
                }
                moved_low = Some(false);
            }
            step = match high {
                None => {
                    // The slope's zero by the secant, but between twice and ten times as far.
                    let secant = step * self.slope / (self.slope - low_slope);
                    if secant.is_finite() { secant.clamp(2.0 * step, 10.0 * step) } else { 10.0 * step }
                }
                Some((high, high_slope)) => {
                    let share = low_slope / (low_slope - high_slope);
                    let share = if share.is_finite() { share.clamp(0.1, 0.9) } else { 0.1 };
                    low + (high - low) * share
                }
            };
            if !(step > low) || !step.is_finite() {
                return None;
            }
        }
        None
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Of each parameter at `x`, its part of the gradient and the same by finite differences.
    pub(crate) fn gradient_and_differences(objective: &impl Objective, x: &[f64]) -> Vec<(f64, f64)> {
        let mut gradient = vec![0.0; x.len()];
        objective.evaluate(x, &mut gradient);
        let of = |(i, gradient): (usize, f64)| {
            let moved = |step: f64| {
                let mut x = x.to_vec();
                x[i] += step;
                objective.evaluate(&x, &mut vec![0.0; x.len()])
            };
            (gradient, (moved(1e-5) - moved(-1e-5)) / 2e-5)
        };
        gradient.into_iter().enumerate().map(of).collect()
    }

    /// `sum_i a_i x_i² / 2 + log(cosh(x_i - i))`: convex, badly scaled.
    struct Bowl {
        scales: Vec<f64>,
        preconditioned: bool,
    }

    impl Objective for Bowl {
        fn evaluate(&self, x: &[f64], gradient: &mut [f64]) -> f64 {
            let mut value = 0.0;
            for (i, (&x, &a)) in x.iter().zip(&self.scales).enumerate() {
                let shifted = x - i as f64;
                value += 0.5 * a * x * x + shifted.abs() + (-2.0 * shifted.abs()).exp().ln_1p();
                gradient[i] = a * x + shifted.tanh();
            }
            value
        }

        fn precondition(&self, gradient: &mut [f64]) {
            if self.preconditioned {
                gradient.iter_mut().zip(&self.scales).for_each(|(g, a)| *g /= a + 0.1);
            }
        }
    }

    #[test]
    fn finds_the_optimum_of_a_badly_scaled_bowl() {
        let scales: Vec<f64> = (0..30).map(|i| 10f64.powf(f64::from(i) / 5.0 - 2.0)).collect();
        let run = |preconditioned| {
            let bowl = Bowl { scales: scales.clone(), preconditioned };
            minimise(&bowl, vec![5.0; 30], Stop { gradient: 1e-9, iterations: 5000 })
        };
        let (plain, helped) = (run(false), run(true));
        assert!(plain.converged && helped.converged, "{} and {}", plain.evaluations, helped.evaluations);
        assert!(
            helped.evaluations * 2 < plain.evaluations,
            "{} and {}",
            helped.evaluations,
            plain.evaluations
        );
        for (a, b) in plain.x.iter().zip(&helped.x) {
            assert!((a - b).abs() <= 1e-6, "{a} {b}");
        }
    }

    #[test]
    fn an_unreachable_tolerance_ends_at_rounding() {
        let bowl = Bowl { scales: vec![1.0, 1e6], preconditioned: false };
        let minimum = minimise(&bowl, vec![3.0, -2.0], Stop { gradient: 0.0, iterations: 1000 });
        assert!(minimum.converged && minimum.evaluations < 1000);
        assert!(
            minimum.x[0].abs() <= 1e-6 && (minimum.x[1] - 1e-6 * 1f64.tanh()).abs() <= 1e-9,
            "{:?}",
            minimum.x
        );
    }
}
