//! The calling thread.

use crate::error::Result;
use std::num::NonZeroUsize;

/// Threads of one engine: none but the caller's.
pub struct Pool;

impl Pool {
    /// `threads` is not heeded.
    pub fn new(_threads: Option<NonZeroUsize>) -> Result<Self> {
        Ok(Pool)
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        1
    }

    /// Runs `f`.
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        f()
    }

    /// Calls `f` with every number below `jobs`.
    pub fn for_each(&self, jobs: usize, f: impl Fn(usize)) {
        (0..jobs).for_each(f);
    }
}
