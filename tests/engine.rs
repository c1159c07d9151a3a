//! What an encoder promises of its engine, on both: values that are not finite never come out, errors name the text, memory
//! stays bounded, and threads share it.
#![allow(clippy::unwrap_used)] // Helpers of tests may.

use std::path::{Path, PathBuf};

use frostbert::model::Pooling;
use frostbert::{Aggregation, Device, EmbedOptions, Encoder, Layers, Text, TokenRequest};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens").join(name)
}

fn devices() -> Vec<Device> {
    if cfg!(feature = "gpu") { vec![Device::Cpu, Device::Software] } else { vec![Device::Cpu] }
}

fn load(folder: &Path, device: Device) -> Encoder {
    Encoder::load(folder.display().to_string()).device(device).batch_tokens(256).build().unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// A copy of a golden whose word embedding of `token` is so large that a sum over it overflows.
fn overflowing(name: &str, token: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&golden(name), folder.path());
    let path = folder.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..start]).unwrap();
    let (_, table) = header
        .as_object()
        .unwrap()
        .iter()
        .find(|(name, _)| name.ends_with("embeddings.word_embeddings.weight"))
        .unwrap();
    let at = |path: &str| table.pointer(path).unwrap().as_u64().unwrap() as usize;
    let row = 4 * at("/shape/1");
    let first = start + at("/data_offsets/0") + token as usize * row;
    for number in bytes[first..first + row].chunks_exact_mut(4) {
        number.copy_from_slice(&3e38_f32.to_le_bytes());
    }
    std::fs::write(path, bytes).unwrap();
    folder
}

/// Texts of every length, without the word `river` but for row `bad`.
fn texts(count: usize, bad: usize) -> Vec<Text> {
    let text = |row: usize| {
        let words = vec!["fox"; row % 11].join(" ");
        if row == bad { format!("{words} river fox") } else { words }
    };
    (0..count).map(|row| Text::from(text(row))).collect()
}

fn id_of(encoder: &Encoder, word: &str) -> u32 {
    encoder.tokenizer().token_to_id(word).unwrap()
}

#[test]
fn a_text_that_overflows_is_named_by_its_row() {
    let river = id_of(&load(&golden("sentence-max"), Device::Cpu), "river");
    let folder = overflowing("sentence-max", river);
    for device in devices() {
        let encoder = load(folder.path(), device.clone());
        // The second window of texts counts on from the first.
        for (count, bad) in [(1, 0), (40, 17), (2500, 2300)] {
            let error = encoder.embed(texts(count, bad), &EmbedOptions::default()).map(drop).unwrap_err();
            assert_eq!(error.row(), Some(bad), "{device:?}: {error}");
            assert!(
                error.is_model_file()
                    && error.to_string().starts_with(&format!("row {bad}: its embedding holds ")),
                "{error}"
            );
        }
        encoder.embed(texts(40, usize::MAX), &EmbedOptions::default()).unwrap();
        let request =
            TokenRequest { hidden_states: vec![0, 3], attentions: vec![1], ..TokenRequest::default() };
        let error =
            encoder.token_outputs(texts(40, 23), &request, &EmbedOptions::default()).map(drop).unwrap_err();
        assert_eq!(error.row(), Some(23), "{device:?}: {error}");
    }
}

#[cfg(feature = "cache")]
#[test]
fn nothing_of_a_batch_that_overflows_is_cached() {
    use frostbert::cache::{BestEffort, Cache};
    let river = id_of(&load(&golden("sentence-max"), Device::Cpu), "river");
    let folder = overflowing("sentence-max", river);
    for device in devices() {
        let encoder = load(folder.path(), device.clone());
        let place = tempfile::tempdir().unwrap();
        let cache = BestEffort::new(Cache::open(place.path()), |note| panic!("{note}"));
        let bad = [Text::from("a fox"), Text::from("a fox"), Text::from("river")];
        let error = encoder.embed_cached(bad, &EmbedOptions::default(), &cache).map(drop).unwrap_err();
        assert_eq!(error.row(), Some(2), "{device:?}: {error}");
        let found = encoder.embed_cached(["a fox"], &EmbedOptions::default(), &cache).unwrap();
        assert_eq!(found.from_cache, 0, "{device:?}");
    }
}

