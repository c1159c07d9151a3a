//! Two classifiers on the same labelled rows.

use super::classifier::Classifier;
use super::dataset::Dataset;
use super::embed::{EmbedRun, embed};
use crate::error::{Error, Result};
use crate::head::{self, Comparison, Matrix, Problem};
use crate::platform::entry;

/// A seed for the bootstrap: figures do not change from run to run.
const SEED: u64 = 0;

impl Classifier {
    entry! {
        /// Compares this classifier with another one on labelled rows, row by row: whether one is better, or luck made it look so.
        ///
        /// `slices` names a slice for each row, to compare on each as well.
        ///
        /// # Errors
        /// The two predict different names, a label that they do not know, and as [`Encoder::embed`](crate::Encoder::embed).
        pub fn compare(&self, other: &Classifier, data: &Dataset, slices: Option<&[String]>, run: &EmbedRun<'_>) -> Result<Comparison> = compare_async;
    }

    pub(crate) async fn compare_async(
        &self,
        other: &Classifier,
        data: &Dataset,
        slices: Option<&[String]>,
        run: &EmbedRun<'_>,
    ) -> Result<Comparison> {
        let (first, second) = (self.head(), other.head());
        let sorted = |head: &head::Head| {
            let mut names = head.names().to_vec();
            names.sort();
            names
        };
        let same_names = first.problem() == Problem::Regression || sorted(first) == sorted(second);
        if first.problem() != second.problem() || !same_names {
            return Err(Error::input(format!(
                "comparing heads: they do not answer the same question: one knows {:?}, the other {:?}",
                first.names(),
                second.names()
            )));
        }
        // What the labels get wrong is told before the encoders work.
        let data = data.clone().with_names(first.names())?;
        let mut answers = Vec::new();
        for classifier in [self, other] {
            let texts = data.texts.iter().cloned();
            let (embeddings, _) = embed(classifier.encoder(), texts, classifier.options(), run).await?;
            let matrix = Matrix::new(embeddings.len(), embeddings.dim, embeddings.values)?;
            answers.push(classifier.head().predict_proba(&matrix)?);
        }
        let places = places(first.names(), second.names());
        let second_answers = reorder(&answers[1], &places);
        let second_thresholds = reorder(second.thresholds(), &places);
        head::compare(
            &data.targets,
            [&answers[0], &second_answers],
            [first.thresholds(), &second_thresholds],
            slices,
            SEED,
        )
    }
}

/// Where each name of the first stands among the second's.
fn places(first: &[String], second: &[String]) -> Vec<usize> {
    first.iter().map(|name| second.iter().position(|other| other == name).unwrap_or(0)).collect()
}

fn reorder(values: &[f64], places: &[usize]) -> Vec<f64> {
    values.chunks_exact(places.len().max(1)).flat_map(|row| places.iter().map(|at| row[*at])).collect()
}
