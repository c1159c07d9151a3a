//! Figures for Prometheus, under text-embeddings-inference's names where it has one.

use std::time::Duration;

use frostbert::{Error, Result};
use prometheus::{
    Encoder as _, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

use crate::error::Kind;

/// All of a server's figures.
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    successes: IntCounterVec,
    failures: IntCounterVec,
    duration: HistogramVec,
    queue_duration: Histogram,
    inference_duration: Histogram,
    input_length: Histogram,
    embed_count: IntCounter,
    embed_success: IntCounter,
    predict_count: IntCounter,
    predict_success: IntCounter,
    rerank_count: IntCounter,
    rerank_success: IntCounter,
    pub(crate) queue_size: IntGaugeVec,
    batch_size: Histogram,
    batch_tokens: Histogram,
    tokens: IntCounter,
    texts: IntCounter,
    device_seconds: Gauge,
    pub(crate) truncated: IntCounter,
    pub(crate) panics: IntCounter,
    pub(crate) device_failures: IntCounter,
    labels: IntCounterVec,
    confidence: HistogramVec,
}

/// text-embeddings-inference's buckets, in seconds.
fn durations() -> Vec<f64> {
    (0..40).map(|n| 1e-5 * 1.5f64.powi(n)).collect()
}

fn sizes() -> Vec<f64> {
    (0..18).map(|n| 2f64.powi(n)).collect()
}

impl Metrics {
    pub(crate) fn new() -> Result<Self> {
        Self::build().map_err(|error| Error::input("cannot set up the metrics").with_source(error))
    }

