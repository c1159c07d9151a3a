//! Texts to embeddings for training and measuring: through a cache where there is one, counted and timed.

use std::sync::Arc;

use web_time::Instant;

use super::dataset::Dataset;
#[cfg(feature = "cache")]
use crate::cache::BestEffort;
use crate::embeddings::Embeddings;
use crate::encoder::{CancelToken, EmbedOptions, EncodeProgress, Encoder, ProgressFn, Text};
use crate::error::{Error, Result};
use crate::head::{Matrix, TrainData};

/// What embedding texts took.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct EmbeddingSummary {
    /// Texts embedded, those of the cache among them.
    pub texts: u64,
    /// Texts whose embedding was in the cache.
    pub from_cache: u64,
    /// Texts that were cut at the longest sequence.
    pub truncated: u64,
    /// Tokens that the encoder computed.
    pub tokens: u64,
    /// Seconds it took.
    pub seconds: f64,
}

impl EmbeddingSummary {
    /// Counts another part of the same pass.
    pub(super) fn add(&mut self, part: &EmbeddingSummary) {
        self.texts += part.texts;
        self.from_cache += part.from_cache;
        self.truncated += part.truncated;
        self.tokens += part.tokens;
        self.seconds += part.seconds;
    }

    /// How fast the encoder was; none where everything came from the cache.
    pub fn tokens_per_second(&self) -> Option<f64> {
        (self.tokens > 0).then(|| self.tokens as f64 / self.seconds.max(1e-9))
    }
}

/// Labelled rows and their embeddings.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EmbeddedRows {
    /// The rows.
    pub data: Dataset,
    /// Their embeddings, `[rows, columns]`.
    pub embeddings: Matrix<'static>,
    /// How many of the texts were cut.
    pub truncated: usize,
}

impl EmbeddedRows {
    /// Joins rows and embeddings that were made elsewhere.
    ///
    /// # Errors
    /// There is not one embedding for each row.
    pub fn new(data: Dataset, embeddings: Matrix<'static>) -> Result<Self> {
        if embeddings.rows() != data.len() {
            return Err(Error::input(format!(
                "{}: expected an embedding for each of {} rows, found {}",
                data.name,
                data.len(),
                embeddings.rows()
            )));
        }
        Ok(EmbeddedRows { data, embeddings, truncated: 0 })
    }

    /// What a head learns from.
    pub fn train_data(&self) -> TrainData<'_> {
        TrainData {
            embeddings: self.embeddings.view(),
            targets: self.data.targets.clone(),
            weights: self.data.weights.clone(),
            groups: self.data.groups.clone(),
        }
    }

    /// Keeps some columns of the embeddings.
    pub(super) fn keep_columns(&mut self, columns: &[std::ops::Range<usize>]) {
        self.embeddings = self.embeddings.select_columns(columns);
    }
}

/// How an encoder pass is run, without a say in what the vectors are: who is told, who may stop it, and where embeddings are
/// kept.
#[derive(Clone, Default)]
pub struct EmbedRun<'a> {
    progress: Option<ProgressFn>,
    cancel: Option<CancelToken>,
    #[cfg(feature = "cache")]
    cache: Option<&'a BestEffort>,
    #[cfg(not(feature = "cache"))]
    cache: std::marker::PhantomData<&'a ()>,
}

impl<'a> EmbedRun<'a> {
    /// Reports progress to this function.
    #[must_use]
    pub fn progress(mut self, progress: impl Fn(EncodeProgress) + Send + Sync + 'static) -> Self {
        self.progress = Some(Arc::new(progress));
        self
    }

    /// Ends the pass between two batches when this token says so.
    #[must_use]
    pub fn cancel(mut self, token: CancelToken) -> Self {
        self.cancel = Some(token);
        self
    }

    /// Takes embeddings from this cache, and leaves new ones in it.
    #[cfg(feature = "cache")]
    #[must_use]
    pub fn cache(mut self, cache: &'a BestEffort) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Takes progress and token out of options.
    pub(super) fn take(&mut self, options: &mut EmbedOptions) {
        self.progress = options.progress.take().or_else(|| self.progress.take());
        self.cancel = options.cancel.take().or_else(|| self.cancel.take());
    }

    /// The token, made if there is none.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn token(&mut self) -> CancelToken {
        self.cancel.get_or_insert_default().clone()
    }

    /// These options with this run's progress and token; progress starts at what was done before.
    fn attach(&self, options: &EmbedOptions, before: &EmbeddingSummary) -> EmbedOptions {
        let mut options = options.clone();
        if let Some(cancel) = &self.cancel {
            options.cancel = Some(cancel.clone());
        }
        if let Some(progress) = self.progress.clone() {
            let (texts, tokens) = (before.texts, before.tokens);
            options = options.with_progress(move |done| {
                progress(EncodeProgress { texts: texts + done.texts, tokens: tokens + done.tokens });
            });
        }
        options
    }
}

impl std::fmt::Debug for EmbedRun<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbedRun").finish_non_exhaustive()
    }
}

/// Embeds all texts; rows come in input order.
pub(super) async fn embed<T: Into<Text>>(
    encoder: &Encoder,
    texts: impl IntoIterator<Item = T>,
    options: &EmbedOptions,
    run: &EmbedRun<'_>,
) -> Result<(Embeddings, EmbeddingSummary)> {
    embed_after(encoder, texts, options, run, &EmbeddingSummary::default()).await
}

/// The same as part of a longer pass, of which so much is done; the summary counts this part.
pub(super) async fn embed_after<T: Into<Text>>(
    encoder: &Encoder,
    texts: impl IntoIterator<Item = T>,
    options: &EmbedOptions,
    run: &EmbedRun<'_>,
    before: &EmbeddingSummary,
) -> Result<(Embeddings, EmbeddingSummary)> {
    let start = Instant::now();
    let (embeddings, from_cache, tokens) = rows(encoder, texts, &run.attach(options, before), run).await?;
    let summary = EmbeddingSummary {
        texts: embeddings.len() as u64,
        from_cache,
        truncated: embeddings.truncated.iter().filter(|cut| **cut).count() as u64,
        tokens,
        seconds: start.elapsed().as_secs_f64(),
    };
    Ok((embeddings, summary))
}

/// The rows, how many came from the cache, and how many tokens were computed.
#[cfg(feature = "cache")]
async fn rows<T: Into<Text>>(
    encoder: &Encoder,
    texts: impl IntoIterator<Item = T>,
    options: &EmbedOptions,
    run: &EmbedRun<'_>,
) -> Result<(Embeddings, u64, u64)> {
    let off = BestEffort::off();
    let found = encoder.embed_cached_async(texts, options, run.cache.unwrap_or(&off)).await?;
    Ok((found.embeddings, found.from_cache, found.report.real_tokens))
}

/// The rows, how many came from the cache, and how many tokens were computed.
#[cfg(not(feature = "cache"))]
async fn rows<T: Into<Text>>(
    encoder: &Encoder,
    texts: impl IntoIterator<Item = T>,
    options: &EmbedOptions,
    _: &EmbedRun<'_>,
) -> Result<(Embeddings, u64, u64)> {
    let texts: Vec<Result<Text>> = texts.into_iter().map(|text| Ok(text.into())).collect();
    let mut all = Embeddings { dim: encoder.dim(options)?, ..Embeddings::default() };
    let report = encoder
        .embed_stream_async(texts, options, |rows| {
            all.append(rows);
            Ok(())
        })
        .await?;
    Ok((all, 0, report.real_tokens))
}
