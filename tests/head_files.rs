//! Head files: what is written can be read, and what is damaged is refused.
#![allow(clippy::unwrap_used)]

use frostbert::head::{
    CalibrationKind, Head, Kind, Matrix, Metrics, MlpOptions, NovelBy, Problem, Strength, Targets, TrainData,
    TrainOptions,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;

fn names(count: usize) -> Vec<String> {
    // An empty name, and names that look like other things.
    let odd = ["", "NaN", "null", "0", " ", "a\"b\\c", "ünïcode ✿", "line\nbreak", "\u{202e}"];
    (0..count).map(|at| odd.get(at).map_or_else(|| format!("name {at}"), |name| (*name).to_owned())).collect()
}

/// Embeddings that go wrong somewhere.
fn odd_matrix(kind: usize, rows: usize, seed: u64) -> Matrix<'static> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let columns = if kind == 1 { 1 } else { 5 };
    let value = |row: usize, column: usize, rng: &mut ChaCha8Rng| {
        let plain = rng.random::<f32>() - 0.5 + (row % 3) as f32;
        match kind {
            // A constant column.
            2 if column == 0 => 7.25,
            3 => plain * 1e30,
            4 => plain * 1e-30,
            // All rows the same.
            5 => column as f32,
            // A column that varies by rounding alone.
            6 if column == 1 => 1e6 + (row % 2) as f32 * 0.0625,
            7 => f32::MAX * if (row + column).is_multiple_of(2) { 1.0 } else { -1.0 },
            _ => plain,
        }
    };
    let values: Vec<f32> =
        (0..rows * columns).map(|at| value(at / columns, at % columns, &mut rng)).collect();
    Matrix::new(rows, columns, values).unwrap()
}

fn targets(problem: Problem, rows: usize) -> Targets {
    match problem {
        Problem::SingleLabel => {
            Targets::Classes { labels: (0..rows as u32).map(|row| row % 3).collect(), names: names(3) }
        }
        Problem::MultiLabel => {
            Targets::MultiLabel { marks: (0..2 * rows).map(|at| at * at % 5 < 2).collect(), names: names(2) }
        }
        Problem::Regression => Targets::values((0..rows).map(|row| (row as f64).sin()).collect(), ""),
    }
}

fn kinds() -> [Kind; 5] {
    let mlp = MlpOptions { hidden: vec![4], epochs: 2, ..MlpOptions::default() };
    [
        Kind::Linear,
        Kind::ElasticNet { l1_ratio: 0.5 },
        Kind::Mlp(mlp),
        Kind::NearestCentroid,
        Kind::Neighbours { k: 3 },
    ]
}

/// Saved and read back: the same bits of everything it predicts.
fn check_comes_back(head: &Head, x: &Matrix, at: &str) {
    let bytes = match head.to_bytes() {
        Ok(bytes) => bytes,
        // A measure that left the range of numbers is said, and nothing is written.
        Err(error) => return assert!(error.is_input(), "{at}: {error}"),
    };
    let back = Head::from_bytes(&bytes).unwrap_or_else(|error| panic!("{at}: {error:#}"));
    assert_eq!(back.to_bytes().unwrap(), bytes, "{at}");
    let bits = |head: &Head| head.predict_proba(x).map(|p| p.iter().map(|p| p.to_bits()).collect::<Vec<_>>());
    match (bits(head), bits(&back)) {
        (Ok(a), Ok(b)) => assert_eq!(a, b, "{at}"),
        (Err(a), Err(b)) => assert_eq!(a.to_string(), b.to_string(), "{at}"),
        (a, b) => panic!("{at}: {a:?} and {b:?}"),
    }
}

