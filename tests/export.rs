//! Heads in and out: transformers folders read back and run, scikit-learn's files, model cards.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use frostbert::checkpoint::Checkpoint;
use frostbert::export::{CardData, LinearHeadParts, Metric, import_sklearn, model_card, transformers};
use frostbert::head::{Head, Matrix};
use frostbert::model::Pooling;
use frostbert::model::{Family, ProblemType};
use frostbert::{Device, EmbedOptions, EmbeddingRecipe, Encoder, Layers, Prompt};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

const TEXTS: [&str; 5] = [
    "Kernel who shader buffer coffee tokyo",
    "Engineers!",
    "Review vector market model london vector tokyo yesterday mountain.",
    "",
    "Measure bank loan loan network layer token a matrix down write falls write lazy coffee yesterday frozen",
];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens").join(name)
}

fn load(folder: &Path) -> Encoder {
    let checkpoint =
        Checkpoint::open(folder).unwrap_or_else(|error| panic!("{}: {error:#}", folder.display()));
    Encoder::from_checkpoint(checkpoint).device(Device::Cpu).build().unwrap()
}

fn options(pooling: Pooling) -> EmbedOptions {
    EmbedOptions {
        pooling: Some(vec![pooling]),
        normalize: Some(false),
        prompt: Prompt::None,
        ..EmbedOptions::default()
    }
}

/// A head with everything that is folded in. Numbers of the size that training gives.
fn head(features: usize, labels: usize) -> LinearHeadParts {
    let mut rng = ChaCha8Rng::seed_from_u64((features * labels) as u64);
    let mut draw = |len: usize, low: f64, high: f64| -> Vec<f64> {
        (0..len).map(|_| low + (high - low) * rng.random::<f64>()).collect()
    };
    LinearHeadParts {
        weights: draw(labels * features, -0.5, 0.5),
        bias: draw(labels, -1.0, 1.0),
        mean: Some(draw(features, -0.3, 0.3)),
        scale: Some(draw(features, 0.5, 1.5)),
        labels: (0..labels).map(|label| format!("label {label}")).collect(),
        temperature: Some(1.3),
        problem: ProblemType::SingleLabel,
        one_vs_rest: false,
    }
}

/// The head by its definition, in f64.
fn logits(head: &LinearHeadParts, x: &[f32]) -> Vec<f64> {
    let at = |values: &Option<Vec<f64>>, column: usize, or: f64| {
        values.as_ref().map_or(or, |values| values[column])
    };
    let z = |(row, bias): (&[f64], &f64)| {
        let terms = row.iter().zip(x).enumerate();
        let sum: f64 = terms
            .map(|(c, (w, x))| w * (f64::from(*x) - at(&head.mean, c, 0.0)) / at(&head.scale, c, 1.0))
            .sum();
        (sum + bias) / head.temperature.unwrap_or(1.0)
    };
    head.weights.chunks_exact(x.len()).zip(&head.bias).map(z).collect()
}

fn config(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap()
}

fn floats(tensors: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let tensor =
        tensors.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}, found {:?}", tensors.names()));
    assert_eq!(tensor.dtype(), Dtype::F32, "{name}");
    tensor.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// Every family and pooling that can be expressed.
const EXPRESSIBLE: [(&str, Pooling, &str); 14] = [
    ("bert-pretraining", Pooling::Pooler, "BertForSequenceClassification"),
    ("bert-pretraining", Pooling::Cls, "BertForSequenceClassification"),
    ("bert-legacy-names", Pooling::Pooler, "BertForSequenceClassification"),
    ("bert-sharded", Pooling::Cls, "BertForSequenceClassification"),
    ("bert-sequence-single-label", Pooling::Pooler, "BertForSequenceClassification"),
    ("albert", Pooling::Pooler, "AlbertForSequenceClassification"),
    ("albert", Pooling::Cls, "AlbertForSequenceClassification"),
    ("xlm-roberta", Pooling::Pooler, "XLMRobertaForSequenceClassification"),
    ("xlm-roberta", Pooling::Cls, "XLMRobertaForSequenceClassification"),
    ("roberta-sequence", Pooling::Cls, "RobertaForSequenceClassification"),
    ("mpnet", Pooling::Pooler, "MPNetForSequenceClassification"),
    ("mpnet", Pooling::Cls, "MPNetForSequenceClassification"),
    ("electra", Pooling::Cls, "ElectraForSequenceClassification"),
    ("distilbert-sequence", Pooling::Cls, "DistilBertForSequenceClassification"),
];

