//! Training of an MLP: epochs of mini-batches and early stopping.

use std::path::Path;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::Digest;

use super::checkpoint::{Checkpoint, Facts, State, digest};
use super::network as mlp;
use super::network::{Dropout, Mlp, StepSettings};
use crate::error::{Error, Result};
use crate::head::data::matrix::Matrix;
use crate::head::data::split::{Split, shuffle, train_test_split};
use crate::head::data::targets::Problem;
use crate::head::data::targets::Targets;
use crate::head::numeric::adamw;
use crate::head::numeric::adamw::AdamW;
use crate::head::numeric::loss::Loss;
use crate::head::options::{ClassWeight, MlpOptions, TrainOptions};

/// Refuses weights that an MLP has not: those of each label's two sides.
pub(crate) fn check_weights(targets: &Targets, options: &TrainOptions) -> Result<()> {
    if options.class_weight == ClassWeight::Balanced && targets.problem() == Problem::MultiLabel {
        return Err(Error::input("balanced weights of several labels need a linear head, found an MLP"));
    }
    Ok(())
}

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

/// What an MLP learns from: batches by the numbers of their rows.
pub(crate) trait BatchSource {
    /// Mean loss of a batch by weight, and its gradient.
    fn gradient(&mut self, mlp: &Mlp, rows: &[u32], dropout: Option<Dropout>) -> Result<(f64, Vec<f64>)>;
    /// Mean loss by weight; none without rows that count.
    fn mean_loss(&mut self, mlp: &Mlp, rows: &[u32]) -> Result<Option<f64>>;
}

/// The epochs of one training.
pub(crate) struct TrainingRun<'a> {
    pub(crate) options: &'a MlpOptions,
    pub(crate) seed: u64,
    pub(crate) checkpoint: Option<&'a Checkpoint<'a>>,
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
    let checkpoint = checkpoint.map(|path| {
        let embeddings = digest(|hash| {
            task.rows
                .iter()
                .for_each(|&row| hash.update(bytemuck::cast_slice::<f32, u8>(task.x.row(row as usize))));
        });
        let facts = Facts {
            seed: task.seed,
            columns: task.x.columns(),
            embeddings,
            rows: task.rows,
            loss: &task.loss,
            weights: task.weights,
            groups: task.groups,
        };
        Checkpoint::new(path, options, &facts)
    });
    let run = TrainingRun { options, seed: task.seed, checkpoint: checkpoint.as_ref() };
    run.run(&mut &*task, start, &split, seen)
}

impl TrainingRun<'_> {
    /// Epochs from the checkpoint's state, or from `start`, until there are enough of them.
    pub(crate) fn run(
        &self,
        source: &mut impl BatchSource,
        start: State,
        split: &Split,
        mut seen: impl FnMut(usize, Option<f64>),
    ) -> Result<Mlp> {
        let options = self.options;
        let mut state = match self.checkpoint {
            Some(checkpoint) => checkpoint.resume(start)?,
            None => start,
        };
        let decays = state.mlp.decaying();
        let batches = split.train.len().div_ceil(options.batch);
        let total = (batches * options.epochs) as u64;
        let warmup = (options.warmup * total as f64).round() as u64;
        while state.epoch < options.epochs && !state.is_out_of_patience(options.patience) {
            for batch in order(&split.train, self.seed, state.epoch).chunks(options.batch) {
                let step = state.adam.steps;
                let dropout = (options.dropout > 0.0).then_some(Dropout {
                    share: options.dropout,
                    seed: self.seed,
                    step,
                });
                let gradient = source.gradient(&state.mlp, batch, dropout)?;
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
            let validation = source.mean_loss(&state.mlp, &split.test)?;
            if let Some(loss) = validation
                && !state.best.as_ref().is_some_and(|(best, ..)| *best <= loss)
            {
                state.best = Some((loss, state.epoch, state.mlp.parameters.clone()));
            }
            self.checkpoint.map_or(Ok(()), |checkpoint| checkpoint.save(&state))?;
            seen(state.epoch, validation);
        }
        if let Some((_, _, parameters)) = state.best {
            state.mlp.parameters = parameters;
        }
        Ok(state.mlp)
    }
}

