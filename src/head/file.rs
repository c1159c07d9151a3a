//! The head file: one safetensors file, tensors and a JSON record in its metadata.
//!
//! Everything that decides a prediction is a float64 tensor, so that a head read back gives the same bits. Nothing
//! in the file is executable.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, View};
use serde::{Deserialize, Serialize};

use super::calibrate::{Calibration, CalibrationKind};
use super::data::Problem;
use super::linear::Linear;
use super::model::{Head, Model, Record};
use super::standardise::Standardisation;
use crate::{Error, Result};

/// Version of the format that this code writes. Older ones are read; newer ones are refused.
pub const FORMAT_VERSION: u32 = 1;

/// Key of the record in the file's metadata.
const RECORD: &str = "frostbert_head";

/// The record: all but the tensors.
#[derive(Serialize, Deserialize)]
struct Header {
    format_version: u32,
    /// The version of this library that wrote the file.
    written_by: String,
    kind: String,
    problem: Problem,
    names: Vec<String>,
    dimension: usize,
    calibration: CalibrationKind,
    #[serde(flatten)]
    record: Record,
}

/// What of the record every version has.
#[derive(Deserialize)]
struct Version {
    format_version: u32,
    #[serde(default)]
    written_by: String,
}

/// A float64 tensor on its way into a file.
struct Tensor {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Tensor {
    fn new(shape: &[usize], values: &[f64]) -> Self {
        Tensor { shape: shape.to_vec(), bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect() }
    }
}

impl View for Tensor {
    fn dtype(&self) -> Dtype {
        Dtype::F64
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

impl Head {
    /// The head as the bytes of its file.
    ///
    /// # Errors
    /// An I/O error, when the record cannot be written as JSON (a measure that is not finite).
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let header = Header {
            format_version: FORMAT_VERSION,
            written_by: env!("CARGO_PKG_VERSION").into(),
            kind: self.kind().into(),
            problem: self.problem,
            names: self.names.clone(),
            dimension: self.dimension,
            calibration: self.calibration.kind,
            record: self.record.clone(),
        };
        let json = serde_json::to_string(&header)
            .map_err(|error| Error::io("writing the record of a head").with_source(error))?;
        let mut tensors = BTreeMap::new();
        let outputs = self.model.outputs();
        match &self.model {
            Model::Linear(linear) => {
                let shape = [outputs, self.dimension];
                tensors.insert("linear.coefficients", Tensor::new(&shape, &linear.coefficients));
                tensors.insert("linear.intercepts", Tensor::new(&[outputs], &linear.intercepts));
            }
        }
        if let Some(Standardisation { mean, scale }) = &self.standardisation {
            tensors.insert("standardisation.mean", Tensor::new(&[self.dimension], mean));
            tensors.insert("standardisation.scale", Tensor::new(&[self.dimension], scale));
        }
        if self.calibration.kind != CalibrationKind::None {
            tensors.insert("calibration.scale", Tensor::new(&[outputs], &self.calibration.scale));
            tensors.insert("calibration.bias", Tensor::new(&[outputs], &self.calibration.bias));
        }
        if self.problem == Problem::MultiLabel {
            tensors.insert("thresholds", Tensor::new(&[self.names.len()], &self.thresholds));
        }
        let metadata = HashMap::from([(RECORD.to_owned(), json)]);
        safetensors::serialize(tensors, Some(metadata))
            .map_err(|error| Error::io("writing the tensors of a head").with_source(error))
    }

    /// Reads the bytes of a head file.
    ///
    /// # Errors
    /// A model file error, when the bytes are no head file, are damaged, or were written by a newer version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Head> {
        let damaged = |what: String| Error::model_file(format!("reading a head file: {what}"));
        let foreign = || {
            damaged("expected a safetensors file written by `frostbert train`, found something else".into())
        };
        let (_, metadata) =
            SafeTensors::read_metadata(bytes).map_err(|error| foreign().with_source(error))?;
        let json = metadata.metadata().as_ref().and_then(|all| all.get(RECORD)).ok_or_else(foreign)?;
        let version: Version = serde_json::from_str(json).map_err(|error| foreign().with_source(error))?;
        if version.format_version > FORMAT_VERSION {
            return Err(damaged(format!(
                "it has format version {} (written by frostbert {}), this frostbert {} knows up to {FORMAT_VERSION}; \
                 use a newer one",
                version.format_version,
                version.written_by,
                env!("CARGO_PKG_VERSION")
            )));
        }
        let header: Header = serde_json::from_str(json)
            .map_err(|error| damaged("its record is damaged".into()).with_source(error))?;
        let tensors = SafeTensors::deserialize(bytes)
            .map_err(|error| damaged("its tensors are damaged".into()).with_source(error))?;
        let tensors = Tensors { tensors };
        if header.names.is_empty() || header.dimension == 0 {
            return Err(damaged("its record names no outputs, or embeddings of no columns".into()));
        }
        let names = header.names.len();
        let outputs = match header.problem {
            Problem::SingleLabel if names == 2 => 1,
            Problem::SingleLabel | Problem::MultiLabel => names,
            Problem::Regression => 1,
        };
        let dimension = header.dimension;
        let model = match header.kind.as_str() {
            "linear" => Model::Linear(Linear {
                coefficients: tensors.get("linear.coefficients", &[outputs, dimension])?,
                intercepts: tensors.get("linear.intercepts", &[outputs])?,
            }),
            other => {
                return Err(damaged(format!("it is of kind {other:?}, which this version does not know")));
            }
        };
        let standardisation = if tensors.has("standardisation.mean") {
            let mean = tensors.get("standardisation.mean", &[dimension])?;
            let scale = tensors.get("standardisation.scale", &[dimension])?;
            if !scale.iter().all(|&scale| scale > 0.0) {
                return Err(damaged("a scale of its standardisation is not above zero".into()));
            }
            Some(Standardisation { mean, scale })
        } else {
            None
        };
        let calibration = match header.calibration {
            CalibrationKind::None => Calibration::identity(outputs),
            kind => Calibration {
                kind,
                scale: tensors.get("calibration.scale", &[outputs])?,
                bias: tensors.get("calibration.bias", &[outputs])?,
            },
        };
        let thresholds = match header.problem {
            Problem::MultiLabel => tensors.get("thresholds", &[names])?,
            _ => vec![],
        };
        Ok(Head {
            model,
            problem: header.problem,
            names: header.names,
            dimension,
            standardisation,
            calibration,
            thresholds,
            record: header.record,
        })
    }

