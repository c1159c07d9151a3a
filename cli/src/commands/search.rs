//! `frostbert search`

use std::path::PathBuf;

use frostbert::vectors::nearest;
use frostbert::{EmbedOptions, Prompt, Result, Text};
use serde_json::json;

use super::vectors::{embed, read, shown};
use super::{print, print_json};
use crate::args::{CacheArgs, EmbedArgs, ModelArgs, RowArgs};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Table of the texts to search (.txt one a line, .csv, .tsv, .jsonl, .parquet)
    file: PathBuf,
    /// What to look for; may be given several times
    #[arg(long, required = true, value_name = "TEXT")]
    query: Vec<String>,
    /// The checkpoint's prompt of this name, put before every query; --prompt-name is the texts'
    #[arg(long, value_name = "NAME", conflicts_with = "query_prompt")]
    query_prompt_name: Option<String>,
    /// This text, put before every query
    #[arg(long, value_name = "TEXT")]
    query_prompt: Option<String>,
    /// How many texts a query
    #[arg(long, default_value_t = 10, value_parser = crate::args::at_most::<100_000>)]
    top: usize,
    #[command(flatten)]
    rows: RowArgs,
    #[command(flatten)]
    embed: EmbedArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// One JSON object for each text found
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let options = args.embed.options()?;
    let (texts, numbers) = read(&args.rows, &args.file)?;
    let encoder = args.model.load()?;
    let options = args.embed.length.suit(options, &encoder);
    let cache = args.cache.open();
    let queries: Vec<Text> = args.query.iter().map(Text::from).collect();
    let asked = EmbedOptions {
        prompt: match (&args.query_prompt_name, &args.query_prompt) {
            (Some(name), _) => Prompt::Named(name.clone()),
            (_, Some(text)) => Prompt::Text(text.clone()),
            _ => options.prompt.clone(),
        },
        ..options.clone()
    };
    // First, because a wrong name of a prompt should not cost the table's time.
    let of_queries = embed(&encoder, &asked, &queries, "embedding queries", &cache)?;
    let of_texts = embed(&encoder, &options, &texts, "embedding", &cache)?;
    for (query, found) in queries.iter().zip(nearest(&of_queries, &of_texts, args.top)?) {
        if !args.json && queries.len() > 1 {
            print(&format!("{}\n", shown(query)))?;
        }
        for near in found {
            let (text, row) = (&texts[near.row], numbers[near.row]);
            if args.json {
                let found = json!({
                    "query": query.first, "row": row, "similarity": near.similarity, "text": text.first, "pair": text.second,
                });
                print_json(&found)?;
            } else {
                print(&format!("{:.4}\t{row}\t{}\n", near.similarity, shown(text)))?;
            }
        }
    }
    Ok(())
}
