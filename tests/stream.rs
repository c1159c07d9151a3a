//! The one stream: windows that start small, a thread that dies is an error, the cache is a stage.

#![allow(clippy::unwrap_used)] // Helpers of tests may.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use frostbert::{CancelToken, Device, EmbedOptions, Encoder, Error, Layers, Result, Text, TokenRequest};

fn encoder(name: &str) -> Encoder {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens").join(name);
    Encoder::load(model.display().to_string()).device(Device::Cpu).batch_tokens(256).build().unwrap()
}

/// Some texts come more than once.
fn texts(count: usize) -> Vec<Text> {
    let words = ["the", "fox", "paris", "coffee", "kernel", "river", "plot"];
    (0..count)
        .map(|n| Text::from(format!("{} {}", words[n * n % 7], words[n % 91 % 7].repeat(1 + n % 3))))
        .collect()
}

/// Panics at text `at` of 400, as an iterator with a defect does.
fn panicking(at: usize) -> impl Iterator<Item = Result<Text>> + Send + 'static {
    texts(400).into_iter().enumerate().map(move |(n, text)| {
        assert!(n != at, "text {n} is cursed");
        Ok(text)
    })
}

fn is_said(error: &Error, at: usize) {
    let said = error.to_string();
    assert!(said.contains("panicked") && said.contains(&format!("text {at} is cursed")), "{said}");
}

#[test]
fn a_thread_that_dies_is_never_the_end_of_the_input() {
    let (pooled, heads) = (encoder("sentence-mean"), encoder("bert-sequence-single-label"));
    let options = EmbedOptions::default();
    // In the first window, at its edges, far behind what is tokenised ahead, at the last text.
    for at in [0, 1, 63, 64, 65, 200, 399] {
        let mut rows = 0;
        let outcome = pooled.embed_stream(panicking(at), &options, |window| {
            rows += window.len();
            Ok(())
        });
        is_said(&outcome.unwrap_err(), at);
        assert!(rows <= at, "{rows} rows before text {at}");
        let request = TokenRequest { hidden_states: vec![0], ..TokenRequest::default() };
        is_said(&pooled.token_outputs_stream(panicking(at), &request, &options, |_| Ok(())).unwrap_err(), at);
        is_said(&heads.classify_stream(panicking(at), &options, |_, _| Ok(())).unwrap_err(), at);
        #[cfg(feature = "cache")]
        {
            let cache = frostbert::cache::BestEffort::off();
            let outcome = pooled.embed_stream_cached(panicking(at), &options, &cache, |_| Ok(()));
            is_said(&outcome.unwrap_err(), at);
        }
    }
    // An error of the iterator is that error, and the end of the texts is the end.
    let failing = texts(100).into_iter().map(Ok).chain([Err(Error::input("row 100 is no text"))]);
    let error = pooled.embed_stream(failing.collect::<Vec<_>>(), &options, |_| Ok(())).unwrap_err();
    assert_eq!(error.to_string(), "row 100 is no text");
    let whole = panicking(usize::MAX);
    assert_eq!(pooled.embed_stream(whole, &options, |_| Ok(())).unwrap().texts, 400);
    assert_eq!(pooled.embed_stream(Vec::new(), &options, |_| Ok(())).unwrap().texts, 0);
}

