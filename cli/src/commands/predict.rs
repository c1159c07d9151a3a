//! `frostbert predict`

use std::io::IsTerminal;
use std::path::PathBuf;

use frostbert::head::{Decision, Problem};
use frostbert::report;
use frostbert::report::ReportData;
use frostbert::{Explanation, Prediction, Result, Text};
use serde_json::{Map, Value, json};

use super::{print, print_json};
use crate::args::{HeadArgs, RowArgs, open_cache};

/// Texts predicted at a time: memory stays flat however long the file is.
const CHUNK: usize = 4096;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    head: HeadArgs,
    /// Table of texts, or - for stdin
    #[arg(value_name = "FILE", required_unless_present = "text", conflicts_with = "text")]
    file: Option<PathBuf>,
    /// A text, instead of a file; may be given several times
    #[arg(long)]
    text: Vec<String>,
    #[command(flatten)]
    rows: RowArgs,
    /// Take embeddings from the embedding cache, and leave new ones in it
    #[arg(long)]
    cache: bool,
    /// Leave undecided what is less sure than this probability
    #[arg(long, value_name = "P", value_parser = parse_probability)]
    abstain: Option<f64>,
    /// Say what each token adds to the answer's logit (linear heads over mean pooling). Where embeddings are scaled to unit
    /// length, that is to first order; the shares sum to the logit all the same
    #[arg(long)]
    explain: bool,
    /// With --explain: write the shares of the first texts as an HTML page, too
    #[arg(long, value_name = "FILE.html", requires = "explain")]
    report: Option<PathBuf>,
    /// One JSON object a line, with every probability
    #[arg(long)]
    json: bool,
}

fn parse_probability(text: &str) -> std::result::Result<f64, String> {
    let probability = text.parse().ok().filter(|p| (0.0..=1.0).contains(p));
    probability.ok_or_else(|| "expected a probability, from 0 to 1".into())
}

/// Columns of a terminal that token shares are laid out for.
const WIDTH: usize = 100;
/// Texts in the HTML page.
const SHOWN: usize = 200;

pub fn run(args: &Args) -> Result<()> {
    let mut texts = args.rows.texts(args.file.as_deref(), &args.text)?.rows;
    let classifier = args.head.load()?;
    let cache = open_cache(args.cache);
    let names = classifier.head().names();
    let mut shown: Vec<report::Explanation> = Vec::new();
    let (mut read, mut truncated) = (0, 0);
    loop {
        let chunk = texts.by_ref().take(CHUNK).collect::<Result<Vec<Text>>>()?;
        if chunk.is_empty() {
            if truncated > 0 {
                eprintln!(
                    "warning: {truncated} of {read} texts are longer than the model takes and were cut"
                );
            }
            if args.cache {
                let (hits, misses) = (cache.hits(), cache.misses());
                eprintln!("{hits} of {} different texts came from the cache", hits + misses);
            }
            if let Some(path) = &args.report {
                let title = format!("What {} answers, token by token", args.head.head.display());
                report::write(path, &ReportData { title, explanations: shown, ..ReportData::default() })?;
                eprintln!("page written to {}", path.display());
            }
            return Ok(());
        }
        let predictions = classifier.predict_cached(chunk.iter().cloned(), &cache)?;
        read += predictions.len();
        truncated += predictions.iter().filter(|prediction| prediction.truncated).count();
        let explanations = if args.explain { classifier.explain(chunk.iter().cloned())? } else { Vec::new() };
        for (at, (text, prediction)) in chunk.iter().zip(&predictions).enumerate() {
            let decision = classifier.head().decide(&prediction.probabilities, args.abstain);
            let explanation = explanations.get(at);
            if args.json {
                let mut object = as_json(text, prediction, &decision, names);
                if let Some(explanation) = explanation {
                    object["explanation"] = json!(explanation);
                }
                print_json(&object)?;
            } else {
                let problem = classifier.head().problem();
                print(&line(text, prediction, &decision, names, problem))?;
            }
            if let Some(explanation) = explanation {
                let name = explained(&decision, &prediction.probabilities);
                let shown_as = as_shown(explanation, prediction, name, names);
                if !args.json {
                    print(&taken_apart(&shown_as))?;
                }
                if shown.len() < SHOWN {
                    shown.push(shown_as);
                }
            }
        }
    }
}

