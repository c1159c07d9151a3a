//! What waits for an encoder: texts of many requests, taken in turn from each client and merged into batches.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use frostbert::Text;
use tokio::sync::oneshot;

use crate::error::{ApiError, ApiResult, Kind};
use crate::job::{Job, Row};

/// A request's texts on their way through an encoder.
pub(crate) struct Work {
    pub(crate) job: Job,
    /// Requests of one key may share a batch.
    key: String,
    pub(crate) texts: Vec<Text>,
    client: String,
    queued: Instant,
    deadline: Instant,
    gone: AtomicBool,
    progress: Mutex<Progress>,
}

struct Progress {
    rows: Vec<Option<Row>>,
    left: usize,
    waited: Option<Duration>,
    computed: Duration,
    reply: Option<oneshot::Sender<ApiResult<Done>>>,
}

/// A request that came back.
pub(crate) struct Done {
    /// In the order of its texts.
    pub(crate) rows: Vec<Row>,
    /// Time before its first text was computed.
    pub(crate) waited: Duration,
    /// Time that batches with texts of it took.
    pub(crate) computed: Duration,
}

impl Work {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Nobody waits for it any more.
    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Puts rows in their places, from text `first` on.
    pub(crate) fn put(&self, first: usize, rows: Vec<Row>, took: Duration) {
        let mut progress = self.progress();
        progress.computed += took;
        for (at, row) in (first..).zip(rows) {
            if progress.rows[at].replace(row).is_none() {
                progress.left -= 1;
            }
        }
        if progress.left == 0 {
            let rows = std::mem::take(&mut progress.rows).into_iter().flatten().collect();
            let done =
                Done { rows, waited: progress.waited.unwrap_or_default(), computed: progress.computed };
            if let Some(reply) = progress.reply.take() {
                // Whoever asked may have gone meanwhile.
                let _ = reply.send(Ok(done));
            }
        }
    }

    pub(crate) fn fail(&self, error: ApiError) {
        self.gone.store(true, Ordering::Relaxed);
        if let Some(reply) = self.progress().reply.take() {
            let _ = reply.send(Err(error));
        }
    }
}

/// Texts to compute together.
pub(crate) struct Batch {
    pub(crate) parts: Vec<Part>,
}

/// Consecutive texts of one request.
pub(crate) struct Part {
    pub(crate) work: Arc<Work>,
    pub(crate) first: usize,
    pub(crate) end: usize,
}

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) texts: usize,
    pub(crate) wait: Duration,
}

pub(crate) struct Queue {
    limits: Limits,
    /// Bytes of a text count as this many at most: what is longer is cut.
    longest: usize,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// Whose turn it is stands first.
    clients: VecDeque<Client>,
    texts: usize,
    closed: bool,
    /// Batches made so far.
    batches: u64,
}

struct Client {
    name: String,
    /// The last batch with a text of it, or the last one before it came.
    served: u64,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    work: Arc<Work>,
    next: usize,
}

/// Bytes of a token, about. It decides how batches are filled, nothing else.
const BYTES_A_TOKEN: usize = 4;

