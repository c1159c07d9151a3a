//! A vector per text: pooled rows, with or without a store of rows that were computed before.

use std::sync::Arc;

use crate::embeddings::Embeddings;
use crate::encoder::request::embedding_width;
use crate::encoder::session::{Arrived, Collect, EncodeReport, Windows, lost_rows, select_none};
use crate::encoder::stages::combine::{self, Combine};
use crate::encoder::stages::store::{RowStore, StoredRow};
use crate::encoder::stages::tokenize::{Prefetch, Source, Tokenize, TokenizedWindow, WindowSize};
use crate::encoder::{EmbedOptions, Encoder, Text};
use crate::error::Result;
use crate::model::EmbeddingRequest;
use crate::plan::Request;
use crate::platform::entry;

impl Encoder {
    entry! {
        /// Embeds texts; rows come back in input order.
        ///
        /// On native targets the work is done on the calling thread until the result is there: an async runtime should
        /// call it where blocking is allowed. In a browser it yields to the event loop between batches.
        ///
        /// # Errors
        /// Options the model cannot fulfil, a text that `truncate: Error` refuses, device errors, cancellation.
        pub fn embed(&self, texts: impl IntoIterator<Item = impl Into<Text>>, options: &EmbedOptions) -> Result<Embeddings> = embed_async;
    }

    pub(crate) async fn embed_async<T: Into<Text>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        options: &EmbedOptions,
    ) -> Result<Embeddings> {
        let texts: Vec<Result<Text>> = texts.into_iter().map(|text| Ok(text.into())).collect();
        let expected = texts.len();
        let mut all = Embeddings { dim: self.dim(options)?, ..Embeddings::default() };
        self.embed_stream_async(texts, options, |rows| {
            all.append(rows);
            Ok(())
        })
        .await?;
        all.expect_rows(expected)?;
        Ok(all)
    }

    entry! {
        /// Embeds a stream with flat memory: `sink` gets rows in input order, at most a few thousand at a time, while later
        /// texts are tokenised and computed. The first rows come soon: windows of texts start small.
        ///
        /// # Errors
        /// As [`embed`](Self::embed), and what the iterator or `sink` return. A panic of the iterator is an error here: rows
        /// so far are not all rows.
        pub fn embed_stream(&self, texts: impl IntoIterator<Item = Result<Text>, IntoIter: Send + 'static>, options: &EmbedOptions, sink: impl FnMut(Embeddings) -> Result<()>) -> Result<EncodeReport> = embed_stream_async;
    }

    pub(crate) async fn embed_stream_async<I>(
        &self,
        texts: I,
        options: &EmbedOptions,
        sink: impl FnMut(Embeddings) -> Result<()>,
    ) -> Result<EncodeReport>
    where
        I: IntoIterator<Item = Result<Text>>,
        I::IntoIter: Send + 'static,
    {
        self.embed_stream_through(texts, options, None, sink).await
    }

    /// The stream with a store in it, or without.
    pub(crate) async fn embed_stream_through<I>(
        &self,
        texts: I,
        options: &EmbedOptions,
        store: Option<Arc<dyn RowStore>>,
        sink: impl FnMut(Embeddings) -> Result<()>,
    ) -> Result<EncodeReport>
    where
        I: IntoIterator<Item = Result<Text>>,
        I::IntoIter: Send + 'static,
    {
        let in_windows = options.window_overlap().is_some();
        let embedding = self.embedding_request(options)?;
        // Windows of a text are combined before they are scaled, so that a mean stays the mean over its tokens.
        let mut rows = PooledRows {
            dim: self.dim(options)?,
            combine: Combine::of(&embedding.pooling),
            normalize: in_windows && embedding.normalize,
            cut_last: embedding.dimensions.is_none(),
            store: store.clone(),
            sink,
        };
        let normalize = embedding.normalize && !in_windows;
        let embeddings = Some(EmbeddingRequest { normalize, ..embedding });
        let request = Request { embeddings, ..Request::default() };
        let stage = Tokenize::new(self.tokenizer.clone(), self.text_recipe(options)?, WindowSize::MOST);
        let windows = Windows::Texts(Prefetch::new(texts.into_iter(), stage.with_store(store))?);
        self.run(windows, &request, &select_none, options, &mut rows).await
    }
}

