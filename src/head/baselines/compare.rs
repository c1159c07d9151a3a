//! Simple predictions beside the head's: is the encoder worth it?

use super::tfidf::{Counts, TfIdf};
use crate::error::{Error, Result};
use crate::head::data::split::Split;
use crate::head::data::targets::Problem;
use crate::head::data::targets::Targets;
use crate::head::data::targets::TrainData;
use crate::head::measure::estimate::Estimate;
use crate::head::measure::metrics::Metrics;
use crate::head::model::head::{expand, to_probabilities};
use crate::head::options::{Kind, Strength, TrainOptions};
use crate::head::progress::Progress;
use crate::head::select::cross_validation::summarise;
use crate::head::select::fit::joint_loss;
use crate::head::select::regularization_path::{RegularizationPath, Search};
use crate::head::select::score::mean;
use crate::head::select::score::{Seen, score_of};
use crate::names::named;
use crate::platform;

/// The score of a strength in a fold, where it has one, and the logits behind it.
type Scored = (Option<f64>, Vec<f64>);

/// A simple predictor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BaselineKind {
    /// What the targets alone say: how frequent each class is, or the mean.
    Prior,
    /// The nearest class mean among the embeddings.
    NearestCentroid,
    /// A linear model of the texts' words, without an encoder.
    TfIdf,
}

named! { BaselineKind, "simple predictor",
    "prior", "How frequent each class is" => BaselineKind::Prior, BaselineKind::Prior,
    "nearest-centroid", "The nearest class mean" => BaselineKind::NearestCentroid, BaselineKind::NearestCentroid,
    "tf-idf", "A linear model of the words" => BaselineKind::TfIdf, BaselineKind::TfIdf,
}

/// A simple predictor's measures.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Baseline {
    /// Which.
    pub name: BaselineKind,
    /// Every measure, over the folds.
    pub summary: Vec<(String, Estimate)>,
}

/// Cross-validates simple predictors on the head's own folds: what the targets alone say, the nearest centroid of the
/// embeddings, and, given the texts, a linear model of their words without any encoder.
///
/// # Errors
/// The input, when there is not one text a row, and as [`Head::train`](crate::head::Head::train).
pub fn baselines<S: AsRef<str>>(
    data: &TrainData,
    texts: Option<&[S]>,
    options: &TrainOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Baseline>> {
    data.check()?;
    options.check()?;
    if let Some(texts) = texts
        && texts.len() != data.rows()
    {
        return Err(Error::input(format!(
            "baselines: expected a text for each of {} rows, found {}",
            data.rows(),
            texts.len()
        )));
    }
    let (data, unit) = &data.with_unit_weights();
    let options = &options.in_weight_unit(*unit)?;
    let stage = "baselines";
    progress(Progress { stage, done: 0, total: 3 });
    let splits = options.folds.split(&data.targets.strata(), data.groups.as_deref())?;
    let prior: Vec<Metrics> = splits.iter().map(|split| prior(data, split)).collect();
    let mut all = vec![Baseline { name: BaselineKind::Prior, summary: summarise(&prior) }];
    progress(Progress { stage, done: 1, total: 3 });
    if data.targets.problem() != Problem::Regression {
        let options = TrainOptions { kind: Kind::NearestCentroid, ..options.clone() };
        let path = RegularizationPath::run(data, &options, Search::FINE, &mut |_| {})?;
        all.push(Baseline { name: BaselineKind::NearestCentroid, summary: summarise(&path.measure(data)) });
    }
    progress(Progress { stage, done: 2, total: 3 });
    if let Some(texts) = texts {
        all.push(Baseline {
            name: BaselineKind::TfIdf,
            summary: summarise(&words(data, texts, &splits, options)),
        });
    }
    progress(Progress { stage, done: 3, total: 3 });
    Ok(all)
}

/// Predicts each class as often as it occurs, each label likewise, and of numbers the mean; by the rows' weights.
fn prior(data: &TrainData, split: &Split) -> Metrics {
    let loss = joint_loss(&data.targets);
    let (known, weights) = (split.train.iter(), known_weights(data, split));
    let total: f64 = weights.iter().sum();
    let share = |output: usize| {
        let target = |(&row, weight): (&u32, &f64)| weight * loss.target(row as usize, output);
        known.clone().zip(&weights).map(target).sum::<f64>() / total
    };
    let mut row: Vec<f64> = (0..loss.outputs()).map(share).collect();
    if let Targets::Classes { names, .. } = &data.targets
        && names.len() == 2
    {
        row = vec![1.0 - row[0], row[0]];
    }
    let predictions: Vec<f64> = row.iter().copied().cycle().take(row.len() * split.test.len()).collect();
    Metrics::of(&data.targets.select_rows(&split.test), &predictions, None)
}

/// Weights of the rows that a fold learns from, one each where none weighs anything.
fn known_weights(data: &TrainData, split: &Split) -> Vec<f64> {
    data.weights_of(&split.train)
        .filter(|own| own.iter().any(|weight| *weight > 0.0))
        .unwrap_or_else(|| vec![1.0; split.train.len()])
}

/// A linear model of the words, with the best of a few values of `C`.
fn words<S: AsRef<str>>(
    data: &TrainData,
    texts: &[S],
    splits: &[Split],
    options: &TrainOptions,
) -> Vec<Metrics> {
    const GRID: [f64; 4] = [0.3, 1.0, 3.0, 10.0];
    let counts = Counts::new(texts);
    let loss = joint_loss(&data.targets);
    let grid = match options.c {
        Strength::Auto => GRID.to_vec(),
        // A given C is meant for embeddings.
        Strength::Fixed(_) => vec![1.0],
    };
    // Of each fold, the logits and the score of each value.
    let folds: Vec<Vec<(Option<f64>, Vec<f64>)>> = platform::map(splits.len(), |fold| {
        let split = &splits[fold];
        let seen = Seen::among(data, &split.train);
        let weights = known_weights(data, split);
        let mut last: Option<TfIdf> = None;
        let fit = |&c: &f64| {
            let model = TfIdf::fit(&counts, &split.train, &weights, &loss, c, last.as_ref());
            let logits = model.logits(&counts, &split.test);
            last = Some(model);
            (score_of(data, &split.test, &logits, options.select_by, &seen), logits)
        };
        grid.iter().map(fit).collect()
    });
    let score = |at: usize| mean(&folds.iter().filter_map(|fold| fold[at].0).collect::<Vec<_>>());
    let best = (1..grid.len()).fold(0, |best, at| if score(at) < score(best) { at } else { best });
    let (problem, names) = (data.targets.problem(), data.targets.names().len());
    let measure = |(split, fold): (&Split, &Vec<Scored>)| {
        let mut predictions = expand(&fold[best].1, problem, names);
        to_probabilities(&mut predictions, problem, names);
        Metrics::of(&data.targets.select_rows(&split.test), &predictions, None)
    };
    splits.iter().zip(&folds).map(measure).collect()
}
