//! Threads: a pool of the engine's own on native targets, the calling thread alone on wasm.

use crate::engine::cpu::simd::Aligned;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(not(target_arch = "wasm32"))]
pub use native::Pool;

#[cfg(target_arch = "wasm32")]
mod serial;
#[cfg(target_arch = "wasm32")]
pub use serial::Pool;

/// Fewer floats than this are not worth a second thread.
const JOB_LEN: usize = 8192;

impl Pool {
    /// Calls `f(row, values)` for every row of `out`, `[rows, cols]`.
    pub fn for_each_row(&self, out: &mut [f32], cols: usize, f: impl Fn(usize, &mut [f32]) + Send + Sync) {
        let rows_per_job = JOB_LEN.div_ceil(cols.max(1));
        self.for_each_rows(out, cols, rows_per_job, |first, rows| {
            for (at, row) in rows.chunks_exact_mut(cols).enumerate() {
                f(first + at, row);
            }
        });
    }

    /// Calls `f(first_row, values)` for every block of up to `rows_per_job` rows of `out`, `[rows, cols]`.
    pub fn for_each_rows(
        &self,
        out: &mut [f32],
        cols: usize,
        rows_per_job: usize,
        f: impl Fn(usize, &mut [f32]) + Send + Sync,
    ) {
        let rows = out.len() / cols.max(1);
        let out = Shared::new(out);
        self.for_each(rows.div_ceil(rows_per_job), |job| {
            let first = job * rows_per_job;
            let last = rows.min(first + rows_per_job);
            // SAFETY: jobs have different rows.
            f(first, unsafe { out.slice(first * cols..last * cols) });
        });
    }
}

/// A buffer that several jobs write at once, each its own part of it.
pub struct Shared<'a> {
    start: *mut f32,
    len: usize,
    buffer: PhantomData<&'a mut [f32]>,
}

// SAFETY: the only access is `slice`, whose caller promises that no two jobs use the same elements.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    /// Lends a buffer out.
    pub fn new(buffer: &'a mut [f32]) -> Self {
        Shared { start: buffer.as_mut_ptr(), len: buffer.len(), buffer: PhantomData }
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The first element.
    pub fn start(&self) -> *mut f32 {
        self.start
    }

    /// A part of the buffer.
    ///
    /// # Safety
    /// No slice that is alive at the same time shares an element with this one.
    ///
    /// # Panics
    /// When `range` is not within the buffer.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn slice(&self, range: Range<usize>) -> &mut [f32] {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: in bounds by the assertion, unaliased by the caller's promise, alive as long as the borrow in `buffer`.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

thread_local! {
    static SCRATCH: RefCell<Aligned> = RefCell::default();
}

/// Lends `f` this thread's scratch memory, `len` values with anything in them. Not to be nested.
pub fn with_scratch<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| f(scratch.scratch(len)))
}
