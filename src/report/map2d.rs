//! Maps of embeddings in the plane: principal components, and t-SNE.
//!
//! Both are deterministic: fixed starts, and sums in an order that does not depend on the number of threads.

use crate::error::{Error, Result};
use bhtsne::{Neighbor, tSNE};
use nalgebra::{DMatrix, SymmetricEigen};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Components kept before t-SNE: distances between embeddings hardly change, and cost less.
const TSNE_COMPONENTS: usize = 50;

/// Neighbours that a point of a t-SNE map attends to, in effect. Source: van der Maaten and Hinton, 2008, who name
/// 5 to 50.
const PERPLEXITY: f32 = 30.0;

/// Steps of t-SNE's gradient descent; the first quarter is exaggerated.
const EPOCHS: usize = 750;

/// Places of rows in the plane.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// How they were got, for a caption.
    pub method: String,
    /// `[rows, 2]`, any unit, the same on both axes.
    pub points: Vec<[f64; 2]>,
}

/// The two directions in which the rows vary most.
///
/// # Shapes
/// `rows` is `[n, dim]`, row-major. The work grows as `n * dim`; a few thousand rows take a fraction of a second.
///
/// # Errors
/// `rows` is not a whole number of rows, or holds a number that is not finite.
///
/// # Source
/// Halko, Martinsson and Tropp, "Finding structure with randomness", 2011, algorithm 4.4 and section 5.1.
pub fn pca(rows: &[f32], dim: usize) -> Result<Projection> {
    let components = Components::new(rows, dim, 2)?;
    let share = 100.0 * components.variances.iter().take(2).sum::<f64>() / components.total;
    let method = if share.is_finite() { format!("PCA ({share:.0}% of the variance)") } else { "PCA".into() };
    Ok(Projection { method, points: components.points() })
}

/// Places in which neighbours stay neighbours; distances between groups mean little.
///
/// Fewer than eight rows have no neighbourhoods to speak of and get [`pca`] instead.
///
/// # Shapes
/// As in [`pca`]. The work grows as `n²` for the neighbours and `n log n` for each step: sample to a few thousand
/// rows before.
///
/// # Errors
/// As in [`pca`].
///
/// # Source
/// van der Maaten, "Accelerating t-SNE using tree-based algorithms", 2014; started from the principal components
/// as Kobak and Berens, "The art of using t-SNE for single-cell transcriptomics", 2019, advise.
pub fn tsne(rows: &[f32], dim: usize) -> Result<Projection> {
    let components = Components::new(rows, dim, TSNE_COMPONENTS)?;
    let n = components.scores.nrows();
    // Three times the perplexity in neighbours must exist besides the point itself.
    let perplexity = PERPLEXITY.min((n.saturating_sub(1) / 3) as f32);
    if perplexity < 2.0 {
        return pca(rows, dim);
    }
    let points: Vec<Vec<f32>> =
        components.scores.row_iter().map(|row| row.iter().map(|&value| value as f32).collect()).collect();
    let neighbours = nearest(&points, (3.0 * perplexity) as usize);

    // Small, so that the first steps see almost equal distances. Shaken, so that equal rows do not start, and
    // stay, in one place, where the crate's tree cannot tell them apart.
    let start = components.points();
    let spread = (start.iter().flatten().map(|value| value * value).sum::<f64>() / n as f64).sqrt();
    let spread = spread.max(f32::MIN_POSITIVE.into());
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut place = |value: &f64| (1e-4 * value / spread) as f32 + 1e-5 * (rng.random::<f32>() - 0.5);
    let start: Vec<f32> = start.iter().flatten().map(&mut place).collect();

    let fit = || {
        let mut tsne: tSNE<f32, Vec<f32>> = tSNE::new(&points);
        tsne.perplexity(perplexity).epochs(EPOCHS).initial_embedding(start);
        // A metric would make the crate seek neighbours through a tree with random pivots: another map in each run.
        tsne.barnes_hut_with_neighbors(0.5, &neighbours).embedding()
    };
    // With several threads the crate adds up means in whatever order they come, and small differences grow.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.map_err(|error| Error::limit("cannot start a thread for t-SNE").with_source(error))?;
    let embedding = pool.install(fit);
    let points: Vec<[f64; 2]> = embedding.chunks_exact(2).map(|xy| [xy[0].into(), xy[1].into()]).collect();
    if points.iter().flatten().any(|value| !value.is_finite()) {
        return pca(rows, dim);
    }
    Ok(Projection { method: format!("t-SNE (perplexity {perplexity:.0})"), points })
}

