//! The stages that a text goes through: cache, tokenising, packing and computing ([`session`](super::session)), combining.

#[cfg(feature = "cache")]
pub(crate) mod cache;
pub(crate) mod combine;
pub(crate) mod store;
pub(crate) mod tokenize;
