//! What every sink must hold to. Each sink's tests call [`assert_holds`], on a stand-in in every
//! run and on a real server where one is at hand; a new sink is done when it passes.
//!
//! # What is held
//!
//! * A receipt means that readers see the rows, every value as it was.
//! * A replay adds nothing: of the same run, of an older batch, of batches grouped another way,
//!   by the same instance or by one that was opened after a restart.
//! * A batch that comes in pieces ends up whole but for the rows that were left out, and one that
//!   lacks rows from the start keeps the names of the others.
//! * Writers of several nodes do not lose each other's rows, and two writers that both believe to
//!   be one node store its rows once.
//! * The counts that the sink gives are those that a reader finds.

mod proven;
mod rows;

use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{RecordBatch, UInt64Array};
use arrow_schema::ArrowError;
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use async_trait::async_trait;
use weir_model::{Batch, BatchId, Dataset, Fault, NodeId};

use crate::{Part, Sink};
pub use proven::{CAPABILITIES, Proven, record};
pub use rows::sample_rows;

/// Rows of a batch in the suite.
const ROWS: usize = 60;
/// How often a call that failed for now is made again.
const ATTEMPTS_MAX: u32 = 50;

/// A destination under test; empty at first, and nobody else writes to it.
#[async_trait]
pub trait Destination: Send + Sync {
    /// A sink that is opened anew, as after a restart.
    async fn sink(&self) -> Arc<dyn Sink>;

    /// Every row of `dataset` as a reader of the destination finds it now, in the sealed schema,
    /// in any order.
    async fn rows(&self, dataset: Dataset) -> Vec<RecordBatch>;
}

/// A batch of [`sample_rows`] with every kind of odd value, made from its number.
///
/// # Panics
///
/// Where the rows do not fit the schema: a fault of the suite.
pub fn sample_batch(dataset: Dataset, node: &NodeId, number: i64) -> Batch {
    let id = BatchId {
        node: node.clone(),
        dataset,
        number,
    };
    let sealed = sample_rows(dataset, number.unsigned_abs(), ROWS);
    match sealed.and_then(|rows| Batch::seal(id, &rows)) {
        Ok(batch) => batch,
        Err(error) => panic!("the suite's own rows of {dataset} are wrong: {error}"),
    }
}

/// Checks that the sinks of `destination` keep their word, for every dataset, and gives what that
/// proves, to be [`record`]ed.
///
/// # Panics
///
/// Where one breaks it, saying which part.
pub async fn assert_holds(destination: &dyn Destination) -> Proven {
    Box::pin(assert_holds_for(destination, &Dataset::ALL)).await
}

/// The same for some datasets: where an engine takes seconds for each, the quick tests leave the
/// others to the heavy ones.
///
/// # Panics
///
/// As [`assert_holds`].
pub async fn assert_holds_for(destination: &dyn Destination, datasets: &[Dataset]) -> Proven {
    let mut tells_last = true;
    for dataset in datasets {
        let suite = Suite {
            destination,
            dataset: *dataset,
            node: NodeId::from_bits(0xc0_0000 + u64::from(dataset.code())),
        };
        Box::pin(suite.once()).await;
        Box::pin(suite.pieces()).await;
        Box::pin(suite.gaps()).await;
        Box::pin(suite.together()).await;
        let last = destination
            .sink()
            .await
            .last_batch(*dataset, &suite.node)
            .await;
        tells_last &= matches!(last, Ok(Some(_)));
    }
    let engine = match destination.sink().await.probe().await {
        Ok(engine) => engine,
        Err(error) => panic!("the sink cannot say what it is: {error}"),
    };
    let shown = [
        "every_column",
        "exactly_once",
        "pieces",
        "gaps",
        "several_writers",
        "counted",
    ];
    let last = tells_last.then_some("last_batch");
    let shown = shown.into_iter().chain(last);
    Proven {
        engine,
        capabilities: shown.map(str::to_owned).collect(),
    }
}

struct Suite<'a> {
    destination: &'a dyn Destination,
    dataset: Dataset,
    node: NodeId,
}

