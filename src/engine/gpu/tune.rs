//! Which tile multiplies a matrix fastest on this very device: measured when asked for, and kept beside the compiled
//! kernels for the next process.

use super::engine::GpuEngine;
use super::platform;
use crate::error::Result;
use crate::model::Config;
use crate::plan::kernels::{Class, Tile, Tuning};
use crate::plan::{OutputKind, Plan, PlanBuilder, RandomWeights, Request, Rows, Step};
use crate::platform::entry;
use crate::text::PackedBatch;
use std::collections::BTreeSet;
use std::time::Duration;
use web_time::Instant;

/// Rows that are multiplied in a measurement: enough to fill a large GPU, few enough for a small one to be done soon.
const ROWS: usize = 2048;
/// The first run of a kernel pays for what is lazy in a driver.
const RUNS: usize = 3;
/// No new matrix is begun after so long; those left follow the table.
const BUDGET: Duration = Duration::from_secs(2);

impl GpuEngine {
    entry! {
        /// Measures every tile on the matrices of a plan that were not measured on this device before, about a second in
        /// all. Returns what is known for this plan then. Software adapters are never tuned: they have one tile.
        ///
        /// # Errors
        /// `is_device`: the driver refuses something.
        pub fn tune(&mut self, plan: &Plan) -> Result<Tuning> = tune_async;
    }

    pub(crate) async fn tune_async(&mut self, plan: &Plan) -> Result<Tuning> {
        if self.class() == Class::Software {
            return Ok(Tuning::default());
        }
        let shapes = shapes(plan);
        let started = Instant::now();
        let mut known = self.tuning().clone();
        for (k, n) in shapes.iter().copied() {
            if known.get(k, n).is_none() && started.elapsed() < BUDGET {
                let mut best: Option<(f64, Tile)> = None;
                for tile in Tile::OF_GPUS {
                    // Without cooperative matrices those names stand for another tile.
                    if tile.is_cooperative() && !self.has_cooperative_kernels() {
                        continue;
                    }
                    let seconds = self.time(k, n, tile).await?;
                    if best.is_none_or(|(least, _)| seconds < least) {
                        best = Some((seconds, tile));
                    }
                }
                if let Some((_, tile)) = best {
                    known.set(k, n, tile);
                }
            }
        }
        if known != *self.tuning() {
            self.set_tuning(known.clone());
            if let Some(folder) = self.kernel_folder() {
                platform::save_tuning(folder, self.report(), self.kernels(), &known);
            }
        }
        let mut of_plan = Tuning::default();
        for ((k, n), tile) in known.iter().filter(|(shape, _)| shapes.contains(shape)) {
            of_plan.set(k, n, tile);
        }
        Ok(of_plan)
    }

    /// Seconds of the fastest of a few runs.
    async fn time(&self, k: usize, n: usize, tile: Tile) -> Result<f64> {
        let plan = one_matmul(k, n)?;
        let mut tuning = Tuning::default();
        tuning.set(k, n, tile);
        let prepared = self.prepare_with(self.class(), &tuning, &plan, &RandomWeights { seed: 1 }).await?;
        let mut batch = PackedBatch::new();
        let len = 128;
        for _ in 0..ROWS / len {
            batch.push(&vec![0; len], &vec![0; len], 0);
        }
        let mut least = f64::INFINITY;
        for _ in 0..RUNS {
            let seconds = match self.profile_async(&prepared, &batch).await {
                Ok(times) => {
                    let ours = times.iter().filter(|time| time.kernel.starts_with("matmul."));
                    ours.map(|time| time.nanoseconds).sum::<f64>() / 1e9
                }
                // No timestamps: the whole of it, which differs by the matmul alone.
                Err(_) => {
                    let started = Instant::now();
                    self.submit(&prepared, &batch)?.outputs_async().await?;
                    started.elapsed().as_secs_f64()
                }
            };
            least = least.min(seconds);
        }
        Ok(least)
    }
}

/// `(k, n)` of the matrices that every token is multiplied with.
pub(super) fn shapes(plan: &Plan) -> BTreeSet<(usize, usize)> {
    let shape = |step: &Step| match step {
        Step::MatMul { x, out, .. } if plan.buffer(*out).rows == Rows::Tokens => {
            Some((plan.buffer(*x).cols, plan.buffer(*out).cols))
        }
        _ => None,
    };
    plan.steps().iter().filter_map(shape).collect()
}

fn one_matmul(k: usize, n: usize) -> Result<Plan> {
    let config = Config::bert(k, 1, 1, n, 1);
    let request = Request::default();
    let mut b = PlanBuilder::new(&config, &request)?;
    let words = b.table("words", 1, k);
    let norm = b.norm("norm", k, true);
    let x = b.buffer(Rows::Tokens, k, "x");
    b.step(Step::EmbedLayerNorm { words, positions: None, types: None, norm, out: x });
    let out = b.linear(x, &["linear".into()], n, true, None, "out");
    let first = b.first_tokens(out);
    b.output(OutputKind::PoolerOutput, first);
    b.finish(None)
}
