//! The probabilities of [`attention`](super::attention), stored: the same scores and the same softmax.

pub use super::attention::run_probabilities as run;
