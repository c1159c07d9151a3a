//! Weights for measurements and tests.

use crate::error::Result;
use crate::model::{WeightKind, WeightSource, WeightSpec};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// Random weights of the right shapes, for benches and tests of engines: the same seed and spec give the same numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomWeights {
    /// Seeds every weight, together with its name.
    pub seed: u64,
}

impl WeightSource for RandomWeights {
    fn load(&self, spec: &WeightSpec) -> Result<Vec<f32>> {
        let mut values = Vec::with_capacity(spec.len());
        for part in &spec.parts {
            let mut hash = Sha256::new();
            hash.update(self.seed.to_le_bytes());
            hash.update(part.name.as_bytes());
            let mut rng = ChaCha8Rng::from_seed(hash.finalize().into());
            let len: usize = part.shape.iter().product();
            // Matrices keep the variance of their input, so that a deep random model stays in range.
            let spread = match spec.kind {
                WeightKind::Matrix => (3.0 / part.shape[1] as f32).sqrt(),
                WeightKind::Table => 1.0,
                WeightKind::Vector => 0.2,
            };
            let is_scale = spec.kind == WeightKind::Vector && part.name.ends_with("weight");
            let centre = if is_scale { 1.0 } else { 0.0 };
            values.extend((0..len).map(|_| centre + spread * (rng.random::<f32>() * 2.0 - 1.0)));
        }
        Ok(values)
    }
}
