//! Dense products in f64, with the same bits on every machine.
//!
//! Every sum runs in [`LANES`] partial sums that are folded in one fixed order, products and sums are rounded
//! apart (no fused multiply-add), and work is cut by row counts, never by thread counts. So a head trained in a
//! browser equals one trained on a server, bit for bit. `fearless_simd` chooses the instruction set at run time: it
//! changes how many lanes go at once, not what they hold.

use std::array::from_fn;

use fearless_simd::{Level, dispatch, f32x16, f64x8, prelude::*};

use crate::platform;

/// Partial sums of a dot product: one AVX-512 register, two AVX2, four NEON or wasm ones.
const LANES: usize = 8;
/// Values taken in one step: two of f64 lanes, one whole vector of f32.
const STEP: usize = 2 * LANES;

/// What features may be stored as. Arithmetic is f64 either way.
pub(crate) trait Scalar: Copy + Send + Sync + Into<f64> {
    /// One step's values as f64.
    fn widen<S: Simd>(simd: S, values: &[Self; STEP]) -> [f64x8<S>; 2];
}

impl Scalar for f32 {
    #[inline(always)]
    fn widen<S: Simd>(simd: S, values: &[f32; STEP]) -> [f64x8<S>; 2] {
        let (low, high) = simd.widen_f32x16(f32x16::from_slice(simd, values));
        [low, high]
    }
}

impl Scalar for f64 {
    #[inline(always)]
    fn widen<S: Simd>(simd: S, values: &[f64; STEP]) -> [f64x8<S>; 2] {
        [f64x8::from_slice(simd, &values[..LANES]), f64x8::from_slice(simd, &values[LANES..])]
    }
}

#[inline(always)]
fn fold<S: Simd>(lanes: f64x8<S>) -> f64 {
    let lanes = lanes.as_slice();
    ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
}

/// Dot products of `R` rows with `O` others, all of one length.
#[inline(always)]
pub(crate) fn dot_tile<S: Simd, T: Scalar, const R: usize, const O: usize>(
    simd: S,
    x: [&[T]; R],
    w: [&[f64]; O],
) -> [[f64; O]; R] {
    let len = w[0].len();
    let x: [(&[[T; STEP]], &[T]); R] = x.map(|row| row[..len].as_chunks());
    let w: [(&[[f64; STEP]], &[f64]); O] = w.map(|row| row[..len].as_chunks());
    let mut sums = [[f64x8::splat(simd, 0.0); O]; R];
    for step in 0..len / STEP {
        let w: [[f64x8<S>; 2]; O] = from_fn(|o| f64::widen(simd, &w[o].0[step]));
        for r in 0..R {
            let x = T::widen(simd, &x[r].0[step]);
            for o in 0..O {
                sums[r][o] += x[0] * w[o][0];
                sums[r][o] += x[1] * w[o][1];
            }
        }
    }
    from_fn(|r| {
        from_fn(|o| {
            let mut tail = 0.0;
            for (&a, &b) in x[r].1.iter().zip(w[o].1) {
                tail += a.into() * b;
            }
            fold(sums[r][o]) + tail
        })
    })
}

/// The dot product of two rows of one length.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    dispatch!(Level::new(), simd => dot_tile(simd, [a], [b])[0][0])
}

/// `out += scale * x`.
pub(crate) fn add_scaled(out: &mut [f64], scale: f64, x: &[f64]) {
    dispatch!(Level::new(), simd => add_rows_tile(simd, out, [scale], [x]));
}

/// `out[i, o] = bias[o] + sum_j x[i, j] * w[o, j]`.
///
/// Shapes: `x` rows of `d`, `w` `[outputs, d]`, `bias` `[outputs]`, `out` `[x.len(), outputs]`.
pub(crate) fn affine<T: Scalar>(x: &[&[T]], w: &[f64], bias: &[f64], out: &mut [f64]) {
    dispatch!(Level::new(), simd => affine_simd(simd, x, w, bias, out));
}

#[inline(always)]
fn affine_simd<S: Simd, T: Scalar>(simd: S, x: &[&[T]], w: &[f64], bias: &[f64], out: &mut [f64]) {
    let outputs = bias.len();
    if outputs == 0 {
        return;
    }
    let d = w.len() / outputs;
    let (quads, rest) = x.as_chunks::<4>();
    let (out, out_rest) = out.split_at_mut(quads.len() * 4 * outputs);
    for (rows, out) in quads.iter().zip(out.chunks_exact_mut(4 * outputs)) {
        affine_rows(simd, *rows, d, w, bias, out);
    }
    for (&row, out) in rest.iter().zip(out_rest.chunks_exact_mut(outputs)) {
        affine_rows(simd, [row], d, w, bias, out);
    }
}

