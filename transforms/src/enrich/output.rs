//! The columns that are filled.

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::ArrowError;

use crate::columns::Column;
use crate::field::{Field, Kind};
use crate::json;
use crate::row::Row;

/// Columns that are worked out rather than read.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Derived {
    Dialect,
    OpKind,
    Provider,
    Model,
    UsageFlags,
    SkillSource,
    CostComputed,
    Cost,
    CostStatus,
    CostDisagrees,
    PriceRef,
}

/// Their names, by number.
pub(crate) const DERIVED: [&str; 11] = [
    "dialect",
    "op_kind",
    "provider",
    "model",
    "usage_flags",
    "skill_source",
    "cost_computed_usd",
    "cost_usd",
    "cost_status",
    "cost_disagrees",
    "price_ref",
];

/// The columns in the making.
pub(super) struct Output {
    fields: Vec<Column>,
    derived: Vec<Column>,
}

impl Output {
    /// No row yet of `rows`.
    pub(super) fn new(rows: usize) -> Self {
        let columns = |n| {
            std::iter::repeat_with(|| Column::new(rows))
                .take(n)
                .collect()
        };
        Self {
            fields: columns(Field::COLUMNS),
            derived: columns(DERIVED.len()),
        }
    }

    /// The column.
    #[expect(
        clippy::indexing_slicing,
        reason = "one column for each, by its number"
    )]
    pub(super) fn derived(&mut self, which: Derived) -> &mut Column {
        &mut self.derived[which as usize]
    }

    /// Takes over what the slots of `row` hold.
    pub(super) fn put_fields(&mut self, at: usize, row: &Row<'_>) {
        for field in row.filled() {
            // Slots that only rules read have no column.
            let Some(column) = self.fields.get_mut(field as usize) else {
                continue;
            };
            match field.kind() {
                Kind::Text => row.text(field).into_iter().for_each(|t| column.text(at, t)),
                Kind::Texts => {
                    let text = row.text(field).unwrap_or_default();
                    match json::only_text(text) {
                        Some(only) => column.texts(at, std::iter::once(only)),
                        None => column.texts(at, json::texts(text).into_iter()),
                    }
                }
                Kind::Int => row
                    .number(field)
                    .into_iter()
                    .for_each(|n| column.int(at, n)),
                Kind::Bool => row
                    .number(field)
                    .into_iter()
                    .for_each(|n| column.truth(at, n != 0)),
                Kind::Double => row.seconds().into_iter().for_each(|s| column.double(at, s)),
                Kind::Money => row.reported().into_iter().for_each(|m| column.money(at, m)),
            }
        }
    }

    /// `rows` with the columns that were filled in place of its own.
    pub(super) fn finish(self, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
        let schema = rows.schema();
        let names = Field::ALL
            .iter()
            .take(Field::COLUMNS)
            .map(|f| f.name())
            .chain(DERIVED);
        for (name, column) in names.zip(self.fields.into_iter().chain(self.derived)) {
            let Some((at, field)) = schema.column_with_name(name) else {
                continue;
            };
            let Some(slot) = columns.get_mut(at) else {
                continue;
            };
            if column.is_unused() && slot.null_count() == slot.len() {
                continue;
            }
            *slot = column.finish(field.data_type())?;
        }
        RecordBatch::try_new(schema, columns)
    }
}
