use rayon::prelude::*;

/// `items.map(f)` in order, on rayon's threads.
pub(crate) fn map<T: Sync, R: Send>(items: &[T], f: impl Fn(&T) -> R + Send + Sync) -> Vec<R> {
    items.par_iter().map(f).collect()
}
