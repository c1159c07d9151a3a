/// `items.map(f)` in order. A browser's wasm has one thread unless the page is cross-origin isolated.
pub(crate) fn map<T: Sync, R: Send>(items: &[T], f: impl Fn(&T) -> R + Send + Sync) -> Vec<R> {
    items.iter().map(f).collect()
}