#[inline(always)]
fn affine_rows<S: Simd, T: Scalar, const R: usize>(
    simd: S,
    x: [&[T]; R],
    d: usize,
    w: &[f64],
    bias: &[f64],
    out: &mut [f64],
) {
    let outputs = bias.len();
    let w = |o: usize| &w[o * d..(o + 1) * d];
    let mut o = 0;
    while o + 2 <= outputs {
        let tile = dot_tile(simd, x, [w(o), w(o + 1)]);
        for r in 0..R {
            out[r * outputs + o] = tile[r][0] + bias[o];
            out[r * outputs + o + 1] = tile[r][1] + bias[o + 1];
        }
        o += 2;
    }
    if o < outputs {
        let tile = dot_tile(simd, x, [w(o)]);
        for r in 0..R {
            out[r * outputs + o] = tile[r][0] + bias[o];
        }
    }
}

/// `out[o, j] += sum_i r[i, o] * x[i, j]`.
///
/// Shapes: `x` rows of `d`, `r` `[x.len(), outputs]`, `out` `[outputs, d]`.
pub(crate) fn add_outer<T: Scalar>(x: &[&[T]], r: &[f64], outputs: usize, out: &mut [f64]) {
    dispatch!(Level::new(), simd => add_outer_simd(simd, x, r, outputs, out));
}

#[inline(always)]
fn add_outer_simd<S: Simd, T: Scalar>(simd: S, x: &[&[T]], r: &[f64], outputs: usize, out: &mut [f64]) {
    if outputs == 0 {
        return;
    }
    let d = out.len() / outputs;
    let (quads, rest) = x.as_chunks::<4>();
    for (quad, rows) in quads.iter().enumerate() {
        for (o, out) in out.chunks_exact_mut(d).enumerate() {
            add_rows_tile(simd, out, from_fn(|i| r[(quad * 4 + i) * outputs + o]), *rows);
        }
    }
    for (i, row) in rest.iter().enumerate() {
        for (o, out) in out.chunks_exact_mut(d).enumerate() {
            add_rows_tile(simd, out, [r[(quads.len() * 4 + i) * outputs + o]], [row]);
        }
    }
}

/// `out[j] += sum_i scales[i] * rows[i][j]`.
#[inline(always)]
pub(crate) fn add_rows_tile<S: Simd, T: Scalar, const R: usize>(
    simd: S,
    out: &mut [f64],
    scales: [f64; R],
    rows: [&[T]; R],
) {
    let len = out.len();
    let rows: [(&[[T; STEP]], &[T]); R] = rows.map(|row| row[..len].as_chunks());
    let (steps, tail) = out.as_chunks_mut::<STEP>();
    for (step, out) in steps.iter_mut().enumerate() {
        let x: [[f64x8<S>; 2]; R] = from_fn(|i| T::widen(simd, &rows[i].0[step]));
        let (low, high) = out.split_at_mut(LANES);
        for (half, out) in [low, high].into_iter().enumerate() {
            let mut sum = f64x8::from_slice(simd, out);
            for i in 0..R {
                sum += x[i][half] * scales[i];
            }
            sum.store_slice(out);
        }
    }
    for (j, out) in tail.iter_mut().enumerate() {
        for i in 0..R {
            *out += rows[i].1[j].into() * scales[i];
        }
    }
}

/// The lower triangle of `sum_i w_i (x_i - mean)(x_i - mean)ᵀ`, `[d, d]`, over the rows given. What is above the
/// diagonal is undefined.
///
/// The mean is taken off before the product: taken off after, it would cancel.
pub(crate) fn scatter<T: Scalar>(rows: &[(&[T], f64)], mean: &[f64]) -> Vec<f64> {
    /// Rows in memory at a time: as columns of this length they are read whole.
    const ROWS: usize = 256;
    const TILE: usize = 32;
    let d = mean.len();
    let mut sum = vec![0.0; d * d];
    let mut columns = vec![0.0; d * ROWS];
    for rows in rows.chunks(ROWS) {
        let len = rows.len();
        // Columns of the block end to end, scaled by √w, so that one entry is one dot product.
        let weights: Vec<f64> = rows.iter().map(|(_, weight)| weight.sqrt()).collect();
        platform::for_chunks(&mut columns[..d * len], TILE * len, |tile, out| {
            let from = tile * TILE;
            for (i, (row, _)) in rows.iter().enumerate() {
                for (at, &value) in row[from..from + out.len() / len].iter().enumerate() {
                    out[at * len + i] = (value.into() - mean[from + at]) * weights[i];
                }
            }
        });
        let columns: Vec<&[f64]> = columns[..d * len].chunks_exact(len).collect();
        platform::for_chunks(&mut sum, TILE * d, |tile, out| {
            dispatch!(Level::new(), simd => scatter_tile(simd, &columns, tile * TILE, out));
        });
    }
    sum
}

