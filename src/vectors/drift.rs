//! Whether new texts look different from those a head learnt from.
//!
//! Two tests, each with its p-value: a classifier that tries to tell the two sets apart (its AUC is 0.5 where it cannot), and the kernel mean
//! discrepancy. The first finds a shift along any line through the space, the second one of any shape. Drift is said where the smaller p-value,
//! doubled because there are two, is at most the rate of false alarms asked for.
//!
//! Sources: Lopez-Paz and Oquab (2017), classifier two-sample tests; Gretton et al. (2012), a kernel two-sample test; Saerens, Latinne and
//! Decaestecker (2002), class shares under label shift.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::nearest::nearest;
use super::unit::{UnitRows, check_columns, of_each};
use crate::error::{Error, Result};
use crate::head::{Head, Matrix, Strength, Targets, TrainData, TrainOptions, roc_auc};

/// How drift is looked for.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DriftOptions {
    /// How often two sets of the same kind may be called different: 0.01 is once in a hundred.
    pub alpha: f64,
    /// Rows of each side that are compared; larger sets are drawn from by the seed.
    pub rows: usize,
    /// Decides which rows are drawn, split and permuted.
    pub seed: u64,
}

impl Default for DriftOptions {
    fn default() -> Self {
        DriftOptions { alpha: 0.01, rows: 1000, seed: 0 }
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Drift {
    /// Rows of the reference and of the new set that were compared.
    pub compared: [usize; 2],
    /// How well a linear classifier tells new from old on rows that it has not seen: 0.5 is not at all, 1 is always.
    pub auc: f64,
    /// Probability of such an AUC, or a larger one, without any difference.
    pub auc_p: f64,
    /// Squared maximum mean discrepancy with a Gaussian kernel over unit vectors, unbiased: about 0 without any difference.
    pub mmd: f64,
    /// Probability of such a discrepancy, or a larger one, without any difference: by permutation.
    pub mmd_p: f64,
    /// Whether the two sets differ, at the rate of false alarms asked for.
    pub drifted: bool,
    /// The cosine with the nearest reference text below which one reference text in a hundred lies.
    pub novel_below: f32,
    /// Share of all new texts below that.
    pub novel_share: f64,
    /// New texts below it, the farthest from the reference first: row and cosine with the nearest reference text.
    pub novel: Vec<(usize, f32)>,
}

/// Permutations of the kernel test: the smallest p-value is one by this and one more.
const PERMUTATIONS: usize = 999;
/// The fewest rows a side that say anything.
const FEWEST: usize = 20;

/// Compares new rows with a reference.
///
/// Shapes: `reference` `[n, columns]`, `new` `[m, columns]`.
///
/// # Errors
/// The input: fewer than 20 rows on a side, other numbers of columns, rows of zeros, an `alpha` that is not between 0 and 1.
pub fn drift(reference: &Matrix<'_>, new: &Matrix<'_>, options: &DriftOptions) -> Result<Drift> {
    check_columns(reference, new)?;
    if !(options.alpha > 0.0 && options.alpha < 1.0) {
        return Err(Error::input(format!(
            "looking for drift: expected a rate of false alarms between 0 and 1, found {}",
            options.alpha
        )));
    }
    let fewest = reference.rows().min(new.rows()).min(options.rows);
    if fewest < FEWEST {
        return Err(Error::input(format!(
            "looking for drift: {fewest} texts on one side are too few to say anything; expected at least {FEWEST} on each"
        )));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let old = reference.select_rows(&draw(reference.rows(), options.rows, &mut rng));
    let fresh = new.select_rows(&draw(new.rows(), options.rows, &mut rng));
    let both: Vec<f32> = old.values().iter().chain(fresh.values()).copied().collect();
    let both = Matrix::new(old.rows() + fresh.rows(), old.columns(), both)?;
    let (auc, auc_p) = classifier_test(&both, old.rows(), &mut rng)?;
    let (mmd, mmd_p) = kernel_test(&UnitRows::new(&both, "the texts")?, old.rows(), &mut rng);
    let near = |queries: &Matrix<'_>, rows: &Matrix<'_>, skip: usize| -> Result<Vec<f32>> {
        let found = nearest(queries, rows, 1 + skip)?;
        Ok(found.iter().map(|found| found.last().map_or(-1.0, |near| near.similarity)).collect())
    };
    // A text of the reference is nearest to itself, so its second nearest counts.
    let mut own = near(&old, reference, 1)?;
    own.sort_by(f32::total_cmp);
    let novel_below = own[own.len() / 100];
    let of_new = near(new, reference, 0)?;
    let mut novel: Vec<(usize, f32)> =
        of_new.into_iter().enumerate().filter(|(_, cosine)| *cosine < novel_below).collect();
    novel.sort_by(|a, b| a.1.total_cmp(&b.1));
    Ok(Drift {
        compared: [old.rows(), fresh.rows()],
        auc,
        auc_p,
        mmd,
        mmd_p,
        drifted: 2.0 * auc_p.min(mmd_p) <= options.alpha,
        novel_below,
        novel_share: novel.len() as f64 / new.rows() as f64,
        novel,
    })
}

/// Shares of classes among new texts from a classifier's probabilities there, when only the shares have moved since it was trained and not what
/// texts of a class look like: expectation and maximisation from the shares it was trained on.
///
/// Shapes: `probabilities` `[n, classes]`, calibrated; `trained` `[classes]`, which sum to one. The result sums to one.
///
/// # Errors
/// The input: shapes that do not agree, shares that are not positive.
pub fn class_shares(probabilities: &[f64], trained: &[f64]) -> Result<Vec<f64>> {
    let classes = trained.len();
    let usable = classes > 0
        && !probabilities.is_empty()
        && probabilities.len().is_multiple_of(classes)
        && trained.iter().all(|share| *share > 0.0 && share.is_finite())
        && probabilities.iter().all(|p| (0.0..=1.0).contains(p));
    if !usable {
        return Err(Error::input(format!(
            "estimating shares of classes: expected probabilities of {classes} classes for each text and a positive share of each, \
             found {} numbers and {trained:?}",
            probabilities.len()
        )));
    }
    let mut shares = trained.to_vec();
    for _ in 0..1000 {
        let mut sums = vec![0.0; classes];
        for row in probabilities.chunks_exact(classes) {
            let weighed: Vec<f64> = (0..classes).map(|j| row[j] * shares[j] / trained[j]).collect();
            let total: f64 = weighed.iter().sum();
            if total > 0.0 {
                sums.iter_mut().zip(weighed).for_each(|(sum, weight)| *sum += weight / total);
            }
        }
        let total: f64 = sums.iter().sum();
        if !(total > 0.0) {
            break;
        }
        let next: Vec<f64> = sums.iter().map(|sum| sum / total).collect();
        let moved = next.iter().zip(&shares).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        shares = next;
        if moved < 1e-9 {
            break;
        }
    }
    Ok(shares)
}

/// So many of `rows`, drawn without replacement, ascending; all where there are no more.
fn draw(rows: usize, most: usize, rng: &mut ChaCha8Rng) -> Vec<u32> {
    let mut all: Vec<u32> = (0..rows as u32).collect();
    if rows <= most {
        return all;
    }
    shuffle(&mut all, most, rng);
    all.truncate(most);
    all.sort_unstable();
    all
}

/// Puts `front` items, drawn at random, in front.
fn shuffle<T>(items: &mut [T], front: usize, rng: &mut ChaCha8Rng) {
    for at in 0..front.min(items.len()) {
        let rest = (items.len() - at) as u64;
        // 64 bits over at most 2^32 items: the bias is far below what anybody could see.
        items.swap(at, at + (rng.next_u64() % rest) as usize);
    }
}

/// Learns on one half of each set, measures on the other: AUC and its one-sided p-value under the normal approximation of Mann and Whitney's U.
fn classifier_test(both: &Matrix<'_>, old: usize, rng: &mut ChaCha8Rng) -> Result<(f64, f64)> {
    let (mut learn, mut test): (Vec<u32>, Vec<u32>) = (vec![], vec![]);
    for range in [0..old as u32, old as u32..both.rows() as u32] {
        let mut rows: Vec<u32> = range.collect();
        let half = rows.len() / 2;
        shuffle(&mut rows, half, rng);
        learn.extend(&rows[..half]);
        test.extend(&rows[half..]);
    }
    learn.sort_unstable();
    let is_new = |row: &u32| *row as usize >= old;
    let targets = Targets::Classes {
        labels: learn.iter().map(|row| u32::from(is_new(row))).collect(),
        names: vec!["reference".into(), "new".into()],
    };
    let options = TrainOptions { c: Strength::Fixed(1.0), ..TrainOptions::default() };
    let head = Head::train(&TrainData::new(both.select_rows(&learn), targets), &options, &mut |_| {})?.head;
    let probabilities = head.predict_proba(&both.select_rows(&test))?;
    let scores: Vec<f64> = probabilities.chunks_exact(2).map(|row| row[1]).collect();
    let truth: Vec<bool> = test.iter().map(is_new).collect();
    let auc = roc_auc(&scores, &truth).unwrap_or(0.5);
    let new = truth.iter().filter(|new| **new).count() as f64;
    let old = truth.len() as f64 - new;
    let deviation = ((new + old + 1.0) / (12.0 * new * old)).sqrt();
    Ok((auc, upper_tail((auc - 0.5) / deviation)))
}

/// Probability that a standard normal number exceeds `z`.
fn upper_tail(z: f64) -> f64 {
    0.5 * libm::erfc(z / std::f64::consts::SQRT_2)
}

/// The unbiased squared discrepancy and its p-value over permutations of which row belongs to which set.
fn kernel_test(rows: &UnitRows, old: usize, rng: &mut ChaCha8Rng) -> (f64, f64) {
    let n = rows.len();
    // Squared distances of unit rows; the kernel's width is their median's.
    let distances: Vec<Vec<f32>> =
        of_each(n, |a| (0..n).map(|b| (2.0 - 2.0 * rows.cosine(a, b)).max(0.0)).collect());
    let mut sorted: Vec<f32> =
        (0..n).flat_map(|a| distances[a][..a].iter().step_by(1 + n / 256).copied()).collect();
    sorted.sort_by(f32::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().filter(|median| *median > 0.0).unwrap_or(1.0);
    let kernel: Vec<Vec<f32>> =
        of_each(n, |a| distances[a].iter().map(|d| libm::expf(-d / median)).collect());
    drop(distances);
    let diagonal: f64 = (0..n).map(|a| f64::from(kernel[a][a])).sum();
    let total: f64 = kernel.iter().flatten().map(|k| f64::from(*k)).sum::<f64>() - diagonal;
    let row_sums: Vec<f64> = kernel.iter().map(|row| row.iter().map(|k| f64::from(*k)).sum()).collect();
    // One set's members decide both sums within and the one between.
    let statistic = |members: &[u32]| {
        let mut is_member = vec![0.0f32; n];
        members.iter().for_each(|row| is_member[*row as usize] = 1.0);
        let (mut within, mut from) = (0.0f64, 0.0f64);
        for &row in members {
            let row = row as usize;
            let to_members: f64 =
                kernel[row].iter().zip(&is_member).map(|(k, member)| f64::from(k * member)).sum();
            within += to_members - f64::from(kernel[row][row]);
            from += row_sums[row] - f64::from(kernel[row][row]);
        }
        let between = from - within;
        let rest = total - within - 2.0 * between;
        let (m, k) = (members.len() as f64, (n - members.len()) as f64);
        within / (m * (m - 1.0)) + rest / (k * (k - 1.0)) - 2.0 * between / (m * k)
    };
    let mut all: Vec<u32> = (0..n as u32).collect();
    let seen = statistic(&all[..old]);
    let permuted: Vec<Vec<u32>> = (0..PERMUTATIONS)
        .map(|_| {
            shuffle(&mut all, old, rng);
            all[..old].to_vec()
        })
        .collect();
    let larger = of_each(PERMUTATIONS, |at| statistic(&permuted[at]) >= seen);
    let larger = larger.into_iter().filter(|larger| *larger).count();
    (seen, (larger + 1) as f64 / (PERMUTATIONS + 1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::tests::random;

    #[test]
    fn the_same_kind_is_quiet_at_the_rate_asked_for() {
        let options = |seed| DriftOptions { alpha: 0.1, seed, rows: 60 };
        let mut alarms = 0;
        for seed in 0..40 {
            let (old, new) = (random(60, 6, 100 + seed), random(60, 6, 900 + seed));
            alarms += usize::from(drift(&old, &new, &options(seed)).unwrap().drifted);
        }
        // A binomial of 40 with 0.1 exceeds 10 once in two thousand.
        assert!(alarms <= 10, "{alarms} of 40");
    }

    #[test]
    fn shifts_and_shapes_are_seen_and_novel_rows_are_named() {
        let old = random(200, 6, 1);
        let moved: Vec<f32> = random(200, 6, 2)
            .values()
            .iter()
            .enumerate()
            .map(|(at, v)| v + if at % 6 == 0 { 0.6 } else { 0.0 })
            .collect();
        let found = drift(&old, &Matrix::new(200, 6, moved).unwrap(), &DriftOptions::default()).unwrap();
        assert!(found.drifted && found.auc > 0.65 && found.auc_p < 0.01, "{found:?}");
        // Same mean, another shape: no line tells them apart, the kernel does.
        let flat: Vec<f32> = random(200, 6, 3)
            .values()
            .iter()
            .enumerate()
            .map(|(at, v)| if at % 6 < 3 { *v } else { v * 0.1 })
            .collect();
        let found = drift(&old, &Matrix::new(200, 6, flat).unwrap(), &DriftOptions::default()).unwrap();
        assert!(found.drifted && found.mmd_p < 0.005 && found.mmd > 0.0, "{found:?}");
        // Old texts all point one way, so one that points the other is new.
        let near: Vec<f32> = random(100, 6, 4)
            .values()
            .iter()
            .enumerate()
            .map(|(at, v)| 0.1 * v + if at % 6 == 0 { 1.0 } else { 0.0 })
            .collect();
        let mut new = near.clone();
        new[33 * 6] = -1.0;
        let (near, new) = (Matrix::new(100, 6, near).unwrap(), Matrix::new(100, 6, new).unwrap());
        let found = drift(&near, &new, &DriftOptions::default()).unwrap();
        assert_eq!(found.novel.first().map(|novel| novel.0), Some(33));
    }

    #[test]
    fn the_discrepancy_is_the_definition() {
        let (old, new) = (random(21, 5, 8), random(25, 5, 9));
        let both: Vec<f32> = old.values().iter().chain(new.values()).copied().collect();
        let unit = UnitRows::new(&Matrix::new(46, 5, both).unwrap(), "rows").unwrap();
        let (mmd, p) = kernel_test(&unit, 21, &mut ChaCha8Rng::seed_from_u64(1));
        let squared = |a: usize, b: usize| -> f64 {
            unit.row(a).iter().zip(unit.row(b)).map(|(a, b)| f64::from(a - b).powi(2)).sum()
        };
        let mut all: Vec<f64> =
            (0..46).flat_map(|a| (0..a).map(move |b| (a, b))).map(|(a, b)| squared(a, b)).collect();
        all.sort_by(f64::total_cmp);
        let median = all[all.len() / 2];
        let mean = |pairs: &mut dyn Iterator<Item = (usize, usize)>| {
            let kernels: Vec<f64> = pairs.map(|(a, b)| (-squared(a, b) / median).exp()).collect();
            kernels.iter().sum::<f64>() / kernels.len() as f64
        };
        let within = |from: usize, to: usize| {
            mean(&mut (from..to).flat_map(|a| (from..to).filter(move |b| *b != a).map(move |b| (a, b))))
        };
        let between = mean(&mut (0..21).flat_map(|a| (21..46).map(move |b| (a, b))));
        let expected = within(0, 21) + within(21, 46) - 2.0 * between;
        assert!((mmd - expected).abs() < 1e-4, "{mmd} {expected}");
        assert!(p > 0.0 && p <= 1.0);
        assert!((upper_tail(1.959964) - 0.025).abs() < 1e-7 && upper_tail(0.0) == 0.5);
    }

    #[test]
    fn shares_of_classes_are_found_under_label_shift() {
        // Two classes whose texts give one of two answers: 0.8 and 0.2, calibrated at equal shares.
        let with = |share: f64| -> Vec<f64> {
            let sure = (1000.0 * (0.8 * share + 0.2 * (1.0 - share))).round() as usize;
            (0..1000).flat_map(|row| if row < sure { [0.8, 0.2] } else { [0.2, 0.8] }).collect()
        };
        for share in [0.5, 0.9, 0.1] {
            let found = class_shares(&with(share), &[0.5, 0.5]).unwrap();
            assert!(
                (found[0] - share).abs() < 2e-3 && (found[0] + found[1] - 1.0).abs() < 1e-12,
                "{found:?}"
            );
        }
        for (p, trained) in
            [(vec![0.5; 3], vec![0.5, 0.5]), (vec![], vec![1.0]), (vec![0.5, 0.5], vec![1.0, 0.0])]
        {
            assert!(class_shares(&p, &trained).unwrap_err().is_input());
        }
    }

    #[test]
    fn wrong_input_is_told() {
        let (old, new) = (random(30, 3, 1), random(19, 3, 2));
        assert!(drift(&old, &new, &DriftOptions::default()).unwrap_err().to_string().contains("at least 20"));
        assert!(drift(&old, &random(30, 4, 2), &DriftOptions::default()).unwrap_err().is_input());
        let options = DriftOptions { alpha: 0.0, ..DriftOptions::default() };
        assert!(drift(&old, &old, &options).unwrap_err().is_input());
    }
}