#[test]
fn every_head_that_is_written_comes_back_bit_for_bit() {
    for odd in 0..8 {
        for problem in [Problem::SingleLabel, Problem::MultiLabel, Problem::Regression] {
            for kind in kinds() {
                for (standardise, calibration) in
                    [(false, CalibrationKind::None), (true, CalibrationKind::Vector)]
                {
                    let data = TrainData::new(odd_matrix(odd, 40, odd as u64), targets(problem, 40));
                    let options = TrainOptions {
                        kind: kind.clone(),
                        c: Strength::Fixed(1.0),
                        standardise,
                        calibration,
                        cross_validate: true,
                        ..TrainOptions::default()
                    };
                    let at = format!("input {odd}, {problem:?}, {kind}, {calibration}");
                    match Head::train(&data, &options, &mut |_| {}) {
                        Ok(training) => {
                            let mut head = training.head;
                            head.record.test = head.evaluate(&data.embeddings, &data.targets).ok();
                            if let Err(error) = head.keep_sample(&data, None, 25, 1) {
                                assert!(error.is_input() || error.is_model_file(), "{at}: {error}");
                            }
                            check_comes_back(&head, &data.embeddings, &at);
                        }
                        Err(error) => assert!(error.is_input() || error.is_model_file(), "{at}: {error}"),
                    }
                }
            }
        }
    }
}

#[test]
fn thousands_of_classes_come_back() {
    let classes = 2000;
    let labels: Vec<u32> = (0..classes).collect();
    let data = TrainData::new(
        Matrix::new(labels.len(), 2, labels.iter().flat_map(|l| [*l as f32, 1.0]).collect::<Vec<f32>>())
            .unwrap(),
        Targets::Classes { labels, names: names(classes as usize) },
    );
    let options = TrainOptions { kind: Kind::NearestCentroid, ..TrainOptions::default() };
    let head = Head::train(&data, &options, &mut |_| {}).unwrap().head;
    check_comes_back(&head, &data.embeddings, "2000 classes");
}

#[test]
fn what_no_file_can_hold_is_an_error_before_the_file() {
    let mut head = small(Problem::SingleLabel, Kind::Linear);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("head.safetensors");
    head.record.c = Some(f64::NAN);
    let error = head.save(&path).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("C is NaN"), "{error}");
    head.record.c = Some(1.0);
    if let Some(Metrics::SingleLabel(metrics)) = &mut head.record.test {
        metrics.log_loss = f64::INFINITY;
    }
    assert!(head.save(&path).unwrap_err().is_input());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is written");
    let twice = Targets::Classes { labels: vec![0, 1, 0, 1], names: vec!["a".into(), "a".into()] };
    let data = TrainData::new(Matrix::new(4, 1, vec![0.0, 1.0, 0.0, 1.0]).unwrap(), twice);
    assert!(data.check().unwrap_err().to_string().contains("twice"));
}

fn small(problem: Problem, kind: Kind) -> Head {
    let data = TrainData::new(odd_matrix(0, 40, 1), targets(problem, 40));
    let options = TrainOptions {
        kind,
        c: Strength::Fixed(1.0),
        cross_validate: true,
        standardise: true,
        ..TrainOptions::default()
    };
    let mut head = Head::train(&data, &options, &mut |_| {}).unwrap().head;
    head.record.test = Some(head.evaluate(&data.embeddings, &data.targets).unwrap());
    head
}

/// The bytes with another record, and without a checksum if it says version 1.
fn with_record(bytes: &[u8], change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).unwrap();
    let mut record: serde_json::Value =
        serde_json::from_str(&metadata.metadata().as_ref().unwrap()["frostbert_head"]).unwrap();
    record.as_object_mut().unwrap().remove("sha256");
    record["format_version"] = 1.into();
    change(&mut record);
    let tensors = SafeTensors::deserialize(bytes).unwrap();
    safetensors::serialize(
        tensors.tensors(),
        Some([("frostbert_head".to_owned(), record.to_string())].into()),
    )
    .unwrap()
}