/// The `k` nearest others of each point, nearest first.
fn nearest(points: &[Vec<f32>], k: usize) -> Vec<Vec<Neighbor<f32>>> {
    let n = points.len();
    let near = |(at, point): (usize, &Vec<f32>)| {
        let squared =
            |other: &[f32]| -> f32 { point.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum() };
        // Ties go to the points after this one: were they to go to the first points, all copies of a text would
        // pull at the same few, and the descent would diverge.
        let mut others: Vec<(f32, usize)> =
            (1..n).map(|step| (squared(&points[(at + step) % n]), step)).collect();
        let order = |a: &(f32, usize), b: &(f32, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        others.select_nth_unstable_by(k - 1, order);
        others.truncate(k);
        others.sort_unstable_by(order);
        let neighbour =
            |(squared, step): (f32, usize)| Neighbor { index: (at + step) % n, distance: squared.sqrt() };
        others.into_iter().map(neighbour).collect()
    };
    points.par_iter().enumerate().map(near).collect()
}

/// The first principal components of some rows.
struct Components {
    /// `[n, components]`: each row in terms of the components, the one of largest variance first.
    scores: DMatrix<f64>,
    /// Sum of squares along each component.
    variances: Vec<f64>,
    /// Sum of squares of the centred rows.
    total: f64,
}

impl Components {
    fn new(rows: &[f32], dim: usize, components: usize) -> Result<Self> {
        if dim == 0 || !rows.len().is_multiple_of(dim) {
            return Err(Error::input(format!(
                "cannot map the embeddings: expected whole rows of {dim} numbers, found {} numbers",
                rows.len()
            )));
        }
        if let Some(at) = rows.iter().position(|value| !value.is_finite()) {
            return Err(Error::input(format!(
                "cannot map the embeddings: expected finite numbers, found {} in row {}",
                rows[at],
                at / dim
            )));
        }
        let n = rows.len() / dim;
        if n == 0 {
            return Ok(Components { scores: DMatrix::zeros(0, 0), variances: vec![], total: 0.0 });
        }
        // nalgebra stores columns: row-major rows are its columns.
        // In f64, because the QR decomposition loses its way in squares of rounding errors, where rows repeat.
        let mut columns = DMatrix::from_iterator(dim, n, rows.iter().map(|&value| f64::from(value)));
        let mean = columns.column_mean();
        columns.column_iter_mut().for_each(|mut column| column -= &mean);
        let centred = columns.transpose();

        // Ten directions more than wanted, and powers of the covariance, sharpen the last of those wanted.
        let k = (components + 10).min(dim).min(n);
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut basis = DMatrix::from_fn(dim, k, |_, _| rng.random::<f64>() - 0.5);
        for _ in 0..8 {
            basis = (&columns * (&centred * basis)).qr().q();
        }
        let scores = &centred * basis;
        let small = SymmetricEigen::new(scores.transpose() * &scores);
        let mut order: Vec<usize> = (0..small.eigenvalues.len()).collect();
        order.sort_by(|&a, &b| small.eigenvalues[b].total_cmp(&small.eigenvalues[a]));
        order.truncate(components);
        Ok(Components {
            scores: scores * small.eigenvectors.select_columns(&order),
            variances: order.iter().map(|&at| small.eigenvalues[at]).collect(),
            total: columns.norm_squared(),
        })
    }

    /// The first two components; rows of one number have no second.
    fn points(&self) -> Vec<[f64; 2]> {
        let at = |row: usize, column: usize| self.scores.get((row, column)).copied().unwrap_or(0.0);
        (0..self.scores.nrows()).map(|row| [at(row, 0), at(row, 1)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows around three far corners, and the corner of each.
    fn corners(n: usize, dim: usize) -> (Vec<f32>, Vec<usize>) {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let which: Vec<usize> = (0..n).map(|row| row % 3).collect();
        let value =
            |corner: usize, at: usize, noise: f32| f32::from(u8::from(at % 3 == corner)) * 3.0 + noise;
        let rows = which
            .iter()
            .flat_map(|&corner| (0..dim).map(move |at| (corner, at)))
            .map(|(corner, at)| value(corner, at, rng.random::<f32>()))
            .collect();
        (rows, which)
    }

    fn apart(points: &[[f64; 2]], which: &[usize]) -> bool {
        let distance = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
        let nearest = |at: usize| {
            let others = (0..points.len()).filter(|&other| other != at);
            others
                .min_by(|&a, &b| distance(points[at], points[a]).total_cmp(&distance(points[at], points[b])))
        };
        (0..points.len()).all(|at| nearest(at).is_some_and(|near| which[near] == which[at]))
    }

    #[test]
    fn pca_finds_the_directions_of_largest_variance() {
        // Along (3, 4, 0, ..)/5 with spread 10, along the third axis with spread 1, nothing else.
        let places: Vec<(f32, f32)> =
            (0..200).map(|row| ((row % 20) as f32 - 9.5, ((row / 20) as f32 - 4.5) / 4.5)).collect();
        let rows: Vec<f32> = places
            .iter()
            .flat_map(|&(far, near)| [0.6 * far + 5.0, 0.8 * far, near - 1.0, 0.0, 2.0])
            .collect();
        let projection = pca(&rows, 5).unwrap();
        assert_eq!(projection.method, "PCA (100% of the variance)");
        for (&(far, near), [x, y]) in places.iter().zip(projection.points) {
            assert!((x.abs() - f64::from(far.abs())).abs() < 1e-4, "{x} is not {far}");
            assert!((y.abs() - f64::from(near.abs())).abs() < 1e-4, "{y} is not {near}");
        }
    }

    #[test]
    fn groups_stay_apart() {
        let (rows, which) = corners(240, 64);
        assert!(apart(&pca(&rows, 64).unwrap().points, &which));
        let map = tsne(&rows, 64).unwrap();
        assert_eq!(map.method, "t-SNE (perplexity 30)");
        assert!(apart(&map.points, &which));
    }

    #[test]
    fn a_map_does_not_depend_on_the_number_of_threads() {
        let (rows, _) = corners(150, 24);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| tsne(&rows, 24).unwrap())
        };
        let one = on(1);
        assert!(one == on(1), "two runs on one thread differ");
        assert!(one == on(3), "one thread and three differ");
    }

    #[test]
    fn odd_inputs_give_maps_or_errors_but_no_panic() {
        assert!(pca(&[], 4).unwrap().points.is_empty());
        assert!(tsne(&[], 4).unwrap().points.is_empty());
        assert_eq!(pca(&[1.0, 2.0], 2).unwrap().points, [[0.0, 0.0]]);
        assert_eq!(pca(&[1.0, 2.0, 4.0], 1).unwrap().points.len(), 3);
        // All alike; and a text that many rows repeat.
        let (mut rows, _) = corners(300, 8);
        rows[..150 * 8].fill(0.5);
        for rows in [&rows[..150 * 8], &rows] {
            let map = tsne(rows, 8).unwrap();
            assert!(map.method.starts_with("t-SNE"), "the descent diverged");
            assert!(map.points.iter().flatten().all(|value| value.is_finite()));
        }
        assert!(pca(&[1.0, 2.0, 3.0], 2).unwrap_err().is_input());
        assert!(pca(&[1.0], 0).unwrap_err().is_input());
        let error = tsne(&[1.0, 2.0, f32::NAN, 4.0], 2).unwrap_err();
        assert!(error.to_string().contains("found NaN in row 1"), "{error}");
    }
}
