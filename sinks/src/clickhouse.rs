//! ClickHouse as a sink: a part is a record batch is an insert, with a token.
//!
//! ```text
//!  batch number above all that is there   --> insert under its token
//!  any other                              --> ask which of its rows are there; insert the rest
//! ```
//!
//! # Invariants
//!
//! * One insert is one Arrow record batch of at most 100 partitions, cut the same way whenever it
//!   is offered; its token is the name of its rows. The server stores a token once in each
//!   partition for as long as its window reaches.
//! * Where an insert may have been there before, by a lost answer or before a restart, the table
//!   is asked by `_node`, `_batch` and `_row`, and only rows that it lacks are sent: a window that
//!   is over doubles nothing.
//! * What those rows are sent under is the token that they had: should the first insert still be
//!   at work, the server stores one of the two.
//! * Settings that this depends on are said with every insert, never left to defaults.
//!
//! Measured on the engine: `docs/adr/063` and `064`.

mod config;
mod cut;
mod ddl;
mod fault;
mod link;
mod rollup;
mod rows;
mod run;
mod tables;
mod traces;
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream;
use parking_lot::Mutex;
use weir_model::source::Want;
use weir_model::{Classify, Dataset, Fault, NodeId};

use crate::{Engine, Part, PartId, Receipt, Sink, SinkError};
pub use config::{ClickHouseConfig, Compression};
use cut::{Insert, PARTITIONS_MAX};
use ddl::Form;
pub use ddl::ddl;
use fault::ClickHouseError;
use link::Link;
use run::{Course, Written};
use types::{literal, quoted};

/// The oldest server that works: before it a view behind a table did not know a repeated insert by
/// its token, so sums were doubled.
const VERSION_MIN: (u32, u32) = (24, 8);

/// Writes batches to ClickHouse.
#[derive(Clone, Debug)]
pub struct ClickHouseSink {
    name: String,
    config: Arc<ClickHouseConfig>,
    links: Arc<Vec<Link>>,
    /// Whether the tables were looked at, and nothing has spoken against them since.
    ready: Arc<tokio::sync::Mutex<bool>>,
    /// The highest batch that is there or was offered, by dataset and node; 0 where none.
    reached: Arc<Mutex<BTreeMap<(Dataset, NodeId), i64>>>,
    /// Parts that the server has acknowledged, of runs that failed as a whole: a long run comes to
    /// its end in weather in which never all of its inserts pass at once.
    settled: Arc<Mutex<BTreeSet<PartId>>>,
}

fn boxed(error: ClickHouseError) -> SinkError {
    Box::new(error)
}

impl ClickHouseSink {
    /// A sink that is called `name`. Nothing is asked of the server yet.
    ///
    /// # Errors
    ///
    /// Where a URL is none of HTTP, or the file of authorities cannot be used.
    pub fn new(name: &str, config: ClickHouseConfig) -> Result<Self, SinkError> {
        let links = link::links(&config).map_err(boxed)?;
        Ok(Self {
            name: name.to_owned(),
            config: Arc::new(config),
            links: Arc::new(links),
            ready: Arc::default(),
            reached: Arc::default(),
            settled: Arc::default(),
        })
    }

    /// The shard that statements go to which concern all.
    fn first(&self) -> Result<&Link, ClickHouseError> {
        let none = || ClickHouseError::Setup("ClickHouse has no URL".to_owned());
        self.links.first().ok_or_else(none)
    }

    /// The table that rows of `dataset` are written to.
    fn table(&self, dataset: Dataset) -> String {
        Form(&self.config).local(dataset.name())
    }

    /// Sees to the tables before they are first written to.
    async fn prepare(&self) -> Result<(), ClickHouseError> {
        let mut ready = self.ready.lock().await;
        if !*ready {
            Box::pin(tables::ensure(self.first()?, &self.config)).await?;
            *ready = true;
        }
        Ok(())
    }

    /// The highest batch that may be there already.
    async fn reached(&self, dataset: Dataset, node: &NodeId) -> Result<i64, ClickHouseError> {
        let key = (dataset, node.clone());
        let known = self.reached.lock().get(&key).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let there = self.last(dataset, node).await?.unwrap_or(0);
        let mut all = self.reached.lock();
        let reached = all.entry(key).or_insert(there);
        *reached = (*reached).max(there);
        Ok(*reached)
    }

    async fn last(&self, dataset: Dataset, node: &NodeId) -> Result<Option<i64>, ClickHouseError> {
        let sql = format!(
            "SELECT maxOrNull(_batch) FROM {} WHERE _node = {}",
            self.table(dataset),
            literal(node.as_str())
        );
        let mut last = None;
        for link in self.links.iter() {
            last = last.max(link.number(&sql).await?);
        }
        Ok(last)
    }

