//! From a table to a head and its record, and from texts to answers.

#![allow(clippy::unwrap_used)] // Helpers of tests may.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use frostbert::data::{LabelKind, Selection, Table};
use frostbert::head::{
    AnswerOptions, Decision, Folds, Head, Kind, Matrix, MlpOptions, Problem, Strength, Targets, TrainData,
    TrainOptions, Warning, train_test_split,
};
use frostbert::model::{LayerMix, Pooling};
use frostbert::workflow::{
    Dataset, EmbedRun, EmbeddedRows, Event, FitSettings, HoldOut, PredictOptions, Trainer, train_embedded,
};
use frostbert::{Classifier, Device, EmbedOptions, EmbeddingRecipe, Encoder, Error, Layers, Text};

fn encoder(golden: &str) -> Encoder {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens").join(golden);
    Encoder::load(folder.display().to_string()).device(Device::Cpu).build().unwrap()
}

/// Reviews that a head can tell apart by their words.
fn table(rows: usize, label: impl Fn(usize) -> String) -> String {
    let mut text = String::from("text,label,source\n");
    for row in 0..rows {
        let words = ["brilliant wonderful film", "terrible boring plot"][row % 2];
        text += &format!("the {words} {row},{},{}\n", label(row), ["x", "y"][row / 2 % 2]);
    }
    text
}

fn good_or_bad(row: usize) -> String {
    ["good", "bad"][row % 2].into()
}

fn read(csv: &str, kind: LabelKind) -> Dataset {
    let selection = Selection { labels: vec!["label".into()], label_kind: kind, ..Selection::default() };
    Dataset::read(Table::from_bytes("rows.csv", csv).unwrap(), &selection).unwrap()
}

fn options() -> TrainOptions {
    TrainOptions {
        c: Strength::Fixed(1.0),
        cross_validate: true,
        folds: Folds { folds: 3, repeats: 1, seed: 5 },
        ..TrainOptions::default()
    }
}

#[test]
fn a_trainer_does_what_its_steps_do_one_by_one() {
    let encoder = encoder("sentence-mean");
    let data = read(&table(60, good_or_bad), LabelKind::Name);
    let mut embedded = 0;
    let mut fitted = false;
    let trained = Trainer::new(&encoder)
        .model_location("somewhere/model")
        .hold_out(HoldOut::Share(0.25))
        .head(options())
        .train(&data, &mut |event| match event {
            Event::Embedded(done) => embedded += done.texts,
            Event::Training(step) => fitted |= step.stage == "fitting",
            _ => {}
        })
        .unwrap();
    assert!(embedded == 60 && fitted);

    let all = encoder.embed(data.texts.iter().cloned(), &EmbedOptions::default()).unwrap();
    let all = Matrix::new(60, all.dim, all.values).unwrap();
    let strata: Vec<u32> = (0..60).map(|row| 1 - row % 2).collect();
    let split = train_test_split(&strata, None, 0.25, 5).unwrap();
    let by_hand = TrainData::new(all.select_rows(&split.train), data.targets.select_rows(&split.train));
    let mut training = Head::train(&by_hand, &options(), &mut |_| {}).unwrap();
    assert_eq!(trained.head.coefficients(), training.head.coefficients(), "the same bits");
    let held_out = training
        .head
        .evaluate(&all.select_rows(&split.test), &data.targets.select_rows(&split.test))
        .unwrap();
    let record = &trained.record;
    assert_eq!(record.held_out.as_ref(), Some(&held_out));
    assert_eq!(record.cross_validation.as_ref().unwrap().summary, training.cross_validation.unwrap().summary);
    assert_eq!(record.data.classes, [("bad".to_owned(), 22), ("good".to_owned(), 22)]);
    assert_eq!(record.encoder.as_ref().unwrap().location, "somewhere/model");

    // The head file knows what the record knows.
    frostbert::bind_head(&mut training.head, &encoder, &EmbedOptions::default(), "somewhere/model").unwrap();
    training.head.record.test = Some(held_out.clone());
    assert_eq!(trained.head.to_bytes().unwrap(), training.head.to_bytes().unwrap());

    // The record serialises: enums by their names, nothing twice.
    let json = serde_json::to_value(record).unwrap();
    assert_eq!((&json["problem"], &json["settings"]["kind"]), (&"single-label".into(), &"linear".into()));
    assert_eq!(json["encoder"]["family"], "bert");
    assert_eq!(json["baselines"].as_array().unwrap().len(), 3);

    // What was held out measures the same through a classifier.
    let classifier = Classifier::new(encoder, trained.head).unwrap();
    let found = classifier.evaluate(&data.select(&split.test), &EmbedRun::default()).unwrap();
    assert_eq!((found.metrics, found.rows), (held_out, split.test.len()));
}

