//! Tensors of a checkpoint: found in one safetensors file or in shards, checked, converted to f32.

use super::files::{Files, check_relative};
use super::json::Object;
use super::names;
use crate::error::{Error, Result};
use crate::model::Family;
use crate::model::{WeightSource, WeightSpec};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use safetensors::tensor::{Dtype, Metadata};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// A header longer than this is no header. Source: `MAX_HEADER_SIZE` of safetensors.
const HEADER_LIMIT_BYTES: u64 = 100_000_000;

/// How numbers are stored in a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StoredType {
    /// 32-bit floating point.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    Bf16,
    /// 64-bit floating point, rounded to f32 when it is read.
    F64,
}

impl StoredType {
    pub(super) fn from_dtype(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(StoredType::F32),
            Dtype::F16 => Some(StoredType::F16),
            Dtype::BF16 => Some(StoredType::Bf16),
            Dtype::F64 => Some(StoredType::F64),
            _ => None,
        }
    }

    /// `f32`, `f16`, `bf16` or `f64`.
    pub fn name(self) -> &'static str {
        match self {
            StoredType::F32 => "f32",
            StoredType::F16 => "f16",
            StoredType::Bf16 => "bf16",
            StoredType::F64 => "f64",
        }
    }

    /// Length of one number in bytes.
    pub fn size_bytes(self) -> usize {
        match self {
            StoredType::F32 => 4,
            StoredType::F16 | StoredType::Bf16 => 2,
            StoredType::F64 => 8,
        }
    }
}

impl fmt::Display for StoredType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where one tensor lies.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    /// The file's name in the checkpoint.
    pub(super) file: Arc<str>,
    /// The tensor's name in the file.
    pub(super) stored_name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// Bytes of the file.
    pub(super) range: Range<u64>,
}

impl Tensor {
    /// How many numbers it has.
    pub(super) fn len(&self) -> usize {
        // safetensors' validation has multiplied the shape without overflow.
        self.shape.iter().product()
    }
}

/// The tensors of a checkpoint, by the names that plans use: without the family's prefix (`bert.`), with
/// `LayerNorm.weight` for `LayerNorm.gamma`; a sentence-transformers module's tensors under its folder's name
/// (`2_Dense/linear.weight`).
///
/// Numbers are read when a plan asks for them; opening reads headers only.
#[derive(Clone)]
pub struct Weights {
    files: Arc<dyn Files>,
    family: Family,
    /// Folder of the transformer in the checkpoint, with a slash at the end; empty as a rule.
    root: String,
    tensors: BTreeMap<String, Tensor>,
}

impl Weights {
    /// Finds the tensors of the transformer in folder `root` of a checkpoint (empty, or with a slash at the end).
    pub(super) fn open(files: Arc<dyn Files>, family: Family, root: &str) -> Result<Self> {
        let mut weights = Weights { files, family, root: root.to_owned(), tensors: BTreeMap::new() };
        let single = format!("{root}{SINGLE}");
        if weights.files.len(&single)?.is_some() {
            for (name, tensor) in read_header(&*weights.files, &single)? {
                weights.insert(name, tensor);
            }
        } else if let Some(index) = Object::read(&*weights.files, &format!("{root}{INDEX}"))? {
            weights.open_shards(&index)?;
        } else {
            return Err(no_tensors(&*weights.files, root));
        }
        Ok(weights)
    }

