//! Checkpoints without a transformer: a table of token vectors. Expected values are those of sentence-transformers 6.2
//! (tests/fixtures/static_embeddings.py).

#![allow(clippy::unwrap_used)] // Helpers of tests may.

use std::path::{Path, PathBuf};

use frostbert::checkpoint::{Checkpoint, Files, FolderFiles, MemoryFiles};
use frostbert::model::Family;
use frostbert::{Device, EmbedOptions, Embeddings, Encoder, Prompt, Text, TokenRequest};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/static").join(name)
}

fn expected() -> Value {
    serde_json::from_slice(&std::fs::read(fixture("expected.json")).unwrap()).unwrap()
}

fn load(name: &str, device: Device) -> Encoder {
    Encoder::load(fixture(name).display().to_string()).device(device).pipeline_cache(None).build().unwrap()
}

fn embed(encoder: &Encoder, texts: &[String], options: &EmbedOptions) -> Embeddings {
    encoder.embed(texts.iter().map(|text| Text::from(text.as_str())), options).unwrap()
}

fn texts(of: &Value) -> Vec<String> {
    serde_json::from_value(of["texts"].clone()).unwrap()
}

fn close(found: &Embeddings, expected: &Value, most: f32, what: &str) {
    let expected: Vec<Vec<f32>> = serde_json::from_value(expected.clone()).unwrap();
    assert_eq!((found.values.len(), found.dim), (expected.len() * expected[0].len(), expected[0].len()));
    for (at, (row, expected)) in found.values.chunks(found.dim).zip(&expected).enumerate() {
        for (value, expected) in row.iter().zip(expected) {
            assert!((value - expected).abs() <= most, "{what}, text {at}: {value} instead of {expected}");
        }
    }
}

fn agrees_with_sentence_transformers(device: &Device) {
    let expected = expected();
    // sentence-transformers computes with the halves as they are.
    for (name, most) in [("plain", 2e-6), ("folded", 2e-6), ("halves", 2e-3)] {
        let encoder = load(name, device.clone());
        let texts = texts(&expected[name]);
        let rows = embed(&encoder, &texts, &EmbedOptions::default());
        close(&rows, &expected[name]["vectors"], most, name);
        // A text's bits are its own, whatever is beside it.
        for (text, row) in texts.iter().zip(rows.values.chunks(rows.dim)) {
            let alone = embed(&encoder, std::slice::from_ref(text), &EmbedOptions::default());
            assert_eq!(alone.values, row, "{name}: {text:?}");
        }
    }
    let plain = load("plain", device.clone());
    let query = EmbedOptions { prompt: Prompt::Named("query".into()), ..EmbedOptions::default() };
    close(&embed(&plain, &texts(&expected["plain"]), &query), &expected["plain"]["query"], 2e-6, "a prompt");
}

#[test]
fn on_the_cpu() {
    agrees_with_sentence_transformers(&Device::Cpu);
}

#[cfg(feature = "gpu")]
#[test]
fn on_the_software_adapter() {
    agrees_with_sentence_transformers(&Device::Software);
}

#[test]
fn it_is_said_what_it_is() {
    let encoder = load("folded", Device::Cpu);
    assert_eq!(encoder.config().family, Family::Static);
    assert_eq!(encoder.checkpoint().max_tokens(), 12);
    let summary = encoder.checkpoint().summary(1024).to_string();
    for words in
        ["StaticEmbedding", "no transformer", "token vectors of width 8", "12 tokens at most", "unit length"]
    {
        assert!(summary.contains(words), "{words}: {summary}");
    }
    // What a text is cut at is said, as elsewhere.
    let long = "the film was good ".repeat(5);
    let rows = embed(&encoder, &[long], &EmbedOptions::default());
    assert_eq!(rows.truncated, [true]);
}

#[test]
fn tokens_can_be_had_and_attention_cannot() {
    let encoder = load("plain", Device::Cpu);
    let request = TokenRequest { hidden_states: vec![0], ..TokenRequest::default() };
    let found = encoder.token_outputs(["the film"], &request, &EmbedOptions::default()).unwrap();
    assert_eq!(found.len(), 1);
    let request = TokenRequest { attentions: vec![0], ..TokenRequest::default() };
    let error = encoder.token_outputs(["the film"], &request, &EmbedOptions::default()).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("no attention"), "{error}");
    let layers = EmbedOptions { layers: frostbert::Layers::These(vec![1]), ..EmbedOptions::default() };
    assert!(encoder.embed([Text::from("the film")], &layers).unwrap_err().is_input());
}

