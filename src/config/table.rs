//! The table of settings: every field of [`Config`](super::Config), once.

use crate::config::setting::{Kind, Setting, Value};

/// A row of the table: reads and writes one field by the kind of its value.
macro_rules! setting {
    ($path:literal, $kind:expr, $variant:ident, $($field:ident).+, $help:literal) => {
        Setting {
            path: $path,
            kind: $kind,
            secret: matches!($kind, Kind::Map),
            help: $help,
            get: |config| Value::$variant(config.$($field).+.clone()),
            set: |config, value| {
                if let Value::$variant(value) = value {
                    config.$($field).+ = value;
                }
            },
        }
    };
}

mod cost;
mod ledger;
mod ocsf;
mod transport;

/// Every setting, in the order of the reference page.
pub(crate) static SETTINGS: &[Setting] = &ALL;

/// How many there are.
const COUNT: usize = NODE.len()
    + transport::SETTINGS.len()
    + ocsf::SETTINGS.len()
    + STATE.len()
    + cost::SETTINGS.len()
    + ledger::SETTINGS.len();

/// The sections, one after the other.
#[allow(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, which refuses an index beyond the end"
)]
const ALL: [Setting; COUNT] = {
    let sections = [
        NODE,
        transport::SETTINGS,
        ocsf::SETTINGS,
        STATE,
        cost::SETTINGS,
        ledger::SETTINGS,
    ];
    let mut all = [DATA_DIR; COUNT];
    let (mut to, mut section) = (0, 0);
    while section < sections.len() {
        let mut from = 0;
        while from < sections[section].len() {
            all[to] = sections[section][from];
            to += 1;
            from += 1;
        }
        section += 1;
    }
    all
};

const DATA_DIR: Setting = Setting {
    path: "data_dir",
    kind: Kind::Text,
    secret: false,
    help: "Where all of the node's state lies: the log, its cursors, keys and, unless `lake.url` says otherwise, the lake. One process at a time may use it.",
    get: |config| Value::Text(config.data_dir.to_string_lossy().into_owned()),
    set: |config, value| {
        if let Value::Text(value) = value {
            config.data_dir = value.into();
        }
    },
};

/// The node itself.
const NODE: &[Setting] = &[DATA_DIR];

