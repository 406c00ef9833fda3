//! Postgres, from the packages of the system.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_array::RecordBatch;
use weir_model::{Dataset, Fault};
use weir_sinks::contract::{Destination, assert_holds, record, sample_batch};
use weir_sinks::postgres::{PostgresConfig, PostgresSink, ddl};
use weir_sinks::testing::Drill;
use weir_sinks::{Part, Sink};

use crate::place::{Place, READER, WRITER, drill, node, run, server};
use crate::server::{Postgres as Server, not_run};

#[tokio::test]
async fn postgres_holds() {
    let Some(place) = Place::new().await else {
        return;
    };
    let proven = assert_holds(&place).await;
    record("postgres", &proven);
}

/// Each session sees the rows of the tenant that it has set, in every table and partition; the
/// owner of the tables too.
#[tokio::test]
async fn tenants_are_apart() {
    let Some(place) = Place::new().await else {
        return;
    };
    let sink = place.sink();
    for dataset in Dataset::ALL {
        sink.write(&run(dataset, 1)).await.unwrap();
    }
    let tables = "SELECT string_agg(c.relname, ' ') FROM pg_class c \
         WHERE relnamespace = 'weir'::regnamespace AND relkind IN ('r', 'p') \
         AND relname NOT LIKE '\\_weir%'";
    let tables = place.one(tables).await;
    let tables: Vec<&str> = tables.split(' ').collect();
    assert!(tables.len() >= 2 * Dataset::ALL.len(), "{tables:?}");
    let reader = place
        .superuser
        .replace("user=postgres", &format!("user={READER}"));
    for (url, is_owner) in [(&place.writer, true), (&reader, false)] {
        let client = Place::client(url).await;
        for table in &tables {
            let partition = Dataset::from_name(table).is_none();
            for (tenant, sees) in [
                ("acme", true),
                ("globex-2", true),
                ("nobody", false),
                ("", false),
            ] {
                let set = format!("SET app.tenant_id = '{tenant}'");
                client.batch_execute(&set).await.unwrap();
                let question = format!(
                    "SELECT count(*), count(*) FILTER (WHERE tenant_id <> '{tenant}') FROM weir.{table}"
                );
                match client.query_one(&question, &[]).await {
                    Ok(row) => {
                        assert!(is_owner || !partition, "{table} can be read by itself");
                        assert_eq!(row.get::<_, i64>(1), 0, "{table}: rows of others");
                        let some = row.get::<_, i64>(0) > 0;
                        // A partition may by chance hold rows of one tenant only.
                        assert!(some == sees || partition && !some, "{table} as {tenant:?}");
                    }
                    Err(error) => {
                        assert!(!is_owner && partition, "{table}: {error:?}");
                    }
                }
            }
        }
        for record in ["_weir_stored", "_weir_tenants", "_weir_layout"] {
            let asked = client
                .query(&format!("SELECT FROM weir.{record}"), &[])
                .await;
            assert_eq!(asked.is_ok(), is_owner, "{record}");
        }
    }
    // Nobody writes rows of another.
    let client = Place::client(&place.writer).await;
    let other = "SET app.tenant_id = 'acme'; INSERT INTO weir.rejected_events \
         (tenant_id, part_date, received_at, _node, _batch, _row) \
         VALUES ('globex-2', '2026-01-01', now(), 'x', 1, 1)";
    let refused = client.batch_execute(other).await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "42501", "{refused:?}");
    // Nor does a session without a tenant see any.
    let client = Place::client(&place.writer).await;
    let none = client
        .query_one("SELECT count(*) FROM weir.spans", &[])
        .await;
    assert_eq!(none.unwrap().get::<_, i64>(0), 0);
}