impl Suite<'_> {
    fn whole(&self, numbers: impl IntoIterator<Item = i64>) -> Vec<Part> {
        let batches = numbers.into_iter();
        batches
            .map(|n| Part::whole(sample_batch(self.dataset, &self.node, n)))
            .collect()
    }

    async fn check(&self, sink: &dyn Sink, wanted: &[Part], what: &str) {
        let dataset = self.dataset;
        let found = self.destination.rows(dataset).await;
        let rows: usize = wanted.iter().map(Part::len).sum();
        let wanted: Vec<RecordBatch> = wanted.iter().map(Part::rows).collect();
        let (found, wanted) = (of_node(&found, &self.node), of_node(&wanted, &self.node));
        let counted = found.as_ref().map_or(0, RecordBatch::num_rows);
        assert_eq!(counted, rows, "{dataset}: {what}: rows that a reader finds");
        if let (Some(found), Some(wanted)) = (found, wanted) {
            for (field, (found, wanted)) in dataset
                .schema()
                .fields()
                .iter()
                .zip(found.columns().iter().zip(wanted.columns()))
            {
                let name = field.name();
                assert_eq!(found, wanted, "{dataset}: {what}: values of {name}");
            }
        }
        let count = sink.count(dataset, &self.node).await;
        assert!(
            matches!(count, Ok(n) if n == rows as u64),
            "{dataset}: {what}: the sink counts {count:?} of {rows} rows"
        );
    }

    async fn last(&self, sink: &dyn Sink, wanted: Option<i64>) {
        let last = sink.last_batch(self.dataset, &self.node).await;
        assert!(
            matches!(last, Ok(n) if n.is_none() || n == wanted),
            "{}: the last batch is {wanted:?}, not {last:?}",
            self.dataset
        );
    }

    /// Runs of whole batches, replayed in every way.
    async fn once(&self) {
        let dataset = self.dataset;
        let sink = self.destination.sink().await;
        self.check(&sink, &[], "an empty destination").await;
        self.last(&sink, None).await;
        let run = self.whole([1, 2]);
        let stored = write(&sink, &run).await;
        assert_eq!(stored, 2 * ROWS as u64, "{dataset}: it takes a good run");
        self.check(&sink, &run, "a receipt means readable rows")
            .await;
        for again in [vec![1, 2], vec![1], vec![2]] {
            let stored = write(&sink, &self.whole(again)).await;
            assert_eq!(stored, 0, "{dataset}: a replay stores nothing");
        }
        self.check(&sink, &run, "a replay adds nothing").await;
        let stored = write(&sink, &self.whole([2, 3])).await;
        assert_eq!(stored, ROWS as u64, "{dataset}: only what is new");
        self.check(&sink, &self.whole(1..=3), "another grouping")
            .await;
        drop(sink);
        let sink = self.destination.sink().await;
        self.last(&sink, Some(3)).await;
        write(&sink, &self.whole([1])).await;
        write(&sink, &self.whole(1..=4)).await;
        self.check(&sink, &self.whole(1..=4), "a replay after a restart")
            .await;
    }

    /// A batch in pieces, with a row in the middle left out.
    async fn pieces(&self) {
        let dataset = self.dataset;
        let sink = self.destination.sink().await;
        let batch = sample_batch(dataset, &self.node, 5);
        let pieces = [0..7, 7..29, 30..60].map(|rows| Part::piece(batch.clone(), rows));
        let pieces: Vec<Part> = pieces.into_iter().flatten().collect();
        let mut wanted = self.whole(1..=4);
        for piece in &pieces {
            for stored in [piece.len() as u64, 0] {
                let got = write(&sink, std::slice::from_ref(piece)).await;
                assert_eq!(got, stored, "{dataset}: a piece is stored once");
            }
            wanted.push(piece.clone());
            self.check(&sink, &wanted, "a batch in pieces").await;
        }
        let sink = self.destination.sink().await;
        for piece in &pieces {
            write(&sink, std::slice::from_ref(piece)).await;
        }
        wanted.extend(self.whole([6]));
        write(&sink, &self.whole([6])).await;
        self.check(&sink, &wanted, "after the pieces").await;
        self.last(&sink, Some(6)).await;
    }

    /// Batches of which not every row goes to this sink: those that do keep their names.
    async fn gaps(&self) {
        let dataset = self.dataset;
        let sink = self.destination.sink().await;
        let whole = thinned(&sample_batch(dataset, &self.node, 7));
        let cut = thinned(&sample_batch(dataset, &self.node, 8));
        let pieces = [0..20, 20..60].map(|rows| Part::piece(cut.clone(), rows));
        let mut wanted = self.whole([1, 2, 3, 4, 6]);
        let fifth = sample_batch(dataset, &self.node, 5);
        let fifth = [0..7, 7..29, 30..60].map(|rows| Part::piece(fifth.clone(), rows));
        wanted.extend(fifth.into_iter().flatten());
        for part in [Some(Part::whole(whole))]
            .into_iter()
            .chain(pieces)
            .flatten()
        {
            for stored in [part.len() as u64, 0] {
                let got = write(&sink, std::slice::from_ref(&part)).await;
                assert_eq!(got, stored, "{dataset}: rows of a batch with gaps, once");
            }
            wanted.push(part);
            self.check(&sink, &wanted, "a batch with gaps").await;
        }
        self.last(&sink, Some(8)).await;
    }

    /// Writers at the same time.
    async fn together(&self) {
        let writers = [1, 2, 3, 3].map(|n| async move {
            let node = NodeId::from_bits(0xd0_0000 + n);
            let sink = self.destination.sink().await;
            for number in 1..=3 {
                let batch = sample_batch(self.dataset, &node, number);
                write(&sink, &[Part::whole(batch)]).await;
            }
        });
        futures::future::join_all(writers).await;
        let sink = self.destination.sink().await;
        for n in [1, 2, 3] {
            let other = Suite {
                destination: self.destination,
                dataset: self.dataset,
                node: NodeId::from_bits(0xd0_0000 + n),
            };
            let wanted = other.whole(1..=3);
            other
                .check(&sink, &wanted, "writers at the same time")
                .await;
        }
    }
}

