//! The one writer: puts frames behind each other, begins segments, and knows when to stop.
//!
//! Rules held here: a frame counts only after `fdatasync`; nothing is ever written behind a
//! failed write, the segment is given up instead (the next one's header says from which number
//! on); a failed sync ends the writer for good; names are made durable before they matter.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::bytes::size64;
use super::frame::{self, FrameHeader};
use super::segment::{LAYOUT_VERSION, SEGMENT_HEADER_BYTES, SegmentHeader, segment_name};
use super::spare::Spare;
use super::storage::{PAGE_BYTES, Storage, StorageFile, is_full, join};
use super::walk::WAL_DIR;
use super::{Bug, Planted};

/// A frame was not written. It takes no place in the log.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// There is no room.
    Full,
    /// The disk refused a write; the next attempt goes to another segment.
    Refused(io::Error),
    /// A sync failed: nothing more may be written by this process.
    Broken,
}

fn refused(e: io::Error) -> WriteError {
    if is_full(&e) {
        WriteError::Full
    } else {
        WriteError::Refused(e)
    }
}

/// Where a frame lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: u32,
    pub(crate) seq: u64,
    /// When it was written, in microseconds since the epoch.
    pub(crate) time_us: i64,
}

#[derive(Debug)]
struct Active {
    id: u64,
    salt: u32,
    file: Arc<dyn StorageFile>,
    /// Where the next frame goes: the end of what is durable.
    offset: u64,
    /// Room up to here.
    file_bytes: u64,
    /// Its zeros were written past the page cache: a page that is written in part would be read
    /// first, so writes go up to the page's end.
    whole_pages: bool,
}

/// Who writes, and how large segments are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriterSettings {
    pub(crate) segment_bytes: u64,
    pub(crate) incarnation: u128,
    pub(crate) planted: Planted,
}

/// What the caller must know after a frame was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    pub(crate) place: Place,
    pub(crate) fsync_seconds: f64,
}

/// A segment that exists since the caller last asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    pub(crate) id: u64,
    pub(crate) file_bytes: u64,
    /// Where the segment before it ends now, if this writer wrote there.
    pub(crate) closed_at: Option<u64>,
}

/// The writer.
#[derive(Debug)]
pub(crate) struct Writer {
    storage: Arc<dyn Storage>,
    settings: WriterSettings,
    spare: Arc<Spare>,
    active: Option<Active>,
    begun: Vec<Begun>,
    next_segment: u64,
    next_seq: u64,
    broken: bool,
    /// Salts differ between the segments of a run and, by their start, between runs.
    next_salt: u32,
}

