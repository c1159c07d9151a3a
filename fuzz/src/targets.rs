//! What inputs are given to. Whatever the input, a target returns: an error is a good answer, a panic or worse is not.

use crate::corpus::{golden, header};
use crate::kind::Kind;
use frostbert::checkpoint::{Bytes, Checkpoint, Files, MemoryFiles, ModelSource};
use frostbert::data::{Filter, Format, Label, LabelKind, ReadOptions, Selection, Table, TextColumns};
use frostbert::export::import_sklearn;
use frostbert::head::{Folds, Head, Matrix, Targets, TrainData, train_test_split};
use frostbert::model::{
    Activation, Config, DenseLayer, EmbeddingRequest, HeadKind, LayerMix, PooledModule, PooledNorm, Pooling,
};
use frostbert::plan::kernels::{Class, Cooperative, Limits, Tuning, WeightType, lower};
use frostbert::plan::{HeadOutput, Request, families};
use frostbert::quantize::Precision;
use frostbert::text::{EncodeOptions, Tokenizer, Truncate};
use frostbert::{Device, Dtype, Layers, RandomModel};
use serde_json::Value;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

/// A parser, and what it parses.
#[derive(Clone, Copy)]
pub struct Target {
    /// The name that the driver and the folders of regressions go by.
    pub name: &'static str,
    /// Where its good inputs come from.
    pub kind: Kind,
    /// What takes an input.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "config", kind: Kind::Config, run: config },
    Target { name: "plan", kind: Kind::Plan, run: plan },
    Target { name: "safetensors", kind: Kind::Safetensors, run: safetensors },
    Target { name: "index", kind: Kind::Index, run: index },
    Target { name: "modules", kind: Kind::Modules, run: modules },
    Target { name: "tokenizer", kind: Kind::Tokenizer, run: tokenizer },
    Target { name: "vocab", kind: Kind::Vocab, run: vocab },
    Target { name: "head", kind: Kind::Head, run: head },
    Target { name: "npz", kind: Kind::Npz, run: npz },
    Target { name: "npy", kind: Kind::Npy, run: npy },
    Target { name: "csv", kind: Kind::Csv, run: |input| table("t.csv", input) },
    Target { name: "tsv", kind: Kind::Tsv, run: |input| table("t.tsv", input) },
    Target { name: "jsonl", kind: Kind::Jsonl, run: |input| table("t.jsonl", input) },
    Target { name: "text", kind: Kind::Text, run: |input| table("t.txt", input) },
    Target { name: "parquet", kind: Kind::Parquet, run: |input| table("t.parquet", input) },
    Target { name: "labels", kind: Kind::Labels, run: labels },
    Target { name: "arguments", kind: Kind::Arguments, run: arguments },
];

/// A large file.
type Shared = Arc<Vec<u8>>;

/// A checkpoint whose large files are shared by all inputs.
#[derive(Clone)]
struct Overlay {
    small: MemoryFiles,
    large: Vec<(String, Arc<Vec<u8>>)>,
}

impl Overlay {
    fn new(large: &[(&str, &Arc<Vec<u8>>)]) -> Self {
        let large = large.iter().map(|(name, bytes)| ((*name).to_owned(), Arc::clone(bytes))).collect();
        Overlay { small: MemoryFiles::new(), large }
    }

    fn with(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.small.insert(name, bytes.into());
        self
    }
}

impl Files for Overlay {
    fn len(&self, name: &str) -> frostbert::Result<Option<u64>> {
        match self.large.iter().find(|(known, _)| known == name) {
            Some((_, bytes)) => Ok(Some(bytes.len() as u64)),
            None => self.small.len(name),
        }
    }

    fn read(&self, name: &str, range: Range<u64>) -> frostbert::Result<Bytes<'_>> {
        let Some((_, bytes)) = self.large.iter().find(|(known, _)| known == name) else {
            return self.small.read(name, range);
        };
        let ends = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let part = ends.and_then(|(start, end)| bytes.get(start..end));
        part.map(Bytes::Borrowed).ok_or_else(|| frostbert::Error::model_file(format!("{name}: past the end")))
    }

    fn describe(&self, name: &str) -> String {
        name.to_owned()
    }

    fn location(&self) -> String {
        "memory".to_owned()
    }
}