#[test]
fn held_out_rows_of_their_own_go_by_the_training_rows_names() {
    let encoder = encoder("sentence-mean");
    let data = read(&table(40, good_or_bad), LabelKind::Name);
    // One class only, and a row that is known already.
    let test =
        read("text,label\nthe brilliant wonderful film 0,good\na wonderful film,good\n", LabelKind::Name);
    let trainer = Trainer::new(&encoder).head(options()).baselines(false).hold_out(HoldOut::Rows(&test));
    let trained = trainer.train(&data, &mut |_| {}).unwrap();
    let frostbert::head::Metrics::SingleLabel(held_out) = trained.record.held_out.unwrap() else { panic!() };
    assert_eq!((held_out.rows, held_out.classes.len(), held_out.classes[1].support), (2, 2, 2));
    let leaked = Warning::Leakage { rows: 1, example: (1, 1) };
    assert!(trained.record.warnings.contains(&leaked), "{:?}", trained.record.warnings);

    let unknown = read("text,label\na film,superb\n", LabelKind::Name);
    let called = AtomicU64::new(0);
    let error = Trainer::new(&encoder)
        .hold_out(HoldOut::Rows(&unknown))
        .train(&data, &mut |_| {
            called.fetch_add(1, Ordering::Relaxed);
        })
        .unwrap_err();
    assert!(error.is_input() && error.to_string().contains("\"superb\""), "{error}");
    assert_eq!(called.load(Ordering::Relaxed), 0, "told before the encoder worked");
}

#[test]
fn every_kind_of_label_trains_and_is_recorded() {
    let encoder = encoder("sentence-mean");
    let list = LabelKind::List { separator: ";".into() };
    let of_row = |row: usize| ["happy;long", "sad", "happy", "sad;long"][row % 4].to_owned();
    let data = read(&table(80, of_row), list);
    let trainer = Trainer::new(&encoder).head(options()).baselines(false).hold_out(HoldOut::Share(0.25));
    let record = trainer.clone().train(&data, &mut |_| {}).unwrap().record;
    assert_eq!((record.problem, record.thresholds.len()), (Problem::MultiLabel, 3));
    // Sets of labels are held out in proportion: fifteen of each twenty stay.
    let rows = [("happy", 30), ("long", 30), ("sad", 30)].map(|(name, rows)| (name.to_owned(), rows));
    assert_eq!(record.data.classes, rows);

    let data = read(&table(80, |row| format!("{}.5", row % 2 * 3)), LabelKind::Number);
    let record = trainer.train(&data, &mut |_| {}).unwrap().record;
    assert_eq!((record.problem, record.data.classes.len()), (Problem::Regression, 0));
    assert!(record.label_issues.is_empty() && record.mispredictions.is_empty());
}

#[test]
fn warnings_and_label_issues_name_rows_as_the_table_does() {
    let encoder = encoder("sentence-mean");
    // Rows 1, 2, 5, 6, ... pass the filter; rows 41, 65 and 106 have the wrong label, row 242 repeats row 2's text.
    let mut csv = table(240, |row| good_or_bad(if [40, 64, 105].contains(&row) { row + 1 } else { row }));
    csv += "another row,good,y\nThe  terrible boring plot 1,bad,x\n";
    let selection = Selection {
        labels: vec!["label".into()],
        filters: vec!["source=x".parse().unwrap()],
        ..Selection::default()
    };
    let data = Dataset::read(Table::from_bytes("rows.csv", csv).unwrap(), &selection).unwrap();
    let trained = Trainer::new(&encoder)
        .head(TrainOptions { c: Strength::Fixed(10.0), ..options() })
        .baselines(false)
        .details(true)
        .train(&data, &mut |_| {})
        .unwrap();
    let repeated = Warning::Duplicates { rows: 1, example: (2, 242) };
    assert!(trained.record.warnings.contains(&repeated), "{:?}", trained.record.warnings);
    let csv = trained.label_issues_csv().unwrap();
    assert!(csv.starts_with("row,label,probability,suggested,suggested_probability,text\n"), "{csv}");
    // A text ends in its row's index in the table, whatever the filter left out.
    for line in ["\n65,bad,", "wonderful film 64\n", "\n106,good,", "boring plot 105\n"] {
        assert!(csv.contains(line), "{csv}");
    }
    let wrong = &trained.record.mispredictions[0];
    let rows = trained.rows.as_ref().unwrap();
    assert!([41, 65, 106].contains(&rows.data.numbers[wrong.row]));
    let explained = wrong.explanation.as_ref().unwrap();
    assert!(explained.tokens.len() > 3 && explained.shares[0].len() == 2);
    assert_eq!(trained.record.learning_curve.len(), 3, "shares of which a fold can give up rows");
}

