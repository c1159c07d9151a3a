//! `cargo xtask bench-serve`: the server under load on this machine's loopback, beside `frostbert embed` and a Python server on the
//! same cores. Every part ends by itself.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::process::{command, program, show};
use crate::{Result, fetch, root};

/// How many clients ask at once.
const CONNECTIONS: [usize; 4] = [1, 8, 64, 512];
/// Texts of a request.
const BATCHES: [usize; 2] = [1, 32];
/// Different texts; more than any batch, so that none is met often.
const TEXTS: usize = 4096;
/// A request that takes longer has failed.
const HANG: Duration = Duration::from_secs(300);
const WORDS: &str = "a film of quiet wit that never finds its story though the actors give all they have and some of its \
                     pictures stay with you long after the last of them fades warm funny slow clumsy bold strange";

struct Options {
    program: Option<PathBuf>,
    peer: Option<PathBuf>,
    model: Option<PathBuf>,
    seconds: f64,
    soak: usize,
}

fn options(words: &[&str]) -> Result<Options> {
    let mut options = Options { program: None, peer: None, model: None, seconds: 5.0, soak: 200_000 };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} takes a value"))?;
        let wrong = |_| format!("{word} takes a number, found {value}");
        match *word {
            "--program" => options.program = Some(value.into()),
            "--peer" => options.peer = Some(value.into()),
            "--model" => options.model = Some(value.into()),
            "--seconds" => options.seconds = value.parse::<f64>().map_err(wrong)?.clamp(0.1, 600.0),
            "--soak" => {
                options.soak = value.parse().map_err(|_| format!("--soak takes a number, found {value}"))?
            }
            _ => return Err(format!("no such option: {word}")),
        }
    }
    Ok(options)
}

/// `cargo xtask bench-serve [--program FILE] [--peer PYTHON] [--model FOLDER] [--seconds N] [--soak REQUESTS]`.
pub fn run(words: &[&str]) -> Result<()> {
    let options = options(words)?;
    let model = match &options.model {
        Some(model) => model.clone(),
        None => fetch::MODEL.fetch()?,
    };
    let program = match &options.program {
        Some(program) => program.clone(),
        None => program("frostbert", "files")?,
    };
    let texts = texts();
    let alone = embed(&program, &model, &texts)?;
    println!("frostbert embed: {alone:.0} texts/s");
    let server = Server::start(
        // 512 clients with 32 texts each wait for minutes on few cores, and none is to be refused, not even while the last
        // round of connections is still closing.
        command(
            &program,
            [
                "serve",
                "--device",
                "cpu",
                "--port",
                "0",
                "--no-access-log",
                "--queue-timeout",
                "600",
                "--max-concurrent-requests",
                "4096",
                "--model",
            ],
        )
        .arg(&model),
    )?;
    let ours = measure("frostbert serve", &server, &texts, options.seconds)?;
    drop(server);
    let again = embed(&program, &model, &texts)?;
    println!("frostbert embed, after it: {again:.0} texts/s");
    let best = ours.iter().map(|row| row.rate).fold(0.0, f64::max);
    println!("most of the server / mean of embed: {:.2} (goal 0.90)", best / ((alone + again) / 2.0));
    let latency =
        |connections: usize| ours.iter().find(|row| row.connections == connections && row.batch == 1);
    if let (Some(one), Some(eight)) = (latency(1), latency(8)) {
        let (p99, single) = (eight.quantile(0.99), one.alone);
        println!(
            "p99 at 8 connections, single texts, at half of their throughput: {:.1} ms; a single request alone: {:.1} ms; \
             ratio {:.1} (goal 4)",
            p99 * 1e3,
            single * 1e3,
            p99 / single
        );
    }
    match &options.peer {
        None => println!(
            "NOT MEASURED: a Python server; name a Python with sentence-transformers, fastapi and uvicorn: --peer PYTHON"
        ),
        Some(python) => {
            let peer = Server::start(command(python, ["benches/serve_peer.py"]).arg(&model))?;
            let theirs = measure("FastAPI with sentence-transformers", &peer, &texts, options.seconds)?;
            for (ours, theirs) in ours.iter().zip(&theirs) {
                println!(
                    "{} connections, {} texts a request: {:.2} times the peer (goal 1.5)",
                    ours.connections,
                    ours.batch,
                    ours.rate / theirs.rate
                );
            }
        }
    }
    soak(&program, options.soak)
}

