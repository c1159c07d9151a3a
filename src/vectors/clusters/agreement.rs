//! How far two ways to group the same rows agree, whatever the groups are called.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// How far two groupings agree.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Agreement {
    /// Of all pairs of rows, those that both put together or both apart, corrected for chance: 0 on average for groups drawn at random, 1 for
    /// the same groups, below 0 for worse than chance. Source: Hubert and Arabie (1985).
    pub adjusted_rand: f64,
    /// What one grouping says about the other, as a share of the mean of what both say: from 0 to 1. Not corrected for chance: it grows with
    /// the number of groups. Source: Strehl and Ghosh (2002), with the arithmetic mean, as scikit-learn has it.
    pub normalized_mutual_information: f64,
}

/// How far two groupings of the same rows agree. Groups may have any numbers.
///
/// # Errors
/// The input: not as many rows in both, or none.
///
/// ```
/// let found = frostbert::vectors::agreement(&[0, 0, 1, 1], &[7, 7, 3, 3])?;
/// assert_eq!((found.adjusted_rand, found.normalized_mutual_information), (1.0, 1.0));
/// # Ok::<(), frostbert::Error>(())
/// ```
pub fn agreement(a: &[usize], b: &[usize]) -> Result<Agreement> {
    if a.len() != b.len() || a.is_empty() {
        return Err(Error::input(format!(
            "comparing two groupings: expected the same rows in both, and at least one, found {} and {}",
            a.len(),
            b.len()
        )));
    }
    let mut both: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    let (mut of_a, mut of_b) = (BTreeMap::<usize, f64>::new(), BTreeMap::<usize, f64>::new());
    for (&a, &b) in a.iter().zip(b) {
        *both.entry((a, b)).or_default() += 1.0;
        *of_a.entry(a).or_default() += 1.0;
        *of_b.entry(b).or_default() += 1.0;
    }
    let n = a.len() as f64;
    let pairs = |n: &f64| n * (n - 1.0) / 2.0;
    let (together, in_a, in_b) = (
        both.values().map(pairs).sum::<f64>(),
        of_a.values().map(pairs).sum::<f64>(),
        of_b.values().map(pairs).sum::<f64>(),
    );
    let by_chance = if n > 1.0 { in_a * in_b / pairs(&n) } else { 0.0 };
    let most = (in_a + in_b) / 2.0;
    // All in one group, or each alone, in both: the same groups.
    let adjusted_rand = if most == by_chance { 1.0 } else { (together - by_chance) / (most - by_chance) };

    let entropy = |sizes: &BTreeMap<usize, f64>| -> f64 {
        sizes.values().map(|size| -(size / n) * libm::log(size / n)).sum()
    };
    let (entropy_a, entropy_b) = (entropy(&of_a), entropy(&of_b));
    let shared =
        |(&(a, b), &count): (&(usize, usize), &f64)| count / n * libm::log(count * n / (of_a[&a] * of_b[&b]));
    let information = both.iter().map(shared).sum::<f64>().max(0.0);
    let mean = (entropy_a + entropy_b) / 2.0;
    // One group in both: the same.
    let normalized = if mean > 0.0 { (information / mean).min(1.0) } else { 1.0 };
    Ok(Agreement { adjusted_rand, normalized_mutual_information: normalized })
}
