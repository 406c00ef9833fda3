//! Delivery under random faults and restarts: nothing is lost, nothing is doubled, and exactly the
//! bad rows are set aside.
#![allow(
    clippy::unwrap_used,
    clippy::missing_docs_in_private_items,
    reason = "a test may stop at once, and helpers are no test functions to the lint"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use weir_model::clock::FixedClock;
use weir_model::{BatchId, BatchSource, Cursors, Dataset, NodeId};
use weir_sinks::contract::sample_batch;
use weir_sinks::memory::MemorySink;
use weir_sinks::testing::{Fault, FaultySink, ListSource, MemoryCursors};
use weir_sinks::{DeadLetters, Delivery, DeliveryConfig, Sink};

const DATASETS: [Dataset; 2] = [Dataset::Spans, Dataset::RejectedEvents];
const ROWS: u64 = 60;

#[derive(Clone, Debug)]
struct Plan {
    batches: [i64; 2],
    bad: BTreeSet<(usize, i64, i32)>,
    faults: Vec<Fault>,
    lives: Vec<u64>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let fault = prop_oneof![
        4 => Just(Fault::None),
        2 => Just(Fault::Busy(Duration::ZERO)),
        1 => Just(Fault::Busy(Duration::from_secs(3))),
        3 => Just(Fault::AnswerLost),
        1 => Just(Fault::Hang),
    ];
    let bad = (0..2_usize, 1..6_i64, 0..60_i32);
    (
        [1..6_i64, 1..6_i64],
        prop::collection::btree_set(bad, 0..5),
        prop::collection::vec(fault, 0..40),
        prop::collection::vec(0..20_000_u64, 0..4),
    )
        .prop_map(|(batches, bad, faults, lives)| Plan {
            batches,
            bad: bad
                .into_iter()
                .filter(|(d, b, _)| batches.get(*d).is_some_and(|last| b <= last))
                .collect(),
            faults,
            lives,
        })
}

async fn deliver(plan: &Plan) {
    let node = NodeId::from_bits(3);
    let dir = tempfile::tempdir().unwrap();
    let sink = FaultySink::new(MemorySink::new("memory"));
    let source = Arc::new(ListSource::new(node.clone()));
    let cursors = Arc::new(MemoryCursors::default());
    for (dataset, last) in DATASETS.into_iter().zip(plan.batches) {
        (1..=last).for_each(|n| source.push(sample_batch(dataset, &node, n)));
    }
    for (d, number, row) in &plan.bad {
        let id = BatchId {
            node: node.clone(),
            dataset: DATASETS[*d],
            number: *number,
        };
        sink.refuse_row(id, *row);
    }
    sink.plan(plan.faults.iter().copied());
    let dead = || {
        let clock = Arc::new(FixedClock::at(1));
        Arc::new(DeadLetters::open(&dir.path().join("dead"), clock).unwrap())
    };
    let start = || {
        let config = DeliveryConfig {
            datasets: DATASETS.to_vec(),
            ..DeliveryConfig::default()
        };
        let source = Arc::clone(&source) as Arc<dyn BatchSource>;
        let cursors = Arc::clone(&cursors) as Arc<dyn Cursors>;
        Delivery::start(Arc::new(sink.clone()), source, cursors, dead(), config)
    };
    // Lives that end at some moment, be it in the middle of a call: dropped, not stopped.
    for life in &plan.lives {
        let delivery = start();
        tokio::time::sleep(Duration::from_millis(*life)).await;
        drop(delivery);
    }
    let all = async {
        for (dataset, last) in DATASETS.into_iter().zip(plan.batches) {
            cursors.reached("memory", dataset, last).await;
        }
    };
    let mut all = std::pin::pin!(all);
    loop {
        // A call may hang for ever; the life after it goes on.
        let delivery = start();
        let done = tokio::time::timeout(Duration::from_secs(7200), &mut all).await;
        delivery.stop().await;
        if done.is_ok() {
            break;
        }
    }
    let letters = dead().list().unwrap();
    let aside: BTreeSet<(usize, i64, i32)> = letters
        .iter()
        .map(|l| {
            assert_eq!(l.rows, 1);
            let d = DATASETS.iter().position(|d| *d == l.id.part.dataset);
            (d.unwrap(), l.id.part.batch, l.id.part.start)
        })
        .collect();
    assert_eq!(aside, plan.bad, "exactly the bad rows are set aside");
    for (d, dataset) in DATASETS.into_iter().enumerate() {
        let bad = plan.bad.iter().filter(|(at, _, _)| *at == d).count();
        let accepted = plan.batches[d].unsigned_abs() * ROWS;
        let stored = sink.count(dataset, &node).await.unwrap();
        assert_eq!(stored + bad as u64, accepted, "stored and set aside close");
        let mut names = BTreeSet::new();
        for rows in sink.inner().rows(dataset) {
            let keys: Vec<_> = ["_batch", "_row"]
                .iter()
                .map(|c| Arc::clone(rows.column_by_name(c).unwrap()))
                .collect();
            for i in 0..rows.num_rows() {
                let name = format!("{:?}{:?}", keys[0].slice(i, 1), keys[1].slice(i, 1));
                assert!(names.insert(name), "a row twice");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_nothing_is_doubled_and_only_bad_rows_are_set_aside(plan in plan()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(deliver(&plan));
    }
}
