//! `frostbert classify`: the head that came in the checkpoint.

use std::path::PathBuf;

use frostbert::model::{HeadKind, ProblemType};
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
    let texts = args.rows.texts(args.file.as_deref(), &args.text)?.collect()?;
    let encoder = args.model.load()?;
    let found = encoder.classify(texts.iter().cloned(), &options)?;
    let labels = encoder.checkpoint().labels(HeadKind::Sequence)?;
    let problem = encoder.problem_type();
    for (text, row) in texts.iter().zip(&found) {
        if args.json {
            let scores: serde_json::Map<String, serde_json::Value> =
                labels.iter().zip(&row.scores).map(|(label, score)| (label.clone(), json!(score))).collect();
            print_json(&json!({ "text": text.first, "problem": problem.name(), "scores": scores }))?;
            continue;
        }
        let line = match problem {
            ProblemType::SingleLabel => {
                format!("{}  {:.4}", cell(&labels[row.best()]), row.scores[row.best()])
            }
            ProblemType::MultiLabel => {
                let over = labels.iter().zip(&row.scores).filter(|(_, score)| **score >= 0.5);
                over.map(|(label, score)| format!("{} {score:.4}", cell(label)))
                    .collect::<Vec<_>>()
                    .join(", ")
            }
            ProblemType::Regression => {
                row.scores.iter().map(|score| format!("{score:.4}")).collect::<Vec<_>>().join(" ")
            }
        };
        print(&format!("{line}\t{}\n", cell(&text.first)))?;
    }
    if found.is_empty() { Err(Error::input("there was no text to classify")) } else { Ok(()) }
}
