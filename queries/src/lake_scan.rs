//! A tenant's rows in the lake as plain Parquet scans.
//!
//! In a table that is partitioned by tenant, a file holds one tenant's rows, by the path it has:
//! the scan takes the caller's files and no others, so any predicate may be pushed into it.
//!
//! In a table that is partitioned by date alone, files are shared. There the tenant's rows are
//! taken out behind a fence: a stream that the optimiser cannot look into. No predicate of a query
//! is evaluated on another tenant's row, or on statistics made from one, so none can tell by an
//! error, by its plan or by what is skipped, what is in there. Only predicates on the day choose
//! among shared files, by the day in their paths; and the fence has the same number of streams
//! whichever files lie behind it, so that a plan does not count them.

use std::sync::Arc;

use arrow_schema::{FieldRef, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, ScalarValue, Statistics};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use object_store::ObjectStore;
use object_store::path::Path;
use weir_lake::{LakeFile, Snapshot};
use weir_model::{Dataset, TenantId};

use crate::QueryError;
use crate::prune;
use crate::store::OnlyLake;

/// The partition columns, which are in the files' paths and not in the files.
const TENANT: &str = "tenant_id";
const DATE: &str = "part_date";

/// What a record batch should hold at most, in bytes as stored: what is decoded is several times
/// that, and the memory of a batch being read is in no query's account.
const BATCH_STORED_BYTES: u64 = 4 << 20;
/// The most rows of a record batch.
const BATCH_ROWS_MAX: u64 = 8192;
/// The fewest rows of a record batch, however wide they are.
const BATCH_ROWS_MIN: u64 = 64;

/// How the lake's files are reached.
#[derive(Debug)]
pub(crate) struct LakeAccess {
    /// The store that holds them, with the lake as its root.
    pub(crate) store: Arc<dyn ObjectStore>,
    /// Parsed footers, which never change as files never do.
    pub(crate) footers: Arc<FileMetadataCache>,
}

/// One scan of a dataset's files for one tenant.
#[derive(Debug)]
pub(crate) struct LakeScan<'a> {
    pub(crate) dataset: Dataset,
    pub(crate) tenant: &'a TenantId,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) access: &'a LakeAccess,
    /// Columns by their place in the dataset's schema.
    pub(crate) projection: &'a [usize],
    /// The query's predicates; they choose among the tenant's own files only.
    pub(crate) filters: &'a [Expr],
    pub(crate) limit: Option<usize>,
    /// Whether the plan says how many rows the tenant's own files hold.
    pub(crate) counted: bool,
}

