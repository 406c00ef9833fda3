//! Blocks: the rows of one dataset in a frame, as Arrow IPC messages under one LZ4 run.
//!
//! A spans table has well over a hundred columns, most of them NULL in all rows, and Arrow's own
//! IPC compression starts its codec anew for each of some 300 buffers. So a block leaves out the
//! columns without a value, writes the IPC messages of the others without their schema (the frame
//! names its version), and compresses each message whole.
//!
//! ```text
//! block   = message*
//! message = rows u32 | columns u16 | bitmap bytes u16
//!           | metadata bytes u32, stored u32 | body bytes u32, stored u32
//!           | bitmap of the columns that are present | LZ4(metadata) | LZ4(body)
//! ```
//! Metadata and body are those of an Arrow IPC record batch (format V5) of the present columns.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_buffer::{Buffer, MutableBuffer};
use arrow_ipc::reader::RecordBatchDecoder;
use arrow_ipc::root_as_message;
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow_schema::{ArrowError, DataType, Schema, SchemaRef};
use arrow_select::concat::concat;
use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};
use parking_lot::Mutex;
use weir_model::Dataset;

use super::bytes::{Fields, Malformed, size32};

/// The columns that every accepted schema ends with: `part_date`, `received_at`.
const TAIL_COLUMNS: usize = 2;
/// Requests with fewer rows are put together with their neighbours, so that many small ones share
/// the fixed cost of a message; larger ones are not worth the copy.
const GATHER_ROWS: usize = 256;

/// Why a block could not be made or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlockError {
    /// It does not have the layout.
    #[error("a block of rows is malformed: {0}")]
    Malformed(&'static str),
    /// Arrow refused it.
    #[error("a block of rows could not be converted")]
    Arrow(#[from] ArrowError),
}

impl From<Malformed> for BlockError {
    fn from(e: Malformed) -> Self {
        Self::Malformed(e.0)
    }
}

/// Puts small neighbours together; the order of rows stays.
pub(crate) fn gather(
    schema: &SchemaRef,
    parts: Vec<RecordBatch>,
) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut out = Vec::new();
    let mut run: Vec<RecordBatch> = Vec::new();
    let mut run_rows = 0;
    for part in parts {
        let rows = part.num_rows();
        if rows >= GATHER_ROWS || run_rows >= GATHER_ROWS {
            flush(schema, &mut run, &mut out)?;
            run_rows = 0;
        }
        run_rows += rows;
        run.push(part);
    }
    flush(schema, &mut run, &mut out)?;
    Ok(out)
}

fn flush(
    schema: &SchemaRef,
    run: &mut Vec<RecordBatch>,
    out: &mut Vec<RecordBatch>,
) -> Result<(), ArrowError> {
    if run.len() > 1 {
        out.push(concat_rows(schema, run)?);
        run.clear();
    } else {
        out.append(run);
    }
    Ok(())
}

