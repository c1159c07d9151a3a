//! A StaticEmbedding module of sentence-transformers: a table of token vectors and a tokenizer, nothing else. model2vec writes the
//! same, and in its smaller models a row for several tokens and a weight for each token; here those become one row a token.

use super::Weights;
use super::files::{Files, read_all};
use super::overlay::Overlay;
use super::weights::{StoredType, Tensor, widen};
use crate::error::{Error, Result};
use crate::model::{Config, Family};
use safetensors::tensor::Dtype;
use std::collections::HashMap;
use std::sync::Arc;

/// The table's name in plans.
const WORDS: &str = "embeddings.word_embeddings.weight";

/// Tokens of the longest text, where tokenizer.json says nothing; sentence-transformers has no limit, but a text must fit a
/// device's memory.
const MAX_TOKENS: usize = 1 << 17;

/// Files that are in memory alone. No checkpoint can name them: a slash comes first.
const NO_TOKENS_FILE: &str = "/a text without tokens";
const FOLDED_FILE: &str = "/the table by tokens";

/// tokenizer.json, which alone is read, and the longest text that it lets through.
pub(super) fn tokenizer(files: &dyn Files, root: &str) -> Result<(Vec<u8>, usize)> {
    let name = format!("{root}tokenizer.json");
    let Some(bytes) = read_all(files, &name)? else {
        return Err(Error::model_file(format!(
            "cannot open the checkpoint {}: its modules.json names a StaticEmbedding, but there is no {name}, the tokenizer \
             it needs",
            files.location()
        )));
    };
    // The one setting that the tokenizer's loader leaves to whoever cuts. Source: `Tokenizer.encode_batch`, which sentence-
    // transformers calls on the tokenizer as it is.
    let json = super::json::parse(&bytes, &files.describe(&name))?;
    let cut = json.pointer("/truncation/max_length").and_then(serde_json::Value::as_u64);
    let max_tokens = cut.and_then(|cut| usize::try_from(cut).ok()).filter(|cut| *cut > 0);
    Ok((bytes.to_vec(), max_tokens.map_or(MAX_TOKENS, |cut| cut.min(MAX_TOKENS))))
}

/// Finds the table, and gives each token its row.
///
/// # Errors
/// There is no table, or what goes with it does not fit it.
pub(super) fn open(
    files: Arc<dyn Files>,
    root: &str,
    max_tokens: usize,
) -> Result<(Arc<dyn Files>, Config, Weights)> {
    let mut weights = Weights::open(files.clone(), Family::Static, root)?;
    let mut changed = HashMap::new();
    let table = match (weights.remove("embedding.weight"), weights.remove("embeddings")) {
        (Some(table), _) => table,
        (None, Some(table)) => {
            let (mapping, scales) = (weights.remove("mapping"), weights.remove("weights"));
            match (&mapping, &scales) {
                (None, None) => table,
                _ => {
                    let (folded, bytes) = fold(&*files, &table, mapping.as_ref(), scales.as_ref())?;
                    changed.insert(FOLDED_FILE.to_owned(), bytes);
                    folded
                }
            }
        }
        (None, None) => {
            return Err(Error::model_file(format!(
                "cannot read the weights of {}: a StaticEmbedding has a tensor embedding.weight (embeddings in models of \
                 model2vec), found {}",
                files.location(),
                weights.names().take(5).collect::<Vec<_>>().join(", ")
            )));
        }
    };
    let &[vocab, hidden] = &table.shape[..] else { return Err(wrong(&*files, &table, "[tokens, columns]")) };
    if vocab == 0 || hidden == 0 || u32::try_from(vocab).is_err() {
        return Err(wrong(&*files, &table, "at least one token and one column"));
    }
    changed.insert(NO_TOKENS_FILE.to_owned(), vec![0; 4 * hidden]);
    weights.put(WORDS, table);
    weights.put(
        Config::NO_TOKENS,
        Tensor {
            file: NO_TOKENS_FILE.into(),
            stored_name: Config::NO_TOKENS.to_owned(),
            dtype: Dtype::F32,
            shape: vec![1, hidden],
            range: 0..4 * hidden as u64,
        },
    );
    let config = Config {
        family: Family::Static,
        architectures: vec![],
        head_dim: hidden,
        max_positions: max_tokens,
        max_tokens,
        type_vocab: 0,
        has_pooler: false,
        ..Config::bert(hidden, 0, 1, 0, vocab)
    };
    let files: Arc<dyn Files> = Arc::new(Overlay { files, changed });
    Ok((files.clone(), config, weights.with_files(files)))
}

