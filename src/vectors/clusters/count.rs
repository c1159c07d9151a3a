//! How many clusters: the number whose rows sit best in theirs.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::best_of;
use crate::vectors::unit::{UnitRows, of_each, share};

/// A number of clusters that was tried.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct CountCandidate {
    /// How many clusters.
    pub count: usize,
    /// Mean silhouette of the rows that were drawn; zero where fewer than two clusters came of it.
    pub silhouette: f64,
}

/// The most clusters that are tried.
const MOST: usize = 60;
/// Rows that each number is tried on.
const ROWS: usize = 2_000;
/// Starts of k-means for each number.
const STARTS: u64 = 2;

/// Tries every number up to twenty, then in steps of a tenth, up to the square root of the rows.
pub(super) fn candidates(unit: &UnitRows, seed: u64) -> Vec<CountCandidate> {
    let drawn = drawn(unit.len(), seed);
    let most = unit.len().isqrt().clamp(2, MOST);
    let mut counts = vec![2];
    while let Some(&last) = counts.last().filter(|last| **last < most) {
        counts.push((last + (last / 10).max(1)).min(most));
    }
    let try_one = |count: usize| {
        let own = best_of(unit, &drawn, count, seed, STARTS);
        let mut of_row = vec![None; unit.len()];
        drawn.iter().zip(&own).for_each(|(row, own)| of_row[*row] = Some(*own));
        CountCandidate { count, silhouette: silhouette(unit, &of_row, count).unwrap_or(0.0) }
    };
    counts.into_iter().map(try_one).collect()
}

/// The number with the largest silhouette; of equal ones the smallest.
pub(super) fn best(candidates: &[CountCandidate]) -> usize {
    let mut best = candidates[0];
    for candidate in candidates {
        if candidate.silhouette > best.silhouette {
            best = *candidate;
        }
    }
    best.count
}

/// Rows drawn by the seed, in order: every set of them is as likely. Source: Knuth, TAOCP volume 2, algorithm 3.4.2 S.
fn drawn(rows: usize, seed: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut wanted = ROWS.min(rows);
    let mut drawn = Vec::with_capacity(wanted);
    for row in 0..rows {
        if f64::from(share(&mut rng)) * ((rows - row) as f64) < wanted as f64 {
            drawn.push(row);
            wanted -= 1;
        }
    }
    drawn
}

/// Mean silhouette of the rows that are in one of `count` clusters, by cosine distance. None where fewer than two clusters have rows.
///
/// Exact without comparing pairs: of rows of unit length, the distances to all rows of a cluster add up to its size less the product with
/// the sum of its rows.
pub(super) fn silhouette(unit: &UnitRows, of_row: &[Option<usize>], count: usize) -> Option<f64> {
    let columns = if unit.len() == 0 { 0 } else { unit.row(0).len() };
    let (mut sums, mut sizes) = (vec![0.0f64; count * columns], vec![0usize; count]);
    for (row, own) in of_row.iter().enumerate() {
        if let Some(own) = own {
            sizes[*own] += 1;
            let sum = &mut sums[own * columns..(own + 1) * columns];
            sum.iter_mut().zip(unit.row(row)).for_each(|(sum, value)| *sum += f64::from(*value));
        }
    }
    if sizes.iter().filter(|size| **size > 0).count() < 2 {
        return None;
    }
    let of = of_each(of_row.len(), |row| {
        let own = of_row[row]?;
        if sizes[own] == 1 {
            return Some(0.0);
        }
        // Sum of the distances to the rows of a cluster; its own distance is zero.
        let distances = |cluster: usize| {
            let sum = &sums[cluster * columns..(cluster + 1) * columns];
            sizes[cluster] as f64
                - sum.iter().zip(unit.row(row)).map(|(sum, value)| sum * f64::from(*value)).sum::<f64>()
        };
        let inside = distances(own) / (sizes[own] - 1) as f64;
        let others = (0..count).filter(|other| *other != own && sizes[*other] > 0);
        let next = others.map(|other| distances(other) / sizes[other] as f64).fold(f64::INFINITY, f64::min);
        let larger = inside.max(next);
        Some(if larger > 0.0 { (next - inside) / larger } else { 0.0 })
    });
    let of: Vec<f64> = of.into_iter().flatten().collect();
    Some(of.iter().sum::<f64>() / of.len() as f64)
}
