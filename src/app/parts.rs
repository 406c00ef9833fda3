//! The parts of a node, opened in their order; also what offline commands need of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use weir_ingest::admission::Budget;
use weir_ingest::decode::Limits;
use weir_ingest::log::{Log, LogConfig, OpenReport};
use weir_lake::{LakeConfig, LakeError, Lakes, Partition};
use weir_model::{Clock, Dataset};
use weir_queries::EngineConfig;
use weir_sinks::{DeadLetters, Sink};
use weir_transforms::Addition;

use crate::app::counters::Counters;
use crate::app::layouts;
use crate::app::reach::{self, Answer, Reached};
use crate::app::running::StartError;
use crate::app::sinks::Built;
use crate::config::{Config, mapping_file};
use crate::http::body::BodyLimits;
use crate::http::conn::peers::Peers;
use crate::http::conn::{self, Timers};
use crate::http::listen::Rules;

/// How long the start waits for what sinks say they hold.
const SINK_PATIENCE: Duration = Duration::from_secs(2);

/// What holds rows.
#[derive(Debug)]
pub(crate) struct Stores {
    /// The log, which holds the directory's lock.
    pub(crate) log: Arc<Log>,
    /// The tables.
    pub(crate) lakes: Lakes,
    /// What a sink refused for good.
    pub(crate) dead: Arc<DeadLetters>,
    /// Whether the lake answers.
    pub(crate) reached: Reached,
    /// What rows on their way may hold in memory.
    pub(crate) budget: Budget,
}

impl Stores {
    /// Opens what lies in the data directory and the lake.
    ///
    /// # Errors
    ///
    /// Where one cannot be opened; the directory's lock is free again then.
    pub(crate) async fn open(config: &Config, clock: &Arc<dyn Clock>) -> Result<Self, StartError> {
        let dir = config.data_dir.clone();
        std::fs::create_dir_all(&dir).map_err(|source| StartError::Folder {
            path: dir.clone(),
            source,
        })?;
        let lakes = lakes(config).map_err(|source| StartError::Lake { source })?;
        refuse_newer(config).await?;
        let reached = match reach::look(&lakes).await? {
            Answer::Here => true,
            Answer::Silent { lake, error } => {
                tracing::warn!(lake, error, "lake.unreachable");
                false
            }
        };
        let budget = budget(config);
        let (settings, own_clock) = (log_config(config, &budget), Arc::clone(clock));
        let opened = tokio::task::spawn_blocking(move || Log::open(&dir, settings, own_clock));
        let opened = opened.await.map_err(|_| StartError::Worker)?;
        let (log, report) =
            opened.map_err(|source| StartError::of_log(&config.data_dir, source))?;
        tell(&report);
        let dead = match Self::dead_letters(config, clock) {
            Ok(dead) => dead,
            Err(error) => {
                // Whatever was replayed stays in the log; the reason to tell is the other one.
                let _ = log.close().await;
                return Err(error);
            }
        };
        Ok(Self {
            log,
            lakes,
            dead: Arc::new(dead),
            reached: Reached::new(reached),
            budget,
        })
    }

    fn dead_letters(config: &Config, clock: &Arc<dyn Clock>) -> Result<DeadLetters, StartError> {
        let folder = config.data_dir.join("dead");
        let dead = DeadLetters::open(&folder, Arc::clone(clock));
        dead.map_err(|error| StartError::State {
            what: "dead letters",
            source: error.into(),
        })
    }

    /// Tells the log what any lake holds of this node, so that no number is used twice.
    ///
    /// Where a lake gives no answer, it may be ahead of this directory: the node then goes on
    /// under a new name, of which the lake holds nothing for certain.
    ///
    /// # Errors
    ///
    /// Where the lake refuses, or the node's new name cannot be kept.
    pub(crate) async fn adopt(&mut self, sinks: &Built) -> Result<(), StartError> {
        self.adopt_sinks(sinks).await?;
        for dataset in Dataset::RECEIVED {
            let node = self.log.node();
            let last = match self.reached.get() {
                true => reach::within(self.lakes.high_water(dataset, &node)).await?,
                false => Err(String::new()),
            };
            let Ok(last) = last else {
                self.reached = Reached::new(false);
                return self.raise(dataset, i64::MAX).await;
            };
            self.raise(dataset, last.unwrap_or(0)).await?;
        }
        Ok(())
    }