    fn build() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
            let made = IntCounter::new(name, help)?;
            registry.register(Box::new(made.clone()))?;
            Ok(made)
        };
        let counters = |name: &str, help: &str, label: &[&str]| -> prometheus::Result<IntCounterVec> {
            let made = IntCounterVec::new(Opts::new(name, help), label)?;
            registry.register(Box::new(made.clone()))?;
            Ok(made)
        };
        let histogram = |name: &str, help: &str, buckets: Vec<f64>| -> prometheus::Result<Histogram> {
            let made = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
            registry.register(Box::new(made.clone()))?;
            Ok(made)
        };
        let histograms =
            |name: &str, help: &str, buckets: Vec<f64>, label: &[&str]| -> prometheus::Result<HistogramVec> {
                let made = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), label)?;
                registry.register(Box::new(made.clone()))?;
                Ok(made)
            };
        let queue_size =
            IntGaugeVec::new(Opts::new("te_queue_size", "Texts that wait for an encoder"), &["model"])?;
        registry.register(Box::new(queue_size.clone()))?;
        let device_seconds = Gauge::new("frostbert_device_seconds_total", "Time that batches took")?;
        registry.register(Box::new(device_seconds.clone()))?;
        let shares = (1..=20).map(|n| f64::from(n) / 20.0).collect();
        Ok(Metrics {
            requests: counters("te_request_count", "Requests", &["method"])?,
            successes: counters("te_request_success", "Requests answered", &["method"])?,
            failures: counters("te_request_failure", "Requests refused or failed", &["err"])?,
            duration: histograms("te_request_duration", "Seconds a request took", durations(), &["route"])?,
            queue_duration: histogram("te_request_queue_duration", "Seconds a request waited", durations())?,
            inference_duration: histogram(
                "te_request_inference_duration",
                "Seconds of the batches that a request was in",
                durations(),
            )?,
            input_length: histogram(
                "te_request_input_length",
                "Tokens of a text before truncation",
                sizes(),
            )?,
            embed_count: counter("te_embed_count", "Texts to embed")?,
            embed_success: counter("te_embed_success", "Texts embedded")?,
            predict_count: counter("te_predict_count", "Texts to classify")?,
            predict_success: counter("te_predict_success", "Texts classified")?,
            rerank_count: counter("te_rerank_count", "Documents to rank")?,
            rerank_success: counter("te_rerank_success", "Documents ranked")?,
            batch_size: histogram("te_batch_next_size", "Texts of a batch", sizes())?,
            batch_tokens: histogram(
                "te_batch_next_tokens",
                "Tokens of a batch, none of them padding",
                sizes(),
            )?,
            tokens: counter("frostbert_tokens_total", "Tokens computed")?,
            texts: counter("frostbert_texts_total", "Texts computed")?,
            truncated: counter("frostbert_truncated_total", "Texts that were cut")?,
            panics: counter("frostbert_panics_total", "Panics caught: defects of the server")?,
            device_failures: counter("frostbert_device_failures_total", "Failures of the device")?,
            labels: counters("frostbert_labels_total", "Answers of a head by label", &["head", "label"])?,
            confidence: histograms(
                "frostbert_confidence",
                "Highest probability of an answer",
                shares,
                &["head"],
            )?,
            queue_size,
            device_seconds,
            registry,
        })
    }

    /// A request came.
    pub(crate) fn request(&self, texts: usize) {
        self.requests.with_label_values(&[method(texts)]).inc();
    }

    pub(crate) fn success(&self, texts: usize, route: &str, took: Duration) {
        self.successes.with_label_values(&[method(texts)]).inc();
        self.duration.with_label_values(&[route]).observe(took.as_secs_f64());
    }

    pub(crate) fn failure(&self, kind: Kind) {
        self.failures.with_label_values(&[&kind.tei().to_lowercase()]).inc();
    }

    /// A client left before it was answered.
    pub(crate) fn abandoned(&self) {
        self.failures.with_label_values(&["abandoned"]).inc();
    }

    pub(crate) fn computed(&self, waited: Duration, computed: Duration) {
        self.queue_duration.observe(waited.as_secs_f64());
        self.inference_duration.observe(computed.as_secs_f64());
    }

    pub(crate) fn asked(&self, what: What, texts: usize) {
        self.of(what).0.inc_by(texts as u64);
    }

    pub(crate) fn answered(&self, what: What, tokens: impl Iterator<Item = usize>) {
        let mut texts = 0;
        for tokens in tokens {
            texts += 1;
            self.input_length.observe(tokens as f64);
        }
        self.of(what).1.inc_by(texts);
    }

    fn of(&self, what: What) -> (&IntCounter, &IntCounter) {
        match what {
            What::Embed => (&self.embed_count, &self.embed_success),
            What::Predict => (&self.predict_count, &self.predict_success),
            What::Rerank => (&self.rerank_count, &self.rerank_success),
        }
    }

    pub(crate) fn batch(&self, texts: usize, tokens: u64, took: Duration) {
        self.batch_size.observe(texts as f64);
        self.batch_tokens.observe(tokens as f64);
        self.tokens.inc_by(tokens);
        self.texts.inc_by(texts as u64);
        self.device_seconds.add(took.as_secs_f64());
    }

    pub(crate) fn label(&self, head: &str, label: &str, confidence: f64) {
        self.labels.with_label_values(&[head, label]).inc();
        self.confidence.with_label_values(&[head]).observe(confidence);
    }

    /// For the page: requests, texts and tokens so far, seconds that batches took.
    pub(crate) fn totals(&self) -> [f64; 4] {
        let requests = ["single", "batch"].map(|method| self.requests.with_label_values(&[method]).get());
        let counts =
            [requests[0] + requests[1], self.texts.get(), self.tokens.get()].map(|count| count as f64);
        [counts[0], counts[1], counts[2], self.device_seconds.get()]
    }

    /// As Prometheus reads them.
    pub(crate) fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!("cannot write the metrics: {error}");
        }
        text
    }
}

/// What texts are for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Embed,
    Predict,
    Rerank,
}

fn method(texts: usize) -> &'static str {
    if texts <= 1 { "single" } else { "batch" }
}