/// Heads that end in a softmax, a maximum or a limit hide what overflowed before them unless somebody looks.
#[test]
fn heads_never_answer_with_what_overflowed() {
    for name in [
        "bert-sequence-single-label",
        "bert-sequence-multi-label",
        "bert-sequence-regression",
        "bert-token-classification",
        "bert-pretraining",
        "distilbert-sequence",
        "roberta-sequence",
    ] {
        let river =
            load(&golden(name), Device::Cpu).encode(["river"], &EmbedOptions::default()).unwrap()[0].ids[1];
        let folder = overflowing(name, river);
        for device in devices() {
            let encoder = load(folder.path(), device.clone());
            let refused = |error: frostbert::Error| {
                assert!(error.is_model_file() && error.row().is_some(), "{name}, {device:?}: {error}");
            };
            match name {
                "bert-pretraining" => {
                    refused(
                        encoder
                            .next_sentence("a fox", "river", &EmbedOptions::default())
                            .map(drop)
                            .unwrap_err(),
                    );
                    refused(
                        encoder
                            .fill_mask("river [MASK]", 3, &[], &EmbedOptions::default())
                            .map(drop)
                            .unwrap_err(),
                    );
                }
                "bert-token-classification" => {
                    refused(
                        encoder
                            .tag(&["a fox", "river"], Aggregation::default(), &EmbedOptions::default())
                            .map(drop)
                            .unwrap_err(),
                    );
                }
                _ => refused(
                    encoder.classify(["a fox", "river"], &EmbedOptions::default()).map(drop).unwrap_err(),
                ),
            }
        }
    }
}

/// Every set of options is a plan of its own; memory does not grow with them.
#[test]
fn many_sets_of_options_keep_memory_flat() {
    for device in devices() {
        let encoder = load(&golden("sentence-mean"), device.clone());
        let poolings = [Pooling::Cls, Pooling::Mean, Pooling::Max, Pooling::LastToken];
        let texts = texts(12, usize::MAX);
        let options = |number: usize| EmbedOptions {
            pooling: Some(vec![poolings[number % 4]]),
            dimensions: Some(48 - number / 4 % 48),
            normalize: Some((number / 192).is_multiple_of(2)),
            layers: Layers::These(vec![number % 3 + 1]),
            ..EmbedOptions::default()
        };
        let first = encoder.embed(texts.clone(), &options(0)).unwrap();
        let mut most = 0;
        for number in 0..40 {
            encoder.embed(texts.clone(), &options(number)).unwrap();
            most = most.max(encoder.device_bytes());
        }
        for number in 40..200 {
            encoder.embed(texts.clone(), &options(number)).unwrap();
            assert!(
                encoder.device_bytes() <= most,
                "{device:?}, {number}: {} > {most}",
                encoder.device_bytes()
            );
        }
        assert!(most > 0);
        // A plan that was dropped is made again, and gives the same bits.
        assert!(encoder.embed(texts.clone(), &options(0)).unwrap() == first, "{device:?}");
    }
}

/// Tokens that the tokenizer has and the model has not.
#[test]
fn a_target_outside_of_the_table_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    copy(&golden("bert-pretraining"), folder.path());
    let path = folder.path().join("tokenizer.json");
    let mut tokenizer: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let mut added = tokenizer["added_tokens"][0].clone();
    added["id"] = 368.into();
    added["content"] = "[EXTRA]".into();
    tokenizer["added_tokens"].as_array_mut().unwrap().push(added);
    std::fs::write(&path, tokenizer.to_string()).unwrap();
    let encoder = load(folder.path(), Device::Cpu);
    let error = encoder
        .fill_mask("a [MASK]", 3, &["fox".into(), "[EXTRA]".into()], &EmbedOptions::default())
        .map(drop)
        .unwrap_err();
    assert!(error.is_input() && error.to_string().contains("\"[EXTRA]\" has the id 368"), "{error}");
}

#[test]
fn threads_share_an_encoder() {
    for device in devices() {
        let encoder = load(&golden("sentence-mean"), device);
        let options = |thread: usize| EmbedOptions {
            pooling: Some(vec![[Pooling::Cls, Pooling::Mean, Pooling::Max][thread % 3]]),
            ..EmbedOptions::default()
        };
        let expected: Vec<_> = (0..4)
            .map(|thread| encoder.embed(texts(30 + thread, 3 * thread), &options(thread)).unwrap())
            .collect();
        std::thread::scope(|scope| {
            for (thread, expected) in expected.iter().enumerate() {
                let (encoder, options) = (&encoder, options(thread));
                scope.spawn(move || {
                    for _ in 0..10 {
                        assert!(
                            encoder.embed(texts(30 + thread, 3 * thread), &options).unwrap() == *expected
                        );
                    }
                });
            }
        });
    }
}
