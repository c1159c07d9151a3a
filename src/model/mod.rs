//! What a BERT is: families, sizes, functions, poolings and the tensors a model is made of. The ground floor: it imports nothing of ours
//! but [`Error`](crate::Error).

mod activation;
mod config;
mod embedding;
mod family;
mod head_kind;
mod pooling;
mod tokenizer_files;
mod weight;

pub use activation::Activation;
pub use config::{ClassifierPooling, Config, LayerAttention, ProblemType};
pub use embedding::{DenseLayer, EmbeddingRequest, LayerMix, PooledModule, PooledNorm};
pub use family::Family;
pub use head_kind::HeadKind;
pub use pooling::Pooling;
pub use tokenizer_files::{TokenizerFiles, TokenizerSource};
pub use weight::{WeightKind, WeightPart, WeightSource, WeightSpec};
