//! `frostbert train --stream`: an MLP learns from the first embeddings while the others are computed, and memory holds a
//! batch of them at a time.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use frostbert::cache::BestEffort;
use frostbert::head::{Head, Metrics, Progress, StreamRows, train_test_split};
use frostbert::workflow::{RowWriter, row_file};
use frostbert::{CancelToken, EmbedOptions, Embeddings, Encoder, Error, Result, Text, bind_head};
use sha2::{Digest, Sha256};

use super::{Args, CalibrateArg, KindArg, check_out, numbered, report, strata, write_card};
use crate::args::{EmbedArgs, RowArgs, renamed};
use crate::commands::embed::through_cache;
use crate::progress::{self, EncodeBar};
use crate::report_data::warnings;

pub fn run(args: &Args) -> Result<()> {
    refuse(args)?;
    let options = EmbedOptions { cancel: Some(CancelToken::new()), ..args.embed.options()? };
    let every_row = RowArgs { limit: None, ..args.rows.clone() };
    let (group, weight) = (args.group_column.as_deref(), args.weight_column.as_deref());
    let data = args.labels.read(&args.data, &every_row, group, weight)?.drawn(args.rows.limit, args.seed)?;
    let other = args.test.as_ref().map(|test| args.labels.read(test, &every_row, None, None)).transpose()?;
    check_out(&args.out)?;
    args.card.as_deref().map_or(Ok(()), check_out)?;
    let targets = data.targets();
    let groups = (!data.groups.is_empty()).then(|| numbered(&data.groups));
    let mut texts = data.texts;
    let all = texts.len() as u32;
    let (train, test, test_targets) = match other {
        Some(other) => {
            let test_targets = renamed(other.targets(), targets.names())?;
            texts.extend(other.texts);
            ((0..all).collect(), (all..texts.len() as u32).collect(), test_targets)
        }
        None if args.test_fraction == 0.0 => ((0..all).collect(), vec![], targets.select_rows(&[])),
        None => {
            let split =
                train_test_split(&strata(&targets), groups.as_deref(), args.test_fraction, args.seed)?;
            let test_targets = targets.select_rows(&split.test);
            (split.train, split.test, test_targets)
        }
    };

    let encoder = args.model.load()?;
    let cache = args.cache.open();
    let train_options = args.train_options();
    let fingerprint = train_options
        .checkpoint
        .is_some()
        .then(|| fingerprint(&encoder, &options, train.iter().map(|row| &texts[*row as usize])))
        .transpose()?;
    let weights = (!data.weights.is_empty()).then_some(data.weights);
    let rows = StreamRows { train, targets, weights, groups, fingerprint };
    // Computed in the order in which they are asked for.
    let order = [rows.first_pass(&train_options)?, test.clone()].concat();
    // Beside the head: where temporary files go is often memory.
    let folder = args.out.parent().filter(|folder| !folder.as_os_str().is_empty());
    let (writer, reader) = row_file(Some(folder.unwrap_or(Path::new("."))), encoder.dim(&options)?)?;
    let mut reader = reader.in_order(&order);
    let encoded = AtomicBool::new(false);
    let (mut training, predictions) = std::thread::scope(|scope| {
        let encoding = scope.spawn(|| {
            let ordered = order.iter().map(|row| &texts[*row as usize]);
            let done = encode(&encoder, ordered, &options, &args.embed, &cache, writer);
            encoded.store(true, Ordering::Relaxed);
            done
        });
        // One bar at a time: the encoder's first.
        let mut spinner = None;
        let mut show = |step: Progress| {
            if encoded.load(Ordering::Relaxed) {
                let spinner = spinner.get_or_insert_with(|| progress::spinner("training"));
                spinner.set_message(format!("training: epoch {} of at most {}", step.done, step.total));
            }
        };
        let learned =
            Head::train_on_stream(&mut reader, &rows, &train_options, &mut show).and_then(|training| {
                let predictions = training.head.predict_stream(&mut reader, &test)?;
                Ok((training, predictions))
            });
        if let Some(spinner) = spinner {
            spinner.finish_and_clear();
        }
        if learned.is_err() {
            // A head that fails wants no more rows; those embedded by now are in the cache.
            options.cancel.iter().for_each(CancelToken::cancel);
        }
        match encoding.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
            // What stopped the encoder is why rows did not come.
            Err(error) if !error.is_cancelled() => Err(error),
            _ => learned,
        }
    })?;
    let named = |rows: &[u32]| rows.iter().map(|row| &texts[*row as usize]).collect::<Vec<&Text>>();
    let train_targets = rows.targets.select_rows(&rows.train);
    for warning in warnings(&named(&rows.train), &named(&test), &train_targets, &training) {
        eprintln!("warning: {warning}");
    }
    let test_metrics = (!test.is_empty())
        .then(|| Metrics::of(&test_targets, &predictions, Some(training.head.thresholds())));
    bind_head(&mut training.head, &encoder, &options, &args.model.model)?;
    training.head.record.test.clone_from(&test_metrics);
    training.head.save(&args.out)?;
    write_card(args, &training.head, &encoder, &options)?;
    report(args, &encoder, &training, &[], &[], test_metrics.as_ref())
}

/// What stands for the embeddings of these texts before they are there.
fn fingerprint<'a>(
    encoder: &Encoder,
    options: &EmbedOptions,
    texts: impl Iterator<Item = &'a Text>,
) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(format!("{} {:?}", encoder.recipe(options)?.binding()?.digest, encoder.weight_type()));
    for text in texts {
        for part in std::iter::once(&text.first).chain(&text.second) {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.update([u8::from(text.second.is_some())]);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What needs all rows at once.
fn refuse(args: &Args) -> Result<()> {
    let no = |what: &str, instead: &str| {
        Err(Error::input(format!("--stream never has all embeddings in memory: {what}; {instead}")))
    };
    if args.head != KindArg::Mlp {
        return no("it trains what learns by mini-batches", "use --head mlp");
    }
    if args.embed.chooses_layers() {
        return no("--layers auto compares layers on all rows", "name the layers");
    }
    if args.calibrate != CalibrateArg::None {
        return no("--calibrate needs out-of-fold predictions", "leave it out");
    }
    if args.report.is_some() || args.label_errors.is_some() {
        return no("--report and --label-errors need out-of-fold predictions", "leave them out");
    }
    Ok(())
}

/// Embeds the texts in their order, through the cache, into the file.
fn encode<'a>(
    encoder: &Encoder,
    texts: impl ExactSizeIterator<Item = &'a Text>,
    options: &EmbedOptions,
    args: &EmbedArgs,
    cache: &BestEffort,
    mut rows: RowWriter,
) -> Result<()> {
    let bar = EncodeBar::new(Some(texts.len() as u64), "embedding");
    let mut from_cache = 0;
    let texts = texts.map(|text| Ok(text.clone()));
    let mut write = |embedded: Embeddings| rows.write(&embedded.values);
    let report = through_cache(encoder, texts, options, &bar, cache, &mut from_cache, &mut write)?;
    bar.finish();
    eprintln!(
        "{} texts, {from_cache} from the cache; {} tokens embedded in {:.1} s on {}",
        report.texts,
        report.real_tokens,
        bar.seconds(),
        encoder.device().name
    );
    args.warn_truncated(report.truncated, report.texts);
    Ok(())
}
