//! Training of an MLP: epochs of mini-batches, early stopping, and a state that survives a restart.

use std::path::Path;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::adamw::{self, AdamW};
use super::data::Matrix;
use super::disk;
use super::file::{Tensor, Tensors};
use super::loss::Loss;
use super::mlp::{self, Dropout, Mlp, StepSettings};
use super::options::MlpOptions;
use super::split::{Split, shuffle, train_test_split};
use crate::{Error, Result};

/// What is trained on.
pub(crate) struct Task<'a> {
    /// Standardised features.
    pub(crate) x: &'a Matrix<'a>,
    /// Rows of `x`, of the weights and of the loss's targets.
    pub(crate) rows: &'a [u32],
    pub(crate) weights: &'a [f64],
    pub(crate) loss: Loss<'a>,
    /// Strata and groups of all rows, for the validation split.
    pub(crate) strata: &'a [u32],
    pub(crate) groups: Option<&'a [u32]>,
    pub(crate) seed: u64,
}

/// How far a training has come: all that is needed to go on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    mlp: Mlp,
    adam: AdamW,
    epoch: usize,
    /// Least validation loss, its epoch, and the parameters that had it.
    best: Option<(f64, usize, Vec<f64>)>,
}

/// What an MLP learns from: batches by the numbers of their rows.
pub(crate) trait Feed {
    /// Mean loss of a batch by weight, and its gradient.
    fn gradient(&mut self, mlp: &Mlp, rows: &[u32], dropout: Option<Dropout>) -> Result<(f64, Vec<f64>)>;
    /// Mean loss by weight; none without rows that count.
    fn mean_loss(&mut self, mlp: &Mlp, rows: &[u32]) -> Result<Option<f64>>;
}

/// How the epochs go.
pub(crate) struct Course<'a> {
    pub(crate) options: &'a MlpOptions,
    pub(crate) seed: u64,
    /// Whether the first epoch takes the rows in their order: they may still be on their way.
    pub(crate) first_in_order: bool,
}

/// Trains from the state in `checkpoint` or from the start. `seen` gets epochs done and validation loss.
pub(crate) fn train(
    task: &Task,
    options: &MlpOptions,
    checkpoint: Option<&Path>,
    seen: impl FnMut(usize, Option<f64>),
) -> Result<Mlp> {
    let split = task.split(options);
    let start = State::new(task.x.columns(), &task.loss, task.weights, options, task.seed, &split.train);
    let (state, identity) = match checkpoint {
        None => (start, String::new()),
        Some(path) => {
            let identity = task.identity(options);
            (resume(path, &identity, start)?, identity)
        }
    };
    let save = |state: &State| match checkpoint {
        Some(path) => state.save(path, &identity),
        None => Ok(()),
    };
    let course = Course { options, seed: task.seed, first_in_order: false };
    course.run(&mut &*task, state, &split, save, seen)
}

