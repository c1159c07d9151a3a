//! Proof: an encoder's outputs against what transformers computes in float64 from the same checkpoint.
//!
//! A *golden* is a checkpoint folder with two more files: `cases.json` (texts, and the largest error of PyTorch's own
//! float32 run per tensor) and `cases.safetensors` (expected values, named `CASE/OUTPUT`).

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::encoder::{EmbedOptions, Encoder, Prompt, Text, TokenRequest};
use crate::error::{Error, Result};
use crate::model::HeadKind;
use crate::plan::HeadOutput;
use crate::plan::kernels::WeightType;

/// What outputs are held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Contract {
    /// Everything is computed in f32 from the checkpoint's own numbers: four times PyTorch's own float32 error.
    F32,
    /// Weights are rounded to f16, or what is multiplied with them is (by adapters that multiply f16): each row, as a vector, is at most 1.4 %
    /// of its length from the expected one, which is a cosine of 0.9999; of sentence embeddings no coordinate differs by more than
    /// 2e-3 either.
    F16,
}

impl Contract {
    /// The one that holds for an encoder. f16 weights of a checkpoint that stores them so lose nothing, unless an adapter rounds what it
    /// multiplies with them.
    pub fn of(encoder: &Encoder) -> Self {
        let exact = encoder.checkpoint().weights().matrices_are_f16() && !encoder.device().multiplies_f16();
        match encoder.weight_type() {
            WeightType::F16 if !exact => Contract::F16,
            _ => Contract::F32,
        }
    }

    /// The name that reports give it.
    pub fn name(self) -> &'static str {
        match self {
            Contract::F32 => "f32",
            Contract::F16 => "f16",
        }
    }
}

/// How far a row may be from the expected one in f16, as a share of its length and at least of 1: a cosine of 0.9999.
const DISTANCE: f64 = 1.4e-2;
/// How far a coordinate of a unit vector may be from the expected one in f16.
const COORDINATE: f64 = 2e-3;

/// One tensor of one golden.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TensorComparison {
    /// `CASE/OUTPUT`.
    pub tensor: String,
    /// Largest absolute difference over real rows. Under f16's contract the largest distance of a row from the expected one, as a share of
    /// its length and at least of 1; for sentence embeddings, if that is larger, seven times the largest absolute difference, likewise, so
    /// that 2e-3 there are the 1.4e-2 here. NaN where the shapes differ or a value is no number.
    pub error: f64,
    /// PyTorch's own float32 error there.
    pub torch_error: f64,
    /// Which contract holds.
    pub contract: Contract,
    /// What it allows.
    pub allowed: f64,
    /// Rows left out because the expected values themselves are NaN: PyTorch's eager sliding-window attention makes NaN out
    /// of padding, which then reaches real rows. A packed batch has no padding.
    pub rows_left_out: usize,
}

/// Largest error over the rows that could be compared.
#[derive(Clone, Copy, Default)]
struct Difference {
    error: f64,
    largest: f64,
    /// Of a row from the expected one, as a share of its length and at least of 1.
    distance: f64,
    /// The largest absolute difference, likewise.
    coordinate: f64,
    rows_left_out: usize,
}

impl TensorComparison {
    /// Whether the contract holds. NaN fails.
    pub fn holds(&self) -> bool {
        self.error <= self.allowed
    }

    fn new(tensor: String, torch_error: f64, contract: Contract, difference: Difference) -> Self {
        let Difference { error, largest, distance, coordinate, rows_left_out } = difference;
        let (error, allowed) = match contract {
            // Four times PyTorch's float32 error, with a floor where that is tiny by luck.
            Contract::F32 => (error, (4.0 * torch_error).max(4e-6 * largest.max(1.0))),
            Contract::F16 if tensor.ends_with("sentence_embedding") => {
                (worse(distance, coordinate * (DISTANCE / COORDINATE)), DISTANCE)
            }
            Contract::F16 => (distance, DISTANCE),
        };
        TensorComparison { tensor, error, torch_error, contract, allowed, rows_left_out }
    }
}

