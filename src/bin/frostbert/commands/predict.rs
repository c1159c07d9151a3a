//! `frostbert predict`

use std::path::PathBuf;

use frostbert::head::{Decision, Problem};
use frostbert::{Prediction, Result, Text};
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
    #[arg(long, value_name = "P")]
    abstain: Option<f64>,
    /// One JSON object a line, with every probability
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let mut texts = args.rows.texts(args.file.as_deref(), &args.text)?.rows;
    let classifier = args.head.load()?;
    let cache = open_cache(args.cache);
    let names = classifier.head().names();
    loop {
        let chunk = texts.by_ref().take(CHUNK).collect::<Result<Vec<Text>>>()?;
        if chunk.is_empty() {
            if args.cache {
                let (hits, misses) = (cache.hits(), cache.misses());
                eprintln!("{hits} of {} different texts came from the cache", hits + misses);
            }
            return Ok(());
        }
        let predictions = classifier.predict_cached_blocking(chunk.iter().cloned(), &cache)?;
        for (text, prediction) in chunk.iter().zip(&predictions) {
            let decision = classifier.head().decide(&prediction.probabilities, args.abstain);
            if args.json {
                print_json(&as_json(text, prediction, &decision, names))?;
            } else {
                let problem = classifier.head().problem();
                print(&line(text, prediction, &decision, names, problem))?;
            }
        }
    }
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
