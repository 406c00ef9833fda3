//! `weir wal check|show|repair`: the log looked at from outside, while nothing runs on it.

use std::path::Path;

use super::Planted;
use super::bytes::size64;
use super::disk::Disk;
use super::frame::FRAME_HEADER_BYTES;
use super::manifest::Manifest;
use super::segment::{
    Damage, LAYOUT_VERSION, SEGMENT_HEADER_BYTES, SegmentHeader, segment_id, segment_name,
};
use super::storage::{Storage, join, read_small};
use super::walk::{SegmentFound, WAL_DIR, WalError, about, quarantine, walk};
use crate::log::decode_small;

/// What one segment is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentReport {
    /// The file's name in `wal/`.
    pub file: String,
    /// Its length in bytes.
    pub file_bytes: u64,
    /// Whether its header is whole.
    pub header: bool,
    /// Good frames that count.
    pub frames: u64,
    /// The first and the last of them.
    pub seqs: Option<(u64, u64)>,
    /// Stretches between good frames that are none.
    pub damage: Vec<Damage>,
    /// Bytes that are not zero behind the last good frame.
    pub tail: Option<Damage>,
    /// The newest segment, and shorter than it was made.
    pub short: bool,
    /// Ranges of frames that are missing just before or in it.
    pub lost: Vec<(u64, u64)>,
}

/// What the whole log is like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Each segment, the oldest first.
    pub segments: Vec<SegmentReport>,
    /// Good frames.
    pub frames: u64,
    /// Bytes of all segment files.
    pub bytes: u64,
    /// Rows in the good frames.
    pub rows: u64,
    /// Requests in them.
    pub requests: u64,
    /// All ranges of frames that are missing.
    pub lost: Vec<(u64, u64)>,
    /// The newest segment ends in an unfinished write: normal after a crash.
    pub torn_tail: Option<Damage>,
    /// Small files (`node.json`, cursors) that are damaged.
    pub damaged_files: Vec<String>,
}

impl CheckReport {
    /// Nothing is lost or damaged; a torn tail, which a crash leaves, is no damage.
    pub fn is_sound(&self) -> bool {
        let sound = |s: &SegmentReport| s.header && s.damage.is_empty() && !s.short;
        self.lost.is_empty() && self.damaged_files.is_empty() && self.segments.iter().all(sound)
    }

    /// Nothing at all is out of the ordinary.
    pub fn is_spotless(&self) -> bool {
        self.is_sound() && self.segments.iter().all(|s| s.tail.is_none())
    }
}

/// Reads every frame of the log in `data_dir` under its checksum; changes nothing and needs no
/// lock. Rows are not decoded, so that it runs at the speed of the disk.
///
/// # Errors
///
/// Where a file cannot be read, or is of a newer layout; damage is no error but in the report.
pub fn check(data_dir: &Path) -> Result<CheckReport, WalError> {
    let storage = Disk::new(data_dir);
    let mut report = CheckReport::default();
    let found = walk(&storage, Planted::default(), &mut |_, _, frame| {
        report.frames += 1;
        let manifest = frame.header.manifest(frame.payload).map(Manifest::decode);
        let Some(Ok(manifest)) = manifest else {
            return Err(WalError::Frame {
                seq: frame.header.seq,
                what: "its manifest",
            });
        };
        report.rows += manifest
            .blocks
            .iter()
            .map(|b| u64::from(b.rows))
            .sum::<u64>();
        report.requests += size64(manifest.requests.len());
        Ok(())
    })?;
    report.lost = found.lost();
    let last = found.segments.len().saturating_sub(1);
    for (i, segment) in found.segments.iter().enumerate() {
        report.bytes += segment.file_bytes;
        report.segments.push(SegmentReport {
            file: segment.name.clone(),
            file_bytes: segment.file_bytes,
            header: segment.header.is_some(),
            frames: segment.scanned.frames,
            seqs: segment.seqs,
            damage: segment.scanned.damage.clone(),
            tail: segment.scanned.tail,
            short: i == last && segment.is_short(),
            lost: segment.lost.clone(),
        });
    }
    report.torn_tail = found.segments.last().and_then(|s| s.scanned.tail);
    check_small(&storage, found.next_seq, &mut report)?;
    Ok(report)
}

fn check_small(
    storage: &dyn Storage,
    next_seq: u64,
    report: &mut CheckReport,
) -> Result<(), WalError> {
    let node = read_small(storage, "node.json").map_err(about("node.json"))?;
    match node.map(|bytes| decode_small(&bytes)) {
        Some(Some(body)) => {
            let noted = body
                .get("next_seq")
                .and_then(serde_json::Value::as_u64)
                .unwrap_or(0);
            if next_seq > 0 && noted > next_seq {
                report.lost.push((next_seq, noted - 1));
            }
        }
        Some(None) => report.damaged_files.push("node.json".to_owned()),
        None if report.segments.is_empty() => {}
        None => report.damaged_files.push("node.json".to_owned()),
    }
    for name in storage.list("cursors").map_err(about("cursors"))? {
        let path = join("cursors", &name);
        let bytes = read_small(storage, &path)
            .map_err(about(&path))?
            .unwrap_or_default();
        if name.ends_with(".json") && decode_small(&bytes).is_none() {
            report.damaged_files.push(path);
        }
    }
    Ok(())
}

/// Which frames to show.
#[derive(Clone, Copy, Debug)]
pub struct ShowOptions {
    /// From this number on.
    pub from_seq: u64,
    /// At most so many.
    pub frames_max: usize,
}

impl Default for ShowOptions {
    fn default() -> Self {
        Self {
            from_seq: 0,
            frames_max: 100,
        }
    }
}

