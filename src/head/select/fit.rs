//! One model of any kind, fitted on some of the rows.

use std::borrow::Cow;
use std::path::Path;

use crate::error::{Error, Result};
use crate::head::data::targets::Problem;
use crate::head::data::targets::Targets;
use crate::head::data::targets::TrainData;
use crate::head::linear::coefficients::Linear;
use crate::head::linear::design::Design;
use crate::head::linear::elastic;
use crate::head::linear::objective as linear;
use crate::head::linear::objective::Tolerance;
use crate::head::linear::preconditioner::{Curvature, Moments};
use crate::head::linear::prior::Prior;
use crate::head::linear::standardise::Standardisation;
use crate::head::measure::calibration::Calibration;
use crate::head::mlp::train as mlp_train;
use crate::head::model::head::Model;
use crate::head::model::neighbours::{Neighbours, nearest_centroid};
use crate::head::numeric::loss::Loss;
use crate::head::options::CalibrationKind;
use crate::head::options::{ClassWeight, Kind, ModelKind, TrainOptions};

/// A model of some rows.
#[derive(Clone, Debug)]
pub(crate) struct Fitted {
    pub(crate) kind: ModelKind,
    pub(crate) model: Model,
    pub(crate) standardisation: Option<Standardisation>,
    pub(crate) objective: f64,
    pub(crate) passes: usize,
    pub(crate) converged: bool,
    /// The linear solver's coordinates of each part, to start the next fit from, and what they are coordinates of.
    warm: Vec<Vec<f64>>,
    scaling: Option<Standardisation>,
}

/// What one fit takes from others, and leaves for them.
#[derive(Clone, Copy, Default)]
pub(crate) struct FitContext<'a> {
    /// A fit of the same rows with another `C`.
    pub(crate) warm: Option<&'a Fitted>,
    /// Preconditioners by part.
    pub(crate) curvatures: Option<&'a Curvatures>,
    /// Where an MLP keeps its state.
    pub(crate) checkpoint: Option<&'a Path>,
    /// Where a linear head's coefficients are drawn to.
    pub(crate) prior: Option<&'a Prior>,
}

impl Fitted {
    /// Fits `options.kind` on `rows`; `c` and `tolerance` matter to linear kinds alone. `epoch` is told of an MLP's epochs.
    pub(crate) fn new(
        data: &TrainData,
        rows: &[u32],
        c: f64,
        tolerance: Tolerance,
        options: &TrainOptions,
        context: FitContext,
        epoch: impl FnMut(usize, Option<f64>),
    ) -> Result<Self> {
        match &options.kind {
            Kind::Linear => Ok(Self::linear(data, rows, c, None, tolerance, options, context)),
            Kind::ElasticNet { l1_ratio } => {
                Ok(Self::linear(data, rows, c, Some(*l1_ratio), tolerance, options, context))
            }
            Kind::NearestCentroid => Self::centroid(data, rows, options),
            Kind::Neighbours { k } => {
                if data.weights_differ() {
                    return Err(Error::input(
                        "each of the nearest neighbours has one vote: they take no sample weights; use another kind of head, or \
                         leave the weights out",
                    ));
                }
                let (x, standardisation) = features(data, rows, options.standardise);
                let targets = data.targets.select_rows(rows);
                let all: Vec<u32> = (0..rows.len() as u32).collect();
                let model = Neighbours::new(&x, &all, &joint_loss(&targets), *k);
                Ok(Self::exact(ModelKind::Neighbours, Model::Neighbours(model), standardisation))
            }
            Kind::Mlp(mlp) => Self::mlp(data, rows, mlp, options, context.checkpoint, epoch),
            Kind::Auto => unreachable!("the kind is chosen before anything is fitted"),
        }
    }

    fn exact(kind: ModelKind, model: Model, standardisation: Option<Standardisation>) -> Self {
        Fitted {
            kind,
            model,
            standardisation,
            objective: 0.0,
            passes: 1,
            converged: true,
            warm: vec![],
            scaling: None,
        }
    }

