//! Seeded splits of rows: a held-out part, and k folds; stratified, grouped, repeated.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::error::{Error, Result};

/// Rows to learn from and rows to look at.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Split {
    /// Rows to learn from, ascending.
    pub train: Vec<u32>,
    /// Rows held out, ascending.
    pub test: Vec<u32>,
}

impl Split {
    /// Every row on both sides: for a fit without a held-out part.
    pub(crate) fn rest_of(rows: usize, test: Vec<u32>) -> Split {
        let mut held_out = vec![false; rows];
        for &row in &test {
            held_out[row as usize] = true;
        }
        Split { train: (0..rows as u32).filter(|&row| !held_out[row as usize]).collect(), test }
    }
}

/// Holds out about `fraction` of the rows, each stratum in proportion; whole groups when there are groups.
///
/// Every stratum of two or more rows has a row on both sides.
///
/// # Errors
/// The input, when the fraction is not between 0 and 1, or one side would be empty.
pub fn train_test_split(strata: &[u32], groups: Option<&[u32]>, fraction: f64, seed: u64) -> Result<Split> {
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(Error::input(format!(
            "holding out rows: expected a fraction between 0 and 1, found {fraction}"
        )));
    }
    let mut test = Vec::new();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    if let Some(groups) = groups {
        let mut members: Vec<Vec<u32>> = members(groups).into_values().collect();
        shuffle(&mut members, &mut rng);
        let wanted = fraction * strata.len() as f64;
        for rows in members {
            // A group goes to the held-out part while that brings the part closer to its size.
            if (test.len() + rows.len()) as f64 - wanted <= wanted - test.len() as f64 {
                test.extend(rows);
            }
        }
    } else {
        for mut rows in members(strata).into_values() {
            shuffle(&mut rows, &mut rng);
            let wanted = (rows.len() as f64 * fraction).round() as usize;
            let take = if rows.len() < 2 { 0 } else { wanted.clamp(1, rows.len() - 1) };
            test.extend_from_slice(&rows[..take]);
        }
    }
    test.sort_unstable();
    let split = Split::rest_of(strata.len(), test);
    if split.train.is_empty() || split.test.is_empty() {
        return Err(Error::input(format!(
            "holding out {fraction} of {} rows: one side would be empty",
            strata.len()
        )));
    }
    Ok(split)
}

/// How rows are dealt into folds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Folds {
    /// Number of folds, at least 2.
    pub folds: usize,
    /// How often the rows are dealt anew; each repeat gives `folds` more splits.
    pub repeats: usize,
    /// Decides the dealing.
    pub seed: u64,
}

impl Default for Folds {
    fn default() -> Self {
        Folds { folds: 5, repeats: 1, seed: 0 }
    }
}

impl Folds {
    /// Deals the rows: `folds * repeats` splits; in each repeat every row is held out once.
    ///
    /// Each stratum is spread evenly. With groups, whole groups are dealt, largest first, each to the fold that
    /// stays closest to the strata's proportions (as scikit-learn's `StratifiedGroupKFold` does).
    ///
    /// # Errors
    /// The input, when there are fewer than 2 folds, or fewer rows or groups than folds.
    pub fn split(&self, strata: &[u32], groups: Option<&[u32]>) -> Result<Vec<Split>> {
        let units = groups.map_or(strata.len(), |groups| members(groups).len());
        if self.folds < 2 || units < self.folds || self.repeats == 0 {
            return Err(Error::input(format!(
                "cross-validation: expected 2 or more folds, at least as many {} as folds, and 1 or more repeats; \
                 found {} folds, {units}, {} repeats",
                if groups.is_some() { "groups" } else { "rows" },
                self.folds,
                self.repeats
            )));
        }
        let mut splits = Vec::with_capacity(self.folds * self.repeats);
        for repeat in 0..self.repeats {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(repeat as u64);
            let fold_of = match groups {
                None => deal_rows(strata, self.folds, &mut rng),
                Some(groups) => deal_groups(strata, groups, self.folds, &mut rng),
            };
            for fold in 0..self.folds {
                let rows = (0..strata.len() as u32).filter(|&row| fold_of[row as usize] == fold);
                splits.push(Split::rest_of(strata.len(), rows.collect()));
            }
        }
        Ok(splits)
    }
}

/// Shuffled rows of each stratum dealt round robin; the next stratum goes on where the last one stopped, so
/// that fold sizes differ by at most one.
fn deal_rows(strata: &[u32], folds: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut fold_of = vec![0; strata.len()];
    let mut next = 0;
    for mut rows in members(strata).into_values() {
        shuffle(&mut rows, rng);
        for row in rows {
            fold_of[row as usize] = next % folds;
            next += 1;
        }
    }
    fold_of
}

