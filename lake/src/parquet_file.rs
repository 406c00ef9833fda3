//! Rows into Parquet files: one for each partition that the rows touch, in order of time by the
//! quarter of an hour.
//!
//! Nearly always all rows of an append belong to one partition and to one or two quarters. So rows
//! are looked at by three of their columns only (day, tenant, time), an order is computed, and the
//! wide columns are copied once, piece by piece, on their way into the encoder; where the rows are in
//! order already, they are not copied at all. An exact order would copy them nearly always, a row at
//! a time from all over memory, which took half of the whole encoding; and a file holds ten seconds
//! of arrivals, whose least and greatest time are in the table's log. Late rows stand together in
//! front, so that pages tell them apart.
//!
//! How columns are written follows measurements on span tables (bytes a row and rows a second):
//! zstd 1; dictionaries except for random ids, times and whole documents; delta-packed integers;
//! pages of 8,192 rows with an index; a bloom filter on the trace's id alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Schema, SchemaRef};
use arrow_select::interleave::interleave_record_batch;
use bytes::Bytes;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use weir_model::{Dataset, TenantId};

use crate::stats::Gather;
use crate::{LakeError, Partition};

/// Rows of a row group: large enough to compress well, small enough to prune by.
const ROW_GROUP_ROWS_MAX: usize = 262_144;
/// Rows of a page: the unit that the page index lets a reader skip.
const PAGE_ROWS_MAX: usize = 8_192;
/// Bytes of a page before compression.
const PAGE_BYTES_MAX: usize = 256 * 1024;
/// Within so much time rows keep the order in which they came: a quarter of an hour.
const KEPT_ORDER_US: i64 = 15 * 60 * 1_000_000;
/// Rows that are copied at once when they have to be put in order.
const PIECE_ROWS: usize = 8_192;

/// Columns whose values hardly ever repeat, so that a dictionary only costs: random ids, hashes
/// and whole documents.
const UNIQUE: &[&str] = &[
    "span_id",
    "parent_span_id",
    "content_key",
    "response_id",
    "tool_call_id",
    "event_uid",
    "metadata_uid",
    "finding_uid",
    "span_uid",
    "booking_id",
    "request_id",
    "request_hash",
    "response_hash",
    "prev_hash",
    "record_hash",
    "signature",
    "details",
    "raw",
    "payload",
];

/// A Parquet file in memory, with what its `add` action has to say.
#[derive(Clone, Debug)]
pub struct ParquetFile {
    /// Days since 1970-01-01.
    pub part_date: i32,
    /// The tenant, where the table is partitioned by tenant.
    pub tenant: Option<TenantId>,
    /// How many rows it holds.
    pub rows: usize,
    /// The file.
    pub bytes: Bytes,
    /// Its statistics, as Delta spells them.
    pub stats: String,
}

/// Writes sealed rows of `dataset` as Parquet files, one for each partition, in memory.
///
/// It computes for as long as it takes; call it where a thread may be kept busy.
///
/// # Errors
///
/// [`LakeError::Rows`] where the rows are not of the dataset's schema or Parquet cannot hold them.
pub fn encode(
    dataset: Dataset,
    pieces: &[RecordBatch],
    partition: Partition,
) -> Result<Vec<ParquetFile>, LakeError> {
    let fault = |reason: String| LakeError::Rows { dataset, reason };
    let wanted = dataset.schema();
    if pieces
        .iter()
        .any(|p| p.schema_ref().fields() != wanted.fields())
    {
        return Err(fault("the columns are not those of the dataset".to_owned()));
    }
    let columns = kept_columns(&wanted, partition);
    let schema = Arc::new(wanted.project(&columns).map_err(|e| fault(e.to_string()))?);
    let projected = pieces.iter().map(|p| p.project(&columns));
    let projected: Vec<RecordBatch> = projected
        .collect::<Result<_, _>>()
        .map_err(|e| fault(e.to_string()))?;
    let properties = compression(dataset).and_then(|c| properties(&schema, partition, c));
    let properties = properties.map_err(|e| fault(e.to_string()))?;
    let mut files = Vec::new();
    for (key, mut rows) in group(dataset, pieces, partition)? {
        let mut encoder = Encoder::new(dataset, &schema, &properties)?;
        rows.put_in_order();
        encoder.write(&projected, &rows)?;
        files.push(encoder.finish(key)?);
    }
    Ok(files)
}

/// The columns of the file: Delta keeps partition columns in the folder's name instead.
fn kept_columns(schema: &Schema, partition: Partition) -> Vec<usize> {
    let names = schema.fields().iter().enumerate();
    let kept = names.filter(|(_, f)| !partition.columns().contains(&f.name().as_str()));
    kept.map(|(i, _)| i).collect()
}

impl Partition {
    /// The columns that the folders stand for.
    pub(crate) fn columns(self) -> &'static [&'static str] {
        match self {
            Self::DateAndTenant => &["part_date", "tenant_id"],
            Self::Date => &["part_date"],
        }
    }
}

