//! Checkpoints as people have them: settings spread over several files, other spellings, damage. Expected values are those of
//! transformers 5.24 and sentence-transformers 6.2.

// Clippy's exemption for tests does not reach the helpers beside them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use frostbert::cache::{BestEffort, Cache};
use frostbert::checkpoint::{Checkpoint, MemoryFiles};
use frostbert::head::{Head, Matrix, Strength, Targets, TrainData, TrainOptions};
use frostbert::model::{Family, HeadKind, TokenizerFiles, TokenizerSource};
use frostbert::text::{EncodeOptions, TextInput, Tokenizer, Truncate};
use frostbert::{Aggregation, Classifier, Device, EmbedOptions, EmbeddingRecipe, Encoder, Text};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// A checkpoint's files, to be changed before it is opened.
type Folder = BTreeMap<String, Vec<u8>>;

fn folder(path: &str) -> Folder {
    let root = fixtures().join(path);
    let mut files = Folder::new();
    let mut folders = vec![root.clone()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if !entry.file_name().unwrap().to_str().unwrap().starts_with("cases.") {
                let name = entry.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
                files.insert(name, std::fs::read(&entry).unwrap());
            }
        }
    }
    files
}

fn open(files: &Folder) -> frostbert::Result<Checkpoint> {
    Checkpoint::from_files(MemoryFiles::from_iter(files.clone()))
}

fn encoder(files: &Folder) -> frostbert::Result<Encoder> {
    Encoder::from_checkpoint(open(files)?).device(Device::Cpu).pipeline_cache(None).build()
}

fn edit(files: &mut Folder, name: &str, change: impl FnOnce(&mut Value)) {
    let mut value = match files.get(name) {
        Some(bytes) => serde_json::from_slice(bytes).unwrap(),
        None => json!({}),
    };
    change(&mut value);
    files.insert(name.to_owned(), value.to_string().into_bytes());
}

