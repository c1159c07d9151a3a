//! What the kernels need beyond `fearless_simd`: ragged ends, elementwise loops, aligned storage.

use bytemuck::{Pod, Zeroable};
use fearless_simd::prelude::*;

/// Runs `op` with the vectors of a level, as `fearless_simd::dispatch` does, but on x86-64 with two kinds of them only: AVX2 with FMA and
/// the least that there is. What AVX-512 is worth, `avx512.rs` has; each kind is another copy of every kernel to compile.
macro_rules! dispatch {
    ($level:expr, $simd:ident => $op:expr) => {{
        let level: fearless_simd::Level = $level;
        #[cfg(target_arch = "x86_64")]
        {
            match (level.as_avx2(), level.as_sse2()) {
                (Some($simd), _) => fearless_simd::Simd::vectorize(
                    $simd,
                    #[inline(always)]
                    || $op,
                ),
                (None, Some($simd)) => fearless_simd::Simd::vectorize(
                    $simd,
                    #[inline(always)]
                    || $op,
                ),
                (None, None) => unreachable!("every x86-64 processor has SSE2"),
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        fearless_simd::dispatch!(level, $simd => $op)
    }};
}
pub(super) use dispatch;

/// The part of a vector that `values` covers; the other lanes are zero.
#[inline(always)]
pub fn load_part<S: Simd>(simd: S, values: &[f32]) -> S::f32s {
    S::f32s::from_fn(simd, |lane| values.get(lane).copied().unwrap_or(0.0))
}

/// Stores as many lanes as `out` has room for.
#[inline(always)]
pub fn store_part<S: Simd>(vector: S::f32s, out: &mut [f32]) {
    out.copy_from_slice(&vector.as_slice()[..out.len()]);
}

/// `values[i] = f(values[i])`.
#[inline(always)]
pub fn map_in_place<S: Simd>(simd: S, values: &mut [f32], f: impl Fn(S::f32s) -> S::f32s) {
    let mut chunks = values.chunks_exact_mut(S::f32s::LEN);
    for chunk in &mut chunks {
        f(S::f32s::from_slice(simd, chunk)).store_slice(chunk);
    }
    let rest = chunks.into_remainder();
    if !rest.is_empty() {
        store_part::<S>(f(load_part(simd, rest)), rest);
    }
}

/// `out[i] = f(out[i], x[i])`; both are equally long.
#[inline(always)]
pub fn zip_in_place<S: Simd>(simd: S, out: &mut [f32], x: &[f32], f: impl Fn(S::f32s, S::f32s) -> S::f32s) {
    debug_assert_eq!(out.len(), x.len());
    let mut chunks = out.chunks_exact_mut(S::f32s::LEN);
    let mut others = x.chunks_exact(S::f32s::LEN);
    for (chunk, other) in (&mut chunks).zip(&mut others) {
        f(S::f32s::from_slice(simd, chunk), S::f32s::from_slice(simd, other)).store_slice(chunk);
    }
    let rest = chunks.into_remainder();
    if !rest.is_empty() {
        store_part::<S>(f(load_part(simd, rest), load_part(simd, others.remainder())), rest);
    }
}

/// One cache line. A 64-byte vector load that crosses lines costs twice, and `Vec<f32>` promises 4 bytes.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([f32; Line::LEN]);

impl Line {
    const LEN: usize = 16;
}

/// Elements from one row to the next, for rows of `len` that are read side by side: an odd number of cache lines, so that the rows
/// do not meet in the same few sets of the cache.
pub fn row_stride(len: usize) -> usize {
    (len.div_ceil(Line::LEN) | 1) * Line::LEN
}

/// f32 values that start at a cache line and are padded with zeros to whole lines.
#[derive(Default)]
pub struct Aligned {
    lines: Vec<Line>,
}

impl Aligned {
    /// Zeros.
    pub fn zeros(len: usize) -> Self {
        Aligned { lines: vec![Line::zeroed(); len.div_ceil(Line::LEN)] }
    }

    /// Everything, the padding included.
    pub fn values(&self) -> &[f32] {
        bytemuck::cast_slice(&self.lines)
    }

    /// Everything, the padding included.
    pub fn values_mut(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.lines)
    }

    /// The first `len` values, with whatever was left in them; grows when needed.
    pub fn scratch(&mut self, len: usize) -> &mut [f32] {
        let lines = len.div_ceil(Line::LEN);
        if self.lines.len() < lines {
            self.lines.resize(lines, Line::zeroed());
        }
        &mut self.values_mut()[..len]
    }
}
