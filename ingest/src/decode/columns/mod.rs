//! Arrow columns that grow row by row.
//!
//! Arrow's own builders check and nest more than this path can pay for: a span has some forty
//! short texts. These hold plain vectors of offsets and bytes, and each becomes an array in one
//! step, where Arrow checks offsets and UTF-8 once for the whole column instead of once a value.

mod attributes;
mod number;
mod text;
mod validity;

pub(super) use attributes::{AttributeColumns, Oddities, push_long};
pub(super) use number::Numbers;
pub(super) use text::{Text, TextLists, Truths};
pub(super) use validity::Validity;

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, new_null_array};
use arrow_schema::DataType;
use weir_model::Dataset;

use super::DecodeError;

/// An offset into a column's bytes.
///
/// Columns are kept below 2^31 bytes by the limit on decoded bytes; an offset beyond would stand
/// still here and be refused when the column is finished.
#[inline]
fn offset(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

/// Puts named columns into the order of the dataset's accepted schema; those not named are NULL.
pub(super) fn assemble(
    dataset: Dataset,
    rows: usize,
    mut named: Vec<(&'static str, ArrayRef)>,
) -> Result<RecordBatch, DecodeError> {
    let schema = dataset.accepted_schema();
    let mut nulls: Vec<(DataType, ArrayRef)> = Vec::new();
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let place = named.iter().position(|(name, _)| name == field.name());
        columns.push(match place {
            Some(place) => named.swap_remove(place).1,
            None => null_column(&mut nulls, field.data_type(), rows),
        });
    }
    debug_assert!(named.is_empty(), "a column that the schema does not have");
    RecordBatch::try_new(schema, columns).map_err(|_| DecodeError::Internal)
}

/// A column of NULLs; all of one type are one array, since most columns of a decoded span are.
fn null_column(made: &mut Vec<(DataType, ArrayRef)>, kind: &DataType, rows: usize) -> ArrayRef {
    if let Some((_, array)) = made.iter().find(|(of, _)| of == kind) {
        return Arc::clone(array);
    }
    let array = new_null_array(kind, rows);
    made.push((kind.clone(), Arc::clone(&array)));
    array
}
