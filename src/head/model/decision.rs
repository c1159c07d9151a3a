//! What a head says of one row.

/// What a head says of one row.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The likeliest class and its probability.
    Class {
        /// Index into [`Head::names`](crate::head::Head::names).
        class: usize,
        /// Its probability.
        probability: f64,
    },
    /// The labels whose probability exceeds their threshold, indices into [`Head::names`](crate::head::Head::names).
    Labels(Vec<usize>),
    /// A number.
    Value(f64),
    /// The likeliest class is less likely than was asked for.
    Abstained {
        /// Index into [`Head::names`](crate::head::Head::names).
        class: usize,
        /// Its probability.
        probability: f64,
    },
}
