use std::collections::BTreeMap;

use futures::StreamExt;
use object_store::memory::InMemory;
use url::Url;
use weir_model::Classify;

use super::*;
use crate::Lake;
use crate::fixture::{FaultStore, PutFault, Short, batch, node};

const SPANS: Dataset = Dataset::Spans;
const ROWS: &[Short<'_>] = &[("a", 0, Some(2)), ("b", 0, Some(1)), ("a", 1, Some(0))];

fn lake(store: &Arc<dyn ObjectStore>) -> Lake {
    let url = Url::parse("memory:///some/lake").unwrap();
    Lake::with_store(Arc::clone(store), url, Partition::DateAndTenant).unwrap()
}

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

fn run(node: &NodeId, numbers: std::ops::RangeInclusive<i64>) -> Vec<Batch> {
    numbers.map(|n| batch(SPANS, node, n, ROWS)).collect()
}

/// What the Parquet files hold, by batch.
async fn counted(lake: &Lake, node: &NodeId) -> Vec<(i64, u64)> {
    let counts = lake.count_rows(SPANS, node, 1, i64::MAX).await.unwrap();
    counts.into_iter().collect()
}

/// How many data files lie in the store, named by a commit or not.
async fn data_files(store: &Arc<dyn ObjectStore>) -> usize {
    let objects: Vec<_> = store.list(None).collect().await;
    let paths = objects.into_iter().map(|o| o.unwrap().location);
    paths.filter(|p| !p.as_ref().contains("_delta_log")).count()
}

#[tokio::test]
async fn what_is_appended_is_there_after_a_restart() {
    let (store, me) = (memory(), node(1));
    let first = lake(&store);
    assert_eq!(first.snapshot(SPANS).await.unwrap().version(), None);
    assert_eq!(first.last_batch(SPANS, &me).await.unwrap(), None);
    let done = first.append(SPANS, &run(&me, 1..=2)).await.unwrap();
    assert_eq!((done.rows, done.already), (6, false));

    let second = lake(&store);
    let snapshot = second.snapshot(SPANS).await.unwrap();
    assert_eq!(snapshot.version(), Some(done.version));
    assert_eq!(snapshot.rows(), 6);
    assert_eq!(snapshot.committed(&me), 2);
    assert_eq!(snapshot.files().len(), 3, "one for each day and tenant");
    assert_eq!(second.last_batch(SPANS, &me).await.unwrap(), Some(2));
    assert_eq!(counted(&second, &me).await, [(1, 3), (2, 3)]);
}

#[tokio::test]
async fn a_batch_is_stored_once_however_runs_are_cut() {
    let (store, me) = (memory(), node(1));
    let lake = lake(&store);
    lake.append(SPANS, &run(&me, 1..=3)).await.unwrap();
    for old in [1..=1, 2..=3, 1..=3] {
        let again = lake.append(SPANS, &run(&me, old)).await.unwrap();
        assert_eq!((again.rows, again.already), (0, true));
    }
    let grown = lake.append(SPANS, &run(&me, 2..=5)).await.unwrap();
    assert_eq!((grown.rows, grown.already), (6, false));
    let other = node(2);
    lake.append(SPANS, &run(&other, 1..=1)).await.unwrap();
    let all = [(1, 3), (2, 3), (3, 3), (4, 3), (5, 3)];
    assert_eq!(counted(&lake, &me).await, all);
    assert_eq!(counted(&lake, &other).await, [(1, 3)]);
}

#[tokio::test]
async fn writers_of_two_nodes_race_and_nothing_is_lost_or_doubled() {
    let store = memory();
    let writers = (1..=2).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let (lake, me) = (lake(&store), node(n));
            for number in 1..=8 {
                lake.append(SPANS, &run(&me, number..=number))
                    .await
                    .unwrap();
            }
        })
    });
    for done in futures::future::join_all(writers).await {
        done.unwrap();
    }
    let reader = lake(&store);
    for n in 1..=2 {
        let all: Vec<(i64, u64)> = (1..=8).map(|b| (b, 3)).collect();
        assert_eq!(counted(&reader, &node(n)).await, all);
    }
}