/// Made up, the same in every run: 8 to 30 words.
fn texts() -> Vec<String> {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut state = 1u64;
    let mut next = |below: usize| {
        // Knuth's generator: its high bits are good enough to choose words.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    (0..TEXTS)
        .map(|_| {
            let count = 8 + next(23);
            (0..count).map(|_| words[next(words.len())]).collect::<Vec<_>>().join(" ")
        })
        .collect()
}

/// Texts a second of the command line, without what it takes to start.
fn embed(program: &Path, model: &Path, texts: &[String]) -> Result<f64> {
    let folder = root().join("target/bench-serve");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let run = |texts: &[String]| -> Result<f64> {
        let (file, out) = (folder.join("texts.txt"), folder.join("vectors.npy"));
        fs::write(&file, texts.join("\n")).map_err(|error| format!("{}: {error}", file.display()))?;
        let started = Instant::now();
        let mut run = command(program, ["embed", "--device", "cpu", "--model"]);
        show(run.arg(model).arg(&file).arg("--out").arg(&out))?;
        Ok(started.elapsed().as_secs_f64())
    };
    let starting = run(&texts[..1])?;
    Ok((texts.len() - 1) as f64 / (run(texts)? - starting).max(1e-3))
}

/// A server that ends with this value.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts a server that says `listening on http://ADDRESS` on standard error.
    fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start the server: {error}"))?;
        let mut lines = BufReader::new(child.stderr.take().ok_or("the server has no standard error")?);
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            let read = lines.read_line(&mut line).map_err(|error| format!("the server's log: {error}"))?;
            if read == 0 {
                let _ = child.wait();
                return Err(format!("the server did not start:\n{said}"));
            }
            if let Some((_, address)) = line.trim().split_once("listening on http://") {
                break address.parse().map_err(|_| format!("no address: {line}"))?;
            }
            said += &line;
        };
        // What is not read would stop it some day.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Ok(Server { child, address })
    }

    /// KiB of memory in use, where the system tells.
    fn resident(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that keeps its connection.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn connect(address: SocketAddr) -> Result<Self> {
        let said = |error: std::io::Error| format!("cannot connect to {address}: {error}");
        let stream = TcpStream::connect_timeout(&address, HANG).map_err(said)?;
        stream.set_nodelay(true).map_err(said)?;
        stream.set_read_timeout(Some(HANG)).map_err(said)?;
        Ok(Client { stream: BufReader::new(stream) })
    }

    /// Asks for vectors; any answer but 200 is an error.
    fn embed(&mut self, texts: &[String]) -> Result<()> {
        // The texts have nothing in them that JSON would escape.
        let body = format!("{{\"inputs\":[\"{}\"]}}", texts.join("\",\""));
        let head = format!(
            "POST /embed HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.exchange(format!("{head}{body}").as_bytes())
            .map_err(|error| format!("a request failed: {error}"))
    }

    fn exchange(&mut self, request: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(request)?;
        let (mut status, mut length) = (String::new(), 0u64);
        self.stream.read_line(&mut status)?;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 || line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let read = std::io::copy(&mut (&mut self.stream).take(length), &mut std::io::sink())?;
        if status.starts_with("HTTP/1.1 200") && read == length && length > 0 {
            return Ok(());
        }
        Err(std::io::Error::other(format!("answered {:?}, {read} bytes of {length}", status.trim())))
    }
}

/// What one number of connections and size of requests gave.
struct Row {
    connections: usize,
    batch: usize,
    /// Texts a second when every client asks again at once.
    rate: f64,
    /// Median seconds of a request then.
    alone: f64,
    /// Seconds from the moment a request was due, at half that rate; sorted.
    latencies: Vec<f64>,
}

impl Row {
    fn quantile(&self, share: f64) -> f64 {
        quantile(&self.latencies, share)
    }
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
}

fn measure(name: &str, server: &Server, texts: &[String], time: f64) -> Result<Vec<Row>> {
    println!("\n{name}");
    println!(
        "| connections | texts a request | texts/s | p50, ms | p95, ms | p99, ms | requests due a second |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut rows = Vec::new();
    for batch in BATCHES {
        for connections in CONNECTIONS {
            // Once, so that nothing is met for the first time.
            load(server, texts, connections.min(8), batch, Pace::Closed(time.min(0.5)))?;
            let closed = load(server, texts, connections, batch, Pace::Closed(time))?;
            let rate = closed.latencies.len() as f64 / closed.took;
            let open =
                load(server, texts, connections, batch, Pace::Open { rate: rate / 2.0, seconds: time })?;
            let row = Row {
                connections,
                batch,
                rate: rate * batch as f64,
                alone: quantile(&closed.latencies, 0.5),
                latencies: open.latencies,
            };
            let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|share| row.quantile(share) * 1e3);
            println!(
                "| {connections} | {batch} | {:.0} | {p50:.1} | {p95:.1} | {p99:.1} | {:.1} |",
                row.rate,
                rate / 2.0
            );
            rows.push(row);
        }
    }
    if let Some(resident) = server.resident() {
        println!("memory after it: {} MiB", resident / 1024);
    }
    Ok(rows)
}

#[derive(Clone, Copy)]
enum Pace {
    /// Every client asks again when it has its answer, for so many seconds.
    Closed(f64),
    /// Requests are due at a fixed rate, whatever was answered, so that a server that stalls is charged with all that waited.
    Open { rate: f64, seconds: f64 },
}

struct Load {
    took: f64,
    /// Sorted.
    latencies: Vec<f64>,
}

fn load(server: &Server, texts: &[String], connections: usize, batch: usize, pace: Pace) -> Result<Load> {
    let mut clients =
        (0..connections).map(|_| Client::connect(server.address)).collect::<Result<Vec<Client>>>()?;
    let next = AtomicUsize::new(0);
    let started = Instant::now();
    let work = |client: &mut Client| -> Result<Vec<f64>> {
        let mut latencies = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let due = match pace {
                Pace::Closed(seconds) => {
                    // Each asks once at least.
                    if started.elapsed().as_secs_f64() > seconds && !latencies.is_empty() {
                        return Ok(latencies);
                    }
                    started.elapsed()
                }
                Pace::Open { rate, seconds } => {
                    let due = number as f64 / rate;
                    if due > seconds {
                        return Ok(latencies);
                    }
                    Duration::from_secs_f64(due)
                }
            };
            std::thread::sleep(due.saturating_sub(started.elapsed()));
            let first = number * batch % (texts.len() - batch);
            client.embed(&texts[first..first + batch])?;
            latencies.push((started.elapsed() - due).as_secs_f64());
        }
    };
    let mut latencies = Vec::new();
    std::thread::scope(|scope| -> Result<()> {
        let work = &work;
        let mut threads = Vec::new();
        for client in &mut clients {
            let thread =
                std::thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, move || work(client));
            threads.push(thread.map_err(|error| format!("cannot start a client: {error}"))?);
        }
        for thread in threads {
            latencies.extend(thread.join().map_err(|_| "a client panicked")??);
        }
        Ok(())
    })?;
    let took = started.elapsed().as_secs_f64();
    latencies.sort_by(f64::total_cmp);
    Ok(Load { took, latencies })
}

