//! Real processes on loopback: a scheduler and executors that are killed, stopped, and given the wrong files.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use support::*;

/// Rows that keep two executors at work for some seconds.
const ROWS: usize = 24_000;

fn embed(table: &Path, out: &Path) -> String {
    format!(
        "COPY (SELECT id, frostbert_embed(text) AS v FROM '{}') TO '{}/' STORED AS PARQUET",
        table.display(),
        out.display()
    )
}

#[test]
fn a_cluster_gives_the_same_bits_and_refuses_other_files() {
    let place = tempfile::tempdir().unwrap();
    let table = parquet(place.path(), 1000, 50, true);
    let model = model();
    let mut cluster = Cluster::start(place.path(), &[&["--model", &model], &["--model", &model]]);
    let out = place.path().join("out");
    let run = cluster.run(&embed(&table, &out), ["--model", &model]).output().unwrap();
    assert!(run.status.success(), "{}\n{}", String::from_utf8_lossy(&run.stderr), cluster.said());
    assert!(vectors(&out) == expected(1000, true));
    assert!(entries(&out).len() > 10, "{:?}: the table was not divided", entries(&out));
    // Rows come back to the client, too, and a function may stand in a filter.
    let sql = format!("SELECT count(*) AS n FROM '{}' WHERE frostbert_tokens(text) > 10", table.display());
    let n = done(cluster.run(&sql, ["--model", &model, "--json"]).output().unwrap());
    let here = rows(&sql, &["--model", &model]);
    assert_eq!(n.trim(), here[0].to_string());

    // A pattern stands for the files that it matches, there as here.
    let folder = place.path().join("tables");
    std::fs::create_dir(&folder).unwrap();
    for (name, ids) in [("a-1", 0..10), ("a-2", 10..30), ("b-1", 30..70)] {
        let rows: String = ids.map(|id| format!("{id},{}\n", text(id))).collect();
        std::fs::write(folder.join(format!("{name}.csv")), format!("id,text\n{rows}")).unwrap();
    }
    let count = |from: &str| format!("SELECT count(frostbert_tokens(text)) AS n {from}");
    let pattern = format!("{}/a-*.csv", folder.display());
    for (sql, expected) in [
        (count(&format!("FROM '{pattern}'")), 30),
        (count(&format!("FROM '{}/'", folder.display())), 70),
        (count(&format!("FROM '{}/' WHERE id IN (SELECT id FROM '{pattern}')", folder.display())), 30),
        (
            format!(
                "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{pattern}' OPTIONS ('has_header' 'true'); "
            ) + &count("FROM t"),
            30,
        ),
    ] {
        let said = done(cluster.run(&sql, ["--model", &model, "--json"]).output().unwrap());
        assert_eq!(said.trim(), format!("{{\"n\":{expected}}}"), "{sql}");
        assert_eq!(rows(&sql, &["--model", &model])[0]["n"], expected, "{sql}");
    }

    // The words of a row that cannot be embedded come back.
    let long = place.path().join("long.csv");
    std::fs::write(&long, format!("id,text\n1,the river\n2,{}\n", "the fox ".repeat(200))).unwrap();
    let never = place.path().join("never");
    let said = failed(
        cluster.run(&embed(&long, &never), ["--model", &model, "--truncate", "error"]).output().unwrap(),
    );
    assert!(said.contains("the fox the fox"), "{said}");
    // A query of a model that executors do not have.
    let unknown = format!("stranger={}", golden("sentence-mean").display());
    let said = failed(cluster.run(&embed(&table, &never), ["--model", &unknown]).output().unwrap());
    assert!(said.contains("stranger"), "{said}");
    // A model of the same name and other weights.
    let other = place.path().join("other");
    other_copy(&golden("sentence-mean"), &other);
    let other = format!("tiny={}", other.display());
    let said = failed(cluster.run(&embed(&table, &never), ["--model", &other]).output().unwrap());
    let prints: Vec<&str> =
        said.split(|c: char| !c.is_ascii_hexdigit()).filter(|word| word.len() == 64).collect();
    assert!(
        said.contains("another than the query's") && prints.len() >= 2 && prints[0] != prints[1],
        "{said}"
    );
    assert!(!never.exists());
    // An executor without its model does not start.
    cluster.add(&["--model", "tiny=/no/such/folder"]);
    let lost = cluster.executors.pop().unwrap();
    let (well, said) = lost.wait();
    assert!(!well && said.contains("/no/such/folder"), "{said}");
}