    /// Fits each part of the problem: all classes together, or label by label.
    fn linear(
        data: &TrainData,
        rows: &[u32],
        c: f64,
        l1_ratio: Option<f64>,
        tolerance: Tolerance,
        options: &TrainOptions,
        context: FitContext,
    ) -> Self {
        let known = context.warm.and_then(|fit| fit.scaling.clone());
        let scaling = known.unwrap_or_else(|| scaling(data, rows, options));
        let mut linear = Linear { coefficients: vec![], intercepts: vec![] };
        let (targets, (mean, unit)) = scaled_targets(data);
        let (mut warm, mut objective, mut passes, mut converged) = (vec![], 0.0, 0, true);
        for (part, loss) in losses(&targets).into_iter().enumerate() {
            let weights = row_weights(data, rows, &loss, options.class_weight);
            let design = Design {
                x: &data.embeddings,
                rows,
                weights: &weights,
                loss,
                standardisation: &scaling,
                prior: context.prior,
            };
            let start = context.warm.map(|fit| &fit.warm[part][..]);
            let own = match context.curvatures {
                None => Curvature::for_fits(&design, c, l1_ratio.is_some(), None).map(|mut curvature| {
                    curvature.prepare(&design, c);
                    curvature
                }),
                Some(_) => None,
            };
            let curvature = context.curvatures.map_or(own.as_ref(), |all| all.parts[part].as_ref());
            let fit = match (l1_ratio, curvature) {
                (Some(l1_ratio), Some(curvature)) => {
                    elastic::fit(&design, c, l1_ratio, curvature, start, tolerance)
                }
                _ => linear::fit(&design, c, curvature, start, tolerance),
            };
            linear.coefficients.extend(fit.linear.coefficients);
            linear.intercepts.extend(fit.linear.intercepts);
            warm.push(fit.warm);
            objective += fit.objective;
            passes += fit.passes;
            converged &= fit.converged;
        }
        linear.coefficients.iter_mut().chain(&mut linear.intercepts).for_each(|value| *value *= unit);
        linear.intercepts.iter_mut().for_each(|intercept| *intercept += mean);
        objective *= unit * unit;
        let (mut linear, standardisation) = if options.standardise {
            (linear, Some(scaling.clone()))
        } else {
            (scaling.unfold(&linear), None)
        };
        match (context.prior, &standardisation) {
            (Some(prior), Some(scaling)) => prior.add_to_standardised(&mut linear, scaling),
            (Some(prior), None) => prior.add_to(&mut linear),
            (None, _) => {}
        }
        let (model, scaling) = (Model::Linear(linear), Some(scaling));
        let kind = if l1_ratio.is_some() { ModelKind::ElasticNet } else { ModelKind::Linear };
        Fitted { kind, model, standardisation, objective, passes, converged, warm, scaling }
    }

    fn centroid(data: &TrainData, rows: &[u32], options: &TrainOptions) -> Result<Self> {
        if data.targets.problem() == Problem::Regression {
            return Err(Error::input("a nearest centroid needs classes or labels, found numbers to predict"));
        }
        let (x, standardisation) = features(data, rows, options.standardise);
        let targets = data.targets.select_rows(rows);
        let loss = joint_loss(&targets);
        let all: Vec<u32> = (0..rows.len() as u32).collect();
        let weights: Vec<f64> = rows
            .iter()
            .map(|&row| data.weights.as_ref().map_or(1.0, |weights| weights[row as usize]))
            .collect();
        let mut linear = nearest_centroid(&x, &all, &weights, &loss);
        // The clouds are not of variance one: one factor makes the best of that.
        let logits = Model::Linear(linear.clone()).logits(None, &x, &all);
        let scale = Calibration::fit(CalibrationKind::Temperature, &logits, &loss, Some(&weights)).scale[0];
        linear.coefficients.iter_mut().chain(&mut linear.intercepts).for_each(|value| *value *= scale);
        Ok(Self::exact(ModelKind::NearestCentroid, Model::Linear(linear), standardisation))
    }

