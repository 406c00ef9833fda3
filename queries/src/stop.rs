//! Makes a running query stoppable.
//!
//! A stopped query ends at the next moment at which one of its streams waits. Joins may not wait
//! for long: one batch from below can become millions of rows above (`FROM a, b, c`), all made
//! without asking below again, or none at all where the join's filter drops them. So joins are
//! made to fail once the query is stopped, at each batch that they give and each that they filter.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, FieldRef, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::unnest::UnnestExec;
use futures::StreamExt;

use crate::QueryError;
use crate::around::{Around, Execution};
use crate::once::Once;

/// Whether a query has been stopped; shared by its caller and its plan.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Stops the query; for good.
    pub(crate) fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Makes every join of `plan` stoppable by `stop`, and ends those that do not fit into memory.
///
/// # Errors
///
/// Where a join cannot be built anew, which would be a fault of ours.
pub(crate) fn stoppable(
    plan: Arc<dyn ExecutionPlan>,
    stop: &Stop,
) -> Result<Arc<dyn ExecutionPlan>> {
    let stoppable = plan.transform_up(|node| {
        if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
            let left = Arc::new(Around::new(Arc::clone(join.left()), Once::default()));
            let right = Arc::clone(join.right());
            let projection = join.projection().as_ref().map(|p| p.to_vec());
            let join = NestedLoopJoinExecBuilder::new(left, right, *join.join_type())
                .with_filter(join.filter().map(|f| checked(f, stop)))
                .with_projection(projection)
                .build()?;
            return Ok(ended(Arc::new(join), stop));
        }
        if let Some(join) = node.downcast_ref::<HashJoinExec>() {
            let filter = join.filter().map(|f| checked(f, stop));
            let join = join.builder().with_filter(filter).build_exec()?;
            return Ok(ended(join, stop));
        }
        if node.is::<CrossJoinExec>() || node.is::<UnnestExec>() {
            return Ok(ended(node, stop));
        }
        Ok(Transformed::no(node))
    })?;
    Ok(stoppable.data)
}

fn ended(input: Arc<dyn ExecutionPlan>, stop: &Stop) -> Transformed<Arc<dyn ExecutionPlan>> {
    Transformed::yes(Arc::new(Around::new(input, Stoppable(stop.clone()))))
}

/// A plan passes on what its input gives until the query is stopped.
#[derive(Debug)]
struct Stoppable(Stop);

impl Execution for Stoppable {
    const NAME: &'static str = "StoppableExec";

    fn renewed(&self) -> Self {
        Self(self.0.clone())
    }

    fn execute(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let stream = input.execute(partition, context)?;
        let stop = self.0.clone();
        let schema = stream.schema();
        let stream = stream.map(move |batch| {
            if stop.is_stopped() {
                return Err(QueryError::stopped().into());
            }
            batch
        });
        // It pauses too now and then, so that other queries get their turn.
        Ok(make_cooperative(Box::pin(RecordBatchStreamAdapter::new(
            schema, stream,
        ))))
    }
}

fn checked(filter: &JoinFilter, stop: &Stop) -> JoinFilter {
    let expression = Checked {
        inner: Arc::clone(filter.expression()),
        stop: stop.clone(),
    };
    JoinFilter::new(
        Arc::new(expression),
        filter.column_indices().to_vec(),
        Arc::clone(filter.schema()),
    )
}

/// An expression that fails once its query is stopped.
#[derive(Debug)]
struct Checked {
    inner: Arc<dyn PhysicalExpr>,
    stop: Stop,
}

impl PartialEq for Checked {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner) && Arc::ptr_eq(&self.stop.0, &other.stop.0)
    }
}

impl Eq for Checked {}

impl Hash for Checked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

impl PhysicalExpr for Checked {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if self.stop.is_stopped() {
            return Err(QueryError::stopped().into());
        }
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let inner = children.into_iter().next();
        let inner = inner.ok_or_else(|| DataFusionError::from(QueryError::internal()))?;
        Ok(Arc::new(Self {
            inner,
            stop: self.stop.clone(),
        }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}
