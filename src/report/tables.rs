//! The report's tables.

use super::format::{Piece, count, counted, ends, largest_share, percent, pieces, score, shorten, signed};
use super::{
    CandidateTable, ClassScores, Confusion, ExplainedAnswer, Interval, LabelError, MetricTable, Mistake,
    TokenShare,
};
use crate::error::Result;
use maud::{Markup, html};

/// Classes of a confusion matrix that fit on a page; with more, its largest entries are listed.
const MOST_MATRIX_CLASSES: usize = 20;

/// Entries of the list that stands for a larger confusion matrix.
const MOST_CONFUSIONS: usize = 25;

/// Characters of a text in a table.
const CELL_TEXT: usize = 280;

/// Tokens of a text that are shown unfolded.
const MOST_TOKENS: usize = 80;

/// Characters of a class name in a table's heading.
const HEADING_TEXT: usize = 28;

/// The text, shortened, with the whole of it in a title.
pub(super) fn text(text: &str, chars: usize) -> Markup {
    let (short, cut) = shorten(text, chars);
    html! { span dir="auto" title=[cut.then_some(text)] { (short) } }
}

/// A mark on a scale that all rows share: the mean as a dot, the interval as a bar.
fn whisker(value: Interval, (low, high): (f64, f64)) -> Markup {
    let width = high - low;
    if !(value.mean.is_finite() && width > 0.0) {
        return html! {};
    }
    let at = |value: f64| format!("{:.1}%", (100.0 * (value - low) / width).clamp(0.0, 100.0));
    let style = match value.ends() {
        Some((low, high)) => format!("--l:{};--h:{};--m:{}", at(low), at(high), at(value.mean)),
        None => format!("--l:{m};--h:{m};--m:{m}", m = at(value.mean)),
    };
    html! { span.whisker aria-hidden="true" style=(style) {} }
}

/// The head's metrics beside those of the baselines.
pub(super) fn metrics(metrics: &MetricTable) -> Markup {
    html! {
        div.scroll { table.metrics {
            thead { tr { th { "Metric" } @for (at, name) in metrics.systems.iter().enumerate() {
                th.n.head[at == 0] { (text(name, HEADING_TEXT)) }
            } } }
            tbody { @for metric in &metrics.rows { tr {
                th scope="row" { (metric.name) @if metric.lower_is_better { " " span.muted { "lower is better" } } }
                @for at in 0..metrics.systems.len() {
                    @let value = metric.values.get(at).copied().unwrap_or(Interval::point(f64::NAN));
                    td.n.head[at == 0].best[metric.best() == Some(at)] {
                        (score(value.mean))
                        @if let Some(ends) = ends(value) { span.ends { (ends) } }
                    }
                }
            } } }
        } }
        @if !metrics.protocol.is_empty() { p.note { (metrics.protocol) ". Bold: the best of its row." } }
    }
}

/// Precision, recall, F1 of every class.
pub(super) fn classes(rows: &[ClassScores]) -> Markup {
    let thresholds = rows.iter().any(|row| row.threshold.is_some());
    let share = |value: f64| {
        html! {
            td.n { span.bar style=(format!("--v:{:.1}%", 100.0 * if value.is_finite() { value.clamp(0.0, 1.0) } else { 0.0 })) {
                (score(value))
            } }
        }
    };
    html! {
        div.scroll.tall[rows.len() > 24] { table {
            thead { tr {
                th { "Class" } th.n { "Rows" } th.n { "Precision" } th.n { "Recall" } th.n { "F1" }
                @if thresholds { th.n { "Threshold" } }
            } }
            tbody { @for row in rows { tr {
                th scope="row" { (text(&row.name, 60)) }
                td.n { (count(row.support)) }
                (share(row.precision)) (share(row.recall)) (share(row.f1))
                @if thresholds { td.n { (score(row.threshold.unwrap_or(f64::NAN))) } }
            } } }
        } }
    }
}

/// The whole matrix, or its largest entries where it would not fit.
pub(super) fn confusion(confusion: &Confusion) -> Result<Markup> {
    confusion.check()?;
    let rows: Vec<usize> = confusion.counts.iter().map(|row| row.iter().sum()).collect();
    let part = |cell: usize, truth: usize| cell as f64 / rows[truth].max(1) as f64;
    let pairs = confusion.top_confusions();
    if confusion.labels.len() > MOST_MATRIX_CLASSES {
        let shown = &pairs[..pairs.len().min(MOST_CONFUSIONS)];
        return Ok(html! {
            p { "With " (counted(confusion.labels.len(), "class")) " the matrix would not fit a page: these are the "
                (shown.len()) " most frequent of " (counted(pairs.len(), "confused pair")) "." }
            div.scroll { table {
                thead { tr { th { "Label" } th { "Predicted as" } th.n { "Rows" } th.n { "Of the label’s rows" } } }
                tbody { @for &(truth, predicted, cell) in shown { tr {
                    td { (text(&confusion.labels[truth], 60)) }
                    td { (text(&confusion.labels[predicted], 60)) }
                    td.n { (count(cell)) }
                    td.n { (percent(part(cell, truth))) }
                } } }
            } }
        });
    }
    Ok(html! {
        div.scroll { table.confusion {
            thead {
                tr { th.corner {} th.over colspan=(confusion.labels.len()) { "Predicted" } }
                tr { th.corner { "Label" } @for label in &confusion.labels { th.n { (text(label, HEADING_TEXT)) } } }
            }
            tbody { @for (truth, row) in confusion.counts.iter().enumerate() { tr {
                th scope="row" { (text(&confusion.labels[truth], HEADING_TEXT)) }
                @for (predicted, &cell) in row.iter().enumerate() {
                    @let share = part(cell, truth);
                    td.right[truth == predicted].wrong[truth != predicted].strong[share > 0.55] style=(format!("--a:{:.1}%", 100.0 * share)) {
                        (count(cell)) span.ends { (percent(share)) }
                    }
                }
            } } }
        } }
        p.note { "Rows are labels, columns predictions; percentages are of the label’s rows." }
    })
}

