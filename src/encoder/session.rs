//! Texts to embeddings: tokenised ahead, packed by a budget of tokens, several batches in flight, rows back in order.

use crate::platform::entry;
use std::collections::VecDeque;

use super::options::{EmbedOptions, EncodeProgress, Prompt};
use super::stages::tokenize::{Prefetch, Recipe, TokenizedWindow};
use super::{Encoder, PlannedPass, Text};
use crate::embeddings::Embeddings;
use crate::engine::scheduler::{Finished, Scheduler};
use crate::error::{Error, Result};
use crate::model::{EmbeddingRequest, Pooling};
use crate::plan::{OutputKind, Request};
use crate::text::{EncodeOptions, PackedBatch, Truncate, pack};

/// What a pass did, for reports and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct EncodeReport {
    /// Texts embedded.
    pub texts: u64,
    /// Tokens of those texts that were computed.
    pub real_tokens: u64,
    /// Token rows that the kernels computed. Equal to `real_tokens`: a packed batch has no padding.
    pub computed_tokens: u64,
    /// Texts that were cut.
    pub truncated: u64,
    /// Batches submitted.
    pub batches: u64,
}

/// How the windows of one long text become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Combine {
    /// The mean, weighted by tokens.
    Mean,
    /// The largest value per column.
    Max,
}

/// A stretch of input that is being computed: rows arrive in any order and leave in input order.
struct OpenWindow {
    encodings_per_text: Vec<usize>,
    lens: Vec<usize>,
    values: Vec<f32>,
    tokens: Vec<u32>,
    truncated: Vec<bool>,
    batches_left: usize,
}

