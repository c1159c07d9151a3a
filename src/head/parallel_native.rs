//! Independent pieces of work on every core.

use rayon::prelude::*;

/// `work(0), .., work(count - 1)`, in order of the index whatever the order of the work.
pub(crate) fn map<R: Send>(count: usize, work: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
    (0..count).into_par_iter().map(work).collect()
}

/// Calls `work(i, chunk i)` for each piece of `len` elements of `data` (the last may be shorter).
pub(crate) fn for_chunks<T: Send>(data: &mut [T], len: usize, work: impl Fn(usize, &mut [T]) + Sync + Send) {
    data.par_chunks_mut(len).enumerate().for_each(|(index, chunk)| work(index, chunk));
}
