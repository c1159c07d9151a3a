//! Whether the kernels that multiply f16 compute what the others do, on this device and driver.
//!
//! Cooperative matrices are an experimental part of WGSL, f16 and subgroups are optional, and few have tried the drivers' share of
//! either: so these kernels are believed only where they have been seen to be right.

use super::engine::GpuEngine;
use super::platform;
use super::tune;
use crate::error::Result;
use crate::model::Config;
use crate::plan::kernels::{Class, Tile, Tuning};
use crate::plan::{RandomWeights, Request, families};
use crate::text::PackedBatch;

/// The largest difference of layer-normalised values that rounding x to f16 explains, with room to spare: a wrong tile,
/// or one that was read before it was written, is off by whole units.
const TOLERANCE: f32 = 2e-2;
/// What is read too early goes wrong now and then only.
const ROUNDS: usize = 3;
/// Tiles that are full and tiles that are not, in every direction; and few rows, for which matmuls have another kernel.
const LENS: [&[usize]; 2] = [&[200, 3, 77, 128], &[3, 40]];
/// Every tile, and every width of heads (32 and 64): tile and number of heads. The matrices are the same, so that no kernel of matmuls is
/// compiled twice.
const CHECKED: [(Tile, usize); 2] = [(Tile::Cooperative, 6), (Tile::CooperativeLarge, 3)];
/// Likewise without cooperative matrices.
const CHECKED_PLAIN: [(Tile, usize); 3] = [(Tile::Small, 6), (Tile::Medium, 3), (Tile::Large, 3)];
const HIDDEN: usize = 192;
/// No multiple of any step through k.
const INTERMEDIATE: usize = 420;
const VOCAB: usize = 97;

impl GpuEngine {
    /// Computes small BERTs with the kernels of this engine's class, which multiply f16, and with those of [`Class::Gpu`]. With `spoil` the
    /// former get other weights, so that they are sure to be wrong.
    ///
    /// # Errors
    /// `is_device`: the driver refuses something, of whichever kernels; it may have lost the device.
    pub(super) async fn halves_agree(&self, spoil: bool) -> Result<bool> {
        let batches = LENS.map(|lens| {
            let mut batch = PackedBatch::new();
            for (number, len) in lens.iter().copied().enumerate() {
                let ids: Vec<u32> = (0..len).map(|at| ((at * 31 + number * 17) % VOCAB) as u32).collect();
                batch.push(&ids, &vec![0; len], 0);
            }
            batch
        });
        let weights = RandomWeights { seed: 1 };
        let checked: &[(Tile, usize)] = match self.class() {
            Class::Tensor => &CHECKED,
            _ => &CHECKED_PLAIN,
        };
        // Only a measurement chooses that tile.
        let used = checked.iter().filter(|(tile, _)| platform::TUNES || *tile != Tile::Medium);
        for (tile, heads) in used.copied() {
            let mut config = Config::bert(HIDDEN, 2, heads, INTERMEDIATE, VOCAB);
            config.max_positions = 256;
            let request = Request { hidden_states: vec![2], ..Request::default() };
            let plan = families::plan(&config, &request)?;
            let expected = {
                // Gone before the other is prepared: living plans share weights.
                let plain = self.prepare_with(Class::Gpu, &Tuning::default(), &plan, &weights).await?;
                let mut expected = Vec::with_capacity(batches.len());
                for batch in &batches {
                    expected.push(self.submit(&plain, batch)?.outputs_async().await?);
                }
                expected
            };
            let mut tuning = Tuning::default();
            for (k, n) in tune::shapes(&plan) {
                tuning.set(k, n, tile);
            }
            let other = RandomWeights { seed: 2 };
            let source = if spoil { &other } else { &weights };
            let halved = self.prepare_with(self.class(), &tuning, &plan, source).await?;
            for (batch, expected) in (0..ROUNDS).flat_map(|_| batches.iter().zip(&expected)) {
                let got = match self.submit(&halved, batch)?.outputs_async().await {
                    // Infinite or NaN is no agreement either.
                    Err(error) if error.is_model_file() => return Ok(false),
                    got => got?,
                };
                if !agree(&got.buffers, &expected.buffers) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// Whether every number is near the other one. One that is no number is near nothing.
fn agree(got: &[Vec<f32>], expected: &[Vec<f32>]) -> bool {
    let near = |got: &Vec<f32>, expected: &Vec<f32>| {
        got.len() == expected.len()
            && got.iter().zip(expected).all(|(got, expected)| (got - expected).abs() <= TOLERANCE)
    };
    got.len() == expected.len() && got.iter().zip(expected).all(|(got, expected)| near(got, expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_number_is_no_agreement() {
        let right = vec![vec![0.5, -1.0], vec![2.0]];
        assert!(agree(&right, &right));
        let mut rounded = right.clone();
        rounded[1][0] += 0.5 * TOLERANCE;
        assert!(agree(&rounded, &right));
        for wrong in [f32::NAN, f32::INFINITY, 0.0] {
            let mut got = right.clone();
            got[1][0] = wrong;
            assert!(!agree(&got, &right), "{wrong}");
        }
        assert!(
            !agree(&right[..1], &right) && !agree(&[vec![0.5], vec![2.0]], &right),
            "less than there should be"
        );
    }
}