/// One partition: a day and, where tenants have folders of their own, a tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    part_date: i32,
    tenant: Option<TenantId>,
}

/// Where a row stands in the order of its file, and where it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// The place of its tenant among those of the file; 0 where a file has one tenant.
    tenant: u32,
    /// Its quarter of an hour.
    quarter: i64,
    piece: u32,
    row: u32,
}

/// The rows of one file.
#[derive(Debug, Default)]
struct Rows {
    places: Vec<Place>,
    /// Whether every row of every piece is here, so that pieces need not be taken apart.
    whole: bool,
}

impl Rows {
    fn put_in_order(&mut self) {
        if !self.places.is_sorted() {
            self.places.sort_unstable();
            self.whole = false;
        }
    }
}

/// The columns that decide where a row goes.
struct Guides<'a> {
    days: &'a arrow_array::Date32Array,
    tenants: &'a arrow_array::StringArray,
    times: &'a arrow_array::TimestampMicrosecondArray,
}

fn guides(dataset: Dataset, piece: &RecordBatch) -> Option<Guides<'_>> {
    Some(Guides {
        days: piece
            .column_by_name("part_date")?
            .as_primitive_opt::<Date32Type>()?,
        tenants: piece.column_by_name("tenant_id")?.as_string_opt::<i32>()?,
        times: piece
            .column_by_name(dataset.time_column())?
            .as_primitive_opt::<TimestampMicrosecondType>()?,
    })
}

/// Tells the rows of all partitions apart. Rows of one request stand together, so that a look at
/// the row before nearly always settles where a row goes.
fn group(
    dataset: Dataset,
    pieces: &[RecordBatch],
    partition: Partition,
) -> Result<BTreeMap<Key, Rows>, LakeError> {
    let fault = |reason: &str| LakeError::Rows {
        dataset,
        reason: reason.to_owned(),
    };
    let ranks = tenant_ranks(pieces, partition);
    let mut found: Vec<((i32, &str), Rows)> = Vec::new();
    let mut index: BTreeMap<(i32, &str), usize> = BTreeMap::new();
    let mut total = 0;
    for (p, piece) in pieces.iter().enumerate() {
        let guides = guides(dataset, piece).ok_or_else(|| fault("a guiding column is missing"))?;
        total += piece.num_rows();
        let mut here: Option<((i32, &str), usize, u32)> = None;
        for row in 0..piece.num_rows() {
            let at = (guides.days.value(row), guides.tenants.value(row));
            let known = here.filter(|(key, _, _)| *key == at);
            let (slot, tenant) = match known {
                Some((_, slot, tenant)) => (slot, tenant),
                None => {
                    let name = if partition == Partition::Date {
                        ""
                    } else {
                        at.1
                    };
                    let slot = *index.entry((at.0, name)).or_insert_with(|| {
                        found.push(((at.0, name), Rows::default()));
                        found.len() - 1
                    });
                    let tenant = ranks.get(at.1).copied().unwrap_or(0);
                    here = Some((at, slot, tenant));
                    (slot, tenant)
                }
            };
            let quarter = if guides.times.is_null(row) {
                i64::MIN
            } else {
                guides.times.value(row).div_euclid(KEPT_ORDER_US)
            };
            let (Ok(piece), Ok(row)) = (u32::try_from(p), u32::try_from(row)) else {
                return Err(fault("more than 2^32 rows"));
            };
            if let Some((_, rows)) = found.get_mut(slot) {
                rows.places.push(Place {
                    tenant,
                    quarter,
                    piece,
                    row,
                });
            }
        }
    }
    let mut groups = BTreeMap::new();
    for ((part_date, name), mut rows) in found {
        rows.whole = rows.places.len() == total;
        let tenant = match partition {
            Partition::Date => None,
            Partition::DateAndTenant => {
                Some(TenantId::new(name).map_err(|_| fault("a tenant id is not one"))?)
            }
        };
        groups.insert(Key { part_date, tenant }, rows);
    }
    Ok(groups)
}

/// The order of tenants inside a file, where a file has several.
fn tenant_ranks(pieces: &[RecordBatch], partition: Partition) -> BTreeMap<&str, u32> {
    if partition == Partition::DateAndTenant {
        return BTreeMap::new();
    }
    let columns = pieces.iter().filter_map(|p| p.column_by_name("tenant_id"));
    let texts = columns.filter_map(|c| c.as_string_opt::<i32>());
    let mut ranks: BTreeMap<&str, u32> = BTreeMap::new();
    for tenant in texts.flat_map(|t| t.iter().flatten()) {
        ranks.entry(tenant).or_insert(0);
    }
    for (n, rank) in (0..).zip(ranks.values_mut()) {
        *rank = n;
    }
    ranks
}

