//! The page: head, summary, sections in order.

use super::format::{MISSING, count, counted, ends, is_forbidden, percent, score, shorten};
use super::{MetricRow, MetricTable, ReportData, clusters, figures, scatter, tables};
use crate::error::Result;
use base64::prelude::{BASE64_STANDARD, Engine};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Renders the report as one HTML file.
///
/// All texts of `data` are escaped, long ones are shortened with the whole in a title, and control characters
/// are replaced. NaN is shown as a dash.
///
/// # Errors
/// The data contradict themselves: a confusion matrix that is not square, or a map point of a class without a name.
pub fn render(data: &ReportData) -> Result<String> {
    let sections = sections(data)?;
    // The policy names the one script by its hash: nothing else on the page can run or load. Browsers hash what
    // they have parsed, in which no carriage return is left; a checkout may have put some.
    let script = SCRIPT.replace('\r', "");
    let hash = BASE64_STANDARD.encode(Sha256::digest(&script));
    let policy = format!("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{hash}'");
    let title = if data.title.trim().is_empty() { "Training report" } else { &data.title };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content=(concat!("frostbert ", env!("CARGO_PKG_VERSION")));
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 dir="auto" { (tables::text(title, 160)) }
                    (byline(data))
                    @if sections.len() > 2 {
                        nav aria-label="Contents" { ul { @for section in &sections {
                            li { a href=(format!("#{}", section.id)) { (section.title) } }
                        } } }
                    }
                }
                main {
                    (warnings(&data.warnings))
                    @if let Some(metrics) = &data.metrics { (summary(metrics)) }
                    @for section in &sections {
                        section id=(section.id) {
                            h2 { (section.title) }
                            @if !section.lead.is_empty() { p.lead { (section.lead) } }
                            (section.body)
                        }
                    }
                    @if sections.is_empty() { p.lead { "Nothing was reported." } }
                }
                footer { "Made by frostbert " (env!("CARGO_PKG_VERSION")) ". This file needs no network." }
                script { (PreEscaped(script)) }
            }
        }
    };
    // maud escapes what has a meaning in HTML; this is the one place for what has none.
    let forbidden = |c: char| is_forbidden(c) && c != '\n' && c != '\t';
    Ok(page.into_string().replace('\r', "").replace(forbidden, "\u{fffd}"))
}

struct Section {
    id: &'static str,
    title: &'static str,
    /// One sentence on what the section answers.
    lead: &'static str,
    body: Markup,
}

