//! BERT embeddings as WGSL compute shaders on any GPU, and a classifier of your own on top.

#[cfg(not(target_arch = "wasm32"))]
pub mod cache;
pub mod checkpoint;
mod error;
pub mod plan;
pub mod text;

pub use error::{Error, Result};
