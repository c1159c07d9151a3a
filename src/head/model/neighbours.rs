//! Few-shot baselines: the nearest centroid, and the k nearest neighbours.

use crate::head::data::matrix::Matrix;
use crate::head::linear::coefficients::Linear;
use crate::head::numeric::dense;
use crate::head::numeric::loss::Loss;
use crate::platform;

/// The training rows themselves; a prediction is the mean target of the `k` nearest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Neighbours {
    pub(crate) k: usize,
    /// Training rows, `[rows, d]`.
    pub(crate) rows: Vec<f32>,
    pub(crate) columns: usize,
    /// Targets of each training row, `[rows, outputs]`: ones and zeros, or numbers.
    pub(crate) targets: Vec<f64>,
    pub(crate) outputs: usize,
    pub(crate) answer: Answer,
}

/// What the mean target means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Shares of one class of several.
    OneOf,
    /// A share for each label.
    EachOf,
    /// A number.
    Number,
}

impl Neighbours {
    pub(crate) fn new(x: &Matrix, rows: &[u32], loss: &Loss, k: usize) -> Self {
        let outputs = loss.outputs();
        Neighbours {
            k: k.clamp(1, rows.len()),
            rows: x.select_rows(rows).values().to_vec(),
            columns: x.columns(),
            targets: (rows.iter())
                .flat_map(|&row| (0..outputs).map(move |output| loss.target(row as usize, output)))
                .collect(),
            outputs,
            answer: match loss {
                Loss::Squared { .. } => Answer::Number,
                Loss::Softmax { .. } => Answer::OneOf,
                _ => Answer::EachOf,
            },
        }
    }

    /// Logits of the rows named. Votes are smoothed by one vote split evenly, so that none is certain.
    pub(crate) fn logits(&self, x: &Matrix, rows: &[u32]) -> Vec<f64> {
        const PIECE: usize = 16;
        let known: Vec<f64> = self.rows.iter().map(|&v| f64::from(v)).collect();
        // A row is the nearer, the larger x · t - |t|² / 2.
        let halves: Vec<f64> = known.chunks_exact(self.columns).map(|t| -0.5 * dense::dot(t, t)).collect();
        let mut out = vec![0.0; rows.len() * self.outputs];
        platform::for_chunks(&mut out, PIECE * self.outputs, |piece, out| {
            let rows = &rows[piece * PIECE..piece * PIECE + out.len() / self.outputs];
            let features: Vec<&[f32]> = rows.iter().map(|&row| x.row(row as usize)).collect();
            let mut near = vec![0.0; rows.len() * halves.len()];
            dense::affine(&features, &known, &halves, &mut near);
            for (near, out) in near.chunks_exact(halves.len()).zip(out.chunks_exact_mut(self.outputs)) {
                self.mean_target(near, out);
            }
        });
        out
    }

    fn mean_target(&self, near: &[f64], out: &mut [f64]) {
        let mut order: Vec<u32> = (0..near.len() as u32).collect();
        // Equals by their row number, so that the choice does not depend on the selection algorithm.
        let nearer = |a: &u32, b: &u32| near[*b as usize].total_cmp(&near[*a as usize]).then(a.cmp(b));
        if self.k < order.len() {
            order.select_nth_unstable_by(self.k - 1, nearer);
            order.truncate(self.k);
        }
        order.sort_unstable();
        for row in &order {
            let targets = &self.targets[*row as usize * self.outputs..][..self.outputs];
            out.iter_mut().zip(targets).for_each(|(sum, target)| *sum += target);
        }
        let k = self.k as f64;
        let classes = self.outputs as f64;
        for value in out.iter_mut() {
            *value = match self.answer {
                Answer::Number => *value / k,
                // The softmax of these gives the smoothed shares back.
                Answer::OneOf => libm::log((*value + 1.0 / classes) / (k + 1.0)),
                Answer::EachOf => libm::log((*value + 0.5) / (k - *value + 0.5)),
            };
        }
    }
}

