//! What takes the time, with the foundation of AVX-512 alone: the inner loop of [`panel`](super::panel), GELU and the softmax of attention.
//!
//! Operations are those of `activation` and `attention` with AVX2's vectors, in the same order: so are the bits, on every x86-64
//! processor with AVX2 or more.

use super::activation;
use super::panel::{Before, Place, Plus, Rows};
use std::arch::asm;
use std::arch::x86_64::{
    __m256, __m512, __mmask16, _CMP_LT_OQ, _mm_load_ss, _mm256_add_ps, _mm256_castpd_ps, _mm256_setzero_ps,
    _mm256_storeu_ps, _mm512_abs_ps, _mm512_add_ps, _mm512_broadcastss_ps, _mm512_castpd512_pd256,
    _mm512_castps_pd, _mm512_cmp_ps_mask, _mm512_div_ps, _mm512_extractf64x4_pd, _mm512_fmadd_ps,
    _mm512_fmsub_ps, _mm512_loadu_ps, _mm512_mask_blend_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps,
    _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps, _mm512_reduce_max_ps, _mm512_roundscale_ps,
    _mm512_scalef_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps, _mm512_sub_ps,
};

/// Numbers of a vector.
const LANES: usize = 16;
/// Vectors across a panel.
const VECTORS: usize = 2;
/// Columns of a panel.
pub const WIDTH: usize = VECTORS * LANES;
/// Rows computed at once: 24 sums, two vectors of the panel and those of x, of 32 registers.
pub const MAX_ROWS: usize = 12;

/// Rows of x that share a register for where they are: an address has room for twice a second one.
const SHARED: usize = 3;
type Addresses = [*const f32; MAX_ROWS / SHARED];

/// The same value, without the compiler knowing it: else it computes the addresses of twelve rows anew at each step, and the
/// processor takes in no more than four instructions a cycle.
macro_rules! opaque {
    ($value:expr) => {{
        let mut register = $value;
        asm!("/* {0} */", inout(reg) register, options(pure, nomem, nostack, preserves_flags));
        register
    }};
}

/// The body for every row below `ROWS`, spelled out: registers have no index, and after a loop that LLVM does not unroll the sums lie in memory
/// from the first product on, which takes five times as long.
macro_rules! each_row {
    ($row:ident, $body:block) => {
        each_row!($row, $body, 0 1 2 3 4 5 6 7 8 9 10 11)
    };
    ($row:ident, $body:block, $($number:literal)*) => {
        $(if $number < ROWS {
            let $row: usize = $number;
            $body
        })*
    };
}

/// `sums[i] += values[i * stride..][..WIDTH]`; all of these are there.
macro_rules! add_rows {
    ($sums:ident, $values:expr, $stride:expr) => {{
        let (values, stride): (*const f32, usize) = ($values, $stride);
        each_row!(row, {
            let place = values.wrapping_add(row.wrapping_mul(stride));
            $sums[row] = [
                _mm512_add_ps($sums[row][0], _mm512_maskz_loadu_ps(!0, place)),
                _mm512_add_ps($sums[row][1], _mm512_maskz_loadu_ps(!0, place.wrapping_add(LANES))),
            ];
        });
    }};
}

/// Multiplies rows of `x`, as many as `out` has, with a block of a panel, `[len, WIDTH]`.
#[target_feature(enable = "avx512f")]
pub fn multiply(x: Rows<'_>, panel: &[f32], plus: Plus<'_>, out: Place<'_>) {
    match out.rows() {
        1 => multiply_rows::<1>(x, panel, plus, out),
        2 => multiply_rows::<2>(x, panel, plus, out),
        3 => multiply_rows::<3>(x, panel, plus, out),
        4 => multiply_rows::<4>(x, panel, plus, out),
        5 => multiply_rows::<5>(x, panel, plus, out),
        6 => multiply_rows::<6>(x, panel, plus, out),
        7 => multiply_rows::<7>(x, panel, plus, out),
        8 => multiply_rows::<8>(x, panel, plus, out),
        9 => multiply_rows::<9>(x, panel, plus, out),
        10 => multiply_rows::<10>(x, panel, plus, out),
        11 => multiply_rows::<11>(x, panel, plus, out),
        MAX_ROWS => multiply_rows::<MAX_ROWS>(x, panel, plus, out),
        count => unreachable!("{count} rows at once"),
    }
}