/// The tensors of a safetensors file, each as `change` leaves it: another name, other data, or gone.
fn with_tensors(
    bytes: &[u8],
    change: impl Fn(&str, &mut Vec<u8>, &mut safetensors::Dtype) -> Option<String>,
) -> Vec<u8> {
    let tensors = safetensors::SafeTensors::deserialize(bytes).unwrap();
    let mut kept = vec![];
    for (name, view) in tensors.iter() {
        let (mut data, mut dtype) = (view.data().to_vec(), view.dtype());
        if let Some(name) = change(name, &mut data, &mut dtype) {
            kept.push((name, view.shape().to_vec(), data, dtype));
        }
    }
    let views = kept.iter().map(|(name, shape, data, dtype)| {
        (name, safetensors::tensor::TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

// Tokenizers.

fn tokenizer(files: &Folder, family: Family, max_tokens: usize) -> frostbert::Result<Tokenizer> {
    let object =
        |name: &str| files.get(name).map_or(Value::Null, |bytes| serde_json::from_slice(bytes).unwrap());
    let files = TokenizerFiles {
        json: files.get("tokenizer.json").cloned(),
        vocab: files.get("vocab.txt").cloned(),
        config: object("tokenizer_config.json"),
        special_tokens: object("special_tokens_map.json"),
        added_tokens: object("added_tokens.json"),
        model_class: None,
        location: "here".into(),
    };
    Tokenizer::load(TokenizerSource {
        files: &files,
        family,
        max_tokens,
        vocab_rows: 1 << 20,
        type_rows: 2,
        lowercase: false,
    })
}

fn ids(tokenizer: &Tokenizer, input: TextInput<'_>) -> Vec<u32> {
    tokenizer.encode_batch(&[input], EncodeOptions::default()).unwrap()[0].ids.clone()
}

#[test]
fn every_file_of_a_tokenizer_counts_as_in_transformers() {
    let table: Value =
        serde_json::from_slice(&std::fs::read(fixtures().join("tokenizer_settings.json")).unwrap()).unwrap();
    let texts: Vec<&str> =
        table["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    let mut changed = 0;
    for case in table["cases"].as_array().unwrap() {
        let base = table["bases"][case["base"].as_str().unwrap()].as_object().unwrap();
        let family = Family::from_name(base["model_type"].as_str().unwrap()).unwrap();
        let mut files = Folder::new();
        for (name, text) in base.iter().filter(|(name, _)| name.contains('.')) {
            files.insert(name.clone(), text.as_str().unwrap().as_bytes().to_vec());
        }
        if !case["config"].is_null() {
            files.insert("tokenizer_config.json".into(), case["config"].to_string().into_bytes());
        }
        for (name, changes) in case["files"].as_object().unwrap() {
            edit(&mut files, name, |value| {
                for (key, change) in changes.as_object().unwrap() {
                    match key.split_once('.') {
                        Some((outer, inner)) if name == "tokenizer.json" => {
                            value[outer][inner] = change.clone()
                        }
                        _ => value[key] = change.clone(),
                    }
                }
            });
        }
        let what = format!("{} {} {}", case["base"], case["config"], case["files"]);
        let tokenizer = tokenizer(&files, family, 512).unwrap_or_else(|error| panic!("{what}: {error}"));
        let singles = texts.iter().map(|text| TextInput::Single(text));
        let inputs = singles.chain([TextInput::Pair(texts[0], texts[3])]);
        for (input, expected) in inputs.zip(case["ids"].as_array().unwrap()) {
            assert_eq!(json!(ids(&tokenizer, input)), *expected, "{what}: {input:?}");
        }
        changed += usize::from(tokenizer.settings() != &json!({}));
    }
    assert!(changed > 25, "{changed}");
}

#[test]
fn added_tokens_of_any_file_are_tokens() {
    for name in ["vocab-and-added_tokens_json", "vocab-and-decoder", "tokenizer_json-and-decoder"] {
        let checkpoint = open(&folder(&format!("cases/added-tokens-ignored/{name}"))).unwrap();
        let tokenizer = Tokenizer::load(checkpoint.tokenizer_source()).unwrap();
        assert_eq!(ids(&tokenizer, "[ENT]the film[/ENT]".into()), [2, 201, 178, 179, 202, 3], "{name}");
    }
    for (name, text, expected) in [
        ("lower-says-no", "Paris hello World", "[CLS] Paris hello W ##o ##r ##l ##d [SEP]"),
        ("accents-kept", "CAFÉ résumé", "[CLS] c ##a ##f ##é résumé [SEP]"),
        ("chinese-not-split", "你好 中文", "[CLS] [UNK] [UNK] [SEP]"),
    ] {
        let checkpoint = open(&folder(&format!("cases/tokenizer_config-overrides/{name}"))).unwrap();
        let tokenizer = Tokenizer::load(checkpoint.tokenizer_source()).unwrap();
        let tokens: Vec<String> =
            ids(&tokenizer, text.into()).into_iter().map(|id| tokenizer.id_to_token(id).unwrap()).collect();
        assert_eq!(tokens.join(" "), expected, "{name}");
    }
}

#[test]
fn tokenizers_that_are_not_computed_are_refused_by_name() {
    let base = folder("cases/tokenizer_config-overrides/lower-says-no");
    for (key, value, named) in [
        ("tokenizer_class", json!("BertJapaneseTokenizer"), "MeCab"),
        ("tokenizer_class", json!("CanineTokenizer"), "characters"),
        ("tokenizer_class", json!("PhobertTokenizer"), "PhobertTokenizer"),
        ("do_basic_tokenize", json!(false), "do_basic_tokenize"),
        ("never_split", json!(["film"]), "never_split"),
        ("word_tokenizer_type", json!("mecab"), "word_tokenizer_type"),
        ("subword_tokenizer_type", json!("character"), "subword_tokenizer_type"),
        ("do_lower_case", json!("no"), "do_lower_case"),
        ("added_tokens_decoder", json!({"201": "[ENT]"}), "added_tokens_decoder"),
        ("added_tokens_decoder", json!({"500": {"content": "[ENT]"}}), "500"),
    ] {
        let mut files = base.clone();
        edit(&mut files, "tokenizer_config.json", |config| config[key] = value);
        let error = tokenizer(&files, Family::Bert, 512).unwrap_err();
        assert!(error.is_model_file() && error.to_string().contains(named), "{error}");
    }
    let mut files = base.clone();
    files.remove("tokenizer.json");
    files.insert("vocab.txt".into(), b"[UNK]\n[CLS]\n[SEP]\n".to_vec());
    edit(&mut files, "tokenizer_config.json", |config| config["tokenizer_class"] = json!("T5Tokenizer"));
    let error = tokenizer(&files, Family::Bert, 512).unwrap_err().to_string();
    assert!(error.contains("T5Tokenizer"), "{error}");
    edit(&mut files, "tokenizer_config.json", |config| *config = json!({}));
    tokenizer(&files, Family::Bert, 512).unwrap();
}

/// The tokens of a text that is tokenised in pieces are those of the text as a whole, whatever is kept of them.
#[test]
fn long_texts_have_the_tokens_that_they_have_as_a_whole() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let words = [
        "the",
        "film",
        "was",
        "Paris,",
        "CAFÉ",
        "你好",
        "don't",
        "  ",
        "\n",
        "[MASK]",
        "123",
        "x\u{301}y",
        "...",
    ];
    let mut text = String::new();
    while text.len() < 560_000 {
        text.push_str(words[random.random_range(0..words.len())]);
        text.push(' ');
    }
    let table: Value =
        serde_json::from_slice(&std::fs::read(fixtures().join("tokenizer_settings.json")).unwrap()).unwrap();
    for (base, side) in [("bert", "right"), ("roberta", "left"), ("xlm-roberta", "right")] {
        let files = &table["bases"][base];
        let family = Family::from_name(files["model_type"].as_str().unwrap()).unwrap();
        let mut folder = Folder::new();
        folder.insert("tokenizer.json".into(), files["tokenizer.json"].as_str().unwrap().as_bytes().to_vec());
        folder.insert(
            "tokenizer_config.json".into(),
            json!({"truncation_side": side}).to_string().into_bytes(),
        );
        let whole = tokenizer(&folder, family, usize::MAX - 1).unwrap();
        // Where every token is wanted, the text is tokenised as one.
        let windows =
            EncodeOptions { truncate: Truncate::Window { overlap: 0 }, max_tokens: None, side: None };
        let all = whole.encode_batch(&[text.as_str().into()], windows).unwrap().remove(0);
        let small = tokenizer(&folder, family, 64).unwrap();
        let cut = small.encode_batch(&[text.as_str().into()], EncodeOptions::default()).unwrap().remove(0);
        assert_eq!((cut.tokens, cut.truncated, cut.len()), (all.len(), true, 64), "{base}");
        let rows = if side == "left" { all.len() - 63..all.len() - 1 } else { 1..63 };
        assert_eq!(cut.ids[1..63], all.ids[rows.clone()], "{base} {side}");
        assert_eq!(cut.offsets[1..63], all.offsets[rows], "{base} {side}");
        // Pairs are cut as if both were whole: here the second is the longer.
        let longer = format!("{text} x");
        let pair = small
            .encode_batch(&[(&text[..], &longer[..]).into()], EncodeOptions::default())
            .unwrap()
            .remove(0);
        assert_eq!(pair.len(), 64);
        // The longer keeps the token more that an odd number leaves.
        let turned = small
            .encode_batch(&[(&longer[..], &text[..]).into()], EncodeOptions::default())
            .unwrap()
            .remove(0);
        assert_eq!((turned.len(), turned.tokens), (64, pair.tokens));
        let odd = usize::from(matches!(family, Family::Bert | Family::Albert));
        assert_eq!(turned.second_start.unwrap(), pair.second_start.unwrap() + odd, "{base}");
        assert!(pair.tokens > 2 * (all.len() - 2));
        let error = EncodeOptions { truncate: Truncate::Error, max_tokens: None, side: None };
        assert!(
            small
                .encode_batch(&[text.as_str().into()], error)
                .unwrap_err()
                .to_string()
                .contains(&all.len().to_string())
        );
    }
}

#[test]
fn what_cannot_be_tokenised_in_pieces_has_a_limit() {
    let files = folder("cases/tokenizer_config-overrides/lower-says-no");
    let tokenizer = tokenizer(&files, Family::Bert, 64).unwrap();
    let unbroken = "界".repeat(3 << 20);
    let error = tokenizer.encode_batch(&[unbroken.as_str().into()], EncodeOptions::default()).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("split it"), "{error}");
}

// Tensors and heads.

fn embedding(encoder: &Encoder, text: &str) -> Vec<f32> {
    encoder.embed([text], &EmbedOptions::default()).unwrap().values
}

fn masked(files: &Folder, text: &str) -> Vec<(String, f32)> {
    let candidates =
        encoder(files).unwrap().fill_mask(text, 3, &[], &Default::default()).unwrap().masks.remove(0);
    candidates.into_iter().map(|candidate| (candidate.token, candidate.score)).collect()
}

fn assert_masked(found: &[(String, f32)], expected: [(&str, f32); 3]) {
    for ((token, probability), (name, value)) in found.iter().zip(expected) {
        assert_eq!(token.trim_start_matches('Ġ'), name);
        assert!((probability - value).abs() < 1e-5, "{token} {probability} {value}");
    }
}

#[test]
fn masked_language_models_read_their_decoder_as_it_is_tied() {
    let untied = |name: &str| folder(&format!("cases/untied-decoder-bias/{name}"));
    let bert = masked(&untied("bert"), "the [MASK] was fine");
    assert_masked(&bert, [("##O", 0.03762), ("##b", 0.03048), ("##W", 0.02682)]);
    let roberta = masked(&untied("roberta"), "The <mask> was fine");
    assert_masked(&roberta, [("2", 0.02227), ("ö", 0.01724), ("²", 0.01570)]);
    // Without a bias of its own the decoder has the head's.
    let mut files = untied("bert");
    let tensors = with_tensors(&files["model.safetensors"], |name, _, _| {
        (name != "cls.predictions.decoder.bias").then(|| name.to_owned())
    });
    files.insert("model.safetensors".into(), tensors);
    assert_masked(
        &masked(&files, "the [MASK] was fine"),
        [("##O", 0.03553), ("##W", 0.02983), ("##b", 0.02971)],
    );

    let tied = |name: &str| folder(&format!("cases/tied-tensor-under-its-other-name/{name}"));
    let bert = masked(&tied("bert"), "the [MASK] was fine");
    assert_masked(&bert, [("##C", 0.02204), ("##v", 0.02203), ("##D", 0.01954)]);
}

#[test]
fn a_shared_tensor_may_go_by_either_name() {
    for (golden, words, decoder) in [
        (
            "cases/tied-tensor-under-its-other-name/roberta",
            "roberta.embeddings.word_embeddings.weight",
            "lm_head.decoder.weight",
        ),
        (
            "goldens/bert-pretraining",
            "bert.embeddings.word_embeddings.weight",
            "cls.predictions.decoder.weight",
        ),
        (
            "goldens/distilbert-masked-lm",
            "distilbert.embeddings.word_embeddings.weight",
            "vocab_projector.weight",
        ),
        ("goldens/modernbert", "model.embeddings.tok_embeddings.weight", "decoder.weight"),
    ] {
        let renamed = |from: &str, to: &str| {
            let mut files = folder(golden);
            let tensors = with_tensors(&files["model.safetensors"], |name, _, _| {
                Some(if name == from { to } else { name }.to_owned())
            });
            files.insert("model.safetensors".into(), tensors);
            files
        };
        let usual = encoder(&renamed(decoder, words)).unwrap();
        let other = encoder(&renamed(words, decoder)).unwrap();
        assert_eq!(embedding(&usual, "the film"), embedding(&other, "the film"), "{golden}");
        assert_eq!(usual.checkpoint().fingerprint().unwrap(), other.checkpoint().fingerprint().unwrap());
        let untied = |mut files: Folder| {
            edit(&mut files, "config.json", |config| config["tie_word_embeddings"] = json!(false));
            encoder(&files).and_then(|encoder| encoder.embed(["a"], &EmbedOptions::default())).map(drop)
        };
        untied(renamed(words, decoder)).unwrap_err();
    }
}

#[test]
fn f64_weights_are_rounded() {
    let mut files = folder("cases/truncate_dim/model");
    let single = encoder(&files).unwrap();
    let tensors = with_tensors(&files["model.safetensors"], |name, data, dtype| {
        if *dtype == safetensors::Dtype::F32 {
            let wide = data.as_chunks::<4>().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes)));
            *data = wide.flat_map(f64::to_le_bytes).collect();
            *dtype = safetensors::Dtype::F64;
        }
        Some(name.to_owned())
    });
    files.insert("model.safetensors".into(), tensors);
    let double = encoder(&files).unwrap();
    assert_eq!(double.checkpoint().weights().stored_type().unwrap().name(), "f64");
    assert_eq!(embedding(&single, "the film was fine"), embedding(&double, "the film was fine"));
}

