//! One query: run, and stopped so that nothing of it writes any more.

use std::fmt::Display;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ballista_core::JobId;
use ballista_core::execution_plans::DistributedQueryExec;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{CancelJobParams, GetJobStatusParams, GetJobStatusResult};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionContext;
use datafusion_proto::protobuf::LogicalPlanNode;
use frostbert::{Error, Result};
use tokio::runtime::Runtime;
use url::Url;

use crate::tables;

/// How long a task may take to end what it is writing.
const TO_STOP: Duration = Duration::from_secs(30);
/// How long a query that was handed in may take to get its number, when it is to be cancelled.
const TO_BE_NUMBERED: Duration = Duration::from_secs(2);
/// Where a scheduler listens unless told otherwise.
const DEFAULT_PORT: u16 = 50050;
/// How often a scheduler is asked whether it still knows a query, and how often in a row it does not until that is believed.
const LOOK: Duration = Duration::from_secs(1);
const FORGOTTEN: usize = 3;
const STEP: Duration = Duration::from_millis(50);

/// Runs a query to its end: in this process, or on the cluster of a scheduler.
///
/// # Errors
/// It fails, or Ctrl-C is pressed. Its tasks have then ended in this process, and were told to end on a cluster.
pub async fn run(
    context: &SessionContext,
    plan: LogicalPlan,
    scheduler: Option<&str>,
) -> Result<Vec<RecordBatch>> {
    // On threads of its own: the engine leaves tasks behind that write files where another task has failed, and only the end of
    // all threads says that they are gone.
    let threads = Runtime::new().map_err(|error| Error::io("cannot start threads").with_source(error))?;
    let handed_in = Arc::new(OnceLock::new());
    let mut work = threads.spawn({
        let (context, handed_in, on_cluster) = (context.clone(), handed_in.clone(), scheduler.is_some());
        async move {
            let plan =
                if on_cluster { tables::without_patterns(plan, &context.state()).await? } else { plan };
            let frame = context.execute_logical_plan(plan).await?;
            let task = Arc::new(frame.task_ctx());
            let plan = frame.create_physical_plan().await?;
            collect(handed_in.get_or_init(|| plan).clone(), task).await
        }
    });
    let result = tokio::select! {
        ended = &mut work => match ended {
            Ok(Ok(batches)) => Ok(batches),
            Ok(Err(error)) => Err(engine("running the query", &error)),
            Err(error) => Err(Error::io(format!("the engine failed; report this with the query: {error}"))),
        },
        () = forgotten(scheduler, &handed_in) => Err(Error::io(
            "the scheduler does not know the query any more: it was started anew; run the query again",
        )),
        _ = tokio::signal::ctrl_c() => {
            if let Some(scheduler) = scheduler {
                cancel(scheduler, &handed_in).await;
            }
            Err(Error::cancelled())
        }
    };
    match &result {
        Ok(_) => threads.shutdown_background(),
        Err(_) => {
            let ended = tokio::task::spawn_blocking(move || threads.shutdown_timeout(TO_STOP)).await;
            if let Err(error) = ended {
                log::warn!("the query's threads did not end: {error}");
            }
        }
    }
    result
}

/// Ends when a scheduler has forgotten a query: one that was started anew answers, and the engine's client would ask it for ever.
async fn forgotten(scheduler: Option<&str>, handed_in: &OnceLock<Arc<dyn ExecutionPlan>>) {
    // In this process there is nobody to forget it.
    let Some(place) = scheduler.and_then(place) else { return std::future::pending().await };
    let mut missing = 0;
    while missing < FORGOTTEN {
        tokio::time::sleep(LOOK).await;
        let Some(id) = handed_in.get().and_then(job_id) else { continue };
        // What cannot be reached is the client's own error.
        let Ok(mut client) = SchedulerGrpcClient::connect(place.clone()).await else { continue };
        let asked = client.get_job_status(GetJobStatusParams { job_id: id.to_string() }).await;
        let known =
            |status: &GetJobStatusResult| status.status.as_ref().is_some_and(|job| job.status.is_some());
        match asked {
            Ok(answer) if !known(answer.get_ref()) => missing += 1,
            _ => missing = 0,
        }
    }
}

/// Where a scheduler answers: the session took this place too, with the engine's own port where none is named.
fn place(scheduler: &str) -> Option<String> {
    let place = Url::parse(scheduler).ok()?;
    Some(format!("http://{}:{}", place.host()?, place.port().unwrap_or(DEFAULT_PORT)))
}

/// Tells a scheduler that nobody waits for a query any more.
async fn cancel(scheduler: &str, handed_in: &OnceLock<Arc<dyn ExecutionPlan>>) {
    let mut waited = Duration::ZERO;
    let id = loop {
        match handed_in.get().and_then(job_id) {
            None if waited < TO_BE_NUMBERED => tokio::time::sleep(STEP).await,
            id => break id,
        }
        waited += STEP;
    };
    let Some(id) = id else { return };
    let warn = |error: &dyn Display| {
        log::warn!("the cluster could not be told to stop job {id}, and goes on with it: {error}");
    };
    let Some(place) = place(scheduler) else { return };
    let mut client = match SchedulerGrpcClient::connect(place).await {
        Ok(client) => client,
        Err(error) => return warn(&error),
    };
    if let Err(error) = client.cancel_job(CancelJobParams { job_id: id.to_string() }).await {
        warn(&error);
    }
}

/// The number that a scheduler gave to a query.
fn job_id(plan: &Arc<dyn ExecutionPlan>) -> Option<JobId> {
    match plan.downcast_ref::<DistributedQueryExec<LogicalPlanNode>>() {
        Some(query) => query.job_id(),
        None => plan.children().into_iter().find_map(job_id),
    }
}

/// An error of the engine in one line. What our functions say comes back from a cluster inside of the engine's own words, with quotes
/// escaped; it alone is shown then.
pub fn engine(doing: &str, error: &DataFusionError) -> Error {
    let text = error.strip_backtrace();
    let said = ours(&text).unwrap_or(text);
    Error::input(format!("{doing}: {said}"))
}

/// The message in the innermost `External("...")`.
fn ours(text: &str) -> Option<String> {
    let (_, quoted) = text.rsplit_once("External(\"")?;
    let mut escaped = false;
    let end = quoted.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    serde_json::from_str(&format!("\"{}\"", &quoted[..end])).ok()
}

#[cfg(test)]
mod tests {
    use super::ours;

    #[test]
    fn a_message_is_found_among_the_engines_words() {
        let text =
            r#"Job abc failed: Task failed: DataFusionError(External("the text \"a \\ b\": too long"))"#;
        assert_eq!(ours(text).as_deref(), Some(r#"the text "a \ b": too long"#));
        assert_eq!(ours("no such table"), None);
    }
}