static BERT: LazyLock<[Arc<Vec<u8>>; 3]> = LazyLock::new(|| {
    ["config.json", "model.safetensors", "tokenizer.json"].map(|file| Arc::new(golden("bert-act-relu", file)))
});

static TEXTS: [&str; 6] = [
    "",
    "Hello world!",
    "a\0b \u{202e}x",
    "ein  längerer\tText, mit漢字 und \u{1f600}\u{200d}",
    "[CLS] [MASK] [SEP]",
    "word word word word word word word word word",
];

/// What a caller does with a checkpoint before any engine has it.
fn use_checkpoint(checkpoint: &Checkpoint) {
    let request = Request {
        embeddings: Some(checkpoint.embedding_request()),
        pooler_output: true,
        ..Request::default()
    };
    lowered(checkpoint.config(), &request, 1 << 27);
    for kind in [HeadKind::Sequence, HeadKind::Token] {
        let _ = checkpoint.labels(kind);
    }
    let _ = checkpoint.max_tokens();
    let _ = checkpoint.fingerprint();
    for name in checkpoint.weights().names() {
        let Some(shape) = checkpoint.weights().shape(name) else { continue };
        let _ = checkpoint.weights().tensor(name, shape);
    }
}

fn lowered(config: &Config, request: &Request, binding: u64) {
    let Ok(plan) = families::plan(config, request) else { return };
    let cooperative = Some(Cooperative { side: 16, invocations: 256 });
    for (class, cooperative, subgroup) in [
        (Class::Tensor, cooperative, 0),
        (Class::Half, None, 0),
        (Class::Half, None, 8),
        (Class::Gpu, None, 0),
        (Class::Browser, None, 0),
        (Class::Software, None, 8),
    ] {
        for weights in [WeightType::F32, WeightType::F16] {
            let max_workgroup_bytes = 32_768;
            let limits = Limits { max_binding_bytes: binding, cooperative, subgroup, max_workgroup_bytes };
            let _ = lower(&plan, class, weights, &limits, &Tuning::default());
        }
    }
}

/// config.json beside the weights of a golden of its family.
fn config(input: &[u8]) {
    let Some(files) = beside_weights(input) else { return };
    if let Ok(checkpoint) = Checkpoint::from_files(files) {
        use_checkpoint(&checkpoint);
    }
}

/// Weights by the family that a config names.
fn beside_weights(config: &[u8]) -> Option<Overlay> {
    static FAMILIES: LazyLock<Vec<(&'static str, Shared)>> = LazyLock::new(|| {
        [
            ("\"albert\"", "albert"),
            ("\"distilbert\"", "distilbert-sequence"),
            ("\"electra\"", "electra"),
            ("\"modernbert\"", "modernbert"),
            ("\"mpnet\"", "mpnet"),
            ("\"roberta\"", "roberta-sequence"),
            ("\"xlm-roberta\"", "xlm-roberta"),
            ("\"bert\"", "bert-sequence-single-label"),
        ]
        .map(|(family, name)| (family, Arc::new(golden(name, "model.safetensors"))))
        .into()
    });
    let text = String::from_utf8_lossy(config);
    let weights = FAMILIES.iter().find(|(family, _)| text.contains(family)).or(FAMILIES.last())?;
    let large = [("model.safetensors", &weights.1), ("tokenizer.json", &BERT[2])];
    Some(Overlay::new(&large).with("config.json", config))
}