impl Course<'_> {
    /// Epochs until there are enough of them. `save` gets the state after each, `seen` what it says.
    pub(crate) fn run(
        &self,
        feed: &mut impl Feed,
        mut state: State,
        split: &Split,
        save: impl Fn(&State) -> Result<()>,
        mut seen: impl FnMut(usize, Option<f64>),
    ) -> Result<Mlp> {
        let options = self.options;
        let decays = state.mlp.decaying();
        let batches = split.train.len().div_ceil(options.batch);
        let total = (batches * options.epochs) as u64;
        let warmup = (options.warmup * total as f64).round() as u64;
        while state.epoch < options.epochs && !state.is_tired(options) {
            for batch in self.order(&split.train, state.epoch).chunks(options.batch) {
                let step = state.adam.steps;
                let dropout = (options.dropout > 0.0).then_some(Dropout {
                    share: options.dropout,
                    seed: self.seed,
                    step,
                });
                let gradient = feed.gradient(&state.mlp, batch, dropout)?;
                let settings = StepSettings {
                    rate: options.learning_rate * adamw::schedule(step, total, warmup),
                    decay: options.weight_decay,
                    clip: options.clip,
                };
                let loss = mlp::step(&mut state.mlp, &mut state.adam, &decays, gradient, settings);
                if !loss.is_finite() {
                    return Err(Error::input(format!(
                        "training an MLP: the loss is {loss} after {step} steps; try a smaller learning rate than {}",
                        options.learning_rate
                    )));
                }
            }
            state.epoch += 1;
            let validation = feed.mean_loss(&state.mlp, &split.test)?;
            if let Some(loss) = validation
                && !state.best.as_ref().is_some_and(|(best, ..)| *best <= loss)
            {
                state.best = Some((loss, state.epoch, state.mlp.parameters.clone()));
            }
            save(&state)?;
            seen(state.epoch, validation);
        }
        if let Some((_, _, parameters)) = state.best {
            state.mlp.parameters = parameters;
        }
        Ok(state.mlp)
    }

    /// The rows of an epoch in the order in which they are learnt from.
    fn order(&self, rows: &[u32], epoch: usize) -> Vec<u32> {
        let mut order = rows.to_vec();
        if epoch == 0 && self.first_in_order {
            order.sort_unstable();
        } else {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(1 + epoch as u64);
            shuffle(&mut order, &mut rng);
        }
        order
    }
}

impl Feed for &Task<'_> {
    fn gradient(&mut self, mlp: &Mlp, rows: &[u32], dropout: Option<Dropout>) -> Result<(f64, Vec<f64>)> {
        Ok(mlp.gradient(self.x, rows, self.weights, &self.loss, dropout))
    }

    fn mean_loss(&mut self, mlp: &Mlp, rows: &[u32]) -> Result<Option<f64>> {
        let (sum, total) = loss_sum(mlp, self.x, rows, self.weights, &self.loss);
        Ok((total > 0.0).then(|| sum / total))
    }
}

/// Sum of losses times weights, and of weights.
pub(crate) fn loss_sum(mlp: &Mlp, x: &Matrix, rows: &[u32], weights: &[f64], loss: &Loss) -> (f64, f64) {
    let mut logits = mlp.logits(x, rows);
    let (mut sum, mut total) = (0.0, 0.0);
    for (&row, logits) in rows.iter().zip(logits.chunks_exact_mut(mlp.outputs())) {
        let weight = weights[row as usize];
        sum += weight * loss.row(row as usize, logits);
        total += weight;
    }
    (sum, total)
}

/// Rows to learn from and rows to watch, of those named; nothing to watch where they are too few for it.
pub(crate) fn watch_some(
    rows: &[u32],
    strata: &[u32],
    groups: Option<&[u32]>,
    options: &MlpOptions,
    seed: u64,
) -> Split {
    let strata: Vec<u32> = rows.iter().map(|&row| strata[row as usize]).collect();
    let groups: Option<Vec<u32>> =
        groups.map(|groups| rows.iter().map(|&row| groups[row as usize]).collect());
    let named = |at: &[u32]| at.iter().map(|&at| rows[at as usize]).collect();
    match train_test_split(&strata, groups.as_deref(), options.validation, seed) {
        Ok(split) => Split { train: named(&split.train), test: named(&split.test) },
        Err(_) => Split { train: rows.to_vec(), test: vec![] },
    }
}