/// A linear model whose logits are those of equal round clouds, of variance one, about each class's mean (of one label:
/// about the rows that bear it and those that do not).
pub(crate) fn nearest_centroid(x: &Matrix, rows: &[u32], weights: &[f64], loss: &Loss) -> Linear {
    let (outputs, d) = (loss.outputs(), x.columns());
    let softmax = matches!(loss, Loss::Softmax { .. });
    let centroid = |inside: &dyn Fn(usize) -> bool| -> Vec<f64> {
        let (mut mean, mut total) = (vec![0.0; d], 0.0);
        for row in rows.iter().map(|&row| row as usize).filter(|&row| inside(row)) {
            total += weights[row];
            mean.iter_mut().zip(x.row(row)).for_each(|(m, &v)| *m += weights[row] * f64::from(v));
        }
        mean.iter_mut().for_each(|m| *m /= f64::max(total, f64::MIN_POSITIVE));
        mean
    };
    let all = centroid(&|_| true);
    let mut linear = Linear { coefficients: vec![], intercepts: vec![] };
    for output in 0..outputs {
        let own = centroid(&|row| loss.target(row, output) > 0.0);
        let other = if softmax { all.clone() } else { centroid(&|row| loss.target(row, output) == 0.0) };
        let w: Vec<f64> = own.iter().zip(&other).map(|(a, b)| a - b).collect();
        // Zero halfway between the two centroids.
        linear.intercepts.push(0.5 * (dense::dot(&other, &other) - dense::dot(&own, &own)));
        linear.coefficients.extend(w);
    }
    linear
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> (Matrix<'static>, Vec<u32>) {
        let x = vec![0.0, 0.0, 0.1, 0.0, 0.0, 0.2, 5.0, 5.0, 5.1, 5.0, 9.0, 0.0];
        (Matrix::new(6, 2, x).unwrap(), vec![0, 0, 0, 1, 1, 2])
    }

    #[test]
    fn neighbours_vote() {
        let (x, labels) = grid();
        let rows: Vec<u32> = (0..6).collect();
        let model = Neighbours::new(&x, &rows, &Loss::Softmax { labels: &labels, classes: 3 }, 3);
        let logits = model.logits(&x, &rows);
        let mut p = logits[..3].to_vec();
        crate::head::numeric::loss::softmax(&mut p);
        // Three votes for class 0, one vote shared.
        assert!((p[0] - (3.0 + 1.0 / 3.0) / 4.0).abs() <= 1e-12, "{p:?}");
        assert!(logits[3 * 3 + 1] > logits[3 * 3] && logits[3 * 3 + 1] > logits[3 * 3 + 2]);
        let values = [1.0, 2.0, 3.0, 10.0, 20.0, 7.0];
        let model = Neighbours::new(&x, &rows, &Loss::Squared { values: &values }, 2);
        assert_eq!(model.logits(&x, &[3]), [15.0]);
        assert_eq!(Neighbours::new(&x, &rows, &Loss::Squared { values: &values }, 99).k, 6);
        let binary = [0, 0, 0, 1, 1, 1];
        let model = Neighbours::new(&x, &rows, &Loss::Logistic { labels: &binary }, 3);
        assert!((model.logits(&x, &[0])[0] - libm::log(0.5 / 3.5)).abs() <= 1e-12);
    }

    #[test]
    fn the_nearest_centroid_wins() {
        let (x, labels) = grid();
        let rows: Vec<u32> = (0..6).collect();
        let linear = nearest_centroid(&x, &rows, &[1.0; 6], &Loss::Softmax { labels: &labels, classes: 3 });
        for (point, class) in [([1.0, 1.0], 0), ([4.0, 4.0], 1), ([8.0, 1.0], 2)] {
            let logit = |k: usize| {
                linear.coefficients[2 * k] * point[0]
                    + linear.coefficients[2 * k + 1] * point[1]
                    + linear.intercepts[k]
            };
            assert!((0..3).all(|k| k == class || logit(class) > logit(k)), "{point:?}");
        }
        let binary = [0, 0, 0, 1, 1, 1];
        let linear = nearest_centroid(&x, &rows, &[1.0; 6], &Loss::Logistic { labels: &binary });
        // Halfway between the centroids the logit is zero.
        let (a, b) = ([0.1 / 3.0, 0.2 / 3.0], [19.1 / 3.0, 10.0 / 3.0]);
        let middle = [0.5 * (a[0] + b[0]), 0.5 * (a[1] + b[1])];
        let logit =
            linear.coefficients[0] * middle[0] + linear.coefficients[1] * middle[1] + linear.intercepts[0];
        assert!(logit.abs() <= 1e-5, "{logit}");
    }
}
