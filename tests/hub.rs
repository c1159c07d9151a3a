//! Downloads from a hub, against a small HTTP server that answers as the real one does, and as it should not.

#![cfg(feature = "hub")]
// Clippy's exemption for tests does not reach the helpers beside them.
#![allow(clippy::unwrap_used)]

use frostbert::checkpoint::{Checkpoint, Hub, HubModel, ModelSource};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A request as the server saw it.
#[derive(Clone, Debug)]
struct Request {
    /// Asked of the store that large files lie in, which has a port of its own.
    of_store: bool,
    target: String,
    range: Option<String>,
    authorization: Option<String>,
}

impl Request {
    /// The file asked for, if it is one.
    fn file(&self) -> Option<&str> {
        let hub = self.target.split_once("/resolve/").and_then(|(_, rest)| rest.split_once('/'));
        hub.map(|(_, file)| file).or_else(|| self.target.strip_prefix("/lfs/"))
    }
}

/// Answers a request instead of the server, or leaves it to the server by `false`.
type Hook = Arc<dyn Fn(&Request, &mut TcpStream) -> std::io::Result<bool> + Send + Sync>;

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
    /// The whole file is sent whatever part was asked for.
    knows_no_ranges: bool,
    hook: Option<Hook>,
    log: Vec<Request>,
}

/// A hub and its store of large files, each a port.
struct Server {
    address: String,
    store: String,
    behaviour: Arc<Mutex<Behaviour>>,
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Server {
    /// Serves `org/model` with the files of a golden.
    fn start(golden: &str) -> Self {
        Self::of(&format!("goldens/{golden}"))
    }

    /// Serves `org/model` with the files of a folder of tests/fixtures.
    fn of(folder: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder);
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
        let [hub, store] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let address = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
        let mut server = Server {
            address: address(&hub),
            store: address(&store),
            behaviour: Arc::new(Mutex::new(Behaviour { files, ..Behaviour::default() })),
            stop: Arc::default(),
            threads: vec![],
        };
        for (listener, of_store) in [(hub, false), (store, true)] {
            let (behaviour, stop) = (server.behaviour.clone(), server.stop.clone());
            let store = server.store.clone();
            server.threads.push(std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let (behaviour, store) = (behaviour.clone(), store.clone());
                    // A client that hangs up early is part of the tests.
                    std::thread::spawn(move || drop(answer(stream, of_store, &store, &behaviour)));
                }
            }));
        }
        server
    }

    fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock().unwrap());
    }

    fn hook(&self, hook: impl Fn(&Request, &mut TcpStream) -> std::io::Result<bool> + Send + Sync + 'static) {
        self.change(|behaviour| behaviour.hook = Some(Arc::new(hook)));
    }

    /// Requests since the last call.
    fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.behaviour.lock().unwrap().log)
    }

    fn file(&self, name: &str) -> Vec<u8> {
        self.behaviour.lock().unwrap().files[name].clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for address in [&self.address, &self.store] {
            let _ = TcpStream::connect(address.trim_start_matches("http://"));
        }
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The ETag of a file: large ones have their SHA-256, small ones git's hash.
fn etag(name: &str, bytes: &[u8]) -> String {
    if name.ends_with(".safetensors") {
        return hex(&Sha256::digest(bytes));
    }
    let header = format!("blob {}\0", bytes.len());
    hex(&Sha1::new().chain_update(header).chain_update(bytes).finalize())
}

fn head(stream: &mut TcpStream, status: u16, headers: &str, len: usize) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {len}\r\n{headers}\r\n")
}

