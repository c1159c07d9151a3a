//! `frostbert drift`

use std::path::PathBuf;

use frostbert::head::Problem;
use frostbert::vectors::{DriftOptions, class_shares, drift};
use frostbert::{Error, Result};
use serde_json::json;

use super::vectors::{SourceArgs, read, shown};
use super::{print, print_json};
use crate::args::{CacheArgs, RowArgs, share};
use crate::terminal::cell;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    /// Table of texts as they were: those a head was trained on, say
    reference: PathBuf,
    /// Table of new texts
    new: PathBuf,
    /// How often two sets of the same kind may be called different
    #[arg(long, default_value_t = 0.01, value_parser = share)]
    alpha: f64,
    /// Rows of each side that the tests compare, drawn by the seed
    #[arg(long, default_value_t = 1000, value_parser = crate::args::at_most::<5_000>)]
    sample: usize,
    /// How many of the new texts that are like none before are shown
    #[arg(long, default_value_t = 10)]
    show: usize,
    /// Decides which rows are drawn, split and permuted
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    rows: RowArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let (old_texts, _) = read(&args.rows, &args.reference)?;
    let (new_texts, numbers) = read(&args.rows, &args.new)?;
    let source = args.source.load()?;
    let cache = args.cache.open();
    let old = source.embed(&old_texts, "embedding the reference", &cache)?;
    let new = source.embed(&new_texts, "embedding new texts", &cache)?;
    let mut options = DriftOptions::default();
    (options.alpha, options.rows, options.seed) = (args.alpha, args.sample, args.seed);
    let found = drift(&old, &new, &options)?;
    // What a head answers there, and how many of each class that means.
    let mut shares = vec![];
    if let Some(head) = source.head().filter(|head| head.problem() == Problem::SingleLabel) {
        let (before, after) = (head.predict_proba(&old)?, head.predict_proba(&new)?);
        let classes = head.names().len();
        let mean = |p: &[f64]| -> Vec<f64> {
            let rows = (p.len() / classes) as f64;
            (0..classes).map(|j| p.iter().skip(j).step_by(classes).sum::<f64>() / rows).collect()
        };
        let before = mean(&before);
        let estimated = class_shares(&after, &before)?;
        shares = head.names().iter().cloned().zip(before.into_iter().zip(estimated)).collect();
    }
    let novel: Vec<(u64, f32, &frostbert::Text)> = (found.novel.iter().take(args.show))
        .map(|(row, cosine)| (numbers[*row], *cosine, &new_texts[*row]))
        .collect();
    if args.json {
        let mut report = serde_json::to_value(&found)
            .map_err(|error| Error::io("cannot write the result as JSON").with_source(error))?;
        report["novel"] = novel
            .iter()
            .map(|(row, cosine, text)| json!({ "row": row, "similarity": cosine, "text": text.first }))
            .collect();
        report["label_shares"] = shares
            .iter()
            .map(|(name, (before, now))| json!({ "label": name, "reference": before, "new": now }))
            .collect();
        return print_json(&report);
    }
    let verdict = if found.drifted { "the new texts look different" } else { "no difference found" };
    let mut text = format!(
        "{verdict} ({} against {} texts, false alarms {})\n\n",
        found.compared[1], found.compared[0], args.alpha
    );
    text += &format!(
        "  a classifier tells new from old with an AUC of {:.3} (p = {:.2e})\n",
        found.auc, found.auc_p
    );
    text += &format!("  kernel discrepancy {:.5} (p = {:.3})\n", found.mmd, found.mmd_p);
    text += &format!(
        "  {:.1} % of the new texts are like no reference text (cosine below {:.3}; 1 % of the reference is)\n",
        100.0 * found.novel_share,
        found.novel_below
    );
    if !shares.is_empty() {
        text += "\nshares of labels: reference, new (estimated under label shift)\n";
        for (name, (before, now)) in &shares {
            text += &format!("  {}\t{:.1} %\t{:.1} %\n", cell(name), 100.0 * before, 100.0 * now);
        }
    }
    if !novel.is_empty() {
        text += "\nnew texts that are like none before: row, cosine with the nearest\n";
        for (row, cosine, novel) in novel {
            text += &format!("  {row}\t{cosine:.3}\t{}\n", shown(novel));
        }
    }
    print(&text)
}