    /// Which rows of `part` the shards hold.
    async fn held(&self, part: &Part) -> Result<Vec<BTreeSet<i32>>, ClickHouseError> {
        let (id, rows) = (part.id(), part.range());
        let sql = format!(
            "SELECT _row FROM {} WHERE _node = {} AND _batch = {} AND _row >= {} AND _row < {}",
            self.table(id.dataset),
            literal(id.node.as_str()),
            id.batch,
            rows.start,
            rows.end
        );
        let mut all = Vec::new();
        for link in self.links.iter() {
            let mut held = BTreeSet::new();
            for batch in link.batches(&sql).await? {
                let places = batch.column(0).as_primitive_opt::<Int32Type>();
                held.extend(places.into_iter().flat_map(|p| p.values().iter().copied()));
            }
            all.push(held);
        }
        Ok(all)
    }

    /// Writes one part, of a batch that was `reached` by earlier ones, and gives the rows that
    /// were new.
    async fn write_part(&self, part: &Part, reached: i64) -> Result<u64, ClickHouseError> {
        let inserts = cut::inserts(part, self.links.len())?;
        let rows = part.len() as u64;
        if part.batch().id().number > reached {
            self.send_all(part, inserts).await?;
            return Ok(rows);
        }
        let held = self.held(part).await?;
        let known: usize = held.iter().map(BTreeSet::len).sum();
        let inserts = if known > 0 && self.is_for_views(part, reached) {
            inserts
        } else {
            let mut missing = Vec::new();
            for insert in inserts {
                match held.get(insert.shard) {
                    Some(held) => missing.extend(cut::without(insert, held)?),
                    None => missing.push(insert),
                }
            }
            missing
        };
        self.send_all(part, inserts).await?;
        Ok(rows.saturating_sub(known as u64))
    }

    /// Whether `part` is offered again whole although the table has rows of it: a view behind the
    /// table may lack them, and only the same insert under the same token brings them there. That
    /// is safe while the server surely remembers the token: fewer batches came since than its
    /// window holds, each in as many partitions as one can have. Older ones were settled before.
    fn is_for_views(&self, part: &Part, reached: i64) -> bool {
        let partitions = PARTITIONS_MAX as u64;
        let since = reached.abs_diff(part.batch().id().number);
        part.batch().dataset() == Dataset::CostLedger
            && part.is_whole()
            && since < self.config.dedup_window / partitions
    }

    async fn send_all(&self, part: &Part, inserts: Vec<Insert>) -> Result<(), ClickHouseError> {
        for insert in inserts {
            self.send(part.batch().dataset(), insert).await?;
        }
        Ok(())
    }

    async fn send(&self, dataset: Dataset, insert: Insert) -> Result<(), ClickHouseError> {
        let Some(link) = self.links.get(insert.shard) else {
            return Err(ClickHouseError::Setup("a shard has no URL".to_owned()));
        };
        let rows = rows::wire(dataset, &insert.rows)?;
        let schema = rows.schema();
        let columns = schema.fields().iter().map(|field| quoted(field.name()));
        let columns: Vec<String> = columns.collect();
        let sql = format!(
            "INSERT INTO {} ({}) FORMAT ArrowStream",
            self.table(dataset),
            columns.join(", ")
        );
        let body = rows::body(&rows)?;
        link.insert(&sql, &insert.token, body).await
    }

    async fn write_run(&self, run: &[Part]) -> Result<u64, ClickHouseError> {
        let Some(first) = run.first() else {
            return Ok(0);
        };
        self.prepare().await?;
        let id = first.batch().id();
        let reached = self.reached(id.dataset, &id.node).await?;
        let last = run.iter().map(|part| part.batch().id().number).max();
        // Noted before anything is sent: what comes of it may stay unknown.
        let key = (id.dataset, id.node.clone());
        self.reached
            .lock()
            .insert(key, reached.max(last.unwrap_or(0)));
        let at_once = usize::try_from(self.config.concurrency).unwrap_or(1).max(1);
        let (course, mut writes) = (Course::default(), Vec::new());
        for part in run {
            writes.push(Box::pin(self.write_in(&course, part, reached)));
        }
        let writes = stream::iter(writes).buffer_unordered(at_once);
        let all: Vec<Written> = writes.collect().await;
        let done = all
            .iter()
            .filter(|written| matches!(written, Written::Stored(_)));
        let mut settled = self.settled.lock();
        if done.count() == run.len() {
            for part in run {
                settled.remove(&part.id());
            }
        }
        drop(settled);
        let (mut rows, mut refusal) = (0, None);
        for written in all {
            match written {
                Written::Stored(stored) => rows += stored,
                Written::Left => {}
                // A failure that passes goes before one that stays: the others are then asked
                // about again, each by itself.
                Written::Failed(error) if error.fault() == Fault::Permanent => {
                    refusal = Some(error);
                }
                Written::Failed(error) => return Err(error),
            }
        }
        refusal.map_or(Ok(rows), Err)
    }