/// Many requests to a small model: does memory stay flat?
fn soak(program: &Path, requests: usize) -> Result<()> {
    if requests == 0 {
        return Ok(());
    }
    let model = root().join("tests/fixtures/goldens/sentence-mean");
    let server = Server::start(
        command(program, ["serve", "--device", "cpu", "--port", "0", "--no-access-log", "--model"])
            .arg(model),
    )?;
    let texts = texts();
    let started = Instant::now();
    println!("\nsoak: {requests} requests of 1 to 8 texts to a small model, 8 connections");
    let parts = 10;
    for part in 0..=parts {
        // Before the first part only what warms up.
        let count = if part == 0 { 2_000.min(requests) } else { requests / parts };
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| -> Result<()> {
            let (next, texts, address) = (&next, &texts, server.address);
            let work = move || -> Result<()> {
                let mut client = Client::connect(address)?;
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return Ok(());
                    }
                    let first = number % (TEXTS - 8);
                    client.embed(&texts[first..first + 1 + number % 8])?;
                }
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(work)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a client panicked")?)
        })?;
        let resident = server.resident().map_or("memory unknown here".into(), |kib| format!("{kib} KiB"));
        println!("  after {} requests and warming up: {resident}", part * (requests / parts));
    }
    println!("  {:.0} requests/s", requests as f64 / started.elapsed().as_secs_f64());
    Ok(())
}
