//! Blocks: the rows of one dataset in a frame, column by column, without what need not be written.
//!
//! A spans table has well over a hundred columns, most of them NULL in all rows; those are left
//! out. Of the others, ids are written as bytes instead of hex, offsets as lengths, integers by
//! their distance from the least, and a column of equal rows once (see `pack.rs`). What may still
//! repeat is compressed by LZ4 in one run a message; what is random is not.
//!
//! ```text
//! block   = message*
//! message = rows u32 | columns u16 with the bit 0x8000 | bitmap bytes u16
//!           | loose bytes u32, stored u32 | dense bytes u32
//!           | bitmap of the columns that are present | LZ4(loose) | dense
//! ```
//! Layout 1 wrote the message of an Arrow IPC record batch instead; it is read by `ipc.rs`.

mod hex;
mod ipc;
mod pack;
mod runs;
mod unpack;

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use arrow_select::concat::concat;
use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};
use parking_lot::Mutex;
use weir_model::Dataset;

use self::pack::Streams;
use self::unpack::Unpack;
use super::bytes::{Fields, Malformed, size32};

/// Tells a message of this layout from one of layout 1, in its number of columns.
const PACKED: u16 = 0x8000;

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
    streams: Streams,
    packed: Vec<u8>,
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
        self.streams.clear();
        for (i, column) in rows.columns().iter().enumerate() {
            if column.null_count() != column.len() {
                if let Some(byte) = bitmap.get_mut(i / 8) {
                    *byte |= 1 << (i % 8);
                }
                self.streams.column(&**column)?;
            }
        }
        let Streams { loose, dense } = &self.streams;
        let room = get_maximum_output_size(loose.len());
        // The room is kept between calls: filling it with zeros each time would cost as much as a
        // copy.
        if self.packed.len() < room {
            self.packed.resize(room, 0);
        }
        let stored = compress_into(loose, &mut self.packed)
            .map_err(|e| ArrowError::IpcError(format!("lz4: {e}")))?;
        let columns = u16::try_from(rows.num_columns()).unwrap_or(u16::MAX);
        let bitmap_bytes = u16::try_from(bitmap.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&size32(rows.num_rows()).to_le_bytes());
        out.extend_from_slice(&(columns | PACKED).to_le_bytes());
        out.extend_from_slice(&bitmap_bytes.to_le_bytes());
        for size in [loose.len(), stored, dense.len()] {
            out.extend_from_slice(&size32(size).to_le_bytes());
        }
        out.extend_from_slice(&bitmap);
        out.extend_from_slice(self.packed.get(..stored).unwrap_or_default());
        out.extend_from_slice(dense);
        Ok(loose.len() + dense.len())
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

fn decode_message(
    schema: &SchemaRef,
    fields: &mut Fields<'_>,
    budget: &mut usize,
) -> Result<RecordBatch, BlockError> {
    let rows = fields.size()?;
    let columns = fields.u16()?;
    let bitmap_bytes = usize::from(fields.u16()?);
    let known = |columns: u16| {
        let columns = usize::from(columns);
        let fits = bitmap_bytes == columns.div_ceil(8);
        let ours = (TAIL_COLUMNS..=schema.fields().len()).contains(&columns);
        let wrong = Malformed("columns that are not the dataset's");
        (fits && ours).then_some(columns).ok_or(wrong)
    };
    if columns & PACKED == 0 {
        let columns = known(columns)?;
        return ipc::decode_message(schema, fields, (rows, columns, bitmap_bytes), budget);
    }
    let columns = known(columns ^ PACKED)?;
    let (loose_bytes, loose_stored) = (fields.size()?, fields.size()?);
    let dense_bytes = fields.size()?;
    let present = present(fields.take(bitmap_bytes)?, columns, schema.fields().len());
    spend(budget, loose_bytes.saturating_add(dense_bytes))?;
    let mut loose = vec![0; loose_bytes];
    match decompress_into(fields.take(loose_stored)?, &mut loose) {
        Ok(read) if read == loose_bytes => {}
        Ok(_) | Err(_) => return Err(Malformed("not LZ4").into()),
    }
    let mut unpack = Unpack::new(&loose, fields.take(dense_bytes)?);
    let kinds = present.iter().filter_map(|i| schema.fields().get(*i));
    let kept = kinds.map(|field| unpack.column(field.data_type(), rows));
    let kept = kept.collect::<Result<Vec<_>, _>>()?;
    if !unpack.is_at_end() {
        return Err(Malformed("more than its columns hold").into());
    }
    Ok(widen(schema, &present, &kept, rows)?)
}

/// The columns that a message has, by their place in the schema of today.
///
/// Columns are only ever added behind the others and before the tail, so older rows have the same
/// first columns and the same last ones.
fn present(bitmap: &[u8], columns: usize, columns_now: usize) -> Vec<usize> {
    let added = columns_now - columns;
    let has = |i: &usize| bitmap.get(i / 8).is_some_and(|b| b & (1 << (i % 8)) != 0);
    let place = |i: usize| match i < columns - TAIL_COLUMNS {
        true => i,
        false => i + added,
    };
    (0..columns).filter(has).map(place).collect()
}

/// Takes what a message says it needs from what its block may need.
fn spend(budget: &mut usize, bytes: usize) -> Result<(), Malformed> {
    let left = budget.checked_sub(bytes);
    *budget = left.ok_or(Malformed("it decompresses to another length"))?;
    Ok(())
}

/// Puts the columns back that were left out.
fn widen(
    schema: &SchemaRef,
    present: &[usize],
    kept: &[ArrayRef],
    rows: usize,
) -> Result<RecordBatch, ArrowError> {
    let mut kept_columns = present.iter().zip(kept).peekable();
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
mod tests;