#[test]
fn a_stream_gives_the_head_that_memory_gives() {
    let encoder = encoder("sentence-mean");
    let data = read(&table(300, good_or_bad), LabelKind::Name);
    let mlp = MlpOptions { hidden: vec![16], epochs: 4, ..MlpOptions::default() };
    let options = TrainOptions {
        kind: Kind::Mlp(mlp),
        folds: Folds { seed: 3, ..Folds::default() },
        ..TrainOptions::default()
    };
    let trainer = Trainer::new(&encoder).head(options.clone()).baselines(false).hold_out(HoldOut::Share(0.2));
    let mut told = 0;
    let streamed = trainer
        .train_stream(&data, None, &mut |event| {
            if let Event::Embedded(done) = event {
                told += done.texts;
            }
        })
        .unwrap();
    let in_memory = trainer.train(&data, &mut |_| {}).unwrap();
    assert_eq!(told, 300);
    assert_eq!(streamed.head.to_bytes().unwrap(), in_memory.head.to_bytes().unwrap());
    assert_eq!(streamed.record.held_out, in_memory.record.held_out);
    assert!(streamed.rows.is_none() && streamed.record.cross_validation.is_none());

    let refused = |trainer: Trainer, says: &str| {
        let error = trainer.train_stream(&data, None, &mut |_| {}).map(|_| ()).unwrap_err();
        assert!(error.is_input() && error.to_string().contains(says), "{error}");
    };
    let new = || Trainer::new(&encoder).head(options.clone());
    refused(Trainer::new(&encoder), "--head mlp");
    refused(new().choose_layers(true), "--layers auto");
    refused(new().details(true), "--report");
    refused(new().hold_out(HoldOut::Share(2.0)), "between 0 and 1");
    // A token that has been used stops both sides.
    let cancel = frostbert::CancelToken::new();
    cancel.cancel();
    let stopped = new().embed(EmbedOptions { cancel: Some(cancel), ..EmbedOptions::default() });
    assert!(stopped.train_stream(&data, None, &mut |_| {}).map(|_| ()).unwrap_err().is_cancelled());
}

#[test]
fn choosing_layers_keeps_the_chosen_and_refuses_what_cannot_be_compared() {
    let encoder = encoder("sentence-mean");
    let data = read(&table(40, good_or_bad), LabelKind::Name);
    let trainer = Trainer::new(&encoder).head(options()).baselines(false).choose_layers(true);
    let trained = trainer.clone().hold_out(HoldOut::Share(0.25)).train(&data, &mut |_| {}).unwrap();
    let chosen = trained.record.layers.as_ref().unwrap().best().layers.clone();
    let recipe = EmbeddingRecipe::of_head(&trained.head).unwrap().unwrap();
    assert_eq!((recipe.layers, recipe.normalize), (chosen.clone(), false));
    assert_eq!(trained.rows.unwrap().embeddings.columns(), trained.head.dimension());
    assert_eq!(trained.head.dimension(), 48 * chosen.len());

    let usual = EmbedOptions::default;
    for (options, says) in [
        (EmbedOptions { normalize: Some(true), ..usual() }, "--normalize"),
        (EmbedOptions { mix: LayerMix::Mean, ..usual() }, "--layer-mix"),
        (EmbedOptions { dimensions: Some(8), ..usual() }, "--dimensions"),
        (EmbedOptions { pooling: Some(vec![Pooling::Pooler]), ..usual() }, "--pooling pooler"),
    ] {
        let error = trainer.clone().embed(options).train(&data, &mut |_| {}).map(|_| ()).unwrap_err();
        assert!(error.is_input() && error.to_string().contains(says), "{error}");
    }
    // The layers that options name are not what is compared.
    let named = EmbedOptions { layers: Layers::These(vec![0]), ..usual() };
    let again = trainer.embed(named).train(&data, &mut |_| {}).unwrap();
    assert!(again.record.layers.unwrap().candidates.len() > 3);
}

