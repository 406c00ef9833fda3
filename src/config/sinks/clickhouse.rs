//! `kind: clickhouse`.

use std::time::Duration;

use weir_model::Dataset;
use weir_sinks::clickhouse::{ClickHouseConfig, Compression};

use super::{Kind, Shared, SinkConfig, Target};
use crate::config::setting::{Kind as Of, Setting, Value};

/// What `compression` may be.
const COMPRESSIONS: &[&str] = &["none", "lz4", "zstd"];

const fn word(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "none",
        Compression::Lz4 => "lz4",
        Compression::Zstd => "zstd",
    }
}

/// The row of `compression`, whose words stand for the values of a type.
const COMPRESSION: Setting<SinkConfig> = Setting {
    path: "compression",
    kind: Of::OneOf(COMPRESSIONS),
    secret: false,
    help: "How requests are compressed on the wire.",
    get: |sink| {
        let all = [Compression::None, Compression::Lz4, Compression::Zstd];
        let ours = |c: &Compression| matches!(&sink.target, Target::ClickHouse(config) if config.compression == *c);
        let compression = all.into_iter().find(ours).unwrap_or_default();
        Value::Text(word(compression).to_owned())
    },
    set: |sink, value| {
        let all = [Compression::None, Compression::Lz4, Compression::Zstd];
        if let (Target::ClickHouse(config), Value::Text(text)) = (&mut sink.target, value)
            && let Some(compression) = all.into_iter().find(|c| word(*c) == text)
        {
            config.compression = compression;
        }
    },
};

pub(super) static KIND: Kind = Kind {
    name: "clickhouse",
    help: "Writes rows to ClickHouse 24.8 or newer, exactly once; it makes and widens its tables.",
    needs: &["url"],
    takes: &Dataset::ALL,
    settings: &[
        of_kind!(ClickHouse: "url", Of::Text, Text, url, "The HTTP interface, as `http://clickhouse:8123`, or `https://clickhouse:8443`."),
        of_kind!(ClickHouse: "database", Of::Text, Text, database, "The database; it is made where it is missing."),
        of_kind!(ClickHouse: "user", Of::Text, Text, user, "The user, with the rights to make tables and to insert."),
        secret_of_kind!(ClickHouse: "password", password, "Their password."),
        of_kind!(ClickHouse: "ca_file", Of::Text, Text, ca_file, "The only authorities to trust for https://, in PEM; the system's where none is named."),
        COMPRESSION,
        of_kind!(ClickHouse: "create_tables", Of::Switch, Switch, create_tables, "Make missing tables and add missing columns; without, what `weir ddl clickhouse` prints has to be there."),
        of_kind!(ClickHouse: "retention_days", Of::Ceiling, Ceiling, retention_days, "Days after which partitions are deleted."),
        of_kind!(ClickHouse: "storage_policy", Of::Text, Text, storage_policy, "The storage policy of new tables."),
        of_kind!(ClickHouse: "cold_volume", Of::Text, Text, cold_volume, "The volume of that policy to which older partitions are moved."),
        of_kind!(ClickHouse: "cold_after_days", Of::Count, Count, cold_after_days, "Days after its date when a partition is moved there."),
        of_kind!(ClickHouse: "cluster", Of::Text, Text, cluster, "The cluster's name: tables are made ON CLUSTER, replicated, with distributed twins."),
        of_kind!(ClickHouse: "shards", Of::List, List, shards, "The shards of the cluster in the order of its definition, each with the URLs of its replicas between blanks; `url` alone where none are named."),
        of_kind!(ClickHouse: "dedup_window", Of::Count, Count, dedup_window, "How many inserts a table remembers, to know a repeated one."),
        of_kind!(ClickHouse: "timeout", Of::Span, Span, timeout, "How long an insert or a question may take."),
        of_kind!(ClickHouse: "connect_timeout", Of::Span, Span, connect_timeout, "How long connecting may take."),
        of_kind!(ClickHouse: "settings", Of::Map, Map, settings, "Further settings of ClickHouse for each insert, as `insert_quorum`."),
    ],
    start: || SinkConfig {
        shared: Shared {
            batch_wait: Duration::ZERO,
            // Two keep a server busy; more only make more parts to merge.
            concurrency: 2,
            ..Shared::default()
        },
        target: Target::ClickHouse(ClickHouseConfig::default()),
    },
};
