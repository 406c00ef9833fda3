//! The rows of batches that go to one place: all of them, or those of some tenants.

use std::collections::HashMap;

use arrow_array::BooleanArray;
use arrow_array::cast::AsArray;
use arrow_schema::ArrowError;
use arrow_select::filter::filter_record_batch;
use weir_model::Batch;

use crate::Snapshot;
use crate::table::Wanted;

/// What each of `places` gets of `batch`, a row's place being told by its tenant, else the first.
fn split(
    batch: &Batch,
    place_of: &HashMap<&str, usize>,
    places: usize,
) -> Result<Vec<Batch>, ArrowError> {
    let rows = batch.rows();
    let missing = || ArrowError::SchemaError("there is no column tenant_id".to_owned());
    let tenants = rows.column_by_name("tenant_id").ok_or_else(missing)?;
    let tenants = tenants.as_string_opt::<i32>().ok_or_else(missing)?;
    let place = |tenant: Option<&str>| tenant.and_then(|t| place_of.get(t)).copied();
    let of_row: Vec<usize> = tenants.iter().map(|t| place(t).unwrap_or(0)).collect();
    let one = |place: usize| {
        if of_row.iter().all(|p| *p == place) {
            return Ok(batch.clone());
        }
        if !of_row.contains(&place) {
            return Ok(batch.with_rows(rows.slice(0, 0)));
        }
        let keep: BooleanArray = of_row.iter().map(|p| Some(*p == place)).collect();
        Ok(batch.with_rows(filter_record_batch(rows, &keep)?))
    };
    (0..places).map(one).collect()
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
            let parts = split(batch, place_of, places)?;
            for (share, part) in shares.iter_mut().zip(parts) {
                share.batches.push(part);
            }
        }
        Ok(shares)
    }

    /// Takes out what `settled` has settled, whichever table the rows went to.
    pub(crate) fn leave_out(&mut self, settled: &Snapshot) {
        let node = &self.node;
        let open = self.batches.iter().filter_map(|batch| {
            let from = settled.settled_rows(node, batch.id().number);
            let places = batch.places(from..batch.end());
            let rows = batch.rows().slice(places.start, places.len());
            (from < batch.end()).then(|| batch.with_rows(rows))
        });
        self.batches = open.collect();
    }

    /// Whether a row of it is to be stored.
    pub(crate) fn has_rows(&self) -> bool {
        self.batches.iter().any(|batch| {
            let range = self.part.clone().unwrap_or(0..batch.end());
            !batch.places(range).is_empty()
        })
    }

    /// The batch that ends with this piece of it.
    pub(crate) fn ends(&self) -> Option<i64> {
        let end = self.part.as_ref()?.end;
        let batch = self.batches.first()?;
        (batch.end() == end).then_some(batch.id().number)
    }
}