impl Writer {
    /// A writer that begins a segment before its first frame.
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        settings: WriterSettings,
        spare: Arc<Spare>,
        next: (u64, u64),
    ) -> Self {
        let bytes = settings.incarnation.to_le_bytes();
        let [a, b, c, d, ..] = bytes;
        Self {
            storage,
            settings,
            spare,
            active: None,
            begun: Vec::new(),
            next_segment: next.0,
            next_seq: next.1,
            broken: false,
            next_salt: u32::from_le_bytes([a, b, c, d]),
        }
    }

    /// Goes on in a segment that holds frames: a bug that tests plant.
    pub(crate) fn resume(&mut self, id: u64, header: &SegmentHeader, offset: u64) {
        let path = join(WAL_DIR, &segment_name(id));
        if let Ok(file) = self.storage.open(&path) {
            let file_bytes = header.file_bytes;
            self.active = Some(Active {
                id,
                salt: header.salt,
                file,
                offset,
                file_bytes,
                whole_pages: false,
            });
        }
    }

    /// The number of the next frame.
    pub(crate) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The number of the next segment.
    pub(crate) fn next_segment(&self) -> u64 {
        self.next_segment
    }

    /// The segments that were begun since the last call. A segment counts though the frame that it
    /// was begun for failed: whoever deletes segments from the oldest on must know of it, or frames
    /// behind it would go first, and their numbers be missed.
    pub(crate) fn take_begun(&mut self) -> Vec<Begun> {
        std::mem::take(&mut self.begun)
    }

    /// The segment that is written now.
    pub(crate) fn active_segment(&self) -> Option<u64> {
        self.active.as_ref().map(|a| a.id)
    }

    /// Whether a frame of so many bytes makes the writer begin a segment.
    pub(crate) fn must_begin(&self, frame_bytes: u64) -> bool {
        self.active
            .as_ref()
            .is_none_or(|a| a.offset + frame_bytes > a.file_bytes)
    }

    /// Writes one frame and makes it durable. `frame` has room for the header at its start; the
    /// header's salt, number and checksum are filled in here.
    ///
    /// # Errors
    ///
    /// Nothing of the frame is, or will be, part of the log, except after
    /// [`WriteError::Broken`], when that is unknown.
    pub(crate) fn write(
        &mut self,
        frame: &mut Vec<u8>,
        header: &FrameHeader,
        node: u64,
    ) -> Result<Written, WriteError> {
        if self.broken {
            return Err(WriteError::Broken);
        }
        let frame_bytes = size64(frame.len());
        if self.must_begin(frame_bytes) {
            self.begin(frame_bytes, header.time_us, node)?;
        }
        let seq = self.next_seq;
        let Some(active) = &mut self.active else {
            return Err(WriteError::Full);
        };
        frame::finish(
            frame,
            &FrameHeader {
                salt: active.salt,
                seq,
                ..*header
            },
        );
        if active.whole_pages {
            let end = active.offset + frame_bytes;
            let padded = end
                .next_multiple_of(size64(PAGE_BYTES))
                .min(active.file_bytes)
                - active.offset;
            frame.resize(usize::try_from(padded).unwrap_or(frame.len()), 0);
        }
        let put = active.file.write_all_at(frame, active.offset);
        frame.truncate(usize::try_from(frame_bytes).unwrap_or(frame.len()));
        if let Err(e) = put {
            // Where only the zeros behind it failed, the frame is there: not refused for certain.
            let open = active.whole_pages;
            self.give_up();
            return Err(if open {
                WriteError::Refused(e)
            } else {
                refused(e)
            });
        }
        let fsync_seconds = self.sync_frame()?;
        let Some(active) = &mut self.active else {
            return Err(WriteError::Full);
        };
        let place = Place {
            segment: active.id,
            offset: active.offset,
            bytes: super::bytes::size32(frame.len()),
            seq,
            time_us: header.time_us,
        };
        active.offset += frame_bytes;
        self.next_seq += 1;
        Ok(Written {
            place,
            fsync_seconds,
        })
    }

    fn sync_frame(&mut self) -> Result<f64, WriteError> {
        let planted = self.settings.planted;
        let started = Instant::now();
        if planted.has(Bug::AckBeforeSync) {
            return Ok(0.0);
        }
        let Some(active) = &self.active else {
            return Err(WriteError::Full);
        };
        let mut synced = active.file.sync_data();
        if synced.is_err() && planted.has(Bug::RetryFsync) {
            synced = active.file.sync_data();
        }
        if synced.is_err() {
            self.broken = true;
            return Err(WriteError::Broken);
        }
        Ok(started.elapsed().as_secs_f64())
    }

    /// Leaves the segment after a failed write: whatever the write left there lies at or beyond
    /// the number at which the next segment begins, and so does not count.
    fn give_up(&mut self) {
        if self.settings.planted.has(Bug::WriteAfterFailure) {
            if let Some(active) = &mut self.active {
                // As if the garbage were a frame: the next one goes behind it.
                active.offset += 64;
                self.next_seq += 1;
            }
            return;
        }
        self.active = None;
    }

    /// Begins the next segment, made for at least one frame of `frame_bytes`.
    fn begin(&mut self, frame_bytes: u64, now_us: i64, node: u64) -> Result<(), WriteError> {
        // The old segment is left for good, even where this fails: the half-made one may come back
        // after a power cut, and its header says that from here on the old one does not count.
        let old = self.active.take();
        let id = self.next_segment;
        let name = segment_name(id);
        let path = join(WAL_DIR, &name);
        let wanted = size64(SEGMENT_HEADER_BYTES) + frame_bytes;
        let file_bytes = self.settings.segment_bytes.max(wanted);
        let whole_pages = wanted <= self.settings.segment_bytes && self.spare.take();
        let file = if whole_pages {
            self.storage
                .rename(super::spare::SPARE_PATH, &path)
                .and_then(|()| self.storage.open(&path))
        } else {
            self.storage.create(&path).and_then(|file| {
                // No zeros yet, but the length: a file that was cut later can be told.
                file.set_len(file_bytes).map(|()| file)
            })
        };
        let header = SegmentHeader {
            version: LAYOUT_VERSION,
            salt: self.next_salt,
            id,
            base_seq: self.next_seq,
            created_us: now_us,
            incarnation: self.settings.incarnation,
            node,
            file_bytes,
        };
        let file = match file.and_then(|f| f.write_all_at(&header.encode(), 0).map(|()| f)) {
            Ok(file) => file,
            Err(e) => {
                drop(self.storage.remove(&path));
                return Err(refused(e));
            }
        };
        self.next_salt = self.next_salt.wrapping_add(1);
        self.next_segment += 1;
        let durable = file.sync_data().and_then(|()| self.sync_names());
        if durable.is_err() {
            self.broken = true;
            return Err(WriteError::Broken);
        }
        self.begun.push(Begun {
            id,
            file_bytes,
            closed_at: old.as_ref().map(|old| old.offset),
        });
        if let Some(old) = old {
            // Gives the unused zeros back; its length means nothing any more.
            drop(old.file.set_len(old.offset));
        }
        let offset = size64(SEGMENT_HEADER_BYTES);
        self.active = Some(Active {
            id,
            salt: header.salt,
            file,
            offset,
            file_bytes,
            whole_pages,
        });
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        if self.settings.planted.has(Bug::NoDirSync) {
            return Ok(());
        }
        self.storage.sync_dir(WAL_DIR)
    }
}
