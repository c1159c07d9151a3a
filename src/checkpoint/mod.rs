//! A Hugging Face checkpoint folder: config, tensors, tokenizer, sentence-transformers modules.
//!
//! [`Checkpoint`] opens one from a folder or from any [`Files`]; [`ModelSource`] says where a model named on a command line
//! is, and gets it there from the hub if need be.

mod files;
mod fingerprint;
mod heads;
#[cfg(not(target_arch = "wasm32"))]
mod hub;
mod json;
mod modules;
mod names;
mod open;
mod overlay;
mod read_config;
mod sizes;
#[cfg(not(target_arch = "wasm32"))]
mod source;
mod static_embedding;
mod weights;

#[cfg(not(target_arch = "wasm32"))]
pub use files::FolderFiles;
pub use files::{Bytes, Files, MemoryFiles};
pub use fingerprint::Fingerprint;
pub(crate) use heads::is_encoder;
pub use heads::{Heads, PretrainedHead};
#[cfg(not(target_arch = "wasm32"))]
pub use hub::{Download, Hub, HubModel};
pub use modules::Modules;
pub use open::Checkpoint;
#[cfg(not(target_arch = "wasm32"))]
pub use source::ModelSource;
pub use weights::{StoredType, Weights};
