//! Counting rows in the Parquet files themselves, for those who do not believe the log.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use weir_model::NodeId;

use crate::{Bounds, LakeError, LakeFile, Snapshot};

/// Files that are read at once.
const FILES_AT_ONCE: usize = 4;
/// Bytes at the end of a file that are fetched to find its metadata with one request.
const FOOTER_BYTES: usize = 64 * 1024;

/// A file in the store, read by ranges.
pub(crate) struct ObjectFile {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) path: Path,
    pub(crate) size: u64,
}

impl AsyncFileReader for ObjectFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        let get = self.store.get_range(&self.path, range);
        async move { get.await.map_err(|e| ParquetError::External(Box::new(e))) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let size = self.size;
        async move {
            let reader = ParquetMetaDataReader::new().with_prefetch_hint(Some(FOOTER_BYTES));
            Ok(Arc::new(reader.load_and_finish(self, size).await?))
        }
        .boxed()
    }
}

/// The rows of `whose` node and batches in the files of `snapshot`, by batch.
pub(crate) async fn rows(
    store: &Arc<dyn ObjectStore>,
    prefix: &Path,
    snapshot: &Snapshot,
    whose: (&NodeId, RangeInclusive<i64>),
) -> Result<BTreeMap<i64, u64>, LakeError> {
    let (node, batches) = whose;
    let mut counts = BTreeMap::new();
    let files = snapshot.files().iter();
    let wanted: Vec<Arc<LakeFile>> = files
        .filter(|f| may_hold(f, node, &batches))
        .map(Arc::clone)
        .collect();
    let mut files = futures::stream::iter(wanted)
        .map(|file| async move { count_file(store, prefix, &file, node).await })
        .buffer_unordered(FILES_AT_ONCE);
    while let Some(found) = files.try_next().await? {
        for (batch, rows) in found {
            if batches.contains(&batch) {
                *counts.entry(batch).or_insert(0) += rows;
            }
        }
    }
    Ok(counts)
}

/// Whether the file's statistics leave room for rows of these batches.
pub(crate) fn may_hold(file: &LakeFile, node: &NodeId, batches: &RangeInclusive<i64>) -> bool {
    let bounds = |name: &str| file.stats.get(name).and_then(|s| s.bounds.as_ref());
    let node_fits = match bounds("_node") {
        Some(Bounds::Text { min, max }) => {
            min.as_str() <= node.as_str() && node.as_str() <= max.as_str()
        }
        Some(Bounds::Time { .. } | Bounds::Int { .. }) | None => true,
    };
    let batch_fits = match bounds("_batch") {
        Some(Bounds::Int { min, max }) => min <= batches.end() && batches.start() <= max,
        Some(Bounds::Time { .. } | Bounds::Text { .. }) | None => true,
    };
    node_fits && batch_fits
}

async fn count_file(
    store: &Arc<dyn ObjectStore>,
    prefix: &Path,
    file: &LakeFile,
    node: &NodeId,
) -> Result<BTreeMap<i64, u64>, LakeError> {
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
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["_node", "_batch"]);
    let mut pieces = builder.with_projection(mask).build().map_err(fault)?;
    let mut counts = BTreeMap::new();
    while let Some(piece) = pieces.try_next().await.map_err(fault)? {
        for batch in batches_of(&piece, node) {
            *counts.entry(batch).or_insert(0) += 1;
        }
    }
    Ok(counts)
}

/// The batch of each row of `node`.
fn batches_of<'a>(piece: &'a RecordBatch, node: &'a NodeId) -> impl Iterator<Item = i64> + 'a {
    let nodes = piece
        .column_by_name("_node")
        .and_then(|c| c.as_string_opt::<i32>());
    let batches = piece
        .column_by_name("_batch")
        .and_then(|c| c.as_primitive_opt::<Int64Type>());
    let rows = nodes
        .into_iter()
        .zip(batches)
        .flat_map(|(n, b)| n.iter().zip(b.iter()));
    rows.filter(|(n, _)| *n == Some(node.as_str()))
        .filter_map(|(_, batch)| batch)
}
