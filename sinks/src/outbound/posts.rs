//! What is sent of a part: posts of a bounded size, each remembered until its run is through.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use crate::{Part, PartId};

/// Names of posts that are remembered at most; beyond it a retry sends more again.
const REMEMBERED_MAX: usize = 10_000;

/// The posts that the other side has taken, of runs that are not through.
#[derive(Debug, Default)]
pub(super) struct Taken(Mutex<BTreeSet<PartId>>);

impl Taken {
    /// Whether the post of that name was taken.
    pub(super) fn has(&self, id: &PartId) -> bool {
        self.0.lock().contains(id)
    }

    /// Notes that it was.
    pub(super) fn note(&self, id: PartId) {
        let mut taken = self.0.lock();
        if taken.len() < REMEMBERED_MAX {
            taken.insert(id);
        }
    }

    /// Forgets the posts of a run that is through: it is not offered again.
    pub(super) fn forget(&self, run: &[Part]) {
        let mut taken = self.0.lock();
        for part in run {
            let (of, rows) = (part.id(), part.range());
            taken.retain(|id| {
                let same = (&id.node, id.dataset, id.batch) == (&of.node, of.dataset, of.batch);
                !(same && rows.start <= id.start && id.end <= rows.end)
            });
        }
    }
}
