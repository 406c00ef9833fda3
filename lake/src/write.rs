//! Data files on their way into the store.

use std::sync::Arc;

use arrow_array::RecordBatch;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, PutMode, PutOptions};
use weir_model::Dataset;

use crate::commit::AddedFile;
use crate::parquet_file::{ParquetFile, encode};
use crate::replay::spell_date;
use crate::{LakeError, Partition};

/// Files that are on their way at once: enough to hide the store's latency behind each other.
const PUTS_AT_ONCE: usize = 8;

/// Encodes the rows and puts one file for each partition, under names that begin with `name`; no
/// reader sees the files until a commit names them.
///
/// # Errors
///
/// Some files may be there then, seen by no reader.
pub(crate) async fn put_files(
    store: &Arc<dyn ObjectStore>,
    dataset: Dataset,
    (pieces, partition): (Vec<RecordBatch>, Partition),
    name: &str,
) -> Result<Vec<AddedFile>, LakeError> {
    if pieces.is_empty() {
        return Ok(Vec::new());
    }
    let files = tokio::task::spawn_blocking(move || encode(dataset, &pieces, partition))
        .await
        .map_err(|_| LakeError::Stopped)??;
    // Two writers that both believe to be this node must not overwrite each other's files.
    let random: u64 = rand::random();
    let named = format!("{name}-{random:016x}.parquet");
    let puts = files
        .into_iter()
        .map(|file| put(store, dataset, file, &named));
    futures::stream::iter(puts)
        .buffered(PUTS_AT_ONCE)
        .try_collect()
        .await
}

async fn put(
    store: &Arc<dyn ObjectStore>,
    dataset: Dataset,
    file: ParquetFile,
    name: &str,
) -> Result<AddedFile, LakeError> {
    let part_date = spell_date(file.part_date).ok_or_else(|| LakeError::Rows {
        dataset,
        reason: "a part_date lies outside the years 0 to 9999".to_owned(),
    })?;
    let tenant = file.tenant.as_ref().map(|t| t.as_str().to_owned());
    let folder = tenant.as_ref().map_or_else(
        || format!("part_date={part_date}"),
        |t| format!("part_date={part_date}/tenant_id={t}"),
    );
    let added = AddedFile {
        path: format!("{folder}/{name}"),
        part_date,
        tenant,
        size: file.bytes.len() as u64,
        rows: file.rows as u64,
        stats: file.stats,
    };
    let create = PutOptions::from(PutMode::Create);
    store
        .put_opts(&Path::from(added.path.as_str()), file.bytes.into(), create)
        .await?;
    Ok(added)
}
