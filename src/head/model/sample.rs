//! A few of the rows that a head learnt from, kept in its file: with them it says which new rows are like none before, and whether a set of them
//! looks different, without the table that it was trained on.
//!
//! The score of a row is its cosine with the nearest kept row, as a share: how many of the training rows are no nearer to theirs.
//! Source: Sun et al. (2022), *Out-of-distribution detection with deep nearest neighbors*; the share is a conformal p-value (Vovk et al., 2005).

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::error::{Error, Result};
use crate::head::data::matrix::Matrix;
use crate::head::data::split::shuffle;
use crate::head::numeric::dense;
use crate::platform;

/// Rows kept, in eight bits a number, and how near training rows are to them.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// `[rows, columns]`, in steps of each row's scale.
    pub(crate) values: Vec<i8>,
    /// The step of each row.
    pub(crate) scales: Vec<f32>,
    pub(crate) columns: usize,
    /// Cosines of training rows with the nearest kept row (a kept one: with the nearest other), ascending, thinned.
    pub(crate) similarities: Vec<f32>,
    /// Mean of what the head answers to training rows, one number a name.
    pub(crate) answers: Vec<f64>,
    /// How many rows it was drawn from.
    pub(crate) of: usize,
}

/// How far a row is from those that a head learnt from.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Novelty {
    /// Cosine with the nearest kept row.
    pub similarity: f32,
    /// Share of the training rows that are no nearer to theirs: 0.01 is as strange as one training row in a hundred.
    pub share: f64,
}

/// Largest size of the kept numbers in bytes: a file of all layers side by side must not grow without end.
const MOST_BYTES: usize = 512 << 10;
/// Similarities that are kept.
const SIMILARITIES: usize = 1000;
/// The fewest rows that say what is like them.
const FEWEST: usize = 20;

impl Sample {
    /// Finds out before any work whether so many of so many rows can be kept.
    pub(crate) fn check_sizes(most: usize, count: usize) -> Result<()> {
        let fail = |what: String| Err(Error::input(format!("keeping a sample of the training rows: {what}")));
        if most < FEWEST {
            return fail(format!("{most} say too little of what is like them; keep at least {FEWEST}"));
        }
        if count < FEWEST {
            return fail(format!(
                "{count} rows are too few to say what is like them; expected at least {FEWEST}"
            ));
        }
        Ok(())
    }

    /// Draws at most `most` rows by the seed, fewer where rows are long.
    ///
    /// # Errors
    /// The input: fewer than 20 rows, fewer than 20 to keep, or a row of zeros.
    pub(crate) fn draw(rows: &Matrix, answers: &[f64], most: usize, seed: u64) -> Result<Self> {
        let (count, columns) = (rows.rows(), rows.columns());
        Self::check_sizes(most, count)?;
        let most = most.min((MOST_BYTES / (columns + 4).max(1)).max(FEWEST));
        let mut order: Vec<u32> = (0..count as u32).collect();
        shuffle(&mut order, &mut ChaCha8Rng::seed_from_u64(seed));
        let mut kept = order[..most.min(count)].to_vec();
        kept.sort_unstable();
        let (values, scales) = quantised(&rows.select_rows(&kept))?;
        let names = answers.len() / count;
        let mut mean = vec![0.0; names];
        answers.iter().enumerate().for_each(|(at, p)| mean[at % names] += p / count as f64);
        let mut sample = Sample { values, scales, columns, similarities: vec![], answers: mean, of: count };
        let mut similarities = sample.nearest(rows, &kept)?;
        similarities.sort_by(f32::total_cmp);
        let last = similarities.len() - 1;
        let thinned = SIMILARITIES.min(similarities.len());
        sample.similarities = (0..thinned).map(|at| similarities[at * last / (thinned - 1).max(1)]).collect();
        Ok(sample)
    }

