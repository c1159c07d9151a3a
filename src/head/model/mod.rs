//! The trained head: decisions, explanations, and its file.

pub(crate) mod answer;
pub(crate) mod decision;
pub(crate) mod encoder_binding;
pub(crate) mod explain;
pub(crate) mod file;
pub(crate) mod gaussian;
pub(crate) mod head;
pub(crate) mod neighbours;
pub(crate) mod sample;