/// Which encodings of which window a batch holds.
struct Tag {
    window: usize,
    encodings: Vec<usize>,
}

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
        let mut all = Embeddings { dim: self.dim(options)?, ..Embeddings::default() };
        self.embed_stream_async(texts, options, |rows| {
            all.append(rows);
            Ok(())
        })
        .await?;
        Ok(all)
    }

    entry! {
        /// Embeds a stream with flat memory: `sink` gets rows in input order, a few thousand at a time, while later texts
        /// are tokenised and computed.
        ///
        /// # Errors
        /// As [`embed`](Self::embed), and what the iterator or `sink` return.
        pub fn embed_stream(&self, texts: impl IntoIterator<Item = Result<Text>, IntoIter: Send + 'static>, options: &EmbedOptions, sink: impl FnMut(Embeddings) -> Result<()>) -> Result<EncodeReport> = embed_stream_async;
    }

    pub(crate) async fn embed_stream_async<I>(
        &self,
        texts: I,
        options: &EmbedOptions,
        mut sink: impl FnMut(Embeddings) -> Result<()>,
    ) -> Result<EncodeReport>
    where
        I: IntoIterator<Item = Result<Text>>,
        I::IntoIter: Send + 'static,
    {
        let windows_asked = matches!(options.truncate, Truncate::Window { .. });
        let embedding = self.embedding_request(options)?;
        let combine = if embedding.pooling == [Pooling::Max] { Combine::Max } else { Combine::Mean };
        // Windows of a text are combined before they are scaled, so that a mean stays the mean over its tokens.
        let normalize_here = windows_asked && embedding.normalize;
        let request = Request {
            embeddings: Some(EmbeddingRequest {
                normalize: embedding.normalize && !windows_asked,
                ..embedding
            }),
            ..Request::default()
        };
        let pass = self.pass(&request).await?;
        let width = output_width(&pass);
        let dim = self.dim(options)?;
        let recipe = self.text_recipe(options)?;
        let mut windows = Prefetch::new(texts.into_iter(), self.tokenizer.clone(), recipe)?;
        let mut run = Run {
            scheduler: Scheduler::new(&self.engine, &pass.prepared),
            open: VecDeque::new(),
            first_open: 0,
            report: EncodeReport::default(),
            width,
            dim,
            combine,
            normalize_here,
            cut_last: options.dimensions.is_none(),
        };
        let offset = self.config().position_offset;
        while let Some(window) = windows.next().await? {
            let lens: Vec<usize> = window.encodings.iter().map(|encoding| encoding.ids.len()).collect();
            let batches = pack(&lens, self.batch_tokens, None);
            // A window counts by the tokens it pools when the windows of a text are put together.
            let weights =
                window.encodings.iter().map(|encoding| encoding.len() - encoding.pool_from).collect();
            let at = run.open_window(&window, weights, batches.len());
            for encodings in batches {
                if let Some(cancel) = &options.cancel {
                    cancel.check()?;
                }
                let mut batch = PackedBatch::new();
                for &index in &encodings {
                    let encoding = &window.encodings[index];
                    batch.push(&encoding.ids, &encoding.type_ids, offset);
                    batch.pool_last_from(encoding.pool_from);
                }
                run.report.batches += 1;
                if let Some(finished) = run.scheduler.submit(batch, Tag { window: at, encodings }).await? {
                    run.place(finished, options, &mut sink)?;
                }
            }
            // A window without a single batch (no texts) is complete as it is.
            run.emit(&mut sink)?;
        }
        while let Some(finished) = run.scheduler.finish_oldest().await? {
            run.place(finished, options, &mut sink)?;
        }
        run.emit(&mut sink)?;
        Ok(run.report)
    }

    /// Columns of an embedding under these options.
    ///
    /// # Errors
    /// Options the model cannot fulfil.
    pub fn dim(&self, options: &EmbedOptions) -> Result<usize> {
        let request = self.embedding_request(options)?;
        let blocks = if request.mix == crate::model::LayerMix::Mean { 1 } else { request.layers.len() };
        let pooled = self.config().hidden * request.pooling.len() * blocks;
        let width = request.dense.last().map_or(pooled, |dense| dense.out_features);
        let kept = request.dimensions.or_else(|| self.truncate_dim(options, &request));
        Ok(kept.map_or(width, |dimensions| dimensions.min(width)))
    }

    /// Columns that the checkpoint keeps of its own finished embedding, where the options name no number themselves.
    pub(crate) fn truncate_dim(&self, options: &EmbedOptions, request: &EmbeddingRequest) -> Option<usize> {
        let trained = self.checkpoint.embedding_request();
        let as_trained = request.pooling == trained.pooling && request.layers == trained.layers;
        let kept = self.checkpoint.modules().and_then(|modules| modules.truncate_dim);
        kept.filter(|_| as_trained && options.dimensions.is_none())
    }

    /// Fills in what the options leave to the checkpoint.
    pub(crate) fn embedding_request(&self, options: &EmbedOptions) -> Result<EmbeddingRequest> {
        let trained = self.checkpoint.embedding_request();
        let layers = options.layers.resolve(self.config().layers)?;
        let pooling = options.pooling.clone().unwrap_or_else(|| trained.pooling.clone());
        let as_trained = pooling == trained.pooling && layers == trained.layers;
        Ok(EmbeddingRequest {
            mix: options.mix,
            // Dense modules were trained on the checkpoint's own pooling of the last layer; behind another they mean nothing.
            dense: if as_trained { trained.dense } else { Vec::new() },
            dimensions: options.dimensions,
            normalize: options.normalize.unwrap_or(trained.normalize),
            layers,
            pooling,
        })
    }

    pub(crate) fn text_recipe(&self, options: &EmbedOptions) -> Result<Recipe> {
        Ok(Recipe {
            prompt: self.prompt(&options.prompt)?,
            include_prompt: self.include_prompt(options),
            encode: EncodeOptions { truncate: options.truncate, max_tokens: options.max_tokens },
        })
    }

    pub(crate) fn include_prompt(&self, options: &EmbedOptions) -> bool {
        let trained = || self.checkpoint.modules().is_none_or(|modules| modules.include_prompt);
        options.include_prompt.unwrap_or_else(trained)
    }

    fn prompt(&self, prompt: &Prompt) -> Result<Option<String>> {
        let modules = self.checkpoint.modules();
        let named = |name: &str| {
            modules.and_then(|modules| modules.prompts.get(name)).cloned().ok_or_else(|| {
                let known: Vec<&str> =
                    modules.iter().flat_map(|modules| modules.prompts.keys()).map(String::as_str).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                Error::input(format!("the checkpoint has no prompt {name:?}; it has: {known}"))
            })
        };
        Ok(match prompt {
            Prompt::None => None,
            Prompt::Text(text) => Some(text.clone()),
            Prompt::Named(name) => Some(named(name)?),
            Prompt::Default => {
                modules.and_then(|modules| modules.default_prompt_name.as_deref()).map(named).transpose()?
            }
        }
        .filter(|prompt| !prompt.is_empty()))
    }
}

/// Width of the plan's embedding output, before `dimensions` cuts an unnormalised one.
fn output_width(pass: &PlannedPass) -> usize {
    let output = pass.plan.outputs.iter().find(|output| output.kind == OutputKind::Embeddings);
    output.map_or(0, |output| pass.plan.buffer(output.buffer).cols)
}