    fn open_shards(&mut self, index: &Object) -> Result<()> {
        let map = index
            .object("weight_map")?
            .ok_or_else(|| index.wrong("weight_map", "an object from tensor names to files"))?;
        let mut shards: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, shard) in map.entries() {
            let shard = shard.as_str().ok_or_else(|| map.wrong(name, "a file name"))?;
            check_relative(shard, index.file())?;
            shards.entry(shard).or_default().push(name);
        }
        for (shard, names) in shards {
            let file = format!("{}{shard}", self.root);
            if self.files.len(&file)?.is_none() {
                return Err(Error::model_file(format!(
                    "cannot read the weights: {} names the shard {shard}, which is missing; expected {}. \
                     Download it again",
                    index.file(),
                    self.files.describe(&file)
                )));
            }
            let mut found: BTreeMap<String, Tensor> = read_header(&*self.files, &file)?.into_iter().collect();
            for name in names {
                let tensor = found.remove(name).ok_or_else(|| {
                    Error::model_file(format!(
                        "cannot read the weights: {} says that the tensor {name} is in {shard}, which does not \
                         have it; the shard and the index are of different versions",
                        index.file()
                    ))
                })?;
                self.insert(name.to_owned(), tensor);
            }
        }
        Ok(())
    }

    fn insert(&mut self, stored_name: String, tensor: Tensor) {
        let name = names::canonical(self.family, &stored_name);
        if names::is_unused_buffer(&name) {
            return;
        }
        // Where both `x` and `bert.x` are there, the one with the prefix is the encoder's.
        let prefixed = stored_name.starts_with(self.family.base_prefix());
        if prefixed || !self.tensors.contains_key(&name) {
            self.tensors.insert(name, tensor);
        }
    }

    /// Gives the word embeddings and the decoder's bias of a masked-language-model head the names that plans ask for, where
    /// the file has them under the other of their two names.
    ///
    /// The decoder's matrix is the word embeddings, and its bias a parameter of the head, unless the config unties them; a
    /// file may keep either name of a shared tensor (safetensors' `save_model` keeps one). Untied, the decoder's own bias
    /// is added. Source: `_tied_weights_keys` of transformers.
    pub(super) fn resolve_tied(&mut self, tied: bool) {
        let [words, decoder, bias, decoder_bias] = names::tied(self.family);
        if tied && !self.tensors.contains_key(words) {
            self.alias(words, decoder);
        }
        if !tied || !self.tensors.contains_key(bias) {
            self.alias(bias, decoder_bias);
        }
    }

    /// Makes `name` another name of `known`, if that is there.
    fn alias(&mut self, name: &str, known: &str) {
        if let Some(tensor) = self.tensors.get(known).cloned() {
            self.tensors.insert(name.to_owned(), tensor);
        }
    }

    /// Takes a tensor out, to be put back under another name.
    pub(super) fn remove(&mut self, name: &str) -> Option<Tensor> {
        self.tensors.remove(name)
    }

    /// Puts a tensor in, under the name that plans use.
    pub(super) fn put(&mut self, name: &str, tensor: Tensor) {
        self.tensors.insert(name.to_owned(), tensor);
    }

    /// The same tensors in files among which theirs are, too.
    pub(super) fn with_files(self, files: Arc<dyn Files>) -> Self {
        Weights { files, ..self }
    }

    /// Adds the tensors of a sentence-transformers module: `FOLDER/linear.weight`.
    pub(super) fn add_module(&mut self, folder: &str) -> Result<()> {
        let file = format!("{folder}/{SINGLE}");
        if self.files.len(&file)?.is_none() {
            return Err(no_tensors(&*self.files, &format!("{folder}/")));
        }
        for (name, tensor) in read_header(&*self.files, &file)? {
            self.tensors.insert(format!("{folder}/{name}"), tensor);
        }
        Ok(())
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The shape of a tensor, outermost dimension first.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|tensor| &tensor.shape[..])
    }

    /// Names of all tensors, sorted. Buffers that nothing was learned in (`position_ids`) are left out.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// How many numbers the checkpoint holds, heads included.
    pub fn parameters(&self) -> usize {
        self.parameters_of(|_| true)
    }

    /// How many numbers the tensors hold whose names pass `keep`.
    pub fn parameters_of(&self, keep: impl Fn(&str) -> bool) -> usize {
        // A tensor with two names counts once.
        let mut seen = std::collections::BTreeSet::new();
        let kept = self.tensors.iter().filter(|(name, _)| keep(name)).map(|(_, tensor)| tensor);
        kept.filter(|tensor| seen.insert((&tensor.file, tensor.range.start))).map(Tensor::len).sum()
    }

    /// How most of the numbers are stored. None: in a way that is not read here (integers, 8-bit floats).
    pub fn stored_type(&self) -> Option<StoredType> {
        let mut counts: BTreeMap<Option<StoredType>, usize> = BTreeMap::new();
        for tensor in self.tensors.values() {
            *counts.entry(StoredType::from_dtype(tensor.dtype)).or_default() += tensor.len();
        }
        counts.into_iter().max_by_key(|(_, count)| *count).and_then(|(stored, _)| stored)
    }

    /// Whether every matrix and table is stored as f16, so that f16 loses nothing.
    pub fn matrices_are_f16(&self) -> bool {
        let matrices = self.tensors.values().filter(|tensor| tensor.shape.len() > 1);
        // Integers (position_ids) are no weights.
        let mut stored = matrices.filter_map(|tensor| StoredType::from_dtype(tensor.dtype)).peekable();
        stored.peek().is_some() && stored.all(|stored| stored == StoredType::F16)
    }

    /// The numbers of one tensor, row-major.
    ///
    /// # Errors
    /// It is missing, has another shape, is stored in a type that is not read, or holds NaN or infinity.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let mut values = Vec::new();
        self.append(name, shape, &mut values)?;
        Ok(values)
    }

    fn append(&self, name: &str, shape: &[usize], values: &mut Vec<f32>) -> Result<()> {
        let Some(tensor) = self.tensors.get(name) else {
            return Err(Error::model_file(format!(
                "cannot load the tensor {name} of shape {shape:?} from {}: it is not there, neither as {name} nor as \
                 {}{name}; found {} other tensors. Is this a whole {} checkpoint?",
                self.files.location(),
                self.family.base_prefix(),
                self.tensors.len(),
                self.family.name()
            )));
        };
        let file = self.files.describe(&tensor.file);
        let failed = |problem: String| {
            Error::model_file(format!("cannot load the tensor {} from {file}: {problem}", tensor.stored_name))
        };
        if tensor.shape != shape {
            let ranks = match tensor.shape.len() == shape.len() {
                true => String::new(),
                false => format!(" ({} dimensions instead of {})", tensor.shape.len(), shape.len()),
            };
            return Err(failed(format!(
                "expected the shape {shape:?}, which config.json calls for, found {:?}{ranks}",
                tensor.shape
            )));
        }
        let stored = StoredType::from_dtype(tensor.dtype).ok_or_else(|| {
            failed(format!(
                "expected f32, f16, bf16 or f64, found {:?}; quantised checkpoints are not read",
                tensor.dtype
            ))
        })?;
        let bytes = self.files.read(&tensor.file, tensor.range.clone())?;
        let start = values.len();
        values.reserve_exact(tensor.len());
        widen(stored, &bytes, values);
        if let Some(at) = values[start..].iter().position(|value| !value.is_finite()) {
            return Err(failed(format!(
                "expected finite numbers, found {} at element {at}; the file is damaged or the training diverged",
                values[start + at]
            )));
        }
        Ok(())
    }

    #[cfg(feature = "export")]
    /// Names of the tensors of the encoder and its pooler, without those of sentence-transformers modules.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn encoder_names(&self) -> impl Iterator<Item = &str> {
        self.names().filter(|name| super::heads::is_encoder(name) && !name.contains('/'))
    }

    #[cfg(feature = "export")]
    /// A tensor as it is stored: type, shape, bytes.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn stored(&self, name: &str) -> Result<(Dtype, &[usize], super::Bytes<'_>)> {
        let tensor = self
            .tensors
            .get(name)
            .ok_or_else(|| Error::model_file(format!("{} has no tensor {name}", self.files.location())))?;
        Ok((tensor.dtype, &tensor.shape, self.files.read(&tensor.file, tensor.range.clone())?))
    }

    pub(super) fn files(&self) -> &Arc<dyn Files> {
        &self.files
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }
}

