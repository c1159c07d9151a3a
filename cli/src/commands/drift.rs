//! `frostbert drift`

use std::path::PathBuf;

use frostbert::head::Problem;
use frostbert::vectors::{DriftOptions, class_shares, drift};
use frostbert::{Error, Result};
use serde_json::json;

use super::vectors::{SourceArgs, draw, read, shown};
use super::{print, print_json};
use crate::args::{CacheArgs, RowArgs, share};
use crate::outputs::{Content, Files, OutputArgs};
use crate::terminal::cell;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    /// Table of texts as they were: those a head was trained on, say. Left out: the sample that the head keeps (train --keep-sample)
    #[arg(value_name = "REFERENCE")]
    first: PathBuf,
    /// Table of new texts
    #[arg(value_name = "NEW")]
    second: Option<PathBuf>,
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
    /// Draw where the new texts lie among the old ones, as an HTML page
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    #[command(flatten)]
    outputs: OutputArgs,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let files = Files::new(&args.outputs)
        .input(Some(&args.first))
        .input(args.second.as_deref())
        .input(args.source.head.as_deref())
        .model(args.source.model.as_deref().unwrap_or_default())
        .output("--report", args.report.as_deref(), Content::Page);
    files.check()?;
    let (reference, new) = match &args.second {
        Some(second) => (Some(&args.first), second),
        None => (None, &args.first),
    };
    let old_texts = reference.map(|table| read(&args.rows, table)).transpose()?;
    let (new_texts, numbers) = read(&args.rows, new)?;
    let source = args.source.load()?;
    let sample = source.head().and_then(|head| head.sample()).filter(|_| reference.is_none());
    if reference.is_none() && sample.is_none() {
        return Err(Error::input(
            "there is nothing to compare the new texts with: name the table of old ones before that of the new ones, or a head that \
             was trained with --keep-sample",
        ));
    }
    let cache = args.cache.open();
    let old = match (&old_texts, sample) {
        (Some((texts, _)), _) => source.embed(texts, "embedding the reference", &cache)?,
        (None, Some(sample)) => sample.rows(),
        (None, None) => unreachable!("one of the two is there"),
    };
    let mut new = source.embed(&new_texts, "embedding new texts", &cache)?;
    if let Some(sample) = sample {
        // What is kept is rounded: the tests must not find that.
        new = sample.rounded(&new)?;
    }
    let mut options = DriftOptions::default();
    (options.alpha, options.rows, options.seed) = (args.alpha, args.sample, args.seed);
    let found = drift(&old, &new, &options)?;
    // What a head answers there, and how many of each class that means.
    let mut shares = vec![];
    if let Some(head) = source.head().filter(|head| head.problem() == Problem::SingleLabel) {
        let after = head.predict_proba(&new)?;
        let classes = head.names().len();
        let mean = |p: &[f64]| -> Vec<f64> {
            let rows = (p.len() / classes) as f64;
            (0..classes).map(|j| p.iter().skip(j).step_by(classes).sum::<f64>() / rows).collect()
        };
        let before = match sample {
            Some(sample) => sample.answers().to_vec(),
            None => mean(&head.predict_proba(&old)?),
        };
        let estimated = class_shares(&after, &before)?;
        shares = head.names().iter().cloned().zip(before.into_iter().zip(estimated)).collect();
    }
    if let Some(path) = &args.report {
        let kept = frostbert::Text::from("(one of the texts that the head learnt from)");
        let mut kinds = vec![0; old.rows()];
        kinds.resize(old.rows() + new.rows(), 1);
        found.novel.iter().for_each(|(row, _)| kinds[old.rows() + row] = 2);
        let of_old = |row: usize| old_texts.as_ref().map_or(&kept, |(texts, _)| &texts[row]);
        let texts: Vec<&frostbert::Text> = (0..old.rows()).map(of_old).chain(&new_texts).collect();
        let names = ["reference", "new", "new, unlike the reference"].map(String::from);
        let title = format!(
            "{} (AUC {:.3}, p = {:.2e}; kernel p = {:.3})",
            if found.drifted { "The new texts look different" } else { "No difference found" },
            found.auc,
            found.auc_p,
            found.mmd_p
        );
        draw(path, &title, (&old, &new), &kinds, &names, &texts)?;
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