/// What a frame holds, without its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameSummary {
    /// The segment file.
    pub file: String,
    /// Where it begins there.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its number.
    pub seq: u64,
    /// When it was committed, microseconds since the epoch.
    pub time_us: i64,
    /// How many requests it made durable.
    pub requests: usize,
    /// Table, batch and number of its rows.
    pub blocks: Vec<(&'static str, i64, u32)>,
    /// Table, batch and number of rows of the seals that it holds.
    pub seals: Vec<(&'static str, i64, u64)>,
}

/// Describes the frames of the log in `data_dir`; changes nothing.
///
/// # Errors
///
/// See [`check`].
pub fn show(data_dir: &Path, options: &ShowOptions) -> Result<Vec<FrameSummary>, WalError> {
    let mut out = Vec::new();
    walk(
        &Disk::new(data_dir),
        Planted::default(),
        &mut |file, _, frame| {
            let seq = frame.header.seq;
            if seq < options.from_seq || out.len() >= options.frames_max {
                return Ok(());
            }
            let manifest = frame.header.manifest(frame.payload).map(Manifest::decode);
            let Some(Ok(manifest)) = manifest else {
                return Err(WalError::Frame {
                    seq,
                    what: "its manifest",
                });
            };
            let blocks = manifest
                .blocks
                .iter()
                .map(|b| (b.dataset.name(), b.batch, b.rows));
            let seals = manifest
                .seals
                .iter()
                .map(|s| (s.dataset.name(), s.number, s.rows()));
            out.push(FrameSummary {
                file: file.to_owned(),
                offset: frame.offset,
                bytes: frame.header.frame_bytes(),
                seq,
                time_us: frame.header.time_us,
                requests: manifest.requests.len(),
                blocks: blocks.collect(),
                seals: seals.collect(),
            });
            Ok(())
        },
    )?;
    Ok(out)
}

/// What was repaired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// Copies of the segments as they were, in `wal/quarantine/`.
    pub copies: Vec<String>,
    /// Segments that now hold their good frames and nothing else.
    pub rewritten: Vec<String>,
    /// Ranges of frames that are lost and stay so.
    pub lost: Vec<(u64, u64)>,
}

/// Rewrites damaged segments from their good frames, after copying them aside. The log repairs
/// nothing by itself but reads around damage; this makes `check` quiet again.
///
/// # Errors
///
/// [`WalError::InUse`] where a process runs on the directory. Segments before the one that failed
/// are repaired.
pub fn repair(data_dir: &Path) -> Result<RepairReport, WalError> {
    let storage = Disk::new(data_dir);
    let _hold = storage.hold("LOCK").map_err(|e| {
        if e.kind() == std::io::ErrorKind::WouldBlock {
            WalError::InUse
        } else {
            about("LOCK")(e)
        }
    })?;
    let found = walk(&storage, Planted::default(), &mut |_, _, _| Ok(()))?;
    let mut report = RepairReport {
        lost: found.lost(),
        ..RepairReport::default()
    };
    let newest = found.segments.last().map(|s| s.id);
    for segment in &found.segments {
        let scanned = &segment.scanned;
        let short = Some(segment.id) == newest && segment.is_short();
        let whole = segment.header.is_some() && scanned.damage.is_empty();
        let good = whole && scanned.tail.is_none() && !short;
        if !good {
            report.copies.push(quarantine(&storage, &segment.name)?);
            rewrite(&storage, segment)?;
            report.rewritten.push(segment.name.clone());
        }
    }
    Ok(report)
}

/// Puts a segment's good frames into a file of its own name.
fn rewrite(storage: &dyn Storage, segment: &SegmentFound) -> Result<(), WalError> {
    let path = join(WAL_DIR, &segment.name);
    let tmp = join(WAL_DIR, "repair.tmp");
    let out = storage.create(&tmp).map_err(about(&tmp))?;
    let source = storage.open(&path).map_err(about(&path))?;
    let mut at = size64(SEGMENT_HEADER_BYTES);
    let mut first = None;
    walk(storage, Planted::default(), &mut |file, _, frame| {
        if file != segment.name {
            return Ok(());
        }
        first.get_or_insert((frame.header.salt, frame.header.seq, frame.header.time_us));
        let mut bytes = vec![0; FRAME_HEADER_BYTES + frame.payload.len()];
        source
            .read_at(&mut bytes, frame.offset)
            .map_err(about(&path))?;
        out.write_all_at(&bytes, at).map_err(about(&tmp))?;
        at += size64(bytes.len());
        Ok(())
    })?;
    let header = segment.header.clone().or_else(|| {
        let (salt, base_seq, created_us) = first?;
        let id = segment_id(&segment.name)?;
        Some(SegmentHeader {
            version: LAYOUT_VERSION,
            salt,
            id,
            base_seq,
            created_us,
            incarnation: 0,
            node: 0,
            file_bytes: at,
        })
    });
    let Some(header) = header else {
        // Neither a header nor a frame: there is nothing to keep beyond the copy.
        storage.remove(&tmp).map_err(about(&tmp))?;
        storage.remove(&path).map_err(about(&path))?;
        return storage.sync_dir(WAL_DIR).map_err(about(WAL_DIR));
    };
    let header = SegmentHeader {
        file_bytes: at,
        ..header
    };
    out.write_all_at(&header.encode(), 0).map_err(about(&tmp))?;
    out.sync_data().map_err(about(&tmp))?;
    storage
        .rename(&tmp, &join(WAL_DIR, &segment_name(segment.id)))
        .map_err(about(&tmp))?;
    storage.sync_dir(WAL_DIR).map_err(about(WAL_DIR))
}
