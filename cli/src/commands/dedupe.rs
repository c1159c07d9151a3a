//! `frostbert dedupe`

use std::path::PathBuf;

use frostbert::Result;
use frostbert::vectors::duplicates;
use serde_json::json;

use super::vectors::{Table, embed, read, shown};
use super::{print, print_json};
use crate::args::{CacheArgs, EmbedArgs, ModelArgs, RowArgs};
use crate::outputs::{Content, Files, OutputArgs};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Table of texts (.txt one a line, .csv, .tsv, .jsonl, .parquet)
    file: PathBuf,
    /// Texts whose cosine is at least this are the same
    #[arg(long, default_value_t = 0.95, value_name = "COSINE")]
    threshold: f32,
    #[command(flatten)]
    rows: RowArgs,
    #[command(flatten)]
    embed: EmbedArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// Write the rows to leave out as a CSV table: row, duplicate_of, similarity, text
    #[arg(long, value_name = "FILE.csv")]
    out: Option<PathBuf>,
    #[command(flatten)]
    outputs: OutputArgs,
    /// One JSON object for each row to leave out
    #[arg(long)]
    json: bool,
}

/// Columns of the table.
const COLUMNS: &str = "row,duplicate_of,similarity,text";
/// Rows beyond which comparing every pair takes longer than most people wait: said before it begins.
const MANY: usize = 100_000;

pub fn run(args: &Args) -> Result<()> {
    let files = Files::new(&args.outputs).input(Some(&args.file)).model(&args.model.model).output(
        "--out",
        args.out.as_deref(),
        Content::Table(COLUMNS),
    );
    files.check()?;
    let options = args.embed.options()?;
    let (texts, numbers) = read(&args.rows, &args.file)?;
    let encoder = args.model.load()?;
    let options = args.embed.length.suit(options, &encoder);
    let rows = embed(&encoder, &options, &texts, "embedding", &args.cache.open())?;
    if rows.rows() > MANY {
        eprintln!(
            "note: every pair of {} texts is compared; the time grows with the square of their number",
            rows.rows()
        );
    }
    let groups = duplicates(&rows, args.threshold)?;
    let mut table = Table::new(args.out.as_deref(), COLUMNS)?;
    let mut found = 0;
    for group in &groups {
        let kept = numbers[group.rows[0]];
        for (row, similarity) in group.rows[1..].iter().zip(&group.similarities) {
            let (number, text) = (numbers[*row], &texts[*row]);
            found += 1;
            if args.json {
                let line = json!({ "row": number, "duplicate_of": kept, "similarity": similarity, "text": text.first });
                print_json(&line)?;
            } else if args.out.is_none() {
                print(&format!("{number}\t= {kept}\t{similarity:.4}\t{}\n", shown(text)))?;
            }
            table.row([&number.to_string(), &kept.to_string(), &similarity.to_string(), &text.first])?;
        }
    }
    table.finish()?;
    eprintln!(
        "{found} of {} texts are nearly the same as an earlier one, in {} groups; {} are left without them",
        texts.len(),
        groups.len(),
        texts.len() - found
    );
    Ok(())
}
