//! The head: a model with all that is needed to use it.

use crate::head::Decision;
use serde::{Deserialize, Serialize};

use super::encoder_binding::EncoderBinding;
use super::neighbours::Neighbours;
use super::sample::{Novelty, Sample};
use crate::error::{Error, Result};
use crate::head::data::matrix::Matrix;
use crate::head::data::targets::{Problem, Targets, TrainData};
use crate::head::linear::coefficients::Linear;
use crate::head::linear::standardise::Standardisation;
use crate::head::measure::calibration::Calibration;
use crate::head::measure::caution::Caution;
use crate::head::measure::estimate::Estimate;
use crate::head::measure::hierarchy::{Hierarchy, HierarchyMeasures};
use crate::head::measure::metrics::{Metrics, argmax};
use crate::head::mlp::network::Mlp;
use crate::head::numeric::dense;
use crate::head::numeric::loss::{sigmoid, softmax};
use crate::head::options::{ModelKind, TrainOptions};
use crate::platform;

/// A small model on frozen embeddings: from a row of `dimension` numbers to a class, a set of labels, or a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    pub(crate) kind: ModelKind,
    pub(crate) model: Model,
    pub(crate) problem: Problem,
    pub(crate) names: Vec<String>,
    pub(crate) dimension: usize,
    pub(crate) standardisation: Option<Standardisation>,
    pub(crate) calibration: Calibration,
    /// Of each label; empty unless multi-label.
    pub(crate) thresholds: Vec<f64>,
    /// Whether classes were learnt one against the rest: probabilities are then sigmoids scaled to a sum of one, not a softmax.
    pub(crate) one_vs_rest: bool,
    /// What it does when it is unsure.
    pub(crate) caution: Caution,
    /// Rows that it keeps of those it learnt from.
    pub(crate) sample: Option<Sample>,
    /// What is kept about the head's making.
    pub record: Record,
}

/// What is kept about a head's making: nothing here changes its predictions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The encoder whose embeddings it learnt from.
    pub encoder: Option<EncoderBinding>,
    /// Where that encoder was: a folder or a hub id.
    pub model_location: Option<String>,
    /// How it was trained.
    pub settings: Option<TrainOptions>,
    /// Rows it learnt from.
    pub train_rows: usize,
    /// `C` it was fitted with.
    pub c: Option<f64>,
    /// Measures over folds, with 95% intervals.
    pub cross_validation: Vec<(String, Estimate)>,
    /// Measures on held-out rows.
    pub test: Option<Metrics>,
    /// Anything else its maker wants to keep.
    pub notes: std::collections::BTreeMap<String, String>,
}

impl Record {
    /// Checks that its numbers are finite: JSON has no others.
    pub(crate) fn check_finite(&self) -> Result<()> {
        let test = self.test.iter().flat_map(|metrics| metrics.scalars());
        let test = test.filter_map(|(name, value)| Some((format!("{name} of the held-out rows"), value?)));
        let folds = self.cross_validation.iter().flat_map(|(name, estimate)| {
            [estimate.mean, estimate.half_width].map(|value| (format!("{name} over the folds"), value))
        });
        let c = self.c.map(|c| ("C".to_owned(), c));
        match c.into_iter().chain(folds).chain(test).find(|(_, value)| !value.is_finite()) {
            Some((name, value)) => Err(Error::input(format!(
                "writing a head: {name} is {value}, which its record cannot hold; look for huge values among the data"
            ))),
            None => Ok(()),
        }
    }
}

/// What computes the logits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Model {
    /// Over standardised features; one output for two classes.
    Linear(Linear),
    Mlp(Mlp),
    Neighbours(Neighbours),
}

impl Model {
    /// Logits a row: one for two classes.
    pub(crate) fn outputs(&self) -> usize {
        match self {
            Model::Linear(linear) => linear.intercepts.len(),
            Model::Mlp(mlp) => mlp.outputs(),
            Model::Neighbours(neighbours) => neighbours.outputs,
        }
    }

    /// Logits of the rows named, `[rows, outputs]`.
    pub(crate) fn logits(
        &self,
        standardisation: Option<&Standardisation>,
        x: &Matrix,
        rows: &[u32],
    ) -> Vec<f64> {
        let on_features = |of: &dyn Fn(&Matrix, &[u32]) -> Vec<f64>| match standardisation {
            None => of(x, rows),
            Some(standardisation) => {
                let all: Vec<u32> = (0..rows.len() as u32).collect();
                of(&standardisation.apply(x, rows), &all)
            }
        };
        match self {
            Model::Linear(linear) => match standardisation {
                None => linear_logits(linear, x, rows),
                Some(standardisation) => linear_logits(&standardisation.unfold(linear), x, rows),
            },
            Model::Mlp(mlp) => on_features(&|x, rows| mlp.logits(x, rows)),
            Model::Neighbours(neighbours) => on_features(&|x, rows| neighbours.logits(x, rows)),
        }
    }
}

