//! The functions in one process: the library's bits, nulls, answers and errors, and results that are whole or not there.

#![allow(clippy::unwrap_used)]

mod support;

use std::process::Command;

use frostbert::data::{Selection, Table};
use frostbert::head::CautionOptions;
use frostbert::workflow::{Dataset, Trainer};
use frostbert::{Classifier, EmbedOptions};
use support::*;

#[test]
fn vectors_have_the_librarys_bits_however_the_table_is_divided() {
    let place = tempfile::tempdir().unwrap();
    let table = parquet(place.path(), 1000, 37, true);
    let expected = expected(1000, true);
    for (name, more) in [
        ("one", &["--partitions", "1"][..]),
        ("many", &["--partitions", "9"]),
        ("small", &["--partitions", "2", "--batch-rows", "1"]),
    ] {
        let out = place.path().join(name);
        let sql = format!(
            "COPY (SELECT id, frostbert_embed(text) AS v FROM '{}') TO '{}/' STORED AS PARQUET",
            table.display(),
            out.display()
        );
        done(
            program(["run", "--device", "cpu", "--model", &model(), "--sql", &sql])
                .args(more)
                .output()
                .unwrap(),
        );
        assert!(vectors(&out) == expected, "{name}");
        assert_eq!(entries(&out).len() > 1, name != "one", "{name}");
    }
    // Another order of rows, and a filter that leaves few of them.
    let sql = format!(
        "SELECT id, frostbert_embed(text, 'tiny') AS v FROM '{}' WHERE id % 50 = 5 ORDER BY id DESC",
        table.display()
    );
    for row in rows(&sql, &["--model", &model()]) {
        let id = row["id"].as_u64().unwrap() as usize;
        assert_eq!(bits(&row["v"]), expected[id].1, "{id}");
    }
}

#[test]
fn a_head_answers_as_in_the_library() {
    let place = tempfile::tempdir().unwrap();
    let labelled = place.path().join("labelled.csv");
    let line =
        |row| format!("{},{}\n", text(row), if text(row).contains("fox") { "animal" } else { "other" });
    std::fs::write(&labelled, format!("text,label\n{}", (0..200).map(line).collect::<String>())).unwrap();
    let selection = Selection { labels: vec!["label".into()], ..Selection::default() };
    let data = Dataset::read(Table::open(&labelled).unwrap(), &selection).unwrap();
    let tiny = encoder(&golden("sentence-mean"));
    let trained = Trainer::new(&tiny).train(&data, &mut |_| {}).unwrap();
    let file = place.path().join("animals.safetensors");
    trained.head.save(&file).unwrap();

    let table = parquet(place.path(), 60, 7, true);
    let head = file.display().to_string();
    let sql = format!("SELECT id, frostbert_predict(text) AS p FROM '{}' ORDER BY id", table.display());
    let rows_given = rows(&sql, &["--head", &head, "--model", &model()]);
    let classifier = Classifier::new(tiny, trained.head).unwrap();
    assert_eq!(rows_given.len(), 60);
    for row in &rows_given {
        let id = row["id"].as_u64().unwrap() as usize;
        if id % 7 == 3 {
            assert!(row.get("p").is_none_or(|p| p.is_null()), "{row}");
            continue;
        }
        let answer = &classifier.predict([text(id)]).unwrap()[0];
        let names = classifier.head().names();
        for (name, probability) in names.iter().zip(&answer.answer.probabilities) {
            assert_eq!(row["p"]["probabilities"][name].as_f64().unwrap().to_bits(), probability.to_bits());
        }
        let p = &answer.answer.probabilities;
        let best = (0..names.len()).max_by(|a, b| p[*a].total_cmp(&p[*b])).unwrap();
        assert_eq!(row["p"]["label"], names[best]);
        assert_eq!(row["p"]["tokens"], answer.tokens);
        assert_eq!(row["p"]["truncated"], answer.truncated);
    }
    // An answer can be counted, which is no place where a function that only works in projections could stand.
    let sql = format!(
        "SELECT frostbert_predict(text)['label'] AS label, count(*) AS n FROM '{}' GROUP BY 1 ORDER BY 1",
        table.display()
    );
    let counted: u64 = rows(&sql, &["--head", &head]).iter().map(|row| row["n"].as_u64().unwrap()).sum();
    assert_eq!(counted, 60);
}

