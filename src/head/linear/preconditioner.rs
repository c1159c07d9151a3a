//! Preconditioners of linear fits, from the second moments of the features.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::head::data::matrix::Matrix;
use crate::head::linear::design::Design;
use crate::head::linear::design::null_curvatures;
use crate::head::numeric::cholesky::Cholesky;
use crate::head::numeric::dense;

/// Second moments of features.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    /// Lower triangle of the centred features' weighted scatter matrix, `[d, d]`.
    scatter: Vec<f64>,
    /// Sum of the weights it was made from.
    weight: f64,
    columns: usize,
}

impl Moments {
    /// Over evenly spaced rows when there are many: a few rows per column estimate the moments well enough, and more would
    /// cost more than the steps they save.
    pub(crate) fn new(x: &Matrix, rows: &[u32], weights: &[f64], mean: &[f64]) -> Self {
        let columns = x.columns();
        let most = (3 * columns).clamp(1024, 4096);
        let stride = rows.len().div_ceil(most).max(1);
        let rows: Vec<(&[f32], f64)> =
            (rows.iter().step_by(stride)).map(|&row| (x.row(row as usize), weights[row as usize])).collect();
        let weight = rows.iter().map(|(_, weight)| weight).sum();
        Moments { scatter: dense::scatter(&rows, mean), weight, columns }
    }

    /// The moments of some ascending ranges of columns.
    pub(crate) fn select_columns(&self, ranges: &[Range<usize>]) -> Moments {
        let columns = ranges.iter().map(Range::len).sum();
        let mut scatter = Vec::with_capacity(columns * columns);
        for row in ranges.iter().cloned().flatten() {
            let row = &self.scatter[row * self.columns..(row + 1) * self.columns];
            ranges.iter().for_each(|range| scatter.extend_from_slice(&row[range.clone()]));
        }
        Moments { scatter, weight: self.weight, columns }
    }
}

/// Moments of standardised features, and factors of Hessians made from them.
pub(crate) struct Curvature {
    moments: Moments,
    /// Factors of `2^octave * covariance + I`, by octave.
    factors: BTreeMap<i32, Cholesky>,
}

impl Curvature {
    /// Columns above which factors would take more time and memory than the steps they save.
    pub(crate) const MOST_COLUMNS: usize = 4096;

    pub(crate) fn new(design: &Design) -> Self {
        let mean = &design.standardisation.mean;
        Self::of(Moments::new(design.x, design.rows, design.weights, mean), &design.standardisation.scale)
    }

    /// Of features divided by `scale`.
    pub(crate) fn of(mut moments: Moments, scale: &[f64]) -> Self {
        for (i, row) in moments.scatter.chunks_exact_mut(moments.columns).enumerate() {
            row.iter_mut().zip(scale).for_each(|(value, scale_j)| *value /= scale[i] * scale_j);
        }
        Curvature { moments, factors: BTreeMap::new() }
    }

    /// For fits with a `C` of at most `largest`; none where they do without, unless it is `always` wanted. `known` are the
    /// moments of the design's columns, if somebody has them.
    pub(crate) fn for_fits(
        design: &Design,
        largest: f64,
        always: bool,
        known: Option<&Moments>,
    ) -> Option<Self> {
        let pays = design.x.columns() <= Self::MOST_COLUMNS && design.is_stiff(largest);
        (always || pays).then(|| match known {
            Some(moments) => Self::of(moments.clone(), &design.standardisation.scale),
            None => Self::new(design),
        })
    }

    /// Makes the factors that fits of this design with this `C` ask for, where there is none near, and drops all others.
    pub(crate) fn prepare(&mut self, design: &Design, c: f64) {
        // A large factor takes longer than the steps that a less exact one costs.
        let reach = if self.moments.columns > 1024 { 4 } else { 1 };
        let wanted: BTreeSet<i32> = null_curvatures(design, c).1.into_iter().map(octave).collect();
        let mut kept: BTreeMap<i32, Cholesky> = BTreeMap::new();
        for octave in wanted {
            let near = |known: &BTreeMap<i32, Cholesky>| {
                known.keys().copied().find(|other| other.abs_diff(octave) <= reach)
            };
            if near(&kept).is_some() {
                continue;
            }
            let (octave, factor) = match near(&self.factors) {
                Some(known) => (known, self.factors.remove(&known)),
                None => (octave, self.factored(octave)),
            };
            kept.extend(factor.map(|factor| (octave, factor)));
        }
        self.factors = kept;
    }

    fn factored(&self, octave: i32) -> Option<Cholesky> {
        let d = self.moments.columns;
        let strength = libm::exp2(f64::from(octave)) / self.moments.weight;
        let mut hessian: Vec<f64> = self.moments.scatter.iter().map(|v| v * strength).collect();
        (0..d).for_each(|i| hessian[i * d + i] += 1.0);
        Cholesky::new(d, hessian)
    }

    /// The factor for a sum over rows of `C * w * loss''`, or the nearest one: a preconditioner need not be exact.
    pub(crate) fn nearest(&self, strength: f64) -> Option<&Cholesky> {
        let octave = octave(strength);
        self.factors.iter().min_by_key(|(known, _)| (*known - octave).abs()).map(|(_, factor)| factor)
    }

    /// The features' covariance, `[d, d]`, both triangles.
    pub(crate) fn covariance(&self) -> Vec<f64> {
        let d = self.moments.columns;
        let mut full: Vec<f64> = self.moments.scatter.iter().map(|v| v / self.moments.weight).collect();
        for i in 0..d {
            for j in 0..i {
                full[j * d + i] = full[i * d + j];
            }
        }
        full
    }
}

fn octave(strength: f64) -> i32 {
    libm::log2(strength).round() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_some_columns_are_those_of_a_matrix_of_them() {
        let values: Vec<f32> = (0..60 * 7).map(|i| ((i * i) % 31) as f32 / 7.0).collect();
        let x = Matrix::new(60, 7, values).unwrap();
        let rows: Vec<u32> = (0..60).collect();
        let (weights, mean) = (vec![1.0; 60], vec![2.0; 7]);
        let ranges = [0..2, 3..5, 6..7];
        let some = Moments::new(&x, &rows, &weights, &mean).select_columns(&ranges);
        let own = Moments::new(&x.select_columns(&ranges), &rows, &weights, &mean[..5]);
        assert_eq!((some.columns, some.weight), (5, 60.0));
        for i in 0..5 {
            for j in 0..=i {
                let (a, b) = (some.scatter[i * 5 + j], own.scatter[i * 5 + j]);
                assert!((a - b).abs() <= 1e-9, "[{i},{j}]: {a} {b}");
            }
        }
    }
}
