//! A training's record as the sections of a report.

use std::path::Path;

use super::data::*;
use super::format::percent;
use super::map2d;
use super::sample::sampled;
use crate::encoder::Text;
use crate::error::{Error, Result};
use crate::head;
use crate::head::{
    BaselineKind, CalibrationKind, Choice, CrossValidation, Estimate, LabelIssue, LayerCandidate,
    LayerChoice, Matrix, ModelKind, Targets, WordsCandidate, WordsChoice, argmax,
};
use crate::workflow::{
    Answer, EmbeddedRows, EncoderRecord, LongCandidate, LongChoice, Misprediction, TrainingRecord,
};

/// Points of a map, and of a regression's scatter: more hide each other, and t-SNE's work grows with their square.
const POINTS: usize = 1000;
/// Points of a curve: more than a plot has pixels to show.
const CURVE_POINTS: usize = 200;
/// Likely label errors shown.
const LABEL_ERRORS: usize = 30;
/// Bins of the reliability diagram.
const BINS: usize = 10;

impl ReportData {
    /// All that a training's record holds; what is not known stays out. The rows give the texts, the curves and the maps;
    /// `head_file` is where the head was written.
    ///
    /// # Errors
    /// The maps cannot be drawn: the embeddings are not numbers.
    pub fn of_training(
        record: &TrainingRecord,
        rows: Option<&EmbeddedRows>,
        head_file: &Path,
    ) -> Result<ReportData> {
        let title = head_file.file_name().unwrap_or(head_file.as_os_str()).to_string_lossy().into_owned();
        let mut data = ReportData {
            title,
            warnings: record.warnings.iter().map(ToString::to_string).collect(),
            model: record.encoder.as_ref().map(|encoder| model(record, encoder)),
            data: Some(DataSummary {
                file: record.data.name.clone(),
                rows: record.data.rows,
                truncated: record.data.truncated,
                classes: record.data.classes.clone(),
            }),
            metrics: metrics(record),
            layers: record.layers.as_ref().map(layers),
            words: record.words.as_ref().map(words),
            long: record.long.as_ref().map(long),
            learning_curve: learning_curve(record),
            kinds: record.choice.as_ref().map(|choice| kinds(choice, record.settings.kind.name())),
            settings: settings(record),
            usage: usage(record, head_file),
            ..ReportData::default()
        };
        if let Some(measured) = record.out_of_fold.as_ref().or(record.held_out.as_ref()) {
            data.classes = classes(measured, &record.thresholds);
            data.confusion = confusion(measured);
        }
        if let Some(rows) = rows {
            data.label_errors = label_errors(record, rows);
            data.mistakes = record.mispredictions.iter().map(|wrong| mistake(record, rows, wrong)).collect();
            let cv = record.cross_validation.as_ref();
            if let Some(cv) = cv {
                predictions(&mut data, record, rows, cv);
            }
            data.maps = maps(rows, cv)?;
        }
        Ok(data)
    }
}

impl ExplainedAnswer {
    /// A prediction's leading answer taken apart; none where it was not explained. `names` are the head's.
    pub fn of_answer(answer: &Answer, names: &[String]) -> Option<ExplainedAnswer> {
        let (found, leading) = (answer.explanation.as_ref()?, answer.leading());
        let share = |(token, shares): (&String, &Vec<f64>)| TokenShare {
            token: token.clone(),
            share: shares[leading],
        };
        Some(ExplainedAnswer {
            label: names[leading].clone(),
            probability: answer.prediction.answer.probabilities.get(leading).copied().unwrap_or(f64::NAN),
            logit: found.logits[leading],
            bias: found.base[leading],
            exact: found.exact,
            shares: found.tokens.iter().zip(&found.shares).map(share).collect(),
        })
    }
}