    fn mlp(
        data: &TrainData,
        rows: &[u32],
        mlp: &crate::head::MlpOptions,
        options: &TrainOptions,
        checkpoint: Option<&Path>,
        epoch: impl FnMut(usize, Option<f64>),
    ) -> Result<Self> {
        mlp_train::check_weights(&data.targets, options)?;
        let (mean, scale) = data.targets.size(rows, data.weights.as_deref());
        let targets = data.targets.select_rows(rows).scaled(mean, scale);
        let all_weights = row_weights(data, rows, &joint_loss(&data.targets), options.class_weight);
        let weights: Vec<f64> = rows.iter().map(|&row| all_weights[row as usize]).collect();
        let all: Vec<u32> = (0..rows.len() as u32).collect();
        let groups: Option<Vec<u32>> =
            data.groups.as_ref().map(|groups| rows.iter().map(|&row| groups[row as usize]).collect());
        let (strata, seed) = (targets.strata(), options.folds.seed);
        let split = mlp_train::validation_split(&all, &strata, groups.as_deref(), mlp, seed);
        let sample: Vec<u32> = mlp_train::sample(&split, seed).iter().map(|&at| rows[at as usize]).collect();
        let standardisation = Standardisation::fit(&data.embeddings, &sample, data.weights.as_deref());
        let task = mlp_train::Task {
            x: &standardisation.apply(&data.embeddings, rows),
            rows: &all,
            weights: &weights,
            loss: joint_loss(&targets),
            strata: &strata,
            groups: groups.as_deref(),
            seed,
        };
        let mut model = mlp_train::train(&task, mlp, checkpoint, epoch)?;
        model.rescale_output(mean, scale);
        Ok(Self::exact(ModelKind::Mlp, Model::Mlp(model), Some(standardisation)))
    }

    /// Uncalibrated logits of the rows named, `[rows, outputs]`.
    pub(crate) fn logits(&self, data: &TrainData, rows: &[u32]) -> Vec<f64> {
        self.model.logits(self.standardisation.as_ref(), &data.embeddings, rows)
    }
}

/// The rows named, standardised if asked for.
fn features(
    data: &TrainData,
    rows: &[u32],
    standardise: bool,
) -> (crate::head::Matrix<'static>, Option<Standardisation>) {
    if standardise {
        let standardisation = Standardisation::fit(&data.embeddings, rows, data.weights.as_deref());
        (standardisation.apply(&data.embeddings, rows), Some(standardisation))
    } else {
        (data.embeddings.select_rows(rows), None)
    }
}

/// What linear fits take features through: the mean goes in any case.
fn scaling(data: &TrainData, rows: &[u32], options: &TrainOptions) -> Standardisation {
    let weights = data.weights.as_deref();
    if options.standardise {
        Standardisation::fit(&data.embeddings, rows, weights)
    } else {
        Standardisation::centring(&data.embeddings, rows, weights)
    }
}

/// The targets of a linear fit: numbers with mean zero and variance one, as glmnet takes them, so that neither an L1 norm nor a
/// stopping rule depends on their unit. Also the mean and the unit.
fn scaled_targets<'a>(data: &'a TrainData) -> (Cow<'a, Targets>, (f64, f64)) {
    let (mean, unit) = data.target_scale();
    let targets = match &data.targets {
        Targets::Values { .. } => Cow::Owned(data.targets.clone().scaled(mean, unit)),
        other => Cow::Borrowed(other),
    };
    (targets, (mean, unit))
}

/// What a linear kind fits on its own: all classes, each label, the one number.
fn losses(targets: &Targets) -> Vec<Loss<'_>> {
    match targets {
        Targets::Classes { labels, names } if names.len() == 2 => vec![Loss::Logistic { labels }],
        Targets::Classes { labels, names } => vec![Loss::Softmax { labels, classes: names.len() }],
        Targets::MultiLabel { marks, names } => {
            let outputs = names.len();
            (0..outputs).map(|label| Loss::OneLabel { marks, outputs, label }).collect()
        }
        Targets::Values { values, .. } => vec![Loss::Squared { values }],
    }
}

