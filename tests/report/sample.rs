//! A report with every section, made of real predictions (head-goldens) where there are some.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use frostbert::report::*;
use safetensors::SafeTensors;
use std::path::Path;
use std::sync::LazyLock;

/// Rows of film reviews as a person might write them, with tokens that carry the verdict.
const REVIEWS: [(&str, &str, &str); 6] = [
    ("a gorgeous , witty , seductive movie .", "positive", "negative"),
    (
        "the film is so bad it doesn ' t improve upon the experience of staring at a blank screen .",
        "negative",
        "positive",
    ),
    ("it ' s not a great monster movie , but it made me laugh", "positive", "negative"),
    ("an ambitious movie that never quite finds its feet", "negative", "positive"),
    ("<script>alert('owned')</script> & \"quotes\" <b>bold</b>", "positive", "negative"),
    ("too slow , too long and too little happens .", "negative", "positive"),
];

fn tensors(name: &str) -> Vec<u8> {
    std::fs::read(Path::new("tests/fixtures/head-goldens").join(name)).unwrap()
}

fn numbers<const N: usize, T>(data: &[u8], from: fn([u8; N]) -> T) -> Vec<T> {
    data.chunks_exact(N).map(|bytes| from(bytes.try_into().unwrap())).collect()
}

/// Labels and probabilities of a real head: 700 rows, 4 classes.
fn predictions(temperature: f64) -> (Vec<usize>, Vec<[f64; 4]>) {
    let bytes = tensors("metrics.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let labels = numbers(file.tensor("y").unwrap().data(), i64::from_le_bytes);
    let logits = numbers(file.tensor("logits").unwrap().data(), f64::from_le_bytes);
    let softmax = |row: &[f64]| {
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let exp: Vec<f64> = row.iter().map(|logit| ((logit - largest) / temperature).exp()).collect();
        let sum: f64 = exp.iter().sum();
        <[f64; 4]>::try_from(exp).unwrap().map(|value| value / sum)
    };
    (labels.into_iter().map(|label| label as usize).collect(), logits.chunks_exact(4).map(softmax).collect())
}

fn largest(row: &[f64; 4]) -> usize {
    (0..4).fold(0, |best, class| if row[class] > row[best] { class } else { best })
}

fn bins(labels: &[usize], probabilities: &[[f64; 4]]) -> Vec<ReliabilityPoint> {
    let mut sums = [(0.0, 0.0, 0usize); 15];
    for (&label, row) in labels.iter().zip(probabilities) {
        let class = largest(row);
        let bin = &mut sums[((row[class] * 15.0) as usize).min(14)];
        *bin = (bin.0 + row[class], bin.1 + f64::from(u8::from(class == label)), bin.2 + 1);
    }
    let mean = |sum: f64, count: usize| sum / count as f64;
    sums.iter()
        .map(|&(confidence, right, count)| ReliabilityPoint {
            confidence: mean(confidence, count),
            accuracy: mean(right, count),
            count,
        })
        .collect()
}

fn curves(name: &str, class: usize, labels: &[usize], probabilities: &[[f64; 4]]) -> ClassCurves {
    let mut rows: Vec<(f64, bool)> =
        labels.iter().zip(probabilities).map(|(&label, row)| (row[class], label == class)).collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let positives = rows.iter().filter(|row| row.1).count() as f64;
    let negatives = rows.len() as f64 - positives;
    let (mut hits, mut alarms, mut auc, mut precision) = (0.0, 0.0, 0.0, 0.0);
    let (mut roc, mut pr) = (vec![[0.0, 0.0]], vec![[0.0, 1.0]]);
    for (_, positive) in rows {
        if positive {
            hits += 1.0;
            precision += hits / (hits + alarms) / positives;
        } else {
            alarms += 1.0;
            auc += hits / positives / negatives;
        }
        roc.push([alarms / negatives, hits / positives]);
        pr.push([hits / positives, hits / (hits + alarms)]);
    }
    ClassCurves { class: name.into(), roc, pr, roc_auc: Some(auc), average_precision: Some(precision) }
}

fn shares(text: &str) -> Vec<TokenShare> {
    let share = |(at, word): (usize, &str)| TokenShare {
        token: word.into(),
        share: ((word.len() * 7 + at * 3) % 11) as f64 / 10.0 - 0.45,
    };
    text.split(' ').enumerate().map(share).collect()
}

/// Made once: t-SNE is what takes time here.
static MAPS: LazyLock<Vec<Map>> = LazyLock::new(|| vec![digits_map(map2d::tsne), digits_map(map2d::pca)]);

fn digits_map(method: fn(&[f32], usize) -> frostbert::Result<map2d::Projection>) -> Map {
    let bytes = tensors("problem-digits.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let rows = numbers(file.tensor("X_train").unwrap().data(), f32::from_le_bytes);
    let labels = numbers(file.tensor("y_train").unwrap().data(), i64::from_le_bytes);
    let projection = method(&rows, 64).unwrap();
    let points = projection.points.iter().zip(&labels).enumerate().map(|(at, (&[x, y], &class))| MapPoint {
        x,
        y,
        class: class as usize,
        predicted: Some(if at % 23 == 0 { (class as usize + 3) % 10 } else { class as usize }),
        text: format!("{} (row {at})", REVIEWS[at % REVIEWS.len()].0),
    });
    Map {
        method: projection.method,
        labels: (0..10).map(|class| format!("topic {class}")).collect(),
        points: points.collect(),
        sampled_from: None,
    }
}

/// Four classes of news, every section filled.
pub fn report() -> ReportData {
    let names = ["business", "science & technology", "sport", "world"];
    let (labels, before) = predictions(1.0);
    let (_, after) = predictions(2.3057415244068986);
    let mut counts = vec![vec![0; 4]; 4];
    labels.iter().zip(&before).for_each(|(&label, row)| counts[label][largest(row)] += 1);
    let share = |part: usize, of: usize| part as f64 / of as f64;
    let class = |class: usize| {
        let support: usize = counts[class].iter().sum();
        let predicted: usize = counts.iter().map(|row| row[class]).sum();
        let right = counts[class][class];
        ClassScores {
            name: names[class].into(),
            support,
            precision: share(right, predicted),
            recall: share(right, support),
            f1: share(2 * right, support + predicted),
            threshold: None,
        }
    };
    let metric = |name: &str, lower_is_better, mean: f64, half: f64, baselines: [f64; 3]| MetricRow {
        name: name.into(),
        lower_is_better,
        values: [Interval::new(mean, mean - half, mean + half)]
            .into_iter()
            .chain(baselines.map(Interval::point))
            .collect(),
    };
    let candidate = |name: &str, mean: f64, c: &str, chosen| Candidate {
        name: name.into(),
        score: Interval::new(mean, mean - 0.011, mean + 0.009),
        settings: vec![("C".into(), c.into()), ("Standardised".into(), "yes".into())],
        seconds: None,
        chosen,
    };
    let kind = |name: &str, mean: f64, seconds, chosen| Candidate {
        seconds: Some(seconds),
        settings: vec![],
        ..candidate(name, mean, "", chosen)
    };
    let learned = |rows, mean: f64, half: f64, train| CurvePoint {
        rows,
        score: Interval::new(mean, mean - half, mean + half),
        train: Some(train),
    };
    ReportData {
        title: "News by topic".into(),
        created: Some("22 November 2026, 21:47 UTC".into()),
        command: Some(
            "frostbert train --model all-MiniLM-L6-v2 news.csv --text-column text --label-column topic \
             --layers auto --out news.safetensors --report report.html"
                .into(),
        ),
        warnings: vec![
            "12 texts stand in both the training and the test rows; they were counted in training only."
                .into(),
            "Class “sport” has fewer than 200 rows: its scores vary by chance.".into(),
        ],
        model: Some(Model {
            name: "sentence-transformers/all-MiniLM-L6-v2".into(),
            family: "bert".into(),
            layers: 6,
            dim: 384,
            pooling: "mean, normalised".into(),
            device: Some("CPU engine, 2 threads".into()),
            tokens_per_second: Some(5321.4),
        }),
        data: Some(DataSummary {
            file: "news.csv".into(),
            rows: 3500,
            truncated: 17,
            classes: names.iter().map(|name| (name.to_string(), 700 + 61 * name.len())).collect(),
        }),
        metrics: Some(MetricTable {
            protocol: "5-fold, stratified, repeated 3 times; 95% intervals".into(),
            systems: ["This head", "Prior", "Nearest centroid", "TF-IDF + logistic regression"]
                .map(String::from)
                .into(),
            rows: vec![
                metric("Accuracy", false, 0.4886, 0.019, [0.273, 0.441, 0.452]),
                metric("Macro F1", false, 0.4852, 0.020, [0.107, 0.437, 0.449]),
                metric("MCC", false, 0.3169, 0.024, [0.0, 0.255, 0.268]),
                metric("ROC AUC", false, 0.7459, 0.013, [0.5, f64::NAN, 0.722]),
                metric("Log loss", true, 1.1665, 0.041, [1.384, f64::NAN, 1.147]),
                metric("Brier", true, 0.6823, 0.021, [0.749, f64::NAN, 0.661]),
                metric("ECE", true, 0.0412, 0.008, [0.003, f64::NAN, 0.031]),
            ],
        }),
        classes: (0..4).map(class).collect(),
        curves: (0..4).map(|class| curves(names[class], class, &labels, &before)).collect(),
        confusion: Some(Confusion { labels: names.map(String::from).into(), counts: counts.clone() }),
        reliability: Some(Reliability {
            before: bins(&labels, &before),
            after: bins(&labels, &after),
            ece_before: Some(0.1704),
            ece_after: Some(0.0412),
            method: Some("temperature 2.31".into()),
        }),
        regression: vec![],
        learning_curve: Some(LearningCurve {
            metric: "Accuracy".into(),
            points: vec![
                learned(50, 0.341, 0.048, 0.998),
                learned(100, 0.392, 0.036, 0.961),
                learned(200, 0.421, 0.03, 0.902),
                learned(400, 0.449, 0.026, 0.841),
                learned(800, 0.468, 0.021, 0.765),
                learned(1600, 0.481, 0.02, 0.688),
                learned(2800, 0.4886, 0.019, 0.641),
            ],
        }),
        layers: Some(CandidateTable {
            metric: "Accuracy, 5-fold".into(),
            lower_is_better: false,
            reason: Some(
                "All layers side by side score highest; layer 5 alone is within the interval.".into(),
            ),
            rows: vec![
                candidate("3", 0.452, "0.1", false),
                candidate("4", 0.466, "0.1", false),
                candidate("5", 0.483, "0.3", false),
                candidate("6", 0.471, "1", false),
                candidate("5 + 6", 0.484, "0.1", false),
                candidate("all", 0.4886, "0.03", true),
            ],
        }),
        coverage: (1..=40)
            .map(|at| CoveragePoint {
                at_least: 0.95 - 0.015 * f64::from(at),
                coverage: f64::from(at) / 40.0,
                accuracy: 0.9 - 0.4 * f64::from(at) / 40.0,
            })
            .collect(),
        clusters: Some(ClusterReport {
            note: "Mean silhouette 0.081.".into(),
            outside: 12,
            clusters: (0..4)
                .map(|at| ClusterSummary {
                    name: [
                        "horror, ghost, blood",
                        "war, soldiers, platoon",
                        "laughs, comedy, jokes",
                        "animation, kids",
                    ][at]
                        .into(),
                    texts: [420, 310, 305, 90][at],
                    cohesion: [0.44, 0.47, 0.39, 0.52][at],
                    words: vec![
                        ScoredName { name: "horror".into(), score: 0.0312 },
                        ScoredName { name: "ghost".into(), score: 0.0101 },
                    ],
                    typical: vec!["a horror film that never scares".into(), "ghosts, and no story".into()],
                    label: Some(ScoredName { name: "negative".into(), score: 0.61 }),
                })
                .collect(),
            merges: [(2, 3, 0.21), (0, 1, 0.34), (4, 5, 0.52)]
                .map(|(left, right, distance)| ClusterMerge { left, right, distance })
                .into(),
        }),
        long: Some(CandidateTable {
            metric: "cross-validation score (smaller is better)".into(),
            lower_is_better: true,
            reason: Some("head-and-tail has the lowest score, 1.0214".into()),
            rows: vec![kind("head", 1.0313, 1.2, false), kind("head-and-tail", 1.0214, 1.2, true)],
        }),
        words: Some(CandidateTable {
            metric: "cross-validation score (smaller is better)".into(),
            lower_is_better: true,
            reason: Some("a weight of 0.5 has the lowest score, 1.0214".into()),
            rows: vec![kind("1", 1.0313, 1.2, false), kind("0.5", 1.0214, 1.2, true)],
        }),
        kinds: Some(CandidateTable {
            metric: "Accuracy, 5-fold".into(),
            lower_is_better: false,
            reason: Some("The MLP gains nothing over the linear head.".into()),
            rows: vec![
                kind("linear, L2", 0.4886, 1.31, true),
                kind("linear, elastic net", 0.4871, 6.9, false),
                kind("MLP 256", 0.4879, 22.4, false),
                kind("nearest centroid", 0.441, 0.01, false),
                kind("10 nearest neighbours", 0.446, 0.4, false),
            ],
        }),
        maps: MAPS.clone(),
        mistakes: REVIEWS
            .iter()
            .enumerate()
            .map(|(at, (text, truth, predicted))| Mistake {
                text: text.to_string(),
                truth: truth.to_string(),
                predicted: predicted.to_string(),
                probability: 0.99 - 0.017 * at as f64,
                shares: if at == 4 { vec![] } else { shares(text) },
            })
            .collect(),
        label_errors: REVIEWS
            .iter()
            .enumerate()
            .map(|(at, (text, given, suggested))| LabelError {
                row: Some(at * 211 + 17),
                text: text.repeat(1 + 9 * (at % 2)),
                given: given.to_string(),
                suggested: suggested.to_string(),
                given_probability: 0.02 + 0.01 * at as f64,
                suggested_probability: 0.97 - 0.01 * at as f64,
            })
            .collect(),
        explanations: vec![ExplainedAnswer {
            label: "positive".into(),
            probability: 0.962,
            logit: 3.24,
            bias: -0.11,
            exact: false,
            shares: shares("[CLS] a heart ##war ##ming , funny and at times pain ##ful film [SEP]"),
        }],
        settings: [("C", "0.03"), ("Class weight", "none"), ("Folds", "5, repeated 3 times"), ("Seed", "0")]
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .into(),
        usage: vec![
            Snippet {
                caption: "Classify the lines of a file.".into(),
                code: "frostbert predict --head news.safetensors new.txt".into(),
            },
            Snippet {
                caption: "The same in Rust.".into(),
                code: "let classifier = Classifier::load(\"news.safetensors\").await?;\nfor prediction in \
                       classifier.predict(&texts).await? {\n    println!(\"{}\", prediction.label);\n}"
                    .into(),
            },
        ],
    }
}
