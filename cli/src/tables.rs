//! Measures as aligned text.

use frostbert::head::{Baseline, ClassRow, Estimate, LayerCandidate, LayerChoice, Metrics};

/// `name  mean ± half width`, a line a measure.
pub fn estimates(rows: &[(String, Estimate)]) -> String {
    rows.iter()
        .map(|(name, estimate)| format!("  {name:<20} {:.4} ± {:.4}\n", estimate.mean, estimate.half_width))
        .collect()
}

/// Layers compared, the best first, and what to expect of the choice.
pub fn layers(choice: &LayerChoice) -> String {
    let lists: Vec<String> = (choice.candidates.iter())
        .map(|candidate| candidate.layers.iter().map(usize::to_string).collect::<Vec<_>>().join(","))
        .collect();
    let width = lists.iter().map(String::len).max().unwrap_or(0).max(6);
    // The score and, where there is one, the accuracy.
    let accuracy = |candidate: &LayerCandidate| {
        candidate.summary.iter().find(|(name, _)| name == "accuracy").map(|(_, estimate)| *estimate)
    };
    let number = |estimate: Estimate| format!("{:.4} ± {:.4}", estimate.mean, estimate.half_width);
    let mut text = format!("{:<width$}  standardised  {:>8}  {:<15}", "layers", "C", choice.score_name);
    text += if accuracy(choice.best()).is_some() { "  accuracy\n" } else { "\n" };
    for (list, candidate) in lists.iter().zip(&choice.candidates) {
        let standardised = if candidate.standardise { "yes" } else { "no" };
        let c = candidate.c.map_or_else(|| "-".to_owned(), |c| format!("{c}"));
        text += &format!("{list:<width$}  {standardised:<12}  {c:>8}  {}", number(candidate.score));
        text += &accuracy(candidate).map_or_else(String::new, |estimate| format!("  {}", number(estimate)));
        text.push('\n');
    }
    text += &format!("{}\n", choice.reason);
    let corrected: Vec<String> =
        choice.corrected.iter().map(|(name, estimate)| format!("{name} {}", number(*estimate))).collect();
    text + &format!("expected of the best of {} on new rows: {}\n", lists.len(), corrected.join(", "))
}

/// The head's measures with simple predictors' beside them: is the encoder worth it?
pub fn beside(rows: &[(String, Estimate)], kind: &str, baselines: &[Baseline]) -> String {
    if baselines.is_empty() {
        return estimates(rows);
    }
    let mut text = format!("  {:<20} {kind:>16}", "");
    for baseline in baselines {
        text += &format!("  {:>16}", baseline.name);
    }
    text.push('\n');
    for (name, estimate) in rows {
        text += &format!("  {name:<20} {:>7.4} ± {:.4}", estimate.mean, estimate.half_width);
        for baseline in baselines {
            match baseline.summary.iter().find(|(known, _)| known == name) {
                Some((_, found)) => text += &format!("  {:>7.4} ± {:.4}", found.mean, found.half_width),
                None => text += &format!("  {:>16}", "-"),
            }
        }
        text.push('\n');
    }
    text
}

/// All measures of one set of rows: numbers, per class, confusion.
pub fn metrics(metrics: &Metrics) -> String {
    let mut text = String::new();
    for (name, value) in metrics.scalars() {
        let value = value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
        text += &format!("  {name:<20} {value}\n");
    }
    match metrics {
        Metrics::SingleLabel(found) => {
            text += &classes(&found.classes);
            text += &confusion(&found.classes, &found.confusion);
        }
        Metrics::MultiLabel(found) => text += &classes(&found.labels),
        Metrics::Regression(_) => {}
    }
    text
}

fn classes(rows: &[ClassRow]) -> String {
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).clamp(5, 40);
    let mut text = format!("\n  {:<width$}  precision  recall      F1  rows\n", "class");
    for row in rows {
        let name: String = row.name.chars().take(40).collect();
        text += &format!(
            "  {name:<width$}  {:>9.4}  {:>6.4}  {:>6.4}  {:>4}\n",
            row.precision, row.recall, row.f1, row.support
        );
    }
    text
}

/// Rows are true classes, columns predicted ones. More than a dozen classes do not fit a terminal.
fn confusion(rows: &[ClassRow], counts: &[Vec<u64>]) -> String {
    if rows.len() > 12 {
        return String::new();
    }
    let name = |row: &ClassRow| row.name.chars().take(12).collect::<String>();
    let width = rows.iter().map(|row| name(row).chars().count()).max().unwrap_or(0).max(6);
    let mut text = format!("\n  {:<width$}", "true \\ predicted");
    let first = text.trim_start_matches('\n').len() - 2;
    for row in rows {
        text += &format!("  {:>width$}", name(row));
    }
    text.push('\n');
    for (row, counts) in rows.iter().zip(counts) {
        text += &format!("  {:<first$}", name(row));
        for count in counts {
            text += &format!("  {count:>width$}");
        }
        text.push('\n');
    }
    text
}