/// What the node holds and answers.
const STATE: &[Setting] = &[
    setting!(
        "wal.segment_size",
        Kind::Size,
        Count,
        wal.segment_size,
        "The size of a segment file of the write-ahead log."
    ),
    setting!(
        "wal.group_size",
        Kind::Size,
        Count,
        wal.group_size,
        "The most that one group commit gathers before its fsync."
    ),
    setting!(
        "wal.budget",
        Kind::Size,
        Count,
        wal.budget,
        "The disk that the log may take; above it requests are turned away with 503 until sinks catch up."
    ),
    setting!(
        "wal.reserve",
        Kind::Size,
        Count,
        wal.reserve,
        "Disk kept aside, so that a full disk can be recovered from."
    ),
    setting!(
        "wal.batch_rows",
        Kind::Count,
        Count,
        wal.batch_rows,
        "A batch is sealed at this many rows."
    ),
    setting!(
        "wal.batch_size",
        Kind::Size,
        Count,
        wal.batch_size,
        "A batch is sealed at this size."
    ),
    setting!(
        "wal.batch_age",
        Kind::Span,
        Span,
        wal.batch_age,
        "A batch is sealed at this age."
    ),
    setting!(
        "wal.retain",
        Kind::Span,
        Span,
        wal.retain,
        "How long delivered segments are kept; also how long a repeated request is recognised."
    ),
    setting!(
        "wal.recent_memory",
        Kind::Size,
        Count,
        wal.recent_memory,
        "The most memory for rows that are not yet in the lake, within `limits.in_flight`; beyond it queries read them from the log's files."
    ),
    setting!(
        "lake.url",
        Kind::Text,
        Text,
        lake.url,
        "Where the Delta tables lie: a folder, `file://`, `s3://`, `az://`, `gs://` or `memory://`. Unset, it is the folder `lake` in the data directory."
    ),
    setting!(
        "lake.options",
        Kind::Map,
        Map,
        lake.options,
        "Options of the object store, as `aws_access_key_id`, `aws_region` or `aws_endpoint`; what is not given is taken from the store's usual variables. `aws_server_side_encryption: aws:kms` with `aws_sse_kms_key_id` has S3 encrypt each object with that key."
    ),
    Setting {
        path: "lake.tenants",
        kind: Kind::TenantLakes,
        secret: true,
        help: "Lakes of single tenants, each as `NAME: {url: ..., options: {...}}`: their rows, and what is booked of them, go there and nowhere else, under the key, account or region that its options name. Options are not taken over from `lake.options`. Tenants of the same lake share it; else none may lie in another. All nodes want the same map. What a tenant had before stays where it was and is read too. Of a lake that is taken out of the map nothing is read.",
        get: |config| Value::TenantLakes(config.lake.tenants.clone()),
        set: |config, value| {
            if let Value::TenantLakes(value) = value {
                config.lake.tenants = value;
            }
        },
    },
    setting!(
        "lake.partition",
        Kind::OneOf(&["tenant_date", "date"]),
        Text,
        lake.partition,
        "How new tables are partitioned: `tenant_date` (by tenant and date), or `date` alone for thousands of small tenants."
    ),
    setting!(
        "lake.flush_interval",
        Kind::Span,
        Span,
        lake.flush_interval,
        "How long rows gather before a commit to the lake."
    ),
    setting!(
        "lake.flush_rows",
        Kind::Count,
        Count,
        lake.flush_rows,
        "After how many rows of a dataset a commit to the lake waits for no more. A commit takes about 4 KiB of memory a row; a distant object store at many thousand rows a second wants more rows a commit, and the memory for them."
    ),
    setting!(
        "query.memory",
        Kind::Size,
        Count,
        query.memory,
        "Working memory of all queries together; what does not fit is spilled."
    ),
    setting!(
        "query.spill",
        Kind::Size,
        Count,
        query.spill,
        "Disk for spilled data of queries, in the data directory."
    ),
    setting!(
        "query.rows",
        Kind::Count,
        Count,
        query.rows,
        "The most rows of an answer; a longer answer is cut and says so."
    ),
    setting!(
        "query.answer",
        Kind::Size,
        Count,
        query.answer,
        "The largest answer; a larger one is cut and says so."
    ),
    setting!(
        "query.timeout",
        Kind::Span,
        Span,
        query.timeout,
        "How long a query may run."
    ),
    setting!(
        "query.statement",
        Kind::Size,
        Count,
        query.statement,
        "The longest SQL text."
    ),
    setting!(
        "query.concurrency",
        Kind::Count,
        Count,
        query.concurrency,
        "Queries that run at once; further ones are turned away with 429."
    ),
    setting!(
        "log.format",
        Kind::OneOf(&["text", "json"]),
        Text,
        log.format,
        "How log lines on stderr look: `text` for people, `json` for machines."
    ),
    setting!(
        "log.level",
        Kind::Text,
        Text,
        log.level,
        "The least level that is logged (`error`, `warn`, `info`, `debug`, `trace`), or directives by module as `info,weir_lake=debug`."
    ),
    setting!(
        "metrics.tenants",
        Kind::Switch,
        Switch,
        metrics.tenants,
        "Whether `/metrics`, which needs no key, names tenants: requests, rows and bytes of the first 100 that send anything, all others together under `_other`."
    ),
    setting!(
        "budgets.file",
        Kind::Text,
        Text,
        budgets.file,
        "A JSON file of budgets, by tenant, skill, agent, team or any other dimension of a rollup: `{\"webhook\": URL, \"budgets\": [{\"tenant\", \"scope\", \"name\", \"limit_usd\", \"period\": \"month\" or \"day\"}]}`. It is read again when it changes."
    ),
    setting!(
        "auth.require_key",
        Kind::OneOf(&["auto", "always"]),
        Text,
        auth.require_key,
        "`auto`: a key is required as soon as one exists. `always`: without a key nothing is taken or answered."
    ),
    Setting {
        path: "state.postgres_url",
        kind: Kind::Text,
        secret: true,
        help: "The Postgres database that holds tenants, keys and quotas for several nodes, as `postgres://USER:PASSWORD@HOST/DATABASE?sslmode=require`; without `sslmode=require` it is spoken to in the clear. Unset, they lie in SQLite in the data directory.",
        get: |config| Value::Text(config.state.postgres_url.clone()),
        set: |config, value| {
            if let Value::Text(value) = value {
                config.state.postgres_url = value;
            }
        },
    },
    setting!(
        "state.postgres_ca_file",
        Kind::Text,
        Text,
        state.postgres_ca_file,
        "A PEM file with the authorities that Postgres' certificate is checked against; naming one requires TLS. Unset, those of the system."
    ),
    setting!(
        "state.pepper_file",
        Kind::Text,
        Text,
        state.pepper_file,
        "The file with the 32 secret bytes under which keys are stored; all nodes of one Postgres need the same. Unset, it is `pepper` in the data directory, made at the first start."
    ),
    setting!(
        "state.grace",
        Kind::Span,
        Span,
        state.grace,
        "How long keys are believed while the state cannot be asked; after it requests are answered with 503. `0s`: 5 seconds."
    ),
    setting!(
        "quota.bytes_per_second",
        Kind::Ceiling,
        Ceiling,
        quota.bytes_per_second,
        "Bytes of request bodies a second, as sent, of a tenant without a quota of its own (`weir tenants set`). Quotas are of one node."
    ),
    setting!(
        "quota.rows_per_second",
        Kind::Ceiling,
        Ceiling,
        quota.rows_per_second,
        "Rows (spans, events) a second of such a tenant."
    ),
    setting!(
        "quota.queries_per_minute",
        Kind::Ceiling,
        Ceiling,
        quota.queries_per_minute,
        "Queries a minute of such a tenant."
    ),
    setting!(
        "quota.queries_at_once",
        Kind::Ceiling,
        Ceiling,
        quota.queries_at_once,
        "Queries of such a tenant that run at once, within `query.concurrency`."
    ),
    setting!(
        "quota.storage",
        Kind::Ceiling,
        Ceiling,
        quota.storage,
        "Bytes that such a tenant may hold in the lake, looked at every 10 seconds; it needs `lake.partition: tenant_date`."
    ),
    setting!(
        "quota.burst",
        Kind::Span,
        Span,
        quota.burst,
        "For how long an unused rate of bytes or rows can be saved up and then be used at once."
    ),
];

