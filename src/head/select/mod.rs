//! Choosing and fitting: options, one fit, cross-validation, and the search over strengths, kinds and layers.

pub(crate) mod cross_validation;
pub(crate) mod embeddings;
pub(crate) mod fit;
pub(crate) mod layers;
pub(crate) mod learning_curve;
pub(crate) mod regularization_path;
pub(crate) mod score;
pub(crate) mod stream;
pub(crate) mod train;
pub(crate) mod words;
pub(crate) mod words_choice;