#[test]
fn windows_start_small_and_rows_do_not_depend_on_them() {
    let encoder = encoder("sentence-mean");
    let options = EmbedOptions::default();
    let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let texts = texts(700);
    let whole = encoder.embed(texts.clone(), &options).unwrap();
    let (mut sizes, mut streamed) = (Vec::new(), Vec::new());
    let report = encoder
        .embed_stream(texts.iter().cloned().map(Ok).collect::<Vec<_>>(), &options, |rows| {
            sizes.push(rows.len());
            streamed.extend(bits(&rows.values));
            Ok(())
        })
        .unwrap();
    // Short texts: 64, then twice as many each time.
    assert_eq!(sizes, [64, 128, 256, 252]);
    assert_eq!((report.texts, report.from_cache), (700, 0));
    assert_eq!(streamed, bits(&whole.values));
    for (at, text) in texts.iter().enumerate().step_by(97) {
        assert_eq!(bits(&encoder.embed([text.clone()], &options).unwrap().values), bits(whole.row(at)));
    }

    // Long texts: a window ends after 64 KiB at first, so 100 are not one window.
    let long = "fox ".repeat(1024);
    sizes.clear();
    let cut = EmbedOptions { max_tokens: Some(16), ..options };
    let many: Vec<Result<Text>> = (0..100).map(|_| Ok(Text::from(&long))).collect();
    let report = encoder
        .embed_stream(many, &cut, |rows| {
            sizes.push(rows.len());
            Ok(())
        })
        .unwrap();
    assert_eq!(sizes, [16, 32, 52]);
    assert_eq!((report.texts, report.truncated), (100, 100));
    assert_eq!((report.real_tokens, report.computed_tokens), (1600, 1600));
}

#[test]
fn progress_counts_texts_and_a_request_to_stop_is_heard() {
    let encoder = encoder("sentence-mean");
    let last = Arc::new(AtomicU64::new(0));
    let seen = last.clone();
    // Windows: several encodings a text, which count as one.
    let options = EmbedOptions {
        max_tokens: Some(16),
        truncate: frostbert::text::Truncate::Window { overlap: 4 },
        ..EmbedOptions::default()
    }
    .with_progress(move |step| {
        assert!(step.texts >= seen.swap(step.texts, Ordering::Relaxed), "progress goes forward");
    });
    let long: Vec<String> = (0..90).map(|n| "the lazy fox ".repeat(1 + n % 12)).collect();
    assert_eq!(encoder.embed(&long, &options).unwrap().len(), 90);
    assert_eq!(last.load(Ordering::Relaxed), 90);

    let cancel = CancelToken::new();
    cancel.cancel();
    let options = EmbedOptions { cancel: Some(cancel), ..EmbedOptions::default() };
    assert!(encoder.embed(["fox"], &options).unwrap_err().is_cancelled());
    let request = TokenRequest { hidden_states: vec![0], ..TokenRequest::default() };
    assert!(encoder.token_outputs(["fox"], &request, &options).unwrap_err().is_cancelled());
}

#[test]
fn the_width_of_a_row_is_what_comes_back() {
    let encoder = encoder("sentence-mean");
    for dimensions in [None, Some(1), Some(7), Some(48), Some(96)] {
        for normalize in [None, Some(false), Some(true)] {
            for truncate in [frostbert::text::Truncate::Cut, frostbert::text::Truncate::Window { overlap: 2 }]
            {
                let layers = Layers::These(vec![0, 1]);
                let options =
                    EmbedOptions { dimensions, normalize, truncate, layers, ..EmbedOptions::default() };
                let rows = encoder.embed(["fox", "the fox"], &options).unwrap();
                assert_eq!(rows.dim, encoder.dim(&options).unwrap());
                assert_eq!(rows.values.len(), 2 * rows.dim);
                assert_eq!(rows.dim, dimensions.unwrap_or(96).min(96));
            }
        }
    }
}

#[cfg(feature = "gpu")]
#[test]
fn the_ratio_counts_rows_that_were_dispatched() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens/sentence-mean");
    let encoder = Encoder::load(model.display().to_string()).device(Device::Software).build().unwrap();
    let report = |words: usize| {
        let text = Ok(Text::from("fox ".repeat(words)));
        encoder.embed_stream(vec![text], &EmbedOptions::default(), |_| Ok(())).unwrap()
    };
    // One token more than a tile of any kernel: rows that are there, and rows that fill the tile up.
    for words in 1..20 {
        let report = report(words);
        assert_eq!(report.real_tokens, words as u64 + 2);
        assert!(
            report.computed_tokens >= report.real_tokens && report.computed_tokens < report.real_tokens + 64
        );
    }
    assert!((1..20).any(|words| report(words).computed_tokens > report(words).real_tokens));
}

