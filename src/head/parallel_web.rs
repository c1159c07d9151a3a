//! The same pieces of work as on native, one after the other: a browser's page has one thread.

/// `work(0), .., work(count - 1)`.
pub(crate) fn map<R: Send>(count: usize, work: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
    (0..count).map(work).collect()
}

/// Calls `work(i, chunk i)` for each piece of `len` elements of `data` (the last may be shorter).
pub(crate) fn for_chunks<T: Send>(data: &mut [T], len: usize, work: impl Fn(usize, &mut [T]) + Sync + Send) {
    data.chunks_mut(len).enumerate().for_each(|(index, chunk)| work(index, chunk));
}
