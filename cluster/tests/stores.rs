//! An object store in the place of files: moto's S3, on loopback, as `cargo xtask test-cluster` installs it.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use support::*;

/// The Python that has moto.
const MOTO: &str = "FROSTBERT_MOTO_PYTHON";

struct Store {
    port: u16,
    _server: Process,
}

impl Store {
    fn start(place: &Path) -> Option<Self> {
        let Some(python) = std::env::var_os(MOTO) else {
            not_tested("the cluster with an object store: cargo xtask test-cluster installs moto for it");
            return None;
        };
        let port = free_port();
        let mut server = Command::new(python);
        server.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        let server = Process::start(&mut server, place.join("moto.log"));
        until("the object store to listen", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        let store = Store { port, _server: server };
        store.ask("PUT", "/texts");
        store.ask("PUT", "/others");
        Some(store)
    }

    /// A plain request; the body of the answer.
    fn ask(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.port
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
        answer
    }

    /// Names of all objects, in order.
    fn objects(&self) -> Vec<String> {
        let answer = self.ask("GET", "/texts?list-type=2&max-keys=1000");
        let keys = answer.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
        keys.map(|(key, _)| key.to_owned()).collect()
    }

    /// What the tools of this store would find in their environment.
    fn environment(&self) -> Vec<(String, String)> {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        [
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ENDPOINT_URL", &endpoint),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    fn run(&self, sql: &str, more: &[&str]) -> Command {
        let mut run = program(["run", "--device", "cpu", "--model", &model(), "--sql", sql]);
        run.args(more).envs(self.environment());
        run
    }
}

fn embed(from: &str, to: &str) -> String {
    format!("COPY (SELECT id, frostbert_embed(text) AS v FROM '{from}') TO '{to}' STORED AS PARQUET")
}

fn vectors_of(output: std::process::Output) -> Vec<(u64, Option<Vec<u32>>)> {
    let rows = done(output);
    let rows = rows.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    rows.map(|row| (row["id"].as_u64().unwrap(), bits(&row["v"]))).collect()
}

#[test]
fn results_in_an_object_store_are_whole_or_have_no_sign_of_it() {
    let place = tempfile::tempdir().unwrap();
    let Some(store) = Store::start(place.path()) else { return };
    let local = parquet(place.path(), 600, 50, true);
    let expected = expected(600, true);
    // From here to there, from there to there, and back.
    let up = format!(
        "COPY (SELECT * FROM '{}') TO 's3://texts/in/' STORED AS PARQUET OPTIONS (max_row_group_size 50)",
        local.display()
    );
    done(store.run(&up, &[]).output().unwrap());
    let sql = embed("s3://texts/in/", "s3://texts/deep/out/");
    done(store.run(&sql, &["--partitions", "3"]).output().unwrap());
    let objects = store.objects();
    let parts: Vec<&String> = objects.iter().filter(|name| name.starts_with("deep/out/part-")).collect();
    assert!(parts.len() > 1 && objects.contains(&"deep/out/_SUCCESS".to_owned()), "{objects:?}");
    assert!(!objects.iter().any(|name| name.contains("unfinished")), "{objects:?}");
    let back = "SELECT id, v FROM 's3://texts/deep/out/' ORDER BY id";
    assert!(vectors_of(store.run(back, &["--json"]).output().unwrap()) == expected);
    let some = "SELECT count(*) AS n FROM 's3://texts/deep/out/part-0000[0].parquet'";
    let some: serde_json::Value =
        serde_json::from_str(&done(store.run(some, &["--json"]).output().unwrap())).unwrap();
    assert!((1..600).contains(&some["n"].as_u64().unwrap()), "{some}");
    // One object.
    let single = embed("s3://texts/in/", "s3://texts/all.parquet");
    done(store.run(&single, &[]).output().unwrap());
    let back = "SELECT id, v FROM 's3://texts/all.parquet' ORDER BY id";
    assert!(vectors_of(store.run(back, &["--json"]).output().unwrap()) == expected);

    // What is there stays, unless asked; then nothing of the old is left.
    let before = store.objects();
    for sql in [&sql, &single] {
        assert!(failed(store.run(sql, &[]).output().unwrap()).contains("--overwrite"));
    }
    assert_eq!(store.objects(), before);
    done(store.run(&sql, &["--partitions", "1", "--overwrite"]).output().unwrap());
    done(store.run(&single, &["--overwrite"]).output().unwrap());
    let after = store.objects();
    let parts: Vec<&String> = after.iter().filter(|name| name.starts_with("deep/out/")).collect();
    assert_eq!(parts, ["deep/out/_SUCCESS", "deep/out/part-00000.parquet"], "{after:?}");

    // A query that fails leaves what was there, and nothing of its own.
    let long = place.path().join("long.csv");
    std::fs::write(&long, format!("id,text\n1,the river\n2,{}\n", "the fox ".repeat(200))).unwrap();
    for to in ["s3://texts/never/", "s3://texts/deep/out/"] {
        let sql = embed(&long.display().to_string(), to);
        let said = failed(store.run(&sql, &["--truncate", "error", "--overwrite"]).output().unwrap());
        assert!(said.contains("the fox the fox"), "{said}");
    }
    assert_eq!(store.objects(), after);
    // Names that URLs write in another way.
    let counted = |from: &str| -> u64 {
        let sql = format!("SELECT count(*) AS n FROM {from}");
        let said = done(store.run(&sql, &["--json"]).output().unwrap());
        serde_json::from_str::<serde_json::Value>(&said).unwrap()["n"].as_u64().unwrap()
    };
    done(store.run(&embed("s3://texts/in/", "s3://texts/größe~1 %25/"), &[]).output().unwrap());
    assert_eq!(counted("'s3://texts/größe~1 %25/'"), 600);
    assert!(!store.objects().iter().any(|name| name.contains("unfinished")), "{:?}", store.objects());
    // A folder of the same name in another bucket is another one.
    let few = format!(
        "COPY (SELECT * FROM '{}' WHERE id < 7) TO 's3://others/in/' STORED AS PARQUET",
        local.display()
    );
    done(store.run(&few, &[]).output().unwrap());
    let both = "(SELECT id FROM 's3://texts/in/' UNION ALL SELECT id FROM 's3://others/in/')";
    assert_eq!(counted(both), 607);
    // Places that there are not.
    let said = failed(store.run("SELECT * FROM 's3://no-such-bucket/in/'", &[]).output().unwrap());
    assert!(said.contains("no-such-bucket") || said.contains("NoSuchBucket"), "{said}");
    let said = failed(store.run(&embed("s3://texts/in/", "s3://texts/"), &[]).output().unwrap());
    assert!(said.contains("whole bucket"), "{said}");
    let said = failed(store.run(&embed("s3://texts/in/", "ftp://texts/out/"), &[]).output().unwrap());
    assert!(said.contains("s3://bucket"), "{said}");
}

#[test]
fn a_cluster_reads_and_writes_an_object_store() {
    let place = tempfile::tempdir().unwrap();
    let Some(store) = Store::start(place.path()) else { return };
    let local = parquet(place.path(), 400, 40, false);
    let up = format!(
        "COPY (SELECT * FROM '{}') TO 's3://texts/in.parquet' OPTIONS (max_row_group_size 40)",
        local.display()
    );
    done(store.run(&up, &[]).output().unwrap());
    let model = model();
    let words: &[&str] = &["--model", &model];
    let cluster = Cluster::start_with(place.path(), &[words, words], store.environment());
    let sql = embed("s3://texts/in.parquet", "s3://texts/out/");
    let run = cluster.run(&sql, ["--model", &model]).output().unwrap();
    assert!(run.status.success(), "{}\n{}", String::from_utf8_lossy(&run.stderr), cluster.said());
    let objects = store.objects();
    assert!(objects.iter().filter(|name| name.starts_with("out/part-")).count() > 5, "{objects:?}");
    assert!(objects.contains(&"out/_SUCCESS".to_owned()), "{objects:?}");
    let back = "SELECT id, v FROM 's3://texts/out/' ORDER BY id";
    assert!(vectors_of(store.run(back, &["--json"]).output().unwrap()) == expected(400, false));
    let sql = "SELECT id, v FROM 's3://texts/out/part-*.parquet' ORDER BY id";
    assert!(
        vectors_of(cluster.run(sql, ["--model", &model, "--json"]).output().unwrap()) == expected(400, false)
    );
}
