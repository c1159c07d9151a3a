//! Good inputs to start from: the goldens, and files that the library itself writes.

use crate::kind::Kind;
use frostbert::data::EmbeddingWriter;
use frostbert::head::{Head, Kind as HeadKind, Matrix, Strength, Targets, TrainData, TrainOptions};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// The repository's fixtures.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

/// The goldens' folders, in order.
pub(crate) fn goldens() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(fixtures().join("goldens")) else { return vec![] };
    let mut folders: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// A file of a golden.
pub(crate) fn golden(name: &str, file: &str) -> Vec<u8> {
    std::fs::read(fixtures().join("goldens").join(name).join(file)).unwrap_or_default()
}

fn each_golden(file: &str) -> Vec<Vec<u8>> {
    goldens().iter().filter_map(|folder| std::fs::read(folder.join(file)).ok()).collect()
}

/// Several JSON files as one object: name to content.
fn together(folder: &Path, files: &[&str]) -> Option<Vec<u8>> {
    let mut all = Map::new();
    for file in files {
        if let Ok(bytes) = std::fs::read(folder.join(file)) {
            all.insert((*file).to_owned(), serde_json::from_slice(&bytes).ok()?);
        }
    }
    (!all.is_empty()).then(|| Value::Object(all).to_string().into_bytes())
}

/// The inputs to start from. Empty where the fixtures are not there.
pub fn corpus(kind: Kind) -> Vec<Vec<u8>> {
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    match kind {
        Kind::Config => each_golden("config.json"),
        Kind::Plan => each_golden("config.json").iter().filter_map(|config| plan_request(config)).collect(),
        Kind::Safetensors => {
            let file = golden("bert-act-relu", "model.safetensors");
            let header = header(&file).map(<[u8]>::to_vec);
            header.into_iter().chain([file]).collect()
        }
        Kind::Index => each_golden("model.safetensors.index.json"),
        Kind::Modules => {
            let files = [
                "modules.json",
                "1_Pooling/config.json",
                "2_Dense/config.json",
                "sentence_bert_config.json",
                "config_sentence_transformers.json",
            ];
            goldens()
                .iter()
                .filter(|folder| folder.join("modules.json").exists())
                .filter_map(|folder| together(folder, &files))
                .collect()
        }
        Kind::Tokenizer => goldens()
            .iter()
            .filter_map(|folder| {
                together(folder, &["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"])
            })
            .collect(),
        Kind::Vocab => texts(&[
            "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nworld\n##s\n,\n.\n",
            "[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\n[MASK]\r\na\r\n##b\r\n",
        ]),
        Kind::Head => heads(),
        Kind::Npz => files_with("sklearn", "npz"),
        Kind::Npy => npys(),
        Kind::Csv => texts(&[
            "text,label\nA delight.,pos\n\"A, \"\"bore\"\".\nIndeed\",neg\n",
            "\u{feff}id;text;label;a;b\r\n1;eins;x|y;1;0\r\n2;zwei;;0;1\r\n",
            "text,label,weight,group\na,1.5,1,g\nb,-2e3,0.5,h\n",
        ]),
        Kind::Tsv => texts(&["text\tlabel\none\tx\n\"two\"\ty\n", "text\tlabel\r\n\u{feff}\t1\r\n"]),
        Kind::Jsonl => texts(&[
            "{\"text\": \"one\", \"label\": [\"a\", \"b\"]}\n\n{\"text\": \"two\", \"label\": null}\n",
            "{\"text\": \"x\", \"label\": 1.5, \"a\": true, \"b\": 0}\n",
            "{\"label\": \"y\", \"text\": \"\\u00e9\\n\"}",
        ]),
        Kind::Text => texts(&["one\n\nthree\r\nfour", "\u{feff}x\n"]),
        Kind::Parquet => parquets(),
        Kind::Labels => texts(&[
            "a\nb\na\n",
            "1\n2.5\n-3e4\n",
            "a|b\n\n[\"a\", \"c\"]\n",
            "yes\nno\ntrue\n0\n",
            "x,y\ny\nx\n",
        ]),
        Kind::Arguments => texts(&[
            "cpu",
            "gpu",
            "software",
            "auto",
            "0",
            "12",
            "NVIDIA",
            "f32",
            "f16",
            "int8",
            "all",
            "last",
            "1,2,-1",
            "0..6",
            "-4..",
            "bert-base",
            "minilm-l6",
            "bert:layers=2,hidden=48",
            "text=x",
            "a!=b",
            "csv",
            "parquet",
            "ubinary",
            "org/model",
            "org/model@refs/pr/1",
            "./folder",
            "mean",
            "cls+max",
        ]),
    }
}