/// What Postgres cannot hold stands in `_exact`; the column shows it as well as it can.
#[tokio::test]
async fn what_does_not_fit_is_kept_beside() {
    let Some(place) = Place::new().await else {
        return;
    };
    let long = "s".repeat(5_000);
    let batch = sample_batch(Dataset::CostLedger, &node(), 1);
    let schema = Dataset::CostLedger.accepted_schema();
    let mut columns = batch.rows().columns()[..schema.fields().len()].to_vec();
    let count = batch.rows().num_rows();
    let put = |columns: &mut Vec<arrow_array::ArrayRef>, name: &str, text: &str| {
        let texts = arrow_array::StringArray::from(vec![text; count]);
        columns[schema.index_of(name).unwrap()] = Arc::new(texts);
    };
    put(&mut columns, "skill", &long);
    put(&mut columns, "booking_id", &"b".repeat(20_000));
    put(&mut columns, "agent_name", &"m".repeat(1 << 20));
    put(&mut columns, "model", "a\0b");
    let rows = RecordBatch::try_new(schema, columns).unwrap();
    let batch = weir_model::Batch::seal(batch.id().clone(), &rows).unwrap();
    let sink = place.sink();
    let parts = [Part::whole(batch.clone())];
    assert_eq!(sink.write(&parts).await.unwrap().rows, 60);
    let found = place.rows(Dataset::CostLedger).await;
    for name in ["skill", "booking_id", "agent_name", "model"] {
        let (found, wanted) = (
            found[0].column_by_name(name),
            batch.rows().column_by_name(name),
        );
        assert_eq!(
            found.unwrap().to_data(),
            wanted.unwrap().to_data(),
            "{name}"
        );
    }
    let shown = place
        .one("SELECT DISTINCT model || length(skill) FROM weir.cost_ledger")
        .await;
    assert_eq!(shown, "a\u{2400}b1024");
}

/// Wrong configuration is said in words that help, is no reason to give rows up, and repeats no
/// password.
#[tokio::test]
async fn wrong_configuration_is_explained() {
    let Some(place) = Place::new().await else {
        return;
    };
    let run = run(Dataset::Spans, 1);
    let try_out = async |config: PostgresConfig, said: &str| {
        let sink = PostgresSink::new("pg", config).unwrap();
        for error in [
            sink.probe().await.unwrap_err(),
            sink.write(&run).await.unwrap_err(),
        ] {
            let text = format!("{error} {error:?}");
            assert!(text.contains(said), "{said}: {text}");
            assert!(!text.contains("hunter2"), "{text}");
            assert_eq!(error.fault(), Fault::Transient { after: None }, "{text}");
        }
    };
    let with = |from: &str, to: &str| PostgresConfig {
        url: place.writer.replace(from, to).into(),
        ..place.config()
    };
    let (_, database) = place.writer.rsplit_once("dbname=").unwrap();
    try_out(with(database, "nowhere"), "there is no such database").await;
    try_out(with(WRITER, "nobody"), "does not let this role in").await;
    try_out(
        with(WRITER, "weir_secret password=hunter2"),
        "the password is wrong",
    )
    .await;
    try_out(with(WRITER, "postgres"), "superuser or has BYPASSRLS").await;
    let port = server().unwrap().lock().unwrap().address().port();
    try_out(with(&format!("port={port}"), "port=1"), "cannot be reached").await;
    let tls = with(WRITER, &format!("{WRITER} sslmode=require"));
    try_out(tls, "cannot be reached").await;
    let reader = PostgresConfig {
        reader_role: "nobody".to_owned(),
        ..place.config()
    };
    try_out(reader, "there is no role `nobody`").await;
    let timescale = PostgresConfig {
        partitions: "timescale".to_owned(),
        ..place.config()
    };
    try_out(timescale, "CREATE EXTENSION timescaledb").await;
    try_out(with(WRITER, "weir_read_only"), "read-only for the role").await;
    try_out(with(WRITER, READER), "the role lacks a right").await;
    let latin = place
        .superuser
        .replace("user=postgres", &format!("user={WRITER}"));
    place
        .run("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
        .await;
    let latin = PostgresConfig {
        url: latin.replace(database, "latin").into(),
        ..place.config()
    };
    try_out(latin, "the database's encoding is LATIN1").await;

    // Then it is mended.
    assert_eq!(place.sink().write(&run).await.unwrap().rows, 60);
}

/// Tables of another sink, or of a newer weir, are left alone.
#[tokio::test]
async fn tables_of_others_are_not_written() {
    let Some(place) = Place::new().await else {
        return;
    };
    place.sink().probe().await.unwrap();
    let other = PostgresSink::new("other", place.config()).unwrap();
    let error = other.probe().await.unwrap_err().to_string();
    assert!(error.contains("written by the sink `pg`"), "{error}");
    place.run("UPDATE weir._weir_layout SET layout = 9").await;
    let error = place.sink().probe().await.unwrap_err().to_string();
    assert!(error.contains("layout 9, newer than the 1"), "{error}");

    for (schema, good) in [
        ("rows_2", true),
        ("Rows", false),
        ("a\"b", false),
        ("", false),
    ] {
        let config = PostgresConfig {
            schema: schema.to_owned(),
            ..place.config()
        };
        assert_eq!(PostgresSink::new("pg", config).is_ok(), good, "{schema}");
    }
}

/// Rows at fault are refused for good, and their values are not repeated.
#[tokio::test]
async fn a_row_that_is_refused_is_refused_for_good() {
    let Some(place) = Place::new().await else {
        return;
    };
    let sink = place.sink();
    sink.probe().await.unwrap();
    place
        .run("ALTER TABLE weir.rejected_events ADD CONSTRAINT few CHECK (_batch < 3)")
        .await;
    assert_eq!(
        sink.write(&run(Dataset::RejectedEvents, 2))
            .await
            .unwrap()
            .rows,
        60
    );
    let error = sink
        .write(&run(Dataset::RejectedEvents, 3))
        .await
        .unwrap_err();
    assert_eq!(error.fault(), Fault::Permanent);
    let text = error.to_string();
    assert!(text.contains("23514, constraint few"), "{text}");
    assert!(!text.contains("acme"), "{text}");
    // Nothing of it is there, nor said to be.
    let last = sink.last_batch(Dataset::RejectedEvents, &node()).await;
    assert_eq!(last.unwrap(), Some(2));
}

/// Tables that lack what this version has, or were dropped, are mended.
#[tokio::test]
async fn tables_are_brought_up_to_date() {
    let Some(place) = Place::new().await else {
        return;
    };
    let sink = place.sink();
    sink.write(&run(Dataset::Spans, 1)).await.unwrap();
    place
        .run(
            "ALTER TABLE weir.spans DROP COLUMN skill_name, DROP COLUMN cost_usd;
             DROP TABLE weir.cost_daily;
             DROP TABLE weir.spans_p20251229;",
        )
        .await;
    // This one learns of it by a refusal, the other at its start.
    let error = sink.write(&run(Dataset::Spans, 2)).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Transient { after: None }, "{error}");
    assert_eq!(sink.write(&run(Dataset::Spans, 2)).await.unwrap().rows, 60);
    let other = place.sink();
    assert_eq!(
        other.write(&run(Dataset::CostDaily, 1)).await.unwrap().rows,
        60
    );
    let costs = "SELECT count(cost_usd) > 0 FROM weir.spans WHERE _batch = 2";
    assert_eq!(place.one(costs).await, "true");
}