#[test]
fn truncate_dim_keeps_the_first_columns_of_the_finished_vector() {
    let files = folder("cases/truncate_dim/model");
    let eight = encoder(&files).unwrap();
    let expected = [-0.28874, -0.57924, -0.32247, 0.12767, -0.13934, 0.17563, 0.16759, 0.19434];
    let found = embedding(&eight, "the film was fine");
    assert_eq!(found.len(), 8);
    assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-5), "{found:?}");
    assert_eq!(eight.checkpoint().summary(16).dimensions, 8);
    // Windows are joined and scaled before.
    let windows = EmbedOptions { truncate: Truncate::Window { overlap: 0 }, ..EmbedOptions::default() };
    assert_eq!(eight.embed(["the film was fine"], &windows).unwrap().values.len(), 8);
    // Asked for by number, columns are cut before scaling, as ever.
    let asked = EmbedOptions { dimensions: Some(8), ..EmbedOptions::default() };
    let asked = eight.embed(["the film was fine"], &asked).unwrap().values;
    assert!((asked.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
    let all = EmbedOptions { dimensions: Some(16), ..EmbedOptions::default() };
    assert_eq!(eight.embed(["the film was fine"], &all).unwrap().values[..8], found);
    // Unit length, where that is asked for, is that of the columns that are kept.
    let unit = EmbedOptions { normalize: Some(true), ..EmbedOptions::default() };
    assert_eq!(eight.dim(&unit).unwrap(), 8);
    assert_eq!(eight.embed(["the film was fine"], &unit).unwrap().values, asked);
    // And another number of columns may be asked for, of the finished vector too.
    for (columns, width) in [(4, 4), (12, 12), (99, 16)] {
        let cut = EmbedOptions { truncate_dim: Some(columns), ..EmbedOptions::default() };
        assert_eq!(eight.dim(&cut).unwrap(), width);
        let cut = eight.embed(["the film was fine"], &cut).unwrap().values;
        assert_eq!((cut.len(), &cut[..4]), (width, &found[..4]));
    }
    // What a head remembers of either gives the same again.
    for options in [EmbedOptions::default(), unit] {
        let recipe = eight.recipe(&options).unwrap();
        assert_eq!(eight.recipe(&recipe.options()).unwrap(), recipe);
    }
    for (value, width) in [(json!(99), 16), (Value::Null, 16), (json!(1), 1)] {
        let mut files = files.clone();
        edit(&mut files, "config_sentence_transformers.json", |config| config["truncate_dim"] = value);
        assert_eq!(embedding(&encoder(&files).unwrap(), "a").len(), width);
    }
    for value in [json!(0), json!(-1), json!("8")] {
        let mut files = files.clone();
        edit(&mut files, "config_sentence_transformers.json", |config| config["truncate_dim"] = value);
        assert!(open(&files).unwrap_err().to_string().contains("truncate_dim"));
    }
}

#[test]
fn what_a_classifier_needs_is_asked_of_classifiers_alone() {
    let base = folder("cases/id2label-forms/model");
    let text = "the film";
    let plain = embedding(&encoder(&base).unwrap(), text);
    for (key, value, names) in [
        ("id2label", json!({"0": 0, "1": 1}), Some(["0", "1"])),
        ("id2label", json!({"0": null, "1": "x"}), Some(["LABEL_0", "x"])),
        ("id2label", Value::Null, Some(["LABEL_0", "LABEL_1"])),
        ("num_labels", json!(2), Some(["LABEL_0", "LABEL_1"])),
        ("id2label", json!({"1": "a", "2": "b"}), None),
        ("id2label", json!({"0": "a", "2": "b"}), None),
        ("id2label", json!({"0": "a"}), None),
        ("id2label", json!(["a", "b"]), None),
        ("problem_type", json!("ranking"), None),
    ] {
        let mut files = base.clone();
        edit(&mut files, "config.json", |config| {
            config.as_object_mut().unwrap().remove("id2label");
            config.as_object_mut().unwrap().remove("label2id");
            config[key] = value.clone();
        });
        let encoder = encoder(&files).unwrap();
        assert_eq!(embedding(&encoder, text), plain, "{key} {value}");
        assert_eq!(encoder.checkpoint().fingerprint().unwrap(), open(&base).unwrap().fingerprint().unwrap());
        let kind = if encoder.checkpoint().heads().has(HeadKind::Sequence) {
            HeadKind::Sequence
        } else {
            HeadKind::Token
        };
        let labels = encoder.checkpoint().labels(kind);
        match names {
            Some(names) => {
                assert_eq!(labels.unwrap(), names, "{key} {value}");
                encoder.classify([text], &EmbedOptions::default()).unwrap();
            }
            None => {
                assert!(labels.unwrap_err().to_string().contains(key), "{key} {value}");
                let answer = match kind {
                    HeadKind::Sequence => encoder.classify([text], &EmbedOptions::default()).map(drop),
                    _ => encoder.tag(&[text], Aggregation::None, &EmbedOptions::default()).map(drop),
                };
                answer.unwrap_err();
            }
        }
    }
}

// The recipe.

fn texts() -> Vec<Text> {
    let pairs = [("GOOD Film was fine, good", "was Dull"), ("Paris", "")];
    let singles = ["GOOD Film was fine, good", "CAFÉ résumé 你好 中文", "[ENT]the film[/ENT] [MASK] was"];
    let long = "the film was fine ".repeat(40);
    let singles = singles.iter().map(|text| Text::from(*text)).chain([Text::from(long.as_str())]);
    singles.chain(pairs.iter().map(|(a, b)| Text::from((*a, *b)))).collect()
}

fn head(dimension: usize) -> Head {
    let values: Vec<f32> = (0..8 * dimension).map(|at| ((at * at) % 7) as f32 + (at % 2) as f32).collect();
    let targets =
        Targets::Classes { labels: vec![0, 1, 0, 1, 0, 1, 0, 1], names: vec!["a".into(), "b".into()] };
    let data = TrainData::new(Matrix::new(8, dimension, values).unwrap(), targets);
    let options = TrainOptions { c: Strength::Fixed(1.0), ..TrainOptions::default() };
    Head::train(&data, &options, &mut |_| {}).unwrap().head
}

/// Every setting of a checkpoint's JSON files, each with values that it has not: flags turned, numbers, strings and nothing.
fn every_setting(files: &Folder) -> Vec<(String, Folder)> {
    fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    found.push(format!("{at}/{key}"));
                    leaves(value, &format!("{at}/{key}"), found);
                }
            }
            Value::Array(list) if list.len() <= 8 => {
                for (index, value) in list.iter().enumerate() {
                    leaves(value, &format!("{at}/{index}"), found);
                }
            }
            _ => {}
        }
    }
    let mut all = vec![];
    for name in files.keys().filter(|name| name.ends_with(".json")) {
        let value: Value = serde_json::from_slice(&files[name]).unwrap();
        let mut paths = vec![];
        leaves(&value, "", &mut paths);
        // A vocabulary has hundreds; a few will do.
        let vocabulary = |path: &str| path.starts_with("/model/vocab/") || path.starts_with("/added_tokens/");
        let mut seen = 0;
        paths.retain(|path| {
            !vocabulary(path) || {
                seen += 1;
                seen % 40 == 0
            }
        });
        for path in paths {
            let old = value.pointer(&path).unwrap();
            let news = match old {
                Value::Bool(flag) => vec![json!(!flag), Value::Null],
                Value::Number(number) => {
                    vec![json!(number.as_f64().unwrap() as i64 + 1), json!(2), Value::Null]
                }
                Value::String(_) => {
                    vec![json!("left"), json!("cls"), json!("torch.nn.modules.activation.Tanh"), Value::Null]
                }
                Value::Null => vec![json!(true), json!(2), json!("x")],
                Value::Array(_) | Value::Object(_) => vec![Value::Null],
            };
            for new in news.into_iter().filter(|new| new != old) {
                let mut files = files.clone();
                let what = format!("{name} {path} = {new}");
                edit(&mut files, name, |value| *value.pointer_mut(&path).unwrap() = new);
                all.push((what, files));
            }
        }
    }
    all
}

