//! Training on rows that are not in memory together, and may still be on their way.
//!
//! An MLP learns by mini-batches, so it needs a batch at a time. The order in which it asks for rows is random but known
//! beforehand: an encoder that computes them in that order feeds the first epoch while it goes on.

use super::fit::{joint_loss, row_weights};
use super::train::Training;
use crate::error::{Error, Result};
use crate::head::data::matrix::Matrix;
use crate::head::data::split::Split;
use crate::head::data::targets::Targets;
use crate::head::data::targets::{TrainData, unit_weights};
use crate::head::linear::standardise::Standardisation;
use crate::head::mlp::checkpoint as mlp_checkpoint;
use crate::head::mlp::checkpoint::{Checkpoint, Facts, State};
use crate::head::mlp::network::{Dropout, Mlp};
use crate::head::mlp::train as mlp_train;
use crate::head::mlp::train::{BatchSource, Mean, TrainingRun, validation_split};
use crate::head::model::head::{Head, Model, Record};
use crate::head::options::{Kind, MlpOptions, ModelKind, TrainOptions};
use crate::head::progress::Progress;

/// Rows that are read at once to measure a loss or to predict.
const CHUNK: usize = 1024;

/// Embeddings by the numbers of their rows: in memory, on disk, or still being computed.
pub trait RowSource {
    /// Columns of a row.
    fn columns(&self) -> usize;

    /// Appends the rows named to `out`, in that order; waits for those that are on their way.
    ///
    /// # Errors
    /// Rows that cannot be read, or will never come.
    fn read(&mut self, rows: &[u32], out: &mut Vec<f32>) -> Result<()>;
}

impl RowSource for Matrix<'_> {
    fn columns(&self) -> usize {
        self.columns()
    }

    fn read(&mut self, rows: &[u32], out: &mut Vec<f32>) -> Result<()> {
        for &row in rows {
            if row as usize >= self.rows() {
                return Err(Error::input(format!("reading row {row} of a matrix of {} rows", self.rows())));
            }
            out.extend_from_slice(self.row(row as usize));
        }
        Ok(())
    }
}

/// What is known of the rows of a stream before they come.
#[derive(Clone, Debug)]
pub struct StreamRows {
    /// Which rows to learn from.
    pub train: Vec<u32>,
    /// What each row should give, of all rows.
    pub targets: Targets,
    /// Weight of each row's loss, of all rows; none means one each.
    pub weights: Option<Vec<f64>>,
    /// Group of each row, of all rows.
    pub groups: Option<Vec<u32>>,
    /// What stands for the embeddings, which a checkpoint has to know before they are there: a hash of the texts and the
    /// encoder, say. Needed with [`TrainOptions::checkpoint`] alone.
    pub fingerprint: Option<String>,
}

impl Head {
    /// Trains an MLP on rows that are read a batch at a time: memory holds no more of them, and training starts with the
    /// first ones of [`StreamRows::first_pass`].
    ///
    /// The result depends on the rows and the seed, not on where the rows are or when they come: it has the bits that
    /// [`train`](Self::train) gives on a matrix of the same rows. [`TrainOptions::cross_validate`] is not looked at.
    ///
    /// # Errors
    /// Another kind than [`Kind::Mlp`], options that need all rows at once (calibration), targets that do not fit
    /// together, a checkpoint that cannot be read or written or is another training's, and what `source` returns.
    pub fn train_on_stream(
        source: &mut dyn RowSource,
        rows: &StreamRows,
        options: &TrainOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Training> {
        let Kind::Mlp(mlp) = &options.kind else {
            return Err(Error::input(format!(
                "training on a stream learns by mini-batches, as an MLP does; found the kind {}",
                options.kind.name()
            )));
        };
        if options.calibration != crate::head::CalibrationKind::None {
            return Err(Error::input("training on a stream has no out-of-fold predictions to calibrate on"));
        }
        mlp_train::check_weights(&rows.targets, options)?;
        options.check()?;
        rows.check()?;
        let mut unit_rows = rows.clone();
        if let Some(weights) = &mut unit_rows.weights {
            unit_weights(weights);
        }
        let rows = &unit_rows;
        let columns = source.columns();
        let seed = options.folds.seed;
        let split = rows.split(mlp, seed);
        let standardisation = {
            let sample = mlp_train::sample(&split, seed);
            let weights: Option<Vec<f64>> =
                rows.weights.as_ref().map(|all| sample.iter().map(|&row| all[row as usize]).collect());
            let x = matrix(source, &sample)?;
            Standardisation::fit(&x, &all(x.rows()), weights.as_deref())
        };
        let (mean, scale) = rows.targets.size(&rows.train, rows.weights.as_deref());
        let targets = rows.targets.clone().scaled(mean, scale);
        let data = TrainData {
            embeddings: Matrix::from_parts(vec![], rows.targets.rows(), 0),
            targets: targets.clone(),
            weights: rows.weights.clone(),
            groups: None,
        };
        let loss = joint_loss(&targets);
        let weights = row_weights(&data, &rows.train, &loss, options.class_weight);
        let start = State::new(columns, &loss, &weights, mlp, seed, &split.train);
        let mut batches =
            Streamed { source, standardisation: &standardisation, targets: &targets, weights: &weights };
        let facts = |fingerprint: &str| Facts {
            seed,
            columns,
            embeddings: fingerprint.to_owned(),
            rows: &rows.train,
            loss: &loss,
            weights: &weights,
            groups: rows.groups.as_deref(),
        };
        let checkpoint = match (&options.checkpoint, &rows.fingerprint) {
            (None, _) => None,
            (Some(path), Some(fingerprint)) => Some(Checkpoint::new(path, mlp, &facts(fingerprint))),
            (Some(_), None) => {
                return Err(Error::input(
                    "a checkpoint of training on a stream needs a fingerprint of the rows: they cannot be compared before \
                     they are there",
                ));
            }
        };
        let run = TrainingRun { options: mlp, seed, checkpoint: checkpoint.as_ref() };
        let mut epochs = 0;
        let seen = |epoch, _| {
            epochs = epoch;
            progress(Progress { stage: "fitting", done: epoch, total: mlp.epochs });
        };
        let mut model = run.run(&mut batches, start, &split, seen)?;
        options.checkpoint.as_deref().map_or(Ok(()), mlp_checkpoint::remove)?;
        model.rescale_output(mean, scale);
        let head = Head::uncalibrated(
            ModelKind::Mlp,
            (rows.targets.problem(), rows.targets.names().to_vec()),
            columns,
            (Model::Mlp(model), Some(standardisation)),
            Record { train_rows: rows.train.len(), settings: Some(options.clone()), ..Record::default() },
        );
        Ok(Training {
            head,
            cross_validation: None,
            choice: None,
            layers: None,
            words: None,
            objective: 0.0,
            passes: epochs,
            converged: true,
        })
    }

    /// Probabilities of the rows named, `[rows, names]`, read a piece at a time; of a regression, the values.
    ///
    /// # Errors
    /// The rows have another number of columns, and what `source` returns.
    pub fn predict_stream(&self, source: &mut dyn RowSource, rows: &[u32]) -> Result<Vec<f64>> {
        let mut all = Vec::with_capacity(rows.len() * self.names().len());
        for rows in rows.chunks(CHUNK) {
            all.extend(self.predict_proba(&matrix(source, rows)?)?);
        }
        Ok(all)
    }
}

/// Batches of a stream's rows.
struct Streamed<'a> {
    source: &'a mut dyn RowSource,
    standardisation: &'a Standardisation,
    targets: &'a Targets,
    weights: &'a [f64],
}