/// The setting of that name.
pub(crate) fn find(path: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|s| s.path == path)
}

/// The known name nearest to `unknown`, where one is near enough to be what was meant.
pub(crate) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, name) = known
        .map(|name| (edits(unknown, name), name))
        .min_by_key(|(distance, _)| *distance)?;
    (distance <= unknown.len().max(3) / 3).then_some(name)
}

/// How many letters must be changed, added or taken to make `a` into `b`.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (cb, (above_left, above)) in b.iter().zip(row.iter().zip(row.iter().skip(1))) {
            let left = next.last().copied().unwrap_or(0);
            let swap = above_left + usize::from(ca != *cb);
            next.push(swap.min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn each_setting_writes_the_field_that_it_reads() {
        for setting in SETTINGS {
            let mut config = Config::default();
            let other = match (setting.get)(&config) {
                Value::Text(_) => Value::Text("other".into()),
                Value::Switch(on) => Value::Switch(!on),
                Value::Count(n) => Value::Count(n + 1),
                Value::Span(time) => Value::Span(time * 2),
                Value::Address(_) => Value::Address(([10, 0, 0, 1], 1).into()),
                Value::Ceiling(_) => Value::Ceiling(Some(7)),
                Value::Map(_) => Value::Map([("a".into(), "b".into())].into()),
                Value::List(_) => Value::List(vec!["a".into()]),
                Value::TenantLakes(_) => {
                    let lakes = crate::config::places::read("{a: {url: b}}");
                    Value::TenantLakes(lakes.unwrap())
                }
            };
            (setting.set)(&mut config, other.clone());
            assert_eq!((setting.get)(&config), other, "{}", setting.path);
        }
    }

    #[test]
    fn names_and_variables_are_unique() {
        let mut names: Vec<&str> = SETTINGS.iter().map(|s| s.path).collect();
        let mut variables: Vec<String> = SETTINGS.iter().map(Setting::env).collect();
        names.sort_unstable();
        names.dedup();
        variables.sort_unstable();
        variables.dedup();
        assert_eq!(
            (names.len(), variables.len()),
            (SETTINGS.len(), SETTINGS.len())
        );
    }

    #[test]
    fn a_slip_of_the_finger_finds_its_name() {
        let known = || SETTINGS.iter().map(|s| s.path);
        assert_eq!(
            nearest("wal.segmentsize", known()),
            Some("wal.segment_size")
        );
        assert_eq!(nearest("log.fromat", known()), Some("log.format"));
        assert_eq!(nearest("quite.another.thing.altogether", known()), None);
    }
}