/// Settings that a checkpoint may have and the fixtures have not.
fn more_settings(files: &Folder) -> Vec<(String, Folder)> {
    let list = [
        ("sentence_bert_config.json", "do_lower_case", json!(true)),
        ("sentence_bert_config.json", "max_seq_length", json!(7)),
        ("config_sentence_transformers.json", "truncate_dim", json!(3)),
        ("config_sentence_transformers.json", "prompts", json!({"q": "Film "})),
        ("1_Pooling/config.json", "include_prompt", json!(false)),
        ("1_Pooling/config.json", "pooling_mode", json!("max")),
        ("2_Dense/config.json", "activation_function", json!("torch.nn.modules.activation.ReLU")),
        ("2_Dense/config.json", "bias", json!(false)),
        ("tokenizer_config.json", "truncation_side", json!("left")),
        ("tokenizer_config.json", "model_input_names", json!(["input_ids", "attention_mask"])),
        ("tokenizer_config.json", "model_max_length", json!(9)),
        ("tokenizer_config.json", "do_lower_case", json!(false)),
        ("tokenizer_config.json", "strip_accents", json!(false)),
        ("tokenizer_config.json", "tokenize_chinese_chars", json!(false)),
        ("tokenizer_config.json", "tokenizer_class", json!("PreTrainedTokenizerFast")),
        ("tokenizer_config.json", "split_special_tokens", json!(true)),
        ("tokenizer_config.json", "cls_token", json!("[MASK]")),
        ("tokenizer_config.json", "unk_token", json!("[PAD]")),
        ("tokenizer_config.json", "additional_special_tokens", json!(["Film"])),
        (
            "tokenizer_config.json",
            "added_tokens_decoder",
            json!({"4": {"content": "[MASK]", "rstrip": true}}),
        ),
        ("special_tokens_map.json", "sep_token", json!("[MASK]")),
        ("added_tokens.json", "film", json!(179)),
        ("config.json", "tokenizer_class", json!("PreTrainedTokenizerFast")),
        ("config.json", "layer_norm_eps", json!(0.1)),
        ("config.json", "hidden_act", json!("relu")),
        (
            "tokenizer.json",
            "truncation",
            json!({"direction": "Left", "max_length": 4, "strategy": "LongestFirst", "stride": 0}),
        ),
        ("tokenizer.json", "normalizer", Value::Null),
    ];
    let more = list.into_iter().map(|(name, key, value)| {
        let mut files = files.clone();
        let what = format!("{name} {key} = {value}");
        edit(&mut files, name, |file| file[key] = value);
        (what, files)
    });
    more.collect()
}

