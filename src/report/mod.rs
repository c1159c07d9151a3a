//! The training report: one HTML file that needs no network, and the same tables for a terminal.
//!
//! The page holds its own style and one small script that shows texts on hover; its content security policy
//! allows nothing else, so that a text of the data set can never run. Every section of [`ReportData`] is
//! optional. The same data give the same bytes.
//!
//! ```
//! use frostbert::report::{Interval, MetricRow, MetricTable, ReportData, render};
//!
//! let accuracy = MetricRow {
//!     name: "Accuracy".into(),
//!     lower_is_better: false,
//!     values: vec![Interval::new(0.788, 0.779, 0.797), Interval::point(0.5)],
//! };
//! let data = ReportData {
//!     title: "Film reviews".into(),
//!     metrics: Some(MetricTable {
//!         protocol: "5-fold; 95% intervals".into(),
//!         systems: vec!["head".into(), "prior".into()],
//!         rows: vec![accuracy],
//!     }),
//!     ..ReportData::default()
//! };
//! assert!(render(&data)?.starts_with("<!DOCTYPE html>"));
//! # Ok::<(), frostbert::Error>(())
//! ```

mod clusters;
mod data;
mod figures;
mod format;
pub mod map2d;
mod page;
mod plot;
mod sample;
mod scatter;
mod tables;
pub mod terminal;
mod training;

pub use data::{
    Candidate, CandidateTable, ClassCurves, ClassScores, ClusterMerge, ClusterReport, ClusterSummary,
    Confusion, CoveragePoint, CurvePoint, DataSummary, ExplainedAnswer, Interval, LabelError, LearningCurve,
    Map, MapPoint, MetricRow, MetricTable, Mistake, Model, RegressionPoint, Reliability, ReliabilityPoint,
    ReportData, ScoredName, Snippet, TokenShare,
};
pub use page::render;
pub use training::maps_of;

use crate::error::{Error, Result};
use crate::platform::whole_file;
use std::path::Path;

/// Writes the report to `path`. A file that is there stays whole until the new one is.
///
/// # Errors
/// The data contradict themselves (see [`render`]), or the folder cannot be written to.
pub fn write(path: impl AsRef<Path>, data: &ReportData) -> Result<()> {
    let path = path.as_ref();
    let page = render(data)?;
    let failed = |error: std::io::Error| {
        Error::io(format!(
            "cannot write the report {}: is the folder there, writable, and the disk not full?",
            path.display()
        ))
        .with_source(error)
    };
    whole_file::write(path, page.as_bytes()).map_err(failed)
}