impl Task<'_> {
    fn split(&self, options: &MlpOptions) -> Split {
        watch_some(self.rows, self.strata, self.groups, options, self.seed)
    }

    /// The hash of everything that decides the result.
    fn identity(&self, options: &MlpOptions) -> String {
        let mut hash = Sha256::new();
        hash.update(format!("{options:?} {} {} {:?}", self.seed, self.x.columns(), self.groups));
        for &row in self.rows {
            hash.update(bytemuck::cast_slice::<f32, u8>(self.x.row(row as usize)));
            hash.update(self.weights[row as usize].to_le_bytes());
            for output in 0..self.loss.outputs() {
                hash.update(self.loss.target(row as usize, output).to_le_bytes());
            }
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What a checkpoint says of itself.
#[derive(Serialize, Deserialize)]
struct Header {
    identity: String,
    epoch: usize,
    steps: u64,
    best: Option<(f64, usize)>,
}

/// Key of the header in the file's metadata.
const HEADER: &str = "frostbert_mlp_checkpoint";

impl State {
    /// An MLP that has learnt nothing but how frequent the targets are among `rows`.
    pub(crate) fn new(
        columns: usize,
        loss: &Loss,
        weights: &[f64],
        options: &MlpOptions,
        seed: u64,
        rows: &[u32],
    ) -> Self {
        let outputs = loss.outputs();
        let total: f64 = rows.iter().map(|&row| weights[row as usize]).sum();
        let least = (0.5 / total).min(0.5);
        let biases: Vec<f64> = (0..outputs)
            .map(|output| {
                let target = |&row: &u32| weights[row as usize] * loss.target(row as usize, output);
                loss.bias_of(rows.iter().map(target).sum::<f64>() / total, least)
            })
            .collect();
        let mut widths = vec![columns];
        widths.extend(&options.hidden);
        widths.push(outputs);
        let mlp = Mlp::new(widths, options.activation, &biases, seed);
        State { adam: AdamW::new(mlp.parameters.len()), mlp, epoch: 0, best: None }
    }

    fn is_tired(&self, options: &MlpOptions) -> bool {
        self.best.as_ref().is_some_and(|(_, epoch, _)| self.epoch - epoch >= options.patience.max(1))
    }

    fn save(&self, path: &Path, identity: &str) -> Result<()> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::io(format!("cannot write the checkpoint {}", path.display())).with_source(error)
        };
        let header = Header {
            identity: identity.to_owned(),
            epoch: self.epoch,
            steps: self.adam.steps,
            best: self.best.as_ref().map(|(loss, epoch, _)| (*loss, *epoch)),
        };
        let json = serde_json::to_string(&header).map_err(|error| failed(error.into()))?;
        let n = self.mlp.parameters.len();
        let mut tensors = vec![
            ("parameters", Tensor::f64(&[n], &self.mlp.parameters)),
            ("adam.first", Tensor::f64(&[n], &self.adam.first)),
            ("adam.second", Tensor::f64(&[n], &self.adam.second)),
        ];
        if let Some((_, _, parameters)) = &self.best {
            tensors.push(("best", Tensor::f64(&[n], parameters)));
        }
        let bytes = safetensors::serialize(tensors, Some([(HEADER.to_owned(), json)].into()))
            .map_err(|error| failed(error.into()))?;
        disk::write(path, &bytes).map_err(|error| failed(error.into()))
    }
}

