//! Small record batches are joined before a function of ours sees them: a file of short row groups, or a filter that leaves few
//! rows of each batch, costs the encoder nothing.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
#[expect(
    deprecated,
    reason = "its successors join batches inside of other operators, none of which calls functions"
)]
use datafusion::physical_plan::coalesce_batches::CoalesceBatchesExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;

use crate::functions::is_ours;

/// Rows that a function is given at once, where there are so many.
const ROWS: usize = 8192;

/// Puts an operator that joins record batches below every projection and filter that calls a function of ours.
#[derive(Debug)]
pub struct PackRows;

impl PhysicalOptimizerRule for PackRows {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            if !calls_ours(&node) {
                return Ok(Transformed::no(node));
            }
            let children = node.children().into_iter().map(|child| packed(child)).collect();
            #[expect(
                deprecated,
                reason = "the children have the same properties, and this works for every operator"
            )]
            node.with_new_children(children).map(Transformed::yes)
        })
        .map(|transformed| transformed.data)
    }

    fn name(&self) -> &'static str {
        "pack_rows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// A rule that lets plans alone in which a function of ours is called: for the one that moves projections into scans, where a function
/// would see record batches as they come from a file.
#[derive(Debug)]
pub struct UnlessOurs(pub Arc<dyn PhysicalOptimizerRule + Send + Sync>);

impl PhysicalOptimizerRule for UnlessOurs {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if plan.exists(|node| Ok(calls_ours(node)))? { Ok(plan) } else { self.0.optimize(plan, config) }
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

#[expect(deprecated, reason = "as above")]
fn packed(child: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    if child.downcast_ref::<CoalesceBatchesExec>().is_some() {
        return child.clone();
    }
    Arc::new(CoalesceBatchesExec::new(child.clone(), ROWS))
}

fn calls_ours(node: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
        return projection.expr().iter().any(|one| has_ours(&one.expr));
    }
    node.downcast_ref::<FilterExec>().is_some_and(|filter| has_ours(filter.predicate()))
}

fn has_ours(expression: &Arc<dyn PhysicalExpr>) -> bool {
    let mut found = false;
    // The closure gives no errors.
    let _ = expression.apply(|part| {
        let function = part.downcast_ref::<ScalarFunctionExpr>();
        found |= function.is_some_and(|function| is_ours(function.name()));
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}
