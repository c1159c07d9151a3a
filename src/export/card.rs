//! A model card in the manner of the Hugging Face hub: YAML front matter, then markdown.
//!
//! Source: the model card specification of the hub (`modelcard.md`, `model-index`).

use std::fmt::Write;

use serde::Serialize;

use crate::model::ProblemType;

/// A figure of the evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// The hub's name for it, in lower case: `accuracy`, `f1`, `matthews_correlation`.
    pub id: String,
    /// As a reader knows it: `Accuracy`, `Macro F1`.
    pub name: String,
    /// The value.
    pub value: f64,
    /// The interval it lies in with 95% confidence.
    pub interval: Option<(f64, f64)>,
}

/// What a model card says. Whatever is empty is left out.
#[derive(Clone, Debug, PartialEq)]
pub struct CardData {
    /// The model's name.
    pub name: String,
    /// A sentence or two: what it does and for whom.
    pub summary: String,
    /// The encoder's id on the hub.
    pub base_model: Option<String>,
    /// SPDX identifier in lower case, as on the hub: `apache-2.0`.
    pub license: Option<String>,
    /// ISO 639-1 codes.
    pub languages: Vec<String>,
    /// What it was trained on: a hub id or a name.
    pub dataset: Option<String>,
    /// What the logits mean.
    pub problem: ProblemType,
    /// The labels, each with its number of training rows; 0 where that is not known.
    pub labels: Vec<(String, u64)>,
    /// How it was evaluated: "5-fold cross-validation, stratified".
    pub evaluation: String,
    /// The figures.
    pub metrics: Vec<Metric>,
    /// Settings of encoder and training, in order: pooling, layers, C, seed, ....
    pub settings: Vec<(String, String)>,
    /// What to watch out for, a sentence each: classes with few rows, what the data lacks.
    pub limitations: Vec<String>,
    /// Whether the model is a folder that transformers loads; otherwise a head file.
    pub for_transformers: bool,
}

/// The card as the text of a README.md.
///
/// ```
/// use frostbert::export::{CardData, Metric, model_card};
/// let card = model_card(&CardData {
///     name: "reviews".into(),
///     summary: "Tells good film reviews from bad ones.".into(),
///     base_model: Some("sentence-transformers/all-MiniLM-L6-v2".into()),
///     license: Some("apache-2.0".into()),
///     languages: vec!["en".into()],
///     dataset: None,
///     problem: frostbert::model::ProblemType::SingleLabel,
///     labels: vec![("bad".into(), 400), ("good".into(), 420)],
///     evaluation: "5-fold cross-validation".into(),
///     metrics: vec![Metric { id: "accuracy".into(), name: "Accuracy".into(), value: 0.767, interval: Some((0.75, 0.78)) }],
///     settings: vec![("pooling".into(), "mean".into())],
///     limitations: vec![],
///     for_transformers: false,
/// });
/// assert!(card.starts_with("---\n"));
/// assert!(card.contains("| Accuracy | 0.767 | 0.750 to 0.780 |"));
/// ```
pub fn model_card(data: &CardData) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = front_matter(&mut text, data).and_then(|()| body(&mut text, data));
    text
}

