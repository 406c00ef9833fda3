//! The engine: who may ask, how many at once, for how long.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use weir_lake::Lakes;
use weir_model::{RecentRows, TenantId};

use crate::error::ErrorKind;
use crate::run::{Bounds, Core, Rows, Statement};
use crate::stop::Stop;
use crate::{QueryError, Rollup, RollupQuestion};

/// The stack of a thread that runs queries, in bytes.
const STACK_BYTES: usize = 32 << 20;
/// How long a query waits for one of those before it to end.
const SLOT_WAIT_MAX: Duration = Duration::from_secs(2);

/// What queries may use.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Memory of all queries together, in bytes. Default 512 MiB.
    pub memory_bytes: usize,
    /// Memory of one query, in bytes. Default 256 MiB.
    pub query_memory_bytes: usize,
    /// Disk that one query may spill to, in bytes. Default 4 GiB.
    pub spill_bytes: u64,
    /// Where queries spill to; made when first needed, and this engine's alone: what an earlier
    /// one has left there is removed when an engine is made.
    pub spill_dir: PathBuf,
    /// Most rows of an answer; further ones are cut off and the answer says so. Default 100,000.
    pub rows_max: usize,
    /// Most bytes of an answer in memory; further rows are cut off. Default 64 MiB.
    pub bytes_max: usize,
    /// Most time that a query may take. Default 30 s.
    pub timeout: Duration,
    /// Longest SQL text, in bytes. Default 64 KiB.
    pub sql_bytes_max: usize,
    /// Queries that run at once; more are refused. Default 8.
    pub queries_max: usize,
    /// Threads that run queries; 0 takes as many as there are cores.
    pub threads: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            memory_bytes: 512 << 20,
            query_memory_bytes: 256 << 20,
            spill_bytes: 4 << 30,
            spill_dir: std::env::temp_dir().join(format!("weir-spill-{}", std::process::id())),
            rows_max: 100_000,
            bytes_max: 64 << 20,
            timeout: Duration::from_secs(30),
            sql_bytes_max: 64 << 10,
            queries_max: 8,
            threads: 0,
        }
    }
}

/// What the caller of one query asks for; never more than the [`EngineConfig`] allows.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueryLimits {
    /// Most rows of the answer.
    pub rows_max: Option<usize>,
    /// Most bytes of the answer in memory.
    pub bytes_max: Option<usize>,
    /// Most time.
    pub timeout: Option<Duration>,
}

/// The rows that a query gave.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Their columns; also there where there are no rows.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// Whether rows were cut off by a limit on the answer.
    pub truncated: bool,
    /// How long it took.
    pub elapsed: Duration,
}

impl Answer {
    /// How many rows.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// Answers SQL; see the [crate](crate) for what it promises.
///
/// It has threads of its own, since a query may keep a thread busy for long and must not hold up
/// those that accept rows.
#[derive(Debug)]
pub struct Engine {
    core: Arc<Core>,
    slots: Arc<Semaphore>,
    config: EngineConfig,
    /// `None` only while it is being dropped.
    threads: Option<Runtime>,
}

impl Engine {
    /// An engine over the lakes and the rows that are not in them yet.
    ///
    /// # Errors
    ///
    /// Where its threads or its memory cannot be set up.
    pub fn new(
        lakes: impl Into<Lakes>,
        recent: Arc<dyn RecentRows>,
        config: EngineConfig,
    ) -> Result<Self, QueryError> {
        clear_spill(&config.spill_dir);
        let threads = match config.threads {
            0 => std::thread::available_parallelism().map_or(2, usize::from),
            n => n,
        };
        // Plans are trees that are walked by recursion; the pages of a stack are only taken up
        // when they are used.
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("weir-query")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .map_err(|error| {
                tracing::error!(%error, "query.threads.failed");
                QueryError::internal()
            })?;
        let core = Core::new(&lakes.into(), recent, config.clone(), threads)?;
        Ok(Self {
            core: Arc::new(core),
            slots: Arc::new(Semaphore::new(config.queries_max.max(1))),
            config,
            threads: Some(runtime),
        })
    }

    /// Runs one statement for `tenant` and gives its rows, or the first of them up to the limits.
    ///
    /// What is accepted on this node when the call begins is in the answer, whether it has reached
    /// the lake or not. It must be called within a tokio runtime that has a timer.
    ///
    /// # Errors
    ///
    /// See [`QueryError::kind`]; there is no answer then, not even a part of one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the query.
    pub async fn query(
        &self,
        tenant: &TenantId,
        sql: &str,
        limits: &QueryLimits,
    ) -> Result<Answer, QueryError> {
        let statement = Statement::Asked(sql.to_owned());
        self.answer(tenant, statement, limits).await
    }