#[test]
fn an_exported_folder_gives_the_heads_logits() {
    for (name, pooling, class) in EXPRESSIBLE {
        let out = tempfile::tempdir().unwrap();
        let folder = out.path().join(format!("{name}-{}", pooling.name()));
        let encoder = load(&golden(name));
        let recipe = encoder.recipe(&options(pooling)).unwrap();
        let head = head(encoder.config().hidden, 4);
        let exported = transformers(&folder, golden(name), &head, &recipe, Some("# Card\n"))
            .unwrap_or_else(|error| panic!("{name} {pooling:?}: {error:#}"));
        assert_eq!((&exported.folder, exported.class.as_str()), (&folder, class));
        assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 1, "nothing is left beside it");

        let embeddings = encoder.embed(TEXTS, &options(pooling)).unwrap();
        let classifier = load(&folder);
        assert_eq!(classifier.config().family, encoder.config().family);
        assert_eq!(
            classifier.checkpoint().labels(frostbert::model::HeadKind::Sequence).unwrap(),
            head.labels
        );
        let found = classifier.classify(TEXTS, &EmbedOptions::default()).unwrap();
        let mut worst: f64 = 0.0;
        for (row, found) in embeddings.rows().zip(&found) {
            for (expected, found) in logits(&head, row).iter().zip(&found.logits) {
                let error = (expected - f64::from(*found)).abs() / expected.abs().max(1.0);
                assert!(error <= 4e-6, "{name} {pooling:?}: expected {expected}, found {found}");
                worst = worst.max(error);
            }
        }
        println!("{name} {pooling:?}: largest error {worst:.1e}");
        // For tests/fixtures/check_transformers.py.
        if let Some(keep) = std::env::var_os("FROSTBERT_KEEP_EXPORTS") {
            let logits: Vec<Vec<f64>> = embeddings.rows().map(|row| logits(&head, row)).collect();
            let expected = json!({"class": class, "texts": TEXTS, "labels": head.labels, "logits": logits});
            std::fs::write(folder.join("expected.json"), expected.to_string()).unwrap();
            std::fs::rename(&folder, Path::new(&keep).join(folder.file_name().unwrap())).unwrap();
        }
    }
}

#[test]
fn the_folder_holds_what_transformers_reads() {
    let out = tempfile::tempdir().unwrap();
    let source = golden("bert-legacy-names");
    let encoder = load(&source);
    let recipe = encoder.recipe(&EmbedOptions { max_tokens: Some(40), ..options(Pooling::Pooler) }).unwrap();
    let head = head(48, 3);
    transformers(out.path(), &source, &head, &recipe, None).unwrap();

    let config = config(out.path());
    assert_eq!(config["architectures"], json!(["BertForSequenceClassification"]));
    assert_eq!(config["id2label"], json!({"0": "label 0", "1": "label 1", "2": "label 2"}));
    assert_eq!(config["label2id"], json!({"label 0": 0, "label 1": 1, "label 2": 2}));
    assert_eq!(config["problem_type"], "single_label_classification");
    assert_eq!((&config["dtype"], config.get("torch_dtype")), (&json!("float32"), None));
    assert_eq!((config.get("num_labels"), &config["hidden_size"]), (None, &json!(48)));
    let tokenizer: Value =
        serde_json::from_slice(&std::fs::read(out.path().join("tokenizer_config.json")).unwrap()).unwrap();
    assert_eq!(tokenizer["model_max_length"], 40, "texts are cut where training cut them");
    assert_eq!(
        std::fs::read(out.path().join("tokenizer.json")).unwrap(),
        std::fs::read(source.join("tokenizer.json")).unwrap()
    );
    assert!(!out.path().join("README.md").exists());

    let bytes = std::fs::read(out.path().join("model.safetensors")).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(
        metadata.metadata().as_ref().and_then(|all| all.get("format")).map(String::as_str),
        Some("pt")
    );
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut shapes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (name, tensor) in tensors.iter() {
        assert!(
            name.starts_with("bert.") || name.starts_with("classifier."),
            "{name} belongs to no such model"
        );
        shapes.insert(name, tensor.shape().to_vec());
    }
    assert_eq!(shapes["classifier.weight"], [3, 48]);
    assert_eq!(shapes["classifier.bias"], [3]);
    assert_eq!(shapes["bert.pooler.dense.weight"], [48, 48]);
    assert_eq!(shapes["bert.embeddings.LayerNorm.weight"], [48], "of LayerNorm.gamma");
    // 5 of the embeddings, 16 a layer, pooler, classifier.
    assert_eq!(shapes.len(), 5 + 3 * 16 + 2 + 2, "{:?}", shapes.keys());
}