    /// Writes one part of a run unless it is settled or the run is over.
    async fn write_in(&self, course: &Course, part: &Part, reached: i64) -> Written {
        let id = part.id();
        if self.settled.lock().contains(&id) {
            return Written::Stored(0);
        }
        if course.is_over() {
            return Written::Left;
        }
        let result = self.write_part(part, reached).await;
        course.note(&result);
        match result {
            Ok(rows) => {
                self.settled.lock().insert(id);
                Written::Stored(rows)
            }
            Err(error) => Written::Failed(error),
        }
    }

    /// What to tell whoever configured this.
    fn advice(&self, error: ClickHouseError) -> ClickHouseError {
        let ClickHouseConfig { user, database, .. } = self.config.as_ref();
        let url = self.first().map_or("", Link::url);
        let text = match (error.code(), &error) {
            (Some(192..=194 | 516), _) => format!(
                "ClickHouse at {url} does not let user {user} in: the name or the password is wrong"
            ),
            (Some(164), _) => format!(
                "user {user} may only read on ClickHouse at {url}: weir needs the rights to insert \
                 and to make tables in {database}"
            ),
            (Some(497), _) => format!(
                "user {user} lacks a right on ClickHouse at {url}, to insert or to make tables in \
                 {database}: {error}"
            ),
            (Some(81), _) => format!("ClickHouse at {url} has no database {database}"),
            (_, ClickHouseError::Link(why)) => format!("no ClickHouse answers at {url}: {why}"),
            _ => return error,
        };
        ClickHouseError::Setup(text)
    }

    async fn look(&self) -> Result<Engine, ClickHouseError> {
        let mut version = String::new();
        for link in self.links.iter() {
            let rows = link.rows("SELECT version()").await?;
            let text = rows.first().and_then(|row| row.first());
            version = text.and_then(|v| v.as_str()).unwrap_or_default().to_owned();
            if is_too_old(&version) {
                let (year, month) = VERSION_MIN;
                return Err(ClickHouseError::Setup(format!(
                    "ClickHouse {version} at {} is too old: at least {year}.{month} is needed, as \
                     older ones sum an insert that is repeated twice",
                    link.url()
                )));
            }
        }
        *self.ready.lock().await = false;
        self.prepare().await?;
        for dataset in Dataset::ALL {
            // No row, but the right to insert, and settings that the server knows.
            let table = self.table(dataset);
            let sql = format!("INSERT INTO {table} (tenant_id) SELECT '' WHERE 0");
            for link in self.links.iter() {
                link.try_insert(&sql).await?;
            }
        }
        Ok(Engine {
            name: "clickhouse".to_owned(),
            version,
        })
    }
}

fn is_too_old(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(year)), Some(Ok(month))) => (year, month) < VERSION_MIN,
        _ => true,
    }
}

#[async_trait]
impl Sink for ClickHouseSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn appetite(&self) -> Want {
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Want {
            rows_max: size(self.config.rows_max),
            bytes_max: size(self.config.bytes_max),
            gather: self.config.gather,
        }
    }

    async fn probe(&self) -> Result<Engine, SinkError> {
        let looked = Box::pin(self.look()).await;
        looked.map_err(|error| boxed(self.advice(error)))
    }

    async fn write(&self, run: &[Part]) -> Result<Receipt, SinkError> {
        match Box::pin(self.write_run(run)).await {
            Ok(rows) => Ok(Receipt {
                rows,
                place: run
                    .last()
                    .map_or(String::new(), |part| part.id().to_string()),
            }),
            Err(error) => {
                if error.doubts_tables() {
                    *self.ready.lock().await = false;
                }
                Err(boxed(error))
            }
        }
    }

    async fn last_batch(&self, dataset: Dataset, node: &NodeId) -> Result<Option<i64>, SinkError> {
        let last = async {
            self.prepare().await?;
            self.last(dataset, node).await
        };
        Box::pin(last).await.map_err(boxed)
    }

    async fn count(&self, dataset: Dataset, node: &NodeId) -> Result<u64, SinkError> {
        let count = async {
            self.prepare().await?;
            let (table, node) = (self.table(dataset), literal(node.as_str()));
            let sql = format!("SELECT count() FROM {table} WHERE _node = {node}");
            let mut rows = 0;
            for link in self.links.iter() {
                rows += link.number(&sql).await?.unwrap_or(0).unsigned_abs();
            }
            Ok(rows)
        };
        Box::pin(count).await.map_err(boxed)
    }
}
