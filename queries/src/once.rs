//! Makes the left side of a nested loop join executable once.
//!
//! Where that side does not fit into memory, the join of DataFusion 55 executes it a second time and
//! spills it. Most plans cannot be executed twice: an exchange below it panics, so that a query too
//! large for its memory failed as a fault of the server. Where it works, joins that keep the left
//! side's unmatched rows may give them once per partition. So the second execution is refused in the
//! words of the first: the query needs more memory than it may use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;

use crate::around::Execution;

/// A plan gives its rows to the first who asks, and to nobody else; it has one partition, as a join's
/// left side must.
#[derive(Debug, Default)]
pub(crate) struct Once {
    executed: AtomicBool,
}

impl Execution for Once {
    const NAME: &'static str = "OnceExec";

    fn renewed(&self) -> Self {
        Self::default()
    }

    fn execute(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        if self.executed.swap(true, Ordering::Relaxed) {
            let text = "the left side of a nested loop join does not fit into memory";
            return Err(DataFusionError::ResourcesExhausted(text.to_owned()));
        }
        input.execute(partition, context)
    }
}
