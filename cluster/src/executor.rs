//! `frostbert-cluster executor`

use std::sync::Arc;

use ballista_core::JobId;
use ballista_executor::execution_engine::{DefaultExecutionEngine, ExecutionEngine, QueryStageExecutor};
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use frostbert::{Error, Result};

use crate::args::ExecutorArgs;
use crate::parts::{self, Codec};
use crate::{session, stores};

/// Seconds that an executor waits for its scheduler to start.
const SCHEDULER_WAIT: u16 = 60;

/// Ballista's engine, after the parts of a task have got their numbers. Its pool of connections is not public: each fetch of a shuffled
/// partition opens its own, which only joins and groups over thousands of partitions would notice.
struct NumberedParts(DefaultExecutionEngine);

impl ExecutionEngine for NumberedParts {
    fn create_query_stage_exec(
        &self,
        job_id: JobId,
        stage_id: usize,
        task_id: usize,
        numbers: Vec<usize>,
        plan: Arc<dyn ExecutionPlan>,
        work_dir: &str,
        config: &SessionConfig,
    ) -> datafusion::common::Result<Arc<dyn QueryStageExecutor>> {
        let plan = parts::number(plan, &numbers)?;
        self.0.create_query_stage_exec(job_id, stage_id, task_id, numbers, plan, work_dir, config)
    }
}

pub async fn run(args: &ExecutorArgs) -> Result<()> {
    let models = args.models()?;
    if args.models.model.is_empty() && args.models.head.is_empty() {
        return Err(Error::input("nothing to compute with: name a model with --model or a head with --head"));
    }
    tokio::task::block_in_place(|| models.load_all())?;
    log::info!("this executor has {}", models.in_words());
    let (scheduler_host, scheduler_port) = args.scheduler.clone();
    let functions = session::executor(&models)
        .map_err(|error| Error::io(format!("cannot register the functions: {error}")))?;
    let grpc_port = args.port.get().checked_add(1).ok_or_else(|| {
        Error::input(format!("--port {} leaves no next port for tasks; take a smaller one", args.port))
    })?;
    let work_dir = match &args.work_dir {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join(format!("frostbert-executor-{}", std::process::id())),
    };
    std::fs::create_dir_all(&work_dir).map_err(|error| {
        Error::io(format!("cannot make the folder {}", work_dir.display())).with_source(error)
    })?;
    let spills = work_dir.clone();
    let config = ExecutorProcessConfig {
        bind_host: args.host.to_string(),
        external_host: args.external_host.clone(),
        port: args.port.get(),
        grpc_port,
        scheduler_host,
        scheduler_port,
        scheduler_connect_timeout_seconds: SCHEDULER_WAIT,
        vcores: args.tasks.get(),
        work_dir: Some(work_dir.display().to_string()),
        executor_heartbeat_interval_seconds: args.heartbeat,
        job_data_clean_up_interval_seconds: 600,
        job_data_ttl_seconds: 24 * 3600,
        override_function_registry: Some(Arc::new(functions)),
        override_execution_engine: Some(Arc::new(NumberedParts(DefaultExecutionEngine::new()))),
        override_runtime_producer: Some(Arc::new(move |_| stores::runtime(Some(&spills)))),
        override_physical_codec: Some(Arc::new(Codec::default())),
        ..ExecutorProcessConfig::default()
    };
    start_executor_process(Arc::new(config))
        .await
        .map_err(|error| Error::io(format!("the executor on {}:{} failed: {error}", args.host, args.port)))
}
