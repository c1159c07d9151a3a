//! What training found out, as the report wants it.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use frostbert::head;
use frostbert::head::{
    Baseline, CalibrationKind, CrossValidation, Estimate, Kind, LabelIssue, Strength, Targets, TrainData,
    TrainOptions, Training,
};
use frostbert::report::{
    Candidate, ClassCurves, ClassRow, Comparison, Confusion, DataSummary, Interval, LabelError,
    LearningCurve, LearningPoint, Map, MapPoint, Metric, Metrics, Mistake, Model, RegressionPoint,
    Reliability, ReliabilityBin, ReportData, Snippet, TokenShare, map2d,
};
use frostbert::{EmbedOptions, Encoder, Result, Text};

/// Points of a map, and of a regression's scatter: more hide each other, and t-SNE's work grows with their square.
const POINTS: usize = 1000;
/// Points of a curve: more than a plot has pixels to show.
const CURVE_POINTS: usize = 200;
/// Mistakes shown.
const MISTAKES: usize = 20;
/// Likely label errors shown.
const LABEL_ERRORS: usize = 30;
/// Shares of the rows that a learning curve has points for, and the fewest rows of a point.
const CURVE_SHARES: [f64; 6] = [0.05, 0.1, 0.2, 0.4, 0.7, 1.0];
const CURVE_ROWS: f64 = 40.0;
/// Bins of the reliability diagram.
const BINS: usize = 10;
/// Rows below which a class's figures say little.
const FEW_ROWS: usize = 20;

/// A training run.
pub struct Story<'a> {
    pub file: &'a Path,
    pub head_file: &'a Path,
    pub model: &'a str,
    pub encoder: &'a Encoder,
    pub options: &'a EmbedOptions,
    /// Of the training rows.
    pub texts: &'a [&'a Text],
    pub data: &'a TrainData<'a>,
    pub truncated: usize,
    pub tokens_per_second: Option<f64>,
    pub training: &'a Training,
    pub baselines: &'a [Baseline],
    pub label_issues: &'a [LabelIssue],
    /// Where each training row is in the table, counted from 0.
    pub rows: &'a [u32],
    pub test: Option<&'a head::Metrics>,
    pub warnings: Vec<String>,
}

/// What a reader should know before believing the numbers.
pub fn warnings(texts: &[&Text], test: &[&Text], targets: &Targets, training: &Training) -> Vec<String> {
    let mut found = Vec::new();
    if let Targets::Classes { labels, names } = targets {
        let few: Vec<String> = names
            .iter()
            .zip(counts(labels, names.len()))
            .filter(|(_, rows)| *rows < FEW_ROWS)
            .map(|(name, rows)| format!("{name} ({rows})"))
            .collect();
        if !few.is_empty() {
            let shown = few.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
            let more = if few.len() > 8 { format!(" and {} more", few.len() - 8) } else { String::new() };
            found.push(format!(
                "classes with fewer than {FEW_ROWS} training rows, whose figures say little: {shown}{more}"
            ));
        }
        let mut label_of: HashMap<&Text, u32> = HashMap::new();
        let torn: HashSet<&Text> = texts
            .iter()
            .zip(labels)
            .filter(|(text, label)| label_of.insert(text, **label).is_some_and(|known| known != **label))
            .map(|(text, _)| *text)
            .collect();
        if !torn.is_empty() {
            found.push(format!("{} texts occur with different labels", torn.len()));
        }
        if let Some(cv) = &training.cross_validation {
            let predicted: HashSet<usize> = cv.predictions.chunks_exact(names.len()).map(likeliest).collect();
            if let (1, Some(only)) = (predicted.len(), predicted.iter().next()) {
                found.push(format!(
                    "the classifier always answers {}: it has learnt nothing but the most frequent class",
                    names[*only]
                ));
            }
        }
    }
    let known: HashSet<&Text> = texts.iter().copied().collect();
    if known.len() < texts.len() {
        found.push(format!(
            "{} training rows repeat the text of another: copies in different folds make cross-validation look better \
             than it is",
            texts.len() - known.len()
        ));
    }
    let leaked = test.iter().filter(|text| known.contains(**text)).count();
    if leaked > 0 {
        found.push(format!(
            "{leaked} of {} held-out rows have a text that is among the training rows: the held-out figures look better \
             than they are",
            test.len()
        ));
    }
    found
}

