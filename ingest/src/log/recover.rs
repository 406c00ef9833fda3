//! Opening: what the segments, `node.json` and the cursors say is put together again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use tokio::sync::watch;
use weir_model::{Clock, Dataset};

use super::core::Core;
use super::cursors::{CURSOR_DIR, CursorFiles};
use super::node_file::{NODE_FILE, NodeFile};
use super::restore::{Frames, eras, restore_blocks, restore_seals, restore_segments, tidy};
use super::shared::{Shared, State};
use super::small_files;
use super::{AppendError, LogConfig, OpenError, OpenReport, RecentRequest};
use crate::wal::{
    BlockEncoder, Bug, Hold, Seal, Spare, Storage, StorageFile, WAL_DIR, WalError, Walk, Writer,
    WriterSettings, quarantine, read_small, walk,
};

const LOCK_FILE: &str = "LOCK";

impl From<WalError> for OpenError {
    fn from(e: WalError) -> Self {
        match e {
            WalError::Io { path, source } => Self::Io { path, source },
            WalError::Newer { file, version } => Self::Newer { file, version },
            WalError::NewerRows { file, schema } => Self::NewerRows { file, schema },
            WalError::Frame { seq, what } => Self::Frame { seq, what },
            WalError::InUse => Self::InUse,
        }
    }
}

fn about(path: &str) -> impl FnOnce(io::Error) -> OpenError + '_ {
    move |source| OpenError::Io {
        path: path.to_owned(),
        source,
    }
}

/// What was read from disk, before anything is changed.
struct Found {
    frames: Frames,
    walk: Walk,
    node: Option<NodeFile>,
    node_damaged: bool,
}

impl Core {
    /// Opens the log on `storage`: takes the lock, reads what is there, seals what was open.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]; the log is not open then.
    pub fn open(
        storage: Arc<dyn Storage>,
        config: LogConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, OpenReport, Vec<RecentRequest>), OpenError> {
        if let Some(fault) = config.fault() {
            return Err(OpenError::Config(fault));
        }
        let hold = take_directory(&*storage)?;
        let mut found = read_all(&*storage, &config, &*clock)?;
        make_newest_durable(&*storage, &found.walk, &config)?;
        let mut report = OpenReport {
            segments: found.walk.segments.len(),
            frames: found.frames.frames,
            bytes: found.frames.bytes,
            rows: found.frames.rows,
            ..OpenReport::default()
        };
        report.quarantined = put_aside(&*storage, &found.walk);
        report.lost = lost_ranges(&found);
        report.torn_bytes = torn_bytes(&found.walk);
        report.short = short(&found.walk);
        let requests = Vec::from(std::mem::take(&mut found.frames.requests));

        let incarnation = storage.random();
        let spare = Spare::adopt(&*storage, config.segment_bytes, config.reserve_bytes);
        let mut core = assemble(
            storage,
            config,
            clock,
            (hold, spare, incarnation),
            &mut report,
        )?;
        core.restore(found, &mut report)?;
        core.seal_owed(&mut report)?;
        Ok((core, report, requests))
    }

