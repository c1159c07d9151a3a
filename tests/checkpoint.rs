//! Checkpoints and their tokenizers, against what transformers made of the same folders.

// Clippy's exemption for tests does not reach the helpers beside them.
#![allow(clippy::unwrap_used)]

use frostbert::checkpoint::{Checkpoint, Files, FolderFiles, MemoryFiles, StoredType};
use frostbert::model::{Family, HeadKind, ProblemType};
use frostbert::model::{Pooling, WeightKind, WeightPart, WeightSource, WeightSpec};
use frostbert::text::{EncodeOptions, TextInput, Tokenizer, Truncate, TruncationSide};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens")
}

fn golden(name: &str) -> Checkpoint {
    Checkpoint::open(goldens().join(name)).unwrap()
}

fn golden_names() -> Vec<String> {
    let entries = std::fs::read_dir(goldens()).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().join("config.json").exists())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 28);
    names
}

fn cases(name: &str) -> serde_json::Map<String, Value> {
    let file = goldens().join(name).join("cases.json");
    // Python writes NaN (the error of an output that is all padding), which JSON does not have.
    let json = std::fs::read_to_string(file).unwrap().replace("NaN", "null");
    let value: Value = serde_json::from_str(&json).unwrap();
    value["cases"].as_object().unwrap().clone()
}

/// A golden's files in memory, to damage them.
fn in_memory(name: &str) -> MemoryFiles {
    let folder = goldens().join(name);
    let mut files = MemoryFiles::new();
    let mut folders = vec![folder.clone()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else {
                let relative = entry.strip_prefix(&folder).unwrap().to_str().unwrap().replace('\\', "/");
                files.insert(relative, std::fs::read(&entry).unwrap());
            }
        }
    }
    files
}

fn numbers(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_golden_opens_from_its_folder_and_from_memory() {
    for name in golden_names() {
        let folder = golden(&name);
        let memory = Checkpoint::from_files(in_memory(&name)).unwrap();
        assert_eq!(folder.config(), memory.config(), "{name}");
        assert_eq!(folder.fingerprint().unwrap(), memory.fingerprint().unwrap(), "{name}");
        let config = folder.config();
        assert_eq!((config.hidden, config.heads, config.head_dim, config.intermediate), (48, 4, 12, 100));
        assert_eq!(config.layers, if config.family == Family::ModernBert { 4 } else { 3 });
        assert_eq!(config.max_tokens, 64, "{name}");
        assert_eq!(folder.max_tokens(), if name.starts_with("sentence") { 56 } else { 64 }, "{name}");
    }
}

#[test]
fn token_ids_are_those_of_transformers() {
    let mut compared = 0;
    for name in golden_names() {
        let checkpoint = golden(&name);
        let tokenizer = Tokenizer::load(checkpoint.tokenizer_source()).unwrap();
        for (case, expected) in cases(&name) {
            let Some(ids) = expected.get("input_ids") else { continue };
            let first = texts(&expected["texts"]);
            let second = expected.get("text_pairs").map(texts);
            let inputs: Vec<TextInput<'_>> = match &second {
                Some(second) => first.iter().zip(second).map(|(a, b)| TextInput::Pair(a, b)).collect(),
                None => first.iter().map(TextInput::from).collect(),
            };
            let rows = tokenizer.encode_batch(&inputs, EncodeOptions::default()).unwrap();
            assert_eq!(rows.len(), inputs.len());
            for (at, row) in rows.iter().enumerate() {
                let real = numbers(&expected["attention_mask"][at]).iter().sum::<u32>() as usize;
                assert_eq!(row.ids, numbers(&ids[at])[..real], "{name} {case} {at}");
                let types = match expected.get("token_type_ids") {
                    Some(types) => numbers(&types[at])[..real].to_vec(),
                    None => vec![0; real],
                };
                assert_eq!(row.type_ids, types, "{name} {case} {at}");
                assert_eq!(row.row, at);
                assert_eq!(row.truncated, row.tokens > 64);
                assert_eq!(
                    row.second_start.is_some(),
                    second.is_some() && !texts(&expected["text_pairs"])[at].is_empty()
                );
                compared += 1;
            }
        }
        assert!(cases(&name).contains_key("longest"));
    }
    assert!(compared > 300, "{compared}");
}

#[test]
fn heads_are_told_from_the_tensors() {
    use HeadKind::{MaskedLm, NextSentence, Pooler, Sequence, Token};
    let expected: &[(&str, &[(HeadKind, usize)])] = &[
        ("albert", &[(Pooler, 48)]),
        ("bert-act-relu", &[(Pooler, 48)]),
        ("bert-legacy-names", &[(Pooler, 48), (MaskedLm, 368), (NextSentence, 2)]),
        ("bert-pretraining", &[(Pooler, 48), (MaskedLm, 368), (NextSentence, 2)]),
        ("bert-sequence-multi-label", &[(Pooler, 48), (Sequence, 5)]),
        ("bert-sequence-regression", &[(Pooler, 48), (Sequence, 1)]),
        ("bert-sequence-single-label", &[(Pooler, 48), (Sequence, 3)]),
        ("bert-token-classification", &[(Token, 7)]),
        ("distilbert-masked-lm", &[(MaskedLm, 368)]),
        ("distilbert-sequence", &[(Sequence, 3)]),
        ("electra", &[]),
        ("modernbert", &[(MaskedLm, 368)]),
        ("mpnet", &[(Pooler, 48)]),
        ("roberta-masked-lm", &[(MaskedLm, 420)]),
        ("roberta-sequence", &[(Sequence, 3)]),
        ("sentence-cls", &[(Pooler, 48)]),
        ("xlm-roberta", &[(Pooler, 48)]),
    ];
    for (name, heads) in expected {
        let checkpoint = golden(name);
        let found: Vec<_> = checkpoint.heads().iter().map(|head| (head.kind, head.outputs)).collect();
        assert_eq!(found, *heads, "{name}");
        assert_eq!(checkpoint.heads().other, Vec::<String>::new(), "{name}");
        assert_eq!(checkpoint.config().has_pooler, heads.iter().any(|head| head.0 == Pooler), "{name}");
    }
    // And without the class name's help.
    for (name, heads) in expected {
        let mut files = in_memory(name);
        let mut config: Value = serde_json::from_slice(&files.remove("config.json").unwrap()).unwrap();
        config.as_object_mut().unwrap().remove("architectures");
        files.insert("config.json", config.to_string().into_bytes());
        let found = Checkpoint::from_files(files).unwrap();
        let found: Vec<_> = found.heads().iter().map(|head| (head.kind, head.outputs)).collect();
        assert_eq!(found, *heads, "{name} without architectures");
    }
}