/// One customer: no row-level security, any role. Then there is a second customer.
#[tokio::test]
async fn a_single_tenant_needs_no_row_security() {
    let Some(place) = Place::new().await else {
        return;
    };
    let single = PostgresConfig {
        single_tenant: true,
        period: "month".to_owned(),
        ..place.config()
    };
    let sink = PostgresSink::new("pg", single).unwrap();
    assert_eq!(sink.write(&run(Dataset::Spans, 1)).await.unwrap().rows, 60);
    let secured = "SELECT count(*) FROM pg_class WHERE relrowsecurity \
         AND relnamespace = 'weir'::regnamespace";
    assert_eq!(place.one(secured).await, "0");
    assert_eq!(sink.count(Dataset::Spans, &node()).await.unwrap(), 60);
    assert_eq!(
        place
            .sink()
            .write(&run(Dataset::Spans, 2))
            .await
            .unwrap()
            .rows,
        60
    );
    let open = "SELECT count(*) FROM pg_class WHERE NOT relforcerowsecurity AND relkind IN ('r', 'p') \
         AND relnamespace = 'weir'::regnamespace AND relname NOT LIKE '\\_weir%'";
    assert_eq!(place.one(open).await, "0");
    assert_eq!(
        place.sink().count(Dataset::Spans, &node()).await.unwrap(),
        120
    );
}

#[tokio::test]
async fn old_partitions_are_dropped() {
    let Some(place) = Place::new().await else {
        return;
    };
    let sink = place.sink();
    assert_eq!(sink.write(&run(Dataset::Spans, 1)).await.unwrap().rows, 60);
    // All of it is of January 2026; the partition that today's rows need makes the old ones go.
    place
        .run(
            "CREATE TABLE weir.spans_mine PARTITION OF weir.spans \
              FOR VALUES FROM ('1999-01-01') TO ('2000-01-01')",
        )
        .await;
    let kept = PostgresConfig {
        retention: Duration::from_secs(31 * 86_400),
        ..place.config()
    };
    let sink = PostgresSink::new("pg", kept).unwrap();
    sink.write(&run(Dataset::ProxyAudit, 1)).await.unwrap();
    let left = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'weir.spans'::regclass";
    let there: u32 = place.one(left).await.parse().unwrap();
    assert!(there >= 2);
    place.run("DROP TABLE weir.spans_p20251229").await;
    assert_eq!(sink.write(&run(Dataset::Spans, 2)).await.unwrap().rows, 60);
    // What was needed just now is there, however old.
    assert_eq!(place.one(left).await, "1");
}

