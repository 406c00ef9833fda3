//! Checkpoints of the Delta log: a Parquet file that sums up all commits up to a version.
//!
//! The library writes them (classic, one file); here they are found and read.

use arrow_json::LineDelimitedWriter;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use serde::Deserialize;

use crate::LakeError;

/// The columns that make up a state; what else a checkpoint holds (tombstones, parsed statistics)
/// is not read.
const COLUMNS: &[&str] = &[
    "add.path",
    "add.partitionValues",
    "add.size",
    "add.stats",
    "add.deletionVector",
    "txn",
    "metaData.schemaString",
    "metaData.partitionColumns",
    "metaData.configuration",
    "protocol.minReaderVersion",
    "protocol.minWriterVersion",
];

/// A checkpoint that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Checkpoint {
    /// The last commit that it sums up.
    pub(crate) version: u64,
    /// Into how many files it is cut; `None` for the usual one.
    parts: Option<u64>,
}

impl Checkpoint {
    /// The files that it consists of, below the table's folder.
    pub(crate) fn paths(self) -> Vec<Path> {
        let version = self.version;
        match self.parts {
            None => vec![Path::from(format!(
                "_delta_log/{version:020}.checkpoint.parquet"
            ))],
            Some(of) => (1..=of)
                .map(|n| {
                    Path::from(format!(
                        "_delta_log/{version:020}.checkpoint.{n:010}.{of:010}.parquet"
                    ))
                })
                .collect(),
        }
    }

    /// Reads `00000000000000000099.checkpoint.parquet`.
    fn from_name(name: &str) -> Option<Self> {
        let digits = name.strip_suffix(".checkpoint.parquet")?;
        let plain = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
        let version = digits.parse().ok().filter(|_| plain)?;
        Some(Self {
            version,
            parts: None,
        })
    }
}

/// The newest checkpoint, by the hint beside it or else by looking through the log's folder;
/// `None` where the log begins with its first commit.
pub(crate) async fn newest(store: &dyn ObjectStore) -> Result<Option<Checkpoint>, LakeError> {
    match store.get(&Path::from("_delta_log/_last_checkpoint")).await {
        Ok(hint) => {
            let hint = serde_json::from_slice::<Checkpoint>(&hint.bytes().await?);
            if let Ok(hint) = hint {
                return Ok(Some(hint));
            }
        }
        Err(object_store::Error::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    // No hint, or one that a crash has cut: the folder is the truth. Starting at commit 0 instead
    // would read a log whose first commits are being cleaned up as one that ends there.
    let found = store
        .list(Some(&Path::from("_delta_log")))
        .try_fold(None, |newest, object| async move {
            let name = object.location.filename().unwrap_or_default();
            Ok(newest.max(Checkpoint::from_name(name)))
        })
        .await?;
    Ok(found)
}

/// Reads a checkpoint file and gives each of its actions, as a line of JSON, to `each`.
pub(crate) async fn read(
    store: &dyn ObjectStore,
    path: &Path,
    mut each: impl FnMut(&[u8]) -> Result<(), LakeError>,
) -> Result<(), LakeError> {
    let bytes = store.get(path).await?.bytes().await?;
    let fault = |source: ParquetError| LakeError::File {
        path: path.to_string(),
        source,
    };
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(fault)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), COLUMNS.iter().copied());
    let reader = builder.with_projection(mask).build().map_err(fault)?;
    for batch in reader {
        let batch = batch.map_err(|e| fault(e.into()))?;
        let mut lines = LineDelimitedWriter::new(Vec::new());
        lines.write(&batch).map_err(|e| fault(e.into()))?;
        let text = lines.into_inner();
        for line in text.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            each(line)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_a_checkpoint_are_those_of_the_protocol() {
        let one = Checkpoint::from_name("00000000000000000099.checkpoint.parquet").unwrap();
        assert_eq!(
            one.paths()[0].as_ref(),
            "_delta_log/00000000000000000099.checkpoint.parquet"
        );
        for odd in ["99.checkpoint.parquet", "00000000000000000099.json", "x"] {
            assert_eq!(Checkpoint::from_name(odd), None, "{odd}");
        }
        let two: Checkpoint = serde_json::from_str(r#"{"version":7,"size":9,"parts":2}"#).unwrap();
        assert_eq!(
            two.paths()[1].as_ref(),
            "_delta_log/00000000000000000007.checkpoint.0000000002.0000000002.parquet"
        );
    }
}