/// A LayerNorm module behind the pooling. Expected: sentence-transformers 6.2.
#[test]
fn a_layer_norm_behind_the_pooling_is_computed() {
    let numbers = |of: &dyn Fn(f32) -> f32| (0..48).flat_map(|i| of(i as f32).to_le_bytes()).collect();
    let tensors: Vec<(&str, Vec<u8>)> = vec![
        ("norm.weight", numbers(&|i| 1.0 + (i % 5.0) / 8.0)),
        ("norm.bias", numbers(&|i| (i % 3.0) / 4.0 - 0.25)),
    ];
    let views = tensors.iter().map(|(name, data)| {
        (*name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![48], data).unwrap())
    });
    let mut files = folder("goldens/sentence-mean");
    files.insert("2_LayerNorm/model.safetensors".into(), safetensors::serialize(views, None).unwrap());
    files.insert("2_LayerNorm/config.json".into(), br#"{"dimension": 48}"#.to_vec());
    let list = |last: &[&str]| -> Value {
        let modules = ["Transformer", "1_Pooling", "2_LayerNorm"].into_iter().chain(last.iter().copied());
        let entry = |name: &str| {
            let class = name.rsplit('_').next().unwrap();
            json!({"path": if name == class { "" } else { name }, "type": format!("x.{class}")})
        };
        modules.map(entry).collect()
    };
    let plain =
        [[-0.9178041, -1.83061, 0.1698335, 1.0086235], [-0.8404186, -1.3429837, -0.4523623, 0.5862871]];
    let unit =
        [[-0.1013838, -0.2022154, 0.0187604, 0.111416], [-0.0922673, -0.1474425, -0.0496636, 0.0643669]];
    for (last, expected) in [(&[][..], plain), (&["3_Normalize"][..], unit)] {
        edit(&mut files, "modules.json", |modules| *modules = list(last));
        let found = encoder(&files).unwrap();
        let texts = ["a film of the year", "no plot , no wit"].map(Text::from);
        let rows = found.embed(texts, &EmbedOptions::default()).unwrap();
        for (row, expected) in rows.values.chunks(rows.dim).zip(expected) {
            for (value, expected) in row.iter().zip(expected) {
                assert!((value - expected).abs() < 4e-6, "{value} {expected}");
            }
        }
        let summary = open(&files).unwrap().summary(1024).to_string();
        assert!(summary.contains("layer norm"), "{summary}");
    }
    for (key, wrong) in [("dimension", json!(47)), ("dimension", json!("48")), ("size", json!(48))] {
        let mut files = files.clone();
        files.insert("2_LayerNorm/config.json".into(), json!({key: wrong}).to_string().into_bytes());
        let error = open(&files).unwrap_err().to_string();
        let told = error.contains("dimension") || error.contains("[47]");
        assert!(error.contains("2_LayerNorm") && told, "{error}");
    }
}

