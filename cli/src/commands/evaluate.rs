//! `frostbert evaluate`

use std::path::PathBuf;

use frostbert::Result;
use frostbert::report::terminal;
use frostbert::workflow::EmbedRun;
use serde_json::json;

use super::{WIDTH, print, print_json};
use crate::args::{CacheArgs, EmbedArgs, HeadArgs, LabelArgs, RowArgs};
use crate::progress::EncodeBar;
use crate::training_progress::say_embedded;

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
    let classifier = args.head.load()?;
    let cache = args.cache.open();
    let bar = EncodeBar::new(Some(data.len() as u64), "embedding");
    let run = EmbedRun::default().cache(&cache).progress(bar.progress());
    let measured = classifier.evaluate(&data, &run);
    bar.finish();
    let measured = measured?;
    say_embedded(&measured.embedding, classifier.encoder(), &EmbedArgs::default());
    if args.json {
        let truncated = measured.embedding.truncated;
        let mut found = json!({ "rows": measured.rows, "truncated": truncated, "metrics": measured.metrics });
        if let Some(levels) = &measured.levels {
            found["levels"] = json!(levels);
        }
        return print_json(&found);
    }
    let mut tables = terminal::measures(&measured.metrics, WIDTH)?;
    if let Some(levels) = &measured.levels {
        tables += &format!("\n{}", terminal::levels(levels, WIDTH));
    }
    print(&format!("{} rows of {}\n{tables}", measured.rows, args.data.display()))
}
