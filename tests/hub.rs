//! Downloads from a hub, against a small HTTP server that answers as the real one does, and as it should not.

#![cfg(feature = "hub")]
// Clippy's exemption for tests does not reach the helpers beside them.
#![allow(clippy::unwrap_used)]

use frostbert::checkpoint::{Checkpoint, Hub, HubModel, ModelSource};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A repository on the server, and how the server misbehaves.
#[derive(Default)]
struct Behaviour {
    files: BTreeMap<String, Vec<u8>>,
    /// Every answer has this status.
    status: Option<u16>,
    /// The body of this file breaks off after so many bytes, so many times.
    cut: Option<(String, usize, usize)>,
    /// This file's body is another than its hash says.
    swapped: Option<(String, Vec<u8>)>,
    /// Requests seen: target, range, authorization.
    log: Vec<(String, Option<String>, Option<String>)>,
}

struct Server {
    address: String,
    behaviour: Arc<Mutex<Behaviour>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    /// Serves `org/model` with the files of a golden.
    fn start(golden: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens").join(golden);
        let mut files = BTreeMap::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
                    files.insert(name, std::fs::read(&path).unwrap());
                }
            }
        }
        // What repositories have beside, and nobody needs here.
        files.insert("README.md".into(), vec![b'x'; 1000]);
        files.insert("pytorch_model.bin".into(), vec![0; 1000]);
        files.insert("onnx/model.onnx".into(), vec![0; 1000]);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let behaviour = Arc::new(Mutex::new(Behaviour { files, ..Behaviour::default() }));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (behaviour, stop) = (behaviour.clone(), stop.clone());
            move || {
                for stream in listener.incoming().flatten() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    // A client that hangs up early is part of the tests.
                    let _ = answer(stream, &behaviour);
                }
            }
        });
        Server { address, behaviour, stop, thread: Some(thread) }
    }

    fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock().unwrap());
    }

    /// Targets asked for since the last call.
    fn requests(&self) -> Vec<(String, Option<String>, Option<String>)> {
        std::mem::take(&mut self.behaviour.lock().unwrap().log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address.trim_start_matches("http://"));
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

fn answer(mut stream: TcpStream, behaviour: &Mutex<Behaviour>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut range, mut authorization) = (None, None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "range" => range = Some(value.to_owned()),
            "authorization" => authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut behaviour = behaviour.lock().unwrap();
    behaviour.log.push((target.clone(), range.clone(), authorization));
    let mut send = |status: u16, headers: &str, body: &[u8], len: usize| -> std::io::Result<()> {
        write!(stream, "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {len}\r\n{headers}\r\n")?;
        stream.write_all(body)
    };
    if let Some(status) = behaviour.status {
        return send(status, "", b"no", 2);
    }
    if target.starts_with("/api/models/org/model/revision/") {
        let siblings: Vec<_> =
            behaviour.files.keys().map(|name| serde_json::json!({"rfilename": name})).collect();
        let body = serde_json::json!({"sha": COMMIT, "siblings": siblings}).to_string();
        return send(200, "Content-Type: application/json\r\n", body.as_bytes(), body.len());
    }
    let resolved = target.strip_prefix(&format!("/org/model/resolve/{COMMIT}/"));
    let name = resolved.or_else(|| target.strip_prefix("/lfs/")).unwrap_or_default().to_owned();
    let Some(mut bytes) = behaviour.files.get(&name).cloned() else { return send(404, "", b"no", 2) };
    let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    // Large files redirect to a store, and their hash is their SHA-256.
    if name.ends_with(".safetensors") && resolved.is_some() {
        let headers =
            format!("X-Repo-Commit: {COMMIT}\r\nX-Linked-ETag: \"{hash}\"\r\nLocation: /lfs/{name}\r\n");
        return send(302, &headers, b"", 0);
    }
    if let Some((_, body)) = behaviour.swapped.clone().filter(|(swapped, _)| *swapped == name) {
        bytes = body;
    }
    let from: usize =
        range.as_deref().map_or("0", |range| &range[6..]).split('-').next().unwrap().parse().unwrap();
    let to = match range.as_deref().map(|range| range.ends_with("=0-0")) {
        Some(true) => 1.min(bytes.len()),
        _ => bytes.len(),
    };
    let body = &bytes[from.min(to)..to];
    let etag = if name.ends_with(".safetensors") { hash } else { hash[..40].to_owned() };
    let headers = format!(
        "X-Repo-Commit: {COMMIT}\r\nETag: \"{etag}\"\r\nContent-Range: bytes {from}-{}/{}\r\n",
        to.max(1) - 1,
        bytes.len()
    );
    let mut sent = body.len();
    if let Some((cut, after, times)) = &mut behaviour.cut
        && *cut == name
        && *times > 0
        && to > 1
    {
        *times -= 1;
        sent = sent.min(*after);
    }
    send(206, &headers, &body[..sent], body.len())
}

fn model(revision: &str) -> HubModel {
    HubModel { id: "org/model".into(), revision: revision.into() }
}

struct Cache(tempfile::TempDir);

impl Cache {
    fn new() -> Self {
        Cache(tempfile::tempdir().unwrap())
    }

    fn hub(&self, server: &Server) -> Hub {
        Hub::from_env()
            .unwrap()
            .cache(self.0.path().join("hub"))
            .endpoint(&server.address)
            .token(None)
            .retries(0)
    }

    fn repository(&self) -> PathBuf {
        self.0.path().join("hub/models--org--model")
    }

    fn has_reference(&self) -> bool {
        self.repository().join("refs/main").exists()
    }
}

#[test]
fn a_model_is_downloaded_once_and_only_what_is_needed() {
    let server = Server::start("sentence-cls");
    let cache = Cache::new();
    let hub = cache.hub(&server).token(Some("secret".into()));
    let mut steps = vec![];
    let folder = hub
        .fetch(&model("main"), &mut |step| {
            assert!(step.done_bytes <= step.total_bytes && step.index < step.files);
            steps.push((step.file.to_owned(), step.done_bytes == step.total_bytes));
        })
        .unwrap();
    assert_eq!(folder, cache.repository().join("snapshots").join(COMMIT));
    let checkpoint = Checkpoint::open(&folder).unwrap();
    assert_eq!(checkpoint.embedding_request().dense.len(), 1);
    checkpoint.weights().tensor("2_Dense/linear.weight", &[20, 48]).unwrap();
    for name in ["README.md", "pytorch_model.bin", "onnx", "cases.json"] {
        assert!(!folder.join(name).exists(), "{name} was not needed");
    }
    // Every file was reported up to its end.
    for name in ["config.json", "tokenizer.json", "model.safetensors", "2_Dense/model.safetensors"] {
        assert!(steps.contains(&(name.to_owned(), true)), "{name}");
    }
    let requests = server.requests();
    assert!(requests.iter().all(|(_, _, authorization)| authorization.as_deref() == Some("Bearer secret")));
    let refs: Vec<_> = std::fs::read_dir(cache.repository().join("refs")).unwrap().flatten().collect();
    assert_eq!(refs.len(), 1);
    assert_eq!(std::fs::read_to_string(refs[0].path()).unwrap(), COMMIT);

    // From now on without any network: by branch, by commit, through ModelSource, offline.
    drop(server);
    for revision in ["main", COMMIT] {
        assert_eq!(hub.fetch(&model(revision), &mut |_| panic!("nothing to download")).unwrap(), folder);
    }
    let source: ModelSource = "org/model".parse().unwrap();
    assert_eq!(source.resolve(&hub.clone().offline(true), &mut |_| {}).unwrap(), folder);
    assert!(hub.refresh(&model("main"), &mut |_| {}).unwrap_err().is_io());
}

#[test]
fn shards_are_downloaded_by_their_index() {
    let server = Server::start("bert-sharded");
    let cache = Cache::new();
    let folder = cache.hub(&server).fetch(&model("main"), &mut |_| {}).unwrap();
    assert_eq!(Checkpoint::open(&folder).unwrap().weights().parameters(), 81_324);

    // A snapshot that lost a shard is not complete: the shard alone is asked for again.
    std::fs::remove_file(folder.join("model-00002-of-00006.safetensors")).unwrap();
    let offline = cache.hub(&server).offline(true).fetch(&model("main"), &mut |_| {}).unwrap_err();
    assert!(offline.to_string().contains("model-00002-of-00006.safetensors"), "{offline}");
    server.requests();
    cache.hub(&server).fetch(&model("main"), &mut |_| {}).unwrap();
    let asked: Vec<String> = server.requests().into_iter().map(|(target, ..)| target).collect();
    assert!(asked.iter().all(|target| target.contains("00002") || target.starts_with("/api")), "{asked:?}");
    Checkpoint::open(&folder).unwrap();
}

#[test]
fn offline_says_what_is_missing_and_asks_nobody() {
    let server = Server::start("bert-act-relu");
    let cache = Cache::new();
    let error = cache.hub(&server).offline(true).fetch(&model("main"), &mut |_| {}).unwrap_err();
    assert!(error.is_model_file());
    assert!(error.to_string().contains("org/model") && error.to_string().contains("offline"), "{error}");
    assert!(server.requests().is_empty());
}

#[test]
fn refusals_are_explained() {
    for (status, words) in [
        (404, ["no such model", "HF_TOKEN"]),
        (401, ["refuses access", "HF_TOKEN"]),
        (429, ["pause", "429"]),
        (500, ["problem of its own", "500"]),
    ] {
        let server = Server::start("bert-act-relu");
        server.change(|behaviour| behaviour.status = Some(status));
        let cache = Cache::new();
        let error = cache.hub(&server).fetch(&model("main"), &mut |_| {}).unwrap_err();
        for word in words.iter().chain(&["org/model"]) {
            assert!(error.to_string().contains(word), "{word}: {error}");
        }
        assert!(!cache.has_reference());
    }
    // Nobody listens.
    let server = Server::start("bert-act-relu");
    let cache = Cache::new();
    let hub = cache.hub(&server);
    drop(server);
    let error = hub.fetch(&model("main"), &mut |_| {}).unwrap_err();
    assert!(error.is_io());
    assert!(error.to_string().contains("check the network"), "{error}");
}

#[test]
fn a_repository_without_safetensors_is_refused_before_anything_large_comes() {
    let server = Server::start("bert-act-relu");
    server.change(|behaviour| drop(behaviour.files.remove("model.safetensors")));
    let error = Cache::new().hub(&server).fetch(&model("main"), &mut |_| {}).unwrap_err();
    assert!(error.is_model_file());
    for word in ["model.safetensors", "pytorch_model.bin", "refs/pr/1"] {
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
    assert!(server.requests().iter().all(|(target, ..)| !target.contains("pytorch_model")));
}

#[test]
fn a_broken_download_leaves_nothing_half_and_goes_on_from_there() {
    let server = Server::start("bert-act-relu");
    let cut = |times| {
        server.change(|behaviour| behaviour.cut = Some(("model.safetensors".into(), 5_000, times)));
    };
    let cache = Cache::new();
    cut(1);
    let error = cache.hub(&server).fetch(&model("main"), &mut |_| {}).unwrap_err();
    assert!(error.is_io(), "{error:?}");
    let snapshot = cache.repository().join("snapshots").join(COMMIT);
    assert!(!snapshot.join("model.safetensors").exists());
    assert!(!cache.has_reference());
    assert!(cache.hub(&server).offline(true).fetch(&model("main"), &mut |_| {}).is_err());

    server.requests();
    let folder = cache.hub(&server).fetch(&model("main"), &mut |_| {}).unwrap();
    let ranges: Vec<String> = server.requests().into_iter().filter_map(|(_, range, _)| range).collect();
    assert!(ranges.iter().any(|range| range == "bytes=5000-"), "{ranges:?}");
    Checkpoint::open(&folder).unwrap().fingerprint().unwrap();

    // With tries left it goes on by itself.
    let cache = Cache::new();
    cut(2);
    let folder = cache.hub(&server).retries(2).fetch(&model("main"), &mut |_| {}).unwrap();
    Checkpoint::open(&folder).unwrap().fingerprint().unwrap();
}

#[test]
fn wrong_content_is_thrown_away() {
    let server = Server::start("bert-act-relu");
    let cache = Cache::new();
    let original = server.behaviour.lock().unwrap().files["model.safetensors"].clone();
    let mut flipped = original.clone();
    flipped[200_000] ^= 1;
    for (name, body, words) in [
        ("model.safetensors", flipped, ["SHA-256", "try again"]),
        ("model.safetensors", original[..1000].to_vec(), ["SHA-256", "try again"]),
        ("config.json", b"<html>Sign in to the network</html>".to_vec(), ["expected JSON", "config.json"]),
    ] {
        // config.json is checked when it comes: it must not be there from the turn before.
        let _ = std::fs::remove_dir_all(cache.repository());
        server.change(|behaviour| behaviour.swapped = Some((name.to_owned(), body)));
        let error = cache.hub(&server).fetch(&model("main"), &mut |_| {}).unwrap_err();
        assert!(error.is_model_file(), "{error:?}");
        for word in words {
            assert!(error.to_string().contains(word), "{word}: {error}");
        }
        assert!(!cache.has_reference());
        assert!(!cache.repository().join("snapshots").join(COMMIT).join(name).exists());
        // Honest again: the next try succeeds.
        server.change(|behaviour| behaviour.swapped = None);
        let folder = cache.hub(&server).fetch(&model("main"), &mut |_| {}).unwrap();
        assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), original);
    }
}

#[test]
fn a_page_instead_of_a_listing_is_an_error() {
    let server = Server::start("bert-act-relu");
    server.change(|behaviour| behaviour.status = Some(200));
    let error = Cache::new().hub(&server).fetch(&model("main"), &mut |_| {}).unwrap_err();
    assert!(error.is_io() && error.to_string().contains("org/model"), "{error:?}");
}