/// The statements that `weir ddl postgres` prints make tables that the sink takes as its own.
#[tokio::test]
async fn the_printed_statements_make_the_same_tables() {
    let Some(place) = Place::new().await else {
        return;
    };
    let config = place.config();
    let client = Place::client(&place.writer).await;
    client.batch_execute(&ddl(&config)).await.unwrap();
    let sink = PostgresSink::new("postgres", config).unwrap();
    assert_eq!(sink.write(&run(Dataset::Spans, 1)).await.unwrap().rows, 60);
}

/// Stopped in the middle, as by a debugger, and let go on.
#[tokio::test]
async fn a_server_that_stands_still_is_waited_for() {
    let server = match Server::start_on_loopback() {
        Ok(server) => Mutex::new(server),
        Err(why) => return not_run(&why),
    };
    let place = Place::on(&server).await;
    let quick = PostgresConfig {
        timeout: Duration::from_millis(300),
        connect_timeout: Duration::from_millis(300),
        ..place.config()
    };
    let (sink, quick) = (place.sink(), PostgresSink::new("pg", quick).unwrap());
    sink.write(&run(Dataset::Spans, 1)).await.unwrap();
    quick.write(&run(Dataset::Spans, 2)).await.unwrap();
    server.lock().unwrap().freeze(true);
    let error = quick.write(&run(Dataset::Spans, 3)).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Transient { after: None });
    assert!(
        error.to_string().contains("did not answer within 300ms"),
        "{error}"
    );
    let (third, fourth) = (run(Dataset::Spans, 3), run(Dataset::Spans, 4));
    let waiting = async { sink.write(&third).await };
    let thawing = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        server.lock().unwrap().freeze(false);
    };
    let (done, ()) = tokio::join!(waiting, thawing);
    done.unwrap();
    quick.write(&fourth).await.unwrap();
    assert_eq!(sink.count(Dataset::Spans, &node()).await.unwrap(), 240);
}

/// Under TLS, with a certificate that only the right authorities vouch for.
#[tokio::test]
async fn tls_is_used_where_it_is_asked_for() {
    let mut server = match Server::start() {
        Ok(server) => server,
        Err(why) => return not_run(&why),
    };
    let (url, certificate) = match server.serve_tls() {
        Ok(made) => made,
        Err(why) => return not_run(&why),
    };
    let config = |url: &str, ca_file: &str| PostgresConfig {
        url: url.into(),
        ca_file: ca_file.to_owned(),
        single_tenant: true,
        ..PostgresConfig::default()
    };
    let certificate = certificate.to_str().unwrap();
    let sink = PostgresSink::new("pg", config(&url, certificate)).unwrap();
    assert_eq!(sink.write(&run(Dataset::Spans, 1)).await.unwrap().rows, 60);
    let unknown = config(&format!("{url} sslmode=require"), "");
    let unknown = PostgresSink::new("pg", unknown).unwrap();
    let error = unknown.probe().await.unwrap_err();
    assert!(error.to_string().contains("cannot be reached"), "{error}");
    let plain = PostgresSink::new("pg", config(&url, "")).unwrap();
    let error = plain.probe().await.unwrap_err().to_string();
    assert!(error.contains("sslmode=require"), "{error}");
    let none = PostgresSink::new("pg", config(&url, "/dev/null")).unwrap_err();
    assert!(none.to_string().contains("`ca_file`"), "{none}");
}

/// A pooler that gives each transaction another session forgets what the session was told.
#[tokio::test]
async fn nothing_is_kept_in_the_session() {
    let Some(place) = Place::new().await else {
        return;
    };
    let sink = place.sink();
    sink.write(&run(Dataset::Spans, 1)).await.unwrap();
    let watched = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'weir_writer' \
         AND datname = current_database() AND state <> 'idle'";
    assert_eq!(place.one(watched).await, "0", "no transaction is left open");
    // Every session is replaced behind the sink's back: it does not matter.
    for number in 2..5 {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE usename = 'weir_writer' AND datname = current_database()";
        place.run(end).await;
        // The first attempt may be the one that finds out.
        while let Err(error) = sink.write(&run(Dataset::Spans, number)).await {
            assert_eq!(error.fault(), Fault::Transient { after: None }, "{error}");
        }
    }
    assert_eq!(sink.count(Dataset::Spans, &node()).await.unwrap(), 240);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_in_bad_weather() {
    drill(Drill::new(40, 1)).await;
}