/// The larger one; NaN if there is one, which `f64::max` would drop.
fn worse(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

#[derive(Deserialize)]
struct CaseFile {
    cases: BTreeMap<String, Case>,
    /// Null where PyTorch's own run gave NaN.
    torch_float32_error: BTreeMap<String, Option<f64>>,
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
) -> Result<Vec<TensorComparison>> {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path).map_err(|error| {
            Error::model_file(format!("cannot read {}; a golden folder has it", path.display()))
                .with_source(error)
        })
    };
    let wrong = |what: &str, error: Box<dyn std::error::Error + Send + Sync>| {
        Error::model_file(format!("cannot read {what} in {}", folder.display())).with_source(error)
    };
    // Python writes NaN, which JSON does not have.
    let text = String::from_utf8(read("cases.json")?).map_err(|error| wrong("cases.json", error.into()))?;
    let cases: CaseFile = serde_json::from_str(&text.replace(": NaN", ": null"))
        .map_err(|error| wrong("cases.json", error.into()))?;
    let bytes = read("cases.safetensors")?;
    let tensors =
        SafeTensors::deserialize(&bytes).map_err(|error| wrong("cases.safetensors", error.into()))?;
    let encoder = build(Checkpoint::open(folder)?)?;
    let contract = Contract::of(&encoder);
    let mut comparisons = Vec::new();
    for (name, case) in &cases.cases {
        let mut expected = BTreeMap::new();
        for (key, tensor) in tensors.iter() {
            if let Some(output) = key.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix('/')) {
                expected.insert(
                    output.to_owned(),
                    Expected {
                        shape: tensor.shape().to_vec(),
                        values: bytemuck::pod_collect_to_vec(tensor.data()),
                    },
                );
            }
        }
        for (output, actual) in actual(&encoder, case, expected.keys())? {
            let key = format!("{name}/{output}");
            // Where PyTorch's padded run is NaN its error is taken from the case of a single text, which has no padding.
            let known = |key: &str| cases.torch_float32_error.get(key).copied().flatten();
            let torch_error = known(&key).or_else(|| known(&format!("one/{output}"))).ok_or_else(|| {
                Error::model_file(format!(
                    "cases.json in {} has no torch_float32_error of {key}",
                    folder.display()
                ))
            })?;
            let difference = difference(&expected[&output], &actual);
            comparisons.push(TensorComparison::new(key, torch_error, contract, difference));
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

/// Sentence embeddings of the real all-MiniLM-L6-v2 against its golden: unit vectors, at most 2e-6 apart in any coordinate, with f16
/// 2e-3.
///
/// # Errors
/// As [`golden`].
pub fn sentence_golden(folder: &Path, encoder: &Encoder) -> Result<TensorComparison> {
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
    let actual = encoder.embed(cases.texts.iter().map(String::as_str), &EmbedOptions::default())?;
    let expected = Expected { shape: tensor.shape().to_vec(), values: expected };
    let rows: Vec<Vec<f32>> = actual.rows().map(<[f32]>::to_vec).collect();
    let (name, contract) = ("sentence_embedding".to_owned(), Contract::of(encoder));
    let found =
        TensorComparison::new(name, cases.torch_float32_error, contract, difference(&expected, &rows));
    Ok(match contract {
        Contract::F32 => TensorComparison { allowed: 2e-6, ..found },
        Contract::F16 => found,
    })
}

/// Values per text, row-major without padding.
type Actual = Vec<Vec<f32>>;

fn actual<'a>(
    encoder: &Encoder,
    case: &Case,
    outputs: impl Iterator<Item = &'a String>,
) -> Result<Vec<(String, Actual)>> {
    let inputs: Vec<Text> = match &case.text_pairs {
        Some(pairs) => {
            case.texts.iter().zip(pairs).map(|(a, b)| Text::from((a.as_str(), b.as_str()))).collect()
        }
        None => case.texts.iter().map(|text| text.as_str().into()).collect(),
    };
    let prompt = case.prompt_name.clone().map_or(Prompt::Default, Prompt::Named);
    let options = EmbedOptions { prompt, ..EmbedOptions::default() };
    let layers = encoder.config().layers;
    let tokens = |request: &TokenRequest| encoder.token_outputs(inputs.clone(), request, &options);
    let mut found = Vec::new();
    for output in outputs {
        let (kind, index) = match output.split_once('.') {
            Some((kind, index)) => (kind, index.parse().ok()),
            None => (output.as_str(), None),
        };
        let none = TokenRequest::default();
        let values: Actual = match (kind, index) {
            ("sentence_embedding", None) => {
                let rows = encoder.embed(inputs.clone(), &options)?;
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
            _ => {
                return Err(Error::model_file(format!(
                    "a golden names the output {output:?}, which is not known here"
                )));
            }
        };
        found.push((output.clone(), values));
    }
    Ok(found)
}

/// Logits of the head that the output's name, or else the checkpoint's only head, stands for.
fn logits(encoder: &Encoder, kind: &str, inputs: &[Text], options: &EmbedOptions) -> Result<Actual> {
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
        return encoder.masked_lm_logits(inputs.to_vec(), options, every);
    }
    let request = TokenRequest { head: Some(head), ..TokenRequest::default() };
    let rows = encoder.token_outputs(inputs.to_vec(), &request, options)?;
    Ok(rows.into_iter().map(|row| row.logits.unwrap_or_default()).collect())
}

