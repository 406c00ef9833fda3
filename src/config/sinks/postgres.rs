//! `kind: postgres`.

use std::time::Duration;

use weir_model::Dataset;
use weir_sinks::postgres::{PARTITIONS, PERIODS, PostgresConfig};

use super::{Kind, Shared, SinkConfig, Target};
use crate::config::setting::Kind as Of;

pub(super) static KIND: Kind = Kind {
    name: "postgres",
    help: "Writes rows to Postgres 15 or later, with TimescaleDB where it is there, exactly once.",
    needs: &["url"],
    takes: &Dataset::ALL,
    settings: &[
        secret_of_kind!(Postgres: "url", url, "`postgres://USER:PASSWORD@HOST/DATABASE`; `?sslmode=require` for TLS that checks the server."),
        of_kind!(Postgres: "ca_file", Of::Text, Text, ca_file, "The only authorities to trust, in PEM; TLS is required then."),
        of_kind!(Postgres: "schema", Of::Text, Text, schema, "The schema of the tables; this sink has it for itself."),
        of_kind!(Postgres: "partitions", Of::OneOf(PARTITIONS), Text, partitions, "Which partitions tables get when they are made: Postgres's own, TimescaleDB's, or the latter where the database has the extension."),
        of_kind!(Postgres: "period", Of::OneOf(PERIODS), Text, period, "How much time a partition holds, when tables are made; a month is thirty days."),
        of_kind!(Postgres: "single_tenant", Of::Switch, Switch, single_tenant, "All rows are of one customer: no row-level security, and a superuser may write."),
        of_kind!(Postgres: "reader_role", Of::Text, Text, reader_role, "A role that may read, each session the rows of the tenant that it has set as `app.tenant_id`."),
        of_kind!(Postgres: "retention", Of::Span, Span, retention, "When partitions are dropped, in whole days and no less than 31; 0s keeps them."),
        of_kind!(Postgres: "columnstore_after", Of::Span, Span, columnstore_after, "When TimescaleDB's community edition turns chunks into columns, in whole days."),
        of_kind!(Postgres: "connect_timeout", Of::Span, Span, connect_timeout, "How long a connection may take to be made."),
        of_kind!(Postgres: "timeout", Of::Span, Span, timeout, "How long one write may take."),
        of_kind!(Postgres: "connections_max", Of::Count, Count, connections_max, "Connections at most."),
    ],
    start: || SinkConfig {
        shared: Shared {
            batch_rows: 32 * 1024,
            batch_size: 32 << 20,
            // Each transaction costs a sync of the server's disk.
            batch_wait: Duration::from_millis(250),
            ..Shared::default()
        },
        target: Target::Postgres(PostgresConfig::default()),
    },
};
