//! The `frostbert` command line: results on stdout, everything else on stderr. Exit code 1 for a failure, 2 for wrong usage.

mod args;
mod commands;
mod progress;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use commands::{devices, embed, evaluate, fetch, inspect, predict, train};

/// BERT embeddings as WGSL compute shaders on any GPU, and a classifier of your own on top.
#[derive(Parser)]
#[command(name = "frostbert", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the adapters that WebGPU sees, and which kernels would run there
    Devices(devices::Args),
    /// Say what a checkpoint holds: family, sizes, heads, pooling, memory needed
    Inspect(inspect::Args),
    /// Download a checkpoint into the hub cache
    Fetch(fetch::Args),
    /// Turn texts into embeddings
    Embed(embed::Args),
    /// Train a classifier on embeddings
    Train(train::Args),
    /// Measure a trained classifier on labelled rows
    Evaluate(evaluate::Args),
    /// Classify texts with a trained classifier
    Predict(predict::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Devices(args) => devices::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Fetch(args) => fetch::run(&args),
        Command::Embed(args) => embed::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Predict(args) => predict::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that has seen enough (`| head`) is no failure.
        Err(error) if commands::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
