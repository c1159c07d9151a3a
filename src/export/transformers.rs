//! Encoder and head as a sequence classifier of transformers.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Map, Value, json};

use super::folder::write_folder;
use super::parts::{Affine, LinearHeadParts};
use crate::checkpoint::{Bytes, Checkpoint};
use crate::encoder::EmbeddingRecipe;
use crate::error::{Error, Result};
use crate::model::Pooling;
use crate::model::{Family, HeadKind};

/// Scale at which logits pass through tanh; a power of two, so that scaling rounds nothing. `tanh(s z) / s` differs from
/// z by a factor of `1 - (s z)² / 3`: with 2^-16 that is 1e-8 for a logit of 12, below f32's rounding, while `s z` stays
/// large enough for a tanh made of exponentials to keep its digits.
const TANH_SCALE: f64 = 1.0 / 65536.0;

/// What a tokenizer may be made of, besides tokenizer_config.json.
const TOKENIZER_FILES: [&str; 10] = [
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "bpe.codes",
];

/// What [`transformers`] wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The folder.
    pub folder: PathBuf,
    /// The class that loads it: `BertForSequenceClassification`.
    pub class: String,
    /// What the user should know about it.
    pub notes: Vec<String>,
}

/// What transformers' sequence classifier computes from the first token's last hidden state:
/// `out(activation(dense(h)))`. Tensor names without `.weight` and `.bias`.
struct Classifier {
    dense: &'static str,
    activation: Between,
    out: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Between {
    Tanh,
    Relu,
    Gelu,
}

/// A tensor to be written.
struct Tensor<'a> {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Bytes<'a>,
}

/// Writes the encoder in `checkpoint_folder` and a linear head to the folder `out`, as a `BertForSequenceClassification`
/// (or its like for the family) that transformers loads and that gives the head's logits. The folder holds config.json,
/// model.safetensors, the tokenizer's files and, if given, `card` as README.md; it appears as a whole or not at all.
///
/// Mean, scale and temperature are folded into the head; a binary head's logit z becomes the two labels' -z/2 and z/2.
///
/// Those classifiers compute `out(activation(dense(h)))` from the first token's hidden state h, so that two poolings can be
/// expressed, of the last layer and not normalised:
///
/// - `pooler`, where the activation is tanh (all but DistilBERT and ELECTRA): `dense` is the checkpoint's pooler. Equal.
/// - `cls`: `dense` computes the logits themselves and `out` undoes the activation. With ReLU (DistilBERT)
///   `relu(z) - relu(-z) = z`; with GELU (ELECTRA) `gelu(z) - gelu(-z) = z`; both need twice as many columns as labels. With
///   tanh the logits pass at a scale of 2^-16, where tanh is linear to f32's precision. BERT's and ALBERT's pooler is
///   overwritten by this.
///
/// # Errors
/// [`is_input`](Error::is_input): the embeddings of `recipe` cannot be expressed (another pooling or layer, normalised, a
/// prompt, windows, ModernBERT), belong to another checkpoint or have another width; `out` is neither new nor empty.
/// Errors of reading the checkpoint and of writing.
///
/// Source: `BertForSequenceClassification`, `RobertaClassificationHead`, `ElectraClassificationHead`,
/// `DistilBertForSequenceClassification` of transformers.
pub fn transformers(
    out: impl AsRef<Path>,
    checkpoint_folder: impl AsRef<Path>,
    parts: &LinearHeadParts,
    recipe: &EmbeddingRecipe,
    card: Option<&str>,
) -> Result<Exported> {
    let (out, source) = (out.as_ref(), checkpoint_folder.as_ref());
    let checkpoint = Checkpoint::open(source)?;
    let folded = parts.folded()?;
    if parts.one_vs_rest {
        return Err(Error::input(
            "cannot export the head: its probabilities are one-versus-rest, and transformers takes a softmax; use the head file",
        ));
    }
    let (classifier, pooling) = expressible(&checkpoint, recipe)?;
    let columns = recipe.dimensions.or(recipe.truncate_dim).unwrap_or(checkpoint.config().hidden);
    if parts.features() != columns {
        return Err(Error::input(format!(
            "cannot export the head: it takes embeddings of width {}, the encoder gives {columns}",
            parts.features()
        )));
    }
    let tensors = tensors(&checkpoint, &classifier, pooling, &folded)?;
    let class = format!("{}ForSequenceClassification", checkpoint.config().family.class_prefix());
    let source = source.join(checkpoint.modules().map_or("", |modules| &modules.transformer));
    let config = config(&source, &class, parts)?;
    let tokenizer_config = tokenizer_config(&checkpoint, recipe);
    write_folder(out, |folder| {
        write_tensors(&folder.join("model.safetensors"), &tensors)?;
        write(&folder.join("config.json"), pretty(&config).as_bytes())?;
        write(&folder.join("tokenizer_config.json"), pretty(&tokenizer_config).as_bytes())?;
        if let Some(card) = card {
            write(&folder.join("README.md"), card.as_bytes())?;
        }
        TOKENIZER_FILES.iter().try_for_each(|name| copy(&source.join(name), &folder.join(name)))
    })?;
    Ok(Exported { folder: out.to_owned(), class, notes: notes(&checkpoint, &classifier, pooling, parts) })
}