impl LakeScan<'_> {
    /// The scans that together give the tenant's rows in the snapshot; none where there are none.
    ///
    /// # Errors
    ///
    /// Where a file of the snapshot cannot be placed: skipping it would miss rows.
    pub(crate) fn plans(&self, state: &dyn Session) -> Result<Vec<Arc<dyn ExecutionPlan>>> {
        let files = self.snapshot.files().iter();
        let (mut own, mut shared) = (Vec::new(), Vec::new());
        for file in files {
            match &file.tenant {
                Some(tenant) if tenant == self.tenant => {
                    check_folder(file, tenant)?;
                    own.push(file.as_ref());
                }
                Some(_) => {}
                None => shared.push(file.as_ref()),
            }
        }
        let mut plans = Vec::new();
        if !own.is_empty() {
            plans.extend(self.own_files(&own, state)?);
        }
        if !shared.is_empty() {
            plans.push(self.shared_files(&shared, state)?);
        }
        Ok(plans)
    }

    /// Files that hold this tenant's rows and no others.
    fn own_files(
        &self,
        files: &[&LakeFile],
        state: &dyn Session,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let table = self.table_schema(&[TENANT, DATE])?;
        let kept = match conjunction(self.filters.iter().cloned()) {
            Some(filter) => {
                let predicate = physical(&filter, table.table_schema(), state)?;
                prune::keep(files, &predicate, table.table_schema())
            }
            None => files.to_vec(),
        };
        if kept.is_empty() {
            return Ok(None);
        }
        let tenant = ScalarValue::from(self.tenant.as_str());
        let values = |file: &LakeFile| Ok(vec![tenant.clone(), date(file)?]);
        let source = self.source(&table, state);
        let mut rows = Precision::Exact(0_usize);
        for file in &kept {
            rows = rows.add(&row_count(file));
        }
        let mut statistics = Statistics::new_unknown(table.table_schema());
        if self.counted {
            statistics.num_rows = rows;
        }
        let groups = self.groups(&kept, values, state)?;
        let projection = self.places(self.projection.iter().copied(), table.table_schema())?;
        let config = FileScanConfigBuilder::new(OnlyLake::url()?, Arc::new(source))
            .with_file_groups(groups)
            .with_projection_indices(Some(projection))?
            .with_limit(self.limit)
            .with_batch_size(Some(batch_rows(&kept)))
            .with_statistics(statistics)
            .build();
        Ok(Some(DataSourceExec::from_data_source(config)))
    }

    /// Files that hold rows of several tenants.
    fn shared_files(
        &self,
        files: &[&LakeFile],
        state: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let table = self.table_schema(&[DATE])?;
        let full = table.table_schema();
        let files = match conjunction(self.filters.iter().filter(|f| only_of_day(f)).cloned()) {
            Some(days) => prune::keep(files, &physical(&days, full, state)?, full),
            None => files.to_vec(),
        };
        if files.is_empty() {
            return self.fence(None, state);
        }
        let mine = col(TENANT).eq(lit(self.tenant.as_str()));
        let source = self
            .source(&table, state)
            .with_predicate(physical(&mine, full, state)?);
        // The tenant is read beside the columns asked for, and taken off again after the filter.
        let tenant_place = self.dataset.schema().index_of(TENANT)?;
        let asked = self.projection.iter().position(|c| *c == tenant_place);
        let beside = asked.is_none().then_some(tenant_place);
        let wanted = self.projection.iter().copied().chain(beside);
        let config = FileScanConfigBuilder::new(OnlyLake::url()?, Arc::new(source))
            .with_file_groups(self.groups(&files, |file| Ok(vec![date(file)?]), state)?)
            .with_projection_indices(Some(self.places(wanted, full)?))?
            .with_batch_size(Some(batch_rows(&files)))
            .build();
        let scan = DataSourceExec::from_data_source(config);
        let filter = physical(&mine, &scan.schema(), state)?;
        let mine_only: Arc<dyn ExecutionPlan> = Arc::new(FilterExec::try_new(filter, scan)?);
        let columns = (0..self.projection.len()).map(|at| {
            let field = mine_only.schema().field(at).name().clone();
            ProjectionExpr {
                expr: Arc::new(datafusion::physical_expr::expressions::Column::new(
                    &field, at,
                )),
                alias: field,
            }
        });
        let columns: Vec<_> = columns.collect();
        let projected: Arc<dyn ExecutionPlan> =
            Arc::new(ProjectionExec::try_new(columns, mine_only)?);
        self.fence(Some(projected), state)
    }

    /// Hides `inner` from the optimiser, also how many streams it has; `None` gives no rows.
    fn fence(
        &self,
        inner: Option<Arc<dyn ExecutionPlan>>,
        state: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = Arc::new(self.dataset.schema().project(self.projection)?);
        let streams = state.config().target_partitions().max(1);
        let inner_streams = |i: &Arc<dyn ExecutionPlan>| i.output_partitioning().partition_count();
        let used = inner.as_ref().map_or(0, inner_streams);
        let parts = (0..streams.max(used)).map(|partition| {
            Arc::new(Fenced {
                schema: Arc::clone(&schema),
                inner: inner.clone().filter(|_| partition < used),
                partition,
            }) as Arc<dyn PartitionStream>
        });
        let parts = parts.collect();
        let plan = StreamingTableExec::try_new(schema, parts, None, [], false, self.limit)?;
        Ok(Arc::new(plan))
    }

    /// The files' schema, and after it the columns that come from their paths.
    fn table_schema(&self, partitions: &[&str]) -> Result<TableSchema> {
        let full = self.dataset.schema();
        let mut in_path: Vec<FieldRef> = Vec::new();
        for name in partitions {
            in_path.push(Arc::new(full.field_with_name(name)?.clone()));
        }
        let in_files = full.fields().iter();
        let in_files = in_files.filter(|f| !partitions.contains(&f.name().as_str()));
        let file_schema = Schema::new(in_files.cloned().collect::<Vec<_>>());
        Ok(TableSchema::builder(Arc::new(file_schema))
            .with_table_partition_cols(in_path)
            .build())
    }

    /// The places in `table` of columns given by their place in the dataset's schema.
    fn places(
        &self,
        columns: impl Iterator<Item = usize>,
        table: &SchemaRef,
    ) -> Result<Vec<usize>> {
        let full = self.dataset.schema();
        let place = |column: usize| {
            let field = full.fields().get(column).ok_or_else(|| fault("column"))?;
            Ok(table.index_of(field.name())?)
        };
        columns.map(place).collect()
    }

    fn source(&self, table: &TableSchema, state: &dyn Session) -> ParquetSource {
        let mut options = TableParquetOptions::default();
        options.global = state.config().options().execution.parquet.clone();
        let reader = CachedParquetFileReaderFactory::new(
            Arc::clone(&self.access.store),
            Arc::clone(&self.access.footers),
        );
        ParquetSource::new(table.clone())
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(reader))
    }

    /// The files as the scan takes them, spread over the threads.
    fn groups(
        &self,
        files: &[&LakeFile],
        values: impl Fn(&LakeFile) -> Result<Vec<ScalarValue>>,
        state: &dyn Session,
    ) -> Result<Vec<FileGroup>> {
        let mut placed = Vec::with_capacity(files.len());
        for file in files {
            let path = format!("{}/{}", self.dataset.name(), file.path);
            let path = Path::parse(path).map_err(|_| fault("path"))?;
            let mut part = PartitionedFile::new(String::new(), file.size);
            part.object_meta.location = path;
            part.partition_values = values(file)?;
            placed.push(part);
        }
        let streams = state.config().target_partitions();
        Ok(FileGroup::new(placed).split_files(streams.max(1)))
    }
}

