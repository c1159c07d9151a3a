//! How results are written: every partition its own file, under a name that its number decides. A task that is run again
//! replaces what it wrote the first time, so nothing is there twice, and vectors are written where they were computed.

use std::fmt;
use std::sync::Arc;

use ballista_core::serde::BallistaPhysicalExtensionCodec;
use datafusion::arrow::array::{ArrayRef, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, exec_err, internal_err};
use datafusion::datasource::file_format::csv::CsvSink;
use datafusion::datasource::file_format::json::JsonSink;
use datafusion::datasource::file_format::parquet::ParquetSink;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::datasource::physical_plan::{FileOutputMode, FileSink, FileSinkConfig};
use datafusion::datasource::sink::{DataSink, DataSinkExec};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, WindowUDF};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_expr_common::physical_expr::proto_decode::PhysicalExprDecodeCtx;
use datafusion::physical_expr_common::physical_expr::proto_encode::PhysicalExprEncodeCtx;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties,
    SendableRecordBatchStream,
};
use datafusion_proto::physical_plan::{
    AsExecutionPlan, PhysicalExtensionCodec, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf::PhysicalPlanNode;
use prost::Message;

/// The file that a partition writes.
pub fn file_name(partition: usize, ending: &str) -> String {
    format!("part-{partition:05}.{ending}")
}

/// Writes every partition of its input to a file of its own. Gives, of each, how many rows it has.
#[derive(Debug)]
pub struct PartsExec {
    input: Arc<dyn ExecutionPlan>,
    /// Says where and how; it writes nothing itself.
    pattern: Arc<dyn DataSink>,
    /// The number of each partition among all of the query, where this is a task's share of them.
    numbers: Option<Vec<usize>>,
    properties: Arc<PlanProperties>,
}

impl PartsExec {
    fn new(input: Arc<dyn ExecutionPlan>, pattern: Arc<dyn DataSink>, numbers: Option<Vec<usize>>) -> Self {
        let partitions = Partitioning::UnknownPartitioning(input.properties().partitioning.partition_count());
        let properties = PlanProperties::new(
            EquivalenceProperties::new(count_schema()),
            partitions,
            EmissionType::Final,
            Boundedness::Bounded,
        );
        PartsExec { input, pattern, numbers, properties: Arc::new(properties) }
    }
}

fn count_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("count", DataType::UInt64, false)]))
}

impl DisplayAs for PartsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartsExec: a file for each partition")
    }
}

impl ExecutionPlan for PartsExec {
    fn name(&self) -> &'static str {
        "PartsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match <[Arc<dyn ExecutionPlan>; 1]>::try_from(children) {
            Ok([input]) => Ok(Arc::new(PartsExec::new(input, self.pattern.clone(), self.numbers.clone()))),
            Err(_) => internal_err!("PartsExec has one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context.clone())?;
        let number = match &self.numbers {
            Some(numbers) => numbers.get(partition).copied(),
            None => Some(partition),
        };
        let Some(number) = number else {
            return internal_err!("partition {partition} of a task has no number");
        };
        let sink = part(&*self.pattern, number)?;
        let write = async move {
            let rows = sink.write_all(input, &context).await?;
            let counts: ArrayRef = Arc::new(UInt64Array::from(vec![rows]));
            Ok(RecordBatch::try_new(count_schema(), vec![counts])?)
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(count_schema(), futures::stream::once(write))))
    }
}

/// Tells part writers the numbers of a task's partitions: an executor gets a plan of its share of them, in which they count from 0.
pub fn number(plan: Arc<dyn ExecutionPlan>, numbers: &[usize]) -> Result<Arc<dyn ExecutionPlan>> {
    let numbered = plan.transform_up(|node| {
        let Some(parts) = node.downcast_ref::<PartsExec>() else { return Ok(Transformed::no(node)) };
        let partitions = parts.properties.partitioning.partition_count();
        if partitions != numbers.len() || makes_partitions(&parts.input) {
            return internal_err!(
                "a task writes {partitions} parts and has {} numbers for them; report this with the query",
                numbers.len()
            );
        }
        let numbered = PartsExec::new(parts.input.clone(), parts.pattern.clone(), Some(numbers.to_vec()));
        Ok(Transformed::yes(Arc::new(numbered)))
    })?;
    Ok(numbered.data)
}

