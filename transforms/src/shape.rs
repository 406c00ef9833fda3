//! Shapes: the keys of a span in their order, and what is done with each.
//!
//! An instrumentation sends the same keys in the same order over and over. They are looked up once
//! for a batch; of the spans after that only the bytes of all keys together are compared.

use arrow_array::StringArray;

use crate::derive::READ;
use crate::keys::{Feed, Keys};
use crate::row::Families;

/// How many are held for a batch.
const HELD: usize = 32;

/// A value that feeds a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// The attribute, from the span's first.
    pub(crate) at: usize,
    /// What it feeds.
    pub(crate) feed: Feed,
}

/// What one order of keys comes to.
#[derive(Debug)]
pub(crate) struct Shape {
    /// The keys, one behind the other.
    bytes: Box<[u8]>,
    /// Where each ends.
    ends: Box<[i32]>,
    /// The families that the keys belong to.
    pub(crate) families: Families,
    /// Whether a slot is fed that rules read.
    pub(crate) for_rules: bool,
    /// Values that feed slots, in the order of the attributes.
    pub(crate) steps: Box<[Step]>,
    /// Attributes that hold JSON of which members feed slots: which, and the number of the host.
    pub(crate) hosts: Box<[(usize, u8)]>,
}

/// The keys of one span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeysOf<'a> {
    bytes: &'a [u8],
    /// The offsets of the keys in their array, the first one's start before all ends.
    offsets: &'a [i32],
}

impl<'a> KeysOf<'a> {
    /// The keys at `range` of `keys`; none where there are no such.
    #[inline]
    pub(crate) fn of(keys: &'a StringArray, range: &std::ops::Range<usize>) -> Self {
        let offsets = keys.value_offsets().get(range.start..=range.end);
        let offsets = offsets.unwrap_or_default();
        let bytes = match offsets {
            [from, .., to] => keys.value_data().get(index(*from)..index(*to)),
            _ => None,
        };
        Self {
            bytes: bytes.unwrap_or_default(),
            offsets,
        }
    }

    fn base(self) -> i32 {
        self.offsets.first().copied().unwrap_or_default()
    }

    fn ends(self) -> impl Iterator<Item = i32> + 'a {
        let base = self.base();
        self.offsets.iter().skip(1).map(move |end| end - base)
    }

    fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        let mut from = 0;
        self.ends().map(move |end| {
            let key = self.bytes.get(index(from)..index(end)).unwrap_or_default();
            from = end;
            key
        })
    }
}

impl Shape {
    fn new(keys: KeysOf<'_>, known: &Keys) -> Self {
        let mut families = Families::default();
        let (mut steps, mut hosts) = (Vec::new(), Vec::new());
        for (at, key) in keys.iter().enumerate() {
            families.note(key);
            let Some(known) = known.get(key) else {
                continue;
            };
            hosts.extend(known.host.map(|host| (at, host)));
            steps.extend(known.feeds.iter().map(|feed| Step { at, feed: *feed }));
        }
        Self {
            bytes: keys.bytes.into(),
            ends: keys.ends().collect(),
            families,
            for_rules: steps.iter().any(|s: &Step| READ.contains(&s.feed.field)),
            steps: steps.into(),
            hosts: hosts.into(),
        }
    }

    #[inline]
    fn is_of(&self, keys: KeysOf<'_>) -> bool {
        let base = keys.base();
        let ends = keys.offsets.get(1..).unwrap_or_default();
        self.ends.len() == ends.len() && *self.bytes == *keys.bytes && {
            // Without an early end, so that several are compared at once.
            let differ = |sum, (a, b): (&i32, &i32)| sum | (b - base) ^ a;
            self.ends.iter().zip(ends).fold(0, differ) == 0
        }
    }
}

/// The shapes that a batch has had so far.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    held: Vec<Shape>,
    /// The one that was asked for last.
    last: usize,
    next: usize,
}

impl Shapes {
    /// The shape of `keys`.
    #[inline]
    pub(crate) fn get(&mut self, keys: KeysOf<'_>, known: &Keys) -> Option<&Shape> {
        let last = self.held.get(self.last).is_some_and(|s| s.is_of(keys));
        if !last {
            let at = self.held.iter().position(|s| s.is_of(keys));
            self.last = at.unwrap_or_else(|| self.put(Shape::new(keys, known)));
        }
        self.held.get(self.last)
    }

    #[cold]
    fn put(&mut self, shape: Shape) -> usize {
        if self.held.len() < HELD {
            self.held.push(shape);
            return self.held.len() - 1;
        }
        let at = self.next % HELD;
        if let Some(slot) = self.held.get_mut(at) {
            *slot = shape;
        }
        self.next = at + 1;
        at
    }
}

#[inline]
fn index(offset: i32) -> usize {
    usize::try_from(offset).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use arrow_array::Array as _;

    use super::*;
    use crate::mapping::Mapping;

    #[test]
    fn keys_that_run_together_alike_are_told_apart() {
        let mapping = Mapping::standard().expect("the mapping");
        let keys = StringArray::from(vec!["skill", "model", "skillmodel", "ski", "llmodel"]);
        let mut shapes = Shapes::default();
        let mut steps = |range: std::ops::Range<usize>| {
            let shape = shapes.get(KeysOf::of(&keys, &range), &mapping.span);
            shape.expect("a shape").steps.len()
        };
        for _ in 0..2 {
            assert_eq!(steps(0..2), 2);
            assert_eq!(steps(2..3), 0);
            assert_eq!(steps(3..5), 0);
            assert_eq!(steps(0..1), 1);
            assert_eq!(steps(0..0), 0);
        }
    }

    #[test]
    fn more_shapes_than_are_held_are_still_right() {
        let mapping = Mapping::standard().expect("the mapping");
        let names: Vec<String> = (0..3 * HELD).map(|i| format!("key {i}")).collect();
        let keys = StringArray::from_iter_values(names.iter().chain([&"skill".to_owned()]));
        let mut shapes = Shapes::default();
        for round in 0..3 {
            for at in 0..keys.len() {
                let shape = shapes.get(KeysOf::of(&keys, &(at..at + 1)), &mapping.span);
                let steps = shape.expect("a shape").steps.len();
                assert_eq!(steps, usize::from(at == 3 * HELD), "{round} {at}");
            }
        }
    }
}