/// A WeightedLayerPooling module before the pooling. Expected: sentence-transformers 6.2.
#[test]
fn a_weighted_mean_of_layers_is_computed() {
    let weights = |values: &[f32]| {
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![values.len()], &data).unwrap();
        safetensors::serialize([("layer_weights", view)], None).unwrap()
    };
    let mut files = folder("goldens/sentence-mean");
    files.insert("1_WeightedLayerPooling/model.safetensors".into(), weights(&[0.5, 1.75, 3.0]));
    let config = json!({"embedding_dimension": 48, "layer_start": 1, "num_hidden_layers": 3});
    files.insert("1_WeightedLayerPooling/config.json".into(), config.to_string().into_bytes());
    let list = json!([
        {"path": "", "type": "x.Transformer"},
        {"path": "1_WeightedLayerPooling", "type": "x.WeightedLayerPooling"},
        {"path": "1_Pooling", "type": "x.Pooling"},
    ]);
    edit(&mut files, "modules.json", |modules| *modules = list);
    let embedded = |files: &Folder, options: &EmbedOptions| {
        let texts = ["a film of the year", "no plot , no wit"].map(Text::from);
        encoder(files).unwrap().embed(texts, options).unwrap()
    };
    let close = |rows: &frostbert::Embeddings, expected: [[f32; 4]; 2], what: &str| {
        for (row, expected) in rows.values.chunks(rows.dim).zip(expected) {
            for (value, expected) in row.iter().zip(expected) {
                assert!((value - expected).abs() < 1e-5, "{what}: {value} {expected}");
            }
        }
    };
    // The transformer hands its hidden states on only when told to; the module does nothing then.
    let last = [[-2.016292, -4.921596, -0.188234, 2.777911], [-1.862639, -3.769229, -1.772487, 1.925065]];
    edit(&mut files, "1_Pooling/config.json", |config| {
        config["pooling_mode"] = json!("mean_sqrt_len_tokens")
    });
    close(&embedded(&files, &EmbedOptions::default()), last, "without hidden states");
    edit(&mut files, "config.json", |config| config["output_hidden_states"] = json!(true));
    for (pooling, expected) in [
        ("mean", [[-0.580121, -1.412733, -0.015524, -0.154716], [-0.744008, -0.959697, -0.434326, 0.340965]]),
        ("cls", [[-0.762867, -1.419458, 0.217525, -0.252097], [-0.710269, -1.282585, -0.109402, 0.023948]]),
        (
            "lasttoken",
            [[-0.419068, -1.607421, -0.089567, -0.143045], [-0.692002, -0.991211, -0.457837, 0.23073]],
        ),
        (
            "mean_sqrt_len_tokens",
            [[-1.834505, -4.467453, -0.049092, -0.489255], [-2.352759, -3.034828, -1.373458, 1.078225]],
        ),
    ] {
        edit(&mut files, "1_Pooling/config.json", |config| config["pooling_mode"] = json!(pooling));
        close(&embedded(&files, &EmbedOptions::default()), expected, pooling);
    }
    let found = encoder(&files).unwrap();
    let summary = found.checkpoint().summary(1024).to_string();
    assert!(summary.contains("weighted mean of layers 1 to 3"), "{summary}");
    // By its recipe, as a head brings it along, the vectors are the same; the last layer can still be had, and other weights
    // are another encoder.
    let recipe = found.recipe(&EmbedOptions::default()).unwrap();
    assert_eq!(embedded(&files, &recipe.options()), embedded(&files, &EmbedOptions::default()));
    let options = EmbedOptions { layers: frostbert::Layers::These(vec![3]), ..EmbedOptions::default() };
    close(&embedded(&files, &options), last, "the last layer by name");
    let mut other = files.clone();
    other.insert("1_WeightedLayerPooling/model.safetensors".into(), weights(&[0.5, 1.75, 3.5]));
    assert_ne!(encoder(&other).unwrap().recipe(&EmbedOptions::default()).unwrap(), recipe);
    other.insert("1_WeightedLayerPooling/model.safetensors".into(), weights(&[1.0, -1.0, 0.0]));
    let texts = || ["a film"].map(Text::from);
    assert!(
        encoder(&other).unwrap().embed(texts(), &EmbedOptions::default()).unwrap_err().is_model_file(),
        "a sum of zero"
    );

    for (key, wrong) in [
        ("layer_start", json!(4)),
        ("layer_start", json!(0)),
        ("num_hidden_layers", json!(12)),
        ("embedding_dimension", json!(47)),
        ("layer_start", json!("1")),
        ("size", json!(48)),
    ] {
        let mut files = files.clone();
        edit(&mut files, "1_WeightedLayerPooling/config.json", |config| {
            if key == "size" {
                config.as_object_mut().unwrap().remove("embedding_dimension");
            } else {
                config[key] = wrong.clone();
            }
        });
        let error = open(&files).unwrap_err().to_string();
        assert!(error.contains("1_WeightedLayerPooling"), "{key}: {error}");
    }
    edit(&mut files, "1_Pooling/config.json", |config| config["pooling_mode"] = json!("max"));
    assert!(open(&files).unwrap_err().to_string().contains("max pooling"));
}

/// Settings for config.json and the tokenizer in the transformer's own configuration. Expected: sentence-transformers 6.2.
#[test]
fn settings_in_sentence_bert_config_go_over_those_of_other_files() {
    let relu = [[-0.098014, -0.247751, 0.037175, 0.116955], [-0.099446, -0.196357, -0.038643, 0.11288]];
    let left = [[-0.036427, -0.125506, -0.042852, 0.020324], [-0.025194, -0.280132, 0.003405, 0.072864]];
    let plain = [[-0.096105, -0.234583, -0.008972, 0.132407], [-0.085078, -0.172164, -0.08096, 0.08793]];
    let eps = [[-0.091111, -0.254565, -0.00677, 0.126892], [-0.073766, -0.181275, -0.061144, 0.099111]];
    let with = |more: &Value| {
        let mut files = folder("goldens/sentence-mean");
        edit(&mut files, "sentence_bert_config.json", |config| {
            config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        });
        files
    };
    for (more, expected) in [
        (json!({}), plain),
        (json!({"config_args": {"hidden_act": "relu"}}), relu),
        (json!({"config_kwargs": {"hidden_act": "relu", "revision": "x"}}), relu),
        (json!({"config_args": {"layer_norm_eps": 0.5}}), eps),
        (json!({"tokenizer_args": {"truncation_side": "left", "model_max_length": 5}}), left),
        (json!({"processor_kwargs": {"truncation_side": "left"}, "max_seq_length": 5}), left),
        (
            json!({"model_args": {"torch_dtype": "float32"}, "processing_kwargs": {"text": {"padding": true}}}),
            plain,
        ),
    ] {
        let texts = ["a film of the year", "No plot , no wit"].map(Text::from);
        let rows = encoder(&with(&more)).unwrap().embed(texts, &EmbedOptions::default()).unwrap();
        for (row, expected) in rows.values.chunks(rows.dim).zip(expected) {
            for (value, expected) in row.iter().zip(expected) {
                assert!((value - expected).abs() < 4e-6, "{more}: {value} {expected}");
            }
        }
    }
    for more in [
        json!({"config_args": {"hidden_act": "swoosh"}}),
        json!({"config_args": ["hidden_act"]}),
        json!({"processing_kwargs": {"text": {"max_length": 5}}}),
        json!({"processing_kwargs": {"common": {"add_special_tokens": false}}}),
    ] {
        let error = open(&with(&more)).unwrap_err();
        assert!(error.is_model_file(), "{more}: {error}");
    }
}

