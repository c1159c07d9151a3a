//! A classifier measured on labelled rows.

use super::classifier::Classifier;
use super::dataset::Dataset;
use super::embed::{EmbedRun, EmbeddingSummary, embed};
use crate::error::Result;
use crate::head::{HierarchyMeasures, Matrix, Metrics};
use crate::platform::entry;

/// What a classifier makes of labelled rows.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Evaluation {
    /// Rows measured.
    pub rows: usize,
    /// The measures.
    pub metrics: Metrics,
    /// Measures of each level; none unless the head reads class names as paths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub levels: Option<HierarchyMeasures>,
    /// What embedding the rows took.
    pub embedding: EmbeddingSummary,
}

impl Classifier {
    entry! {
        /// Measures the classifier on labelled rows.
        ///
        /// # Errors
        /// A label that the head does not know, labels of another kind than the head's, and as
        /// [`Encoder::embed`](crate::Encoder::embed).
        pub fn evaluate(&self, data: &Dataset, run: &EmbedRun<'_>) -> Result<Evaluation> = evaluate_async;
    }

    pub(crate) async fn evaluate_async(&self, data: &Dataset, run: &EmbedRun<'_>) -> Result<Evaluation> {
        // What the labels get wrong is told before the encoder works.
        let data = data.clone().with_names(self.head().names())?;
        let (embeddings, embedding) =
            embed(self.encoder(), data.texts.iter().cloned(), self.options(), run).await?;
        let matrix = Matrix::new(embeddings.len(), embeddings.dim, embeddings.values)?;
        let metrics = self.head().evaluate(&matrix, &data.targets)?;
        let levels = self.head().evaluate_levels(&matrix, &data.targets)?;
        Ok(Evaluation { rows: data.len(), metrics, levels, embedding })
    }
}
