//! How weights are kept on the device.

use std::fmt;
use std::str::FromStr;

use crate::checkpoint::Weights;
use crate::error::{Error, Result};
use crate::plan::kernels::WeightType;

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