/// The state in a checkpoint; `start` when there is none.
fn resume(path: &Path, identity: &str, start: State) -> Result<State> {
    let bytes = match disk::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(start),
        Err(error) => {
            return Err(
                Error::io(format!("cannot read the checkpoint {}", path.display())).with_source(error)
            );
        }
    };
    let damaged = || {
        Error::model_file(format!(
            "{} is no checkpoint of an MLP's training, or is damaged: remove it to start anew",
            path.display()
        ))
    };
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| damaged().with_source(error))?;
    let json = metadata.metadata().as_ref().and_then(|all| all.get(HEADER)).ok_or_else(damaged)?;
    let header: Header = serde_json::from_str(json).map_err(|error| damaged().with_source(error))?;
    if header.identity != identity {
        return Err(Error::input(format!(
            "the checkpoint {} belongs to a training with other data or options: remove it, or name another file",
            path.display()
        )));
    }
    let tensors = Tensors::open(&bytes).map_err(|error| damaged().with_source(error))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Two interleaved half circles: no line parts them.
    fn moons() -> (Matrix<'static>, Vec<u32>) {
        let (mut x, mut labels) = (Vec::new(), Vec::new());
        for at in 0..240u32 {
            let angle = f64::from(at / 2) / 119.0 * std::f64::consts::PI;
            let jitter = f64::from(at * at % 41) / 200.0 - 0.1;
            let (a, b) = if at % 2 == 0 {
                (angle.cos(), angle.sin() + jitter)
            } else {
                (1.0 - angle.cos(), 0.3 - angle.sin() + jitter)
            };
            x.extend([a as f32, b as f32]);
            labels.push(at % 2);
        }
        (Matrix::new(240, 2, x).unwrap(), labels)
    }

    fn options() -> MlpOptions {
        MlpOptions {
            hidden: vec![16, 8],
            epochs: 60,
            batch: 16,
            learning_rate: 0.02,
            patience: 60,
            ..Default::default()
        }
    }

    fn run(options: &MlpOptions, checkpoint: Option<&Path>, stop_after: usize) -> Result<Mlp> {
        let (x, labels) = moons();
        let rows: Vec<u32> = (0..240).collect();
        let loss = Loss::Logistic { labels: &labels };
        let task =
            Task { x: &x, rows: &rows, weights: &[1.0; 240], loss, strata: &labels, groups: None, seed: 4 };
        let options = MlpOptions { epochs: options.epochs, ..options.clone() };
        train(&task, &options, checkpoint, |epoch, _| {
            if epoch == stop_after {
                panic!("stopped on purpose")
            }
        })
    }

    #[test]
    fn learns_what_no_line_can() {
        let (x, labels) = moons();
        let rows: Vec<u32> = (0..240).collect();
        let mlp = run(&options(), None, 0).unwrap();
        let logits = mlp.logits(&x, &rows);
        let right = logits.iter().zip(&labels).filter(|(z, label)| (**z > 0.0) == (**label == 1)).count();
        assert!(right >= 236, "{right} of 240");
    }

    #[test]
    fn a_killed_training_goes_on_to_the_same_bits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let options = MlpOptions { epochs: 9, ..options() };
        let killed = std::panic::catch_unwind(|| run(&options, Some(&path), 4));
        assert!(killed.is_err() && path.exists());
        let resumed = run(&options, Some(&path), 0).unwrap();
        assert_eq!(resumed, run(&options, None, 0).unwrap());
        let other = MlpOptions { dropout: 0.3, ..options.clone() };
        let message = run(&other, Some(&path), 0).unwrap_err().to_string();
        assert!(message.contains("other data or options"), "{message}");
        std::fs::write(&path, b"nonsense").unwrap();
        assert!(run(&options, Some(&path), 0).unwrap_err().is_model_file());
    }

    #[test]
    fn early_stopping_keeps_the_best_epoch() {
        let (x, labels) = moons();
        let rows: Vec<u32> = (0..240).collect();
        // Labels of noise: the validation loss soon rises.
        let noise: Vec<u32> = (0..240u32).map(|row| row * row * 7 % 11 % 2).collect();
        let loss = Loss::Logistic { labels: &noise };
        let task =
            Task { x: &x, rows: &rows, weights: &[1.0; 240], loss, strata: &labels, groups: None, seed: 4 };
        let options = MlpOptions { patience: 3, dropout: 0.0, ..options() };
        let mut losses = vec![];
        let mlp = train(&task, &options, None, |_, loss| losses.push(loss.unwrap())).unwrap();
        assert!(losses.len() < options.epochs, "stopped early");
        let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
        assert_eq!(losses[losses.len() - 4], least, "three epochs after the best: {losses:?}");
        let split = task.split(&options);
        assert_eq!((&task).mean_loss(&mlp, &split.test).unwrap(), Some(least));
    }

    #[test]
    fn a_hopeless_learning_rate_is_an_error_or_finite() {
        let options = MlpOptions { learning_rate: 1e300, epochs: 3, ..options() };
        match run(&options, None, 0) {
            Ok(mlp) => assert!(mlp.parameters.iter().all(|p| p.is_finite())),
            Err(error) => assert!(error.to_string().contains("smaller learning rate"), "{error}"),
        }
    }
}
