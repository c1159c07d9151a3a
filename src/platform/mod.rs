//! What differs between a native program and a browser's page, each thing once: threads, waiting, files.
//!
//! The pair native.rs and web.rs has the same names. It is the ground under every other module and knows none of them.

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod web;
#[cfg(not(target_arch = "wasm32"))]
pub mod whole_file;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::{cache_folder, disk, entry, for_chunks, map, pause};
#[cfg(target_arch = "wasm32")]
pub(crate) use web::{cache_folder, disk, entry, for_chunks, map, pause};
