//! Heads over any matrix.

use std::borrow::Cow;
use std::path::PathBuf;

use frostbert::Error;
use frostbert::head::{AnswerOptions, AnswerRecord, Head, Matrix, TrainData, TrainOptions};
use numpy::ndarray::{Array1, Array2};
use numpy::{Element, IntoPyArray, PyArray1, PyArray2, PyReadonlyArray2};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use serde_json::json;

use crate::error::{json, raise};
use crate::process::{Watch, work};
use crate::texts;

/// A trained head.
#[pyclass(frozen, module = "frostbert._native")]
pub(crate) struct NativeHead {
    pub(crate) head: Head,
}

/// Options as JSON; names that there are not are refused.
pub(crate) fn train_options(options: &str) -> frostbert::Result<TrainOptions> {
    let wrong =
        |error: serde_json::Error| Error::input(format!("the options for training are wrong: {error}"));
    serde_json::from_str(options).map_err(wrong)
}

pub(crate) fn matrix<'a>(rows: &'a PyReadonlyArray2<'_, f32>) -> PyResult<Matrix<'a>> {
    let array = rows.as_array();
    let (count, columns) = array.dim();
    let values: Cow<'a, [f32]> = match rows.as_slice() {
        Ok(values) => Cow::Borrowed(values),
        Err(_) => Cow::Owned(array.iter().copied().collect()),
    };
    Matrix::new(count, columns, values).map_err(|error| raise(rows.py(), &error))
}

/// An array of Python's, `[rows, columns]`.
pub(crate) fn table<'py, T: Element>(
    py: Python<'py>,
    rows: usize,
    columns: usize,
    values: Vec<T>,
) -> PyResult<Bound<'py, PyArray2<T>>> {
    let table = Array2::from_shape_vec((rows, columns), values);
    Ok(table.map_err(|error| PyRuntimeError::new_err(error.to_string()))?.into_pyarray(py))
}

impl NativeHead {
    fn of_rows<'py>(
        &self,
        py: Python<'py>,
        rows: &PyReadonlyArray2<'py, f32>,
        of: impl FnOnce(&Head, &Matrix<'_>) -> frostbert::Result<Vec<f64>> + Send,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let read = matrix(rows)?;
        let values = work(py, None, || of(&self.head, &read))?;
        table(py, rows.as_array().nrows(), self.head.names().len(), values)
    }
}

#[pymethods]
impl NativeHead {
    /// Trains a head on rows of numbers.
    #[staticmethod]
    #[pyo3(signature = (rows, targets, weights, groups, options, progress))]
    fn train(
        py: Python<'_>,
        rows: PyReadonlyArray2<'_, f32>,
        targets: &Bound<'_, PyTuple>,
        weights: Option<Vec<f64>>,
        groups: Option<Vec<u32>>,
        options: &str,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Self, String)> {
        let read = matrix(&rows)?;
        let targets = texts::targets(targets)?;
        let watch = Watch::new(progress);
        let training = work(py, Some(&watch), || {
            let mut data = TrainData::new(read, targets);
            (data.weights, data.groups) = (weights, groups);
            Head::train(&data, &train_options(options)?, &mut |step| {
                watch.step(step.stage, step.done as u64, step.total as u64);
            })
        })?;
        let found = json!({
            "converged": training.converged,
            "passes": training.passes,
            "objective": training.objective,
            "cross_validation": training.cross_validation.as_ref().map(|cv| &cv.summary),
        });
        Ok((NativeHead { head: training.head }, json(&found)?))
    }

    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        Ok(NativeHead { head: work(py, None, || Head::load(&path))? })
    }

    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        work(py, None, || self.head.save(&path))
    }

    #[staticmethod]
    fn from_bytes(py: Python<'_>, bytes: Vec<u8>) -> PyResult<Self> {
        Ok(NativeHead { head: work(py, None, || Head::from_bytes(&bytes))? })
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &work(py, None, || self.head.to_bytes())?))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyBytes>,))> {
        let py = slf.py();
        Ok((py.get_type::<Self>().getattr("from_bytes")?, (slf.get().to_bytes(py)?,)))
    }

    fn predict_proba<'py>(
        &self,
        py: Python<'py>,
        rows: PyReadonlyArray2<'py, f32>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        self.of_rows(py, &rows, Head::predict_proba)
    }

    fn logits<'py>(
        &self,
        py: Python<'py>,
        rows: PyReadonlyArray2<'py, f32>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        self.of_rows(py, &rows, Head::logits)
    }

    /// Coefficients `[outputs, columns]` and intercepts of a linear head, calibrated.
    #[allow(clippy::type_complexity, reason = "two arrays")]
    fn coefficients<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<Option<(Bound<'py, PyArray2<f64>>, Bound<'py, PyArray1<f64>>)>> {
        let Some((mut coefficients, mut intercepts)) = self.head.coefficients() else { return Ok(None) };
        // Calibration scales and shifts each output: with it they give what `logits` gives, as scikit-learn's do.
        let calibration = self.head.calibration();
        let affine = calibration.scale.iter().zip(&calibration.bias);
        let outputs = coefficients.chunks_exact_mut(self.head.dimension().max(1)).zip(&mut intercepts);
        for ((row, intercept), (scale, bias)) in outputs.zip(affine) {
            row.iter_mut().for_each(|value| *value *= scale);
            *intercept = *intercept * scale + bias;
        }
        let coefficients = table(py, intercepts.len(), self.head.dimension(), coefficients)?;
        Ok(Some((coefficients, Array1::from(intercepts).into_pyarray(py))))
    }

    /// All that it says of rows, as JSON: a list of records.
    fn answers(
        &self,
        py: Python<'_>,
        rows: PyReadonlyArray2<'_, f32>,
        abstain: Option<f64>,
        novel: Option<f64>,
        novel_by: &str,
    ) -> PyResult<String> {
        let read = matrix(&rows)?;
        let found = work(py, None, || {
            let options = AnswerOptions { abstain, novel, novel_by: novel_by.parse()? };
            self.head.answers(&read, &options)
        })?;
        json(&found.iter().map(|answer| answer.record(&self.head)).collect::<Vec<AnswerRecord<'_>>>())
    }

    /// The rows that it keeps of those it learnt from, `[rows, columns]`.
    fn sample<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyArray2<f32>>>> {
        let Some(sample) = self.head.sample() else { return Ok(None) };
        let rows = sample.rows();
        Ok(Some(table(py, rows.rows(), rows.columns(), rows.values().to_vec())?))
    }

    /// Measures on labelled rows, as JSON.
    fn evaluate(
        &self,
        py: Python<'_>,
        rows: PyReadonlyArray2<'_, f32>,
        targets: &Bound<'_, PyTuple>,
    ) -> PyResult<String> {
        let read = matrix(&rows)?;
        let targets = texts::targets(targets)?;
        let found = work(py, None, || self.head.evaluate(&read, &targets))?;
        json(&found)
    }

    /// What it is and how it was made, as JSON.
    fn info(&self) -> PyResult<String> {
        let head = &self.head;
        json(&json!({
            "kind": head.kind(),
            "problem": head.problem(),
            "names": head.names(),
            "dimension": head.dimension(),
            "thresholds": head.thresholds(),
            "calibration": head.calibration(),
            "caution": head.caution(),
            "record": head.record,
        }))
    }
}
