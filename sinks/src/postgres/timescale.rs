//! What TimescaleDB is told, by its edition.
//!
//! The Apache edition has hypertables and `drop_chunks`; columns, and policies that run by
//! themselves, are the community edition's. The older names of compression are understood by every
//! 2.x, the newer of the columnstore from 2.18 on.

use std::fmt::Write as _;

use weir_model::Dataset;

use super::config::{Period, PostgresConfig};

/// An edition, by its licence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timescale {
    /// `timescaledb.license` is `apache`.
    Apache,
    /// It is `timescale`.
    Community,
}

impl Timescale {
    /// The edition of a licence's name.
    pub(super) fn of(license: Option<&str>) -> Self {
        if license == Some("timescale") {
            Self::Community
        } else {
            Self::Apache
        }
    }
}

/// Makes a hypertable of a table, with what its edition does by itself.
pub(super) fn hypertable(
    table: &str,
    dataset: Dataset,
    edition: Timescale,
    config: &PostgresConfig,
    period: Period,
) -> String {
    let days = period.days();
    let mut text = format!(
        "SELECT create_hypertable('{table}', 'part_date', \
         chunk_time_interval => INTERVAL '{days} days', create_default_indexes => false);\n"
    );
    if edition == Timescale::Apache {
        return text;
    }
    let (time, after) = (dataset.time_column(), config.columnstore_days());
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "ALTER TABLE {table} SET (timescaledb.compress, \
         timescaledb.compress_segmentby = 'tenant_id', \
         timescaledb.compress_orderby = '{time} DESC');
SELECT add_compression_policy('{table}', compress_after => INTERVAL '{after} days');
"
    );
    if let Some(days) = config.retention_days() {
        let _ = writeln!(
            text,
            "SELECT add_retention_policy('{table}', drop_after => INTERVAL '{days} days');"
        );
    }
    text
}

/// Drops chunks that are older than `days`, where no policy does.
pub(super) fn expire(table: &str, days: u32) -> String {
    format!("SELECT drop_chunks('{table}', older_than => INTERVAL '{days} days');\n")
}
