//! What the choice of C and every stopping rule must not depend on: a class with one row, rare labels, and the units of
//! weights, targets and features.
#![allow(clippy::unwrap_used)]

use frostbert::head::{
    CalibrationKind, Decision, Head, Kind, Matrix, MlpOptions, Problem, Strength, Targets, TrainData,
    TrainOptions, Training, Warning, baselines, choose_layers,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn train(data: &TrainData, options: &TrainOptions) -> Training {
    Head::train(data, options, &mut |_| {}).unwrap()
}

/// Rows of unit length around a centre for each class, `spread` wide.
fn unit_rows(labels: &[u32], columns: usize, spread: f64, seed: u64) -> Matrix<'static> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let classes = 1 + *labels.iter().max().unwrap() as usize;
    let centres: Vec<f64> = (0..classes * columns).map(|_| rng.random::<f64>() - 0.5).collect();
    let mut values = Vec::new();
    for &label in labels {
        let centre = &centres[label as usize * columns..][..columns];
        let row: Vec<f64> = centre.iter().map(|c| c + spread * (rng.random::<f64>() - 0.5)).collect();
        let length = row.iter().map(|v| v * v).sum::<f64>().sqrt();
        values.extend(row.iter().map(|v| (v / length) as f32));
    }
    Matrix::new(labels.len(), columns, values).unwrap()
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |most, d| if d <= most { most } else { d })
}

/// Two clear classes and `rows` rows of a misspelt one, as a typing error makes it.
fn with_typing_error(each: usize, rows: usize, seed: u64) -> (TrainData<'static>, TrainData<'static>) {
    let labels: Vec<u32> = (0..2 * each as u32).map(|row| row % 2).collect();
    let x = unit_rows(&labels, 24, 0.8, seed);
    let names =
        |labels: &[u32], typo: usize| -> Vec<&'static str> {
            labels
                .iter()
                .enumerate()
                .map(|(row, label)| {
                    if row % 2 == 0 && row / 2 < typo { "foood" } else { ["food", "sport"][*label as usize] }
                })
                .collect()
        };
    let of = |typo| TrainData::new(x.clone(), Targets::classes(&names(&labels, typo)));
    (of(0), of(rows))
}

#[test]
fn a_mistyped_label_does_not_ruin_the_head() {
    for (each, typo, seed) in [(20, 1, 1), (30, 1, 2), (50, 1, 3), (200, 1, 4), (30, 2, 5), (12, 1, 6)] {
        for one_standard_error in [false, true] {
            let (clean, damaged) = with_typing_error(each, typo, seed);
            let options = TrainOptions { one_standard_error, ..TrainOptions::default() };
            let (clean, training) = (train(&clean, &options), train(&damaged, &options));
            let (c, wanted) = (training.head.record.c.unwrap(), clean.head.record.c.unwrap());
            assert!(
                c >= wanted / 1000.0,
                "{each} rows, {typo} typed wrong: C = {c} instead of about {wanted}"
            );
            let p = training.head.predict_proba(&damaged.embeddings).unwrap();
            for (row, p) in p.chunks_exact(3).enumerate().skip(2 * typo) {
                let right = if row % 2 == 0 { p[0] } else { p[2] };
                assert!(right > 0.8, "{each} rows, {typo} typed wrong, row {row}: {p:?}");
            }
            let warnings = training.cross_validation.unwrap().warnings;
            let said = warnings.iter().any(|warning| matches!(warning, Warning::NotScored { name, rows } if name == "foood" && *rows == typo));
            assert_eq!(said, typo == 1, "{warnings:?}");
            assert_eq!(clean.cross_validation.unwrap().warnings, []);
        }
    }
}

#[test]
fn layers_and_simple_predictors_survive_a_mistyped_label() {
    let (_, data) = with_typing_error(30, 1, 8);
    let layers = choose_layers(&data, 2, &TrainOptions::default(), &mut |_| {}).unwrap();
    assert!(layers.best().c.unwrap() >= 1.0, "{layers:?}");
    assert!(layers.corrected.iter().all(|(_, estimate)| estimate.mean.is_finite()), "{:?}", layers.corrected);
    let texts: Vec<&str> =
        (0..60).map(|row| if row % 2 == 0 { "cook the bread" } else { "run the race" }).collect();
    let simple = baselines(&data, Some(&texts), &TrainOptions::default(), &mut |_| {}).unwrap();
    let accuracy =
        simple.iter().find(|one| one.name == frostbert::head::BaselineKind::TfIdf).unwrap().summary[0].1.mean;
    assert!(accuracy > 0.9, "{accuracy}");
}

