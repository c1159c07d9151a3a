//! Rows scaled to unit length, and their products.

use rand_chacha::rand_core::Rng;

use crate::error::{Error, Result};
use crate::head::Matrix;
use crate::platform;

/// Lanes that a product is summed in: as many as the widest vector unit has, so that the sum's order, and with it its bits, is the same on
/// all of them.
const LANES: usize = 16;

/// Rows of unit length: their products are cosines.
pub(super) struct UnitRows {
    values: Vec<f32>,
    columns: usize,
    rows: usize,
}

impl UnitRows {
    /// # Errors
    /// A row of zeros, which has no direction.
    pub(super) fn new(rows: &Matrix<'_>, what: &str) -> Result<Self> {
        let columns = rows.columns();
        let mut values = rows.values().to_vec();
        for (at, row) in values.chunks_exact_mut(columns.max(1)).enumerate() {
            let length = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            if length == 0.0 {
                return Err(Error::input(format!(
                    "comparing vectors: row {} of {what} is all zeros and has no direction; leave it out",
                    at + 1
                )));
            }
            row.iter_mut().for_each(|v| *v = (f64::from(*v) / length) as f32);
        }
        Ok(UnitRows { values, columns, rows: rows.rows() })
    }

    pub(super) fn len(&self) -> usize {
        self.rows
    }

    pub(super) fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }

    /// Cosine of two rows.
    pub(super) fn cosine(&self, a: usize, b: usize) -> f32 {
        dot(self.row(a), self.row(b))
    }
}

/// Whether two sets of rows can be compared.
pub(super) fn check_columns(a: &Matrix<'_>, b: &Matrix<'_>) -> Result<()> {
    if a.columns() == b.columns() {
        return Ok(());
    }
    Err(Error::input(format!(
        "comparing vectors of {} columns with vectors of {}: embed both with the same model, pooling and dimensions",
        a.columns(),
        b.columns()
    )))
}

/// `a · b`.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a_whole, b_whole) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_whole.remainder().iter().zip(b_whole.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_whole.zip(b_whole) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// What `work` makes of each row, in order, all cores at it.
pub(super) fn of_each<R: Send>(rows: usize, work: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
    const PIECE: usize = 64;
    let pieces = platform::map(rows.div_ceil(PIECE), |piece| {
        (piece * PIECE..((piece + 1) * PIECE).min(rows)).map(&work).collect::<Vec<R>>()
    });
    pieces.into_iter().flatten().collect()
}

/// A number from 0 up to 1, in steps of 2⁻²⁴: the same on every machine.
pub(super) fn share(rng: &mut impl Rng) -> f32 {
    (rng.next_u32() >> 8) as f32 / (1 << 24) as f32
}
