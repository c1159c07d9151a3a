//! Weights rounded to f16.

use std::collections::HashSet;

use super::check;
use crate::error::{Error, Result};
use crate::model::{WeightSource, WeightSpec};
use crate::plan::{Plan, Step};
use half::f16;
use half::slice::HalfFloatSliceExt;

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
            Step::EmbedLayerNorm { words, .. } | Step::EmbedTokens { words, .. } => Some(*words),
            _ => None,
        };
        Rounded { source, specs: plan.steps().iter().filter_map(rounded).map(|id| plan.weight(id)).collect() }
    }
}

impl WeightSource for Rounded<'_> {
    fn load(&self, spec: &WeightSpec) -> Result<Vec<f32>> {
        let values = check::weight(self.source, spec)?;
        if !self.specs.contains(spec) {
            return Ok(values);
        }
        Ok(halves(spec.label(), &values)?.iter().map(|half| half.to_f32()).collect())
    }
}

/// Weights rounded to f16.
pub(crate) fn halves(label: &str, values: &[f32]) -> Result<Vec<f16>> {
    let mut halves = vec![f16::ZERO; values.len()];
    halves.convert_from_f32_slice(values);
    match halves.iter().position(|half| !half.is_finite()) {
        Some(at) => Err(Error::limit(format!(
            "{label} holds {}, which is too large for f16 weights; use f32 (--dtype f32)",
            values[at]
        ))),
        None => Ok(halves),
    }
}