// Never inlined: in one function of all numbers of rows, LLVM stops inlining within the loop.
#[inline(never)]
#[target_feature(enable = "avx512f")]
#[allow(clippy::pointers_in_nomem_asm_block, reason = "there is no instruction that could go through them")]
fn multiply_rows<const ROWS: usize>(x: Rows<'_>, panel: &[f32], plus: Plus<'_>, mut out: Place<'_>) {
    let len = panel.len() / WIDTH;
    // Checked once: with slices in the loop, a tenth of the time goes into their ends.
    assert!((ROWS - 1) * x.stride + len <= x.values.len(), "rows of x end within it");
    assert!(out.rows() == ROWS && out.width() == WIDTH, "there is room for the products");
    // SAFETY: there is no instruction in it; so below.
    let stride = unsafe { opaque!(x.stride) };
    // Every third row; those that are not there stay where x begins. Spelled out, for the same reason.
    let row = |at: usize| {
        let first = if at * SHARED < ROWS { at * SHARED } else { 0 };
        x.values[first * x.stride..].as_ptr()
    };
    // SAFETY: likewise.
    let mut rows: Addresses = unsafe { [opaque!(row(0)), opaque!(row(1)), opaque!(row(2)), opaque!(row(3))] };
    let mut sums = [[_mm512_setzero_ps(); VECTORS]; ROWS];
    let mut weights = panel.as_ptr();
    // Two at a time, for the sake of what steps the addresses.
    for _ in 0..len / 2 {
        // SAFETY: both steps are before `len`, as many as the panel and each row of x have.
        unsafe {
            step(&rows, stride, weights, &mut sums);
            let [a, b, c, d] = rows;
            let next = [a.wrapping_add(1), b.wrapping_add(1), c.wrapping_add(1), d.wrapping_add(1)];
            step(&next, stride, weights.wrapping_add(WIDTH), &mut sums);
            weights = weights.wrapping_add(2 * WIDTH);
            rows = [
                opaque!(a.wrapping_add(2)),
                opaque!(b.wrapping_add(2)),
                opaque!(c.wrapping_add(2)),
                opaque!(d.wrapping_add(2)),
            ];
        }
    }
    if !len.is_multiple_of(2) {
        // SAFETY: the last of `len` steps is left.
        unsafe { step(&rows, stride, weights, &mut sums) };
    }
    match plus.before {
        Before::None => {}
        Before::There => {
            // SAFETY: as many rows and columns as were asserted.
            unsafe { add_rows!(sums, out.start(), out.stride()) }
        }
        Before::Rows(before) => {
            assert!((ROWS - 1) * before.stride + WIDTH <= before.values.len());
            // SAFETY: as asserted.
            unsafe { add_rows!(sums, before.values.as_ptr(), before.stride) }
        }
    }
    if let Some(bias) = plus.bias {
        let bias = &bias[..WIDTH];
        // SAFETY: as many as the slice has. The same for every row.
        unsafe { add_rows!(sums, bias.as_ptr(), 0) }
    }
    if let Some(residual) = plus.residual {
        assert!((ROWS - 1) * residual.stride + WIDTH <= residual.values.len());
        // SAFETY: as asserted.
        unsafe { add_rows!(sums, residual.values.as_ptr(), residual.stride) }
    }
    let (start, stride) = (out.start(), out.stride());
    each_row!(row, {
        let place = start.wrapping_add(row.wrapping_mul(stride));
        // SAFETY: there is room for `WIDTH` products of each row.
        unsafe {
            _mm512_mask_storeu_ps(place, !0, sums[row][0]);
            _mm512_mask_storeu_ps(place.wrapping_add(LANES), !0, sums[row][1]);
        }
    });
}

