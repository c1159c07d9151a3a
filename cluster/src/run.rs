//! `frostbert-cluster run`

use std::io::Write;
use std::time::Instant;

use ballista::prelude::SessionConfigExt;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::UInt64Type;
use datafusion::arrow::json::LineDelimitedWriter;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::logical_expr::{DdlStatement, LogicalPlan, dml::CopyTo};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::DFParser;
use frostbert::{Error, Result};

use crate::args::RunArgs;
use crate::output::Output;
use crate::query::engine;
use crate::{lane, parts, query, session};

/// Parts of a query on a cluster unless told otherwise: enough that one that is lost costs little.
const CLUSTER_PARTITIONS: usize = 64;

pub async fn run(args: &RunArgs) -> Result<()> {
    let sql = match (&args.sql, &args.file) {
        (Some(sql), _) => sql.clone(),
        (None, Some(file)) => std::fs::read_to_string(file)
            .map_err(|error| Error::io(format!("cannot read {}", file.display())).with_source(error))?,
        (None, None) => return Err(Error::input("nothing to run: give --sql or --file")),
    };
    let models = args.models()?;
    let context = match &args.cluster {
        Some(scheduler) => {
            session::client(scheduler, config(args, SessionConfig::new_with_ballista())?, &models).await
        }
        None => session::embedded(config(args, SessionConfig::new())?, &models),
    };
    let context = context.map_err(|error| engine("starting", &error))?;
    let statements = DFParser::parse_sql(&sql).map_err(|error| engine("reading the SQL", &error))?;
    if statements.is_empty() {
        return Err(Error::input("the SQL has no statement"));
    }
    for statement in statements {
        let state = context.state();
        let plan = state.statement_to_plan(statement).await.map_err(|error| engine("planning", &error))?;
        match plan {
            LogicalPlan::Copy(copy) => write(args, &context, copy).await?,
            LogicalPlan::Dml(_) => {
                return Err(Error::input(
                    "INSERT is not supported: what a task that is run again adds twice could not be told; write a new folder with COPY",
                ));
            }
            LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(_)) if args.cluster.is_some() => {
                return Err(Error::input(
                    "CREATE TABLE ... AS would keep rows in this process, where executors do not see them; write them with COPY",
                ));
            }
            plan => print(args, &context, plan).await?,
        }
    }
    Ok(())
}

fn config(args: &RunArgs, config: SessionConfig) -> Result<SessionConfig> {
    let mut config = config.with_batch_size(args.batch_rows.get());
    match (args.partitions, &args.cluster) {
        (Some(partitions), _) => config = config.with_target_partitions(partitions.get()),
        (None, Some(_)) => config = config.with_target_partitions(CLUSTER_PARTITIONS),
        (None, None) => {}
    }
    let options = config.options_mut();
    // A file of any size can be divided: a row of text costs the encoder more than anything else.
    options.optimizer.repartition_file_min_size = 0;
    // Texts have lines; a reader that divides a CSV file between two of them would take the middle of a text for a row.
    options.catalog.newlines_in_values = true;
    for (key, value) in &args.settings {
        options.set(key, value).map_err(|error| engine("setting", &error))?;
    }
    Ok(config)
}

/// Runs a COPY: written beside its place, and put there when all is written.
async fn write(args: &RunArgs, context: &SessionContext, mut copy: CopyTo) -> Result<()> {
    if !copy.partition_by.is_empty() {
        return Err(Error::input(
            "PARTITIONED BY is not supported: files of a task that ran twice could not be told from each other; write one folder for \
             each value, or order by the column",
        ));
    }
    let started = Instant::now();
    let output = Output::begin(&copy.output_url, args.overwrite, &context.runtime_env()).await?;
    copy.output_url = output.url();
    if copy.output_url.ends_with('/') && is_ordered(&copy.input) {
        // Parts have no order among each other that a reader would have to keep.
        copy.output_url += &parts::file_name(0, &copy.file_type.get_ext());
    }
    let plan = LogicalPlan::Copy(copy);
    let written =
        query::run(context, plan, args.cluster.as_deref()).await.and_then(|batches| counts(&batches));
    let rows = match written {
        Ok(rows) => rows,
        Err(error) => {
            output.abandon(args.cluster.is_some()).await;
            return Err(error);
        }
    };
    let target = output.target();
    output.commit(&rows).await?;
    let seconds = started.elapsed().as_secs_f64();
    let encoder = match &args.cluster {
        None => format!(", {:.1} of them in the encoder", lane::busy().as_secs_f64()),
        Some(_) => String::new(),
    };
    let all: u64 = rows.iter().sum();
    eprintln!("{all} rows in {} parts written to {target} in {seconds:.1} seconds{encoder}", rows.len());
    Ok(())
}

/// How many rows each part has, as their writers say.
fn counts(batches: &[RecordBatch]) -> Result<Vec<u64>> {
    let mut rows = Vec::new();
    for batch in batches {
        let [counts] = batch.columns() else {
            return Err(Error::io("the engine did not say how many rows it wrote; nothing was put in place"));
        };
        rows.extend(counts.as_primitive_opt::<UInt64Type>().into_iter().flatten().flatten());
    }
    Ok(rows)
}

/// Whether a query's rows have an order that was asked for.
fn is_ordered(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Limit(_) => {
            plan.inputs().into_iter().any(is_ordered)
        }
        _ => false,
    }
}

async fn print(args: &RunArgs, context: &SessionContext, plan: LogicalPlan) -> Result<()> {
    let batches = query::run(context, plan, args.cluster.as_deref()).await?;
    if batches.iter().all(|batch| batch.num_columns() == 0) {
        return Ok(());
    }
    let stdout = std::io::stdout().lock();
    let shown = if args.json {
        let mut writer = LineDelimitedWriter::new(stdout);
        let all: Vec<&RecordBatch> = batches.iter().collect();
        writer.write_batches(&all).and_then(|()| writer.finish()).map_err(|error| error.to_string())
    } else {
        let mut stdout = stdout;
        pretty_format_batches(&batches)
            .map_err(|error| error.to_string())
            .and_then(|table| writeln!(stdout, "{table}").map_err(|error| error.to_string()))
    };
    shown.map_err(|error| Error::io(format!("cannot print the rows: {error}")))
}