#[test]
fn where_nothing_can_be_scored_c_has_to_be_given() {
    let names: Vec<String> = (0..8).map(|row| format!("class {row}")).collect();
    let labels: Vec<u32> = (0..8).collect();
    let data = TrainData::new(unit_rows(&labels, 6, 0.1, 1), Targets::classes(&names));
    let error = Head::train(&data, &TrainOptions::default(), &mut |_| {}).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("give C"), "{error}");
    train(&data, &TrainOptions { c: Strength::Fixed(1.0), cross_validate: true, ..TrainOptions::default() });
}

#[test]
fn the_whole_grid_is_tried() {
    let labels: Vec<u32> = (0..80).map(|row| row % 2).collect();
    let data = TrainData::new(
        unit_rows(&labels, 12, 3.0, 3),
        Targets::Classes { labels, names: vec!["a".into(), "b".into()] },
    );
    let path = train(&data, &TrainOptions::default()).cross_validation.unwrap().path;
    let tried: Vec<f64> = path.iter().map(|point| point.c.unwrap()).collect();
    assert_eq!(tried, TrainOptions::GRID);
}

/// One problem of each kind: classes, labels and numbers.
fn problems() -> [TrainData<'static>; 4] {
    let labels: Vec<u32> = (0..150).map(|row| row % 3).collect();
    let x = unit_rows(&labels, 8, 2.0, 5);
    let two: Vec<u32> = labels.iter().map(|label| u32::from(*label > 0)).collect();
    let score = |row: usize| {
        f64::from(x.row(row)[0]) * 3.0 - f64::from(x.row(row)[3]) + 0.2 * ((row * row % 11) as f64)
    };
    let values: Vec<f64> = (0..150).map(score).collect();
    let marks = (0..150).flat_map(|row| [score(row) > 1.0, labels[row] == 1]).collect();
    let names = |count: usize| (0..count).map(|name| format!("name {name}")).collect();
    [
        Targets::Classes { labels: labels.clone(), names: names(3) },
        Targets::Classes { labels: two, names: names(2) },
        Targets::MultiLabel { marks, names: names(2) },
        Targets::values(values, "stars"),
    ]
    .map(|targets| TrainData::new(x.clone(), targets))
}

fn kinds(problem: Problem) -> Vec<TrainOptions> {
    let mlp = MlpOptions { hidden: vec![8], epochs: 6, ..MlpOptions::default() };
    let mut kinds = vec![
        Kind::Linear,
        Kind::ElasticNet { l1_ratio: 0.5 },
        Kind::ElasticNet { l1_ratio: 1.0 },
        Kind::Mlp(mlp),
        Kind::Neighbours { k: 5 },
    ];
    if problem != Problem::Regression {
        kinds.push(Kind::NearestCentroid);
    }
    let with = |kind: Kind| {
        let options = TrainOptions { kind, tolerance: 1e-8, ..TrainOptions::default() };
        [
            options.clone(),
            TrainOptions { standardise: true, calibration: CalibrationKind::Vector, ..options.clone() },
            TrainOptions { calibration: CalibrationKind::Temperature, ..options },
        ]
    };
    kinds.into_iter().flat_map(with).collect()
}

#[test]
fn the_unit_of_sample_weights_does_not_matter() {
    for data in problems() {
        let weights: Vec<f64> = (0..data.rows()).map(|row| 0.25 + (row % 4) as f64).collect();
        for options in kinds(data.targets.problem()) {
            // Neighbours have one vote each: weights that differ are refused, not left out without a word.
            if matches!(options.kind, Kind::Neighbours { .. }) {
                let data = TrainData { weights: Some(weights.clone()), ..data.clone() };
                assert!(Head::train(&data, &options, &mut |_| {}).unwrap_err().is_input());
                continue;
            }
            let of = |unit: f64| {
                let weights = Some(weights.iter().map(|weight| weight * unit).collect());
                let data = TrainData { weights, ..data.clone() };
                let training = train(&data, &options);
                (training.head.record.c, training.head.predict_proba(&data.embeddings).unwrap())
            };
            let (c, wanted) = of(1.0);
            for unit in [1e-12, 1e-6, 1e-3, 1e3, 1e6, 1e12] {
                let (own, found) = of(unit);
                let off = largest_difference(&found, &wanted);
                assert!(off <= 1e-6, "weights times {unit}, {:?}: {off}, C {own:?} and {c:?}", options.kind);
                if let (Some(own), Some(c)) = (own, c) {
                    assert!((own * unit / c - 1.0).abs() <= 1e-9, "C of weights times {unit}: {own} and {c}");
                }
            }
        }
    }
}

