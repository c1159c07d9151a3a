//! Training rows as a cloud about the centre of each class, all of one shape: how many deviations a row is from the nearest centre.
//!
//! Source: Lee et al. (2018), *A simple unified framework for detecting out-of-distribution samples*, with the covariance shrunk as Ledoit
//! and Wolf (2004) do, so that it has an inverse where there are fewer rows than columns.

use crate::head::data::matrix::Matrix;
use crate::head::measure::curves::thin;
use crate::head::numeric::cholesky::Cholesky;
use crate::head::numeric::dense;
use crate::platform;

/// Centres and the inverse of the covariance that they share.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gaussian {
    /// Lower triangle, row by row, of the factor that turns rows into ones whose covariance is the identity.
    pub(crate) factor: Vec<f32>,
    /// Centres through that factor, `[centres, columns]`.
    pub(crate) centres: Vec<f32>,
    /// Distances of training rows, each as if it had not been there, ascending, thinned.
    pub(crate) distances: Vec<f32>,
    columns: usize,
}

/// Largest size of factor and centres in bytes.
const MOST_BYTES: usize = 4 << 20;
/// Scores of training rows that are kept, of each kind.
pub(super) const SCORES: usize = 1000;
/// Rows that are taken through the factor at a time.
const PIECE: usize = 16;

impl Gaussian {
    /// Entries of a lower triangle.
    pub(crate) fn triangle(columns: usize) -> usize {
        columns * (columns + 1) / 2
    }

    /// From what a file holds; none where the sizes do not go together, or a number cannot be.
    pub(crate) fn from_parts(
        columns: usize,
        factor: Vec<f32>,
        centres: Vec<f32>,
        distances: Vec<f32>,
    ) -> Option<Self> {
        let diagonal = || (0..columns).map(|i| factor[Self::triangle(i) + i]);
        // In 64 bits: a browser's sizes have 32, and a file may say what it likes.
        let entries = columns as u64;
        let is_sound = columns > 0
            && entries.checked_mul(entries + 1).is_some_and(|twice| twice / 2 == factor.len() as u64)
            && !centres.is_empty()
            && centres.len().is_multiple_of(columns)
            && !distances.is_empty()
            && distances.is_sorted()
            && factor.iter().chain(&centres).chain(&distances).all(|v| v.is_finite())
            && diagonal().all(|v| v > 0.0);
        is_sound.then_some(Gaussian { factor, centres, distances, columns })
    }

    /// Fits the cloud; `labels` says which of `centres` each row belongs to. With too many centres for a file there is one for all. None
    /// where rows have too many columns, or do not differ at all.
    pub(crate) fn fit(rows: &Matrix, labels: &[u32], centres: usize) -> Option<Self> {
        let (count, columns) = (rows.rows(), rows.columns());
        let bytes = |centres: usize| 4 * (Self::triangle(columns) + centres * columns);
        if bytes(1) > MOST_BYTES || count == 0 {
            return None;
        }
        if bytes(centres) > MOST_BYTES {
            return Self::fit(rows, &vec![0; count], 1);
        }
        let mut members: Vec<Vec<u32>> = vec![Vec::new(); centres];
        labels.iter().enumerate().for_each(|(row, label)| members[*label as usize].push(row as u32));
        // Which centre a row's label is, of the classes that have rows.
        let mut of_label = vec![0usize; centres];
        let mut means = Vec::new();
        let mut scatter = vec![0.0f64; columns * columns];
        for (label, members) in members.iter().enumerate().filter(|(_, members)| !members.is_empty()) {
            of_label[label] = means.len();
            let mut mean = vec![0.0f64; columns];
            for row in members {
                mean.iter_mut().zip(rows.row(*row as usize)).for_each(|(sum, v)| *sum += f64::from(*v));
            }
            mean.iter_mut().for_each(|sum| *sum /= members.len() as f64);
            let own: Vec<(&[f32], f64)> = members.iter().map(|row| (rows.row(*row as usize), 1.0)).collect();
            scatter.iter_mut().zip(dense::scatter(&own, &mean)).for_each(|(sum, own)| *sum += own);
            means.push(mean);
        }
        let size = |row: u32| -> f64 {
            let mean = &means[of_label[labels[row as usize] as usize]];
            let difference = rows.row(row as usize).iter().zip(mean).map(|(v, mean)| f64::from(*v) - mean);
            difference.map(|v| v * v).sum::<f64>()
        };
        let fourth: f64 = (0..count as u32).map(|row| size(row).powi(2)).sum();
        let shrinkage = shrink(&mut scatter, columns, count, fourth)?;
        let factor = Cholesky::new(columns, scatter)?.inverse_factor();
        let lower = (0..columns).flat_map(|i| factor[i * columns..=i * columns + i].iter());
        let mut cloud = Gaussian {
            factor: lower.map(|v| *v as f32).collect(),
            centres: Vec::new(),
            distances: vec![0.0],
            columns,
        };
        let square = cloud.square();
        let zeros = vec![0.0; columns];
        let means: Vec<&[f64]> = means.iter().map(Vec::as_slice).collect();
        let mut centres = vec![0.0; means.len() * columns];
        dense::affine(&means, &square, &zeros, &mut centres);
        cloud.centres = centres.into_iter().map(|v| v as f32).collect();
        let counts: Vec<usize> = members.iter().map(Vec::len).filter(|members| *members > 0).collect();
        let left_out = |row: usize, whitened: &[f64]| {
            let own = of_label[labels[row] as usize];
            cloud.without(whitened, own, counts[own], (1.0 - shrinkage) / count as f64)
        };
        let mut distances = cloud.map(rows, left_out);
        if !distances.iter().all(|distance| distance.is_finite()) {
            return None;
        }
        distances.sort_by(f32::total_cmp);
        cloud.distances = thin(&distances, SCORES);
        Self::from_parts(columns, cloud.factor, cloud.centres, cloud.distances)
    }

