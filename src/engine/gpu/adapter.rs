//! Which adapters there are, and which one to take.

use super::platform;
use crate::error::{Error, Result};
use crate::plan::kernels::{Class, Cooperative};
use serde::Serialize;

/// What `frostbert devices` says of one adapter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdapterReport {
    /// Position in the list; `--device INDEX` takes it.
    pub index: usize,
    /// Name of the adapter.
    pub name: String,
    /// `vulkan`, `metal`, `dx12` or `webgpu`.
    pub backend: String,
    /// Driver and its version.
    pub driver: String,
    /// `discrete`, `integrated`, `virtual`, `cpu` or `other`.
    pub device_type: &'static str,
    /// Which kernels it runs.
    pub class: Class,
    /// Optional features it has, of those that kernels can use.
    pub features: Vec<&'static str>,
    /// Cooperative matrices that kernels can use.
    pub cooperative: Option<Cooperative>,
    /// 4 or 8: neighbouring invocations that share a subgroup, if kernels can let them. 0 for none.
    pub subgroup: u32,
    /// Sizes it allows.
    pub limits: AdapterLimits,
}

/// Sizes that an adapter allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AdapterLimits {
    /// Bytes of one buffer.
    pub max_buffer_bytes: u64,
    /// Bytes of one storage binding: a larger weight is split.
    pub max_binding_bytes: u64,
    /// Bytes of workgroup memory.
    pub max_workgroup_bytes: u32,
    /// Invocations per workgroup.
    pub max_invocations: u32,
    /// Workgroups along one axis of a dispatch.
    pub max_workgroups: u32,
}

impl AdapterLimits {
    pub(super) fn new(limits: &wgpu::Limits) -> Self {
        AdapterLimits {
            max_buffer_bytes: limits.max_buffer_size,
            max_binding_bytes: limits.max_storage_buffer_binding_size,
            max_workgroup_bytes: limits.max_compute_workgroup_storage_size,
            max_invocations: limits.max_compute_invocations_per_workgroup,
            max_workgroups: limits.max_compute_workgroups_per_dimension,
        }
    }
}

/// Which adapter to take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AdapterSelector {
    /// The best real GPU. In a browser: the adapter that the browser offers.
    #[default]
    Auto,
    /// The best real GPU.
    Gpu,
    /// A software adapter.
    Software,
    /// The adapter of this number in [`adapters`](super::adapters).
    Index(usize),
    /// The first adapter whose name contains this, whatever the case.
    Name(String),
}

/// Optional features that kernels can use, with the names that reports give them.
pub(super) const FEATURES: [(wgpu::Features, &str); 5] = [
    (wgpu::Features::SHADER_F16, "f16"),
    (wgpu::Features::SUBGROUP, "subgroups"),
    (wgpu::Features::TIMESTAMP_QUERY, "timestamps"),
    (wgpu::Features::PIPELINE_CACHE, "pipeline cache"),
    (wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, "cooperative matrices"),
];

/// The adapters of this machine, in the order in which `--device INDEX` counts them.
pub(super) async fn list() -> Vec<AdapterReport> {
    let found = platform::alone(enumerate()).await;
    found.iter().enumerate().map(|(index, adapter)| report(index, adapter)).collect()
}

async fn enumerate() -> Vec<wgpu::Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::PRIMARY;
    // Validation layers and debug names cost time and are a developer's choice: WGPU_VALIDATION, WGPU_DEBUG.
    descriptor.flags = wgpu::InstanceFlags::empty().with_env();
    wgpu::Instance::new(descriptor).enumerate_adapters(wgpu::Backends::PRIMARY).await
}

fn report(index: usize, adapter: &wgpu::Adapter) -> AdapterReport {
    let info = adapter.get_info();
    let features = adapter.features();
    let cooperative = cooperative(adapter, &info);
    let class = class(&info, cooperative.is_some(), features.contains(wgpu::Features::SHADER_F16));
    AdapterReport {
        index,
        class,
        cooperative,
        subgroup: subgroup(features, &info),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        backend: info.backend.to_string(),
        device_type: match info.device_type {
            wgpu::DeviceType::DiscreteGpu => "discrete",
            wgpu::DeviceType::IntegratedGpu => "integrated",
            wgpu::DeviceType::VirtualGpu => "virtual",
            wgpu::DeviceType::Cpu => "cpu",
            wgpu::DeviceType::Other => "other",
        },
        name: info.name,
        features: FEATURES.iter().filter(|(bit, _)| features.contains(*bit)).map(|(_, name)| *name).collect(),
        limits: AdapterLimits::new(&adapter.limits()),
    }
}

/// Features that kernels with cooperative matrices use.
pub(super) const COOPERATIVE: wgpu::Features = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX
    .union(wgpu::Features::SHADER_F16)
    .union(wgpu::Features::SUBGROUP);

