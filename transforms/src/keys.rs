//! Attribute keys to what they feed, made for keys that mostly feed nothing.
//!
//! One multiplication over the first, middle and last eight bytes picks a bucket in a table four
//! times too large, so that an unknown key usually meets an empty one and costs a few nanoseconds.

/// Where a key's value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Feed {
    /// The slot, by number.
    pub(crate) field: crate::field::Field,
    /// The place among the slot's sources; the lowest usable wins.
    pub(crate) rank: u8,
    /// What the slot holds.
    pub(crate) kind: crate::field::Kind,
    /// The value is in thousandths.
    pub(crate) per_mille: bool,
}

/// What is known of a key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Slots that take the value itself.
    pub(crate) feeds: Vec<Feed>,
    /// The number of the JSON host, where members of the value feed slots.
    pub(crate) host: Option<u8>,
}

#[derive(Debug)]
struct Bucket {
    key: Box<[u8]>,
    known: Known,
}

/// A read-only table of keys.
#[derive(Debug)]
pub(crate) struct Keys {
    buckets: Vec<Option<Bucket>>,
    mask: usize,
}

impl Keys {
    /// Builds the table; of equal keys the last stays.
    pub(crate) fn new(known: impl IntoIterator<Item = (String, Known)>) -> Self {
        let all: Vec<_> = known.into_iter().collect();
        let size = (all.len() * 4).next_power_of_two().max(16);
        let mut table = Self {
            buckets: std::iter::repeat_with(|| None).take(size).collect(),
            mask: size - 1,
        };
        for (key, known) in all {
            let mut at = table.first(key.as_bytes());
            while table.bucket(at).is_some_and(|b| *b.key != *key.as_bytes()) {
                at = (at + 1) & table.mask;
            }
            let key = key.into_bytes().into_boxed_slice();
            if let Some(slot) = table.buckets.get_mut(at) {
                *slot = Some(Bucket { key, known });
            }
        }
        table
    }

    /// What is known of `key`.
    #[inline]
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Known> {
        let mut at = self.first(key);
        while let Some(bucket) = self.bucket(at) {
            if *bucket.key == *key {
                return Some(&bucket.known);
            }
            at = (at + 1) & self.mask;
        }
        None
    }

    #[inline]
    fn bucket(&self, at: usize) -> Option<&Bucket> {
        self.buckets.get(at).and_then(Option::as_ref)
    }

    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a hash; the mask keeps its low bits only"
    )]
    fn first(&self, key: &[u8]) -> usize {
        hash(key) as usize & self.mask
    }
}

#[inline]
fn hash(key: &[u8]) -> u64 {
    let (head, middle, tail) =
        if let (Some(head), Some(tail)) = (key.first_chunk(), key.last_chunk()) {
            let middle = key.get(key.len() / 2 - 4..).and_then(<[u8]>::first_chunk);
            (
                u64::from_le_bytes(*head),
                middle.map_or(0, |m| u64::from_le_bytes(*m)),
                u64::from_le_bytes(*tail),
            )
        } else {
            let folded = key.iter().fold(0u64, |h, b| h << 8 | u64::from(*b));
            (folded, 0, 0)
        };
    let mixed = (head ^ (key.len() as u64) << 56)
        .wrapping_add(middle.rotate_left(23))
        .wrapping_add(tail.rotate_left(41))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_and_no_other() {
        let keys: Vec<String> = (0..500)
            .map(|i| format!("gen_ai.usage.{i}.tokens"))
            .collect();
        let short = ["", "a", "ab", "skill", "metadat"].map(String::from);
        let all = keys.iter().chain(&short).enumerate();
        let table = Keys::new(all.map(|(i, key)| {
            let host = u8::try_from(i % 251).ok();
            (
                key.clone(),
                Known {
                    host,
                    ..Known::default()
                },
            )
        }));
        for (i, key) in keys.iter().chain(&short).enumerate() {
            let known = table.get(key.as_bytes()).expect("a key that was put in");
            assert_eq!(known.host, u8::try_from(i % 251).ok());
        }
        for stranger in [
            "gen_ai.usage.500.tokens",
            "b",
            "abc",
            "gen_ai.usage..tokens",
        ] {
            assert!(table.get(stranger.as_bytes()).is_none(), "{stranger}");
        }
    }
}
