//! BERT embeddings as WGSL compute shaders on any GPU, and a classifier of your own on top.

pub mod checkpoint;
pub mod data;
mod error;
pub mod plan;
pub mod text;

pub use error::{Error, Result};
