//! Results on their way back: mapped staging buffers.

use super::context::Context;
use super::fault::lock;
use super::platform;
use crate::error::{Error, Result};
use crate::plan::Outputs;
use futures_channel::oneshot;
use std::sync::{Arc, Mutex};

/// Staging buffers that no batch uses at the moment.
#[derive(Default)]
pub(super) struct Staging {
    free: Mutex<Vec<wgpu::Buffer>>,
}

impl Staging {
    /// A buffer of at least so many bytes.
    pub(super) fn take(&self, context: &Context, bytes: u64) -> wgpu::Buffer {
        let mut free = lock(&self.free);
        if let Some(at) = free.iter().position(|buffer| buffer.size() >= bytes) {
            return free.swap_remove(at);
        }
        // What is too small now is too small for most batches to come.
        free.pop();
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        // Rounded up so that batches of about one size share a buffer; `arena::check` has seen that `bytes` itself fits.
        let most = context.report.limits.max_buffer_bytes.max(bytes);
        context.buffer("staging", bytes.next_power_of_two().min(most), usage)
    }

    fn give_back(&self, buffer: wgpu::Buffer) {
        lock(&self.free).push(buffer);
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
    /// Length of each output, in f32 elements.
    lens: Vec<usize>,
}

impl InFlight {
    /// Starts to map what the submission copied to `buffer`.
    pub(super) fn new(
        context: Arc<Context>,
        staging: Arc<Staging>,
        buffer: wgpu::Buffer,
        submission: wgpu::SubmissionIndex,
        lens: Vec<usize>,
    ) -> Self {
        let (sender, mapped) = oneshot::channel();
        buffer.map_async(wgpu::MapMode::Read, .., move |result| {
            // Nobody listens when the batch was dropped.
            let _ = sender.send(result);
        });
        InFlight { context, staging, buffer, mapped, submission, lens }
    }

    /// Waits for the results: an entry per [`Plan::outputs`](crate::plan::Plan::outputs).
    ///
    /// # Errors
    /// The device was lost, or the driver reported an error.
    pub async fn outputs(self) -> Result<Outputs> {
        let InFlight { context, staging, buffer, mapped, submission, lens } = self;
        let reading = |error: Error| error.context("reading results back");
        let waited = platform::wait(&context.device, submission);
        // A lost device also fails the wait and the mapping; its own message says more.
        context.fault.check().map_err(reading)?;
        waited?;
        let result = mapped.await;
        context.fault.check().map_err(reading)?;
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
                let (head, tail) = rest.split_at(len);
                buffers.push(head.to_vec());
                rest = tail;
            }
        } else {
            buffers.resize(lens.len(), vec![]);
        }
        buffer.unmap();
        staging.give_back(buffer);
        Ok(Outputs { buffers })
    }
}
