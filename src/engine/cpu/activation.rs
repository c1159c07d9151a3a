//! Elementwise functions, a vector at a time and within a few units in the last place of the exact value.
//!
//! All of them carry NaN through and none makes one of a finite input: `exp` may overflow to infinity or underflow to
//! zero, and what is built on it divides by `1 + exp(..)`.

use super::panel::{Kernel, Place};
use super::simd::map_in_place;
use crate::model::Activation;
use fearless_simd::prelude::*;

/// [`apply`] to every row of a place whose rows are whole vectors.
#[cfg_attr(target_arch = "wasm32", inline(never))]
#[cfg_attr(not(target_arch = "wasm32"), inline(always))]
pub fn apply_rows<S: Simd>(simd: S, kernel: Kernel, activation: Activation, out: &mut Place<'_>) {
    #[cfg(target_arch = "x86_64")]
    if kernel.avx512 && activation == Activation::Gelu {
        // SAFETY: `Kernel::new` has found AVX-512F.
        return unsafe { super::avx512::gelu_rows(out) };
    }
    for row in 0..out.rows() {
        apply(simd, kernel, activation, out.row(row));
    }
}

/// `values[i] = activation(values[i])`.
#[cfg_attr(target_arch = "wasm32", inline(never))]
#[cfg_attr(not(target_arch = "wasm32"), inline(always))]
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables, reason = "elsewhere there is one kernel"))]
pub fn apply<S: Simd>(simd: S, kernel: Kernel, activation: Activation, values: &mut [f32]) {
    match activation {
        #[cfg(target_arch = "x86_64")]
        Activation::Gelu if kernel.avx512 => {
            // SAFETY: `Kernel::new` has found AVX-512F.
            unsafe { super::avx512::gelu(values) }
        }
        Activation::Gelu => map_in_place(
            simd,
            values,
            #[inline(always)]
            |x| gelu(simd, x),
        ),
        Activation::GeluTanh => map_in_place(
            simd,
            values,
            #[inline(always)]
            |x| gelu_tanh(simd, x),
        ),
        Activation::Relu => map_in_place(
            simd,
            values,
            #[inline(always)]
            |x| relu(simd, x),
        ),
        Activation::Silu => map_in_place(
            simd,
            values,
            #[inline(always)]
            |x| x / one_plus_exp(simd, -x),
        ),
        Activation::QuickGelu => map_in_place(
            simd,
            values,
            #[inline(always)]
            |x| x / one_plus_exp(simd, x * -1.702),
        ),
        Activation::Tanh => map_in_place(
            simd,
            values,
            #[inline(always)]
            |x| tanh(simd, x),
        ),
        Activation::Sigmoid => {
            map_in_place(
                simd,
                values,
                #[inline(always)]
                |x| S::f32s::splat(simd, 1.0) / one_plus_exp(simd, -x),
            );
        }
        Activation::Mish => map_in_place(
            simd,
            values,
            #[inline(always)]
            |x| mish(simd, x),
        ),
        Activation::Relu6 => map_in_place(
            simd,
            values,
            #[inline(always)]
            |x| {
                let x = relu(simd, x);
                x.simd_gt(6.0).select(S::f32s::splat(simd, 6.0), x)
            },
        ),
        Activation::LeakyRelu => map_in_place(
            simd,
            values,
            #[inline(always)]
            |x| x.simd_lt(0.0).select(x * 0.01, x),
        ),
        Activation::Laplace => map_in_place(
            simd,
            values,
            #[inline(always)]
            |x| laplace(simd, x),
        ),
        Activation::Relu2 => map_in_place(
            simd,
            values,
            #[inline(always)]
            |x| {
                let x = relu(simd, x);
                x * x
            },
        ),
    }
}

/// Horner's rule, highest power first.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::f32s, coefficients: [f32; N]) -> S::f32s {
    let mut sum = S::f32s::splat(simd, coefficients[0]);
    for &coefficient in &coefficients[1..] {
        sum = sum.mul_add(x, S::f32s::splat(simd, coefficient));
    }
    sum
}

/// `e^x`, from 0 to infinity with denormals on the way; within 1 ulp where the result is normal.
#[inline(always)]
pub fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // Beyond these the result is 0 and infinity. Selects, not min and max: those lose NaN on some hardware.
    let x = x.simd_lt(-104.0).select(S::f32s::splat(simd, -104.0), x);
    let x = x.simd_gt(89.0).select(S::f32s::splat(simd, 89.0), x);
    let (mantissa, n) = exp_parts(simd, x);
    // In two factors, since 2^n itself leaves the range of f32 where the result is a denormal.
    let half = n >> 1;
    mantissa * power_of_two::<S>(half) * power_of_two::<S>(n - half)
}

