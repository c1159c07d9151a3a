//! HDBSCAN: clusters where rows lie densely.
//!
//! Source: Campello, Moulavi and Sander (2013), *Density-based clustering based on hierarchical density estimates*; computed by the crate
//! `hdbscan`, whose own distances (a plain loop, or a k-d tree, which finds nothing quickly in hundreds of dimensions) took several times as long
//! as the table of them that it is given here.

use hdbscan::{DistanceMetric, Hdbscan, HdbscanHyperParams};

use super::ClusterOptions;
use crate::error::{Error, Result};
use crate::vectors::unit::{UnitRows, of_each};

/// Equal rows count as so far apart: at distance zero the density would be infinite.
const NEAREST: f32 = 1e-3;

/// The cluster of each row, or none.
pub(super) fn hdbscan(unit: &UnitRows, options: &ClusterOptions) -> Result<Vec<Option<usize>>> {
    let table = distances(unit);
    let parameters = HdbscanHyperParams::builder()
        .dist_metric(DistanceMetric::Precalculated)
        .min_cluster_size(options.min_size)
        .min_samples(options.min_samples.unwrap_or(options.min_size))
        .build();
    let found = Hdbscan::new(&table, parameters).cluster();
    let labels = found.map_err(|error| Error::input("grouping texts by HDBSCAN").with_source(error))?;
    // -1 is noise.
    Ok(labels.into_iter().map(|label| usize::try_from(label).ok()).collect())
}

/// Euclidean distances of all pairs: of rows of unit length, in the order of their cosines.
fn distances(unit: &UnitRows) -> Vec<Vec<f32>> {
    let n = unit.len();
    let mut table = of_each(n, |row| {
        let mut to = vec![0.0; n];
        for (other, to) in to.iter_mut().enumerate().take(row) {
            *to = (2.0 - 2.0 * unit.cosine(row, other)).max(NEAREST * NEAREST).sqrt();
        }
        to
    });
    for row in 0..n {
        let (above, below) = table.split_at_mut(row + 1);
        for (at, other) in below.iter().enumerate() {
            above[row][row + 1 + at] = other[row];
        }
    }
    table
}
