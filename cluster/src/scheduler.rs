//! `frostbert-cluster scheduler`

use std::net::SocketAddr;
use std::sync::Arc;

use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::start_server;
use frostbert::{EmbedOptions, Error, Result};

use crate::args::SchedulerArgs;
use crate::models::{Engine, Models};
use crate::parts::Codec;
use crate::session;

pub async fn run(args: &SchedulerArgs) -> Result<()> {
    // It computes nothing and has no models: a query brings what there is to know of them.
    let models = Arc::new(Models::new(Vec::new(), Vec::new(), Engine::default(), EmbedOptions::default())?);
    let address = SocketAddr::new(args.host, args.port.get());
    let config = SchedulerConfig {
        bind_host: args.host.to_string(),
        bind_port: args.port.get(),
        external_host: args.host.to_string(),
        executor_timeout_seconds: args.executor_timeout,
        expire_dead_executor_interval_seconds: (args.executor_timeout / 3).max(1),
        no_executors_grace_period_seconds: args.executor_timeout,
        override_session_builder: Some(Arc::new(move |config| session::scheduler(config, &models))),
        override_physical_codec: Some(Arc::new(Codec::default())),
        ..SchedulerConfig::default()
    };
    let failed =
        |error: &dyn std::fmt::Display| Error::io(format!("the scheduler on {address} failed: {error}"));
    let cluster = BallistaCluster::new_from_config(&config).await.map_err(|error| failed(&error))?;
    tokio::select! {
        ended = start_server(cluster, address, Arc::new(config)) => ended.map_err(|error| failed(&error)),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}