/// The JSON header of a safetensors file.
pub(crate) fn header(file: &[u8]) -> Option<&[u8]> {
    let len = u64::from_le_bytes(file.get(..8)?.try_into().ok()?);
    file.get(8..8 + usize::try_from(len).ok()?)
}

fn plan_request(config: &[u8]) -> Option<Vec<u8>> {
    let config: Value = serde_json::from_slice(config).ok()?;
    let request = json!({
        "layers": [1, 2], "pooling": ["mean", "cls", "max"], "dense": [[48, 20], [20]], "dimensions": 16, "normalize": true,
        "hidden_states": [0, 2], "attentions": [0], "pooler_output": true, "head": 1, "binding": 1_048_576,
    });
    Some(json!({"config": config, "request": request}).to_string().into_bytes())
}

fn files_with(folder: &str, ending: &str) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(fixtures().join(folder)) else { return vec![] };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .collect();
    paths.sort();
    paths.iter().filter_map(|path| std::fs::read(path).ok()).collect()
}

/// The arrays inside of the .npz files.
fn npys() -> Vec<Vec<u8>> {
    let mut all = vec![];
    for archive in files_with("sklearn", "npz") {
        let Ok(mut archive) = zip::ZipArchive::new(std::io::Cursor::new(archive)) else { continue };
        for at in 0..archive.len() {
            let mut bytes = vec![];
            if let Ok(mut file) = archive.by_index(at)
                && std::io::Read::read_to_end(&mut file, &mut bytes).is_ok()
            {
                all.push(bytes);
            }
        }
    }
    all
}

/// Small heads of every kind, just trained.
fn heads() -> Vec<Vec<u8>> {
    let rows = 24;
    let values: Vec<f32> =
        (0..rows * 3).map(|at| ((at * 37 % 19) as f32 - 9.0) / 9.0 + (at % 2) as f32).collect();
    let names: Vec<&str> = (0..rows).map(|row| ["a", "b", "c"][row % 3]).collect();
    let several: Vec<Vec<&str>> =
        (0..rows).map(|row| if row % 4 == 0 { vec!["a", "b"] } else { vec!["a"] }).collect();
    let numbers: Vec<f64> = (0..rows).map(|row| row as f64 / 3.0).collect();
    let fixed = TrainOptions { c: Strength::Fixed(1.0), ..TrainOptions::default() };
    let of = |kind| TrainOptions { kind, ..fixed.clone() };
    let cases = [
        (Targets::classes(&names), fixed.clone()),
        (Targets::multi_label(&several), fixed.clone()),
        (Targets::values(numbers, "score"), fixed.clone()),
        (Targets::classes(&names), of(HeadKind::NearestCentroid)),
        (Targets::classes(&names), of(HeadKind::Neighbours { k: 3 })),
        (Targets::classes(&names), of(HeadKind::Mlp(Default::default()))),
    ];
    let head = |(targets, options): (Targets, TrainOptions)| {
        let matrix = Matrix::new(rows, 3, values.clone()).ok()?;
        let training = Head::train(&TrainData::new(matrix, targets), &options, &mut |_| {}).ok()?;
        training.head.to_bytes().ok()
    };
    cases.into_iter().filter_map(head).collect()
}

fn parquets() -> Vec<Vec<u8>> {
    let write = || {
        let folder = tempfile::tempdir().ok()?;
        let path = folder.path().join("table.parquet");
        let mut writer = EmbeddingWriter::create(&path, 2).ok()?;
        writer.write(&[0.5, 1.5, -2.0, 0.0, 1.0, 2.0], &[3, 4, 5], &[false, true, false]).ok()?;
        writer.finish().ok()?;
        std::fs::read(path).ok()
    };
    write().into_iter().collect()
}