/// The files of a fixture, to be changed before they are opened.
fn files(name: &str) -> MemoryFiles {
    let folder = FolderFiles::open(fixture(name)).unwrap();
    let names = ["modules.json", "config.json", "tokenizer.json", "model.safetensors"];
    MemoryFiles::from_iter(names.map(|name| {
        let len = folder.len(name).unwrap().unwrap();
        (name, folder.read(name, 0..len).unwrap().to_vec())
    }))
}

fn tensors(named: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
    let views = named
        .iter()
        .map(|(name, dtype, shape, data)| (*name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let table = |rows: usize| ("embeddings", Dtype::F32, vec![rows, 2], vec![0_u8; 8 * rows]);
    let mapping = |rows: &[i64]| {
        let bytes = rows.iter().flat_map(|row| row.to_le_bytes()).collect();
        ("mapping", Dtype::I64, vec![rows.len()], bytes)
    };
    let refused = |weights: Vec<u8>, words: &str| {
        let mut changed = files("folded");
        changed.insert("model.safetensors", weights);
        let error = Checkpoint::from_files(changed).unwrap_err();
        assert!(error.is_model_file() && error.to_string().contains(words), "{words}: {error}");
    };
    refused(tensors(&[table(3), mapping(&[0, 3])]), "token 1 the row 3");
    refused(tensors(&[table(3), mapping(&[0, -1])]), "token 1 the row -1");
    refused(
        tensors(&[table(3), mapping(&[0, 1]), ("weights", Dtype::F64, vec![3], vec![0; 24])]),
        "a weight for each token",
    );
    refused(tensors(&[table(3), ("mapping", Dtype::F32, vec![1], vec![0; 4])]), "F32");
    refused(tensors(&[("embeddings", Dtype::F32, vec![4], vec![0; 16])]), "embeddings");
    refused(tensors(&[("embedding.weight", Dtype::F32, vec![0, 4], vec![])]), "at least one token");
    refused(tensors(&[("words", Dtype::F32, vec![1, 4], vec![0; 16])]), "found words");

    let mut without = files("halves");
    without.remove("tokenizer.json");
    assert!(Checkpoint::from_files(without).unwrap_err().to_string().contains("tokenizer.json"));
    // Fewer vectors than the tokenizer has tokens: the first text that needs one of them says so.
    let mut short = files("halves");
    short.insert("model.safetensors", tensors(&[table(3)]));
    let encoder = Encoder::from_checkpoint(Checkpoint::from_files(short).unwrap());
    let encoder = encoder.device(Device::Cpu).build().unwrap();
    let error = encoder.embed([Text::from("the film")], &EmbedOptions::default()).unwrap_err();
    assert!(error.is_model_file() && error.to_string().contains("do not belong together"), "{error}");
    // A transformer's pooling has no place behind a table.
    let mut pooled = files("halves");
    let list = json!([
        {"path": ".", "type": "x.StaticEmbedding"},
        {"path": "1_Pooling", "type": "x.Pooling"},
    ]);
    pooled.insert("modules.json", list.to_string().into_bytes());
    let error = Checkpoint::from_files(pooled).unwrap_err().to_string();
    assert!(error.contains("module 1 is a Pooling"), "{error}");
}

#[test]
fn other_tables_are_other_recipes() {
    let recipe = |files: MemoryFiles| {
        let encoder = Encoder::from_checkpoint(Checkpoint::from_files(files).unwrap());
        encoder.device(Device::Cpu).build().unwrap().recipe(&EmbedOptions::default()).unwrap()
    };
    let folded = recipe(files("folded"));
    assert_eq!(recipe(files("folded")), folded);
    let mut other = files("folded");
    let len = other.len("model.safetensors").unwrap().unwrap();
    let mut bytes = other.read("model.safetensors", 0..len).unwrap().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    other.insert("model.safetensors", bytes);
    assert_ne!(recipe(other), folded);
}
