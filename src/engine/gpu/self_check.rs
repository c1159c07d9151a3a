//! Whether the kernels for cooperative matrices compute what the others do, on this device and driver.
//!
//! They rest on an experimental part of WGSL and on drivers that few have tried, so they are believed only where they have
//! been seen to be right.

use super::engine::GpuEngine;
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
/// Tiles that are full and tiles that are not, in every direction.
const LENS: [usize; 4] = [200, 3, 77, 128];

impl GpuEngine {
    /// Computes a small BERT with the kernels of [`Class::Tensor`] and with those of [`Class::Gpu`].
    ///
    /// # Errors
    /// `is_device`: the driver refuses something that has nothing to do with cooperative matrices.
    pub(super) async fn tensor_kernels_agree(&self) -> Result<bool> {
        // 420 is no multiple of any step through k.
        let mut config = Config::bert(160, 2, 5, 420, 97);
        config.max_positions = 256;
        let request = Request { hidden_states: vec![2], ..Request::default() };
        let plan = families::plan(&config, &request)?;
        let mut batch = PackedBatch::new();
        for (number, len) in LENS.into_iter().enumerate() {
            let ids: Vec<u32> = (0..len).map(|at| ((at * 31 + number * 17) % 97) as u32).collect();
            batch.push(&ids, &vec![0; len], 0);
        }
        let weights = RandomWeights { seed: 1 };
        let expected = self.prepare_with(Class::Gpu, &Tuning::default(), &plan, &weights).await?;
        let expected = self.submit(&expected, &batch)?.outputs_async().await?;
        for tile in [Tile::Cooperative, Tile::CooperativeLarge] {
            let mut tuning = Tuning::default();
            for (k, n) in tune::shapes(&plan) {
                tuning.set(k, n, tile);
            }
            let tensor = match self.prepare_with(Class::Tensor, &tuning, &plan, &weights).await {
                Ok(prepared) => prepared,
                Err(_) => return Ok(false),
            };
            for _ in 0..ROUNDS {
                let got = match self.submit(&tensor, &batch)?.outputs_async().await {
                    // Infinite or NaN is no agreement either.
                    Err(error) if error.is_model_file() => return Ok(false),
                    got => got?,
                };
                let mut pairs = got.buffers.iter().flatten().zip(expected.buffers.iter().flatten());
                // `all` and `<=`: a NaN is no agreement.
                if !pairs.all(|(got, expected)| (got - expected).abs() <= TOLERANCE) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}
