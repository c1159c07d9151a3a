//! A moment for others: where one thread does everything, it must look at its messages between two batches.

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod web;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::pause;
#[cfg(target_arch = "wasm32")]
pub(crate) use web::pause;
