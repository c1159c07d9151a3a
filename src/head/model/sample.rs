//! A few of the rows that a head learnt from, kept in its file: with them it says which new rows are like none before, and whether a set of them
//! looks different, without the table that it was trained on.
//!
//! There are three scores: the cosine with the nearest kept row (Sun et al., 2022, *Out-of-distribution detection with deep nearest neighbors*), the
//! distance from the nearest class's centre in deviations ([`Gaussian`]), and the energy of the head's logits (Liu et al., 2020, *Energy-based
//! out-of-distribution detection*; of labels, Wang et al., 2021). Each comes with a share: how many of the training rows are as strange. That is a
//! conformal p-value (Vovk et al., 2005), as training rows are scored as if they had not been seen.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::gaussian::{Gaussian, SCORES};
use crate::error::{Error, Result};
use crate::head::data::matrix::Matrix;
use crate::head::data::split::shuffle;
use crate::head::data::targets::{Problem, Targets};
use crate::head::measure::curves::thin;
use crate::head::numeric::dense;
use crate::names::named;
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
    /// The cloud of all training rows; none where rows have too many columns for a file, and in heads of older versions.
    pub(crate) cloud: Option<Gaussian>,
    /// Energies of training rows, of models that had not seen them where there are such; ascending, thinned. None of a regression, and in heads of
    /// older versions.
    pub(crate) energies: Option<Vec<f32>>,
}

/// How far a row is from those that a head learnt from, by each score that the head can tell. Shares are of the training rows: 0.01 is as
/// strange as one training row in a hundred.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Novelty {
    /// Cosine with the nearest kept row.
    pub similarity: f32,
    /// Share of the training rows that are no nearer to theirs.
    pub share: f64,
    /// How many deviations it is from the nearest class's centre (from the centre of all, where there is not one class a row).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mahalanobis: Option<Strangeness>,
    /// Energy of the head's answer: minus the log-sum-exp of the logits about their mean (of classes that were learnt one against the rest, the
    /// mean logarithm of their probabilities); of labels, minus the sum of `ln(1 + exp(logit))`. The higher, the less any class speaks for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy: Option<Strangeness>,
}

/// One score of how strange a row is.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Strangeness {
    /// The score: the higher, the stranger.
    pub value: f64,
    /// Share of the training rows that are at least as strange.
    pub share: f64,
}

/// The score by which texts are called novel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NovelBy {
    /// The cosine with the nearest kept row.
    #[default]
    Nearest,
    /// The distance from the nearest class's centre, in deviations.
    Mahalanobis,
    /// The energy of the head's answer.
    Energy,
}

named! {
    NovelBy, "score of strangeness",
    "nearest", "the cosine with the nearest text that the head keeps" => NovelBy::Nearest, NovelBy::Nearest,
    "mahalanobis", "the distance from the nearest class's centre, in deviations of the training texts" => NovelBy::Mahalanobis, NovelBy::Mahalanobis,
    "energy", "how little any class speaks for itself: minus the log-sum-exp of the logits" => NovelBy::Energy, NovelBy::Energy,
}

impl Novelty {
    /// The share of the training rows that are as strange by this score; none where the head cannot tell.
    pub fn share_by(&self, by: NovelBy) -> Option<f64> {
        match by {
            NovelBy::Nearest => Some(self.share),
            NovelBy::Mahalanobis => self.mahalanobis.map(|score| score.share),
            NovelBy::Energy => self.energy.map(|score| score.share),
        }
    }
}