impl Story<'_> {
    /// All that is known; what is not stays out.
    pub fn data(&self) -> Result<ReportData> {
        let targets = &self.data.targets;
        let cv = self.training.cross_validation.as_ref();
        let head = &self.training.head;
        let measured = cv.map(|cv| {
            let thresholds = (!head.thresholds().is_empty()).then(|| head.thresholds());
            head::Metrics::of(targets, &cv.predictions, thresholds)
        });
        let mut data = ReportData {
            title: self
                .head_file
                .file_name()
                .unwrap_or(self.head_file.as_os_str())
                .to_string_lossy()
                .into_owned(),
            warnings: self.warnings.clone(),
            model: Some(self.model()?),
            data: Some(self.summary()),
            metrics: self.metrics(cv),
            layers: self.training.layers.as_ref().map(layers),
            learning_curve: self.learning_curve()?,
            label_errors: self.label_errors(),
            kinds: self.training.choice.as_ref().map(|choice| kinds(choice, head.kind())),
            settings: self.settings(),
            usage: self.usage(),
            ..ReportData::default()
        };
        if let Some(measured) = measured.as_ref().or(self.test) {
            (data.classes, data.confusion) = classes(measured, head.thresholds());
        }
        if let Some(cv) = cv {
            match targets {
                Targets::Classes { labels, names } => {
                    let ece = measured.as_ref().and_then(|m| match m {
                        head::Metrics::SingleLabel(m) => Some(m.ece),
                        _ => None,
                    });
                    data.reliability = Some(self.reliability(labels, &cv.predictions, names.len(), ece));
                    data.mistakes = self.mistakes(labels, &cv.predictions, names);
                    data.curves = curves(names, &cv.predictions, |row, class| labels[row] as usize == class);
                }
                Targets::MultiLabel { marks, names } => {
                    data.curves =
                        curves(names, &cv.predictions, |row, label| marks[row * names.len() + label]);
                }
                Targets::Values { values, .. } => {
                    let point = |row: usize| RegressionPoint {
                        truth: values[row],
                        predicted: cv.predictions[row],
                        text: self.text(row),
                    };
                    data.regression = sample(values.len()).into_iter().map(point).collect();
                }
                _ => {}
            }
        }
        data.maps = self.maps(cv)?;
        Ok(data)
    }

    fn text(&self, row: usize) -> String {
        let text = self.texts[row];
        text.second.as_ref().map_or_else(|| text.first.clone(), |second| format!("{} | {second}", text.first))
    }

    fn model(&self) -> Result<Model> {
        let recipe = self.encoder.recipe(self.options)?;
        let normalised = if recipe.normalize { ", normalised" } else { "" };
        Ok(Model {
            name: self.model.to_owned(),
            family: self.encoder.config().family.name().to_owned(),
            layers: self.encoder.config().layers,
            dim: self.data.embeddings.columns(),
            pooling: format!("{}{normalised}; layer {}", recipe.pooling_in_words(), recipe.layers_in_words()),
            device: Some(self.encoder.device().name.clone()),
            tokens_per_second: self.tokens_per_second,
        })
    }

    fn summary(&self) -> DataSummary {
        let classes = match &self.data.targets {
            Targets::Classes { labels, names } => {
                names.iter().cloned().zip(counts(labels, names.len())).collect()
            }
            Targets::MultiLabel { marks, names } => {
                let rows = |label: usize| {
                    marks.iter().skip(label).step_by(names.len()).filter(|mark| **mark).count()
                };
                names.iter().cloned().zip((0..names.len()).map(rows)).collect()
            }
            _ => Vec::new(),
        };
        DataSummary {
            file: self.file.display().to_string(),
            rows: self.texts.len(),
            truncated: self.truncated,
            classes,
        }
    }

    /// Cross-validation, the held-out rows, and what knowing nothing but the classes' frequencies gets.
    fn metrics(&self, cv: Option<&CrossValidation>) -> Option<Metrics> {
        let folds = cv.map(|cv| cv.summary.as_slice()).unwrap_or_default();
        let test = self.test.map(head::Metrics::scalars);
        let point = |row: Option<Option<f64>>| Interval::point(row.flatten().unwrap_or(f64::NAN));
        let value = |rows: &[(&'static str, Option<f64>)], name: &str| {
            point(rows.iter().find(|(known, _)| *known == name).map(|(_, value)| *value))
        };
        let names: Vec<&str> = if folds.is_empty() {
            test.as_ref()?.iter().map(|(name, _)| *name).collect()
        } else {
            folds.iter().map(|(name, _)| name.as_str()).collect()
        };
        let mut systems = Vec::new();
        systems.extend(cv.map(|_| "cross-validation".to_owned()));
        systems.extend(test.as_ref().map(|_| "held-out rows".to_owned()));
        systems.extend(self.baselines.iter().map(|baseline| {
            match baseline.name {
                "prior" => "class frequencies",
                "nearest-centroid" => "nearest centroid",
                "tf-idf" => "TF-IDF of the words",
                other => other,
            }
            .to_owned()
        }));
        let row = |name: &str| {
            let estimate =
                folds.iter().find(|(known, _)| known == name).map(|(_, estimate)| interval(*estimate));
            let mut values = Vec::new();
            values.extend(cv.map(|_| estimate.unwrap_or(Interval::point(f64::NAN))));
            values.extend(test.as_ref().map(|rows| value(rows, name)));
            values.extend(self.baselines.iter().map(|baseline| {
                let found = baseline.summary.iter().find(|(known, _)| known == name);
                found.map_or(Interval::point(f64::NAN), |(_, estimate)| interval(*estimate))
            }));
            let lower = ["log loss", "Brier", "ECE", "Hamming loss", "MSE", "MAE"];
            Metric { name: name.to_owned(), lower_is_better: lower.contains(&name), values }
        };
        let protocol = self.training.head.record.settings.as_ref().filter(|_| cv.is_some()).map_or_else(
            String::new,
            |settings| match settings.folds.repeats {
                1 => format!("{}-fold cross-validation; 95% intervals over folds", settings.folds.folds),
                n => format!(
                    "{}-fold cross-validation, repeated {n} times; 95% intervals",
                    settings.folds.folds
                ),
            },
        );
        Some(Metrics { protocol, systems, rows: names.into_iter().map(row).collect() })
    }

    /// How the head does with fewer rows; of linear heads only: the others take too long.
    fn learning_curve(&self) -> Result<Option<LearningCurve>> {
        let record = &self.training.head.record;
        let (Some(settings), Some(c), "linear") = (&record.settings, record.c, self.training.head.kind())
        else {
            return Ok(None);
        };
        let options = TrainOptions { kind: Kind::Linear, c: Strength::Fixed(c), ..settings.clone() };
        // A fold of few rows cannot give up more of them.
        let shares: Vec<f64> =
            CURVE_SHARES.into_iter().filter(|share| share * self.data.rows() as f64 >= CURVE_ROWS).collect();
        if shares.len() < 2 {
            return Ok(None);
        }
        let points = head::learning_curve(self.data, &shares, &options, &mut |_| {})?;
        let Some((measure, _)) = points.first().and_then(|point| point.held_out.first()) else {
            return Ok(None);
        };
        let find = |rows: &[(String, Estimate)]| {
            rows.iter().find(|(name, _)| name == measure).map(|(_, estimate)| *estimate)
        };
        let point = |point: &head::LearningPoint| LearningPoint {
            rows: point.rows,
            score: find(&point.held_out).map_or(Interval::point(f64::NAN), interval),
            train: find(&point.train).map(|estimate| estimate.mean),
        };
        Ok(Some(LearningCurve { metric: measure.clone(), points: points.iter().map(point).collect() }))
    }

    fn label_errors(&self) -> Vec<LabelError> {
        let names = self.data.targets.names();
        let error = |issue: &LabelIssue| LabelError {
            row: Some(self.rows[issue.row] as usize + 1),
            text: self.text(issue.row),
            given: names[issue.given].clone(),
            suggested: names[issue.suggested].clone(),
            given_probability: issue.given_probability,
            suggested_probability: issue.suggested_probability,
        };
        self.label_issues.iter().take(LABEL_ERRORS).map(error).collect()
    }

    /// What each token of a text adds to a class's logit; nothing where the head or the pooling has no such sum.
    fn shares(&self, row: usize, class: usize) -> Vec<TokenShare> {
        let explained = self.encoder.explain(&self.training.head, self.options, [self.texts[row].clone()]);
        let Ok(explained) = explained else { return Vec::new() };
        explained
            .into_iter()
            .flat_map(|text| text.tokens.into_iter().zip(text.shares))
            .map(|(token, shares)| TokenShare { token, share: shares[class] })
            .collect()
    }

    fn reliability(
        &self,
        labels: &[u32],
        predictions: &[f64],
        classes: usize,
        ece: Option<f64>,
    ) -> Reliability {
        let mut bins = [(0usize, 0usize, 0.0f64); BINS];
        for (label, row) in labels.iter().zip(predictions.chunks_exact(classes)) {
            let best = likeliest(row);
            let bin = &mut bins[((row[best] * BINS as f64) as usize).min(BINS - 1)];
            *bin = (bin.0 + 1, bin.1 + usize::from(best == *label as usize), bin.2 + row[best]);
        }
        let bins: Vec<ReliabilityBin> = bins
            .into_iter()
            .filter(|(count, ..)| *count > 0)
            .map(|(count, right, confidence)| ReliabilityBin {
                confidence: confidence / count as f64,
                accuracy: right as f64 / count as f64,
                count,
            })
            .collect();
        // The out-of-fold predictions are calibrated as the head is: there is one diagram, not two.
        let calibration = self.training.head.calibration();
        if calibration.kind == CalibrationKind::None {
            return Reliability { before: bins, ece_before: ece, ..Reliability::default() };
        }
        let method = calibration
            .temperature()
            .map_or_else(|| "vector scaling".to_owned(), |t| format!("temperature {t:.3}"));
        Reliability { after: bins, ece_after: ece, method: Some(method), ..Reliability::default() }
    }

    fn mistakes(&self, labels: &[u32], predictions: &[f64], names: &[String]) -> Vec<Mistake> {
        let mut wrong: Vec<(f64, usize, usize)> = predictions
            .chunks_exact(names.len())
            .enumerate()
            .map(|(row, p)| (p[likeliest(p)], row, likeliest(p)))
            .filter(|(_, row, best)| *best != labels[*row] as usize)
            .collect();
        wrong.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mistake = |(probability, row, best): (f64, usize, usize)| Mistake {
            text: self.text(row),
            truth: names[labels[row] as usize].clone(),
            predicted: names[best].clone(),
            probability,
            shares: self.shares(row, best),
        };
        wrong.into_iter().take(MISTAKES).map(mistake).collect()
    }

    fn maps(&self, cv: Option<&CrossValidation>) -> Result<Vec<Map>> {
        let Targets::Classes { labels, names } = &self.data.targets else { return Ok(Vec::new()) };
        let rows = sample(labels.len());
        let dim = self.data.embeddings.columns();
        let values: Vec<f32> = rows.iter().flat_map(|row| self.data.embeddings.row(*row)).copied().collect();
        let map = |projection: map2d::Projection| Map {
            method: projection.method,
            labels: names.clone(),
            points: rows
                .iter()
                .zip(projection.points)
                .map(|(&row, [x, y])| MapPoint {
                    x,
                    y,
                    class: labels[row] as usize,
                    predicted: cv.map(|cv| likeliest(&cv.predictions[row * names.len()..][..names.len()])),
                    text: self.text(row),
                })
                .collect(),
            sampled_from: (rows.len() < labels.len()).then_some(labels.len()),
        };
        let (pca, tsne) = (map2d::pca(&values, dim)?, map2d::tsne(&values, dim)?);
        // With too few rows t-SNE gives the components again.
        let tsne = (tsne.method != pca.method).then_some(tsne);
        Ok(std::iter::once(pca).chain(tsne).map(map).collect())
    }

    fn settings(&self) -> Vec<(String, String)> {
        let head = &self.training.head;
        let mut rows = vec![("head".to_owned(), head.kind().to_owned())];
        rows.extend(head.record.c.map(|c| ("C".to_owned(), c.to_string())));
        if let Some(settings) = &head.record.settings {
            rows.push(("standardised".into(), yes_or_no(settings.standardise)));
            rows.push(("class weight".into(), format!("{:?}", settings.class_weight).to_lowercase()));
            rows.push(("calibration".into(), format!("{:?}", settings.calibration).to_lowercase()));
            rows.push(("seed".into(), settings.folds.seed.to_string()));
        }
        rows
    }

    fn usage(&self) -> Vec<Snippet> {
        let head = self.head_file.display();
        vec![
            Snippet {
                caption: "Classify a text".into(),
                code: format!("frostbert predict --head {head} --text \"...\""),
            },
            Snippet {
                caption: "Measure on other rows".into(),
                code: format!("frostbert evaluate --head {head} rows.csv --label-column label"),
            },
            Snippet {
                caption: "From Rust".into(),
                code: format!(
                    "let encoder = Encoder::load({:?}).build()?;\n\
                     let classifier = Classifier::new(encoder, Head::load({:?})?)?;\n\
                     let answers = classifier.predict([\"...\"])?;",
                    self.model,
                    head.to_string()
                ),
            },
        ]
    }
}

