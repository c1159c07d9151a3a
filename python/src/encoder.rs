//! The encoder: texts in, arrays out.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use frostbert::cache::{BestEffort, Cache};
use frostbert::quantize::{Ranges, ubinary};
use frostbert::text::Truncate;
use frostbert::workflow::verify as golden;
use frostbert::{Aggregation, Classifier, EmbedOptions, Encoder, Error, Result, Text, TokenRequest};
use numpy::ndarray::{Array1, Array2, Array3};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray2};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use serde_json::json;

use crate::error::json;
use crate::head::NativeHead;
use crate::options::{embed_options, watched};
use crate::process::{Watch, work};
use crate::texts::texts;

/// An encoder of the process that opened it.
#[pyclass(frozen, module = "frostbert._native")]
pub(crate) struct NativeEncoder {
    encoder: Arc<Encoder>,
    process: u32,
    device: String,
    dtype: String,
}

impl Drop for NativeEncoder {
    fn drop(&mut self) {
        // Neither threads nor a GPU's handles came along into a forked process: nothing there may be ended.
        if std::process::id() != self.process {
            std::mem::forget(self.encoder.clone());
        }
    }
}

/// Rows, tokens of each text, whether each was cut, and what embedding took.
type Embedded<'py> =
    (Bound<'py, PyArray2<f32>>, Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<bool>>, String);

/// How an encoder is opened.
fn open(
    model: &str,
    device: &str,
    dtype: &str,
    batch_tokens: Option<usize>,
    threads: Option<usize>,
    offline: bool,
    tune: bool,
) -> Result<Encoder> {
    let mut builder =
        Encoder::load(model).device(device.parse()?).dtype(dtype.parse()?).offline(offline).tune(tune);
    if let Some(tokens) = batch_tokens {
        builder = builder.batch_tokens(tokens);
    }
    if let Some(threads) = threads.and_then(NonZeroUsize::new) {
        builder = builder.threads(threads);
    }
    builder.build()
}

/// A cache whose warnings are collected.
pub(crate) struct CollectedCache {
    pub(crate) cache: BestEffort,
    warnings: Arc<Mutex<Vec<String>>>,
}

impl CollectedCache {
    /// The user's cache, or none. Opened for each call: a forked process must not use another's.
    pub(crate) fn open(wanted: bool) -> Self {
        let warnings = Arc::new(Mutex::new(Vec::new()));
        if !wanted {
            return CollectedCache { cache: BestEffort::off(), warnings };
        }
        let collected = warnings.clone();
        let note = move |warning: &str| {
            collected.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(warning.to_owned());
        };
        CollectedCache {
            cache: BestEffort::new(Cache::default_folder().and_then(Cache::open), note),
            warnings,
        }
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}

impl NativeEncoder {
    pub(crate) fn get(&self) -> PyResult<Arc<Encoder>> {
        if std::process::id() == self.process {
            return Ok(self.encoder.clone());
        }
        Err(PyRuntimeError::new_err(
            "this encoder belongs to the process that this one was forked from; use frostbert.Encoder, which opens another",
        ))
    }

    /// Answers of the checkpoint's own heads, as JSON.
    fn answers<T: serde::Serialize + Send>(
        &self,
        py: Python<'_>,
        options: &str,
        progress: Option<Py<PyAny>>,
        answer: impl FnOnce(&Encoder, &EmbedOptions) -> Result<T> + Send,
    ) -> PyResult<String> {
        let encoder = self.get()?;
        let watch = Watch::new(progress);
        let found =
            work(py, Some(&watch), || answer(&encoder, &watched(embed_options(options, &encoder)?, &watch)))?;
        json(&found)
    }
}

#[pymethods]
impl NativeEncoder {
    #[new]
    #[pyo3(signature = (model, device, dtype, batch_tokens, threads, offline, tune))]
    #[allow(clippy::too_many_arguments, reason = "Python gives them by name")]
    fn new(
        py: Python<'_>,
        model: String,
        device: String,
        dtype: String,
        batch_tokens: Option<usize>,
        threads: Option<usize>,
        offline: bool,
        tune: bool,
    ) -> PyResult<Self> {
        let opened = || open(&model, &device, &dtype, batch_tokens, threads, offline, tune);
        let encoder = Arc::new(work(py, None, opened)?);
        Ok(NativeEncoder { encoder, process: std::process::id(), device, dtype })
    }

    /// The process that it works in.
    #[getter]
    fn process(&self) -> u32 {
        self.process
    }

    /// What the checkpoint holds and what computes, as JSON.
    fn info(&self) -> PyResult<String> {
        let encoder = self.get()?;
        let device = encoder.device();
        let similarity = encoder.checkpoint().modules().and_then(|modules| modules.similarity.clone());
        json(&json!({
            "checkpoint": encoder.checkpoint().summary(encoder.batch_tokens()),
            "device": { "name": device.name, "backend": device.backend, "class": device.class, "note": device.note },
            "dtype": encoder.weight_type().name(),
            "batch_tokens": encoder.batch_tokens(),
            "similarity": similarity,
            "labels": encoder.classification_labels().ok(),
        }))
    }

    /// Columns of an embedding with these options.
    fn dim(&self, py: Python<'_>, options: &str) -> PyResult<usize> {
        let encoder = self.get()?;
        work(py, None, || encoder.dim(&embed_options(options, &encoder)?))
    }

    /// Rows of a list of texts. With a head, the options are the head's.
    fn embed<'py>(
        &self,
        py: Python<'py>,
        list: &Bound<'py, PyList>,
        options: &str,
        head: Option<&NativeHead>,
        cache: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Embedded<'py>> {
        let encoder = self.get()?;
        let texts = texts(list)?;
        let watch = Watch::new(progress);
        let (found, warnings) = work(py, Some(&watch), || {
            let options = match head {
                // How a head's texts are embedded is the head's; what happens to those that are too long is the caller's.
                Some(head) => {
                    let asked = embed_options(options, &encoder)?.truncate;
                    let mut options = Classifier::options_for(&encoder, &head.head)?;
                    if options.truncate == Truncate::Warn && matches!(asked, Truncate::Cut | Truncate::Error)
                    {
                        options.truncate = asked;
                    }
                    options
                }
                None => embed_options(options, &encoder)?,
            };
            let cache = CollectedCache::open(cache);
            let options = watched(options, &watch);
            // Texts are given away one by one: they need not be in memory twice.
            let mut all = Vec::with_capacity(texts.len() * encoder.dim(&options)?);
            let (mut tokens, mut truncated) =
                (Vec::with_capacity(texts.len()), Vec::with_capacity(texts.len()));
            let (expected, dim) = (texts.len(), encoder.dim(&options)?);
            let rows = texts.into_iter().map(Ok);
            let sink = |rows: frostbert::Embeddings| {
                all.extend_from_slice(&rows.values);
                tokens.extend_from_slice(&rows.tokens);
                truncated.extend_from_slice(&rows.truncated);
                Ok(())
            };
            let report = if cache.cache.is_on() {
                encoder.embed_stream_cached(rows, &options, &cache.cache, sink)?
            } else {
                encoder.embed_stream(rows, &options, sink)?
            };
            if tokens.len() != expected || all.len() != expected * dim {
                return Err(Error::device(format!(
                    "{expected} texts gave {} rows of {dim} columns",
                    tokens.len()
                )));
            }
            let values = Array2::from_shape_vec((expected, dim), all)
                .map_err(|error| Error::device("rows of another shape than expected").with_source(error))?;
            Ok(((values, tokens, truncated, report), cache.warnings()))
        })?;
        let (values, tokens, truncated, report) = found;
        let report = json(&json!({
            "from_cache": report.from_cache,
            "tokens": report.real_tokens,
            "warnings": warnings,
        }))?;
        Ok((
            values.into_pyarray(py),
            Array1::from(tokens).into_pyarray(py),
            Array1::from(truncated).into_pyarray(py),
            report,
        ))
    }

    /// Hidden states, attentions and pooler output of each text: a list of dicts.
    fn tokens<'py>(
        &self,
        py: Python<'py>,
        list: &Bound<'py, PyList>,
        options: &str,
        layers: Vec<usize>,
        attentions: Vec<usize>,
        pooler_output: bool,
    ) -> PyResult<Bound<'py, PyList>> {
        let encoder = self.get()?;
        let texts = texts(list)?;
        let watch = Watch::new(None);
        let request = TokenRequest { hidden_states: layers, attentions, pooler_output, head: None };
        let outputs = work(py, Some(&watch), || {
            encoder.token_outputs(texts, &request, &watched(embed_options(options, &encoder)?, &watch))
        })?;
        let wrong = |error: numpy::ndarray::ShapeError| PyRuntimeError::new_err(error.to_string());
        let found = PyList::empty(py);
        for output in outputs {
            let encoding = output.encoding;
            let tokens = encoding.ids.len();
            let names: Vec<Option<String>> =
                encoding.ids.iter().map(|id| encoder.tokenizer().id_to_token(*id)).collect();
            let row = PyDict::new(py);
            row.set_item("tokens", names)?;
            row.set_item("ids", Array1::from(encoding.ids).into_pyarray(py))?;
            row.set_item("offsets", encoding.offsets)?;
            row.set_item("special_tokens_mask", Array1::from(encoding.special_tokens_mask).into_pyarray(py))?;
            row.set_item("truncated", encoding.truncated)?;
            let states = PyList::empty(py);
            for values in output.hidden_states {
                let columns = values.len().checked_div(tokens).unwrap_or(0);
                states.append(
                    Array2::from_shape_vec((tokens, columns), values).map_err(wrong)?.into_pyarray(py),
                )?;
            }
            row.set_item("hidden_states", states)?;
            let shares = PyList::empty(py);
            for values in output.attentions {
                let heads = values.len().checked_div(tokens * tokens).unwrap_or(0);
                shares.append(
                    Array3::from_shape_vec((heads, tokens, tokens), values).map_err(wrong)?.into_pyarray(py),
                )?;
            }
            row.set_item("attentions", shares)?;
            row.set_item(
                "pooler_output",
                output.pooler_output.map(|values| Array1::from(values).into_pyarray(py)),
            )?;
            found.append(row)?;
        }
        Ok(found)
    }

    fn fill_mask(
        &self,
        py: Python<'_>,
        list: &Bound<'_, PyList>,
        options: &str,
        top: usize,
        targets: Vec<String>,
    ) -> PyResult<String> {
        let texts = texts(list)?;
        self.answers(py, options, None, |encoder, options| {
            texts
                .into_iter()
                .map(|text| encoder.fill_mask(text, top, &targets, options))
                .collect::<Result<Vec<_>>>()
        })
    }

    fn next_sentence(&self, py: Python<'_>, list: &Bound<'_, PyList>, options: &str) -> PyResult<String> {
        let pairs = texts(list)?;
        self.answers(py, options, None, |encoder, options| {
            let one =
                |pair: Text| encoder.next_sentence(&pair.first, &pair.second.unwrap_or_default(), options);
            pairs.into_iter().map(one).collect::<Result<Vec<_>>>()
        })
    }

    fn classify(
        &self,
        py: Python<'_>,
        list: &Bound<'_, PyList>,
        options: &str,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<String> {
        let texts = texts(list)?;
        self.answers(py, options, progress, |encoder, options| {
            let labels = encoder.classification_labels()?;
            Ok(json!({ "labels": labels, "answers": encoder.classify(texts, options)? }))
        })
    }

    fn tag(
        &self,
        py: Python<'_>,
        list: &Bound<'_, PyList>,
        options: &str,
        aggregation: &str,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<String> {
        let texts = texts(list)?;
        self.answers(py, options, progress, |encoder, options| {
            if texts.iter().any(|text| text.second.is_some()) {
                return Err(Error::input("a pair has no tags: give its texts one by one"));
            }
            let texts: Vec<&str> = texts.iter().map(|text| text.first.as_str()).collect();
            encoder.tag(&texts, aggregation.parse::<Aggregation>()?, options)
        })
    }

    fn rerank(
        &self,
        py: Python<'_>,
        query: &str,
        list: &Bound<'_, PyList>,
        options: &str,
    ) -> PyResult<String> {
        let documents = texts(list)?;
        self.answers(py, options, None, |encoder, options| {
            if documents.iter().any(|text| text.second.is_some()) {
                return Err(Error::input("a document is one text: found a pair"));
            }
            let documents: Vec<&str> = documents.iter().map(|text| text.first.as_str()).collect();
            encoder.rerank(query, &documents, options)
        })
    }

    /// Each text's logits of a head taken apart into its tokens' shares, as JSON.
    fn explain(&self, py: Python<'_>, list: &Bound<'_, PyList>, head: &NativeHead) -> PyResult<String> {
        let texts = texts(list)?;
        let encoder = self.get()?;
        let watch = Watch::new(None);
        let found = work(py, Some(&watch), || {
            let options = watched(Classifier::options_for(&encoder, &head.head)?, &watch);
            encoder.explain(&head.head, &options, texts)
        })?;
        json(&found)
    }

    fn __repr__(&self) -> String {
        format!("NativeEncoder(device={:?}, dtype={:?})", self.device, self.dtype)
    }
}

/// Rows in fewer bytes: `int8` (with the ranges of these rows, or given ones `[2, columns]`) or `ubinary`.
#[pyfunction]
pub(crate) fn quantize<'py>(
    py: Python<'py>,
    rows: PyReadonlyArray2<'py, f32>,
    precision: &str,
    ranges: Option<PyReadonlyArray2<'py, f32>>,
) -> PyResult<Bound<'py, PyAny>> {
    let rows = rows.as_array();
    let (count, dim) = rows.dim();
    let values: Vec<f32> = rows.iter().copied().collect();
    let given: Option<Vec<f32>> = ranges.map(|ranges| ranges.as_array().iter().copied().collect());
    let wrong = |error: numpy::ndarray::ShapeError| PyRuntimeError::new_err(error.to_string());
    if precision == "ubinary" {
        let bytes = work(py, None, || Ok(ubinary(&values, dim)))?;
        let columns = dim.div_ceil(8);
        return Ok(Array2::from_shape_vec((count, columns), bytes)
            .map_err(wrong)?
            .into_pyarray(py)
            .into_any());
    }
    let bytes = work(py, None, || {
        let ranges = match given {
            Some(given) => {
                let ranges = Ranges::from_values(&given)?;
                if ranges.dim() != dim {
                    return Err(Error::input(format!(
                        "ranges of {} columns do not fit rows of {dim}",
                        ranges.dim()
                    )));
                }
                ranges
            }
            None => {
                let mut ranges = Ranges::new(dim);
                ranges.include(&values);
                ranges
            }
        };
        Ok(ranges.int8(&values))
    })?;
    Ok(Array2::from_shape_vec((count, dim), bytes).map_err(wrong)?.into_pyarray(py).into_any())
}

/// Compares a golden folder's tensors with what this device computes, as JSON.
#[pyfunction]
pub(crate) fn verify(py: Python<'_>, folder: PathBuf, device: String, dtype: String) -> PyResult<String> {
    let compared = work(py, None, || {
        golden::golden(&folder, |checkpoint| {
            Encoder::from_checkpoint(checkpoint).device(device.parse()?).dtype(dtype.parse()?).build()
        })
    })?;
    let rows: Vec<_> = compared
        .iter()
        .map(|one| {
            json!({
                "tensor": one.tensor,
                "error": one.error,
                "torch_error": one.torch_error,
                "allowed": one.allowed,
                "holds": one.holds(),
            })
        })
        .collect();
    json(&rows)
}
