//! The write-ahead log's files: what is durable when a request has been answered.
//!
//! # Rules
//!
//! 1. A request is answered after `fdatasync` of the frame that holds it; concurrent requests
//!    share a frame, one write and one sync.
//! 2. Nothing is written behind a failed write: the segment is given up, and the next one says
//!    from which number on it counts.
//! 3. A failed sync is never tried again: all waiters are refused and the process exits.
//! 4. Folders are synced after create, rename and delete.
//! 5. A bad frame is a torn tail only at the end of the newest segment. Elsewhere it is damage: the
//!    segment is copied aside, the lost numbers are counted, and reading goes on at the next good
//!    frame. Writing always begins in a new segment after a restart.
//! 6. Segments are deleted only below the cursor of every required sink, after a grace period, and
//!    only after cursors and `node.json` are durable.
//! 7. A full disk or budget refuses requests and recovers by itself; a reserve file keeps room for
//!    cursors and seals.
//! 8. One process holds the directory, by a lock; each run has a random incarnation.
//!
//! # Layout, version 2
//!
//! Version 1 differs in the messages of blocks alone, and those tell by themselves.
//!
//! All numbers are little-endian. `wal/` holds segments named by 16 hex digits and `.wal`, a
//! `spare` one of zeros, the `reserve`, and `quarantine/` with copies of damaged segments.
//!
//! ```text
//! segment = header (128 bytes) | frame* | zeros up to the length that the file was made with
//! header  = "WEIRWAL1" | layout u16 | 0 u16 | salt u32 | segment u64 | base seq u64
//!           | created us i64 | incarnation u128 | node u64 | file bytes u64 | zeros | crc32c u32
//!
//! frame   = "WFR1" | payload bytes u32 | crc32c u32 | salt u32 | seq u64 | kind u8 | flags u8
//!           | schema version u16 | manifest bytes u32 | time us i64           (40 bytes)
//!           | payload: block* (each padded to 8) | manifest
//! manifest = seals u32 | blocks u32 | requests u32 | seal* | block entry* | request*
//!           | 1 to 8 bytes up to a multiple of 8, the last one 0xa5
//! seal    = dataset u8 | batch i64 | route epoch u32 | parts u32 | frames u32
//!           | part (8 bytes, reserved)* | (seq u64 | rows u32)*
//! block entry = dataset u8 | batch i64 | first row u32 | rows u32 | offset u32
//!           | stored bytes u32 | raw bytes u32
//! request = route u8 | has u8 (1 digest, 2 key) | tenant text | digest [16] | key text
//!           | answer bytes u32 | answer | ranges u32 | (dataset u8 | first u32 | rows u32)*
//! text    = bytes u16 | UTF-8
//! ```
//!
//! The checksum of a frame covers all of it but itself. A frame counts if its salt is its
//! segment's, its number is above the one before and below the next segment's base, and its
//! checksum holds; so stale blocks of a recycled file never count. Numbers have no gap: one that
//! is missing was lost. A block is described in `block/`. Files of a released layout are read
//! for ever; `testdata/wal/` keeps one of each.

mod block;
mod bytes;
mod check;
mod counters;
mod disk;
mod frame;
mod manifest;
mod planted;
mod read;
mod segment;
mod spare;
mod storage;
mod walk;
mod writer;

#[doc(hidden)]
pub use block::BlockBench;
pub use check::{
    CheckReport, FrameSummary, RepairReport, SegmentReport, ShowOptions, check, repair, show,
};
pub use counters::{Counters, FSYNC_BOUNDS_S};
pub use disk::Disk;
pub use planted::{Bug, Planted};
pub use segment::Damage;
pub use storage::{Hold, Storage, StorageFile};
pub use walk::WalError;

pub(crate) use block::{BlockEncoder, concat_rows, gather, memory_bytes};
pub(crate) use bytes::{pad, size32, size64};
pub(crate) use frame::{FRAME_ALIGN, FRAME_HEADER_BYTES, FrameHeader, KIND_COMMIT};
pub(crate) use manifest::{BlockEntry, Manifest, RequestEntry, RowRange, Seal};
pub(crate) use read::{FrameReader, ReadError};
pub(crate) use segment::{
    FrameView, LAYOUT_VERSION, SEGMENT_HEADER_BYTES, SegmentHeader, segment_name,
};
pub(crate) use spare::Spare;
pub(crate) use storage::{ReplaceError, is_full, join, read_small, replace_small};
pub(crate) use walk::{WAL_DIR, Walk, quarantine, walk};
pub(crate) use writer::{Place, WriteError, Writer, WriterSettings, Written};