#[tokio::test]
async fn of_two_writers_that_claim_one_node_exactly_one_stores_a_batch() {
    let (store, me) = (memory(), node(1));
    lake(&store).append(SPANS, &run(&me, 1..=1)).await.unwrap();
    let racers = (0..6).map(|_| {
        let (store, me) = (Arc::clone(&store), me.clone());
        tokio::spawn(async move { lake(&store).append(SPANS, &run(&me, 2..=3)).await.unwrap() })
    });
    let done = futures::future::join_all(racers).await;
    let stored = done.iter().filter(|d| !d.as_ref().unwrap().already).count();
    assert_eq!(stored, 1);
    let reader = lake(&store);
    assert_eq!(counted(&reader, &me).await, [(1, 3), (2, 3), (3, 3)]);
    assert_eq!(data_files(&store).await, 6, "the losers' files are gone");
}

#[tokio::test]
async fn an_answer_lost_after_the_commit_is_found_out_at_once() {
    let faults = FaultStore::new(memory());
    let store: Arc<dyn ObjectStore> = Arc::clone(&faults) as _;
    let (lake, me) = (lake(&store), node(1));
    lake.append(SPANS, &run(&me, 1..=1)).await.unwrap();
    faults.plan_put("00002.json", PutFault::AnswerLost);
    let done = lake.append(SPANS, &run(&me, 2..=2)).await.unwrap();
    assert_eq!((done.version, done.rows), (2, 3));
    assert_eq!(counted(&lake, &me).await, [(1, 3), (2, 3)]);
}

#[tokio::test]
async fn an_outcome_that_stays_unknown_is_transient_and_a_retry_stores_nothing_twice() {
    for fault in [PutFault::DoneThenDark, PutFault::RefusedThenDark] {
        let faults = FaultStore::new(memory());
        let store: Arc<dyn ObjectStore> = Arc::clone(&faults) as _;
        let (lake, me) = (lake(&store), node(1));
        lake.append(SPANS, &run(&me, 1..=1)).await.unwrap();
        faults.plan_put("00002.json", fault);
        let appending = run(&me, 2..=2);
        let error = lake.append(SPANS, &appending).await.unwrap_err();
        assert_eq!(error.fault(), weir_model::Fault::Transient { after: None });
        let again = lake.append(SPANS, &appending).await.unwrap();
        assert_eq!(again.already, fault == PutFault::DoneThenDark);
        assert_eq!(counted(&lake, &me).await, [(1, 3), (2, 3)]);
    }
}

#[tokio::test]
async fn files_without_a_commit_are_not_seen() {
    let faults = FaultStore::new(memory());
    let store: Arc<dyn ObjectStore> = Arc::clone(&faults) as _;
    let (crashed, me) = (lake(&store), node(1));
    crashed.append(SPANS, &run(&me, 1..=1)).await.unwrap();
    faults.plan_put("00002.json", PutFault::Refused);
    crashed.append(SPANS, &run(&me, 2..=2)).await.unwrap_err();
    assert_eq!(data_files(&store).await, 6);
    let restarted = lake(&store);
    assert_eq!(restarted.snapshot(SPANS).await.unwrap().rows(), 3);
    restarted.append(SPANS, &run(&me, 2..=2)).await.unwrap();
    assert_eq!(counted(&restarted, &me).await, [(1, 3), (2, 3)]);
}