#[test]
fn equal_weights_of_any_size_are_none() {
    for data in problems() {
        let plain = train(&data, &TrainOptions::default());
        let wanted = plain.head.predict_proba(&data.embeddings).unwrap();
        for unit in [1e-6, 0.3, 1e6] {
            let weighted = TrainData { weights: Some(vec![unit; data.rows()]), ..data.clone() };
            let head = train(&weighted, &TrainOptions::default()).head;
            let off = largest_difference(&head.predict_proba(&data.embeddings).unwrap(), &wanted);
            assert!(off <= 1e-4, "weights of {unit}: {off}");
            // A given C does to the weights what scikit-learn's does.
            let c = head.record.c.unwrap();
            let again =
                train(&weighted, &TrainOptions { c: Strength::Fixed(c), ..TrainOptions::default() }).head;
            let (a, b) = (again.coefficients().unwrap(), head.coefficients().unwrap());
            assert!(
                largest_difference(&a.0, &b.0) <= 1e-3 * b.0.iter().fold(1.0, |m: f64, w| m.max(w.abs())),
                "C = {c}"
            );
        }
    }
}

#[test]
fn weights_of_wildly_different_size_train_or_are_refused() {
    let [data, ..] = problems();
    for (small, large) in [(1.0, 1e300), (1e-300, 1e300), (1e-300, 1e-290), (0.0, 1e308), (5e-324, 1.0)] {
        let weights = (0..data.rows()).map(|row| if row % 2 == 0 { small } else { large }).collect();
        let data = TrainData { weights: Some(weights), ..data.clone() };
        for c in [Strength::Auto, Strength::Fixed(1.0)] {
            match Head::train(
                &data,
                &TrainOptions { c, cross_validate: true, ..TrainOptions::default() },
                &mut |_| {},
            ) {
                Ok(training) => {
                    assert!(
                        training.head.predict_proba(&data.embeddings).unwrap().iter().all(|p| p.is_finite())
                    );
                    training.head.to_bytes().unwrap();
                }
                Err(error) => assert!(error.is_input(), "{error}"),
            }
        }
    }
}

#[test]
fn the_unit_of_numbers_to_predict_does_not_matter() {
    let [.., data] = problems();
    let Targets::Values { values, .. } = &data.targets else { unreachable!() };
    for options in kinds(Problem::Regression) {
        let of = |unit: f64| {
            let values = values.iter().map(|value| value * unit).collect();
            let data = TrainData { targets: Targets::values(values, "stars"), ..data.clone() };
            let training = train(&data, &options);
            let values = training.head.predict_proba(&data.embeddings).unwrap();
            (training.head.record.c, values.iter().map(|value| value / unit).collect::<Vec<f64>>())
        };
        let (c, wanted) = of(1.0);
        for unit in [1e-12, 1e-6, 1e-3, 1e3, 1e6, 1e12, 1e100] {
            let (own, found) = of(unit);
            assert_eq!(own, c, "targets times {unit}, {:?}", options.kind);
            let off = largest_difference(&found, &wanted);
            assert!(off <= 1e-6, "targets times {unit}, {:?}: {off}", options.kind);
        }
    }
    let values = vec![1e150; data.rows()];
    let error = Head::train(
        &TrainData { targets: Targets::values(values, "stars"), ..data.clone() },
        &TrainOptions::default(),
        &mut |_| {},
    );
    assert!(error.unwrap_err().to_string().contains("another unit"));
}

