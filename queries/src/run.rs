//! One query from its text to its rows.

use std::fmt;
use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_schema::SchemaRef;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
    MemorySchemaProvider, SchemaProvider, TableProvider,
};
use datafusion::common::TableReference;
use datafusion::config::Dialect;
use datafusion::datasource::ViewTable;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SessionState, TaskContext};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionConfig;
use datafusion::sql::parser::Statement as Parsed;
use futures::StreamExt;
use weir_lake::{Lakes, Snapshot};
use weir_model::{Dataset, RecentRows, TenantId};

use crate::functions;
use crate::growth::CheckGrowth;
use crate::guard::{self, Request};
use crate::pool::QueryPool;
use crate::rollup::TABLES;
use crate::stop::{Stop, stoppable};
use crate::store::{OnlyLake, Stores};
use crate::table::TenantTable;
use crate::views::{self, SUMS, View};
use crate::{EngineConfig, QueryError};

/// The names that stand before a table's, for tools that write them.
const CATALOG: &str = "weir";
const SCHEMA: &str = "public";

/// Memory for parsed Parquet footers, shared by all queries.
const FOOTER_CACHE_BYTES: usize = 64 << 20;

/// What an answer may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

/// The rows of an answer.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) truncated: bool,
}

/// What is to be answered.
#[derive(Clone, Debug)]
pub(crate) enum Statement {
    /// What a caller wrote.
    Asked(String),
    /// A statement of our own over the tables of sums.
    Rollup(String),
}

/// What all queries share.
pub(crate) struct Core {
    stores: Stores,
    recent: Arc<dyn RecentRows>,
    /// Functions, rules and settings, without a table; each query takes a copy.
    base: SessionState,
    memory: Arc<dyn MemoryPool>,
    config: EngineConfig,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Core {
    pub(crate) fn new(
        lakes: &Lakes,
        recent: Arc<dyn RecentRows>,
        config: EngineConfig,
        threads: usize,
    ) -> Result<Self, QueryError> {
        let stores = Stores::new(lakes, FOOTER_CACHE_BYTES)?;
        let env = RuntimeEnvBuilder::new()
            .with_object_store_registry(Arc::new(OnlyLake::new(stores.shared()?)))
            .with_disk_manager_builder(no_spill())
            .build_arc()?;
        let base = SessionStateBuilder::new()
            .with_config(session_config(threads))
            .with_runtime_env(env)
            .with_analyzer_rule(Arc::new(CheckGrowth));
        Ok(Self {
            stores,
            recent,
            base: functions::register(base).build(),
            memory: Arc::new(GreedyMemoryPool::new(config.memory_bytes)),
            config,
        })
    }

    /// Answers `sql` for `tenant`.
    ///
    /// # Errors
    ///
    /// See [`QueryError`].
    pub(crate) async fn run(
        &self,
        tenant: &TenantId,
        statement: &Statement,
        bounds: Bounds,
        stop: &Stop,
    ) -> Result<Rows, QueryError> {
        let sql = match statement {
            Statement::Asked(sql) => sql,
            Statement::Rollup(sql) => return self.rollup(tenant, sql, bounds, stop).await,
        };
        match guard::admit(sql, self.config.sql_bytes_max)? {
            Request::ShowTables => Ok(whole(views::list()?)),
            Request::Describe(table) => self.describe(tenant, &table).await,
            Request::Query(statement) => self.select(tenant, *statement, bounds, stop).await,
        }
    }

    /// Answers a statement of our own over the tables of sums.
    async fn rollup(
        &self,
        tenant: &TenantId,
        sql: &str,
        bounds: Bounds,
        stop: &Stop,
    ) -> Result<Rows, QueryError> {
        let mut session = self.session()?;
        let sums: Vec<TableReference> = SUMS
            .iter()
            .map(|d| TableReference::bare(d.name()))
            .collect();
        session.open(self, tenant, &sums).await?;
        session.open_sums().await?;
        let statement = session.state.sql_to_statement(sql, &Dialect::Generic)?;
        let plan = session.state.statement_to_plan(statement).await?;
        self.execute(&session, plan, bounds, stop).await
    }

    async fn describe(&self, tenant: &TenantId, table: &str) -> Result<Rows, QueryError> {
        if let Some(dataset) = Dataset::from_name(table) {
            return Ok(whole(views::describe(table, &dataset.schema())?));
        }
        let view = views::view(table).ok_or_else(|| unknown_table(table))?;
        let mut session = self.session()?;
        session
            .open(self, tenant, &[TableReference::bare(view.name)])
            .await?;
        if view.reads == SUMS {
            session.open_sums().await?;
        }
        let plan = session.plan_view(view).await?;
        Ok(whole(views::describe(table, plan.schema().as_arrow())?))
    }

    async fn select(
        &self,
        tenant: &TenantId,
        statement: Parsed,
        bounds: Bounds,
        stop: &Stop,
    ) -> Result<Rows, QueryError> {
        let mut session = self.session()?;
        let references = session.state.resolve_table_references(&statement)?;
        session.open(self, tenant, &references).await?;
        let plan = session.state.statement_to_plan(statement).await?;
        SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false)
            .verify_plan(&plan)?;
        self.execute(&session, plan, bounds, stop).await
    }