/// Rows of several batches as one; columns without a value cost nothing.
pub(crate) fn concat_rows(
    schema: &SchemaRef,
    parts: &[RecordBatch],
) -> Result<RecordBatch, ArrowError> {
    let rows = parts.iter().map(RecordBatch::num_rows).sum();
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (i, field) in schema.fields().iter().enumerate() {
        let arrays: Vec<&dyn Array> = parts
            .iter()
            .filter_map(|p| p.columns().get(i))
            .map(AsRef::as_ref)
            .collect();
        if arrays.iter().all(|a| a.null_count() == a.len()) && field.is_nullable() {
            columns.push(nulls(field.data_type(), rows));
        } else {
            columns.push(concat(&arrays)?);
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

/// The longest column of NULLs that is shared.
const SHARED_NULLS: usize = 65_536;

static NULLS: Mutex<Option<HashMap<DataType, ArrayRef>>> = Mutex::new(None);

/// A column of NULLs; up to a length they all share their memory.
pub(crate) fn nulls(kind: &DataType, rows: usize) -> ArrayRef {
    if rows > SHARED_NULLS {
        return new_null_array(kind, rows);
    }
    let mut shared = NULLS.lock();
    let shared = shared.get_or_insert_default();
    let whole = match shared.get(kind) {
        Some(whole) => whole,
        None => shared
            .entry(kind.clone())
            .or_insert_with(|| new_null_array(kind, SHARED_NULLS)),
    };
    whole.slice(0, rows)
}

/// The memory that rows really take: columns without a value are shared or soon will be.
pub(crate) fn memory_bytes(rows: &RecordBatch) -> usize {
    rows.columns()
        .iter()
        .filter(|c| c.null_count() != c.len())
        .map(|c| c.get_array_memory_size())
        .sum()
}

/// Makes blocks; it keeps its buffers between calls.
#[derive(Debug, Default)]
pub(crate) struct BlockEncoder {
    packed: Vec<u8>,
    context: IpcWriteContext,
}

/// How large a block became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockSize {
    pub(crate) stored_bytes: u32,
    pub(crate) raw_bytes: u32,
}

impl BlockEncoder {
    /// Appends the block of `parts` to `out`.
    pub(crate) fn encode(
        &mut self,
        parts: &[RecordBatch],
        out: &mut Vec<u8>,
    ) -> Result<BlockSize, ArrowError> {
        let start = out.len();
        let mut raw = 0;
        for part in parts {
            raw += self.message(part, out)?;
        }
        Ok(BlockSize {
            stored_bytes: size32(out.len() - start),
            raw_bytes: size32(raw),
        })
    }

    /// Appends one message; gives its length before compression.
    fn message(&mut self, rows: &RecordBatch, out: &mut Vec<u8>) -> Result<usize, ArrowError> {
        let mut bitmap = vec![0_u8; rows.num_columns().div_ceil(8)];
        let mut present = Vec::with_capacity(rows.num_columns());
        for (i, column) in rows.columns().iter().enumerate() {
            if column.null_count() != column.len() {
                present.push(i);
                if let Some(byte) = bitmap.get_mut(i / 8) {
                    *byte |= 1 << (i % 8);
                }
            }
        }
        let kept = rows.project(&present)?;
        let options = IpcWriteOptions::default();
        let mut dictionaries = DictionaryTracker::new(true);
        let (_, message) = IpcDataGenerator::default().encode(
            &kept,
            &mut dictionaries,
            &options,
            &mut self.context,
        )?;
        out.extend_from_slice(&size32(rows.num_rows()).to_le_bytes());
        let columns = u16::try_from(rows.num_columns()).unwrap_or(u16::MAX);
        out.extend_from_slice(&columns.to_le_bytes());
        let bitmap_bytes = u16::try_from(bitmap.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&bitmap_bytes.to_le_bytes());
        let sizes = out.len();
        out.extend_from_slice(&[0; 16]);
        out.extend_from_slice(&bitmap);
        for (place, raw) in [
            (sizes, &message.ipc_message),
            (sizes + 8, &message.arrow_data),
        ] {
            let stored = self.pack(raw, out)?;
            let [a, b, c, d] = size32(raw.len()).to_le_bytes();
            let [e, f, g, h] = size32(stored).to_le_bytes();
            if let Some(field) = out.get_mut(place..place + 8) {
                field.copy_from_slice(&[a, b, c, d, e, f, g, h]);
            }
        }
        Ok(message.ipc_message.len() + message.arrow_data.len())
    }

    /// Appends `raw` compressed; the room for it is kept between calls, since filling it with
    /// zeros each time would cost as much as a copy.
    fn pack(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<usize, ArrowError> {
        let room = get_maximum_output_size(raw.len());
        if self.packed.len() < room {
            self.packed.resize(room, 0);
        }
        let stored = compress_into(raw, &mut self.packed)
            .map_err(|e| ArrowError::IpcError(format!("lz4: {e}")))?;
        out.extend_from_slice(self.packed.get(..stored).unwrap_or_default());
        Ok(stored)
    }
}

/// Reads a block back: the same rows in the same order, perhaps in more pieces than they came in.
/// `raw_bytes` bounds the memory that this takes.
pub(crate) fn decode(
    dataset: Dataset,
    stored: &[u8],
    raw_bytes: u32,
) -> Result<Vec<RecordBatch>, BlockError> {
    let schema = dataset.accepted_schema();
    let mut budget = usize::try_from(raw_bytes).map_err(|_| Malformed("too large"))?;
    let mut fields = Fields(stored);
    let mut out = Vec::new();
    while !fields.0.is_empty() {
        out.push(decode_message(&schema, &mut fields, &mut budget)?);
    }
    if budget != 0 {
        return Err(Malformed("it decompresses to another length").into());
    }
    Ok(out)
}

fn unpack(stored: &[u8], raw_bytes: usize, budget: &mut usize) -> Result<Buffer, Malformed> {
    *budget = budget
        .checked_sub(raw_bytes)
        .ok_or(Malformed("it decompresses to another length"))?;
    // Aligned as Arrow wants it, so that columns are read without a copy.
    let mut raw = MutableBuffer::from_len_zeroed(raw_bytes);
    match decompress_into(stored, raw.as_slice_mut()) {
        Ok(read) if read == raw_bytes => Ok(raw.into()),
        Ok(_) | Err(_) => Err(Malformed("not LZ4")),
    }
}

fn decode_message(
    schema: &SchemaRef,
    fields: &mut Fields<'_>,
    budget: &mut usize,
) -> Result<RecordBatch, BlockError> {
    let rows = fields.size()?;
    let columns = usize::from(fields.u16()?);
    let bitmap_bytes = usize::from(fields.u16()?);
    let (metadata_bytes, metadata_stored) = (fields.size()?, fields.size()?);
    let (body_bytes, body_stored) = (fields.size()?, fields.size()?);
    let bitmap = fields.take(bitmap_bytes)?;
    let fields_now = schema.fields().len();
    if columns > fields_now || columns < TAIL_COLUMNS || bitmap_bytes != columns.div_ceil(8) {
        return Err(Malformed("columns that are not the dataset's").into());
    }
    // Columns are only ever added behind the others and before the tail, so older rows have the
    // same first columns and the same last ones.
    let added = fields_now - columns;
    let place = |i: usize| {
        if i < columns - TAIL_COLUMNS {
            i
        } else {
            i + added
        }
    };
    let present: Vec<usize> = (0..columns)
        .filter(|i| bitmap.get(i / 8).is_some_and(|b| b & (1 << (i % 8)) != 0))
        .map(place)
        .collect();
    let metadata = unpack(fields.take(metadata_stored)?, metadata_bytes, budget)?;
    let body = unpack(fields.take(body_stored)?, body_bytes, budget)?;
    let kept = read_ipc(Arc::new(schema.project(&present)?), &metadata, &body)?;
    if kept.num_rows() != rows {
        return Err(Malformed("another number of rows").into());
    }
    Ok(widen(schema, &present, &kept)?)
}

fn read_ipc(
    schema: Arc<Schema>,
    metadata: &[u8],
    body: &Buffer,
) -> Result<RecordBatch, BlockError> {
    let message =
        root_as_message(metadata).map_err(|_| Malformed("metadata that is not Arrow IPC"))?;
    let header = message
        .header_as_record_batch()
        .ok_or(Malformed("a message that holds no rows"))?;
    let none = HashMap::new();
    let version = message.version();
    let decoder = RecordBatchDecoder::try_new(body, header, schema, &none, &version)?;
    Ok(decoder.read_record_batch()?)
}

/// Puts the columns back that were left out.
fn widen(
    schema: &SchemaRef,
    present: &[usize],
    kept: &RecordBatch,
) -> Result<RecordBatch, ArrowError> {
    let rows = kept.num_rows();
    let mut kept_columns = present.iter().zip(kept.columns()).peekable();
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (i, field) in schema.fields().iter().enumerate() {
        match kept_columns.next_if(|(at, _)| **at == i) {
            Some((_, column)) => columns.push(Arc::clone(column)),
            None => columns.push(nulls(field.data_type(), rows)),
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

/// What the bench of the encoder calls.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct BlockBench {
    encoder: BlockEncoder,
    out: Vec<u8>,
}

impl BlockBench {
    /// Puts requests together and encodes them; gives the bytes after and before compression, or
    /// zeros where Arrow refuses.
    pub fn encode(&mut self, dataset: Dataset, parts: &[RecordBatch]) -> (usize, usize) {
        self.out.clear();
        let size = gather(&dataset.accepted_schema(), parts.to_vec())
            .and_then(|parts| self.encoder.encode(&parts, &mut self.out));
        size.map_or((0, 0), |size| {
            (self.out.len(), usize::try_from(size.raw_bytes).unwrap_or(0))
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Date32Array, Int64Array, StringArray, TimestampMicrosecondArray};

    use super::*;

    fn rejected(from: i64, rows: usize) -> RecordBatch {
        let schema = Dataset::RejectedEvents.accepted_schema();
        let text = |s: &str| Arc::new(StringArray::from(vec![s; rows])) as ArrayRef;
        let columns: Vec<ArrayRef> = schema
            .fields()
            .iter()
            .map(|f| match f.name().as_str() {
                "item_index" => {
                    Arc::new(Int64Array::from_iter_values(from..from + rows as i64)) as ArrayRef
                }
                "part_date" => Arc::new(Date32Array::from(vec![1; rows])),
                "received_at" => {
                    Arc::new(TimestampMicrosecondArray::from(vec![5; rows]).with_timezone("UTC"))
                }
                name if f.is_nullable() => {
                    assert!(matches!(name, "item_id" | "payload"));
                    new_null_array(f.data_type(), rows)
                }
                name => text(name),
            })
            .collect();
        RecordBatch::try_new(schema, columns).unwrap()
    }

    #[test]
    fn rows_read_back_equal_and_small_requests_share_a_message() {
        let schema = Dataset::RejectedEvents.accepted_schema();
        let parts: Vec<RecordBatch> = (0..10).map(|i| rejected(i * 7, 7)).collect();
        let gathered = gather(&schema, parts).unwrap();
        assert_eq!(gathered.len(), 1);
        let mut parts = gathered;
        parts.push(rejected(70, 2000));
        let mut out = vec![1, 2, 3];
        let size = BlockEncoder::default().encode(&parts, &mut out).unwrap();
        assert_eq!(out.len(), 3 + size.stored_bytes as usize);
        let read = decode(Dataset::RejectedEvents, &out[3..], size.raw_bytes).unwrap();
        assert_eq!(read, parts);
    }

    #[test]
    fn rows_of_an_older_schema_get_the_new_columns_as_null() {
        let now = rejected(0, 5);
        // Before `payload` was added, say: it stands just before the tail.
        let columns: Vec<usize> = (0..now.num_columns()).collect();
        let gone = columns.len() - 3;
        assert_eq!(now.schema().field(gone).name(), "payload");
        let kept: Vec<usize> = columns.into_iter().filter(|i| *i != gone).collect();
        let old = now.project(&kept).unwrap();
        let mut out = Vec::new();
        let size = BlockEncoder::default().encode(&[old], &mut out).unwrap();
        let read = decode(Dataset::RejectedEvents, &out, size.raw_bytes).unwrap();
        assert_eq!(read, [now]);
    }

    #[test]
    fn a_large_request_is_not_copied() {
        let schema = Dataset::RejectedEvents.accepted_schema();
        let parts = vec![
            rejected(0, 3),
            rejected(3, 5000),
            rejected(0, 2),
            rejected(1, 2),
        ];
        let rows: Vec<usize> = gather(&schema, parts)
            .unwrap()
            .iter()
            .map(RecordBatch::num_rows)
            .collect();
        assert_eq!(rows, [3, 5000, 4]);
    }

    #[test]
    fn no_truncation_of_a_block_is_taken_for_rows() {
        let parts = [rejected(0, 20)];
        let mut out = Vec::new();
        let size = BlockEncoder::default().encode(&parts, &mut out).unwrap();
        for cut in 0..out.len() {
            assert!(decode(Dataset::RejectedEvents, &out[..cut], size.raw_bytes).is_err());
        }
    }
}
