//! `frostbert evaluate`

use std::path::PathBuf;

use frostbert::{Classifier, Result};
use serde_json::json;

use super::{print, print_json, train};
use crate::args::{CacheArgs, EmbedArgs, HeadArgs, LabelArgs, RowArgs, renamed};
use crate::tables;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    head: HeadArgs,
    /// Labelled texts
    data: PathBuf,
    #[command(flatten)]
    rows: RowArgs,
    #[command(flatten)]
    labels: LabelArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// JSON instead of tables
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let data = args.labels.read(&args.data, &args.rows, None, None)?;
    let classifier: Classifier = args.head.load()?;
    let embedded = train::embed(
        classifier.encoder(),
        &data,
        classifier.options(),
        &EmbedArgs::default(),
        &args.cache.open(),
        "embedding",
    )?;
    let truncated = embedded.truncated;
    let targets = renamed(embedded.targets, classifier.head().names())?;
    let metrics = classifier.head().evaluate(&train::matrix(embedded.embeddings)?, &targets)?;
    if args.json {
        return print_json(&json!({ "rows": targets.rows(), "truncated": truncated, "metrics": metrics }));
    }
    print(&format!("{} rows of {}\n{}", targets.rows(), args.data.display(), tables::metrics(&metrics)))
}
