//! What the frames say, and the state that is put together from it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use weir_model::{Dataset, NodeId, schema};

use super::core::Tidy;
use super::node_file::NodeFile;
use super::rows::{Block, Era};
use super::shared::{Segment, State};
use super::{OpenReport, RecentRequest};
use crate::wal::{
    BlockEntry, FrameView, Manifest, Place, Seal, WAL_DIR, WalError, Walk, join, segment_name,
};

/// Requests found at start are kept for folding resends, the newest ones, up to this many.
const RECENT_REQUESTS_MAX: usize = 100_000;

/// What the frames say, in their order.
#[derive(Debug, Default)]
pub(super) struct Frames {
    pub(super) blocks: Vec<(Place, BlockEntry)>,
    pub(super) seals: BTreeMap<(Dataset, i64), Seal>,
    pub(super) requests: VecDeque<RecentRequest>,
    pub(super) first_seq: Option<u64>,
    pub(super) frames: u64,
    pub(super) bytes: u64,
    pub(super) rows: u64,
}

impl Frames {
    pub(super) fn take(
        &mut self,
        segment: u64,
        frame: &FrameView<'_>,
        since_us: i64,
    ) -> Result<(), WalError> {
        let seq = frame.header.seq;
        let refuse = |what| WalError::Frame { seq, what };
        if frame.header.schema_version > schema::VERSION {
            return Err(WalError::NewerRows {
                file: join(WAL_DIR, &segment_name(segment)),
                schema: frame.header.schema_version,
            });
        }
        let manifest = frame
            .header
            .manifest(frame.payload)
            .ok_or(refuse("no manifest"))?;
        let manifest = Manifest::decode(manifest).map_err(|e| refuse(e.0))?;
        let bytes = frame.header.frame_bytes();
        let place = Place {
            segment,
            offset: frame.offset,
            bytes: u32::try_from(bytes).map_err(|_| refuse("too long"))?,
            seq,
            time_us: frame.header.time_us,
        };
        self.first_seq.get_or_insert(seq);
        self.frames += 1;
        self.bytes += bytes;
        for block in manifest.blocks {
            self.rows += u64::from(block.rows);
            self.blocks.push((place, block));
        }
        for seal in manifest.seals {
            self.seals.insert((seal.dataset, seal.number), seal);
        }
        if frame.header.time_us >= since_us {
            for request in manifest.requests {
                self.requests.push_back(RecentRequest {
                    tenant: request.tenant,
                    route: request.route,
                    digest: request.digest,
                    idempotency_key: request.idempotency_key,
                    answer: request.answer,
                    received_at_us: frame.header.time_us,
                });
            }
            let extra = self.requests.len().saturating_sub(RECENT_REQUESTS_MAX);
            self.requests.drain(..extra);
        }
        Ok(())
    }
}

pub(super) fn restore_segments(state: &mut State, walk: &Walk) {
    for found in &walk.segments {
        let mut segment = Segment::new(found.file_bytes, found.last_time_us);
        segment.last_seq = found.seqs.map(|(_, last)| last);
        state.segments.insert(found.id, segment);
    }
}

pub(super) fn restore_blocks(state: &mut State, frames: &Frames, node: Option<&NodeFile>) {
    let mut accepted = node.map(|n| n.accepted_rows.clone()).unwrap_or_default();
    let noted = node.map_or(0, |n| n.next_seq);
    for (place, entry) in &frames.blocks {
        state.add_block(Arc::new(Block::stored(*place, *entry)), 0);
        if place.seq >= noted {
            *accepted.entry(entry.dataset).or_default() += u64::from(entry.rows);
        }
    }
    for (dataset, rows) in accepted {
        state.tables.entry(dataset).or_default().accepted_rows = rows;
    }
}

/// Marks sealed batches, counts what is missing in them, forgets those that truncation has begun
/// to delete; gives the seals that are still to be written.
pub(super) fn restore_seals(
    state: &mut State,
    frames: &Frames,
    floor_seq: u64,
    report: &mut OpenReport,
) -> Vec<Seal> {
    for ((dataset, number), seal) in &frames.seals {
        let table = state.tables.entry(*dataset).or_default();
        table.last_sealed = table.last_sealed.max(*number);
        if seal.frames.iter().any(|(seq, _)| *seq < floor_seq) {
            table.batches.remove(number);
            continue;
        }
        let batch = table.batches.entry(*number).or_default();
        batch.sealed = true;
        let there: BTreeSet<u64> = batch.blocks.iter().map(|b| b.place.seq).collect();
        let missing = seal.frames.iter().filter(|(seq, _)| !there.contains(seq));
        let lost_rows: u64 = missing.map(|(_, rows)| u64::from(*rows)).sum();
        table.lost_rows += lost_rows;
        report.lost_rows += lost_rows;
    }
    let mut owed = Vec::new();
    for (dataset, table) in &state.tables {
        for (number, batch) in table.batches.iter().filter(|(_, b)| !b.sealed) {
            let frames = batch.blocks.iter().map(|b| (b.place.seq, b.entry.rows));
            owed.push(Seal {
                dataset: *dataset,
                number: *number,
                route_epoch: 0,
                frames: frames.collect(),
            });
        }
    }
    owed
}

/// The node's names: as noted, or, where the note is lost, the name in the newest segment for what
/// is there and a new one from now on.
pub(super) fn eras(
    node: Option<&NodeFile>,
    walk: &Walk,
    next: &BTreeMap<Dataset, i64>,
    random: u128,
) -> Vec<Era> {
    if let Some(node) = node {
        return node.eras.clone();
    }
    let fresh = node_id(random);
    let former = walk
        .segments
        .iter()
        .rev()
        .find_map(|s| s.header.as_ref())
        .map(|h| h.node);
    match former {
        Some(bits) => vec![
            Era {
                node: NodeId::from_bits(bits),
                from: BTreeMap::new(),
            },
            Era {
                node: fresh,
                from: next.clone(),
            },
        ],
        None => vec![Era {
            node: fresh,
            from: BTreeMap::new(),
        }],
    }
}

/// What is to be cleared away once a new segment says that it does not count.
pub(super) fn tidy(walk: &Walk) -> Vec<Tidy> {
    let mut out = Vec::new();
    for segment in walk.segments.iter().rev() {
        if segment.scanned.frames == 0 {
            out.push(Tidy::Remove(segment.id));
            continue;
        }
        if segment.file_bytes > segment.scanned.end {
            out.push(Tidy::Cut(segment.id, segment.scanned.end));
        }
        break;
    }
    out
}

/// A node id from random bits.
pub(super) fn node_id(random: u128) -> NodeId {
    let [a, b, c, d, e, f, g, h, ..] = random.to_le_bytes();
    NodeId::from_bits(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
}
