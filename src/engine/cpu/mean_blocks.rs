//! `out[:, i] = mean over b of x[:, b * cols + i]`.

use super::context::Context;

/// Writes `[texts, cols]` from `[texts, blocks * cols]`.
pub fn run(context: &Context<'_>, x: &[f32], blocks: usize, cols: usize, out: &mut [f32]) {
    context.pool.for_each_row(out, cols, |at, out| {
        let row = &x[at * blocks * cols..][..blocks * cols];
        for (column, out) in out.iter_mut().enumerate() {
            let sum: f64 = row.iter().skip(column).step_by(cols).map(|&x| f64::from(x)).sum();
            *out = (sum / blocks as f64) as f32;
        }
    });
}
