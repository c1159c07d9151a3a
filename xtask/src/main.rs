//! The project's own commands. `cargo xtask` lists them.

mod bench_cluster;
mod bench_serve;
mod circles;
mod cluster;
mod fetch;
mod goldens;
mod install;
mod layers;
mod not_tested;
mod package;
mod portability;
mod process;
mod python;
mod quickstart;
mod serve;
mod steps;
mod test;
mod test_device;
mod torture;
mod web;

use std::path::PathBuf;
use std::process::ExitCode;

/// A failure in words: what was being done, what happened, what to do.
type Result<T, E = String> = std::result::Result<T, E>;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  quickstart   from nothing to a trained classifier: fetches a model and film reviews, embeds, trains, predicts
  fetch        only fetches the model and the reviews into the cache folder
  test         everything that must hold before a change is merged; installs what it needs
  fuzz         mutated inputs for every parser: [--minutes N] [--target NAME] [--seed N]; keeps those that fail
  torture      kills, full disks, closed pipes, many processes at once: [--minutes N]
  portability  the oldest Rust, other systems' targets, known vulnerabilities; for the workflow, it takes minutes
  bench-web    embeds the same texts with this and with transformers.js, in the same Chromium
  test-device  kernels, goldens and bits on the real GPU that is here, and a bench: [DEVICE], gpu unless it says another
  test-browser the last of it alone: the WebAssembly, the npm package and the page, in a browser
  test-python  the Python package alone, around the library that the tests build
  test-serve   official clients, signals, certificates and the page's examples against `frostbert serve`
  bench-serve  the server under load, beside `frostbert embed` and a Python server: [--program FILE] [--peer PYTHON]
               [--model FOLDER] [--seconds N] [--soak REQUESTS]
  test-cluster the cluster's programs alone: lints, tests, real processes on loopback
  cluster-demo labels the film reviews on a scheduler and two executors, one of which is killed on the way: [--rows N]
  bench-cluster time and memory of SQL against rows, and one executor against two: [--rows N], a million unless told otherwise
  python       the Python package: builds the wheel, makes an environment, tests it; --all: with what needs torch; --scale: only the
               examples for Ray, Daft and Spark; --oldest: with the oldest NumPy and scikit-learn that it promises
  layers       checks who imports whom: the library's floors, and circles in every crate
  goldens      writes docs/fidelity.md: how far both engines are from transformers, golden by golden
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["quickstart"] => quickstart::run(),
        ["fetch"] => fetch::run(),
        ["test"] => test::run(),
        ["test-device", ref rest @ ..] => test_device::run(rest),
        ["test-browser"] => test::run_browser(),
        ["test-python"] => test::run_python(),
        ["test-serve"] => test::run_serve(),
        ["test-cluster"] => test::run_cluster(),
        ["cluster-demo", ref rest @ ..] => cluster::demo(rest),
        ["bench-cluster", ref rest @ ..] => bench_cluster::run(rest),
        ["bench-serve", ref rest @ ..] => bench_serve::run(rest),
        ["goldens"] => goldens::run(),
        ["layers"] => layers::run(),
        ["python"] => python::run(false),
        ["python", "--all"] => python::run(true),
        ["python", "--scale"] => python::scale(),
        ["python", "--oldest"] => python::oldest(),
        ["bench-web"] => web::bench(),
        ["portability"] => portability::run(),
        ["fuzz", ref rest @ ..] => fuzz(rest),
        ["torture", ref rest @ ..] => torture::run(rest),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("no such command: {}\n\n{USAGE}", arguments.join(" "));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("\nxtask: {message}");
            ExitCode::FAILURE
        }
    }
}

/// `cargo xtask fuzz`.
fn fuzz(words: &[&str]) -> Result<()> {
    let program = process::program("frostbert-fuzz", "driver")?;
    process::show(process::command(program, ["run"]).args(words))
}

/// The folder of the workspace.
fn root() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map(PathBuf::from).unwrap_or(xtask)
}
