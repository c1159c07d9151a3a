//! The elastic net on the coefficients that are not zero: with their signs held, a smooth function.

use super::objective::Penalised;
use crate::head::numeric::cholesky::Cholesky;
use crate::head::numeric::dense;
use crate::head::numeric::lbfgs;
use crate::head::numeric::lbfgs::{Objective, Stop};

/// The coordinates that may move: coefficients that are not zero, and all intercepts.
pub(crate) struct ActiveSet<'a> {
    smooth: &'a Penalised<'a>,
    l1: f64,
    /// All coordinates; those that may not move are zero.
    x: &'a [f64],
    places: Vec<usize>,
    /// Signs of the coordinates that may move; zero for intercepts, which have no penalty.
    signs: Vec<f64>,
    /// Of each output, how many coordinates it has here and their preconditioner.
    blocks: Vec<(usize, Option<Cholesky>)>,
}

impl<'a> ActiveSet<'a> {
    /// `covariance` is that of the features, `[d, d]`.
    pub(crate) fn new(
        smooth: &'a Penalised<'a>,
        l1: f64,
        ridge: f64,
        covariance: &[f64],
        x: &'a [f64],
    ) -> Self {
        let outputs = smooth.strengths().len();
        let d = (x.len() - outputs) / outputs;
        let mut places = Vec::new();
        let mut blocks = Vec::with_capacity(outputs);
        for (output, strength) in smooth.strengths().iter().enumerate() {
            let own: Vec<usize> = (0..d).filter(|j| x[output * d + j] != 0.0).collect();
            let mut hessian: Vec<f64> =
                own.iter().flat_map(|i| own.iter().map(move |j| strength * covariance[i * d + j])).collect();
            // Without a ridge, equal columns would leave it singular.
            (0..own.len()).for_each(|i| hessian[i * own.len() + i] += ridge + 1e-9 * strength);
            blocks.push((own.len(), Cholesky::new(own.len(), hessian)));
            places.extend(own.iter().map(|j| output * d + j));
        }
        let mut signs: Vec<f64> = places.iter().map(|&at| x[at].signum()).collect();
        places.extend(outputs * d..x.len());
        signs.resize(places.len(), 0.0);
        ActiveSet { smooth, l1, x, places, signs, blocks }
    }

    /// Signs of all coordinates that may move, by place: two active sets with the same are the same.
    pub(crate) fn signs(&self) -> Vec<f64> {
        let mut signs = vec![0.0; self.x.len()];
        self.places.iter().zip(&self.signs).for_each(|(&at, sign)| signs[at] = *sign);
        signs
    }

    /// A point whose objective is below `from` and that has no new coefficient, with the smooth part's value and `gradient`
    /// there; none when there is no better one. Also the passes taken.
    pub(crate) fn descend(
        &self,
        from: f64,
        stop: Stop,
        gradient: &mut [f64],
    ) -> (Option<(Vec<f64>, f64)>, usize) {
        let start: Vec<f64> = self.places.iter().map(|&at| self.x[at]).collect();
        let minimum = lbfgs::minimise(self, start.clone(), stop);
        let mut passes = minimum.evaluations;
        let crosses = |i: usize, to: f64| self.signs[i] != 0.0 && to * self.signs[i] <= 0.0;
        let crossing: Vec<usize> = (0..start.len()).filter(|&i| crosses(i, minimum.x[i])).collect();
        let mut goals = vec![minimum.x.clone()];
        if !crossing.is_empty() {
            // First what crosses zero set to zero. That may be uphill; as far as the first crossing is not.
            crossing.iter().for_each(|&i| goals[0][i] = 0.0);
            let share = |&i: &usize| start[i] / (start[i] - minimum.x[i]);
            if let Some(first) = crossing.iter().copied().min_by(|a, b| share(a).total_cmp(&share(b))) {
                let step = share(&first);
                let mut goal: Vec<f64> =
                    start.iter().zip(&minimum.x).map(|(a, b)| a + step * (b - a)).collect();
                goal[first] = 0.0;
                // Rounding must not carry others across.
                crossing.iter().for_each(|&i| goal[i] = if crosses(i, goal[i]) { 0.0 } else { goal[i] });
                goals.push(goal);
            }
        }
        for goal in goals {
            let x = self.all(&goal);
            let value = self.smooth.evaluate(&x, gradient);
            passes += 1;
            if value + self.norm(&goal) < from {
                return (Some((x, value)), passes);
            }
        }
        (None, passes)
    }

    fn all(&self, own: &[f64]) -> Vec<f64> {
        let mut x = self.x.to_vec();
        self.places.iter().zip(own).for_each(|(&at, value)| x[at] = *value);
        x
    }

    /// The L1 term; beyond zero it goes on falling, which keeps it smooth.
    fn norm(&self, own: &[f64]) -> f64 {
        self.l1 * dense::dot(own, &self.signs)
    }
}

impl Objective for ActiveSet<'_> {
    fn evaluate(&self, own: &[f64], gradient: &mut [f64]) -> f64 {
        let x = self.all(own);
        let mut full = vec![0.0; x.len()];
        let value = self.smooth.evaluate(&x, &mut full);
        for ((g, &at), sign) in gradient.iter_mut().zip(&self.places).zip(&self.signs) {
            *g = full[at] + self.l1 * sign;
        }
        value + self.norm(own)
    }

    fn precondition(&self, gradient: &mut [f64]) {
        let mut rest = gradient;
        for (len, factor) in &self.blocks {
            let (own, after) = rest.split_at_mut(*len);
            if let Some(factor) = factor {
                factor.solve(own);
            }
            rest = after;
        }
        rest.iter_mut().zip(self.smooth.strengths()).for_each(|(g, strength)| *g /= strength);
    }
}