/// `batch` without every third row, the first among them.
fn thinned(batch: &Batch) -> Batch {
    let rows = 0..batch.rows().num_rows();
    let kept = UInt64Array::from_iter_values(rows.filter(|at| at % 3 != 0).map(|at| at as u64));
    match take_record_batch(batch.rows(), &kept) {
        Ok(rows) => batch.with_rows(rows),
        Err(error) => panic!("the suite's own rows are wrong: {error}"),
    }
}

/// Writes as the delivery loop does, and gives the rows that were stored.
async fn write(sink: &Arc<dyn Sink>, run: &[Part]) -> u64 {
    for attempt in 0..ATTEMPTS_MAX {
        match sink.write(run).await {
            Ok(receipt) => return receipt.rows,
            Err(error) => match error.fault() {
                Fault::Permanent => panic!("a good run was refused for good: {error}"),
                Fault::Transient { .. } => {
                    tokio::time::sleep(Duration::from_millis(u64::from(attempt))).await;
                }
            },
        }
    }
    panic!("a good run was refused {ATTEMPTS_MAX} times")
}

/// The rows of `node` in the order of their names; `None` where nothing at all was given.
fn of_node(batches: &[RecordBatch], node: &NodeId) -> Option<RecordBatch> {
    let sorted = || -> Result<Option<RecordBatch>, ArrowError> {
        let Some(first) = batches.first() else {
            return Ok(None);
        };
        let all = concat_batches(first.schema_ref(), batches)?;
        let missing = || ArrowError::SchemaError("a seal column is missing".to_owned());
        let nodes = all
            .column_by_name("_node")
            .and_then(|c| c.as_string_opt::<i32>());
        let numbers = all.column_by_name("_batch");
        let numbers = numbers.and_then(|c| c.as_primitive_opt::<Int64Type>());
        let rows = all.column_by_name("_row");
        let rows = rows.and_then(|c| c.as_primitive_opt::<Int32Type>());
        let (Some(nodes), Some(numbers), Some(rows)) = (nodes, numbers, rows) else {
            return Err(missing());
        };
        let names = nodes.iter().zip(numbers.iter().zip(rows.iter()));
        let mut order: Vec<_> = (0..)
            .zip(names)
            .filter(|(_, (n, _))| *n == Some(node.as_str()))
            .map(|(at, (_, name))| (name, at))
            .collect();
        order.sort_unstable();
        let indices = UInt64Array::from_iter_values(order.into_iter().map(|(_, at)| at));
        take_record_batch(&all, &indices).map(Some)
    };
    match sorted() {
        Ok(rows) => rows,
        Err(error) => panic!("what a reader finds is not in the dataset's schema: {error}"),
    }
}
