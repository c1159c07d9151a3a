//! Features with mean zero and variance one.

use super::coefficients::Linear;
use crate::head::data::matrix::Matrix;
use crate::platform;

/// What features are taken through: `(x - mean) / scale`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Standardisation {
    pub(crate) mean: Vec<f64>,
    /// Standard deviations; one where a column is constant.
    pub(crate) scale: Vec<f64>,
}

/// Rows summed in one piece; decides the order of sums.
const PIECE: usize = 1024;

impl Standardisation {
    /// Means and population standard deviations over the rows named, as scikit-learn's `StandardScaler`; with a weight for each row
    /// of `x`, a row of weight two counts as two rows.
    pub(crate) fn fit(x: &Matrix, rows: &[u32], weights: Option<&[f64]>) -> Self {
        let Standardisation { mean, .. } = Self::centring(x, rows, weights);
        let weights = telling(rows, weights);
        let squares = sum(x, rows, weights, |j, value| {
            let off = value - mean[j];
            off * off
        });
        let total = total(rows, weights);
        let scale = squares
            .iter()
            .zip(&mean)
            .map(|(sum, mean)| {
                let deviation = (sum / total).sqrt();
                // A column that varies by rounding alone would be blown up to noise.
                if deviation > 1e-7 * mean.abs() && deviation > f64::MIN_POSITIVE { deviation } else { 1.0 }
            })
            .collect();
        Standardisation { mean, scale }
    }

    /// Means alone; the scale stays one.
    pub(crate) fn centring(x: &Matrix, rows: &[u32], weights: Option<&[f64]>) -> Self {
        let weights = telling(rows, weights);
        let mut mean = sum(x, rows, weights, |_, value| value);
        let total = total(rows, weights);
        mean.iter_mut().for_each(|sum| *sum /= total);
        Standardisation { scale: vec![1.0; mean.len()], mean }
    }

    /// The rows named, standardised and rounded to f32.
    pub(crate) fn apply(&self, x: &Matrix, rows: &[u32]) -> Matrix<'static> {
        let d = x.columns();
        let mut out = vec![0.0f32; rows.len() * d];
        platform::for_chunks(&mut out, d, |at, out| {
            for (j, (out, &value)) in out.iter_mut().zip(x.row(rows[at] as usize)).enumerate() {
                *out = ((f64::from(value) - self.mean[j]) / self.scale[j]) as f32;
            }
        });
        Matrix::from_parts(out, rows.len(), d)
    }

    /// The same function of features as they are: `w / scale` and `b - mean · w / scale`.
    pub(crate) fn unfold(&self, linear: &Linear) -> Linear {
        let d = self.mean.len();
        let mut raw = linear.clone();
        for (w, b) in raw.coefficients.chunks_exact_mut(d).zip(&mut raw.intercepts) {
            for ((w, scale), mean) in w.iter_mut().zip(&self.scale).zip(&self.mean) {
                *w /= scale;
                *b -= mean * *w;
            }
        }
        raw
    }
}

/// Variance of all columns together.
pub(crate) fn total_variance(x: &Matrix, weights: Option<&[f64]>) -> f64 {
    let rows: Vec<u32> = (0..x.rows() as u32).collect();
    let mean = Standardisation::centring(x, &rows, weights).mean;
    let squares = sum(x, &rows, weights, |j, value| (value - mean[j]).powi(2));
    squares.iter().sum::<f64>() / total(&rows, weights)
}

/// The weights, unless the rows named have none at all: a fold may hold nothing else.
fn telling<'a>(rows: &[u32], weights: Option<&'a [f64]>) -> Option<&'a [f64]> {
    weights.filter(|weights| rows.iter().any(|&row| weights[row as usize] > 0.0))
}

/// Sum of the weights.
fn total(rows: &[u32], weights: Option<&[f64]>) -> f64 {
    match weights {
        None => rows.len() as f64,
        Some(weights) => rows.iter().map(|&row| weights[row as usize]).sum(),
    }
}

/// Column sums of weight times a function of the values.
fn sum(
    x: &Matrix,
    rows: &[u32],
    weights: Option<&[f64]>,
    of: impl Fn(usize, f64) -> f64 + Sync + Send,
) -> Vec<f64> {
    let pieces: Vec<&[u32]> = rows.chunks(PIECE).collect();
    let parts = platform::map(pieces.len(), |piece| {
        let mut sums = vec![0.0; x.columns()];
        for &row in pieces[piece] {
            let weight = weights.map_or(1.0, |weights| weights[row as usize]);
            for (j, (sum, &value)) in sums.iter_mut().zip(x.row(row as usize)).enumerate() {
                *sum += weight * of(j, f64::from(value));
            }
        }
        sums
    });
    let mut total = vec![0.0; x.columns()];
    for part in parts {
        total.iter_mut().zip(&part).for_each(|(total, part)| *total += part);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standardised_columns_have_mean_zero_and_variance_one() {
        let x: Vec<f32> =
            (0..3000).flat_map(|i| [i as f32 * 0.5 + 7.0, 3.25, ((i * i) % 101) as f32]).collect();
        let x = Matrix::new(3000, 3, x).unwrap();
        let rows: Vec<u32> = (0..3000).filter(|row| row % 3 != 0).collect();
        let standardisation = Standardisation::fit(&x, &rows, None);
        for j in [0, 2] {
            let values: Vec<f64> = rows
                .iter()
                .map(|&row| {
                    (f64::from(x.row(row as usize)[j]) - standardisation.mean[j]) / standardisation.scale[j]
                })
                .collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let variance = values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64;
            assert!(mean.abs() <= 1e-12 && (variance - 1.0).abs() <= 1e-12, "column {j}: {mean} {variance}");
        }
        assert_eq!((standardisation.mean[1], standardisation.scale[1]), (3.25, 1.0), "a constant column");
    }

    #[test]
    fn a_weight_counts_as_repeated_rows() {
        let x: Vec<f32> = (0..40).flat_map(|i| [i as f32 * 0.5 - 3.0, ((i * i) % 17) as f32]).collect();
        let x = Matrix::new(40, 2, x).unwrap();
        let weights: Vec<f64> = (0..40).map(|row| f64::from(row % 4)).collect();
        let all: Vec<u32> = (0..40).collect();
        let repeated: Vec<u32> = all.iter().flat_map(|&row| vec![row; row as usize % 4]).collect();
        let weighted = Standardisation::fit(&x, &all, Some(&weights));
        let wanted = Standardisation::fit(&x, &repeated, None);
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-12 * b.abs());
        assert!(near(&weighted.mean, &wanted.mean) && near(&weighted.scale, &wanted.scale));
        assert_ne!(weighted, Standardisation::fit(&x, &all, None));
        assert_eq!(
            Standardisation::fit(&x, &all, Some(&[1.0; 40])),
            Standardisation::fit(&x, &all, None),
            "weights of one keep the bits"
        );
        assert_eq!(
            Standardisation::fit(&x, &[0, 4, 8], Some(&weights)),
            Standardisation::fit(&x, &[0, 4, 8], None),
            "rows that all weigh nothing"
        );
    }
}