impl Queue {
    pub(crate) fn new(limits: Limits, max_tokens: usize) -> Self {
        // A longer wait is none that anybody sees the end of, and times do not reach as far.
        let limits = Limits { wait: limits.wait.min(Duration::from_secs(365 * 24 * 3600)), ..limits };
        Queue { limits, longest: max_tokens, state: Mutex::default(), wake: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Texts that wait.
    pub(crate) fn len(&self) -> usize {
        self.state().texts
    }

    /// Lets no more in; what waits is still computed.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.wake.notify_all();
    }

    /// Puts a request in, and waits for its answer. When the future is dropped the request leaves the queue.
    pub(crate) async fn submit(
        self: &Arc<Self>,
        client: &str,
        job: Job,
        texts: Vec<Text>,
    ) -> ApiResult<Done> {
        if texts.is_empty() {
            return Ok(Done { rows: Vec::new(), waited: Duration::ZERO, computed: Duration::ZERO });
        }
        let (reply, answer) = oneshot::channel();
        let now = Instant::now();
        let work = Arc::new(Work {
            key: job.key(),
            job,
            client: client.to_owned(),
            queued: now,
            deadline: now + self.limits.wait,
            gone: AtomicBool::new(false),
            progress: Mutex::new(Progress {
                rows: texts.iter().map(|_| None).collect(),
                left: texts.len(),
                waited: None,
                computed: Duration::ZERO,
                reply: Some(reply),
            }),
            texts,
        });
        self.push(work.clone())?;
        let _ticket = Ticket { queue: self, work };
        answer.await.unwrap_or_else(|_| {
            Err(ApiError::new(Kind::Internal, "the request was lost within the server; send it again"))
        })
    }

    fn push(&self, work: Arc<Work>) -> ApiResult<()> {
        let mut state = self.state();
        if state.closed {
            return Err(ApiError::new(
                Kind::Unhealthy,
                "the model is being unloaded; send the request again",
            ));
        }
        // A request that is larger than the queue is taken when it is the only one: it would never find room else.
        if state.texts > 0 && state.texts + work.texts.len() > self.limits.texts {
            return Err(ApiError::new(
                Kind::Overloaded,
                format!(
                    "{} texts wait already and {} are allowed; try again later",
                    state.texts, self.limits.texts
                ),
            ));
        }
        state.texts += work.texts.len();
        let waiting = Waiting { work: work.clone(), next: 0 };
        match state.clients.iter_mut().find(|client| client.name == work.client) {
            Some(client) => client.waiting.push_back(waiting),
            None => {
                let (name, served) = (work.client.clone(), state.batches);
                state.clients.push_back(Client { name, served, waiting: VecDeque::from([waiting]) });
            }
        }
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    fn cost(&self, text: &Text) -> usize {
        let bytes = text.first.len() + text.second.as_ref().map_or(0, String::len);
        (bytes / BYTES_A_TOKEN + 2).min(self.longest.max(1))
    }

    /// The next texts, of at most about so many tokens; waits for some. None when the queue is closed and empty.
    pub(crate) fn take(&self, tokens: usize) -> Option<Batch> {
        let mut state = self.state();
        loop {
            state.drop_gone();
            if let Some(batch) = self.fill(&mut state, tokens) {
                return Some(batch);
            }
            if state.closed {
                return None;
            }
            state = self.wake.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    /// One text from each client in turn, all of one key, until the budget is spent. The key is that of the client whose last batch is
    /// longest ago: who asks for something else than the others comes to his turn, too.
    fn fill(&self, state: &mut State, tokens: usize) -> Option<Batch> {
        let key = state.clients.iter().min_by_key(|client| client.served)?.waiting.front()?.work.key.clone();
        state.batches += 1;
        let mut parts: Vec<Part> = Vec::new();
        let mut left = tokens;
        // Clients in a row that had nothing to give.
        let mut idle = 0;
        while idle < state.clients.len() {
            let Some(mut client) = state.clients.pop_front() else { break };
            let at = client.waiting.iter().position(|waiting| waiting.work.key == key);
            let Some(at) = at else {
                state.clients.push_back(client);
                idle += 1;
                continue;
            };
            let waiting = &mut client.waiting[at];
            let cost = self.cost(&waiting.work.texts[waiting.next]);
            if cost > left && !parts.is_empty() {
                // Its turn stays with it.
                state.clients.push_front(client);
                break;
            }
            idle = 0;
            client.served = state.batches;
            left = left.saturating_sub(cost);
            let (work, next) = (waiting.work.clone(), waiting.next);
            work.progress().waited.get_or_insert_with(|| work.queued.elapsed());
            waiting.next += 1;
            state.texts -= 1;
            if waiting.next == work.texts.len() {
                client.waiting.remove(at);
            }
            match parts.iter_mut().find(|part| Arc::ptr_eq(&part.work, &work)) {
                Some(part) => part.end = next + 1,
                None => parts.push(Part { work, first: next, end: next + 1 }),
            }
            if !client.waiting.is_empty() {
                state.clients.push_back(client);
            }
            if left == 0 {
                break;
            }
        }
        (!parts.is_empty()).then_some(Batch { parts })
    }
}

impl State {
    /// Removes requests that nobody waits for, and those that have waited too long.
    fn drop_gone(&mut self) {
        let now = Instant::now();
        let mut texts = 0;
        for client in &mut self.clients {
            client.waiting.retain(|waiting| {
                // A request of which a part is computed is not given up.
                let late = waiting.next == 0 && now > waiting.work.deadline;
                if late {
                    waiting.work.fail(ApiError::new(
                        Kind::Overloaded,
                        "the request waited too long for its turn; try again later",
                    ));
                }
                let stays = !late && !waiting.work.is_gone();
                texts += if stays { waiting.work.texts.len() - waiting.next } else { 0 };
                stays
            });
        }
        self.clients.retain(|client| !client.waiting.is_empty());
        self.texts = texts;
    }
}

/// Takes its request out of the queue when nobody waits for the answer any more.
struct Ticket<'a> {
    queue: &'a Queue,
    work: Arc<Work>,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if self.work.progress().reply.take().is_some() {
            self.work.gone.store(true, Ordering::Relaxed);
            self.queue.state().drop_gone();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use frostbert::EmbedOptions;

    fn queue(texts: usize) -> Arc<Queue> {
        Arc::new(Queue::new(Limits { texts, wait: Duration::from_secs(60) }, 512))
    }

    fn put(
        queue: &Arc<Queue>,
        client: &str,
        texts: usize,
    ) -> std::pin::Pin<Box<impl Future<Output = ApiResult<Done>>>> {
        put_as(queue, client, texts, EmbedOptions::default())
    }

    fn other() -> EmbedOptions {
        EmbedOptions { normalize: Some(false), ..EmbedOptions::default() }
    }

    fn put_as(
        queue: &Arc<Queue>,
        client: &str,
        texts: usize,
        options: EmbedOptions,
    ) -> std::pin::Pin<Box<impl Future<Output = ApiResult<Done>> + use<>>> {
        let texts = vec![Text::from("eight by"); texts];
        let (queue, client) = (queue.clone(), client.to_owned());
        let mut future = Box::pin(async move { queue.submit(&client, Job::Embed(options), texts).await });
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let polled = future.as_mut().poll(&mut context);
        assert!(!matches!(polled, std::task::Poll::Ready(Ok(_))));
        future
    }

    fn sizes(batch: &Batch) -> Vec<(&str, usize)> {
        batch.parts.iter().map(|part| (part.work.client.as_str(), part.end - part.first)).collect()
    }

    #[test]
    fn clients_take_turns() {
        let queue = queue(100_000);
        let _many = put(&queue, "a", 10_000);
        let _one = put(&queue, "b", 1);
        let batch = queue.take(40).unwrap();
        assert_eq!(sizes(&batch), [("a", 9), ("b", 1)]);
        let _later = put(&queue, "c", 3);
        assert_eq!(sizes(&queue.take(16).unwrap()), [("a", 2), ("c", 2)]);
        assert_eq!(queue.len(), 10_000 + 1 + 3 - 10 - 4);
    }

    /// Texts of other options share no batch, and wait no longer for that.
    #[test]
    fn who_asks_for_something_else_comes_to_his_turn() {
        let queue = queue(100_000);
        let _many = put(&queue, "a", 1_000);
        assert_eq!(sizes(&queue.take(43).unwrap()), [("a", 10)], "does not divide by the cost of a text");
        let _other = put_as(&queue, "b", 1_000, other());
        let _third = put(&queue, "c", 1);
        let turns: Vec<Vec<(String, usize)>> = (0..4)
            .map(|_| {
                let batch = queue.take(43).unwrap();
                sizes(&batch).into_iter().map(|(name, texts)| (name.to_owned(), texts)).collect()
            })
            .collect();
        let of = |name: &str| -> Vec<usize> {
            turns
                .iter()
                .map(|turn| turn.iter().filter(|(client, _)| client == name).map(|(_, texts)| texts).sum())
                .collect()
        };
        assert_eq!(of("c").iter().sum::<usize>(), 1, "{turns:?}");
        assert_eq!(of("b").iter().filter(|texts| **texts > 0).count(), 2, "{turns:?}");
        assert!(of("b")[..2].iter().any(|texts| *texts > 0), "{turns:?}");
        assert_eq!(of("a").iter().filter(|texts| **texts > 0).count(), 2, "{turns:?}");
    }

    #[test]
    fn who_has_gone_leaves_and_what_is_too_much_is_refused() {
        let queue = queue(10);
        let large = put(&queue, "a", 25);
        assert_eq!(queue.len(), 25);
        drop(put(&queue, "b", 1));
        assert_eq!(queue.len(), 25, "refused");
        drop(large);
        assert_eq!(queue.len(), 0);
        let _small = put(&queue, "b", 1);
        assert_eq!(sizes(&queue.take(100).unwrap()), [("b", 1)]);
        queue.close();
        assert!(queue.take(100).is_none());
    }

    #[test]
    fn who_waits_too_long_is_told() {
        let queue = Arc::new(Queue::new(Limits { texts: 10, wait: Duration::ZERO }, 512));
        let mut late = put(&queue, "a", 1);
        std::thread::sleep(Duration::from_millis(2));
        queue.close();
        assert!(queue.take(100).is_none());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match late.as_mut().poll(&mut context) {
            std::task::Poll::Ready(Err(error)) => assert_eq!(error.kind, Kind::Overloaded),
            _ => panic!("no answer"),
        }
    }
}