    /// The same with what the other sinks hold. One that gives no answer in time is passed over:
    /// whatever it holds, the lake was given too.
    async fn adopt_sinks(&self, sinks: &Built) -> Result<(), StartError> {
        let node = self.log.node();
        let ask = |sink: Arc<dyn Sink>| {
            let node = node.clone();
            async move {
                let mut last = Vec::new();
                for dataset in Dataset::RECEIVED {
                    let of = sink.last_batch(dataset, &node).await;
                    last.push((dataset, of.ok().flatten().unwrap_or(0)));
                }
                last
            }
        };
        let asked = sinks.iter().map(|(_, sink)| {
            let ask = ask(Arc::clone(sink));
            async move {
                tokio::time::timeout(SINK_PATIENCE, ask)
                    .await
                    .unwrap_or_default()
            }
        });
        for last in futures::future::join_all(asked).await {
            for (dataset, last) in last {
                self.raise(dataset, last).await?;
            }
        }
        Ok(())
    }

    async fn raise(&self, dataset: Dataset, last: i64) -> Result<(), StartError> {
        let adopted = self.log.adopt_high_water(dataset, last).await;
        let adopted = adopted.map_err(|error| StartError::State {
            what: "the node's name",
            source: error.into(),
        })?;
        if let Some(node) = adopted {
            tracing::warn!(%node, %dataset, "node.renamed");
        }
        Ok(())
    }
}

/// Looks for what a newer weir wrote in parts that are opened late, before the log, which is opened
/// first, begins a new run.
async fn refuse_newer(config: &Config) -> Result<(), StartError> {
    let dir = config.data_dir.clone();
    let found = tokio::task::spawn_blocking(move || layouts::beside_the_log(&dir));
    let found = found.await.map_err(|_| StartError::Worker)?;
    // What cannot be read is told by whoever opens it.
    match reach::newer(found.unwrap_or_default()) {
        Some(layout) => Err(StartError::Newer { layout }),
        None => Ok(()),
    }
}

/// Says what was found, where there is something to say.
fn tell(report: &OpenReport) {
    tracing::info!(
        segments = report.segments,
        frames = report.frames,
        rows = report.rows,
        torn_bytes = report.torn_bytes,
        "wal.opened"
    );
    if !report.lost.is_empty() || !report.quarantined.is_empty() {
        tracing::error!(
            lost_rows = report.lost_rows,
            quarantined = report.quarantined.join(", "),
            "wal.damaged"
        );
    }
    if report.node_file_lost {
        tracing::warn!("wal.node_file.lost");
    }
}

/// What the operator adds to the mapping.
///
/// # Errors
///
/// Where the file cannot be read or has faults.
pub(crate) fn additions(config: &Config) -> Result<Vec<Addition>, StartError> {
    let path = PathBuf::from(&config.mapping.file);
    if path.as_os_str().is_empty() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(&path).map_err(|error| StartError::State {
        what: "the file of `mapping.file`",
        source: error.into(),
    })?;
    mapping_file::read(&text).map_err(|wrong| StartError::Mapping { path, wrong })
}

/// A size for memory; what does not fit is everything.
pub(crate) fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The one budget that requests, recent rows and what is written to the lake draw from.
fn budget(config: &Config) -> Budget {
    let body = body_limits(config);
    let largest = body.coded_bytes_max.saturating_add(body.plain_bytes_max);
    Budget::with_floor(size(config.limits.in_flight), largest)
}

fn log_config(config: &Config, budget: &Budget) -> LogConfig {
    let wal = &config.wal;
    LogConfig {
        segment_bytes: wal.segment_size,
        group_bytes_max: size(wal.group_size),
        budget_bytes: wal.budget,
        reserve_bytes: wal.reserve,
        batch_rows_max: size(wal.batch_rows),
        batch_bytes_max: size(wal.batch_size),
        batch_age: wal.batch_age,
        retain: wal.retain,
        recent_bytes_max: size(wal.recent_memory),
        recent_budget: Some(budget.clone()),
        ..LogConfig::default()
    }
}

