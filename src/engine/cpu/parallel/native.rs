//! A rayon pool.

use crate::error::{Error, Result};
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use std::num::NonZeroUsize;

/// Threads of one engine.
pub struct Pool {
    threads: rayon::ThreadPool,
}

impl Pool {
    /// `threads` threads, or as many as the machine has cores.
    ///
    /// # Errors
    /// The operating system refuses a thread.
    pub fn new(threads: Option<NonZeroUsize>) -> Result<Self> {
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.map_or(0, NonZeroUsize::get))
            .thread_name(|index| format!("frostbert-cpu-{index}"))
            .build()
            .map_err(|error| Error::limit("cannot start the CPU engine's threads").with_source(error))?;
        Ok(Pool { threads })
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.threads.current_num_threads()
    }

    /// Runs `f` on a thread of the pool, so that the steps within it need not be handed over one by one.
    pub fn enter<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        self.threads.install(f)
    }

    /// Calls `f` with every number below `jobs`, in any order. To be called within [`enter`](Pool::enter).
    pub fn for_each(&self, jobs: usize, f: impl Fn(usize) + Send + Sync) {
        if jobs > 1 {
            (0..jobs).into_par_iter().for_each(f);
        } else if jobs == 1 {
            f(0);
        }
    }
}
