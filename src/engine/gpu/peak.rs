//! What the device can do at most, as measured by kernels that do nothing else.

use std::sync::Arc;
use web_time::Instant;

use super::engine::GpuEngine;
use super::readback::{InFlight, Staging};
use crate::error::Result;
use crate::plan::Peak;
use crate::plan::kernels::{Class, Cooperative, PEAK_COOPERATIVE, PEAK_COPY, PEAK_FMA};
use crate::platform::entry;

/// Invocations in flight: enough for every lane of a large GPU, several times over.
const INVOCATIONS: u32 = 1 << 18;
const WORKGROUP: u32 = 64;
/// Operations of a round of peak/fma: 8 vec4 accumulators, a multiply and an add each.
const FLOPS_A_ROUND: u32 = 64;
/// A measurement is long enough when submitting it no longer counts.
const LONG_ENOUGH: f64 = 0.05;
/// The best of so many is the peak.
const TRIES: usize = 3;

impl GpuEngine {
    entry! {
        /// Measures the device's peaks: f32 multiply-adds, those of cooperative matrices, and a copy through its memory.
        /// Takes about half a second.
        ///
        /// # Errors
        /// `is_device`: the device was lost, or the driver refuses something.
        pub fn peak(&self) -> Result<Peak> = peak_async;
    }

    pub(crate) async fn peak_async(&self) -> Result<Peak> {
        let fma = self.probe(&PEAK_FMA, 16).await?;
        let copy = self.probe(&PEAK_COPY, 1).await?;
        let cooperative = match self.report().cooperative.filter(|_| self.has_cooperative_kernels()) {
            Some(found) => Some(self.probe(&PEAK_COOPERATIVE[usize::from(found.side != 16)], 1).await?),
            None => None,
        };
        Ok(Peak { flops: fma, cooperative, bytes: copy })
    }

    /// Units of work per second of one kernel, with as much work as it takes to fill [`LONG_ENOUGH`].
    async fn probe(&self, kernel: &'static crate::plan::kernels::Kernel, first: u32) -> Result<f64> {
        let scope = self.context().scope();
        let probe = Probe::new(self, kernel);
        scope.close().settled().await?;
        let mut amount = first;
        let mut seconds = probe.seconds(self, amount).await?;
        while seconds < LONG_ENOUGH && amount < 1 << 24 {
            amount *= 4;
            seconds = probe.seconds(self, amount).await?;
        }
        for _ in 1..TRIES {
            seconds = probe.seconds(self, amount).await?.min(seconds);
        }
        Ok(probe.work(amount) / seconds)
    }
}

/// One of the kernels, ready to run.
struct Probe {
    is_copy: bool,
    /// Operations of a round over all invocations.
    round: f64,
    workgroups: u32,
    pipeline: wgpu::ComputePipeline,
    params: wgpu::Buffer,
    /// What is read (copies only) and what is written.
    buffers: Vec<wgpu::Buffer>,
    staging: Arc<Staging>,
}

impl Probe {
    fn new(engine: &GpuEngine, kernel: &'static crate::plan::kernels::Kernel) -> Self {
        let context = engine.context();
        let is_copy = std::ptr::eq(kernel, &PEAK_COPY);
        let cooperative = context
            .report
            .cooperative
            .filter(|_| PEAK_COOPERATIVE.iter().any(|peak| std::ptr::eq(peak, kernel)));
        let workgroup = cooperative.map_or(WORKGROUP, |found| found.invocations);
        let workgroups = INVOCATIONS / workgroup;
        let round = match cooperative {
            // Eight multiply-adds in each of the workgroup's rounds.
            Some(found) => {
                f64::from(workgroups * Cooperative::SUBGROUPS * 8) * 2.0 * f64::from(found.side).powi(3)
            }
            None => f64::from(INVOCATIONS) * f64::from(FLOPS_A_ROUND),
        };
        // Larger than any cache; what a software adapter has is the machine's own.
        let wanted = if engine.class() == Class::Software { 64 << 20 } else { 512 << 20 };
        let limits = &context.report.limits;
        let bytes = if is_copy {
            wanted.min(limits.max_binding_bytes).min(limits.max_buffer_bytes) / 16 * 16
        } else {
            u64::from(INVOCATIONS) * 4
        };
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        let buffers =
            (0..if is_copy { 2 } else { 1 }).map(|_| context.buffer("peak", bytes, usage)).collect();
        let module = context.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(kernel.variant),
            source: wgpu::ShaderSource::Wgsl(kernel.source().into()),
        });
        let pipeline = context.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(kernel.variant),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &[("workgroup_size", f64::from(workgroup))],
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        Probe {
            is_copy,
            round,
            workgroups,
            pipeline,
            params: context.buffer("peak", 16, usage),
            buffers,
            staging: Arc::default(),
        }
    }

    /// Operations, or bytes read and written, of this amount of rounds or copies.
    fn work(&self, amount: u32) -> f64 {
        let each = if self.is_copy { 2.0 * self.buffers[0].size() as f64 } else { self.round };
        each * f64::from(amount)
    }

    /// Wall-clock time from submission to the result.
    async fn seconds(&self, engine: &GpuEngine, amount: u32) -> Result<f64> {
        let context = engine.context();
        let params = if self.is_copy {
            [INVOCATIONS, (self.buffers[0].size() / 16) as u32]
        } else {
            [amount, 0.999_f32.to_bits()]
        };
        let scope = context.scope();
        context.queue.write_buffer(&self.params, 0, bytemuck::cast_slice(&params));
        let all: Vec<_> = std::iter::once(&self.params).chain(&self.buffers).collect();
        // An automatic layout keeps this kernel, which is no part of any plan, out of the plan's machinery.
        let bind_group = context.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("peak"),
            layout: &self.pipeline.get_bind_group_layout(0),
            entries: &all
                .into_iter()
                .enumerate()
                .map(|(binding, buffer)| entry(binding, buffer))
                .collect::<Vec<_>>(),
        });
        let mut encoder = engine.encoder("peak");
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, &bind_group, &[]);
            for _ in 0..if self.is_copy { amount } else { 1 } {
                pass.dispatch_workgroups(self.workgroups, 1, 1);
            }
        }
        let target = self.staging.take(context, 16);
        let out = &self.buffers[self.buffers.len() - 1];
        encoder.copy_buffer_to_buffer(out, 0, &target, 0, 16);
        let start = Instant::now();
        let submission = context.queue.submit([encoder.finish()]);
        let (context, staging) = (context.clone(), self.staging.clone());
        InFlight::new(context, staging, target, submission, scope.close(), vec![4])?.outputs_async().await?;
        Ok(start.elapsed().as_secs_f64())
    }
}

fn entry(binding: usize, buffer: &wgpu::Buffer) -> wgpu::BindGroupEntry<'_> {
    wgpu::BindGroupEntry {
        binding: binding as u32,
        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer,
            offset: 0,
            // The uniform's buffer is larger than its struct.
            size: if binding == 0 { wgpu::BufferSize::new(8) } else { None },
        }),
    }
}
