//! A matrix of embeddings.

use std::borrow::Cow;

use crate::error::{Error, Result};

/// A row-major matrix of f32, owned or borrowed.
///
/// ```
/// use frostbert::head::Matrix;
/// let embeddings = Matrix::new(2, 3, vec![0.0, 0.1, 0.2, 1.0, 1.1, 1.2])?;
/// assert_eq!(embeddings.row(1), [1.0, 1.1, 1.2]);
/// # Ok::<(), frostbert::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix<'a> {
    data: Cow<'a, [f32]>,
    rows: usize,
    columns: usize,
}

impl<'a> Matrix<'a> {
    /// Wraps `rows * columns` numbers, row after row.
    ///
    /// # Errors
    /// The input, when the number of values is another, or one of them is NaN or infinite.
    pub fn new(rows: usize, columns: usize, data: impl Into<Cow<'a, [f32]>>) -> Result<Self> {
        let data = data.into();
        if rows.checked_mul(columns) != Some(data.len()) {
            return Err(Error::input(format!(
                "reading a matrix of {rows} rows and {columns} columns: found {} values",
                data.len()
            )));
        }
        if let Some(at) = data.iter().position(|value| !value.is_finite()) {
            return Err(Error::input(format!(
                "reading a matrix: expected finite numbers, found {} in row {}, column {}",
                data[at],
                at / columns,
                at % columns
            )));
        }
        Ok(Matrix { data, rows, columns })
    }

    /// A matrix of values known to be finite.
    pub(crate) fn from_parts(data: Vec<f32>, rows: usize, columns: usize) -> Matrix<'static> {
        debug_assert_eq!(data.len(), rows * columns);
        Matrix { data: Cow::Owned(data), rows, columns }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Row `row`, `[columns]`.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.columns..(row + 1) * self.columns]
    }

    /// All values, row after row.
    pub fn values(&self) -> &[f32] {
        &self.data
    }

    /// The same matrix without a copy.
    pub fn view(&self) -> Matrix<'_> {
        Matrix { data: Cow::Borrowed(&self.data), rows: self.rows, columns: self.columns }
    }

    /// A copy of the rows named, in that order.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn select_rows(&self, rows: &[u32]) -> Matrix<'static> {
        let mut data = Vec::with_capacity(rows.len() * self.columns);
        for &row in rows {
            data.extend_from_slice(self.row(row as usize));
        }
        Matrix { data: Cow::Owned(data), rows: rows.len(), columns: self.columns }
    }

    /// A copy of some ranges of columns side by side, in that order.
    ///
    /// # Panics
    /// When a range leaves the matrix.
    pub fn select_columns(&self, ranges: &[std::ops::Range<usize>]) -> Matrix<'static> {
        let columns = ranges.iter().map(std::ops::Range::len).sum();
        let mut data = Vec::with_capacity(self.rows * columns);
        for row in 0..self.rows {
            for range in ranges {
                data.extend_from_slice(&self.row(row)[range.clone()]);
            }
        }
        Matrix { data: Cow::Owned(data), rows: self.rows, columns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_refuse_wrong_sizes_and_nan() {
        assert!(Matrix::new(2, 2, vec![0.0; 3]).unwrap_err().is_input());
        let error = Matrix::new(2, 2, vec![0.0, 1.0, 2.0, f32::NAN]).unwrap_err();
        assert!(error.to_string().contains("row 1, column 1"), "{error}");
        let matrix = Matrix::new(2, 3, vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert_eq!(matrix.select_columns(&[2..3, 0..1]).values(), [2.0, 0.0, 5.0, 3.0]);
        assert_eq!(matrix.select_rows(&[1, 1]).values(), [3.0, 4.0, 5.0, 3.0, 4.0, 5.0]);
    }
}
