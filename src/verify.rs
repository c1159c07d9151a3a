//! Proof: an encoder's outputs against what transformers computes in float64 from the same checkpoint.
//!
//! A *golden* is a checkpoint folder with two more files: `cases.json` (texts, and the largest error of PyTorch's own
//! float32 run per tensor) and `cases.safetensors` (expected values, named `CASE/OUTPUT`).

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, HeadKind};
use crate::encoder::{EmbedOptions, Encoder, Prompt, TokenRequest};
use crate::error::{Error, Result};
use crate::plan::HeadOutput;
use crate::text::TextInput;

/// One tensor of one golden.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// `CASE/OUTPUT`.
    pub tensor: String,
    /// Largest absolute difference over real rows; NaN where the shapes differ or a value is no number.
    pub error: f64,
    /// PyTorch's own float32 error there.
    pub torch_error: f64,
    /// What the numerics contract allows.
    pub allowed: f64,
}

impl Comparison {
    /// Whether the contract holds. NaN fails.
    pub fn holds(&self) -> bool {
        self.error <= self.allowed
    }

    fn new(tensor: String, error: f64, torch_error: f64, largest: f64) -> Self {
        // Four times PyTorch's float32 error, with a floor where that is tiny by luck.
        let allowed = (4.0 * torch_error).max(4e-6 * largest.max(1.0));
        Comparison { tensor, error, torch_error, allowed }
    }
}

#[derive(Deserialize)]
struct CaseFile {
    cases: BTreeMap<String, Case>,
    torch_float32_error: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Case {
    texts: Vec<String>,
    text_pairs: Option<Vec<String>>,
    prompt_name: Option<String>,
}

/// Expected values of one tensor.
struct Expected {
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// Compares every tensor of a golden folder. `build` makes an encoder of the checkpoint, on whatever device.
///
/// # Errors
/// The folder is no golden, names an output that is not known here, or the encoder fails.
pub fn golden(
    folder: &Path,
    build: impl FnOnce(Checkpoint) -> Result<Encoder>,
) -> Result<Vec<Comparison>> {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path).map_err(|error| {
            Error::model_file(format!("cannot read {}; a golden folder has it", path.display())).with_source(error)
        })
    };
    let wrong = |what: &str, error: Box<dyn std::error::Error + Send + Sync>| {
        Error::model_file(format!("cannot read {what} in {}", folder.display())).with_source(error)
    };
    let cases: CaseFile =
        serde_json::from_slice(&read("cases.json")?).map_err(|error| wrong("cases.json", error.into()))?;
    let bytes = read("cases.safetensors")?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| wrong("cases.safetensors", error.into()))?;
    let encoder = build(Checkpoint::open(folder)?)?;
    let mut comparisons = Vec::new();
    for (name, case) in &cases.cases {
        let mut expected = BTreeMap::new();
        for (key, tensor) in tensors.iter() {
            if let Some(output) = key.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix('/')) {
                expected.insert(
                    output.to_owned(),
                    Expected { shape: tensor.shape().to_vec(), values: bytemuck::pod_collect_to_vec(tensor.data()) },
                );
            }
        }
        for (output, actual) in actual(&encoder, case, expected.keys())? {
            let key = format!("{name}/{output}");
            let torch_error = cases.torch_float32_error.get(&key).copied().ok_or_else(|| {
                Error::model_file(format!("cases.json in {} has no torch_float32_error of {key}", folder.display()))
            })?;
            let (error, largest) = difference(&expected[&output], &actual);
            comparisons.push(Comparison::new(key, error, torch_error, largest));
        }
    }
    if comparisons.len() != tensors.len() {
        return Err(Error::model_file(format!(
            "{} has {} expected tensors, but {} were compared",
            folder.display(),
            tensors.len(),
            comparisons.len()
        )));
    }
    Ok(comparisons)
}

/// Sentence embeddings of the real all-MiniLM-L6-v2 against its golden: unit vectors, at most 2e-6 apart in any coordinate.
///
/// # Errors
/// As [`golden`].
pub fn sentence_golden(folder: &Path, encoder: &Encoder) -> Result<Comparison> {
    #[derive(Deserialize)]
    struct Sentences {
        texts: Vec<String>,
        torch_float32_error: f64,
    }
    let wrong = |error: Box<dyn std::error::Error + Send + Sync>| {
        Error::model_file(format!("cannot read the golden in {}", folder.display())).with_source(error)
    };
    let text = std::fs::read(folder.join("cases.json")).map_err(|error| wrong(error.into()))?;
    let cases: Sentences = serde_json::from_slice(&text).map_err(|error| wrong(error.into()))?;
    let bytes = std::fs::read(folder.join("cases.safetensors")).map_err(|error| wrong(error.into()))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| wrong(error.into()))?;
    let tensor = tensors.tensor("sentence_embedding").map_err(|error| wrong(error.into()))?;
    let expected: Vec<f32> = bytemuck::pod_collect_to_vec(tensor.data());
    let actual = encoder.embed_blocking(cases.texts.iter().map(String::as_str), &EmbedOptions::default())?;
    let error = if actual.values.len() == expected.len() {
        largest_difference(actual.values.iter().zip(&expected))
    } else {
        f64::NAN
    };
    let tensor = "sentence_embedding".to_owned();
    Ok(Comparison { tensor, error, torch_error: cases.torch_float32_error, allowed: 2e-6 })
}

/// Values per text, row-major without padding.
type Actual = Vec<Vec<f32>>;

