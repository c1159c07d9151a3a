//! What the stream asks before it tokenises a text: a row that was computed before.

use crate::encoder::Text;

/// A row as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredRow {
    pub(crate) vector: Vec<f32>,
    /// Tokens of the text before truncation.
    pub(crate) tokens: u32,
    pub(crate) truncated: bool,
}

/// Rows that were computed before. Failures cost time, not rows: a store that cannot be read finds nothing.
pub(crate) trait RowStore: Send + Sync {
    /// A row for each of these texts that has one, in their order. Called on the thread that tokenises.
    fn find(&self, texts: &[&Text]) -> Vec<Option<StoredRow>>;

    /// Takes rows that were computed.
    fn keep(&self, rows: Vec<(&Text, StoredRow)>);
}
