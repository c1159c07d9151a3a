//! Training on rows that come one after the other: from memory, from a file, while they are written.

#![allow(clippy::unwrap_used)] // Helpers of tests may.

use frostbert::cache::row_file;
use frostbert::head::{
    CalibrationKind, Folds, Head, Kind, Matrix, Metrics, MlpOptions, RowSource, StreamRows, Targets,
    TrainOptions,
};
use frostbert::{Error, Result};

const ROWS: usize = 600;
const COLUMNS: usize = 6;

/// Two classes that differ in the sign of a product of two columns: nothing linear tells them apart.
fn data() -> (Matrix<'static>, Targets) {
    let mut state = 12345u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let values: Vec<f32> = (0..ROWS * COLUMNS).map(|_| next()).collect();
    let labels: Vec<&str> =
        values.chunks(COLUMNS).map(|row| if row[0] * row[1] > 0.0 { "same" } else { "other" }).collect();
    (Matrix::new(ROWS, COLUMNS, values).unwrap(), Targets::classes(&labels))
}

fn options() -> TrainOptions {
    let mlp = MlpOptions {
        hidden: vec![32],
        epochs: 60,
        patience: 60,
        learning_rate: 0.01,
        ..MlpOptions::default()
    };
    TrainOptions {
        kind: Kind::Mlp(mlp),
        folds: Folds { seed: 3, ..Folds::default() },
        ..TrainOptions::default()
    }
}

fn rows(targets: &Targets) -> StreamRows {
    // The last hundred are held out.
    StreamRows {
        train: (0..ROWS as u32 - 100).collect(),
        targets: targets.clone(),
        weights: None,
        groups: None,
    }
}

fn train(source: &mut dyn RowSource, targets: &Targets) -> Result<(Vec<f64>, f64)> {
    let training = Head::train_on_stream(source, &rows(targets), &options(), &mut |_| {})?;
    let test: Vec<u32> = (ROWS as u32 - 100..ROWS as u32).collect();
    let probabilities = training.head.predict_stream(source, &test)?;
    let metrics = Metrics::of(&targets.select_rows(&test), &probabilities, None);
    let accuracy = metrics.scalars().into_iter().find(|(name, _)| *name == "accuracy").unwrap().1.unwrap();
    Ok((probabilities, accuracy))
}

#[test]
fn a_stream_gives_the_bits_that_memory_gives() {
    let (x, targets) = data();
    let (expected, accuracy) = train(&mut x.clone(), &targets).unwrap();
    assert!(accuracy > 0.85, "{accuracy}");

    let (mut writer, mut reader) = row_file(None, COLUMNS).unwrap();
    let late = std::thread::spawn(move || {
        // In pieces, the last of them after the first epoch has begun.
        for piece in x.values().chunks(7 * COLUMNS) {
            writer.write(piece).unwrap();
            std::thread::yield_now();
        }
    });
    let (streamed, _) = train(&mut reader, &targets).unwrap();
    late.join().unwrap();
    assert_eq!(
        streamed.iter().map(|p| p.to_bits()).collect::<Vec<_>>(),
        expected.iter().map(|p| p.to_bits()).collect::<Vec<_>>()
    );
}

#[test]
fn numbers_and_several_labels_are_learnt_too() {
    let (mut x, _) = data();
    let values = x.values().chunks(COLUMNS).map(|row| 50.0 + 10.0 * f64::from(row[0] - row[2])).collect();
    let targets = Targets::values(values, "score");
    let training = Head::train_on_stream(&mut x, &rows(&targets), &options(), &mut |_| {}).unwrap();
    let test: Vec<u32> = (500..600).collect();
    let found = training.head.predict_stream(&mut x, &test).unwrap();
    let r2 = Metrics::of(&targets.select_rows(&test), &found, None).scalars()[0];
    assert!(r2.1.unwrap() > 0.9, "{r2:?}");

    let labels: Vec<Vec<&str>> = x
        .values()
        .chunks(COLUMNS)
        .map(|row| {
            [("a", row[0] > 0.0), ("b", row[1] > 0.2)].into_iter().filter(|l| l.1).map(|l| l.0).collect()
        })
        .collect();
    let targets = Targets::multi_label(&labels);
    let training = Head::train_on_stream(&mut x, &rows(&targets), &options(), &mut |_| {}).unwrap();
    let found = training.head.predict_stream(&mut x, &test).unwrap();
    assert_eq!(found.len(), 200);
    assert!(matches!(Metrics::of(&targets.select_rows(&test), &found, None), Metrics::MultiLabel(_)));
}

#[test]
fn what_a_stream_cannot_do_is_refused() {
    let (mut x, targets) = data();
    let refused = |options: &TrainOptions, rows: &StreamRows, x: &mut Matrix, words: &str| {
        let error = Head::train_on_stream(x, rows, options, &mut |_| {}).unwrap_err();
        assert!(error.is_input() && error.to_string().contains(words), "{error}");
    };
    refused(&TrainOptions::default(), &rows(&targets), &mut x, "mini-batches");
    let calibrated = TrainOptions { calibration: CalibrationKind::Temperature, ..options() };
    refused(&calibrated, &rows(&targets), &mut x, "calibrate");
    let outside = StreamRows { train: vec![0, 600], ..rows(&targets) };
    refused(&options(), &outside, &mut x, "row 600");
    let weights = StreamRows { weights: Some(vec![1.0; 3]), ..rows(&targets) };
    refused(&options(), &weights, &mut x, "sample weights");
}

/// An encoder that fails: the rows that were promised never come.
#[test]
fn a_stream_that_breaks_off_is_an_error() {
    let (x, targets) = data();
    let (mut writer, mut reader) = row_file(None, COLUMNS).unwrap();
    writer.write(&x.values()[..200 * COLUMNS]).unwrap();
    drop(writer);
    let error: Error = train(&mut reader, &targets).unwrap_err();
    assert!(error.to_string().contains("never came"), "{error}");
}
