//! An encoder and a head together: what the command line, the page and other front ends call.

mod binding;
mod classifier;
mod explanation;
#[cfg(not(target_arch = "wasm32"))]
mod row_file;
#[cfg(not(target_arch = "wasm32"))]
pub mod verify;

pub use binding::bind_head;
pub use classifier::{Classifier, Prediction};
pub use explanation::Explanation;
#[cfg(not(target_arch = "wasm32"))]
pub use row_file::{RowReader, RowWriter, row_file};