    /// Sums up the bookings of `tenant`: from the tables of sums where they reach, and from the
    /// ledger beyond; see [`RollupQuestion`].
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query); and `query_rows` where there are more groups than an answer may
    /// have rows, since totals over some of them would be wrong.
    pub async fn rollup(
        &self,
        tenant: &TenantId,
        question: &RollupQuestion,
    ) -> Result<Rollup, QueryError> {
        if question.segments().is_empty() {
            return Ok(Rollup {
                by: question.by.clone(),
                ..Rollup::default()
            });
        }
        let statement = Statement::Rollup(question.sql());
        let limits = QueryLimits::default();
        let answer = self.answer(tenant, statement, &limits).await?;
        if answer.truncated {
            let text = "there are more groups than an answer may have; ask for a shorter time, or \
                        group by less";
            return Err(QueryError::refused("query_rows", text));
        }
        Rollup::read(&question.by, &answer).ok_or_else(|| {
            tracing::error!("query.rollup.unreadable");
            QueryError::internal()
        })
    }

    async fn answer(
        &self,
        tenant: &TenantId,
        statement: Statement,
        limits: &QueryLimits,
    ) -> Result<Answer, QueryError> {
        let started = Instant::now();
        let config = &self.config;
        let bounds = Bounds {
            rows: limits
                .rows_max
                .map_or(config.rows_max, |n| n.min(config.rows_max)),
            bytes: limits
                .bytes_max
                .map_or(config.bytes_max, |n| n.min(config.bytes_max)),
        };
        let limit = limits
            .timeout
            .map_or(config.timeout, |t| t.min(config.timeout));
        let slot = self.slot(limit).await?;
        let threads = self.threads.as_ref().ok_or_else(QueryError::internal)?;
        let core = Arc::clone(&self.core);
        let tenant = tenant.clone();
        let stop = Stop::default();
        let stopped = stop.clone();
        let task = threads.spawn(async move {
            let answer = core.run(&tenant, &statement, bounds, &stopped).await;
            // The slot is given back when the work has really ended: what is stopped in the midst
            // of a long step still takes up a thread.
            drop(slot);
            answer
        });
        let mut task = StopOnDrop(task, stop);
        let left = limit.saturating_sub(started.elapsed());
        let Ok(ended) = tokio::time::timeout(left, &mut task.0).await else {
            return Err(QueryError::timed_out(limit));
        };
        let rows = ended.map_err(|error| {
            if error.is_cancelled() {
                // The engine's threads end under it: the node stops.
                return QueryError::unavailable();
            }
            tracing::error!(%error, "query.panicked");
            QueryError::internal()
        })??;
        Ok(Answer {
            schema: rows.schema,
            batches: rows.batches,
            truncated: rows.truncated,
            elapsed: started.elapsed(),
        })
    }

    /// The spans of one trace in the order of their start, with what a tree of them shows.
    ///
    /// # Errors
    ///
    /// Where `trace_id` is not 32 hex digits, or as [`query`](Self::query).
    pub async fn trace(&self, tenant: &TenantId, trace_id: &str) -> Result<Answer, QueryError> {
        let hex = trace_id.len() == 32 && trace_id.bytes().all(|b| b.is_ascii_hexdigit());
        if !hex {
            return Err(QueryError::invalid("a trace id is 32 hex digits"));
        }
        let id = trace_id.to_ascii_lowercase();
        let sql = format!(
            "SELECT span_id, parent_span_id, name, kind, start_time, end_time, duration_nanos, \
             status_code, status_message, service_name, op_kind, model, agent_name, skill_name, \
             tool_name, usage_input_tokens, usage_output_tokens, cost_usd, error_type \
             FROM spans WHERE trace_id = '{id}' ORDER BY start_time, start_time_unix_nano, span_id"
        );
        self.query(tenant, &sql, &QueryLimits::default()).await
    }

    /// How many more queries could start now.
    pub fn free_slots(&self) -> usize {
        self.slots.available_permits()
    }

    /// Waits until no query runs any more, those included that are stopped and about to end; new
    /// ones are refused as busy while it waits.
    pub async fn idle(&self) {
        let all = u32::try_from(self.config.queries_max.max(1)).unwrap_or(u32::MAX);
        // The semaphore is never closed, so that this cannot fail.
        drop(self.slots.acquire_many(all).await);
    }

    /// Waits a short while for a slot.
    async fn slot(&self, limit: Duration) -> Result<OwnedSemaphorePermit, QueryError> {
        let wait = limit.min(SLOT_WAIT_MAX);
        let slot = tokio::time::timeout(wait, Arc::clone(&self.slots).acquire_owned()).await;
        slot.ok().and_then(Result::ok).ok_or_else(|| {
            QueryError::new(
                ErrorKind::Busy,
                "queries_busy",
                "too many queries run at once; ask again in a second",
            )
        })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A runtime may not be waited for inside of another one.
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

/// Removes what a killed process has left in its spill folder. A failure costs space and no more.
fn clear_spill(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        // DataFusion's own name for such folders; nothing else is touched.
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with("datafusion-")
            && let Err(error) = std::fs::remove_dir_all(entry.path())
        {
            tracing::warn!(%error, "query.spill.left_behind");
        }
    }
}

/// A task that ends with its caller.
#[derive(Debug)]
struct StopOnDrop(JoinHandle<Result<Rows, QueryError>>, Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.1.stop();
        self.0.abort();
    }
}