#[test]
fn files_of_version_1_are_read_and_a_checksum_cannot_be_left_out() {
    for problem in [Problem::SingleLabel, Problem::MultiLabel, Problem::Regression] {
        for kind in kinds()
            .into_iter()
            .filter(|kind| problem != Problem::Regression || *kind != Kind::NearestCentroid)
        {
            let head = small(problem, kind);
            let bytes = head.to_bytes().unwrap();
            let old = Head::from_bytes(&with_record(&bytes, |_| {})).unwrap();
            assert_eq!(old, head);
            let message = |change: &dyn Fn(&mut serde_json::Value)| {
                Head::from_bytes(&with_record(&bytes, change)).unwrap_err().to_string()
            };
            assert!(message(&|record| record["format_version"] = 2.into()).contains("checksum is missing"));
            assert!(message(&|record| record["format_version"] = 0.into()).contains("version 0"));
            assert!(message(&|record| record["format_version"] = 9.into()).contains("newer"));
        }
    }
}

#[test]
fn what_a_head_keeps_is_read_back_in_the_version_that_has_it() {
    let version = |bytes: &[u8]| {
        let (_, metadata) = SafeTensors::read_metadata(bytes).unwrap();
        let record: serde_json::Value =
            serde_json::from_str(&metadata.metadata().as_ref().unwrap()["frostbert_head"]).unwrap();
        record["format_version"].as_u64().unwrap()
    };
    for problem in [Problem::SingleLabel, Problem::MultiLabel, Problem::Regression] {
        let mut head = small(problem, Kind::Linear);
        assert_eq!(version(&head.to_bytes().unwrap()), 2);
        let data = TrainData::new(odd_matrix(0, 40, 1), targets(problem, 40));
        head.keep_sample(&data, None, 25, 1).unwrap();
        let bytes = head.to_bytes().unwrap();
        assert_eq!(version(&bytes), 5);
        let read = Head::from_bytes(&bytes).unwrap();
        assert_eq!(read, head);
        let p = head.predict_proba(&data.embeddings).unwrap();
        let found = read.novelty(&data.embeddings, &p).unwrap().unwrap();
        assert_eq!(found, head.novelty(&data.embeddings, &p).unwrap().unwrap());
        assert!(found.iter().all(|found| found.mahalanobis.is_some()));
        assert_eq!(found[0].energy.is_none(), problem == Problem::Regression);
        // As version 4 was: without covariance and energies.
        let older = with_record(&bytes, |record| {
            let sample = record["sample"].as_object_mut().unwrap();
            ["centres", "distances", "energies"].iter().for_each(|name| drop(sample.remove(*name)));
        });
        let tensors = SafeTensors::deserialize(&older).unwrap();
        let new = ["sample.centres", "sample.factor", "sample.distances", "sample.energies"];
        let kept: Vec<_> =
            tensors.tensors().into_iter().filter(|(name, _)| !new.contains(&&**name)).collect();
        let (_, metadata) = SafeTensors::read_metadata(&older).unwrap();
        let older =
            Head::from_bytes(&safetensors::serialize(kept, metadata.metadata().clone()).unwrap()).unwrap();
        assert_eq!(version(&older.to_bytes().unwrap()), 4);
        let few = older.novelty(&data.embeddings, &p).unwrap().unwrap();
        assert!(few.iter().zip(&found).all(|(a, b)| a.share == b.share && a.mahalanobis.is_none()));
        let sample = older.sample().unwrap();
        assert!(sample.check_score(NovelBy::Mahalanobis).unwrap_err().to_string().contains("older"));
        // A covariance that is none.
        let broken = |change: fn(&mut serde_json::Value)| {
            Head::from_bytes(&with_record(&bytes, change)).unwrap_err().to_string()
        };
        assert!(broken(|record| record["sample"]["centres"] = 99.into()).contains("sample.centres"));
        assert!(broken(|record| record["sample"]["distances"] = 0.into()).contains("sample.distances"));
    }
}

