//! Cholesky factors.

use fearless_simd::{Level, dispatch, prelude::*};

use super::dense::{add_rows_tile, add_scaled, affine, dot_tile};
use crate::platform;

/// A lower triangular factor `L` of `A = L Lᵀ`.
#[derive(Clone, Debug)]
pub(crate) struct Cholesky {
    d: usize,
    lower: Vec<f64>,
}

impl Cholesky {
    /// Factors the symmetric positive definite `[d, d]` matrix whose lower triangle is given.
    ///
    /// `None` when a pivot is not a positive number: the matrix is singular to rounding, or holds a NaN.
    pub(crate) fn new(d: usize, mut a: Vec<f64>) -> Option<Self> {
        const BLOCK: usize = 32;
        for start in (0..d).step_by(BLOCK) {
            let width = BLOCK.min(d - start);
            let rest = &mut a[start * d..];
            // What the columns before `start` take off this block column; its own rows are needed by all.
            let pivot_rows: Vec<f64> =
                rest[..width * d].chunks_exact(d).flat_map(|row| row[..start].iter().copied()).collect();
            if start > 0 {
                platform::for_chunks(rest, BLOCK * d, |_, rows| {
                    let mut taken = vec![0.0; rows.len() / d * width];
                    let left: Vec<&[f64]> = rows.chunks_exact(d).map(|row| &row[..start]).collect();
                    affine(&left, &pivot_rows, &[0.0; BLOCK][..width], &mut taken);
                    for (row, taken) in rows.chunks_exact_mut(d).zip(taken.chunks_exact(width)) {
                        for (value, taken) in row[start..start + width].iter_mut().zip(taken) {
                            *value -= taken;
                        }
                    }
                });
            }
            let (pivot, below) = rest.split_at_mut(width * d);
            for i in 0..width {
                for j in 0..=i {
                    let mut value = pivot[i * d + start + j];
                    for k in 0..j {
                        value -= pivot[i * d + start + k] * pivot[j * d + start + k];
                    }
                    if i > j {
                        pivot[i * d + start + j] = value / pivot[j * d + start + j];
                    } else if value > 0.0 && value.is_finite() {
                        pivot[i * d + start + i] = value.sqrt();
                    } else {
                        return None;
                    }
                }
            }
            if !below.is_empty() {
                platform::for_chunks(below, BLOCK * d, |_, rows| {
                    for row in rows.chunks_exact_mut(d) {
                        let row = &mut row[start..start + width];
                        for j in 0..width {
                            let pivot = &pivot[j * d + start..j * d + start + width];
                            let mut value = row[j];
                            for k in 0..j {
                                value -= row[k] * pivot[k];
                            }
                            row[j] = value / pivot[j];
                        }
                    }
                });
            }
        }
        Some(Cholesky { d, lower: a })
    }

    /// The inverse of `L`, `[d, d]`, zero above the diagonal.
    pub(crate) fn inverse_factor(&self) -> Vec<f64> {
        let d = self.d;
        let mut inverse = vec![0.0; d * d];
        for i in 0..d {
            let (above, row) = inverse.split_at_mut(i * d);
            let row = &mut row[..d];
            row[i] = 1.0;
            for j in 0..i {
                add_scaled(&mut row[..=j], -self.lower[i * d + j], &above[j * d..=j * d + j]);
            }
            row[..=i].iter_mut().for_each(|value| *value /= self.lower[i * d + i]);
        }
        inverse
    }

    /// Replaces `b` by the solution of `A x = b`.
    pub(crate) fn solve(&self, b: &mut [f64]) {
        dispatch!(Level::new(), simd => self.solve_simd(simd, b));
    }

    #[inline(always)]
    fn solve_simd<S: Simd>(&self, simd: S, b: &mut [f64]) {
        let d = self.d;
        let row = |i: usize| &self.lower[i * d..i * d + i];
        let diagonal = |i: usize| self.lower[i * d + i];
        for i in 0..d {
            let (solved, rest) = b.split_at_mut(i);
            rest[0] = (rest[0] - dot_tile(simd, [row(i)], [&*solved])[0][0]) / diagonal(i);
        }
        for i in (0..d).rev() {
            b[i] /= diagonal(i);
            let (rest, solved) = b.split_at_mut(i);
            add_rows_tile(simd, rest, [-solved[0]], [row(i)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::dense::tests::noise;
    use super::super::dense::{dot, scatter};
    use super::*;

    #[test]
    fn cholesky_solves_what_scatter_builds() {
        for (n, d) in [(3, 1), (40, 5), (90, 31), (300, 33), (300, 70)] {
            let x = noise(n * d, 6);
            let weights: Vec<f64> = noise(n, 7).iter().map(|value| value.abs() + 0.1).collect();
            let rows: Vec<(&[f64], f64)> = x.chunks_exact(d).zip(weights.iter().copied()).collect();
            let mean = noise(d, 8);
            let mut a = scatter(&rows, &mean);
            for i in 0..d {
                for j in 0..=i {
                    let want: f64 =
                        rows.iter().map(|(row, w)| w * (row[i] - mean[i]) * (row[j] - mean[j])).sum();
                    assert!((a[i * d + j] - want).abs() <= 1e-10, "scatter[{i},{j}]");
                    a[j * d + i] = a[i * d + j];
                }
                a[i * d + i] += 1.0;
            }
            let want = noise(d, 9);
            let mut b: Vec<f64> = (0..d).map(|i| dot(&a[i * d..(i + 1) * d], &want)).collect();
            let factored = Cholesky::new(d, a).expect("positive definite");
            let inverse = factored.inverse_factor();
            for at in 0..d * d {
                let (i, j) = (at / d, at % d);
                let product: f64 = (j..=i).map(|k| inverse[i * d + k] * factored.lower[k * d + j]).sum();
                assert!((product - f64::from(i == j)).abs() <= 1e-9, "{n}x{d}, [{i}, {j}]: {product}");
            }
            factored.solve(&mut b);
            for (got, want) in b.iter().zip(&want) {
                assert!((got - want).abs() <= 1e-9, "{n}x{d}: {got} instead of {want}");
            }
        }
        assert!(Cholesky::new(2, vec![1.0, 0.0, 2.0, 1.0]).is_none(), "indefinite");
        assert!(Cholesky::new(1, vec![f64::NAN]).is_none());
    }
}
