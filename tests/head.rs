//! Heads through the public API: what a file keeps, what is refused, what cross-validation chooses.
#![allow(clippy::unwrap_used)]

use frostbert::head::{
    CalibrationKind, ClassWeight, Decision, EncoderBinding, Folds, Head, Kind, Matrix, Metrics, Problem,
    SelectBy, Strength, Targets, TrainData, TrainOptions, Training,
};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Gaussian-like clouds, one a class, `spread` wide around centres one apart.
fn clouds(
    rows: usize,
    columns: usize,
    classes: usize,
    spread: f64,
    seed: u64,
) -> (Matrix<'static>, Vec<u32>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let centres: Vec<f64> = (0..classes * columns).map(|_| rng.random::<f64>()).collect();
    let (mut x, mut labels) = (Vec::new(), Vec::new());
    for row in 0..rows {
        let class = row % classes;
        labels.push(class as u32);
        for centre in &centres[class * columns..(class + 1) * columns] {
            let noise = (0..4).map(|_| rng.random::<f64>() - 0.5).sum::<f64>();
            x.push((centre + spread * noise) as f32);
        }
    }
    (Matrix::new(rows, columns, x).unwrap(), labels)
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|class| format!("class {class}")).collect()
}

fn problem(rows: usize, columns: usize, classes: usize, spread: f64, seed: u64) -> TrainData<'static> {
    let (x, labels) = clouds(rows, columns, classes, spread, seed);
    TrainData::new(x, Targets::Classes { labels, names: names(classes) })
}

fn train(data: &TrainData, options: &TrainOptions) -> Training {
    Head::train(data, options, &mut |_| {}).unwrap()
}

fn fixed(c: f64) -> TrainOptions {
    TrainOptions { c: Strength::Fixed(c), ..TrainOptions::default() }
}

#[test]
fn automatic_c_beats_the_ends_of_the_grid() {
    let data = problem(400, 60, 2, 3.0, 3);
    let options = TrainOptions::default();
    let training = train(&data, &options);
    let folds = training.cross_validation.unwrap();
    assert_eq!(training.head.record.c, folds.c);
    let best = folds.path.iter().find(|point| point.c == folds.c).unwrap().score.mean;
    assert!(folds.path.iter().all(|point| !(point.score.mean < best)));
    assert_eq!(folds.path.len(), TrainOptions::GRID.len(), "scores may have more than one valley");
    assert!(folds.path[0].score.mean > best + 0.01);
    // The rule of one standard error never takes a larger C.
    let cautious = train(&data, &TrainOptions { one_standard_error: true, ..options.clone() });
    assert!(cautious.head.record.c.unwrap() <= folds.c.unwrap());
    let by_accuracy = train(&data, &TrainOptions { select_by: SelectBy::Accuracy, ..options });
    let path = by_accuracy.cross_validation.unwrap().path;
    assert!(path.iter().all(|point| (0.0..=1.0).contains(&point.score.mean)));
}

#[test]
fn out_of_fold_predictions_are_of_models_that_had_not_seen_the_row() {
    // Labels that have nothing to do with the embeddings: nothing can be learnt, only remembered.
    let (x, _) = clouds(120, 100, 2, 1.0, 5);
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let labels: Vec<u32> = (0..120).map(|_| rng.random_range(0..2)).collect();
    let data = TrainData::new(x, Targets::Classes { labels, names: names(2) });
    let options = TrainOptions { cross_validate: true, ..fixed(1e3) };
    let training = train(&data, &options);
    let Metrics::SingleLabel(seen) = training.head.evaluate(&data.embeddings, &data.targets).unwrap() else {
        unreachable!()
    };
    let folds = training.cross_validation.unwrap();
    let Metrics::SingleLabel(unseen) = Metrics::of(&data.targets, &folds.predictions, None) else {
        unreachable!()
    };
    assert_eq!(seen.accuracy, 1.0, "a hundred columns remember 120 rows");
    assert!(unseen.accuracy < 0.7, "{}", unseen.accuracy);
    let accuracy = &folds.summary[0];
    assert_eq!(accuracy.0, "accuracy");
    assert!((accuracy.1.mean - unseen.accuracy).abs() <= 1e-12, "equal folds average to the whole");
}