impl Head {
    /// A head as a fit leaves it: not calibrated, every label's threshold at a half.
    pub(crate) fn uncalibrated(
        kind: ModelKind,
        (problem, names): (Problem, Vec<String>),
        dimension: usize,
        (model, standardisation): (Model, Option<Standardisation>),
        record: Record,
    ) -> Self {
        Head {
            kind,
            problem,
            dimension,
            calibration: Calibration::identity(model.outputs()),
            thresholds: if problem == Problem::MultiLabel { vec![0.5; names.len()] } else { Vec::new() },
            names,
            standardisation,
            model,
            one_vs_rest: false,
            caution: Caution::default(),
            sample: None,
            record,
        }
    }

    #[cfg(feature = "export")]
    /// A linear head over embeddings as they are. Two classes have one output, the logit of the second class.
    ///
    /// Shapes: `coefficients` `[outputs, dimension]`, `intercepts` `[outputs]`.
    #[cfg(not(target_arch = "wasm32"))] // Importing heads is the only caller, and browsers have no files.
    pub(crate) fn linear(
        coefficients: Vec<f64>,
        intercepts: Vec<f64>,
        problem: Problem,
        names: Vec<String>,
    ) -> Self {
        let dimension = coefficients.len().checked_div(intercepts.len()).unwrap_or(0);
        let model = Model::Linear(Linear { coefficients, intercepts });
        Self::uncalibrated(ModelKind::Linear, (problem, names), dimension, (model, None), Record::default())
    }

    /// Names of what comes out: classes, labels, or the one number.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Which problem it solves.
    pub fn problem(&self) -> Problem {
        self.problem
    }

    /// Columns of the embeddings it takes.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Which kind of model it is.
    pub fn kind(&self) -> ModelKind {
        self.kind
    }

    /// Whether classes were learnt one against the rest, as scikit-learn's `SGDClassifier` does: probabilities are then sigmoids of
    /// the logits, scaled to a sum of one, instead of their softmax.
    pub fn is_one_vs_rest(&self) -> bool {
        self.one_vs_rest
    }

    /// The calibration of its logits.
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// Thresholds of each label; empty unless multi-label.
    pub fn thresholds(&self) -> &[f64] {
        &self.thresholds
    }

    /// What it does when it is unsure, unless told otherwise.
    pub fn caution(&self) -> &Caution {
        &self.caution
    }

    /// Rows that it keeps of those it learnt from, to know what is like them; none unless it was told to keep some.
    pub fn sample(&self) -> Option<&Sample> {
        self.sample.as_ref()
    }

    /// Keeps at most `most` of these rows, those it learnt from, drawn by the seed: in eight bits a number, and no more than 512 KiB. Whoever has the
    /// head's file has their embeddings then. Beside them it keeps the centres of the classes and the covariance about them, of at most 4 MiB.
    ///
    /// `unseen` are probabilities for the rows from models that had not seen them, `[rows, names]`, where there are such
    /// ([`CrossValidation::predictions`](crate::head::CrossValidation::predictions)): energies are those of new rows then.
    ///
    /// # Errors
    /// The input: other columns or targets, fewer than 20 rows or rows to keep, a row of zeros.
    pub fn keep_sample(
        &mut self,
        rows: &TrainData,
        unseen: Option<&[f64]>,
        most: usize,
        seed: u64,
    ) -> Result<()> {
        let answers = self.predict_proba(&rows.embeddings)?;
        self.check_targets(&rows.embeddings, &rows.targets)?;
        if let Some(unseen) = unseen.filter(|unseen| unseen.len() != answers.len()) {
            return Err(Error::input(format!(
                "keeping a sample of the training rows: expected {} probabilities of models that had not seen them, found {}",
                answers.len(),
                unseen.len()
            )));
        }
        self.sample = Some(Sample::draw(&rows.embeddings, &rows.targets, (&answers, unseen), most, seed)?);
        Ok(())
    }

    /// How far each row is from those that the head learnt from; `probabilities` are those of [`predict_proba`](Self::predict_proba). None unless
    /// it [keeps some](Self::keep_sample).
    ///
    /// # Errors
    /// The input: other columns, a row of zeros.
    pub fn novelty(&self, embeddings: &Matrix, probabilities: &[f64]) -> Result<Option<Vec<Novelty>>> {
        let sample = self.sample.as_ref();
        sample.map(|sample| sample.novelty(embeddings, self.problem, probabilities)).transpose()
    }

