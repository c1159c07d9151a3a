//! How native work is called: without the GIL, so that it can be interrupted, in whatever process, and without letting a panic out.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use frostbert::{CancelToken, EncodeProgress};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::error::raise;

/// The process that loaded this module.
static HOME: AtomicU32 = AtomicU32::new(0);

/// Threads of a forked process, with its id; never freed.
static FORKED: AtomicPtr<(u32, rayon::ThreadPool)> = AtomicPtr::new(std::ptr::null_mut());

/// Notes which process loaded this module.
pub(crate) fn remember() {
    HOME.store(std::process::id(), Ordering::Relaxed);
}

/// Runs `work` with the GIL given up. An error becomes its Python exception; so does a panic.
pub(crate) fn work<T: Send>(
    py: Python<'_>,
    watch: Option<&Watch>,
    work: impl FnOnce() -> frostbert::Result<T> + Send,
) -> PyResult<T> {
    let outcome = py.detach(|| on_own_threads(|| catch_unwind(AssertUnwindSafe(work))));
    if let Some(raised) = watch.and_then(Watch::take) {
        return Err(raised);
    }
    match outcome {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(raise(py, &error)),
        Err(panic) => Err(PyRuntimeError::new_err(format!(
            "frostbert met a case that its code does not expect and gave up on this call ({}); nothing was written. This is a \
             defect of frostbert: please report it with what you called",
            said(&*panic)
        ))),
    }
}

/// Threads do not survive a fork, and rayon's own pool would wait for them forever: a forked process works on a pool of its own.
fn on_own_threads<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let own = std::process::id();
    if HOME.load(Ordering::Relaxed) == own {
        return work();
    }
    // SAFETY: what is stored came from Box::leak and is never freed.
    let known = unsafe { FORKED.load(Ordering::Acquire).as_ref() };
    let pool = match known {
        Some((process, pool)) if *process == own => pool,
        _ => {
            let Ok(pool) = rayon::ThreadPoolBuilder::new().build() else { return work() };
            let pool = Box::leak(Box::new((own, pool)));
            FORKED.store(pool, Ordering::Release);
            &pool.1
        }
    };
    pool.install(work)
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it gave no message".into())
}

/// Looks after a running call from within: signals such as Ctrl-C are seen, and progress is told.
pub(crate) struct Watch {
    callback: Option<Py<PyAny>>,
    raised: Arc<Mutex<Option<PyErr>>>,
    token: CancelToken,
}

/// Carried by the unwinding that leaves a computation which cannot be stopped otherwise.
struct Stopped;

impl Watch {
    pub(crate) fn new(callback: Option<Py<PyAny>>) -> Arc<Self> {
        Arc::new(Watch { callback, raised: Arc::default(), token: CancelToken::new() })
    }

    /// What stops an encoder's pass.
    pub(crate) fn token(&self) -> CancelToken {
        self.token.clone()
    }

    /// To be called after every batch.
    pub(crate) fn batch(&self, done: EncodeProgress) {
        self.look("embedding", done.texts, 0);
    }

    /// To be called at every step of a computation that takes no token: leaves it by unwinding, which
    /// [`work`] catches, when somebody wants it to stop.
    pub(crate) fn step(&self, stage: &str, done: u64, total: u64) {
        if !self.look(stage, done, total) {
            // Says nothing on stderr, as a panic would.
            resume_unwind(Box::new(Stopped));
        }
    }

    fn look(&self, stage: &str, done: u64, total: u64) -> bool {
        let seen = Python::attach(|py| {
            py.check_signals()?;
            match &self.callback {
                Some(callback) => callback.call1(py, (stage, done, total)).map(drop),
                None => Ok(()),
            }
        });
        let Err(error) = seen else { return true };
        *self.raised.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(error);
        self.token.cancel();
        false
    }

    fn take(&self) -> Option<PyErr> {
        self.raised.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take()
    }
}
