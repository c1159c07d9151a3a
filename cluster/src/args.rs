//! The command line.

use std::num::{NonZeroU16, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand, ValueEnum};
use frostbert::text::Truncate;
use frostbert::{Device, Dtype, EmbedOptions, Prompt, Result};

use crate::models::{Engine, Models, Named};

/// BERT embeddings and classifiers of your own as SQL functions, in one process or on a cluster
#[derive(Parser, Debug)]
#[command(name = "frostbert-cluster", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// What is said on stderr: error, warn, info, debug [default: warn, of scheduler and executor info]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log: Option<log::LevelFilter>,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run SQL, in this process or on a cluster
    Run(RunArgs),
    /// Plan queries and hand out their tasks
    Scheduler(SchedulerArgs),
    /// Compute tasks
    Executor(ExecutorArgs),
}

#[derive(Args, Debug)]
pub struct ModelArgs {
    /// A checkpoint folder, and what queries call it; may be given several times, and the first is meant where a query names none
    #[arg(long, value_name = "[NAME=]FOLDER")]
    pub model: Vec<Named>,
    /// A trained head, and what queries call it; may be given several times, and the first is meant where a query names none
    #[arg(long, value_name = "[NAME=]FILE")]
    pub head: Vec<Named>,
}

#[derive(Args, Debug)]
pub struct EngineArgs {
    /// auto, cpu, gpu, software, a number or part of a name from `frostbert devices`
    #[arg(long, default_value = "auto", value_parser = parse_device)]
    pub device: Device,
    /// What weights are kept as: f32, f16, or auto
    #[arg(long, default_value_t)]
    pub dtype: Dtype,
    /// Tokens in one packed batch [default: by device]
    #[arg(long, value_name = "N")]
    pub batch_tokens: Option<NonZeroUsize>,
    /// Threads of the CPU engine [default: one a core]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
}

impl EngineArgs {
    fn engine(&self) -> Engine {
        Engine {
            device: self.device.clone(),
            dtype: self.dtype,
            threads: self.threads,
            batch_tokens: self.batch_tokens,
            offline: false,
        }
    }
}

#[derive(Args, Debug)]
pub struct RunArgs {
    /// SQL, one statement or several with semicolons
    #[arg(long, value_name = "SQL", required_unless_present = "file", conflicts_with = "file")]
    pub sql: Option<String>,
    /// A file of SQL
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub models: ModelArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Run on the cluster of this scheduler, as df://HOST:PORT; without it, in this process
    #[arg(
        long,
        value_name = "URL",
        conflicts_with_all = ["device", "dtype", "batch_tokens", "threads"]
    )]
    pub cluster: Option<String>,
    /// What happens to texts longer than the model takes: cut, error, or window (overlapping windows, one vector from all)
    #[arg(long, value_enum, default_value_t = TruncateArg::Cut)]
    pub truncate: TruncateArg,
    /// Tokens that neighbouring windows share
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub window_overlap: usize,
    /// Longest sequence in tokens, special tokens included [default: the checkpoint's]
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<NonZeroUsize>,
    /// The checkpoint's prompt of this name, put before every text
    #[arg(long, value_name = "NAME", conflicts_with = "prompt")]
    pub prompt_name: Option<String>,
    /// This text, put before every text
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// Parts that a query is divided into at most; a table can be divided by files and Parquet row groups
    /// [default: the cores, on a cluster 64]
    #[arg(long, value_name = "N")]
    pub partitions: Option<NonZeroUsize>,
    /// Rows that the engine reads at once; a table of no more than these is not divided
    #[arg(long, value_name = "N", default_value = "256")]
    pub batch_rows: NonZeroUsize,
    /// A setting of DataFusion or Ballista, as in datafusion.execution.parquet.compression=zstd(3)
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_setting)]
    pub settings: Vec<(String, String)>,
    /// Let COPY replace what is at its place
    #[arg(long)]
    pub overwrite: bool,
    /// Rows of SELECT as JSON, an object a line
    #[arg(long)]
    pub json: bool,
}

impl RunArgs {
    /// Models as this query is planned with them, and computed with unless there is a cluster.
    pub fn models(&self) -> Result<Arc<Models>> {
        let options = EmbedOptions {
            truncate: match self.truncate {
                TruncateArg::Cut => Truncate::Cut,
                TruncateArg::Error => Truncate::Error,
                TruncateArg::Window => Truncate::Window { overlap: self.window_overlap },
            },
            max_tokens: self.max_tokens.map(NonZeroUsize::get),
            prompt: match (&self.prompt_name, &self.prompt) {
                (Some(name), _) => Prompt::Named(name.clone()),
                (_, Some(text)) => Prompt::Text(text.clone()),
                _ => Prompt::Default,
            },
            ..EmbedOptions::default()
        };
        let mut engine = self.engine.engine();
        if self.cluster.is_some() {
            // Only read for its fingerprint.
            engine.device = Device::Cpu;
        }
        Models::new(self.models.model.clone(), self.models.head.clone(), engine, options).map(Arc::new)
    }
}

/// `--truncate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TruncateArg {
    /// Cut; frostbert_predict says of each row whether it was.
    Cut,
    /// End the query.
    Error,
    /// Read in windows.
    Window,
}

#[derive(Args, Debug)]
pub struct SchedulerArgs {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    pub host: std::net::IpAddr,
    /// Port to listen on
    #[arg(long, default_value = "50050")]
    pub port: NonZeroU16,
    /// Seconds without a word after which an executor is taken for dead, and its tasks are given to others
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(2..=3600))]
    pub executor_timeout: u64,
}

#[derive(Args, Debug)]
pub struct ExecutorArgs {
    /// The scheduler, as HOST:PORT
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:50050", value_parser = parse_place)]
    pub scheduler: (String, u16),
    #[command(flatten)]
    pub models: ModelArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Partitions computed at once: they share the encoder, and two are enough to keep it busy
    #[arg(long, value_name = "N", default_value = "2")]
    pub tasks: NonZeroUsize,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    pub host: std::net::IpAddr,
    /// Host name that others reach this machine by [default: where the scheduler sees it]
    #[arg(long, value_name = "HOST")]
    pub external_host: Option<String>,
    /// Port for results; the next one is for tasks
    #[arg(long, default_value = "50051")]
    pub port: NonZeroU16,
    /// Folder for what is on its way between stages of a query [default: a temporary one]
    #[arg(long, value_name = "FOLDER")]
    pub work_dir: Option<PathBuf>,
    /// Seconds between two words to the scheduler
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub heartbeat: u64,
}

impl ExecutorArgs {
    /// The models of this executor. How texts are embedded comes with each query.
    pub fn models(&self) -> Result<Arc<Models>> {
        let engine = self.engine.engine();
        let models =
            Models::new(self.models.model.clone(), self.models.head.clone(), engine, EmbedOptions::default());
        models.map(Arc::new)
    }
}

fn parse_device(text: &str) -> Result<Device> {
    text.parse()
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if key.contains('.') => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE, with a key as datafusion.execution.batch_size".to_owned()),
    }
}

fn parse_place(text: &str) -> Result<(String, u16), String> {
    let split = text.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    split
        .filter(|(host, _)| !host.is_empty())
        .ok_or_else(|| "expected HOST:PORT, as 10.0.0.1:50050".to_owned())
}
