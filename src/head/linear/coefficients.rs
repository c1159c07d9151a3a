//! What a linear head holds.

/// Coefficients and intercepts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Linear {
    /// `[outputs, d]`.
    pub(crate) coefficients: Vec<f64>,
    /// `[outputs]`.
    pub(crate) intercepts: Vec<f64>,
}