fn yes_or_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

fn interval(estimate: Estimate) -> Interval {
    Interval::new(estimate.mean, estimate.mean - estimate.half_width, estimate.mean + estimate.half_width)
}

fn layers(choice: &head::LayerChoice) -> Comparison {
    let best = choice.best();
    let candidate = |candidate: &head::LayerCandidate| {
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
    Comparison {
        metric: format!("cross-validated {}", choice.score_name),
        lower_is_better: true,
        reason: Some(choice.reason.clone()),
        rows: choice.candidates.iter().map(candidate).collect(),
    }
}

fn kinds(choice: &head::Choice, chosen: &str) -> Comparison {
    let candidate = |(name, score): &(&'static str, Estimate)| Candidate {
        name: (*name).to_owned(),
        score: interval(*score),
        settings: Vec::new(),
        seconds: None,
        chosen: *name == chosen,
    };
    Comparison {
        metric: "cross-validation score (smaller is better)".into(),
        lower_is_better: true,
        reason: Some(choice.reason.clone()),
        rows: choice.scores.iter().map(candidate).collect(),
    }
}

fn classes(metrics: &head::Metrics, thresholds: &[f64]) -> (Vec<ClassRow>, Option<Confusion>) {
    let row = |(at, row): (usize, &head::ClassRow)| ClassRow {
        name: row.name.clone(),
        support: row.support as usize,
        precision: row.precision,
        recall: row.recall,
        f1: row.f1,
        threshold: thresholds.get(at).copied(),
    };
    match metrics {
        head::Metrics::SingleLabel(m) => {
            let counts =
                m.confusion.iter().map(|row| row.iter().map(|count| *count as usize).collect()).collect();
            let labels = m.classes.iter().map(|row| row.name.clone()).collect();
            (m.classes.iter().enumerate().map(row).collect(), Some(Confusion { labels, counts }))
        }
        head::Metrics::MultiLabel(m) => (m.labels.iter().enumerate().map(row).collect(), None),
        head::Metrics::Regression(_) => (Vec::new(), None),
    }
}

/// Each class against the rest.
fn curves(names: &[String], predictions: &[f64], is: impl Fn(usize, usize) -> bool) -> Vec<ClassCurves> {
    let curve = |(class, name): (usize, &String)| {
        let scores: Vec<f64> = predictions.iter().skip(class).step_by(names.len()).copied().collect();
        let truth: Vec<bool> = (0..scores.len()).map(|row| is(row, class)).collect();
        let (roc, pr) = roc_and_pr(&scores, &truth);
        ClassCurves {
            class: name.clone(),
            roc,
            pr,
            roc_auc: head::roc_auc(&scores, &truth),
            average_precision: head::average_precision(&scores, &truth),
        }
    };
    names.iter().enumerate().map(curve).collect()
}

/// `[false positive rate, true positive rate]` and `[recall, precision]` as the threshold falls; empty unless both answers
/// occur.
fn roc_and_pr(scores: &[f64], truth: &[bool]) -> (Vec<[f64; 2]>, Vec<[f64; 2]>) {
    let positives = truth.iter().filter(|so| **so).count() as f64;
    let negatives = truth.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return (Vec::new(), Vec::new());
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let (mut hits, mut alarms) = (0.0, 0.0);
    let (mut roc, mut pr) = (vec![[0.0, 0.0]], Vec::new());
    for tied in order.chunk_by(|a, b| scores[*a] == scores[*b]) {
        let so = tied.iter().filter(|row| truth[**row]).count() as f64;
        hits += so;
        alarms += tied.len() as f64 - so;
        roc.push([alarms / negatives, hits / positives]);
        pr.push([hits / positives, hits / (hits + alarms)]);
    }
    (thinned(roc), thinned(pr))
}

/// Evenly spaced points, both ends among them.
fn thinned(points: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    if points.len() <= CURVE_POINTS {
        return points;
    }
    let last = points.len() - 1;
    (0..CURVE_POINTS).map(|at| points[at * last / (CURVE_POINTS - 1)]).collect()
}

fn counts(labels: &[u32], classes: usize) -> Vec<usize> {
    let mut counts = vec![0; classes];
    labels.iter().for_each(|label| counts[*label as usize] += 1);
    counts
}

/// The first of the largest.
fn likeliest(row: &[f64]) -> usize {
    (1..row.len()).fold(0, |best, at| if row[at] > row[best] { at } else { best })
}

/// At most [`POINTS`] of so many rows, evenly spaced.
fn sample(rows: usize) -> Vec<usize> {
    let shown = rows.min(POINTS);
    (0..shown).map(|at| at * rows / shown).collect()
}
