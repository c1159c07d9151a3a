//! The nearest rows, by exact comparison with every one.

use super::unit::{UnitRows, check_columns, dot, of_each};
use crate::error::{Error, Result};
use crate::head::Matrix;

/// A row found, and how near it is.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Neighbour {
    /// Index of the row.
    pub row: usize,
    /// Cosine of the two vectors, from -1 to 1.
    pub similarity: f32,
}

/// The `k` rows nearest to each query by cosine, nearest first; of rows that are equally near the first.
///
/// Shapes: `queries` `[q, columns]`, `rows` `[n, columns]`; the result has `q` lists of `min(k, n)`.
///
/// # Errors
/// The input: other numbers of columns, a row of zeros, `k` of zero.
///
/// ```
/// use frostbert::head::Matrix;
/// let rows = Matrix::new(3, 2, vec![1.0, 0.0, 0.0, 2.0, 3.0, 3.0])?;
/// let found = frostbert::vectors::nearest(&Matrix::new(1, 2, vec![0.0, 1.0])?, &rows, 2)?;
/// assert_eq!(found[0].iter().map(|near| near.row).collect::<Vec<_>>(), [1, 2]);
/// # Ok::<(), frostbert::Error>(())
/// ```
pub fn nearest(queries: &Matrix<'_>, rows: &Matrix<'_>, k: usize) -> Result<Vec<Vec<Neighbour>>> {
    check_columns(queries, rows)?;
    if k == 0 {
        return Err(Error::input("looking for the nearest rows: ask for at least one"));
    }
    let (queries, rows) = (UnitRows::new(queries, "the queries")?, UnitRows::new(rows, "the texts")?);
    Ok(of_each(queries.len(), |query| {
        let mut best: Vec<Neighbour> = Vec::with_capacity(k.min(rows.len()) + 1);
        for row in 0..rows.len() {
            let similarity = dot(queries.row(query), rows.row(row));
            if best.len() == k && best.last().is_some_and(|last| similarity <= last.similarity) {
                continue;
            }
            let place = best.partition_point(|known| known.similarity >= similarity);
            best.insert(place, Neighbour { row, similarity });
            best.truncate(k);
        }
        best
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::tests::random;

    #[test]
    fn the_nearest_are_those_of_a_full_sort() {
        let (queries, rows) = (random(7, 19, 1), random(300, 19, 2));
        let found = nearest(&queries, &rows, 12).unwrap();
        for (query, found) in found.iter().enumerate() {
            let cosine = |row: usize| {
                let product = |a: &[f32], b: &[f32]| -> f64 {
                    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
                };
                let (a, b) = (queries.row(query), rows.row(row));
                product(a, b) / (product(a, a) * product(b, b)).sqrt()
            };
            let mut all: Vec<usize> = (0..300).collect();
            all.sort_by(|a, b| cosine(*b).total_cmp(&cosine(*a)));
            assert_eq!(found.iter().map(|near| near.row).collect::<Vec<_>>(), all[..12]);
            assert!(found.iter().all(|near| (f64::from(near.similarity) - cosine(near.row)).abs() < 1e-6));
        }
    }

    #[test]
    fn ties_go_to_the_first_and_wrong_input_is_told() {
        let rows = Matrix::new(4, 2, vec![1.0, 0.0, 2.0, 0.0, 0.0, 1.0, 3.0, 0.0]).unwrap();
        let query = Matrix::new(1, 2, vec![5.0, 0.0]).unwrap();
        let found = nearest(&query, &rows, 9).unwrap();
        assert_eq!(found[0].iter().map(|near| near.row).collect::<Vec<_>>(), [0, 1, 3, 2]);
        assert!(nearest(&query, &rows, 0).unwrap_err().is_input());
        let other = Matrix::new(1, 3, vec![1.0; 3]).unwrap();
        assert!(nearest(&other, &rows, 1).unwrap_err().to_string().contains("3 columns"));
        let zero = Matrix::new(1, 2, vec![0.0; 2]).unwrap();
        assert!(nearest(&zero, &rows, 1).unwrap_err().to_string().contains("row 1 of the queries"));
    }
}