/// The classifier of the checkpoint's family, if it can express what the head was trained on.
fn expressible(checkpoint: &Checkpoint, recipe: &EmbeddingRecipe) -> Result<(Classifier, Pooling)> {
    let config = checkpoint.config();
    let class = format!("{}ForSequenceClassification", config.family.class_prefix());
    let refuse = |why: String| Err(Error::input(format!("cannot export the head as {class}: {why}")));
    if recipe.checkpoint != *checkpoint.fingerprint()? {
        return refuse(format!(
            "it was trained on another encoder than the one in {}",
            checkpoint.location()
        ));
    }
    let Some(classifier) = Classifier::of(config.family) else {
        return refuse(
            "between encoder and classifier it has a LayerNorm, through which a linear head cannot pass"
                .into(),
        );
    };
    let pooling = match recipe.pooling[..] {
        [Pooling::Pooler] if classifier.activation != Between::Tanh => {
            return refuse("it has no pooler; train the head with the pooling cls".into());
        }
        [Pooling::Pooler] if !checkpoint.heads().has(HeadKind::Pooler) => {
            return refuse("the checkpoint has no pooler; train the head with the pooling cls".into());
        }
        [pooling @ (Pooling::Cls | Pooling::Pooler)] => pooling,
        _ => {
            let names: Vec<&str> = recipe.pooling.iter().map(|pooling| pooling.name()).collect();
            return refuse(format!(
                "it reads the first token alone, the head was trained on the pooling {}; train one with the pooling cls{}, or \
                 use the head file, which takes any pooling",
                names.join(","),
                if classifier.activation == Between::Tanh { " or pooler" } else { "" }
            ));
        }
    };
    // BertModel's pooler is of the last layer whatever layers are asked for.
    if recipe.layers != [config.layers] {
        return refuse(format!(
            "it reads the last layer, {}; the head was trained on {:?}",
            config.layers, recipe.layers
        ));
    }
    for (is_so, what) in [
        (
            recipe.normalize,
            "on vectors scaled to unit length, which no layer of it does; train with --no-normalize",
        ),
        (!recipe.dense.is_empty(), "behind a Dense module"),
        (recipe.prompt.is_some(), "with a prompt before every text"),
        (
            checkpoint.modules().is_some_and(|modules| modules.lowercase),
            "on texts in small letters, which sentence-transformers makes of them and transformers does not",
        ),
        (
            recipe.window_overlap.is_some(),
            "over windows of long texts, which it cuts; train with --truncate cut",
        ),
    ] {
        if is_so {
            return refuse(format!("the head was trained {what}"));
        }
    }
    Ok((classifier, pooling))
}

