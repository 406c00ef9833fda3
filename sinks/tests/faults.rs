//! Delivery under random faults and restarts: nothing is lost, nothing is doubled, and exactly the
//! bad rows are set aside.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at once, and helpers are no test functions to the lint"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
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

/// The parts that stay when a process dies, and the plan of what goes wrong.
struct World<'a> {
    plan: &'a Plan,
    node: NodeId,
    dir: tempfile::TempDir,
    sink: FaultySink<MemorySink>,
    source: Arc<ListSource>,
    cursors: Arc<MemoryCursors>,
}

fn world(plan: &Plan) -> World<'_> {
    let node = NodeId::from_bits(3);
    let sink = FaultySink::new(MemorySink::new("memory"));
    let source = Arc::new(ListSource::new(node.clone()));
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
    World {
        plan,
        node,
        dir: tempfile::tempdir().unwrap(),
        sink,
        source,
        cursors: Arc::default(),
    }
}

impl World<'_> {
    fn dead(&self) -> Arc<DeadLetters> {
        let clock = Arc::new(FixedClock::at(1));
        Arc::new(DeadLetters::open(&self.dir.path().join("dead"), clock).unwrap())
    }

    fn start(&self) -> Delivery {
        let config = DeliveryConfig {
            datasets: DATASETS.to_vec(),
            ..DeliveryConfig::default()
        };
        let source = Arc::clone(&self.source) as Arc<dyn BatchSource>;
        let cursors = Arc::clone(&self.cursors) as Arc<dyn Cursors>;
        Delivery::start(
            Arc::new(self.sink.clone()),
            source,
            cursors,
            self.dead(),
            config,
        )
    }

    async fn deliver(&self) {
        // Lives that end at some moment, be it in the middle of a call: dropped, not stopped.
        for life in &self.plan.lives {
            let delivery = self.start();
            tokio::time::sleep(Duration::from_millis(*life)).await;
            drop(delivery);
        }
        let all = async {
            for (dataset, last) in DATASETS.into_iter().zip(self.plan.batches) {
                self.cursors.reached("memory", dataset, last).await;
            }
        };
        let mut all = std::pin::pin!(all);
        loop {
            // A call may hang for ever; the life after it goes on.
            let delivery = self.start();
            let done = tokio::time::timeout(Duration::from_secs(7200), &mut all).await;
            delivery.stop().await;
            if done.is_ok() {
                break;
            }
        }
    }

    /// The rows that were set aside, each in a letter of its own.
    fn aside(&self) -> BTreeSet<(usize, i64, i32)> {
        let letters = self.dead().list().unwrap();
        let rows = letters.iter().map(|l| {
            assert_eq!(l.rows, 1);
            let d = DATASETS.iter().position(|d| *d == l.id.part.dataset);
            (d.unwrap(), l.id.part.batch, l.id.part.start)
        });
        rows.collect()
    }

    async fn check(&self) {
        assert_eq!(self.aside(), self.plan.bad, "exactly the bad rows");
        for (d, dataset) in DATASETS.into_iter().enumerate() {
            let bad = self.plan.bad.iter().filter(|(at, _, _)| *at == d).count();
            let accepted = self.plan.batches[d].unsigned_abs() * ROWS;
            let stored = self.sink.count(dataset, &self.node).await.unwrap();
            assert_eq!(stored + bad as u64, accepted, "the account closes");
            let mut names = BTreeSet::new();
            for rows in self.sink.inner().rows(dataset) {
                let numbers = rows["_batch"].as_primitive::<Int64Type>();
                let places = rows["_row"].as_primitive::<Int32Type>();
                for name in numbers.values().iter().zip(places.values()) {
                    assert!(names.insert((*name.0, *name.1)), "a row twice");
                }
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
        runtime.block_on(async {
            let world = world(&plan);
            world.deliver().await;
            world.check().await;
        });
    }
}