/// Candidates with their scores on one scale.
pub(super) fn comparison(comparison: &CandidateTable, what: &str) -> Markup {
    let names = comparison.setting_names();
    let scale = super::plot::span(
        comparison.rows.iter().flat_map(|row| [row.score.mean, row.score.low, row.score.high]),
    );
    let timed = comparison.rows.iter().any(|row| row.seconds.is_some());
    html! {
        @if let Some(reason) = &comparison.reason { p { (reason) } }
        div.scroll { table {
            thead { tr {
                th { (what) }
                th.n { (comparison.metric) @if comparison.lower_is_better { " " span.muted { "lower is better" } } }
                th.wide { span.hidden { "On one scale" } }
                @for name in &names { th.n { (name) } }
                @if timed { th.n { "Seconds" } }
            } }
            tbody { @for row in &comparison.rows { tr.chosen[row.chosen] {
                th scope="row" { (text(&row.name, 60)) @if row.chosen { " " span.tag { "chosen" } } }
                td.n { (score(row.score.mean)) @if let Some(ends) = ends(row.score) { span.ends { (ends) } } }
                td { (whisker(row.score, scale)) }
                @for name in &names {
                    td.n { @if let Some((_, value)) = row.settings.iter().find(|(known, _)| known == name) { (text(value, 30)) } }
                }
                @if timed { td.n { @if let Some(seconds) = row.seconds { (format!("{seconds:.2}")) } } }
            } } }
        } }
    }
}

/// Tokens on a background that says how much each adds (full) or takes away (dotted underline). Many tokens are
/// folded away behind the first ones.
pub(super) fn token_shares(shares: &[TokenShare]) -> Markup {
    let largest = largest_share(shares).max(f64::MIN_POSITIVE);
    let pieces = pieces(shares);
    let (shown, folded) = pieces.split_at(pieces.len().min(MOST_TOKENS));
    let coloured = |pieces: &[Piece<'_>]| {
        html! {
            span.shares dir="auto" { @for piece in pieces {
                @if piece.spaced { " " }
                @let weight = if piece.share.is_finite() { piece.share.abs() / largest } else { 0.0 };
                @let class = if weight < 0.02 { "t" } else if piece.share > 0.0 { "t up" } else { "t down" };
                span class=(class) style=[(weight >= 0.02).then(|| format!("--a:{:.0}%", 80.0 * weight))]
                    title=(format!("{} {}", piece.text, signed(piece.share))) { (piece.text) }
            } }
        }
    };
    html! {
        (coloured(shown))
        @if !folded.is_empty() {
            details { summary { "… " (counted(folded.len(), "more token")) } (coloured(folded)) }
        }
    }
}

/// What the colours of [`token_shares`] mean.
pub(super) fn share_key(label: &str) -> Markup {
    html! {
        p.note.shares {
            span.t.up style="--a:60%" { "Blue" } " adds to the logit of " (label) ", "
            span.t.down style="--a:60%" { "orange, dotted" } " takes away; point at a token to read its share."
        }
    }
}

/// Wrong predictions, surest first.
pub(super) fn mistakes(mistakes: &[Mistake]) -> Markup {
    let explained = mistakes.iter().any(|mistake| !mistake.shares.is_empty());
    html! {
        @if explained { (share_key("the predicted class")) }
        div.scroll { table.texts {
            thead { tr { th { "Text" } th { "Label" } th { "Predicted" } th.n { "Sure" } } }
            tbody { @for mistake in mistakes { tr {
                td {
                    @if mistake.shares.is_empty() { (text(&mistake.text, CELL_TEXT)) }
                    @else { (token_shares(&mistake.shares)) }
                }
                td { (text(&mistake.truth, 60)) }
                td { (text(&mistake.predicted, 60)) }
                td.n { (percent(mistake.probability)) }
            } } }
        } }
    }
}

/// Rows whose label the out-of-fold predictions contradict.
pub(super) fn label_errors(errors: &[LabelError]) -> Markup {
    let numbered = errors.iter().any(|error| error.row.is_some());
    html! {
        div.scroll { table.texts {
            thead { tr { @if numbered { th.n { "Row" } } th { "Text" } th { "Label" } th { "Perhaps" } } }
            tbody { @for error in errors { tr {
                @if numbered { td.n { @if let Some(row) = error.row { (count(row)) } } }
                td { (text(&error.text, CELL_TEXT)) }
                td { (text(&error.given, 60)) " " span.muted { (percent(error.given_probability)) } }
                td { (text(&error.suggested, 60)) " " span.muted { (percent(error.suggested_probability)) } }
            } } }
        } }
    }
}

/// Predictions taken apart.
pub(super) fn explanations(explanations: &[ExplainedAnswer]) -> Markup {
    let first_order = explanations.iter().any(|explanation| !explanation.exact);
    html! {
        (share_key("the class named"))
        ul.explanations { @for explanation in explanations { li {
            p.sum {
                b { (text(&explanation.label, 60)) } " " (percent(explanation.probability))
                span.muted { " logit " (signed(explanation.logit)) ", of which bias " (signed(explanation.bias)) }
            }
            div { (token_shares(&explanation.shares)) }
        } } }
        @if first_order {
            p.note { "The embeddings are normalised: shares are exact to first order and sum to the logit." }
        }
    }
}