/// `embeddings[mapping[token]] * weights[token]`, as f32. Source: `StaticEmbedding._fold_model2vec_weights`.
fn fold(
    files: &dyn Files,
    table: &Tensor,
    mapping: Option<&Tensor>,
    scales: Option<&Tensor>,
) -> Result<(Tensor, Vec<u8>)> {
    let &[rows, cols] = &table.shape[..] else { return Err(wrong(files, table, "[rows, columns]")) };
    let values = numbers(files, table)?;
    let mapping = mapping.map(|mapping| indices(files, mapping, rows)).transpose()?;
    let tokens = mapping.as_ref().map_or(rows, Vec::len);
    let scales = match scales {
        None => None,
        Some(scales) if scales.shape == [tokens] => Some(numbers(files, scales)?),
        Some(scales) => return Err(wrong(files, scales, &format!("[{tokens}], a weight for each token"))),
    };
    let mut bytes = Vec::with_capacity(4 * tokens * cols);
    for token in 0..tokens {
        let row = mapping.as_ref().map_or(token, |mapping| mapping[token]);
        let scale = scales.as_ref().map_or(1.0, |scales| scales[token]);
        bytes.extend(
            values[row * cols..][..cols].iter().flat_map(|value| ((value * scale) as f32).to_le_bytes()),
        );
    }
    let folded = Tensor {
        file: FOLDED_FILE.into(),
        stored_name: table.stored_name.clone(),
        dtype: Dtype::F32,
        shape: vec![tokens, cols],
        range: 0..bytes.len() as u64,
    };
    Ok((folded, bytes))
}

/// The numbers of a tensor; integers of 8 bits, too, which weights of tokens turn into numbers.
fn numbers(files: &dyn Files, tensor: &Tensor) -> Result<Vec<f64>> {
    let bytes = files.read(&tensor.file, tensor.range.clone())?;
    Ok(match tensor.dtype {
        Dtype::F64 => bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect(),
        Dtype::I8 => bytes.iter().map(|byte| f64::from(*byte as i8)).collect(),
        dtype => {
            let stored = StoredType::from_dtype(dtype).ok_or_else(|| wrong_type(files, tensor))?;
            let mut values = Vec::with_capacity(tensor.len());
            widen(stored, &bytes, &mut values);
            values.into_iter().map(f64::from).collect()
        }
    })
}

/// The row of each token, all of them below `rows`.
fn indices(files: &dyn Files, tensor: &Tensor, rows: usize) -> Result<Vec<usize>> {
    if tensor.shape.len() != 1 {
        return Err(wrong(files, tensor, "one row number for each token"));
    }
    let bytes = files.read(&tensor.file, tensor.range.clone())?;
    let found: Vec<i64> = match tensor.dtype {
        Dtype::I64 => bytes.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect(),
        Dtype::I32 => bytes.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes).into()).collect(),
        Dtype::U32 => bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes).into()).collect(),
        Dtype::U16 => bytes.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes).into()).collect(),
        _ => return Err(wrong_type(files, tensor)),
    };
    let row = |row: i64| usize::try_from(row).ok().filter(|row| *row < rows);
    found
        .into_iter()
        .enumerate()
        .map(|(token, found)| {
            row(found).ok_or_else(|| {
                Error::model_file(format!(
                    "cannot read the tensor {} of {}: it gives token {token} the row {found}, but there are {rows} rows",
                    tensor.stored_name,
                    files.describe(&tensor.file)
                ))
            })
        })
        .collect()
}

fn wrong(files: &dyn Files, tensor: &Tensor, expected: &str) -> Error {
    Error::model_file(format!(
        "cannot read the tensor {} of {}: expected the shape {expected}, found {:?}",
        tensor.stored_name,
        files.describe(&tensor.file),
        tensor.shape
    ))
}

fn wrong_type(files: &dyn Files, tensor: &Tensor) -> Error {
    Error::model_file(format!(
        "cannot read the tensor {} of {}: numbers of the type {:?} are not read in its place",
        tensor.stored_name,
        files.describe(&tensor.file),
        tensor.dtype
    ))
}
