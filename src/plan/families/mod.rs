//! One short file a family: which tensors a layer has and which steps it is made of.

mod bert;

use super::{Plan, PlanBuilder, Request};
use crate::checkpoint::{Config, Family};
use crate::error::Result;

/// The plan of one encoder pass.
///
/// # Errors
/// The request asks for a layer or an output that the model does not have.
pub fn plan(config: &Config, request: &Request) -> Result<Plan> {
    let builder = PlanBuilder::new(config, request)?;
    match config.family {
        Family::Bert => bert::plan(builder),
    }
}
