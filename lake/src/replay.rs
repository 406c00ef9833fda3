//! The state of a table, as its Delta log tells it.
//!
//! The log is a list of numbered commits, of which a checkpoint sums up the first ones. We read it
//! ourselves, since we need what the library does not give: the batch numbers of *all* nodes, and
//! a state that is brought up to date by reading the new commits alone. Only actions of reader
//! protocol 1 are understood; a table that needs more is refused, never misread.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{Datelike, Days, NaiveDate};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::Deserialize;
use weir_model::{Dataset, NodeId, TenantId};

use crate::stats::{self, Bounds};
use crate::{LakeError, LakeFile, Partial, Partition, Snapshot, checkpoint};

/// The newest protocol that is understood, for readers and for writers.
const PROTOCOL: (i64, i64) = (1, 2);

/// A line of the log: one of these is there, or something that does not change the state.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Action {
    add: Option<Add>,
    remove: Option<Remove>,
    txn: Option<Txn>,
    meta_data: Option<MetaData>,
    protocol: Option<Protocol>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Add {
    path: String,
    #[serde(default)]
    partition_values: BTreeMap<String, Option<String>>,
    size: u64,
    stats: Option<String>,
    deletion_vector: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Remove {
    path: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Txn {
    app_id: String,
    version: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetaData {
    schema_string: String,
    #[serde(default)]
    partition_columns: Vec<String>,
    #[serde(default)]
    configuration: BTreeMap<String, Option<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Protocol {
    min_reader_version: i64,
    min_writer_version: i64,
}

#[derive(Deserialize)]
struct TableSchema {
    fields: Vec<TableField>,
}

#[derive(Deserialize)]
struct TableField {
    name: String,
}

/// A table's state at one version.
#[derive(Debug)]
pub(crate) struct Replay {
    dataset: Dataset,
    version: Option<u64>,
    files: BTreeMap<String, Arc<LakeFile>>,
    txns: BTreeMap<String, i64>,
    columns: Arc<[String]>,
    partition_columns: Vec<String>,
    protocol: (i64, i64),
    layout: u64,
}

/// The property of a table that says how weir lays rows out in it: which columns there are may
/// change without it, what they mean may not. A table without it is of layout 1.
pub(crate) const LAYOUT_PROPERTY: &str = "weir.layout";

/// The layout that this program writes, and the newest that it reads.
pub(crate) const LAYOUT: u64 = 1;

/// The name under which a node's batch numbers stand in the log.
pub(crate) fn batches_app(node: &NodeId, dataset: Dataset) -> String {
    format!("weir/{node}/{dataset}")
}

/// The name under which the progress inside one batch stands in the log.
pub(crate) fn part_app(node: &NodeId, dataset: Dataset) -> String {
    format!("weir/{node}/{dataset}/part")
}

/// Progress inside a batch as one number that only grows: `batch * 2^32 + rows_end`.
pub(crate) fn part_version(partial: Partial) -> Option<i64> {
    let rows = i64::from(partial.rows_end);
    partial.batch.checked_mul(1 << 32)?.checked_add(rows)
}

fn partial_of(version: i64) -> Option<Partial> {
    Some(Partial {
        batch: version >> 32,
        rows_end: i32::try_from(version & 0xffff_ffff).ok()?,
    })
}

/// Where commit `version` is, below the table's folder.
pub(crate) fn commit_path(version: u64) -> Path {
    Path::from(format!("_delta_log/{version:020}.json"))
}

impl Replay {
    /// Knows nothing yet.
    pub(crate) fn new(dataset: Dataset) -> Self {
        Self {
            dataset,
            version: None,
            files: BTreeMap::new(),
            txns: BTreeMap::new(),
            columns: Arc::from([]),
            partition_columns: Vec::new(),
            protocol: PROTOCOL,
            layout: 1,
        }
    }

    fn layout_of(&self, properties: &BTreeMap<String, Option<String>>) -> Result<u64, LakeError> {
        let named = properties.get(LAYOUT_PROPERTY).and_then(Option::as_deref);
        let found = named.map_or(Some(1), |text| text.parse().ok());
        match found {
            Some(found) if found <= LAYOUT => Ok(found),
            found => Err(LakeError::Newer {
                dataset: self.dataset,
                found: found.unwrap_or(u64::MAX),
            }),
        }
    }

    /// The layout that the table says it has.
    pub(crate) fn layout(&self) -> u64 {
        self.layout
    }

    /// Reads what is new in the log; says whether anything is.
    ///
    /// After an error the state is an older version, whole, or empty.
    pub(crate) async fn refresh(
        &mut self,
        store: &Arc<dyn ObjectStore>,
    ) -> Result<bool, LakeError> {
        let before = self.version;
        if self.version.is_none() {
            let mut fresh = Self::new(self.dataset);
            if let Some(version) = checkpoint::newest(store.as_ref()).await? {
                for path in version.paths() {
                    checkpoint::read(store.as_ref(), &path, |line| {
                        fresh.apply(version.version, line)
                    })
                    .await?;
                }
                fresh.version = Some(version.version);
                *self = fresh;
            }
        }
        loop {
            let next = self.version.map_or(0, |v| v + 1);
            let bytes = match store.get(&commit_path(next)).await {
                Ok(found) => found.bytes().await?,
                Err(object_store::Error::NotFound { .. }) => return Ok(self.version != before),
                Err(error) => return Err(error.into()),
            };
            let lines = bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty());
            // All or nothing: a half-applied commit would be taken for a whole one later.
            let actions = lines.map(|l| self.parse(next, l));
            let actions: Vec<Action> = actions.collect::<Result<_, _>>()?;
            for action in actions {
                if let Err(error) = self.change(next, action) {
                    *self = Self::new(self.dataset);
                    return Err(error);
                }
            }
            self.version = Some(next);
        }
    }

    fn log_fault(&self, version: u64, reason: impl Into<String>) -> LakeError {
        LakeError::Log {
            dataset: self.dataset,
            version,
            reason: reason.into(),
        }
    }

    fn parse(&self, version: u64, line: &[u8]) -> Result<Action, LakeError> {
        serde_json::from_slice(line).map_err(|e| self.log_fault(version, e.to_string()))
    }

    fn apply(&mut self, version: u64, line: &[u8]) -> Result<(), LakeError> {
        let action = self.parse(version, line)?;
        self.change(version, action)
    }

    fn change(&mut self, version: u64, action: Action) -> Result<(), LakeError> {
        if let Some(add) = action.add {
            let file = self.file(version, add)?;
            self.files.insert(file.path.clone(), Arc::new(file));
        }
        if let Some(remove) = action.remove {
            self.files.remove(&self.plain(version, &remove.path)?);
        }
        if let Some(txn) = action.txn {
            self.txns.insert(txn.app_id, txn.version);
        }
        if let Some(meta) = action.meta_data {
            let schema: TableSchema = serde_json::from_str(&meta.schema_string)
                .map_err(|e| self.log_fault(version, e.to_string()))?;
            self.columns = schema.fields.into_iter().map(|f| f.name).collect();
            self.partition_columns = meta.partition_columns;
            self.layout = self.layout_of(&meta.configuration)?;
        }
        if let Some(protocol) = action.protocol {
            self.protocol = (protocol.min_reader_version, protocol.min_writer_version);
            if self.protocol.0 > PROTOCOL.0 {
                let reason = format!("it needs reader protocol {}", self.protocol.0);
                return Err(self.log_fault(version, reason));
            }
        }
        Ok(())
    }

    /// A path as the object store knows it; the log has it URL-encoded.
    fn plain(&self, version: u64, path: &str) -> Result<String, LakeError> {
        let plain = Path::from_url_path(path);
        let plain = plain.map_err(|e| self.log_fault(version, e.to_string()))?;
        Ok(plain.as_ref().to_owned())
    }

    fn file(&self, version: u64, add: Add) -> Result<LakeFile, LakeError> {
        if add.deletion_vector.is_some() {
            return Err(self.log_fault(version, "it has deletion vectors"));
        }
        let value = |name| add.partition_values.get(name).and_then(Option::as_deref);
        let tenant = match value("tenant_id").map(TenantId::new) {
            Some(Err(_)) => return Err(self.log_fault(version, "a folder names no tenant")),
            Some(Ok(tenant)) => Some(tenant),
            None => None,
        };
        let part_date = match value("part_date").map(parse_date) {
            Some(None) => return Err(self.log_fault(version, "a folder names no day")),
            Some(date) => date,
            None => None,
        };
        let (rows, stats) = stats::parse(self.dataset, add.stats.as_deref().unwrap_or("{}"));
        let time = stats.get(self.dataset.time_column());
        let time = time.and_then(|s| match s.bounds {
            Some(Bounds::Time { min, max }) => Some((min, max)),
            Some(Bounds::Int { .. } | Bounds::Text { .. }) | None => None,
        });
        Ok(LakeFile {
            path: self.plain(version, &add.path)?,
            size: add.size,
            rows,
            tenant,
            part_date,
            time_min_us: time.map(|(min, _)| min),
            time_max_us: time.map(|(_, max)| max),
            stats,
        })
    }

    /// Whether rows may be added, and into which folders.
    pub(crate) fn writable(&self) -> Result<Partition, LakeError> {
        let refuse = |reason: String| LakeError::Unsupported {
            dataset: self.dataset,
            reason,
        };
        if self.protocol.1 > PROTOCOL.1 {
            return Err(refuse(format!(
                "it needs writer protocol {}",
                self.protocol.1
            )));
        }
        let columns: Vec<&str> = self.partition_columns.iter().map(String::as_str).collect();
        [Partition::DateAndTenant, Partition::Date]
            .into_iter()
            .find(|p| p.columns() == columns)
            .ok_or_else(|| refuse("its partition columns are not ours".to_owned()))
    }

    /// The state as readers get it.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::missing(self.dataset);
        snapshot.version = self.version;
        snapshot.files = self.files.values().map(Arc::clone).collect();
        snapshot.columns = Arc::clone(&self.columns);
        for (app, version) in &self.txns {
            let Some(node) = node_of(app) else {
                snapshot.progress.insert(app.clone(), *version);
                continue;
            };
            if *app == batches_app(&node, self.dataset) {
                snapshot.committed.insert(node, *version);
            } else if *app == part_app(&node, self.dataset)
                && let Some(partial) = partial_of(*version)
            {
                snapshot.partial.insert(node, partial);
            }
        }
        snapshot
    }
}

fn node_of(app: &str) -> Option<NodeId> {
    let mut parts = app.split('/');
    (parts.next()? == "weir").then_some(())?;
    NodeId::new(parts.next()?).ok()
}

/// Days since 1970-01-01 of `2026-11-21`.
fn parse_date(text: &str) -> Option<i32> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    let days = date.signed_duration_since(NaiveDate::default()).num_days();
    i32::try_from(days).ok()
}

/// `2026-11-21` of days since 1970-01-01; nothing for years that have not four digits.
pub(crate) fn spell_date(days: i32) -> Option<String> {
    let epoch = NaiveDate::default();
    let by = Days::new(u64::from(days.unsigned_abs()));
    let date = if days < 0 {
        epoch.checked_sub_days(by)
    } else {
        epoch.checked_add_days(by)
    }?;
    let plain = (0..=9999).contains(&date.year());
    plain.then(|| date.format("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests;
