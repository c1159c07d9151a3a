//! Errors that wgpu reports beside the call that caused them.

use crate::error::{Error, Result};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where the device's error handlers leave what happened, and where the engine looks.
#[derive(Default)]
pub(super) struct Fault {
    /// Set once, for good.
    lost: Mutex<Option<String>>,
    /// The first error since the last look: later ones are as a rule its consequences.
    first: Mutex<Option<Error>>,
}

/// Locks, whatever a thread that panicked left behind: every value guarded here is whole at any time.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fault {
    pub(super) fn device_lost(&self, reason: &str) {
        lock(&self.lost).get_or_insert_with(|| reason.to_owned());
    }

    pub(super) fn uncaptured(&self, error: wgpu::Error) {
        let error = match error {
            wgpu::Error::OutOfMemory { .. } => Error::limit(
                "the device has no memory left; make batches smaller (--batch-tokens), or use --device cpu",
            ),
            wgpu::Error::Validation { description, .. } => {
                Error::device(format!("the graphics driver refused a command: {description}"))
            }
            wgpu::Error::Internal { description, .. } => {
                Error::device(format!("the graphics driver failed: {description}"))
            }
        };
        lock(&self.first).get_or_insert(error);
    }

    /// # Errors
    /// Whatever was reported since the last look; a lost device every time.
    pub(super) fn check(&self) -> Result<()> {
        let first = lock(&self.first).take();
        if let Some(reason) = lock(&self.lost).as_ref() {
            return Err(Error::device(format!(
                "the device was lost ({reason}); start again, with smaller batches if it ran out of memory or time"
            )));
        }
        first.map_or(Ok(()), Err)
    }
}