/// The loss of all outputs together.
pub(crate) fn joint_loss(targets: &Targets) -> Loss<'_> {
    match targets {
        Targets::MultiLabel { marks, names } => Loss::Sigmoid { marks, outputs: names.len() },
        _ => losses(targets).remove(0),
    }
}

/// Weight of each row of the data: its own times its class's, as counted among `rows`, where a row of weight two counts as two.
pub(crate) fn row_weights(
    data: &TrainData,
    rows: &[u32],
    loss: &Loss,
    class_weight: ClassWeight,
) -> Vec<f64> {
    let mut weights = data.weights.clone().unwrap_or_else(|| vec![1.0; data.rows()]);
    if class_weight == ClassWeight::None || matches!(loss, Loss::Squared { .. }) {
        return weights;
    }
    let class = |row: u32| match *loss {
        Loss::Softmax { labels, .. } | Loss::Logistic { labels } => labels[row as usize] as usize,
        _ => usize::from(loss.target(row as usize, 0) > 0.0),
    };
    let mut sums = vec![0.0; loss.outputs().max(2)];
    rows.iter().for_each(|&row| sums[class(row)] += weights[row as usize]);
    let total: f64 = rows.iter().map(|&row| weights[row as usize]).sum();
    let present = sums.iter().filter(|&&sum| sum > 0.0).count() as f64;
    for &row in rows.iter().filter(|&&row| sums[class(row)] > 0.0) {
        weights[row as usize] *= total / (present * sums[class(row)]);
    }
    weights
}

/// Preconditioners for the parts of a linear kind, made from all rows. They serve every fold: they decide how fast an
/// optimum is found, not where it is.
pub(crate) struct Curvatures {
    rows: Vec<u32>,
    scaling: Option<Standardisation>,
    /// None where a part does without.
    parts: Vec<Option<Curvature>>,
}

impl Curvatures {
    /// Without any yet.
    pub(crate) fn new(data: &TrainData, options: &TrainOptions) -> Self {
        let rows: Vec<u32> = (0..data.rows() as u32).collect();
        let scaling = options.kind.has_strength().then(|| scaling(data, &rows, options));
        Curvatures { rows, scaling, parts: vec![] }
    }

    /// Makes those for fits whose `C` is at most `largest_c`; `known` as for [`Curvature::for_fits`].
    pub(crate) fn make(
        &mut self,
        data: &TrainData,
        options: &TrainOptions,
        largest_c: f64,
        known: Option<&Moments>,
    ) {
        let (always, mut parts) = (options.kind != Kind::Linear, vec![]);
        self.each_design(data, options, |_, design| {
            parts.push(Curvature::for_fits(design, largest_c, always, known));
        });
        self.parts = parts;
    }

    /// Makes the factors for fits with `C` on `share` of the rows.
    pub(crate) fn prepare(&mut self, data: &TrainData, options: &TrainOptions, c: f64, share: f64) {
        let mut parts = std::mem::take(&mut self.parts);
        self.each_design(data, options, |part, design| {
            if let Some(curvature) = &mut parts[part] {
                curvature.prepare(design, c * share);
            }
        });
        self.parts = parts;
    }

    /// The largest `C` at which a part is left without any coefficient; zero where there is none.
    pub(crate) fn largest_null_c(&self, data: &TrainData, options: &TrainOptions) -> f64 {
        let Kind::ElasticNet { l1_ratio } = options.kind else { return 0.0 };
        let mut least = f64::INFINITY;
        self.each_design(data, options, |_, design| {
            least = least.min(elastic::largest_null_c(design, l1_ratio));
        });
        least
    }

    fn each_design(&self, data: &TrainData, options: &TrainOptions, mut see: impl FnMut(usize, &Design)) {
        let Some(standardisation) = &self.scaling else { return };
        let (targets, _) = scaled_targets(data);
        for (part, loss) in losses(&targets).into_iter().enumerate() {
            let weights = row_weights(data, &self.rows, &loss, options.class_weight);
            see(
                part,
                &Design {
                    x: &data.embeddings,
                    rows: &self.rows,
                    weights: &weights,
                    loss,
                    standardisation,
                    prior: None,
                },
            );
        }
    }
}