impl WeightSource for Weights {
    fn load(&self, spec: &WeightSpec) -> Result<Vec<f32>> {
        let mut values = Vec::new();
        for part in &spec.parts {
            self.append(&part.name, &part.shape, &mut values)?;
        }
        Ok(values)
    }
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Weights({} tensors in {})", self.tensors.len(), self.files.location())
    }
}

/// Little-endian numbers appended as f32.
pub(super) fn widen(stored: StoredType, bytes: &[u8], values: &mut Vec<f32>) {
    match stored {
        StoredType::F32 => {
            values.extend(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        }
        StoredType::F16 => {
            // By slices, because `half` then converts eight at a time where the processor can.
            let halves: Vec<f16> =
                bytes.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes)).collect();
            let start = values.len();
            values.resize(start + halves.len(), 0.0);
            halves.convert_to_f32_slice(&mut values[start..]);
        }
        StoredType::Bf16 => {
            values.extend(bytes.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()));
        }
        StoredType::F64 => {
            values.extend(bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32));
        }
    }
}

/// Reads where the tensors of a safetensors file lie, and checks that they fill it exactly.
fn read_header(files: &dyn Files, name: &str) -> Result<Vec<(String, Tensor)>> {
    let file = files.describe(name);
    let damaged = |problem: String| {
        Error::model_file(format!(
            "cannot read {file}: {problem}; it is damaged, or its download was cut short. Download it again"
        ))
    };
    let len = files.len(name)?.ok_or_else(|| Error::model_file(format!("there is no file {file}")))?;
    let start = files.read(name, 0..len.min(8))?;
    if start.starts_with(b"version ") {
        return Err(Error::model_file(format!(
            "cannot read {file}: found a git-LFS pointer ({len} bytes) instead of the weights; fetch them with \
             `git lfs pull` in that folder, or download the file from the hub"
        )));
    }
    let Ok(header_len) = <[u8; 8]>::try_from(&start[..]).map(u64::from_le_bytes) else {
        return Err(damaged(format!("expected a safetensors file, found {len} bytes")));
    };
    if header_len > HEADER_LIMIT_BYTES || header_len > len - 8 {
        return Err(damaged(format!(
            "expected a safetensors file, found {len} bytes that start with a header length of {header_len}"
        )));
    }
    let data_start = 8 + header_len;
    let header: Metadata = serde_json::from_slice(&files.read(name, 8..data_start)?)
        .map_err(|error| damaged("its safetensors header does not parse".to_owned()).with_source(error))?;
    let expected = data_start + header.data_len() as u64;
    if expected != len {
        return Err(damaged(format!("its header promises {expected} bytes, the file has {len}")));
    }
    let file: Arc<str> = name.into();
    let tensors = header.tensors().into_iter().map(|(stored_name, info)| {
        let (from, to) = info.data_offsets;
        let range = data_start + from as u64..data_start + to as u64;
        let tensor = Tensor {
            file: file.clone(),
            stored_name: stored_name.clone(),
            dtype: info.dtype,
            shape: info.shape.clone(),
            range,
        };
        (stored_name, tensor)
    });
    Ok(tensors.collect())
}

/// Says which weights were looked for and what was there in their place.
fn no_tensors(files: &dyn Files, root: &str) -> Error {
    let place = files.describe(root.trim_end_matches('/'));
    let has = |name: &str| files.len(&format!("{root}{name}")).is_ok_and(|len| len.is_some());
    if has("pytorch_model.bin") || has("pytorch_model.bin.index.json") {
        return Error::model_file(format!(
            "cannot read the weights in {place}: expected {SINGLE}, found pytorch_model.bin, a pickle, which can run \
             code and is not read here. Convert it there once: python3 -c \"import torch, safetensors.torch as s; \
             w = torch.load('pytorch_model.bin', map_location='cpu', weights_only=True); \
             s.save_file({{k: v.clone().contiguous() for k, v in w.items()}}, '{SINGLE}', {{'format': 'pt'}})\""
        ));
    }
    let other = ["tf_model.h5", "flax_model.msgpack", "onnx/model.onnx", "model.onnx"];
    let found = match other.into_iter().find(|name| has(name)) {
        Some(name) => format!("{name}, which is not read here"),
        None => "neither".to_owned(),
    };
    Error::model_file(format!(
        "cannot read the weights in {place}: expected {SINGLE} or {INDEX}, found {found}"
    ))
}
