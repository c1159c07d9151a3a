//! The stages that a text goes through.

#[cfg(feature = "cache")]
pub(crate) mod cache;
pub(crate) mod tokenize;
