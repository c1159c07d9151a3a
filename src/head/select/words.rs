//! A linear head that starts from words: a description of each class stands in for examples, and gives way to them as they come.
//!
//! A class's prototype `p` is the embedding of its description. Without an example its logit is `p · x / |p|`, scaled so that the difference of
//! two classes' logits varies by one; unlabelled texts, taken to hold every class equally often, say how much of that belongs to the
//! description rather than to the text. With examples it is the mean of a normal prior over the coefficients: what is minimised is
//! `C * sum_i w_i loss_i + 0.5 * ||W - weight * P||²`, so that a few rows move it little and many leave nothing of it. How much the words
//! weigh, nothing at all included, and `C` are chosen by cross-validation where there are rows for that.
//!
//! Sources: Chang et al. (2008), *Importance of semantic representation: dataless classification*, for classes known by their words; Chelba and Acero
//! (2006), *Adaptation of maximum entropy capitalizer*, for the prior; Zhou et al. (2024), *Batch calibration*, for what unlabelled texts say.

use super::cross_validation::CrossValidation;
use super::regularization_path::{Grid, RegularizationPath, Search, suited};
use super::train::{Training, fit_all};
use super::words_choice::{WordsCandidate, WordsChoice};
use crate::error::{Error, Result};
use crate::head::data::matrix::Matrix;
use crate::head::data::targets::{Targets, TrainData};
use crate::head::linear::coefficients::Linear;
use crate::head::linear::prior::Prior;
use crate::head::model::head::{Head, Model, Record};
use crate::head::numeric::dense;
use crate::head::options::{CalibrationKind, Kind, ModelKind, Strength, TrainOptions};
use crate::head::progress::Progress;

/// Weights that are compared, in the order in which one is preferred to the next where they are about as good.
const WEIGHTS: [f64; 5] = [1.0, 2.0, 0.5, 0.25, 0.0];
/// `C` without cross-validation, for features that vary by about one altogether.
const C: f64 = 1.0;
/// The fewest rows that are cross-validated.
const FEWEST_ROWS: usize = 8;
/// The fewest rows by which the words' weight and `C` are chosen: fewer would choose by chance. Choosing from 8 rows on made heads of 8 film reviews worse than
/// those of 4.
const FEWEST_TO_CHOOSE: usize = 40;
/// The fewest texts that say how much logits vary, or what their mean is.
const FEWEST_TEXTS: usize = 20;
/// The factor of a cosine where there are fewer.
const COSINE_FACTOR: f64 = 20.0;
/// Rows that the words' own intercepts count for, when unlabelled texts gave them and when nothing did.
const INTERCEPT_ROWS: [f64; 2] = [16.0, 2.0];