    async fn execute(
        &self,
        session: &Session,
        plan: LogicalPlan,
        bounds: Bounds,
        stop: &Stop,
    ) -> Result<Rows, QueryError> {
        let plan = limited(plan, bounds.rows)?;
        let physical = session.state.create_physical_plan(&plan).await?;
        let physical = stoppable(physical, stop)?;
        let context = TaskContext::from(&session.state).with_runtime(self.environment()?);
        let mut stream = execute_stream(physical, Arc::new(context))?;
        let mut rows = Rows {
            schema: stream.schema(),
            batches: Vec::new(),
            truncated: false,
        };
        let mut left = bounds;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(QueryError::of_running)?;
            if !rows.take(batch, &mut left)? {
                break;
            }
        }
        Ok(rows)
    }

    /// A session that knows no table yet.
    fn session(&self) -> Result<Session, QueryError> {
        let mut state = self.base.clone();
        let tables = Arc::new(MemorySchemaProvider::new());
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema(SCHEMA, Arc::clone(&tables) as _)?;
        let catalogs = MemoryCatalogProviderList::new();
        catalogs.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
        state.register_catalog_list(Arc::new(catalogs));
        // `now()` is the moment at which the query began, everywhere in it.
        state.mark_start_execution();
        Ok(Session {
            state,
            tables,
            sums: Vec::new(),
        })
    }

    /// Memory and spill space of one query.
    fn environment(&self) -> Result<Arc<RuntimeEnv>, QueryError> {
        let own = QueryPool::new(self.config.query_memory_bytes, Arc::clone(&self.memory));
        let mut env = self.base.runtime_env().as_ref().clone();
        env.memory_pool = Arc::new(own);
        let spill = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![
                self.config.spill_dir.clone(),
            ]))
            .with_max_temp_directory_size(self.config.spill_bytes)
            .build()?;
        env.disk_manager = Arc::new(spill);
        Ok(Arc::new(env))
    }
}

/// One query's session: the tables that it names, as they are for one tenant at one moment.
struct Session {
    state: SessionState,
    tables: Arc<MemorySchemaProvider>,
    /// The state of the tables of sums that are open, in each of the tenant's lakes.
    sums: Vec<(Dataset, Arc<Snapshot>)>,
}

impl Session {
    /// Opens the tables and views that a query refers to, and no others.
    async fn open(
        &mut self,
        core: &Core,
        tenant: &TenantId,
        references: &[TableReference],
    ) -> Result<(), QueryError> {
        let mut datasets: Vec<Dataset> = Vec::new();
        let mut used: Vec<&'static View> = Vec::new();
        for reference in references {
            let name = own_name(reference)?;
            if let Some(dataset) = Dataset::from_name(name) {
                datasets.push(dataset);
            } else {
                let view = views::view(name).ok_or_else(|| unknown_table(name))?;
                datasets.extend(view.reads);
                used.push(view);
            }
        }
        // Tables of sums first, the ledger after them: what the sums hold is then in it.
        datasets.sort_unstable_by_key(|d| (!SUMS.contains(d) || *d == Dataset::CostLedger, *d));
        datasets.dedup();
        let mut tables = Vec::new();
        for dataset in datasets {
            let table = TenantTable::open(dataset, tenant, &core.stores, &core.recent).await?;
            self.register(dataset.name(), Arc::new(table.for_views()))?;
            if SUMS.contains(&dataset) {
                let snapshots = table.snapshots();
                self.sums
                    .extend(snapshots.map(|s| (dataset, Arc::clone(s))));
            }
            tables.push((dataset, table));
        }
        if used.iter().any(|view| view.reads == SUMS) {
            self.open_sums().await?;
        }
        let mut views = Vec::new();
        for view in used {
            views.push((view.name, self.plan_view(view).await?));
        }
        // Views are planned over what stands under the datasets' names until here.
        for (dataset, table) in tables {
            self.register(dataset.name(), Arc::new(table))?;
        }
        for table in TABLES {
            self.tables.deregister_table(table.name)?;
        }
        for (name, plan) in views {
            self.register(name, Arc::new(ViewTable::new(plan, None)))?;
        }
        Ok(())
    }

