//! `frostbert train`

mod args;
mod mlp_args;

use std::path::Path;

use frostbert::export::{CardData, model_card};
use frostbert::head::Estimate;
use frostbert::report::{self, ReportData, terminal};
use frostbert::whole_file;
use frostbert::workflow::{HoldOut, Trained, Trainer};
use frostbert::{Error, Result};
use serde_json::{Map, Value, json};

pub use self::args::Args;
use super::{WIDTH, print, print_json};
use crate::progress;
use crate::training_progress::TrainingProgress;

pub fn run(args: &Args) -> Result<()> {
    args.files().check()?;
    let needs_folds = args.report.is_some() || args.label_errors.is_some();
    if args.stream && needs_folds {
        return Err(Error::input(
            "--stream never has all embeddings in memory: --report and --label-errors need out-of-fold predictions; leave \
             them out",
        ));
    }
    let options = args.embed_options()?;
    let (data, test, unlabelled) = args.read()?;

    let encoder = args.model.load()?;
    let options = args.embed.length.suit(options, &encoder);
    let options = args.treat_long(options, encoder.checkpoint().max_tokens());
    let cache = args.cache.open();
    let texts =
        data.len() + test.as_ref().map_or(0, |rows| rows.len()) + unlabelled.len() + args.describe.len();
    let mut progress = TrainingProgress::new(texts as u64, &encoder, &args.embed);
    let trainer = Trainer::new(&encoder)
        .model_location(&args.model.model)
        .embed(progress.bar().attach(options))
        .cache(&cache)
        .hold_out(match &test {
            Some(rows) => HoldOut::Rows(rows),
            None if args.test_fraction() == 0.0 => HoldOut::Nothing,
            None => HoldOut::Share(args.test_fraction()),
        })
        .head(args.train_options())
        .caution(args.caution())
        .keep_sample(args.keep_sample)
        .describe(args.describe.clone())
        .unlabelled(unlabelled)
        .choose_layers(args.chooses_layers())
        .choose_long(args.chooses_long())
        .baselines(!args.no_baselines)
        .details(args.report.is_some());
    let trained = if args.stream {
        // Beside the head: where temporary files go is often memory.
        let folder = args.out.parent().filter(|folder| !folder.as_os_str().is_empty());
        trainer.train_stream(&data, Some(folder.unwrap_or(Path::new("."))), &mut |event| progress.show(event))
    } else {
        trainer.train(&data, &mut |event| progress.show(event))
    };
    progress.finish();
    let trained = trained?;
    tell(&trained);
    write(args, &trained)?;
    if args.json { print_json(&as_json(args, &trained)) } else { print(&as_text(args, &trained)?) }
}

/// What a user should see whatever becomes of the results.
fn tell(trained: &Trained) {
    let record = &trained.record;
    if let Some(choice) = &record.layers {
        eprint!("{}", terminal::layers(choice, WIDTH));
    }
    if !record.converged {
        eprintln!("warning: the fit stopped before its optimum; try --standardize or a smaller --c");
    }
    for warning in &record.warnings {
        eprintln!("warning: {warning}");
    }
}

/// The head, and what else was asked for.
fn write(args: &Args, trained: &Trained) -> Result<()> {
    let text_file = |path: &Path, text: &str| {
        whole_file::write(path, text.as_bytes())
            .map_err(|error| Error::io(format!("cannot write {}", path.display())).with_source(error))
    };
    if let Some(path) = &args.label_errors {
        text_file(path, &trained.label_issues_csv()?)?;
        let issues = trained.record.label_issues.len();
        eprintln!("{issues} rows whose label is likely wrong written to {}", path.display());
    }
    trained.head.save(&args.out)?;
    if let Some(path) = &args.card {
        let name = args.out.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        text_file(path, &model_card(&CardData::of_training(trained, name)?))?;
        eprintln!("model card written to {}", path.display());
    }
    if let Some(path) = &args.report {
        let spinner = progress::spinner("writing the report");
        let data = ReportData::of_training(&trained.record, trained.rows.as_ref(), &args.out);
        let written = data.and_then(|data| report::write(path, &data));
        spinner.finish_and_clear();
        written?;
        eprintln!("report written to {}", path.display());
    }
    Ok(())
}

fn as_json(args: &Args, trained: &Trained) -> Value {
    let record = &trained.record;
    let measures = |summary: &[(String, Estimate)]| -> Vec<Value> {
        let row = |(name, estimate): &(String, Estimate)| json!({ "measure": name, "mean": estimate.mean, "half_width": estimate.half_width });
        summary.iter().map(row).collect()
    };
    let baselines = record.baselines.iter();
    json!({
        "head": args.out,
        "kind": record.settings.kind.name(),
        "classes": record.names,
        "c": record.c,
        "caution": trained.head.caution(),
        "train_rows": record.data.rows,
        "truncated": record.data.truncated,
        "device": record.encoder.as_ref().map(|encoder| &encoder.device),
        "cross_validation": {
            "folds": args.folds,
            "repeats": args.repeats,
            "measures": record.cross_validation.as_ref().map(|cv| measures(&cv.summary)).unwrap_or_default(),
        },
        "baselines": baselines
            .map(|baseline| (baseline.name.to_string(), json!(measures(&baseline.summary))))
            .collect::<Map<_, _>>(),
        "likely_label_errors": record.label_issues.len(),
        "layers": record.layers,
        "long": record.long,
        "words": record.words,
        "test": record.held_out,
        "levels": record.levels,
    })
}

fn as_text(args: &Args, trained: &Trained) -> Result<String> {
    let mut text = terminal::training(&trained.record, WIDTH)?;
    let issues = trained.record.label_issues.len();
    if issues > 0 && args.label_errors.is_none() {
        text += &format!(
            "\n{issues} rows have a label that is likely wrong; --label-errors FILE.csv lists them\n"
        );
    }
    if let Some(rule) = trained.head.caution().abstain {
        text += &format!(
            "\ndecides what it is at least {:.3} sure of: {:.1} % of out-of-fold rows, {:.1} % of them right\n",
            rule.below,
            100.0 * rule.coverage,
            100.0 * rule.reached
        );
    }
    if let Some(sets) = trained.head.caution().conformal {
        text += &format!(
            "\nsets hold the right class {} % of the time: every class of at least {:.3}, {:.2} classes on average\n",
            100.0 * sets.coverage,
            sets.at_least,
            sets.mean_size
        );
    }
    text += &format!("\nhead written to {}\n", args.out.display());
    Ok(text)
}