    /// How many deviations each row is from the nearest centre.
    pub(crate) fn distances(&self, rows: &Matrix) -> Vec<f32> {
        self.map(rows, |_, whitened| {
            let squares = self.centres.chunks_exact(self.columns).map(|centre| apart(whitened, centre));
            squares.fold(f64::INFINITY, f64::min).sqrt() as f32
        })
    }

    /// What `of` says of each row's number and the row through the factor.
    fn map(&self, rows: &Matrix, of: impl Fn(usize, &[f64]) -> f32 + Sync) -> Vec<f32> {
        let (square, zeros) = (self.square(), vec![0.0; self.columns]);
        let mut found = vec![0.0f32; rows.rows()];
        platform::for_chunks(&mut found, PIECE, |piece, out| {
            let from = piece * PIECE;
            let features: Vec<&[f32]> = (from..from + out.len()).map(|row| rows.row(row)).collect();
            let mut whitened = vec![0.0; out.len() * self.columns];
            dense::affine(&features, &square, &zeros, &mut whitened);
            for (at, (out, whitened)) in out.iter_mut().zip(whitened.chunks_exact(self.columns)).enumerate() {
                *out = of(from + at, whitened);
            }
        });
        found
    }

    /// The factor as a square matrix.
    fn square(&self) -> Vec<f64> {
        let d = self.columns;
        let mut square = vec![0.0; d * d];
        for i in 0..d {
            let row = &self.factor[Self::triangle(i)..][..=i];
            square[i * d..=i * d + i].iter_mut().zip(row).for_each(|(out, v)| *out = f64::from(*v));
        }
        square
    }

    /// The distance of a training row of the centre `own` of `count` rows, had it taken no part in that centre and in the covariance, of which
    /// it is the share `part`: by the formula of Sherman and Morrison.
    fn without(&self, whitened: &[f64], own: usize, count: usize, part: f64) -> f32 {
        let (d, count) = (self.columns, count as f64);
        let centre = &self.centres[own * d..][..d];
        let residual: Vec<f64> = whitened.iter().zip(centre).map(|(v, c)| v - f64::from(*c)).collect();
        let q: f64 = residual.iter().map(|v| v * v).sum();
        // A row that is its class alone leaves no centre, and had no part in the covariance.
        let is_alone = count <= 1.0;
        let grown = if is_alone { 0.0 } else { count / (count - 1.0) };
        let taken = part * grown;
        let left = (1.0 - taken * q).max(1e-9);
        let mut least = if is_alone { f64::INFINITY } else { grown * grown * q / left };
        let others = self.centres.chunks_exact(d).enumerate().filter(|(other, _)| *other != own);
        for (_, centre) in others {
            let along: f64 =
                whitened.iter().zip(centre).zip(&residual).map(|((v, c), r)| (v - f64::from(*c)) * r).sum();
            let square = apart(whitened, centre);
            least = least.min(square + taken * along * along / left);
        }
        // One class of one row: nothing is known without it.
        if least.is_finite() { least.sqrt() as f32 } else { q.sqrt() as f32 }
    }
}

/// The square of the distance of a row from a centre, both through the factor.
fn apart(whitened: &[f64], centre: &[f32]) -> f64 {
    whitened.iter().zip(centre).map(|(v, c)| (v - f64::from(*c)).powi(2)).sum()
}

