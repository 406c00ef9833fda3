//! The way through all segments, from the oldest to the newest: what open, check, show and repair
//! have in common.

use std::io;
use std::sync::Arc;

use super::Planted;
use super::bytes::size64;
use super::segment::{
    Expect, FrameView, LAYOUT_VERSION, SEGMENT_HEADER_BYTES, Scanned, SegmentHeader, scan,
    segment_id,
};
use super::storage::{Storage, StorageFile, join, read_small};
use crate::log::decode_small;

/// The number of the first frame of a log.
pub(crate) const FIRST_SEQ: u64 = 1;

/// The folder of the segments.
pub(crate) const WAL_DIR: &str = "wal";

/// Why the segments could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalError {
    /// A file could not be read or written.
    #[error("`{path}` could not be read or written")]
    Io {
        /// The file, relative to the data directory.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A segment was written by a newer version of this program.
    #[error(
        "`{file}` has layout {version}, newer than this weir reads: start the newer weir again, or \
         restore a copy from before its upgrade; nothing was changed"
    )]
    Newer {
        /// The file, relative to the data directory.
        file: String,
        /// Its version.
        version: u16,
    },
    /// Rows were written by a newer version of this program.
    #[error(
        "`{file}` holds rows of schema {schema}, newer than this weir reads: start the newer weir \
         again, or restore a copy from before its upgrade; nothing was changed"
    )]
    NewerRows {
        /// The segment, relative to the data directory.
        file: String,
        /// The version of its rows.
        schema: u16,
    },
    /// A frame that passed its checksum does not make sense to this program.
    #[error("frame {seq} cannot be understood: {what}")]
    Frame {
        /// Which frame.
        seq: u64,
        /// What was wrong.
        what: &'static str,
    },
    /// Another process holds the directory.
    #[error("the data directory is in use by another process")]
    InUse,
}

impl From<io::Error> for WalError {
    fn from(source: io::Error) -> Self {
        Self::Io {
            path: WAL_DIR.to_owned(),
            source,
        }
    }
}

impl WalError {
    /// The same error, naming the file.
    fn at(mut self, file: &str) -> Self {
        if let Self::Io { path, .. } = &mut self {
            file.clone_into(path);
        }
        self
    }
}

/// Names the file that an error of the system is about.
pub(crate) fn about(path: &str) -> impl FnOnce(io::Error) -> WalError + '_ {
    move |source| WalError::Io {
        path: path.to_owned(),
        source,
    }
}

/// A segment as it was found.
#[derive(Clone, Debug)]
pub(crate) struct SegmentFound {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) header: Option<SegmentHeader>,
    pub(crate) file_bytes: u64,
    pub(crate) scanned: Scanned,
    /// First and last good frame.
    pub(crate) seqs: Option<(u64, u64)>,
    pub(crate) last_time_us: i64,
    /// Where the newest frame lies, to be made durable again.
    pub(crate) last_frame: Option<(u64, u64)>,
    /// Frames lost just before or inside it.
    pub(crate) lost: Vec<(u64, u64)>,
}

impl SegmentFound {
    /// Where the segment lies.
    pub(crate) fn path(&self) -> String {
        join(WAL_DIR, &self.name)
    }

    /// The file is shorter than it was made though nothing newer was begun: somebody cut it.
    pub(crate) fn is_short(&self) -> bool {
        self.header
            .as_ref()
            .is_some_and(|h| self.file_bytes < h.file_bytes)
    }
}

/// All segments, and what is missing between them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Walk {
    pub(crate) segments: Vec<SegmentFound>,
    /// The number that the next frame gets.
    pub(crate) next_seq: u64,
}

impl Walk {
    /// All lost ranges, in order.
    pub(crate) fn lost(&self) -> Vec<(u64, u64)> {
        self.segments
            .iter()
            .flat_map(|s| s.lost.iter().copied())
            .collect()
    }
}

struct Opened {
    id: u64,
    name: String,
    file: Arc<dyn StorageFile>,
    header: Option<SegmentHeader>,
}

fn open_all(storage: &dyn Storage) -> Result<Vec<Opened>, WalError> {
    let mut out = Vec::new();
    for name in storage.list(WAL_DIR)? {
        let Some(id) = segment_id(&name) else {
            continue;
        };
        let path = join(WAL_DIR, &name);
        let file = storage.open(&path).map_err(about(&path))?;
        let mut bytes = vec![0; SEGMENT_HEADER_BYTES];
        let read = file.read_at(&mut bytes, 0).map_err(about(&path))?;
        bytes.truncate(read);
        // A header of another segment's life in this file is none.
        let header = SegmentHeader::parse(&bytes).filter(|h| h.id == id);
        if let Some(version) = header
            .as_ref()
            .map(|h| h.version)
            .filter(|v| *v > LAYOUT_VERSION)
        {
            return Err(WalError::Newer {
                file: path,
                version,
            });
        }
        out.push(Opened {
            id,
            name,
            file,
            header,
        });
    }
    Ok(out)
}

