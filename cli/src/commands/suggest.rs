//! `frostbert suggest`

use std::collections::HashSet;
use std::path::PathBuf;

use frostbert::head::{Matrix, Problem};
use frostbert::vectors::{Strategy, SuggestOptions, suggest};
use frostbert::{Error, Result, Text};
use serde_json::json;

use super::vectors::{SourceArgs, Table, draw, read, shown};
use super::{print, print_json};
use crate::args::{CacheArgs, RowArgs};
use crate::outputs::{Content, Files, OutputArgs};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    /// Table of texts without labels
    file: PathBuf,
    /// Table of texts that are labelled already: neither they nor anything like them is suggested
    #[arg(long, value_name = "FILE")]
    labelled: Option<PathBuf>,
    /// How many texts
    #[arg(long, default_value_t = 20, value_parser = crate::args::at_most::<1_000_000>)]
    count: usize,
    /// How they are chosen: mixed (uncertain and diverse; without a head, as typical), margin, entropy, diverse or typical
    #[arg(long, default_value_t)]
    strategy: Strategy,
    /// Texts whose cosine with a labelled or suggested one is at least this are passed over
    #[arg(long, default_value_t = 0.97, value_name = "COSINE")]
    duplicate: f32,
    /// Decides where clusters start
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    rows: RowArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// Write a CSV table to be labelled: row, text, label (empty), margin
    #[arg(long, value_name = "FILE.csv")]
    out: Option<PathBuf>,
    /// Draw where the suggested texts lie among the others, as an HTML page
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    #[command(flatten)]
    outputs: OutputArgs,
    /// One JSON object a text
    #[arg(long)]
    json: bool,
}

/// Columns of the table.
const COLUMNS: &str = "row,text,label,margin";

pub fn run(args: &Args) -> Result<()> {
    let files = Files::new(&args.outputs)
        .input(Some(&args.file))
        .input(args.labelled.as_deref())
        .input(args.source.head.as_deref())
        .model(args.source.model.as_deref().unwrap_or_default())
        .output("--out", args.out.as_deref(), Content::Table(COLUMNS))
        .output("--report", args.report.as_deref(), Content::Page);
    files.check()?;
    let (texts, numbers) = read(&args.rows, &args.file)?;
    let labelled = match &args.labelled {
        Some(path) => read(&RowArgs { limit: None, ..args.rows.clone() }, path)?.0,
        None => vec![],
    };
    // Word for word the same as a labelled one: no need to embed it.
    let known: HashSet<&Text> = labelled.iter().collect();
    let fresh: Vec<usize> = (0..texts.len()).filter(|at| !known.contains(&texts[*at])).collect();
    if fresh.is_empty() {
        return Err(Error::input(format!("{}: every text in it is labelled already", args.file.display())));
    }
    let source = args.source.load()?;
    let cache = args.cache.open();
    let pool: Vec<Text> = fresh.iter().map(|at| texts[*at].clone()).collect();
    let rows = source.embed(&pool, "embedding", &cache)?;
    let of_labelled = if labelled.is_empty() {
        Matrix::new(0, rows.columns(), vec![])?
    } else {
        source.embed(&labelled, "embedding labelled texts", &cache)?
    };
    let probabilities = match source.head() {
        Some(head) if head.problem() == Problem::SingleLabel => Some(head.predict_proba(&rows)?),
        Some(head) if head.problem() == Problem::MultiLabel => {
            // The label that is least decided: how far its probability is from its threshold, as two classes.
            let p = head.predict_proba(&rows)?;
            let each = p.chunks_exact(head.names().len().max(1)).flat_map(|row| {
                let decided = row.iter().zip(head.thresholds()).map(|(p, threshold)| (p - threshold).abs());
                let least = decided.fold(1.0, f64::min) / 2.0;
                [0.5 + least, 0.5 - least]
            });
            Some(each.collect())
        }
        Some(_) => {
            return Err(Error::input(
                "suggesting texts by a head that predicts a number is not possible: it does not say how sure it is; name the \
                 model instead of the head to choose diverse texts",
            ));
        }
        None => None,
    };
    let mut options = SuggestOptions::new(args.count);
    (options.strategy, options.duplicate, options.seed) = (args.strategy, args.duplicate, args.seed);
    let found = suggest(&rows, &of_labelled, probabilities.as_deref(), &options)?;
    let mut table = Table::new(args.out.as_deref(), COLUMNS)?;
    for one in &found {
        let (row, text) = (numbers[fresh[one.row]], &pool[one.row]);
        let margin = one.margin.map_or(String::new(), |margin| format!("{margin:.4}"));
        if args.json {
            print_json(&json!({
                "row": row, "text": text.first, "pair": text.second, "margin": one.margin, "nearest_labelled": one.nearest_labelled,
            }))?;
        } else if args.out.is_none() {
            print(&format!("{row}\t{margin}\t{}\n", shown(text)))?;
        }
        table.row([&row.to_string(), &text.first, "", &margin])?;
    }
    table.finish()?;
    if let Some(path) = &args.report {
        let mut kinds = vec![0; pool.len()];
        found.iter().for_each(|one| kinds[one.row] = 1);
        kinds.resize(pool.len() + labelled.len(), 2);
        let texts: Vec<&Text> = pool.iter().chain(&labelled).collect();
        let names = ["not suggested", "suggested", "labelled"].map(String::from);
        draw(
            path,
            &format!("{} texts to label next", found.len()),
            (&rows, &of_labelled),
            &kinds,
            &names,
            &texts,
        )?;
    }
    if let Some(path) = &args.out {
        eprintln!("{} texts to label written to {}", found.len(), path.display());
    }
    if found.len() < args.count {
        eprintln!(
            "note: {} of {} texts are suggested; the others are nearly the same as one that is labelled or suggested (--duplicate)",
            found.len(),
            args.count
        );
    }
    Ok(())
}
