//! BERT embeddings as WGSL compute shaders on any GPU, and a classifier of your own on top.

pub mod checkpoint;
mod error;
mod parallel;
pub mod plan;
pub mod text;

pub use checkpoint::Checkpoint;
pub use error::{Error, Result};
