//! The rows that an encoder gives back.

use serde::Serialize;

use crate::error::{Error, Result};

/// Embeddings of texts, in input order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Embeddings {
    /// Row-major `[texts, dim]`.
    pub values: Vec<f32>,
    /// Columns.
    pub dim: usize,
    /// Tokens of each text before truncation, special tokens included, `[texts]`.
    pub tokens: Vec<u32>,
    /// Whether a text was cut to the maximum length, `[texts]`.
    pub truncated: Vec<bool>,
}

impl Embeddings {
    /// Number of texts.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are no texts.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// One text's vector.
    ///
    /// # Panics
    /// `text` is not below [`len`](Self::len).
    pub fn row(&self, text: usize) -> &[f32] {
        &self.values[text * self.dim..(text + 1) * self.dim]
    }

    /// All vectors, in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        // A dimension of zero has no rows to show; max(1) keeps chunks_exact from panicking.
        self.values.chunks_exact(self.dim.max(1))
    }

    /// Adds one row.
    pub(crate) fn push(&mut self, row: &[f32], tokens: u32, truncated: bool) {
        self.values.extend_from_slice(row);
        self.tokens.push(tokens);
        self.truncated.push(truncated);
    }

    /// Checks that there is a row for each of so many texts. In every build: rows that are paired with other texts are worse
    /// than none.
    pub(crate) fn expect_rows(&self, texts: usize) -> Result<()> {
        let rows = self.tokens.len();
        if rows == texts && self.truncated.len() == rows && self.values.len() == rows * self.dim {
            return Ok(());
        }
        Err(Error::device(format!(
            "rows and texts do not agree: {texts} texts gave {rows} rows, {} values of {} columns; run again without the \
             cache, and report this if it stays",
            self.values.len(),
            self.dim
        )))
    }

    /// Adds another run's rows behind these.
    pub(crate) fn append(&mut self, mut more: Embeddings) {
        self.dim = more.dim;
        self.values.append(&mut more.values);
        self.tokens.append(&mut more.tokens);
        self.truncated.append(&mut more.truncated);
    }
}
