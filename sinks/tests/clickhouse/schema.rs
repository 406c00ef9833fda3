//! Tables: made from the one schema, widened, refused when newer; shards; the boards' views.

use weir_model::{Dataset, NodeId};
use weir_sinks::clickhouse::{ClickHouseConfig, ClickHouseSink, ddl};
use weir_sinks::contract::{Destination, sample_batch};
use weir_sinks::{Part, Sink};

use crate::server::{Place, Server, apply, ask, run, statements};

fn batch(dataset: Dataset, number: i64) -> [Part; 1] {
    [Part::whole(sample_batch(
        dataset,
        &NodeId::from_bits(2),
        number,
    ))]
}

#[tokio::test]
async fn what_ddl_prints_is_what_the_sink_needs() {
    let Some(server) = Server::shared() else {
        return;
    };
    let config = ClickHouseConfig {
        create_tables: false,
        retention_days: Some(3_000),
        ..server.config()
    };
    let sink = Place::at(&config).open();
    let error = sink.write(&batch(Dataset::Spans, 1)).await.unwrap_err();
    assert!(error.to_string().contains("weir ddl clickhouse"), "{error}");
    apply(&config).await;
    // The old data of the suite would end by its retention.
    let keep = format!("ALTER TABLE {}.spans REMOVE TTL", config.database);
    run(&config, &keep).await;
    let receipt = sink.write(&batch(Dataset::Spans, 1)).await.unwrap();
    assert_eq!(receipt.rows, 60);
    sink.probe().await.unwrap();
}

#[tokio::test]
async fn the_cluster_form_parses_and_names_what_it_should() {
    let Some(server) = Server::shared() else {
        return;
    };
    let config = ClickHouseConfig {
        cluster: "prod".to_owned(),
        retention_days: Some(90),
        storage_policy: "tiered".to_owned(),
        cold_volume: "cold".to_owned(),
        cold_after_days: 7,
        ..server.config()
    };
    let all = statements(&config);
    for statement in &all {
        assert!(statement.contains("ON CLUSTER 'prod'"), "{statement}");
        ask(&config, &format!("EXPLAIN AST {statement}")).await;
    }
    let text = all.join("\n");
    for piece in [
        ".`spans_local` ON CLUSTER 'prod'",
        "ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')",
        "ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}', (calls",
        "CRC32(concat(tenant_id, '/', trace_id))",
        "replicated_deduplication_window_seconds = 604800",
        "TTL part_date + toIntervalDay(7) TO VOLUME 'cold', part_date + toIntervalDay(90)",
        "storage_policy = 'tiered'",
    ] {
        assert!(text.contains(piece), "{piece}");
    }
}

#[tokio::test]
async fn a_narrow_table_is_widened_and_keeps_its_rows() {
    let Some(server) = Server::shared() else {
        return;
    };
    let config = server.config();
    let place = Place::at(&config);
    let table = format!("{}.spans", config.database);
    apply(&config).await;
    place.open().write(&batch(Dataset::Spans, 1)).await.unwrap();
    for change in [
        "DROP COLUMN skill_version",
        "DROP COLUMN price_ref",
        "MODIFY SETTING non_replicated_deduplication_window = 5",
        "MODIFY COMMENT 'weir schema 0.1'",
    ] {
        run(&config, &format!("ALTER TABLE {table} {change}")).await;
    }
    let sink = place.open();
    assert_eq!(
        sink.write(&batch(Dataset::Spans, 2)).await.unwrap().rows,
        60
    );
    let found = place.rows(Dataset::Spans).await;
    assert_eq!(found.iter().map(|r| r.num_rows()).sum::<usize>(), 120);
    let sql = format!(
        "SELECT comment, engine_full LIKE '%window = 10000%' FROM system.tables WHERE database = \
         '{}' AND name = 'spans'",
        config.database
    );
    let text = ddl(&config);
    let mark = text
        .rsplit("COMMENT '")
        .next()
        .unwrap()
        .split('\'')
        .next()
        .unwrap();
    assert!(mark.starts_with("weir schema "), "{mark}");
    assert_eq!(ask(&config, &sql).await, format!("{mark}\t1"));
    // Retention that is configured later; what is there already is not rewritten.
    let config = ClickHouseConfig {
        retention_days: Some(40_000),
        ..config
    };
    ClickHouseSink::new("later", config.clone())
        .unwrap()
        .probe()
        .await
        .unwrap();
    let sql = format!(
        "SELECT engine_full FROM system.tables WHERE name = 'spans' AND database = '{}'",
        config.database
    );
    let engine = ask(&config, &sql).await;
    assert!(
        engine.contains("TTL part_date + toIntervalDay(40000)"),
        "{engine}"
    );
}

