//! Errors that wgpu reports beside the call that caused them.
//!
//! Each belongs to whoever caused it: calls are made inside a [`Scope`], and what a scope catches is its own, whatever other
//! threads do on the same device. What no scope caught is a defect, and sticks.

use super::platform;
use crate::error::{Error, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is wrong with the device for good.
#[derive(Default)]
pub(super) struct Fault {
    lost: Mutex<Option<String>>,
    uncaught: Mutex<Option<Uncaught>>,
}

/// An error that no scope caught.
struct Uncaught {
    out_of_memory: bool,
    text: String,
}

/// Locks, whatever a thread that panicked left behind: every value guarded here is whole at any time.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fault {
    pub(super) fn device_lost(&self, reason: &str) {
        lock(&self.lost).get_or_insert_with(|| reason.to_owned());
    }

    /// What no scope caught: whose it was nobody knows, so that no result can be trusted any more.
    pub(super) fn uncaught(&self, error: &wgpu::Error) {
        lock(&self.uncaught).get_or_insert_with(|| Uncaught {
            out_of_memory: matches!(error, wgpu::Error::OutOfMemory { .. }),
            text: error.to_string(),
        });
    }

    /// # Errors
    /// `is_device`: the device is of no use any more; `is_limit`: because it ran out of memory.
    pub(super) fn check(&self) -> Result<()> {
        if let Some(reason) = lock(&self.lost).as_ref() {
            return Err(Error::device(format!(
                "the device was lost ({reason}); start again, with smaller batches if it ran out of memory or time"
            )));
        }
        match lock(&self.uncaught).as_ref() {
            Some(error) if error.out_of_memory => return Err(no_memory()),
            Some(Uncaught { text, .. }) => {
                return Err(Error::device(format!(
                    "the graphics driver failed ({text}); load the model again"
                )));
            }
            None => {}
        }
        Ok(())
    }
}

/// Catches the errors of the calls that this thread makes while it is open. Scopes nest; they are closed before anything is
/// awaited.
#[must_use = "what it caught comes from `close`"]
pub(super) struct Scope {
    fault: Arc<Fault>,
    /// Popped from the end, as wgpu wants it.
    guards: Vec<wgpu::ErrorScopeGuard>,
}

impl Scope {
    pub(super) fn open(device: &wgpu::Device, fault: Arc<Fault>) -> Self {
        let filters =
            [wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::OutOfMemory];
        let guards = filters.map(|filter| device.push_error_scope(filter)).into();
        Scope { fault, guards }
    }

    /// Ends it.
    pub(super) fn close(mut self) -> Caught {
        let mut caught = Vec::with_capacity(self.guards.len());
        while let Some(guard) = self.guards.pop() {
            caught.push(platform::Pending::new(guard.pop()));
        }
        Caught { fault: self.fault.clone(), pending: caught }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        while let Some(guard) = self.guards.pop() {
            drop(guard);
        }
    }
}

/// What a scope caught. A native device tells at once, a browser later.
#[must_use = "errors are in here"]
pub(super) struct Caught {
    fault: Arc<Fault>,
    pending: Vec<platform::Pending>,
}

impl Caught {
    /// Takes over what another scope caught.
    pub(super) fn and(mut self, other: Caught) -> Self {
        self.pending.extend(other.pending);
        self
    }

    /// # Errors
    /// What is known already: on native targets everything.
    pub(super) fn now(&mut self) -> Result<()> {
        let found = self.pending.iter_mut().find_map(platform::Pending::now);
        // A lost device also makes calls fail; its own message says more.
        self.fault.check()?;
        found.map_or(Ok(()), |error| Err(told(error)))
    }

    /// # Errors
    /// Whatever was caught.
    pub(super) async fn settled(self) -> Result<()> {
        let mut found = None;
        for pending in self.pending {
            let error = pending.settled().await;
            found = found.or(error);
        }
        self.fault.check()?;
        found.map_or(Ok(()), |error| Err(told(error)))
    }
}

fn no_memory() -> Error {
    Error::limit("the device has no memory left; make batches smaller (--batch-tokens), or use --device cpu")
}

fn told(error: wgpu::Error) -> Error {
    match error {
        wgpu::Error::OutOfMemory { .. } => no_memory(),
        wgpu::Error::Validation { description, .. } => {
            Error::device(format!("the graphics driver refused a command: {description}"))
        }
        wgpu::Error::Internal { description, .. } => {
            Error::device(format!("the graphics driver failed: {description}"))
        }
    }
}