#[tokio::test]
async fn a_batch_in_pieces_is_settled_with_its_last() {
    let (store, me) = (memory(), node(1));
    let lake = lake(&store);
    let whole = batch(SPANS, &me, 1, &[("a", 0, Some(0)); 10]);
    lake.append_part(&whole, 0..4).await.unwrap();
    let snapshot = lake.snapshot(SPANS).await.unwrap();
    assert_eq!(snapshot.committed(&me), 0);
    let partial = Partial {
        batch: 1,
        rows_end: 4,
    };
    assert_eq!(snapshot.partial(&me), Some(partial));
    let again = lake.append_part(&whole, 0..4).await.unwrap();
    assert!(again.already);
    // Row 4 was set aside.
    lake.append_part(&whole, 5..10).await.unwrap();
    let snapshot = lake.snapshot(SPANS).await.unwrap();
    assert_eq!((snapshot.committed(&me), snapshot.partial(&me)), (1, None));
    let again = lake.append(SPANS, std::slice::from_ref(&whole)).await;
    assert!(again.unwrap().already);
    assert_eq!(counted(&lake, &me).await, [(1, 9)]);

    let next = batch(SPANS, &me, 2, &[("a", 0, Some(0)); 10]);
    lake.append_part(&next, 0..3).await.unwrap();
    let rest = lake.append(SPANS, &[next]).await.unwrap();
    assert_eq!(rest.rows, 7, "what a piece has stored is not stored again");
    for (start, end) in [(0, 0), (3, 2), (-1, 3), (0, 11)] {
        let refused = lake.append_part(&whole, start..end).await;
        assert!(matches!(refused, Err(LakeError::Rows { .. })));
    }
}

#[tokio::test]
async fn a_table_that_lacks_columns_is_widened_before_the_first_write() {
    let (store, me) = (memory(), node(1));
    let lake = lake(&store);
    let table = lake.table(SPANS).unwrap();
    let mut fields = table.fields(&SPANS.schema()).unwrap();
    fields.retain(|f| f.name() != "cost_usd" && f.name() != "events" && f.name() != "_row");
    CreateBuilder::new()
        .with_log_store(Arc::clone(&table.log))
        .with_columns(fields)
        .with_partition_columns(["part_date", "tenant_id"])
        .await
        .unwrap();
    lake.append(SPANS, &run(&me, 1..=1)).await.unwrap();
    let snapshot = lake.snapshot(SPANS).await.unwrap();
    assert_eq!(snapshot.columns().len(), SPANS.columns().len());
    assert_eq!(counted(&lake, &me).await, [(1, 3)]);
}

/// Checkpoints, and a writer that slept while the log was cleaned up behind its back.
#[tokio::test]
async fn a_checkpoint_is_read_and_a_sleeper_finds_its_way_back() {
    let (store, me) = (memory(), node(1));
    let (writer, sleeper) = (lake(&store), lake(&store));
    let one = |n| batch(SPANS, &me, n, &[("a", 0, Some(n))]);
    for number in 1..=110 {
        writer.append(SPANS, &[one(number)]).await.unwrap();
        if number == 20 {
            sleeper.snapshot(SPANS).await.unwrap();
        }
    }
    let log = writer.table_prefix(SPANS).join("_delta_log");
    for version in 0..=CHECKPOINT_COMMITS - 2 {
        let path = log.clone().join(format!("{version:020}.json"));
        store.delete(&path).await.unwrap();
    }
    let wanted = writer.snapshot(SPANS).await.unwrap();
    let fresh = lake(&store).snapshot(SPANS).await.unwrap();
    assert_eq!(fresh.files(), wanted.files());
    assert_eq!(fresh.columns(), wanted.columns());
    assert_eq!(fresh.committed(&me), 110);
    let hint = log.clone().join("_last_checkpoint");
    store.put(&hint, "torn".into()).await.unwrap();
    let unhinted = lake(&store).snapshot(SPANS).await.unwrap();
    assert_eq!(unhinted.files(), wanted.files());

    let done = sleeper.append(SPANS, &[one(111)]).await.unwrap();
    assert_eq!(done.version, wanted.version().unwrap() + 1);
    let counts: BTreeMap<i64, u64> = counted(&sleeper, &me).await.into_iter().collect();
    assert_eq!(counts, (1..=111).map(|n| (n, 1)).collect());
}

