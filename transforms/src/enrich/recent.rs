//! The last few names and what they were found to mean: spans of one request say the same few
//! names over and over.

use std::sync::Arc;

use crate::price::{Call, Meaning, Tariff};

/// How many are held; looking through more costs as much as finding the meaning again.
const HELD: usize = 8;

/// Meanings by name.
#[derive(Debug)]
pub(super) struct Recent<V> {
    held: Vec<(Box<str>, V)>,
    next: usize,
}

impl<V> Recent<V> {
    /// None held.
    pub(super) fn new() -> Self {
        Self {
            held: Vec::with_capacity(HELD),
            next: 0,
        }
    }

    /// What `name` means: as held, or found now.
    #[inline]
    pub(super) fn get(&mut self, name: &str, find: impl FnOnce() -> V) -> Option<&V> {
        let at = self.held.iter().position(|(held, _)| **held == *name);
        let at = at.unwrap_or_else(|| put(&mut self.held, &mut self.next, (name.into(), find())));
        self.held.get(at).map(|(_, value)| value)
    }
}

/// The names in a call, held.
type Names = [Option<Box<str>>; 4];

/// Meanings of calls, by their names.
#[derive(Debug)]
pub(super) struct RecentCalls {
    held: Vec<(Names, Arc<Meaning>)>,
    next: usize,
}

impl RecentCalls {
    /// None held.
    pub(super) fn new() -> Self {
        Self {
            held: Vec::with_capacity(HELD),
            next: 0,
        }
    }

    /// What the names of `call` mean in `tariff`, which is the same for all calls.
    #[inline]
    pub(super) fn get(&mut self, tariff: &Tariff, call: &Call<'_>) -> Option<&Meaning> {
        let names = call.names();
        let same = |held: &Names| held.iter().zip(names).all(|(a, b)| a.as_deref() == b);
        let at = self.held.iter().position(|(held, _)| same(held));
        let at = at.unwrap_or_else(|| {
            let found = (names.map(|n| n.map(Into::into)), tariff.meaning(call));
            put(&mut self.held, &mut self.next, found)
        });
        self.held.get(at).map(|(_, meaning)| &**meaning)
    }
}

/// Puts `entry` in, in place of the oldest where all places are taken; tells where.
#[cold]
fn put<E>(held: &mut Vec<E>, next: &mut usize, entry: E) -> usize {
    if held.len() < HELD {
        held.push(entry);
        return held.len() - 1;
    }
    let at = *next % HELD;
    if let Some(slot) = held.get_mut(at) {
        *slot = entry;
    }
    *next = at + 1;
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_keeps_its_own_meaning_however_many_there_are() {
        let mut recent = Recent::new();
        let names: Vec<String> = (0..3 * HELD).map(|i| format!("name {i}")).collect();
        let mut found = 0;
        for round in 0..3 {
            for (i, name) in names.iter().enumerate() {
                for _ in 0..2 {
                    let value = recent.get(name, || {
                        found += 1;
                        i
                    });
                    assert_eq!(value, Some(&i), "{round}");
                }
            }
        }
        assert_eq!(found, 3 * names.len());
    }
}
