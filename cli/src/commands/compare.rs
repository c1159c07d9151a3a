//! `frostbert compare`

use std::path::PathBuf;

use frostbert::head::MeasureDifference;
use frostbert::workflow::EmbedRun;
use frostbert::{Classifier, Result};

use super::{print, print_json};
use crate::args::{CacheArgs, EngineArgs, HeadArgs, LabelArgs, RowArgs};
use crate::progress::EncodeBar;
use crate::terminal::cell;

#[derive(clap::Args)]
pub struct Args {
    /// The first head file
    first: PathBuf,
    /// The second head file
    second: PathBuf,
    /// Labelled texts that neither head was trained on
    data: PathBuf,
    /// The encoder of both heads [default: where each was at training]
    #[arg(long, value_name = "FOLDER|ID")]
    model: Option<String>,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    rows: RowArgs,
    #[command(flatten)]
    labels: LabelArgs,
    /// Compare on the rows of each value of this column, too
    #[arg(long, value_name = "COLUMN")]
    by: Option<String>,
    #[command(flatten)]
    cache: CacheArgs,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let (data, slices) = args.labels.read_sliced(&args.data, &args.rows, args.by.as_deref())?;
    let load = |head: &PathBuf| -> Result<Classifier> {
        HeadArgs { head: head.clone(), model: args.model.clone(), engine: args.engine.clone() }.load()
    };
    let (first, second) = (load(&args.first)?, load(&args.second)?);
    let cache = args.cache.open();
    // Both heads may need embeddings of their own.
    let bar = EncodeBar::new(None, "embedding");
    let run = EmbedRun::default().cache(&cache).progress(bar.progress());
    let found = first.compare(&second, &data, slices.as_deref(), &run);
    bar.finish();
    let found = found?;
    if args.json {
        return print_json(&found);
    }
    let mut text =
        format!("A  {}\nB  {}\n{} rows\n", args.first.display(), args.second.display(), found.rows);
    if let Some(right) = found.right {
        text += &format!(
            "\nright: both {}, only A {}, only B {}, neither {}\n",
            right.both, right.only_first, right.only_second, right.neither
        );
    }
    text += "\nmeasure\tA\tB\tB - A (95 %)\tp\n";
    for measure in &found.measures {
        text += &line(measure.name, measure);
    }
    if let (Some(by), false) = (&args.by, found.slices.is_empty()) {
        text += &format!(
            "\n{} by {} (p corrected for {} slices)\n",
            found.measures[0].name,
            cell(by),
            found.slices.len()
        );
        for slice in &found.slices {
            text += &line(&format!("{} ({} rows)", cell(&slice.name), slice.rows), &slice.measure);
        }
    }
    print(&text)
}

fn line(name: &str, m: &MeasureDifference) -> String {
    let better = match (m.p < 0.05, (m.difference > 0.0) == m.more_is_better) {
        (false, _) => "no difference to speak of",
        (true, true) => "B is better",
        (true, false) => "A is better",
    };
    format!(
        "{name}\t{:.4}\t{:.4}\t{:+.4} ({:+.4} to {:+.4})\t{:.3}\t{better}\n",
        m.first, m.second, m.difference, m.low, m.high, m.p
    )
}
