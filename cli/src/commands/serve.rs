//! `frostbert serve`

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use frostbert::Result;
use frostbert_serve::{App, Config, HeadSpec, Listen, LogFormat, ModelSpec, log_to_stderr, open_and_serve};

use crate::args::EngineArgs;

#[derive(clap::Args)]
pub struct Args {
    /// A model: folder or hub id, or NAME=FOLDER; may be given several times. The first is meant where a request names none
    #[arg(long = "model", visible_alias = "model-id", value_name = "[NAME=]FOLDER|ID")]
    models: Vec<ModelSpec>,
    /// A trained head, or NAME=FILE; may be given several times. One whose model is not given brings it
    #[arg(long = "head", value_name = "[NAME=]FILE")]
    heads: Vec<HeadSpec>,
    #[command(flatten)]
    engine: EngineArgs,
    /// Address to listen at; 0.0.0.0 lets other machines in
    #[arg(long, visible_alias = "hostname", env = "FROSTBERT_HOST", default_value = "127.0.0.1", value_parser = host)]
    host: IpAddr,
    /// Port; 0 takes a free one, which is printed
    #[arg(long, env = "FROSTBERT_PORT", default_value_t = 3000)]
    port: u16,
    /// Load each model when it is first asked for
    #[arg(long)]
    lazy: bool,
    /// Megabytes of weights at most; what was not asked for longest is unloaded
    #[arg(long, value_name = "MB")]
    memory_limit: Option<u64>,
    /// Key that requests must show; better in the environment, where it is in no list of processes
    #[arg(long, env = "FROSTBERT_API_KEY", value_name = "KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// File of keys, a line each: NAME KEY. SIGHUP reads it again
    #[arg(long, env = "FROSTBERT_API_KEYS_FILE", value_name = "FILE")]
    api_keys_file: Option<PathBuf>,
    /// Key for the admin routes, which are off without it
    #[arg(long, env = "FROSTBERT_ADMIN_KEY", value_name = "KEY", hide_env_values = true)]
    admin_key: Option<String>,
    /// Origin whose pages may ask, or *; may be given several times
    #[arg(long, env = "FROSTBERT_CORS_ALLOW_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    cors_allow_origin: Vec<String>,
    /// Certificate chain for HTTPS, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Cut texts that are too long where a request does not say; false refuses them
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    auto_truncate: bool,
    /// The model's prompt of this name where a request names none
    #[arg(long, value_name = "NAME")]
    default_prompt_name: Option<String>,
    /// Requests in progress at most; others get 429
    #[arg(long, env = "FROSTBERT_MAX_CONCURRENT_REQUESTS", value_name = "N", default_value = "512")]
    max_concurrent_requests: NonZeroUsize,
    /// Texts that wait for a model at most; requests beyond get 429
    #[arg(long, value_name = "N", default_value = "100000")]
    max_queued_texts: NonZeroUsize,
    /// Seconds that a request waits for its turn at most
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    queue_timeout: NonZeroUsize,
    /// Bytes of a request at most
    #[arg(long, env = "FROSTBERT_PAYLOAD_LIMIT", value_name = "BYTES", default_value = "33554432")]
    payload_limit: NonZeroUsize,
    /// Connections at most
    #[arg(long, value_name = "N", default_value = "4096")]
    max_connections: NonZeroUsize,
    /// Seconds that requests in progress have when the server is told to stop
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    drain_timeout: u64,
    /// OpenTelemetry collector that gets a trace of every request, by OTLP over HTTP: http://localhost:4318
    #[arg(long, env = "FROSTBERT_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// Name of this service in traces
    #[arg(long, env = "FROSTBERT_OTLP_SERVICE_NAME", value_name = "NAME", default_value = "frostbert")]
    otlp_service_name: String,
    /// Write the log as JSON, a line each
    #[arg(long, visible_alias = "json-output")]
    log_json: bool,
    /// Do not log each request
    #[arg(long)]
    no_access_log: bool,
}

/// An address, or the name that every machine has for itself.
fn host(given: &str) -> std::result::Result<IpAddr, String> {
    if given == "localhost" {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    given
        .parse()
        .map_err(|_| "expected an address such as 127.0.0.1, 0.0.0.0 or ::1, or localhost".to_owned())
}

pub fn run(args: &Args) -> Result<()> {
    log_to_stderr(if args.log_json { LogFormat::Json } else { LogFormat::Text }, !args.no_access_log);
    if !args.host.is_loopback() && args.api_key.is_none() && args.api_keys_file.is_none() {
        eprintln!(
            "warning: {} lets other machines ask, and there is no API key: set --api-keys-file",
            args.host
        );
    }
    let config = Config {
        models: args.models.clone(),
        heads: args.heads.clone(),
        device: args.engine.device.clone(),
        dtype: args.engine.dtype,
        batch_tokens: args.engine.batch_tokens.map(NonZeroUsize::get),
        threads: args.engine.bounded_threads(),
        offline: args.engine.offline,
        lazy: args.lazy,
        memory_limit: args.memory_limit.map(|megabytes| megabytes.saturating_mul(1_000_000)),
        auto_truncate: args.auto_truncate,
        default_prompt_name: args.default_prompt_name.clone(),
        max_concurrent_requests: args.max_concurrent_requests.get(),
        max_queued_texts: args.max_queued_texts.get(),
        queue_timeout: Duration::from_secs(args.queue_timeout.get() as u64),
        payload_limit: args.payload_limit.get(),
        api_keys: args.api_key.iter().cloned().collect(),
        api_keys_file: args.api_keys_file.clone(),
        admin_key: args.admin_key.clone(),
        cors_allow_origin: args.cors_allow_origin.clone(),
        otlp_endpoint: args.otlp_endpoint.clone(),
        otlp_service_name: args.otlp_service_name.clone(),
        ..Config::default()
    };
    let scheme = if args.tls_cert.is_some() { "https" } else { "http" };
    let listen = Listen {
        address: SocketAddr::new(args.host, args.port),
        tls: args.tls_cert.clone().zip(args.tls_key.clone()),
        max_connections: args.max_connections.get(),
        drain_timeout: Duration::from_secs(args.drain_timeout),
    };
    open_and_serve(
        move || App::open(config),
        listen,
        |address| eprintln!("listening on {scheme}://{address}"),
    )
}