/// What the out-of-fold predictions show: reliability, curves, a regression's scatter.
fn predictions(data: &mut ReportData, record: &TrainingRecord, rows: &EmbeddedRows, cv: &CrossValidation) {
    match &rows.data.targets {
        Targets::Classes { labels, names } => {
            data.reliability = Some(reliability(record, labels, &cv.predictions));
            data.coverage = coverage(labels, names.len(), &cv.predictions);
            data.curves = curves(names, &cv.predictions, |row, class| labels[row] as usize == class);
        }
        Targets::MultiLabel { marks, names } => {
            data.curves = curves(names, &cv.predictions, |row, label| marks[row * names.len() + label]);
        }
        Targets::Values { values, .. } => {
            let point = |row: usize| RegressionPoint {
                truth: values[row],
                predicted: cv.predictions[row],
                text: text(rows, row),
            };
            data.regression = sample(values.len()).into_iter().map(point).collect();
        }
    }
}

/// Accuracy over the surest rows, at shares of all rows that a curve can show. Rows that are equally sure stay together, and fewer than ten say
/// nothing.
fn coverage(labels: &[u32], classes: usize, predictions: &[f64]) -> Vec<CoveragePoint> {
    const FEWEST: usize = 10;
    let mut rows: Vec<(f64, bool)> = (predictions.chunks_exact(classes.max(1)).zip(labels))
        .map(|(row, label)| {
            let likeliest = argmax(row);
            (row[likeliest], likeliest == *label as usize)
        })
        .collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let step = rows.len().div_ceil(CURVE_POINTS).max(1);
    let (mut right, mut points, mut last) = (0usize, Vec::new(), 0);
    for (at, (probability, is_right)) in rows.iter().enumerate() {
        right += usize::from(*is_right);
        let decided = at + 1;
        let whole = rows.get(decided).is_none_or(|next| next.0 < *probability);
        if whole && decided >= FEWEST && (decided - last >= step || decided == rows.len()) {
            last = decided;
            points.push(CoveragePoint {
                at_least: *probability,
                coverage: decided as f64 / rows.len() as f64,
                accuracy: right as f64 / decided as f64,
            });
        }
    }
    points
}

/// A row's text; a pair's with a bar between.
fn text(rows: &EmbeddedRows, row: usize) -> String {
    rows.data.texts.get(row).map_or_else(String::new, both)
}

/// A text, or both of a pair.
fn both(text: &Text) -> String {
    text.second.as_ref().map_or_else(|| text.first.clone(), |second| format!("{} | {second}", text.first))
}

fn model(record: &TrainingRecord, encoder: &EncoderRecord) -> Model {
    let normalised = if encoder.recipe.normalize { ", normalised" } else { "" };
    Model {
        name: encoder.location.clone(),
        family: encoder.family.name().to_owned(),
        layers: encoder.layers,
        dim: encoder.dim,
        pooling: format!(
            "{}{normalised}; layer {}",
            encoder.recipe.pooling_in_words(),
            encoder.recipe.layers_in_words()
        ),
        device: Some(encoder.device.name.clone()),
        tokens_per_second: record.embedding.as_ref().and_then(|embedding| embedding.tokens_per_second()),
    }
}

/// Cross-validation, the held-out rows, and what simple predictors get.
fn metrics(record: &TrainingRecord) -> Option<MetricTable> {
    let cv = record.cross_validation.as_ref();
    let folds = cv.map(|cv| cv.summary.as_slice()).unwrap_or_default();
    let test = record.held_out.as_ref().map(head::Metrics::scalars);
    let names: Vec<&str> = if folds.is_empty() {
        test.as_ref()?.iter().map(|(name, _)| *name).collect()
    } else {
        folds.iter().map(|(name, _)| name.as_str()).collect()
    };
    let mut systems = Vec::new();
    systems.extend(cv.map(|_| "cross-validation".to_owned()));
    systems.extend(test.as_ref().map(|_| "held-out rows".to_owned()));
    systems.extend(record.baselines.iter().map(|baseline| match baseline.name {
        BaselineKind::Prior => "class frequencies".to_owned(),
        BaselineKind::NearestCentroid => "nearest centroid".to_owned(),
        BaselineKind::TfIdf => "TF-IDF of the words".to_owned(),
    }));
    let row = |name: &str| {
        let mut values = Vec::new();
        values.extend(cv.map(|_| estimate(folds, name)));
        values.extend(test.as_ref().map(|rows| {
            let found = rows.iter().find(|(known, _)| *known == name).and_then(|(_, value)| *value);
            Interval::point(found.unwrap_or(f64::NAN))
        }));
        values.extend(record.baselines.iter().map(|baseline| estimate(&baseline.summary, name)));
        MetricRow { name: name.to_owned(), lower_is_better: lower_is_better(name), values }
    };
    let protocol = cv.map_or_else(String::new, |_| protocol(record));
    Some(MetricTable { protocol, systems, rows: names.into_iter().map(row).collect() })
}

