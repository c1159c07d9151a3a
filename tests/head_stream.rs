//! Training on rows that come one after the other: from memory, from a file, while they are written.

#![allow(clippy::unwrap_used)] // Helpers of tests may.

use std::collections::HashSet;

use frostbert::head::{
    CalibrationKind, Folds, Head, Kind, Matrix, Metrics, MlpOptions, RowSource, StreamRows, Targets,
    TrainData, TrainOptions,
};
use frostbert::workflow::row_file;
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
        fingerprint: None,
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

fn is_same(head: &Head, other: &Head) -> bool {
    let file = |head: &Head| {
        let mut head = head.clone();
        head.record = Default::default();
        head.to_bytes().unwrap()
    };
    file(head) == file(other)
}

/// Rows sorted by class, of which the encoder gives the first half of a batch at a time.
#[test]
fn a_stream_gives_the_bits_that_a_matrix_gives() {
    let rows_of_class = |class: u32| (0..3000).map(move |at| (class, at));
    let values: Vec<f32> = (0..3)
        .flat_map(rows_of_class)
        .flat_map(|(class, at)| [(class * 3 + at % 7) as f32, (at % 11) as f32, (at * class % 13) as f32])
        .collect();
    let x = Matrix::new(9000, 3, values).unwrap();
    let labels: Vec<String> = (0..9000).map(|row| format!("class {}", row / 3000)).collect();
    let mlp = MlpOptions { hidden: vec![6], epochs: 3, validation: 0.2, ..MlpOptions::default() };
    let options = TrainOptions { kind: Kind::Mlp(mlp), ..TrainOptions::default() };
    let rows = StreamRows {
        train: (0..9000).filter(|row| row % 6 != 1).collect(),
        targets: Targets::classes(&labels),
        weights: Some((0..9000).map(|row| f64::from(row % 3)).collect()),
        groups: Some((0..9000).map(|row| row / 3).collect()),
        fingerprint: None,
    };
    let all = TrainData {
        weights: rows.weights.clone(),
        groups: rows.groups.clone(),
        ..TrainData::new(x.view(), rows.targets.clone())
    };
    let in_memory = Head::train(&all.select_rows(&rows.train), &options, &mut |_| {}).unwrap().head;

    let order = rows.first_pass(&options).unwrap();
    assert_eq!(order.iter().collect::<HashSet<_>>(), rows.train.iter().collect());
    assert_eq!(order.len(), rows.train.len());
    let first: HashSet<u32> = order[..100].iter().map(|row| row / 3000).collect();
    assert_eq!(first.len(), 3, "the first rows are of every class");
    let (mut writer, reader) = row_file(None, 3).unwrap();
    let mut reader = reader.in_order(&order);
    let encoder = std::thread::spawn(move || {
        for piece in order.chunks(32) {
            writer.write(x.select_rows(piece).values()).unwrap();
            std::thread::yield_now();
        }
    });
    let streamed = Head::train_on_stream(&mut reader, &rows, &options, &mut |_| {}).unwrap().head;
    encoder.join().unwrap();
    assert!(is_same(&streamed, &in_memory));
}

/// The reader fails once after so many rows, as a process that is killed does.
struct Killed<'a>(&'a mut dyn RowSource, usize);

impl RowSource for Killed<'_> {
    fn columns(&self) -> usize {
        self.0.columns()
    }

    fn read(&mut self, rows: &[u32], out: &mut Vec<f32>) -> Result<()> {
        self.1 = self.1.checked_sub(rows.len()).ok_or_else(|| Error::input("killed"))?;
        self.0.read(rows, out)
    }
}

#[test]
fn a_killed_stream_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let (mut x, targets) = data();
    let kept = TrainOptions { checkpoint: Some(path.clone()), ..options() };
    let named = StreamRows { fingerprint: Some("these texts".into()), ..rows(&targets) };
    let train = |source: &mut dyn RowSource, rows: &StreamRows, options: &TrainOptions| {
        Head::train_on_stream(source, rows, options, &mut |_| {}).map(|training| training.head)
    };
    let error = train(&mut x, &rows(&targets), &kept).unwrap_err();
    assert!(error.to_string().contains("fingerprint"), "{error}");
    let error = train(&mut Killed(&mut x, 7 * ROWS), &named, &kept).unwrap_err();
    assert!(error.to_string().contains("killed") && path.exists(), "{error}");
    let others = StreamRows { fingerprint: Some("other texts".into()), ..named.clone() };
    let error = train(&mut x, &others, &kept).unwrap_err();
    assert!(error.to_string().contains("other embeddings;"), "{error}");
    let resumed = train(&mut x, &named, &kept).unwrap();
    assert!(!path.exists(), "a training that is done leaves no checkpoint");
    assert!(is_same(&resumed, &train(&mut x, &named, &options()).unwrap()));
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
