//! The windows of one long text become one vector.

use std::ops::Range;

use crate::model::Pooling;

/// How the vectors of windows become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Combine {
    /// The mean, weighted by the tokens that each window pools.
    Mean,
    /// The largest value per column.
    Max,
}

impl Combine {
    pub(crate) fn of(pooling: &[Pooling]) -> Self {
        if pooling == [Pooling::Max] { Combine::Max } else { Combine::Mean }
    }

    /// One vector of the rows `rows` of `values`, `[rows, width]`, which weigh `weights`.
    pub(crate) fn rows(
        self,
        values: &[f32],
        weights: &[usize],
        rows: Range<usize>,
        width: usize,
    ) -> Vec<f32> {
        let row = |at: usize| &values[at * width..(at + 1) * width];
        if rows.len() == 1 {
            return row(rows.start).to_vec();
        }
        match self {
            Combine::Max => {
                let mut best = row(rows.start).to_vec();
                for at in rows.skip(1) {
                    best.iter_mut().zip(row(at)).for_each(|(best, value)| *best = best.max(*value));
                }
                best
            }
            Combine::Mean => {
                let total: f64 = rows.clone().map(|at| weights[at] as f64).sum();
                let mut sum = vec![0.0f64; width];
                for at in rows {
                    let weight = weights[at] as f64 / total;
                    sum.iter_mut().zip(row(at)).for_each(|(sum, value)| *sum += weight * f64::from(*value));
                }
                sum.into_iter().map(|x| x as f32).collect()
            }
        }
    }
}

/// Scales a vector to unit length.
pub(crate) fn normalize(row: &mut [f32]) {
    let norm = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-12);
    row.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
}
