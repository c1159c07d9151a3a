//! `frostbert tag`: token classification with the head that came in the checkpoint.

use std::path::PathBuf;

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
    /// How tokens become spans: none (every token for itself), simple (neighbouring tokens of one type), or by words, which
    /// take the label of their first token (first), of the mean of their tokens (average), of their surest token (max)
    #[arg(long, default_value_t)]
    aggregation: Aggregation,
    /// One JSON object a text
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let options = args.embed.options()?;
    let texts = args.rows.texts(args.file.as_deref(), &args.text)?;
    let encoder = args.model.load()?;
    let options = args.embed.length.suit(options, &encoder);
    // Texts are told apart by an empty line, where there is more than one.
    let mut first = true;
    let report = encoder.tag_stream(texts.rows, args.aggregation, &options, |text, tagged| {
        if args.json {
            return print_json(&json!({
                "text": text.first,
                "entities": tagged.entities,
                "tokens": tagged.tokens,
                "truncated": tagged.truncated,
            }));
        }
        if !std::mem::take(&mut first) {
            print("\n")?;
        }
        for entity in &tagged.entities {
            let (start, end) = (entity.start, entity.end);
            let (label, text) = (cell(&entity.label), cell(&entity.text));
            print(&format!("{label:<12} {:.4}  {start}..{end}  {text}\n", entity.score))?;
        }
        Ok(())
    })?;
    args.embed.warn_truncated(report.truncated, report.texts);
    Ok(())
}