/// Against the float64 values of the goldens, with plain arithmetic and no code of the library after the export.
#[test]
fn the_exported_tensors_give_the_logits_by_plain_arithmetic() {
    let source = golden("bert-pretraining");
    let (checkpoint, cases) =
        (Checkpoint::open(&source).unwrap(), std::fs::read(source.join("cases.safetensors")).unwrap());
    let cases = SafeTensors::deserialize(&cases).unwrap();
    let encoder = Encoder::from_checkpoint(checkpoint).device(Device::Cpu).build().unwrap();
    let head = head(48, 3);
    let matmul = |tensors: &SafeTensors<'_>, name: &str, x: &[f64]| -> Vec<f64> {
        let bias = floats(tensors, &format!("{name}.bias"));
        let weight = floats(tensors, &format!("{name}.weight"));
        let dot = |row: &[f32]| row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>();
        weight.chunks_exact(x.len()).zip(bias).map(|(row, bias)| dot(row) + f64::from(bias)).collect()
    };
    let wide = |name: &str| -> Vec<f64> {
        let tensor = cases.tensor(name).unwrap();
        let numbers = |bytes: &[u8]| match tensor.dtype() {
            Dtype::F64 => f64::from_le_bytes(bytes.try_into().unwrap()),
            _ => f64::from(f32::from_le_bytes(bytes.try_into().unwrap())),
        };
        tensor.data().chunks_exact(tensor.dtype().bitsize() / 8).map(numbers).collect()
    };
    for pooling in [Pooling::Pooler, Pooling::Cls] {
        let out = tempfile::tempdir().unwrap();
        transformers(out.path(), &source, &head, &encoder.recipe(&options(pooling)).unwrap(), None).unwrap();
        let bytes = std::fs::read(out.path().join("model.safetensors")).unwrap();
        let exported = SafeTensors::deserialize(&bytes).unwrap();
        let pooler_output = wide("ragged/pooler_output");
        let hidden = wide("ragged/last_hidden_state");
        let texts = pooler_output.len() / 48;
        assert_eq!(texts, 6);
        let tokens = hidden.len() / 48 / texts;
        for text in 0..texts {
            let cls = &hidden[text * tokens * 48..][..48];
            let embedding = if pooling == Pooling::Cls { cls } else { &pooler_output[text * 48..][..48] };
            let embedding: Vec<f32> = embedding.iter().map(|x| *x as f32).collect();
            // BertPooler, then the classifier.
            let pooled =
                matmul(&exported, "bert.pooler.dense", cls).into_iter().map(f64::tanh).collect::<Vec<_>>();
            for (expected, found) in
                logits(&head, &embedding).iter().zip(matmul(&exported, "classifier", &pooled))
            {
                let error = (expected - found).abs() / expected.abs().max(1.0);
                assert!(error <= 1e-6, "{pooling:?} text {text}: expected {expected}, found {found}");
            }
        }
    }
}