/// The vectors from the cache are those computed anew, whatever setting was changed after it was filled; and a head is refused
/// where the recipe is another. Where vectors differ, the recipe does.
#[test]
fn the_recipe_is_all_that_decides_a_vector() {
    let options = EmbedOptions { prompt: frostbert::Prompt::Default, ..EmbedOptions::default() };
    let (mut opened, mut moved) = (0, 0);
    for base in ["model", "cased", "vocab"] {
        let mut files = folder(&format!(
            "cases/cache-and-heads-miss-settings/{}",
            if base == "cased" { "cased" } else { "model" }
        ));
        edit(&mut files, "config_sentence_transformers.json", |config| {
            config["prompts"] = json!({"q": "the film "});
            config["default_prompt_name"] = json!("q");
        });
        if base == "vocab" {
            files.remove("tokenizer.json");
            let vocab = folder("cases/added-tokens-ignored/vocab-and-decoder").remove("vocab.txt").unwrap();
            files.insert("vocab.txt".into(), vocab);
        }
        let work = tempfile::tempdir().unwrap();
        let cache = BestEffort::new(Cache::open(work.path()), |problem| panic!("{problem}"));
        let first = encoder(&files).unwrap();
        let before = first.embed_cached(texts(), &options, &cache).unwrap().embeddings;
        let recipe = first.recipe(&options).unwrap();
        let mut bound = head(before.dim);
        recipe.bind(&mut bound, "here").unwrap();
        recipe.check_head(&bound).unwrap();
        // In a file as in memory.
        let bound = Head::from_bytes(&bound.to_bytes().unwrap()).unwrap();
        assert_eq!(EmbeddingRecipe::of_head(&bound).unwrap().as_ref(), Some(&recipe));

        for (what, files) in every_setting(&files).into_iter().chain(more_settings(&files)) {
            let Ok(changed) = encoder(&files) else { continue };
            let Ok(anew) = changed.embed(texts(), &options) else { continue };
            opened += 1;
            let cached = changed.embed_cached(texts(), &options, &cache).unwrap().embeddings;
            assert_eq!((cached.dim, &cached.values), (anew.dim, &anew.values), "{base}: {what}");
            assert_eq!(cached.truncated, anew.truncated, "{base}: {what}");
            let now = changed.recipe(&options).unwrap();
            if anew != before {
                moved += 1;
                assert_ne!(now, recipe, "{base}: {what} moves the vectors");
            }
            assert_eq!(now.check_head(&bound).is_err(), now != recipe, "{base}: {what}");
            if let Err(error) = now.check_head(&bound) {
                assert!(error.is_input() && error.to_string().contains("instead of"), "{error}");
            }
        }
    }
    assert!(opened > 200 && moved > 60, "{opened} {moved}");
}

/// Heads written before the recipe said all of it.
#[test]
fn heads_of_the_first_version_fit_the_checkpoint_they_were_made_on() {
    let files = folder("cases/cache-and-heads-miss-settings/model");
    let encoder = |files: &Folder| encoder(files).unwrap();
    let same = encoder(&files);
    let recipe = same.recipe(&EmbedOptions::default()).unwrap();
    let mut old = serde_json::to_value(&recipe).unwrap();
    old["dense"] = json!(["2_Dense/linear"]);
    old.as_object_mut().unwrap().remove("tokenizer_settings");
    let mut bound = head(same.dim(&EmbedOptions::default()).unwrap());
    bound.record.notes.insert("recipe".into(), old.to_string());
    let loose =
        json!({"weights": recipe.checkpoint.weights, "pooling": "mean > 2_Dense/linear", "max_length": 64});
    bound.record.encoder = Some(serde_json::from_value(loose).unwrap());
    let bound = Head::from_bytes(&bound.to_bytes().unwrap()).unwrap();
    Classifier::new(same, Head::from_bytes(&bound.to_bytes().unwrap()).unwrap()).unwrap();

    let refused = |name: &str, key: &str, value: Value| {
        let mut files = files.clone();
        edit(&mut files, name, |config| config[key] = value);
        let recipe =
            encoder(&files).recipe(&EmbeddingRecipe::of_head(&bound).unwrap().unwrap().options()).unwrap();
        recipe.check_head(&bound).unwrap_err().to_string()
    };
    assert!(refused("config.json", "layer_norm_eps", json!(0.1)).contains("config"));
    assert!(refused("tokenizer_config.json", "do_lower_case", json!(false)).contains("train it again"));
    let cut = refused("config_sentence_transformers.json", "truncate_dim", json!(3));
    assert!(cut.contains("truncate_dim"), "{cut}");
    // One whose fields say less than a recipe fits nothing.
    let mut loose = head(4);
    loose.record.encoder = Some(serde_json::from_value(json!({"weights": "a"})).unwrap());
    recipe.check_head(&loose).unwrap_err();
}

// Damage.

/// Opens, plans and embeds what may be damaged: an answer or an error, nothing else.
fn try_all(files: &Folder) -> frostbert::Result<()> {
    let encoder = encoder(files)?;
    encoder.checkpoint().summary(64).to_string();
    encoder.embed(["the Film was [MASK] fine", ""], &EmbedOptions::default())?;
    Ok(())
}

fn survives(what: &str, files: &Folder, outcomes: &mut [usize; 2]) {
    let started = std::time::Instant::now();
    match catch_unwind(AssertUnwindSafe(|| try_all(files))) {
        Ok(Ok(())) => outcomes[0] += 1,
        Ok(Err(_)) => outcomes[1] += 1,
        Err(_) => panic!("panicked on {what}"),
    }
    assert!(started.elapsed().as_secs() < 20, "{what} took {:?}", started.elapsed());
}

