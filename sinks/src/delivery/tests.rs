use tempfile::TempDir;
use tokio::time::Instant;
use weir_model::clock::FixedClock;
use weir_model::{BatchId, NodeId};

use super::*;
use crate::contract::sample_batch;
use crate::memory::MemorySink;
use crate::testing::{Fault, FaultySink, ListSource, MemoryCursors};

const SPANS: Dataset = Dataset::Spans;
const AUDIT: Dataset = Dataset::ProxyAudit;
/// Rows of a sample batch.
const ROWS: u64 = 60;

/// Waits are as long as they may be, so that a test can foretell them.
#[derive(Debug)]
struct Longest;

impl Jitter for Longest {
    fn up_to(&self, most: Duration) -> Duration {
        most
    }
}

struct World {
    dir: TempDir,
    sink: FaultySink<MemorySink>,
    source: Arc<ListSource>,
    cursors: Arc<MemoryCursors>,
}

fn world() -> World {
    World {
        dir: tempfile::tempdir().unwrap(),
        sink: FaultySink::new(MemorySink::new("memory")),
        source: Arc::new(ListSource::new(node())),
        cursors: Arc::default(),
    }
}

fn node() -> NodeId {
    NodeId::from_bits(7)
}

fn id(dataset: Dataset, number: i64) -> BatchId {
    BatchId {
        node: node(),
        dataset,
        number,
    }
}

impl World {
    fn fill(&self, dataset: Dataset, numbers: std::ops::RangeInclusive<i64>) {
        for number in numbers {
            self.source.push(sample_batch(dataset, &node(), number));
        }
    }

    fn dead(&self) -> Arc<DeadLetters> {
        let folder = self.dir.path().join("dead");
        Arc::new(DeadLetters::open(&folder, Arc::new(FixedClock::at(1))).unwrap())
    }

    fn start_of(&self, datasets: &[Dataset]) -> Delivery {
        let config = DeliveryConfig {
            datasets: datasets.to_vec(),
            jitter: Arc::new(Longest),
            ..DeliveryConfig::default()
        };
        Delivery::start(
            Arc::new(self.sink.clone()),
            Arc::clone(&self.source) as Arc<dyn BatchSource>,
            Arc::clone(&self.cursors) as Arc<dyn Cursors>,
            self.dead(),
            config,
        )
    }

    fn start(&self) -> Delivery {
        self.start_of(&[SPANS, AUDIT])
    }

    async fn settled(&self, dataset: Dataset, number: i64) {
        self.cursors.reached("memory", dataset, number).await;
    }

    async fn count(&self, dataset: Dataset) -> u64 {
        use crate::Sink;
        self.sink.count(dataset, &node()).await.unwrap()
    }
}

fn busy() -> Fault {
    Fault::Busy(Duration::ZERO)
}

#[tokio::test(start_paused = true)]
async fn batches_are_stored_and_the_account_closes() {
    let w = world();
    w.fill(SPANS, 1..=3);
    let delivery = w.start();
    w.settled(SPANS, 3).await;
    w.fill(SPANS, 4..=4);
    w.settled(SPANS, 4).await;
    let status = delivery.status();
    let spans = &status.datasets[&SPANS];
    assert_eq!(spans.stored_rows, 4 * ROWS);
    assert_eq!((spans.cursor, spans.last_sealed), (4, 4));
    assert_eq!((spans.failures, spans.set_aside_rows), (0, 0));
    assert_eq!(status.pending_batches(), 0);
    assert_eq!(w.count(SPANS).await, 4 * ROWS);
    assert_eq!(w.sink.calls()[0].len(), 3, "several batches at once");
    delivery.stop().await;
    assert!(!delivery.status().datasets[&SPANS].running);
}