fn protocol(record: &TrainingRecord) -> String {
    let folds = record.settings.folds;
    match folds.repeats {
        1 => format!("{}-fold cross-validation; 95% intervals over folds", folds.folds),
        n => format!("{}-fold cross-validation, repeated {n} times; 95% intervals", folds.folds),
    }
}

/// The head's cross-validated measures with those of simple predictors beside them: is the encoder worth it?
pub(super) fn compared(record: &TrainingRecord, cv: &CrossValidation) -> MetricTable {
    let mut systems = vec![record.settings.kind.name().to_owned()];
    systems.extend(record.baselines.iter().map(|baseline| baseline.name.to_string()));
    let row = |(name, own): &(String, Estimate)| {
        let mut values = vec![interval(*own)];
        values.extend(record.baselines.iter().map(|baseline| estimate(&baseline.summary, name)));
        MetricRow { name: name.clone(), lower_is_better: lower_is_better(name), values }
    };
    MetricTable { protocol: protocol(record), systems, rows: cv.summary.iter().map(row).collect() }
}

/// One set of rows' measures.
pub(super) fn measured(metrics: &head::Metrics) -> MetricTable {
    let row = |(name, value): (&'static str, Option<f64>)| MetricRow {
        name: name.to_owned(),
        lower_is_better: lower_is_better(name),
        values: vec![Interval::point(value.unwrap_or(f64::NAN))],
    };
    let rows = metrics.scalars().into_iter().map(row).collect();
    MetricTable { protocol: String::new(), systems: vec!["value".into()], rows }
}

fn lower_is_better(measure: &str) -> bool {
    ["log loss", "Brier", "ECE", "Hamming loss", "MSE", "MAE"].contains(&measure)
}

fn estimate(rows: &[(String, Estimate)], name: &str) -> Interval {
    let found = rows.iter().find(|(known, _)| known == name);
    found.map_or(Interval::point(f64::NAN), |(_, estimate)| interval(*estimate))
}

fn interval(estimate: Estimate) -> Interval {
    Interval::new(estimate.mean, estimate.mean - estimate.half_width, estimate.mean + estimate.half_width)
}

fn learning_curve(record: &TrainingRecord) -> Option<LearningCurve> {
    let (measure, _) = record.learning_curve.first()?.held_out.first()?;
    let point = |point: &head::LearningPoint| CurvePoint {
        rows: point.rows,
        score: estimate(&point.held_out, measure),
        train: point.train.iter().find(|(name, _)| name == measure).map(|(_, estimate)| estimate.mean),
    };
    let points = record.learning_curve.iter().map(point).collect();
    Some(LearningCurve { metric: measure.clone(), points })
}

fn label_errors(record: &TrainingRecord, rows: &EmbeddedRows) -> Vec<LabelError> {
    let error = |issue: &LabelIssue| LabelError {
        row: Some(rows.data.numbers[issue.row] as usize),
        text: text(rows, issue.row),
        given: record.names[issue.given].clone(),
        suggested: record.names[issue.suggested].clone(),
        given_probability: issue.given_probability,
        suggested_probability: issue.suggested_probability,
    };
    record.label_issues.iter().take(LABEL_ERRORS).map(error).collect()
}

fn mistake(record: &TrainingRecord, rows: &EmbeddedRows, wrong: &Misprediction) -> Mistake {
    let tokens = wrong.explanation.iter().flat_map(|found| found.tokens.iter().zip(&found.shares));
    Mistake {
        text: text(rows, wrong.row),
        truth: record.names[wrong.given].clone(),
        predicted: record.names[wrong.predicted].clone(),
        probability: wrong.probability,
        shares: tokens
            .map(|(token, shares)| TokenShare { token: token.clone(), share: shares[wrong.predicted] })
            .collect(),
    }
}

