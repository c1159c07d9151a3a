//! `frostbert rerank`: a cross-encoder orders documents by relevance to a query.

use std::path::PathBuf;

use frostbert::{Error, Result};
use serde_json::json;

use super::{print, print_json};
use crate::args::{EmbedArgs, ModelArgs, RowArgs};
use crate::terminal::cell;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// What is looked for
    #[arg(long)]
    query: String,
    /// Table of documents, or - for stdin
    #[arg(value_name = "FILE", required_unless_present = "text", conflicts_with = "text")]
    file: Option<PathBuf>,
    /// A document, instead of a file; may be given several times
    #[arg(long)]
    text: Vec<String>,
    #[command(flatten)]
    rows: RowArgs,
    #[command(flatten)]
    embed: EmbedArgs,
    /// Only the best N
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let options = args.embed.options()?;
    let texts = args.rows.texts(args.file.as_deref(), &args.text)?.collect()?;
    let encoder = args.model.load()?;
    let options = args.embed.length.suit(options, &encoder);
    if args.rows.pair {
        return Err(Error::input("rerank pairs the query with each document itself; leave --pair out"));
    }
    let documents: Vec<&str> = texts.iter().map(|text| text.first.as_str()).collect();
    let ranked = encoder.rerank(&args.query, &documents, &options)?;
    for place in ranked.iter().take(args.top.unwrap_or(usize::MAX)) {
        let text = documents[place.index];
        if args.json {
            print_json(&json!({
                "index": place.index,
                "score": place.score,
                "logit": place.logit,
                "text": text,
                "truncated": place.truncated,
            }))?;
        } else {
            print(&format!("{:>9.6}  {}  {}\n", place.score, place.index, cell(text)))?;
        }
    }
    let truncated = ranked.iter().filter(|place| place.truncated).count();
    args.embed.warn_truncated(truncated as u64, ranked.len() as u64);
    Ok(())
}