#[test]
fn labels_and_problem_types() {
    let single = golden("bert-sequence-single-label");
    assert_eq!(single.labels(HeadKind::Sequence).unwrap(), ["bad", "fine", "good"]);
    assert_eq!(single.config().problem_type, Some(ProblemType::SingleLabel));
    let multi = golden("bert-sequence-multi-label");
    assert_eq!(multi.config().problem_type, Some(ProblemType::MultiLabel));
    assert_eq!(golden("bert-sequence-regression").config().problem_type, Some(ProblemType::Regression));
    assert_eq!(golden("bert-token-classification").labels(HeadKind::Token).unwrap().len(), 7);
    assert!(golden("bert-pretraining").labels(HeadKind::Sequence).unwrap_err().is_model_file());

    let mut files = in_memory("bert-sequence-single-label");
    edit_json(&mut files, "config.json", |config| config["id2label"] = json!({"0": "a", "1": "b"}));
    let wrong = Checkpoint::from_files(files).unwrap().labels(HeadKind::Sequence).unwrap_err().to_string();
    assert!(wrong.contains("2 names") && wrong.contains("3 rows"), "{wrong}");
}

#[test]
fn sentence_modules_are_read() {
    for (name, pooling) in [
        ("sentence-cls", Pooling::Cls),
        ("sentence-lasttoken", Pooling::LastToken),
        ("sentence-max", Pooling::Max),
        ("sentence-mean", Pooling::Mean),
        ("sentence-mean_sqrt_len_tokens", Pooling::MeanSqrtLenTokens),
        ("sentence-weightedmean", Pooling::WeightedMean),
    ] {
        let checkpoint = golden(name);
        let request = checkpoint.embedding_request();
        assert_eq!(request.pooling, [pooling], "{name}");
        assert_eq!(request.layers, [3]);
        assert_eq!(request.normalize, ["sentence-cls", "sentence-mean"].contains(&name), "{name}");
        assert_eq!(request.modules.len(), usize::from(name == "sentence-cls"));
        assert!(checkpoint.modules().unwrap().include_prompt);
    }
    let checkpoint = golden("sentence-cls");
    assert_eq!(checkpoint.embedding_request().modules[0].to_string(), "2_Dense/linear: 48 to 20, bias, tanh");
    assert_eq!(checkpoint.weights().tensor("2_Dense/linear.weight", &[20, 48]).unwrap().len(), 960);
    let prompts = golden("sentence-max").modules().unwrap().clone();
    assert_eq!(prompts.default_prompt_name.as_deref(), Some("query"));
    assert_eq!(prompts.prompts["passage"], "passage: ");
    assert!(golden("bert-pretraining").modules().is_none());
}

#[test]
fn weights_are_the_same_numbers_however_they_are_stored() {
    let plain = golden("bert-pretraining");
    let legacy = golden("bert-legacy-names");
    assert_eq!(plain.weights().parameters(), legacy.weights().parameters());
    assert!(!legacy.weights().has("embeddings.position_ids"));
    let names: Vec<&str> = plain.weights().names().collect();
    assert_eq!(names, legacy.weights().names().collect::<Vec<_>>());
    for name in names {
        let shape = plain.weights().shape(name).unwrap();
        assert_eq!(
            plain.weights().tensor(name, shape).unwrap(),
            legacy.weights().tensor(name, shape).unwrap()
        );
    }
    assert_eq!(plain.fingerprint().unwrap(), legacy.fingerprint().unwrap());

    let sharded = golden("bert-sharded");
    assert_eq!(sharded.weights().parameters(), 81_324);
    // The sentence-* goldens hold bert-sharded's weights in one file.
    assert_eq!(sharded.fingerprint().unwrap(), golden("sentence-mean").fingerprint().unwrap());
    assert_ne!(sharded.fingerprint().unwrap().weights, golden("sentence-cls").fingerprint().unwrap().weights);

    for (name, stored) in [
        ("bert-float16", StoredType::F16),
        ("bert-bfloat16", StoredType::Bf16),
        ("bert-act-relu", StoredType::F32),
    ] {
        assert_eq!(golden(name).weights().stored_type(), Some(stored));
    }
}

