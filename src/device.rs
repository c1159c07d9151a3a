//! Which device computes, as a user names it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Where the encoder runs.
///
/// ```
/// use frostbert::Device;
/// assert_eq!("software".parse::<Device>()?, Device::Software);
/// assert_eq!("1".parse::<Device>()?, Device::Index(1));
/// assert_eq!("radeon".parse::<Device>()?, Device::Name("radeon".into()));
/// # Ok::<(), frostbert::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Device {
    /// The best real GPU; where there is none, the CPU engine. Never a software adapter.
    #[default]
    Auto,
    /// The CPU engine.
    Cpu,
    /// The best real GPU; an error where there is none.
    Gpu,
    /// A software adapter (lavapipe, SwiftShader, WARP): WGSL on the CPU, for tests.
    Software,
    /// The adapter of this number in `frostbert devices`.
    Index(usize),
    /// The first adapter whose name contains this, whatever the case.
    Name(String),
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        Ok(match text.to_ascii_lowercase().as_str() {
            "" => {
                return Err(Error::input(
                    "the device has no name; say auto, cpu, gpu, software, a number or part of a name",
                ));
            }
            "auto" => Device::Auto,
            "cpu" => Device::Cpu,
            "gpu" => Device::Gpu,
            "software" => Device::Software,
            other => match other.parse() {
                Ok(index) => Device::Index(index),
                Err(_) => Device::Name(text.to_owned()),
            },
        })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Auto => f.write_str("auto"),
            Device::Cpu => f.write_str("cpu"),
            Device::Gpu => f.write_str("gpu"),
            Device::Software => f.write_str("software"),
            Device::Index(index) => write!(f, "{index}"),
            Device::Name(name) => f.write_str(name),
        }
    }
}
