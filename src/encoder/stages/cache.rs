//! Embedding through the cache: only texts that are not there go to the engine.

use crate::platform::entry;
use std::collections::HashMap;

use crate::cache::{BestEffort, Entry, Key, KeySpace};
use crate::embeddings::Embeddings;
use crate::encoder::{EmbedOptions, EncodeProgress, EncodeReport, Encoder, Text};
use crate::error::Result;
use crate::text::Truncate;

/// Keys looked up in one transaction.
const LOOKUP: usize = 4096;

/// Embeddings, and where they came from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CachedEmbeddings {
    /// The rows, in input order.
    pub embeddings: Embeddings,
    /// Texts whose row was in the cache.
    pub from_cache: u64,
    /// What the engine did for the others; identical texts are embedded once.
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
        let texts: Vec<Text> = texts.into_iter().map(Into::into).collect();
        let dim = self.dim(options)?;
        let mut known: HashMap<&Text, usize> = HashMap::new();
        let mut unique: Vec<&Text> = Vec::new();
        let places: Vec<usize> = texts
            .iter()
            .map(|text| {
                *known.entry(text).or_insert_with(|| {
                    unique.push(text);
                    unique.len() - 1
                })
            })
            .collect();

        let keys: Vec<Key> = if cache.is_on() {
            let space = self.key_space(options)?;
            unique.iter().map(|text| space.key(&text.first, text.second.as_deref())).collect()
        } else {
            Vec::new()
        };
        // What `truncate: Error` refuses must reach the tokenizer, which says which text it is.
        let usable = |entry: &Entry| {
            entry.vector.len() == dim && !(entry.truncated && matches!(options.truncate, Truncate::Error))
        };
        let mut rows: Vec<Option<Entry>> = Vec::with_capacity(unique.len());
        for keys in keys.chunks(LOOKUP) {
            rows.extend(cache.get_many(keys).into_iter().map(|found| found.filter(usable)));
        }
        rows.resize(unique.len(), None);
        let from_cache = places.iter().filter(|place| rows[**place].is_some()).count() as u64;

        let missing: Vec<usize> = (0..unique.len()).filter(|place| rows[*place].is_none()).collect();
        let report = if missing.is_empty() {
            EncodeReport::default()
        } else {
            let inputs: Vec<Result<Text>> = missing.iter().map(|place| Ok(unique[*place].clone())).collect();
            let options = resumed(options, (texts.len() - missing.len()) as u64);
            let mut next = missing.iter();
            self.embed_stream_async(inputs, &options, |window| {
                let mut fresh = Vec::new();
                for ((row, place), at) in window.rows().zip(next.by_ref()).zip(0..) {
                    let entry = Entry {
                        vector: row.to_vec(),
                        tokens: window.tokens[at],
                        truncated: window.truncated[at],
                    };
                    fresh.extend(keys.get(*place).map(|key| (key.clone(), entry.clone())));
                    rows[*place] = Some(entry);
                }
                cache.put_many(&fresh);
                Ok(())
            })
            .await
            .map_err(|error| match error.row().and_then(|row| missing.get(row)) {
                // The stream counts the texts that were missing; the caller counts its own.
                Some(place) => {
                    let row = places.iter().position(|other| other == place).unwrap_or(*place);
                    error.at_row(row)
                }
                None => error,
            })?
        };

        let mut embeddings = Embeddings { dim, ..Embeddings::default() };
        embeddings.values.reserve_exact(texts.len() * dim);
        for entry in places.iter().filter_map(|place| rows[*place].as_ref()) {
            embeddings.values.extend_from_slice(&entry.vector);
            embeddings.tokens.push(entry.tokens);
            embeddings.truncated.push(entry.truncated);
        }
        debug_assert_eq!(embeddings.len(), texts.len(), "the stream gives a row for each text");
        Ok(CachedEmbeddings { embeddings, from_cache, report })
    }
}

/// The same options; progress starts at the texts that are done already.
fn resumed(options: &EmbedOptions, done: u64) -> EmbedOptions {
    let Some(progress) = options.progress.clone() else { return options.clone() };
    options
        .clone()
        .with_progress(move |step| progress(EncodeProgress { texts: step.texts + done, tokens: step.tokens }))
}