#[test]
fn weights_in_half_precision_stay_as_they_are_stored() {
    let out = tempfile::tempdir().unwrap();
    let source = golden("bert-float16");
    let encoder = load(&source);
    let head = head(encoder.config().hidden, 2);
    let recipe = encoder.recipe(&options(Pooling::Cls)).unwrap();
    transformers(out.path(), &source, &head, &recipe, None).unwrap();
    assert_eq!(config(out.path())["dtype"], "float32", "what computes, not what is stored");
    let (bytes, stored) = (
        std::fs::read(out.path().join("model.safetensors")).unwrap(),
        std::fs::read(source.join("model.safetensors")).unwrap(),
    );
    let (exported, stored) =
        (SafeTensors::deserialize(&bytes).unwrap(), SafeTensors::deserialize(&stored).unwrap());
    let name = "encoder.layer.0.attention.self.query.weight";
    let (ours, theirs) = (exported.tensor(&format!("bert.{name}")).unwrap(), stored.tensor(name).unwrap());
    assert_eq!((ours.dtype(), ours.data()), (Dtype::F16, theirs.data()));
    let found = load(out.path()).classify(TEXTS, &EmbedOptions::default()).unwrap();
    let embeddings = encoder.embed(TEXTS, &options(Pooling::Cls)).unwrap();
    for (row, found) in embeddings.rows().zip(found) {
        for (expected, found) in logits(&head, row).iter().zip(found.logits) {
            assert!(
                (expected - f64::from(found)).abs() <= 4e-6 * expected.abs().max(1.0),
                "{expected} {found}"
            );
        }
    }
}

#[test]
fn binary_multi_label_and_regression_heads() {
    let source = golden("bert-pretraining");
    let encoder = load(&source);
    let recipe = encoder.recipe(&options(Pooling::Pooler)).unwrap();
    let embeddings = encoder.embed(TEXTS, &options(Pooling::Pooler)).unwrap();
    let run = |head: &LinearHeadParts| {
        let out = tempfile::tempdir().unwrap();
        let exported = transformers(out.path(), &source, head, &recipe, None).unwrap();
        let classifier = load(out.path());
        assert_eq!(classifier.problem_type(), head.problem);
        let found = classifier.classify(TEXTS, &EmbedOptions::default()).unwrap();
        (exported.notes, config(out.path()), found)
    };
    let labels = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();

    let binary = LinearHeadParts { labels: labels(&["bad", "good"]), ..head(48, 1) };
    let (notes, config, found) = run(&binary);
    assert!(notes.iter().any(|note| note.contains("-z/2 and z/2")), "{notes:?}");
    assert_eq!(config["id2label"], json!({"0": "bad", "1": "good"}));
    for (row, found) in embeddings.rows().zip(&found) {
        let z = logits(&binary, row)[0];
        assert!((f64::from(found.logits[1]) - z / 2.0).abs() < 1e-5 && found.logits[0] == -found.logits[1]);
        assert!((f64::from(found.scores[1]) - 1.0 / (1.0 + (-z).exp())).abs() < 1e-6, "the same probability");
    }

    let many = LinearHeadParts { problem: ProblemType::MultiLabel, ..head(48, 3) };
    let (notes, config, found) = run(&many);
    assert_eq!((notes.len(), &config["problem_type"]), (0, &json!("multi_label_classification")));
    let z = logits(&many, embeddings.row(0))[2];
    assert!((f64::from(found[0].scores[2]) - 1.0 / (1.0 + (-z).exp())).abs() < 1e-6);

    let number =
        LinearHeadParts { problem: ProblemType::Regression, labels: labels(&["stars"]), ..head(48, 1) };
    let (_, config, found) = run(&number);
    assert_eq!(
        (&config["problem_type"], &config["id2label"]),
        (&json!("regression"), &json!({"0": "stars"}))
    );
    assert!((f64::from(found[1].logits[0]) - logits(&number, embeddings.row(1))[0]).abs() < 1e-5);

    // The first columns of an embedding (Matryoshka) are a head with zeros for the others.
    let cut = EmbedOptions { dimensions: Some(20), ..options(Pooling::Pooler) };
    let narrow = head(20, 3);
    let out = tempfile::tempdir().unwrap();
    transformers(out.path(), &source, &narrow, &encoder.recipe(&cut).unwrap(), None).unwrap();
    let found = load(out.path()).classify(TEXTS, &EmbedOptions::default()).unwrap();
    let rows = encoder.embed(TEXTS, &cut).unwrap();
    for (row, found) in rows.rows().zip(found) {
        for (expected, found) in logits(&narrow, row).iter().zip(found.logits) {
            assert!(
                (expected - f64::from(found)).abs() <= 4e-6 * expected.abs().max(1.0),
                "{expected} {found}"
            );
        }
    }
}