/// -ln 2 in two parts, the first with few enough bits that a small whole number times it is exact.
pub(super) const LN_2: [f32; 2] = [-0.693_359_4, 2.121_944_4e-4];
/// `(e^r - 1 - r) / r²` on -ln 2 / 2 ..= ln 2 / 2. Source: Cephes `expf`.
pub(super) const EXP: [f32; 6] =
    [1.987_569_2e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
/// See [`normal_distribution`].
pub(super) const PHI_SCALE: f32 = 0.296_875;
/// See [`normal_distribution`].
pub(super) const PHI: [f32; 10] = [
    -0.020_913_907,
    0.117_348_56,
    -0.248_323_4,
    0.225_491_39,
    -0.104_289_26,
    0.109_875_99,
    0.074_004_49,
    0.110_124_04,
    0.118_238_05,
    0.118_444_03,
];

/// `e^x = m * 2^n`.
///
/// Source: Cephes `expf`: `x = n ln 2 + r`, and m a polynomial in r.
#[inline(always)]
fn exp_parts<S: Simd>(simd: S, x: S::f32s) -> (S::f32s, S::i32s) {
    let n = (x * std::f32::consts::LOG2_E).round_ties_even();
    let r = n.mul_add(S::f32s::splat(simd, LN_2[0]), x);
    let r = n.mul_add(S::f32s::splat(simd, LN_2[1]), r);
    let tail = polynomial(simd, r, EXP);
    (tail.mul_add(r * r, r) + 1.0, n.to_int())
}

/// `2^n` for n in -126 ..= 127.
#[inline(always)]
fn power_of_two<S: Simd>(n: S::i32s) -> S::f32s {
    ((n + 127) << 23).bitcast()
}

#[inline(always)]
fn one_plus_exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    exp(simd, x) + 1.0
}

/// `x Φ(x)`, Φ the normal distribution function.
#[inline(always)]
fn gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // x Φ(x) at -13 is -8e-38, the least that the exponential in Φ gives as a normal number: it stays there.
    let bounded = x.simd_lt(-13.0).select(S::f32s::splat(simd, -13.0), x);
    // Only an overflow gives an infinite x: it must show in the result.
    let infinite = S::f32s::splat(simd, f32::NEG_INFINITY);
    x.simd_lt(f32::MIN).select(infinite, bounded * normal_distribution(simd, bounded))
}

/// `Φ((x - μ) / σ)`.
#[inline(always)]
#[allow(
    clippy::approx_constant,
    reason = "μ is this number in transformers, not the constant that it is near to"
)]
fn laplace<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    normal_distribution(simd, (x - 0.707_107) / S::f32s::splat(simd, 0.282_095))
}

/// `x tanh(ln(1 + e^x))`: with n = e^x (e^x + 2) it is `x n / (n + 2)`.
#[inline(always)]
fn mish<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // From 20 on it is x to the last place, and e^x would overflow.
    let e = exp(simd, x.simd_gt(20.0).select(S::f32s::splat(simd, 20.0), x));
    let n = e * (e + 2.0);
    x.simd_gt(20.0).select(x, x * (n / (n + 2.0)))
}

/// Φ(x), the normal distribution function; small relative error in the negative tail too, where `(1 + erf(x/√2)) / 2`
/// cancels. Below -13 it stays what it is there.
///
/// `Φ(-z) = exp(-z²/2) R(z)`, and `R(z) = t P(t)` with `t = 1 / (1 + 19/64 z)` and P of degree 9, fitted to
/// `erfcx(z/√2) / 2` on 0 ..= 14 at Chebyshev nodes in 40 digits: relative error 5e-9.
#[inline(always)]
fn normal_distribution<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = S::f32s::splat(simd, 1.0);
    let z = x.abs().min(13.0);
    let t = one / z.mul_add(S::f32s::splat(simd, PHI_SCALE), one);
    let p = polynomial(simd, t, PHI);
    // What z² loses in rounding would be a relative error of the exponential: put back to first order.
    let square = z * z;
    let lost = z.mul_sub(z, square);
    let (mantissa, n) = exp_parts(simd, square * -0.5);
    let e = mantissa * power_of_two::<S>(n);
    let e = (e * -0.5).mul_add(lost, e);
    let tail = e * (t * p);
    x.simd_lt(0.0).select(tail, one - tail)
}

/// `x/2 (1 + tanh(u)) = x / (1 + exp(-2u))`.
#[inline(always)]
fn gelu_tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const FACTOR: f32 = -2.0 * 0.797_884_6; // -2 sqrt(2 / pi)
    let cubic = (x * x).mul_add(S::f32s::splat(simd, 0.044_715 * FACTOR), S::f32s::splat(simd, FACTOR));
    x / one_plus_exp(simd, x * cubic)
}

#[inline(always)]
fn relu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    x.simd_lt(0.0).select(S::f32s::splat(simd, 0.0), x)
}

/// Source: Cephes `tanhf`.
#[inline(always)]
fn tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = S::f32s::splat(simd, 1.0);
    let magnitude = x.abs();
    let e = exp(simd, magnitude * -2.0);
    let large = ((one - e) / (one + e)).copysign(x);
    let square = x * x;
    let odd = polynomial(
        simd,
        square,
        [-5.704_988_7e-3, 2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1],
    );
    let small = (odd * square).mul_add(x, x);
    magnitude.simd_lt(0.625).select(small, large)
}