/// The largest square of f16 in, f32 out that there are kernels for.
fn cooperative(adapter: &wgpu::Adapter, info: &wgpu::AdapterInfo) -> Option<Cooperative> {
    use wgpu::CooperativeScalarType::{F16, F32};
    if !adapter.features().contains(COOPERATIVE) {
        return None;
    }
    let properties = adapter.cooperative_matrix_properties();
    let has = |side: u32| {
        properties.iter().any(|found| {
            [found.m_size, found.n_size, found.k_size] == [side; 3]
                && (found.ab_type, found.cr_type) == (F16, F32)
        })
    };
    // An invocation of the kernel for 16 by 16 copies what one of 256 must; of that for 8 by 8, one of 64.
    [(16, 256), (8, 64)].into_iter().find(|(side, _)| has(*side)).and_then(|(side, least)| {
        let invocations = least.max(Cooperative::SUBGROUPS * info.subgroup_max_size);
        // Kernels size an array for subgroups of 64.
        let fits = info.subgroup_max_size <= 64
            && invocations <= adapter.limits().max_compute_invocations_per_workgroup;
        fits.then_some(Cooperative { side, invocations })
    })
}

/// Neighbouring invocations that share a subgroup, whichever size it has: four or eight.
fn subgroup(features: wgpu::Features, info: &wgpu::AdapterInfo) -> u32 {
    match (info.subgroup_min_size, info.subgroup_max_size) {
        _ if !features.contains(platform::SUBGROUP) => 0,
        (4, 4) => 4,
        (8.., _) => 8,
        _ => 0,
    }
}

fn class(info: &wgpu::AdapterInfo, cooperative: bool, f16: bool) -> Class {
    let text = format!("{} {} {}", info.name, info.driver, info.driver_info).to_lowercase();
    // A browser does not say that its adapter is a CPU, but names it.
    let software = ["llvmpipe", "swiftshader", "basic render"].iter().any(|name| text.contains(name));
    match (cooperative, f16) {
        _ if software || info.device_type == wgpu::DeviceType::Cpu => Class::Software,
        (true, _) => Class::Tensor,
        (false, true) => Class::Half,
        (false, false) => platform::GPU_CLASS,
    }
}

/// How much a real GPU is wanted, more is better; none for what is not known to be one.
fn rank(report: &AdapterReport) -> Option<u8> {
    if report.class == Class::Software {
        return None;
    }
    match report.device_type {
        "discrete" => Some(3),
        "integrated" => Some(2),
        "virtual" => Some(1),
        _ => platform::TRUST_UNKNOWN.then_some(0),
    }
}

/// The adapter that the selector means.
///
/// # Errors
/// There is none.
pub(super) async fn select(selector: &AdapterSelector) -> Result<(wgpu::Adapter, AdapterReport)> {
    let mut found = enumerate().await;
    let reports: Vec<_> = found.iter().enumerate().map(|(index, adapter)| report(index, adapter)).collect();
    let chosen = match selector {
        AdapterSelector::Auto | AdapterSelector::Gpu => {
            let ranked = reports.iter().filter_map(|report| Some((rank(report)?, report.index)));
            // Of equals the first: max_by_key would give the last.
            ranked.rev().max_by_key(|(rank, _)| *rank).map(|(_, index)| index)
        }
        AdapterSelector::Software => reports.iter().position(|report| report.class == Class::Software),
        AdapterSelector::Index(index) => (*index < reports.len()).then_some(*index),
        AdapterSelector::Name(part) => {
            let part = part.to_lowercase();
            reports.iter().position(|report| report.name.to_lowercase().contains(&part))
        }
    };
    let Some(index) = chosen else { return Err(none_found(selector, &reports)) };
    let report = reports.into_iter().nth(index).expect("index was taken from this list");
    Ok((found.swap_remove(index), report))
}

fn none_found(selector: &AdapterSelector, reports: &[AdapterReport]) -> Error {
    let wanted = match selector {
        AdapterSelector::Auto | AdapterSelector::Gpu => "no WebGPU adapter that is a real GPU".to_owned(),
        AdapterSelector::Software => "no software WebGPU adapter".to_owned(),
        AdapterSelector::Index(index) => format!("no WebGPU adapter number {index}"),
        AdapterSelector::Name(part) => format!("no WebGPU adapter whose name contains {part:?}"),
    };
    let there = if reports.is_empty() {
        "there is no adapter at all".to_owned()
    } else {
        let names: Vec<_> =
            reports.iter().map(|report| format!("{} {}", report.index, report.name)).collect();
        format!("there is {}", names.join(", "))
    };
    let step = match selector {
        AdapterSelector::Software => "on Debian or Ubuntu install mesa-vulkan-drivers, or use --device cpu",
        AdapterSelector::Auto | AdapterSelector::Gpu if reports.is_empty() => {
            "install the GPU's Vulkan driver (on Debian or Ubuntu mesa-vulkan-drivers), or use --device cpu"
        }
        AdapterSelector::Auto | AdapterSelector::Gpu => {
            "use --device cpu, or --device software for WGSL on the CPU"
        }
        _ => "`frostbert devices` lists them",
    };
    Error::device(format!("{wanted} was found: {there}; {step}"))
}
