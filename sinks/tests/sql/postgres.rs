//! Postgres, from the packages of the system.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use tokio_postgres::{Client, NoTls, Row};
use weir_model::schema::{Column, ColumnType};
use weir_model::{Dataset, Fault, NodeId};
use weir_sinks::contract::{Destination, assert_holds, sample_batch};
use weir_sinks::postgres::{PostgresConfig, PostgresSink, ddl};
use weir_sinks::testing::{Drill, FaultProxy, LinkFault};
use weir_sinks::{Part, Sink};

use crate::back::{Cell, Json, Rows};
use crate::server::{Postgres as Server, not_run};

/// The role that writes: no superuser, and it owns nothing but what it makes.
const WRITER: &str = "weir_writer";
const READER: &str = "weir_reader";

/// One server for all tests that do not stop it; it is gone with this process.
fn server() -> Option<&'static Mutex<Server>> {
    static SERVER: OnceLock<Result<Mutex<Server>, String>> = OnceLock::new();
    match SERVER.get_or_init(|| Server::start_on_loopback().map(Mutex::new)) {
        Ok(server) => Some(server),
        Err(why) => {
            not_run(why);
            None
        }
    }
}

/// A database of its own: how the superuser, and how the writer connects.
#[derive(Clone)]
struct Place {
    superuser: String,
    writer: String,
}

impl Place {
    async fn on(server: &Mutex<Server>) -> Self {
        let superuser = server.lock().unwrap().database();
        let writer = superuser.replace("user=postgres", &format!("user={WRITER}"));
        let place = Self { superuser, writer };
        let (_, name) = place.superuser.rsplit_once("dbname=").unwrap();
        for role in [
            WRITER,
            READER,
            "weir_secret PASSWORD 'right'",
            "weir_read_only",
        ] {
            let make = format!(
                "DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN OTHERS THEN NULL; END $$"
            );
            place.run(&make).await;
        }
        place
            .run("ALTER ROLE weir_read_only SET default_transaction_read_only = on")
            .await;
        let grant = format!("GRANT CREATE ON DATABASE {name} TO {WRITER}");
        place.run(&grant).await;
        place
    }

    async fn new() -> Option<Self> {
        Some(Self::on(server()?).await)
    }

    async fn client(url: &str) -> Client {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Runs a script as the superuser.
    async fn run(&self, script: &str) {
        let client = Self::client(&self.superuser).await;
        client.batch_execute(script).await.unwrap();
    }

    /// Asks the superuser for one value.
    async fn one(&self, question: &str) -> String {
        let client = Self::client(&self.superuser).await;
        let question = format!("SELECT ({question})::text");
        client.query_one(&question, &[]).await.unwrap().get(0)
    }

    fn config(&self) -> PostgresConfig {
        PostgresConfig {
            url: self.writer.as_str().into(),
            timeout: Duration::from_secs(20),
            reader_role: READER.to_owned(),
            ..PostgresConfig::default()
        }
    }

    fn sink(&self) -> PostgresSink {
        PostgresSink::new("pg", self.config()).unwrap()
    }
}

/// How each column is asked for, so that every value comes in one of a few types.
fn asked(column: &Column) -> String {
    let name = column.name;
    match column.kind {
        ColumnType::Int32 | ColumnType::Bool => format!("{name}::int4::int8"),
        ColumnType::Date => format!("({name} - DATE '1970-01-01')::int8"),
        ColumnType::Time => format!("(extract(epoch FROM {name}) * 1000000)::int8"),
        ColumnType::Int64 | ColumnType::Float64 | ColumnType::Text => name.to_owned(),
        ColumnType::Money
        | ColumnType::MoneySum
        | ColumnType::Texts
        | ColumnType::Ints
        | ColumnType::Attributes
        | ColumnType::SpanEvents
        | ColumnType::SpanLinks => format!("{name}::text"),
    }
}

/// The value as it was given: what Postgres cannot hold is in `_exact`.
fn cell(column: &Column, row: &Row, at: usize, exact: &[(String, Json)]) -> Cell {
    if let Some((_, value)) = exact.iter().find(|(name, _)| name == column.name) {
        return match value {
            Json::Text(text) if column.kind == ColumnType::Text => Cell::Text(text.clone()),
            nested => Cell::Text(nested.to_string()),
        };
    }
    match column.kind {
        ColumnType::Int32
        | ColumnType::Int64
        | ColumnType::Bool
        | ColumnType::Date
        | ColumnType::Time => row.get::<_, Option<i64>>(at).map_or(Cell::Null, Cell::Int),
        ColumnType::Float64 => row
            .get::<_, Option<f64>>(at)
            .map_or(Cell::Null, Cell::Float),
        ColumnType::Text
        | ColumnType::Money
        | ColumnType::MoneySum
        | ColumnType::Texts
        | ColumnType::Ints
        | ColumnType::Attributes
        | ColumnType::SpanEvents
        | ColumnType::SpanLinks => row
            .get::<_, Option<String>>(at)
            .map_or(Cell::Null, Cell::Text),
    }
}

/// All rows of a table.
async fn rows(client: &Client, table: &str, dataset: Dataset) -> RecordBatch {
    let columns = dataset.columns();
    let mut names: Vec<String> = columns.iter().map(asked).collect();
    names.push("_exact::text".to_owned());
    let question = format!("SELECT {} FROM {table}", names.join(", "));
    let mut rows = Rows::new(dataset);
    let Ok(found) = client.query(&question, &[]).await else {
        return rows.finish();
    };
    for row in &found {
        let exact = match row.get::<_, Option<String>>(columns.len()) {
            None => Vec::new(),
            Some(text) => match serde_json::from_str(&text).unwrap() {
                Json::Object(members) => members,
                other => panic!("{other:?}"),
            },
        };
        let cells = columns.iter().enumerate();
        rows.push(
            cells
                .map(|(at, column)| cell(column, row, at, &exact))
                .collect(),
        );
    }
    rows.finish()
}

#[async_trait]
impl Destination for Place {
    async fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(Self::sink(self))
    }