fn reliability(record: &TrainingRecord, labels: &[u32], predictions: &[f64]) -> Reliability {
    let ece = match &record.out_of_fold {
        Some(head::Metrics::SingleLabel(measured)) => Some(measured.ece),
        _ => None,
    };
    let bin = |bin: head::ReliabilityBin| ReliabilityPoint {
        confidence: bin.confidence,
        accuracy: bin.accuracy,
        count: bin.rows,
    };
    let bins = head::reliability(labels, predictions, BINS).into_iter().map(bin).collect();
    // The out-of-fold predictions are calibrated as the head is: there is one diagram, not two.
    if record.calibration.kind == CalibrationKind::None {
        return Reliability { before: bins, ece_before: ece, ..Reliability::default() };
    }
    let method = (record.calibration.temperature())
        .map_or_else(|| "vector scaling".to_owned(), |t| format!("temperature {t:.3}"));
    Reliability { after: bins, ece_after: ece, method: Some(method), ..Reliability::default() }
}

fn maps(rows: &EmbeddedRows, cv: Option<&CrossValidation>) -> Result<Vec<Map>> {
    let Targets::Classes { labels, names } = &rows.data.targets else { return Ok(Vec::new()) };
    let shown = sample(labels.len());
    let dim = rows.embeddings.columns();
    let values: Vec<f32> = shown.iter().flat_map(|row| rows.embeddings.row(*row)).copied().collect();
    let predicted = |row: usize| {
        let p = &cv?.predictions[row * names.len()..][..names.len()];
        Some(argmax(p))
    };
    let point = |row: usize, [x, y]: [f64; 2]| MapPoint {
        x,
        y,
        class: labels[row] as usize,
        predicted: predicted(row),
        text: text(rows, row),
    };
    projected(&values, dim, &shown, (names, labels.len()), &point)
}

/// Two maps of the rows shown, whose embeddings these are; `of` has the names of classes and how many rows there are in all.
fn projected(
    values: &[f32],
    dim: usize,
    shown: &[usize],
    of: (&[String], usize),
    point: &dyn Fn(usize, [f64; 2]) -> MapPoint,
) -> Result<Vec<Map>> {
    let map = |projection: map2d::Projection| Map {
        method: projection.method,
        labels: of.0.to_vec(),
        points: shown.iter().zip(projection.points).map(|(row, place)| point(*row, place)).collect(),
        sampled_from: (shown.len() < of.1).then_some(of.1),
    };
    let (pca, tsne) = (map2d::pca(values, dim)?, map2d::tsne(values, dim)?);
    // With too few rows t-SNE gives the components again.
    let tsne = (tsne.method != pca.method).then_some(tsne);
    Ok(std::iter::once(pca).chain(tsne).map(map).collect())
}

/// Maps of embeddings of several kinds, such as old and new ones. Of many rows some are drawn; kinds of few rows whole.
///
/// Shapes: `embeddings` `[rows, columns]`, `kinds` `[rows]`, indices into `names`; `texts` `[rows]`.
///
/// # Errors
/// The input: there is not one kind and one text for each row, or a kind without a name.
pub fn maps_of(
    embeddings: &Matrix<'_>,
    kinds: &[usize],
    names: &[String],
    texts: &[&Text],
) -> Result<Vec<Map>> {
    let rows = embeddings.rows();
    if kinds.len() != rows || texts.len() != rows || kinds.iter().any(|kind| *kind >= names.len()) {
        return Err(Error::input(format!(
            "drawing a map: expected a text and one of {} kinds for each of {rows} rows, found {} texts and {} kinds",
            names.len(),
            texts.len(),
            kinds.len()
        )));
    }
    let mut of_kind: Vec<Vec<usize>> = vec![vec![]; names.len()];
    kinds.iter().enumerate().for_each(|(row, kind)| of_kind[*kind].push(row));
    of_kind.sort_by_key(Vec::len);
    let (mut shown, count): (Vec<usize>, usize) = (vec![], of_kind.len());
    for (at, rows) in of_kind.into_iter().enumerate() {
        let share = (POINTS - shown.len()) / (count - at);
        shown.extend(sampled(&rows, share));
    }
    shown.sort_unstable();
    let values: Vec<f32> = shown.iter().flat_map(|row| embeddings.row(*row)).copied().collect();
    let point = |row: usize, [x, y]: [f64; 2]| MapPoint {
        x,
        y,
        class: kinds[row],
        predicted: None,
        text: both(texts[row]),
    };
    projected(&values, embeddings.columns(), &shown, (names, rows), &point)
}