impl Classifier {
    fn of(family: Family) -> Option<Self> {
        let (dense, activation, out) = match family {
            Family::Bert => ("bert.pooler.dense", Between::Tanh, "classifier"),
            Family::Albert => ("albert.pooler", Between::Tanh, "classifier"),
            Family::Roberta | Family::Camembert | Family::XlmRoberta | Family::MpNet => {
                ("classifier.dense", Between::Tanh, "classifier.out_proj")
            }
            Family::Electra => ("classifier.dense", Between::Gelu, "classifier.out_proj"),
            Family::DistilBert => ("pre_classifier", Between::Relu, "classifier"),
            Family::ModernBert | Family::Static => return None,
        };
        Some(Classifier { dense, activation, out })
    }

    /// `dense` and `out` such that `out(activation(dense(h))) = head(h)`, each with `hidden` inputs.
    fn pass_through(&self, head: &Affine, hidden: usize) -> Result<[Affine; 2]> {
        let labels = head.bias.len();
        let columns = head.weights.len() / labels;
        // Each label's logit enters `dense` once per sign: (rows of dense, what the row is times, what undoes it).
        let signs: &[(f64, f64)] = match self.activation {
            Between::Tanh => &[(TANH_SCALE, 1.0 / TANH_SCALE)],
            Between::Relu | Between::Gelu => &[(1.0, 1.0), (-1.0, -1.0)],
        };
        if labels * signs.len() > hidden {
            return Err(Error::input(format!(
                "cannot export the head: {labels} labels over the pooling cls need {} columns between encoder and \
                 classifier, there are {hidden}",
                labels * signs.len()
            )));
        }
        let mut dense = Affine { weights: vec![0.0; hidden * hidden], bias: vec![0.0; hidden] };
        let mut out = Affine { weights: vec![0.0; labels * hidden], bias: vec![0.0; labels] };
        for (at, (enter, leave)) in signs.iter().enumerate() {
            for label in 0..labels {
                let column = at * labels + label;
                let row = &head.weights[label * columns..][..columns];
                dense.weights[column * hidden..][..columns]
                    .iter_mut()
                    .zip(row)
                    .for_each(|(to, w)| *to = enter * w);
                dense.bias[column] = enter * head.bias[label];
                out.weights[label * hidden + column] = *leave;
            }
        }
        Ok([dense, out])
    }
}

impl Affine {
    /// The same with zero weights for further inputs.
    fn widened(&self, inputs: usize) -> Affine {
        let columns = self.weights.len() / self.bias.len();
        let padding = std::iter::repeat_n(0.0, inputs - columns);
        let rows = self.weights.chunks_exact(columns);
        Affine {
            weights: rows.flat_map(|row| row.iter().copied().chain(padding.clone())).collect(),
            bias: self.bias.clone(),
        }
    }

    fn tensors(&self, name: &str) -> Result<[Tensor<'static>; 2]> {
        let rows = self.bias.len();
        let tensor = |end: &str, values: &[f64], shape: Vec<usize>| {
            let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
            if values.iter().any(|value| !value.is_finite()) {
                return Err(Error::input(format!(
                    "cannot export the head: {name}.{end} is beyond the range of f32"
                )));
            }
            let bytes = Bytes::Owned(values.iter().flat_map(|value| value.to_le_bytes()).collect());
            Ok(Tensor { name: format!("{name}.{end}"), dtype: Dtype::F32, shape, bytes })
        };
        Ok([
            tensor("weight", &self.weights, vec![rows, self.weights.len() / rows])?,
            tensor("bias", &self.bias, vec![rows])?,
        ])
    }
}

fn tensors<'a>(
    checkpoint: &'a Checkpoint,
    classifier: &Classifier,
    pooling: Pooling,
    head: &Affine,
) -> Result<Vec<Tensor<'a>>> {
    let (config, weights) = (checkpoint.config(), checkpoint.weights());
    let stored = |name: &str, new_name: String| {
        let (dtype, shape, bytes) = weights.stored(name)?;
        Ok(Tensor { name: new_name, dtype, shape: shape.to_vec(), bytes })
    };
    let mut tensors = weights
        .encoder_names()
        .filter(|name| !name.starts_with("pooler."))
        .map(|name| stored(name, format!("{}{name}", config.family.base_prefix())))
        .collect::<Result<Vec<_>>>()?;
    let out = if pooling == Pooling::Pooler {
        let pooler = if config.family == Family::Albert { "pooler" } else { "pooler.dense" };
        for end in ["weight", "bias"] {
            tensors.push(stored(&format!("{pooler}.{end}"), format!("{}.{end}", classifier.dense))?);
        }
        head.widened(config.hidden)
    } else {
        let [dense, out] = classifier.pass_through(head, config.hidden)?;
        tensors.extend(dense.tensors(classifier.dense)?);
        out
    };
    tensors.extend(out.tensors(classifier.out)?);
    Ok(tensors)
}