/// All lakes, of which nothing is asked yet; local folders are made.
///
/// # Errors
///
/// Where a place or an option cannot be used, or two lakes lie in each other.
pub(crate) fn lakes(config: &Config) -> Result<Lakes, LakeError> {
    let at = |url: String, options: &BTreeMap<String, String>| LakeConfig {
        url,
        options: options.clone(),
        partition: match config.lake.partition.as_str() {
            "date" => Partition::Date,
            _ => Partition::DateAndTenant,
        },
    };
    let own = config.lake.tenants.iter();
    let own = own.map(|(tenant, lake)| (tenant.clone(), at(lake.url.clone(), &lake.options)));
    let default = at(config.lake_url(), &config.lake.options);
    Lakes::configured(&default, &own.collect())
}

/// The engine's own configuration.
pub(crate) fn engine_config(config: &Config) -> EngineConfig {
    let query = &config.query;
    let memory = size(query.memory);
    EngineConfig {
        memory_bytes: memory,
        query_memory_bytes: memory / 2,
        spill_bytes: query.spill,
        spill_dir: config.data_dir.join("spill"),
        rows_max: size(query.rows),
        bytes_max: size(query.answer),
        timeout: query.timeout,
        sql_bytes_max: size(query.statement),
        queries_max: size(query.concurrency),
        ..EngineConfig::default()
    }
}

/// What decoding allows.
pub(crate) fn decode_limits(config: &Config) -> Limits {
    let set = &config.limits;
    let mut limits = Limits::default();
    limits.attributes_max = size(set.attributes);
    limits.events_max = size(set.events);
    limits.links_max = size(set.links);
    limits.value_bytes_max = size(set.value);
    limits.rows_max = size(set.rows);
    limits.json_depth_max = size(set.json_depth);
    limits.json_values_max = size(set.json_values);
    limits.value_depth_max = size(set.value_depth);
    limits.decoded_bytes_max = size(set.decoded);
    limits.ocsf_events_max = size(config.ocsf.events);
    limits.ocsf.strict = config.ocsf.validation == "strict";
    limits.ocsf.time_of_receipt = config.ocsf.missing_time == "received";
    limits
}

/// What reading a body allows.
pub(crate) fn body_limits(config: &Config) -> BodyLimits {
    BodyLimits {
        coded_bytes_max: size(config.limits.body_compressed),
        plain_bytes_max: size(config.limits.body_decompressed),
        zstd_window_log_max: config.limits.zstd_window.ilog2(),
        idle: config.limits.idle_timeout,
    }
}

/// How large the body of a question may be: the longest statement with each character escaped, as
/// JSON allows, and room for the other members.
pub(crate) fn question_bytes_max(config: &Config) -> usize {
    size(
        config
            .query
            .statement
            .saturating_mul(6)
            .saturating_add(4_096),
    )
}

/// What one connection may do.
pub(crate) fn connection_limits(config: &Config) -> conn::Limits {
    let set = &config.limits;
    conn::Limits {
        timers: Timers {
            first_byte: set.first_byte_timeout,
            header: set.header_timeout,
            keep_alive: set.keep_alive,
            idle: set.idle_timeout,
        },
        streams_max: u32::try_from(set.streams).unwrap_or(u32::MAX),
        resets_max: size(set.resets),
        headers_max: size(set.headers),
        header_bytes_max: u32::try_from(set.header_size).unwrap_or(u32::MAX),
    }
}

/// What all connections together may do; `counters` counts them.
pub(crate) fn rules(config: &Config, counters: &Counters) -> Rules {
    let set = &config.limits;
    let connections = size(set.connections).min(Semaphore::MAX_PERMITS);
    Rules {
        connections: Arc::new(Semaphore::new(connections)),
        peers: Peers::new(size(set.connections_per_peer)),
        open: Arc::clone(&counters.connections),
        cuts: Arc::clone(&counters.cuts),
        drain: set.drain_timeout,
    }
}
