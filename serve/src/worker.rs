//! One encoder and the thread that runs batches on it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use frostbert::{Encoder, Result, Text};

use crate::error::{ApiError, Kind};
use crate::job::{Job, Row};
use crate::metrics::Metrics;
use crate::queue::{Batch, Part, Queue};

/// Opens the encoder anew: for a device that was lost.
pub(crate) type Reopen = Box<dyn Fn() -> Result<Encoder> + Send>;

/// The encoder as it is now: another one after its device was lost.
pub(crate) type Current = Arc<RwLock<Arc<Encoder>>>;

pub(crate) fn current(encoder: &Current) -> Arc<Encoder> {
    encoder.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
}

/// A device is opened anew at most this often.
const REOPEN_EVERY: Duration = Duration::from_secs(10);

pub(crate) struct Worker {
    pub(crate) queue: Arc<Queue>,
    pub(crate) encoder: Current,
    pub(crate) reopen: Reopen,
    pub(crate) batch_tokens: usize,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) reopened: Option<Instant>,
    /// The device failed and could not be opened anew: nothing was computed since.
    pub(crate) lost: Arc<AtomicBool>,
}

impl Worker {
    /// Computes until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        while let Some(batch) = self.queue.take(self.batch_tokens) {
            self.compute(batch);
        }
    }

    fn compute(&mut self, batch: Batch) {
        let Some(first) = batch.parts.first() else { return };
        let job = first.work.job.clone();
        let texts = texts_of(&batch.parts);
        let started = Instant::now();
        match self.attempt(&job, texts, first.first) {
            Ok(rows) => give(&batch.parts, rows, started.elapsed()),
            Err(error) if batch.parts.len() == 1 => batch.parts[0].work.fail(error),
            // One request's text must not fail its neighbours.
            Err(_) => {
                for part in &batch.parts {
                    let started = Instant::now();
                    let alone = std::slice::from_ref(part);
                    match self.attempt(&job, texts_of(alone), part.first) {
                        Ok(rows) => give(alone, rows, started.elapsed()),
                        Err(error) => part.work.fail(error),
                    }
                }
            }
        }
    }

    /// Runs texts, which are a request's from `first` on; where the device fails, opens it anew and tries once more.
    fn attempt(&mut self, job: &Job, texts: Vec<Text>, first: usize) -> Result<Vec<Row>, ApiError> {
        // A request may be computed in parts, and knows its texts by their places in all of it.
        let of_request = |error: frostbert::Error| match error.row() {
            Some(row) => ApiError::of(&error.at_row(first + row)),
            None => ApiError::of(&error),
        };
        let again = texts.clone();
        match self.run_once(job, texts) {
            Ok(rows) => return Ok(rows),
            Err(Failure::Panic) => {
                return Err(ApiError::new(
                    Kind::Internal,
                    "computing the texts failed; this is a defect of the server",
                ));
            }
            Err(Failure::Error(error)) if !error.is_device() => return Err(of_request(error)),
            Err(Failure::Error(error)) => {
                tracing::error!("the device failed: {error:#}");
                self.metrics.device_failures.inc();
                self.lost.store(true, Ordering::Relaxed);
                if self.reopened.is_some_and(|at| at.elapsed() < REOPEN_EVERY) {
                    return Err(ApiError::of(&error));
                }
                self.reopened = Some(Instant::now());
                match (self.reopen)() {
                    Ok(encoder) => {
                        *self.encoder.write().unwrap_or_else(|poisoned| poisoned.into_inner()) =
                            Arc::new(encoder);
                        tracing::warn!("the device was opened anew");
                    }
                    Err(reopening) => {
                        tracing::error!("the device cannot be opened anew: {reopening:#}");
                        return Err(ApiError::of(&error));
                    }
                }
            }
        }
        self.run_once(job, again).map_err(|failure| match failure {
            Failure::Error(error) => of_request(error),
            Failure::Panic => {
                ApiError::new(Kind::Internal, "computing the texts failed; this is a defect of the server")
            }
        })
    }

    fn run_once(&self, job: &Job, texts: Vec<Text>) -> Result<Vec<Row>, Failure> {
        let encoder = current(&self.encoder);
        let expected = texts.len();
        let started = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| job.run(&encoder, texts)));
        let (rows, report) = match outcome {
            Ok(outcome) => outcome.map_err(Failure::Error)?,
            Err(_) => {
                self.metrics.panics.inc();
                return Err(Failure::Panic);
            }
        };
        if rows.len() != expected {
            let message = format!("{expected} texts gave {} rows", rows.len());
            return Err(Failure::Error(frostbert::Error::device(message)));
        }
        self.metrics.batch(expected, report.real_tokens, started.elapsed());
        self.lost.store(false, Ordering::Relaxed);
        Ok(rows)
    }
}

enum Failure {
    Error(frostbert::Error),
    Panic,
}

fn texts_of(parts: &[Part]) -> Vec<Text> {
    parts.iter().flat_map(|part| part.work.texts[part.first..part.end].iter().cloned()).collect()
}

fn give(parts: &[Part], rows: Vec<Row>, took: Duration) {
    let mut rows = rows.into_iter();
    for part in parts {
        part.work.put(part.first, rows.by_ref().take(part.end - part.first).collect(), took);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::PathBuf;

    use axum::body::Body;
    use axum::http::Request;
    use frostbert::Device;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::REOPEN_EVERY;
    use crate::config::{Config, ModelSpec};
    use crate::{App, app};

    async fn embed(router: &axum::Router) -> (u16, String) {
        let request = Request::post("/embed").header("content-type", "application/json");
        let request = request.body(Body::from(r#"{"inputs":["the fox runs","a river"]}"#)).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn health(router: &axum::Router) -> u16 {
        let request = Request::get("/health").body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap().status().as_u16()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_lost_device_is_opened_anew_and_its_requests_are_answered() {
        let golden =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/goldens/sentence-mean");
        let model = ModelSpec { name: "mean".into(), location: golden.display().to_string() };
        let config = Config { models: vec![model], device: Device::Software, ..Config::default() };
        let app: App = app::App::open(config).unwrap();
        let router = app.router();
        let before = embed(&router).await;
        assert_eq!(before.0, 200, "{}", before.1);
        let loaded = app.state.registry.models[0].get().unwrap();
        loaded.encoder().lose_device();
        assert_eq!(embed(&router).await, before);
        assert_eq!(app.state.metrics.device_failures.get(), 1);
        // One that is lost again at once is no use: requests fail and say so, and the server goes on.
        assert_eq!(health(&router).await, 200);
        loaded.encoder().lose_device();
        assert_eq!(embed(&router).await.0, 424);
        assert_eq!(app.state.metrics.device_failures.get(), 2);
        // Health asks the device then, and so finds out when it is back.
        assert_eq!(health(&router).await, 503);
        assert_eq!(app.state.metrics.device_failures.get(), 3);
        tokio::time::sleep(REOPEN_EVERY).await;
        assert_eq!(health(&router).await, 200);
        assert_eq!(embed(&router).await, before);
    }
}
