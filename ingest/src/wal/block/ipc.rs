//! Messages of layout 1: an Arrow IPC record batch, metadata and body each under LZ4.
//!
//! ```text
//! message = rows u32 | columns u16 | bitmap bytes u16
//!           | metadata bytes u32, stored u32 | body bytes u32, stored u32
//!           | bitmap of the columns that are present | LZ4(metadata) | LZ4(body)
//! ```
//! Nothing writes it any more; logs that were written by it are read for ever.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::{Buffer, MutableBuffer};
use arrow_ipc::reader::RecordBatchDecoder;
use arrow_ipc::root_as_message;
use arrow_schema::{Schema, SchemaRef};
use lz4_flex::block::decompress_into;

use super::{BlockError, present, spend, widen};
use crate::wal::bytes::{Fields, Malformed};

/// The rest of a message of which `head` was read: rows, columns, bytes of the bitmap.
pub(super) fn decode_message(
    schema: &SchemaRef,
    fields: &mut Fields<'_>,
    head: (usize, usize, usize),
    budget: &mut usize,
) -> Result<RecordBatch, BlockError> {
    let (rows, columns, bitmap_bytes) = head;
    let (metadata_bytes, metadata_stored) = (fields.size()?, fields.size()?);
    let (body_bytes, body_stored) = (fields.size()?, fields.size()?);
    let present = present(fields.take(bitmap_bytes)?, columns, schema.fields().len());
    let metadata = unpack(fields.take(metadata_stored)?, metadata_bytes, budget)?;
    let body = unpack(fields.take(body_stored)?, body_bytes, budget)?;
    let kept = read_ipc(Arc::new(schema.project(&present)?), &metadata, &body)?;
    if kept.num_rows() != rows {
        return Err(Malformed("another number of rows").into());
    }
    Ok(widen(schema, &present, kept.columns(), rows)?)
}

fn unpack(stored: &[u8], raw_bytes: usize, budget: &mut usize) -> Result<Buffer, Malformed> {
    spend(budget, raw_bytes)?;
    // Aligned as Arrow wants it, so that columns are read without a copy.
    let mut raw = MutableBuffer::from_len_zeroed(raw_bytes);
    match decompress_into(stored, raw.as_slice_mut()) {
        Ok(read) if read == raw_bytes => Ok(raw.into()),
        Ok(_) | Err(_) => Err(Malformed("not LZ4")),
    }
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