#[test]
fn a_record_that_disagrees_with_its_shapes_is_refused() {
    type Change = fn(&mut serde_json::Value);
    let cases: [(Problem, Change, &str); 9] = [
        (Problem::Regression, |r| r["names"] = vec!["a", "b"].into(), "2 names"),
        (Problem::Regression, |r| r["names"] = Vec::<String>::new().into(), "0 names"),
        (Problem::SingleLabel, |r| r["names"] = vec!["a"].into(), "1 names"),
        (Problem::SingleLabel, |r| r["names"] = vec!["a", "b", "b"].into(), "\"b\" is there twice"),
        (Problem::SingleLabel, |r| r["names"] = vec!["a", "b", "c", "d"].into(), "expected F64 of shape"),
        (Problem::SingleLabel, |r| r["problem"] = "regression".into(), "3 names"),
        (Problem::SingleLabel, |r| r["problem"] = "multi-label".into(), "thresholds is missing"),
        (Problem::MultiLabel, |r| r["problem"] = "single-label".into(), "of shape"),
        (Problem::MultiLabel, |r| r["dimension"] = 0.into(), "no columns"),
    ];
    for (problem, change, expected) in cases {
        let bytes = small(problem, Kind::Linear).to_bytes().unwrap();
        let error = Head::from_bytes(&with_record(&bytes, change)).unwrap_err();
        assert!(error.is_model_file() && error.to_string().contains(expected), "{expected}: {error}");
    }
    // A tensor that no head of the kind has.
    let bytes = small(Problem::MultiLabel, Kind::Linear).to_bytes().unwrap();
    let error = Head::from_bytes(&with_record(&bytes, |r| r["calibration"] = "vector".into())).unwrap_err();
    assert!(error.to_string().contains("calibration.scale is missing"), "{error}");
}

#[test]
fn numbers_that_overflow_are_errors_and_no_predictions() {
    let head = small(Problem::SingleLabel, Kind::Linear);
    let bytes = with_record(&head.to_bytes().unwrap(), |_| {});
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let at =
        tensors.tensor("linear.coefficients").unwrap().data().as_ptr() as usize - bytes.as_ptr() as usize;
    let mut huge = bytes.clone();
    huge[at..at + 8].copy_from_slice(&f64::MAX.to_le_bytes());
    huge[at + 8..at + 16].copy_from_slice(&f64::MAX.to_le_bytes());
    let head = Head::from_bytes(&huge).unwrap();
    let error = head.predict_proba(&Matrix::new(1, 5, vec![9.0; 5]).unwrap()).unwrap_err();
    assert!(error.is_model_file() && error.to_string().contains("row 0"), "{error}");
}

#[test]
fn mutated_files_are_refused_or_predict_the_same() {
    let mut rng = ChaCha8Rng::seed_from_u64(18);
    let x = odd_matrix(0, 6, 2);
    let (mut refused, mut same) = (0, 0);
    for problem in [Problem::SingleLabel, Problem::MultiLabel, Problem::Regression] {
        for kind in kinds()
            .into_iter()
            .filter(|kind| problem != Problem::Regression || *kind != Kind::NearestCentroid)
        {
            let bytes = small(problem, kind).to_bytes().unwrap();
            let wanted = Head::from_bytes(&bytes).unwrap().predict_proba(&x).unwrap();
            for _ in 0..160 {
                let mut mutant = bytes.clone();
                for _ in 0..rng.random_range(1..4) {
                    // Half of the damage is in the header, which is the smaller part.
                    let end = if rng.random::<bool>() { bytes.len() } else { 3000.min(bytes.len()) };
                    let at = rng.random_range(0..end);
                    mutant[at] = if rng.random::<bool>() {
                        rng.random()
                    } else {
                        mutant[at] ^ (1 << rng.random_range(0..8))
                    };
                }
                match rng.random_range(0..10) {
                    0 => mutant.truncate(rng.random_range(0..bytes.len())),
                    1 => mutant.extend_from_slice(b"more"),
                    _ => {}
                }
                match Head::from_bytes(&mutant) {
                    Ok(head) => {
                        assert_eq!(head.predict_proba(&x).unwrap(), wanted);
                        same += 1;
                    }
                    Err(error) => {
                        assert!(error.is_model_file(), "{error:?}");
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(refused > 2000, "{refused} refused, {same} unchanged");
}