#[test]
fn fingerprints_change_with_what_moves_an_embedding_and_with_nothing_else() {
    let fingerprint = |edit: &dyn Fn(&mut MemoryFiles)| {
        let mut files = in_memory("bert-sequence-single-label");
        edit(&mut files);
        Checkpoint::from_files(files).unwrap().fingerprint().unwrap().clone()
    };
    let config = |key: &'static str, value: Value| {
        move |files: &mut MemoryFiles| edit_json(files, "config.json", |config| config[key] = value.clone())
    };
    let tensor = |name: &'static str, at: usize| {
        move |files: &mut MemoryFiles| {
            let bytes = files.remove("model.safetensors").unwrap();
            let flip = |raw: &mut Raw| {
                if raw.name == name {
                    raw.data[at] ^= 1;
                }
                true
            };
            files.insert("model.safetensors", rebuild(&bytes, flip));
        }
    };
    let original = fingerprint(&|_| {});
    for hash in [&original.weights, &original.config, &original.tokenizer] {
        assert_eq!(hash.len(), 64);
    }
    assert_eq!(fingerprint(&config("id2label", json!({"0": "x", "1": "y", "2": "z"}))), original);
    assert_eq!(fingerprint(&config("transformers_version", json!("6"))), original);
    assert_eq!(fingerprint(&tensor("classifier.weight", 0)), original);
    assert_eq!(fingerprint(&|files| drop(files.remove("tokenizer_config.json"))), original);

    let eps = fingerprint(&config("layer_norm_eps", json!(1e-6)));
    assert_eq!((&eps.weights, &eps.tokenizer), (&original.weights, &original.tokenizer));
    assert_ne!(eps.config, original.config);
    assert_ne!(fingerprint(&config("hidden_act", json!("relu"))).config, original.config);
    for (name, at) in [("bert.embeddings.word_embeddings.weight", 70_000), ("bert.pooler.dense.bias", 0)] {
        let changed = fingerprint(&tensor(name, at));
        assert_ne!(changed.weights, original.weights, "{name}");
        assert_eq!(changed.config, original.config);
    }
    let other = fingerprint(&|files| {
        edit_json(files, "tokenizer.json", |tokenizer| tokenizer["normalizer"]["lowercase"] = json!(false));
    });
    assert_ne!(other.tokenizer, original.tokenizer);
}

