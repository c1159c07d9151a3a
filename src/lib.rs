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

#[cfg(feature = "cache")]
pub mod cache;
pub mod checkpoint;
pub mod data;
mod device;
mod embeddings;
mod encoder;
pub mod engine;
mod error;
#[cfg(feature = "export")]
pub mod export;
pub mod head;
pub mod model;
mod names;
pub mod plan;
mod platform;
pub mod quantize;
#[cfg(feature = "report")]
pub mod report;
pub mod text;
pub mod vectors;
pub mod workflow;

pub use checkpoint::Checkpoint;
pub use device::Device;
pub use embeddings::Embeddings;
#[cfg(feature = "cache")]
pub use encoder::CachedEmbeddings;
#[cfg(not(target_arch = "wasm32"))]
pub use encoder::RandomModel;
pub use encoder::{
    Aggregation, CancelToken, ClassWords, Classification, Cloze, ClozeCalibration, Dtype, EmbedOptions,
    EmbeddingRecipe, EncodeProgress, EncodeReport, Encoder, EncoderBuilder, Entity, FilledMasks,
    KernelProfile, Layers, MaskCandidate, Memory, NextSentence, Profile, ProgressFn, Prompt,
    PseudoPerplexity, Ranked, SparseEmbedding, Summary, Tagged, Text, TokenOutputs, TokenRequest,
};
pub use engine::DeviceReport;
pub use error::{Error, Result};
#[cfg(not(target_arch = "wasm32"))]
pub use platform::whole_file;
pub use workflow::{Classifier, Explanation, Prediction, bind_head};

/// The snippets of the README and of the guides are compiled with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../docs/outputs.md")]
pub struct Guides;
