//! Batches rebuilt from the rows of a table: for a sink that is filled later, when the log no longer
//! has them.
//!
//! A row carries its names (`_node`, `_batch`, `_row`) wherever compaction puts it. So a batch can
//! be put together again in its order; rows that are not in the table are missing from it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{BooleanArray, RecordBatch, UInt32Array};
use arrow_schema::ArrowError;
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;
use arrow_select::take::take_record_batch;
use futures::TryStreamExt;
use weir_model::{Batch, BatchId, Dataset, NodeId};

use crate::count::may_hold;
use crate::{Lake, LakeError, Lakes, Snapshot};

/// Rows of a range of batches, as they come; the range gives way to the number of rows.
struct Gathered<'a> {
    node: &'a NodeId,
    wanted: RangeInclusive<i64>,
    rows_max: usize,
    pieces: Vec<RecordBatch>,
    counts: BTreeMap<i64, usize>,
}

impl Lake {
    /// The batches of `node` with these numbers as `snapshot` has them, in order: as many from the
    /// first on as together have at most `rows_max` rows, and at least the first that has any.
    /// Those of which the table has no row are left out. The last number that was looked at comes
    /// with them: what lies behind it has to be asked for again.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read.
    pub async fn batches(
        &self,
        snapshot: &Snapshot,
        (node, numbers): (&NodeId, RangeInclusive<i64>),
        rows_max: usize,
    ) -> Result<(Vec<Batch>, i64), LakeError> {
        let mut gathered = Gathered::new(node, numbers, rows_max);
        self.gather(snapshot, &mut gathered).await?;
        gathered.done(snapshot.dataset())
    }

    async fn gather(
        &self,
        snapshot: &Snapshot,
        gathered: &mut Gathered<'_>,
    ) -> Result<(), LakeError> {
        let dataset = snapshot.dataset();
        let columns: Vec<&str> = dataset.columns().iter().map(|c| c.name).collect();
        for file in snapshot.files() {
            if !may_hold(file, gathered.node, &gathered.wanted) {
                continue;
            }
            let mut rows = self.read_file(dataset, file, &columns, None).await?;
            while let Some(piece) = rows.try_next().await? {
                let added = gathered.add(&piece);
                added.map_err(|error| fault(dataset, &error))?;
            }
        }
        Ok(())
    }
}

impl Lakes {
    /// As [`Lake::batches`], of the rows of all lakes together, as they are now.
    ///
    /// # Errors
    ///
    /// Where a lake cannot be read.
    pub async fn batches(
        &self,
        dataset: Dataset,
        (node, numbers): (&NodeId, RangeInclusive<i64>),
        rows_max: usize,
    ) -> Result<(Vec<Batch>, i64), LakeError> {
        let mut gathered = Gathered::new(node, numbers, rows_max);
        for lake in self.all() {
            let snapshot = lake.snapshot(dataset).await?;
            lake.gather(&snapshot, &mut gathered).await?;
        }
        gathered.done(dataset)
    }
}

fn fault(dataset: Dataset, error: &ArrowError) -> LakeError {
    LakeError::Rows {
        dataset,
        reason: error.to_string(),
    }
}

/// The numbers of a piece's batches.
fn numbers(piece: &RecordBatch) -> Option<&arrow_array::Int64Array> {
    piece
        .column_by_name("_batch")?
        .as_primitive_opt::<Int64Type>()
}

fn missing() -> ArrowError {
    ArrowError::SchemaError("a seal column is missing".to_owned())
}

impl<'a> Gathered<'a> {
    fn new(node: &'a NodeId, wanted: RangeInclusive<i64>, rows_max: usize) -> Self {
        Self {
            node,
            wanted,
            rows_max,
            pieces: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    /// The batches, and the last number that was looked at.
    fn done(self, dataset: Dataset) -> Result<(Vec<Batch>, i64), LakeError> {
        let last = *self.wanted.end();
        let batches = self.into_batches(dataset);
        Ok((batches.map_err(|error| fault(dataset, &error))?, last))
    }

    /// The rows of `piece` that are wanted.
    fn wanted(&self, piece: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let nodes = piece.column_by_name("_node");
        let nodes = nodes
            .and_then(|c| c.as_string_opt::<i32>())
            .ok_or_else(missing)?;
        let numbers = numbers(piece).ok_or_else(missing)?;
        let ours = nodes.iter().zip(numbers.iter()).map(|(node, number)| {
            let fits = number.is_some_and(|number| self.wanted.contains(&number));
            Some(fits && node == Some(self.node.as_str()))
        });
        filter_record_batch(piece, &ours.collect::<BooleanArray>())
    }

    fn add(&mut self, piece: &RecordBatch) -> Result<(), ArrowError> {
        let ours = self.wanted(piece)?;
        if ours.num_rows() == 0 {
            return Ok(());
        }
        for number in numbers(&ours).ok_or_else(missing)?.values() {
            *self.counts.entry(*number).or_insert(0) += 1;
        }
        self.pieces.push(ours);
        self.give_way()
    }

    /// Leaves out the last batches while there are too many rows.
    fn give_way(&mut self) -> Result<(), ArrowError> {
        let (mut rows, mut last) = (0, None);
        for (number, count) in &self.counts {
            rows += count;
            if rows > self.rows_max && last.is_some() {
                break;
            }
            last = Some(*number);
        }
        let (Some(last), true) = (last, rows > self.rows_max) else {
            return Ok(());
        };
        if self.counts.keys().next_back() == Some(&last) {
            // One batch alone: it is given however large.
            return Ok(());
        }
        self.wanted = *self.wanted.start()..=last;
        self.counts.retain(|number, _| *number <= last);
        let pieces = std::mem::take(&mut self.pieces);
        let kept = pieces.iter().map(|piece| self.wanted(piece));
        self.pieces = kept.collect::<Result<_, _>>()?;
        Ok(())
    }

    fn into_batches(self, dataset: Dataset) -> Result<Vec<Batch>, ArrowError> {
        let all = concat_batches(&dataset.schema(), &self.pieces)?;
        let rows = all.column_by_name("_row");
        let rows = rows
            .and_then(|c| c.as_primitive_opt::<Int32Type>())
            .ok_or_else(missing)?;
        let names = numbers(&all).ok_or_else(missing)?.values().iter();
        let mut order: Vec<_> = (0_u32..)
            .zip(names.zip(rows.values()))
            .map(|(at, (number, row))| (*number, *row, at))
            .collect();
        order.sort_unstable();
        let mut batches = Vec::new();
        for of_one in order.chunk_by(|a, b| a.0 == b.0) {
            let Some((number, _, _)) = of_one.first() else {
                continue;
            };
            let indices = UInt32Array::from_iter_values(of_one.iter().map(|(_, _, at)| *at));
            let id = BatchId {
                node: self.node.clone(),
                dataset,
                number: *number,
            };
            batches.push(Batch::from_sealed(id, take_record_batch(&all, &indices)?));
        }
        Ok(batches)
    }
}