/// `{"config": ..., "request": ...}`: a plan of what is asked for, lowered for every class of adapters.
fn plan(input: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(input) else { return };
    let config = value.get("config").unwrap_or(&Value::Null).to_string();
    let Some(files) = beside_weights(config.as_bytes()) else { return };
    let Ok(checkpoint) = Checkpoint::from_files(files) else { return };
    let asked = value.get("request").unwrap_or(&Value::Null);
    let size = |value: &Value| value.as_u64().and_then(|size| usize::try_from(size).ok());
    let sizes = |key: &str| -> Vec<usize> {
        asked
            .get(key)
            .and_then(Value::as_array)
            .map(|list| list.iter().filter_map(size).collect())
            .unwrap_or_default()
    };
    let pooling = asked
        .get("pooling")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(|name| Pooling::from_name(name.as_str()?)).collect::<Vec<_>>());
    let dense = asked.get("dense").and_then(Value::as_array).map(|layers| {
        layers
            .iter()
            .filter_map(|layer| {
                let Some(out_features) = layer.get(1) else {
                    let width = size(layer.get(0)?)?;
                    return Some(PooledModule::LayerNorm(PooledNorm {
                        name: "3_LayerNorm/norm".to_owned(),
                        width,
                    }));
                };
                Some(PooledModule::Dense(DenseLayer {
                    name: "2_Dense/linear".to_owned(),
                    in_features: size(layer.get(0)?)?,
                    out_features: size(out_features)?,
                    bias: true,
                    activation: Some(Activation::Tanh),
                }))
            })
            .collect::<Vec<_>>()
    });
    let mean = asked.get("normalize").and_then(Value::as_bool).unwrap_or_default();
    let request = Request {
        embeddings: pooling.map(|pooling| EmbeddingRequest {
            layers: sizes("layers"),
            mix: if mean { LayerMix::Mean } else { LayerMix::Concat },
            layer_weights: asked
                .get("layer_weights")
                .and_then(Value::as_bool)
                .unwrap_or_default()
                .then(|| "1_WeightedLayerPooling/layer_weights".into()),
            pooling,
            modules: dense.unwrap_or_default(),
            dimensions: asked.get("dimensions").and_then(size),
            normalize: mean,
        }),
        hidden_states: sizes("hidden_states"),
        attentions: sizes("attentions"),
        pooler_output: asked.get("pooler_output").and_then(Value::as_bool).unwrap_or_default(),
        head: match asked.get("head").and_then(Value::as_u64) {
            Some(1) => Some(HeadOutput::Sequence),
            Some(2) => Some(HeadOutput::Token),
            _ => None,
        },
    };
    let binding = asked.get("binding").and_then(Value::as_u64).unwrap_or(1 << 27);
    lowered(checkpoint.config(), &request, binding);
}

