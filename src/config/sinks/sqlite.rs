//! `kind: sqlite`.

use std::time::Duration;

use weir_model::Dataset;
use weir_sinks::sqlite::SqliteConfig;

use super::{Kind, Shared, SinkConfig, Target};
use crate::config::setting::Kind as Of;

pub(super) static KIND: Kind = Kind {
    name: "sqlite",
    help: "Writes rows to a file of SQLite, or to one for each tenant, exactly once.",
    needs: &["path"],
    takes: &Dataset::ALL,
    settings: &[
        of_kind!(Sqlite: "path", Of::Text, Text, path, "The file, on a local disk; with `per_tenant` the folder of the files. The folder above must be there."),
        of_kind!(Sqlite: "per_tenant", Of::Switch, Switch, per_tenant, "A file `<tenant>.db` for each tenant in the folder `path`."),
        of_kind!(Sqlite: "busy_timeout", Of::Span, Span, busy_timeout, "How long a write waits for another program that writes to the file."),
    ],
    start: || SinkConfig {
        shared: Shared {
            batch_rows: 16 * 1024,
            batch_size: 16 << 20,
            // Each transaction costs a sync of the disk.
            batch_wait: Duration::from_millis(250),
            concurrency: 1,
            ..Shared::default()
        },
        target: Target::Sqlite(SqliteConfig {
            path: String::new(),
            ..SqliteConfig::default()
        }),
    },
};