/// The moving parts of one `embed_stream`.
struct Run<'a> {
    scheduler: Scheduler<'a, Tag>,
    /// Windows with batches outstanding, oldest first; the front is number `first_open`.
    open: VecDeque<OpenWindow>,
    first_open: usize,
    report: EncodeReport,
    width: usize,
    dim: usize,
    combine: Combine,
    normalize_here: bool,
    /// Whether columns are cut off the finished row (`truncate_dim`), not before it is scaled.
    cut_last: bool,
}

impl Run<'_> {
    /// Registers a window and returns its number.
    fn open_window(&mut self, window: &TokenizedWindow, lens: Vec<usize>, batches: usize) -> usize {
        self.open.push_back(OpenWindow {
            encodings_per_text: window.encodings_per_text.clone(),
            values: vec![0.0; lens.len() * self.width],
            lens,
            tokens: window.tokens.clone(),
            truncated: window.truncated.clone(),
            batches_left: batches,
        });
        self.first_open + self.open.len() - 1
    }

    /// Puts a finished batch's rows where they belong, and hands on what is complete.
    fn place(
        &mut self,
        finished: Finished<Tag>,
        options: &EmbedOptions,
        sink: &mut impl FnMut(Embeddings) -> Result<()>,
    ) -> Result<()> {
        let Finished { batch, tag, outputs } = finished;
        let rows = &outputs.buffers[0];
        let window = &mut self.open[tag.window - self.first_open];
        for (row, &encoding) in rows.chunks_exact(self.width).zip(&tag.encodings) {
            window.values[encoding * self.width..][..self.width].copy_from_slice(row);
        }
        window.batches_left -= 1;
        self.report.real_tokens += batch.seqlens().map(|len| len as u64).sum::<u64>();
        self.report.computed_tokens += batch.tokens() as u64;
        self.report.texts += batch.texts() as u64;
        if let Some(progress) = &options.progress {
            progress(EncodeProgress { texts: self.report.texts, tokens: self.report.real_tokens });
        }
        self.emit(sink)
    }

    fn emit(&mut self, sink: &mut impl FnMut(Embeddings) -> Result<()>) -> Result<()> {
        while self.open.front().is_some_and(|window| window.batches_left == 0) {
            if let Some(window) = self.open.pop_front() {
                self.first_open += 1;
                self.report.truncated += window.truncated.iter().filter(|cut| **cut).count() as u64;
                if !window.tokens.is_empty() {
                    sink(self.finish(window))?;
                }
            }
        }
        Ok(())
    }

    /// Joins the windows of each text and cuts to the wanted columns.
    fn finish(&self, window: OpenWindow) -> Embeddings {
        let OpenWindow { encodings_per_text, lens, values, tokens, truncated, .. } = window;
        let plain =
            self.dim == self.width && !self.normalize_here && encodings_per_text.iter().all(|n| *n == 1);
        if plain {
            return Embeddings { values, dim: self.dim, tokens, truncated };
        }
        let mut joined = Vec::with_capacity(tokens.len() * self.dim);
        let mut encoding = 0;
        for count in encodings_per_text {
            let rows = encoding..encoding + count;
            let mut row = combine(self.combine, &values, &lens, rows, self.width);
            if !self.cut_last {
                row.truncate(self.dim);
            }
            if self.normalize_here {
                let norm = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-12);
                row.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
            }
            joined.extend_from_slice(&row[..self.dim]);
            encoding += count;
        }
        Embeddings { values: joined, dim: self.dim, tokens, truncated }
    }
}

fn combine(
    how: Combine,
    values: &[f32],
    lens: &[usize],
    rows: std::ops::Range<usize>,
    width: usize,
) -> Vec<f32> {
    let row = |at: usize| &values[at * width..(at + 1) * width];
    if rows.len() == 1 {
        return row(rows.start).to_vec();
    }
    match how {
        Combine::Max => {
            let mut best = row(rows.start).to_vec();
            for at in rows.skip(1) {
                best.iter_mut().zip(row(at)).for_each(|(best, value)| *best = best.max(*value));
            }
            best
        }
        Combine::Mean => {
            let total: f64 = rows.clone().map(|at| lens[at] as f64).sum();
            let mut sum = vec![0.0f64; width];
            for at in rows {
                let weight = lens[at] as f64 / total;
                sum.iter_mut().zip(row(at)).for_each(|(sum, value)| *sum += weight * f64::from(*value));
            }
            sum.into_iter().map(|x| x as f32).collect()
        }
    }
}