/// Largest size of the kept numbers in bytes: a file of all layers side by side must not grow without end.
const MOST_BYTES: usize = 512 << 10;
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

    /// Draws at most `most` rows by the seed, fewer where rows are long. `answers` are what the head says of the rows, `unseen` what models say
    /// that had not seen them, both `[rows, names]`.
    ///
    /// # Errors
    /// The input: fewer than 20 rows, fewer than 20 to keep, or a row of zeros.
    pub(crate) fn draw(
        rows: &Matrix,
        targets: &Targets,
        (answers, unseen): (&[f64], Option<&[f64]>),
        most: usize,
        seed: u64,
    ) -> Result<Self> {
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
        let cloud = match targets {
            Targets::Classes { labels, names } => Gaussian::fit(rows, labels, names.len()),
            _ => Gaussian::fit(rows, &vec![0; count], 1),
        };
        let of_rows = |answers: &[f64]| -> Option<Vec<f32>> {
            let of_row = |p: &[f64]| energy(targets.problem(), p).map(|energy| energy as f32);
            let mut found: Vec<f32> = answers.chunks_exact(names).map(of_row).collect::<Option<_>>()?;
            found.sort_by(f32::total_cmp);
            Some(thin(&found, SCORES))
        };
        let energies = of_rows(unseen.unwrap_or(answers));
        let mut sample = Sample {
            values,
            scales,
            columns,
            similarities: vec![],
            answers: mean,
            of: count,
            cloud,
            energies,
        };
        let mut similarities = sample.nearest(rows, &kept)?;
        similarities.sort_by(f32::total_cmp);
        sample.similarities = thin(&similarities, SCORES);
        Ok(sample)
    }

    /// Whether it can tell how strange rows are by this score.
    ///
    /// # Errors
    /// The input: it cannot, and why.
    pub fn check_score(&self, by: NovelBy) -> Result<()> {
        let why = match by {
            NovelBy::Mahalanobis if self.cloud.is_none() => {
                "it keeps no covariance: its embeddings have too many columns or do not differ, or an older frostbert trained it"
            }
            NovelBy::Energy if self.energies.is_none() => {
                "it keeps no energies: it predicts numbers, or an older frostbert trained it"
            }
            _ => return Ok(()),
        };
        Err(Error::input(format!("this head cannot tell what is strange by {by}: {why}; use nearest")))
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

    /// How far each row is from the training rows; `answers` are the head's for these rows, `[rows, names]`.
    ///
    /// # Errors
    /// The input: other columns, a row of zeros.
    pub(crate) fn novelty(&self, rows: &Matrix, problem: Problem, answers: &[f64]) -> Result<Vec<Novelty>> {
        let found = self.nearest(rows, &[])?;
        let distances = self.cloud.as_ref().map(|cloud| cloud.distances(rows));
        let names = self.answers.len();
        let of_row = |(row, similarity): (usize, f32)| {
            let no_nearer = self.similarities.partition_point(|known| *known <= similarity);
            let mahalanobis =
                self.cloud.as_ref().zip(distances.as_ref()).map(|(cloud, distances)| {
                    Strangeness::among(f64::from(distances[row]), &cloud.distances)
                });
            let answer = answers.get(row * names..(row + 1) * names);
            let energy = answer.and_then(|p| energy(problem, p)).zip(self.energies.as_ref());
            Novelty {
                similarity,
                share: share(no_nearer, self.similarities.len()),
                mahalanobis,
                energy: energy.map(|(energy, known)| Strangeness::among(energy, known)),
            }
        };
        Ok(found.into_iter().enumerate().map(of_row).collect())
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

impl Strangeness {
    /// A score among those of training rows, ascending.
    fn among(value: f64, known: &[f32]) -> Self {
        // Compared as it would have been kept.
        let less = known.partition_point(|known| *known < value as f32);
        Strangeness { value, share: share(known.len() - less, known.len()) }
    }
}

/// The share of rows as strange as a new one, itself among them.
fn share(as_strange: usize, of: usize) -> f64 {
    (as_strange + 1) as f64 / (of + 1) as f64
}

/// The energy of one row's logits, from its probabilities: those of classes say their logits but for what all have in common, which their mean
/// takes off.
fn energy(problem: Problem, probabilities: &[f64]) -> Option<f64> {
    // What rounding left of probabilities that are no zero: of a class its exponential is kept, of what is left to one only half a rounding.
    let log = |p: f64| p.max(1e-300).ln();
    let log_of_rest = |p: f64| (1.0 - p).max(f64::EPSILON / 2.0).ln();
    match problem {
        Problem::SingleLabel => {
            Some(probabilities.iter().map(|p| log(*p)).sum::<f64>() / probabilities.len() as f64)
        }
        Problem::MultiLabel => Some(probabilities.iter().map(|p| log_of_rest(*p)).sum()),
        Problem::Regression => None,
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

    /// A sample of rows of any number of labels, one of which holds.
    fn of(rows: &Matrix, answers: &[f64], most: usize, seed: u64) -> Result<Sample> {
        let marks = vec![true; answers.len()];
        let names = (0..answers.len() / rows.rows()).map(|at| at.to_string()).collect();
        let targets = Targets::MultiLabel { marks, names };
        Sample::draw(rows, &targets, (answers, None), most, seed)
    }

    #[test]
    fn shares_of_every_score_are_those_of_rows_of_the_same_kind() {
        // Two classes apart, and what a head would say of them: the first column decides.
        let drawn = |count: usize, seed: u64, apart: f32| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let labels: Vec<u32> = (0..count as u32).map(|row| row % 2).collect();
            let value = |row: usize, column: usize, noise: f32| {
                noise * (1.0 + column as f32) + if column == 0 { apart * (row % 2) as f32 + 3.0 } else { 0.0 }
            };
            let values: Vec<f32> =
                (0..count * 8).map(|at| value(at / 8, at % 8, rng.random::<f32>() * 2.0 - 1.0)).collect();
            let of_row = |row: &[f32]| {
                let second = 1.0 / (1.0 + (f64::from(4.0 - row[0]) * 2.0).exp());
                [1.0 - second, second]
            };
            let answers: Vec<f64> = values.chunks(8).flat_map(of_row).collect();
            (Matrix::new(count, 8, values).unwrap(), labels, answers)
        };
        let (rows, labels, answers) = drawn(900, 1, 2.0);
        let targets = Targets::Classes { labels, names: ["no", "yes"].map(String::from).to_vec() };
        let sample = Sample::draw(&rows, &targets, (&answers, Some(&answers)), 300, 3).unwrap();
        let (fresh, _, fresh_answers) = drawn(2000, 2, 2.0);
        let found = sample.novelty(&fresh, Problem::SingleLabel, &fresh_answers).unwrap();
        for (by, _) in NovelBy::CHOICES {
            let by: NovelBy = by.parse().unwrap();
            sample.check_score(by).unwrap();
            for wanted in [0.05, 0.2, 0.5] {
                let below = found.iter().filter(|found| found.share_by(by).unwrap() <= wanted).count() as f64
                    / 2000.0;
                let deviation = (wanted * (1.0 - wanted) * (1.0 / 2000.0 + 1.0 / 900.0)).sqrt();
                assert!((below - wanted).abs() < 3.0 * deviation + 0.005, "{by}, {wanted}: {below}");
            }
        }
        // Far outside of both classes along a narrow column, and half way between them.
        let mut row = [4.0f32, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        row[1] = 30.0;
        let outside = Matrix::new(1, 8, row.to_vec()).unwrap();
        let far = sample.novelty(&outside, Problem::SingleLabel, &[0.5, 0.5]).unwrap()[0];
        let [distance, energy] = [far.mahalanobis.unwrap(), far.energy.unwrap()];
        assert!(distance.value > 10.0 && distance.share < 0.002, "{distance:?}");
        assert!((energy.value + std::f64::consts::LN_2).abs() < 1e-12 && energy.share < 0.05, "{energy:?}");
        // Numbers have no energy, and many columns no covariance.
        let numbers = Targets::values(vec![1.0; 900], "stars");
        let sample = Sample::draw(&rows, &numbers, (&vec![1.0; 900], None), 300, 3).unwrap();
        let why = sample.check_score(NovelBy::Energy).unwrap_err().to_string();
        assert!(why.contains("by energy") && why.contains("predicts numbers"), "{why}");
        assert!(
            sample.check_score(NovelBy::Mahalanobis).is_ok() && sample.check_score(NovelBy::Nearest).is_ok()
        );
        assert_eq!(sample.novelty(&fresh, Problem::Regression, &vec![1.0; 2000]).unwrap()[0].energy, None);
    }

    #[test]
    fn energies_are_those_of_the_logits_about_their_mean() {
        let logits: [f64; 3] = [2.0, -1.0, 0.5];
        let sum: f64 = logits.iter().map(|z| z.exp()).sum();
        let p: Vec<f64> = logits.iter().map(|z| z.exp() / sum).collect();
        let mean = logits.iter().sum::<f64>() / 3.0;
        let want = -(sum.ln() - mean);
        assert!((energy(Problem::SingleLabel, &p).unwrap() - want).abs() < 1e-12);
        let p: Vec<f64> = logits.iter().map(|z| 1.0 / (1.0 + (-z).exp())).collect();
        let want: f64 = -logits.iter().map(|z| (1.0 + z.exp()).ln()).sum::<f64>();
        assert!((energy(Problem::MultiLabel, &p).unwrap() - want).abs() < 1e-12);
        assert!(energy(Problem::SingleLabel, &[0.0, 1.0]).unwrap().is_finite());
        assert!(energy(Problem::MultiLabel, &[1.0]).unwrap().is_finite());
        // One label that is sure to rounding is no surer than three that are nearly.
        let three = [1.0 - 1e-13; 3];
        assert!(
            energy(Problem::MultiLabel, &three).unwrap()
                < energy(Problem::MultiLabel, &[1.0, 0.0, 0.0]).unwrap()
        );
        assert_eq!(energy(Problem::Regression, &[3.0]), None);
    }

    #[test]
    fn rows_of_the_same_kind_are_as_strange_as_training_rows() {
        let rows = drawn(900, 3.0, 1);
        let sample = of(&rows, &vec![0.5; 1800], 200, 7).unwrap();
        assert_eq!((sample.rows().rows(), sample.of(), sample.answers().len()), (200, 900, 2));
        assert!(sample.answers().iter().all(|p| (p - 0.5).abs() < 1e-9));
        assert_eq!(sample, of(&rows, &vec![0.5; 1800], 200, 7).unwrap());
        let shares = |rows: &Matrix| -> Vec<f64> {
            sample.novelty(rows, Problem::MultiLabel, &[]).unwrap().iter().map(|found| found.share).collect()
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
        let usual = sample.novelty(&rows, Problem::MultiLabel, &[]).unwrap();
        assert!(usual.iter().filter(|found| found.similarity < sample.usual()).count() <= 12);
    }

    #[test]
    fn the_nearest_is_that_of_a_full_search_and_a_kept_row_skips_itself() {
        let rows = drawn(60, 1.0, 4);
        let sample = of(&rows, &[0.5; 60], 30, 1).unwrap();
        let (own, fresh) = (sample.rows(), drawn(9, 1.0, 5));
        let cosine = |a: &[f32], b: &[f32]| -> f64 {
            let product = |a: &[f32], b: &[f32]| {
                a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
            };
            product(a, b) / (product(a, a) * product(b, b)).sqrt()
        };
        for (row, found) in sample.novelty(&fresh, Problem::MultiLabel, &[]).unwrap().iter().enumerate() {
            let best = (0..30).map(|known| cosine(fresh.row(row), own.row(known))).fold(-1.0, f64::max);
            assert!((f64::from(found.similarity) - best).abs() < 1e-6);
        }
        // Each row of the set is its own nearest; as a training row it was not.
        let whole = of(&rows, &[0.5; 60], 60, 1).unwrap();
        assert!(
            whole.similarities.last().is_some_and(|most| *most < 0.999),
            "{:?}",
            whole.similarities.last()
        );
        assert!(
            whole
                .novelty(&rows, Problem::MultiLabel, &[])
                .unwrap()
                .iter()
                .all(|found| found.similarity > 0.999 && found.share == 1.0)
        );
        let rounded = whole.rounded(&rows).unwrap();
        assert_eq!(rounded, whole.rows());
        assert!(rounded.values().iter().zip(rows.values()).all(|(a, b)| (a - b).abs() <= 0.01));
    }

    #[test]
    fn what_cannot_be_compared_is_told() {
        let rows = drawn(19, 1.0, 1);
        assert!(of(&rows, &[0.5; 19], 500, 0).unwrap_err().to_string().contains("at least 20"));
        let few = of(&drawn(20, 1.0, 1), &[0.5; 20], 19, 0).unwrap_err().to_string();
        assert!(few.contains("19 say too little"), "{few}");
        let sample = of(&drawn(20, 1.0, 1), &[0.5; 20], 500, 0).unwrap();
        let zero = Matrix::new(1, 8, vec![0.0; 8]).unwrap();
        assert!(
            sample.novelty(&zero, Problem::MultiLabel, &[]).unwrap_err().to_string().contains("no direction")
        );
        assert!(sample.rounded(&zero).unwrap_err().is_input());
        let narrow = Matrix::new(1, 3, vec![1.0; 3]).unwrap();
        assert!(
            sample
                .novelty(&narrow, Problem::MultiLabel, &[])
                .unwrap_err()
                .to_string()
                .contains("8 columns, found 3")
        );
        let wide = Matrix::new(30, 40_000, vec![1.0; 30 * 40_000]).unwrap();
        assert_eq!(of(&wide, &[0.5; 30], 500, 0).unwrap().rows().rows(), 20, "bounded, never too few");
    }
}
