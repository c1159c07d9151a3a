//! BERT embeddings and classifiers of your own as SQL functions: in one process, or on a cluster of scheduler and executors.
//! DataFusion plans and moves rows, Ballista spreads them over machines, and the library computes.

mod args;
mod executor;
mod functions;
mod lane;
mod logging;
mod models;
mod output;
mod pack;
mod parts;
mod query;
mod run;
mod scheduler;
mod session;
mod stores;
mod tables;

use std::process::ExitCode;

use clap::Parser;
use frostbert::{Error, Result};

use args::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let level = match cli.command {
        Command::Run(_) => log::LevelFilter::Warn,
        Command::Scheduler(_) | Command::Executor(_) => log::LevelFilter::Info,
    };
    logging::start(cli.log.unwrap_or(level));
    match start(&cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(command: &Command) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::io("cannot start threads").with_source(error))?;
    runtime.block_on(async {
        match command {
            Command::Run(args) => run::run(args).await,
            Command::Scheduler(args) => scheduler::run(args).await,
            Command::Executor(args) => executor::run(args).await,
        }
    })
}
