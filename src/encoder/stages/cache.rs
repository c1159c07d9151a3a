//! The embedding cache as a stage of the stream: only texts that are not there go on to the tokenizer and the engine.

use std::sync::Arc;

use super::store::{RowStore, StoredRow};
use crate::cache::{BestEffort, Entry, Key, KeySpace};
use crate::embeddings::Embeddings;
use crate::encoder::{EmbedOptions, EncodeReport, Encoder, Text};
use crate::error::Result;
use crate::platform::entry;
use crate::text::Truncate;

/// Embeddings, and where they came from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CachedEmbeddings {
    /// The rows, in input order.
    pub embeddings: Embeddings,
    /// Texts whose row was in the cache.
    pub from_cache: u64,
    /// The pass: tokens and batches of what the engine computed for the others.
    pub report: EncodeReport,
}

impl Encoder {
    /// Makes the cache keys of texts embedded with these options.
    ///
    /// # Errors
    /// As [`recipe`](Self::recipe).
    pub fn key_space(&self, options: &EmbedOptions) -> Result<KeySpace> {
        let recipe = self.recipe(options)?;
        // The recipe repeats the weights' hash; alone it names the table, so that `cache clear` can take one model.
        KeySpace::new(&recipe.checkpoint.weights, self.weight_type().name(), &recipe)
    }

    entry! {
        /// Embeds texts; rows that `cache` has are taken from it, the others are put into it window by window as they come,
        /// so that a run that is stopped has not worked in vain. Whatever the cache does, the rows come.
        ///
        /// The device is no part of the key: a row may come from another device, within the numerics contract.
        ///
        /// # Errors
        /// As [`embed`](Self::embed).
        pub fn embed_cached(&self, texts: impl IntoIterator<Item = impl Into<Text>>, options: &EmbedOptions, cache: &BestEffort) -> Result<CachedEmbeddings> = embed_cached_async;
    }

    pub(crate) async fn embed_cached_async<T: Into<Text>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        options: &EmbedOptions,
        cache: &BestEffort,
    ) -> Result<CachedEmbeddings> {
        let texts: Vec<Result<Text>> = texts.into_iter().map(|text| Ok(text.into())).collect();
        let expected = texts.len();
        let mut embeddings = Embeddings { dim: self.dim(options)?, ..Embeddings::default() };
        let report = self
            .embed_stream_cached_async(texts, options, cache, |rows| {
                embeddings.append(rows);
                Ok(())
            })
            .await?;
        embeddings.expect_rows(expected)?;
        Ok(CachedEmbeddings { embeddings, from_cache: report.from_cache, report })
    }

    entry! {
        /// [`embed_stream`](Self::embed_stream) with the cache as a stage: each window of texts is looked up while earlier ones
        /// are computed, texts of a window that are the same are computed once, and rows go into the cache as they come.
        ///
        /// # Errors
        /// As [`embed_stream`](Self::embed_stream).
        pub fn embed_stream_cached(&self, texts: impl IntoIterator<Item = Result<Text>, IntoIter: Send + 'static>, options: &EmbedOptions, cache: &BestEffort, sink: impl FnMut(Embeddings) -> Result<()>) -> Result<EncodeReport> = embed_stream_cached_async;
    }

    pub(crate) async fn embed_stream_cached_async<I>(
        &self,
        texts: I,
        options: &EmbedOptions,
        cache: &BestEffort,
        sink: impl FnMut(Embeddings) -> Result<()>,
    ) -> Result<EncodeReport>
    where
        I: IntoIterator<Item = Result<Text>>,
        I::IntoIter: Send + 'static,
    {
        let store = CacheStage {
            keys: if cache.is_on() { Some(self.key_space(options)?) } else { None },
            cache: cache.clone(),
            dim: self.dim(options)?,
            refuses_long: options.truncate == Truncate::Error,
        };
        self.embed_stream_through(texts, options, Some(Arc::new(store)), sink).await
    }
}

/// The cache under the options of one pass.
struct CacheStage {
    /// None: every text is computed, those that are the same once.
    keys: Option<KeySpace>,
    cache: BestEffort,
    dim: usize,
    /// What `truncate: Error` refuses must reach the tokenizer, which says which text it is.
    refuses_long: bool,
}

impl CacheStage {
    fn key(&self, text: &Text) -> Option<Key> {
        self.keys.as_ref().map(|keys| keys.key(&text.first, text.second.as_deref()))
    }
}

impl RowStore for CacheStage {
    fn find(&self, texts: &[&Text]) -> Vec<Option<StoredRow>> {
        let keys: Vec<Key> = texts.iter().filter_map(|text| self.key(text)).collect();
        if keys.is_empty() {
            return vec![None; texts.len()];
        }
        let usable =
            |entry: &Entry| entry.vector.len() == self.dim && !(entry.truncated && self.refuses_long);
        let row = |Entry { vector, tokens, truncated }| StoredRow { vector, tokens, truncated };
        self.cache.get_many(&keys).into_iter().map(|found| found.filter(usable).map(row)).collect()
    }

    fn keep(&self, rows: Vec<(&Text, StoredRow)>) {
        let entry = |(text, row): (&Text, StoredRow)| {
            let StoredRow { vector, tokens, truncated } = row;
            self.key(text).map(|key| (key, Entry { vector, tokens, truncated }))
        };
        let entries: Vec<(Key, Entry)> = rows.into_iter().filter_map(entry).collect();
        if !entries.is_empty() {
            self.cache.put_many(&entries);
        }
    }
}
