//! `weir ddl`.

use anyhow::bail;

use crate::cli::config::Source;
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::config::{SinkConfig, Target, load, sink_of_kind};

/// Whose tables.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The name of a sink of the configuration, or a kind, as `clickhouse`.
    #[arg(value_name = "SINK")]
    sink: String,
    #[command(flatten)]
    source: Source,
}

/// Prints the statements that make the tables of a sink, as it would run them itself: those of the
/// sinks of that name or kind, else those of the kind as nothing were set.
///
/// # Errors
///
/// Where the configuration cannot be read, or nothing of that name has tables.
pub(crate) fn run(args: Args) -> anyhow::Result<Exit> {
    let Args {
        sink: wanted,
        source,
    } = args;
    let config = load(&source.sources())?;
    let ours = |name: &str, sink: &SinkConfig| name == wanted || sink.kind().name == wanted;
    let mut texts: Vec<String> = config
        .sinks
        .iter()
        .filter(|(name, sink)| ours(name, sink))
        .filter_map(|(_, sink)| statements(&sink.target))
        .collect();
    if texts.is_empty() {
        texts.extend(sink_of_kind(&wanted).and_then(|sink| statements(&sink.target)));
    }
    if texts.is_empty() {
        bail!("no sink and no kind `{wanted}` that has tables");
    }
    out::bytes(texts.join("\n").as_bytes())?;
    Ok(Exit::OK)
}

/// The statements; `None` for what has no tables.
fn statements(target: &Target) -> Option<String> {
    match target {
        Target::ClickHouse(config) => Some(weir_sinks::clickhouse::ddl(config)),
        Target::Postgres(config) => Some(weir_sinks::postgres::ddl(config)),
        Target::Snowflake(config) => Some(weir_sinks::snowflake::ddl(config)),
        Target::Sqlite(config) => Some(weir_sinks::sqlite::ddl(config)),
        Target::Otlp(_) | Target::SplunkHec(_) | Target::Webhook(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_that_has_tables_prints_them_without_any_configuration() {
        let text = |kind: &str| sink_of_kind(kind).and_then(|sink| statements(&sink.target));
        let clickhouse = text("clickhouse").unwrap();
        assert!(clickhouse.contains("CREATE TABLE IF NOT EXISTS `weir`.`spans`"));
        assert_eq!(text("webhook"), None);
        assert_eq!(text("spans"), None);
    }
}
