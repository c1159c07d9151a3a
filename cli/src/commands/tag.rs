//! `frostbert tag`: token classification with the head that came in the checkpoint.

use std::path::PathBuf;

use clap::ValueEnum;
use frostbert::{Aggregation, Result};
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
    /// How tokens become spans
    #[arg(long, value_enum, default_value_t = AggregationArg::Simple)]
    aggregation: AggregationArg,
    /// One JSON object a text
    #[arg(long)]
    json: bool,
}

/// `--aggregation`, as in transformers' token-classification pipeline.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AggregationArg {
    /// Every token for itself
    None,
    /// Neighbouring tokens of one type
    Simple,
    /// A word takes its first token's label
    First,
    /// A word takes its surest token's label
    Max,
}

pub fn run(args: &Args) -> Result<()> {
    let options = args.embed.options()?;
    let texts = args.rows.texts(args.file.as_deref(), &args.text)?.collect()?;
    let encoder = args.model.load()?;
    let aggregation = match args.aggregation {
        AggregationArg::None => Aggregation::None,
        AggregationArg::Simple => Aggregation::Simple,
        AggregationArg::First => Aggregation::First,
        AggregationArg::Max => Aggregation::Max,
    };
    let plain: Vec<&str> = texts.iter().map(|text| text.first.as_str()).collect();
    let tagged = encoder.tag(&plain, aggregation, &options)?;
    for (text, entities) in plain.iter().zip(&tagged) {
        if args.json {
            print_json(&json!({ "text": text, "entities": entities }))?;
            continue;
        }
        for entity in entities {
            let (start, end) = (entity.start, entity.end);
            let (label, text) = (cell(&entity.label), cell(&entity.text));
            print(&format!("{label:<12} {:.4}  {start}..{end}  {text}\n", entity.score))?;
        }
        if plain.len() > 1 {
            print("\n")?;
        }
    }
    Ok(())
}