/// A busy sink is asked again, later and later, and the batch is stored once it yields.
#[tokio::test(start_paused = true)]
async fn a_busy_sink_is_asked_again() {
    let w = world();
    w.sink
        .plan([busy(), busy(), busy(), Fault::Busy(Duration::from_secs(9))]);
    w.fill(SPANS, 1..=1);
    let start = Instant::now();
    let delivery = w.start();
    w.settled(SPANS, 1).await;
    assert_eq!(
        start.elapsed(),
        Duration::from_millis(200 + 400 + 800 + 9_000)
    );
    let status = delivery.status().datasets[&SPANS].clone();
    assert_eq!((status.attempts, status.failures), (5, 4));
    assert_eq!(status.last_error, None, "it is over");
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_an_hour_loses_nothing_and_probes_gently() {
    let w = world();
    w.sink.plan(vec![busy(); 140]);
    w.fill(SPANS, 1..=2);
    w.fill(AUDIT, 1..=2);
    let start = Instant::now();
    let delivery = w.start();
    w.sink.called(20).await;
    assert!(delivery.status().breaker_open);
    w.settled(SPANS, 2).await;
    w.settled(AUDIT, 2).await;
    assert!(
        start.elapsed() > Duration::from_secs(3600),
        "{:?}",
        start.elapsed()
    );
    assert!(!delivery.status().breaker_open);
    assert_eq!(w.count(SPANS).await, 2 * ROWS);
    assert_eq!(w.count(AUDIT).await, 2 * ROWS);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_stores_nothing_twice() {
    let w = world();
    w.sink.plan([Fault::AnswerLost, Fault::AnswerLost]);
    w.fill(SPANS, 1..=2);
    let delivery = w.start();
    w.settled(SPANS, 2).await;
    assert_eq!(w.count(SPANS).await, 2 * ROWS);
    assert_eq!(delivery.status().datasets[&SPANS].stored_rows, 2 * ROWS);
}

#[tokio::test(start_paused = true)]
async fn exactly_the_bad_rows_are_set_aside_and_the_rest_moves_on() {
    let w = world();
    w.fill(SPANS, 1..=3);
    w.sink.refuse_row(id(SPANS, 2), 17);
    w.sink.refuse_row(id(SPANS, 2), 59);
    let delivery = w.start();
    w.settled(SPANS, 3).await;
    assert_eq!(w.count(SPANS).await, 3 * ROWS - 2);
    let dead = w.dead();
    let letters = dead.list().unwrap();
    let rows: Vec<(i64, i32, i32)> = letters
        .iter()
        .map(|l| (l.id.part.batch, l.id.part.start, l.id.part.end))
        .collect();
    assert_eq!(rows, [(2, 17, 18), (2, 59, 60)]);
    assert_eq!(letters[0].reason, "the rows are bad");
    let (_, found) = dead.show(&letters[0].id).unwrap();
    let batch = sample_batch(SPANS, &node(), 2);
    assert_eq!(found, [batch.rows().slice(17, 1)]);
    let status = delivery.status().datasets[&SPANS].clone();
    assert_eq!(
        (status.stored_rows, status.set_aside_rows),
        (3 * ROWS - 2, 2)
    );
    assert_eq!(dead.splits("memory", &batch).unwrap().load().unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn one_dataset_that_hangs_does_not_stop_another() {
    let w = world();
    w.sink.plan([Fault::Hang]);
    w.fill(SPANS, 1..=1);
    let delivery = w.start();
    w.sink.called(1).await;
    w.fill(AUDIT, 1..=2);
    w.settled(AUDIT, 2).await;
    assert_eq!(delivery.status().datasets[&SPANS].cursor, 0);
}

/// Cut in the middle of a hunt for bad rows, the next run goes on with the very same pieces.
#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_with_the_same_pieces() {
    for stop_after in 1..14 {
        let w = world();
        w.fill(SPANS, 1..=2);
        w.sink.refuse_row(id(SPANS, 1), 40);
        w.sink.plan(vec![Fault::None; stop_after]);
        w.sink.plan([Fault::Hang]);
        let first = w.start_of(&[SPANS]);
        w.sink.called(stop_after + 1).await;
        let start = Instant::now();
        first.stop().await;
        assert_eq!(start.elapsed(), DeliveryConfig::default().stop_grace);
        drop(first);
        let second = w.start_of(&[SPANS]);
        w.settled(SPANS, 2).await;
        assert_eq!(w.count(SPANS).await, 2 * ROWS - 1, "cut after {stop_after}");
        assert_eq!(w.dead().list().unwrap().len(), 1);
        let status = second.status().datasets[&SPANS].clone();
        assert_eq!(status.set_aside_rows, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_the_log_has_lost_is_counted_and_passed_over() {
    let w = world();
    w.fill(SPANS, 1..=1);
    w.source.lose(SPANS, 2);
    w.fill(SPANS, 3..=3);
    let delivery = w.start();
    w.settled(SPANS, 3).await;
    assert_eq!(w.count(SPANS).await, 2 * ROWS);
    assert_eq!(delivery.status().datasets[&SPANS].lost_batches, 1);
    assert_eq!(w.dead().lost("memory", SPANS, &node()).unwrap(), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_leaves_out_a_batch_is_not_believed() {
    let w = world();
    w.fill(SPANS, 2..=2);
    let delivery = w.start();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let status = delivery.status().datasets[&SPANS].clone();
    assert_eq!((status.cursor, status.attempts), (0, 0));
    assert_eq!(
        status.last_error.as_deref(),
        Some("the source left out a batch")
    );
}

#[tokio::test(start_paused = true)]
async fn the_cursor_waits_for_the_dead_letters() {
    let w = world();
    w.fill(SPANS, 1..=1);
    w.sink.refuse_row(id(SPANS, 1), 0);
    let delivery = w.start();
    // A folder where the letter is to be staged: it cannot be written.
    let stem = format!("dead/memory/{}-spans-1-0-1.tmp", node());
    let blocked = w.dir.path().join(stem);
    std::fs::create_dir_all(&blocked).unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let status = delivery.status().datasets[&SPANS].clone();
    assert_eq!((status.cursor, status.set_aside_rows), (0, 0));
    assert!(status.last_error.is_some());
    std::fs::remove_dir(&blocked).unwrap();
    w.settled(SPANS, 1).await;
    assert_eq!(w.count(SPANS).await, ROWS - 1);
}
