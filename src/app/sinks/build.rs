//! A sink of a configuration, made; nobody is asked yet.

use std::sync::Arc;

use weir_sinks::clickhouse::{ClickHouseConfig, ClickHouseSink};
use weir_sinks::outbound::{OtlpSink, SplunkHecSink, WebhookSink};
use weir_sinks::postgres::PostgresSink;
use weir_sinks::snowflake::SnowflakeSink;
use weir_sinks::sqlite::SqliteSink;
use weir_sinks::{Sink, SinkError};

use crate::app::sinks::otlp::CODEC;
use crate::app::start_error::StartError;
use crate::config::{Config, SinkConfig, Target};

/// Makes the sink that is called `name`.
///
/// # Errors
///
/// Where its configuration cannot be used; a destination that is away is no error.
pub(crate) fn build(name: &str, config: &SinkConfig) -> Result<Arc<dyn Sink>, SinkError> {
    Ok(match &config.target {
        Target::Otlp(otlp) => Arc::new(OtlpSink::new(name, otlp, CODEC)?),
        Target::ClickHouse(clickhouse) => {
            let (shared, clickhouse) = (&config.shared, clickhouse.clone());
            let clickhouse = ClickHouseConfig {
                rows_max: shared.batch_rows,
                bytes_max: shared.batch_size,
                gather: shared.batch_wait,
                concurrency: shared.concurrency,
                ..clickhouse
            };
            Arc::new(ClickHouseSink::new(name, clickhouse)?)
        }
        Target::Postgres(postgres) => Arc::new(PostgresSink::new(name, postgres.clone())?),
        Target::Sqlite(sqlite) => Arc::new(SqliteSink::new(name, sqlite.clone())?),
        Target::Snowflake(snowflake) => Arc::new(SnowflakeSink::new(name, snowflake.clone())?),
        Target::SplunkHec(hec) => Arc::new(SplunkHecSink::new(name, hec)?),
        Target::Webhook(webhook) => Arc::new(WebhookSink::new(name, webhook)?),
    })
}

/// Sinks by name, made and not asked.
pub(crate) type Built = Vec<(String, Arc<dyn Sink>)>;

/// Makes every sink of `config`.
///
/// # Errors
///
/// Where the configuration of one cannot be used.
pub(crate) fn build_all(config: &Config) -> Result<Built, StartError> {
    let sinks = config.sinks.iter();
    let built = sinks.map(|(name, sink)| match build(name, sink) {
        Ok(built) => Ok((name.clone(), built)),
        Err(error) => Err(StartError::Sink {
            name: name.clone(),
            why: told(error.as_ref()),
        }),
    });
    built.collect()
}

/// What went wrong with a sink, with its causes.
pub(crate) fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
