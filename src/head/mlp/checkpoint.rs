//! Checkpoints of an MLP's training: one file, replaced whole after each epoch.

use std::path::Path;

use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::network::Mlp;
use crate::error::{Error, Result};
use crate::head::numeric::adamw::AdamW;
use crate::head::numeric::loss::Loss;
use crate::head::options::MlpOptions;
use crate::head::tensors::{Tensor, Tensors};
use crate::platform::disk;

/// How far a training has come: all that is needed to go on. What is random is decided by the seed, the epoch and the
/// step, so these are the generators' positions, too.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    pub(crate) mlp: Mlp,
    pub(crate) adam: AdamW,
    pub(crate) epoch: usize,
    /// Least validation loss, its epoch, and the parameters that had it.
    pub(crate) best: Option<(f64, usize, Vec<f64>)>,
}

impl State {
    /// Whether the validation loss has not fallen for so many epochs.
    pub(crate) fn is_out_of_patience(&self, patience: usize) -> bool {
        self.best.as_ref().is_some_and(|(_, epoch, _)| self.epoch - epoch >= patience.max(1))
    }
}

/// Where a training keeps its state, and which training that is.
pub(crate) struct Checkpoint<'a> {
    path: &'a Path,
    /// Everything that decides the result, by name.
    identity: Value,
}

/// What a file says of itself.
#[derive(Serialize, Deserialize)]
struct Header {
    training: Value,
    epoch: usize,
    steps: u64,
    best: Option<(f64, usize)>,
}

/// Key of the header in the file's metadata.
const HEADER: &str = "frostbert_mlp_checkpoint";

/// What decides a training's result, beside its options.
pub(crate) struct Facts<'a> {
    pub(crate) seed: u64,
    pub(crate) columns: usize,
    /// What stands for the embeddings: equal where they are, different where they are not.
    pub(crate) embeddings: String,
    /// Rows of the loss's targets, of the weights and of the groups.
    pub(crate) rows: &'a [u32],
    pub(crate) loss: &'a Loss<'a>,
    pub(crate) weights: &'a [f64],
    pub(crate) groups: Option<&'a [u32]>,
}

impl<'a> Checkpoint<'a> {
    pub(crate) fn new(path: &'a Path, options: &MlpOptions, facts: &Facts) -> Self {
        let Facts { rows, loss, weights, groups, .. } = *facts;
        let mut identity = json!(options);
        identity["seed"] = json!(facts.seed);
        identity["columns"] = json!(facts.columns);
        identity["rows"] = json!(rows.len());
        identity["embeddings"] = json!(facts.embeddings);
        identity["targets"] = json!(digest(|hash| {
            for &row in rows {
                let target = |output| loss.target(row as usize, output).to_le_bytes();
                (0..loss.outputs()).for_each(|output| hash.update(target(output)));
            }
        }));
        identity["weights"] = json!(digest(|hash| {
            rows.iter().for_each(|&row| hash.update(weights[row as usize].to_le_bytes()));
        }));
        // They decide which rows are watched.
        identity["groups"] = json!(groups.map(|groups| digest(|hash| {
            rows.iter().for_each(|&row| hash.update(groups[row as usize].to_le_bytes()));
        })));
        Checkpoint { path, identity }
    }

    /// Replaces the file.
    pub(crate) fn save(&self, state: &State) -> Result<()> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::io(format!("cannot write the checkpoint {}", self.path.display())).with_source(error)
        };
        let header = Header {
            training: self.identity.clone(),
            epoch: state.epoch,
            steps: state.adam.steps,
            best: state.best.as_ref().map(|(loss, epoch, _)| (*loss, *epoch)),
        };
        let json = serde_json::to_string(&header).map_err(|error| failed(error.into()))?;
        let n = state.mlp.parameters.len();
        let mut tensors = vec![
            ("parameters", Tensor::f64(&[n], &state.mlp.parameters)),
            ("adam.first", Tensor::f64(&[n], &state.adam.first)),
            ("adam.second", Tensor::f64(&[n], &state.adam.second)),
        ];
        if let Some((_, _, parameters)) = &state.best {
            tensors.push(("best", Tensor::f64(&[n], parameters)));
        }
        let mut bytes = safetensors::serialize(tensors, Some([(HEADER.to_owned(), json)].into()))
            .map_err(|error| failed(error.into()))?;
        // The last bytes are a hash of the others: a flipped bit in a weight would otherwise be trained on.
        let sum = Sha256::digest(&bytes);
        bytes.extend(sum);
        disk::write(self.path, &bytes).map_err(|error| failed(error.into()))
    }

    /// The state in the file; `start` when there is none.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or belongs to another training.
    pub(crate) fn resume(&self, start: State) -> Result<State> {
        let path = self.path.display();
        let bytes = match disk::read(self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(start),
            Err(error) => {
                return Err(Error::io(format!("cannot read the checkpoint {path}")).with_source(error));
            }
        };
        let damaged = || {
            Error::model_file(format!(
                "{path} is no checkpoint of an MLP's training, or is damaged: delete it to start anew"
            ))
        };
        let (bytes, sum) = bytes.split_last_chunk::<32>().ok_or_else(damaged)?;
        if Sha256::digest(bytes)[..] != sum[..] {
            return Err(damaged());
        }
        let (_, metadata) =
            SafeTensors::read_metadata(bytes).map_err(|error| damaged().with_source(error))?;
        let json = metadata.metadata().as_ref().and_then(|all| all.get(HEADER)).ok_or_else(damaged)?;
        let header: Header = serde_json::from_str(json).map_err(|error| damaged().with_source(error))?;
        let differences = differences(&header.training, &self.identity);
        if !differences.is_empty() {
            return Err(Error::input(format!(
                "the checkpoint {path} belongs to another training: it has {}; delete it to start anew, or name another \
                 file",
                differences.join(", ")
            )));
        }
        let tensors = Tensors::open(bytes).map_err(|error| damaged().with_source(error))?;
        let n = start.mlp.parameters.len();
        let get = |name: &str| tensors.f64(name, &[n]).map_err(|error| damaged().with_source(error));
        Ok(State {
            mlp: Mlp { parameters: get("parameters")?, ..start.mlp },
            adam: AdamW { first: get("adam.first")?, second: get("adam.second")?, steps: header.steps },
            epoch: header.epoch,
            best: match header.best {
                Some((loss, epoch)) => Some((loss, epoch, get("best")?)),
                None => None,
            },
        })
    }
}

/// Removes the file of a training that is done.
pub(crate) fn remove(path: &Path) -> Result<()> {
    disk::remove(path).map_err(|error| {
        Error::io(format!("cannot remove the checkpoint {}", path.display())).with_source(error)
    })
}

/// A hash in hexadecimal of what `feed` puts in.
pub(crate) fn digest(feed: impl FnOnce(&mut Sha256)) -> String {
    let mut hash = Sha256::new();
    feed(&mut hash);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is not the same in the file and here, in words.
fn differences(file: &Value, own: &Value) -> Vec<String> {
    let names = own.as_object().into_iter().flatten();
    names
        .filter(|(name, own)| file.get(name.as_str()) != Some(own))
        .map(|(name, own)| match name.as_str() {
            "embeddings" | "targets" | "weights" | "groups" => format!("other {name}"),
            _ => format!("{name} {} instead of {own}", file.get(name.as_str()).unwrap_or(&Value::Null)),
        })
        .collect()
}
