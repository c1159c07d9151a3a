//! How weights are kept on the device.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use crate::checkpoint::Weights;
use crate::error::{Error, Result};
use crate::plan::kernels::WeightType;
use crate::plan::{Plan, Step, WeightSource, WeightSpec};
use half::f16;

/// What matrices and word tables are kept as. Everything is computed and summed in f32, whatever is chosen.
///
/// ```
/// use frostbert::Dtype;
/// assert_eq!("f16".parse::<Dtype>()?, Dtype::F16);
/// # Ok::<(), frostbert::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// f16 where the checkpoint stores every matrix as f16, so that nothing is lost; else f32.
    #[default]
    Auto,
    /// 32-bit floats: as exact as PyTorch.
    F32,
    /// 16-bit floats: half the memory. Unit vectors keep a cosine of 0.9999 and 2e-3 in every coordinate.
    F16,
}

impl Dtype {
    /// What that means for a checkpoint.
    pub(crate) fn weight_type(self, weights: &Weights) -> WeightType {
        match self {
            Dtype::F32 => WeightType::F32,
            Dtype::Auto if !weights.matrices_are_f16() => WeightType::F32,
            Dtype::Auto | Dtype::F16 => WeightType::F16,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dtype::Auto => "auto",
            Dtype::F32 => "f32",
            Dtype::F16 => "f16",
        })
    }
}

impl FromStr for Dtype {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "auto" => Ok(Dtype::Auto),
            "f32" => Ok(Dtype::F32),
            "f16" => Ok(Dtype::F16),
            _ => Err(Error::input(format!("no such type of weights: {name:?}; known are auto, f32 and f16"))),
        }
    }
}

/// Weights rounded as a device with f16 weights rounds them. The CPU engine computes with f32 whatever happens, so f16
/// saves it nothing; it rounds all the same, so that every device gives the same answer to the same question.
pub(crate) struct Rounded<'a> {
    source: &'a dyn WeightSource,
    specs: HashSet<&'a WeightSpec>,
}

impl<'a> Rounded<'a> {
    pub(crate) fn new(source: &'a dyn WeightSource, plan: &'a Plan) -> Self {
        let rounded = |step: &Step| match step {
            Step::MatMul { weight, .. } => Some(*weight),
            Step::EmbedLayerNorm { words, .. } => Some(*words),
            _ => None,
        };
        Rounded { source, specs: plan.steps.iter().filter_map(rounded).map(|id| plan.weight(id)).collect() }
    }
}

impl WeightSource for Rounded<'_> {
    fn load(&self, spec: &WeightSpec) -> Result<Vec<f32>> {
        let values = self.source.load(spec)?;
        if !self.specs.contains(spec) {
            return Ok(values);
        }
        Ok(halves(spec.label(), &values)?.iter().map(|half| half.to_f32()).collect())
    }
}

/// Weights rounded to f16.
pub(crate) fn halves(label: &str, values: &[f32]) -> Result<Vec<f16>> {
    let halves: Vec<f16> = values.iter().map(|value| f16::from_f32(*value)).collect();
    match halves.iter().position(|half| !half.is_finite()) {
        Some(at) => Err(Error::limit(format!(
            "{label} holds {}, which is too large for f16 weights; use --dtype f32",
            values[at]
        ))),
        None => Ok(halves),
    }
}
