//! A histogram of fixed classes that costs two additions to feed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a histogram measures, and in which classes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// The upper end of each class but the last, in the small unit, ascending.
    bounds: &'static [u64],
    /// How many small units make the unit that is shown.
    per_unit: u64,
}

/// Durations, kept in microseconds and shown in seconds: from a fast fsync to a client's patience.
pub(crate) const SECONDS: Scale = Scale {
    bounds: &[
        250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
        1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000,
    ],
    per_unit: 1_000_000,
};

/// Sizes in bytes: from one small span to the largest body.
pub(crate) const BYTES: Scale = Scale {
    bounds: &[
        1 << 10,
        4 << 10,
        16 << 10,
        64 << 10,
        256 << 10,
        1 << 20,
        4 << 20,
        16 << 20,
        64 << 20,
    ],
    per_unit: 1,
};

/// Counts what was seen, by class.
#[derive(Debug)]
pub(crate) struct Histogram {
    scale: Scale,
    /// One for each bound, and one above.
    classes: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// A histogram as it is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Shown {
    /// The upper end of each class in the unit that is shown, and how many were at or below it.
    pub(crate) upto: Vec<(f64, u64)>,
    /// How many there were.
    pub(crate) count: u64,
    /// All of them together, in the unit that is shown.
    pub(crate) sum: f64,
}

impl Histogram {
    /// An empty one.
    pub(crate) fn new(scale: Scale) -> Self {
        Self {
            scale,
            classes: (0..=scale.bounds.len())
                .map(|_| AtomicU64::new(0))
                .collect(),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts a duration, in a histogram of [`SECONDS`].
    pub(crate) fn took(&self, time: Duration) {
        self.saw(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// Counts a size, in a histogram of [`BYTES`].
    pub(crate) fn measured(&self, bytes: usize) {
        self.saw(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    fn saw(&self, value: u64) {
        let class = self.scale.bounds.partition_point(|bound| *bound < value);
        if let Some(class) = self.classes.get(class) {
            class.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// What was counted so far.
    #[expect(
        clippy::cast_precision_loss,
        reason = "Prometheus samples are 64-bit floats"
    )]
    pub(crate) fn shown(&self) -> Shown {
        let unit = self.scale.per_unit as f64;
        let mut count = 0;
        let mut upto = Vec::with_capacity(self.scale.bounds.len());
        for (class, bound) in self.classes.iter().zip(self.scale.bounds) {
            count += class.load(Ordering::Relaxed);
            upto.push((*bound as f64 / unit, count));
        }
        let above = self.classes.last().map_or(0, |c| c.load(Ordering::Relaxed));
        Shown {
            upto,
            count: count + above,
            sum: self.sum.load(Ordering::Relaxed) as f64 / unit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_falls_into_the_class_whose_end_it_does_not_pass() {
        let times = Histogram::new(SECONDS);
        for micros in [1, 250, 251, 40_000_000] {
            times.took(Duration::from_micros(micros));
        }
        let shown = times.shown();
        assert_eq!(shown.upto.first(), Some(&(0.000_25, 2)));
        assert_eq!(shown.upto.get(1), Some(&(0.000_5, 3)));
        assert_eq!(shown.upto.last(), Some(&(30.0, 3)));
        assert_eq!((shown.count, shown.sum), (4, 40.000_502));
    }
}