/// The number below which all frames were deleted. A block of a deleted segment may come back in a
/// file that a crash left without its header, and must not be taken for that file's. `None` where
/// `node.json` does not say.
fn kept_from(storage: &dyn Storage) -> Result<Option<u64>, WalError> {
    let bytes = read_small(storage, "node.json").map_err(about("node.json"))?;
    let body = bytes.as_deref().and_then(decode_small);
    let noted = body.as_ref().and_then(|b| b.get("kept_from"));
    Ok(noted.and_then(serde_json::Value::as_u64))
}

/// Reads every segment and shows each frame that counts to `visit`, in order.
pub(crate) fn walk(
    storage: &dyn Storage,
    planted: Planted,
    visit: &mut dyn FnMut(&str, u64, FrameView<'_>) -> Result<(), WalError>,
) -> Result<Walk, WalError> {
    let opened = open_all(storage)?;
    let kept_from = kept_from(storage)?;
    let mut segments = Vec::with_capacity(opened.len());
    // The first frame that must be there, so that the loss of the oldest segment is noticed too.
    let mut expected = kept_from.map(|first| first.max(FIRST_SEQ));
    for (i, one) in opened.iter().enumerate() {
        let later = opened.iter().skip(i + 1).find_map(|o| o.header.as_ref());
        let seq_end = later.map_or(u64::MAX, |h| h.base_seq);
        let base = one.header.as_ref().map(|h| h.base_seq);
        let mut lost = Vec::new();
        if let (Some(base), Some(due)) = (base, expected)
            && base > due
        {
            lost.push((due, base - 1));
        }
        expected = base.or(expected);
        let expect = Expect {
            salt: one.header.as_ref().map(|h| h.salt),
            seq_min: expected.unwrap_or(0).max(if base.is_none() {
                kept_from.unwrap_or(0)
            } else {
                0
            }),
            seq_end,
            planted,
        };
        let mut seqs: Option<(u64, u64)> = None;
        let mut last_time_us = one.header.as_ref().map_or(0, |h| h.created_us);
        let mut last_frame = None;
        let path = join(WAL_DIR, &one.name);
        let scanned = scan(&*one.file, expect, &mut |frame: FrameView<'_>| {
            let seq = frame.header.seq;
            if let Some(due) = expected.filter(|due| seq > *due) {
                lost.push((due, seq - 1));
            }
            expected = Some(seq + 1);
            seqs = Some((seqs.map_or(seq, |(first, _)| first), seq));
            last_time_us = frame.header.time_us;
            last_frame = Some((frame.offset, frame.header.frame_bytes()));
            visit(&one.name, one.id, frame)
        })
        .map_err(|e| e.at(&path))?;
        segments.push(SegmentFound {
            id: one.id,
            name: one.name.clone(),
            header: one.header.clone(),
            file_bytes: one.file.size().map_err(about(&path))?,
            scanned,
            seqs,
            last_time_us,
            last_frame,
            lost,
        });
    }
    // What a segment lost at its end shows only in its follower; it is booked there.
    Ok(Walk {
        segments,
        next_seq: expected.unwrap_or(0),
    })
}

/// Copies a damaged segment aside, once; gives the copy's name.
pub(crate) fn quarantine(storage: &dyn Storage, name: &str) -> Result<String, WalError> {
    let dir = join(WAL_DIR, "quarantine");
    storage.create_dir(&dir).map_err(about(&dir))?;
    let path = join(WAL_DIR, name);
    let source = storage.open(&path).map_err(about(&path))?;
    let len = source.size().map_err(about(&path))?;
    let copy_name = format!("{name}.{len}");
    if storage.list(&dir)?.contains(&copy_name) {
        return Ok(copy_name);
    }
    let tmp = join(&dir, "copy.tmp");
    let copy = storage.create(&tmp).map_err(about(&tmp))?;
    let mut bytes = vec![0; 1024 * 1024];
    let mut at = 0;
    while at < len {
        let read = source.read_at(&mut bytes, at).map_err(about(&path))?;
        if read == 0 {
            break;
        }
        let piece = bytes.get(..read).unwrap_or_default();
        copy.write_all_at(piece, at).map_err(about(&tmp))?;
        at += size64(read);
    }
    copy.sync_data().map_err(about(&tmp))?;
    storage
        .rename(&tmp, &join(&dir, &copy_name))
        .map_err(about(&tmp))?;
    storage.sync_dir(&dir).map_err(about(&dir))?;
    Ok(copy_name)
}
