//! Spans that were probably stored twice: a late or re-batched retry brings the same span in another
//! body, so that it is not folded as a resend. Such a span is counted, and stored: what it is can
//! only be suspected here, and the view `spans_distinct` knows.
//!
//! ```text
//! fingerprint of (tenant, trace, span, content) -> bucket of 16 -> known? counted : takes the place
//!                                                                        of the oldest of the bucket
//! ```
//!
//! # Invariants
//!
//! * Memory is 4 MiB, taken when the first span comes.
//! * A span costs one hash of some eighty bytes and two neighbouring cache lines, which are asked
//!   for before they are looked at; nobody waits for anybody. Two requests that meet in a bucket may lose a count, never
//!   a row.
//! * Whatever was accepted within the window that is shown is recognised, but for such meetings.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::cast::AsArray as _;
use arrow_array::{Array, ArrayRef, FixedSizeBinaryArray, RecordBatch, StringArray};
use arrow_schema::DataType;
use weir_model::TenantId;

/// Places of a bucket, which is two cache lines: fewer would let a crowded bucket end the window long
/// before the table is full.
const WAYS: usize = 16;

/// Buckets; with the places of each, half a million spans.
const BUCKETS: usize = 1 << 15;

/// How many buckets are asked for together: their cache misses overlap.
const AHEAD: usize = 32;

/// The low bits of an entry: when it came, in seconds since the start, from 1 on. They last half a
/// year, and then all look old.
const TIME_BITS: u32 = 24;
const TIME_MAX: u64 = (1 << TIME_BITS) - 1;

/// An odd number without pattern, for mixing.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Debug)]
#[repr(align(128))]
struct Bucket([AtomicU64; WAYS]);

/// What was seen of late.
#[derive(Debug, Default)]
pub(crate) struct Duplicates {
    /// An entry holds the high bits of a fingerprint and a time; 0 where there is none.
    buckets: OnceLock<Box<[Bucket]>>,
    /// When the youngest span came that had to go for want of room.
    cut_s: AtomicU64,
    found: AtomicU64,
}

impl Duplicates {
    /// Notes spans that were accepted `now_s` seconds after the start, and counts those that were
    /// seen before.
    pub(crate) fn see(&self, fingerprints: &[u64], now_s: u64) {
        if fingerprints.is_empty() {
            return;
        }
        let now = (now_s + 1).min(TIME_MAX);
        let buckets = self.buckets.get_or_init(|| {
            let empty = || Bucket(std::array::from_fn(|_| AtomicU64::new(0)));
            std::iter::repeat_with(empty).take(BUCKETS).collect()
        });
        let mut found = 0;
        for prints in fingerprints.chunks(AHEAD) {
            let first = |print: &u64| bucket(buckets, *print).map_or(0, |b| b.load());
            std::hint::black_box(prints.iter().map(first).fold(0, |a, b| a ^ b));
            let known = |print: &&u64| self.note(buckets, **print, now);
            found += prints.iter().filter(known).count();
        }
        if found > 0 {
            let found = u64::try_from(found).unwrap_or(u64::MAX);
            self.found.fetch_add(found, Ordering::Relaxed);
        }
    }

    /// Whether `print` was known; it is from now on.
    fn note(&self, buckets: &[Bucket], print: u64, now: u64) -> bool {
        let Some(Bucket(bucket)) = bucket(buckets, print) else {
            return false;
        };
        let entry = (print & !TIME_MAX) | now;
        let mut oldest: Option<(&AtomicU64, u64)> = None;
        for place in bucket {
            let held = place.load(Ordering::Relaxed);
            let came = held & TIME_MAX;
            if came != 0 && held & !TIME_MAX == print & !TIME_MAX {
                place.store(entry, Ordering::Relaxed);
                return true;
            }
            if oldest.is_none_or(|(_, time)| came < time) {
                oldest = Some((place, came));
            }
        }
        if let Some((place, came)) = oldest {
            place.store(entry, Ordering::Relaxed);
            self.cut_s.fetch_max(came, Ordering::Relaxed);
        }
        false
    }

    /// How many spans were seen before.
    pub(crate) fn found(&self) -> u64 {
        self.found.load(Ordering::Relaxed)
    }

    /// How far back every span is known, `now_s` seconds after the start.
    pub(crate) fn window_s(&self, now_s: u64) -> u64 {
        match self.cut_s.load(Ordering::Relaxed) {
            // Nothing had to go: all since the start are known.
            0 => now_s,
            cut => (now_s + 1).saturating_sub(cut),
        }
    }
}

impl Bucket {
    fn load(&self) -> u64 {
        let lines = self.0.chunks(WAYS / 2).filter_map(|line| line.first());
        lines.fold(0, |all, place| all ^ place.load(Ordering::Relaxed))
    }
}

