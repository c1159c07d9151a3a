//! BERT embeddings as WGSL compute shaders on any GPU, and a classifier of your own on top.

pub mod checkpoint;
mod error;
pub mod plan;
#[cfg(all(feature = "report", not(target_arch = "wasm32")))]
pub mod report;
pub mod text;

pub use error::{Error, Result};
