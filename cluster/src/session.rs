//! Sessions that know our functions: in one process, on a scheduler, and as a cluster's client.

use std::sync::Arc;

use ballista::prelude::{SessionConfigExt, SessionContextExt};
use ballista_core::config::BALLISTA_CLIENT_PULL;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_core::utils::default_session_builder;
use datafusion::common::Result;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::functions;
use crate::models::Models;
use crate::pack::{PackRows, UnlessOurs};
use crate::parts::WriteInParts;
use crate::{stores, tables};

/// The rule that moves projections into scans.
const INTO_SCANS: &str = "ProjectionPushdown";

/// Rules of the engine, and ours when everything else stands.
fn with_rules(builder: SessionStateBuilder) -> SessionStateBuilder {
    let mut rules = PhysicalOptimizer::default().rules;
    for rule in &mut rules {
        if rule.name() == INTO_SCANS {
            *rule = Arc::new(UnlessOurs(rule.clone()));
        }
    }
    rules.push(Arc::new(PackRows));
    rules.push(Arc::new(WriteInParts));
    builder.with_physical_optimizer_rules(rules)
}

fn with_functions(mut state: SessionState, models: &Arc<Models>) -> Result<SessionState> {
    use datafusion::execution::FunctionRegistry;
    for function in functions::all(models) {
        state.register_udf(Arc::new(function))?;
    }
    Ok(state)
}

/// Everything in this process.
pub fn embedded(config: SessionConfig, models: &Arc<Models>) -> Result<SessionContext> {
    let builder = SessionStateBuilder::new().with_config(config).with_default_features();
    let builder = builder.with_runtime_env(stores::runtime(None)?);
    let state = with_functions(with_rules(builder).build(), models)?;
    Ok(tables::by_place(SessionContext::new_with_state(state)))
}

/// Ballista's state, with our stores.
fn of_ballista(config: SessionConfig) -> Result<SessionStateBuilder> {
    let builder = SessionStateBuilder::new_from_existing(default_session_builder(config)?);
    Ok(builder.with_runtime_env(stores::runtime(None)?))
}

/// What the scheduler of a cluster plans with.
pub fn scheduler(config: SessionConfig, models: &Arc<Models>) -> Result<SessionState> {
    with_functions(with_rules(of_ballista(config)?).build(), models)
}

/// What an executor of a cluster computes with.
pub fn executor(models: &Arc<Models>) -> Result<BallistaFunctionRegistry> {
    let state = default_session_builder(SessionConfig::new_with_ballista())?;
    Ok(BallistaFunctionRegistry::from(&with_functions(state, models)?))
}

/// A cluster's client. The functions stand here too: a query is planned with this process's models, and carries their
/// fingerprints.
pub async fn client(scheduler: &str, config: SessionConfig, models: &Arc<Models>) -> Result<SessionContext> {
    // Stages are settled when the query starts: a retried one must be the same.
    // Partitions that a task makes of its own have no number among all of the query's.
    let config = config.with_ballista_adaptive_query_planner(false).with_round_robin_repartition(false);
    // The scheduler is asked how a query stands: only then does the client know its number while it runs, and can cancel it.
    let config = config.set_bool(BALLISTA_CLIENT_PULL, true);
    let state = of_ballista(config)?.build();
    let context = tables::by_place(SessionContext::remote_with_state(scheduler, state).await?);
    // The client's own functions replace all others, so ours come last.
    for function in functions::all(models) {
        context.register_udf(function);
    }
    Ok(context)
}