fn answer(
    mut stream: TcpStream,
    of_store: bool,
    store: &str,
    behaviour: &Mutex<Behaviour>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut request = Request { of_store, target, range: None, authorization: None };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "range" => request.range = Some(value.to_owned()),
            "authorization" => request.authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let hook = {
        let mut behaviour = behaviour.lock().unwrap();
        behaviour.log.push(request.clone());
        behaviour.hook.clone()
    };
    if let Some(hook) = hook
        && hook(&request, &mut stream)?
    {
        return Ok(());
    }
    let mut behaviour = behaviour.lock().unwrap();
    let mut send = |status: u16, headers: &str, body: &[u8], len: usize| -> std::io::Result<()> {
        head(&mut stream, status, headers, len)?;
        stream.write_all(body)
    };
    if let Some(status) = behaviour.status {
        return send(status, "ETag: \"x\"\r\n", b"no", 2);
    }
    if request.target.starts_with("/api/models/org/model/revision/") {
        let siblings: Vec<_> =
            behaviour.files.keys().map(|name| serde_json::json!({"rfilename": name})).collect();
        let body = serde_json::json!({"sha": COMMIT, "siblings": siblings}).to_string();
        return send(200, "Content-Type: application/json\r\n", body.as_bytes(), body.len());
    }
    let name = request.file().unwrap_or_default().to_owned();
    let Some(mut bytes) = behaviour.files.get(&name).cloned() else { return send(404, "", b"no", 2) };
    let etag = etag(&name, &bytes);
    let commit = format!("X-Repo-Commit: {COMMIT}\r\n");
    if name.ends_with(".safetensors") && !of_store {
        let len = bytes.len();
        let linked = format!("X-Linked-ETag: \"{etag}\"\r\nX-Linked-Size: {len}\r\n");
        return send(302, &format!("{commit}{linked}Location: {store}/lfs/{name}\r\n"), b"", 0);
    }
    if let Some((_, body)) = behaviour.swapped.clone().filter(|(swapped, _)| *swapped == name) {
        bytes = body;
    }
    let range = request.range.filter(|_| !behaviour.knows_no_ranges);
    let from: usize =
        range.as_deref().map_or("0", |range| &range[6..]).split('-').next().unwrap().parse().unwrap();
    if from >= bytes.len() && from > 0 {
        return send(416, &format!("Content-Range: bytes */{}\r\n", bytes.len()), b"", 0);
    }
    let body = &bytes[from..];
    let mut sent = body.len();
    if let Some((cut, after, times)) = &mut behaviour.cut
        && *cut == name
        && *times > 0
    {
        *times -= 1;
        sent = sent.min(*after);
    }
    let range = match range {
        Some(_) => format!("Content-Range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len()),
        None => String::new(),
    };
    let status = if range.is_empty() { 200 } else { 206 };
    send(status, &format!("{commit}ETag: \"{etag}\"\r\n{range}"), &body[..sent], body.len())
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
            .timeout(Duration::from_secs(10))
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
    assert_eq!(checkpoint.embedding_request().modules.len(), 1);
    checkpoint.weights().tensor("2_Dense/linear.weight", &[20, 48]).unwrap();
    for name in ["README.md", "pytorch_model.bin", "onnx", "cases.json"] {
        assert!(!folder.join(name).exists(), "{name} was not needed");
    }
    // Every file was reported up to its end.
    for name in ["config.json", "tokenizer.json", "model.safetensors", "2_Dense/model.safetensors"] {
        assert!(steps.contains(&(name.to_owned(), true)), "{name}");
    }
    // The hub sees the token, its store of large files never.
    for request in server.requests() {
        let token = (!request.of_store).then_some("Bearer secret");
        assert_eq!(request.authorization.as_deref(), token, "{request:?}");
    }
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
    let asked: Vec<String> = server.requests().into_iter().map(|request| request.target).collect();
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
        (403, ["terms accepted", "HF_TOKEN"]),
        // With an ETag these made hf-hub panic.
        (300, ["answered 300", "no answer"]),
        (304, ["answered 304", "no answer"]),
        (204, ["answered 204", "no answer"]),
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
    assert!(server.requests().iter().all(|request| !request.target.contains("pytorch_model")));
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
    let ranges: Vec<String> = server.requests().into_iter().filter_map(|request| request.range).collect();
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
    let mut config = server.file("config.json");
    let at = config.windows(4).position(|window| window == b"relu").unwrap();
    config[at..at + 4].copy_from_slice(b"silu");
    for (name, body, words) in [
        ("model.safetensors", flipped, ["SHA-256", "try again"]),
        ("model.safetensors", original[..1000].to_vec(), ["bytes, it sends one of 1000", "try again"]),
        ("config.json", config, ["git hash", "config.json"]),
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

/// Files and folders under a folder, and what links lead to.
fn tree(folder: &Path) -> Vec<String> {
    let mut found = vec![];
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for path in std::fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_cache_has_the_layout_of_huggingface_hub() {
    let server = Server::start("sentence-cls");
    let cache = Cache::new();
    let folder = cache.hub(&server).fetch(&model("main"), &mut |_| {}).unwrap();
    let weights = server.file("2_Dense/model.safetensors");
    let blob = cache.repository().join("blobs").join(etag(".safetensors", &weights));
    assert_eq!(std::fs::read(&blob).unwrap(), weights);
    let file = folder.join("2_Dense/model.safetensors");
    assert_eq!(std::fs::read(&file).unwrap(), weights);
    #[cfg(unix)]
    {
        let target = std::fs::read_link(&file).unwrap();
        assert_eq!(target, Path::new("../../../blobs").join(blob.file_name().unwrap()));
    }
    let blobs = tree(&cache.repository().join("blobs"));
    assert!(blobs.iter().all(|name| name.len() == 40 || name.len() == 64), "{blobs:?}");
    let locks = tree(&cache.0.path().join("hub/.locks/models--org--model"));
    assert_eq!(locks, blobs.iter().map(|name| format!("{name}.lock")).collect::<Vec<_>>());

    // A snapshot that lost its links: the blobs are still there, and no content comes again.
    std::fs::remove_dir_all(&folder).unwrap();
    cache.hub(&server).fetch(&model("main"), &mut |_| panic!("nothing to download")).unwrap();
    Checkpoint::open(&folder).unwrap();
}

#[test]
fn the_token_is_not_sent_to_another_host_or_port() {
    for place in ["listing", "config.json", "model.safetensors"] {
        let server = Server::start("bert-act-relu");
        let (hub, store) = (server.address.clone(), server.store.clone());
        let other_name = hub.replace("127.0.0.1", "localhost");
        for elsewhere in [store.clone(), other_name] {
            let (hub, leaked) = (hub.clone(), Arc::new(Mutex::new(None)));
            let seen = leaked.clone();
            server.hook(move |request, stream| {
                if request.target == "/elsewhere" {
                    *seen.lock().unwrap() = Some(request.authorization.clone());
                    head(stream, 302, &format!("Location: {hub}/back\r\n"), 0)?;
                    return Ok(true);
                }
                let is_it = match place {
                    "listing" => request.target.starts_with("/api/"),
                    file => request.file() == Some(file) && !request.of_store,
                };
                if is_it {
                    let etag = "a".repeat(64);
                    head(
                        stream,
                        302,
                        &format!(
                            "X-Repo-Commit: {COMMIT}\r\nX-Linked-ETag: \"{etag}\"\r\nX-Linked-Size: 9\r\n\
                             Location: {elsewhere}/elsewhere\r\n"
                        ),
                        0,
                    )?;
                }
                Ok(is_it)
            });
            let cache = Cache::new();
            let hub = cache.hub(&server).token(Some("secret".into()));
            hub.fetch(&model("main"), &mut |_| {}).unwrap_err();
            assert_eq!(leaked.lock().unwrap().take(), Some(None), "{place}");
        }
    }
}

#[test]
fn headers_that_are_no_names_are_refused_and_nothing_is_written_outside_the_cache() {
    let outside = tempfile::tempdir().unwrap();
    let absolute = outside.path().join("x").to_str().unwrap().to_owned();
    let parent = "..".to_owned();
    for (header, value) in [
        ("ETag", "../../x".to_owned()),
        ("ETag", "\"../../../../x\"".to_owned()),
        ("ETag", absolute.clone()),
        ("ETag", "a\\b".to_owned()),
        ("ETag", String::new()),
        ("X-Linked-ETag", format!("\"{absolute}\"")),
        ("X-Repo-Commit", parent),
        ("X-Repo-Commit", "../../x".to_owned()),
        ("X-Repo-Commit", "main".to_owned()),
        ("X-Repo-Commit", "f".repeat(40)),
        ("X-Linked-Size", "-1".to_owned()),
        ("X-Linked-Size", "99999999999999999999999".to_owned()),
    ] {
        let server = Server::start("bert-act-relu");
        let sent = (header, value.clone());
        server.hook(move |request, stream| {
            if request.file() != Some("config.json") {
                return Ok(false);
            }
            let mut headers = BTreeMap::from([
                ("ETag", format!("\"{}\"", "0".repeat(40))),
                ("X-Repo-Commit", COMMIT.to_owned()),
            ]);
            headers.insert(sent.0, sent.1.clone());
            let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            head(stream, 200, &lines, 2)?;
            stream.write_all(b"{}").map(|()| true)
        });
        let cache = Cache::new();
        let error = cache.hub(&server).fetch(&model("main"), &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("config.json"), "{error}");
        assert_eq!(tree(outside.path()), [""; 0], "{header}: {value}");
        let written = tree(cache.0.path());
        assert!(written.iter().all(|path| path.starts_with("hub/")), "{header}: {value}: {written:?}");
        assert!(written.iter().all(|path| !path.contains("snapshots/")), "{header}: {value}: {written:?}");
    }
}

#[test]
fn a_listing_with_names_outside_the_repository_writes_nothing_there() {
    let server = Server::start("bert-sharded");
    server.hook(|request, stream| {
        if request.file() != Some("modules.json") {
            return Ok(false);
        }
        let body = br#"[{"idx":0,"name":"0","path":"../../../../x","type":"sentence_transformers.models.Transformer"}]"#;
        let headers =
            format!("X-Repo-Commit: {COMMIT}\r\nETag: \"{}\"\r\n", etag("modules.json", body));
        head(stream, 200, &headers, body.len())?;
        stream.write_all(body).map(|()| true)
    });
    server.change(|behaviour| {
        behaviour.files.insert("modules.json".into(), vec![]);
        behaviour.files.insert("../../../../x/config.json".into(), b"{}".to_vec());
    });
    let cache = Cache::new();
    cache.hub(&server).fetch(&model("main"), &mut |_| {}).unwrap_err();
    assert!(tree(cache.0.path()).iter().all(|path| path.starts_with("hub/")));
    for (id, revision) in
        [("../x", "main"), ("org/../..", "main"), ("org/model", "../../x"), ("org/model", "/x"), ("", "main")]
    {
        let model = HubModel { id: id.into(), revision: revision.into() };
        assert!(cache.hub(&server).fetch(&model, &mut |_| {}).unwrap_err().is_input(), "{id} {revision}");
    }
}

#[test]
fn a_table_of_token_vectors_is_downloaded_without_what_transformers_need() {
    for name in ["plain", "folded"] {
        let server = Server::of(&format!("static/{name}"));
        // In the way: nothing reads them.
        server.change(|behaviour| {
            behaviour.files.insert("tokenizer_config.json".into(), b"{".to_vec());
            behaviour.files.insert("sentence_bert_config.json".into(), b"{".to_vec());
        });
        let cache = Cache::new();
        let folder = cache.hub(&server).fetch(&model("main"), &mut |_| {}).unwrap();
        let checkpoint = Checkpoint::open(&folder).unwrap();
        assert_eq!(checkpoint.embedding_request().modules.len(), usize::from(name == "plain"));
        assert!(!folder.join("tokenizer_config.json").exists() && !folder.join("config.json").exists());
        drop(server);
        // Complete: found again without any network.
        let found = Hub::from_env().unwrap().cache(cache.0.path().join("hub")).offline(true);
        assert_eq!(found.fetch(&model("main"), &mut |_| {}).unwrap(), folder);
    }
}

#[test]
fn the_tensors_of_every_kind_of_module_are_downloaded() {
    let server = Server::start("sentence-mean");
    let tensors = |named: &[(&str, usize)]| {
        let bytes = [0_u8; 4 * 48];
        let view = |len: usize| {
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![len], &bytes[..4 * len])
                .unwrap()
        };
        safetensors::serialize(named.iter().map(|(name, len)| (*name, view(*len))), None).unwrap()
    };
    let list = serde_json::json!([
        {"path": "", "type": "x.Transformer"},
        {"path": "1_WeightedLayerPooling", "type": "x.WeightedLayerPooling"},
        {"path": "1_Pooling", "type": "x.Pooling"},
        {"path": "2_LayerNorm", "type": "x.LayerNorm"},
    ]);
    let weighted = serde_json::json!({"embedding_dimension": 48, "layer_start": 1, "num_hidden_layers": 3});
    server.change(|behaviour| {
        let mut put = |name: &str, bytes: Vec<u8>| behaviour.files.insert(name.into(), bytes);
        put("modules.json", list.to_string().into_bytes());
        put("1_WeightedLayerPooling/config.json", weighted.to_string().into_bytes());
        put("1_WeightedLayerPooling/model.safetensors", tensors(&[("layer_weights", 3)]));
        put("2_LayerNorm/config.json", br#"{"dimension": 48}"#.to_vec());
        put("2_LayerNorm/model.safetensors", tensors(&[("norm.weight", 48), ("norm.bias", 48)]));
    });
    let cache = Cache::new();
    let folder = cache.hub(&server).fetch(&model("main"), &mut |_| {}).unwrap();
    assert_eq!(Checkpoint::open(&folder).unwrap().embedding_request().modules.len(), 1);
    // One that is lost is got again.
    std::fs::remove_file(folder.join("2_LayerNorm/model.safetensors")).unwrap();
    cache.hub(&server).fetch(&model("main"), &mut |_| {}).unwrap();
    assert!(folder.join("2_LayerNorm/model.safetensors").exists());
}

/// How long something takes.
fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    (run(), started.elapsed())
}

#[test]
fn silence_and_trickles_end() {
    /// Sends so many bytes at once, then pauses, until the other end hangs up or a minute has gone.
    fn trickle(stream: &mut TcpStream, bytes: &[u8], pause: u64) -> std::io::Result<()> {
        for _ in 0..60_000 / pause {
            stream.write_all(bytes)?;
            std::thread::sleep(Duration::from_millis(pause));
        }
        Ok(())
    }
    type Act = fn(&mut TcpStream, &str) -> std::io::Result<()>;
    let acts: [(&str, Act); 6] = [
        ("no answer", |stream, _| trickle(stream, b"", 100)),
        ("a trickle of headers", |stream, _| {
            write!(stream, "HTTP/1.1 200 X\r\n")?;
            trickle(stream, b"X-A: b\r\n", 100)
        }),
        ("half a line", |stream, _| {
            write!(stream, "HTTP/1.1 200 X\r\nX-")?;
            trickle(stream, b"a", 100)
        }),
        ("a body that stalls", |stream, headers| {
            head(stream, 200, headers, 600)?;
            stream.write_all(&[b' '; 100])?;
            trickle(stream, b"", 100)
        }),
        ("a trickle of a body", |stream, headers| {
            head(stream, 200, headers, 600)?;
            trickle(stream, b" ", 100)
        }),
        ("a trickle in chunks", |stream, headers| {
            write!(
                stream,
                "HTTP/1.1 200 X\r\nX-Linked-Size: 600\r\nTransfer-Encoding: chunked\r\n{headers}\r\n"
            )?;
            trickle(stream, b"1\r\n \r\n", 100)
        }),
    ];
    for place in ["listing", "config.json"] {
        for (name, act) in acts {
            let server = Server::start("bert-act-relu");
            server.hook(move |request, stream| {
                let is_it = match place {
                    "listing" => request.target.starts_with("/api/"),
                    file => request.file() == Some(file),
                };
                let headers = format!("X-Repo-Commit: {COMMIT}\r\nETag: \"{}\"\r\n", "0".repeat(40));
                if is_it {
                    act(stream, &headers)?;
                }
                Ok(is_it)
            });
            let cache = Cache::new();
            let hub = cache.hub(&server).timeout(Duration::from_millis(400));
            let (outcome, took) = timed(|| hub.fetch(&model("main"), &mut |_| {}));
            let error = outcome.unwrap_err();
            assert!(
                error.is_io() && error.to_string().contains("check the network"),
                "{place}, {name}: {error:?}"
            );
            assert!(took < Duration::from_secs(8), "{place}, {name}: {took:?}");
        }
    }
}

#[test]
fn redirects_in_a_circle_end() {
    for location in ["", "/round", "round", "?again", "http://127.0.0.1:1@/x", "file:///etc/passwd", "//"] {
        let server = Server::start("bert-act-relu");
        server.hook(move |request, stream| {
            let is_it = request.file() == Some("config.json")
                || request.target.contains("round")
                || request.target.contains('?');
            if is_it {
                head(stream, 302, &format!("ETag: \"x\"\r\nLocation: {location}\r\n"), 0)?;
            }
            Ok(is_it)
        });
        let (outcome, took) = timed(|| Cache::new().hub(&server).fetch(&model("main"), &mut |_| {}));
        let error = outcome.unwrap_err();
        assert!(error.to_string().contains("redirect"), "{location}: {error}");
        assert!(took < Duration::from_secs(8), "{location}: {took:?}");
        assert!(server.requests().len() < 12, "{location}");
    }
}

#[test]
fn more_than_was_announced_is_refused() {
    let server = Server::start("bert-act-relu");
    for (length, most) in [(None, 200_000), (Some(1 << 30), 0), (Some(601), 0)] {
        server.hook(move |request, stream| {
            if request.file() != Some("config.json") {
                return Ok(false);
            }
            let length = length.map_or(String::new(), |length: u64| format!("Content-Length: {length}\r\n"));
            write!(
                stream,
                "HTTP/1.1 200 X\r\nConnection: close\r\nX-Repo-Commit: {COMMIT}\r\nETag: \"{}\"\r\nX-Linked-Size: 600\r\n\
                 {length}\r\n",
                "0".repeat(40)
            )?;
            loop {
                stream.write_all(&[b' '; 65536])?;
            }
        });
        let cache = Cache::new();
        let mut most_done = 0;
        let error = cache
            .hub(&server)
            .fetch(&model("main"), &mut |step| most_done = most_done.max(step.done_bytes))
            .unwrap_err();
        assert!(error.is_model_file() && error.to_string().contains("600 bytes"), "{error}");
        assert!(most_done <= most.min(600), "{most_done}");
        // Nothing of it stays.
        assert!(tree(&cache.repository().join("blobs")).is_empty());
    }
    // A small file that is said to be a large one.
    server.hook(|request, stream| {
        if request.file() != Some("config.json") {
            return Ok(false);
        }
        let headers = format!("X-Repo-Commit: {COMMIT}\r\nETag: \"{}\"\r\n", "0".repeat(40));
        head(stream, 200, &headers, 1 << 40)?;
        Ok(true)
    });
    let error = Cache::new().hub(&server).fetch(&model("main"), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("at most"), "{error}");
}

#[test]
fn what_an_earlier_try_left_is_used_or_replaced() {
    let server = Server::start("bert-act-relu");
    let weights = server.file("model.safetensors");
    let half = &weights[..weights.len() / 2];
    let mut other = half.to_vec();
    other[10] ^= 1;
    for (name, left, resumed) in [
        ("half", half.to_vec(), true),
        ("all", weights.clone(), false),
        ("longer", [&weights[..], b"more"].concat(), false),
        ("half of another", other, true),
        ("as long, another", vec![7; weights.len()], false),
        ("nothing", vec![], false),
    ] {
        for knows_no_ranges in [false, true] {
            server.change(|behaviour| behaviour.knows_no_ranges = knows_no_ranges);
            let cache = Cache::new();
            let blobs = cache.repository().join("blobs");
            std::fs::create_dir_all(&blobs).unwrap();
            let partial = format!("{}.incomplete", etag(".safetensors", &weights));
            std::fs::write(blobs.join(&partial), &left).unwrap();
            server.requests();
            let folder = cache.hub(&server).fetch(&model("main"), &mut |_| {}).unwrap();
            assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), weights, "{name}");
            assert!(!blobs.join(partial).exists(), "{name}");
            let ranges = server
                .requests()
                .iter()
                .filter(|request| request.range.is_some() && request.of_store)
                .count();
            assert_eq!(ranges, usize::from(resumed), "{name}");
        }
    }
}

#[test]
fn a_part_from_another_place_is_refused() {
    let server = Server::start("bert-act-relu");
    let weights = server.file("model.safetensors");
    let elsewhere = format!("bytes 7-1006/{}", weights.len());
    for range in ["bytes 7-9/600", "bytes 0-", "bytes */600", "", "bytes 5000-5999/6000", &elsewhere] {
        let sent = range.to_owned();
        server.hook(move |request, stream| {
            if request.range.is_none() || !request.of_store {
                return Ok(false);
            }
            head(stream, 206, &format!("Content-Range: {sent}\r\n"), 1000)?;
            stream.write_all(&[0; 1000]).map(|()| true)
        });
        let cache = Cache::new();
        let blobs = cache.repository().join("blobs");
        std::fs::create_dir_all(&blobs).unwrap();
        let partial = format!("{}.incomplete", etag(".safetensors", &weights));
        std::fs::write(blobs.join(&partial), &weights[..5000]).unwrap();
        cache.hub(&server).fetch(&model("main"), &mut |_| {}).unwrap_err();
        assert!(!cache.has_reference(), "{range}");
    }
}

#[test]
fn programs_that_download_at_once_wait_for_each_other() {
    let server = Server::start("bert-act-relu");
    let weights = server.file("model.safetensors");
    let slow = weights.clone();
    server.hook(move |request, stream| {
        if !request.of_store || request.range.is_some() {
            return Ok(false);
        }
        head(stream, 200, "", slow.len())?;
        for part in slow.chunks(slow.len() / 10 + 1) {
            stream.write_all(part)?;
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(true)
    });
    let cache = Cache::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let folder = cache.hub(&server).fetch(&model("main"), &mut |_| {}).unwrap();
                assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), weights);
            });
        }
    });
    assert!(tree(&cache.repository().join("blobs")).iter().all(|name| !name.contains('.')));
}

