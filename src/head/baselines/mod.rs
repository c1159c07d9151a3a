//! Simple predictors that a head is compared with.

pub(crate) mod compare;
pub(crate) mod tfidf;
