//! The rows of one tenant that are accepted but not yet in the lake, as a stream.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{BooleanArray, RecordBatch, RecordBatchOptions, Scalar, StringArray};
use arrow_schema::SchemaRef;
use arrow_select::coalesce::BatchCoalescer;
use arrow_select::filter::filter_record_batch;
use datafusion::arrow::compute::kernels::boolean::and;
use datafusion::arrow::compute::kernels::cmp::{eq, gt_eq};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream::{self, StreamExt, TryStreamExt};
use weir_model::{RecentBlock, TenantId};

use crate::QueryError;

/// Rows of a batch that are read and passed on together.
const ROWS_TOGETHER: usize = 8192;

/// Recent rows that share a batch number, and which of them the lake holds already.
#[derive(Clone, Debug)]
pub(crate) struct OpenBlock {
    /// The rows.
    pub(crate) block: Arc<dyn RecentBlock>,
    /// Rows with a `_row` below this are in the lake's snapshot.
    pub(crate) rows_from: i32,
}

/// Some recent blocks, read when they are asked for, with one tenant's rows and some columns kept.
///
/// The tenant filter is applied where the rows are read: no operator, and so no predicate of a
/// query, ever meets another tenant's row.
#[derive(Debug)]
pub(crate) struct RecentStream {
    blocks: Vec<OpenBlock>,
    tenant: TenantId,
    full: SchemaRef,
    projection: Vec<usize>,
    projected: SchemaRef,
}

impl RecentStream {
    /// The columns `projection` of the rows of `tenant` in `blocks`, whose schema is `full`.
    ///
    /// # Errors
    ///
    /// Where `projection` names a column that is not there.
    pub(crate) fn new(
        blocks: Vec<OpenBlock>,
        tenant: TenantId,
        full: SchemaRef,
        projection: Vec<usize>,
    ) -> Result<Self> {
        let projected = Arc::new(full.project(&projection)?);
        Ok(Self {
            blocks,
            tenant,
            full,
            projection,
            projected,
        })
    }
}

impl PartitionStream for RecentStream {
    fn schema(&self) -> &SchemaRef {
        &self.projected
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let reader = Arc::new(Reader {
            tenant: self.tenant.clone(),
            full: Arc::clone(&self.full),
            projection: self.projection.clone(),
            projected: Arc::clone(&self.projected),
        });
        let batches = stream::iter(together(&self.blocks))
            .then(move |blocks| {
                let reader = Arc::clone(&reader);
                // Blocks may be read back from the log on disk.
                let read = tokio::task::spawn_blocking(move || reader.read(&blocks));
                async move {
                    read.await
                        .map_err(|e| DataFusionError::External(e.into()))?
                }
            })
            .map_ok(|batches| stream::iter(batches.into_iter().map(Ok)))
            .try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.projected),
            batches,
        ))
    }
}

/// Gathers small blocks, so that each reading gives a good number of rows.
fn together(blocks: &[OpenBlock]) -> Vec<Vec<OpenBlock>> {
    let mut groups: Vec<Vec<OpenBlock>> = Vec::new();
    let mut rows = ROWS_TOGETHER;
    for block in blocks {
        if rows >= ROWS_TOGETHER {
            groups.push(Vec::new());
            rows = 0;
        }
        rows += block.block.rows();
        if let Some(group) = groups.last_mut() {
            group.push(block.clone());
        }
    }
    groups
}

/// Reads blocks and keeps what may be seen.
#[derive(Debug)]
struct Reader {
    tenant: TenantId,
    full: SchemaRef,
    projection: Vec<usize>,
    projected: SchemaRef,
}

impl Reader {
    fn read(&self, blocks: &[OpenBlock]) -> Result<Vec<RecordBatch>> {
        if self.projection.is_empty() {
            return self.count(blocks);
        }
        let mut coalesced = BatchCoalescer::new(Arc::clone(&self.projected), ROWS_TOGETHER)
            .with_biggest_coalesce_batch_size(Some(ROWS_TOGETHER / 2));
        let mut kept = Vec::new();
        for block in blocks {
            for batch in read_block(block)? {
                let mask = self.visible(&batch, block.rows_from)?;
                let columns = batch.project(&self.projection)?;
                let columns = columns.with_schema(Arc::clone(&self.projected))?;
                let visible = mask.true_count();
                if visible == columns.num_rows() {
                    coalesced.push_batch(columns)?;
                } else if visible > 0 {
                    coalesced.push_batch(filter_record_batch(&columns, &mask)?)?;
                }
                while let Some(full) = coalesced.next_completed_batch() {
                    kept.push(full);
                }
            }
        }
        coalesced.finish_buffered_batch()?;
        while let Some(rest) = coalesced.next_completed_batch() {
            kept.push(rest);
        }
        Ok(kept)
    }

    /// Rows without columns, as `count(*)` asks for them.
    fn count(&self, blocks: &[OpenBlock]) -> Result<Vec<RecordBatch>> {
        let mut rows = 0;
        for block in blocks {
            for batch in read_block(block)? {
                rows += self.visible(&batch, block.rows_from)?.true_count();
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let schema = Arc::clone(&self.projected);
        Ok(vec![RecordBatch::try_new_with_options(
            schema,
            Vec::new(),
            &options,
        )?])
    }

    /// Which rows are the tenant's, and not in the lake's snapshot.
    fn visible(&self, batch: &RecordBatch, rows_from: i32) -> Result<BooleanArray> {
        if batch.num_columns() != self.full.fields().len() {
            return Err(wrong_shape());
        }
        let tenants = batch.column_by_name("tenant_id").ok_or_else(wrong_shape)?;
        let tenant = Scalar::new(StringArray::from_iter_values([self.tenant.as_str()]));
        let mut mask = eq(tenants, &tenant)?;
        if rows_from > 0 {
            let rows = batch.column_by_name("_row").ok_or_else(wrong_shape)?;
            let rows = rows
                .as_primitive_opt::<Int32Type>()
                .ok_or_else(wrong_shape)?;
            let from = Scalar::new(arrow_array::Int32Array::from_iter_values([rows_from]));
            mask = and(&mask, &gt_eq(rows, &from)?)?;
        }
        Ok(mask)
    }
}

fn read_block(block: &OpenBlock) -> Result<Vec<RecordBatch>> {
    block.block.read().map_err(|error| {
        tracing::warn!(error = %error, "query.recent_rows.unreadable");
        DataFusionError::External(Box::new(QueryError::unavailable()))
    })
}

fn wrong_shape() -> DataFusionError {
    tracing::error!("query.recent_rows.wrong_schema");
    DataFusionError::External(Box::new(QueryError::internal()))
}
