//! Training: choose by cross-validation, fit on all rows, calibrate on out-of-fold predictions.

use super::cross_validation::CrossValidation;
use super::fit::{Curvatures, FitContext, Fitted};
use super::layers::{LayerChoice, compare_layers};
use super::regularization_path::{RegularizationPath, Search};
use super::words_choice::WordsChoice;
use crate::error::{Error, Result};
use crate::head::data::targets::Problem;
use crate::head::data::targets::TrainData;
use crate::head::linear::objective::Tolerance;
use crate::head::linear::prior::Prior;
use crate::head::measure::caution::{Caution, CautionOptions};
use crate::head::measure::estimate::Estimate;
use crate::head::mlp::checkpoint as mlp_checkpoint;
use crate::head::model::head::{Head, Record};
use crate::head::options::{Kind, MlpOptions, ModelKind, Strength, TrainOptions};
use crate::head::progress::Progress;

/// A trained head and how it was found.
#[derive(Clone, Debug)]
pub struct Training {
    /// The head, trained on all rows.
    pub head: Head,
    /// Out-of-fold predictions and measures; none when nothing asked for folds.
    pub cross_validation: Option<CrossValidation>,
    /// What [`Kind::Auto`] compared.
    pub choice: Option<Choice>,
    /// What [`Head::train_on_layers`] compared.
    pub layers: Option<LayerChoice>,
    /// How much words count, of [`Head::train_from_words`].
    pub words: Option<WordsChoice>,
    /// Value of a linear kind's objective, summed over the parts that are fitted on their own.
    pub objective: f64,
    /// Passes over the data that the last fit took.
    pub passes: usize,
    /// Whether the fit reached its optimum.
    pub converged: bool,
}

/// Kinds compared by cross-validation on the same folds.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Choice {
    /// Each kind and its score over the folds, the smaller the better; simplest first.
    pub scores: Vec<(ModelKind, Estimate)>,
    /// Why the one chosen was.
    pub reason: String,
}

impl Training {
    /// Tells the head what to do when it is unsure, chosen on the out-of-fold predictions.
    ///
    /// # Errors
    /// The input: nothing was cross-validated, the targets are not one class a row, or what was asked for cannot be promised.
    pub fn be_cautious(&mut self, data: &TrainData, options: CautionOptions) -> Result<()> {
        if options == CautionOptions::default() {
            return Ok(());
        }
        options.check(&data.targets)?;
        if options.promises_nothing() {
            self.head.caution = Caution::without_promises(options);
            return Ok(());
        }
        let Some(folds) = &self.cross_validation else {
            return Err(Error::input(
                "choosing when to be unsure needs out-of-fold predictions; cross-validate the head",
            ));
        };
        self.head.caution = Caution::choose(&data.targets, &folds.predictions, options)?;
        Ok(())
    }
}