fn bucket(buckets: &[Bucket], print: u64) -> Option<&Bucket> {
    let at = print % u64::try_from(BUCKETS).unwrap_or(1);
    buckets.get(usize::try_from(at).ok()?)
}

/// The bytes of a column, text or binary.
enum Bytes<'a> {
    Text(&'a StringArray),
    Binary(&'a FixedSizeBinaryArray),
}

impl<'a> Bytes<'a> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "ids are text or binary, of Arrow's forty types"
    )]
    fn of(column: &'a ArrayRef) -> Option<Self> {
        match column.data_type() {
            DataType::Utf8 => column.as_string_opt().map(Self::Text),
            _ => column.as_fixed_size_binary_opt().map(Self::Binary),
        }
    }

    fn row(&self, row: usize) -> Option<&[u8]> {
        match self {
            Self::Text(column) => column.is_valid(row).then(|| column.value(row).as_bytes()),
            Self::Binary(column) => column.is_valid(row).then(|| column.value(row)),
        }
    }
}

/// What tells the spans of `tenant` in `rows` from any other; those without a content hash are left
/// out.
pub(crate) fn fingerprints(tenant: &TenantId, rows: &RecordBatch) -> Vec<u64> {
    fingerprints_of(tenant, rows, 0..rows.num_rows())
}

/// The same for some of the rows.
pub(crate) fn fingerprints_of(
    tenant: &TenantId,
    rows: &RecordBatch,
    range: Range<usize>,
) -> Vec<u64> {
    let columns = ["trace_id", "span_id", "content_key"];
    let columns = columns.map(|name| rows.column_by_name(name).and_then(Bytes::of));
    let [Some(trace), Some(span), Some(content)] = columns else {
        return Vec::new();
    };
    let whose = mix(MIX, tenant.as_str().as_bytes());
    let of = |row| {
        let parts = [trace.row(row)?, span.row(row)?, content.row(row)?];
        Some(parts.into_iter().fold(whose, mix))
    };
    range.filter_map(of).collect()
}

/// Mixes `bytes` into `state`; the parts are hashes and ids, which need no strong one.
fn mix(mut state: u64, bytes: &[u8]) -> u64 {
    for word in bytes.chunks(8) {
        let mut padded = [0; 8];
        for (to, from) in padded.iter_mut().zip(word) {
            *to = *from;
        }
        state = (state ^ u64::from_le_bytes(padded)).wrapping_mul(MIX);
        state ^= state >> 29;
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn rows(spans: &[(&str, &str)]) -> RecordBatch {
        let texts = |pick: fn(&(&str, &str)) -> String| -> ArrayRef {
            Arc::new(spans.iter().map(|s| Some(pick(s))).collect::<StringArray>())
        };
        RecordBatch::try_from_iter([
            (
                "trace_id",
                texts(|_| "0af7651916cd43dd8448eb211c80319c".into()),
            ),
            ("span_id", texts(|s| s.0.into())),
            ("content_key", texts(|s| s.1.into())),
        ])
        .unwrap()
    }

    #[test]
    fn a_span_is_known_by_tenant_ids_and_content() {
        let seen = Duplicates::default();
        let (a, b) = (TenantId::new("a").unwrap(), TenantId::new("b").unwrap());
        let see = |tenant, spans: &[(&str, &str)]| {
            seen.see(&fingerprints(tenant, &rows(spans)), 5);
            seen.found()
        };
        let first = [("b7ad6b7169203331", "00ff"), ("b7ad6b7169203332", "00ff")];
        assert_eq!(see(&a, &first), 0);
        assert_eq!(see(&b, &first), 0, "of another tenant");
        assert_eq!(see(&a, &[("b7ad6b7169203331", "11ff")]), 0, "other content");
        assert_eq!(see(&a, &[("b7ad6b7169203333", "00ff"), first[1]]), 1);
        assert_eq!(see(&a, &first), 3);
        assert_eq!(seen.window_s(60), 60, "nothing had to go");
    }

    #[test]
    fn what_had_to_go_ends_the_window_and_all_within_it_is_known() {
        let seen = Duplicates::default();
        let prints = |second: u64| -> Vec<u64> {
            let numbers = 0..20_000_u64;
            let bytes = numbers.map(|n| mix(MIX, &(second * 1_000_000 + n).to_le_bytes()));
            bytes.collect()
        };
        for second in 0..100 {
            seen.see(&prints(second), second);
        }
        assert_eq!(seen.found(), 0, "no two are taken for one");
        let window = seen.window_s(99);
        assert!((5..26).contains(&window), "{window} s of half a million");
        for second in (100 - window..100).rev() {
            let before = seen.found();
            seen.see(&prints(second), 99);
            assert_eq!(seen.found() - before, 20_000, "second {second} of {window}");
        }
    }
}
