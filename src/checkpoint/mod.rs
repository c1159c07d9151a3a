//! A Hugging Face checkpoint folder: config, tensors, tokenizer, sentence-transformers modules.
//!
//! [`Checkpoint`] opens one from a folder or from any [`Files`]; [`ModelSource`] says where a model named on a command line
//! is, and gets it there from the hub if need be.

mod config;
mod files;
mod fingerprint;
mod heads;
mod json;
mod modules;
mod names;
mod open;
mod weights;

pub use config::{Activation, ClassifierPooling, Config, Family, LayerAttention, ProblemType};
#[cfg(not(target_arch = "wasm32"))]
pub use files::FolderFiles;
pub use files::{Bytes, Files, MemoryFiles};
pub use fingerprint::Fingerprint;
pub use heads::{Head, HeadKind, Heads};
pub use modules::Modules;
pub use open::{Checkpoint, TokenizerFiles};
pub use weights::{StoredType, Weights};
