//! The drill of exactness: many batches to a real engine through a bad network, with restarts, and
//! then every row is looked for.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use weir_model::clock::FixedClock;
use weir_model::{BatchSource, Cursors, Dataset, NodeId};

use super::{FaultProxy, LinkFault, ListSource, MemoryCursors};
use crate::contract::{Destination, sample_batch};
use crate::delivery::BreakerConfig;
use crate::{DeadLetters, Delivery, DeliveryConfig};

/// What is drilled.
#[derive(Clone, Debug)]
pub struct Drill {
    /// Batches of each dataset.
    pub batches: i64,
    /// The datasets.
    pub datasets: Vec<Dataset>,
    /// The start of all random choices.
    pub seed: u64,
    /// The faults of the network, by weight; calm exchanges have to be among them.
    pub weather: Vec<(LinkFault, u32)>,
    /// How often the delivery is dropped in the middle and begun anew, with a sink opened anew.
    pub restarts: u32,
    /// How long it may take as a whole.
    pub limit: Duration,
}

impl Drill {
    /// `batches` of spans and of rejected events, in weather that any protocol knows: cuts, resets,
    /// lost answers and slow bytes, in about one exchange of five.
    pub fn new(batches: i64, seed: u64) -> Self {
        Self {
            batches,
            datasets: vec![Dataset::Spans, Dataset::RejectedEvents],
            seed,
            weather: vec![
                (LinkFault::None, 80),
                (LinkFault::AnswerLost, 8),
                (LinkFault::Refused, 4),
                (LinkFault::Cut(1_000), 3),
                (LinkFault::Cut(40_000), 3),
                (LinkFault::Drip, 2),
            ],
            restarts: 3,
            limit: Duration::from_secs(120),
        }
    }

    /// The same with `faults` among the weather: what HTTP servers answer, say.
    #[must_use]
    pub fn with_weather(mut self, faults: impl IntoIterator<Item = (LinkFault, u32)>) -> Self {
        self.weather.extend(faults);
        self
    }

    /// Delivers through `proxy` to the sinks of `destination`, which must connect there, then looks
    /// at what a reader finds. Dead letters go to `folder`.
    ///
    /// # Panics
    ///
    /// Where a row is missing, doubled, or set aside, or the time is over: with the seed.
    pub async fn run(&self, destination: &dyn Destination, proxy: &FaultProxy, folder: &Path) {
        let node = NodeId::from_bits(0xd111_0000 + self.seed);
        let source = Arc::new(ListSource::new(node.clone()));
        for dataset in &self.datasets {
            for number in 1..=self.batches {
                source.push(sample_batch(*dataset, &node, number));
            }
        }
        let dead = match DeadLetters::open(folder, Arc::new(FixedClock::at(1))) {
            Ok(dead) => Arc::new(dead),
            Err(error) => panic!("the dead letters do not open: {error}"),
        };
        proxy.weather(self.weather.clone());
        let within = tokio::time::timeout(self.limit, self.deliver(destination, &source, &dead));
        let seed = self.seed;
        let done = within.await.is_ok();
        proxy.weather(Vec::new());
        assert!(done, "seed {seed}: not delivered within {:?}", self.limit);
        let letters = dead.list().unwrap_or_default();
        assert!(letters.is_empty(), "seed {seed}: set aside: {letters:?}");
        assert!(proxy.met() > 0, "seed {seed}: no fault was met");
        for dataset in &self.datasets {
            let found = names(&destination.rows(*dataset).await, &node);
            let rows = sample_batch(*dataset, &node, 1).rows().num_rows();
            let rows = i32::try_from(rows).unwrap_or(i32::MAX);
            let wanted = (1..=self.batches).flat_map(|n| (0..rows).map(move |row| (n, row)));
            let missing: Vec<_> = wanted.filter(|name| !found.0.contains(name)).collect();
            let few = missing.iter().take(5).collect::<Vec<_>>();
            let lost = missing.len();
            assert!(
                missing.is_empty(),
                "seed {seed}: {dataset}: {lost} rows lost, {few:?}"
            );
            assert_eq!(
                found.1,
                found.0.len(),
                "seed {seed}: {dataset}: rows doubled"
            );
        }
    }

    async fn deliver(
        &self,
        destination: &dyn Destination,
        source: &Arc<ListSource>,
        dead: &Arc<DeadLetters>,
    ) {
        let cursors = Arc::<MemoryCursors>::default();
        let mut random = StdRng::seed_from_u64(self.seed);
        for life in 0..=self.restarts {
            let sink = destination.sink().await;
            let name = sink.name().to_owned();
            let delivery = Delivery::start(
                sink,
                Arc::clone(source) as Arc<dyn BatchSource>,
                Arc::clone(&cursors) as Arc<dyn Cursors>,
                Arc::clone(dead),
                self.config(),
            );
            if life < self.restarts {
                let life = Duration::from_millis(random.random_range(20..400));
                tokio::time::sleep(life).await;
                drop(delivery);
                continue;
            }
            for dataset in &self.datasets {
                cursors.reached(&name, *dataset, self.batches).await;
            }
            delivery.stop().await;
        }
    }

    fn config(&self) -> DeliveryConfig {
        DeliveryConfig {
            datasets: self.datasets.clone(),
            retry_base: Duration::from_millis(5),
            retry_cap: Duration::from_millis(100),
            breaker: BreakerConfig {
                failures: 20,
                open: Duration::from_millis(20),
            },
            ..DeliveryConfig::default()
        }
    }
}

/// The names of the rows of `node`, and how many rows bear them.
fn names(found: &[RecordBatch], node: &NodeId) -> (BTreeSet<(i64, i32)>, usize) {
    let (mut names, mut rows) = (BTreeSet::new(), 0);
    for batch in found {
        let (Some(nodes), Some(numbers), Some(places)) = (
            batch.column_by_name("_node"),
            batch.column_by_name("_batch"),
            batch.column_by_name("_row"),
        ) else {
            panic!("what a reader finds has no names of rows");
        };
        let nodes = nodes.as_string::<i32>().iter();
        let numbers = numbers.as_primitive::<Int64Type>().values().iter();
        let places = places.as_primitive::<Int32Type>().values().iter();
        for (of, (number, place)) in nodes.zip(numbers.zip(places)) {
            if of == Some(node.as_str()) {
                names.insert((*number, *place));
                rows += 1;
            }
        }
    }
    (names, rows)
}
