//! Results on their way back: mapped staging buffers.

use super::arena::Arena;
use super::context::Context;
use super::fault::{Caught, lock};
use super::platform;
use crate::engine::check::OutputCheck;
use crate::error::{Error, Result};
use crate::plan::Outputs;
use crate::platform::entry;
use futures_channel::oneshot;
use std::sync::{Arc, Mutex};

/// Staging buffers kept for batches to come: as many as are in flight at once, within reason.
const KEPT: usize = 4;

/// Staging buffers that no batch uses at the moment.
#[derive(Default)]
pub(super) struct Staging {
    free: Mutex<Vec<wgpu::Buffer>>,
}

impl Staging {
    /// A buffer of at least so many bytes, the smallest there is.
    pub(super) fn take(&self, context: &Context, bytes: u64) -> wgpu::Buffer {
        let mut free = lock(&self.free);
        let fits = (0..free.len()).filter(|at| free[*at].size() >= bytes);
        if let Some(at) = fits.min_by_key(|at| free[*at].size()) {
            return free.swap_remove(at);
        }
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        // Rounded up so that batches of about one size share a buffer; `arena::check` has seen that `bytes` itself fits.
        let most = context.report.limits.max_buffer_bytes.max(bytes);
        context.buffer("staging", bytes.next_power_of_two().min(most), usage)
    }

    /// Only for buffers whose copy was submitted and mapped: what a failed one holds is an earlier batch's.
    fn give_back(&self, buffer: wgpu::Buffer) {
        let mut free = lock(&self.free);
        free.push(buffer);
        if free.len() > KEPT {
            // The larger ones serve every batch.
            free.sort_by_key(|buffer| std::cmp::Reverse(buffer.size()));
            free.truncate(KEPT);
        }
    }

    /// Bytes of the buffers kept.
    pub(super) fn bytes(&self) -> u64 {
        lock(&self.free).iter().map(wgpu::Buffer::size).sum()
    }
}

/// A batch that the device is computing. Dropping it forgets the results.
#[must_use = "the results come from `outputs`"]
pub struct InFlight {
    context: Arc<Context>,
    staging: Arc<Staging>,
    buffer: wgpu::Buffer,
    mapped: oneshot::Receiver<Result<(), wgpu::BufferAsyncError>>,
    submission: wgpu::SubmissionIndex,
    /// What went wrong with this submission.
    caught: Caught,
    /// Length of each output, in f32 elements.
    lens: Vec<usize>,
    /// Whose numbers these are; none for what is no output of a plan.
    check: Option<OutputCheck>,
    /// Where the batch was computed: after an error nobody knows what is in there.
    arena: Option<Arc<Mutex<Arena>>>,
}

impl InFlight {
    /// Starts to map what the submission copied to `buffer`.
    ///
    /// # Errors
    /// `caught` already knows that the submission failed.
    pub(super) fn new(
        context: Arc<Context>,
        staging: Arc<Staging>,
        buffer: wgpu::Buffer,
        submission: wgpu::SubmissionIndex,
        mut caught: Caught,
        lens: Vec<usize>,
    ) -> Result<Self> {
        // Before the buffer is mapped: it may hold the rows of an earlier batch.
        caught.now()?;
        let (sender, mapped) = oneshot::channel();
        let scope = context.scope();
        buffer.map_async(wgpu::MapMode::Read, .., move |result| {
            // Nobody listens when the batch was dropped.
            let _ = sender.send(result);
        });
        let caught = caught.and(scope.close());
        Ok(InFlight { context, staging, buffer, mapped, submission, caught, lens, check: None, arena: None })
    }

    /// The same, with outputs of a plan, which are checked.
    pub(super) fn checked(mut self, check: OutputCheck, arena: Arc<Mutex<Arena>>) -> Self {
        self.check = Some(check);
        self.arena = Some(arena);
        self
    }

    entry! {
        /// Waits for the results: an entry per [`Plan::outputs`](crate::plan::Plan::outputs).
        ///
        /// # Errors
        /// `is_device`: the device was lost, or the driver reported an error about this batch. `is_model_file`: a number is
        /// infinite or NaN; the error has the [`row`](Error::row) of its text in the batch.
        pub fn outputs(self) -> Result<Outputs> = outputs_async;
    }

    pub(crate) async fn outputs_async(self) -> Result<Outputs> {
        let InFlight { context, staging, buffer, mapped, submission, caught, lens, check, arena } = self;
        let read = read(&context, &staging, buffer, mapped, submission, caught, &lens).await;
        if let (Err(_), Some(arena)) = (&read, arena) {
            *lock(&arena) = Arena::default();
        }
        let outputs = Outputs { buffers: read.map_err(|error| error.context("reading results back"))? };
        check.map_or(Ok(()), |check| check.check(&outputs))?;
        Ok(outputs)
    }
}

/// The staging buffer goes back only when all went well.
async fn read(
    context: &Context,
    staging: &Staging,
    buffer: wgpu::Buffer,
    mapped: oneshot::Receiver<Result<(), wgpu::BufferAsyncError>>,
    submission: wgpu::SubmissionIndex,
    caught: Caught,
    lens: &[usize],
) -> Result<Vec<Vec<f32>>> {
    let waited = platform::wait(&context.device, submission);
    // Before anything else: what failed to be submitted must not be read, and a lost device's message says more than a
    // mapping that fails.
    caught.settled().await?;
    waited?;
    let result = mapped.await;
    context.fault.check()?;
    match result {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(Error::device("mapping the results failed").with_source(error)),
        Err(_) => return Err(Error::device("the device went away before the results were mapped")),
    }
    let total: usize = lens.iter().sum();
    let mut buffers = Vec::with_capacity(lens.len());
    if total > 0 {
        let view = buffer
            .get_mapped_range(..total as u64 * 4)
            .map_err(|error| Error::device("mapping the results failed").with_source(error))?;
        let mut rest = bytemuck::cast_slice::<u8, f32>(&view);
        for len in lens {
            let (head, tail) = rest.split_at(*len);
            buffers.push(head.to_vec());
            rest = tail;
        }
    } else {
        buffers.resize(lens.len(), vec![]);
    }
    buffer.unmap();
    staging.give_back(buffer);
    Ok(buffers)
}