#[test]
fn half_precision_is_widened_exactly() {
    for (name, widen) in [
        ("bert-float16", (|bits| half::f16::from_bits(bits).to_f32()) as fn(u16) -> f32),
        ("bert-bfloat16", |bits| half::bf16::from_bits(bits).to_f32()),
    ] {
        let bytes = std::fs::read(goldens().join(name).join("model.safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let view = tensors.tensor("encoder.layer.1.intermediate.dense.weight").unwrap();
        let expected: Vec<f32> =
            view.data().chunks_exact(2).map(|pair| widen(u16::from_le_bytes([pair[0], pair[1]]))).collect();
        let found =
            golden(name).weights().tensor("encoder.layer.1.intermediate.dense.weight", &[100, 48]).unwrap();
        assert_eq!(found, expected);
    }
}

#[test]
fn parts_of_a_weight_lie_one_after_another() {
    let checkpoint = golden("bert-sharded");
    let names = ["query", "key", "value"].map(|part| format!("encoder.layer.0.attention.self.{part}.bias"));
    let parts = names.iter().map(|name| WeightPart { name: name.clone(), shape: vec![48] }).collect();
    let joined = checkpoint.weights().load(&WeightSpec { kind: WeightKind::Vector, parts }).unwrap();
    let expected: Vec<f32> =
        names.iter().flat_map(|name| checkpoint.weights().tensor(name, &[48]).unwrap()).collect();
    assert_eq!(joined, expected);
}

fn edit_json(files: &mut MemoryFiles, name: &str, edit: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&files.remove(name).unwrap()).unwrap();
    edit(&mut value);
    files.insert(name, value.to_string().into_bytes());
}

/// What opening or reading all weights says.
fn complaint(files: MemoryFiles) -> String {
    let load_all = |checkpoint: Checkpoint| -> frostbert::Result<()> {
        let request = frostbert::plan::Request {
            embeddings: Some(checkpoint.embedding_request()),
            pooler_output: true,
            ..Default::default()
        };
        let plan = frostbert::plan::families::plan(checkpoint.config(), &request)?;
        plan.weights().iter().try_for_each(|spec| checkpoint.weights().load(spec).map(drop))
    };
    let error = Checkpoint::from_files(files).and_then(load_all).unwrap_err();
    assert!(error.is_model_file(), "{error:?}");
    format!("{error:#}")
}

fn assert_says(complaint: &str, words: &[&str]) {
    for word in words {
        assert!(complaint.contains(word), "expected {word:?} in: {complaint}");
    }
}

#[test]
fn damaged_weights_are_named() {
    let original = || in_memory("bert-act-relu");
    let weights = original().remove("model.safetensors").unwrap();
    let with = |bytes: &[u8]| {
        let mut files = original();
        files.insert("model.safetensors", bytes.to_vec());
        complaint(files)
    };
    assert_says(&with(&weights[..weights.len() - 1]), &["model.safetensors", "promises", "cut short"]);
    assert_says(&with(&weights[..100]), &["model.safetensors", "header length"]);
    assert_says(&with(&weights[..5]), &["model.safetensors", "5 bytes"]);
    assert_says(&with(b""), &["model.safetensors", "0 bytes"]);
    let mut longer = weights.clone();
    longer.push(0);
    assert_says(&with(&longer), &["promises"]);
    let mut garbled = weights.clone();
    garbled[20] = b'}';
    assert_says(&with(&garbled), &["header does not parse"]);
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 90868376\n";
    assert_says(&with(pointer), &["git-LFS pointer", "git lfs pull"]);
    assert_says(&with(b"<!DOCTYPE html><html>Sign in</html>"), &["expected a safetensors file"]);
}

/// One tensor of a safetensors file, to damage it.
struct Raw {
    name: String,
    shape: Vec<usize>,
    data: Vec<u8>,
    dtype: safetensors::Dtype,
}

/// Rebuilds a safetensors file after changing its tensors; those for which `edit` says false are left out.
fn rebuild(bytes: &[u8], edit: impl Fn(&mut Raw) -> bool) -> Vec<u8> {
    let tensors = safetensors::SafeTensors::deserialize(bytes).unwrap();
    let kept: Vec<Raw> = tensors
        .iter()
        .filter_map(|(name, view)| {
            let (shape, data) = (view.shape().to_vec(), view.data().to_vec());
            let mut raw = Raw { name: name.to_owned(), shape, data, dtype: view.dtype() };
            edit(&mut raw).then_some(raw)
        })
        .collect();
    let views = kept.iter().map(|raw| {
        (&raw.name, safetensors::tensor::TensorView::new(raw.dtype, raw.shape.clone(), &raw.data).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn wrong_tensors_are_named_with_what_was_expected_and_found() {
    let name = "encoder.layer.1.output.dense.weight";
    let with = |edit: &dyn Fn(&mut Raw) -> bool| {
        let mut files = in_memory("bert-act-relu");
        let bytes = files.remove("model.safetensors").unwrap();
        files.insert("model.safetensors", rebuild(&bytes, |raw| raw.name != name || edit(raw)));
        complaint(files)
    };
    assert_says(&with(&|_| false), &[name, "bert.encoder.layer.1", "[48, 100]", "not there"]);
    let transposed = with(&|raw| {
        raw.shape.reverse();
        true
    });
    assert_says(&transposed, &[name, "model.safetensors", "[48, 100]", "[100, 48]"]);
    let extra = with(&|raw| {
        raw.shape.insert(0, 1);
        true
    });
    assert_says(&extra, &[name, "[1, 48, 100]", "3 dimensions instead of 2"]);
    for (bits, word) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf")] {
        let poisoned = with(&|raw| {
            raw.data[40..44].copy_from_slice(&bits.to_le_bytes());
            true
        });
        assert_says(&poisoned, &[name, "model.safetensors", word, "element 10"]);
    }
    let integers = with(&|raw| {
        raw.dtype = safetensors::Dtype::I32;
        true
    });
    assert_says(&integers, &[name, "I32", "quantised"]);
}

#[test]
fn missing_files_are_named_with_the_next_step() {
    let without = |golden: &str, name: &str| {
        let mut files = in_memory(golden);
        files.remove(name).unwrap();
        files
    };
    assert_says(&complaint(without("bert-act-relu", "config.json")), &["config.json"]);
    assert_says(&complaint(without("bert-act-relu", "model.safetensors")), &["expected model.safetensors"]);
    let shard = "model-00003-of-00006.safetensors";
    assert_says(&complaint(without("bert-sharded", shard)), &[shard, "missing"]);
    assert_says(&complaint(without("sentence-cls", "1_Pooling/config.json")), &["1_Pooling/config.json"]);
    assert_says(&complaint(without("sentence-cls", "2_Dense/model.safetensors")), &["2_Dense"]);
    let mut pickled = without("bert-act-relu", "model.safetensors");
    pickled.insert("pytorch_model.bin", vec![0; 10]);
    assert_says(&complaint(pickled), &["pytorch_model.bin", "safetensors.torch", "save_file"]);

    let mut escaping = in_memory("bert-sharded");
    edit_json(&mut escaping, "model.safetensors.index.json", |index| {
        index["weight_map"]["pooler.dense.bias"] = json!("../../secrets.safetensors");
    });
    assert_says(&complaint(escaping), &["outside the checkpoint"]);
    let mut misplaced = in_memory("bert-sharded");
    edit_json(&mut misplaced, "model.safetensors.index.json", |index| {
        index["weight_map"]["pooler.dense.bias"] = json!("model-00001-of-00006.safetensors");
    });
    assert_says(&complaint(misplaced), &["pooler.dense.bias", "different versions"]);

    let no_tokenizer = Checkpoint::from_files(without("bert-act-relu", "tokenizer.json")).unwrap();
    let error = Tokenizer::load(no_tokenizer.tokenizer_source()).unwrap_err();
    assert!(error.is_model_file());
    assert_says(&error.to_string(), &["tokenizer.json or vocab.txt"]);
}

#[test]
fn a_folder_that_is_none_is_an_error() {
    let missing = Checkpoint::open("/no/such/folder").unwrap_err();
    assert!(missing.is_model_file());
    assert_says(&missing.to_string(), &["/no/such/folder"]);
    let file = Checkpoint::open(goldens().join("albert/config.json")).unwrap_err();
    assert_says(&file.to_string(), &["found a file", "folder it lies in"]);
    let empty = tempfile::tempdir().unwrap();
    assert_says(&Checkpoint::open(empty.path()).unwrap_err().to_string(), &["no config.json"]);
}

#[test]
fn files_of_a_folder_are_mapped_or_read() {
    let folder = FolderFiles::open(goldens().join("bert-pretraining")).unwrap();
    let len = folder.len("model.safetensors").unwrap().unwrap();
    let whole = std::fs::read(goldens().join("bert-pretraining/model.safetensors")).unwrap();
    assert_eq!(&folder.read("model.safetensors", len - 9..len).unwrap()[..], &whole[whole.len() - 9..]);
}

#[test]
fn summaries_say_truly_what_each_golden_holds() {
    for (name, class) in [
        ("albert", "AlbertModel"),
        ("bert-act-silu", "BertModel"),
        ("bert-pretraining", "BertForPreTraining"),
        ("bert-legacy-names", "BertForPreTraining"),
        ("bert-sequence-regression", "BertForSequenceClassification"),
        ("bert-token-classification", "BertForTokenClassification"),
        ("distilbert-masked-lm", "DistilBertForMaskedLM"),
        ("distilbert-sequence", "DistilBertForSequenceClassification"),
        ("electra", "ElectraModel"),
        ("modernbert", "ModernBertForMaskedLM"),
        ("mpnet", "MPNetModel"),
        ("roberta-masked-lm", "RobertaForMaskedLM"),
        ("roberta-sequence", "RobertaForSequenceClassification"),
        ("sentence-mean", "BertModel"),
        ("xlm-roberta", "XLMRobertaModel"),
    ] {
        let summary = golden(name).summary(1024);
        assert_eq!(summary.class, class, "{name}");
        // The goldens were saved by the class that their config names.
        assert_eq!(summary.architectures, [class], "{name}");
        assert!(summary.advice.starts_with(class), "{name}");
        assert!(summary.notes.iter().all(|note| note.starts_with("no modules.json")), "{:?}", summary.notes);
        let json = serde_json::to_value(&summary).unwrap();
        assert_eq!(json["hidden"], 48);
        for word in [summary.family, class, "48", &summary.parameters.to_string()] {
            assert!(summary.to_string().contains(word), "{name}: {word} in {summary}");
        }
    }

    // And all of them: each golden was saved by the class that its config names.
    for name in golden_names() {
        let checkpoint = golden(&name);
        let summary = checkpoint.summary(1024);
        assert_eq!(summary.architectures, std::slice::from_ref(&summary.class), "{name}");
        for head in checkpoint.heads().iter() {
            assert!(
                summary.to_string().contains(head.kind.name()),
                "{name}: {} in {summary}",
                head.kind.name()
            );
        }
    }

    let dense = golden("sentence-cls").summary(1024);
    assert_eq!((dense.dimensions, dense.normalize, &dense.dense[..]), (20, true, &[20][..]));
    let prompts = golden("sentence-max").summary(1024).to_string();
    assert!(prompts.contains(r#"query: "query: " (default)"#), "{prompts}");
    let labels = golden("bert-sequence-single-label").summary(1024).to_string();
    assert!(
        labels.contains("sequence classification (bad, fine, good, single_label_classification)"),
        "{labels}"
    );

    let memory = golden("bert-act-relu").summary(1024).memory.unwrap();
    // Every parameter but the pooler's, which pooling by the mean does not need.
    assert_eq!(memory.weights_f32_bytes, 4 * (81_324 - 48 * 49));
    assert!(memory.weights_f16_bytes > memory.weights_f32_bytes / 2);
    assert!(memory.weights_f16_bytes < memory.weights_f32_bytes * 11 / 20);
    assert!(memory.batch_bytes > 1024 * 48 * 4);
}

#[test]
fn summaries_note_what_is_odd() {
    let mut files = in_memory("bert-act-relu");
    edit_json(&mut files, "config.json", |config| config["architectures"] = json!(["BertForMaskedLM"]));
    let summary = Checkpoint::from_files(files).unwrap().summary(1024);
    assert_eq!(summary.class, "BertModel");
    assert!(summary.notes[0].contains("BertForMaskedLM"), "{:?}", summary.notes);

    let mut files = in_memory("bert-token-classification");
    edit_json(&mut files, "config.json", |config| {
        config["architectures"] = json!(["BertForQuestionAnswering"])
    });
    let bytes = files.remove("model.safetensors").unwrap();
    let renamed = rebuild(&bytes, |raw| {
        raw.name = raw.name.replace("classifier", "qa_outputs");
        true
    });
    files.insert("model.safetensors", renamed);
    let checkpoint = Checkpoint::from_files(files).unwrap();
    assert_eq!(checkpoint.heads().other, ["qa_outputs"]);
    let summary = checkpoint.summary(1024);
    assert_eq!(summary.class, "BertForQuestionAnswering");
    assert!(summary.notes.iter().any(|note| note.contains("qa_outputs")), "{:?}", summary.notes);
}

fn rows(
    name: &str,
    inputs: &[TextInput<'_>],
    options: EncodeOptions,
) -> frostbert::Result<Vec<frostbert::text::Encoding>> {
    Tokenizer::load(golden(name).tokenizer_source()).unwrap().encode_batch(inputs, options)
}

#[test]
fn long_texts_are_cut_refused_or_split() {
    let long = "fox dog river ".repeat(60);
    let input = [TextInput::Single("fox"), TextInput::Single(&long)];
    let cut = rows("bert-pretraining", &input, EncodeOptions::default()).unwrap();
    assert!(!cut[0].truncated && cut[1].truncated);
    assert_eq!((cut[1].len(), cut[1].tokens > 180), (64, true));
    assert_eq!(cut[1].special_tokens_mask.iter().filter(|flag| **flag).count(), 2);

    let refuse = EncodeOptions { truncate: Truncate::Error, max_tokens: Some(20), side: None };
    let error = rows("bert-pretraining", &input, refuse).unwrap_err();
    assert!(error.is_input());
    assert_says(&error.to_string(), &["row 1", &cut[1].tokens.to_string(), "20"]);

    let split = EncodeOptions { truncate: Truncate::Window { overlap: 5 }, max_tokens: Some(20), side: None };
    let windows = rows("bert-pretraining", &input, split).unwrap();
    assert_eq!(windows[0].row, 0);
    let windows = &windows[1..];
    // Joined without their overlaps they are the whole text.
    let mut joined: Vec<u32> = windows[0].ids[1..windows[0].len() - 1].to_vec();
    for (at, pair) in windows.windows(2).enumerate() {
        let (before, after) = (&pair[0].ids, &pair[1].ids);
        assert_eq!(before[before.len() - 6..before.len() - 1], after[1..6], "window {at}");
        joined.extend(&after[6..after.len() - 1]);
    }
    assert_eq!(joined.len() + 2, windows[0].tokens);
    for window in windows {
        assert!(window.row == 1 && !window.truncated && window.len() <= 20);
        for (start, end) in window.offsets.iter().filter(|(start, end)| start < end) {
            assert!(long.is_char_boundary(*start) && *end <= long.len());
        }
    }

    let wide = EncodeOptions { truncate: Truncate::Window { overlap: 18 }, max_tokens: Some(20), side: None };
    assert!(rows("bert-pretraining", &input, wide).unwrap_err().is_input());
    for max_tokens in [0, 1, 2, 65] {
        let options = EncodeOptions { max_tokens: Some(max_tokens), ..Default::default() };
        assert!(rows("bert-pretraining", &input, options).unwrap_err().is_input(), "{max_tokens}");
    }
}

#[test]
fn the_middle_of_a_long_text_is_cut_out() {
    // More than is tokenised at once, so that the beginning and the end come from pieces.
    for repeats in [60, 20_000] {
        let long: String = (0..repeats).map(|at| ["fox dog river ", "the lazy quick "][at % 2]).collect();
        let at = |side, max_tokens| {
            let options =
                EncodeOptions { max_tokens: Some(max_tokens), side: Some(side), ..Default::default() };
            rows("bert-pretraining", &[TextInput::Single(&long), TextInput::Single("fox")], options).unwrap()
        };
        for max_tokens in [20, 21, 3] {
            let room = max_tokens - 2;
            let (middle, left, right) = (
                at(TruncationSide::Middle, max_tokens),
                at(TruncationSide::Left, max_tokens),
                at(TruncationSide::Right, max_tokens),
            );
            let (first, last) = (room.div_ceil(2), room / 2);
            let [cls, sep] = [right[0].ids[0], right[0].ids[max_tokens - 1]];
            let tail = &left[0].ids[max_tokens - 1 - last..max_tokens - 1];
            let want = [&[cls], &right[0].ids[1..=first], tail, &[sep]].concat();
            assert_eq!(middle[0].ids, want);
            assert!(middle[0].truncated && middle[0].tokens == right[0].tokens);
            assert!(middle[0].offsets[1..max_tokens - 1].windows(2).all(|pair| pair[0].1 <= pair[1].0));
            let end = middle[0].offsets[max_tokens - 2].1;
            assert!(last == 0 || end == long.trim_end().len(), "{end} of {}", long.len());
            assert!(middle[0].word_ids[1..max_tokens - 1].is_sorted());
            assert_eq!(middle[1], right[1], "a short text stays whole");
        }
    }
    let middle =
        EncodeOptions { max_tokens: Some(20), side: Some(TruncationSide::Middle), ..Default::default() };
    let long = "fox ".repeat(40);
    let pair = rows("bert-pretraining", &[TextInput::Pair(&long, &long)], middle).unwrap_err();
    assert!(pair.is_input());
    assert_says(&pair.to_string(), &["row 0", "middle", "pair"]);
    let refuse = EncodeOptions { truncate: Truncate::Error, ..middle };
    assert!(rows("bert-pretraining", &[TextInput::Single(&long)], refuse).unwrap_err().is_input());
    let windows = EncodeOptions { truncate: Truncate::Window { overlap: 5 }, ..middle };
    let plain = EncodeOptions { side: None, ..windows };
    let input = [TextInput::Single(&long[..])];
    assert_eq!(
        rows("bert-pretraining", &input, windows).unwrap(),
        rows("bert-pretraining", &input, plain).unwrap()
    );
}

#[test]
fn pairs_lose_tokens_of_the_longer_text_first() {
    // Lengths after truncation to 17 tokens for text (20 less 3), as `truncate_encodings` of tokenizers has them.
    for (first, second, expected) in
        [(3, 30, (3, 14)), (30, 3, (14, 3)), (30, 30, (8, 9)), (9, 30, (8, 9)), (30, 8, (9, 8))]
    {
        let (a, b) = ("fox ".repeat(first), "dog ".repeat(second));
        let options = EncodeOptions { max_tokens: Some(20), ..Default::default() };
        let row = &rows("bert-pretraining", &[TextInput::Pair(&a, &b)], options).unwrap()[0];
        let start = row.second_start.unwrap();
        assert_eq!((start - 2, row.len() - start - 1), expected, "{first} and {second}");
        assert!(row.truncated);
        assert_eq!(row.type_ids[start], 1);
    }
    // Windows slide over the longer one, and keep the shorter whole.
    let (a, b) = ("fox ".repeat(3), "dog ".repeat(30));
    let options =
        EncodeOptions { truncate: Truncate::Window { overlap: 4 }, max_tokens: Some(20), side: None };
    let windows = rows("bert-pretraining", &[TextInput::Pair(&a, &b)], options).unwrap();
    assert_eq!(windows.len(), 3);
    assert!(windows.iter().all(|window| window.second_start == Some(5) && window.len() <= 20));
}

#[test]
fn odd_texts_are_fine() {
    for name in ["bert-pretraining", "roberta-masked-lm", "xlm-roberta", "modernbert"] {
        let words = "the quick brown fox ".repeat(5_000);
        let letters = "a".repeat(100_000);
        let odd = ["null\0byte", "", " ", "\u{feff}\u{200b}", "👩‍👩‍👧", &words, &letters];
        let input: Vec<TextInput<'_>> = odd.into_iter().map(TextInput::Single).collect();
        let found = rows(name, &input, EncodeOptions::default()).unwrap();
        assert_eq!(found.len(), odd.len());
        for (row, text) in found.iter().zip(odd) {
            assert!((2..=64).contains(&row.len()), "{name}");
            for (start, end) in &row.offsets {
                assert!(start <= end && text.get(*start..*end).is_some(), "{name}: {start}..{end}");
            }
        }
        assert!(found[5].truncated);
    }
}

#[test]
fn offsets_are_bytes_of_the_text() {
    for name in ["bert-pretraining", "roberta-masked-lm"] {
        let text = "Größe naïve fox";
        let row = &rows(name, &[text.into()], EncodeOptions::default()).unwrap()[0];
        let (start, end) = row.offsets[row.len() - 2];
        assert!("fox".ends_with(&text[start..end]), "{name}: {:?}", &text[start..end]);
        assert_eq!(end, text.len());
    }
}

#[test]
fn special_tokens_are_found() {
    for (name, mask) in [("bert-pretraining", 4), ("roberta-masked-lm", 4)] {
        let tokenizer = Tokenizer::load(golden(name).tokenizer_source()).unwrap();
        assert_eq!(tokenizer.mask_id().unwrap(), mask);
        let token = tokenizer.id_to_token(mask).unwrap();
        assert_eq!(tokenizer.token_to_id(&token), Some(mask));
        let text = format!("a {token} b");
        let row = &tokenizer.encode_batch(&[text.as_str().into()], EncodeOptions::default()).unwrap()[0];
        assert_eq!(row.positions(mask).count(), 1);
    }
}

#[test]
fn a_token_beyond_the_embeddings_is_named() {
    let mut files = in_memory("bert-act-relu");
    edit_json(&mut files, "tokenizer_config.json", |config| {
        config["added_tokens_decoder"] = json!({"368": {"content": "[NEW]"}});
    });
    let tokenizer = Tokenizer::load(Checkpoint::from_files(files).unwrap().tokenizer_source()).unwrap();
    let error =
        tokenizer.encode_batch(&["fine fox".into(), "[NEW]".into()], EncodeOptions::default()).unwrap_err();
    assert!(error.is_model_file());
    assert_says(&error.to_string(), &["368 word embeddings", "do not belong together"]);
}

#[test]
fn vocab_txt_gives_the_ids_of_tokenizer_json() {
    let mut files = in_memory("bert-pretraining");
    let json: Value = serde_json::from_slice(&files.remove("tokenizer.json").unwrap()).unwrap();
    let mut vocab: Vec<(&String, u64)> = json["model"]["vocab"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(token, id)| (token, id.as_u64().unwrap()))
        .collect();
    vocab.sort_by_key(|(_, id)| *id);
    let lines: String = vocab.iter().map(|(token, _)| format!("{token}\n")).collect();
    files.insert("vocab.txt", lines.into_bytes());
    let from_vocab =
        Tokenizer::load(Checkpoint::from_files(files.clone()).unwrap().tokenizer_source()).unwrap();
    let texts = ["Größe naïve café – “quoted” 你好世界 🙂", "[MASK] The Fox!", "", "http://x.y/z 3.14"];
    let mut input: Vec<TextInput<'_>> = texts.into_iter().map(TextInput::Single).collect();
    input.push(TextInput::Pair("the fox", "the dog"));
    let expected = rows("bert-pretraining", &input, EncodeOptions::default()).unwrap();
    assert_eq!(from_vocab.encode_batch(&input, EncodeOptions::default()).unwrap(), expected);

    files.insert("vocab.txt", b"some\nother\nwords\n".to_vec());
    let error = Tokenizer::load(Checkpoint::from_files(files).unwrap().tokenizer_source()).unwrap_err();
    assert_says(&error.to_string(), &["vocab.txt", "[UNK]"]);
}

#[test]
fn settings_of_tokenizer_config_are_followed() {
    let encode = |edit: &dyn Fn(&mut MemoryFiles), input: TextInput<'_>, max_tokens: Option<usize>| {
        let mut files = in_memory("bert-pretraining");
        edit(&mut files);
        let checkpoint = Checkpoint::from_files(files).unwrap();
        let options = EncodeOptions { max_tokens, ..Default::default() };
        Tokenizer::load(checkpoint.tokenizer_source())
            .unwrap()
            .encode_batch(&[input], options)
            .unwrap()
            .remove(0)
    };
    let set = |files: &mut MemoryFiles, key: &str, value: Value| {
        edit_json(files, "tokenizer_config.json", |config| config[key] = value);
    };
    let pair = TextInput::Pair("fox", "dog river");
    assert!(encode(&|_| {}, pair, None).type_ids.contains(&1));
    let untyped = encode(&|files| set(files, "model_input_names", json!(["input_ids"])), pair, None);
    assert!(!untyped.type_ids.contains(&1));
    assert_eq!(untyped.ids, encode(&|_| {}, pair, None).ids);

    let text = TextInput::Single("the quick brown fox jumps over the lazy dog");
    let whole = encode(&|_| {}, text, None);
    let left = encode(&|files| set(files, "truncation_side", json!("left")), text, Some(6));
    assert_eq!(left.ids[1..5], whole.ids[whole.len() - 5..whole.len() - 1]);

    // Without a post-processor nothing is added, and the second text still gets its own type.
    let bare = encode(
        &|files| edit_json(files, "tokenizer.json", |tokenizer| tokenizer["post_processor"] = Value::Null),
        pair,
        None,
    );
    assert_eq!((bare.len(), bare.second_start), (untyped.len() - 3, Some(1)));
    assert_eq!((bare.type_ids[0], bare.type_ids[1]), (0, 1));

    for (length, expected) in [(json!(1e30), 64), (json!(32), 32), (json!(512), 64), (Value::Null, 64)] {
        let mut files = in_memory("bert-pretraining");
        set(&mut files, "model_max_length", length);
        assert_eq!(Checkpoint::from_files(files).unwrap().max_tokens(), expected);
    }
}

#[test]
fn the_length_of_sentence_transformers_goes_before_the_tokenizers() {
    for (length, expected) in [(json!(60), 60), (json!(20), 20), (json!(512), 64), (Value::Null, 56)] {
        let mut files = in_memory("sentence-mean");
        edit_json(&mut files, "sentence_bert_config.json", |config| config["max_seq_length"] = length);
        assert_eq!(Checkpoint::from_files(files).unwrap().max_tokens(), expected);
    }
    // And its lower-casing comes before the tokenizer's own normaliser.
    let mut files = in_memory("sentence-mean");
    edit_json(&mut files, "tokenizer.json", |tokenizer| tokenizer["normalizer"]["lowercase"] = json!(false));
    let encode = |files: MemoryFiles| {
        let tokenizer = Tokenizer::load(Checkpoint::from_files(files).unwrap().tokenizer_source()).unwrap();
        tokenizer.encode_batch(&["Fox TOKYO".into()], EncodeOptions::default()).unwrap().remove(0).ids
    };
    let cased = encode(files.clone());
    edit_json(&mut files, "sentence_bert_config.json", |config| config["do_lower_case"] = json!(true));
    assert_ne!(encode(files.clone()), cased);
    assert_eq!(encode(files), encode(in_memory("sentence-mean")));
}

#[test]
fn a_transformer_in_its_own_folder_is_found() {
    let flat = in_memory("sentence-cls");
    let mut nested = MemoryFiles::new();
    let folder = goldens().join("sentence-cls");
    for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        nested.insert(format!("0_Transformer/{name}"), std::fs::read(folder.join(name)).unwrap());
    }
    for name in ["modules.json", "1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors"]
    {
        nested.insert(name, std::fs::read(folder.join(name)).unwrap());
    }
    edit_json(&mut nested, "modules.json", |modules| modules[0]["path"] = json!("0_Transformer"));
    let (flat, nested) = (Checkpoint::from_files(flat).unwrap(), Checkpoint::from_files(nested).unwrap());
    assert_eq!(flat.fingerprint().unwrap(), nested.fingerprint().unwrap());
    assert_eq!(flat.embedding_request(), nested.embedding_request());
    Tokenizer::load(nested.tokenizer_source()).unwrap();
}

#[test]
fn padding_and_truncation_of_tokenizer_json_are_ignored() {
    let mut files = in_memory("bert-pretraining");
    edit_json(&mut files, "tokenizer.json", |tokenizer| {
        tokenizer["truncation"] =
            json!({"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0});
        tokenizer["padding"] = json!({"strategy": {"Fixed": 32}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"});
    });
    let tokenizer = Tokenizer::load(Checkpoint::from_files(files).unwrap().tokenizer_source()).unwrap();
    let text = ["the quick brown fox jumps over the lazy dog".into(), "fox".into()];
    let found = tokenizer.encode_batch(&text, EncodeOptions::default()).unwrap();
    assert_eq!(found, rows("bert-pretraining", &text, EncodeOptions::default()).unwrap());
    assert_eq!(found[1].len(), 3);
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

#[test]
fn all_mini_lm_tokenises_as_in_transformers() {
    let Some(folder) = mini_lm() else { return };
    let checkpoint = Checkpoint::open(folder).unwrap();
    assert_eq!(checkpoint.max_tokens(), 256);
    assert_eq!(checkpoint.embedding_request().pooling, [Pooling::Mean]);
    assert!(checkpoint.embedding_request().normalize);
    assert_eq!(checkpoint.weights().parameters(), 22_713_216);
    let read = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(goldens().join("all-MiniLM-L6-v2").join(name)).unwrap())
            .unwrap()
    };
    let texts = texts(&read("cases.json")["texts"]);
    let input: Vec<TextInput<'_>> = texts.iter().map(TextInput::from).collect();
    let rows = Tokenizer::load(checkpoint.tokenizer_source())
        .unwrap()
        .encode_batch(&input, EncodeOptions::default())
        .unwrap();
    let expected: Vec<Vec<u32>> = read("input_ids.json").as_array().unwrap().iter().map(numbers).collect();
    assert_eq!(rows.len(), expected.len());
    for ((row, expected), text) in rows.iter().zip(&expected).zip(&texts) {
        assert_eq!(row.ids, *expected, "{text:?}");
    }
}
