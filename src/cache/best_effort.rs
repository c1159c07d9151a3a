//! A cache that never stands in the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{Cache, Entry, Key};
use crate::error::Result;

/// A [`Cache`] whose failures cost time, not results: a lookup that fails finds nothing, a store that fails is left out.
/// The first failure of each kind is told through `warn`, once; the failing half is not tried again. Clones are the same cache.
#[derive(Clone)]
pub struct BestEffort {
    inner: Arc<Inner>,
}

struct Inner {
    cache: Option<Cache>,
    warn: Box<dyn Fn(&str) + Send + Sync>,
    reads: AtomicBool,
    writes: AtomicBool,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl BestEffort {
    /// Works with what [`Cache::open`] gave; without a cache if that is an error, which is told. So is what the cache
    /// [notes](Cache::take_notes), now or later.
    pub fn new(opened: Result<Cache>, warn: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let (cache, error) = match opened {
            Ok(cache) => (Some(cache), None),
            Err(error) => (None, Some(error)),
        };
        let cache = Self::with(cache, Box::new(warn));
        if let Some(error) = error {
            (cache.inner.warn)(&format!("{error:#}; going on without the embedding cache"));
        }
        cache.tell_notes();
        cache
    }

    /// No cache: finds nothing, stores nothing, says nothing.
    pub fn off() -> Self {
        Self::with(None, Box::new(|_| {}))
    }

    fn with(cache: Option<Cache>, warn: Box<dyn Fn(&str) + Send + Sync>) -> Self {
        let inner = Inner {
            cache,
            warn,
            reads: AtomicBool::new(true),
            writes: AtomicBool::new(true),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        };
        BestEffort { inner: Arc::new(inner) }
    }

    /// [`Cache::get_many`], or nothing.
    pub fn get_many(&self, keys: &[Key]) -> Vec<Option<Entry>> {
        let found = self.attempt(&self.inner.reads, "reading from it", |cache| cache.get_many(keys));
        let found = found.unwrap_or_else(|| vec![None; keys.len()]);
        let hits = found.iter().flatten().count();
        self.inner.hits.fetch_add(hits as u64, Ordering::Relaxed);
        self.inner.misses.fetch_add((keys.len() - hits) as u64, Ordering::Relaxed);
        found
    }

    /// [`Cache::put_many`], or nothing.
    pub fn put_many(&self, entries: &[(Key, Entry)]) {
        self.attempt(&self.inner.writes, "storing more in it", |cache| cache.put_many(entries));
    }

    /// Whether there is a cache that lookups still go to.
    pub fn is_on(&self) -> bool {
        self.inner.cache.is_some() && self.inner.reads.load(Ordering::Relaxed)
    }

    /// Embeddings found so far.
    pub fn hits(&self) -> u64 {
        self.inner.hits.load(Ordering::Relaxed)
    }

    /// Embeddings looked for in vain so far.
    pub fn misses(&self) -> u64 {
        self.inner.misses.load(Ordering::Relaxed)
    }

    fn attempt<T>(&self, on: &AtomicBool, doing: &str, work: impl FnOnce(&Cache) -> Result<T>) -> Option<T> {
        let cache = self.inner.cache.as_ref().filter(|_| on.load(Ordering::Relaxed))?;
        let result = work(cache);
        self.tell_notes();
        result
            .inspect_err(|error| {
                // Of several threads that fail at once, one speaks.
                if on.swap(false, Ordering::Relaxed) {
                    (self.inner.warn)(&format!("{error:#}; going on without {doing}"));
                }
            })
            .ok()
    }

    fn tell_notes(&self) {
        for note in self.inner.cache.iter().flat_map(Cache::take_notes) {
            (self.inner.warn)(&note);
        }
    }
}

impl std::fmt::Debug for BestEffort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BestEffort").field("cache", &self.inner.cache).finish_non_exhaustive()
    }
}
