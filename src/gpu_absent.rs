//! Stands in for the WGSL engine where cargo feature `gpu` is off: the same names, no adapter ever.

use crate::error::{Error, Result};
use crate::plan::kernels::Class;
use crate::plan::{KernelTime, Outputs, Peak, Plan, WeightSource};
use crate::text::PackedBatch;

/// Which adapter to take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AdapterSelector {
    /// The best real GPU.
    #[default]
    Auto,
    /// The best real GPU.
    Gpu,
    /// A software adapter.
    Software,
    /// By number.
    Index(usize),
    /// By part of its name.
    Name(String),
}

/// What may be set before an engine starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuOptions {
    /// Which adapter.
    pub selector: AdapterSelector,
    /// How weights are stored.
    pub weights: crate::plan::kernels::WeightType,
    /// Which kernels.
    pub class: Option<Class>,
    /// Tokens of a batch.
    pub batch_tokens: usize,
    /// Where compiled kernels would be kept.
    pub pipeline_cache: Option<std::path::PathBuf>,
}

/// Never made.
pub enum GpuEngine {}

/// Never made.
pub enum PreparedPlan {}

/// Never made.
pub enum InFlight {}

/// Never made.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct AdapterReport {
    /// The adapter's name.
    pub name: String,
    /// `vulkan` and the like.
    pub backend: String,
    /// Kernel class.
    pub class: Class,
}

/// No adapters.
pub async fn adapters() -> Vec<AdapterReport> {
    Vec::new()
}

impl GpuEngine {
    /// Fails: this build has no WGSL engine.
    ///
    /// # Errors
    /// Always.
    pub async fn with_options(_options: GpuOptions) -> Result<Self> {
        Err(Error::device("this build has no WGSL engine (cargo feature `gpu` is off); use --device cpu"))
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub async fn tune(&mut self, _plan: &Plan) -> Result<crate::plan::kernels::Tuning> {
        match *self {}
    }

    /// Never called.
    pub fn class(&self) -> Class {
        match *self {}
    }

    /// Never called.
    pub fn report(&self) -> &AdapterReport {
        match *self {}
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub async fn prepare(&self, _plan: &Plan, _weights: &dyn WeightSource) -> Result<PreparedPlan> {
        match *self {}
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn submit(&self, _prepared: &PreparedPlan, _batch: &PackedBatch) -> Result<InFlight> {
        match *self {}
    }
}

impl GpuEngine {
    /// Never called.
    ///
    /// # Errors
    /// None.
    pub async fn profile(&self, _prepared: &PreparedPlan, _batch: &PackedBatch) -> Result<Vec<KernelTime>> {
        match *self {}
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub async fn peak(&self) -> Result<Peak> {
        match *self {}
    }
}

impl PreparedPlan {
    /// Never called.
    pub fn bytes(&self) -> usize {
        match *self {}
    }
}

impl InFlight {
    /// Never called.
    ///
    /// # Errors
    /// None.
    pub async fn outputs(self) -> Result<Outputs> {
        match self {}
    }
}
