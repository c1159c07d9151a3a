//! How long each kernel of a batch takes.

use super::engine::{GpuEngine, GpuPlan, record};
use super::fault::{Caught, lock};
use super::readback::{InFlight, Staging};
use crate::error::{Error, Result};
use crate::plan::KernelTime;
use crate::platform::entry;
use crate::text::PackedBatch;
use std::sync::Arc;

impl GpuEngine {
    entry! {
        /// Runs a batch with a timestamp before and after each dispatch. Dispatches do not overlap as they may in
        /// [`submit`](Self::submit), so the sum is an upper bound.
        ///
        /// # Errors
        /// As [`submit`](Self::submit); `is_device` where the adapter has no timestamps.
        pub fn profile(&self, prepared: &GpuPlan, batch: &PackedBatch) -> Result<Vec<KernelTime>> = profile_async;
    }

    pub(crate) async fn profile_async(
        &self,
        prepared: &GpuPlan,
        batch: &PackedBatch,
    ) -> Result<Vec<KernelTime>> {
        let (context, compiled) = (self.context(), &prepared.compiled);
        let count = compiled.dispatches.len() as u32 * 2;
        if !context.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Err(Error::device(format!(
                "{} has no timestamps: it cannot time kernels",
                context.report.name
            )));
        }
        if count > wgpu::QUERY_SET_MAX_QUERIES {
            return Err(Error::limit(format!("a plan of {} dispatches is too long to time", count / 2)));
        }
        let scope = context.scope();
        let queries = context.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("profile"),
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let bytes = u64::from(count) * 8;
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = context.buffer("profile", bytes, usage);
        let staging = Arc::new(Staging::default());
        let target = staging.take(context, bytes);
        let in_flight = {
            let mut arena = lock(&prepared.arena);
            let room = self.make_room(compiled, batch, &mut arena)?;
            self.write(compiled, batch, &arena);
            let mut encoder = self.encoder("profile");
            for index in 0..compiled.dispatches.len() {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: Some(compiled.dispatches[index].kernel.name),
                    timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                        query_set: &queries,
                        beginning_of_pass_write_index: Some(index as u32 * 2),
                        end_of_pass_write_index: Some(index as u32 * 2 + 1),
                    }),
                });
                record(&mut pass, compiled, &arena, batch, index);
            }
            encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
            encoder.copy_buffer_to_buffer(&resolved, 0, &target, 0, bytes);
            let submission = context.queue.submit([encoder.finish()]);
            let caught = scope.close();
            let caught = room.into_iter().fold(caught, Caught::and);
            InFlight::new(context.clone(), staging, target, submission, caught, vec![count as usize * 2])?
        };
        let outputs = in_flight.outputs_async().await?;
        // The words of 64-bit counters, read as if they were f32: only their bits matter.
        let words: Vec<u32> = outputs.buffers.concat().into_iter().map(f32::to_bits).collect();
        let ticks: Vec<u64> =
            words.chunks_exact(2).map(|pair| u64::from(pair[0]) | u64::from(pair[1]) << 32).collect();
        let period = f64::from(context.queue.get_timestamp_period());
        let all = compiled.dispatches.iter().zip(ticks.chunks_exact(2));
        let times = all.filter(|(dispatch, _)| dispatch.is_for(batch)).map(|(dispatch, pair)| KernelTime {
            kernel: dispatch.kernel.label(),
            step: dispatch.step,
            nanoseconds: pair[1].wrapping_sub(pair[0]) as f64 * period,
        });
        Ok(times.collect())
    }
}
