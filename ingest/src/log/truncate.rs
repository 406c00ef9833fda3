//! Deleting segments, and the note in `node.json` that must be durable before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weir_model::{Dataset, NodeId};

use super::AppendError;
use super::core::Core;
use super::node_file::{NODE_FILE, NodeFile};
use super::restore::node_id;
use super::rows::Era;
use super::shared::{Segment, State};
use crate::wal::{Bug, ReplaceError, WAL_DIR, is_full, join, replace_small, segment_name, size64};

impl Core {
    /// Deletes segments that nobody needs; gives how many.
    pub fn truncate(&mut self) -> usize {
        let settled = self.shared.settled();
        let (ids, last_seq) = {
            let mut state = self.shared.state.lock();
            state.forget_settled(&settled);
            let ids = self.settled_segments(&state, &settled);
            let seqs = ids.iter().filter_map(|id| state.segments.get(id)?.last_seq);
            let last_seq = seqs.max();
            (ids, last_seq)
        };
        if ids.is_empty() || *self.shared.broken.borrow() {
            return 0;
        }
        if let Some(last) = last_seq {
            self.kept_from = self.kept_from.max(last + 1);
        }
        // The numbers in the segments must not be given again once they are gone.
        match self.save_node() {
            Ok(()) => {}
            Err(ReplaceError::Refused(_)) => return 0,
            Err(ReplaceError::Unsynced(_)) => {
                self.shared.broken.send_replace(true);
                return 0;
            }
        }
        let mut gone = Vec::new();
        for id in ids {
            let path = join(WAL_DIR, &segment_name(id));
            if self.shared.storage.remove(&path).is_err() {
                break;
            }
            gone.push(id);
            // One by one: a later name must not go while an earlier one comes back.
            let durable = self.config().planted.has(Bug::NoDirSync)
                || self.shared.storage.sync_dir(WAL_DIR).is_ok();
            if !durable {
                self.shared.broken.send_replace(true);
                break;
            }
        }
        let mut state = self.shared.state.lock();
        forget_segments(&mut state, &gone, &settled);
        state.counters.truncations += size64(gone.len());
        gone.len()
    }

    /// The oldest segments that every required sink has settled, out of grace and not pinned.
    fn settled_segments(&self, state: &State, settled: &BTreeMap<Dataset, i64>) -> Vec<u64> {
        let active = self.writer.active_segment();
        let budget = self.config().budget_bytes;
        let pressed = state.segment_bytes() > budget / 4 * 3;
        let grace = if pressed {
            Duration::ZERO
        } else {
            self.config().retain
        };
        let grace_us = i64::try_from(grace.as_micros()).unwrap_or(i64::MAX);
        let kept_from = self.clock.now_us().saturating_sub(grace_us);
        let free = |id: u64, segment: &Segment| {
            let done = |(dataset, number): (&Dataset, &i64)| {
                settled.get(dataset).is_some_and(|at| at >= number)
            };
            Some(id) != active
                && segment.last_time_us <= kept_from
                && segment.batches.iter().all(done)
                && Arc::strong_count(&segment.life) == 1
        };
        let oldest = state
            .segments
            .iter()
            .take_while(|(id, segment)| free(**id, segment));
        oldest.map(|(id, _)| *id).collect()
    }

    /// Writes `node.json`.
    pub(crate) fn save_node(&self) -> Result<(), ReplaceError> {
        let bytes = self.node_file().encode();
        let storage = &*self.shared.storage;
        let write = || replace_small(storage, "", NODE_FILE, &bytes);
        match write() {
            Err(ReplaceError::Refused(e))
                if is_full(&e) && self.shared.spare.release_reserve(storage) =>
            {
                write()
            }
            other => other,
        }
    }

    fn node_file(&self) -> NodeFile {
        let state = self.shared.state.lock();
        let accepted = state
            .tables
            .iter()
            .map(|(d, table)| (*d, table.accepted_rows));
        NodeFile {
            eras: state.eras.clone(),
            incarnation: self.incarnation,
            next_seq: self.writer.next_seq(),
            kept_from: self.kept_from,
            next_segment: self.writer.next_segment(),
            next_batch: self.next_batch.clone(),
            accepted_rows: accepted.collect(),
        }
    }

    /// Compares our numbers with what a sink holds of us. Where the sink is ahead, this directory
    /// was restored or damaged, and new rows would be taken for old ones: all open batches are
    /// sealed under the old name, and the node takes a new one, which is returned.
    ///
    /// # Errors
    ///
    /// The name stays as it was.
    pub fn adopt_high_water(
        &mut self,
        dataset: Dataset,
        last_in_sink: i64,
        now: Duration,
    ) -> Result<Option<NodeId>, AppendError> {
        if last_in_sink <= self.shared.last_sealed(dataset) {
            return Ok(None);
        }
        let era_from = self
            .shared
            .state
            .lock()
            .eras
            .last()
            .map_or(1, |e| e.first(dataset));
        if last_in_sink < era_from {
            return Ok(None);
        }
        self.seal(now, true)?;
        self.take_new_name(node_id(self.shared.storage.random()))
            .map(Some)
    }

    /// Numbers go on from here under another name.
    pub(crate) fn take_new_name(&mut self, node: NodeId) -> Result<NodeId, AppendError> {
        let from = self.next_batch.clone();
        self.shared.state.lock().eras.push(Era {
            node: node.clone(),
            from,
        });
        match self.save_node() {
            Ok(()) => Ok(node),
            Err(e) => {
                self.shared.state.lock().eras.pop();
                if matches!(e, ReplaceError::Unsynced(_)) {
                    self.shared.broken.send_replace(true);
                    return Err(AppendError::Broken);
                }
                Err(AppendError::Refused {
                    source: e.into_source(),
                })
            }
        }
    }
}

/// Forgets deleted segments, and the batches that had rows there.
fn forget_segments(state: &mut State, gone: &[u64], settled: &BTreeMap<Dataset, i64>) {
    for id in gone {
        state.segments.remove(id);
    }
    let State {
        tables, segments, ..
    } = state;
    for (dataset, table) in tables {
        let settled = settled.get(dataset).copied().unwrap_or(0);
        table.batches.retain(|number, batch| {
            *number > settled
                || batch
                    .blocks
                    .iter()
                    .all(|b| segments.contains_key(&b.place.segment))
        });
    }
}