/// Compares real rows; the error is NaN if shapes do not fit or a value of ours is NaN.
fn difference(expected: &Expected, actual: &[Vec<f32>]) -> Difference {
    let unfit =
        Difference { error: f64::NAN, distance: f64::NAN, coordinate: f64::NAN, ..Difference::default() };
    if expected.shape.first() != Some(&actual.len()) {
        return unfit;
    }
    let per_text: usize = expected.shape[1..].iter().product();
    let cols = expected.shape.last().copied().unwrap_or(1).max(1);
    let mut found = Difference::default();
    let mut rows_compared = 0;
    for (values, wanted) in actual.iter().zip(expected.values.chunks(per_text.max(1))) {
        // Rows of ours and of the expected tensor, side by side.
        let (rows, width): (Vec<&[f32]>, usize) = match expected.shape[..] {
            [_, _] => (vec![wanted], cols),
            // [texts, padded tokens, cols]: real rows come first.
            [_, _, _] => (wanted.chunks(cols).take(values.len() / cols).collect(), cols),
            // [texts, heads, padded tokens, padded tokens]
            [_, heads, padded, _] => {
                let len = ((values.len() / heads.max(1)) as f64).sqrt().round() as usize;
                let all = (0..heads).flat_map(|head| (0..len).map(move |row| (head * padded + row) * padded));
                (all.filter_map(|start| wanted.get(start..start + len)).collect(), len)
            }
            _ => return unfit,
        };
        if rows.is_empty() || rows.len() * width != values.len() {
            return unfit;
        }
        for (value, row) in values.chunks(width).zip(rows) {
            if row.iter().all(|value| value.is_nan()) {
                found.rows_left_out += 1;
                continue;
            }
            rows_compared += 1;
            let error = largest_difference(value.iter().zip(row));
            let scale = length(row.iter().map(|value| f64::from(*value))).max(1.0);
            let apart = length(value.iter().zip(row).map(|(a, b)| f64::from(*a) - f64::from(*b)));
            found.error = worse(found.error, error);
            found.coordinate = worse(found.coordinate, error / scale);
            found.distance = worse(found.distance, apart / scale);
            found.largest =
                row.iter().fold(found.largest, |largest, value| largest.max(f64::from(value.abs())));
        }
    }
    if rows_compared == 0 { unfit } else { found }
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

fn length(row: impl Iterator<Item = f64>) -> f64 {
    row.map(|value| value * value).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(contract: Contract, tensor: &str, actual: &[f32], expected: &[f32]) -> TensorComparison {
        let expected = Expected { shape: vec![1, expected.len()], values: expected.to_vec() };
        TensorComparison::new(tensor.into(), 1e-7, contract, difference(&expected, &[actual.to_vec()]))
    }

    #[test]
    fn contracts_hold_as_far_as_they_promise() {
        // f32: 4e-6 of the largest value where PyTorch's own error is tiny.
        let f32s = |by: f32| compared(Contract::F32, "one/logits", &[2.0 + by, 0.0], &[2.0, 0.0]);
        assert!(f32s(7e-6).holds() && !f32s(9e-6).holds() && !f32s(f32::NAN).holds());
        // f16: 1.4 % of a row's length, whichever way, and of 1 where it is shorter.
        let f16s = |by: f32, x: f32| compared(Contract::F16, "one/logits", &[x, by], &[x, 0.0]);
        assert!(f16s(0.13, 10.0).holds() && !f16s(0.15, 10.0).holds());
        assert!(f16s(0.013, 0.1).holds() && !f16s(0.015, 0.1).holds());
        assert!(!f16s(f32::NAN, 1.0).holds());
        // Of a sentence embedding also 2e-3 in a coordinate.
        let unit = |by: f32| compared(Contract::F16, "one/sentence_embedding", &[1.0, by], &[1.0, 0.0]);
        assert!(unit(1.9e-3).holds() && !unit(2.1e-3).holds() && !unit(f32::NAN).holds());
    }
}
