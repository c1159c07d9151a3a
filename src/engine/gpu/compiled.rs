//! What a plan has on a device besides the buffers of a batch.

use super::layout::Layout;
use super::pipelines::Pipeline;
use crate::plan::Plan;
use crate::plan::kernels::{Dispatch, Resource};
use std::collections::HashMap;
use std::sync::Arc;

/// A plan with its kernels and weights.
pub(super) struct CompiledPlan {
    /// Tells it from the other plans of its engine.
    pub(super) id: u64,
    pub(super) plan: Plan,
    pub(super) dispatches: Vec<Dispatch>,
    /// One per dispatch.
    pub(super) pipelines: Vec<Pipeline>,
    pub(super) weights: HashMap<Resource, Arc<wgpu::Buffer>>,
    /// The parameters of all dispatches, each at a multiple of `params_stride`; the counts are zero.
    pub(super) params: Vec<u8>,
    pub(super) params_stride: usize,
    /// Where the plan's buffers are in an arena.
    pub(super) layout: Layout,
    /// The most tokens that a batch may have on the device.
    pub(super) max_tokens: usize,
}
