//! One short file a family: which tensors a layer has and which steps it is made of.

mod bert;

use super::{Plan, PlanBuilder, Request};
use crate::checkpoint::{Config, Family};
use crate::error::{Error, Result};

/// The plan of one encoder pass.
///
/// # Errors
/// The request asks for a layer or an output that the model does not have.
pub fn plan(config: &Config, request: &Request) -> Result<Plan> {
    let builder = PlanBuilder::new(config, request)?;
    match config.family {
        Family::Bert => bert::plan(builder),
        family => Err(Error::model_file(format!(
            "cannot plan a pass of {}: its steps are not built yet; bert is",
            family.name()
        ))),
    }
}