#[test]
fn what_cannot_be_expressed_is_refused_with_the_reason() {
    type Change = fn(&mut EmbeddingRecipe);
    let cases: [(&str, Pooling, Change, &str); 12] = [
        (
            "bert-pretraining",
            Pooling::Mean,
            |_| {},
            "the pooling mean; train one with the pooling cls or pooler",
        ),
        ("bert-pretraining", Pooling::Pooler, |r| r.pooling.push(Pooling::Cls), "pooler,cls"),
        ("bert-pretraining", Pooling::Cls, |r| r.layers = vec![2], "reads the last layer, 3"),
        ("bert-pretraining", Pooling::Cls, |r| r.layers = vec![2, 3], "[2, 3]"),
        ("bert-pretraining", Pooling::Cls, |r| r.normalize = true, "--no-normalize"),
        ("bert-pretraining", Pooling::Cls, |r| r.prompt = Some("query: ".into()), "a prompt"),
        ("bert-pretraining", Pooling::Cls, |r| r.window_overlap = Some(8), "windows"),
        ("bert-pretraining", Pooling::Cls, |r| r.dense = vec!["2_Dense/linear".into()], "Dense"),
        ("bert-pretraining", Pooling::Cls, |r| r.checkpoint.weights = "0".into(), "another encoder"),
        ("modernbert", Pooling::Cls, |_| {}, "LayerNorm"),
        (
            "electra",
            Pooling::Cls,
            |r| r.pooling = vec![Pooling::Pooler],
            "no pooler; train the head with the pooling cls",
        ),
        (
            "roberta-sequence",
            Pooling::Cls,
            |r| r.pooling = vec![Pooling::Pooler],
            "the checkpoint has no pooler",
        ),
    ];
    for (name, pooling, change, expected) in cases {
        let encoder = load(&golden(name));
        let mut recipe = encoder.recipe(&options(pooling)).unwrap();
        change(&mut recipe);
        let out = tempfile::tempdir().unwrap();
        let result = transformers(
            out.path().join("x"),
            golden(name),
            &head(encoder.config().hidden, 3),
            &recipe,
            None,
        );
        let error = result.expect_err(expected);
        assert!(
            error.is_input() && error.to_string().contains(expected),
            "{name}: {error:#}, expected {expected}"
        );
        assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0, "{expected}: nothing is left");
    }
    let encoder = load(&golden("electra"));
    assert_eq!(encoder.config().family, Family::Electra);
    let recipe = encoder.recipe(&options(Pooling::Cls)).unwrap();
    let out = tempfile::tempdir().unwrap();
    let refused = |head: &LinearHeadParts, expected: &str| {
        let error = transformers(out.path(), golden("electra"), head, &recipe, None).expect_err(expected);
        assert!(error.is_input() && error.to_string().contains(expected), "{error:#}, expected {expected}");
    };
    let hidden = encoder.config().hidden;
    refused(&head(hidden - 1, 3), &format!("width {}", hidden - 1));
    refused(&head(hidden, hidden / 2 + 1), "labels over the pooling cls");
    refused(&LinearHeadParts { temperature: Some(f64::NAN), ..head(hidden, 3) }, "positive");
    let huge = LinearHeadParts { weights: vec![1e300; 3 * hidden], ..head(hidden, 3) };
    refused(&huge, "beyond the range of f32");
}

