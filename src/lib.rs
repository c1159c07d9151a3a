//! BERT embeddings as WGSL compute shaders on any GPU, and a classifier of your own on top.
//!
//! The encoder is frozen: [`Encoder`] turns texts into [`Embeddings`] on a GPU (through wgpu) or on the CPU engine, and a small
//! head is trained on them. See the README for the command line.

#![cfg_attr(
    target_arch = "wasm32",
    allow(
        clippy::arc_with_non_send_sync,
        reason = "a browser's WebGPU objects are neither; an Arc of one is still right natively"
    )
)]

#[cfg(not(target_arch = "wasm32"))]
mod blocking;
#[cfg(not(target_arch = "wasm32"))]
pub mod cache;
pub mod checkpoint;
mod classifier;
pub mod data;
mod device;
mod dtype;
mod embeddings;
mod encoder;
mod engine;
mod error;
mod explanation;
#[cfg(not(target_arch = "wasm32"))]
pub mod export;
mod finetuned;
#[cfg(feature = "gpu")]
pub mod gpu;
#[cfg(not(feature = "gpu"))]
#[path = "gpu_absent.rs"]
pub mod gpu;
pub mod head;
mod parallel;
mod pause;
pub mod plan;
mod pretraining;
pub mod quantize;
pub mod reference;
#[cfg(all(feature = "report", not(target_arch = "wasm32")))]
pub mod report;
mod scheduler;
pub mod text;
#[cfg(not(target_arch = "wasm32"))]
pub mod verify;
#[cfg(not(target_arch = "wasm32"))]
pub mod whole_file;

pub use checkpoint::Checkpoint;
pub use classifier::{Classifier, Prediction, bind_head};
pub use device::Device;
pub use dtype::Dtype;
pub use embeddings::Embeddings;
#[cfg(not(target_arch = "wasm32"))]
pub use encoder::CachedEmbeddings;
pub use encoder::{
    CancelToken, DeviceReport, EmbedOptions, EmbeddingRecipe, EncodeProgress, EncodeReport, Encoder,
    EncoderBuilder, KernelProfile, Layers, Profile, ProgressFn, Prompt, Text, TokenOutputs, TokenRequest,
};
pub use error::{Error, Result};
pub use explanation::Explanation;
pub use finetuned::{Aggregation, Classification, Entity, Ranked};
pub use pretraining::{MaskCandidate, NextSentence, PseudoPerplexity};

/// The snippets of the README and of the guides are compiled with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../docs/outputs.md")]
pub struct Guides;
