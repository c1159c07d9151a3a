//! `frostbert train --stream`: an MLP learns from the first embeddings while the others are computed, and memory holds a
//! batch of them at a time.

use std::sync::atomic::{AtomicBool, Ordering};

use frostbert::cache::{BestEffort, RowWriter, row_file};
use frostbert::head::{Head, Metrics, Progress, StreamRows, train_test_split};
use frostbert::{EmbedOptions, Encoder, Error, Result, bind_head};

use super::{Args, CalibrateArg, KindArg, check_out, numbered, report, strata};
use crate::args::{EmbedArgs, Labelled, RowArgs};
use crate::progress::{self, EncodeBar};

/// Texts that go through the cache at once.
const CHUNK: usize = 4096;

pub fn run(args: &Args) -> Result<()> {
    refuse(args)?;
    let options = args.embed.options()?;
    let every_row = RowArgs { limit: None, ..args.rows.clone() };
    let (group, weight) = (args.group_column.as_deref(), args.weight_column.as_deref());
    let data = args.labels.read(&args.data, &every_row, group, weight)?.drawn(args.rows.limit, args.seed)?;
    check_out(&args.out)?;
    let targets = data.targets();
    let groups = (!data.groups.is_empty()).then(|| numbered(&data.groups));
    let (train, test) = if args.test_fraction == 0.0 {
        ((0..data.texts.len() as u32).collect(), Vec::new())
    } else {
        let split = train_test_split(&strata(&targets), groups.as_deref(), args.test_fraction, args.seed)?;
        (split.train, split.test)
    };
    let rows = StreamRows {
        train,
        targets,
        weights: (!data.weights.is_empty()).then(|| data.weights.clone()),
        groups,
    };

    let encoder = args.model.load()?;
    let cache = args.cache.open();
    let (writer, mut reader) = row_file(None, encoder.dim(&options)?)?;
    let train_options = args.train_options();
    let encoded = AtomicBool::new(false);
    let (training, predictions) = std::thread::scope(|scope| {
        let encoding = scope.spawn(|| {
            let done = encode(&encoder, &data, &options, &args.embed, &cache, writer);
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
        // A head that fails wants no more rows; the texts embedded by then are in the cache.
        drop(reader);
        if let Some(spinner) = spinner {
            spinner.finish_and_clear();
        }
        // What stopped the encoder is why rows did not come.
        encoding.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        learned
    })?;
    let mut training = training;
    let test_metrics = (!test.is_empty()).then(|| {
        Metrics::of(&rows.targets.select_rows(&test), &predictions, Some(training.head.thresholds()))
    });
    bind_head(&mut training.head, &encoder, &options, &args.model.model)?;
    training.head.record.test.clone_from(&test_metrics);
    training.head.save(&args.out)?;
    report(args, &encoder, &training, &[], &[], test_metrics.as_ref())
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
    if args.checkpoint.is_some() {
        return no("--checkpoint knows its data by a hash of all rows", "leave it out");
    }
    Ok(())
}

/// Embeds the texts in their order, through the cache, into the file.
fn encode(
    encoder: &Encoder,
    data: &Labelled,
    options: &EmbedOptions,
    args: &EmbedArgs,
    cache: &BestEffort,
    mut rows: RowWriter,
) -> Result<()> {
    let bar = EncodeBar::new(Some(data.texts.len() as u64), "embedding");
    let (mut done, mut tokens, mut from_cache, mut truncated) = (0, 0, 0, 0);
    for chunk in data.texts.chunks(CHUNK) {
        let options = bar.attach_after(options.clone(), done, tokens);
        let found = encoder.embed_cached_blocking(chunk.iter().cloned(), &options, cache)?;
        rows.write(&found.embeddings.values)?;
        done += chunk.len() as u64;
        tokens += found.report.real_tokens;
        from_cache += found.from_cache;
        truncated += found.embeddings.truncated.iter().filter(|cut| **cut).count() as u64;
        bar.update(done, tokens);
    }
    bar.finish();
    eprintln!(
        "{done} texts, {from_cache} from the cache; {tokens} tokens embedded in {:.1} s on {}",
        bar.seconds(),
        encoder.device().name
    );
    args.warn_truncated(truncated, done);
    Ok(())
}