#[test]
fn a_lock_that_is_never_let_go_ends_in_an_error() {
    let server = Server::start("bert-act-relu");
    let cache = Cache::new();
    let locks = cache.0.path().join("hub/.locks/models--org--model");
    std::fs::create_dir_all(&locks).unwrap();
    let lock = locks.join(format!("{}.lock", etag("config.json", &server.file("config.json"))));
    let held = std::fs::File::create(&lock).unwrap();
    held.lock().unwrap();
    // What the other program has so far is shown.
    let blobs = cache.repository().join("blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(
        blobs.join(format!("{}.incomplete", etag("config.json", &server.file("config.json")))),
        [b' '; 100],
    )
    .unwrap();
    let mut steps = vec![];
    let hub = cache.hub(&server).timeout(Duration::from_millis(100));
    let error = hub
        .fetch(&model("main"), &mut |step| steps.push((step.file.to_owned(), step.done_bytes)))
        .unwrap_err();
    assert_eq!(steps, [("config.json".to_owned(), 100)]);
    for word in ["another program", "config.json", lock.to_str().unwrap()] {
        assert!(error.to_string().contains(word), "{error}");
    }
    drop(held);
    cache.hub(&server).fetch(&model("main"), &mut |_| {}).unwrap();
}

#[cfg(unix)]
#[test]
fn a_cache_that_cannot_be_written_to_is_named() {
    let server = Server::start("bert-act-relu");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let hub =
        Hub::from_env().unwrap().cache(file.join("hub")).endpoint(&server.address).token(None).retries(0);
    let error = hub.fetch(&model("main"), &mut |_| {}).unwrap_err();
    assert!(error.is_io() && error.to_string().contains("cannot write to the hub's cache"), "{error}");
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let cache = Cache::new();
    let server = Server::start("bert-act-relu");
    for (hub, word) in [
        (cache.hub(&server).endpoint("huggingface.co"), "HF_ENDPOINT"),
        (cache.hub(&server).endpoint("ftp://huggingface.co"), "HF_ENDPOINT"),
        (cache.hub(&server).endpoint(""), "HF_ENDPOINT"),
        (cache.hub(&server).token(Some("a\r\nX-Evil: b".into())), "HF_TOKEN"),
    ] {
        let error = hub.fetch(&model("main"), &mut |_| {}).unwrap_err();
        assert!(error.is_input() && error.to_string().contains(word), "{error}");
    }
    assert!(server.requests().is_empty());
}
