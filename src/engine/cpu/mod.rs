//! The CPU engine: every step of a [`Plan`](crate::plan::Plan) in plain Rust and portable SIMD.
//!
//! It is the oracle that the WGSL kernels are compared with, and the engine of machines without a GPU, so it is
//! written to be exact and to be fast. One file a kernel, under the name of [`Step::kernel`](crate::plan::Step::kernel).
//!
//! Three rules hold everywhere here:
//!
//! - **Bit-invariance.** What a text gives has the same bits alone, in any batch, at any place in it and with any
//!   number of threads. No kernel may choose the order of a sum by the number of rows, of texts or of jobs; only
//!   by the shape of the weights, the length of the text itself and the instruction set.
//! - **One matrix kernel.** `panel` holds the register-blocked inner loop. Linear layers, `QKᵀ` and `PV` of
//!   attention are all built on it.
//! - **No instruction set by hand, but one.** `fearless_simd` gives vectors of the native width (AVX2 with FMA, SSE2, NEON, wasm
//!   simd128), chosen once when the engine is made; `avx512` has what takes the time for processors with AVX-512, operation by
//!   operation as AVX2 does it. So every x86-64 processor with AVX2 or more gives the same bits; those of other instruction sets may
//!   differ.

mod activation;
mod add_layernorm;
mod attention;
mod attention_probabilities;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod context;
mod embed_layernorm;
mod embed_tokens;
mod engine;
mod gated_activation;
mod gather_rows;
mod layernorm;
mod matmul;
mod mean_blocks;
mod normalize_rows;
mod panel;
mod parallel;
mod peak;
mod pool;
mod rotary;
mod simd;
mod weight;

pub use engine::{CpuEngine, CpuPlan};
