//! What is known of a trace, as bytes: its facts, and what is booked of it.

use weir_model::TenantId;
use weir_transforms::trace::TraceId;

use super::key::TraceKey;

/// Everything before this entry is in it too: what older segments say counts no more.
pub(crate) const WHOLE: u8 = 1;
/// Facts of this trace are gone for good: nothing of it is ever taken back.
pub(crate) const ADDITIONS_ONLY: u8 = 1 << 1;

/// Encoded facts and bookings of one trace, each piece behind its length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub(crate) flags: u8,
    /// Facts, one after the other.
    pub(crate) facts: Vec<u8>,
    /// Signed bookings, in the order in which they were made.
    pub(crate) bookings: Vec<u8>,
}

impl Entry {
    /// Adds what came later.
    pub(crate) fn join(&mut self, later: &Self) {
        if later.flags & WHOLE != 0 {
            *self = later.clone();
            return;
        }
        self.flags |= later.flags;
        self.facts.extend_from_slice(&later.facts);
        self.bookings.extend_from_slice(&later.bookings);
    }

    /// Appends a piece to `to`, behind its length.
    pub(crate) fn push(to: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        let at = to.len();
        to.extend_from_slice(&[0; 4]);
        write(to);
        let length = u32::try_from(to.len() - at - 4).unwrap_or(u32::MAX);
        if let Some(place) = to.get_mut(at..at + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }

    /// The pieces of `bytes`; `None` in place of one that breaks off.
    pub(crate) fn pieces(mut bytes: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
        std::iter::from_fn(move || {
            if bytes.is_empty() {
                return None;
            }
            let piece = bytes.split_first_chunk::<4>().and_then(|(length, rest)| {
                let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
                rest.split_at_checked(length)
            });
            let (piece, rest) = piece.unzip();
            bytes = rest.unwrap_or_default();
            Some(piece)
        })
    }

    /// The bytes that it takes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.facts.capacity() + self.bookings.capacity()
    }

    /// As it stands in a segment.
    pub(crate) fn write(&self, key: &TraceKey, out: &mut Vec<u8>) {
        let tenant = key.tenant.as_str().as_bytes();
        out.push(self.flags);
        // A tenant's id has at most 63 bytes.
        out.push(u8::try_from(tenant.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(tenant);
        out.extend_from_slice(&key.trace.0.to_le_bytes());
        Self::push(out, |out| out.extend_from_slice(&self.facts));
        out.extend_from_slice(&self.bookings);
    }

    /// Reads what [`Entry::write`] wrote.
    pub(crate) fn read(bytes: &[u8]) -> Option<(TraceKey, Self)> {
        let ([flags, length], rest) = bytes.split_first_chunk::<2>()?;
        let (tenant, rest) = rest.split_at_checked(usize::from(*length))?;
        let (trace, rest) = rest.split_first_chunk::<16>()?;
        let (facts, rest) = rest.split_first_chunk::<4>()?;
        let facts = usize::try_from(u32::from_le_bytes(*facts)).ok()?;
        let (facts, bookings) = rest.split_at_checked(facts)?;
        let key = TraceKey {
            tenant: TenantId::new(std::str::from_utf8(tenant).ok()?).ok()?,
            trace: TraceId(u128::from_le_bytes(*trace)),
        };
        let entry = Self {
            flags: *flags,
            facts: facts.to_vec(),
            bookings: bookings.to_vec(),
        };
        Some((key, entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written_and_pieces_that_break_off_are_noticed() {
        let mut entry = Entry::default();
        Entry::push(&mut entry.facts, |out| out.extend_from_slice(b"one"));
        Entry::push(&mut entry.facts, |_| {});
        Entry::push(&mut entry.bookings, |out| out.extend_from_slice(b"two"));
        let key = TraceKey {
            tenant: TenantId::new("acme").unwrap(),
            trace: TraceId(7),
        };
        let mut bytes = Vec::new();
        entry.write(&key, &mut bytes);
        assert_eq!(Entry::read(&bytes), Some((key, entry.clone())));
        let pieces: Vec<_> = Entry::pieces(&entry.facts).collect();
        assert_eq!(pieces, [Some(&b"one"[..]), Some(&b""[..])]);
        let cut = &entry.facts[..6];
        assert_eq!(Entry::pieces(cut).collect::<Vec<_>>(), [None]);
    }

    #[test]
    fn a_whole_entry_stands_for_all_before_it() {
        let entry = |flags, fact: &[u8]| Entry {
            flags,
            facts: fact.to_vec(),
            bookings: Vec::new(),
        };
        let mut sum = entry(0, b"a");
        sum.join(&entry(0, b"b"));
        assert_eq!(sum.facts, b"ab");
        sum.join(&entry(WHOLE | ADDITIONS_ONLY, b"c"));
        sum.join(&entry(0, b"d"));
        assert_eq!(
            (sum.flags, sum.facts.as_slice()),
            (WHOLE | ADDITIONS_ONLY, &b"cd"[..])
        );
    }
}