#[test]
fn a_folder_with_something_in_it_is_left_alone() {
    // A copy of a checkpoint in which a tokenizer file cannot be copied: writing fails half way.
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(golden("bert-pretraining")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let encoder = load(copy.path());
    let recipe = encoder.recipe(&options(Pooling::Pooler)).unwrap();
    let head = head(48, 3);

    let out = tempfile::tempdir().unwrap();
    let target = out.path().join("deep/er/model");
    std::fs::create_dir(copy.path().join("merges.txt")).unwrap();
    let error = transformers(&target, copy.path(), &head, &recipe, None).unwrap_err();
    assert!(error.is_model_file() && error.to_string().contains("merges.txt"), "{error:#}");
    assert_eq!(std::fs::read_dir(target.parent().unwrap()).unwrap().count(), 0, "nothing is left of it");
    std::fs::remove_dir(copy.path().join("merges.txt")).unwrap();

    transformers(&target, copy.path(), &head, &recipe, None).unwrap();
    let before = std::fs::read(target.join("model.safetensors")).unwrap();
    let other = LinearHeadParts { bias: vec![9.0; 3], ..head.clone() };
    let error = transformers(&target, copy.path(), &other, &recipe, None).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("not empty"), "{error:#}");
    assert_eq!(std::fs::read(target.join("model.safetensors")).unwrap(), before);

    let file = out.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    let error = transformers(&file, copy.path(), &head, &recipe, None).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("there is a file"), "{error:#}");
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");

    let empty = out.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    transformers(&empty, copy.path(), &head, &recipe, Some("# A card\n")).unwrap();
    assert_eq!(std::fs::read(empty.join("README.md")).unwrap(), b"# A card\n");
    // Another layer asked for through options, not by hand.
    let recipe =
        encoder.recipe(&EmbedOptions { layers: Layers::FromEnd(2), ..options(Pooling::Cls) }).unwrap();
    assert!(transformers(out.path().join("y"), copy.path(), &head, &recipe, None).unwrap_err().is_input());
}

// ---- scikit-learn ----

fn sklearn(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sklearn").join(name)).unwrap()
}

#[test]
fn imported_coefficients_answer_as_scikit_learn() {
    let expected: BTreeMap<String, Value> = serde_json::from_slice(&sklearn("expected.json")).unwrap();
    assert_eq!(expected.len(), 7);
    for (name, expected) in expected {
        let parts = import_sklearn(&sklearn(&format!("{name}.npz")))
            .unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert_eq!(json!(parts.labels), expected["labels"], "{name}");
        assert_eq!(json!(parts.problem.name()), expected["problem"], "{name}");
        let tolerance = if name == "columns-first" { 1e-5 } else { 1e-12 };
        for (x, logits_there) in
            expected["x"].as_array().unwrap().iter().zip(expected["logits"].as_array().unwrap())
        {
            let x: Vec<f64> = serde_json::from_value(x.clone()).unwrap();
            let there: Vec<f64> = serde_json::from_value(logits_there.clone()).unwrap();
            let z = |row: &[f64]| -> f64 {
                let mean = |at: usize| parts.mean.as_ref().map_or(0.0, |mean| mean[at]);
                let scale = |at: usize| parts.scale.as_ref().map_or(1.0, |scale| scale[at]);
                row.iter().zip(&x).enumerate().map(|(at, (w, x))| w * (x - mean(at)) / scale(at)).sum()
            };
            let here: Vec<f64> = parts
                .weights
                .chunks_exact(x.len())
                .zip(&parts.bias)
                .map(|(row, bias)| z(row) + bias)
                .collect();
            assert_eq!(here.len(), there.len(), "{name}");
            for (here, there) in here.iter().zip(&there) {
                assert!((here - there).abs() <= tolerance * there.abs().max(1.0), "{name}: {here} {there}");
            }
        }
    }
}