/// Whether a plan makes partitions of its own: then each of several tasks has all of their numbers.
fn makes_partitions(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let ends = plan.is::<SortPreservingMergeExec>() || plan.is::<CoalescePartitionsExec>();
    plan.is::<RepartitionExec>() || (!ends && plan.children().into_iter().any(makes_partitions))
}

/// The sink of a partition.
fn part(pattern: &dyn DataSink, partition: usize) -> Result<Arc<dyn DataSink>> {
    if let Some(sink) = pattern.downcast_ref::<ParquetSink>() {
        let config = part_config(sink.config(), partition)?;
        return Ok(Arc::new(ParquetSink::new(config, sink.parquet_options().clone())));
    }
    if let Some(sink) = pattern.downcast_ref::<CsvSink>() {
        let config = part_config(sink.config(), partition)?;
        return Ok(Arc::new(CsvSink::new(config, sink.writer_options().clone())));
    }
    if let Some(sink) = pattern.downcast_ref::<JsonSink>() {
        let config = part_config(sink.config(), partition)?;
        return Ok(Arc::new(JsonSink::new(config, sink.writer_options().clone())));
    }
    exec_err!("results are written as parquet, csv or json")
}

fn part_config(config: &FileSinkConfig, partition: usize) -> Result<FileSinkConfig> {
    let Some(folder) = config.table_paths.first() else {
        return exec_err!("the result has no place to go to");
    };
    let folder = folder.as_str().trim_end_matches('/');
    let file = ListingTableUrl::parse(format!("{folder}/{}", file_name(partition, &config.file_extension)))?;
    Ok(FileSinkConfig {
        table_paths: vec![file],
        file_output_mode: FileOutputMode::SingleFile,
        ..config.clone()
    })
}

/// Lets every partition write for itself where a plan would bring all rows to one place first.
#[derive(Debug)]
pub struct WriteInParts;

