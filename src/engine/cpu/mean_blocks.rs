//! `out[:, i] = mean over b of x[:, b * cols + i]`, each weighted by `weights[b]` where there are weights.

use super::context::Context;

/// Writes `[texts, cols]` from `[texts, blocks * cols]`; `weights` is `[blocks]`.
pub fn run(
    context: &Context<'_>,
    x: &[f32],
    blocks: usize,
    weights: Option<&[f32]>,
    cols: usize,
    out: &mut [f32],
) {
    let sum: f64 =
        weights.map_or(blocks as f64, |weights| weights.iter().map(|&weight| f64::from(weight)).sum());
    context.pool.for_each_row(out, cols, |at, out| {
        let row = &x[at * blocks * cols..][..blocks * cols];
        for (column, out) in out.iter_mut().enumerate() {
            let values = row.iter().skip(column).step_by(cols).map(|&x| f64::from(x));
            let total: f64 = match weights {
                None => values.sum(),
                Some(weights) => values.zip(weights).map(|(x, &weight)| x * f64::from(weight)).sum(),
            };
            *out = (total / sum) as f32;
        }
    });
}