#[test]
fn a_folder_is_what_its_data_are_whatever_stands_beside_them() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("written");
    std::fs::create_dir(&folder).unwrap();
    for (name, text) in [
        ("_SUCCESS", ""),
        ("_manifest.json", "{\"files\":2}\n"),
        (".part.crc", "x"),
        ("README.txt", "what this is"),
        ("v1.0-a.csv", "id,text\n1,the fox\n2,a river\n"),
        ("v1.1-b.csv", "id,text\n3,the house\n"),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let count = |from: &str| format!("SELECT count(text) AS n FROM '{from}'");
    let place = folder.display();
    assert_eq!(rows(&count(&format!("{place}/")), &[])[0]["n"], 3);
    assert_eq!(rows(&count(&format!("{place}/v1.1*.csv")), &[])[0]["n"], 1);
    let more = folder.join("v2-c.csv");
    // What one statement wrote the next one reads.
    let sql = format!(
        "{}; COPY (SELECT 9 AS id, 'cold' AS text) TO '{}'; {}",
        count(&format!("{place}/")),
        more.display(),
        count(&format!("{place}/"))
    );
    let counts: Vec<u64> = rows(&sql, &[]).iter().map(|row| row["n"].as_u64().unwrap()).collect();
    assert_eq!(counts, [3, 4]);
}

#[test]
fn a_head_of_paths_answers_as_far_as_it_is_sure() {
    let place = tempfile::tempdir().unwrap();
    let labelled = place.path().join("labelled.csv");
    let line = |row| {
        let kind = if text(row).contains("fox") { "animal" } else { "other" };
        format!("{},{kind}/{}\n", text(row), if row % 2 == 0 { "even" } else { "odd" })
    };
    std::fs::write(&labelled, format!("text,label\n{}", (0..200).map(line).collect::<String>())).unwrap();
    let selection = Selection { labels: vec!["label".into()], ..Selection::default() };
    let data = Dataset::read(Table::open(&labelled).unwrap(), &selection).unwrap();
    let tiny = encoder(&golden("sentence-mean"));
    let caution = CautionOptions { levels: Some('/'), ..CautionOptions::default() };
    let trained = Trainer::new(&tiny).caution(caution).train(&data, &mut |_| {}).unwrap();
    let file = place.path().join("paths.safetensors");
    trained.head.save(&file).unwrap();
    let table = table(place.path(), 40, false);
    let sql = format!("SELECT id, frostbert_predict(text) AS p FROM '{}' ORDER BY id", table.display());
    let given = rows(&sql, &["--head", &file.display().to_string(), "--model", &model()]);
    let classifier = Classifier::new(tiny, trained.head).unwrap();
    let mut inner = 0;
    for (id, row) in given.iter().enumerate() {
        let answer = &classifier.predict([text(id)]).unwrap()[0].answer;
        let label = row["p"].get("label").and_then(|label| label.as_str());
        assert_eq!(label, answer.label(classifier.head().names()), "{row}");
        assert_eq!(row["p"]["probability"].as_f64(), answer.probability());
        inner += usize::from(label.is_some_and(|label| !label.contains('/')));
    }
    assert!(inner > 0, "nobody can know whether a row is even");
}

#[test]
fn a_cross_encoder_ranks_and_tokens_are_counted() {
    let place = tempfile::tempdir().unwrap();
    let table = table(place.path(), 40, true);
    let folder = golden("bert-sequence-single-label");
    let model = format!("judge={}", folder.display());
    let judge = encoder(&folder);
    let sql = format!(
        "SELECT id, frostbert_rank('the old fox', text) AS r, frostbert_tokens(text) AS n FROM '{}' ORDER BY id",
        table.display()
    );
    let given = rows(&sql, &["--model", &model]);
    assert_eq!(given.len(), 40);
    for row in given {
        let id = row["id"].as_u64().unwrap() as usize;
        if id % 7 == 3 {
            assert!(row["r"].is_null() && row["n"].is_null(), "{row}");
            continue;
        }
        let text = text(id);
        let ranked = judge.rerank("the old fox", &[&text], &EmbedOptions::default()).unwrap()[0];
        assert_eq!(row["r"]["logit"].as_f64().unwrap().to_bits(), ranked.logit.to_bits());
        let embedded = judge.embed([text.as_str()], &EmbedOptions::default()).unwrap();
        assert_eq!(row["n"], embedded.tokens[0]);
    }
    let said = failed(
        program([
            "run",
            "--device",
            "cpu",
            "--model",
            &support::model(),
            "--sql",
            "SELECT frostbert_rank('a', 'b')",
        ])
        .output()
        .unwrap(),
    );
    assert!(said.contains("no sequence-classification head"), "{said}");
}

