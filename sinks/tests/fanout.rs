//! Several sinks on one log, with one of them dead, hanging or choosy; time is simulated.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may stop at once, and helpers are no test functions to the lint"
)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::memory::InMemory;
use parking_lot::Mutex;
use tokio::time::Instant;
use url::Url;
use weir_lake::{Lake, Partition};
use weir_model::clock::FixedClock;
use weir_model::source::Want;
use weir_model::{BatchId, BatchSource, Cursors, Dataset, NodeId};
use weir_sinks::contract::sample_batch;
use weir_sinks::lake::LakeSink;
use weir_sinks::memory::MemorySink;
use weir_sinks::testing::{Fault, FaultySink, ListSource, MemoryCursors};
use weir_sinks::{
    DeadLetters, Delivery, DeliveryConfig, Engine, Part, Receipt, Refill, Route, RouteBook, Routed,
    Sink, SinkError,
};

const SPANS: Dataset = Dataset::Spans;
const ROWS: u64 = 60;

fn node() -> NodeId {
    NodeId::from_bits(7)
}

/// A sink that takes as long for a write as it is told, and is dead while it is told so.
#[derive(Clone, Debug)]
struct Slow {
    inner: MemorySink,
    dead: Arc<Mutex<bool>>,
}

impl Slow {
    fn new(name: &str) -> Self {
        Self {
            inner: MemorySink::new(name),
            dead: Arc::default(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("nobody answers")]
struct Dead;

impl weir_model::Classify for Dead {
    fn fault(&self) -> weir_model::Fault {
        weir_model::Fault::Transient { after: None }
    }
}

#[async_trait]
impl Sink for Slow {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn appetite(&self) -> Want {
        self.inner.appetite()
    }

    async fn probe(&self) -> Result<Engine, SinkError> {
        self.inner.probe().await
    }

    async fn write(&self, run: &[Part]) -> Result<Receipt, SinkError> {
        if *self.dead.lock() {
            // As a machine that is gone: the call hangs until its timeout.
            tokio::time::sleep(Duration::from_secs(15)).await;
            return Err(Box::new(Dead));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.inner.write(run).await
    }

    async fn last_batch(&self, dataset: Dataset, node: &NodeId) -> Result<Option<i64>, SinkError> {
        self.inner.last_batch(dataset, node).await
    }

    async fn count(&self, dataset: Dataset, node: &NodeId) -> Result<u64, SinkError> {
        self.inner.count(dataset, node).await
    }
}

struct World {
    dir: tempfile::TempDir,
    source: Arc<ListSource>,
    cursors: Arc<MemoryCursors>,
}

impl World {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            source: Arc::new(ListSource::new(node())),
            cursors: Arc::default(),
        }
    }

    fn dead(&self) -> Arc<DeadLetters> {
        let folder = self.dir.path().join("dead");
        Arc::new(DeadLetters::open(&folder, Arc::new(FixedClock::at(1))).unwrap())
    }

    fn deliver(&self, sink: impl Sink + 'static, source: Arc<dyn BatchSource>) -> Delivery {
        Delivery::start(
            Arc::new(sink),
            source,
            Arc::clone(&self.cursors) as Arc<dyn Cursors>,
            self.dead(),
            DeliveryConfig {
                datasets: vec![SPANS],
                ..DeliveryConfig::default()
            },
        )
    }

    fn log(&self) -> Arc<dyn BatchSource> {
        Arc::clone(&self.source) as Arc<dyn BatchSource>
    }

    fn push(&self, number: i64) {
        self.source.push(sample_batch(SPANS, &node(), number));
    }

    /// Seals a batch every ten seconds from `from` on, and gives the longest that `sink` lagged behind.
    async fn load(&self, batches: std::ops::Range<i64>, sink: &str) -> Duration {
        let mut worst = Duration::ZERO;
        for number in batches {
            let sealed = Instant::now();
            self.push(number);
            self.cursors.reached(sink, SPANS, number).await;
            worst = worst.max(sealed.elapsed());
            tokio::time::sleep_until(sealed + Duration::from_secs(10)).await;
        }
        worst
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_dead_for_an_hour_holds_up_no_other_and_drains() {
    let w = World::new();
    let (one, other, ill) = (Slow::new("one"), Slow::new("other"), Slow::new("ill"));
    let deliveries = [&one, &other, &ill].map(|sink| w.deliver(sink.clone(), w.log()));
    let before = w.load(1..11, "one").await;
    *ill.dead.lock() = true;
    let began = Instant::now();
    let during = w.load(11..371, "one").await;
    assert!(began.elapsed() >= Duration::from_secs(3_600));
    assert!(during <= before.mul_f64(1.1), "{during:?} after {before:?}");
    assert_eq!(w.cursors.get("other", SPANS), 370);
    let lag = w.source.last_sealed(SPANS) - w.cursors.get("ill", SPANS);
    assert!(lag > 340, "{lag}");
    *ill.dead.lock() = false;
    let mended = Instant::now();
    w.cursors.reached("ill", SPANS, 370).await;
    assert!(
        mended.elapsed() < Duration::from_secs(120),
        "{:?}",
        mended.elapsed()
    );
    for sink in [&one, &other, &ill] {
        assert_eq!(sink.count(SPANS, &node()).await.unwrap(), 370 * ROWS);
    }
    for delivery in &deliveries {
        delivery.stop().await;
    }
}

/// The log drops what the lake has; a sink that comes back later gets it from there, row for row.
#[tokio::test(start_paused = true)]
async fn what_the_log_has_dropped_comes_from_the_lake() {
    let w = World::new();
    let url = Url::parse("memory:///lake").unwrap();
    let lake = Lake::with_store(Arc::new(InMemory::new()), url, Partition::DateAndTenant);
    let lake = Arc::new(lake.unwrap());
    let stored = LakeSink::new(Arc::clone(&lake)).with_flush_interval(Duration::ZERO);
    let to_lake = FaultySink::new(stored);
    // The lake itself refuses one row, which must reach the other sink all the same.
    let batch = BatchId {
        node: node(),
        dataset: SPANS,
        number: 3,
    };
    to_lake.refuse_row(batch, 17);
    let filled = w.deliver(to_lake, w.log());
    for number in 1..=20 {
        w.push(number);
    }
    w.cursors.reached("lake", SPANS, 20).await;
    for number in 1..=15 {
        w.source.lose(SPANS, number);
    }
    let refill = Refill::new(
        w.log(),
        Arc::clone(&w.cursors) as Arc<dyn Cursors>,
        lake.into(),
        w.dead(),
    );
    let sink = MemorySink::new("later");
    let delivery = w.deliver(sink.clone(), Arc::new(refill));
    w.cursors.reached("later", SPANS, 20).await;
    assert_eq!(sink.count(SPANS, &node()).await.unwrap(), 20 * ROWS);
    let status = delivery.status().datasets[&SPANS].clone();
    assert_eq!((status.lost_batches, status.set_aside_rows), (0, 0));
    // What comes from the lake is what the log had: the same rows, values and names.
    let rows = sink.rows(SPANS);
    for (at, rows) in rows.iter().enumerate() {
        let number = i64::try_from(at).unwrap() + 1;
        assert_eq!(
            rows,
            sample_batch(SPANS, &node(), number).rows(),
            "batch {number}"
        );
    }
    w.push(21);
    w.cursors.reached("later", SPANS, 21).await;
    delivery.stop().await;
    filled.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_bad_row_in_ten_thousand_is_set_aside_alone_and_goes_through_once_mended() {
    let w = World::new();
    let sink = FaultySink::new(MemorySink::new("choosy"));
    let bad = BatchId {
        node: node(),
        dataset: SPANS,
        number: 101,
    };
    sink.refuse_row(bad, 33);
    for number in 1..=167 {
        w.push(number);
    }
    let began = Instant::now();
    let delivery = w.deliver(sink.clone(), w.log());
    w.cursors.reached("choosy", SPANS, 167).await;
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    let rows = 167 * ROWS;
    assert!(rows > 10_000);
    assert_eq!(sink.count(SPANS, &node()).await.unwrap(), rows - 1);
    delivery.stop().await;
    let dead = w.dead();
    let letters = dead.list().unwrap();
    assert_eq!(letters.len(), 1, "{letters:?}");
    let letter = &letters[0].id;
    assert_eq!(
        (letter.part.batch, letter.part.start, letter.part.end),
        (101, 33, 34)
    );
    // The sink has settled that batch, so the row comes as a batch of its own, once.
    for _ in 0..2 {
        let batch = dead.replay(letter).unwrap();
        assert_eq!(batch.id().number, 1);
        sink.write(&[Part::whole(batch)]).await.unwrap();
    }
    let again = weir_sinks::replay_node(&node());
    assert_eq!(sink.count(SPANS, &again).await.unwrap(), 1);
    dead.replayed(letter).unwrap();
    assert!(dead.replay(letter).is_err(), "its rows are gone");
    assert_eq!(dead.count("choosy", SPANS, &node()).unwrap(), 0);
    assert_eq!(dead.replay_nodes("choosy", SPANS).unwrap(), [again]);
}

#[tokio::test(start_paused = true)]
async fn every_sink_hangs_and_all_stop_within_five_seconds() {
    let w = World::new();
    w.push(1);
    let mut deliveries = Vec::new();
    for n in 0..6 {
        let sink = FaultySink::new(MemorySink::new(&format!("hangs-{n}")));
        sink.plan([Fault::Hang]);
        deliveries.push(w.deliver(sink.clone(), w.log()));
        sink.called(1).await;
    }
    let began = Instant::now();
    futures::future::join_all(deliveries.iter().map(Delivery::stop)).await;
    assert!(
        began.elapsed() <= Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

/// A tenant's rows go to one sink and all others' to the second; a change of routes leaves what was
/// sealed before as it was, also for a sink that gets it only afterwards.
#[tokio::test(start_paused = true)]
async fn tenants_go_to_their_own_sinks_and_sealed_batches_keep_their_routes() {
    let w = World::new();
    for number in 1..=3 {
        w.push(number);
    }
    let open = |name: &str| Arc::new(RouteBook::open(&w.dir.path().join("sinks"), name).unwrap());
    let (own, others) = (open("own"), open("others"));
    let tenant = "acme".to_owned();
    let spans = || Route {
        datasets: [SPANS.name().to_owned()].into(),
        ..Route::default()
    };
    let mut route = spans();
    route.tenants.insert(tenant.clone());
    let mut rest = spans();
    rest.exclude_tenants.insert(tenant.clone());
    let sealed = |dataset| w.source.last_sealed(dataset);
    own.change(route, sealed, false).unwrap();
    others.change(rest, sealed, false).unwrap();
    // From batch 4 on the first sink gets everything, and has got nothing yet.
    own.change(spans(), sealed, false).unwrap();
    w.push(4);
    let mut stored = Vec::new();
    for (name, book) in [("own", own), ("others", others)] {
        let sink = MemorySink::new(name);
        let routed = Arc::new(Routed::new(w.log(), book));
        let delivery = w.deliver(sink.clone(), Arc::clone(&routed) as Arc<dyn BatchSource>);
        w.cursors.reached(name, SPANS, 4).await;
        let rows = sink.count(SPANS, &node()).await.unwrap();
        assert_eq!(rows + routed.routed_out(SPANS), 4 * ROWS, "{name}");
        stored.push(rows);
        delivery.stop().await;
    }
    let of_four = stored[0] + stored[1] - 3 * ROWS;
    assert!(
        of_four >= ROWS,
        "batch 4 went whole to the first: {stored:?}"
    );
    assert!(stored[0] > ROWS && stored[1] < 4 * ROWS, "{stored:?}");
}
