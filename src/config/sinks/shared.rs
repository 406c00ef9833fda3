//! What every sink can be told, whatever its kind.

use std::time::Duration;

use weir_model::{Dataset, TenantId};

use super::SinkConfig;
use crate::config::setting::{Kind, Setting, Value};

/// What every sink has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shared {
    /// Names of datasets.
    pub(crate) datasets: Vec<String>,
    /// Names of tenants; empty is all.
    pub(crate) tenants: Vec<String>,
    /// Names of tenants whose rows stay away.
    pub(crate) exclude_tenants: Vec<String>,
    /// Columns that are NULL there, as `column` or `dataset.column`.
    pub(crate) exclude_columns: Vec<String>,
    /// Whether the log keeps what this sink has not got, whatever happens.
    pub(crate) required: bool,
    /// Whether it gets what was accepted before it was added.
    pub(crate) backfill: bool,
    /// How far behind a sink that is not required may be before the log no longer waits for it.
    pub(crate) lag_max: Duration,
    /// Rows of one write.
    pub(crate) batch_rows: u64,
    /// Bytes of one write.
    pub(crate) batch_size: u64,
    /// How long rows gather before a write.
    pub(crate) batch_wait: Duration,
    /// Writes at once.
    pub(crate) concurrency: u64,
}

/// What goes to a sink where nothing is said.
const DATASETS: [Dataset; 4] = [
    Dataset::Spans,
    Dataset::ProxyAudit,
    Dataset::OcsfEvents,
    Dataset::CostLedger,
];

impl Default for Shared {
    fn default() -> Self {
        Self {
            datasets: DATASETS.map(|d| d.name().to_owned()).to_vec(),
            tenants: Vec::new(),
            exclude_tenants: Vec::new(),
            exclude_columns: Vec::new(),
            required: false,
            backfill: true,
            lag_max: Duration::from_mins(10),
            batch_rows: 65_536,
            batch_size: 32 << 20,
            batch_wait: Duration::ZERO,
            concurrency: 4,
        }
    }
}

/// A row of the table: one field of [`Shared`].
macro_rules! shared {
    ($path:literal, $kind:expr, $variant:ident, $field:ident, $help:literal) => {
        Setting {
            path: $path,
            kind: $kind,
            secret: false,
            help: $help,
            get: |sink| Value::$variant(sink.shared.$field.clone()),
            set: |sink, value| {
                if let Value::$variant(value) = value {
                    sink.shared.$field = value;
                }
            },
        }
    };
}

/// In the order of the reference page.
pub(super) const SETTINGS: &[Setting<SinkConfig>] = &[
    shared!(
        "datasets",
        Kind::List,
        List,
        datasets,
        "Which datasets go there."
    ),
    shared!(
        "tenants",
        Kind::List,
        List,
        tenants,
        "Whose rows go there; all tenants' where none is named."
    ),
    shared!(
        "exclude_tenants",
        Kind::List,
        List,
        exclude_tenants,
        "Whose rows do not go there."
    ),
    shared!(
        "exclude_columns",
        Kind::List,
        List,
        exclude_columns,
        "Columns that are NULL there, as `attributes` or `spans.attributes`; only such that may be NULL."
    ),
    shared!(
        "required",
        Kind::Switch,
        Switch,
        required,
        "Whether the log keeps every row until it is there. Otherwise a sink that is away for longer than `lag_max` is parked, and filled from the lake later; a required one ends in 503 for senders once `wal.budget` is full."
    ),
    shared!(
        "backfill",
        Kind::Switch,
        Switch,
        backfill,
        "Whether a sink that is added gets what was accepted before, from the lake; otherwise it begins with what comes next."
    ),
    shared!(
        "lag_max",
        Kind::Span,
        Span,
        lag_max,
        "How far behind a sink that is not required may be before the log no longer waits for it."
    ),
    shared!(
        "batch_rows",
        Kind::Count,
        Count,
        batch_rows,
        "A write takes no more batches at this many rows."
    ),
    shared!(
        "batch_size",
        Kind::Size,
        Count,
        batch_size,
        "A write takes no more batches at this many bytes in memory."
    ),
    shared!(
        "batch_wait",
        Kind::Span,
        Span,
        batch_wait,
        "How long a write waits for more batches once there is one."
    ),
    shared!(
        "concurrency",
        Kind::Count,
        Count,
        concurrency,
        "Writes at once; those of one dataset follow one another."
    ),
];

impl Shared {
    /// What is wrong with it, each as a setting's name and a sentence.
    pub(super) fn faults(&self, of: &super::Kind) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        let known: Vec<&str> = Dataset::ALL.iter().map(|d| d.name()).collect();
        if self.datasets.is_empty() {
            faults.push(("datasets", "no dataset would go there".to_owned()));
        }
        for name in &self.datasets {
            match Dataset::from_name(name) {
                None => faults.push(("datasets", crate::config::tree::unknown(name, &known))),
                Some(dataset) if !of.takes.contains(&dataset) => {
                    let why = format!("a {} sink cannot hold `{name}`", of.name);
                    faults.push(("datasets", why));
                }
                Some(_) => {}
            }
        }
        let lists = [
            ("tenants", &self.tenants),
            ("exclude_tenants", &self.exclude_tenants),
        ];
        for (setting, names) in lists {
            let bad = names.iter().filter(|name| TenantId::new(name).is_err());
            faults.extend(bad.map(|name| (setting, format!("`{name}` cannot name a tenant"))));
        }
        let columns = self.exclude_columns.iter();
        let bad = columns.filter_map(|text| excluded(text).err());
        faults.extend(bad.map(|why| ("exclude_columns", why)));
        if self.batch_size < 64 << 10 {
            faults.push(("batch_size", "at least 64KiB is wanted".to_owned()));
        }
        faults
    }
}

/// The columns that an item of `exclude_columns` names.
///
/// # Errors
///
/// Where there is no such column, or it may not be NULL.
pub(crate) fn excluded(text: &str) -> Result<Vec<(Dataset, &'static str)>, String> {
    let (dataset, column) = match text.split_once('.') {
        Some((dataset, column)) => match Dataset::from_name(dataset) {
            Some(dataset) => (Some(dataset), column),
            None => return Err(format!("`{text}`: there is no dataset `{dataset}`")),
        },
        None => (None, text),
    };
    let mut found = Vec::new();
    let wanted = Dataset::ALL.into_iter();
    for of in wanted.filter(|of| dataset.is_none_or(|dataset| dataset == *of)) {
        for known in of.columns().iter().filter(|known| known.name == column) {
            if !known.nullable {
                return Err(format!(
                    "`{text}` cannot be left out: every row of {of} has it"
                ));
            }
            found.push((of, known.name));
        }
    }
    if found.is_empty() {
        return Err(format!("there is no column `{text}`"));
    }
    Ok(found)
}