#[test]
fn errors_say_what_is_wrong_with_which_text() {
    let place = tempfile::tempdir().unwrap();
    let csv = place.path().join("texts.csv");
    let long = "the fox ".repeat(200);
    std::fs::write(&csv, format!("id,text\n1,the river\n2,{long}\n3,a cold house\n")).unwrap();
    let out = place.path().join("out");
    let sql = format!(
        "COPY (SELECT id, frostbert_embed(text) AS v FROM '{}') TO '{}/' STORED AS PARQUET",
        csv.display(),
        out.display()
    );
    let run = |more: &[&str], sql: &str| {
        failed(program(["run", "--device", "cpu", "--sql", sql]).args(more).output().unwrap())
    };
    let model = model();

    let said = run(&["--model", &model, "--truncate", "error"], &sql);
    assert!(said.contains("the text \"the fox the fox") && !said.contains("cold house"), "{said}");
    done(
        program(["run", "--device", "cpu", "--model", &model, "--overwrite", "--sql", &sql])
            .output()
            .unwrap(),
    );
    let said = run(&["--model", &model], &sql);
    assert!(said.contains("there already"), "{said}");
    std::fs::remove_dir_all(&out).unwrap();

    let broken = place.path().join("broken");
    broken_copy(&golden("sentence-mean"), &broken, "river");
    let said = run(&["--model", &broken.display().to_string()], &sql);
    assert!(said.contains("the text \"the river\""), "{said}");

    let said = run(&[], &sql);
    assert!(said.contains("no model") && said.contains("--model"), "{said}");
    let said = run(&["--model", "x=/no/such/folder"], &sql);
    assert!(said.contains("/no/such/folder"), "{said}");
    let said = run(&["--model", &model], "SELECT frostbert_embed('a', 'other')");
    assert!(said.contains("\"other\"") && said.contains("tiny"), "{said}");
    let said = run(&["--model", &model], "SELECT frostbert_embed(17)");
    assert!(said.contains("CAST"), "{said}");
    let said = run(&["--model", &model], "SELECT frostbert_embed('a', 'tiny', '{}')");
    assert!(said.contains("leave it away"), "{said}");
    let said =
        run(&["--model", &model], &sql.replace("STORED AS PARQUET", "STORED AS PARQUET PARTITIONED BY (id)"));
    assert!(said.contains("PARTITIONED BY is not supported"), "{said}");
    let said = run(&["--model", &model, "--model", &model], "SELECT 1");
    assert!(said.contains("two are called tiny"), "{said}");
    assert_eq!(entries(place.path()), ["broken", "texts.csv"]);
}

#[test]
fn tables_are_csv_and_json_too_and_texts_may_have_lines() {
    let place = tempfile::tempdir().unwrap();
    let csv = place.path().join("texts.csv");
    let mut lines = String::from("id,text\n");
    (0..300).for_each(|row| lines += &format!("{row},\"the fox\n{}\"\n", text(row)));
    std::fs::write(&csv, lines).unwrap();
    let out = place.path().join("out.json");
    // With its columns named: the engine's guess at them does not see that a text has lines.
    let sql = format!(
        "CREATE EXTERNAL TABLE texts (id BIGINT, text VARCHAR) STORED AS CSV LOCATION '{}'; \
         COPY (SELECT id, text, frostbert_embed(text) AS v FROM texts ORDER BY id) TO '{}'",
        csv.display(),
        out.display()
    );
    let model = model();
    done(program(["run", "--device", "cpu", "--model", &model, "--sql", &sql]).output().unwrap());
    let written = std::fs::read_to_string(&out).unwrap();
    let rows: Vec<serde_json::Value> =
        written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let texts: Vec<String> = (0..300).map(|row| format!("the fox\n{}", text(row))).collect();
    let expected = encoder(&golden("sentence-mean")).embed(&texts, &EmbedOptions::default()).unwrap();
    assert_eq!(rows.len(), 300);
    for (row, (text, vector)) in rows.iter().zip(texts.iter().zip(expected.rows())) {
        assert_eq!(row["text"], text.as_str());
        assert_eq!(
            bits(&row["v"]).unwrap(),
            vector.iter().map(|value| value.to_bits()).collect::<Vec<u32>>()
        );
    }
    // And in again.
    let sql = format!("SELECT count(*) AS n FROM '{}' WHERE frostbert_tokens(text) > 3", out.display());
    assert_eq!(support::rows(&sql, &["--model", &model])[0]["n"], 300);
}

#[test]
fn a_full_disk_leaves_nothing_that_looks_like_a_result() {
    let place = tempfile::tempdir().unwrap();
    let table = parquet(place.path(), 2000, 200, false);
    let out = place.path().join("out");
    let sql = format!(
        "COPY (SELECT id, frostbert_embed(text) AS v FROM '{}') TO '{}/' STORED AS PARQUET",
        table.display(),
        out.display()
    );
    // A file may have so many blocks of 512 bytes; what goes beyond fails as it does where no space is left.
    let limited = "trap '' XFSZ; ulimit -f 40; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", limited, "sh", env!("CARGO_BIN_EXE_frostbert-cluster")]);
    command.args(["run", "--device", "cpu", "--model", &model(), "--partitions", "2", "--sql", &sql]);
    let said = failed(command.output().unwrap());
    assert!(said.contains("large"), "{said}");
    assert_eq!(entries(place.path()), ["texts.csv", "texts.parquet"]);
}
