//! Hostile inputs: a function for each parser of the library ([`TARGETS`]), and inputs for it, which are mutations of good
//! ones. An input and its answer are a matter of a seed and a number, so a failure is repeated by naming both.
//!
//! The driver (`src/main.rs`, by `cargo xtask fuzz`) runs each target in a process of its own, so that an abort, an exhausted
//! memory and a hang are seen and named like a panic.

mod corpus;
mod kind;
mod mutate;
mod targets;

pub use corpus::corpus;
pub use kind::Kind;
pub use mutate::{Random, Seeds};
pub use targets::{TARGETS, Target};
