//! What differs between a native device and a browser's: the pair native.rs and web.rs has the same names.

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod web;

#[cfg(not(target_arch = "wasm32"))]
pub use native::adapters;
#[cfg(not(target_arch = "wasm32"))]
pub(super) use native::*;
#[cfg(target_arch = "wasm32")]
pub use web::adapters;
#[cfg(target_arch = "wasm32")]
pub(super) use web::*;
