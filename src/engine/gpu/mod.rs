//! The WGSL engine: runs a [`Plan`](crate::plan::Plan) on whatever adapter WebGPU reaches.
//!
//! [`adapters`] lists what there is. A [`GpuEngine`] holds one device; [`GpuEngine::prepare`] compiles a plan's kernels
//! and uploads its weights; [`GpuEngine::submit`] starts a batch and returns at once; [`InFlight::outputs`] waits for it.
//! Which kernels run, with which bindings and sizes, is decided without a GPU in
//! [`plan::kernels`](crate::plan::kernels).

mod adapter;
mod arena;
mod compiled;
mod context;
mod engine;
mod fault;
mod layout;
mod peak;
#[cfg(not(target_arch = "wasm32"))]
mod pipeline_cache;
mod pipelines;
mod profile;
mod readback;
mod self_check;
mod tune;
#[cfg(not(target_arch = "wasm32"))]
mod tuning_file;
mod weights;

mod platform;

pub use adapter::{AdapterLimits, AdapterReport, AdapterSelector};
pub use engine::{GpuEngine, GpuOptions, GpuPlan};
pub use platform::adapters;
pub use readback::InFlight;
