//! Which clusters are near each other: a hierarchy of their centres.

use kodama::{Method, linkage};

use super::Clusters;
use crate::vectors::unit::dot;

/// Two clusters, or groups of them, that come together.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Merge {
    /// A cluster, or of `n` clusters the merge of this number less `n`; smaller than `right`.
    pub left: usize,
    /// The other one.
    pub right: usize,
    /// Mean cosine distance (one less the cosine) between the centres on both sides; no smaller than that of the merge before.
    pub distance: f64,
    /// Clusters in both together.
    pub clusters: usize,
}

impl Clusters {
    /// Merges of clusters, the nearest first, until all are one: average linkage of the centres by cosine distance, as scipy numbers them.
    /// One less than there are clusters.
    pub fn tree(&self) -> Vec<Merge> {
        let n = self.clusters.len();
        if n < 2 {
            return vec![];
        }
        let centre = |cluster: usize| &self.clusters[cluster].centre[..];
        let mut distances = Vec::with_capacity(n * (n - 1) / 2);
        for a in 0..n {
            distances.extend((a + 1..n).map(|b| f64::from((1.0 - dot(centre(a), centre(b))).max(0.0))));
        }
        let merge = |step: &kodama::Step<f64>| Merge {
            left: step.cluster1.min(step.cluster2),
            right: step.cluster1.max(step.cluster2),
            distance: step.dissimilarity,
            clusters: step.size,
        };
        linkage(&mut distances, n, Method::Average).steps().iter().map(merge).collect()
    }
}
