//! What a head learns from: rows of numbers, what each should give, and how rows are dealt out.

pub(crate) mod matrix;
pub(crate) mod split;
pub(crate) mod targets;
