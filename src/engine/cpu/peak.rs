//! What the cores can do at most, as measured by loops that do nothing else.

use super::CpuEngine;
#[cfg(target_arch = "x86_64")]
use super::avx512;
use super::simd::dispatch;
use crate::plan::Peak;
use fearless_simd::prelude::*;
use std::hint::black_box;
use web_time::Instant;

/// Rounds of [`multiply_adds`] in one measurement of one thread.
const ROUNDS: usize = 1 << 20;
/// Accumulators, independent of one another: enough to hide the latency of a multiply-add.
const ACCUMULATORS: usize = 12;
/// Floats that each thread copies: larger than its caches.
const COPY: usize = 8 << 20;
/// The best of so many is the peak.
const TRIES: usize = 3;

impl CpuEngine {
    /// Measures the peaks of all threads together: f32 multiply-adds in registers and a copy through memory. Takes about half
    /// a second.
    pub fn peak(&self) -> Peak {
        let threads = self.threads();
        let level = self.level();
        let best = |work: &(dyn Fn() + Sync)| {
            let all = || {
                let start = Instant::now();
                self.pool().enter(|| self.pool().for_each(threads, |_| work()));
                start.elapsed().as_secs_f64()
            };
            (0..TRIES).map(|_| all()).fold(f64::INFINITY, f64::min)
        };
        let (flops, fma) = match self.kernel() {
            #[cfg(target_arch = "x86_64")]
            kernel if kernel.avx512 => (
                2 * ROUNDS * avx512::PEAK_SUMS * 16,
                best(&|| {
                    // SAFETY: `Kernel::new` has found AVX-512F.
                    black_box(unsafe { avx512::multiply_adds(black_box(0.999), ROUNDS) });
                }),
            ),
            _ => (
                2 * ROUNDS * ACCUMULATORS * dispatch!(level, simd => lanes(simd)),
                best(&|| {
                    black_box(dispatch!(level, simd => multiply_adds(simd, black_box(0.999))));
                }),
            ),
        };
        let source = vec![1.0_f32; COPY];
        let targets: Vec<std::sync::Mutex<Vec<f32>>> = (0..threads).map(|_| vec![0.0; COPY].into()).collect();
        let copy = best(&|| {
            // As many jobs as targets run at once, so one is always free.
            if let Some(mut target) = targets.iter().find_map(|target| target.try_lock().ok()) {
                target.copy_from_slice(black_box(&source));
            }
        });
        Peak {
            cooperative: None,
            flops: (flops * threads) as f64 / fma,
            bytes: (2 * 4 * COPY * threads) as f64 / copy,
        }
    }
}

#[inline(always)]
fn lanes<S: Simd>(_simd: S) -> usize {
    S::f32s::LEN
}

#[inline(always)]
fn multiply_adds<S: Simd>(simd: S, factor: f32) -> f32 {
    simd.vectorize(
        #[inline(always)]
        move || {
            let x = S::f32s::splat(simd, factor);
            let mut sums = [S::f32s::splat(simd, 1.0); ACCUMULATORS];
            for _ in 0..ROUNDS {
                for sum in &mut sums {
                    *sum = sum.mul_add(x, x);
                }
            }
            let total = sums.into_iter().fold(S::f32s::splat(simd, 0.0), |all, sum| all + sum);
            total.as_slice().iter().sum()
        },
    )
}