#[test]
fn imported_heads_have_scikit_learns_probabilities() {
    let expected: BTreeMap<String, Value> = serde_json::from_slice(&sklearn("probabilities.json")).unwrap();
    assert_eq!(expected.len(), 6);
    for (name, expected) in expected {
        let parts = import_sklearn(&sklearn(&format!("{name}.npz")))
            .unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert_eq!(json!(parts.labels), expected["labels"], "{name}");
        let notes = parts.notes().join(" ");
        assert_eq!(
            notes.contains("problem_type=\"ovr\""),
            matches!(&*name, "cv" | "ridge-three" | "with-mean-false"),
            "{name}: {notes}"
        );
        let head = parts.clone().into_head().unwrap();
        let back = Head::from_bytes(&head.to_bytes().unwrap()).unwrap();
        for (x, there) in
            expected["x"].as_array().unwrap().iter().zip(expected["probabilities"].as_array().unwrap())
        {
            let x: Vec<f32> = serde_json::from_value(x.clone()).unwrap();
            let there: Vec<f64> = serde_json::from_value(there.clone()).unwrap();
            let here = back.predict_proba(&Matrix::new(1, x.len(), x).unwrap()).unwrap();
            assert_eq!(here.len(), there.len(), "{name}");
            if name.starts_with("ridge") {
                let largest = |p: &[f64]| (0..p.len()).max_by(|a, b| p[*a].total_cmp(&p[*b]));
                assert_eq!(largest(&here), largest(&there), "{name}: a RidgeClassifier has labels alone");
                continue;
            }
            // The features were doubles there.
            for (here, there) in here.iter().zip(&there) {
                assert!((here - there).abs() <= 1e-5, "{name}: {here} {there}");
            }
        }
        if head.is_one_vs_rest() {
            assert_eq!(name, "sgd-three");
            assert!(LinearHeadParts::of_head(&head).unwrap().one_vs_rest);
        }
    }
}

#[test]
fn files_of_other_models_and_steps_are_refused_with_the_reason() {
    for (name, expected) in [
        ("coefs", "multilayer perceptron"),
        ("components", "decomposition"),
        ("min", "MinMaxScaler"),
        ("calibrated_classifiers", "CalibratedClassifierCV"),
    ] {
        let error = import_sklearn(&sklearn(&format!("of-other-{name}.npz"))).expect_err(name);
        assert!(error.is_input() && error.to_string().contains(expected), "{name}: {error:#}");
    }
}

#[test]
fn files_that_are_no_linear_model_are_refused_with_the_reason() {
    let cases = [
        ("objects.npz", "classes_ holds Python objects"),
        ("none-mean.npz", "mean_ holds Python objects"),
        ("complex.npz", "expected floats"),
        ("three-axes.npz", "[rows, features]"),
        ("no-coef.npz", "found weights"),
        ("nan.npz", "NaN"),
        ("wrong-rows.npz", "intercept_ 2 numbers"),
        ("wrong-classes.npz", "3 rows do not go with 2 labels"),
        ("single.npy", "a single .npy array"),
        ("make.py", "no zip archive"),
    ];
    for (name, expected) in cases {
        let error = import_sklearn(&sklearn(name)).expect_err(name);
        assert!(error.is_input() && error.to_string().contains(expected), "{name}: {error:#}");
    }
    let objects = import_sklearn(&sklearn("objects.npz")).unwrap_err();
    assert!(objects.to_string().contains("dtype=str"), "says how to save it instead: {objects}");
}

#[test]
fn damaged_archives_are_errors_not_panics() {
    for name in ["multinomial.npz", "columns-first.npz"] {
        let bytes = sklearn(name);
        for len in (0..bytes.len()).step_by(7) {
            assert!(import_sklearn(&bytes[..len]).is_err(), "{name} cut to {len} bytes");
        }
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for _ in 0..2_000 {
            let mut damaged = bytes.clone();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..damaged.len());
                damaged[at] = rng.random();
            }
            // Damage outside what is read (a time stamp) is no error; whatever comes back fits together.
            if let Ok(parts) = import_sklearn(&damaged) {
                parts.check().unwrap();
            }
        }
    }
}

// ---- model cards ----

fn card() -> CardData {
    CardData {
        name: "movie-reviews".into(),
        summary: "Tells good film reviews from bad ones.".into(),
        base_model: Some("sentence-transformers/all-MiniLM-L6-v2".into()),
        license: Some("apache-2.0".into()),
        languages: vec!["en".into()],
        dataset: Some("rotten_tomatoes".into()),
        problem: ProblemType::SingleLabel,
        labels: vec![("bad | \"worse\"\n<b>".into(), 4265), ("good".into(), 4265)],
        evaluation: "5-fold cross-validation, stratified.".into(),
        metrics: vec![
            Metric {
                id: "accuracy".into(),
                name: "Accuracy".into(),
                value: 0.767,
                interval: Some((0.758, 0.776)),
            },
            Metric { id: "f1".into(), name: "Macro F1".into(), value: f64::NAN, interval: None },
        ],
        settings: vec![("pooling".into(), "mean".into()), ("layers".into(), "5".into())],
        limitations: vec!["Short texts only.".into()],
        for_transformers: true,
    }
}

