//! `out[i] = x[i] / max(|x[i]|, 1e-12)`. Source: `torch.nn.functional.normalize`.

use super::context::Context;

/// Writes `[texts, cols]` from the first `cols` columns of `x`, `[texts, wide]`.
pub fn run(context: &Context<'_>, x: &[f32], wide: usize, cols: usize, out: &mut [f32]) {
    context.pool.for_each_row(out, cols, |at, out| {
        let row = &x[at * wide..][..cols];
        // f64 holds the square of any f32.
        let squares: f64 = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        // `max` would lose NaN.
        let norm = squares.sqrt();
        let norm = if norm < 1e-12 { 1e-12 } else { norm };
        for (out, &x) in out.iter_mut().zip(row) {
            *out = (f64::from(x) / norm) as f32;
        }
    });
}
