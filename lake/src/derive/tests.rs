use std::sync::Arc;

use object_store::memory::InMemory;
use url::Url;
use weir_model::Dataset;

use super::*;
use crate::fixture::{FaultStore, PutFault, batch, node};
use crate::{Lake, Partition};

const LEDGER: Dataset = Dataset::CostLedger;

fn lake(store: Arc<dyn object_store::ObjectStore>) -> Lake {
    let url = Url::parse("memory:///some/lake").unwrap();
    Lake::with_store(store, url, Partition::DateAndTenant).unwrap()
}

fn at(number: i64) -> Vec<(String, i64)> {
    vec![("weir/ledger/a".to_owned(), number)]
}

fn rows(number: i64) -> Batch {
    batch(
        LEDGER,
        &node(7),
        number,
        &[("a", 0, Some(1)), ("b", 0, Some(2))],
    )
}

async fn derive(lake: &Lake, batch: Option<&Batch>, from: i64, to: i64) -> Outcome {
    let derived = Derived {
        batch,
        expect: &at(from),
        then: &at(to),
    };
    lake.derive(LEDGER, &derived).await.unwrap()
}

#[tokio::test]
async fn of_two_that_computed_from_the_same_state_the_second_is_fenced() {
    let store: Arc<dyn object_store::ObjectStore> = Arc::new(InMemory::new());
    let (one, two) = (lake(Arc::clone(&store)), lake(Arc::clone(&store)));
    let first = rows(1);
    let done = derive(&one, Some(&first), 0, 5).await;
    assert!(matches!(done, Outcome::Committed { .. }), "{done:?}");
    assert_eq!(derive(&two, Some(&first), 0, 5).await, Outcome::Fenced);
    assert_eq!(derive(&two, Some(&rows(2)), 0, 6).await, Outcome::Fenced);
    assert_eq!(derive(&two, Some(&rows(3)), 5, 6).await, Outcome::Fenced);
    // Only progress, no rows.
    let done = derive(&two, None, 5, 6).await;
    assert!(matches!(done, Outcome::Committed { .. }), "{done:?}");
    let snapshot = one.snapshot(LEDGER).await.unwrap();
    assert_eq!(snapshot.progress("weir/ledger/a"), 6);
    assert_eq!((snapshot.rows(), snapshot.committed(&node(7))), (2, 1));
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_by_the_next_look() {
    let store = FaultStore::new(Arc::new(InMemory::new()));
    let lake = lake(Arc::<FaultStore>::clone(&store));
    derive(&lake, None, 0, 1).await;
    store.plan_put("_delta_log", PutFault::AnswerLost);
    let batch = rows(1);
    let derived = Derived {
        batch: Some(&batch),
        expect: &at(1),
        then: &at(2),
    };
    assert!(lake.derive(LEDGER, &derived).await.is_err());
    assert_eq!(
        lake.derive(LEDGER, &derived).await.unwrap(),
        Outcome::Fenced
    );
    assert_eq!(lake.snapshot(LEDGER).await.unwrap().rows(), 2);
}

#[tokio::test]
async fn rows_of_traces_come_back_with_what_the_folder_says() {
    use arrow_array::cast::AsArray;
    use futures::TryStreamExt;
    let lake = lake(Arc::new(InMemory::new()));
    let spans = batch(
        Dataset::Spans,
        &node(1),
        1,
        &[("a", 0, Some(1)), ("a", 0, Some(2)), ("b", 1, Some(3))],
    );
    lake.append(Dataset::Spans, &[spans]).await.unwrap();
    let snapshot = lake.snapshot(Dataset::Spans).await.unwrap();
    let wanted: std::collections::BTreeSet<String> = [format!("{:032x}", 1), "x".into()].into();
    let mut found = Vec::new();
    for file in snapshot.files() {
        let columns = ["tenant_id", "part_date", "trace_id", "skill_name", "_batch"];
        for traces in [None, Some(Arc::new(wanted.clone()))] {
            let only = traces.is_some();
            let pieces = lake
                .read_file(Dataset::Spans, file, &columns, traces)
                .await
                .unwrap();
            let pieces: Vec<_> = pieces.try_collect().await.unwrap();
            for piece in pieces {
                assert_eq!(piece.num_columns(), 5);
                let tenants = piece.column(0).as_string::<i32>();
                found.extend(tenants.iter().flatten().map(|t| (t.to_owned(), only)));
            }
        }
    }
    found.sort();
    let expected = [("a", false), ("a", false), ("a", true), ("b", false)];
    assert_eq!(found, expected.map(|(t, only)| (t.to_owned(), only)));
}

#[tokio::test]
async fn progress_outlives_the_commits_that_a_checkpoint_sums_up() {
    let dir = tempfile::tempdir().unwrap();
    let url = dir.path().to_string_lossy().into_owned();
    let config = crate::LakeConfig {
        url,
        ..crate::LakeConfig::default()
    };
    let first = Lake::open(&config).await.unwrap();
    for number in 0..105 {
        let batch = (number % 50 == 1).then(|| rows(number / 50 + 1));
        let done = derive(&first, batch.as_ref(), number, number + 1).await;
        assert!(matches!(done, Outcome::Committed { .. }), "{done:?}");
    }
    let log = dir.path().join("cost_ledger/_delta_log/_last_checkpoint");
    assert!(log.try_exists().unwrap(), "there was one");
    let again = Lake::open(&config).await.unwrap();
    let snapshot = again.snapshot(LEDGER).await.unwrap();
    assert_eq!(snapshot.progress("weir/ledger/a"), 105);
    assert_eq!((snapshot.committed(&node(7)), snapshot.rows()), (3, 6));
}