/// One partition of a plan that the optimiser cannot look into.
#[derive(Debug)]
struct Fenced {
    schema: SchemaRef,
    inner: Option<Arc<dyn ExecutionPlan>>,
    partition: usize,
}

impl PartitionStream for Fenced {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let inner = self.inner.as_ref();
        let failed = match inner.map(|inner| inner.execute(self.partition, context)) {
            Some(Ok(stream)) => return stream,
            Some(Err(error)) => Some(Err(error)),
            None => None,
        };
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            futures::stream::iter(failed),
        ))
    }
}

/// Whether `filter` speaks of the partition's day and of nothing in a row.
fn only_of_day(filter: &Expr) -> bool {
    let columns = filter.column_refs();
    !columns.is_empty() && columns.iter().all(|column| column.name == DATE)
}

/// The log says whose file it is, and so does its folder where it has one; where the two differ,
/// neither is trusted.
fn check_folder(file: &LakeFile, tenant: &TenantId) -> Result<()> {
    let mut folders = file.path.split('/').filter_map(|part| {
        let (name, value) = part.split_once('=')?;
        (name == TENANT).then_some(value)
    });
    if folders.all(|folder| folder == tenant.as_str()) {
        Ok(())
    } else {
        Err(fault("a file of this tenant lies in another one's folder"))
    }
}

fn physical(
    filter: &Expr,
    schema: &SchemaRef,
    state: &dyn Session,
) -> Result<Arc<dyn PhysicalExpr>> {
    let named = DFSchema::try_from(Arc::clone(schema))?;
    state.create_physical_expr(filter.clone(), &named)
}

fn date(file: &LakeFile) -> Result<ScalarValue> {
    let days = file.part_date.ok_or_else(|| fault("part_date"))?;
    Ok(ScalarValue::Date32(Some(days)))
}

/// A file that another writer made may lack the count, which then reads as 0.
fn row_count(file: &LakeFile) -> Precision<usize> {
    match usize::try_from(file.rows) {
        Ok(rows) if rows > 0 => Precision::Exact(rows),
        Ok(_) | Err(_) => Precision::Absent,
    }
}

/// How many rows to read at once, so that wide rows do not make huge batches.
fn batch_rows(files: &[&LakeFile]) -> usize {
    let widest = files.iter().map(|f| f.size / f.rows.max(1)).max();
    let rows = BATCH_STORED_BYTES / widest.unwrap_or(1).max(1);
    usize::try_from(rows.clamp(BATCH_ROWS_MIN, BATCH_ROWS_MAX)).unwrap_or(1024)
}

fn fault(what: &'static str) -> DataFusionError {
    tracing::error!(what, "query.lake_scan.fault");
    QueryError::internal().into()
}
