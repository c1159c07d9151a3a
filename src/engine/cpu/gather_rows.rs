//! `out[i] = x[index[i]]`.

use crate::plan::RowIndex;
use crate::text::PackedBatch;

/// Writes `[texts or selected, cols]`.
pub fn run(x: &[f32], index: RowIndex, batch: &PackedBatch, cols: usize, out: &mut [f32]) {
    let rows = match index {
        RowIndex::FirstToken => &batch.cu_seqlens[..batch.texts()],
        RowIndex::Selected => &batch.selected[..],
    };
    for (out, &row) in out.chunks_exact_mut(cols).zip(rows) {
        out.copy_from_slice(&x[row as usize * cols..][..cols]);
    }
}