#[test]
fn a_card_holds_what_the_hub_reads_and_nothing_breaks_out() {
    let text = model_card(&card());
    let (front, body) = text.strip_prefix("---\n").and_then(|text| text.split_once("\n---\n")).unwrap();
    for line in [
        "language: [\"en\"]",
        "license: \"apache-2.0\"",
        "library_name: transformers",
        "base_model: \"sentence-transformers/all-MiniLM-L6-v2\"",
        "datasets: [\"rotten_tomatoes\"]",
        "metrics: [\"accuracy\"]",
        "    - {type: \"accuracy\", name: \"Accuracy\", value: 0.767}",
    ] {
        assert!(front.lines().any(|there| there == line), "{line}\nis not in\n{front}");
    }
    assert!(!front.contains("NaN"), "{front}");
    assert!(body.contains("| bad \\| \"worse\" &lt;b> | 4265 |"), "{body}");
    assert!(body.contains("| Accuracy | 0.767 | 0.758 to 0.776 |"));
    assert!(body.contains("- Short texts only."));

    let sly = CardData {
        name: "x\n---\nlicense: mit".into(),
        license: Some("mit\nlibrary_name: other".into()),
        dataset: Some("my reviews: 2024".into()),
        ..card()
    };
    let text = model_card(&sly);
    let front = text.strip_prefix("---\n").and_then(|text| text.split_once("\n---\n")).unwrap().0;
    assert!(front.contains("pipeline_tag"), "the front matter does not end early: {front}");
    assert_eq!(front.lines().filter(|line| line.starts_with("library_name:")).count(), 1);
    assert!(!front.contains("datasets:"), "only a hub id may stand there");
    assert!(text.contains("\n# x --- license: mit\n"));
}

#[test]
fn names_of_any_letters_stay_names_in_a_card() {
    let names = [
        "# heading",
        "- item",
        "1. one",
        "> quote",
        "~~struck~~",
        "$x$",
        "<script>alert(1)</script>",
        "[a](http://b.c)",
        "![a](b)",
        "`code`",
        "a\u{1b}[31mred",
        "\u{202e}txt.exe",
        "| cell",
        "a\n\n# b",
        "*bold* _it_",
        "--- \n---",
        "@you",
        "\u{85}next",
        "&lt;b&gt;",
        "\\",
    ];
    for name in names {
        let text = model_card(&CardData {
            name: name.into(),
            summary: format!("Tells {name} apart."),
            labels: vec![(name.into(), 3)],
            limitations: vec![name.into()],
            evaluation: name.into(),
            dataset: Some(name.into()),
            ..card()
        });
        let (front, body) = text.strip_prefix("---\n").unwrap().split_once("\n---\n").unwrap();
        assert!(
            front
                .lines()
                .all(|line| line.starts_with(|c: char| c.is_ascii_lowercase() || c == ' ' || c == '-')),
            "{name:?}: {front}"
        );
        assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{name:?}");
        // Within the fence of code there is nothing but code.
        let prose: String = body.split("```").step_by(2).collect();
        assert!(!prose.contains("<script") && !prose.contains("](http:"), "{name:?}: {prose}");
        // As many lines of each kind as with a plain name.
        let shape = |text: &str| -> Vec<char> {
            text.lines()
                .map(|line| line.trim_start_matches("- ").chars().next().unwrap_or(' '))
                .filter(|c| "#>`|".contains(*c))
                .collect()
        };
        let plain = model_card(&CardData {
            labels: vec![("plain".into(), 3)],
            limitations: vec!["plain".into()],
            ..card()
        });
        assert_eq!(shape(body), shape(plain.split_once("\n---\n").unwrap().1), "{name:?}: {body}");
    }
}
