//! Reading rows of one data file, with the columns that stand in its folder's name put back.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, BooleanArray, Date32Array, RecordBatch, StringArray, new_null_array};
use arrow_schema::{ArrowError, Schema, SchemaRef};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::arrow::arrow_reader::{ArrowPredicateFn, RowFilter};
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;
use weir_model::{Dataset, TenantId};

use crate::count::ObjectFile;
use crate::{LakeError, LakeFile};

/// Rows of a piece.
const PIECE_ROWS: usize = 8_192;
/// The column that traces are looked for by.
const TRACE: &str = "trace_id";

type Builder = ParquetRecordBatchStreamBuilder<ObjectFile>;

/// The rows of `file`, which lies at `at`: the wanted columns, of the wanted traces.
pub(crate) async fn rows(
    dataset: Dataset,
    at: (Arc<dyn ObjectStore>, Path),
    file: &LakeFile,
    (columns, traces): (&[&str], Option<Arc<BTreeSet<String>>>),
) -> Result<BoxStream<'static, Result<RecordBatch, LakeError>>, LakeError> {
    let fault = |source| file_fault(&file.path, source);
    let object = ObjectFile {
        store: at.0,
        path: at.1,
        size: file.size,
    };
    let mut builder = Builder::new(object).await.map_err(fault)?;
    if let Some(wanted) = traces {
        builder = of_traces(builder, wanted).await.map_err(fault)?;
    }
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    let pieces = builder
        .with_batch_size(PIECE_ROWS)
        .with_projection(mask)
        .build()
        .map_err(fault)?;
    let shape = Shape {
        schema: wanted_schema(dataset, columns, &file.path)?,
        tenant: file.tenant.clone(),
        part_date: file.part_date,
    };
    let path = file.path.clone();
    Ok(pieces
        .map_err(move |source| file_fault(&path, source))
        .and_then({
            let path = file.path.clone();
            move |piece| {
                let shaped = shape.of(&piece);
                let path = path.clone();
                async move { shaped.map_err(|e| file_fault(&path, e.into())) }
            }
        })
        .boxed())
}

fn file_fault(path: &str, source: ParquetError) -> LakeError {
    LakeError::File {
        path: path.to_owned(),
        source,
    }
}

fn wanted_schema(dataset: Dataset, columns: &[&str], path: &str) -> Result<SchemaRef, LakeError> {
    let all = dataset.schema();
    let fields = columns.iter().map(|name| {
        let field = all.field_with_name(name)?;
        // Files that are older than a column have no value there.
        Ok(field.clone().with_nullable(true))
    });
    let fields: Vec<_> = fields
        .collect::<Result<_, ArrowError>>()
        .map_err(|e| file_fault(path, e.into()))?;
    Ok(Arc::new(Schema::new(fields)))
}

/// What the rows are to look like.
struct Shape {
    schema: SchemaRef,
    tenant: Option<TenantId>,
    part_date: Option<i32>,
}

impl Shape {
    fn of(&self, piece: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let rows = piece.num_rows();
        let column = |field: &arrow_schema::FieldRef| -> ArrayRef {
            match (field.name().as_str(), &self.tenant, self.part_date) {
                ("tenant_id", Some(tenant), _) => {
                    let same = std::iter::repeat_n(tenant.as_str(), rows);
                    Arc::new(StringArray::from_iter_values(same))
                }
                ("part_date", _, Some(day)) => Arc::new(Date32Array::from(vec![day; rows])),
                (name, _, _) => piece
                    .column_by_name(name)
                    .map_or_else(|| new_null_array(field.data_type(), rows), Arc::clone),
            }
        };
        let columns = self.schema.fields().iter().map(column).collect();
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
    }
}

/// Leaves only what may hold the wanted traces: row groups by their bloom filters, then rows.
async fn of_traces(
    mut builder: Builder,
    wanted: Arc<BTreeSet<String>>,
) -> Result<Builder, ParquetError> {
    let leaves = builder.parquet_schema().columns();
    let Some(leaf) = leaves.iter().position(|c| c.path().string() == TRACE) else {
        return Ok(builder.with_row_groups(Vec::new()));
    };
    let mut groups = Vec::new();
    for group in 0..builder.metadata().num_row_groups() {
        let filter = builder
            .get_row_group_column_bloom_filter(group, leaf)
            .await?;
        let may_hold = |id: &String| filter.as_ref().is_none_or(|f| f.check(&id.as_str()));
        if wanted.iter().any(may_hold) {
            groups.push(group);
        }
    }
    let mask = ProjectionMask::columns(builder.parquet_schema(), [TRACE]);
    let keep = ArrowPredicateFn::new(mask, move |piece: RecordBatch| {
        let ids = piece
            .column(0)
            .as_string_opt::<i32>()
            .ok_or_else(|| ArrowError::SchemaError("the trace's id is no text".to_owned()))?;
        let kept = ids
            .iter()
            .map(|id| Some(id.is_some_and(|id| wanted.contains(id))));
        Ok(kept.collect::<BooleanArray>())
    });
    let filter = RowFilter::new(vec![Box::new(keep)]);
    Ok(builder.with_row_groups(groups).with_row_filter(filter))
}