/// The rows of an epoch in the order in which they are learnt from, decided by the seed and the epoch's number: a restart
/// needs no other memory of it.
fn order(rows: &[u32], seed: u64, epoch: usize) -> Vec<u32> {
    let mut order = rows.to_vec();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(1 + epoch as u64);
    shuffle(&mut order, &mut rng);
    order
}

/// All rows in the order in which they are needed first: as the first epoch takes them, then those that are watched.
pub(crate) fn first_pass(split: &Split, seed: u64) -> Vec<u32> {
    let mut rows = order(&split.train, seed, 0);
    rows.extend(&split.test);
    rows
}

/// The rows by which features are standardised: the first of the first epoch, a random sample that is there before the
/// others.
pub(crate) fn sample(split: &Split, seed: u64) -> Vec<u32> {
    let mut rows = order(&split.train, seed, 0);
    rows.truncate(4096);
    rows
}

impl BatchSource for &Task<'_> {
    fn gradient(&mut self, mlp: &Mlp, rows: &[u32], dropout: Option<Dropout>) -> Result<(f64, Vec<f64>)> {
        Ok(mlp.gradient(self.x, rows, self.weights, &self.loss, dropout))
    }

    fn mean_loss(&mut self, mlp: &Mlp, rows: &[u32]) -> Result<Option<f64>> {
        let mut mean = Mean::default();
        mean.add(mlp, self.x, rows, self.weights, &self.loss);
        Ok(mean.get())
    }
}

/// A mean loss by weight, gathered row by row: the same bits whatever the pieces.
#[derive(Default)]
pub(crate) struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    pub(crate) fn add(&mut self, mlp: &Mlp, x: &Matrix, rows: &[u32], weights: &[f64], loss: &Loss) {
        let mut logits = mlp.logits(x, rows);
        for (&row, logits) in rows.iter().zip(logits.chunks_exact_mut(mlp.outputs())) {
            let weight = weights[row as usize];
            self.sum += weight * loss.row(row as usize, logits);
            self.weight += weight;
        }
    }

    /// None without rows that count.
    pub(crate) fn get(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

/// Rows to learn from and rows to watch, of those named; nothing to watch where they are too few for it.
pub(crate) fn validation_split(
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
        validation_split(self.rows, self.strata, self.groups, options, self.seed)
    }
}

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
        let counted = rows.iter().filter(|&&row| weights[row as usize] > 0.0).count();
        let least = (0.5 / counted.max(1) as f64).min(0.5);
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
        std::fs::write(&path, b"nonsense").unwrap();
        assert!(run(&options, Some(&path), 0).unwrap_err().is_model_file());
    }

    #[test]
    fn a_checkpoint_of_another_training_or_with_one_bit_flipped_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let options = MlpOptions { epochs: 3, ..options() };
        run(&options, Some(&path), 0).unwrap();
        let other = MlpOptions { dropout: 0.3, hidden: vec![5], ..options.clone() };
        let message = run(&other, Some(&path), 0).unwrap_err().to_string();
        assert!(message.contains("hidden [16,8] instead of [5], dropout 0.2 instead of 0.3;"), "{message}");
        let (x, mut labels) = moons();
        let rows: Vec<u32> = (0..240).collect();
        labels[7] = 1 - labels[7];
        let loss = Loss::Logistic { labels: &labels };
        let task =
            Task { x: &x, rows: &rows, weights: &[2.0; 240], loss, strata: &labels, groups: None, seed: 4 };
        let message = train(&task, &options, Some(&path), |_, _| {}).unwrap_err().to_string();
        assert!(message.contains("it has other targets, other weights;"), "{message}");
        let sound = std::fs::read(&path).unwrap();
        for at in (0..sound.len()).step_by(97) {
            let mut damaged = sound.clone();
            damaged[at] ^= 1 << (at % 8);
            std::fs::write(&path, damaged).unwrap();
            let error = run(&options, Some(&path), 0).unwrap_err();
            assert!(error.is_model_file() && error.to_string().contains("delete it"), "byte {at}: {error}");
        }
        std::fs::write(&path, &sound[..sound.len() / 2]).unwrap();
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
