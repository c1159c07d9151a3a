//! A text's embedding has the same bits alone, in any batch and in any order; no padding is computed; and the real
//! all-MiniLM-L6-v2 gives what sentence-transformers gives.

#![allow(clippy::unwrap_used)] // Helpers of tests may.

mod support;

use std::path::{Path, PathBuf};

use frostbert::workflow::verify;
use frostbert::{Device, EmbedOptions, Encoder, Text};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens")
}

fn encoder(device: Device, batch_tokens: usize) -> Encoder {
    let model = goldens().join("sentence-mean").display().to_string();
    Encoder::load(model).device(device).batch_tokens(batch_tokens).build().unwrap()
}

const WORDS: [&str; 12] = [
    "the",
    "fox",
    "paris",
    "coffee",
    "brilliant",
    "kernel",
    "network",
    "boring",
    "softmax",
    "river",
    "trust",
    "plot",
];

/// Texts of 0 to 60 words: some are longer than the model takes.
fn texts() -> impl Strategy<Value = Vec<String>> {
    let text = prop::collection::vec(0..WORDS.len(), 0..60)
        .prop_map(|words| words.iter().map(|word| WORDS[*word]).collect::<Vec<_>>().join(" "));
    prop::collection::vec(text, 1..12)
}

/// Every text alone, in batches of two sizes, and in reverse order.
fn check(device: &Device, cases: u32) {
    let small = encoder(device.clone(), 64);
    let large = encoder(device.clone(), 4096);
    let options = EmbedOptions::default();
    let bits = |encoder: &Encoder, texts: &[String]| -> Vec<Vec<u32>> {
        let embeddings = encoder.embed(texts, &options).unwrap();
        embeddings.rows().map(|row| row.iter().map(|x| x.to_bits()).collect()).collect()
    };
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner
        .run(&texts(), |texts| {
            let batched = bits(&large, &texts);
            prop_assert_eq!(&bits(&small, &texts), &batched);
            let mut reversed: Vec<String> = texts.clone();
            reversed.reverse();
            let mut back = bits(&large, &reversed);
            back.reverse();
            prop_assert_eq!(&back, &batched);
            for (text, row) in texts.iter().zip(&batched) {
                let alone = bits(&large, std::slice::from_ref(text));
                prop_assert_eq!(&alone[0], row, "alone: {:?}", text);
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn batch_invariance_on_the_cpu_engine() {
    check(&Device::Cpu, 48);
}

#[cfg(feature = "gpu")]
#[test]
fn batch_invariance_on_the_software_adapter() {
    check(&support::device(), 16);
}

#[test]
fn mixed_lengths_compute_no_padding() {
    let encoder = encoder(Device::Cpu, 256);
    let texts = (0..300).map(|n| Ok(Text::from(vec!["fox"; n % 50].join(" "))));
    let mut rows = 0;
    let report = encoder
        .embed_stream(texts.collect::<Vec<_>>(), &EmbedOptions::default(), |chunk| {
            rows += chunk.len();
            Ok(())
        })
        .unwrap();
    assert_eq!((rows, report.texts), (300, 300));
    assert!(report.batches > 10);
    assert!(report.real_tokens as f64 / report.computed_tokens as f64 >= 0.98, "{report:?}");
}

/// The real all-MiniLM-L6-v2, or None when the environment says to go without.
fn mini_lm() -> Option<PathBuf> {
    let cached = || std::env::home_dir().map(|home| home.join(".cache/frostbert/models/all-MiniLM-L6-v2"));
    let folder = std::env::var_os("FROSTBERT_MINILM").map(PathBuf::from).or_else(cached).unwrap();
    if folder.join("config.json").exists() {
        return Some(folder);
    }
    if std::env::var_os("FROSTBERT_SKIP_MINILM").is_some_and(|flag| flag == "1") {
        eprintln!("SKIPPED: FROSTBERT_SKIP_MINILM=1, so nothing was compared with the real all-MiniLM-L6-v2");
        return None;
    }
    panic!(
        "all-MiniLM-L6-v2 is not in {}: run `cargo xtask fetch`, or set FROSTBERT_SKIP_MINILM=1 to go without",
        folder.display()
    );
}

fn check_mini_lm(device: Device) {
    let Some(folder) = mini_lm() else { return };
    let encoder = Encoder::load(folder.display().to_string()).device(device).build().unwrap();
    let found = verify::sentence_golden(&goldens().join("all-MiniLM-L6-v2"), &encoder).unwrap();
    println!("largest error {:.2e}; PyTorch's float32 error {:.2e}", found.error, found.torch_error);
    assert!(found.holds(), "{found:?}");
}

#[test]
fn all_mini_lm_on_the_cpu_engine() {
    check_mini_lm(Device::Cpu);
}

#[cfg(feature = "gpu")]
#[test]
fn all_mini_lm_on_the_software_adapter() {
    check_mini_lm(support::device());
}
