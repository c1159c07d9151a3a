//! Rows whose label is probably wrong.

use super::metrics::argmax;
use crate::head::data::targets::Targets;

/// A row whose label is probably wrong.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct LabelIssue {
    /// The row, counted from 0.
    pub row: usize,
    /// The class it has (of several labels: the label in question), an index into the names.
    pub given: usize,
    /// The class it probably should have; the same as `given` where a label should be turned over.
    pub suggested: usize,
    /// Out-of-fold probability of what is given.
    pub given_probability: f64,
    /// Out-of-fold probability of what is suggested.
    pub suggested_probability: f64,
}

/// Rows whose label is probably wrong, the surest first, by confident learning: a model that had not seen the row is as
/// sure of another class as it is, on average, of the rows that have that class.
///
/// Shapes: `predictions` `[rows, names]`, as in [`CrossValidation::predictions`](crate::head::CrossValidation::predictions).
///
/// Source: Northcutt, Jiang and Chuang, *Confident Learning* (2021), pruned by class and ranked by margin.
///
/// # Panics
/// When the shapes do not fit.
pub fn label_issues(targets: &Targets, predictions: &[f64]) -> Vec<LabelIssue> {
    let mut issues = match targets {
        Targets::Classes { labels, names } => class_issues(labels, predictions, names.len()),
        Targets::MultiLabel { marks, names } => {
            let k = names.len();
            let of_label = |label: usize| {
                let marks: Vec<u32> =
                    marks.iter().skip(label).step_by(k).map(|&mark| u32::from(mark)).collect();
                let p: Vec<f64> =
                    predictions.iter().skip(label).step_by(k).flat_map(|&p| [1.0 - p, p]).collect();
                let issues = class_issues(&marks, &p, 2);
                issues.into_iter().map(move |issue| LabelIssue { given: label, suggested: label, ..issue })
            };
            (0..k).flat_map(of_label).collect()
        }
        Targets::Values { .. } => vec![],
    };
    let margin = |issue: &LabelIssue| issue.given_probability - issue.suggested_probability;
    issues.sort_by(|a, b| margin(a).total_cmp(&margin(b)).then(a.row.cmp(&b.row)));
    issues
}

fn class_issues(labels: &[u32], predictions: &[f64], k: usize) -> Vec<LabelIssue> {
    assert_eq!(predictions.len(), labels.len() * k, "predictions are [rows, names]");
    // How sure the model is of a class where it is given.
    let (mut sums, mut counts) = (vec![0.0; k], vec![0usize; k]);
    for (&label, p) in labels.iter().zip(predictions.chunks_exact(k)) {
        sums[label as usize] += p[label as usize];
        counts[label as usize] += 1;
    }
    let sure: Vec<f64> = sums
        .iter()
        .zip(&counts)
        .map(|(sum, &count)| if count > 0 { sum / count as f64 } else { f64::INFINITY })
        .collect();
    (labels.iter().zip(predictions.chunks_exact(k)).enumerate())
        .filter_map(|(row, (&label, p))| {
            let given = label as usize;
            let confident: Vec<f64> =
                (0..k).map(|j| if p[j] >= sure[j] { p[j] } else { f64::NEG_INFINITY }).collect();
            let suggested = argmax(&confident);
            let wrong = suggested != given && confident[suggested] > 0.0 && p[suggested] > p[given];
            wrong.then(|| LabelIssue {
                row,
                given,
                suggested,
                given_probability: p[given],
                suggested_probability: p[suggested],
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_labels_are_found_surest_first() {
        let mut labels = vec![0u32; 30];
        labels[10..20].fill(1);
        labels[20..].fill(2);
        let mut p: Vec<f64> = labels
            .iter()
            .flat_map(|&label| (0..3).map(move |k| if k == label { 0.8 } else { 0.1 }))
            .collect();
        labels[3] = 2;
        labels[15] = 0;
        p[15 * 3..16 * 3].copy_from_slice(&[0.05, 0.94, 0.01]);
        // Unsure, though the given class is not the likeliest: no reason to doubt the label.
        p[25 * 3..26 * 3].copy_from_slice(&[0.36, 0.3, 0.34]);
        let targets = Targets::Classes { labels, names: ["a", "b", "c"].map(String::from).to_vec() };
        let issues = label_issues(&targets, &p);
        let found: Vec<_> = issues.iter().map(|issue| (issue.row, issue.given, issue.suggested)).collect();
        assert_eq!(found, [(15, 0, 1), (3, 2, 0)]);
        let marks = vec![true, false, true, false, true, false, false, true];
        let targets = Targets::MultiLabel { marks, names: ["x", "y"].map(String::from).to_vec() };
        let p = [0.9, 0.1, 0.9, 0.1, 0.02, 0.2, 0.1, 0.9];
        let issues = label_issues(&targets, &p);
        assert_eq!((issues.len(), issues[0].row, issues[0].given), (1, 2, 0));
    }
}
