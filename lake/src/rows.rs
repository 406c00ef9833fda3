//! Reading rows back by the batches that they came in, without a query engine.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow_array::{ArrayRef, Date32Array, RecordBatch, StringArray};
use arrow_schema::{Fields, Schema, SchemaRef};
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use weir_model::{Dataset, NodeId};

use crate::count::{ObjectFile, may_hold};
use crate::{Lake, LakeError, LakeFile, Snapshot};

impl Lake {
    /// The rows of `node` in the batches of `batches`, as `snapshot` of the same dataset has them:
    /// `columns` of them in that order. Files whose statistics rule these batches out are not
    /// read; of files that are, other batches' rows are left in, so that callers filter by
    /// `_node` and `_batch`, which they ask for.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read, or has no such column although the table does.
    pub async fn rows_of_batches(
        &self,
        snapshot: &Snapshot,
        (node, batches): (&NodeId, RangeInclusive<i64>),
        columns: &[&str],
    ) -> Result<Vec<RecordBatch>, LakeError> {
        let files = snapshot.files().iter();
        let files: Vec<&Arc<LakeFile>> = files.filter(|f| may_hold(f, node, &batches)).collect();
        self.rows_of_files(snapshot.dataset(), &files, columns)
            .await
    }

    /// All rows of `files`, which belong to one table: `columns` of them in that order.
    ///
    /// # Errors
    ///
    /// As [`rows_of_batches`](Self::rows_of_batches).
    pub async fn rows_of_files(
        &self,
        dataset: Dataset,
        files: &[&Arc<LakeFile>],
        columns: &[&str],
    ) -> Result<Vec<RecordBatch>, LakeError> {
        let full = dataset.schema();
        let fault = |reason: String| LakeError::Rows { dataset, reason };
        let fields = columns.iter().map(|name| full.field_with_name(name));
        let fields: Vec<_> = fields
            .map(|f| f.cloned())
            .collect::<Result<_, _>>()
            .map_err(|e| fault(e.to_string()))?;
        let schema = Arc::new(Schema::new(Fields::from(fields)));
        let (store, prefix) = (self.store(), self.table_prefix(dataset));
        let mut rows = Vec::new();
        for file in files {
            rows.extend(read(&store, &prefix, (dataset, file), &schema).await?);
        }
        Ok(rows)
    }
}

async fn read(
    store: &Arc<dyn ObjectStore>,
    prefix: &Path,
    (dataset, file): (Dataset, &LakeFile),
    schema: &SchemaRef,
) -> Result<Vec<RecordBatch>, LakeError> {
    let fault = |source| LakeError::File {
        path: file.path.clone(),
        source,
    };
    let object = ObjectFile {
        store: Arc::clone(store),
        path: Path::from(format!("{prefix}/{}", file.path)),
        size: file.size,
    };
    let builder = ParquetRecordBatchStreamBuilder::new(object)
        .await
        .map_err(fault)?;
    let names = schema.fields().iter().map(|f| f.name().as_str());
    let mask = ProjectionMask::columns(builder.parquet_schema(), names);
    let mut pieces = builder.with_projection(mask).build().map_err(fault)?;
    let mut rows = Vec::new();
    while let Some(piece) = pieces.try_next().await.map_err(fault)? {
        rows.push(placed(dataset, file, &piece, schema)?);
    }
    Ok(rows)
}

/// The columns of `schema`, those that the file's folder stands for among them. A column that the
/// file is too old to have is NULL.
fn placed(
    dataset: Dataset,
    file: &LakeFile,
    piece: &RecordBatch,
    schema: &SchemaRef,
) -> Result<RecordBatch, LakeError> {
    let fault = |reason: String| LakeError::Rows { dataset, reason };
    let count = piece.num_rows();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        if let Some(column) = piece.column_by_name(field.name()) {
            return Arc::clone(column);
        }
        match (field.name().as_str(), &file.tenant, file.part_date) {
            ("tenant_id", Some(tenant), _) => Arc::new(StringArray::from_iter_values(
                std::iter::repeat_n(tenant.as_str(), count),
            )),
            ("part_date", _, Some(day)) => Arc::new(Date32Array::from(vec![day; count])),
            _ => arrow_array::new_null_array(field.data_type(), count),
        }
    });
    let columns: Vec<ArrayRef> = columns.collect();
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|e| fault(e.to_string()))
}
