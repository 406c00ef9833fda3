//! One tenant's view of one dataset: the lake's files and the recent rows as a single table.
//!
//! ```text
//!  1 pin recent rows      blocks 7 8 9 10        (of this node)
//!  2 take the snapshot    holds batches ..8      (committed(node) = 8)
//!  3 keep the later ones          9 10
//!
//!            Union --+-- Parquet scan of the snapshot's files
//!                    '-- stream of blocks 9, 10
//! ```
//!
//! # Invariants
//!
//! * Pin first, snapshot second. A row that leaves the recent rows between the two is in the
//!   snapshot; a row that reaches the lake between the two is known by its batch number.
//! * Where the tenant has a lake of its own, the default lake is read too, for what it holds from
//!   before. Its snapshot is the first: what it says is settled is in the second, and recent rows
//!   are left out where either has them.
//! * A query makes one such table for each dataset and every scan of the query uses it, so a
//!   self-join sees one state.
//! * Files that hold other tenants' rows too are read behind a fence that no predicate of the query
//!   crosses; see [`lake_scan`](crate::lake_scan).

use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::streaming::StreamingTableExec;
use datafusion::physical_plan::union::UnionExec;
use weir_lake::Snapshot;
use weir_model::{Dataset, RecentBlock, RecentRows, TenantId};

use crate::QueryError;
use crate::lake_scan::{LakeAccess, LakeScan};
use crate::recent::{OpenBlock, RecentStream};
use crate::store::Stores;

/// Recent rows below this are read by one thread.
const ROWS_PER_STREAM: usize = 32_768;

/// The state of a dataset in one of the tenant's lakes.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) access: Arc<LakeAccess>,
}

/// A dataset as one tenant sees it at one moment.
#[derive(Clone, Debug)]
pub(crate) struct TenantTable {
    dataset: Dataset,
    tenant: TenantId,
    stored: Vec<Stored>,
    recent: Vec<OpenBlock>,
    /// Whether the planner is told how many rows there are.
    counted: bool,
}

impl TenantTable {
    /// Takes the state of `dataset` as it is now.
    ///
    /// # Errors
    ///
    /// Where a lake's log cannot be read: an answer would miss rows.
    pub(crate) async fn open(
        dataset: Dataset,
        tenant: &TenantId,
        stores: &Stores,
        recent: &Arc<dyn RecentRows>,
    ) -> Result<Self, QueryError> {
        let rows = Arc::clone(recent);
        let pinned = tokio::task::spawn_blocking(move || rows.pin(dataset))
            .await
            .map_err(|_| QueryError::internal())?;
        let mut stored = Vec::new();
        // One after the other: see above.
        for place in stores.of(tenant) {
            stored.push(Stored {
                snapshot: place.snapshot(dataset).await?,
                access: Arc::clone(&place.access),
            });
        }
        let rows_from = |block: &Arc<dyn RecentBlock>| {
            let settled = |s: &Stored| s.snapshot.settled_rows(&pinned.node, block.batch());
            stored.iter().map(settled).max().unwrap_or(0)
        };
        let recent = pinned.blocks.into_iter().map(|block| OpenBlock {
            rows_from: rows_from(&block),
            block,
        });
        let recent = recent.filter(|open| open.rows_from < i32::MAX).collect();
        Ok(Self {
            dataset,
            tenant: tenant.clone(),
            recent,
            stored,
            counted: true,
        })
    }

    /// The same, as views read it: the planner is not told how many rows there are, since it would
    /// turn a view's joins by a guess at what their other side gives. A view says itself which
    /// side of a join is small.
    pub(crate) fn for_views(&self) -> Self {
        Self {
            counted: false,
            ..self.clone()
        }
    }

    /// The states of the lakes' tables that it shows.
    pub(crate) fn snapshots(&self) -> impl Iterator<Item = &Arc<Snapshot>> {
        self.stored.iter().map(|stored| &stored.snapshot)
    }

    /// The recent rows as a plan, spread over at most `streams` streams; `None` where none are.
    ///
    /// The blocks hold the rows of all tenants: however many these are, the plan shows `streams`
    /// streams, some of them without a block.
    fn recent_plan(
        &self,
        projection: &[usize],
        limit: Option<usize>,
        streams: usize,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if self.recent.is_empty() {
            return Ok(None);
        }
        let rows: usize = self.recent.iter().map(|b| b.block.rows()).sum();
        let wanted = rows.div_ceil(ROWS_PER_STREAM).clamp(1, streams.max(1));
        let per_stream = self.recent.len().div_ceil(wanted).max(1);
        let full = self.dataset.schema();
        let mut parts = Vec::new();
        for blocks in self.recent.chunks(per_stream) {
            let stream = RecentStream::new(
                blocks.to_vec(),
                self.tenant.clone(),
                Arc::clone(&full),
                projection.to_vec(),
            )?;
            parts.push(Arc::new(stream) as _);
        }
        for _ in parts.len()..streams {
            let (tenant, full) = (self.tenant.clone(), Arc::clone(&full));
            let empty = RecentStream::new(Vec::new(), tenant, full, projection.to_vec())?;
            parts.push(Arc::new(empty) as _);
        }
        let schema = Arc::new(full.project(projection)?);
        let plan = StreamingTableExec::try_new(schema, parts, None, [], false, limit)?;
        Ok(Some(Arc::new(plan)))
    }
}

#[async_trait]
impl TableProvider for TenantTable {
    fn schema(&self) -> SchemaRef {
        self.dataset.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        // Filters choose files here and are applied above: a file that is kept may hold others.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all = || (0..self.dataset.schema().fields().len()).collect();
        let projection = projection.cloned().unwrap_or_else(all);
        let streams = state.config().target_partitions();
        let mut inputs = Vec::new();
        for stored in &self.stored {
            let scan = LakeScan {
                dataset: self.dataset,
                tenant: &self.tenant,
                snapshot: &stored.snapshot,
                access: &stored.access,
                projection: &projection,
                filters,
                limit,
                counted: self.counted,
            };
            inputs.extend(scan.plans(state)?);
        }
        inputs.extend(self.recent_plan(&projection, limit, streams)?);
        if inputs.is_empty() {
            let schema = self.dataset.schema().project(&projection)?;
            return Ok(Arc::new(EmptyExec::new(Arc::new(schema))));
        }
        UnionExec::try_new(inputs)
    }
}

impl From<QueryError> for DataFusionError {
    fn from(error: QueryError) -> Self {
        Self::External(Box::new(error))
    }
}
