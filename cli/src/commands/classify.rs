//! `frostbert classify`: the head that came in the checkpoint.

use std::path::PathBuf;

use frostbert::model::ProblemType;
use frostbert::{Error, Result};
use serde_json::json;

use super::{print, print_json};
use crate::args::{EmbedArgs, ModelArgs, RowArgs};
use crate::terminal::cell;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Table of texts, or - for stdin
    #[arg(value_name = "FILE", required_unless_present = "text", conflicts_with = "text")]
    file: Option<PathBuf>,
    /// A text, instead of a file; may be given several times
    #[arg(long)]
    text: Vec<String>,
    #[command(flatten)]
    rows: RowArgs,
    #[command(flatten)]
    embed: EmbedArgs,
    /// One JSON object a line, with every label's score
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let options = args.embed.options()?;
    let texts = args.rows.texts(args.file.as_deref(), &args.text)?;
    let encoder = args.model.load()?;
    let options = args.embed.length.suit(options, &encoder);
    let labels = encoder.classification_labels()?;
    let problem = encoder.problem_type();
    let report = encoder.classify_stream(texts.rows, &options, |text, row| {
        if args.json {
            let scores: serde_json::Map<String, serde_json::Value> =
                labels.iter().zip(&row.scores).map(|(label, score)| (label.clone(), json!(score))).collect();
            return print_json(&json!({
                "text": text.first,
                "problem": problem.name(),
                "scores": scores,
                "tokens": row.tokens,
                "truncated": row.truncated,
            }));
        }
        let line = match problem {
            ProblemType::SingleLabel => {
                format!("{}  {:.4}", cell(&labels[row.best()]), row.scores[row.best()])
            }
            ProblemType::MultiLabel => {
                // A single label is always shown: its score is all the answer there is.
                let shown = |score: f32| score >= 0.5 || labels.len() == 1;
                let over = labels.iter().zip(&row.scores).filter(|(_, score)| shown(**score));
                over.map(|(label, score)| format!("{} {score:.4}", cell(label)))
                    .collect::<Vec<_>>()
                    .join(", ")
            }
            ProblemType::Regression => {
                row.scores.iter().map(|score| format!("{score:.4}")).collect::<Vec<_>>().join(" ")
            }
        };
        print(&format!("{line}\t{}\n", cell(&text.first)))
    })?;
    args.embed.warn_truncated(report.truncated, report.texts);
    if report.texts == 0 { Err(Error::input("there was no text to classify")) } else { Ok(()) }
}
