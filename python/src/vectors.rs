//! What vectors say without a label: over any matrix.

use frostbert::head::Matrix;
use frostbert::vectors::{
    ClusterOptions, DriftOptions, SuggestOptions, clusters, distinguishing_words, drift, duplicates, nearest,
    suggest,
};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray2};
use pyo3::prelude::*;
use serde_json::json;

use crate::error::json;
use crate::head::{matrix, table};
use crate::process::work;

/// Rows and cosines `[queries, k]` of the nearest rows.
#[pyfunction]
#[allow(clippy::type_complexity, reason = "two arrays")]
pub(crate) fn nearest_rows<'py>(
    py: Python<'py>,
    queries: PyReadonlyArray2<'py, f32>,
    rows: PyReadonlyArray2<'py, f32>,
    k: usize,
) -> PyResult<(Bound<'py, PyArray2<i64>>, Bound<'py, PyArray2<f32>>)> {
    let (queries, rows) = (matrix(&queries)?, matrix(&rows)?);
    let (count, width) = (queries.rows(), k.min(rows.rows()));
    let found = work(py, None, || nearest(&queries, &rows, k))?;
    let near = || found.iter().flatten();
    let places = near().map(|near| near.row as i64).collect();
    let cosines = near().map(|near| near.similarity).collect();
    Ok((table(py, count, width, places)?, table(py, count, width, cosines)?))
}

/// Groups of near duplicates, as JSON.
#[pyfunction]
pub(crate) fn duplicate_rows(
    py: Python<'_>,
    rows: PyReadonlyArray2<'_, f32>,
    threshold: f32,
) -> PyResult<String> {
    let rows = matrix(&rows)?;
    json(&work(py, None, || duplicates(&rows, threshold))?)
}

/// Rows to label next, as JSON.
#[pyfunction]
#[allow(clippy::too_many_arguments, reason = "Python gives them by name")]
pub(crate) fn suggest_rows(
    py: Python<'_>,
    rows: PyReadonlyArray2<'_, f32>,
    labelled: Option<PyReadonlyArray2<'_, f32>>,
    probabilities: Option<PyReadonlyArray2<'_, f64>>,
    count: usize,
    strategy: &str,
    duplicate: f32,
    seed: u64,
) -> PyResult<String> {
    let rows = matrix(&rows)?;
    let labelled = match &labelled {
        Some(labelled) => matrix(labelled)?,
        None => Matrix::new(0, rows.columns(), Vec::<f32>::new())
            .map_err(|error| crate::error::raise(py, &error))?,
    };
    let known: Option<Vec<f64>> = probabilities.map(|p| p.as_array().iter().copied().collect());
    let found = work(py, None, || {
        let mut options = SuggestOptions::new(count);
        (options.strategy, options.duplicate, options.seed) = (strategy.parse()?, duplicate, seed);
        suggest(&rows, &labelled, known.as_deref(), &options)
    })?;
    json(&found)
}

/// Each row's cluster (-1 for none), the centres `[clusters, columns]`, and the rest as JSON.
#[pyfunction]
#[allow(clippy::type_complexity, clippy::too_many_arguments, reason = "Python gives them by name")]
pub(crate) fn cluster_rows<'py>(
    py: Python<'py>,
    rows: PyReadonlyArray2<'py, f32>,
    method: &str,
    count: Option<usize>,
    min_size: usize,
    min_samples: Option<usize>,
    seed: u64,
) -> PyResult<(Bound<'py, PyArray1<i64>>, Bound<'py, PyArray2<f32>>, String)> {
    let rows = matrix(&rows)?;
    let found = work(py, None, || {
        let mut options = ClusterOptions::default();
        (options.method, options.count, options.seed) = (method.parse()?, count, seed);
        (options.min_size, options.min_samples) = (min_size, min_samples);
        clusters(&rows, &options)
    })?;
    let number = |cluster: &Option<usize>| cluster.map_or(-1, |cluster| cluster as i64);
    let of_row: Vec<i64> = found.of_row.iter().map(number).collect();
    let centres = found.clusters.iter().flat_map(|cluster| cluster.centre.iter().copied()).collect();
    let facts = json!({
        "silhouette": found.silhouette,
        "cohesion": found.clusters.iter().map(|cluster| cluster.cohesion).collect::<Vec<f64>>(),
        "rows": found.clusters.iter().map(|cluster| &cluster.rows).collect::<Vec<_>>(),
        "candidates": found.candidates,
    });
    let centres = table(py, found.clusters.len(), rows.columns(), centres)?;
    Ok((of_row.into_pyarray(py), centres, json(&facts)?))
}

/// Words that tell clusters apart, as JSON.
#[pyfunction]
pub(crate) fn cluster_words(
    py: Python<'_>,
    texts: Vec<String>,
    of_text: Vec<Option<usize>>,
    clusters: usize,
    most: usize,
) -> PyResult<String> {
    json(&work(py, None, || distinguishing_words(&texts, &of_text, clusters, most))?)
}

/// Whether two sets of rows differ, as JSON.
#[pyfunction]
pub(crate) fn drift_of_rows(
    py: Python<'_>,
    reference: PyReadonlyArray2<'_, f32>,
    new: PyReadonlyArray2<'_, f32>,
    alpha: f64,
    rows: usize,
    seed: u64,
) -> PyResult<String> {
    let (reference, new) = (matrix(&reference)?, matrix(&new)?);
    let found = work(py, None, || {
        let mut options = DriftOptions::default();
        (options.alpha, options.rows, options.seed) = (alpha, rows, seed);
        drift(&reference, &new, &options)
    })?;
    json(&found)
}
