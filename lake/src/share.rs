//! The rows of batches that go to one place: all of them, or those of some tenants.

use std::collections::HashMap;
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::ArrowError;
use arrow_select::filter::filter_record_batch;
use weir_model::Batch;

use crate::Snapshot;
use crate::table::Wanted;

/// What one place gets of a batch. Where that is not all of it, `_row` has gaps.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    /// The batch's number.
    pub(crate) number: i64,
    /// Rows in the order of `_row`, in the sealed schema.
    rows: RecordBatch,
    /// The `_row` behind the last one of the whole batch.
    pub(crate) end: i32,
}

impl Slice {
    /// All of a batch.
    pub(crate) fn whole(batch: &Batch) -> Self {
        Self {
            number: batch.id().number,
            rows: batch.rows().clone(),
            end: batch.end(),
        }
    }

    /// The rows whose `_row` lies in `range`; nothing is copied. `None` where there is no `_row`.
    pub(crate) fn between(&self, range: Range<i32>) -> Option<RecordBatch> {
        let numbers = self.rows.column_by_name("_row")?;
        let numbers = numbers.as_primitive_opt::<Int32Type>()?.values();
        let from = numbers.partition_point(|row| *row < range.start);
        let to = numbers.partition_point(|row| *row < range.end).max(from);
        Some(self.rows.slice(from, to - from))
    }

    /// The same rows of the batch, those alone that `keep` says; the batch stays the same.
    fn with(&self, rows: RecordBatch) -> Self {
        Self {
            number: self.number,
            rows,
            end: self.end,
        }
    }

    /// What each of `places` gets, the row's place being told by its tenant, else the first.
    fn split(
        &self,
        place_of: &HashMap<&str, usize>,
        places: usize,
    ) -> Result<Vec<Self>, ArrowError> {
        let missing = || ArrowError::SchemaError("there is no column tenant_id".to_owned());
        let tenants = self.rows.column_by_name("tenant_id").ok_or_else(missing)?;
        let tenants = tenants.as_string_opt::<i32>().ok_or_else(missing)?;
        let place = |tenant: Option<&str>| tenant.and_then(|t| place_of.get(t)).copied();
        let of_row: Vec<usize> = tenants.iter().map(|t| place(t).unwrap_or(0)).collect();
        let one = |place: usize| {
            if of_row.iter().all(|p| *p == place) {
                return Ok(self.clone());
            }
            if !of_row.contains(&place) {
                return Ok(self.with(self.rows.slice(0, 0)));
            }
            let keep: BooleanArray = of_row.iter().map(|p| Some(*p == place)).collect();
            Ok(self.with(filter_record_batch(&self.rows, &keep)?))
        };
        (0..places).map(one).collect()
    }
}

impl Wanted {
    /// The same for each of `places`, by the rows' tenants; what has no place of its own goes to
    /// the first. Each gets every batch, also one of which it has no row.
    pub(crate) fn split(
        &self,
        place_of: &HashMap<&str, usize>,
        places: usize,
    ) -> Result<Vec<Self>, ArrowError> {
        let mut shares: Vec<Self> = (0..places)
            .map(|_| Self {
                node: self.node.clone(),
                batches: Vec::with_capacity(self.batches.len()),
                part: self.part.clone(),
            })
            .collect();
        for batch in &self.batches {
            let slices = batch.split(place_of, places)?;
            for (share, slice) in shares.iter_mut().zip(slices) {
                share.batches.push(slice);
            }
        }
        Ok(shares)
    }

    /// Takes out what `settled` has settled, whichever table the rows went to.
    pub(crate) fn leave_out(&mut self, settled: &Snapshot) {
        let node = &self.node;
        let open = self.batches.iter().filter_map(|batch| {
            let from = settled.settled_rows(node, batch.number);
            (from < batch.end).then(|| {
                let rows = batch.between(from..batch.end);
                rows.map_or_else(|| batch.clone(), |rows| batch.with(rows))
            })
        });
        self.batches = open.collect();
    }

    /// Whether a row of it is to be stored.
    pub(crate) fn has_rows(&self) -> bool {
        self.batches.iter().any(|batch| {
            let range = self.part.clone().unwrap_or(0..batch.end);
            batch.between(range).is_none_or(|rows| rows.num_rows() > 0)
        })
    }

    /// The batch that ends with this piece of it.
    pub(crate) fn ends(&self) -> Option<i64> {
        let end = self.part.as_ref()?.end;
        let batch = self.batches.first()?;
        (batch.end == end).then_some(batch.number)
    }
}
