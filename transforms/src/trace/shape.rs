//! The shape of a trace: each span once, under its parent, without circles.

use std::collections::HashMap;

use super::fact::{Fact, SpanId};

/// A place in [`Shape::spans`].
pub(super) type At = usize;

/// A span, its copies settled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span<'a> {
    pub(super) fact: &'a Fact,
    /// How many copies there are.
    pub(super) copies: usize,
    /// They are not all alike.
    pub(super) conflict: bool,
    /// The parent, where it is known; none for the span at which a circle was cut.
    pub(super) parent: Option<At>,
    /// The circle of parents was cut here.
    pub(super) cut: bool,
}

/// The spans of a trace.
#[derive(Debug)]
pub(super) struct Shape<'a> {
    /// By start and id.
    pub(super) spans: Vec<Span<'a>>,
    /// All places, parents before their children.
    pub(super) downward: Vec<At>,
}

impl<'a> Shape<'a> {
    /// The shape of the trace that `facts` tell of, in any order, with copies (rule B0).
    pub(super) fn of(facts: &'a [Fact]) -> Self {
        let mut spans = settle(facts);
        let index: HashMap<SpanId, At> = spans
            .iter()
            .enumerate()
            .map(|(at, span)| (span.fact.span, at))
            .collect();
        for span in &mut spans {
            span.parent = span
                .fact
                .parent
                .and_then(|parent| index.get(&parent).copied());
        }
        let downward = order(&mut spans);
        Self { spans, downward }
    }

    pub(super) fn get(&self, at: At) -> Option<&Span<'a>> {
        self.spans.get(at)
    }

    /// The fact at `at`, and the place of its parent.
    pub(super) fn fact(&self, at: At) -> Option<&'a Fact> {
        self.spans.get(at).map(|span| span.fact)
    }

    /// The place of the parent of the span at `at`.
    pub(super) fn parent(&self, at: At) -> Option<At> {
        self.spans.get(at).and_then(|span| span.parent)
    }

    /// For each span what `of` makes of its parent, which is asked first, and of that one's result.
    ///
    /// Whatever a rule needs of all ancestors is worked out so in one pass, however deep the trace.
    pub(super) fn inherit<T: Copy>(&self, root: T, of: impl Fn(&'a Fact, At, T) -> T) -> Vec<T> {
        let mut results = vec![root; self.spans.len()];
        for at in &self.downward {
            let Some(parent) = self.parent(*at) else {
                continue;
            };
            let above = self.fact(parent).zip(results.get(parent).copied());
            if let (Some((fact, result)), Some(slot)) = (above, results.get_mut(*at)) {
                *slot = of(fact, parent, result);
            }
        }
        results
    }
}

/// One span of each id: of the copies the least, which has the smallest content key.
fn settle(facts: &[Fact]) -> Vec<Span<'_>> {
    let mut copies: Vec<&Fact> = facts.iter().collect();
    copies.sort_unstable();
    let mut spans: Vec<Span<'_>> = Vec::with_capacity(copies.len());
    for fact in copies {
        match spans.last_mut() {
            Some(last) if last.fact.span == fact.span => {
                last.copies += 1;
                last.conflict |= last.fact.content_key != fact.content_key;
            }
            _ => spans.push(Span {
                fact,
                copies: 1,
                conflict: false,
                parent: None,
                cut: false,
            }),
        }
    }
    spans.sort_unstable_by_key(|span| (span.fact.start, span.fact.span));
    spans
}

/// Cuts every circle of parents at its first span, and gives all places, parents first.
fn order(spans: &mut [Span<'_>]) -> Vec<At> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        No,
        OnPath,
        Placed,
    }
    let mut seen = vec![Seen::No; spans.len()];
    let mut downward = Vec::with_capacity(spans.len());
    let mut path: Vec<At> = Vec::new();
    for start in 0..spans.len() {
        let mut next = Some(start);
        while let Some(at) = next {
            let Some(state) = seen.get_mut(at) else {
                break;
            };
            match *state {
                Seen::Placed => break,
                Seen::No => {
                    *state = Seen::OnPath;
                    path.push(at);
                    next = spans.get(at).and_then(|span| span.parent);
                }
                Seen::OnPath => {
                    cut(spans, &mut path, at);
                    break;
                }
            }
        }
        for at in path.drain(..).rev() {
            if let Some(state) = seen.get_mut(at) {
                *state = Seen::Placed;
            }
            downward.push(at);
        }
    }
    downward
}

/// Cuts the circle that `path` closes by coming back to `at`, so that the path ends in its root.
fn cut(spans: &mut [Span<'_>], path: &mut [At], at: At) {
    let from = path.iter().position(|p| *p == at).unwrap_or_default();
    let Some(circle) = path.get_mut(from..) else {
        return;
    };
    // Places are in the order of start and id.
    let first = circle.iter().enumerate().min_by_key(|(_, at)| **at);
    let Some((place, root)) = first.map(|(place, at)| (place, *at)) else {
        return;
    };
    if let Some(span) = spans.get_mut(root) {
        span.parent = None;
        span.cut = true;
    }
    // The path must go on from child to parent and end with a root: the circle is turned until its
    // root is last. What came before it hangs below one of its spans, which all still come later.
    circle.rotate_left(place + 1);
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fact, id};
    use super::*;

    fn is_downward(shape: &Shape<'_>) {
        let mut placed = vec![false; shape.spans.len()];
        for at in &shape.downward {
            assert!(shape.parent(*at).is_none_or(|parent| placed[parent]));
            assert!(!std::mem::replace(&mut placed[*at], true), "placed twice");
        }
        assert!(placed.into_iter().all(|p| p));
    }

    #[test]
    fn parents_come_before_children_whatever_the_shape() {
        let parents: [&[Option<u64>]; 6] = [
            &[None, Some(0), Some(1), Some(0)],
            &[Some(3), Some(0), Some(1), None],
            &[Some(0)],
            &[Some(1), Some(0), Some(0)],
            &[Some(2), Some(0), Some(1), Some(2), Some(3), Some(3)],
            &[Some(77), Some(0), Some(4), Some(2), Some(3), Some(2)],
        ];
        for parents in parents {
            let facts: Vec<Fact> = parents
                .iter()
                .enumerate()
                .map(|(at, parent)| {
                    let mut fact = fact(at as u64);
                    fact.parent = parent.map(id);
                    fact
                })
                .collect();
            is_downward(&Shape::of(&facts));
        }
    }

    #[test]
    fn a_circle_is_cut_at_its_first_span_by_start_and_id() {
        let mut facts: Vec<Fact> = (0..5).map(fact).collect();
        for (at, parent) in [(0, 1), (1, 2), (2, 3), (3, 1), (4, 0)] {
            facts[at].parent = Some(id(parent));
        }
        facts[2].start = -5;
        let shape = Shape::of(&facts);
        is_downward(&shape);
        let cut: Vec<SpanId> = shape
            .spans
            .iter()
            .filter(|s| s.cut)
            .map(|s| s.fact.span)
            .collect();
        assert_eq!(cut, [id(2)]);
    }
}