/// YAML takes JSON's quoted strings and lists as they are, and in them nothing can be mistaken for something else; only control
/// characters, which JSON lets stand above U+007E, have to be escaped.
fn yaml(value: &(impl Serialize + ?Sized)) -> String {
    let json = serde_json::to_string(value).unwrap_or_default();
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_hidden(c) {
            // As JSON writes what is beyond 16 bits: in two halves.
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out
}

/// Controls, line and paragraph separators, what turns the direction of writing, and marks of byte order: nothing that a reader
/// sees, and some of it changes what the reader sees.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

fn front_matter(text: &mut String, data: &CardData) -> std::fmt::Result {
    writeln!(text, "---")?;
    if !data.languages.is_empty() {
        writeln!(text, "language: {}", yaml(&data.languages))?;
    }
    if let Some(license) = &data.license {
        writeln!(text, "license: {}", yaml(license))?;
    }
    writeln!(text, "library_name: {}", if data.for_transformers { "transformers" } else { "frostbert" })?;
    writeln!(text, "pipeline_tag: text-classification")?;
    writeln!(text, "tags: [\"frostbert\", \"text-classification\", \"linear-probe\"]")?;
    if let Some(base) = &data.base_model {
        writeln!(text, "base_model: {}", yaml(base))?;
    }
    if let Some(dataset) = data.dataset.as_ref().filter(|dataset| is_hub_id(dataset)) {
        writeln!(text, "datasets: [{}]", yaml(dataset))?;
    }
    // The hub refuses figures that are not numbers.
    let metrics: Vec<&Metric> = data.metrics.iter().filter(|metric| metric.value.is_finite()).collect();
    if !metrics.is_empty() {
        let dataset = data.dataset.as_deref().unwrap_or("unnamed");
        let ids: Vec<&str> = metrics.iter().map(|metric| metric.id.as_str()).collect();
        writeln!(text, "metrics: {}", yaml(&ids))?;
        writeln!(text, "model-index:")?;
        writeln!(text, "- name: {}", yaml(&data.name))?;
        writeln!(text, "  results:")?;
        writeln!(text, "  - task: {{type: text-classification, name: Text classification}}")?;
        writeln!(text, "    dataset: {{type: {}, name: {}}}", yaml(dataset), yaml(dataset))?;
        writeln!(text, "    metrics:")?;
        for metric in metrics {
            let Metric { id, name, value, .. } = metric;
            writeln!(text, "    - {{type: {}, name: {}, value: {value}}}", yaml(id), yaml(name))?;
        }
    }
    writeln!(text, "---\n")
}

fn body(text: &mut String, data: &CardData) -> std::fmt::Result {
    writeln!(text, "# {}\n", line(&data.name))?;
    if !data.summary.is_empty() {
        writeln!(text, "{}\n", line(&data.summary))?;
    }
    let base = data.base_model.as_deref().unwrap_or("a frozen encoder");
    writeln!(
        text,
        "A linear classifier on the embeddings of {}, which was not changed; trained with \
         [Frostbert](https://github.com/frostbert/frostbert).\n",
        line(base)
    )?;
    usage(text, data)?;
    if !data.labels.is_empty() {
        let kind = match data.problem {
            ProblemType::SingleLabel => "One label for each text.",
            ProblemType::MultiLabel => "Any number of labels for each text.",
            ProblemType::Regression => "Numbers, predicted for each text.",
        };
        writeln!(text, "## Labels\n\n{kind}\n\n| label | training rows |\n|---|---:|")?;
        for (label, rows) in &data.labels {
            let rows = if *rows > 0 { rows.to_string() } else { String::new() };
            writeln!(text, "| {} | {rows} |", line(label))?;
        }
        writeln!(text)?;
    }
    if !data.metrics.is_empty() {
        writeln!(text, "## Evaluation\n")?;
        if !data.evaluation.is_empty() {
            writeln!(text, "{}\n", line(&data.evaluation))?;
        }
        writeln!(text, "| metric | value | 95% interval |\n|---|---:|---|")?;
        for Metric { name, value, interval, .. } in &data.metrics {
            let interval = interval.map(|(low, high)| format!("{low:.3} to {high:.3}")).unwrap_or_default();
            writeln!(text, "| {} | {value:.3} | {interval} |", line(name))?;
        }
        writeln!(text)?;
    }
    if !data.settings.is_empty() {
        writeln!(text, "## Training\n\n| setting | value |\n|---|---|")?;
        for (name, value) in
            data.dataset.iter().map(|dataset| ("data", dataset.as_str())).chain(settings(data))
        {
            writeln!(text, "| {} | {} |", line(name), line(value))?;
        }
        writeln!(text)?;
    }
    if !data.limitations.is_empty() {
        writeln!(text, "## Limitations\n")?;
        for limitation in &data.limitations {
            writeln!(text, "- {}", line(limitation))?;
        }
        writeln!(text)?;
    }
    Ok(())
}

fn usage(text: &mut String, data: &CardData) -> std::fmt::Result {
    writeln!(text, "## Use\n")?;
    if data.for_transformers {
        writeln!(
            text,
            "```python\nfrom transformers import pipeline\n\nclassifier = pipeline(\"text-classification\", model={}, \
             top_k=None)\nprint(classifier(\"A text.\"))\n```\n",
            yaml(&data.name)
        )
    } else {
        writeln!(text, "```sh\nfrostbert predict --head head.safetensors --text \"A text.\"\n```\n")
    }
}

fn settings(data: &CardData) -> impl Iterator<Item = (&str, &str)> {
    data.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

/// `owner/name`, or a name alone, of the characters that the hub allows.
fn is_hub_id(name: &str) -> bool {
    let allowed = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    name.split('/').count() <= 2 && name.split('/').all(allowed)
}

/// Plain text for a table cell, a heading, a paragraph or a list item: one line, with nothing that markdown or HTML would take as
/// its own.
fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // A heading, list or rule is one only at the start: `# `, `- `, `1. `.
    let mut starts = true;
    for c in text.trim().chars() {
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '~' | '$' => {
                out.push('\\');
                out.push(c);
            }
            '#' | '>' | '+' | '-' | '=' | '.' | ')' if starts => {
                out.push('\\');
                out.push(c);
            }
            // An address would become a link.
            ':' if out.ends_with("http") || out.ends_with("https") => out.push_str("&#58;"),
            '@' => out.push_str("&#64;"),
            c if is_hidden(c) => out.push_str(&format!("\\\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
        starts &= c.is_ascii_digit();
    }
    out
}
