//! What the writer has done since the start, for metrics.

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