    /// Its classes as a tree, where it [reads their names as paths](Caution::levels).
    pub fn hierarchy(&self) -> Option<Hierarchy> {
        // That the names are paths was checked when it was trained or read.
        self.caution.levels.and_then(|levels| Hierarchy::of(&self.names, levels.separator).ok())
    }

    /// How sure a node of its tree has to be to be answered, where it was [told](Caution::abstain).
    pub(crate) fn sure_enough(&self) -> Option<f64> {
        self.caution.abstain.map(|rule| rule.below)
    }

    /// Coefficients `[outputs, dimension]` and intercepts `[outputs]` on embeddings as they are, standardisation
    /// folded in, before calibration; none unless the head is linear. Two classes have one output, the logit of
    /// the second class.
    pub fn coefficients(&self) -> Option<(Vec<f64>, Vec<f64>)> {
        let Model::Linear(linear) = &self.model else { return None };
        let raw = self.standardisation.as_ref().map_or_else(|| linear.clone(), |s| s.unfold(linear));
        Some((raw.coefficients, raw.intercepts))
    }

    /// Calibrated logits, `[rows, names]`. Of two classes the first has logit zero. A regression's logit is its value.
    ///
    /// # Errors
    /// The input, when the embeddings have another number of columns.
    pub fn logits(&self, embeddings: &Matrix) -> Result<Vec<f64>> {
        self.check_dimension(embeddings)?;
        let rows: Vec<u32> = (0..embeddings.rows() as u32).collect();
        let mut outputs = self.model.logits(self.standardisation.as_ref(), embeddings, &rows);
        self.calibration.apply(&mut outputs);
        if let Some(at) = outputs.iter().position(|output| !output.is_finite()) {
            return Err(Error::model_file(format!(
                "using a head: it gives {} for row {}, which is no number to go by: the head is damaged, or its coefficients and \
                 the embeddings are too large",
                outputs[at],
                at / self.model.outputs().max(1)
            )));
        }
        Ok(expand(&outputs, self.problem, self.names.len()))
    }

    /// Probabilities, `[rows, names]`; of a regression, the values `[rows]`.
    ///
    /// # Errors
    /// The input, when the embeddings have another number of columns.
    pub fn predict_proba(&self, embeddings: &Matrix) -> Result<Vec<f64>> {
        let mut logits = self.logits(embeddings)?;
        if self.one_vs_rest {
            logits.chunks_exact_mut(self.names.len()).for_each(one_vs_rest);
        } else {
            to_probabilities(&mut logits, self.problem, self.names.len());
        }
        Ok(logits)
    }

    /// Checks that all that decides predictions is finite.
    pub(crate) fn check_finite(&self) -> Result<()> {
        let (f64s, f32s): (Vec<&[f64]>, &[f32]) = match &self.model {
            Model::Linear(linear) => (vec![&linear.coefficients, &linear.intercepts], &[]),
            Model::Mlp(mlp) => (vec![&mlp.parameters], &[]),
            Model::Neighbours(known) => (vec![&known.targets], &known.rows),
        };
        let scaling = self.standardisation.iter().flat_map(|scaling| [&scaling.mean, &scaling.scale]);
        let calibration = [&self.calibration.scale, &self.calibration.bias, &self.thresholds];
        let all = f64s.into_iter().chain(scaling.chain(calibration).map(Vec::as_slice));
        let found = all.flatten().copied().chain(f32s.iter().map(|&v| f64::from(v))).find(|v| !v.is_finite());
        found.map_or(Ok(()), |value| {
            Err(Error::input(format!(
                "a head of finite numbers was expected, found {value} in its {}",
                self.kind
            )))
        })
    }

    /// What the probabilities of one row (of [`predict_proba`](Self::predict_proba)) say; a class less likely than `abstain` is
    /// withheld, by default than what the head was [trained to withhold](Caution::abstain).
    ///
    /// # Panics
    /// When there is not one probability a name.
    pub fn decide(&self, probabilities: &[f64], abstain: Option<f64>) -> Decision {
        assert_eq!(probabilities.len(), self.names.len(), "one row has a probability for each name");
        match self.problem {
            Problem::Regression => Decision::Value(probabilities[0]),
            Problem::MultiLabel => {
                let over = |&j: &usize| probabilities[j] > self.thresholds[j];
                Decision::Labels((0..probabilities.len()).filter(over).collect())
            }
            Problem::SingleLabel => {
                let class = argmax(probabilities);
                let probability = probabilities[class];
                let abstain = abstain.or(self.caution.abstain.map(|rule| rule.below));
                if abstain.is_some_and(|least| !(probability >= least)) {
                    Decision::Abstained { class, probability }
                } else {
                    Decision::Class { class, probability }
                }
            }
        }
    }

