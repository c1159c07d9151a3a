//! BERT embeddings as WGSL compute shaders on any GPU, and a classifier of your own on top.

pub mod checkpoint;
mod error;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod plan;
pub mod text;

pub use error::{Error, Result};
