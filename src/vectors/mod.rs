//! What vectors say without a label: which are nearest, which are nearly the same, which groups there are, which to label next, whether two
//! sets differ.
//!
//! Everything here is exact (no approximate index), takes rows in memory, and gives the same answer for the same seed on every machine.

mod clusters;
mod compact;
mod drift;
mod duplicates;
mod kmeans;
mod nearest;
mod suggest;
mod unit;

pub use clusters::{
    Agreement, Cluster, ClusterMethod, ClusterOptions, ClusterWord, Clusters, CountCandidate, Merge,
    agreement, clusters, distinguishing_words,
};
pub use compact::{Compact, CompactRows};
pub use drift::{Drift, DriftOptions, class_shares, drift};
pub use duplicates::{DuplicateGroup, duplicates};
pub use nearest::{Neighbour, nearest};
pub use suggest::{Strategy, SuggestOptions, Suggestion, suggest};

#[cfg(test)]
mod tests {
    use crate::head::Matrix;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Rows of numbers from -1 to 1.
    pub(super) fn random(rows: usize, columns: usize, seed: u64) -> Matrix<'static> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let values = (0..rows * columns).map(|_| rng.random::<f32>() * 2.0 - 1.0).collect::<Vec<_>>();
        Matrix::new(rows, columns, values).unwrap()
    }
}