/// Turns the scatter of `count` rows about their centres into a covariance, shrunk towards a sphere; how much. `fourth` is the sum of the fourth powers
/// of the rows' lengths. None when the rows do not differ.
fn shrink(scatter: &mut [f64], d: usize, count: usize, fourth: f64) -> Option<f64> {
    let n = count as f64;
    let trace: f64 = (0..d).map(|i| scatter[i * d + i] / n).sum();
    let mean = trace / d as f64;
    if !(mean > 0.0 && mean.is_finite()) {
        return None;
    }
    let mut squares = 0.0;
    for i in 0..d {
        let below: f64 = scatter[i * d..i * d + i].iter().map(|v| v * v).sum();
        squares += 2.0 * below + scatter[i * d + i] * scatter[i * d + i];
    }
    squares /= n * n;
    let beta = (fourth / n - squares) / (d as f64 * n);
    let delta = (squares - d as f64 * mean * mean) / d as f64;
    let beta = beta.min(delta).max(0.0);
    let shrinkage = if beta == 0.0 { 0.0 } else { beta / delta };
    scatter.iter_mut().for_each(|v| *v *= (1.0 - shrinkage) / n);
    (0..d).for_each(|i| scatter[i * d + i] += shrinkage * mean);
    Some(shrinkage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::numeric::dense::tests::noise;

    /// Rows of a few classes, not round, and their labels.
    fn drawn(count: usize, columns: usize, classes: usize, salt: u64) -> (Matrix<'static>, Vec<u32>) {
        let noise = noise(count * columns, salt);
        let labels: Vec<u32> = (0..count).map(|row| (row % classes) as u32).collect();
        let values = (0..count * columns).map(|at| {
            let (row, column) = (at / columns, at % columns);
            let wide = 1.0 + column as f64;
            (noise[at] * wide + noise[row * columns] + 3.0 * f64::from(labels[row]) * (column % 2) as f64)
                as f32
        });
        (Matrix::new(count, columns, values.collect::<Vec<f32>>()).unwrap(), labels)
    }

    /// The squared distance of one row from the nearest of the classes' centres, by plain sums; the row `without` takes no part in centres and scatter, the
    /// number of rows and the shrinkage stay.
    fn plain(
        (rows, labels): (&Matrix, &[u32]),
        row: &[f32],
        classes: usize,
        without: Option<usize>,
        shrinkage: f64,
        sphere: f64,
    ) -> f64 {
        let d = rows.columns();
        let kept: Vec<usize> = (0..rows.rows()).filter(|row| Some(*row) != without).collect();
        let mut means = vec![];
        let mut covariance = vec![0.0; d * d];
        for class in 0..classes as u32 {
            let own: Vec<usize> = kept.iter().copied().filter(|row| labels[*row] == class).collect();
            if own.is_empty() {
                continue;
            }
            let mean: Vec<f64> = (0..d)
                .map(|i| own.iter().map(|row| f64::from(rows.row(*row)[i])).sum::<f64>() / own.len() as f64)
                .collect();
            for row in own {
                let r: Vec<f64> = rows.row(row).iter().zip(&mean).map(|(v, m)| f64::from(*v) - m).collect();
                (0..d * d).for_each(|at| covariance[at] += r[at / d] * r[at % d]);
            }
            means.push(mean);
        }
        covariance.iter_mut().for_each(|v| *v *= (1.0 - shrinkage) / rows.rows() as f64);
        (0..d).for_each(|i| covariance[i * d + i] += shrinkage * sphere);
        let solver = Cholesky::new(d, covariance).unwrap();
        means
            .iter()
            .map(|mean| {
                let r: Vec<f64> = row.iter().zip(mean).map(|(v, m)| f64::from(*v) - m).collect();
                let mut solved = r.clone();
                solver.solve(&mut solved);
                r.iter().zip(&solved).map(|(a, b)| a * b).sum::<f64>()
            })
            .fold(f64::INFINITY, f64::min)
    }

    /// Shrinkage and the sphere's radius squared by the same formulas, written as sums over rows.
    fn shrinkage(rows: &Matrix, labels: &[u32], classes: usize) -> (f64, f64) {
        let (n, d) = (rows.rows(), rows.columns());
        let mut residuals = vec![];
        for class in 0..classes as u32 {
            let own: Vec<usize> = (0..n).filter(|row| labels[*row] == class).collect();
            for &row in &own {
                residuals.push(
                    (0..d)
                        .map(|i| {
                            let mean = own.iter().map(|row| f64::from(rows.row(*row)[i])).sum::<f64>();
                            f64::from(rows.row(row)[i]) - mean / own.len() as f64
                        })
                        .collect::<Vec<f64>>(),
                );
            }
        }
        let s = |i: usize, j: usize| residuals.iter().map(|r| r[i] * r[j]).sum::<f64>() / n as f64;
        let mu = (0..d).map(|i| s(i, i)).sum::<f64>() / d as f64;
        let squares: f64 = (0..d * d).map(|at| s(at / d, at % d).powi(2)).sum();
        let delta = (squares - d as f64 * mu * mu) / d as f64;
        let fourth: f64 = residuals.iter().map(|r| r.iter().map(|v| v * v).sum::<f64>().powi(2)).sum();
        let beta = ((fourth / n as f64 - squares) / (d * n) as f64).min(delta);
        (beta / delta, mu)
    }

    #[test]
    fn distances_are_those_of_the_formula_and_training_rows_are_left_out_of_their_own() {
        for (count, columns, classes) in [(60, 5, 3), (200, 12, 2), (25, 40, 2), (50, 7, 1)] {
            let (rows, labels) = drawn(count, columns, classes, 3);
            let cloud = Gaussian::fit(&rows, &labels, classes).unwrap();
            let (share, sphere) = shrinkage(&rows, &labels, classes);
            let fresh = drawn(9, columns, 3, 5).0;
            for (row, found) in cloud.distances(&fresh).into_iter().enumerate() {
                let want = plain((&rows, &labels), fresh.row(row), classes, None, share, sphere).sqrt();
                assert!((f64::from(found) - want).abs() < 2e-4 * want, "{count}x{columns}: {found} {want}");
            }
            let mut left_out: Vec<f64> = (0..count)
                .map(|row| plain((&rows, &labels), rows.row(row), classes, Some(row), share, sphere).sqrt())
                .collect();
            left_out.sort_by(f64::total_cmp);
            assert_eq!(cloud.distances.len(), count);
            for (found, want) in cloud.distances.iter().zip(&left_out) {
                assert!((f64::from(*found) - want).abs() < 2e-4 * want, "{count}x{columns}: {found} {want}");
            }
        }
    }

    #[test]
    fn the_shrinkage_is_that_of_scikit_learn() {
        // sklearn.covariance.ledoit_wolf(rows, assume_centered=True)
        let rows: [[f64; 2]; 8] = [
            [4.0, 2.0],
            [3.0, 1.0],
            [-2.0, -1.0],
            [0.5, -1.0],
            [-2.5, 0.0],
            [5.0, 3.0],
            [-4.0, -2.0],
            [-4.0, -2.0],
        ];
        let mut scatter = vec![0.0; 4];
        for row in rows {
            (0..4).for_each(|at| scatter[at] += row[at / 2] * row[at % 2]);
        }
        let fourth = rows.iter().map(|row| (row[0] * row[0] + row[1] * row[1]).powi(2)).sum();
        let shrinkage = shrink(&mut scatter, 2, 8, fourth).unwrap();
        assert!((shrinkage - 0.14795086145376696).abs() < 1e-12, "{shrinkage}");
        for (found, want) in
            scatter.iter().zip([10.929085374401058, 4.633017190845142, 4.633017190845142, 3.6334146255989395])
        {
            assert!((found - want).abs() < 1e-12, "{scatter:?}");
        }
    }

    #[test]
    fn rows_that_say_nothing_give_none_and_classes_of_one_row_or_none_are_no_trouble() {
        let same = Matrix::new(30, 4, vec![1.0; 120]).unwrap();
        assert_eq!(Gaussian::fit(&same, &[0; 30], 1), None, "no shape");
        let wide =
            Matrix::new(3, 2000, noise(6000, 1).iter().map(|v| *v as f32).collect::<Vec<f32>>()).unwrap();
        assert_eq!(Gaussian::fit(&wide, &[0; 3], 1), None, "too large for a file");
        let (rows, mut labels) = drawn(40, 6, 2, 1);
        labels[7] = 4;
        let cloud = Gaussian::fit(&rows, &labels, 6).unwrap();
        assert_eq!(cloud.centres.len(), 3 * 6);
        assert!(cloud.distances(&rows)[7] < 1e-3, "it is its own centre");
        assert!(cloud.distances[0] > 0.05, "left out, it is not");
        // 3,000 centres of 600 columns are too many for a file: one for all.
        let many =
            Matrix::new(3000, 600, noise(3000 * 600, 1).iter().map(|v| *v as f32).collect::<Vec<f32>>());
        let labels: Vec<u32> = (0..3000).collect();
        assert_eq!(Gaussian::fit(&many.unwrap(), &labels, 3000).unwrap().centres.len(), 600);
    }
}
