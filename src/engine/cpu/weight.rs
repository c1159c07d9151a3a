//! Weights as the kernels want them.

use super::panel;
use super::simd::Aligned;
use crate::model::{WeightKind, WeightSpec};

/// A weight in the layout of its use.
pub struct Weight {
    /// Rows (n of a matrix, the length of a vector).
    pub rows: usize,
    /// Elements per row (k of a matrix, 1 of a vector).
    pub cols: usize,
    /// A matrix: panels of `[k, width]`. A table: `[rows, cols]`. A vector: `[len]`. Zeros follow.
    values: Aligned,
}

impl Weight {
    /// Lays `values`, row-major, out for its use; panels are `panel_width` columns wide.
    pub fn new(spec: &WeightSpec, values: &[f32], panel_width: usize) -> Self {
        let (rows, cols) = (spec.rows(), spec.cols());
        let values = match spec.kind {
            WeightKind::Matrix => {
                let mut panels = Aligned::zeros(rows.next_multiple_of(panel_width) * cols);
                panel::pack(panel_width, values, cols, rows, cols, panels.values_mut());
                panels
            }
            WeightKind::Vector | WeightKind::Table => {
                // A vector is read a panel's width at a time.
                let mut padded = Aligned::zeros((rows * cols).next_multiple_of(panel_width));
                padded.values_mut()[..values.len()].copy_from_slice(values);
                padded
            }
        };
        Weight { rows, cols, values }
    }

    /// A matrix's panels, or a vector followed by zeros.
    pub fn padded(&self) -> &[f32] {
        self.values.values()
    }

    /// One row of a table.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values.values()[row * self.cols..][..self.cols]
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        size_of_val(self.values.values())
    }
}
