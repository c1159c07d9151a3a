//! Keeps the engine busy: batches in flight, results handed back as they come.

use std::collections::VecDeque;

use super::{Engine, InFlight, Prepared};
use crate::error::{Error, Result};
use crate::plan::Outputs;
use crate::text::PackedBatch;

/// Runs batches through one prepared plan with several in flight. `T` travels with a batch: which rows it was.
pub(crate) struct Scheduler<'a, T> {
    engine: &'a Engine,
    prepared: &'a Prepared,
    in_flight: VecDeque<(PackedBatch, T, InFlight)>,
}

/// One batch that has come back.
pub(crate) struct Finished<T> {
    pub(crate) batch: PackedBatch,
    pub(crate) tag: T,
    pub(crate) outputs: Outputs,
    /// Token rows that kernels were dispatched over.
    pub(crate) dispatched_rows: usize,
}

/// What travels with a batch, and can tell whose texts they are.
pub(crate) trait Batched {
    /// The caller's row of text `text` of the batch.
    fn row(&self, text: usize) -> usize;
}

/// An engine counts a batch's texts; the caller knows them by row.
fn renumbered(error: Error, tag: &impl Batched) -> Error {
    match error.row() {
        Some(text) => error.at_row(tag.row(text)),
        None => error,
    }
}

impl<'a, T: Batched> Scheduler<'a, T> {
    pub(crate) fn new(engine: &'a Engine, prepared: &'a Prepared) -> Self {
        Scheduler { engine, prepared, in_flight: VecDeque::new() }
    }

    /// Starts a batch; where all places are taken, first waits for the oldest and returns it.
    pub(crate) async fn submit(&mut self, batch: PackedBatch, tag: T) -> Result<Option<Finished<T>>> {
        let oldest =
            if self.in_flight.len() >= self.engine.depth() { self.finish_oldest().await? } else { None };
        let started = self.engine.submit(self.prepared, &batch).map_err(|error| renumbered(error, &tag))?;
        self.in_flight.push_back((batch, tag, started));
        Ok(oldest)
    }

    /// Waits for the oldest batch; none when nothing is in flight.
    pub(crate) async fn finish_oldest(&mut self) -> Result<Option<Finished<T>>> {
        let Some((batch, tag, started)) = self.in_flight.pop_front() else { return Ok(None) };
        let outputs = started.outputs().await.map_err(|error| renumbered(error, &tag))?;
        let dispatched_rows = dispatched_rows(self.prepared, &batch);
        Ok(Some(Finished { batch, tag, outputs, dispatched_rows }))
    }
}

/// The rows of a batch, and on a GPU those that fill up its last tile; the CPU engine computes no row that is not there.
fn dispatched_rows(prepared: &Prepared, batch: &PackedBatch) -> usize {
    match prepared {
        Prepared::Cpu(_) => batch.tokens(),
        #[cfg(feature = "gpu")]
        Prepared::Gpu(plan) => plan.dispatched_rows(batch.tokens()),
    }
}
