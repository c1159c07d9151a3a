//! Rows whose label is likely wrong, as a table for a person to go through.

use std::path::Path;

use frostbert::head::LabelIssue;
use frostbert::whole_file;
use frostbert::{Error, Result, Text};

/// Where rows come from, and where the table goes.
pub struct LabelErrors<'a> {
    pub path: &'a Path,
    /// Of the training rows.
    pub texts: &'a [&'a Text],
    /// Where each training row is in the data, counted from 0.
    pub numbers: &'a [u32],
    pub names: &'a [String],
}

impl LabelErrors<'_> {
    /// Writes the table, the surest first; whole or not at all.
    pub fn write(&self, issues: &[LabelIssue]) -> Result<()> {
        let failed = |error: std::io::Error| {
            Error::io(format!("cannot write {}", self.path.display())).with_source(error)
        };
        let mut table = csv::Writer::from_writer(Vec::new());
        let wrong = |error: csv::Error| failed(std::io::Error::other(error));
        table
            .write_record(["row", "label", "probability", "suggested", "suggested_probability", "text"])
            .map_err(wrong)?;
        for issue in issues {
            let name = |class: usize| self.names.get(class).cloned().unwrap_or_default();
            table
                .write_record([
                    // As people count, the header left out.
                    (self.numbers[issue.row] + 1).to_string(),
                    name(issue.given),
                    format!("{:.4}", issue.given_probability),
                    name(issue.suggested),
                    format!("{:.4}", issue.suggested_probability),
                    self.texts[issue.row].first.clone(),
                ])
                .map_err(wrong)?;
        }
        let table = table.into_inner().map_err(|error| failed(error.into_error()))?;
        whole_file::write(self.path, &table).map_err(failed)
    }
}
