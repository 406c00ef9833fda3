//! What the writer has done since the start, for metrics.

/// The upper ends of the classes of [`Counters::fsyncs`], in seconds; one more class is above.
pub const FSYNC_BOUNDS_S: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
];

/// Counters; all but the histogram only ever grow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counters {
    /// Frames written and synced.
    pub frames: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Requests in them.
    pub requests: u64,
    /// Rows in them.
    pub rows: u64,
    /// Seals in them.
    pub seals: u64,
    /// Bytes of rows before compression.
    pub raw_bytes: u64,
    /// Seconds spent in syncs of frames.
    pub fsync_seconds: f64,
    /// How many syncs of frames took so long, by the classes of [`FSYNC_BOUNDS_S`].
    pub fsyncs: [u64; FSYNC_BOUNDS_S.len() + 1],
    /// The longest of them.
    pub fsync_seconds_max: f64,
    /// Seconds spent on putting rows together and encoding them.
    pub encode_seconds: f64,
    /// How many frames held 1, 2..3, 4..7, 8..15, 16..31, 32..63, 64..127 and more requests.
    pub group_sizes: [u64; 8],
    /// Segments begun.
    pub rotations: u64,
    /// Segments deleted.
    pub truncations: u64,
    /// Requests refused because the disk or the budget was full.
    pub refused_full: u64,
    /// Writes that the disk refused for another reason.
    pub refused_writes: u64,
}

impl Counters {
    /// Notes how long the sync of a frame took.
    pub(crate) fn synced(&mut self, seconds: f64) {
        self.fsync_seconds += seconds;
        self.fsync_seconds_max = self.fsync_seconds_max.max(seconds);
        let class = FSYNC_BOUNDS_S.partition_point(|bound| *bound < seconds);
        if let Some(slot) = self.fsyncs.get_mut(class) {
            *slot += 1;
        }
    }

    /// Notes a frame with so many requests.
    pub(crate) fn group(&mut self, requests: usize) {
        let class = requests.checked_ilog2().map_or(0, |log| log.min(7));
        let slot = usize::try_from(class)
            .ok()
            .and_then(|c| self.group_sizes.get_mut(c));
        if let (Some(slot), true) = (slot, requests > 0) {
            *slot += 1;
        }
    }
}
