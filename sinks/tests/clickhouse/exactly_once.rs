//! Once, whatever fails: lost answers, restarts, windows that are over, a server that is killed or
//! stands still, rows that are refused.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, Date32Array, RecordBatch, StringArray};
use weir_model::clock::FixedClock;
use weir_model::{Batch, BatchId, BatchSource, Cursors, Dataset, Fault, NodeId};
use weir_sinks::clickhouse::{ClickHouseConfig, ClickHouseSink};
use weir_sinks::contract::{sample_batch, sample_rows};
use weir_sinks::testing::{FaultProxy, LinkFault, ListSource, MemoryCursors};
use weir_sinks::{DeadLetters, Delivery, DeliveryConfig, Part, Sink};

use crate::drill;
use crate::server::{Place, Server, ask, run};

fn node(bits: u64) -> NodeId {
    NodeId::from_bits(bits)
}

fn whole(dataset: Dataset, number: i64) -> Part {
    Part::whole(sample_batch(dataset, &node(1), number))
}

async fn stored(sink: &ClickHouseSink, run: &[Part]) -> u64 {
    match sink.write(run).await {
        Ok(receipt) => receipt.rows,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_drill_of_exactness_passes() {
    let Some(server) = Server::shared() else {
        return;
    };
    drill::run(server, drill::of(Dataset::CostLedger, 40, 20)).await;
}

#[tokio::test]
async fn sums_behind_the_view_are_exact_after_replays_and_lost_answers() {
    let Some(server) = Server::shared() else {
        return;
    };
    let direct = server.config();
    let proxy = FaultProxy::start(server.address(), 1).await.unwrap();
    let config = ClickHouseConfig {
        url: format!("http://{}", proxy.address()),
        ..direct.clone()
    };
    let ledger = Dataset::CostLedger;
    let sink = Place::at(&config).open();
    let run_of =
        |numbers: &[i64]| -> Vec<Part> { numbers.iter().map(|n| whole(ledger, *n)).collect() };
    assert_eq!(stored(&sink, &run_of(&[1, 2, 3])).await, 180);
    proxy.plan([LinkFault::AnswerLost]);
    let lost = sink.write(&run_of(&[4])).await.unwrap_err();
    assert_eq!(lost.fault(), Fault::Transient { after: None }, "{lost}");
    assert_eq!(stored(&sink, &run_of(&[4])).await, 0, "it was stored");
    let again = Place::at(&config).open();
    assert_eq!(stored(&again, &run_of(&[1, 2, 3, 4])).await, 0);
    let (view, ledger) = drill::sums(&direct).await;
    assert_eq!(view, ledger);
    assert_ne!(view, "");
}

#[tokio::test]
async fn a_view_that_failed_gets_the_rows_with_the_next_attempt() {
    let Some(server) = Server::shared() else {
        return;
    };
    let config = server.config();
    let db = &config.database;
    let sink = Place::at(&config).open();
    sink.probe().await.unwrap();
    let sums_table = format!("ALTER TABLE {db}.cost_per_skill");
    run(
        &config,
        &format!("{sums_table} ADD CONSTRAINT broken CHECK calls > 9999999999999"),
    )
    .await;
    let part = whole(Dataset::CostLedger, 1);
    let error = sink.write(std::slice::from_ref(&part)).await.unwrap_err();
    assert!(
        matches!(error.fault(), Fault::Transient { .. }),
        "rows are not given up for a view: {error}"
    );
    let there = sink.count(Dataset::CostLedger, &node(1)).await.unwrap();
    assert_eq!(there, 60, "the table has them, the view has not");
    run(&config, &format!("{sums_table} DROP CONSTRAINT broken")).await;
    // After a restart, even.
    let sink = Place::at(&config).open();
    assert_eq!(stored(&sink, std::slice::from_ref(&part)).await, 0);
    let (view, ledger) = drill::sums(&config).await;
    assert_eq!(view, ledger);
}

#[tokio::test]
async fn an_old_batch_beyond_the_window_adds_nothing() {
    let Some(server) = Server::shared() else {
        return;
    };
    let config = ClickHouseConfig {
        dedup_window: 3,
        ..server.config()
    };
    let place = Place::at(&config);
    let sink = place.open();
    for number in 1..=8 {
        assert_eq!(
            stored(&sink, &[whole(Dataset::RejectedEvents, number)]).await,
            60
        );
    }
    let old = [whole(Dataset::RejectedEvents, 1)];
    assert_eq!(stored(&sink, &old).await, 0, "by the same instance");
    assert_eq!(stored(&place.open(), &old).await, 0, "after a restart");
    // One partition of it is gone: only that is written again.
    let table = format!("{}.rejected_events", config.database);
    let dates = format!("SELECT DISTINCT part_date FROM {table} WHERE _batch = 1 LIMIT 1");
    let date = ask(&config, &dates).await;
    let gone = format!("SELECT count() FROM {table} WHERE part_date = '{date}' AND _batch = 1");
    let gone: u64 = ask(&config, &gone).await.parse().unwrap();
    assert!(gone > 0 && gone < 60);
    run(
        &config,
        &format!("ALTER TABLE {table} DROP PARTITION '{date}'"),
    )
    .await;
    assert_eq!(stored(&place.open(), &old).await, gone);
    let whole = format!("SELECT count(), uniqExact(_row) FROM {table} WHERE _batch = 1");
    assert_eq!(ask(&config, &whole).await, "60\t60");
}

#[tokio::test]
async fn a_batch_of_more_partitions_than_the_server_takes_is_stored_once() {
    let Some(server) = Server::shared() else {
        return;
    };
    let place = Place::at(&server.config());
    let rows = sample_rows(Dataset::RejectedEvents, 1, 500).unwrap();
    let dates = Date32Array::from_iter_values((0..500).map(|n| 20_000 + n / 2));
    let at = rows.schema().index_of("part_date").unwrap();
    let mut columns = rows.columns().to_vec();
    columns[at] = Arc::new(dates);
    let rows = RecordBatch::try_new(rows.schema(), columns).unwrap();
    let id = BatchId {
        node: node(1),
        dataset: Dataset::RejectedEvents,
        number: 1,
    };
    let part = [Part::whole(Batch::seal(id, &rows).unwrap())];
    let sink = place.open();
    assert_eq!(stored(&sink, &part).await, 500);
    assert_eq!(stored(&sink, &part).await, 0);
    assert_eq!(stored(&place.open(), &part).await, 0);
    assert_eq!(
        sink.count(Dataset::RejectedEvents, &node(1)).await.unwrap(),
        500
    );
}

/// 10,000 rows of which one, in the middle, has a tool that the table does not take.
fn poisoned() -> Batch {
    let rows = sample_rows(Dataset::RejectedEvents, 3, 10_000).unwrap();
    let at = rows.schema().index_of("reason_code").unwrap();
    let codes = (0..10_000).map(|n| if n == 7_321 { "poison" } else { "fine" });
    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    columns[at] = Arc::new(StringArray::from_iter_values(codes));
    let rows = RecordBatch::try_new(rows.schema(), columns).unwrap();
    let id = BatchId {
        node: node(1),
        dataset: Dataset::RejectedEvents,
        number: 1,
    };
    Batch::seal(id, &rows).unwrap()
}

#[tokio::test]
async fn exactly_the_row_that_is_refused_is_set_aside_and_can_be_replayed() {
    let Some(server) = Server::shared() else {
        return;
    };
    let config = server.config();
    let table = format!("{}.rejected_events", config.database);
    let place = Place::at(&config);
    place.open().probe().await.unwrap();
    let check = "ADD CONSTRAINT clean CHECK reason_code != 'poison'";
    run(&config, &format!("ALTER TABLE {table} {check}")).await;
    let source = Arc::new(ListSource::new(node(1)));
    let batch = poisoned();
    source.push(batch.clone());
    let folder = tempfile::tempdir().unwrap();
    let dead = DeadLetters::open(folder.path(), Arc::new(FixedClock::at(1))).unwrap();
    let (dead, cursors) = (Arc::new(dead), Arc::<MemoryCursors>::default());
    let began = std::time::Instant::now();
    let delivery = Delivery::start(
        Arc::new(place.open()),
        Arc::clone(&source) as Arc<dyn BatchSource>,
        Arc::clone(&cursors) as Arc<dyn Cursors>,
        Arc::clone(&dead),
        DeliveryConfig {
            datasets: vec![Dataset::RejectedEvents],
            ..DeliveryConfig::default()
        },
    );
    let settled = cursors.reached("clickhouse", Dataset::RejectedEvents, 1);
    tokio::time::timeout(Duration::from_secs(30), settled)
        .await
        .unwrap();
    delivery.stop().await;
    println!("settled in {:?}", began.elapsed());
    let letters = dead.list().unwrap();
    assert_eq!(letters.len(), 1, "{letters:?}");
    let place_of = &letters[0].id.part;
    assert_eq!((place_of.start, place_of.end), (7_321, 7_322));
    assert!(
        !format!("{letters:?}").contains("poison"),
        "no row is quoted"
    );
    let sink = place.open();
    let there = sink.count(Dataset::RejectedEvents, &node(1)).await.unwrap();
    assert_eq!(there, 9_999);
    // Mended and offered again, as a replay does.
    run(
        &config,
        &format!("ALTER TABLE {table} DROP CONSTRAINT clean"),
    )
    .await;
    let row = [Part::piece(batch, 7_321..7_322).unwrap()];
    assert_eq!(stored(&sink, &row).await, 1);
    assert_eq!(stored(&sink, &row).await, 0);
}