#[test]
fn damaged_settings_are_answers_or_errors() {
    let mut random = ChaCha8Rng::seed_from_u64(18);
    let goldens = [
        "goldens/albert",
        "goldens/bert-sequence-single-label",
        "goldens/electra",
        "goldens/modernbert",
        "goldens/mpnet",
        "goldens/roberta-masked-lm",
        "cases/cache-and-heads-miss-settings/model",
        "cases/truncate_dim/model",
    ]
    .map(folder);
    let odd = [
        json!(0),
        json!(1),
        json!(-1),
        json!(3),
        json!(7),
        json!(1 << 14),
        json!(1 << 24),
        json!((1 << 24) + 1),
        json!(u32::MAX),
        json!(1u64 << 32),
        json!(1u64 << 40),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(0.5),
        json!(1e300),
        json!(-1e-12),
        json!(true),
        json!(false),
        Value::Null,
        json!(""),
        json!("x"),
        json!("/"),
        json!("../x"),
        json!([]),
        json!([1, 2]),
        json!({}),
        json!({"0": 1}),
        json!("roberta"),
        json!("mpnet"),
        json!("modernbert"),
        json!("left"),
    ];
    let mut outcomes = [0; 2];
    for round in 0..500 {
        let mut files = goldens[round % goldens.len()].clone();
        let names: Vec<String> = files
            .keys()
            .filter(|name| name.ends_with(".json") && *name != "tokenizer.json")
            .cloned()
            .collect();
        let mut what = String::new();
        for _ in 0..random.random_range(1..4) {
            let name = &names[random.random_range(0..names.len())];
            let value = odd[random.random_range(0..odd.len())].clone();
            edit(&mut files, name, |file| {
                let entry = match file {
                    Value::Array(list) if !list.is_empty() => {
                        let at = random.random_range(0..list.len());
                        &mut list[at]
                    }
                    file => file,
                };
                let Some(map) = entry.as_object_mut() else { return };
                let keys: Vec<String> = map.keys().cloned().collect();
                let more = [
                    "relative_attention_num_buckets",
                    "embedding_size",
                    "num_hidden_groups",
                    "truncate_dim",
                    "max_seq_length",
                    "layer_types",
                    "rope_parameters",
                    "local_attention",
                    "added_tokens_decoder",
                ];
                let at = random.random_range(0..keys.len() + 3);
                let key = keys
                    .get(at)
                    .cloned()
                    .unwrap_or_else(|| more[random.random_range(0..more.len())].to_owned());
                what = format!("{what} {name} {key} = {value};");
                map.insert(key, value);
            });
        }
        survives(&what, &files, &mut outcomes);
    }
    assert!(outcomes.iter().all(|count| *count > 100), "{outcomes:?}");
}

#[test]
fn sizes_that_the_weights_do_not_have_are_refused_at_once() {
    let base = |name: &str| folder(&format!("goldens/{name}"));
    for (golden, key, value) in [
        ("bert-act-relu", "hidden_size", json!(1 << 24)),
        ("bert-act-relu", "intermediate_size", json!(1 << 24)),
        ("bert-act-relu", "vocab_size", json!(1 << 24)),
        ("bert-act-relu", "max_position_embeddings", json!(1 << 24)),
        ("bert-act-relu", "num_hidden_layers", json!(1000)),
        ("bert-act-relu", "num_hidden_layers", json!(20_000)),
        ("bert-act-relu", "type_vocab_size", json!(0)),
        ("bert-act-relu", "type_vocab_size", json!(1 << 24)),
        ("bert-act-relu", "pad_token_id", json!(1u64 << 32)),
        ("distilbert-sequence", "n_layers", json!(900)),
        ("electra", "embedding_size", json!(1 << 20)),
        ("albert", "num_hidden_groups", json!(3)),
        ("mpnet", "relative_attention_num_buckets", json!(1 << 20)),
        ("modernbert", "intermediate_size", json!(1 << 23)),
        ("modernbert", "num_hidden_layers", json!(64)),
    ] {
        let mut files = base(golden);
        edit(&mut files, "config.json", |config| config[key] = value.clone());
        let started = std::time::Instant::now();
        let error = open(&files).unwrap_err();
        assert!(error.is_model_file(), "{golden} {key} {value}");
        assert!(started.elapsed().as_millis() < 2000, "{golden} {key} {value}");
    }
    let mut files = folder("cases/cache-and-heads-miss-settings/model");
    edit(&mut files, "2_Dense/config.json", |config| config["out_features"] = json!(1 << 23));
    assert!(open(&files).unwrap_err().to_string().contains("2_Dense"));
}

#[test]
fn damaged_tokenizers_are_answers_or_errors() {
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let goldens = [
        "cases/tokenizer_config-overrides/lower-says-no",
        "goldens/roberta-masked-lm",
        "goldens/xlm-roberta",
    ]
    .map(folder);
    let mut outcomes = [0; 2];
    for round in 0..240 {
        let mut files = goldens[round % goldens.len()].clone();
        let mut what = String::new();
        edit(&mut files, "tokenizer.json", |file| {
            for _ in 0..random.random_range(1..3) {
                let mut value = &mut *file;
                let mut path = String::new();
                // Down to some setting, the shallow ones as often as the deep ones.
                loop {
                    let inside = value.as_object().map(|map| map.len()).or(value.as_array().map(Vec::len));
                    let stop = random.random_range(0..4) == 0 && !path.is_empty();
                    let Some(count) = inside.filter(|count| *count > 0 && !stop) else { break };
                    let at = random.random_range(0..count);
                    value = match value {
                        Value::Object(map) => {
                            let key = map.keys().nth(at).unwrap().clone();
                            path = format!("{path}/{key}");
                            map.get_mut(&key).unwrap()
                        }
                        list => {
                            path = format!("{path}/{at}");
                            &mut list[at]
                        }
                    };
                }
                *value = match random.random_range(0..9) {
                    0 => Value::Null,
                    1 => json!(0),
                    2 => json!(u32::MAX),
                    3 => json!(100_000),
                    4 => json!(""),
                    5 => json!("x y"),
                    6 => json!([]),
                    7 => json!({}),
                    _ => json!(true),
                };
                what = format!("{what} {path} = {value}");
            }
        });
        survives(&what, &files, &mut outcomes);
    }
    assert!(outcomes.iter().all(|count| *count > 10), "{outcomes:?}");
    // Nested past all use, and with a chance in it.
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (name, bytes) in
        [("tokenizer.json", deep.clone()), ("tokenizer_config.json", deep.clone()), ("config.json", deep)]
    {
        let mut files = goldens[0].clone();
        files.insert(name.into(), bytes.into_bytes());
        try_all(&files).unwrap_err();
    }
}