#[test]
fn embeddings_from_elsewhere_train_without_texts() {
    let values: Vec<f32> = (0..80).flat_map(|row| [(row % 2) as f32 + 0.01 * row as f32, 1.0]).collect();
    let labels: Vec<String> = (0..80).map(good_or_bad).collect();
    let data = || Dataset::without_texts("vectors", Targets::classes(&labels));
    let matrix = |rows: usize| Matrix::new(rows, 2, values[..2 * rows].to_vec()).unwrap();
    assert!(EmbeddedRows::new(data(), matrix(79)).unwrap_err().is_input());
    let mut settings = FitSettings::default();
    settings.head = options();
    let rows = EmbeddedRows::new(data(), matrix(80)).unwrap();
    let trained = train_embedded(rows, None, &settings, &mut |_| {}).unwrap();
    assert_eq!(trained.record.baselines.len(), 2, "no words, no TF-IDF");
    assert!(trained.record.encoder.is_none() && trained.record.warnings.is_empty());
    assert_eq!(trained.record.out_of_fold.unwrap().scalars()[0], ("accuracy", Some(1.0)));
}

#[test]
fn answers_come_in_order_abstain_and_explain_themselves() {
    let encoder = encoder("sentence-mean");
    let data = read(&table(60, good_or_bad), LabelKind::Name);
    let trained = Trainer::new(&encoder).head(options()).baselines(false).train(&data, &mut |_| {}).unwrap();
    let classifier = Classifier::new(encoder, trained.head).unwrap();
    let texts: Vec<String> =
        (0..9).map(|row| format!("{} plot {row}", ["wonderful", "boring"][row % 2])).collect();
    let plain = classifier.predict(&texts).unwrap();
    let stream = |options: PredictOptions, texts: &[String]| {
        let mut answers = Vec::new();
        let texts = texts.iter().map(|text| Ok(Text::from(text)));
        let done = classifier.predict_stream(texts, &options, &EmbedRun::default(), |answer| {
            answers.push(answer);
            Ok(())
        });
        (answers, done.unwrap())
    };
    let (answers, done) = stream(PredictOptions { explain: true, ..PredictOptions::default() }, &texts);
    assert_eq!((answers.len(), done.texts), (9, 9));
    for ((answer, text), prediction) in answers.iter().zip(&texts).zip(&plain) {
        assert_eq!((&answer.text.first, &answer.prediction), (text, prediction));
        let (explained, leading) = (answer.explanation.as_ref().unwrap(), answer.leading());
        let sum: f64 = explained.shares.iter().map(|shares| shares[leading]).sum();
        assert!((explained.base[leading] + sum - explained.logits[leading]).abs() <= 1e-9);
    }
    let unsure = AnswerOptions { abstain: Some(1.0), ..AnswerOptions::default() };
    let (answers, _) = stream(PredictOptions { answer: unsure, ..PredictOptions::default() }, &texts);
    for (answer, prediction) in answers.iter().zip(&plain) {
        let Decision::Class { class, probability } = prediction.answer.decision else { panic!() };
        assert_eq!(answer.prediction.answer.decision, Decision::Abstained { class, probability });
        assert!(answer.explanation.is_none() && answer.leading() == class);
    }
    assert_eq!(stream(PredictOptions::default(), &[]).0, []);
    let broken = [Ok(Text::from("a")), Err(Error::input("line 2 is no text"))];
    let error = classifier
        .predict_stream(broken, &PredictOptions::default(), &EmbedRun::default(), |_| Ok(()))
        .unwrap_err();
    assert!(error.to_string().contains("line 2"));
}
