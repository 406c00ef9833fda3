//! TimescaleDB, where `WEIR_TEST_TIMESCALE_URL` names a server as its superuser: a database of its
//! own is made there, and dropped.

use tokio_postgres::Config;
use tokio_postgres::config::Host;
use weir_model::Dataset;
use weir_sinks::Sink;
use weir_sinks::contract::{Destination, assert_holds};

use crate::place::{Place, READER, WRITER, node, run};

/// The password of the roles that are made there.
const PASSWORD: &str = "weir-test";

struct Server {
    address: String,
    superuser: String,
    database: String,
}

impl Server {
    async fn start() -> Option<(Self, Place)> {
        let Ok(url) = std::env::var("WEIR_TEST_TIMESCALE_URL") else {
            println!("not run: WEIR_TEST_TIMESCALE_URL names no server");
            return None;
        };
        let config: Config = url.parse().expect("WEIR_TEST_TIMESCALE_URL is an address");
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => "localhost".to_owned(),
        };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let address = format!("host={host} port={port}");
        let user = config.get_user().unwrap_or("postgres");
        let password = config.get_password().unwrap_or(b"none");
        let password = std::str::from_utf8(password).unwrap();
        let database = format!("weir_{:016x}", rand::random::<u64>());
        let superuser = format!("{address} user={user} password={password}");
        let server = Self {
            superuser,
            address,
            database,
        };
        let place = server.place().await;
        Some((server, place))
    }

    async fn place(&self) -> Place {
        let Self { database, .. } = self;
        let client = Place::client(&format!("{} dbname=postgres", self.superuser)).await;
        let make = format!("CREATE DATABASE {database} TEMPLATE template0");
        client.batch_execute(&make).await.unwrap();
        let place = Place {
            superuser: format!("{} dbname={database}", self.superuser),
            writer: format!("{} dbname={database}", self.role(WRITER)),
            ending: "_rows",
        };
        place
            .run("CREATE EXTENSION IF NOT EXISTS timescaledb")
            .await;
        for role in [WRITER, READER] {
            place
                .run(&format!(
                    "DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN OTHERS THEN NULL; END $$;
                     ALTER ROLE {role} LOGIN PASSWORD '{PASSWORD}' NOSUPERUSER NOBYPASSRLS"
                ))
                .await;
        }
        let grant = format!("GRANT CREATE ON DATABASE {database} TO {WRITER}");
        place.run(&grant).await;
        place
    }

    fn role(&self, role: &str) -> String {
        format!("{} user={role} password={PASSWORD}", self.address)
    }

    async fn drop_database(self) {
        let client = Place::client(&format!("{} dbname=postgres", self.superuser)).await;
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.database);
        client.batch_execute(&drop).await.unwrap();
    }
}

#[tokio::test]
async fn timescale_holds() {
    let Some((server, place)) = Server::start().await else {
        return;
    };
    assert_holds(&place).await;
    server.drop_database().await;
}

/// The view shows a tenant its rows; the table and its chunks show a reader nothing.
#[tokio::test]
async fn views_keep_tenants_apart() {
    let Some((server, place)) = Server::start().await else {
        return;
    };
    let sink = place.sink();
    let engine = sink.probe().await.unwrap();
    assert!(engine.version.contains("timescaledb"), "{engine:?}");
    sink.write(&run(Dataset::Spans, 1)).await.unwrap();
    let chunk = "SELECT format('%I.%I', chunk_schema, chunk_name) FROM timescaledb_information.chunks \
         WHERE hypertable_name = 'spans_rows' LIMIT 1";
    let chunk = place.one(chunk).await;
    let reader = format!("{} dbname={}", server.role(READER), server.database);
    let client = Place::client(&reader).await;
    for (tenant, sees) in [("acme", true), ("nobody", false), ("", false)] {
        let set = format!("SET app.tenant_id = '{tenant}'");
        client.batch_execute(&set).await.unwrap();
        let question = format!(
            "SELECT count(*), count(*) FILTER (WHERE tenant_id <> '{tenant}') FROM weir.spans"
        );
        let row = client.query_one(&question, &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0) > 0, sees, "{tenant:?}");
        assert_eq!(row.get::<_, i64>(1), 0, "rows of others");
        for table in ["weir.spans_rows", chunk.as_str()] {
            let refused = client.query(&format!("SELECT FROM {table}"), &[]).await;
            let refused = refused.expect_err("the reader reads the table itself");
            assert_eq!(refused.code().unwrap().code(), "42501", "{table}");
        }
    }
    server.drop_database().await;
}

/// Rows that have become columns are counted, and a replay adds none.
#[tokio::test]
async fn columns_hold_what_rows_held() {
    let Some((server, place)) = Server::start().await else {
        return;
    };
    let sink = place.sink();
    sink.write(&run(Dataset::Spans, 1)).await.unwrap();
    let license = place
        .one("SELECT current_setting('timescaledb.license')")
        .await;
    if license == "timescale" {
        place
            .run("SELECT compress_chunk(c) FROM show_chunks('weir.spans_rows') c")
            .await;
    }
    assert_eq!(sink.write(&run(Dataset::Spans, 1)).await.unwrap().rows, 0);
    assert_eq!(sink.write(&run(Dataset::Spans, 2)).await.unwrap().rows, 60);
    assert_eq!(sink.count(Dataset::Spans, &node()).await.unwrap(), 120);
    let found: usize = place
        .rows(Dataset::Spans)
        .await
        .iter()
        .map(|b| b.num_rows())
        .sum();
    assert_eq!(found, 120);
    server.drop_database().await;
}