    /// The kept rows, `[rows, columns]`, rounded as they are.
    pub fn rows(&self) -> Matrix<'static> {
        dequantised(&self.values, &self.scales, self.columns)
    }

    /// Other rows, rounded as the kept ones are, so that rounding does not tell the two apart.
    ///
    /// # Errors
    /// The input: other columns, a row of zeros.
    pub fn rounded(&self, rows: &Matrix) -> Result<Matrix<'static>> {
        self.check(rows)?;
        let (values, scales) = quantised(rows)?;
        Ok(dequantised(&values, &scales, self.columns))
    }

    /// Mean of what the head answers to the training rows, one number a name.
    pub fn answers(&self) -> &[f64] {
        &self.answers
    }

    /// How many rows it was drawn from.
    pub fn of(&self) -> usize {
        self.of
    }

    /// How far each row is from the kept ones.
    ///
    /// # Errors
    /// The input: other columns, a row of zeros.
    pub fn novelty(&self, rows: &Matrix) -> Result<Vec<Novelty>> {
        let found = self.nearest(rows, &[])?;
        let count = self.similarities.len();
        let of_row = |similarity: f32| {
            let no_nearer = self.similarities.partition_point(|known| *known <= similarity);
            Novelty { similarity, share: (no_nearer + 1) as f64 / (count + 1) as f64 }
        };
        Ok(found.into_iter().map(of_row).collect())
    }

    /// The cosine with which training rows, one in a hundred, are no nearer.
    pub fn usual(&self) -> f32 {
        self.similarities[self.similarities.len() / 100]
    }

    fn check(&self, rows: &Matrix) -> Result<()> {
        if rows.columns() == self.columns {
            return Ok(());
        }
        Err(Error::input(format!(
            "comparing with a head's sample: expected rows of {} columns, found {}; embed as the head was trained",
            self.columns,
            rows.columns()
        )))
    }

    /// Cosine of each row with the nearest kept one; the rows of `kept`, ascending, are the kept ones and skip themselves.
    fn nearest(&self, rows: &Matrix, kept: &[u32]) -> Result<Vec<f32>> {
        const PIECE: usize = 16;
        self.check(rows)?;
        let own = self.rows();
        let length = |row: &[f32]| row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let unit: Vec<f64> = (0..own.rows())
            .flat_map(|row| {
                let length = length(own.row(row));
                own.row(row).iter().map(move |v| f64::from(*v) / length).collect::<Vec<f64>>()
            })
            .collect();
        let (known, zeros) = (own.rows(), vec![0.0; own.rows()]);
        let mut found = vec![0.0f32; rows.rows()];
        platform::for_chunks(&mut found, PIECE, |piece, out| {
            let from = piece * PIECE;
            let features: Vec<&[f32]> = (from..from + out.len()).map(|row| rows.row(row)).collect();
            let mut products = vec![0.0; out.len() * known];
            dense::affine(&features, &unit, &zeros, &mut products);
            for ((at, out), products) in out.iter_mut().enumerate().zip(products.chunks_exact(known)) {
                let itself = kept.binary_search(&((from + at) as u32)).ok();
                let others = products.iter().enumerate().filter(|(other, _)| Some(*other) != itself);
                let best = others.map(|(_, product)| *product).fold(f64::NEG_INFINITY, f64::max);
                *out = (best / length(features[at])) as f32;
            }
        });
        match found.iter().position(|similarity| !similarity.is_finite()) {
            Some(at) => Err(no_direction(at)),
            None => Ok(found),
        }
    }
}

fn no_direction(row: usize) -> Error {
    Error::input(format!("comparing with a head's sample: row {row} is all zeros and has no direction"))
}

/// The rows that [`quantised`] made these of, as near as the steps are.
fn dequantised(values: &[i8], scales: &[f32], columns: usize) -> Matrix<'static> {
    let of_row =
        |(row, scale): (&[i8], &f32)| row.iter().map(|v| f32::from(*v) * scale).collect::<Vec<f32>>();
    let values = values.chunks_exact(columns).zip(scales).flat_map(of_row).collect();
    Matrix::from_parts(values, scales.len(), columns)
}