/// The header of a safetensors file before a golden's data, or a whole file.
fn safetensors(input: &[u8]) {
    let file = if input.first() == Some(&b'{') {
        let good = &BERT[1];
        let data = header(good).map_or(0, |header| 8 + header.len());
        let mut file = (input.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(input);
        file.extend_from_slice(good.get(data..).unwrap_or_default());
        file
    } else {
        input.to_vec()
    };
    let files = Overlay::new(&[("config.json", &BERT[0]), ("tokenizer.json", &BERT[2])])
        .with("model.safetensors", file);
    if let Ok(checkpoint) = Checkpoint::from_files(files) {
        use_checkpoint(&checkpoint);
    }
}

/// model.safetensors.index.json beside its shards.
fn index(input: &[u8]) {
    static SHARDS: LazyLock<Vec<(String, Shared)>> = LazyLock::new(|| {
        (1..=6)
            .map(|shard| {
                let name = format!("model-0000{shard}-of-00006.safetensors");
                let bytes = Arc::new(golden("bert-sharded", &name));
                (name, bytes)
            })
            .collect()
    });
    let mut files = Overlay::new(&[("tokenizer.json", &BERT[2])])
        .with("config.json", BERT[0].to_vec())
        .with("model.safetensors.index.json", input);
    files.large.extend(SHARDS.iter().cloned());
    if let Ok(checkpoint) = Checkpoint::from_files(files) {
        use_checkpoint(&checkpoint);
    }
}

/// An object of JSON files: modules.json and what it names.
fn modules(input: &[u8]) {
    static DENSE: LazyLock<Arc<Vec<u8>>> =
        LazyLock::new(|| Arc::new(golden("sentence-cls", "2_Dense/model.safetensors")));
    let Ok(Value::Object(all)) = serde_json::from_slice(input) else { return };
    let mut files = Overlay::new(&[
        ("config.json", &BERT[0]),
        ("model.safetensors", &BERT[1]),
        ("tokenizer.json", &BERT[2]),
        ("2_Dense/model.safetensors", &DENSE),
    ]);
    for (name, content) in all {
        files = files.with(&name, content.to_string());
    }
    if let Ok(checkpoint) = Checkpoint::from_files(files) {
        use_checkpoint(&checkpoint);
    }
}

fn encode(files: Overlay) {
    let Ok(checkpoint) = Checkpoint::from_files(files) else { return };
    let Ok(tokenizer) = Tokenizer::load(checkpoint.tokenizer_source()) else { return };
    let _ = tokenizer.mask_id();
    for truncate in [Truncate::Cut, Truncate::Error] {
        let options = EncodeOptions { truncate, max_tokens: None, side: None };
        let inputs: Vec<_> = TEXTS.iter().map(|text| (*text).into()).collect();
        if let Ok(rows) = tokenizer.encode_batch(&inputs, options) {
            for row in rows {
                let _ = tokenizer.decode(&row.ids);
            }
        }
        let _ = tokenizer.encode_batch(&[(TEXTS[1], TEXTS[3]).into()], options);
    }
}

/// An object of JSON files: tokenizer.json, tokenizer_config.json, special_tokens_map.json.
fn tokenizer(input: &[u8]) {
    let Ok(Value::Object(all)) = serde_json::from_slice(input) else { return };
    let mut files = Overlay::new(&[("config.json", &BERT[0]), ("model.safetensors", &BERT[1])]);
    for (name, content) in all {
        files = files.with(&name, content.to_string());
    }
    encode(files);
}

fn vocab(input: &[u8]) {
    encode(
        Overlay::new(&[("config.json", &BERT[0]), ("model.safetensors", &BERT[1])]).with("vocab.txt", input),
    );
}

fn head(input: &[u8]) {
    let Ok(head) = Head::from_bytes(input) else { return };
    // A head may honestly be wide; the rows to try it on must not exhaust the memory.
    let columns = head.dimension();
    if columns > 1 << 16 {
        return;
    }
    let Ok(rows) = Matrix::new(3, columns, vec![0.25; 3 * columns]) else { return };
    if let Ok(decisions) = head.predict(&rows, Some(0.5)) {
        assert_eq!(decisions.len(), 3, "a decision for each row");
    }
    if let Ok(probabilities) = head.predict_proba(&rows) {
        assert!(
            probabilities.iter().all(|value| value.is_finite()),
            "a head that was taken answers with numbers"
        );
    }
    let _ = head.names();
    let again = head.to_bytes().and_then(|bytes| Head::from_bytes(&bytes).map(drop));
    assert!(again.is_ok(), "a head that was taken can be saved and taken again: {again:?}");
}

fn npz(input: &[u8]) {
    if let Ok(parts) = import_sklearn(input) {
        let _ = parts.check();
        let _ = parts.into_head();
    }
}

/// An array, as the coefficients of a head.
fn npy(input: &[u8]) {
    static OTHERS: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
        let mut all = vec![];
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/sklearn/multinomial.npz");
        let Ok(bytes) = std::fs::read(path) else { return all };
        let Ok(mut archive) = zip::ZipArchive::new(std::io::Cursor::new(bytes)) else { return all };
        for at in 0..archive.len() {
            let mut bytes = vec![];
            if let Ok(mut file) = archive.by_index(at)
                && std::io::Read::read_to_end(&mut file, &mut bytes).is_ok()
                && let Ok(name) = file.name()
            {
                all.push((name.into_owned(), bytes));
            }
        }
        all
    });
    for replaced in ["coef_.npy", "classes_.npy"] {
        let mut archive = zip::ZipWriter::new(std::io::Cursor::new(vec![]));
        let options =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        let mut write = |name: &str, bytes: &[u8]| {
            archive.start_file(name, options).is_ok()
                && std::io::Write::write_all(&mut archive, bytes).is_ok()
        };
        let others =
            OTHERS.iter().filter(|(name, _)| name != replaced).all(|(name, bytes)| write(name, bytes));
        if others
            && write(replaced, input)
            && let Ok(file) = archive.finish()
        {
            npz(file.get_ref());
        }
    }
}

