//! A Hugging Face checkpoint folder: config, tensors, tokenizer, sentence-transformers modules.

mod config;

pub use config::{Activation, Config, Family};
