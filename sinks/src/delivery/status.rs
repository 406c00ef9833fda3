//! The account of a delivery: what became of every row, by dataset.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use weir_model::Dataset;

/// One dataset at one sink. Rows and attempts are counted since the delivery was started; the
/// cursor and the last batch are those of the log.
///
/// The account closes: of the batches above the cursor at the start, rows = `stored_rows` +
/// `set_aside_rows` + pending ones + those of lost batches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatasetStatus {
    /// Rows that the sink holds, by its receipts.
    pub stored_rows: u64,
    /// Rows that went to the dead letters.
    pub set_aside_rows: u64,
    /// Batches that the log has lost to damage, so that the sink never got them.
    pub lost_batches: u64,
    /// Every batch up to this one is settled.
    pub cursor: i64,
    /// The last batch that the log has sealed.
    pub last_sealed: i64,
    /// Calls of the sink.
    pub attempts: u64,
    /// Calls that failed, of either kind.
    pub failures: u64,
    /// The last failure, until the next success; it quotes no row.
    pub last_error: Option<String>,
    /// Whether the dataset is being delivered; `false` once stopped.
    pub running: bool,
}

/// A delivery at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryStatus {
    /// The sink's name.
    pub sink: String,
    /// Whether the circuit breaker holds calls back.
    pub breaker_open: bool,
    /// By dataset.
    pub datasets: BTreeMap<Dataset, DatasetStatus>,
}

impl DeliveryStatus {
    /// Batches that are sealed and not settled, over all datasets.
    pub fn pending_batches(&self) -> u64 {
        let pending = self.datasets.values().map(|d| d.last_sealed - d.cursor);
        pending.map(|n| u64::try_from(n).unwrap_or(0)).sum()
    }
}

/// The running counts, shared by the tasks.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<BTreeMap<Dataset, DatasetStatus>>);

impl Counts {
    /// Changes the counts of `dataset`.
    pub(super) fn change(&self, dataset: Dataset, change: impl FnOnce(&mut DatasetStatus)) {
        change(self.0.lock().entry(dataset).or_default());
    }

    pub(super) fn all(&self) -> BTreeMap<Dataset, DatasetStatus> {
        self.0.lock().clone()
    }
}
