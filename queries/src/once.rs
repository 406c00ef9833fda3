//! Makes the left side of a nested loop join executable once.
//!
//! Where that side does not fit into memory, the join of DataFusion 55 executes it a second time and
//! spills it. Most plans cannot be executed twice: an exchange below it panics, so that a query too
//! large for its memory failed as a fault of the server. Where it works, joins that keep the left
//! side's unmatched rows may give them once per partition. So the second execution is refused in the
//! words of the first: the query needs more memory than it may use.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

use crate::QueryError;

/// A plan that gives its rows to the first who asks, and to nobody else.
#[derive(Debug)]
pub(crate) struct OnceExec {
    input: Arc<dyn ExecutionPlan>,
    executed: AtomicBool,
}

impl OnceExec {
    /// `input`, to be executed once; it has one partition, as a join's left side must.
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        Self {
            input,
            executed: AtomicBool::new(false),
        }
    }
}

impl DisplayAs for OnceExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnceExec")
    }
}

impl ExecutionPlan for OnceExec {
    fn name(&self) -> &'static str {
        "OnceExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.into_iter().next();
        let input = input.ok_or_else(|| DataFusionError::from(QueryError::internal()))?;
        Ok(Arc::new(Self::new(input)))
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        if self.executed.swap(true, Ordering::Relaxed) {
            let text = "the left side of a nested loop join does not fit into memory";
            return Err(DataFusionError::ResourcesExhausted(text.to_owned()));
        }
        self.input.execute(partition, context)
    }
}
