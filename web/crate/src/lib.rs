//! Frostbert in a browser's worker.
//!
//! A thin layer: what JavaScript holds becomes what the library takes, and back. The worker's TypeScript (`web/src/worker`)
//! is the only caller; people use the npm package on top of it. Small things cross as JSON, numbers as typed arrays.

#[cfg(target_arch = "wasm32")]
mod digest;
#[cfg(target_arch = "wasm32")]
mod encoder;
#[cfg(target_arch = "wasm32")]
mod error;
#[cfg(target_arch = "wasm32")]
mod explain;
#[cfg(target_arch = "wasm32")]
mod files;
#[cfg(target_arch = "wasm32")]
mod head;
#[cfg(target_arch = "wasm32")]
mod options;
#[cfg(target_arch = "wasm32")]
mod predict;
#[cfg(target_arch = "wasm32")]
mod project;
#[cfg(target_arch = "wasm32")]
mod table;

#[cfg(target_arch = "wasm32")]
pub use digest::WebDigest;
#[cfg(target_arch = "wasm32")]
pub use encoder::{Stop, WebEncoder, check_config};
#[cfg(target_arch = "wasm32")]
pub use head::{WebHead, WebTraining, train_head};
#[cfg(target_arch = "wasm32")]
pub use project::project;
#[cfg(target_arch = "wasm32")]
pub use table::WebTable;