#[test]
fn standardised_heads_do_not_care_about_units() {
    let data = problem(200, 5, 3, 0.8, 11);
    let factors = [1.0, 1e-3, 50.0, 7.0, 0.2];
    let other: Vec<f32> =
        data.embeddings.values().iter().enumerate().map(|(at, v)| v * factors[at % 5] + 3.0).collect();
    let other = TrainData { embeddings: Matrix::new(200, 5, other).unwrap(), ..data.clone() };
    let options = TrainOptions { standardise: true, ..fixed(2.0) };
    let (a, b) = (train(&data, &options).head, train(&other, &options).head);
    let (a, b) = (a.predict_proba(&data.embeddings).unwrap(), b.predict_proba(&other.embeddings).unwrap());
    let off = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(off <= 1e-3, "{off}: f32 rounding of shifted values alone");
}

#[test]
fn weights_count_as_copies_of_rows() {
    let data = problem(90, 4, 3, 1.0, 2);
    let count = |row: usize| (row * 7 + row / 5) % 4;
    let copies: Vec<u32> = (0..90).flat_map(|row| vec![row; count(row as usize)]).collect();
    let values: Vec<f64> =
        (0..90).map(|row| f64::from(data.embeddings.row(row)[0]) * 3.0 + (row % 7) as f64).collect();
    let marks: Vec<bool> = values.iter().flat_map(|value| [*value > 4.0, *value < 3.0]).collect();
    let problems = [
        data.targets.clone(),
        Targets::MultiLabel { marks, names: names(2) },
        Targets::values(values, "stars"),
    ];
    for targets in problems {
        let data = TrainData { targets, ..data.clone() };
        let weighted =
            TrainData { weights: Some((0..90).map(|row| count(row) as f64).collect()), ..data.clone() };
        let copied = data.select_rows(&copies);
        for kind in [Kind::Linear, Kind::ElasticNet { l1_ratio: 0.5 }, Kind::NearestCentroid] {
            if kind == Kind::NearestCentroid && data.targets.problem() == Problem::Regression {
                continue;
            }
            for standardise in [false, true] {
                for class_weight in [ClassWeight::None, ClassWeight::Balanced] {
                    let options = TrainOptions {
                        kind: kind.clone(),
                        standardise,
                        class_weight,
                        tolerance: 1e-10,
                        ..fixed(0.5)
                    };
                    let (a, b) = (train(&copied, &options).head, train(&weighted, &options).head);
                    let (a, b) = (a.coefficients().unwrap(), b.coefficients().unwrap());
                    let off = (a.0.iter().chain(&a.1).zip(b.0.iter().chain(&b.1)))
                        .map(|(a, b)| (a - b).abs())
                        .fold(0.0, f64::max);
                    assert!(off <= 1e-6, "{off}: {options:?} of {:?}", data.targets.problem());
                }
            }
        }
    }
}

#[test]
fn a_class_that_weighs_nothing_is_survived() {
    let data = problem(90, 4, 3, 1.0, 2);
    let weights = (0..90).map(|row| f64::from(u8::from(row % 3 > 0))).collect();
    let data = TrainData { weights: Some(weights), ..data };
    let options = TrainOptions { standardise: true, class_weight: ClassWeight::Balanced, ..fixed(1.0) };
    let p = train(&data, &options).head.predict_proba(&data.embeddings).unwrap();
    assert!(p.iter().all(|p| p.is_finite()) && p.chunks(3).all(|p| p[0] < 0.1));
}

#[test]
fn neighbours_take_no_weights() {
    let data = problem(90, 4, 3, 1.0, 2);
    let weighted =
        |of: fn(usize) -> f64| TrainData { weights: Some((0..90).map(of).collect()), ..data.clone() };
    let options = TrainOptions { kind: Kind::Neighbours { k: 5 }, cross_validate: false, ..fixed(1.0) };
    let error = Head::train(&weighted(|row| row as f64), &options, &mut |_| {}).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("one vote"), "{error}");
    train(&weighted(|_| 2.0), &options);
    let options = TrainOptions { kind: Kind::Auto, ..TrainOptions::default() };
    let compared = |data: &TrainData| {
        let names =
            train(data, &options).choice.unwrap().scores.iter().map(|score| score.0).collect::<Vec<_>>();
        names.contains(&frostbert::head::ModelKind::Neighbours)
    };
    assert!(compared(&data) && !compared(&weighted(|row| 1.0 + row as f64)));
}

