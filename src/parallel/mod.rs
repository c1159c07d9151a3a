//! The one place where work is spread over threads: rayon natively, one thread in the browser.

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod web;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::map;
#[cfg(target_arch = "wasm32")]
pub(crate) use web::map;