#[test]
fn the_unit_of_standardised_features_does_not_matter() {
    for data in problems() {
        for options in kinds(data.targets.problem()) {
            let options = TrainOptions { standardise: true, ..options };
            let of = |unit: f32| {
                let values: Vec<f32> = data.embeddings.values().iter().map(|value| value * unit).collect();
                let x = Matrix::new(data.rows(), data.embeddings.columns(), values).unwrap();
                let head = train(&TrainData { embeddings: x.clone(), ..data.clone() }, &options).head;
                (head.record.c, head.predict_proba(&x).unwrap())
            };
            let (c, wanted) = of(1.0);
            // Powers of two: nothing but the unit changes.
            for power in [-20, -7, 9, 20] {
                let (own, found) = of(2f32.powi(power));
                assert_eq!(own, c, "features times 2^{power}, {:?}", options.kind);
                let off = largest_difference(&found, &wanted);
                assert!(off <= 1e-6, "features times 2^{power}, {:?}: {off}", options.kind);
            }
        }
    }
}

#[test]
fn large_and_small_features_are_learnt_as_well() {
    let [_, data, ..] = problems();
    let accuracy = |unit: f32, c: Strength| {
        let values: Vec<f32> = data.embeddings.values().iter().map(|value| value * unit).collect();
        let x = Matrix::new(data.rows(), data.embeddings.columns(), values).unwrap();
        let data = TrainData { embeddings: x.clone(), ..data.clone() };
        let p = train(&data, &TrainOptions { c, ..TrainOptions::default() }).head.predict_proba(&x).unwrap();
        let Targets::Classes { labels, .. } = &data.targets else { unreachable!() };
        let right = p.chunks_exact(2).zip(labels).filter(|(p, label)| (p[1] > 0.5) == (**label == 1)).count();
        right as f64 / data.rows() as f64
    };
    let wanted = accuracy(1.0, Strength::Auto);
    for unit in [1e-6, 1e-3, 30.0, 1e3, 1e6] {
        let found = accuracy(unit, Strength::Auto);
        assert!((found - wanted).abs() <= 0.05, "features times {unit}: {found} instead of {wanted}");
        // The same problem in another unit, and a stopping rule that must not take it for solved.
        let c = 10.0 / f64::from(unit).powi(2);
        let (found, wanted) = (accuracy(unit, Strength::Fixed(c)), accuracy(1.0, Strength::Fixed(10.0)));
        assert!(
            (found - wanted).abs() <= 0.01,
            "features times {unit}, C = {c}: {found} instead of {wanted}"
        );
    }
}

/// Rows with a clear label each, and one that `rare` rows bear without any sign of it in the embeddings.
fn rare(rows: usize, rare: usize, seed: u64) -> TrainData<'static> {
    let labels: Vec<u32> = (0..rows as u32).map(|row| row % 2).collect();
    let x = unit_rows(&labels, 16, 1.0, seed);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut bears = vec![false; rows];
    while bears.iter().filter(|bears| **bears).count() < rare {
        bears[rng.random_range(0..rows)] = true;
    }
    let marks = (0..rows).flat_map(|row| [labels[row] == 0, labels[row] == 1, bears[row]]).collect();
    TrainData::new(x, Targets::MultiLabel { marks, names: ["x", "y", "z"].map(String::from).to_vec() })
}

#[test]
fn a_rare_label_is_not_on_every_text() {
    for (rows, count) in [(400, 1), (400, 2), (400, 5), (400, 9), (400, 12), (60, 1), (60, 3), (1000, 4)] {
        for seed in 0..3 {
            let data = rare(rows, count, seed);
            for calibration in [CalibrationKind::None, CalibrationKind::Vector] {
                {
                    let options =
                        TrainOptions { calibration, cross_validate: true, ..TrainOptions::default() };
                    let training = train(&data, &options);
                    let decisions = training.head.predict(&data.embeddings, None).unwrap();
                    let given = |label: usize| {
                        decisions
                            .iter()
                            .filter(|d| matches!(d, Decision::Labels(on) if on.contains(&label)))
                            .count()
                    };
                    assert!(given(2) <= rows / 5, "{count} of {rows}: given to {}", given(2));
                    for label in 0..2 {
                        assert!(
                            given(label).abs_diff(rows / 2) <= rows / 20,
                            "{count} of {rows}: {}",
                            given(label)
                        );
                    }
                    let warnings = training.cross_validation.unwrap().warnings;
                    let said = warnings.iter().any(|w| matches!(w, Warning::NoThreshold { name, rows, .. } if name == "z" && *rows == count));
                    assert_eq!(said, count < 10, "{warnings:?}");
                    if count < 10 {
                        assert_eq!(training.head.thresholds()[2], 0.5);
                    }
                }
            }
        }
    }
}