impl Head {
    /// Trains a linear head that starts from a prototype of each class, with examples or without: the embedding of a text that describes the
    /// class, or the mean of several.
    ///
    /// Shapes: `prototypes` `[names, columns]`, in the order of the targets' names; `unlabelled` `[texts, columns]`: texts of the kind that is to
    /// be classified, in which no class is much more frequent than another. `data` may have no rows, or none of some classes.
    ///
    /// # Errors
    /// The input: targets that are not one class a row, a kind that is not linear, prototypes of another shape or of zeros, and as
    /// [`train`](Self::train).
    ///
    /// ```
    /// use frostbert::head::{Head, Matrix, Targets, TrainData, TrainOptions};
    /// let words = Matrix::new(2, 2, vec![0.0, 1.0, 1.0, 0.0])?;
    /// let names = vec!["bad".to_owned(), "good".to_owned()];
    /// let nothing = TrainData::new(Matrix::new(0, 2, vec![])?, Targets::Classes { labels: vec![], names });
    /// let head = Head::train_from_words(&nothing, &words, None, &TrainOptions::default(), &mut |_| {})?.head;
    /// assert!(head.predict_proba(&Matrix::new(1, 2, vec![0.9, 0.3])?)?[1] > 0.9);
    /// # Ok::<(), frostbert::Error>(())
    /// ```
    pub fn train_from_words(
        data: &TrainData,
        prototypes: &Matrix,
        unlabelled: Option<&Matrix>,
        options: &TrainOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Training> {
        options.check()?;
        check(data, prototypes, unlabelled, options)?;
        let given = options;
        let (data, unit) = &data.with_unit_weights();
        let options = &given.in_weight_unit(*unit)?;
        let words = words(data, prototypes, unlabelled);
        let (problem, names) = (data.targets.problem(), data.targets.names().to_vec());
        let counts = data.targets.counts();
        let without_rows = counts.iter().filter(|count| **count == 0).count();
        let mut choice = WordsChoice {
            weight: 1.0,
            candidates: vec![],
            unlabelled: unlabelled.map_or(0, Matrix::rows),
            without_rows,
            reason: String::new(),
        };
        let head = |model: Linear, standardisation, c: Option<f64>| {
            let record = Record {
                train_rows: data.rows(),
                c: c.map(|c| c / unit),
                settings: Some(TrainOptions { c: given.c, ..options.clone() }),
                ..Record::default()
            };
            let model = (Model::Linear(model), standardisation);
            Head::uncalibrated(
                ModelKind::Linear,
                (problem, names.clone()),
                prototypes.columns(),
                model,
                record,
            )
        };
        if data.rows() == 0 {
            choice.reason = "there is no example: the words alone decide".to_owned();
            let head = head(words.linear, None, None);
            head.check_finite()?;
            return Ok(Training::of_words(head, None, choice, true, (0.0, 0)));
        }
        let enough = data.rows() >= FEWEST_ROWS && counts.iter().filter(|count| **count >= 2).count() >= 2;
        let options = TrainOptions {
            folds: crate::head::Folds { folds: options.folds.folds.min(data.rows()), ..options.folds },
            ..options.clone()
        };
        let (mut path, c, prior) = if enough {
            let (path, weight) = compare(data, &words, &options, *unit, &mut choice, progress)?;
            let c = path.chosen().c.unwrap_or(C);
            (Some(path), c, words.weighed(weight))
        } else {
            if options.calibration != CalibrationKind::None {
                return Err(Error::input(format!(
                    "calibrating a head: {} rows are too few to predict any out of fold; leave calibration out, or give more",
                    data.rows()
                )));
            }
            choice.reason = too_few(data);
            (None, usual_c(&options, data), words)
        };
        let curvatures = path.as_mut().map(|path| path.curvatures(data, &options, c));
        let fitted = fit_all(data, &options, Some(c), curvatures, Some(&prior), progress)?;
        let Model::Linear(linear) = fitted.model else { unreachable!("only linear kinds start from words") };
        let mut head = head(linear, fitted.standardisation, Some(c));
        let mut folds = path.map(|path| path.finish(data, options.calibration, &mut head));
        if let Some(folds) = &mut folds {
            folds.divide_c(*unit);
        }
        head.record.cross_validation = folds.as_ref().map_or(vec![], |folds| folds.summary.clone());
        head.check_finite().map_err(|error| {
            Error::input("training a head: look for huge values among embeddings and weights")
                .with_source(error)
        })?;
        Ok(Training::of_words(head, folds, choice, fitted.converged, (fitted.objective, fitted.passes)))
    }
}

impl Training {
    fn of_words(
        head: Head,
        cross_validation: Option<CrossValidation>,
        words: WordsChoice,
        converged: bool,
        (objective, passes): (f64, usize),
    ) -> Self {
        let words = Some(words);
        Training { head, cross_validation, choice: None, layers: None, words, objective, passes, converged }
    }
}

impl Prior {
    /// The same with its logits times a factor.
    fn weighed(&self, weight: f64) -> Prior {
        let scaled = |values: &[f64]| values.iter().map(|value| value * weight).collect();
        let Linear { coefficients, intercepts } = &self.linear;
        Prior {
            linear: Linear { coefficients: scaled(coefficients), intercepts: scaled(intercepts) },
            rows: self.rows,
        }
    }
}

fn too_few(data: &TrainData) -> String {
    format!("{} rows are too few to choose by: the words weigh what they do", data.rows())
}

/// `C` where it is not chosen.
fn usual_c(options: &TrainOptions, data: &TrainData) -> f64 {
    match options.c {
        Strength::Fixed(c) => c,
        Strength::Auto => suited(C, data),
    }
}

/// Cross-validates each weight on the same folds; the first within a standard error of the best is taken. Few rows are cross-validated, too, but choose
/// nothing.
fn compare(
    data: &TrainData,
    words: &Prior,
    options: &TrainOptions,
    unit: f64,
    choice: &mut WordsChoice,
    progress: &mut dyn FnMut(Progress),
) -> Result<(RegularizationPath, f64)> {
    if data.rows() < FEWEST_TO_CHOOSE {
        choice.reason = too_few(data);
        let options = TrainOptions { c: Strength::Fixed(usual_c(options, data)), ..options.clone() };
        let search = Search { grid: Grid::Suited, moments: None, prior: Some(words) };
        return Ok((RegularizationPath::run(data, &options, search, progress)?, 1.0));
    }
    let mut tried = Vec::with_capacity(WEIGHTS.len());
    // Only words know a class without an example.
    let all_known = choice.without_rows == 0;
    let weights: Vec<f64> = WEIGHTS.into_iter().filter(|weight| *weight > 0.0 || all_known).collect();
    for &weight in &weights {
        let prior = words.weighed(weight);
        // Without words there is nothing to hold the intercepts to.
        let search = Search { grid: Grid::Suited, moments: None, prior: (weight > 0.0).then_some(&prior) };
        let path = RegularizationPath::run(data, options, search, progress)?;
        let score = path.chosen().score;
        choice.candidates.push(WordsCandidate { weight, c: path.chosen().c.map(|c| c / unit), score });
        tried.push(path);
    }
    let (best, chosen) = RegularizationPath::lowest_and_preferred(&tried.iter().collect::<Vec<_>>());
    let score = |at: usize| tried[at].chosen().score.mean;
    choice.weight = weights[chosen];
    choice.reason = if chosen == best {
        format!("a weight of {} has the lowest score, {:.4}", weights[best], score(best))
    } else {
        format!(
            "a weight of {} ({:.4}) is within a standard error of {} ({:.4}) and nearer to the words alone",
            weights[chosen],
            score(chosen),
            weights[best],
            score(best)
        )
    };
    Ok((tried.swap_remove(chosen), choice.weight))
}

/// The linear model that the words alone are.
fn words(data: &TrainData, prototypes: &Matrix, unlabelled: Option<&Matrix>) -> Prior {
    let (classes, d) = (prototypes.rows(), prototypes.columns());
    let length = |row: &[f32]| row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let lengths: Vec<f64> = (0..classes).map(|class| length(prototypes.row(class))).collect();
    let mut coefficients: Vec<f64> = (0..classes)
        .flat_map(|class| prototypes.row(class).iter().map(move |v| (class, f64::from(*v))))
        .map(|(class, v)| v / lengths[class])
        .collect();
    // What all classes share changes no probability.
    for j in 0..d {
        let mean = (0..classes).map(|class| coefficients[class * d + j]).sum::<f64>() / classes as f64;
        (0..classes).for_each(|class| coefficients[class * d + j] -= mean);
    }
    let scores = |x: &Matrix| -> Vec<f64> {
        let rows: Vec<&[f32]> = (0..x.rows()).map(|row| x.row(row)).collect();
        let mut out = vec![0.0; rows.len() * classes];
        dense::affine(&rows, &coefficients, &vec![0.0; classes], &mut out);
        out
    };
    let of_unlabelled = unlabelled.map(&scores).unwrap_or_default();
    let of_all = [&scores(&data.embeddings)[..], &of_unlabelled].concat();
    let means = |scores: &[f64]| -> Vec<f64> {
        let rows = (scores.len() / classes) as f64;
        (0..classes).map(|class| scores.iter().skip(class).step_by(classes).sum::<f64>() / rows).collect()
    };
    let usual = COSINE_FACTOR / (lengths.iter().sum::<f64>() / classes as f64);
    let factor = if of_all.len() >= FEWEST_TEXTS * classes {
        let centre = means(&of_all);
        let square = |(at, score): (usize, &f64)| (score - centre[at % classes]).powi(2);
        let sum: f64 = of_all.iter().enumerate().map(square).sum();
        // Scores of a row sum to zero, so the mean over pairs of classes of the variance of their difference is this.
        let variance = sum * 2.0 / ((classes - 1) as f64 * (of_all.len() / classes) as f64);
        if variance > 0.0 { 1.0 / variance.sqrt() } else { usual }
    } else {
        usual
    };
    let known = of_unlabelled.len() >= FEWEST_TEXTS * classes;
    let centre = if known { means(&of_unlabelled) } else { vec![0.0; classes] };
    coefficients.iter_mut().for_each(|w| *w *= factor);
    let intercepts: Vec<f64> = centre.iter().map(|mean| -factor * mean).collect();
    let linear = if classes == 2 {
        let coefficients = (0..d).map(|j| coefficients[d + j] - coefficients[j]).collect();
        Linear { coefficients, intercepts: vec![intercepts[1] - intercepts[0]] }
    } else {
        Linear { coefficients, intercepts }
    };
    Prior { linear, rows: INTERCEPT_ROWS[usize::from(!known)] }
}

/// Whether the parts go together.
fn check(
    data: &TrainData,
    prototypes: &Matrix,
    unlabelled: Option<&Matrix>,
    options: &TrainOptions,
) -> Result<()> {
    let fail = |what: String| Err(Error::input(format!("training a head from words: {what}")));
    let Targets::Classes { names, .. } = &data.targets else {
        return fail("descriptions are of classes, one a text; labels and numbers have none".into());
    };
    if options.kind != Kind::Linear {
        return fail(format!("only a linear head can start from words, not {}", options.kind));
    }
    data.check_parts()?;
    if names.len() < 2 || prototypes.rows() != names.len() || prototypes.columns() == 0 {
        return fail(format!(
            "expected a prototype for each of two or more classes, found {} of {} columns for {} classes",
            prototypes.rows(),
            prototypes.columns(),
            names.len()
        ));
    }
    for (what, columns) in [
        ("the examples", Some(data.embeddings.columns()).filter(|_| data.rows() > 0)),
        ("the unlabelled texts", unlabelled.map(Matrix::columns)),
    ] {
        if let Some(columns) = columns.filter(|columns| *columns != prototypes.columns()) {
            return fail(format!(
                "expected {what} to have the {} columns of the prototypes, found {columns}",
                prototypes.columns()
            ));
        }
    }
    if let Some(class) = (0..names.len()).find(|class| prototypes.row(*class).iter().all(|v| *v == 0.0)) {
        return fail(format!("the prototype of class {:?} is all zeros and has no direction", names[class]));
    }
    let same = |a: usize, b: usize| prototypes.row(a) == prototypes.row(b);
    let pair = (0..names.len()).flat_map(|a| (0..a).map(move |b| (b, a))).find(|(a, b)| same(*a, *b));
    match pair {
        Some((a, b)) => fail(format!(
            "classes {:?} and {:?} have the same prototype: describe them differently",
            names[a], names[b]
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const COLUMNS: usize = 24;

    /// Texts of three classes about a direction of their own each, and a description of each class that points about there.
    fn drawn(each: usize, seed: u64) -> (TrainData<'static>, Matrix<'static>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut noise = |size: f32| (rng.random::<f32>() * 2.0 - 1.0) * size;
        let (mut x, mut labels) = (vec![], vec![]);
        for row in 0..3 * each {
            let class = row % 3;
            x.extend((0..COLUMNS).map(|j| noise(1.0) + if j % 3 == class && j < 9 { 0.8 } else { 0.0 }));
            labels.push(class as u32);
        }
        let of_class =
            |class: usize| (0..COLUMNS).map(move |j| if j == class || j == class + 3 { 1.0 } else { 0.1 });
        let words: Vec<f32> = (0..3).flat_map(of_class).collect();
        let names = ["a", "b", "c"].map(String::from).to_vec();
        let x = Matrix::new(3 * each, COLUMNS, x).unwrap();
        (TrainData::new(x, Targets::Classes { labels, names }), Matrix::new(3, COLUMNS, words).unwrap())
    }

    fn accuracy(head: &Head) -> f64 {
        let (test, _) = drawn(300, 99);
        let crate::head::Metrics::SingleLabel(found) =
            head.evaluate(&test.embeddings, &test.targets).unwrap()
        else {
            unreachable!()
        };
        found.accuracy
    }

    fn trained(each: usize, seed: u64, options: &TrainOptions) -> Training {
        let (data, words) = drawn(each, seed);
        Head::train_from_words(&data, &words, None, options, &mut |_| {}).unwrap()
    }

    #[test]
    fn words_alone_are_cosines_and_the_middle_of_unlabelled_texts_is_nobodys() {
        let (none, words) = drawn(0, 1);
        let alone =
            Head::train_from_words(&none, &words, None, &TrainOptions::default(), &mut |_| {}).unwrap();
        let choice = alone.words.as_ref().unwrap();
        assert!(
            choice.candidates.is_empty() && choice.weight == 1.0 && choice.without_rows == 3,
            "{choice:?}"
        );
        let (test, _) = drawn(40, 5);
        let logits = alone.head.logits(&test.embeddings).unwrap();
        let size = |row: &[f32]| row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let product =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        // With too few texts the factor is a fixed one of the cosine, over the prototypes' length.
        let length = (0..3).map(|class| size(words.row(class))).sum::<f64>() / 3.0;
        for row in 0..test.rows() {
            let score =
                |class: usize| product(test.embeddings.row(row), words.row(class)) / size(words.row(class));
            let want = (score(0) - score(2)) * COSINE_FACTOR / length;
            assert!((logits[3 * row] - logits[3 * row + 2] - want).abs() < 1e-5);
        }
        let with = Head::train_from_words(
            &none,
            &words,
            Some(&test.embeddings),
            &TrainOptions::default(),
            &mut |_| {},
        );
        let with = with.unwrap();
        assert_eq!(with.words.unwrap().unlabelled, 120);
        let logits = with.head.logits(&test.embeddings).unwrap();
        let mean = |class: usize| logits.iter().skip(class).step_by(3).sum::<f64>() / 120.0;
        assert!((mean(0) - mean(1)).abs() < 1e-9 && (mean(1) - mean(2)).abs() < 1e-9);
        let spread =
            |a: usize, b: usize| logits.chunks(3).map(|row| (row[a] - row[b]).powi(2)).sum::<f64>() / 120.0;
        let variance = (spread(0, 1) + spread(0, 2) + spread(1, 2)) / 3.0;
        assert!((variance - 1.0).abs() < 1e-9, "differences of logits vary by one: {variance}");
    }

    #[test]
    fn few_examples_gain_by_words_and_many_lose_nothing() {
        let plain = |each: usize, seed: u64| {
            let options = TrainOptions { c: Strength::Fixed(0.1), ..TrainOptions::default() };
            accuracy(&Head::train(&drawn(each, seed).0, &options, &mut |_| {}).unwrap().head)
        };
        let mean = |of: &dyn Fn(u64) -> f64| (0..5).map(of).sum::<f64>() / 5.0;
        let options = TrainOptions::default();
        let alone = accuracy(&trained(0, 0, &options).head);
        let two = mean(&|seed| accuracy(&trained(2, seed, &options).head));
        let two_plain = mean(&|seed| plain(2, seed));
        assert!(alone > 0.6 && two > two_plain + 0.05 && two > alone - 0.03, "{alone} {two} {two_plain}");
        let (many, many_plain) = (accuracy(&trained(200, 3, &options).head), plain(200, 3));
        assert!(many > many_plain - 0.02 && many > two, "{many} {many_plain}");
    }

    #[test]
    fn the_weight_is_chosen_by_cross_validation_where_there_are_rows() {
        let (data, words) = drawn(60, 4);
        // Words that say the opposite of what is the case.
        let turned: Vec<f32> = [1, 2, 0].iter().flat_map(|class| words.row(*class).to_vec()).collect();
        let turned = Matrix::new(3, COLUMNS, turned).unwrap();
        let options = TrainOptions::default();
        let wrong = Head::train_from_words(&data, &turned, None, &options, &mut |_| {}).unwrap();
        let choice = wrong.words.as_ref().unwrap();
        assert_eq!(choice.candidates.len(), WEIGHTS.len());
        let score = |at: usize| choice.candidates[at].score.mean;
        assert!(
            score(WEIGHTS.len() - 1) < score(0) && score(0) < score(1),
            "the less of them the better: {choice:?}"
        );
        assert!(
            accuracy(&wrong.head) > accuracy(&Head::train(&data, &options, &mut |_| {}).unwrap().head) - 0.03
        );
        assert!(wrong.cross_validation.is_some() && wrong.head.record.c.is_some());
        assert_eq!(
            Head::from_bytes(&wrong.head.to_bytes().unwrap()).unwrap(),
            wrong.head,
            "a plain linear head"
        );
        assert_eq!(wrong.head.kind(), ModelKind::Linear);
    }

    #[test]
    fn a_class_without_an_example_keeps_its_words() {
        let (all, words) = drawn(30, 6);
        let rows: Vec<u32> = (0..90).filter(|row| row % 3 != 2).collect();
        let head = Head::train_from_words(
            &all.select_rows(&rows),
            &words,
            None,
            &TrainOptions::default(),
            &mut |_| {},
        );
        let head = head.unwrap();
        assert_eq!(head.words.as_ref().unwrap().without_rows, 1);
        let weights = choice_weights(&head);
        assert!(
            weights.len() == WEIGHTS.len() - 1 && weights.iter().all(|weight| *weight > 0.0),
            "{weights:?}"
        );
        let found = head.head.predict_proba(&words).unwrap();
        assert!(
            found[8] > 2.0 * found[2] && found[8] > 2.0 * found[5],
            "likeliest where it is described: {found:?}"
        );
    }

    #[test]
    fn few_rows_are_cross_validated_and_choose_nothing() {
        let options = TrainOptions { calibration: CalibrationKind::Temperature, ..TrainOptions::default() };
        let few = trained(5, 2, &options);
        let choice = few.words.as_ref().unwrap();
        assert!(choice.candidates.is_empty() && choice.weight == 1.0 && choice.reason.contains("15 rows"));
        assert_eq!(few.cross_validation.as_ref().unwrap().predictions.len(), 15 * 3);
        // The head is the one that as many rows give without being cross-validated.
        let plain = Strength::Fixed(few.head.record.c.unwrap());
        let (data, words) = drawn(5, 2);
        let fixed = TrainOptions { c: plain, ..TrainOptions::default() };
        let fixed = Head::train_from_words(&data, &words, None, &fixed, &mut |_| {}).unwrap();
        assert_eq!(few.head.coefficients().unwrap(), fixed.head.coefficients().unwrap());
    }

    fn choice_weights(training: &Training) -> Vec<f64> {
        let choice = training.words.as_ref().unwrap();
        choice.candidates.iter().map(|candidate| candidate.weight).collect()
    }

    #[test]
    fn what_does_not_go_together_is_told() {
        let (data, words) = drawn(4, 1);
        let options = TrainOptions::default();
        let says = |data: &TrainData, words: &Matrix, options: &TrainOptions| {
            let error = Head::train_from_words(data, words, None, options, &mut |_| {}).unwrap_err();
            assert!(error.is_input());
            error.to_string()
        };
        let two = Matrix::new(2, COLUMNS, vec![1.0; 2 * COLUMNS]).unwrap();
        assert!(says(&data, &two, &options).contains("found 2 of 24 columns for 3 classes"));
        let narrow = Matrix::new(3, 2, vec![1.0, 0.0, 0.0, 1.0, 1.0, 1.0]).unwrap();
        assert!(says(&data, &narrow, &options).contains("the 2 columns of the prototypes, found 24"));
        let zero = Matrix::new(3, COLUMNS, vec![0.0; 3 * COLUMNS]).unwrap();
        assert!(says(&data, &zero, &options).contains("no direction"));
        let same = Matrix::new(3, COLUMNS, vec![1.0; 3 * COLUMNS]).unwrap();
        assert!(says(&data, &same, &options).contains("describe them differently"));
        let kind = TrainOptions { kind: Kind::NearestCentroid, ..TrainOptions::default() };
        assert!(says(&data, &words, &kind).contains("centroid"));
        let numbers = TrainData::new(data.embeddings.view(), Targets::values(vec![1.0; 12], "stars"));
        assert!(says(&numbers, &words, &options).contains("one a text"));
        let (few, _) = drawn(2, 1);
        let calibrated =
            TrainOptions { calibration: CalibrationKind::Temperature, ..TrainOptions::default() };
        assert!(says(&few, &words, &calibrated).contains("too few"));
    }
}
