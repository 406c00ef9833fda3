//! Where batches come from that the log no longer has: the lake.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{RecordBatch, UInt32Array, new_null_array};
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use async_trait::async_trait;
use weir_lake::{LakeError, Lakes};
use weir_model::source::Want;
use weir_model::{Batch, BatchId, BatchSource, Cursors, Dataset, NodeId, SourceError};

use crate::{DeadError, DeadLetters, lake};

/// Batches that one look into the lake may span.
const SPAN_MAX: i64 = 256;

/// What was set aside could not be put back in its place.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error(transparent)]
    Letters(#[from] DeadError),
    #[error(transparent)]
    Rows(#[from] ArrowError),
}

/// A log whose former batches are read from the lake: rows keep their names there, so that a sink
/// which is filled late cannot tell where they came from. What the lake itself had set aside is
/// taken from the dead letters, so that nothing of a batch is missing.
#[derive(Debug)]
pub struct Refill {
    log: Arc<dyn BatchSource>,
    cursors: Arc<dyn Cursors>,
    lakes: Lakes,
    dead: Arc<DeadLetters>,
}

impl Refill {
    /// The batches of `log`, and from `lakes` those that it no longer has; `cursors` say what the
    /// lake has got.
    pub fn new(
        log: Arc<dyn BatchSource>,
        cursors: Arc<dyn Cursors>,
        lakes: Lakes,
        dead: Arc<DeadLetters>,
    ) -> Self {
        Self {
            log,
            cursors,
            lakes,
            dead,
        }
    }

    /// The batches `found`, with what the lake had set aside of those of `whose` numbers.
    async fn with_letters(
        &self,
        found: Vec<Batch>,
        whose: (Dataset, NodeId, RangeInclusive<i64>),
    ) -> Result<Vec<Batch>, SourceError> {
        let (dead, dataset) = (Arc::clone(&self.dead), whose.0);
        let merging = tokio::task::spawn_blocking(move || merged(found, &dead, whose));
        let merged = merging.await.map_err(|_| SourceError::Closed)?;
        merged.map_err(|error| read(dataset, error))
    }

    /// The batches from `number` on as the lake has them, and what it set aside.
    async fn former(
        &self,
        dataset: Dataset,
        number: i64,
        want: Want,
    ) -> Result<Vec<Batch>, SourceError> {
        let settled = self.cursors.get(lake::NAME, dataset);
        if number > settled {
            return Err(SourceError::Lost { dataset, number });
        }
        let node = self.log.node_of(dataset, number);
        let mut to = settled.min(number.saturating_add(SPAN_MAX - 1));
        while to > number && self.log.node_of(dataset, to) != node {
            to = number + (to - number) / 2;
        }
        let failed = |e: LakeError| read(dataset, e);
        let rows_max = want.rows_max.max(1);
        let found = self.lakes.batches(dataset, (&node, number..=to), rows_max);
        let (found, last) = Box::pin(found).await.map_err(failed)?;
        let found = self
            .with_letters(found, (dataset, node, number..=last))
            .await?;
        let first = found.first().map_or(last + 1, |batch| batch.id().number);
        if first > number {
            // Nothing of these is left, since an age or an operator has deleted it.
            let through = (first - 1).min(last);
            return Err(SourceError::Skip { dataset, through });
        }
        let run = (number..).zip(found);
        let run = run.take_while(|(next, batch)| batch.id().number == *next);
        Ok(run.map(|(_, batch)| batch).collect())
    }
}

/// The batches of `whose` numbers, with the rows of letters in their places.
fn merged(
    found: Vec<Batch>,
    dead: &DeadLetters,
    (dataset, node, numbers): (Dataset, NodeId, RangeInclusive<i64>),
) -> Result<Vec<Batch>, Unreadable> {
    let letters = dead.list()?.into_iter().filter(|letter| {
        let part = &letter.id.part;
        let ours = letter.id.sink == lake::NAME && part.dataset == dataset && part.node == node;
        ours && letter.dropped_us.is_none() && numbers.contains(&part.batch)
    });
    let letters: Vec<_> = letters.collect();
    if letters.is_empty() {
        return Ok(found);
    }
    let schema = dataset.schema();
    let mut by_number: BTreeMap<i64, Vec<RecordBatch>> = BTreeMap::new();
    for batch in found {
        let pieces = by_number.entry(batch.id().number).or_default();
        pieces.push(batch.rows().clone());
    }
    for letter in letters {
        let rows = dead.rows_of(&letter.id)?;
        let rows = rows.iter().map(|rows| fitted(&schema, rows));
        let pieces = by_number.entry(letter.id.part.batch).or_default();
        pieces.extend(rows.collect::<Result<Vec<_>, _>>()?);
    }
    let mut batches = Vec::new();
    for (number, pieces) in by_number {
        let rows = concat_batches(&schema, &pieces)?;
        let names = rows.column_by_name("_row");
        let names = names.and_then(|c| c.as_primitive_opt::<Int32Type>());
        let names = names.ok_or_else(|| ArrowError::SchemaError("_row is missing".to_owned()))?;
        let mut order: Vec<(i32, u32)> = names.values().iter().copied().zip(0_u32..).collect();
        order.sort_unstable();
        let indices = UInt32Array::from_iter_values(order.into_iter().map(|(_, at)| at));
        let id = BatchId {
            node: node.clone(),
            dataset,
            number,
        };
        batches.push(Batch::from_sealed(id, take_record_batch(&rows, &indices)?));
    }
    Ok(batches)
}

/// `rows` in `schema`, NULL where they are older than a column.
pub(crate) fn fitted(schema: &SchemaRef, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = schema.fields().iter().map(|field| {
        rows.column_by_name(field.name()).map_or_else(
            || new_null_array(field.data_type(), rows.num_rows()),
            Arc::clone,
        )
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect())
}

fn read(dataset: Dataset, error: impl std::error::Error + Send + Sync + 'static) -> SourceError {
    SourceError::Read {
        dataset,
        source: Box::new(error),
    }
}

#[async_trait]
impl BatchSource for Refill {
    fn node(&self) -> NodeId {
        self.log.node()
    }

    async fn next(
        &self,
        dataset: Dataset,
        after: i64,
        want: Want,
    ) -> Result<Vec<Batch>, SourceError> {
        match self.log.next(dataset, after, want).await {
            Err(SourceError::Lost { number, .. }) => self.former(dataset, number, want).await,
            other => other,
        }
    }

    fn last_sealed(&self, dataset: Dataset) -> i64 {
        self.log.last_sealed(dataset)
    }

    fn node_of(&self, dataset: Dataset, number: i64) -> NodeId {
        self.log.node_of(dataset, number)
    }
}