/// What other engines need: the library, which shares no code with our reading, agrees.
#[tokio::test]
async fn the_delta_library_reads_the_same_table() {
    let (store, me) = (memory(), node(1));
    let lake = lake(&store);
    lake.append(SPANS, &run(&me, 1..=2)).await.unwrap();
    let table = lake.table(SPANS).unwrap();
    let mut theirs = DeltaTable::new(Arc::clone(&table.log));
    theirs.load().await.unwrap();
    let ours = lake.snapshot(SPANS).await.unwrap();
    assert_eq!(theirs.version(), ours.version());
    let state = theirs.snapshot().unwrap();
    let views = state.snapshot().log_data();
    let mut found: Vec<(String, Option<usize>)> = views
        .iter()
        .map(|f| (f.path().to_string(), f.num_records()))
        .collect();
    found.sort();
    let wanted: Vec<(String, Option<usize>)> = ours
        .files()
        .iter()
        .map(|f| (f.path.clone(), usize::try_from(f.rows).ok()))
        .collect();
    assert_eq!(found, wanted);
    let log = theirs.log_store();
    let app = batches_app(&me, SPANS);
    let txn = state.transaction_version(log.as_ref(), app).await.unwrap();
    assert_eq!(txn, Some(2));
    let protocol = serde_json::to_value(state.protocol()).unwrap();
    assert_eq!(protocol["minReaderVersion"], 1);
    assert_eq!(protocol["minWriterVersion"], 2);
}

#[tokio::test]
async fn batches_that_are_no_run_are_refused() {
    let (store, me) = (memory(), node(1));
    let lake = lake(&store);
    let mut falling = run(&me, 1..=2);
    falling.reverse();
    let mixed = [run(&me, 1..=1), run(&node(2), 2..=2)].concat();
    for odd in [vec![], falling, mixed] {
        let refused = lake.append(SPANS, &odd).await;
        assert!(matches!(refused, Err(LakeError::Rows { .. })));
    }
    assert_eq!(lake.snapshot(SPANS).await.unwrap().version(), None);
}

#[tokio::test]
async fn many_files_become_one_in_one_commit_and_batches_stay_known() {
    let (store, me) = (memory(), node(1));
    let lake = lake(&store);
    for number in 1..=3 {
        let one = batch(SPANS, &me, number, &[("a", 0, Some(number))]);
        lake.append(SPANS, &[one]).await.unwrap();
    }
    let before = lake.snapshot(SPANS).await.unwrap();
    let columns = ["tenant_id", "part_date", "start_time", "_node", "_batch"];
    let rows = lake.rows_of_batches(&before, (&me, 2..=3), &columns).await;
    let rows: usize = rows.unwrap().iter().map(|r| r.num_rows()).sum();
    assert_eq!(rows, 2, "the first file is passed over by its statistics");
    let merged = batch(SPANS, &me, 3, &[("a", 0, Some(9))]);
    let old = before.files().to_vec();
    assert!(lake.replace(SPANS, &old, Some(&merged)).await.unwrap());
    let after = lake.snapshot(SPANS).await.unwrap();
    assert_eq!(
        (after.files().len(), after.rows(), after.committed(&me)),
        (1, 1, 3)
    );
    // A second writer that had the same in mind leaves no file behind.
    let files = data_files(&store).await;
    assert!(!lake.replace(SPANS, &old, Some(&merged)).await.unwrap());
    assert_eq!(data_files(&store).await, files);
    let paths: Vec<String> = old.iter().map(|f| f.path.clone()).collect();
    lake.delete_replaced(SPANS, &paths).await.unwrap();
    lake.delete_replaced(SPANS, &[after.files()[0].path.clone()])
        .await
        .unwrap();
    assert_eq!(data_files(&store).await, 1, "what is in use stays");
    // Another reader, from the log alone, sees the same; nothing may be left, too.
    assert!(lake.replace(SPANS, after.files(), None).await.unwrap());
    let fresh = self::lake(&store).snapshot(SPANS).await.unwrap();
    assert_eq!((fresh.files().len(), fresh.committed(&me)), (0, 3));
}
