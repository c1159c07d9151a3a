//! What training tells while it works.

/// How far training has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress<'a> {
    /// What is being done.
    pub stage: &'a str,
    /// Pieces done.
    pub done: usize,
    /// Pieces in all; fewer may be needed.
    pub total: usize,
}
