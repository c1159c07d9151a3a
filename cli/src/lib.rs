//! The `frostbert` command line: results on stdout, everything else on stderr. Exit code 1 for a failure, 2 for wrong usage.

// The server's futures hold an encoder, and wgpu's types are deep.
#![recursion_limit = "256"]
#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "what is said of arguments is help text, where brackets are brackets"
)]

/// Shadows the standard macro, so that nobody sends a terminal what stands in a table or a file name.
macro_rules! eprintln {
    ($($arg:tt)*) => { $crate::terminal::say_line(format_args!($($arg)*)) };
}

/// As `eprintln!`.
macro_rules! eprint {
    ($($arg:tt)*) => { $crate::terminal::say(format_args!($($arg)*)) };
}

mod args;
mod commands;
mod outputs;
mod progress;
mod terminal;
mod training_progress;

use std::ffi::OsString;

use clap::{Parser, Subcommand};

#[cfg(feature = "serve")]
use commands::serve;
use commands::{
    bench, cache, classify, clusters, compare, dedupe, devices, drift, embed, evaluate, export, fetch,
    fill_mask, import_head, inspect, next_sentence, predict, rerank, search, suggest, tag, tokens, train,
    verify,
};

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
    Train(Box<train::Args>),
    /// Measure a trained classifier on labelled rows
    Evaluate(evaluate::Args),
    /// Classify texts with a trained classifier
    Predict(predict::Args),
    /// Write encoder and head as one folder for transformers
    Export(export::Args),
    /// Make a head of scikit-learn's coefficients
    ImportHead(import_head::Args),
    /// Show or clear the embedding cache
    Cache(cache::Args),
    /// Hidden states, attentions and pooler output, token by token, as JSON lines
    Tokens(tokens::Args),
    /// Predict the words behind masks (checkpoints with an MLM head)
    FillMask(fill_mask::Args),
    /// Does one text follow another? (checkpoints with an NSP head)
    NextSentence(next_sentence::Args),
    /// Classify texts with the head that came in a checkpoint
    Classify(classify::Args),
    /// Label tokens or spans with the head that came in a checkpoint
    Tag(tag::Args),
    /// Order documents by relevance to a query with a cross-encoder
    Rerank(rerank::Args),
    /// Serve embeddings, rankings and heads over HTTP
    #[cfg(feature = "serve")]
    Serve(Box<serve::Args>),
    /// Find the texts of a table that are nearest to a query
    Search(Box<search::Args>),
    /// Find texts that are nearly the same
    Dedupe(Box<dedupe::Args>),
    /// Find groups of texts, and name them by their words
    Cluster(Box<clusters::Args>),
    /// Choose which texts to label next
    Suggest(Box<suggest::Args>),
    /// Say whether new texts look different from earlier ones
    Drift(Box<drift::Args>),
    /// Compare two heads on the same labelled rows
    Compare(Box<compare::Args>),
    /// Measure how fast a model is here: by length of text, one text, cold start, kernel by kernel
    Bench(bench::Args),
    /// Compare a device with what transformers computes, tensor by tensor
    Verify(verify::Args),
}

/// Mesa complains on stderr once per driver when this variable is not set, which says nothing to our users.
fn quiet_mesa() {
    if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: the first thing that main does: no other thread runs yet that could read the environment.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", std::env::temp_dir()) };
    }
}

/// What clap says of the arguments: in colours, unless they hold what a terminal would obey.
fn wrong_usage(error: &clap::Error) -> u8 {
    let plain = error.to_string();
    if terminal::lines(&plain) == plain {
        // Help and the version are results: asked for into a full disk, they are not there. A closed pipe has seen enough.
        if let Err(failed) = error.print()
            && failed.kind() != std::io::ErrorKind::BrokenPipe
        {
            eprintln!("error: cannot write to standard output: {failed}");
            return 1;
        }
    } else {
        eprint!("{plain}");
    }
    u8::try_from(error.exit_code()).unwrap_or(2)
}

/// Runs a command line, its program's name first, and gives the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    quiet_mesa();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return wrong_usage(&error),
    };
    let done = match cli.command {
        Command::Devices(args) => devices::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Fetch(args) => fetch::run(&args),
        Command::Embed(args) => embed::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Export(args) => export::run(&args),
        Command::ImportHead(args) => import_head::run(&args),
        Command::Cache(args) => cache::run(&args),
        Command::Tokens(args) => tokens::run(&args),
        Command::FillMask(args) => fill_mask::run(&args),
        Command::NextSentence(args) => next_sentence::run(&args),
        Command::Classify(args) => classify::run(&args),
        Command::Tag(args) => tag::run(&args),
        Command::Rerank(args) => rerank::run(&args),
        #[cfg(feature = "serve")]
        Command::Serve(args) => serve::run(&args),
        Command::Search(args) => search::run(&args),
        Command::Dedupe(args) => dedupe::run(&args),
        Command::Cluster(args) => clusters::run(&args),
        Command::Suggest(args) => suggest::run(&args),
        Command::Drift(args) => drift::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Verify(args) => verify::run(&args),
    };
    match done {
        Ok(()) => 0,
        // A reader that has seen enough (`| head`) is no failure.
        Err(error) if commands::is_broken_pipe(&error) => 0,
        Err(error) => {
            eprintln!("error: {error:#}");
            1
        }
    }
}