fn settings(record: &TrainingRecord) -> Vec<(String, String)> {
    let settings = &record.settings;
    let mut rows = vec![("head".to_owned(), settings.kind.name().to_owned())];
    rows.extend(record.c.map(|c| ("C".to_owned(), c.to_string())));
    rows.push(("standardised".into(), yes_or_no(settings.standardise)));
    rows.push(("class weight".into(), format!("{:?}", settings.class_weight).to_lowercase()));
    rows.push(("calibration".into(), format!("{:?}", settings.calibration).to_lowercase()));
    rows.push(("seed".into(), settings.folds.seed.to_string()));
    rows
}

fn usage(record: &TrainingRecord, head_file: &Path) -> Vec<Snippet> {
    let head = head_file.display();
    let mut usage = vec![
        Snippet {
            caption: "Classify a text".into(),
            code: format!("frostbert predict --head {head} --text \"...\""),
        },
        Snippet {
            caption: "Measure on other rows".into(),
            code: format!("frostbert evaluate --head {head} rows.csv --label-column label"),
        },
    ];
    usage.extend(record.encoder.as_ref().map(|encoder| Snippet {
        caption: "From Rust".into(),
        code: format!(
            "let encoder = Encoder::load({:?}).build()?;\n\
             let classifier = Classifier::new(encoder, Head::load({:?})?)?;\n\
             let answers = classifier.predict([\"...\"])?;",
            encoder.location,
            head.to_string()
        ),
    }));
    usage
}

fn yes_or_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

/// Layers compared.
pub(super) fn layers(choice: &LayerChoice) -> CandidateTable {
    let best = choice.best();
    let candidate = |candidate: &LayerCandidate| {
        let numbers: Vec<String> = candidate.layers.iter().map(ToString::to_string).collect();
        let mut settings = vec![("standardised".to_owned(), yes_or_no(candidate.standardise))];
        settings.extend(candidate.c.map(|c| ("C".to_owned(), c.to_string())));
        Candidate {
            name: format!("layer{} {}", if numbers.len() == 1 { "" } else { "s" }, numbers.join(", ")),
            score: interval(candidate.score),
            settings,
            seconds: None,
            chosen: candidate == best,
        }
    };
    CandidateTable {
        metric: format!("cross-validated {}", choice.score),
        lower_is_better: true,
        reason: Some(choice.reason.clone()),
        rows: choice.candidates.iter().map(candidate).collect(),
    }
}

/// Candidates that were compared by what a head's cross-validation minimises.
fn compared_by_score(reason: &str, rows: impl Iterator<Item = Candidate>) -> CandidateTable {
    CandidateTable {
        metric: "cross-validation score (smaller is better)".into(),
        lower_is_better: true,
        reason: Some(reason.to_owned()),
        rows: rows.collect(),
    }
}

/// What becomes of long texts.
pub(super) fn long(choice: &LongChoice) -> CandidateTable {
    let candidate = |candidate: &LongCandidate| Candidate {
        name: candidate.way.to_string(),
        score: interval(candidate.score),
        settings: vec![("cut away".to_owned(), percent(candidate.cut))],
        seconds: None,
        chosen: candidate.way == choice.chosen,
    };
    compared_by_score(&choice.reason, choice.candidates.iter().map(candidate))
}

