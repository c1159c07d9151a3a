//! The head file: one safetensors file, tensors and a JSON record in its metadata.
//!
//! Everything that decides a prediction is a float64 tensor, so that a head read back gives the same bits. Nothing
//! in the file is executable. A checksum over record and tensors tells a head from one with a flipped bit; files of format
//! version 1 have none.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::gaussian::Gaussian;
use super::head::{Head, Model, Record};
use super::neighbours::{Answer, Neighbours};
use super::sample::Sample;
use crate::error::{Error, Result};
use crate::head::data::targets::Problem;
use crate::head::linear::coefficients::Linear;
use crate::head::linear::standardise::Standardisation;
use crate::head::measure::calibration::Calibration;
use crate::head::measure::caution::Caution;
use crate::head::measure::hierarchy::{Hierarchy, Levels};
use crate::head::mlp::network as mlp;
use crate::head::mlp::network::Mlp;
use crate::head::options::CalibrationKind;
use crate::head::options::HeadActivation;
use crate::head::options::ModelKind;
use crate::head::tensors::{Tensor, Tensors, damaged};
use crate::platform::disk;

/// Version of the format that this code writes. Older ones are read; newer ones are refused.
///
/// Version 2 added the checksum, which it must have, and one-versus-rest probabilities. Version 3 added what a head does when it is unsure, and names that are paths; heads
/// that do nothing then are still written as version 2, which older programs read. Version 4 added rows that a head keeps; heads that keep none are
/// written as before. Version 5 added the covariance and the energies that such heads keep beside rows.
pub const FORMAT_VERSION: u32 = 5;

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
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    one_vs_rest: bool,
    #[serde(default, skip_serializing_if = "Caution::is_none")]
    caution: Caution,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sample: Option<SampleShape>,
    #[serde(default)]
    shape: Shape,
    #[serde(flatten)]
    record: Record,
}

/// What the tensors' sizes follow from, beside the dimension and the names.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Shape {
    /// Columns of an MLP's hidden layers.
    hidden: Vec<usize>,
    activation: HeadActivation,
    /// How many neighbours vote, and how many rows are known.
    neighbours: usize,
    known_rows: usize,
}

/// The sizes of the rows that are kept.
#[derive(Serialize, Deserialize)]
struct SampleShape {
    rows: usize,
    similarities: usize,
    /// How many rows they were drawn from.
    of: usize,
    /// Centres of the cloud of rows, and its distances; none, none of it.
    #[serde(default, skip_serializing_if = "is_zero")]
    centres: usize,
    #[serde(default, skip_serializing_if = "is_zero")]
    distances: usize,
    #[serde(default, skip_serializing_if = "is_zero")]
    energies: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// What of the record every version has.
#[derive(Deserialize)]
struct Version {
    format_version: u32,
    #[serde(default)]
    written_by: String,
}

/// How a record with a checksum begins.
const CHECKSUM: &str = "{\"sha256\":\"";

/// SHA-256 in hexadecimal of a record without its checksum, and of the tensors by name.
fn checksum<'a>(json: &str, tensors: impl Iterator<Item = (&'a str, String, &'a [u8])>) -> String {
    let mut hash = Sha256::new();
    // Lengths keep neighbours apart.
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    add(json.as_bytes());
    for (name, shape, data) in tensors {
        [name.as_bytes(), shape.as_bytes(), data].into_iter().for_each(&mut add);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Header {
    /// Checks that what the record says goes together.
    fn check(&self) -> Result<()> {
        let names = self.names.len();
        if self.dimension == 0 {
            return Err(damaged("it takes embeddings of no columns".into()));
        }
        let fits = match self.problem {
            Problem::SingleLabel => names >= 2,
            Problem::MultiLabel => names >= 1,
            Problem::Regression => names == 1,
        };
        if !fits {
            return Err(damaged(format!("{names} names do not go with its problem, {:?}", self.problem)));
        }
        let mut sorted: Vec<&String> = self.names.iter().collect();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(damaged(format!("the name {:?} is there twice", pair[0])));
        }
        if self.one_vs_rest && (self.problem != Problem::SingleLabel || names == 2) {
            return Err(damaged("one-versus-rest probabilities need three or more classes".into()));
        }
        let is_tree = |levels: Levels| Hierarchy::of(&self.names, levels.separator).is_ok();
        if !self.caution.levels.is_none_or(is_tree) {
            return Err(damaged("its names are no paths, as it says they are".into()));
        }
        if !self.caution.is_sound() || (!self.caution.is_none() && self.problem != Problem::SingleLabel) {
            return Err(damaged("what it does when it is unsure does not go with its problem".into()));
        }
        Ok(())
    }
}

impl Head {
    /// The head as the bytes of its file. They are read back before they are returned: what is written can be read.
    ///
    /// # Errors
    /// The input, when a number is not finite (JSON has no other), or the record says what no head is: two labels of one name.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.check_finite()?;
        self.record.check_finite()?;
        let bytes = self.written()?;
        match Head::from_bytes(&bytes) {
            Ok(head) if head.written()? == bytes => Ok(bytes),
            Ok(_) => Err(Error::input("writing a head: read back, it is another one")),
            Err(error) => Err(Error::input(
                "writing a head: it could not be read back; a measure or setting in its record may be no finite number",
            )
            .with_source(error)),
        }
    }

