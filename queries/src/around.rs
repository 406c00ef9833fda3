//! A plan around another: the same rows in the same order, executed in another way.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

use crate::QueryError;

/// How the plan inside is executed.
pub(crate) trait Execution: fmt::Debug + Send + Sync + 'static {
    /// What a plan is shown as.
    const NAME: &'static str;

    /// The same around another input, which was not executed yet.
    fn renewed(&self) -> Self;

    /// Executes one partition of `input`.
    fn execute(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream>;
}

/// `input`, executed as `execution` says.
#[derive(Debug)]
pub(crate) struct Around<E> {
    input: Arc<dyn ExecutionPlan>,
    execution: E,
}

impl<E: Execution> Around<E> {
    /// A plan around `input`.
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>, execution: E) -> Self {
        Self { input, execution }
    }
}

impl<E: Execution> DisplayAs for Around<E> {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(E::NAME)
    }
}

impl<E: Execution> ExecutionPlan for Around<E> {
    fn name(&self) -> &'static str {
        E::NAME
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
        Ok(Arc::new(Self::new(input, self.execution.renewed())))
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
        self.execution.execute(&self.input, partition, context)
    }
}
