//! Two principal components, for a map.

use wasm_bindgen::prelude::wasm_bindgen;

/// Rounds of the power iteration. A map needs no more digits than a screen has pixels.
const ROUNDS: usize = 60;

/// The first two principal components of `[rows, dim]`, as `[rows, 2]`.
///
/// Source: power iteration on the covariance, which is never formed; the second component is kept orthogonal to the first.
#[wasm_bindgen]
#[must_use]
pub fn project(data: &[f32], dim: usize) -> Vec<f32> {
    let rows = data.len() / dim.max(1);
    if rows == 0 {
        return Vec::new();
    }
    let mut mean = vec![0.0f64; dim];
    for row in data.chunks_exact(dim) {
        mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    mean.iter_mut().for_each(|sum| *sum /= rows as f64);

    let mut components: Vec<Vec<f64>> = Vec::new();
    for component in 0..2 {
        // A fixed start that is no axis: the same data give the same picture.
        let mut axis: Vec<f64> = (0..dim).map(|i| 1.0 + ((i * 7 + component * 3) % 11) as f64).collect();
        for _ in 0..ROUNDS {
            make_orthogonal(&mut axis, &components);
            let mut next = vec![0.0; dim];
            for row in data.chunks_exact(dim) {
                let along = centred_dot(row, &mean, &axis);
                next.iter_mut().zip(row).zip(&mean).for_each(|((n, x), m)| *n += along * (f64::from(*x) - m));
            }
            axis = next;
        }
        make_orthogonal(&mut axis, &components);
        components.push(axis);
    }
    data.chunks_exact(dim)
        .flat_map(|row| {
            [centred_dot(row, &mean, &components[0]) as f32, centred_dot(row, &mean, &components[1]) as f32]
        })
        .collect()
}

/// Takes the other directions out of `axis`, and scales it to length 1; without a length it stays 0.
fn make_orthogonal(axis: &mut [f64], others: &[Vec<f64>]) {
    for other in others {
        let along: f64 = axis.iter().zip(other).map(|(a, b)| a * b).sum();
        axis.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
    }
    let length = axis.iter().map(|a| a * a).sum::<f64>().sqrt();
    if length > 0.0 {
        axis.iter_mut().for_each(|a| *a /= length);
    }
}

fn centred_dot(row: &[f32], mean: &[f64], axis: &[f64]) -> f64 {
    row.iter().zip(mean).zip(axis).map(|((x, m), a)| (f64::from(*x) - m) * a).sum()
}
