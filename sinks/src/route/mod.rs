//! Which rows go to a sink: datasets, tenants and columns, and from which batch on.
//!
//! ```text
//! log or lake --batches--> [Routed: route of each batch's epoch] --rows that go there--> delivery
//!                               |
//!                               '-- RouteBook: durable, one epoch after the other
//! ```
//!
//! # Invariants
//!
//! * A batch has one route at a sink for ever: that of the epoch its number lies in. An epoch is
//!   durable before the first batch is delivered under it, and begins behind all sealed batches.
//! * Rows that stay away change no other row's name, so what a sink is given of a batch is the same
//!   on each retry and restart.

mod book;
mod source;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array as _, ArrayRef, BooleanArray, RecordBatch, new_null_array};
use arrow_schema::ArrowError;
use arrow_select::filter::filter_record_batch;
use serde::{Deserialize, Serialize};
use weir_model::{Batch, Dataset};

pub use book::{BookError, RouteBook};
pub use source::Routed;

/// What goes to a sink.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Names of the datasets that go there.
    pub datasets: BTreeSet<String>,
    /// Names of the tenants whose rows go there; all where none is named.
    #[serde(default)]
    pub tenants: BTreeSet<String>,
    /// Names of the tenants whose rows do not.
    #[serde(default)]
    pub exclude_tenants: BTreeSet<String>,
    /// Datasets and columns that are NULL there.
    #[serde(default)]
    pub exclude_columns: BTreeSet<(String, String)>,
}

impl Route {
    /// Whether rows of `dataset` go there at all.
    pub fn takes(&self, dataset: Dataset) -> bool {
        self.datasets.contains(dataset.name())
    }

    /// Whether rows of `tenant` go there, where their dataset does.
    pub fn takes_tenant(&self, tenant: &str) -> bool {
        let named = self.tenants.is_empty() || self.tenants.contains(tenant);
        named && !self.exclude_tenants.contains(tenant)
    }

    /// The rows of `batch` that go there, as they go there.
    ///
    /// # Errors
    ///
    /// Where the batch is not in its dataset's schema.
    pub fn apply(&self, batch: &Batch) -> Result<Batch, ArrowError> {
        if !self.takes(batch.dataset()) {
            return Ok(batch.with_rows(batch.rows().slice(0, 0)));
        }
        let rows = self.of_tenants(batch.rows())?;
        let rows = self.without_columns(batch.dataset(), rows)?;
        Ok(batch.with_rows(rows))
    }

    fn of_tenants(&self, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        if self.tenants.is_empty() && self.exclude_tenants.is_empty() {
            return Ok(rows.clone());
        }
        let tenants = rows.column_by_name("tenant_id");
        let tenants = tenants.and_then(|c| c.as_string_opt::<i32>());
        let Some(tenants) = tenants else {
            return Err(ArrowError::SchemaError("tenant_id is missing".to_owned()));
        };
        let keep = tenants
            .iter()
            .map(|t| Some(t.is_some_and(|t| self.takes_tenant(t))));
        let keep: BooleanArray = keep.collect();
        if keep.true_count() == rows.num_rows() {
            return Ok(rows.clone());
        }
        filter_record_batch(rows, &keep)
    }

    fn without_columns(
        &self,
        dataset: Dataset,
        rows: RecordBatch,
    ) -> Result<RecordBatch, ArrowError> {
        let of = |(of, column): &(String, String)| {
            (of == dataset.name()).then(|| rows.schema_ref().index_of(column).ok())?
        };
        let gone: BTreeSet<usize> = self.exclude_columns.iter().filter_map(of).collect();
        if gone.is_empty() {
            return Ok(rows);
        }
        let columns = rows.columns().iter().enumerate().map(|(at, column)| {
            if gone.contains(&at) {
                new_null_array(column.data_type(), column.len())
            } else {
                Arc::clone(column)
            }
        });
        let columns: Vec<ArrayRef> = columns.collect();
        RecordBatch::try_new(rows.schema(), columns)
    }
}

#[cfg(test)]
mod tests;