fn deal_groups(strata: &[u32], groups: &[u32], folds: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let kinds: Vec<u32> = members(strata).into_keys().collect();
    let kind = |row: u32| kinds.partition_point(|&kind| kind < strata[row as usize]);
    let mut totals = vec![0.0f64; kinds.len()];
    (0..strata.len() as u32).for_each(|row| totals[kind(row)] += 1.0);
    let mut members: Vec<Vec<u32>> = members(groups).into_values().collect();
    shuffle(&mut members, rng);
    // Stable: groups of one size stay shuffled.
    members.sort_by_key(|rows| std::cmp::Reverse(rows.len()));
    let mut counts = vec![vec![0.0f64; kinds.len()]; folds];
    let mut fold_of = vec![0; strata.len()];
    for rows in members {
        let cost = |fold: usize| -> f64 {
            // How far the folds' shares of each stratum lie apart once `fold` has this group.
            let mut own = counts[fold].clone();
            rows.iter().for_each(|&row| own[kind(row)] += 1.0);
            (0..kinds.len())
                .map(|k| ((own[k] / totals[k]).powi(2)) - (counts[fold][k] / totals[k]).powi(2))
                .sum()
        };
        let best = (0..folds).min_by(|&a, &b| cost(a).total_cmp(&cost(b))).expect("at least two folds");
        for &row in &rows {
            counts[best][kind(row)] += 1.0;
            fold_of[row as usize] = best;
        }
    }
    fold_of
}

/// Rows of each key, both ascending.
fn members(keys: &[u32]) -> BTreeMap<u32, Vec<u32>> {
    let mut members: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (row, &key) in keys.iter().enumerate() {
        members.entry(key).or_default().push(row as u32);
    }
    members
}

/// Fisher and Yates' shuffle, with the same result on 32-bit and 64-bit machines.
pub(crate) fn shuffle<T>(items: &mut [T], rng: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(rng, last as u32 + 1) as usize);
    }
}

/// A number below `bound`, each equally likely (Lemire's method).
pub(crate) fn below(rng: &mut ChaCha8Rng, bound: u32) -> u32 {
    loop {
        let product = u64::from(rng.next_u32()) * u64::from(bound);
        if product as u32 >= bound.wrapping_neg() % bound {
            return (product >> 32) as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strata() -> Vec<u32> {
        (0..103).map(|row| if row % 10 == 0 { 7 } else { u32::from(row % 3 == 0) }).collect()
    }

    #[test]
    fn every_row_is_held_out_once_a_repeat_and_strata_are_spread_evenly() {
        let strata = strata();
        let splits = Folds { folds: 4, repeats: 3, seed: 5 }.split(&strata, None).unwrap();
        assert_eq!(splits.len(), 12);
        for repeat in splits.chunks(4) {
            let mut seen = vec![0; strata.len()];
            for split in repeat {
                assert_eq!(split.train.len() + split.test.len(), strata.len());
                assert!((25..=26).contains(&split.test.len()));
                split.test.iter().for_each(|&row| seen[row as usize] += 1);
                for kind in [0, 1, 7] {
                    let all = strata.iter().filter(|&&s| s == kind).count();
                    let here = split.test.iter().filter(|&&row| strata[row as usize] == kind).count();
                    assert!(here.abs_diff(all / 4) <= 1, "stratum {kind}: {here} of {all}");
                }
            }
            assert!(seen.iter().all(|&times| times == 1));
        }
        assert_ne!(splits[0], splits[4], "repeats differ");
        assert_eq!(splits, Folds { folds: 4, repeats: 3, seed: 5 }.split(&strata, None).unwrap());
        assert_ne!(splits, Folds { folds: 4, repeats: 3, seed: 6 }.split(&strata, None).unwrap());
    }

    #[test]
    fn groups_never_part() {
        let strata = strata();
        let groups: Vec<u32> = (0..103).map(|row| row * row % 17).collect();
        let splits = Folds { folds: 3, repeats: 1, seed: 1 }.split(&strata, Some(&groups)).unwrap();
        let held_out = train_test_split(&strata, Some(&groups), 0.3, 1).unwrap();
        for split in splits.iter().chain([&held_out]) {
            assert!(!split.test.is_empty() && !split.train.is_empty());
            for &row in &split.test {
                assert!(split.train.iter().all(|&other| groups[other as usize] != groups[row as usize]));
            }
        }
        assert_eq!(splits.iter().map(|split| split.test.len()).sum::<usize>(), 103);
        assert!(Folds { folds: 3, ..Folds::default() }.split(&[0, 0, 1, 1], Some(&[0, 0, 1, 1])).is_err());
    }

    #[test]
    fn held_out_rows_keep_proportions() {
        let strata = strata();
        let split = train_test_split(&strata, None, 0.2, 3).unwrap();
        assert!(split.test.len().abs_diff(21) <= 1);
        assert!(split.test.iter().any(|&row| strata[row as usize] == 7));
        for fraction in [0.0, 1.0, -0.5, f64::NAN] {
            assert!(train_test_split(&strata, None, fraction, 3).unwrap_err().is_input());
        }
        assert!(train_test_split(&[0], None, 0.5, 3).is_err());
    }
}