/// Adds the products of columns `from..` with all columns up to the diagonal.
#[inline(always)]
fn scatter_tile<S: Simd>(simd: S, columns: &[&[f64]], from: usize, out: &mut [f64]) {
    let d = columns.len();
    for (a, out) in out.chunks_mut(4 * d).enumerate() {
        let from = from + 4 * a;
        if out.len() == 4 * d {
            scatter_rows::<S, 4>(simd, columns, from, out);
        } else {
            for (b, out) in out.chunks_mut(d).enumerate() {
                scatter_rows::<S, 1>(simd, columns, from + b, out);
            }
        }
    }
}

#[inline(always)]
fn scatter_rows<S: Simd, const R: usize>(simd: S, columns: &[&[f64]], from: usize, out: &mut [f64]) {
    let d = columns.len();
    let left: [&[f64]; R] = from_fn(|r| columns[from + r]);
    let mut b = 0;
    while b < from + R {
        // The last pair may reach past the diagonal; there it writes what nobody reads.
        let other = (b + 1).min(d - 1);
        let tile = dot_tile(simd, left, [columns[b], columns[other]]);
        for r in 0..R {
            out[r * d + b] += tile[r][0];
            if other > b {
                out[r * d + other] += tile[r][1];
            }
        }
        b += 2;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Small numbers without a pattern.
    pub(crate) fn noise(len: usize, salt: u64) -> Vec<f64> {
        let mut state = 0x9e37_79b9_7f4a_7c15 ^ salt;
        (0..len)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((state >> 33) as f64) / f64::from(1u32 << 31) * 2.0 - 1.0
            })
            .collect()
    }

    #[test]
    fn products_match_the_plain_sums_at_odd_sizes() {
        for (n, d, outputs) in [(1, 1, 1), (3, 7, 2), (4, 8, 3), (5, 9, 1), (9, 33, 5), (16, 64, 4)] {
            let x: Vec<f32> = noise(n * d, 1).iter().map(|&value| value as f32).collect();
            let rows: Vec<&[f32]> = x.chunks_exact(d).collect();
            let (w, bias) = (noise(outputs * d, 2), noise(outputs, 3));
            let mut z = vec![f64::NAN; n * outputs];
            affine(&rows, &w, &bias, &mut z);
            let mut g = vec![0.5; outputs * d];
            add_outer(&rows, &z, outputs, &mut g);
            for i in 0..n {
                for o in 0..outputs {
                    let want: f64 =
                        bias[o] + (0..d).map(|j| f64::from(x[i * d + j]) * w[o * d + j]).sum::<f64>();
                    assert!((z[i * outputs + o] - want).abs() <= 1e-13, "z[{i},{o}] of {n}x{d}x{outputs}");
                }
            }
            for o in 0..outputs {
                for j in 0..d {
                    let want: f64 =
                        0.5 + (0..n).map(|i| z[i * outputs + o] * f64::from(x[i * d + j])).sum::<f64>();
                    assert!((g[o * d + j] - want).abs() <= 1e-12, "g[{o},{j}] of {n}x{d}x{outputs}");
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_in_any_tile() {
        let (d, outputs) = (37, 3);
        let x: Vec<f32> = noise(9 * d, 4).iter().map(|&value| value as f32).collect();
        let rows: Vec<&[f32]> = x.chunks_exact(d).collect();
        let w = noise(outputs * d, 5);
        let mut all = vec![0.0; 9 * outputs];
        affine(&rows, &w, &[0.0; 3], &mut all);
        for i in 0..9 {
            let mut one = vec![0.0; outputs];
            dispatch!(Level::baseline(), simd => affine_simd(simd, &rows[i..=i], &w, &[0.0; 3], &mut one));
            assert_eq!(one, all[i * outputs..(i + 1) * outputs], "row {i}, without wide instructions");
        }
    }
}
