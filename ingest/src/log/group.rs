//! Requests on their way into a frame: rows put together, encoded, and described.

use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use weir_model::Dataset;

use super::core::Core;
use super::{AppendError, Entry, Submission};
use crate::wal::{
    BlockEntry, FRAME_ALIGN, FRAME_HEADER_BYTES, Manifest, RequestEntry, RowRange, Seal, gather,
    memory_bytes, pad, size32, size64,
};

/// The rows of one dataset in the group.
pub(crate) struct Part {
    pub(crate) dataset: Dataset,
    pub(crate) rows: Vec<RecordBatch>,
    pub(crate) bytes: usize,
}

/// A group on its way into a frame.
pub(crate) struct Group {
    pub(crate) manifest: Manifest,
    pub(crate) parts: Vec<Part>,
    pub(crate) manifest_bytes: u32,
}

impl Core {
    pub(crate) fn plan_seals(&self, now: Duration, parts: &[Part], all: bool) -> Vec<Seal> {
        let config = self.config();
        let mut seals = self.owed.clone();
        for (dataset, open) in &self.open {
            let part = parts.iter().find(|p| p.dataset == *dataset);
            let rows: usize = part.map_or(0, |p| p.rows.iter().map(RecordBatch::num_rows).sum());
            let bytes = part.map_or(0, |p| p.bytes);
            let over = rows > 0
                && (open.rows + size64(rows) > size64(config.batch_rows_max)
                    || open.bytes + bytes > config.batch_bytes_max);
            if all || over || now >= open.since.saturating_add(config.batch_age) {
                seals.push(Seal {
                    dataset: *dataset,
                    number: open.number,
                    route_epoch: config.route_epoch,
                    frames: open.frames.clone(),
                });
            }
        }
        seals
    }

    /// Lays the group out in `self.frame`.
    pub(crate) fn encode(
        &mut self,
        submissions: &[Submission],
        now: Duration,
        seal_all: bool,
    ) -> Result<Group, AppendError> {
        self.frame.clear();
        self.frame.resize(FRAME_HEADER_BYTES, 0);
        let entries = submissions.iter().flat_map(|s| &s.entries);
        let mut requests: Vec<RequestEntry> = entries.map(request_entry).collect();
        let mut parts = Vec::new();
        for dataset in Dataset::RECEIVED {
            let part = collect(dataset, submissions, &mut requests)
                .map_err(|source| AppendError::Rows { dataset, source })?;
            parts.extend(part);
        }
        let seals = self.plan_seals(now, &parts, seal_all);
        let mut blocks = Vec::new();
        for part in &parts {
            let dataset = part.dataset;
            let offset = self.frame.len() - FRAME_HEADER_BYTES;
            let size = self
                .encoder
                .encode(&part.rows, &mut self.frame)
                .map_err(|source| AppendError::Rows { dataset, source })?;
            pad(&mut self.frame, FRAME_ALIGN);
            let sealed = seals.iter().any(|s| s.dataset == dataset);
            let open = self.open.get(&dataset).filter(|_| !sealed);
            let next = self.next_batch.get(&dataset).copied().unwrap_or(1);
            let rows = part.rows.iter().map(RecordBatch::num_rows).sum();
            blocks.push(BlockEntry {
                dataset,
                batch: open.map_or(next, |open| open.number),
                first_row: open.map_or(0, |o| u32::try_from(o.rows).unwrap_or(u32::MAX)),
                rows: size32(rows),
                offset: size32(offset),
                stored_bytes: size.stored_bytes,
                raw_bytes: size.raw_bytes,
            });
        }
        let manifest = Manifest {
            seals,
            blocks,
            requests,
        };
        let manifest_bytes = manifest.encode(&mut self.frame);
        Ok(Group {
            manifest,
            parts,
            manifest_bytes,
        })
    }
}

fn request_entry(entry: &Entry) -> RequestEntry {
    RequestEntry {
        tenant: entry.tenant.clone(),
        route: entry.route,
        digest: entry.digest,
        idempotency_key: entry.idempotency_key.clone(),
        answer: entry.answer.clone(),
        ranges: Vec::new(),
    }
}

/// Puts the rows of one dataset together and notes in each request which are its own.
fn collect(
    dataset: Dataset,
    submissions: &[Submission],
    requests: &mut [RequestEntry],
) -> Result<Option<Part>, ArrowError> {
    let mut rows = Vec::new();
    let mut first = 0;
    let mut range = |request: &mut RequestEntry, rows: u32| {
        request.ranges.push(RowRange {
            dataset,
            first,
            rows,
        });
        first += rows;
    };
    let mut requests = requests.iter_mut();
    for submission in submissions {
        let joined = submission.joined.as_ref();
        let joined = joined.filter(|j| j.dataset == dataset && j.rows.num_rows() > 0);
        let mut counts = joined.into_iter().flat_map(|j| &j.counts);
        for (entry, request) in submission.entries.iter().zip(&mut requests) {
            let own = entry.rows.iter().filter(|(d, _)| *d == dataset);
            // With both, its own rows would have to stand between those of the others.
            let own = own.filter(|(_, b)| b.num_rows() > 0 && joined.is_none());
            for (_, batch) in own {
                range(request, size32(batch.num_rows()));
                rows.push(batch.clone());
            }
            if let Some(count) = counts.next().filter(|count| **count > 0) {
                range(request, *count);
            }
        }
        rows.extend(joined.map(|j| j.rows.clone()));
    }
    if rows.is_empty() {
        return Ok(None);
    }
    let rows = gather(&dataset.accepted_schema(), rows)?;
    let bytes = rows.iter().map(memory_bytes).sum();
    Ok(Some(Part {
        dataset,
        rows,
        bytes,
    }))
}