#[cfg(feature = "cache")]
mod cached {
    use super::*;
    use frostbert::cache::{BestEffort, Cache};
    use frostbert::{Embeddings, EncodeReport};

    fn run(
        encoder: &Encoder,
        texts: &[Text],
        options: &EmbedOptions,
        cache: &BestEffort,
    ) -> (Embeddings, EncodeReport, u64) {
        let mut all: Option<Embeddings> = None;
        let done = Arc::new(AtomicU64::new(0));
        let seen = done.clone();
        let options = options.clone().with_progress(move |step| seen.store(step.texts, Ordering::Relaxed));
        let texts: Vec<Result<Text>> = texts.iter().cloned().map(Ok).collect();
        let report = encoder
            .embed_stream_cached(texts, &options, cache, |rows| {
                match &mut all {
                    Some(all) => {
                        all.values.extend(rows.values);
                        all.tokens.extend(rows.tokens);
                        all.truncated.extend(rows.truncated);
                    }
                    none => *none = Some(rows),
                }
                Ok(())
            })
            .unwrap();
        (all.unwrap_or_default(), report, done.load(Ordering::Relaxed))
    }

    #[test]
    fn the_cache_is_a_stage_that_changes_no_row() {
        let encoder = encoder("sentence-mean");
        let folder = tempfile::tempdir().unwrap();
        let cache = BestEffort::new(Cache::open(folder.path()), |warning| panic!("{warning}"));
        let options = EmbedOptions { max_tokens: Some(4), ..EmbedOptions::default() };
        let all: Vec<Text> = (0..500).map(|n| Text::from(format!("fox number {}", n % 180))).collect();
        let plain = encoder.embed(all.clone(), &options).unwrap();
        let same = |rows: &Embeddings| {
            assert_eq!((&rows.tokens, &rows.truncated), (&plain.tokens, &plain.truncated));
            let bits = |rows: &Embeddings| rows.values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert!(bits(rows) == bits(&plain), "the rows differ");
        };
        // Without a cache, too, the same texts of a window are computed once.
        let (rows, report, done) = run(&encoder, &all, &options, &BestEffort::off());
        same(&rows);
        assert_eq!((report.texts, report.from_cache, done), (500, 0, 500));
        let alone: u64 = encoder
            .embed_stream(all.iter().cloned().map(Ok).collect::<Vec<_>>(), &options, |_| Ok(()))
            .unwrap()
            .real_tokens;
        assert!(report.real_tokens < alone, "{} of {alone} tokens", report.real_tokens);

        // A run over some, then one over all: what is there is taken, what is not is computed, in one order.
        let (_, report, _) = run(&encoder, &all[..100], &options, &cache);
        assert_eq!((report.from_cache, report.truncated), (0, 100));
        let (rows, report, done) = run(&encoder, &all, &options, &cache);
        same(&rows);
        assert!(report.from_cache >= 200, "{report:?}");
        assert_eq!((report.texts, report.truncated, done), (500, 500, 500));
        let (rows, report, done) = run(&encoder, &all, &options, &cache);
        same(&rows);
        assert_eq!((report.from_cache, report.real_tokens, report.batches, done), (500, 0, 0, 500));
        let twice = encoder.embed_cached(all.clone(), &options, &cache).unwrap();
        same(&twice.embeddings);
        assert_eq!(twice.from_cache, 500);

        // Rows that were cut do not hide from `truncate: Error`; the error names the caller's row.
        let refuse = EmbedOptions { truncate: frostbert::text::Truncate::Error, ..options };
        let short = std::iter::repeat_n(Text::from("fox"), 30);
        let texts: Vec<Text> = short.chain([all[0].clone()]).collect();
        let error = encoder.embed_cached(texts, &refuse, &cache).unwrap_err();
        assert!(error.to_string().contains("row 30"), "{error}");
    }
}