    /// Checks that the head was trained on this encoder's embeddings. A head without a fingerprint fits any.
    ///
    /// # Errors
    /// The input, naming both fingerprints and what differs.
    pub fn check_encoder(&self, encoder: &super::EncoderFingerprint) -> Result<()> {
        self.record.encoder.as_ref().map_or(Ok(()), |own| own.check(encoder))
    }

    /// Reads a head file.
    ///
    /// # Errors
    /// A model file error, when there is no such file, it is no head file, is damaged, or was written by a newer version.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load(path: impl AsRef<std::path::Path>) -> Result<Head> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| {
            Error::model_file(format!("cannot read the head file {}", path.display())).with_source(error)
        })?;
        Head::from_bytes(&bytes).map_err(|error| error.context(path.display()))
    }

    /// Writes the head file, under another name first: a reader never sees half of it.
    ///
    /// # Errors
    /// An I/O error, when the file cannot be written.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save(&self, path: impl AsRef<std::path::Path>) -> Result<()> {
        use std::io::Write;
        let path = path.as_ref();
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(std::path::Path::new("."));
        let bytes = self.to_bytes()?;
        let write = || -> std::io::Result<()> {
            let mut file = shared_file().prefix(".head-").suffix(".tmp").tempfile_in(folder)?;
            file.write_all(&bytes)?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            Ok(())
        };
        write().map_err(|error| {
            Error::io(format!("cannot write the head file {}", path.display())).with_source(error)
        })
    }
}

/// A temporary file with the permissions of any new file; by itself it would be its owner's alone.
#[cfg(unix)]
fn shared_file<'a>() -> tempfile::Builder<'a, 'a> {
    use std::os::unix::fs::PermissionsExt;
    let mut builder = tempfile::Builder::new();
    // The umask takes off what the user does not want to share.
    builder.permissions(std::fs::Permissions::from_mode(0o666));
    builder
}

/// Elsewhere a new file takes its folder's permissions.
#[cfg(all(not(unix), not(target_arch = "wasm32")))]
fn shared_file<'a>() -> tempfile::Builder<'a, 'a> {
    tempfile::Builder::new()
}

/// Tensors of a file, checked as they are taken.
struct Tensors<'a> {
    tensors: SafeTensors<'a>,
}

impl Tensors<'_> {
    fn has(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    fn get(&self, name: &str, shape: &[usize]) -> Result<Vec<f64>> {
        let damaged = |what: String| Error::model_file(format!("reading a head file: {what}"));
        let tensor: TensorView = (self.tensors.tensor(name))
            .map_err(|error| damaged(format!("tensor {name} is missing")).with_source(error))?;
        if tensor.dtype() != Dtype::F64 || tensor.shape() != shape {
            return Err(damaged(format!(
                "tensor {name}: expected F64 of shape {shape:?}, found {:?} of shape {:?}",
                tensor.dtype(),
                tensor.shape()
            )));
        }
        let (values, _) = tensor.data().as_chunks::<8>();
        let values: Vec<f64> = values.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(damaged(format!("tensor {name}: value {at} is {}", values[at])));
        }
        Ok(values)
    }
}
