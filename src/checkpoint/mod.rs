//! A Hugging Face checkpoint folder: config, tensors, tokenizer, sentence-transformers modules.
//!
//! [`Checkpoint`] opens one from a folder or from any [`Files`]; [`ModelSource`] says where a model named on a command line
//! is, and gets it there from the hub if need be.

mod config;
mod files;
mod fingerprint;
mod heads;
#[cfg(not(target_arch = "wasm32"))]
mod hub;
mod json;
mod modules;
mod names;
mod open;
#[cfg(not(target_arch = "wasm32"))]
mod random;
mod read_config;
#[cfg(not(target_arch = "wasm32"))]
mod source;
mod summary;
mod weights;

pub use config::{Activation, ClassifierPooling, Config, Family, LayerAttention, ProblemType};
#[cfg(not(target_arch = "wasm32"))]
pub use files::FolderFiles;
pub use files::{Bytes, Files, MemoryFiles};
pub use fingerprint::Fingerprint;
pub use heads::{Head, HeadKind, Heads};
#[cfg(not(target_arch = "wasm32"))]
pub use hub::{Download, Hub};
pub use modules::Modules;
pub use open::{Checkpoint, TokenizerFiles};
#[cfg(not(target_arch = "wasm32"))]
pub use random::RandomModel;
#[cfg(not(target_arch = "wasm32"))]
pub use source::{HubModel, ModelSource};
pub use summary::{Memory, Summary};
pub use weights::{StoredType, Weights};
