//! One stream through an encoder, shared by everything in the process that embeds in the same way: the record batches of all
//! partitions and tasks are packed together, and the encoder does not stop between two of them.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use frostbert::{EmbedOptions, Embeddings, Encoder, Error, Result, Text};

/// Nanoseconds that the encoders of this process have been at work.
static BUSY: AtomicU64 = AtomicU64::new(0);

/// How long the encoders of this process have been at work.
pub fn busy() -> Duration {
    Duration::from_nanos(BUSY.load(Ordering::Relaxed))
}

/// Bytes of a text that an error quotes.
const QUOTED: usize = 120;

/// Where record batches are handed in.
pub struct Lane {
    calls: Mutex<Sender<Call>>,
}

/// The texts of one record batch.
struct Call {
    texts: Arc<[Text]>,
    answer: Sender<Result<Embeddings>>,
}

/// A call whose texts have gone into the stream, at least in part.
struct Open {
    call: Call,
    rows: Embeddings,
}

/// The calls of a pass that wait for rows, in the order of their texts.
#[derive(Default)]
struct Opened {
    calls: VecDeque<Open>,
    /// The pass has ended: what comes now is the next one's.
    closed: bool,
}

impl Lane {
    /// Starts the thread that runs the encoder. It ends with the lane.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(name: &str, encoder: Arc<Encoder>, options: EmbedOptions) -> Result<Self> {
        let (calls, waiting) = channel();
        std::thread::Builder::new()
            .name(format!("encoder {name}"))
            .spawn(move || run(&encoder, &options, &Arc::new(Mutex::new(waiting))))
            .map_err(|error| Error::io("cannot start a thread for the encoder").with_source(error))?;
        Ok(Lane { calls: Mutex::new(calls) })
    }

    /// Embeds texts, in the order given; waits until they are done.
    ///
    /// # Errors
    /// As [`Encoder::embed`]; the text at fault is quoted.
    pub fn embed(&self, texts: Vec<Text>) -> Result<Embeddings> {
        let (answer, done) = channel();
        let gone =
            || Error::device("the thread of the encoder has ended; this is a defect, and the log says more");
        let call = Call { texts: texts.into(), answer };
        lock(&self.calls).send(call).map_err(|_| gone())?;
        done.recv().map_err(|_| gone())?
    }
}

fn run(encoder: &Encoder, options: &EmbedOptions, calls: &Arc<Mutex<Receiver<Call>>>) {
    loop {
        let first = lock(calls).recv();
        let Ok(first) = first else { return };
        // A panic is one pass's: its callers are told, and the next ones are served.
        let started = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| pass(encoder, options, first, Some(calls.clone()))));
        BUSY.fetch_add(u64::try_from(started.elapsed().as_nanos()).unwrap_or(0), Ordering::Relaxed);
        if outcome.is_err() {
            log::error!("computing a batch of texts panicked; this is a defect");
        }
    }
}

/// Runs the encoder for as long as there are texts.
fn pass(encoder: &Encoder, options: &EmbedOptions, first: Call, more: Option<Arc<Mutex<Receiver<Call>>>>) {
    let open = Arc::new(Mutex::new(Opened::default()));
    let dim = match encoder.dim(options) {
        Ok(dim) => dim,
        Err(error) => return answer(first, Err(error)),
    };
    let feed = Feed { next: Some(first), more, current: None, open: open.clone() };
    // Rows of calls that have been answered.
    let mut answered = 0;
    let outcome = encoder.embed_stream(feed, options, |rows| {
        let mut from = 0;
        while from < rows.len() {
            let mut open = lock(&open);
            let Some(front) = open.calls.front_mut() else {
                return Err(Error::device(
                    "the encoder gave more rows than it was given texts; this is a defect",
                ));
            };
            let take = (front.call.texts.len() - front.rows.len()).min(rows.len() - from);
            let taken = from..from + take;
            front.rows.dim = dim;
            front.rows.values.extend_from_slice(&rows.values[taken.start * dim..taken.end * dim]);
            front.rows.tokens.extend_from_slice(&rows.tokens[taken.clone()]);
            front.rows.truncated.extend_from_slice(&rows.truncated[taken]);
            from += take;
            if front.rows.len() == front.call.texts.len()
                && let Some(done) = open.calls.pop_front()
            {
                answered += done.rows.len();
                answer(done.call, Ok(done.rows));
            }
        }
        Ok(())
    });
    let mut left = {
        let mut open = lock(&open);
        open.closed = true;
        std::mem::take(&mut open.calls)
    };
    match outcome {
        Ok(_) => {
            for open in left {
                answer(
                    open.call,
                    Err(Error::device(
                        "the encoder gave fewer rows than it was given texts; this is a defect",
                    )),
                );
            }
        }
        Err(error) if left.len() == 1 => {
            if let Some(open) = left.pop_front() {
                let text = error.row().and_then(|row| open.call.texts.get(row.checked_sub(answered)?));
                let error = quoted(error, text);
                answer(open.call, Err(error));
            }
        }
        // One query's text must not fail another's.
        Err(_) => left.into_iter().for_each(|open| pass(encoder, options, open.call, None)),
    }
}

/// Who asked may be gone: a query that has ended otherwise.
fn answer(call: Call, rows: Result<Embeddings>) {
    let _ = call.answer.send(rows);
}

/// The error with the words of its row: a row's number says little where rows are spread over machines.
pub fn quoted(error: Error, text: Option<&Text>) -> Error {
    let Some(text) = text else { return error };
    let mut words = text.first.clone();
    if let Some(second) = &text.second {
        words = format!("{words} / {second}");
    }
    if words.len() > QUOTED {
        let cut = (0..=QUOTED).rev().find(|at| words.is_char_boundary(*at)).unwrap_or(0);
        words.truncate(cut);
        words.push('…');
    }
    let said = format!("{error:#}");
    let said =
        error.row().map_or(said.as_str(), |row| said.strip_prefix(&format!("row {row}: ")).unwrap_or(&said));
    let said = format!("the text {words:?}: {said}");
    if error.is_input() { Error::input(said) } else { Error::device(said) }
}

/// Texts of the first call and of all that come while there is something to compute.
struct Feed {
    next: Option<Call>,
    more: Option<Arc<Mutex<Receiver<Call>>>>,
    current: Option<(Arc<[Text]>, usize)>,
    open: Arc<Mutex<Opened>>,
}

impl Iterator for Feed {
    type Item = Result<Text>;

    fn next(&mut self) -> Option<Result<Text>> {
        loop {
            if let Some((texts, at)) = &mut self.current {
                if let Some(text) = texts.get(*at) {
                    *at += 1;
                    return Some(Ok(text.clone()));
                }
                self.current = None;
            }
            let mut open = lock(&self.open);
            if open.closed {
                return None;
            }
            let call = match self.next.take() {
                Some(call) => call,
                None => lock(self.more.as_ref()?).try_recv().ok()?,
            };
            if call.texts.is_empty() {
                answer(call, Ok(Embeddings::default()));
                continue;
            }
            self.current = Some((call.texts.clone(), 0));
            open.calls.push_back(Open { call, rows: Embeddings::default() });
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
