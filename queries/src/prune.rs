//! Which of a tenant's files a predicate can have rows in, by the statistics of the lake's log.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, UInt64Array};
use arrow_schema::{DataType, SchemaRef};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, ScalarValue};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use weir_lake::{Bounds, LakeFile};

/// The files in which `predicate` may hold for a row. A predicate that statistics cannot speak of
/// keeps all.
pub(crate) fn keep<'a>(
    files: &[&'a LakeFile],
    predicate: &Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
) -> Vec<&'a LakeFile> {
    let known = FileStatistics { files, schema };
    let pruning = PruningPredicateBuilder::new()
        .with_file_schema(Arc::clone(schema))
        .build(Arc::clone(predicate));
    let Some(kept) = pruning.and_then(|p| p.prune(&known).ok()) else {
        return files.to_vec();
    };
    let both = files.iter().zip(kept);
    both.filter_map(|(file, keep)| keep.then_some(*file))
        .collect()
}

/// What the log says of the files' columns.
struct FileStatistics<'a> {
    files: &'a [&'a LakeFile],
    schema: &'a SchemaRef,
}

/// Which end of a column's range.
#[derive(Clone, Copy)]
enum End {
    Least,
    Greatest,
}

impl FileStatistics<'_> {
    /// One value a file, NULL where it is not known.
    fn ends(&self, column: &str, end: End) -> Option<ArrayRef> {
        let field = self.schema.field_with_name(column).ok()?;
        let unknown = ScalarValue::try_from(field.data_type()).ok()?;
        let mut any = false;
        let values = self.files.iter().map(|file| {
            let value = end_of(file, column, end, field.data_type());
            any |= value.is_some();
            value.unwrap_or_else(|| unknown.clone())
        });
        let values: Vec<ScalarValue> = values.collect();
        if any {
            ScalarValue::iter_to_array(values).ok()
        } else {
            None
        }
    }
}

fn end_of(file: &LakeFile, column: &str, end: End, kind: &DataType) -> Option<ScalarValue> {
    // Every row of a file has its partition's values.
    if column == "part_date" {
        return file.part_date.map(|days| ScalarValue::Date32(Some(days)));
    }
    if column == "tenant_id" {
        return file.tenant.as_ref().map(|t| ScalarValue::from(t.as_str()));
    }
    let bounds = file.stats.get(column)?.bounds.as_ref()?;
    let value = match (bounds, end) {
        (Bounds::Time { min, .. }, End::Least) => {
            ScalarValue::TimestampMicrosecond(Some(*min), Some("UTC".into()))
        }
        (Bounds::Time { max, .. }, End::Greatest) => {
            ScalarValue::TimestampMicrosecond(Some(*max), Some("UTC".into()))
        }
        (Bounds::Int { min, .. }, End::Least) => ScalarValue::Int64(Some(*min)),
        (Bounds::Int { max, .. }, End::Greatest) => ScalarValue::Int64(Some(*max)),
        (Bounds::Text { min, .. }, End::Least) => ScalarValue::from(min.as_str()),
        (Bounds::Text { max, .. }, End::Greatest) => ScalarValue::from(max.as_str()),
    };
    (value.data_type() == *kind).then_some(value)
}

impl PruningStatistics for FileStatistics<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.ends(&column.name, End::Least)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.ends(&column.name, End::Greatest)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let counts = self.files.iter().map(|file| {
            let stats = file.stats.get(column.name.as_str());
            stats.and_then(|s| s.nulls)
        });
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let counts = self
            .files
            .iter()
            .map(|file| Some(file.rows).filter(|n| *n > 0));
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
