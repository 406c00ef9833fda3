//! What takes long: the contract for every dataset, several servers, servers that are stopped and
//! killed, and ClickHouse's own client as the judge of our stand-in for its HTTP interface.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use weir_model::clock::FixedClock;
use weir_model::{BatchSource, Cursors, Dataset, NodeId};
use weir_sinks::clickhouse::ClickHouseConfig;
use weir_sinks::contract::{assert_holds, sample_batch};
use weir_sinks::testing::{ListSource, MemoryCursors};
use weir_sinks::{DeadLetters, Delivery, DeliveryConfig, Part, Sink};

use crate::server::{Place, Server, apply, ask, run, script};
use crate::support::skip_unless_heavy;

fn node(bits: u64) -> NodeId {
    NodeId::from_bits(bits)
}

fn batch(dataset: Dataset, number: i64) -> [Part; 1] {
    [Part::whole(sample_batch(dataset, &node(2), number))]
}

#[tokio::test]
async fn the_contract_holds_for_every_dataset() {
    let Some(server) = Server::shared().filter(|_| !skip_unless_heavy()) else {
        return;
    };
    assert_holds(&Place::at(&server.config())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_or_is_killed_loses_and_doubles_nothing() {
    if skip_unless_heavy() {
        return;
    }
    let Some(mut server) = Server::own(None) else {
        return;
    };
    let config = ClickHouseConfig {
        timeout: Duration::from_millis(700),
        ..server.config()
    };
    let place = Place::at(&config);
    place.open().probe().await.unwrap();
    let (dataset, batches) = (Dataset::RejectedEvents, 40);
    let source = Arc::new(ListSource::new(node(1)));
    (1..=batches).for_each(|n| source.push(sample_batch(dataset, &node(1), n)));
    let folder = tempfile::tempdir().unwrap();
    let dead = DeadLetters::open(folder.path(), Arc::new(FixedClock::at(1))).unwrap();
    let cursors = Arc::<MemoryCursors>::default();
    let delivery = Delivery::start(
        Arc::new(place.open()),
        source as Arc<dyn BatchSource>,
        Arc::clone(&cursors) as Arc<dyn Cursors>,
        Arc::new(dead),
        DeliveryConfig {
            datasets: vec![dataset],
            retry_base: Duration::from_millis(20),
            retry_cap: Duration::from_millis(200),
            ..DeliveryConfig::default()
        },
    );
    tokio::time::sleep(Duration::from_millis(60)).await;
    server.signal("-STOP");
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    server.signal("-CONT");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut server = tokio::task::spawn_blocking(move || {
        server.kill_and_restart();
        server
    })
    .await
    .unwrap();
    let settled = cursors.reached("clickhouse", dataset, batches);
    tokio::time::timeout(Duration::from_secs(40), settled)
        .await
        .unwrap();
    delivery.stop().await;
    let wanted = u64::try_from(batches).unwrap() * 60;
    let count = place.open().count(dataset, &node(1)).await.unwrap();
    assert_eq!(count, wanted);
    server.kill_and_restart();
    let count = place.open().count(dataset, &node(1)).await.unwrap();
    assert_eq!(count, wanted, "what was acknowledged survives");
    let names = format!(
        "SELECT uniqExact(_batch, _row) FROM {}.rejected_events",
        config.database
    );
    assert_eq!(ask(&config, &names).await, wanted.to_string());
}

/// The engine has no `ON CLUSTER`; local tables are made by hand.
async fn make_local_tables(at: &ClickHouseConfig) {
    apply(at).await;
    for dataset in Dataset::ALL {
        let name = format!("{}.{}", at.database, dataset.name());
        run(at, &format!("CREATE TABLE {name}_local AS {name}")).await;
        run(at, &format!("DROP TABLE {name}")).await;
    }
    for name in ["cost_per_skill", "cost_per_skill_filled"] {
        let table = format!("CREATE TABLE {}.{name}_local (x Int8)", at.database);
        run(at, &format!("{table} ENGINE = Memory")).await;
    }
}

#[tokio::test]
async fn shards_are_written_to_by_the_hash_that_the_server_computes() {
    if skip_unless_heavy() {
        return;
    }
    let (Some(one), Some(two)) = (Server::shared(), Server::own(Some(("weir", "secret")))) else {
        return;
    };
    if !one.is_own() {
        println!("not run: a named server has a cluster of its own");
        return;
    }
    let alone = ClickHouseConfig {
        user: "weir".to_owned(),
        password: "secret".into(),
        ..one.config()
    };
    let config = ClickHouseConfig {
        shards: vec![one.url().to_owned(), two.url().to_owned()],
        cluster: "two".to_owned(),
        create_tables: false,
        ..alone.clone()
    };
    let mut readers = Vec::new();
    for server in [one, &two] {
        let at = ClickHouseConfig {
            url: server.url().to_owned(),
            ..alone.clone()
        };
        make_local_tables(&at).await;
        readers.push(ClickHouseConfig {
            cluster: config.cluster.clone(),
            ..at
        });
    }
    for dataset in Dataset::ALL {
        let name = format!("{}.{}", config.database, dataset.name());
        let twin = format!("CREATE VIEW {name} AS SELECT * FROM {name}_local");
        run(&readers[0], &twin).await;
    }
    let place = Place {
        config: config.clone(),
        readers: readers.clone(),
    };
    let sink = place.open();
    let run = [batch(Dataset::Spans, 1), batch(Dataset::Spans, 2)].concat();
    assert_eq!(sink.write(&run).await.unwrap().rows, 120);
    assert_eq!(place.open().write(&run).await.unwrap().rows, 0);
    let node = NodeId::from_bits(2);
    assert_eq!(sink.count(Dataset::Spans, &node).await.unwrap(), 120);
    assert_eq!(
        sink.last_batch(Dataset::Spans, &node).await.unwrap(),
        Some(2)
    );
    for (shard, reader) in readers.iter().enumerate() {
        let sql = format!(
            "SELECT count() > 20, countIf(CRC32(concat(tenant_id, '/', trace_id)) % 2 != {shard}) \
             FROM {}.spans_local",
            config.database
        );
        assert_eq!(ask(reader, &sql).await, "1\t0");
    }
}

#[test]
fn clickhouses_own_python_client_passes_against_the_engine() {
    let Some(server) = Server::shared().filter(|s| s.is_own() && !skip_unless_heavy()) else {
        return;
    };
    let python = std::env::var_os("WEIR_TEST_PYTHON").unwrap();
    let checked = Command::new(python)
        .arg(script("check_with_clickhouse_connect.py"))
        .arg(server.address().port().to_string())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&checked.stdout);
    let last = text.lines().last().unwrap_or_default();
    assert!(last.ends_with(" ok 0 bad"), "{text}");
}