#[tokio::test]
async fn tables_of_a_newer_version_are_refused_and_left_alone() {
    let Some(server) = Server::shared() else {
        return;
    };
    let config = server.config();
    apply(&config).await;
    let newer = "ALTER TABLE {}.spans MODIFY COMMENT 'weir schema 9999.1'";
    run(&config, &newer.replace("{}", &config.database)).await;
    let sink = Place::at(&config).open();
    for error in [
        sink.probe().await.unwrap_err(),
        sink.write(&batch(Dataset::Spans, 1)).await.unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(text.contains("newer weir (weir schema 9999.1"), "{text}");
        assert!(matches!(error.fault(), weir_model::Fault::Transient { .. }));
    }
    assert_eq!(
        ask(
            &config,
            &format!("SELECT count() FROM {}.spans", config.database)
        )
        .await,
        "0"
    );
}

#[tokio::test]
async fn boards_of_the_collectors_exporter_find_its_columns() {
    let Some(server) = Server::shared() else {
        return;
    };
    let config = server.config();
    let (place, db) = (Place::at(&config), &config.database);
    place.open().write(&batch(Dataset::Spans, 1)).await.unwrap();
    // What Grafana's data source and ClickStack ask.
    let asked = format!(
        "SELECT count(), countIf(Duration >= 0), uniqExact(TraceId), \
         countIf(length(Events.Timestamp) = length(Events.Name)), \
         sum(length(mapKeys(SpanAttributes))) >= 0, any(toTypeName(ResourceAttributes)) \
         FROM {db}.otel_traces WHERE Timestamp > '1900-01-01 00:00:00' AND ServiceName != 'x' AND \
         SpanAttributes['none'] = '' AND StatusCode != 'Error' AND ParentSpanId != '-'"
    );
    let answer = ask(&config, &asked).await;
    assert!(
        answer.ends_with("Map(LowCardinality(String), String)"),
        "{answer}"
    );
    let columns = format!(
        "SELECT groupArray(name) FROM system.columns WHERE database = '{db}' AND table = 'otel_traces'"
    );
    let columns = ask(&config, &columns).await;
    for name in [
        "Timestamp",
        "TraceId",
        "SpanId",
        "ParentSpanId",
        "TraceState",
        "SpanName",
        "SpanKind",
        "ServiceName",
        "ResourceAttributes",
        "ScopeName",
        "ScopeVersion",
        "SpanAttributes",
        "Duration",
        "StatusCode",
        "StatusMessage",
        "Events.Timestamp",
        "Events.Name",
        "Events.Attributes",
        "Links.TraceId",
        "Links.SpanId",
        "Links.TraceState",
        "Links.Attributes",
    ] {
        assert!(
            columns.contains(&format!("'{name}'")),
            "{name} in {columns}"
        );
    }
    let trace = ask(&config, &format!("SELECT any(trace_id) FROM {db}.spans")).await;
    let times = format!(
        "SELECT count() FROM {db}.otel_traces_trace_id_ts WHERE TraceId = '{trace}' AND Start <= End"
    );
    assert_eq!(ask(&config, &times).await, "1");
    // A filter by time reads few blocks, a look-up by trace too.
    let plan = format!(
        "EXPLAIN indexes = 1 SELECT count() FROM {db}.otel_traces WHERE Timestamp > '2026-01-01 00:00:00'"
    );
    let plan = ask(&config, &plan).await;
    assert!(plan.contains("i_time"), "{plan}");
}