    fn written(&self) -> Result<Vec<u8>> {
        let header = Header {
            format_version: match (&self.sample, self.caution.is_none()) {
                (Some(Sample { cloud: None, energies: None, .. }), _) => 4,
                (Some(_), _) => FORMAT_VERSION,
                (None, false) => 3,
                (None, true) => 2,
            },
            written_by: env!("CARGO_PKG_VERSION").into(),
            kind: self.kind().name().into(),
            problem: self.problem,
            names: self.names.clone(),
            dimension: self.dimension,
            calibration: self.calibration.kind,
            one_vs_rest: self.one_vs_rest,
            caution: self.caution,
            sample: self.sample.as_ref().map(|sample| SampleShape {
                rows: sample.scales.len(),
                similarities: sample.similarities.len(),
                of: sample.of,
                centres: sample.cloud.as_ref().map_or(0, |cloud| cloud.centres.len() / self.dimension),
                distances: sample.cloud.as_ref().map_or(0, |cloud| cloud.distances.len()),
                energies: sample.energies.as_ref().map_or(0, Vec::len),
            }),
            shape: match &self.model {
                Model::Linear(_) => Shape::default(),
                Model::Mlp(mlp) => Shape {
                    hidden: mlp.widths[1..mlp.widths.len() - 1].to_vec(),
                    activation: mlp.activation,
                    ..Shape::default()
                },
                Model::Neighbours(known) => Shape {
                    neighbours: known.k,
                    known_rows: known.targets.len() / known.outputs,
                    ..Shape::default()
                },
            },
            record: self.record.clone(),
        };
        let json = serde_json::to_string(&header)
            .map_err(|error| Error::io("writing the record of a head").with_source(error))?;
        let mut tensors = BTreeMap::new();
        let outputs = self.model.outputs();
        match &self.model {
            Model::Linear(linear) => {
                let shape = [outputs, self.dimension];
                tensors.insert("linear.coefficients", Tensor::f64(&shape, &linear.coefficients));
                tensors.insert("linear.intercepts", Tensor::f64(&[outputs], &linear.intercepts));
            }
            Model::Mlp(mlp) => {
                tensors.insert("mlp.parameters", Tensor::f64(&[mlp.parameters.len()], &mlp.parameters));
            }
            Model::Neighbours(known) => {
                let count = known.targets.len() / outputs;
                tensors.insert("neighbours.rows", Tensor::f32(&[count, self.dimension], &known.rows));
                tensors.insert("neighbours.targets", Tensor::f64(&[count, outputs], &known.targets));
            }
        }
        if let Some(Standardisation { mean, scale }) = &self.standardisation {
            tensors.insert("standardisation.mean", Tensor::f64(&[self.dimension], mean));
            tensors.insert("standardisation.scale", Tensor::f64(&[self.dimension], scale));
        }
        if self.calibration.kind != CalibrationKind::None {
            tensors.insert("calibration.scale", Tensor::f64(&[outputs], &self.calibration.scale));
            tensors.insert("calibration.bias", Tensor::f64(&[outputs], &self.calibration.bias));
        }
        if self.problem == Problem::MultiLabel {
            tensors.insert("thresholds", Tensor::f64(&[self.names.len()], &self.thresholds));
        }
        if let Some(sample) = &self.sample {
            let rows = sample.scales.len();
            tensors.insert("sample.rows", Tensor::i8(&[rows, self.dimension], &sample.values));
            tensors.insert("sample.scales", Tensor::f32(&[rows], &sample.scales));
            let similarities = &sample.similarities;
            tensors.insert("sample.similarities", Tensor::f32(&[similarities.len()], similarities));
            tensors.insert("sample.answers", Tensor::f64(&[self.names.len()], &sample.answers));
            if let Some(Gaussian { factor, centres, distances, .. }) = &sample.cloud {
                let shape = [centres.len() / self.dimension, self.dimension];
                tensors.insert("sample.centres", Tensor::f32(&shape, centres));
                tensors.insert("sample.factor", Tensor::f32(&[factor.len()], factor));
                tensors.insert("sample.distances", Tensor::f32(&[distances.len()], distances));
            }
            if let Some(energies) = &sample.energies {
                tensors.insert("sample.energies", Tensor::f32(&[energies.len()], energies));
            }
        }
        let sum = checksum(
            &json,
            tensors.iter().map(|(name, tensor)| (*name, tensor.type_and_shape(), tensor.bytes())),
        );
        let metadata = HashMap::from([(RECORD.to_owned(), format!("{CHECKSUM}{sum}\",{}", &json[1..]))]);
        safetensors::serialize(tensors, Some(metadata))
            .map_err(|error| Error::io("writing the tensors of a head").with_source(error))
    }

