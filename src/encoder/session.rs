//! The one loop over batches: windows of tokenised texts are packed by a budget of tokens, several batches are in flight, and
//! what comes back is handed on window by window, in input order. Pooled rows, token outputs and profiles all go through it.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use super::options::{EmbedOptions, EncodeProgress};
use super::stages::tokenize::{Prefetch, Source, TokenizedWindow};
use super::{Encoder, PlannedPass};
use crate::engine::scheduler::{Batched, Finished, Scheduler};
use crate::error::{Error, Result};
use crate::plan::{Outputs, Plan, Request};
use crate::text::{Encoding, PackedBatch, pack};

/// What a pass did, for reports and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct EncodeReport {
    /// Texts whose row, or other output, was handed on.
    pub texts: u64,
    /// Of these, texts whose row was in the cache.
    pub from_cache: u64,
    /// Tokens of the texts that were computed.
    pub real_tokens: u64,
    /// Token rows that the kernels were dispatched over: those of the batches, which hold no padding, and those that fill up
    /// the last tile of a batch on a GPU.
    pub computed_tokens: u64,
    /// Texts that were cut.
    pub truncated: u64,
    /// Batches submitted.
    pub batches: u64,
}

/// Tokenised windows, in input order.
pub(crate) enum Windows<'a> {
    /// Of texts, tokenised ahead.
    Texts(Prefetch),
    /// Of encodings that are there already.
    Ready(Box<dyn Iterator<Item = TokenizedWindow> + 'a>),
}

impl Windows<'_> {
    async fn next(&mut self) -> Result<Option<TokenizedWindow>> {
        match self {
            Windows::Texts(ahead) => ahead.next().await,
            Windows::Ready(windows) => Ok(windows.next()),
        }
    }
}

/// The token positions of an encoding that a masked-language-model head computes on.
pub(crate) type Select<'a> = &'a dyn Fn(&Encoding) -> Vec<usize>;

/// For passes without such a head.
pub(crate) fn select_none(_: &Encoding) -> Vec<usize> {
    Vec::new()
}

/// A batch that has come back.
pub(crate) struct Arrived<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) batch: &'a PackedBatch,
    /// Which encoding of its window each text of the batch is.
    pub(crate) encodings: &'a [usize],
    pub(crate) outputs: &'a Outputs,
}

/// What is made of the batches: rows arrive in any order within a window and leave in input order.
pub(crate) trait Collect {
    /// What has come of a window so far.
    type Rows;

    /// A window is about to be computed.
    fn open(&self, window: &TokenizedWindow) -> Self::Rows;

    /// Puts what a batch gave in its places.
    ///
    /// # Errors
    /// The batch gave other rows than were asked for.
    fn place(&self, arrived: &Arrived<'_>, rows: &mut Self::Rows) -> Result<()>;

    /// All of a window is there: hands it on.
    ///
    /// # Errors
    /// Whoever takes it fails.
    fn close(&mut self, window: TokenizedWindow, rows: Self::Rows) -> Result<()>;
}

/// Packs encodings end to end: the one place where a batch is filled.
pub(crate) fn fill<'a>(
    encodings: impl IntoIterator<Item = &'a Encoding>,
    position_offset: usize,
    select: Select<'_>,
) -> PackedBatch {
    let mut batch = PackedBatch::new();
    for encoding in encodings {
        let start = batch.tokens();
        batch.selected.extend(select(encoding).into_iter().map(|at| (start + at) as u32));
        batch.push(&encoding.ids, &encoding.type_ids, position_offset);
        batch.pool_last_from(encoding.pool_from);
    }
    batch
}

impl Encoder {
    /// Runs windows through one pass. Weights go to the device when the first batch needs them: a run whose rows are all
    /// stored computes nothing.
    pub(crate) async fn run<C: Collect>(
        &self,
        mut windows: Windows<'_>,
        request: &Request,
        select: Select<'_>,
        options: &EmbedOptions,
        collect: &mut C,
    ) -> Result<EncodeReport> {
        let pass: OnceLock<Arc<PlannedPass>> = OnceLock::new();
        let mut scheduler: Option<Scheduler<'_, Tag>> = None;
        let mut run = Run {
            collect,
            options,
            open: VecDeque::new(),
            first_open: 0,
            report: EncodeReport::default(),
            done: EncodeProgress::default(),
        };
        let offset = self.config().position_offset;
        let mut first_row = 0;
        loop {
            options.check_cancel()?;
            let Some(window) = windows.next().await? else { break };
            let lens: Vec<usize> = window.encodings.iter().map(Encoding::len).collect();
            let batches = pack(&lens, self.batch_tokens, None);
            if pass.get().is_none() && !batches.is_empty() {
                let built = self.pass(request).await?;
                pass.get_or_init(|| built);
            }
            let texts = window.texts.len();
            let number = run.open(window, batches.len());
            if let Some(pass) = pass.get() {
                let scheduler = scheduler.get_or_insert_with(|| Scheduler::new(&self.engine, &pass.prepared));
                for encodings in batches {
                    options.check_cancel()?;
                    let window = &run.window(number)?.window;
                    let batch = fill(encodings.iter().map(|at| &window.encodings[*at]), offset, select);
                    let row = |at: &usize| first_row + window.computed[window.encodings[*at].row].text;
                    let rows = encodings.iter().map(row).collect();
                    let tag = Tag { window: number, encodings, rows };
                    if let Some(finished) = scheduler.submit(batch, tag).await? {
                        run.place(&pass.plan, finished)?;
                    }
                }
            }
            first_row += texts;
            // A window of which nothing was computed is complete as it is.
            run.close_complete()?;
        }
        if let (Some(pass), Some(scheduler)) = (pass.get(), &mut scheduler) {
            while let Some(finished) = scheduler.finish_oldest().await? {
                run.place(&pass.plan, finished)?;
            }
        }
        run.close_complete()?;
        if !run.open.is_empty() {
            return Err(lost_rows("batches are missing at the end"));
        }
        Ok(run.report)
    }
}

