//! Spherical k-means: groups of rows around directions.
//!
//! Sources: Dhillon and Modha (2001); seeds by k-means++, Arthur and Vassilvitskii (2007).

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::unit::{UnitRows, dot, of_each, share};

/// Centres of unit length, and which of them each row is nearest to.
pub(super) struct Means {
    pub(super) centres: Vec<Vec<f32>>,
    /// For each of the rows given, in their order.
    pub(super) own: Vec<usize>,
}

impl Means {
    /// The rows of each cluster, in their order; none is empty.
    pub(super) fn by_cluster(&self, rows: &[usize]) -> Vec<Vec<usize>> {
        let mut clusters = vec![vec![]; self.centres.len()];
        rows.iter().zip(&self.own).for_each(|(row, own)| clusters[*own].push(*row));
        clusters.retain(|cluster| !cluster.is_empty());
        clusters
    }

    /// Sum of the rows' cosines with their centres: what k-means makes large.
    pub(super) fn closeness(&self, pool: &UnitRows, rows: &[usize]) -> f64 {
        let cosine = |(row, own): (&usize, &usize)| f64::from(dot(&self.centres[*own], pool.row(*row)));
        rows.iter().zip(&self.own).map(cosine).sum()
    }
}

/// At most `count` clusters of these rows: fewer where there are not so many different ones. The first seed is the middle of all, the others
/// are drawn. After so many rounds it stops where it is.
pub(super) fn kmeans(pool: &UnitRows, rows: &[usize], count: usize, seed: u64, rounds: usize) -> Means {
    let count = count.min(rows.len());
    if count == 0 {
        return Means { centres: vec![], own: vec![] };
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut centres: Vec<Vec<f32>> =
        middle(pool, rows).map(|row| pool.row(row).to_vec()).into_iter().collect();
    let mut far: Vec<f64> = vec![f64::INFINITY; rows.len()];
    while centres.len() < count {
        let last = &centres[centres.len() - 1];
        let from_last = of_each(rows.len(), |at| f64::from(1.0 - dot(last, pool.row(rows[at]))).max(0.0));
        far.iter_mut().zip(from_last).for_each(|(far, new)| *far = far.min(new));
        let total: f64 = far.iter().sum();
        if !(total > 0.0) {
            break;
        }
        let mut left = f64::from(share(&mut rng)) * total;
        let at = far.iter().position(|far| {
            left -= far;
            left < 0.0
        });
        centres.push(pool.row(rows[at.unwrap_or(rows.len() - 1)]).to_vec());
    }
    let mut own: Vec<usize> = vec![usize::MAX; rows.len()];
    for _ in 0..rounds {
        let nearest = of_each(rows.len(), |at| {
            // Of equal ones the first.
            let mut best = (0, f32::NEG_INFINITY);
            for (centre, values) in centres.iter().enumerate() {
                let cosine = dot(values, pool.row(rows[at]));
                if cosine.total_cmp(&best.1).is_gt() {
                    best = (centre, cosine);
                }
            }
            best.0
        });
        if nearest == own {
            break;
        }
        own = nearest;
        let mut members = vec![vec![]; centres.len()];
        rows.iter().zip(&own).for_each(|(row, own)| members[*own].push(*row));
        for (values, members) in centres.iter_mut().zip(&members) {
            // A centre that no row is nearest to stays where it is.
            if let Some(mean) = mean(pool, members) {
                *values = mean;
            }
        }
    }
    Means { centres, own }
}

/// The row nearest to the mean of these.
pub(super) fn middle(pool: &UnitRows, rows: &[usize]) -> Option<usize> {
    let mean = mean(pool, rows)?;
    let cosine = |row: &usize| dot(&mean, pool.row(*row));
    // Of equal ones the first.
    rows.iter().copied().rev().max_by(|a, b| cosine(a).total_cmp(&cosine(b)))
}

/// Direction of the sum of these rows.
pub(super) fn mean(pool: &UnitRows, rows: &[usize]) -> Option<Vec<f32>> {
    let mut sum = vec![0.0f64; pool.row(*rows.first()?).len()];
    for &row in rows {
        sum.iter_mut().zip(pool.row(row)).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    let length = sum.iter().map(|v| v * v).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    Some(sum.iter().map(|v| (v / length) as f32).collect())
}