/// One step of k.
///
/// # Safety
/// `weights` has `WIDTH` numbers, and `rows[i]` one at 0, `stride` and twice that, as far as there are `ROWS`.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn step<const ROWS: usize>(
    rows: &Addresses,
    stride: usize,
    weights: *const f32,
    sums: &mut [[__m512; VECTORS]; ROWS],
) {
    // Nothing here that development builds check at each number: no `add`, no dereference, and no load that is a copy to them.
    // SAFETY: the caller's promise.
    unsafe {
        let low = _mm512_maskz_loadu_ps(!0, weights);
        let high = _mm512_maskz_loadu_ps(!0, weights.wrapping_add(LANES));
        for (row, sums) in sums.iter_mut().enumerate() {
            let place = rows[row / SHARED].wrapping_add((row % SHARED).wrapping_mul(stride));
            let x = _mm512_broadcastss_ps(_mm_load_ss(place));
            *sums = [_mm512_fmadd_ps(x, low, sums[0]), _mm512_fmadd_ps(x, high, sums[1])];
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(values: &[f32]) -> __m512 {
    let values = &values[..LANES];
    // SAFETY: there are as many values as a vector has.
    unsafe { _mm512_loadu_ps(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(vector: __m512, out: &mut [f32]) {
    let out = &mut out[..LANES];
    // SAFETY: there is room for as many values as a vector has.
    unsafe { _mm512_storeu_ps(out.as_mut_ptr(), vector) }
}

/// `values[i] = gelu(values[i])`, as `activation` computes it.
#[target_feature(enable = "avx512f")]
pub fn gelu(values: &mut [f32]) {
    for chunk in values.chunks_mut(LANES) {
        let lanes = !0 >> (LANES - chunk.len());
        // SAFETY: the mask names the values that are there.
        let x = unsafe { _mm512_maskz_loadu_ps(lanes, chunk.as_ptr()) };
        let y = gelu_of(x);
        // SAFETY: likewise.
        unsafe { _mm512_mask_storeu_ps(chunk.as_mut_ptr(), lanes, y) };
    }
}

/// The same for the rows that were just computed.
#[target_feature(enable = "avx512f")]
pub fn gelu_rows(out: &mut Place<'_>) {
    for row in 0..out.rows() {
        for chunk in out.row(row).chunks_exact_mut(LANES) {
            store(gelu_of(load(chunk)), chunk);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn gelu_of(x: __m512) -> __m512 {
    let bounded = _mm512_max_ps(_mm512_set1_ps(-13.0), x);
    let product = _mm512_mul_ps(bounded, normal_distribution(bounded));
    select(less(x, f32::MIN), _mm512_set1_ps(f32::NEG_INFINITY), product)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn normal_distribution(x: __m512) -> __m512 {
    let one = _mm512_set1_ps(1.0);
    let z = _mm512_min_ps(_mm512_abs_ps(x), _mm512_set1_ps(13.0));
    let t = _mm512_div_ps(one, _mm512_fmadd_ps(z, _mm512_set1_ps(activation::PHI_SCALE), one));
    let p = polynomial(t, activation::PHI);
    let square = _mm512_mul_ps(z, z);
    let lost = _mm512_fmsub_ps(z, z, square);
    let (mantissa, n) = exp_parts(_mm512_mul_ps(square, _mm512_set1_ps(-0.5)));
    let e = _mm512_scalef_ps(mantissa, n);
    let e = _mm512_fmadd_ps(_mm512_mul_ps(e, _mm512_set1_ps(-0.5)), lost, e);
    let tail = _mm512_mul_ps(e, _mm512_mul_ps(t, p));
    select(less(x, 0.0), tail, _mm512_sub_ps(one, tail))
}

/// Turns scores into `exp(score * scale + bias - max)`, and gives sums of eight lanes, which are still to be added up. Scores are
/// a multiple of [`LANES`].
#[target_feature(enable = "avx512f")]
pub fn softmax_weights(scores: &mut [f32], scale: f32, bias: Option<&[f32]>) -> [f32; 8] {
    let mut max = _mm512_set1_ps(f32::NEG_INFINITY);
    for (at, scores) in scores.chunks_exact_mut(LANES).enumerate() {
        let mut x = _mm512_mul_ps(load(scores), _mm512_set1_ps(scale));
        if let Some(bias) = bias {
            x = _mm512_add_ps(x, load(&bias[at * LANES..]));
        }
        store(x, scores);
        max = _mm512_max_ps(max, x);
    }
    let max = _mm512_set1_ps(_mm512_reduce_max_ps(max));
    let mut sum = _mm256_setzero_ps();
    for scores in scores.chunks_exact_mut(LANES) {
        let x = exp(_mm512_sub_ps(load(scores), max));
        store(x, scores);
        // By halves, as vectors of eight are added.
        let [low, high] = halves(x);
        sum = _mm256_add_ps(_mm256_add_ps(sum, low), high);
    }
    let mut sums = [0.0; 8];
    // SAFETY: there is room for eight.
    unsafe { _mm256_storeu_ps(sums.as_mut_ptr(), sum) };
    sums
}

#[inline]
#[target_feature(enable = "avx512f")]
fn halves(x: __m512) -> [__m256; 2] {
    let x = _mm512_castps_pd(x);
    [_mm256_castpd_ps(_mm512_castpd512_pd256(x)), _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(x))]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn exp(x: __m512) -> __m512 {
    // The second operand is what comes out of a comparison with NaN.
    let x = _mm512_min_ps(_mm512_set1_ps(89.0), _mm512_max_ps(_mm512_set1_ps(-104.0), x));
    let (mantissa, n) = exp_parts(x);
    // Rounded once, as the product of two factors is whose first is exact.
    _mm512_scalef_ps(mantissa, n)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn exp_parts(x: __m512) -> (__m512, __m512) {
    // 8: to the nearest, ties to even, no exceptions.
    let n = _mm512_roundscale_ps::<8>(_mm512_mul_ps(x, _mm512_set1_ps(std::f32::consts::LOG2_E)));
    let r = _mm512_fmadd_ps(n, _mm512_set1_ps(activation::LN_2[0]), x);
    let r = _mm512_fmadd_ps(n, _mm512_set1_ps(activation::LN_2[1]), r);
    let tail = polynomial(r, activation::EXP);
    let mantissa = _mm512_add_ps(_mm512_fmadd_ps(tail, _mm512_mul_ps(r, r), r), _mm512_set1_ps(1.0));
    (mantissa, n)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn polynomial<const N: usize>(x: __m512, coefficients: [f32; N]) -> __m512 {
    let mut sum = _mm512_set1_ps(coefficients[0]);
    for &coefficient in &coefficients[1..] {
        sum = _mm512_fmadd_ps(sum, x, _mm512_set1_ps(coefficient));
    }
    sum
}

#[inline]
#[target_feature(enable = "avx512f")]
fn less(x: __m512, than: f32) -> __mmask16 {
    _mm512_cmp_ps_mask::<_CMP_LT_OQ>(x, _mm512_set1_ps(than))
}

/// `yes` where the mask says so, `no` elsewhere.
#[inline]
#[target_feature(enable = "avx512f")]
fn select(mask: __mmask16, yes: __m512, no: __m512) -> __m512 {
    _mm512_mask_blend_ps(mask, no, yes)
}

/// Rounds of multiply-adds in registers, for the peak: `rounds * 12 * 16` of them.
#[target_feature(enable = "avx512f")]
pub fn multiply_adds(factor: f32, rounds: usize) -> f32 {
    let x = _mm512_set1_ps(factor);
    let mut sums = [_mm512_set1_ps(1.0); PEAK_SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, x, x);
        }
    }
    let total = sums.into_iter().fold(_mm512_setzero_ps(), |all, sum| _mm512_add_ps(all, sum));
    let mut numbers = [0.0; LANES];
    store(total, &mut numbers);
    numbers.iter().sum()
}

/// Independent sums of [`multiply_adds`].
pub const PEAK_SUMS: usize = 12;