/// Which encodings of which window a batch holds.
struct Tag {
    window: usize,
    encodings: Vec<usize>,
    /// The text of each, as the caller counts them.
    rows: Vec<usize>,
}

impl Batched for Tag {
    fn row(&self, text: usize) -> usize {
        self.rows.get(text).copied().unwrap_or(text)
    }
}

/// A window that is being computed.
struct OpenWindow<R> {
    window: TokenizedWindow,
    rows: R,
    batches_left: usize,
    /// Encodings outstanding and texts waiting for them, of each computed text.
    waiting: Vec<(usize, u64)>,
}

/// The moving parts of a run.
struct Run<'a, C: Collect> {
    collect: &'a mut C,
    options: &'a EmbedOptions,
    /// Windows with batches outstanding, oldest first; the front is number `first_open`.
    open: VecDeque<OpenWindow<C::Rows>>,
    first_open: usize,
    report: EncodeReport,
    done: EncodeProgress,
}

impl<C: Collect> Run<'_, C> {
    /// Registers a window and returns its number.
    fn open(&mut self, window: TokenizedWindow, batches: usize) -> usize {
        let mut waiting: Vec<(usize, u64)> =
            window.computed.iter().map(|computed| (computed.encodings.len(), 0)).collect();
        let mut stored = 0;
        for source in &window.sources {
            match source {
                Source::Computed(at) => waiting[*at].1 += 1,
                Source::Stored(_) => stored += 1,
            }
        }
        let rows = self.collect.open(&window);
        self.open.push_back(OpenWindow { window, rows, batches_left: batches, waiting });
        self.report.from_cache += stored;
        if stored > 0 {
            self.progress(stored, 0);
        }
        self.first_open + self.open.len() - 1
    }

    fn window(&mut self, number: usize) -> Result<&mut OpenWindow<C::Rows>> {
        let at = number.checked_sub(self.first_open);
        at.and_then(|at| self.open.get_mut(at)).ok_or_else(|| lost_rows("a batch came twice"))
    }

    /// Puts a finished batch's rows where they belong, and hands on what is complete.
    fn place(&mut self, plan: &Plan, finished: Finished<Tag>) -> Result<()> {
        let Finished { batch, tag, outputs, dispatched_rows } = finished;
        let at = tag.window - self.first_open;
        let window = &mut self.open[at];
        let arrived = Arrived { plan, batch: &batch, encodings: &tag.encodings, outputs: &outputs };
        self.collect.place(&arrived, &mut window.rows)?;
        window.batches_left -= 1;
        let (mut texts, mut tokens) = (0, 0);
        for &encoding in &tag.encodings {
            let encoding = &window.window.encodings[encoding];
            tokens += encoding.len() as u64;
            let (left, waiting) = &mut window.waiting[encoding.row];
            *left -= 1;
            texts += if *left == 0 { *waiting } else { 0 };
        }
        self.report.batches += 1;
        self.report.real_tokens += tokens;
        self.report.computed_tokens += dispatched_rows as u64;
        self.progress(texts, tokens);
        self.close_complete()
    }

    fn progress(&mut self, texts: u64, tokens: u64) {
        self.done.texts += texts;
        self.done.tokens += tokens;
        if let Some(progress) = &self.options.progress {
            progress(self.done);
        }
    }

    fn close_complete(&mut self) -> Result<()> {
        while self.open.front().is_some_and(|window| window.batches_left == 0) {
            if let Some(OpenWindow { window, rows, waiting, .. }) = self.open.pop_front() {
                self.first_open += 1;
                if waiting.iter().any(|(left, _)| *left > 0) {
                    return Err(lost_rows("a text has fewer rows than windows"));
                }
                self.report.texts += window.texts.len() as u64;
                self.report.truncated += window.count_truncated();
                self.collect.close(window, rows)?;
            }
        }
        Ok(())
    }
}

/// Only a defect of ours gets here; it must not become rows that belong to other texts.
pub(crate) fn lost_rows(what: &str) -> Error {
    Error::device(format!(
        "rows and texts do not agree: {what}; nothing that was computed since can be trusted"
    ))
}