    async fn rows(&self, dataset: Dataset) -> Vec<RecordBatch> {
        let client = Self::client(&self.superuser).await;
        vec![rows(&client, &format!("weir.{dataset}"), dataset).await]
    }
}

fn node() -> NodeId {
    NodeId::from_bits(5)
}

fn run(dataset: Dataset, number: i64) -> Vec<Part> {
    vec![Part::whole(sample_batch(dataset, &node(), number))]
}

#[tokio::test]
async fn postgres_holds() {
    let Some(place) = Place::new().await else {
        return;
    };
    assert_holds(&place).await;
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

    // Then it is mended, and the tables are another sink's, or a newer weir's.
    assert_eq!(place.sink().write(&run).await.unwrap().rows, 60);
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
        tokio::time::sleep(Duration::from_millis(20)).await;
        sink.write(&run(Dataset::Spans, number)).await.unwrap();
    }
    assert_eq!(sink.count(Dataset::Spans, &node()).await.unwrap(), 240);
}

/// Through bad weather.
struct Far {
    place: Place,
    proxied: PostgresConfig,
}

#[async_trait]
impl Destination for Far {
    async fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(PostgresSink::new("pg", self.proxied.clone()).unwrap())
    }

    async fn rows(&self, dataset: Dataset) -> Vec<RecordBatch> {
        self.place.rows(dataset).await
    }
}

pub(crate) async fn drill(batches: i64, seed: u64, weather: Vec<(LinkFault, u32)>) {
    let Some(place) = Place::new().await else {
        return;
    };
    let address = server().unwrap().lock().unwrap().address();
    let proxy = FaultProxy::start(address, seed).await.unwrap();
    let (from, to) = (
        format!("port={}", address.port()),
        format!("port={}", proxy.address().port()),
    );
    let far = Far {
        proxied: PostgresConfig {
            url: place.writer.replace(&from, &to).into(),
            timeout: Duration::from_millis(1_500),
            // One batch a transaction, or there would be few exchanges.
            rows_max: 60,
            gather: Duration::ZERO,
            ..place.config()
        },
        place,
    };
    let folder = tempfile::tempdir().unwrap();
    let drill = Drill::new(batches, seed).with_weather(weather);
    drill.run(&far, &proxy, folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_in_bad_weather() {
    drill(40, 1, Vec::new()).await;
}
