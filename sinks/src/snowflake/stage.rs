//! `mode: stage`: Parquet files in an object store, for Snowflake to load.
//!
//! Each part of a batch is one file, whose name says which: a replay finds it there and adds
//! nothing, and Snowflake loads a file of one name once. Nested columns are JSON texts in it, which
//! the printed `COPY INTO` reads into `VARIANT`.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, PutMode, PutOptions};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use weir_lake::{Lake, LakeConfig};
use weir_model::{Dataset, NodeId};

use super::config::SnowflakeConfig;
use super::cut::{Slice, by_database};
use super::ddl::is_nested;
use super::error::SnowflakeError;
use super::json::texts;
use crate::Part;

/// The place of the files.
#[derive(Debug)]
pub(super) struct Stage {
    config: Arc<SnowflakeConfig>,
    /// Opens the object store in the same ways as a lake; no table is made.
    place: Lake,
    store: Arc<dyn ObjectStore>,
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> SnowflakeError {
    SnowflakeError::Stage(Box::new(error))
}

impl Stage {
    pub(super) fn new(config: Arc<SnowflakeConfig>) -> Result<Self, SnowflakeError> {
        let place = Lake::configured(&LakeConfig {
            url: config.stage_url.clone(),
            options: config
                .stage_options
                .iter()
                .map(|(name, value)| (name.clone(), value.expose().to_owned()))
                .collect(),
            ..LakeConfig::default()
        })
        .map_err(failed)?;
        Ok(Self {
            store: place.store(),
            config,
            place,
        })
    }

    /// The folder of the rows of `node`.
    fn folder(&self, dataset: Dataset, database: Option<&str>, node: &str) -> Path {
        let mut path = self.place.table_prefix(dataset);
        if let Some(database) = database.filter(|_| self.config.by_tenant()) {
            path = path.join(format!("database={database}"));
        }
        path.join(format!("node={node}"))
    }

    /// Writes the parts, one file each and database; gives how many rows are new.
    pub(super) async fn write(&self, run: &[Part]) -> Result<u64, SnowflakeError> {
        let mut stored = 0;
        for part in run {
            let (dataset, node) = (part.batch().dataset(), &part.batch().id().node);
            let range = part.range();
            for (database, slices) in by_database(&self.config, std::slice::from_ref(part))? {
                for slice in slices {
                    let folder = self.folder(dataset, Some(&database), node.as_str());
                    let name = format!(
                        "{:019}-{:010}-{:010}-{}.parquet",
                        slice.batch,
                        range.start,
                        range.end,
                        slice.len()
                    );
                    stored += self.put(folder.join(name), dataset, slice).await?;
                }
            }
        }
        Ok(stored)
    }

    async fn put(&self, path: Path, dataset: Dataset, slice: Slice) -> Result<u64, SnowflakeError> {
        let rows = slice.len() as u64;
        let work = tokio::task::spawn_blocking(move || encode(dataset, &slice.rows));
        let bytes = work.await.map_err(SnowflakeError::encode)??;
        let options = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&path, bytes.into(), options).await {
            Ok(_) => Ok(rows),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(0),
            Err(error) => Err(failed(error)),
        }
    }

    /// Whether the place answers.
    pub(super) async fn probe(&self) -> Result<(), SnowflakeError> {
        let prefix = self.place.table_prefix(Dataset::Spans);
        let mut files = self.store.list(Some(&prefix));
        files.try_next().await.map_err(failed)?;
        Ok(())
    }

    /// How many rows of `node` the files hold, by their names.
    pub(super) async fn count(
        &self,
        dataset: Dataset,
        node: &NodeId,
    ) -> Result<u64, SnowflakeError> {
        let prefix = if self.config.by_tenant() {
            self.place.table_prefix(dataset)
        } else {
            self.folder(dataset, None, node.as_str())
        };
        let mine = format!("node={node}");
        let mut files = self.store.list(Some(&prefix));
        let mut rows = 0;
        while let Some(file) = files.try_next().await.map_err(failed)? {
            let of_node = file.location.parts().any(|p| p.as_ref() == mine);
            let name = file.location.filename().unwrap_or_default();
            let count = name.strip_suffix(".parquet");
            let count = count.and_then(|n| n.rsplit('-').next()?.parse::<u64>().ok());
            rows += count.filter(|_| of_node).unwrap_or(0);
        }
        Ok(rows)
    }
}

/// The rows as a Parquet file, nested columns as JSON texts.
fn encode(dataset: Dataset, rows: &RecordBatch) -> Result<Vec<u8>, SnowflakeError> {
    let (mut fields, mut columns) = (Vec::new(), Vec::<ArrayRef>::new());
    for (column, array) in dataset.columns().iter().zip(rows.columns()) {
        if is_nested(column.kind) {
            let nested = texts(array.as_ref()).map_err(SnowflakeError::encode)?;
            fields.push(Field::new(column.name, DataType::Utf8, column.nullable));
            columns.push(Arc::new(nested));
        } else {
            fields.push(column.field().as_ref().clone());
            columns.push(Arc::clone(array));
        }
    }
    let schema = Arc::new(Schema::new(fields));
    let flat = RecordBatch::try_new(Arc::clone(&schema), columns);
    let flat = flat.map_err(SnowflakeError::encode)?;
    let level = ZstdLevel::try_new(1).map_err(SnowflakeError::encode)?;
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level));
    let mut bytes = Vec::new();
    let writer = ArrowWriter::try_new(&mut bytes, schema, Some(properties.build()));
    let mut writer = writer.map_err(SnowflakeError::encode)?;
    writer.write(&flat).map_err(SnowflakeError::encode)?;
    writer.close().map_err(SnowflakeError::encode)?;
    Ok(bytes)
}