fn actual<'a>(
    encoder: &Encoder,
    case: &Case,
    outputs: impl Iterator<Item = &'a String>,
) -> Result<Vec<(String, Actual)>> {
    let inputs: Vec<TextInput> = match &case.text_pairs {
        Some(pairs) => {
            case.texts.iter().zip(pairs).map(|(a, b)| TextInput::pair(a.as_str(), b.as_str())).collect()
        }
        None => case.texts.iter().map(|text| text.as_str().into()).collect(),
    };
    let prompt = case.prompt_name.clone().map_or(Prompt::Default, Prompt::Named);
    let options = EmbedOptions { prompt, ..EmbedOptions::default() };
    let layers = encoder.config().layers;
    let tokens = |request: &TokenRequest| encoder.token_outputs_blocking(inputs.clone(), request, &options);
    let mut found = Vec::new();
    for output in outputs {
        let (kind, index) = match output.split_once('.') {
            Some((kind, index)) => (kind, index.parse().ok()),
            None => (output.as_str(), None),
        };
        let none = TokenRequest::default();
        let values: Actual = match (kind, index) {
            ("sentence_embedding", None) => {
                let rows = encoder.embed_blocking(inputs.clone(), &options)?;
                rows.rows().map(<[f32]>::to_vec).collect()
            }
            ("last_hidden_state", None) | ("hidden_states", Some(_)) => {
                let layer = index.unwrap_or(layers);
                let rows = tokens(&TokenRequest { hidden_states: vec![layer], ..none })?;
                rows.into_iter().map(|mut row| row.hidden_states.swap_remove(0)).collect()
            }
            ("attentions", Some(layer)) => {
                let rows = tokens(&TokenRequest { attentions: vec![layer], ..none })?;
                rows.into_iter().map(|mut row| row.attentions.swap_remove(0)).collect()
            }
            ("pooler_output", None) => {
                let rows = tokens(&TokenRequest { pooler_output: true, ..none })?;
                rows.into_iter().map(|row| row.pooler_output.unwrap_or_default()).collect()
            }
            ("logits" | "prediction_logits" | "seq_relationship_logits", None) => {
                logits(encoder, kind, &inputs, &options)?
            }
            _ => return Err(Error::model_file(format!("a golden names the output {output:?}, which is not known here"))),
        };
        found.push((output.clone(), values));
    }
    Ok(found)
}

/// Logits of the head that the output's name, or else the checkpoint's only head, stands for.
fn logits(encoder: &Encoder, kind: &str, inputs: &[TextInput], options: &EmbedOptions) -> Result<Actual> {
    let heads = encoder.checkpoint().heads();
    let head = match kind {
        "prediction_logits" => HeadOutput::MaskedLm,
        "seq_relationship_logits" => HeadOutput::NextSentence,
        _ if heads.has(HeadKind::Sequence) => HeadOutput::Sequence,
        _ if heads.has(HeadKind::Token) => HeadOutput::Token,
        _ => HeadOutput::MaskedLm,
    };
    if head == HeadOutput::MaskedLm {
        // Expected at every position, not at masks alone.
        let every = |encoding: &crate::text::Encoding| (0..encoding.ids.len()).collect();
        return pollster::block_on(encoder.masked_lm_logits(inputs.to_vec(), options, every));
    }
    let request = TokenRequest { head: Some(head), ..TokenRequest::default() };
    let rows = encoder.token_outputs_blocking(inputs.to_vec(), &request, options)?;
    Ok(rows.into_iter().map(|row| row.logits.unwrap_or_default()).collect())
}

/// Largest absolute difference over real rows, and the largest expected value there. NaN if shapes do not fit.
fn difference(expected: &Expected, actual: &[Vec<f32>]) -> (f64, f64) {
    let (mut error, mut largest) = (0.0f64, 0.0f64);
    if expected.shape.first() != Some(&actual.len()) {
        return (f64::NAN, 0.0);
    }
    let per_text: usize = expected.shape[1..].iter().product();
    for (values, wanted) in actual.iter().zip(expected.values.chunks(per_text.max(1))) {
        let rows: Vec<f32> = match expected.shape[..] {
            [_, _] => wanted.to_vec(),
            // [texts, padded tokens, cols]: real rows come first.
            [_, _, cols] => wanted[..values.len().min(wanted.len()) / cols * cols].to_vec(),
            // [texts, heads, padded tokens, padded tokens]
            [_, heads, padded, _] => {
                let len = ((values.len() / heads.max(1)) as f64).sqrt().round() as usize;
                let keep = |head: usize, row: usize| &wanted[(head * padded + row) * padded..][..len.min(padded)];
                (0..heads).flat_map(|head| (0..len.min(padded)).flat_map(move |row| keep(head, row).to_vec())).collect()
            }
            _ => Vec::new(),
        };
        if rows.len() != values.len() || rows.is_empty() {
            return (f64::NAN, 0.0);
        }
        let here = largest_difference(values.iter().zip(&rows));
        // f64::max would drop a NaN.
        error = if here.is_nan() || error.is_nan() { f64::NAN } else { error.max(here) };
        largest = rows.iter().fold(largest, |largest, value| largest.max(f64::from(value.abs())));
    }
    (error, largest)
}

fn largest_difference<'a>(pairs: impl Iterator<Item = (&'a f32, &'a f32)>) -> f64 {
    let mut largest = 0.0f64;
    for (a, b) in pairs {
        let difference = (f64::from(*a) - f64::from(*b)).abs();
        if difference.is_nan() {
            return f64::NAN;
        }
        largest = largest.max(difference);
    }
    largest
}