    /// Reads the bytes of a head file.
    ///
    /// # Errors
    /// A model file error, when the bytes are no head file, are damaged, say two things at once, or were written by a newer
    /// version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Head> {
        let foreign = || {
            damaged("expected a safetensors file written by `frostbert train`, found something else".into())
        };
        let (_, metadata) =
            SafeTensors::read_metadata(bytes).map_err(|error| foreign().with_source(error))?;
        let json = metadata.metadata().as_ref().and_then(|all| all.get(RECORD)).ok_or_else(foreign)?;
        let version: Version = serde_json::from_str(json).map_err(|error| foreign().with_source(error))?;
        if version.format_version == 0 {
            return Err(damaged("it has format version 0, which never was".into()));
        }
        if version.format_version > FORMAT_VERSION {
            return Err(damaged(format!(
                "it has format version {} (written by frostbert {}), this frostbert {} knows up to {FORMAT_VERSION}; \
                 use a newer one",
                version.format_version,
                version.written_by,
                env!("CARGO_PKG_VERSION")
            )));
        }
        let tensors = Tensors::open(bytes)
            .map_err(|error| damaged("its tensors are damaged".into()).with_source(error))?;
        match json.strip_prefix(CHECKSUM).and_then(|rest| rest.split_once("\",")) {
            Some((sum, rest)) => {
                let all = tensors.all();
                let all = all.iter().map(|(name, shape, data)| (name.as_str(), shape.clone(), *data));
                if sum != checksum(&format!("{{{rest}"), all) {
                    return Err(damaged(
                        "its checksum does not match: the file was damaged or changed after it was written"
                            .into(),
                    ));
                }
            }
            None if version.format_version == 1 => {}
            None => return Err(damaged("its checksum is missing".into())),
        }
        let header: Header = serde_json::from_str(json)
            .map_err(|error| damaged("its record is damaged".into()).with_source(error))?;
        header.check()?;
        let names = header.names.len();
        let outputs = match header.problem {
            Problem::SingleLabel if names == 2 => 1,
            Problem::SingleLabel | Problem::MultiLabel => names,
            Problem::Regression => 1,
        };
        let dimension = header.dimension;
        let Ok(kind) = header.kind.parse::<ModelKind>() else {
            return Err(damaged(format!(
                "it is of kind {:?}, which this version does not know",
                header.kind
            )));
        };
        let Shape { hidden, activation, neighbours, known_rows } = header.shape;
        let model = match kind {
            ModelKind::Mlp => {
                let widths = [vec![dimension], hidden, vec![outputs]].concat();
                let count = mlp::parameters(&widths)
                    .filter(|_| !widths.contains(&0))
                    .ok_or_else(|| damaged("the columns of its layers are out of range".into()))?;
                Model::Mlp(Mlp { parameters: tensors.f64("mlp.parameters", &[count])?, widths, activation })
            }
            ModelKind::Neighbours => {
                if neighbours == 0 || neighbours > known_rows {
                    return Err(damaged(format!("{neighbours} of {known_rows} neighbours vote")));
                }
                Model::Neighbours(Neighbours {
                    k: neighbours,
                    rows: tensors.f32("neighbours.rows", &[known_rows, dimension])?,
                    columns: dimension,
                    targets: tensors.f64("neighbours.targets", &[known_rows, outputs])?,
                    outputs,
                    answer: match header.problem {
                        Problem::Regression => Answer::Number,
                        Problem::SingleLabel if names > 2 => Answer::OneOf,
                        _ => Answer::EachOf,
                    },
                })
            }
            ModelKind::Linear | ModelKind::ElasticNet | ModelKind::NearestCentroid => Model::Linear(Linear {
                coefficients: tensors.f64("linear.coefficients", &[outputs, dimension])?,
                intercepts: tensors.f64("linear.intercepts", &[outputs])?,
            }),
        };
        let standardisation = if tensors.has("standardisation.mean") {
            let mean = tensors.f64("standardisation.mean", &[dimension])?;
            let scale = tensors.f64("standardisation.scale", &[dimension])?;
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
                scale: tensors.f64("calibration.scale", &[outputs])?,
                bias: tensors.f64("calibration.bias", &[outputs])?,
            },
        };
        let thresholds = match header.problem {
            Problem::MultiLabel => tensors.f64("thresholds", &[names])?,
            _ => vec![],
        };
        if let Some(threshold) = thresholds.iter().find(|threshold| !(0.0..=1.0).contains(*threshold)) {
            return Err(damaged(format!("a threshold is {threshold}, which is no probability")));
        }
        let sample = match header.sample {
            None => None,
            Some(SampleShape { rows, similarities, of, centres, distances, energies }) => {
                if rows == 0 || similarities == 0 || of < rows {
                    return Err(damaged(format!(
                        "it keeps {rows} of {of} rows and {similarities} similarities"
                    )));
                }
                let cloud = if centres == 0 {
                    None
                } else {
                    // A dimension that has no triangle has no tensor of that size either.
                    let triangle = dimension.checked_add(1).and_then(|next| dimension.checked_mul(next));
                    let factor = tensors.f32("sample.factor", &[triangle.unwrap_or(0) / 2])?;
                    let centres = tensors.f32("sample.centres", &[centres, dimension])?;
                    let distances = tensors.f32("sample.distances", &[distances])?;
                    let cloud = Gaussian::from_parts(dimension, factor, centres, distances);
                    Some(cloud.ok_or_else(|| damaged("the covariance that it keeps is none".into()))?)
                };
                let energies = match energies {
                    0 => None,
                    count => Some(tensors.f32("sample.energies", &[count])?),
                };
                let sample = Sample {
                    cloud,
                    energies,
                    values: tensors.i8("sample.rows", &[rows, dimension])?,
                    scales: tensors.f32("sample.scales", &[rows])?,
                    columns: dimension,
                    similarities: tensors.f32("sample.similarities", &[similarities])?,
                    answers: tensors.f64("sample.answers", &[names])?,
                    of,
                };
                let has_direction =
                    sample.values.chunks_exact(dimension).all(|row| row.iter().any(|v| *v != 0));
                if !has_direction || !sample.scales.iter().all(|scale| *scale > 0.0) {
                    return Err(damaged("a row that it keeps is all zeros".into()));
                }
                if !sample.similarities.is_sorted() || !sample.energies.iter().all(|known| known.is_sorted())
                {
                    return Err(damaged("the scores that it keeps are not in order".into()));
                }
                Some(sample)
            }
        };
        tensors.check_all_taken()?;
        Ok(Head {
            kind,
            model,
            problem: header.problem,
            names: header.names,
            dimension,
            standardisation,
            calibration,
            thresholds,
            one_vs_rest: header.one_vs_rest,
            caution: header.caution,
            sample,
            record: header.record,
        })
    }

    /// Checks that the head was trained on this encoder's embeddings. A head that knows no encoder fits any.
    ///
    /// # Errors
    /// The input, naming both encoders and what differs.
    pub fn check_encoder(&self, encoder: &crate::head::EncoderBinding) -> Result<()> {
        self.record.encoder.as_ref().map_or(Ok(()), |own| own.check(encoder))
    }

    /// Reads a head file.
    ///
    /// # Errors
    /// A model file error, when there is no such file, it is no head file, is damaged, or was written by a newer version.
    pub fn load(path: impl AsRef<Path>) -> Result<Head> {
        let path = path.as_ref();
        let bytes = disk::read(path).map_err(|error| {
            Error::model_file(format!("cannot read the head file {}", path.display())).with_source(error)
        })?;
        Head::from_bytes(&bytes).map_err(|error| error.context(path.display()))
    }

    /// Writes the head file, under another name first: a reader never sees half of it.
    ///
    /// # Errors
    /// An I/O error, when the file cannot be written; the input, as [`to_bytes`](Self::to_bytes).
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        disk::write(path, &self.to_bytes()?).map_err(|error| {
            Error::io(format!("cannot write the head file {}", path.display())).with_source(error)
        })
    }
}