#[test]
fn balanced_classes_lift_the_rare_one() {
    let (x, labels) = clouds(400, 6, 2, 1.6, 8);
    let keep: Vec<u32> = (0..400).filter(|&row| labels[row as usize] == 0 || row % 20 == 1).collect();
    let data = TrainData::new(x, Targets::Classes { labels, names: names(2) }).select_rows(&keep);
    let recall = |class_weight| {
        let head = train(&data, &TrainOptions { class_weight, ..fixed(1.0) }).head;
        match head.evaluate(&data.embeddings, &data.targets).unwrap() {
            Metrics::SingleLabel(m) => m.classes[1].recall,
            _ => unreachable!(),
        }
    };
    assert!(recall(ClassWeight::Balanced) > recall(ClassWeight::None) + 0.1);
}

#[test]
fn the_same_seed_gives_the_same_bits_on_any_number_of_threads() {
    let data = problem(333, 41, 3, 1.5, 21);
    let options = TrainOptions { calibration: CalibrationKind::Vector, ..TrainOptions::default() };
    let bytes = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| train(&data, &options).head.to_bytes().unwrap())
    };
    let one = bytes(1);
    assert_eq!(one, bytes(3));
    let folds = Folds { seed: 1, ..Folds::default() };
    assert_ne!(one, train(&data, &TrainOptions { folds, ..options }).head.to_bytes().unwrap());
}

#[test]
fn a_class_missing_from_a_fold_is_survived() {
    let mut data = problem(60, 4, 3, 1.0, 4);
    let Targets::Classes { labels, .. } = &mut data.targets else { unreachable!() };
    // Class 2 keeps two rows: with five folds, three folds hold none of them.
    let mut kept = 0;
    for label in labels.iter_mut() {
        if *label == 2 {
            kept += 1;
            *label = if kept <= 2 { 2 } else { 0 };
        }
    }
    let training = train(&data, &TrainOptions::default());
    assert!(training.cross_validation.unwrap().predictions.iter().all(|p| (0.0..=1.0).contains(p)));
}

#[test]
fn regression_and_labels_are_learnt_too() {
    let (x, _) = clouds(300, 3, 1, 2.0, 6);
    let values: Vec<f64> = (0..300)
        .map(|row| x.row(row).iter().zip([2.0, -1.0, 0.5]).map(|(x, w)| f64::from(*x) * w).sum::<f64>() + 4.0)
        .collect();
    let data = TrainData::new(x, Targets::values(values.clone(), "stars"));
    let options = TrainOptions { tolerance: 1e-9, ..fixed(1e7) };
    let head = train(&data, &options).head;
    let (coefficients, intercepts) = head.coefficients().unwrap();
    for (got, want) in coefficients.iter().chain(&intercepts).zip([2.0, -1.0, 0.5, 4.0]) {
        assert!((got - want).abs() <= 1e-4, "{got} instead of {want}");
    }
    assert!(
        matches!(head.evaluate(&data.embeddings, &data.targets).unwrap(), Metrics::Regression(m) if m.r2.unwrap() > 0.999)
    );
    let marks = values.iter().flat_map(|v| [*v > 4.5, *v < 4.2]).collect();
    let data = TrainData { targets: Targets::MultiLabel { marks, names: names(2) }, ..data };
    let training = train(&data, &TrainOptions::default());
    let head = training.head;
    assert!(head.thresholds().iter().all(|t| (0.0..=1.0).contains(t)));
    assert!(
        matches!(head.evaluate(&data.embeddings, &data.targets).unwrap(), Metrics::MultiLabel(m) if m.macro_f1 > 0.95)
    );
}