impl PhysicalOptimizerRule for WriteInParts {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| Ok(in_parts(&node).map_or_else(|| Transformed::no(node), Transformed::yes)))
            .map(|transformed| transformed.data)
    }

    fn name(&self) -> &'static str {
        "write_in_parts"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn in_parts(node: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>> {
    let exec = node.downcast_ref::<DataSinkExec>()?;
    let (config, sink) = clone_sink(exec.sink())?;
    let place = config.table_paths.first()?;
    if !config.table_partition_cols.is_empty() || config.file_output_mode.single_file_output(place) {
        return None;
    }
    // What brings all partitions together is there for the sink's sake. (A query with ORDER BY writes one file: see run.rs.)
    let input = exec.input();
    let merges = input.is::<CoalescePartitionsExec>() || input.is::<SortPreservingMergeExec>();
    let input = match input.children()[..] {
        [one] if merges && input.fetch().is_none() => one,
        _ => input,
    };
    // The counts come together in a stage of their own: of a query's last stage Ballista 55 keeps the places of results that were lost
    // with an executor beside those of their second run, and the client asks there in vain.
    let parts = Arc::new(PartsExec::new(input.clone(), sink, None));
    Some(Arc::new(CoalescePartitionsExec::new(parts)))
}

fn clone_sink(sink: &dyn DataSink) -> Option<(FileSinkConfig, Arc<dyn DataSink>)> {
    if let Some(sink) = sink.downcast_ref::<ParquetSink>() {
        let config = sink.config().clone();
        return Some((config.clone(), Arc::new(ParquetSink::new(config, sink.parquet_options().clone()))));
    }
    if let Some(sink) = sink.downcast_ref::<CsvSink>() {
        let config = sink.config().clone();
        return Some((config.clone(), Arc::new(CsvSink::new(config, sink.writer_options().clone()))));
    }
    if let Some(sink) = sink.downcast_ref::<JsonSink>() {
        let config = sink.config().clone();
        return Some((config.clone(), Arc::new(JsonSink::new(config, sink.writer_options().clone()))));
    }
    None
}

/// What stands before a part writer that travels to an executor.
const MARK: &[u8] = b"frostbert parts 1\n";

/// Ballista's way of sending plans, and ours for [`PartsExec`].
#[derive(Debug, Default)]
pub struct Codec {
    ballista: BallistaPhysicalExtensionCodec,
}

impl PhysicalExtensionCodec for Codec {
    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        ctx: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(sink) = buf.strip_prefix(MARK) else {
            return self.ballista.try_decode(buf, inputs, ctx, converter);
        };
        let node = PhysicalPlanNode::decode(sink).map_err(|error| {
            datafusion::common::DataFusionError::Internal(format!(
                "the plan to write the result cannot be read: {error}"
            ))
        })?;
        let plan = node.try_into_physical_plan(ctx, self)?;
        let sink = plan.downcast_ref::<DataSinkExec>().and_then(|exec| clone_sink(exec.sink()));
        match (sink, inputs) {
            (Some((_, sink)), [input]) => Ok(Arc::new(PartsExec::new(input.clone(), sink, None))),
            _ => internal_err!("the plan to write the result is none"),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let Some(parts) = node.downcast_ref::<PartsExec>() else {
            return self.ballista.try_encode(node, buf, converter);
        };
        let nothing = Arc::new(EmptyExec::new(parts.input.schema()));
        let sink: Arc<dyn ExecutionPlan> = Arc::new(DataSinkExec::new(nothing, parts.pattern.clone(), None));
        buf.extend_from_slice(MARK);
        buf.extend(PhysicalPlanNode::try_from_physical_plan(sink, self)?.encode_to_vec());
        Ok(())
    }

    fn try_decode_udf(&self, name: &str, buf: &[u8]) -> Result<Arc<ScalarUDF>> {
        self.ballista.try_decode_udf(name, buf)
    }

    fn try_encode_udf(&self, node: &ScalarUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.ballista.try_encode_udf(node, buf)
    }

    fn try_decode_higher_order_function(&self, name: &str, buf: &[u8]) -> Result<Arc<HigherOrderUDF>> {
        self.ballista.try_decode_higher_order_function(name, buf)
    }

    fn try_encode_higher_order_function(&self, node: &HigherOrderUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.ballista.try_encode_higher_order_function(node, buf)
    }

    fn try_decode_expr(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn PhysicalExpr>],
        ctx: &PhysicalExprDecodeCtx<'_>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        self.ballista.try_decode_expr(buf, inputs, ctx)
    }

    fn try_encode_expr(
        &self,
        node: &Arc<dyn PhysicalExpr>,
        buf: &mut Vec<u8>,
        ctx: &PhysicalExprEncodeCtx<'_>,
    ) -> Result<()> {
        self.ballista.try_encode_expr(node, buf, ctx)
    }

    fn try_decode_udaf(&self, name: &str, buf: &[u8]) -> Result<Arc<AggregateUDF>> {
        self.ballista.try_decode_udaf(name, buf)
    }

    fn try_encode_udaf(&self, node: &AggregateUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.ballista.try_encode_udaf(node, buf)
    }

    fn try_decode_udwf(&self, name: &str, buf: &[u8]) -> Result<Arc<WindowUDF>> {
        self.ballista.try_decode_udwf(name, buf)
    }

    fn try_encode_udwf(&self, node: &WindowUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.ballista.try_encode_udwf(node, buf)
    }
}