fn sections(data: &ReportData) -> Result<Vec<Section>> {
    let mut sections = vec![];
    let mut add = |id, title, lead, body| sections.push(Section { id, title, lead, body });
    if let Some(metrics) = data.metrics.as_ref().filter(|metrics| !metrics.rows.is_empty()) {
        add("metrics", "Metrics", "", tables::metrics(metrics));
    }
    if !data.classes.is_empty() {
        add("classes", "Classes", "", tables::classes(&data.classes));
    }
    if let Some(confusion) = data.confusion.as_ref().filter(|confusion| !confusion.labels.is_empty()) {
        add("confusion", "Confusion", "Which classes are taken for which.", tables::confusion(confusion)?);
    }
    if let Some(reliability) = &data.reliability
        && reliability.before.iter().chain(&reliability.after).any(|bin| bin.count > 0)
    {
        let lead = "Can the probabilities be believed?";
        add("calibration", "Calibration", lead, figures::reliability(reliability)?);
    }
    if data.coverage.len() > 1 {
        let lead = "How much surer answers are worth.";
        add("coverage", "Coverage and accuracy", lead, figures::coverage(&data.coverage)?);
    }
    if !data.curves.is_empty() {
        let lead = "Each class against the rest, at every threshold.";
        add("curves", "ROC and precision-recall", lead, figures::curves(&data.curves)?);
    }
    if !data.regression.is_empty() {
        add("regression", "Predictions", "", figures::regression(&data.regression)?);
    }
    if let Some(curve) = data.learning_curve.as_ref().filter(|curve| !curve.points.is_empty()) {
        add("learning", "Learning curve", "", figures::learning_curve(curve)?);
    }
    if let Some(layers) = data.layers.as_ref().filter(|layers| !layers.rows.is_empty()) {
        let lead = "Which layers of the encoder the embeddings come from.";
        add("layers", "Layers", lead, tables::comparison(layers, "Layers"));
    }
    if let Some(long) = data.long.as_ref().filter(|long| !long.rows.is_empty()) {
        let lead = "What of texts that are longer than the model takes is embedded.";
        add("long", "Long texts", lead, tables::comparison(long, "Embedded"));
    }
    if let Some(words) = data.words.as_ref().filter(|words| !words.rows.is_empty()) {
        let lead = "How much the descriptions of the classes count beside the examples.";
        add("words", "Started from words", lead, tables::comparison(words, "Weight"));
    }
    if let Some(kinds) = data.kinds.as_ref().filter(|kinds| !kinds.rows.is_empty()) {
        add("kinds", "Kinds of head", "", tables::comparison(kinds, "Kind"));
    }
    if let Some(found) = data.clusters.as_ref().filter(|found| !found.clusters.is_empty()) {
        let lead = "What the texts are about: groups of those that the encoder finds alike, named by the words that tell them apart.";
        add("clusters", "Clusters", lead, clusters::section(found)?);
    }
    let maps: Vec<_> = data.maps.iter().filter(|map| !map.points.is_empty()).collect();
    if !maps.is_empty() {
        let drawn: Vec<Markup> =
            maps.iter().enumerate().map(|(at, map)| scatter::map(map, at)).collect::<Result<_>>()?;
        let lead = "Texts that the encoder finds alike lie close together.";
        add("map", "Map of the embeddings", lead, html! { @for map in drawn { (map) } });
    }
    if !data.mistakes.is_empty() {
        let lead = "Wrong predictions that the head was most sure of.";
        add("mistakes", "Surest mistakes", lead, tables::mistakes(&data.mistakes));
    }
    if !data.label_errors.is_empty() {
        let lead = "Rows whose label the head, trained without them, contradicts. Read them: a wrong label \
                    costs twice, once in training and once in the score.";
        add("labels", "Likely label errors", lead, tables::label_errors(&data.label_errors));
    }
    if !data.explanations.is_empty() {
        let lead = "With mean pooling and a linear head, a logit is a sum over tokens.";
        add("tokens", "Token shares", lead, tables::explanations(&data.explanations));
    }
    if let Some(body) = provenance(data) {
        add("provenance", "Model, data, settings", "", body);
    }
    if !data.usage.is_empty() {
        add("use", "Use the head", "", usage(data));
    }
    Ok(sections)
}

fn byline(data: &ReportData) -> Markup {
    let mut parts: Vec<String> = vec![];
    if let Some(summary) = &data.data {
        parts.push(counted(summary.rows, "row"));
        if !summary.classes.is_empty() {
            parts.push(counted(summary.classes.len(), "class"));
        }
    }
    if let Some(model) = &data.model {
        parts.push(shorten(&model.name, 60).0);
    }
    parts.extend(data.created.clone());
    html! { @if !parts.is_empty() { p.byline { (parts.join(" · ")) } } }
}

fn warnings(warnings: &[String]) -> Markup {
    html! {
        @if !warnings.is_empty() {
            aside.warnings aria-label="Warnings" {
                h2 { (counted(warnings.len(), "warning")) }
                ul { @for warning in warnings { li dir="auto" { (warning) } } }
            }
        }
    }
}