/// Rows in 255 steps each, and the length of the steps.
fn quantised(rows: &Matrix) -> Result<(Vec<i8>, Vec<f32>)> {
    let (mut values, mut scales) = (Vec::with_capacity(rows.values().len()), Vec::with_capacity(rows.rows()));
    for row in 0..rows.rows() {
        let largest = rows.row(row).iter().fold(0.0f32, |largest, v| largest.max(v.abs()));
        let scale = largest / 127.0;
        if !(scale > 0.0) {
            return Err(no_direction(row));
        }
        values.extend(rows.row(row).iter().map(|v| libm::roundf(v / scale).clamp(-127.0, 127.0) as i8));
        scales.push(scale);
    }
    Ok((values, scales))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    /// Rows about a direction.
    fn drawn(count: usize, towards: f32, seed: u64) -> Matrix<'static> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let of = |at: usize, noise: f32| noise + if at.is_multiple_of(8) { towards } else { 0.0 };
        let values = (0..count * 8).map(|at| of(at, rng.random::<f32>() * 2.0 - 1.0)).collect::<Vec<f32>>();
        Matrix::new(count, 8, values).unwrap()
    }

    #[test]
    fn rows_of_the_same_kind_are_as_strange_as_training_rows() {
        let rows = drawn(900, 3.0, 1);
        let sample = Sample::draw(&rows, &vec![0.5; 1800], 200, 7).unwrap();
        assert_eq!((sample.rows().rows(), sample.of(), sample.answers().len()), (200, 900, 2));
        assert!(sample.answers().iter().all(|p| (p - 0.5).abs() < 1e-9));
        assert_eq!(sample, Sample::draw(&rows, &vec![0.5; 1800], 200, 7).unwrap());
        let shares = |rows: &Matrix| -> Vec<f64> {
            sample.novelty(rows).unwrap().iter().map(|found| found.share).collect()
        };
        let fresh = shares(&drawn(2000, 3.0, 2));
        for wanted in [0.05, 0.2, 0.5] {
            let below = fresh.iter().filter(|share| **share <= wanted).count() as f64 / 2000.0;
            // Three deviations of the binomials of both sides.
            let deviation = (wanted * (1.0 - wanted) * (1.0 / 2000.0 + 1.0 / 900.0)).sqrt();
            assert!((below - wanted).abs() < 3.0 * deviation + 0.005, "{wanted}: {below}");
        }
        let other = shares(&drawn(200, -3.0, 3));
        assert!(other.iter().all(|share| *share < 0.01), "{:?}", &other[..5]);
        let usual = sample.novelty(&rows).unwrap();
        assert!(usual.iter().filter(|found| found.similarity < sample.usual()).count() <= 12);
    }

    #[test]
    fn the_nearest_is_that_of_a_full_search_and_a_kept_row_skips_itself() {
        let rows = drawn(60, 1.0, 4);
        let sample = Sample::draw(&rows, &[0.0; 60], 30, 1).unwrap();
        let (own, fresh) = (sample.rows(), drawn(9, 1.0, 5));
        let cosine = |a: &[f32], b: &[f32]| -> f64 {
            let product = |a: &[f32], b: &[f32]| {
                a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
            };
            product(a, b) / (product(a, a) * product(b, b)).sqrt()
        };
        for (row, found) in sample.novelty(&fresh).unwrap().iter().enumerate() {
            let best = (0..30).map(|known| cosine(fresh.row(row), own.row(known))).fold(-1.0, f64::max);
            assert!((f64::from(found.similarity) - best).abs() < 1e-6);
        }
        // Each row of the set is its own nearest; as a training row it was not.
        let whole = Sample::draw(&rows, &[0.0; 60], 60, 1).unwrap();
        assert!(
            whole.similarities.last().is_some_and(|most| *most < 0.999),
            "{:?}",
            whole.similarities.last()
        );
        assert!(
            whole.novelty(&rows).unwrap().iter().all(|found| found.similarity > 0.999 && found.share == 1.0)
        );
        let rounded = whole.rounded(&rows).unwrap();
        assert_eq!(rounded, whole.rows());
        assert!(rounded.values().iter().zip(rows.values()).all(|(a, b)| (a - b).abs() <= 0.01));
    }

    #[test]
    fn what_cannot_be_compared_is_told() {
        let rows = drawn(19, 1.0, 1);
        assert!(Sample::draw(&rows, &[0.0; 19], 500, 0).unwrap_err().to_string().contains("at least 20"));
        let few = Sample::draw(&drawn(20, 1.0, 1), &[0.0; 20], 19, 0).unwrap_err().to_string();
        assert!(few.contains("19 say too little"), "{few}");
        let sample = Sample::draw(&drawn(20, 1.0, 1), &[0.0; 20], 500, 0).unwrap();
        let zero = Matrix::new(1, 8, vec![0.0; 8]).unwrap();
        assert!(sample.novelty(&zero).unwrap_err().to_string().contains("no direction"));
        assert!(sample.rounded(&zero).unwrap_err().is_input());
        let narrow = Matrix::new(1, 3, vec![1.0; 3]).unwrap();
        assert!(sample.novelty(&narrow).unwrap_err().to_string().contains("8 columns, found 3"));
        let wide = Matrix::new(30, 40_000, vec![1.0; 30 * 40_000]).unwrap();
        assert_eq!(
            Sample::draw(&wide, &[0.0; 30], 500, 0).unwrap().rows().rows(),
            20,
            "bounded, never too few"
        );
    }
}
