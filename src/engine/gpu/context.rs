//! One device and what the engine needs to know of it.

use super::adapter;
use super::adapter::{AdapterReport, AdapterSelector};
use super::fault::{Fault, Scope};
use super::platform;
use crate::error::{Error, Result};
use crate::plan::kernels::Class;
use std::sync::Arc;

/// An open device.
pub(super) struct Context {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) report: AdapterReport,
    pub(super) fault: Arc<Fault>,
}

impl Context {
    /// Opens the adapter that the selector means, with all the buffer sizes it allows; with what kernels that multiply f16 need, cooperative
    /// matrices before all, if they are wanted and there; and with subgroups for those and for a software adapter's kernels, of the
    /// adapter's own size unless `subgroup` says which. One thread at a time.
    pub(super) async fn open(
        selector: &AdapterSelector,
        class: Option<Class>,
        halves: bool,
        subgroup: Option<u32>,
    ) -> Result<Self> {
        platform::alone(Self::open_device(selector, class, halves, subgroup)).await
    }

    async fn open_device(
        selector: &AdapterSelector,
        class: Option<Class>,
        halves: bool,
        subgroup: Option<u32>,
    ) -> Result<Self> {
        let (adapter, mut report) = adapter::select(selector).await?;
        let class = class.unwrap_or(report.class);
        let halves = halves && matches!(class, Class::Tensor | Class::Half);
        let allowed = adapter.limits();
        let wanted = wgpu::Limits {
            max_buffer_size: allowed.max_buffer_size,
            max_storage_buffer_binding_size: allowed.max_storage_buffer_binding_size,
            max_compute_workgroup_storage_size: allowed.max_compute_workgroup_storage_size,
            max_compute_invocations_per_workgroup: allowed.max_compute_invocations_per_workgroup,
            max_compute_workgroup_size_x: allowed.max_compute_workgroup_size_x,
            ..wgpu::Limits::default()
        };
        let tensor = halves && report.cooperative.is_some();
        let optional = wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::PIPELINE_CACHE;
        let (for_halves, experimental_features) = if tensor {
            // SAFETY: what is experimental here is shader code, which tests/shaders.rs validates; and no result is used
            // before a plan has computed the same with and without it (self_check.rs).
            (adapter::COOPERATIVE, unsafe { wgpu::ExperimentalFeatures::enabled() })
        } else {
            let f16 = if halves { wgpu::Features::SHADER_F16 } else { wgpu::Features::empty() };
            (adapter.features() & f16, wgpu::ExperimentalFeatures::disabled())
        };
        // Four of a subgroup of eight can play one of four, not the other way.
        let used = if halves || report.class == Class::Software { report.subgroup } else { 0 };
        let subgroup = subgroup.map_or(used, |asked| asked.min(used));
        let subgroups = if subgroup > 0 { platform::SUBGROUP } else { wgpu::Features::empty() };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("frostbert"),
            required_features: (adapter.features() & optional) | for_halves | subgroups,
            experimental_features,
            required_limits: wanted.or_worse_values_from(&allowed),
            ..Default::default()
        };
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(|error| {
            Error::device(format!(
                "opening adapter {} ({}) failed; try another of `frostbert devices`, or --device cpu",
                report.index, report.name
            ))
            .with_source(error.to_string())
        })?;
        report.subgroup = if platform::has_subgroups(&device) { subgroup } else { 0 };
        let fault = Arc::new(Fault::default());
        let sink = fault.clone();
        device.on_uncaptured_error(Arc::new(move |error| sink.uncaught(&error)));
        let sink = fault.clone();
        device.set_device_lost_callback(move |_, reason| sink.device_lost(&reason));
        Ok(Context { device, queue, report, fault })
    }

    /// Whether shaders may have f16.
    pub(super) fn has_f16(&self) -> bool {
        self.device.features().contains(wgpu::Features::SHADER_F16)
    }

    /// Catches the errors of this thread's calls on the device until it is closed.
    pub(super) fn scope(&self) -> Scope {
        Scope::open(&self.device, self.fault.clone())
    }

    /// A buffer that only the device sees.
    pub(super) fn buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            // Bindings of nothing are refused, also where a batch has no selected rows.
            size: bytes.max(16),
            usage,
            mapped_at_creation: false,
        })
    }
}
