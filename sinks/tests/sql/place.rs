//! A Postgres to write to, and how its rows are read back.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use tokio_postgres::{Client, NoTls, Row};
use weir_model::schema::{Column, ColumnType};
use weir_model::{Dataset, NodeId};
use weir_sinks::contract::{Destination, sample_batch};
use weir_sinks::postgres::{PostgresConfig, PostgresSink};
use weir_sinks::testing::{Drill, FaultProxy};
use weir_sinks::{Part, Sink};

use crate::back::{Cell, Json, Rows};
use crate::server::{Postgres as Server, not_run};

/// The role that writes: no superuser, and it owns nothing but what it makes.
pub(crate) const WRITER: &str = "weir_writer";
pub(crate) const READER: &str = "weir_reader";

/// One server for all tests that do not stop it; it is gone with this process.
pub(crate) fn server() -> Option<&'static Mutex<Server>> {
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
pub(crate) struct Place {
    pub(crate) superuser: String,
    pub(crate) writer: String,
    /// What the names of the tables with the rows end in.
    pub(crate) ending: &'static str,
}

impl Place {
    pub(crate) async fn on(server: &Mutex<Server>) -> Self {
        let superuser = server.lock().unwrap().database();
        let writer = superuser.replace("user=postgres", &format!("user={WRITER}"));
        let place = Self {
            superuser,
            writer,
            ending: "",
        };
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

    pub(crate) async fn new() -> Option<Self> {
        Some(Self::on(server()?).await)
    }

    pub(crate) async fn client(url: &str) -> Client {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Runs a script as the superuser.
    pub(crate) async fn run(&self, script: &str) {
        let client = Self::client(&self.superuser).await;
        client.batch_execute(script).await.unwrap();
    }

    /// Asks the superuser for one value.
    pub(crate) async fn one(&self, question: &str) -> String {
        let client = Self::client(&self.superuser).await;
        let question = format!("SELECT ({question})::text");
        client.query_one(&question, &[]).await.unwrap().get(0)
    }

    pub(crate) fn config(&self) -> PostgresConfig {
        PostgresConfig {
            url: self.writer.as_str().into(),
            timeout: Duration::from_secs(20),
            reader_role: READER.to_owned(),
            ..PostgresConfig::default()
        }
    }

    pub(crate) fn sink(&self) -> PostgresSink {
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
        if let (Json::Text(text), ColumnType::Text) = (value, column.kind) {
            return Cell::Text(text.clone());
        }
        return Cell::Text(value.to_string());
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
            Some(text) => {
                let Json::Object(members) = serde_json::from_str(&text).unwrap() else {
                    panic!("{text} is no object");
                };
                members
            }
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
        let table = format!("weir.{dataset}{}", self.ending);
        vec![rows(&client, &table, dataset).await]
    }
}

pub(crate) fn node() -> NodeId {
    NodeId::from_bits(5)
}

pub(crate) fn run(dataset: Dataset, number: i64) -> Vec<Part> {
    vec![Part::whole(sample_batch(dataset, &node(), number))]
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

/// Drills Postgres, one batch a transaction.
pub(crate) async fn drill(drill: Drill) {
    let Some(place) = Place::new().await else {
        return;
    };
    let address = server().unwrap().lock().unwrap().address();
    let proxy = FaultProxy::start(address, drill.seed).await.unwrap();
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
    drill.run(&far, &proxy, folder.path()).await;
}
