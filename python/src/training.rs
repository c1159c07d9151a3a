//! From labelled texts to a head: the command line's `train`.

use std::path::{Path, PathBuf};

use frostbert::head::{CautionOptions, TrainOptions};
use frostbert::report::{self, ReportData, terminal};
use frostbert::workflow::{Dataset, Description, Event, HoldOut, Trained, Trainer};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use serde::Deserialize;

use crate::encoder::{CollectedCache, NativeEncoder};
use crate::error::json;
use crate::head::NativeHead;
use crate::options::{embed_options, watched};
use crate::process::{Watch, work};
use crate::texts::{self, texts};

/// A finished training.
#[pyclass(frozen, module = "frostbert._native")]
pub(crate) struct NativeTrained {
    trained: Trained,
}

/// What a training is told beside its data.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    name: String,
    location: String,
    embed: String,
    head: TrainOptions,
    choose_layers: bool,
    hold_out: f64,
    baselines: bool,
    details: bool,
    cache: bool,
    /// Labels and what their texts are like.
    describe: Vec<(String, String)>,
    keep_sample: Option<usize>,
    abstain_precision: Option<f64>,
    conformal: Option<f64>,
    /// What stands between the parts of labels that are paths.
    hierarchy: Option<char>,
}

/// Trains a head on texts; `unlabelled` are more of them where classes are described. Gives the training and warnings of the cache.
#[pyfunction]
#[allow(clippy::too_many_arguments, reason = "Python gives them by name")]
pub(crate) fn train(
    py: Python<'_>,
    encoder: &NativeEncoder,
    list: &Bound<'_, PyList>,
    targets: &Bound<'_, PyTuple>,
    unlabelled: &Bound<'_, PyList>,
    weights: Option<Vec<f64>>,
    groups: Option<Vec<u32>>,
    settings: &str,
    progress: Option<Py<PyAny>>,
) -> PyResult<(NativeTrained, Vec<String>)> {
    let encoder = encoder.get()?;
    let (texts, unlabelled, targets) = (texts(list)?, texts(unlabelled)?, texts::targets(targets)?);
    let watch = Watch::new(progress);
    let (trained, warnings) = work(py, Some(&watch), || {
        let settings: Settings = serde_json::from_str(settings).map_err(|error| {
            frostbert::Error::input(format!("the settings for training are wrong: {error}"))
        })?;
        let mut data = Dataset::new(settings.name, texts, targets)?;
        (data.weights, data.groups) = (weights, groups);
        let cache = CollectedCache::open(settings.cache);
        let hold_out =
            if settings.hold_out == 0.0 { HoldOut::Nothing } else { HoldOut::Share(settings.hold_out) };
        let describe = settings.describe.into_iter();
        let trained = Trainer::new(&encoder)
            .model_location(settings.location)
            .embed(watched(embed_options(&settings.embed, &encoder)?, &watch))
            .cache(&cache.cache)
            .hold_out(hold_out)
            .head(settings.head)
            .choose_layers(settings.choose_layers)
            .describe(describe.map(|(label, text)| Description { label, text }).collect())
            .unlabelled(unlabelled)
            .keep_sample(settings.keep_sample)
            .caution(CautionOptions {
                abstain_precision: settings.abstain_precision,
                conformal: settings.conformal,
                levels: settings.hierarchy,
            })
            .baselines(settings.baselines)
            .details(settings.details)
            .train(&data, &mut |event| {
                if let Event::Training(step) = event {
                    watch.step(step.stage, step.done as u64, step.total as u64);
                }
            })?;
        Ok((trained, cache.warnings()))
    })?;
    Ok((NativeTrained { trained }, warnings))
}

impl NativeTrained {
    fn page(&self, head_file: &Path) -> frostbert::Result<ReportData> {
        ReportData::of_training(&self.trained.record, self.trained.rows.as_ref(), head_file)
    }
}

#[pymethods]
impl NativeTrained {
    fn head(&self) -> NativeHead {
        NativeHead { head: self.trained.head.clone() }
    }

    /// All that training found out, as JSON.
    fn record(&self) -> PyResult<String> {
        json(&self.trained.record)
    }

    /// What a user should see, in words.
    fn warnings(&self) -> Vec<String> {
        self.trained.record.warnings.iter().map(ToString::to_string).collect()
    }

    /// The report as one HTML page.
    fn html(&self, py: Python<'_>, head_file: PathBuf) -> PyResult<String> {
        work(py, None, || report::render(&self.page(&head_file)?))
    }

    /// Writes the report.
    fn write_report(&self, py: Python<'_>, path: PathBuf, head_file: PathBuf) -> PyResult<()> {
        work(py, None, || report::write(&path, &self.page(&head_file)?))
    }

    /// The report for a terminal.
    fn text(&self, py: Python<'_>, width: usize) -> PyResult<String> {
        work(py, None, || terminal::training(&self.trained.record, width))
    }

    /// Rows whose label is likely wrong, as CSV.
    fn label_issues(&self, py: Python<'_>) -> PyResult<String> {
        work(py, None, || self.trained.label_issues_csv())
    }
}