#[test]
fn a_job_survives_an_executor_that_is_killed_and_one_that_stands_still() {
    let place = tempfile::tempdir().unwrap();
    let table = parquet(place.path(), ROWS, 500, false);
    let model = model();
    let words: &[&str] = &["--model", &model];
    let mut cluster = Cluster::start(place.path(), &[words, words]);
    let expected = expected(ROWS, false);

    let out = place.path().join("killed");
    let job = Process::start(
        &mut cluster.run(&embed(&table, &out), ["--model", &model]),
        place.path().join("killed.log"),
    );
    until("the job to be under way", || parts_written(place.path()) >= 3);
    cluster.executors[0].kill();
    assert!(!out.exists(), "the job had ended before the executor was killed");
    let (well, said) = job.wait();
    assert!(well, "{said}\n{}", cluster.said());
    assert!(vectors(&out) == expected);

    // A new one takes the place of the killed one. It stands still in the middle, is taken for dead, and wakes up when others have
    // done its work.
    cluster.add(words);
    let out = place.path().join("stopped");
    let job = Process::start(
        &mut cluster.run(&embed(&table, &out), ["--model", &model]),
        place.path().join("stopped.log"),
    );
    until("the job to be under way", || parts_written(place.path()) >= 3);
    cluster.executors[2].signal("-STOP");
    let (well, said) = job.wait();
    cluster.executors[2].signal("-CONT");
    assert!(well, "{said}\n{}", cluster.said());
    assert!(vectors(&out) == expected);
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(vectors(&out) == expected, "what the one that woke up still wrote changed the result");
}

#[test]
fn a_query_that_is_interrupted_stops_on_the_cluster_and_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let table = parquet(place.path(), ROWS, 500, false);
    let model = model();
    let words: &[&str] = &["--model", &model];
    let cluster = Cluster::start(place.path(), &[words, words]);
    let out = place.path().join("out");
    let job = Process::start(
        &mut cluster.run(&embed(&table, &out), ["--model", &model]),
        place.path().join("job.log"),
    );
    until("the job to be under way", || parts_written(place.path()) >= 2);
    job.signal("-INT");
    let (well, said) = job.wait();
    assert!(!well && said.contains("stopped on request"), "{said}");
    assert!(cluster.scheduler.said().contains("Job cancelled"), "{said}\n{}", cluster.said());
    // A job that went on would write its next parts, in a folder made anew.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let left: Vec<String> = entries(place.path())
        .into_iter()
        .filter(|name| name.contains("unfinished") || name == "out")
        .collect();
    assert!(left.is_empty(), "{left:?}\n{}", cluster.said());
    // Its executors are free for the next one.
    let small = tempfile::tempdir().unwrap();
    let table = parquet(small.path(), 600, 50, false);
    let run = cluster.run(&embed(&table, &out), ["--model", &model]).output().unwrap();
    assert!(run.status.success(), "{}\n{}", String::from_utf8_lossy(&run.stderr), cluster.said());
    assert!(vectors(&out) == expected(600, false));
}

#[test]
fn a_scheduler_that_is_killed_ends_the_job_and_executors_find_the_next_one() {
    let place = tempfile::tempdir().unwrap();
    let table = parquet(place.path(), ROWS, 500, false);
    let model = model();
    let words: &[&str] = &["--model", &model];
    let mut cluster = Cluster::start(place.path(), &[words, words]);
    let out = place.path().join("out");
    let job = Process::start(
        &mut cluster.run(&embed(&table, &out), ["--model", &model]),
        place.path().join("job.log"),
    );
    until("the job to be under way", || parts_written(place.path()) >= 2);
    cluster.restart_scheduler();
    let (well, said) = job.wait();
    assert!(!well, "{said}");
    assert!(!out.exists());
    let other = tempfile::tempdir().unwrap();
    let small = parquet(other.path(), 600, 50, false);
    let run = cluster.run(&embed(&small, &out), ["--model", &model]).output().unwrap();
    assert!(run.status.success(), "{}\n{}", String::from_utf8_lossy(&run.stderr), cluster.said());
    assert!(vectors(&out) == expected(600, false));
}