/// The head's first metrics, large, each against the best baseline.
fn summary(metrics: &MetricTable) -> Markup {
    html! {
        @if !metrics.rows.is_empty() {
            div.tiles { @for metric in metrics.rows.iter().take(4) {
                @let head = metric.values.first().copied();
                div.tile {
                    p.name { (metric.name) }
                    p.value { (head.map_or(MISSING.into(), |head| score(head.mean))) }
                    @if let Some(ends) = head.and_then(ends) { p.ends { (ends) } }
                    @if let Some(words) = against_baselines(metric, &metrics.systems) { p.than { (words) } }
                }
            } }
        }
    }
}

/// The head's lead over the best baseline, for example `0.041 better than TF-IDF`.
fn against_baselines(metric: &MetricRow, systems: &[String]) -> Option<String> {
    let head = metric.values.first()?;
    let baselines = MetricRow { values: metric.values[1..].to_vec(), ..metric.clone() };
    let best = baselines.best()?;
    let name = shorten(systems.get(best + 1)?, 40).0;
    let lead = head.mean - baselines.values[best].mean;
    let lead = if metric.lower_is_better { -lead } else { lead };
    let words = if lead < 0.0 { "worse" } else { "better" };
    lead.is_finite().then(|| format!("{} {words} than {name}", score(lead.abs())))
}

fn provenance(data: &ReportData) -> Option<Markup> {
    let facts = |rows: Vec<(String, String)>| {
        html! { dl { @for (name, value) in rows { dt { (name) } dd { (tables::text(&value, 200)) } } } }
    };
    let mut blocks = vec![];
    if let Some(model) = &data.model {
        let mut rows = vec![
            ("Name".to_string(), model.name.clone()),
            ("Family".into(), model.family.clone()),
            ("Layers".into(), count(model.layers)),
            ("Dimension".into(), count(model.dim)),
            ("Pooling".into(), model.pooling.clone()),
        ];
        rows.extend(model.device.clone().map(|device| ("Device".into(), device)));
        let speed = model.tokens_per_second.filter(|speed| speed.is_finite());
        rows.extend(
            speed.map(|speed| ("Speed".into(), format!("{} tokens/s", count(speed.round() as usize)))),
        );
        rows.retain(|(_, value)| !value.is_empty());
        blocks.push(("Model", facts(rows)));
    }
    if let Some(summary) = &data.data {
        let cut = summary.truncated as f64 / summary.rows.max(1) as f64;
        let rows = vec![
            ("File".to_string(), summary.file.clone()),
            ("Rows".into(), count(summary.rows)),
            (
                "Cut at the longest sequence".into(),
                format!("{} ({})", count(summary.truncated), percent(cut)),
            ),
        ];
        blocks.push(("Data", html! { (facts(rows)) (class_counts(&summary.classes)) }));
    }
    if !data.settings.is_empty() {
        blocks.push(("Settings", facts(data.settings.clone())));
    }
    let command = data.command.as_ref().map(|command| html! { h3 { "Command" } pre { code { (command) } } });
    (!blocks.is_empty() || command.is_some()).then(|| {
        html! {
            div.blocks { @for (name, block) in blocks { div { h3 { (name) } (block) } } }
            @if let Some(command) = command { (command) }
        }
    })
}

fn class_counts(classes: &[(String, usize)]) -> Markup {
    let most = classes.iter().map(|(_, rows)| *rows).max().unwrap_or(1).max(1);
    html! {
        @if !classes.is_empty() { div.scroll.tall[classes.len() > 12] { table.tight {
            thead { tr { th { "Class" } th.n { "Rows" } } }
            tbody { @for (name, rows) in classes { tr {
                th scope="row" { (tables::text(name, 40)) }
                td.n { span.bar style=(format!("--v:{:.1}%", 100.0 * *rows as f64 / most as f64)) { (count(*rows)) } }
            } } }
        } } }
    }
}

fn usage(data: &ReportData) -> Markup {
    html! {
        @for snippet in &data.usage {
            p.lead { (snippet.caption) }
            pre { code { (snippet.code) } }
        }
    }
}