impl Head {
    /// Trains a head.
    ///
    /// # Errors
    /// The input, when the data do not fit together or there is nothing to learn ([`TrainData::check`]), an option
    /// is out of range, or there are too few rows for the folds.
    ///
    /// ```
    /// use frostbert::head::{Head, Matrix, Strength, Targets, TrainData, TrainOptions};
    /// let embeddings = Matrix::new(4, 2, vec![0.0, 1.0, 0.1, 0.9, 1.0, 0.0, 0.9, 0.1])?;
    /// let data = TrainData::new(embeddings, Targets::classes(&["bad", "bad", "good", "good"]));
    /// let options = TrainOptions { c: Strength::Fixed(10.0), ..Default::default() };
    /// let head = Head::train(&data, &options, &mut |_| {})?.head;
    /// let p = head.predict_proba(&Matrix::new(1, 2, vec![1.0, 0.1])?)?;
    /// assert!(p[1] > 0.8);
    /// # Ok::<(), frostbert::Error>(())
    /// ```
    pub fn train(
        data: &TrainData,
        options: &TrainOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Training> {
        Self::train_along(data, options, Search::FINE, progress)
    }

    /// Trains a head on the layers that [`choose_layers`](crate::head::choose_layers) takes, given embeddings of all `layers` side by
    /// side.
    ///
    /// The head takes the chosen layers' columns alone ([`LayerChoice::columns`]), standardised or not as chosen. Its
    /// cross-validation is that of the winner on the folds it won on: a little too good, see [`LayerChoice::corrected`].
    ///
    /// # Errors
    /// As [`train`](Self::train) and [`choose_layers`](crate::head::choose_layers).
    pub fn train_on_layers(
        data: &TrainData,
        layers: usize,
        options: &TrainOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Training> {
        let (choice, moments) = compare_layers(data, layers, options, progress)?;
        let best = choice.best();
        let options = TrainOptions { standardise: best.standardise, ..options.clone() };
        let columns = choice.columns(data.embeddings.columns() / layers);
        let chosen = TrainData { embeddings: data.embeddings.select_columns(&columns), ..data.view() };
        let moments = moments.map(|moments| moments.select_columns(&columns));
        let search = Search { moments: moments.as_ref(), ..Search::FINE };
        let training = Self::train_along(&chosen, &options, search, progress)?;
        Ok(Training { layers: Some(choice), ..training })
    }

    fn train_along(
        data: &TrainData,
        options: &TrainOptions,
        search: Search,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Training> {
        data.check()?;
        options.check()?;
        let given = options;
        let (data, unit) = &data.with_unit_weights();
        let options = &given.in_weight_unit(*unit)?;
        let (options, mut path, choice) = if options.kind == Kind::Auto {
            let (options, path, choice) = choose(data, options, progress)?;
            (options, Some(path), Some(choice))
        } else if options.needs_folds() {
            (options.clone(), Some(RegularizationPath::run(data, options, search, progress)?), None)
        } else {
            (options.clone(), None, None)
        };
        let c = match (options.c, &path) {
            _ if !options.kind.has_strength() => None,
            (Strength::Fixed(c), _) => Some(c),
            (Strength::Auto, path) => path.as_ref().and_then(|path| path.chosen().c),
        };
        let curvatures = match (&mut path, c) {
            (Some(path), Some(c)) => Some(path.curvatures(data, &options, c)),
            _ => None,
        };
        let fitted = fit_all(data, &options, c, curvatures, None, progress)?;
        let mut head = Head::uncalibrated(
            fitted.kind,
            (data.targets.problem(), data.targets.names().to_vec()),
            data.embeddings.columns(),
            (fitted.model, fitted.standardisation),
            Record { train_rows: data.rows(), c: c.map(|c| c / unit), ..Record::default() },
        );
        let mut cross_validation = path.map(|path| path.finish(data, options.calibration, &mut head));
        if let Some(folds) = &mut cross_validation {
            folds.divide_c(*unit);
        }
        head.record.cross_validation =
            cross_validation.as_ref().map_or(vec![], |folds| folds.summary.clone());
        head.record.settings = Some(TrainOptions { c: given.c, ..options });
        head.check_finite().map_err(|error| {
            Error::input("training a head: look for huge values among embeddings, targets and weights")
                .with_source(error)
        })?;
        let Fitted { objective, passes, converged, .. } = fitted;
        Ok(Training {
            head,
            cross_validation,
            choice,
            layers: None,
            words: None,
            objective,
            passes,
            converged,
        })
    }
}

/// The last fit, on all rows.
pub(crate) fn fit_all(
    data: &TrainData,
    options: &TrainOptions,
    c: Option<f64>,
    curvatures: Option<&Curvatures>,
    prior: Option<&Prior>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Fitted> {
    let rows: Vec<u32> = (0..data.rows() as u32).collect();
    let total = if let Kind::Mlp(mlp) = &options.kind { mlp.epochs } else { 1 };
    progress(Progress { stage: "fitting", done: 0, total });
    let context = FitContext { checkpoint: options.checkpoint.as_deref(), curvatures, warm: None, prior };
    let tolerance = Tolerance::Distance(options.tolerance);
    let fitted = Fitted::new(data, &rows, c.unwrap_or(1.0), tolerance, options, context, |epoch, _| {
        progress(Progress { stage: "fitting", done: epoch, total });
    })?;
    progress(Progress { stage: "fitting", done: total, total });
    if let (Kind::Mlp(_), Some(path)) = (&options.kind, &options.checkpoint) {
        mlp_checkpoint::remove(path)?;
    }
    Ok(fitted)
}

/// Cross-validates each kind on the same folds; the simplest within a standard error of the best is taken.
fn choose(
    data: &TrainData,
    options: &TrainOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<(TrainOptions, RegularizationPath, Choice)> {
    let mut kinds = vec![
        Kind::NearestCentroid,
        Kind::Linear,
        Kind::Neighbours { k: 15 },
        Kind::Mlp(MlpOptions::default()),
    ];
    match data.targets.problem() {
        Problem::Regression => kinds.retain(|kind| *kind != Kind::NearestCentroid),
        // An MLP has no weights by label.
        Problem::MultiLabel if options.class_weight != crate::head::ClassWeight::None => {
            kinds.retain(|kind| !matches!(kind, Kind::Mlp(_)));
        }
        _ => {}
    }
    if data.weights_differ() {
        // Neighbours have a vote each, whatever they weigh.
        kinds.retain(|kind| !matches!(kind, Kind::Neighbours { .. }));
    }
    let mut tried = Vec::new();
    for kind in kinds {
        let options = TrainOptions { kind, ..options.clone() };
        let path = RegularizationPath::run(data, &options, Search::FINE, progress)?;
        tried.push((options, path));
    }
    let paths: Vec<&RegularizationPath> = tried.iter().map(|(_, path)| path).collect();
    let (best, chosen) = RegularizationPath::lowest_and_preferred(&paths);
    let score = |at: usize| tried[at].1.chosen().score.mean;
    let name = |at: usize| tried[at].0.kind.name();
    let reason = if chosen == best {
        format!("{} has the lowest score, {:.4}", name(best), score(best))
    } else {
        format!(
            "{} ({:.4}) is simpler than {} ({:.4}) and within a standard error of it",
            name(chosen),
            score(chosen),
            name(best),
            score(best)
        )
    };
    let score = |(options, path): &(TrainOptions, RegularizationPath)| {
        options.kind.model().map(|kind| (kind, path.chosen().score))
    };
    let scores = tried.iter().filter_map(score).collect();
    let (options, path) = tried.swap_remove(chosen);
    Ok((options, path, Choice { scores, reason }))
}