/// A file that is being written.
struct Encoder {
    dataset: Dataset,
    writer: ArrowWriter<Vec<u8>>,
    stats: Gather,
    rows: usize,
}

impl Encoder {
    fn new(
        dataset: Dataset,
        schema: &SchemaRef,
        properties: &WriterProperties,
    ) -> Result<Self, LakeError> {
        // The Arrow schema beside the Parquet one would cost 15 KiB a file and say nothing more.
        let options = ArrowWriterOptions::new()
            .with_properties(properties.clone())
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(schema), options);
        Ok(Self {
            dataset,
            writer: writer.map_err(|e| fault(dataset, &e))?,
            stats: Gather::new(dataset),
            rows: 0,
        })
    }

    fn write(&mut self, pieces: &[RecordBatch], rows: &Rows) -> Result<(), LakeError> {
        if rows.whole {
            return pieces.iter().try_for_each(|piece| self.piece(piece));
        }
        let pieces: Vec<&RecordBatch> = pieces.iter().collect();
        let mut indices = Vec::with_capacity(PIECE_ROWS);
        for places in rows.places.chunks(PIECE_ROWS) {
            indices.clear();
            // u32 fits in usize on every machine that we build for.
            indices.extend(places.iter().map(|p| (p.piece as usize, p.row as usize)));
            let ordered = interleave_record_batch(&pieces, &indices);
            self.piece(&ordered.map_err(|e| fault(self.dataset, &e))?)?;
        }
        Ok(())
    }

    fn piece(&mut self, piece: &RecordBatch) -> Result<(), LakeError> {
        self.stats.add(piece);
        self.rows += piece.num_rows();
        self.writer
            .write(piece)
            .map_err(|e| fault(self.dataset, &e))
    }

    fn finish(self, key: Key) -> Result<ParquetFile, LakeError> {
        let bytes = self
            .writer
            .into_inner()
            .map_err(|e| fault(self.dataset, &e))?;
        Ok(ParquetFile {
            part_date: key.part_date,
            tenant: key.tenant,
            rows: self.rows,
            bytes: Bytes::from(bytes),
            stats: self.stats.to_json(),
        })
    }
}

/// Errors of arrow and parquet name columns and types, never values.
fn fault(dataset: Dataset, error: &dyn std::error::Error) -> LakeError {
    LakeError::Rows {
        dataset,
        reason: error.to_string(),
    }
}

/// How pages are compressed: sums of days are small and read for every question, and a context of zstd for
/// each column of each file took more time than the rest of the reading; all else is large.
fn compression(dataset: Dataset) -> Result<Compression, parquet::errors::ParquetError> {
    if dataset == Dataset::CostDaily {
        return Ok(Compression::UNCOMPRESSED);
    }
    Ok(Compression::ZSTD(ZstdLevel::try_new(1)?))
}

fn properties(
    schema: &Schema,
    partition: Partition,
    compression: Compression,
) -> Result<WriterProperties, parquet::errors::ParquetError> {
    let parquet = ArrowSchemaConverter::new().convert(schema)?;
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(concat!("weir ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(compression)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
        .set_data_page_row_count_limit(PAGE_ROWS_MAX)
        .set_data_page_size_limit(PAGE_BYTES_MAX)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_statistics_truncate_length(Some(64))
        .set_column_index_truncate_length(Some(64));
    let mut order = BTreeMap::new();
    for (i, leaf) in parquet.columns().iter().enumerate() {
        let path = leaf.path().clone();
        let [name] = path.parts() else {
            // Attributes and events: nobody prunes by the least and greatest of all their values.
            builder = builder.set_column_statistics_enabled(path, EnabledStatistics::None);
            continue;
        };
        let name = name.clone();
        let Ok(field) = schema.field_with_name(&name) else {
            continue;
        };
        let time = matches!(field.data_type(), DataType::Timestamp(_, _));
        let number = matches!(field.data_type(), DataType::Int64 | DataType::Int32);
        if time || number {
            builder = builder.set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED);
        }
        let nanos = name.ends_with("_nano") || name.ends_with("_nanos") || name == "_row";
        if time || nanos || UNIQUE.contains(&name.as_str()) {
            builder = builder.set_column_dictionary_enabled(path.clone(), false);
        }
        if name == "trace_id" || name == "trace_uid" {
            builder = builder
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_fpp(path, 0.01);
        }
        order.insert(name, i);
    }
    // Exact order is claimed of tenants alone.
    let by = (partition == Partition::Date).then_some("tenant_id");
    let sorted = by.into_iter().filter_map(|name| {
        Some(SortingColumn {
            column_idx: i32::try_from(*order.get(name)?).ok()?,
            descending: false,
            nulls_first: true,
        })
    });
    let sorted: Vec<SortingColumn> = sorted.collect();
    let sorted = (!sorted.is_empty()).then_some(sorted);
    Ok(builder.set_sorting_columns(sorted).build())
}

#[cfg(test)]
mod tests;
