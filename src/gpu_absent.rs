//! Stands in for the WGSL engine where cargo feature `gpu` is off: the same names, no adapter ever.

use crate::error::{Error, Result};
use crate::plan::kernels::Class;
use crate::plan::{Outputs, Plan, WeightSource};
use crate::text::PackedBatch;

/// Which adapter to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdapterSelector {
    /// The best real GPU.
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
    pub async fn new(_selector: AdapterSelector) -> Result<Self> {
        Err(Error::device("this build has no WGSL engine (cargo feature `gpu` is off); use --device cpu"))
    }

    /// Never called.
    #[must_use]
    pub fn with_class(self, _class: Class) -> Self {
        match self {}
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

impl InFlight {
    /// Never called.
    ///
    /// # Errors
    /// None.
    pub async fn outputs(self) -> Result<Outputs> {
        match self {}
    }
}