#[test]
fn decisions_can_be_withheld() {
    let data = problem(200, 12, 2, 1.2, 1);
    let head = train(&data, &fixed(10.0)).head;
    let decisions = head.predict(&data.embeddings, Some(0.8)).unwrap();
    let withheld = decisions.iter().filter(|d| matches!(d, Decision::Abstained { .. })).count();
    assert!(withheld > 0 && withheld < 200, "{withheld}");
    for decision in decisions {
        match decision {
            Decision::Class { probability, .. } => assert!(probability >= 0.8),
            Decision::Abstained { probability, .. } => assert!(probability < 0.8),
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_saved_head_comes_back_bit_for_bit(
        classes in 2usize..5, columns in 1usize..9, standardise: bool, calibrated: bool, seed in 0u64..1000,
    ) {
        let data = problem(40, columns, classes, 1.0, seed);
        let calibration = if calibrated { CalibrationKind::Temperature } else { CalibrationKind::None };
        let mut head = train(&data, &TrainOptions { standardise, calibration, ..fixed(1.0) }).head;
        head.record.encoder = Some(EncoderBinding::new(serde_json::json!({"weights": format!("{seed:x}")})));
        head.record.model_location = Some("models/ünïcode \"quoted\"".into());
        head.record.test = Some(head.evaluate(&data.embeddings, &data.targets).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("head.safetensors");
        head.save(&path).unwrap();
        let back = Head::load(&path).unwrap();
        prop_assert_eq!(&head, &back);
        let bits = |head: &Head| -> Vec<u64> {
            head.logits(&data.embeddings).unwrap().iter().map(|z| z.to_bits()).collect()
        };
        prop_assert_eq!(bits(&head), bits(&back));
        prop_assert_eq!(head.to_bytes().unwrap(), std::fs::read(&path).unwrap());
        prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_damaged_file_is_an_error_and_never_a_panic(at in 0usize..2000, byte: u8, cut in 0usize..2000) {
        let bytes = train(&problem(30, 3, 3, 1.0, 1), &fixed(1.0)).head.to_bytes().unwrap();
        prop_assert!(Head::from_bytes(&bytes[..cut % bytes.len()]).unwrap_err().is_model_file());
        let mut damaged = bytes.clone();
        let at = at % bytes.len();
        damaged[at] = byte;
        // A byte of a number may change unnoticed; whatever is read must be usable.
        match Head::from_bytes(&damaged) {
            Ok(head) => {
                head.logits(&Matrix::new(1, head.dimension(), vec![0.0; head.dimension()]).unwrap()).unwrap();
            }
            Err(error) => prop_assert!(error.is_model_file(), "{error:?}"),
        }
    }
}

#[test]
fn foreign_and_newer_files_are_told_apart() {
    let head = train(&problem(30, 3, 2, 1.0, 1), &fixed(1.0)).head;
    let bytes = head.to_bytes().unwrap();
    let version = br#"\"format_version\":2"#;
    let at = bytes.windows(version.len()).position(|window| window == version).unwrap();
    let mut newer = bytes.clone();
    newer[at + version.len() - 1] = b'9';
    let message = Head::from_bytes(&newer).unwrap_err().to_string();
    assert!(message.contains("format version 9") && message.contains("newer"), "{message}");
    let message = Head::from_bytes(b"PK\x03\x04 something else").unwrap_err().to_string();
    assert!(message.contains("frostbert train"), "{message}");
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no.safetensors");
    let error = Head::load(&missing).unwrap_err();
    assert!(error.is_model_file() && error.to_string().contains("no.safetensors"), "{error}");
    let error = head.save(folder.path().join("no folder/head.safetensors")).unwrap_err();
    assert!(error.is_io(), "{error}");
}

#[test]
fn another_encoder_is_refused() {
    let mut head = train(&problem(30, 3, 2, 1.0, 1), &fixed(1.0)).head;
    let own = EncoderBinding::new(serde_json::json!({"weights": "a1", "pooling": "mean"}));
    let other = EncoderBinding::new(serde_json::json!({"weights": "a1", "pooling": "cls"}));
    head.check_encoder(&other).unwrap();
    head.record.encoder = Some(own.clone());
    let back = Head::from_bytes(&head.to_bytes().unwrap()).unwrap();
    back.check_encoder(&own).unwrap();
    let message = back.check_encoder(&other).unwrap_err().to_string();
    assert!(message.contains(&own.digest) && message.contains(&other.digest), "{message}");
    let error = back.logits(&Matrix::new(1, 4, vec![0.0; 4]).unwrap()).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("3 columns, found 4"), "{error}");
}

#[test]
fn options_out_of_range_are_refused() {
    let data = problem(30, 3, 2, 1.0, 1);
    let refused = |options: TrainOptions| Head::train(&data, &options, &mut |_| {}).unwrap_err().is_input();
    assert!(refused(fixed(0.0)) && refused(fixed(f64::NAN)) && refused(fixed(-1.0)));
    assert!(refused(TrainOptions { tolerance: 0.0, ..fixed(1.0) }));
    assert!(refused(TrainOptions {
        folds: Folds { folds: 31, ..Folds::default() },
        ..TrainOptions::default()
    }));
    assert!(refused(TrainOptions {
        folds: Folds { folds: 1, ..Folds::default() },
        ..TrainOptions::default()
    }));
}