/// A batch by itself: its rows are numbered from 0.
struct Batch {
    x: Matrix<'static>,
    rows: Vec<u32>,
    targets: Targets,
    weights: Vec<f64>,
}

impl Streamed<'_> {
    fn batch(&mut self, rows: &[u32]) -> Result<Batch> {
        let numbers = all(rows.len());
        Ok(Batch {
            x: self.standardisation.apply(&matrix(self.source, rows)?, &numbers),
            rows: numbers,
            targets: self.targets.select_rows(rows),
            weights: rows.iter().map(|&row| self.weights[row as usize]).collect(),
        })
    }
}

impl BatchSource for Streamed<'_> {
    fn gradient(&mut self, mlp: &Mlp, rows: &[u32], dropout: Option<Dropout>) -> Result<(f64, Vec<f64>)> {
        let batch = self.batch(rows)?;
        Ok(mlp.gradient(&batch.x, &batch.rows, &batch.weights, &joint_loss(&batch.targets), dropout))
    }

    fn mean_loss(&mut self, mlp: &Mlp, rows: &[u32]) -> Result<Option<f64>> {
        let mut mean = Mean::default();
        for rows in rows.chunks(CHUNK) {
            let batch = self.batch(rows)?;
            mean.add(mlp, &batch.x, &batch.rows, &batch.weights, &joint_loss(&batch.targets));
        }
        Ok(mean.get())
    }
}

impl StreamRows {
    /// The order in which training with these options asks for rows for the first time, each once. Whoever computes the
    /// rows should do so in this order: a sorted table's would give the first epoch one class after the other.
    ///
    /// # Errors
    /// Rows, targets, weights and groups that do not fit together.
    pub fn first_pass(&self, options: &TrainOptions) -> Result<Vec<u32>> {
        self.check()?;
        let seed = options.folds.seed;
        Ok(match &options.kind {
            Kind::Mlp(mlp) => mlp_train::first_pass(&self.split(mlp, seed), seed),
            _ => self.train.clone(),
        })
    }

    fn split(&self, mlp: &MlpOptions, seed: u64) -> Split {
        validation_split(&self.train, &self.targets.strata(), self.groups.as_deref(), mlp, seed)
    }

    fn check(&self) -> Result<()> {
        let rows = self.targets.rows();
        if let Some(row) = self.train.iter().find(|&&row| row as usize >= rows) {
            return Err(Error::input(format!("training a head: row {row} is none of {rows} rows")));
        }
        // What can be said of targets, weights and groups is said of those that are learnt from.
        let pick = |values: &Vec<f64>| self.train.iter().map(|&row| values[row as usize]).collect();
        for (what, len) in [
            ("sample weights", self.weights.as_ref().map_or(rows, Vec::len)),
            ("groups", self.groups.as_ref().map_or(rows, Vec::len)),
        ] {
            if len != rows {
                return Err(Error::input(format!(
                    "training a head: expected one of {what} for each of {rows} rows, found {len}"
                )));
            }
        }
        TrainData {
            embeddings: Matrix::from_parts(vec![0.0; self.train.len()], self.train.len(), 1),
            targets: self.targets.select_rows(&self.train),
            weights: self.weights.as_ref().map(pick),
            groups: None,
        }
        .check()
    }
}

fn all(rows: usize) -> Vec<u32> {
    (0..rows as u32).collect()
}

fn matrix(source: &mut dyn RowSource, rows: &[u32]) -> Result<Matrix<'static>> {
    let columns = source.columns();
    let mut values = Vec::with_capacity(rows.len() * columns);
    source.read(rows, &mut values)?;
    Matrix::new(rows.len(), columns, values)
}