fn table(name: &str, input: &[u8]) {
    let selections = [
        Selection::default(),
        Selection {
            text: vec!["1".into()],
            labels: vec!["label".into()],
            label_kind: LabelKind::List { separator: "|".into() },
            ..Selection::default()
        },
        Selection {
            text: vec!["text".into(), "label".into()],
            text_columns: TextColumns::Pair,
            labels: vec!["a".into(), "b".into()],
            label_kind: LabelKind::Indicators,
            limit: Some(2),
            ..Selection::default()
        },
        Selection {
            labels: vec!["label".into()],
            label_kind: LabelKind::Number,
            weight: Some("weight".into()),
            group: Some("group".into()),
            ..Selection::default()
        },
    ];
    for options in
        [ReadOptions::default(), ReadOptions { header: false, quotes: false, ..ReadOptions::default() }]
    {
        for selection in &selections {
            let Ok(table) = Table::from_bytes_with(name, input, &options) else { break };
            let Ok(rows) = table.rows(selection) else { continue };
            // A table may be wrong in every row; who reads it stops at the first.
            for row in rows {
                if row.is_err() {
                    break;
                }
            }
        }
    }
}

/// A label a line, read in every way, and what training does with labels first.
fn labels(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let lines: String = text.lines().map(|line| Value::from(line).to_string() + "\n").collect();
    let jsonl: String =
        lines.lines().map(|line| format!("{{\"text\": \"x\", \"label\": {line}}}\n")).collect();
    for kind in [
        LabelKind::Name,
        LabelKind::Number,
        LabelKind::List { separator: ",".into() },
        LabelKind::List { separator: String::new() },
        LabelKind::Indicators,
    ] {
        let selection = Selection { labels: vec!["label".into()], label_kind: kind, ..Selection::default() };
        let Ok(table) = Table::from_bytes("labels.jsonl", jsonl.as_bytes()) else { continue };
        let Ok(rows) = table.rows(&selection) else { continue };
        let labels: Vec<Label> = rows.map_while(|row| row.ok()?.label).collect();
        let targets = match labels.first() {
            Some(Label::Name(_)) => {
                Targets::classes(&labels.iter().map(|label| format!("{label:?}")).collect::<Vec<_>>())
            }
            Some(Label::Names(_)) => {
                let names =
                    |label: &Label| if let Label::Names(names) = label { names.clone() } else { vec![] };
                Targets::multi_label(&labels.iter().map(names).collect::<Vec<_>>())
            }
            Some(Label::Number(_)) => {
                let value = |label: &Label| if let Label::Number(value) = label { *value } else { f64::NAN };
                Targets::values(labels.iter().map(value).collect(), "label")
            }
            None => continue,
        };
        let count = targets.rows();
        // Lists that are all empty have no names, and then no rows.
        assert!(count == labels.len() || targets.names().is_empty(), "a target for each label");
        let Ok(matrix) = Matrix::new(count, 1, vec![0.5; count]) else { continue };
        let data = TrainData::new(matrix, targets);
        let _ = data.check();
        let strata: Vec<u32> = (0..count as u32).map(|row| row % 3).collect();
        let _ = train_test_split(&strata, None, 0.3, 1);
        let _ = Folds::default().split(&strata, None);
    }
}

/// The values of options. No system passes longer ones than Linux does (MAX_ARG_STRLEN).
fn arguments(input: &[u8]) {
    const LONGEST: usize = 128 << 10;
    let text = String::from_utf8_lossy(&input[..input.len().min(LONGEST)]);
    let _ = text.parse::<Device>();
    let _ = text.parse::<Dtype>();
    let _ = text.parse::<Layers>();
    let _ = text.parse::<RandomModel>();
    let _ = text.parse::<Filter>();
    let _ = text.parse::<Format>();
    let _ = text.parse::<Precision>();
    let _ = text.parse::<ModelSource>().map(|source| source.to_string());
    let _ = Pooling::from_name(&text);
    let _ = Activation::from_name(&text);
}