/// Weights of the words that a head started from.
pub(super) fn words(choice: &WordsChoice) -> CandidateTable {
    let candidate = |candidate: &WordsCandidate| Candidate {
        name: candidate.weight.to_string(),
        score: interval(candidate.score),
        settings: candidate.c.map(|c| ("C".to_owned(), c.to_string())).into_iter().collect(),
        seconds: None,
        chosen: candidate.weight == choice.weight,
    };
    compared_by_score(&choice.reason, choice.candidates.iter().map(candidate))
}

/// Kinds of head compared.
pub(super) fn kinds(choice: &Choice, chosen: &str) -> CandidateTable {
    let candidate = |(kind, score): &(ModelKind, Estimate)| Candidate {
        name: kind.to_string(),
        score: interval(*score),
        settings: Vec::new(),
        seconds: None,
        chosen: kind.name() == chosen,
    };
    compared_by_score(&choice.reason, choice.scores.iter().map(candidate))
}

/// Each class or label; none of numbers.
pub(super) fn classes(metrics: &head::Metrics, thresholds: &[f64]) -> Vec<ClassScores> {
    let row = |(at, row): (usize, &head::ClassRow)| ClassScores {
        name: row.name.clone(),
        support: row.support as usize,
        precision: row.precision,
        recall: row.recall,
        f1: row.f1,
        threshold: thresholds.get(at).copied(),
    };
    match metrics {
        head::Metrics::SingleLabel(found) => found.classes.iter().enumerate().map(row).collect(),
        head::Metrics::MultiLabel(found) => found.labels.iter().enumerate().map(row).collect(),
        head::Metrics::Regression(_) => Vec::new(),
    }
}

/// True against predicted class, of single labels.
pub(super) fn confusion(metrics: &head::Metrics) -> Option<Confusion> {
    let head::Metrics::SingleLabel(found) = metrics else { return None };
    let counts =
        found.confusion.iter().map(|row| row.iter().map(|count| *count as usize).collect()).collect();
    Some(Confusion { labels: found.classes.iter().map(|row| row.name.clone()).collect(), counts })
}

/// Each class against the rest.
fn curves(names: &[String], predictions: &[f64], is: impl Fn(usize, usize) -> bool) -> Vec<ClassCurves> {
    let curve = |(class, name): (usize, &String)| {
        let scores: Vec<f64> = predictions.iter().skip(class).step_by(names.len()).copied().collect();
        let truth: Vec<bool> = (0..scores.len()).map(|row| is(row, class)).collect();
        ClassCurves {
            class: name.clone(),
            roc: head::thin(&head::roc_curve(&scores, &truth), CURVE_POINTS),
            pr: head::thin(&head::precision_recall_curve(&scores, &truth), CURVE_POINTS),
            roc_auc: head::roc_auc(&scores, &truth),
            average_precision: head::average_precision(&scores, &truth),
        }
    };
    names.iter().enumerate().map(curve).collect()
}

/// At most [`POINTS`] of so many rows, evenly spaced.
fn sample(rows: usize) -> Vec<usize> {
    let shown = rows.min(POINTS);
    (0..shown).map(|at| at * rows / shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coverage_curve_counts_the_surest_rows() {
        // Forty rows, surer and surer; the twenty surest are right, of the others every second.
        let p = |row: usize| 0.5 + row as f64 / 100.0;
        let predictions: Vec<f64> = (0..40).flat_map(|row| [p(row), 1.0 - p(row)]).collect();
        let labels: Vec<u32> = (0..40).map(|row| u32::from(row < 20 && row % 2 == 0)).collect();
        let points = coverage(&labels, 2, &predictions);
        let at = |decided: usize| {
            points.iter().find(|point| (point.coverage - decided as f64 / 40.0).abs() < 1e-9)
        };
        assert_eq!(points.len(), 31, "from ten rows on, each once");
        assert_eq!(at(20).map(|point| (point.accuracy, point.at_least)), Some((1.0, p(20))));
        assert_eq!(at(40).map(|point| point.accuracy), Some(0.75));
        let equal = coverage(&labels, 2, &[0.7; 80]);
        assert_eq!(equal.len(), 1, "what is equally sure is decided together");
        assert!(coverage(&labels[..9], 2, &predictions[..18]).is_empty());
    }
}
