//! BERT embeddings as WGSL compute shaders on any GPU, and a classifier of your own on top.

pub mod checkpoint;
mod error;
pub mod plan;
pub mod reference;
pub mod text;

pub use error::{Error, Result};