    /// Fills the state from what was found.
    fn restore(&mut self, found: Found, report: &mut OpenReport) -> Result<(), OpenError> {
        let planted = self.shared.config.planted;
        let Found {
            frames,
            walk,
            node,
            node_damaged,
        } = found;
        // Frames below it were deleted as settled. Without the note it can only be guessed, and a
        // lost first segment looks like a deleted one.
        let first = walk.segments.first().and_then(|s| s.header.as_ref());
        let floor_seq = node
            .as_ref()
            .map(|n| n.kept_from)
            .or(first.map(|h| h.base_seq))
            .or(frames.first_seq)
            .unwrap_or(0);
        let node_floor = node.as_ref().filter(|_| !planted.has(Bug::ReuseNumbers));

        let mut state = State::default();
        restore_segments(&mut state, &walk);
        restore_blocks(&mut state, &frames, node_floor);
        self.owed = restore_seals(&mut state, &frames, floor_seq, report);
        let mut highest: BTreeMap<Dataset, i64> = BTreeMap::new();
        for (_, block) in &frames.blocks {
            raise(&mut highest, block.dataset, block.batch);
        }
        for (dataset, number) in frames.seals.keys() {
            raise(&mut highest, *dataset, *number);
        }
        for dataset in Dataset::RECEIVED {
            let seen = highest.get(&dataset).copied().unwrap_or(0);
            let noted = node_floor.and_then(|n| n.next_batch.get(&dataset)).copied();
            let settled = self.shared.cursors.highest(dataset);
            let settled = if planted.has(Bug::ReuseNumbers) {
                0
            } else {
                settled
            };
            let next = noted.unwrap_or(1).max(seen + 1).max(settled + 1);
            self.next_batch.insert(dataset, next);
            let table = state.tables.entry(dataset).or_default();
            // Numbers below the next that are neither sealed nor owed were sealed once.
            let open = self
                .owed
                .iter()
                .find(|s| s.dataset == dataset)
                .map(|s| s.number);
            table.last_sealed = table.last_sealed.max(open.unwrap_or(next) - 1);
            let lowest = table.batches.keys().next().copied().unwrap_or(next);
            self.shared.cursors.set_floor(dataset, lowest - 1);
            if let Some(sealed) = self.shared.sealed.get(&dataset) {
                sealed.send_replace(table.last_sealed);
            }
        }
        let is_new = node.is_none();
        report.node_file_lost = node_damaged || (is_new && !walk.segments.is_empty());
        state.eras = eras(
            node.as_ref(),
            &walk,
            &self.next_batch,
            self.shared.storage.random(),
        );
        self.kept_from = node.as_ref().map_or(0, |n| n.kept_from);
        self.writer = self.first_writer(node.as_ref(), &walk);
        self.tidy = tidy(&walk);
        if planted.has(Bug::AppendAfterTornTail) {
            self.resume_behind_tail(&walk);
        }
        *self.shared.state.lock() = state;
        match self.save_node() {
            // An old file will do where nothing in it has changed; a full disk must not stop us.
            Err(e) if is_new => Err(about(NODE_FILE)(e.into_source())),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn first_writer(&self, node: Option<&NodeFile>, walk: &Walk) -> Writer {
        let newest = walk.segments.last().map_or(0, |s| s.id);
        let next_segment = node.map_or(1, |n| n.next_segment).max(newest + 1);
        let next_seq = node.map_or(1, |n| n.next_seq).max(walk.next_seq).max(1);
        let settings = WriterSettings {
            segment_bytes: self.shared.config.segment_bytes,
            incarnation: self.incarnation,
            planted: self.shared.config.planted,
        };
        let storage = Arc::clone(&self.shared.storage);
        Writer::new(
            storage,
            settings,
            Arc::clone(&self.shared.spare),
            (next_segment, next_seq),
        )
    }

    fn resume_behind_tail(&mut self, walk: &Walk) {
        let newest = walk.segments.last();
        if let Some((segment, header)) = newest.and_then(|s| Some((s, s.header.as_ref()?))) {
            let end = segment
                .scanned
                .tail
                .map_or(segment.scanned.end, |tail| tail.to);
            self.writer
                .resume(segment.id, header, end.next_multiple_of(8));
        }
    }

    fn seal_owed(&mut self, report: &mut OpenReport) -> Result<(), OpenError> {
        report.resealed_rows = self.owed.iter().map(Seal::rows).sum();
        match self.seal(std::time::Duration::ZERO, true) {
            Err(AppendError::Broken) => Err(about(WAL_DIR)(io::Error::other("a sync failed"))),
            // On a full disk the seals wait for room.
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn raise(highest: &mut BTreeMap<Dataset, i64>, dataset: Dataset, number: i64) {
    let at = highest.entry(dataset).or_insert(number);
    *at = number.max(*at);
}

fn take_directory(storage: &dyn Storage) -> Result<Box<dyn Hold>, OpenError> {
    storage.create_dir("").map_err(about(""))?;
    let hold = storage.hold(LOCK_FILE).map_err(|e| {
        if e.kind() == io::ErrorKind::WouldBlock {
            OpenError::InUse
        } else {
            about(LOCK_FILE)(e)
        }
    })?;
    for dir in [WAL_DIR, CURSOR_DIR] {
        storage.create_dir(dir).map_err(about(dir))?;
    }
    storage.sync_dir("").map_err(about(""))?;
    Ok(hold)
}

/// Small files of a newer program look damaged to this one, and damage is mended by starting
/// anew, which would throw away what the newer one wrote.
fn refuse_newer(storage: &dyn Storage) -> Result<(), OpenError> {
    let mut paths = vec![NODE_FILE.to_owned()];
    let cursors = storage.list(CURSOR_DIR).map_err(about(CURSOR_DIR))?;
    let cursors = cursors.iter().filter(|name| name.ends_with(".json"));
    paths.extend(cursors.map(|name| format!("{CURSOR_DIR}/{name}")));
    for path in paths {
        let bytes = read_small(storage, &path).map_err(about(&path))?;
        if let Some(version) = bytes.as_deref().and_then(small_files::newer) {
            return Err(OpenError::Newer {
                file: path,
                version,
            });
        }
    }
    Ok(())
}

fn read_all(
    storage: &dyn Storage,
    config: &LogConfig,
    clock: &dyn Clock,
) -> Result<Found, OpenError> {
    refuse_newer(storage)?;
    let bytes = read_small(storage, NODE_FILE).map_err(about(NODE_FILE))?;
    let node = bytes.as_deref().and_then(NodeFile::decode);
    let node_damaged = bytes.is_some() && node.is_none();
    let grace_us = i64::try_from(config.retain.as_micros()).unwrap_or(i64::MAX);
    let since_us = clock.now_us().saturating_sub(grace_us);
    let mut frames = Frames::default();
    let walk = walk(storage, config.planted, &mut |_, segment, frame| {
        frames.take(segment, &frame, since_us)
    })?;
    Ok(Found {
        frames,
        walk,
        node,
        node_damaged,
    })
}

/// Writes the newest frame again and syncs it. After a failed write or sync the page cache may
/// show a frame that the disk does not have; batches must not be built on it. Segments without a
/// frame may have been begun behind it.
fn make_newest_durable(
    storage: &dyn Storage,
    walk: &Walk,
    config: &LogConfig,
) -> Result<(), OpenError> {
    if config.planted.has(Bug::TrustPageCache) {
        return Ok(());
    }
    let newest = walk
        .segments
        .iter()
        .rev()
        .find_map(|s| Some((s, s.last_frame?)));
    let Some((segment, (offset, bytes))) = newest else {
        return Ok(());
    };
    let path = segment.path();
    let file = storage.open(&path).map_err(about(&path))?;
    rewrite(&*file, offset, bytes).map_err(about(&path))?;
    file.sync_data().map_err(about(&path))?;
    storage.sync_dir(WAL_DIR).map_err(about(WAL_DIR))
}

fn rewrite(file: &dyn StorageFile, offset: u64, bytes: u64) -> io::Result<()> {
    let mut frame = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
    let read = file.read_at(&mut frame, offset)?;
    frame.truncate(read);
    file.write_all_at(&frame, offset)
}

/// Copies damaged segments aside; a copy that cannot be made does not stop the start.
fn put_aside(storage: &dyn Storage, walk: &Walk) -> Vec<String> {
    let mut damaged = BTreeSet::new();
    for (i, segment) in walk.segments.iter().enumerate() {
        let headless = segment.header.is_none() && segment.scanned.frames > 0;
        if headless || !segment.scanned.damage.is_empty() {
            damaged.insert(i);
        }
        let base = segment.header.as_ref().map(|h| h.base_seq);
        if i > 0 && segment.lost.iter().any(|(_, last)| Some(last + 1) == base) {
            damaged.insert(i - 1);
        }
    }
    let mut copies = Vec::new();
    for segment in damaged.into_iter().filter_map(|i| walk.segments.get(i)) {
        match quarantine(storage, &segment.name) {
            Ok(copy) => copies.push(copy),
            Err(error) => tracing::error!(segment = segment.name, %error, "wal.quarantine.failed"),
        }
    }
    copies
}

fn lost_ranges(found: &Found) -> Vec<(u64, u64)> {
    let mut lost = found.walk.lost();
    let noted = found.node.as_ref().map_or(0, |n| n.next_seq);
    // Frames that were durable when the file was written are gone from the end.
    if found.walk.next_seq > 0 && noted > found.walk.next_seq {
        lost.push((found.walk.next_seq, noted - 1));
    }
    lost
}

fn torn_bytes(walk: &Walk) -> u64 {
    let tail = walk.segments.last().and_then(|s| s.scanned.tail);
    tail.map_or(0, |tail| tail.to - tail.from)
}

/// The newest segment, if somebody cut it: a file has its full length before its first frame.
fn short(walk: &Walk) -> Vec<String> {
    let newest = walk
        .segments
        .last()
        .filter(|s| s.is_short() || s.header.is_none());
    newest.map(|s| s.name.clone()).into_iter().collect()
}

type Held = (Box<dyn Hold>, Spare, u128);

fn assemble(
    storage: Arc<dyn Storage>,
    config: LogConfig,
    clock: Arc<dyn Clock>,
    (hold, spare, incarnation): Held,
    report: &mut OpenReport,
) -> Result<Core, OpenError> {
    let broken = watch::Sender::new(false);
    let spare = Arc::new(spare);
    let (cursors, lost) = CursorFiles::open(
        Arc::clone(&storage),
        Arc::clone(&spare),
        broken.clone(),
        config.planted,
    )?;
    report.cursors_lost = lost;
    let settings = WriterSettings {
        segment_bytes: config.segment_bytes,
        incarnation,
        planted: config.planted,
    };
    let writer = Writer::new(Arc::clone(&storage), settings, Arc::clone(&spare), (1, 1));
    let sealed = Dataset::RECEIVED
        .into_iter()
        .map(|d| (d, watch::Sender::new(0)));
    let shared = Arc::new(Shared {
        storage,
        config,
        spare,
        state: Default::default(),
        cursors: Arc::new(cursors),
        held: parking_lot::Mutex::default(),
        sealed: sealed.collect(),
        broken,
        closing: watch::Sender::new(false),
    });
    Ok(Core {
        shared,
        clock,
        writer,
        encoder: BlockEncoder::default(),
        frame: Vec::new(),
        open: BTreeMap::new(),
        owed: Vec::new(),
        next_batch: BTreeMap::new(),
        incarnation,
        kept_from: 0,
        full_until: None,
        seal_after: None,
        tidy: Vec::new(),
        note_due: false,
        _hold: hold,
    })
}