/// Whose logit is explained: the answer's; of several labels, and where nothing was decided, the likeliest one's.
fn explained(decision: &Decision, probabilities: &[f64]) -> usize {
    match decision {
        Decision::Class { class, .. } => *class,
        _ => (0..probabilities.len())
            .max_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b]))
            .unwrap_or(0),
    }
}

fn as_shown(
    explanation: &Explanation,
    prediction: &Prediction,
    name: usize,
    names: &[String],
) -> report::Explanation {
    let share = |(token, shares): (&String, &Vec<f64>)| report::TokenShare {
        token: token.clone(),
        share: shares[name],
    };
    report::Explanation {
        label: names[name].clone(),
        probability: prediction.probabilities.get(name).copied().unwrap_or(f64::NAN),
        logit: explanation.logits[name],
        bias: explanation.base[name],
        exact: explanation.exact,
        shares: explanation.tokens.iter().zip(&explanation.shares).map(share).collect(),
    }
}

/// The shares, and how they add up.
fn taken_apart(explanation: &report::Explanation) -> String {
    let order =
        if explanation.exact { "exact" } else { "to first order: embeddings are scaled to unit length" };
    let sum: f64 = explanation.shares.iter().map(|share| share.share).sum();
    format!(
        "  logit of {}: {:.3} = {:.3} + {sum:.3} from the tokens ({order})\n{}",
        explanation.label,
        explanation.logit,
        explanation.bias,
        report::terminal::token_shares(&explanation.shares, WIDTH, colours())
    )
}

/// Colours are for people at a terminal who have not asked for none (no-color.org).
fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn as_json(text: &Text, prediction: &Prediction, decision: &Decision, names: &[String]) -> Value {
    let probabilities: Map<String, Value> =
        names.iter().zip(&prediction.probabilities).map(|(name, p)| (name.clone(), json!(p))).collect();
    let mut object =
        json!({ "text": text.first, "tokens": prediction.tokens, "truncated": prediction.truncated });
    match decision {
        Decision::Class { class, .. } => object["label"] = json!(names[*class]),
        Decision::Abstained { .. } => object["label"] = Value::Null,
        Decision::Labels(labels) => {
            object["labels"] = labels.iter().map(|label| json!(names[*label])).collect();
        }
        Decision::Value(value) => {
            object["value"] = json!(value);
            return object;
        }
    }
    object["probabilities"] = Value::Object(probabilities);
    object
}

fn line(
    text: &Text,
    prediction: &Prediction,
    decision: &Decision,
    names: &[String],
    problem: Problem,
) -> String {
    let answer = match decision {
        Decision::Class { class, .. } => names[*class].clone(),
        Decision::Abstained { .. } => "(undecided)".to_owned(),
        Decision::Labels(labels) if labels.is_empty() => "(none)".to_owned(),
        Decision::Labels(labels) => {
            labels.iter().map(|label| names[*label].as_str()).collect::<Vec<_>>().join(", ")
        }
        Decision::Value(value) => format!("{value:.6}"),
    };
    let text = text.first.replace(['\n', '\t'], " ");
    if problem == Problem::Regression {
        return format!("{answer}\t{text}\n");
    }
    // The likeliest first; beyond five they say little.
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by(|a, b| prediction.probabilities[*b].total_cmp(&prediction.probabilities[*a]));
    let probabilities: Vec<String> = order
        .iter()
        .take(5)
        .map(|class| format!("{} {:.4}", names[*class], prediction.probabilities[*class]))
        .collect();
    let cut = if prediction.truncated { "  (cut)" } else { "" };
    format!("{answer}\t{}{cut}\t{text}\n", probabilities.join("  "))
}