/// Collects rows and hands them on as [`Embeddings`].
struct PooledRows<S> {
    dim: usize,
    combine: Combine,
    /// Scale here what the plan did not.
    normalize: bool,
    /// Whether columns are cut off the finished row (`truncate_dim`), not before it is scaled.
    cut_last: bool,
    store: Option<Arc<dyn RowStore>>,
    sink: S,
}

/// Rows of a window's encodings, `[encodings, width]`; nothing until the first batch says how wide they are.
#[derive(Default)]
struct Rows {
    encodings: usize,
    width: usize,
    values: Vec<f32>,
}

impl<S: FnMut(Embeddings) -> Result<()>> Collect for PooledRows<S> {
    type Rows = Rows;

    fn open(&self, window: &TokenizedWindow) -> Rows {
        Rows { encodings: window.encodings.len(), ..Rows::default() }
    }

    fn place(&self, arrived: &Arrived<'_>, rows: &mut Rows) -> Result<()> {
        let width = embedding_width(arrived.plan);
        let values = arrived.outputs.buffers.first().map_or(&[][..], Vec::as_slice);
        if width == 0 || values.len() != arrived.encodings.len() * width {
            return Err(lost_rows(&format!(
                "a batch of {} texts gave {} values for rows of {width}",
                arrived.encodings.len(),
                values.len()
            )));
        }
        if rows.values.is_empty() {
            rows.width = width;
            rows.values.resize(rows.encodings * width, 0.0);
        }
        for (row, &encoding) in values.chunks_exact(width).zip(arrived.encodings) {
            rows.values[encoding * width..][..width].copy_from_slice(row);
        }
        Ok(())
    }

    fn close(&mut self, window: TokenizedWindow, rows: Rows) -> Result<()> {
        let mut computed = self.combined(&window, rows);
        computed.expect_rows(window.computed.len())?;
        if let Some(store) = &self.store {
            let row = |at: usize| StoredRow {
                vector: computed.row(at).to_vec(),
                tokens: computed.tokens[at],
                truncated: computed.truncated[at],
            };
            let texts = window.computed.iter().map(|computed| &window.texts[computed.text]);
            let fresh: Vec<(&Text, StoredRow)> = texts.zip((0..).map(row)).collect();
            if !fresh.is_empty() {
                store.keep(fresh);
            }
            let mut all = Embeddings { dim: self.dim, ..Embeddings::default() };
            for source in &window.sources {
                match source {
                    Source::Stored(at) => {
                        let StoredRow { vector, tokens, truncated } = &window.stored[*at];
                        all.push(vector, *tokens, *truncated);
                    }
                    Source::Computed(at) => {
                        all.push(computed.row(*at), computed.tokens[*at], computed.truncated[*at]);
                    }
                }
            }
            computed = all;
        }
        computed.expect_rows(window.texts.len())?;
        if computed.is_empty() { Ok(()) } else { (self.sink)(computed) }
    }
}

impl<S> PooledRows<S> {
    /// Joins the windows of each computed text and cuts to the wanted columns.
    fn combined(&self, window: &TokenizedWindow, rows: Rows) -> Embeddings {
        let Rows { width, values, .. } = rows;
        let all = 0..window.computed.len();
        let tokens = all.clone().map(|at| window.tokens(at)).collect();
        let truncated = all.map(|at| window.truncated(at)).collect();
        let plain = self.dim == width && !self.normalize && window.computed.len() == window.encodings.len();
        if plain {
            return Embeddings { values, dim: self.dim, tokens, truncated };
        }
        // A window counts by the tokens it pools.
        let weights: Vec<usize> =
            window.encodings.iter().map(|encoding| encoding.len() - encoding.pool_from).collect();
        let mut joined = Vec::with_capacity(window.computed.len() * self.dim);
        for computed in &window.computed {
            let mut row = self.combine.rows(&values, &weights, computed.encodings.clone(), width);
            if !self.cut_last {
                row.truncate(self.dim);
            }
            if self.normalize {
                combine::normalize(&mut row);
            }
            joined.extend_from_slice(&row[..self.dim]);
        }
        Embeddings { values: joined, dim: self.dim, tokens, truncated }
    }
}