    /// Decisions for all rows.
    ///
    /// # Errors
    /// The input, when the embeddings have another number of columns.
    pub fn predict(&self, embeddings: &Matrix, abstain: Option<f64>) -> Result<Vec<Decision>> {
        let probabilities = self.predict_proba(embeddings)?;
        Ok(probabilities.chunks_exact(self.names.len()).map(|row| self.decide(row, abstain)).collect())
    }

    /// Measures the head on rows with known targets.
    ///
    /// # Errors
    /// The input, when the embeddings have another number of columns, or the targets another number of rows,
    /// or other names than the head's.
    pub fn evaluate(&self, embeddings: &Matrix, targets: &Targets) -> Result<Metrics> {
        self.check_targets(embeddings, targets)?;
        let predictions = self.predict_proba(embeddings)?;
        let thresholds = (self.problem == Problem::MultiLabel).then_some(&self.thresholds[..]);
        Ok(Metrics::of(targets, &predictions, thresholds))
    }

    /// Whether these are targets of these rows, and the head's.
    fn check_targets(&self, embeddings: &Matrix, targets: &Targets) -> Result<()> {
        if targets.rows() != embeddings.rows() {
            return Err(Error::input(format!(
                "evaluating a head: expected a target for each of {} rows, found {}",
                embeddings.rows(),
                targets.rows()
            )));
        }
        if targets.problem() != self.problem
            || (self.problem != Problem::Regression && targets.names() != self.names)
        {
            return Err(Error::input(format!(
                "evaluating a head: expected targets among {:?}, found {:?}",
                self.names,
                targets.names()
            )));
        }
        Ok(())
    }

    /// Measures the levels of a head whose classes are paths on rows with known targets; none where they are not.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn evaluate_levels(
        &self,
        embeddings: &Matrix,
        targets: &Targets,
    ) -> Result<Option<HierarchyMeasures>> {
        let (Some(tree), Targets::Classes { labels, .. }) = (self.hierarchy(), targets) else {
            return Ok(None);
        };
        tree.measure(labels, &self.predict_proba(embeddings)?, self.sure_enough()).map(Some)
    }

    fn check_dimension(&self, embeddings: &Matrix) -> Result<()> {
        if embeddings.columns() != self.dimension {
            return Err(Error::input(format!(
                "using a head: expected embeddings of {} columns, found {}; it was trained on another encoder, \
                 pooling or choice of layers",
                self.dimension,
                embeddings.columns()
            )));
        }
        Ok(())
    }
}

/// `x · Wᵀ + b` over the rows named.
fn linear_logits(raw: &Linear, x: &Matrix, rows: &[u32]) -> Vec<f64> {
    const PIECE: usize = 64;
    let outputs = raw.intercepts.len();
    let mut out = vec![0.0; rows.len() * outputs];
    platform::for_chunks(&mut out, PIECE * outputs, |piece, out| {
        let rows = &rows[piece * PIECE..piece * PIECE + out.len() / outputs];
        let features: Vec<&[f32]> = rows.iter().map(|&row| x.row(row as usize)).collect();
        dense::affine(&features, &raw.coefficients, &raw.intercepts, out);
    });
    out
}

/// Logits of every name from the model's outputs: of two classes the first gets zero.
pub(crate) fn expand(outputs: &[f64], problem: Problem, names: usize) -> Vec<f64> {
    if problem == Problem::SingleLabel && names == 2 {
        outputs.iter().flat_map(|&logit| [0.0, logit]).collect()
    } else {
        outputs.to_vec()
    }
}

/// Replaces one row's logits by sigmoids scaled to a sum of one.
///
/// Source: `LinearClassifierMixin._predict_proba_lr` of scikit-learn.
fn one_vs_rest(logits: &mut [f64]) {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // Where every sigmoid would round to zero, their ratios are those of the exponentials.
    if largest < -700.0 {
        softmax(logits);
        return;
    }
    logits.iter_mut().for_each(|logit| *logit = sigmoid(*logit));
    let sum: f64 = logits.iter().sum();
    logits.iter_mut().for_each(|share| *share /= sum);
}

/// Replaces logits `[rows, names]` by probabilities; a regression's stay.
pub(crate) fn to_probabilities(logits: &mut [f64], problem: Problem, names: usize) {
    match problem {
        Problem::SingleLabel => logits.chunks_exact_mut(names).for_each(|row| {
            softmax(row);
        }),
        Problem::MultiLabel => logits.iter_mut().for_each(|logit| *logit = sigmoid(*logit)),
        Problem::Regression => {}
    }
}
