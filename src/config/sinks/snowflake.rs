//! `kind: snowflake`.

use weir_model::Dataset;
use weir_sinks::snowflake::SnowflakeConfig;

use super::{Kind, Shared, SinkConfig, Target};
use crate::config::setting::Kind as Of;

pub(super) static KIND: Kind = Kind {
    name: "snowflake",
    help: "Snowflake: rows through Snowpipe Streaming, each once; or at least once through its elastic channel, or as files of a stage.",
    needs: &[],
    takes: &Dataset::ALL,
    settings: &[
        of_kind!(Snowflake: "account", Of::Text, Text, account, "The account, as `ORGANISATION-ACCOUNT`."),
        of_kind!(Snowflake: "url", Of::Text, Text, url, "The account's URL; `https://<account>.snowflakecomputing.com` where none is named."),
        of_kind!(Snowflake: "user", Of::Text, Text, user, "The user; not needed with a token."),
        of_kind!(Snowflake: "private_key_file", Of::Text, Text, private_key_file, "The user's private key: PKCS#8 in PEM, without a passphrase. It may be changed while weir runs."),
        secret_of_kind!(Snowflake: "token", token, "A programmatic access token, in place of a key."),
        of_kind!(Snowflake: "role", Of::Text, Text, role, "The role; the user's default where none is named."),
        of_kind!(Snowflake: "database", Of::Text, Text, database, "The database, which must be there. `{tenant}` in it gives each tenant a database of its own."),
        of_kind!(Snowflake: "schema", Of::Text, Text, schema, "The schema; made where it is missing."),
        of_kind!(Snowflake: "warehouse", Of::Text, Text, warehouse, "The warehouse that counts rows and looks for rows in doubt; delivery itself needs none."),
        of_kind!(Snowflake: "mode", Of::OneOf(SnowflakeConfig::MODES), Text, mode, "`rowset`: named channels, each row once; `elastic`: at least once, for many writers; `stage`: Parquet files for a pipe to load."),
        of_kind!(Snowflake: "pipe", Of::Text, Text, pipe, "The pipe of each table, by `{table}`; the default is the one that Snowflake keeps itself."),
        of_kind!(Snowflake: "channel", Of::Text, Text, channel, "What channel names begin with; the node and the dataset follow."),
        of_kind!(Snowflake: "create_tables", Of::Switch, Switch, create_tables, "Whether schema, tables and missing columns are made."),
        of_kind!(Snowflake: "row_access_policy", Of::Switch, Switch, row_access_policy, "Whether tables are made with a row access policy on the tenant, which needs the Enterprise edition."),
        of_kind!(Snowflake: "compression_level", Of::Count, Count, compression_level, "How hard zstd tries, 1 to 19."),
        of_kind!(Snowflake: "request_size", Of::Size, Count, request_bytes, "The most that a request holds before compression, at most 3,900,000 bytes."),
        of_kind!(Snowflake: "requests_per_second", Of::Count, Count, requests_per_second, "Requests of one channel; Snowflake takes ten a second."),
        of_kind!(Snowflake: "connect_timeout", Of::Span, Span, connect_timeout, "How long a connection may take to come about."),
        of_kind!(Snowflake: "request_timeout", Of::Span, Span, request_timeout, "How long one request may take."),
        of_kind!(Snowflake: "statement_timeout", Of::Span, Span, statement_timeout, "How long one SQL statement may take, with a warehouse that wakes up."),
        of_kind!(Snowflake: "commit_timeout", Of::Span, Span, commit_timeout, "How long one attempt waits for Snowflake to commit."),
        of_kind!(Snowflake: "takeover_timeout", Of::Span, Span, takeover_timeout, "How long rows that an earlier writer left uncommitted are waited for before they are sent anew."),
        of_kind!(Snowflake: "commit_poll", Of::Span, Span, commit_poll, "After how long it is first asked whether rows are committed; the pauses grow to a second."),
        of_kind!(Snowflake: "resend_pause", Of::Span, Span, resend_pause, "The first pause before a failed request is sent again within one attempt."),
        of_kind!(Snowflake: "ca_file", Of::Text, Text, ca_file, "The only authorities to trust, in PEM; the system's where none is named."),
        of_kind!(Snowflake: "stage_url", Of::Text, Text, stage_url, "For `mode: stage`: where files go, as `s3://bucket/prefix`, `az://...`, `gs://...` or a folder."),
        secrets_of_kind!(Snowflake: "stage_options", stage_options, "Options of that object store, by the names of `lake.options`."),
        of_kind!(Snowflake: "stage_integration", Of::Text, Text, stage_integration, "The storage integration that the printed `CREATE STAGE` names."),
        of_kind!(Snowflake: "stage_name", Of::Text, Text, stage_name, "The stage's name in Snowflake."),
    ],
    start: || {
        let snowflake = SnowflakeConfig::default();
        SinkConfig {
            shared: Shared {
                batch_rows: snowflake.run_rows as u64,
                batch_size: snowflake.run_bytes,
                batch_wait: snowflake.gather,
                // One writer a channel, in order.
                concurrency: 1,
                ..Shared::default()
            },
            target: Target::Snowflake(snowflake),
        }
    },
};
