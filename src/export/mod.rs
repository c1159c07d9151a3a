//! Heads in and out: to a folder that transformers loads, from scikit-learn's coefficients, and a model card.
//!
//! [`transformers`] joins the encoder and a linear head into a sequence classifier; [`import_sklearn`] makes a head of what
//! `numpy.savez` wrote; [`model_card`] writes the README of a model on the hub. [`LinearHeadParts`] is the head in all of them.

mod card;
mod folder;
mod head_card;
mod heads;
mod npz;
mod parts;
mod transformers;

pub use card::{CardData, Metric, model_card};
pub use npz::{check_npy_shape, import_sklearn};
pub use parts::LinearHeadParts;
pub use transformers::{Exported, transformers};
