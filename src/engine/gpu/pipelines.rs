//! Compiled kernels: each combination of kernel and constants once per device.

use super::context::Context;
use super::fault::{Caught, lock};
use super::platform;
use crate::error::{Error, Result};
use crate::plan::kernels::{Access, Dispatch, Kernel};
use std::collections::HashMap;
use std::sync::Mutex;

/// A compiled kernel and the layout that its bind groups follow.
#[derive(Clone)]
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    label: String,
    /// Names and bits: f64 has no `Eq`.
    constants: Vec<(&'static str, u64)>,
}

impl Key {
    fn new(dispatch: &Dispatch) -> Self {
        Key {
            label: dispatch.kernel.label(),
            constants: dispatch.constants.iter().map(|(name, value)| (*name, value.to_bits())).collect(),
        }
    }
}

/// Everything compiled so far for one device.
#[derive(Default)]
pub(super) struct Pipelines {
    modules: Mutex<HashMap<String, wgpu::ShaderModule>>,
    compiled: Mutex<HashMap<Key, Pipeline>>,
    cache: platform::DiskCache,
}

impl Pipelines {
    /// Pipelines that are kept in this folder for the next process; `None`: not kept.
    pub(super) fn new(cache: Option<std::path::PathBuf>) -> Self {
        Pipelines { cache: platform::DiskCache::new(cache), ..Pipelines::default() }
    }

    /// A pipeline for every dispatch; what is not there yet is compiled, on all cores where there are several.
    ///
    /// # Errors
    /// `is_device`: the driver refuses a kernel. Those it took are kept.
    pub(super) async fn get(&self, context: &Context, dispatches: &[Dispatch]) -> Result<Vec<Pipeline>> {
        let mut missing: Vec<&Dispatch> = vec![];
        {
            let compiled = lock(&self.compiled);
            let mut seen = std::collections::HashSet::new();
            missing.extend(dispatches.iter().filter(|dispatch| {
                let key = Key::new(dispatch);
                !compiled.contains_key(&key) && seen.insert(key)
            }));
        }
        let mut jobs = vec![];
        for dispatch in missing {
            jobs.push((dispatch, self.module(context, dispatch.kernel).await?));
        }
        let cache = self.cache.get(context);
        let built = platform::map_all(&jobs, |(dispatch, module)| compile(context, dispatch, module, cache));
        for ((dispatch, _), (pipeline, caught)) in jobs.iter().zip(built) {
            caught.settled().await.map_err(|error| refused(error, dispatch.kernel))?;
            lock(&self.compiled).insert(Key::new(dispatch), pipeline);
        }
        if !jobs.is_empty() {
            self.cache.save();
        }
        let compiled = lock(&self.compiled);
        Ok(dispatches.iter().map(|dispatch| compiled[&Key::new(dispatch)].clone()).collect())
    }

    async fn module(&self, context: &Context, kernel: &'static Kernel) -> Result<wgpu::ShaderModule> {
        let label = kernel.label();
        if let Some(module) = lock(&self.modules).get(&label) {
            return Ok(module.clone());
        }
        let scope = context.scope();
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(&label),
            source: wgpu::ShaderSource::Wgsl(platform::source(kernel).into()),
        };
        // SAFETY: the kernels guard every index themselves: against `Params`, which the engine fills in from buffer
        // sizes that the plan's validation has found to agree, and against ids that `check::batch` has held against the
        // tables' sizes. Loops end: their bounds are
        // parameters. tests/kernels.rs runs each at ragged sizes.
        let module = unsafe {
            context.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
        };
        scope.close().settled().await.map_err(|error| refused(error, kernel))?;
        lock(&self.modules).insert(label, module.clone());
        Ok(module)
    }
}

fn refused(error: Error, kernel: &Kernel) -> Error {
    error.context(format!("compiling the kernel {}", kernel.label()))
}

fn compile(
    context: &Context,
    dispatch: &Dispatch,
    module: &wgpu::ShaderModule,
    cache: Option<&wgpu::PipelineCache>,
) -> (Pipeline, Caught) {
    let label = dispatch.kernel.label();
    // Of its own: errors are caught by the thread that makes the calls.
    let scope = context.scope();
    let layout = bind_group_layout(context, &label, dispatch);
    let pipeline_layout = context.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(&label),
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let pipeline = context.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(&label),
        layout: Some(&pipeline_layout),
        module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions {
            constants: &dispatch.constants,
            // Kernels write workgroup memory before they read it.
            zero_initialize_workgroup_memory: false,
        },
        cache,
    });
    (Pipeline { pipeline, layout }, scope.close())
}

fn bind_group_layout(context: &Context, label: &str, dispatch: &Dispatch) -> wgpu::BindGroupLayout {
    let entry = |binding: usize, ty, has_dynamic_offset, min_binding_size| wgpu::BindGroupLayoutEntry {
        binding: binding as u32,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size },
        count: None,
    };
    let params_bytes = dispatch.params.len() as u64 * 4;
    let params = entry(0, wgpu::BufferBindingType::Uniform, true, wgpu::BufferSize::new(params_bytes));
    let storage = dispatch.bindings.iter().enumerate().map(|(index, (_, access))| {
        let read_only = *access == Access::Read;
        entry(index + 1, wgpu::BufferBindingType::Storage { read_only }, false, None)
    });
    let entries: Vec<_> = std::iter::once(params).chain(storage).collect();
    context
        .device
        .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(label), entries: &entries })
}