/// config.json of the encoder, made that of a classifier. `num_labels` is not written: transformers takes it from
/// `id2label` and never stores it.
fn config(source: &Path, class: &str, parts: &LinearHeadParts) -> Result<Value> {
    let path = source.join("config.json");
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Error::model_file(format!("cannot read {}", path.display())).with_source(error)
    };
    let bytes = fs::read(&path).map_err(|error| failed(error.into()))?;
    let mut config: Map<String, Value> =
        serde_json::from_slice(&bytes).map_err(|error| failed(error.into()))?;
    // Of another head, or an old name of what is set below.
    for stale in ["num_labels", "_num_labels", "finetuning_task", "torch_dtype"] {
        config.shift_remove(stale);
    }
    let labels = || parts.labels.iter().enumerate();
    let id2label: Map<String, Value> = labels().map(|(id, label)| (id.to_string(), json!(label))).collect();
    let label2id: Map<String, Value> = labels().map(|(id, label)| (label.clone(), json!(id))).collect();
    config.insert("architectures".into(), json!([class]));
    config.insert("id2label".into(), id2label.into());
    config.insert("label2id".into(), label2id.into());
    config.insert("problem_type".into(), json!(parts.problem.name()));
    // Whatever the weights are stored in: the head was trained on embeddings computed in f32, and is stored in it.
    config.insert("dtype".into(), json!("float32"));
    Ok(config.into())
}

/// The checkpoint's, with the length at which the head's training cut the texts.
fn tokenizer_config(checkpoint: &Checkpoint, recipe: &EmbeddingRecipe) -> Value {
    let mut config = checkpoint.tokenizer_files().config.as_object().cloned().unwrap_or_default();
    config.insert("model_max_length".into(), json!(recipe.max_tokens));
    config.into()
}

fn notes(
    checkpoint: &Checkpoint,
    classifier: &Classifier,
    pooling: Pooling,
    parts: &LinearHeadParts,
) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |is_so: bool, text: &str| {
        if is_so {
            notes.push(text.to_owned());
        }
    };
    note(
        parts.bias.len() < parts.labels.len(),
        "the binary head's logit z is written as the two logits -z/2 and z/2",
    );
    note(
        pooling == Pooling::Cls && classifier.activation == Between::Tanh,
        "the logits pass through tanh at a scale of 2^-16: run it in float32, in half precision they lose their digits",
    );
    note(
        checkpoint.modules().is_some_and(|modules| modules.lowercase),
        "sentence-transformers lower-cases this checkpoint's texts before the tokenizer; do so before calling the exported model",
    );
    notes
}

fn write_tensors(path: &Path, tensors: &[Tensor<'_>]) -> Result<()> {
    let failed = |error: safetensors::SafeTensorError| {
        Error::io(format!("cannot write {}", path.display())).with_source(error)
    };
    let views = tensors
        .iter()
        .map(|tensor| {
            Ok((
                &tensor.name,
                TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).map_err(failed)?,
            ))
        })
        .collect::<Result<Vec<_>>>()?;
    // transformers refuses a file that does not say which framework's layout it has.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(views, Some(metadata), path).map_err(failed)
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes)
        .map_err(|error| Error::io(format!("cannot write {}", path.display())).with_source(error))
}

/// Copies a file if it is there.
fn copy(from: &Path, to: &Path) -> Result<()> {
    match fs::read(from) {
        Ok(bytes) => write(to, &bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::model_file(format!("cannot read {}", from.display())).with_source(error)),
    }
}