    /// Puts `table` in the place of the name.
    fn register(&self, name: &str, table: Arc<dyn TableProvider>) -> Result<(), QueryError> {
        self.tables.deregister_table(name)?;
        self.tables.register_table(name.to_owned(), table)?;
        Ok(())
    }

    /// Opens the tables that only views and rollups see, over what stands under the datasets'
    /// names.
    async fn open_sums(&self) -> Result<(), QueryError> {
        for table in TABLES {
            let open = self.sums.iter().filter(|(of, _)| table.sums == Some(*of));
            let sql = table.sql(open.map(|(_, snapshot)| snapshot.as_ref()));
            let statement = self.state.sql_to_statement(&sql, &Dialect::Generic)?;
            let plan = self.state.statement_to_plan(statement).await?;
            self.register(table.name, Arc::new(ViewTable::new(plan, None)))?;
        }
        Ok(())
    }

    /// Plans a view over the datasets that stand under their names now.
    async fn plan_view(&self, view: &View) -> Result<LogicalPlan, QueryError> {
        if let Some(below) = view.over.and_then(views::view) {
            let plan = self.plan(below).await?;
            self.register(below.name, Arc::new(ViewTable::new(plan, None)))?;
        }
        self.plan(view).await
    }

    async fn plan(&self, view: &View) -> Result<LogicalPlan, QueryError> {
        let statement = self
            .state
            .sql_to_statement(&view.sql(), &Dialect::Generic)?;
        Ok(self.state.statement_to_plan(statement).await?)
    }
}

/// A table's name, where nothing but our own catalog stands before it.
fn own_name(reference: &TableReference) -> Result<&str, QueryError> {
    let catalog = reference.catalog().is_none_or(|c| c == CATALOG);
    let schema = reference.schema().is_none_or(|s| s == SCHEMA);
    if catalog && schema {
        Ok(reference.table())
    } else {
        Err(unknown_table(&reference.to_string()))
    }
}

fn unknown_table(name: &str) -> QueryError {
    // The name is the caller's own word; it is cut, as any message is.
    let name: String = name.chars().take(80).collect();
    QueryError::new(
        crate::ErrorKind::Invalid,
        "table_unknown",
        format!("there is no table `{name}`; SHOW TABLES lists them"),
    )
}

/// Stops a plan one row after the limit, so that a sort above many rows keeps only the first ones.
fn limited(plan: LogicalPlan, rows: usize) -> Result<LogicalPlan, QueryError> {
    if matches!(plan, LogicalPlan::Explain(_)) {
        return Ok(plan);
    }
    let limited = LogicalPlanBuilder::from(plan).limit(0, Some(rows.saturating_add(1)))?;
    Ok(limited.build()?)
}

fn whole(batch: RecordBatch) -> Rows {
    Rows {
        schema: batch.schema(),
        batches: vec![batch],
        truncated: false,
    }
}

impl Rows {
    /// Takes what fits of `batch`; `false` where no more is wanted.
    fn take(&mut self, batch: RecordBatch, left: &mut Bounds) -> Result<bool, QueryError> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(true);
        }
        let bytes = batch_bytes(&batch)?;
        let fit = if bytes <= left.bytes {
            rows
        } else {
            // Rows of a batch are taken to be of one width: the limit is a guard, not a ruler.
            left.bytes / (bytes / rows).max(1)
        };
        let fit = fit.min(left.rows).min(rows);
        if fit == rows {
            left.rows -= rows;
            left.bytes = left.bytes.saturating_sub(bytes);
            self.batches.push(batch);
            return Ok(true);
        }
        if fit > 0 {
            self.batches.push(batch.slice(0, fit));
        }
        self.truncated = true;
        Ok(false)
    }
}

/// What the rows hold, counted once even where they are a slice of more.
fn batch_bytes(batch: &RecordBatch) -> Result<usize, QueryError> {
    let mut bytes = 0_usize;
    for column in batch.columns() {
        let data = column.to_data();
        let size = data
            .get_slice_memory_size()
            .map_err(|_| QueryError::internal())?;
        bytes = bytes.saturating_add(size);
    }
    Ok(bytes)
}

fn no_spill() -> DiskManagerBuilder {
    DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled)
}

fn session_config(threads: usize) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_target_partitions(threads)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_information_schema(false);
    let options = config.options_mut();
    options.execution.enable_recursive_ctes = false;
    // Texts are plain UTF-8 in the model, in files and in memory; views would only appear in
    // answers, where some readers do not know them.
    options.execution.parquet.schema_force_view_types = false;
    options.sql_parser.map_string_types_to_utf8view = false;
    // The scan evaluates predicates while it decodes: columns of rows that do not match are not
    // decoded.
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    config
}
