//! One span's slots, while its attributes are being read.

use std::borrow::Cow;

use crate::field::{COUNT, Field, Kind};
use crate::keys::Feed;
use crate::mapping::Mapping;
use crate::{money, scalar};

/// The rank of a slot that nothing has filled; sources rank below 250.
const EMPTY: u8 = u8::MAX;

/// Which families of keys a span has; they tell its dialect.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Families {
    pub(crate) gen_ai: bool,
    pub(crate) traceloop: bool,
    pub(crate) langfuse: bool,
    pub(crate) vercel: bool,
}

impl Families {
    /// Notes the family that `key` belongs to.
    pub(crate) fn note(&mut self, key: &[u8]) {
        self.gen_ai |= key.starts_with(b"gen_ai.");
        self.traceloop |= key.starts_with(b"traceloop.");
        self.langfuse |= key.starts_with(b"langfuse.observation.");
        self.vercel |= key.starts_with(b"ai.");
    }
}

/// The slots of one span.
///
/// A slot holds what its best source so far offered. Values outlive [`Row::clear`]: only the ranks
/// say which slots mean anything.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    /// Slots in the order in which they were first filled; some may have been emptied since.
    order: [Field; COUNT],
    count: usize,
    /// What each slot was filled by; the highest rank where nothing did.
    ranks: [u8; COUNT],
    texts: [&'a str; COUNT],
    /// Texts that no attribute holds as they are; they count before those in `texts`.
    owned: Vec<(Field, String)>,
    numbers: [i64; COUNT],
    seconds: f64,
    reported: i128,
    /// JSON attributes: which, and their text.
    pub(crate) hosts: Vec<(u8, &'a str)>,
    pub(crate) families: Families,
    /// Whether a slot may be filled that rules read.
    pub(crate) for_rules: bool,
}

impl<'a> Row<'a> {
    /// No slot filled.
    pub(crate) fn new() -> Self {
        Self {
            order: [Field::OpName; COUNT],
            count: 0,
            ranks: [EMPTY; COUNT],
            texts: [""; COUNT],
            owned: Vec::new(),
            numbers: [0; COUNT],
            seconds: 0.0,
            reported: 0,
            hosts: Vec::new(),
            families: Families::default(),
            for_rules: false,
        }
    }

    /// Empties all slots.
    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.ranks = [EMPTY; COUNT];
        if !self.owned.is_empty() {
            self.owned.clear();
        }
        self.hosts.clear();
        self.families = Families::default();
        self.for_rules = false;
    }

    /// Fills a slot from one of its sources, unless a better one has, or the value is none.
    ///
    /// `double` says whether the sender marked the value as a double; it is asked only where the
    /// text leaves it open.
    #[inline]
    pub(crate) fn offer(
        &mut self,
        feed: Feed,
        value: &'a str,
        mapping: &Mapping,
        double: impl FnOnce() -> bool,
    ) {
        if feed.rank >= self.rank(feed.field) || mapping.absent.is(value) {
            return;
        }
        if matches!(feed.kind, Kind::Text | Kind::Texts) {
            *slot(&mut self.texts, feed.field) = value;
            if !self.owned.is_empty() {
                self.owned.retain(|(field, _)| *field != feed.field);
            }
            self.fill(feed.field, feed.rank);
        } else {
            self.offer_parsed(feed, value, double);
        }
    }

    /// As [`Row::offer`], of a value that was made for the slot.
    pub(crate) fn offer_owned(
        &mut self,
        feed: Feed,
        value: Cow<'a, str>,
        mapping: &Mapping,
        double: impl FnOnce() -> bool,
    ) {
        let value = match value {
            Cow::Borrowed(value) => return self.offer(feed, value, mapping, double),
            Cow::Owned(value) => value,
        };
        if feed.rank >= self.rank(feed.field) || mapping.absent.is(&value) {
            return;
        }
        if matches!(feed.kind, Kind::Text | Kind::Texts) {
            self.owned.retain(|(field, _)| *field != feed.field);
            self.owned.push((feed.field, value));
            self.fill(feed.field, feed.rank);
        } else {
            self.offer_parsed(feed, &value, double);
        }
    }

    fn offer_parsed(&mut self, feed: Feed, value: &str, double: impl FnOnce() -> bool) {
        let field = feed.field;
        let taken = match feed.kind {
            Kind::Text | Kind::Texts => false,
            Kind::Int => self.set_number(field, scalar::count(value, double)),
            Kind::Bool => self.set_number(field, scalar::truth(value).map(i64::from)),
            Kind::Double => scalar::double(value).map(|s| self.seconds = s).is_some(),
            Kind::Money => money::parse(value).map(|m| self.reported = m).is_some(),
        };
        if taken {
            self.fill(field, feed.rank);
        }
    }

    /// As [`Row::offer`], of a value in thousandths.
    pub(crate) fn offer_per_mille(&mut self, field: Field, rank: u8, value: &str) {
        if let Some(number) = scalar::double(value).filter(|_| rank < self.rank(field)) {
            self.seconds = number / 1000.0;
            self.fill(field, rank);
        }
    }

    /// As [`Row::offer`], of an amount that a rule has added up.
    pub(crate) fn offer_money(&mut self, rank: u8, amount: i128) {
        if rank < self.rank(Field::CostReported) {
            self.reported = amount;
            self.fill(Field::CostReported, rank);
        }
    }

    /// As [`Row::offer`], of seconds that a rule has worked out.
    pub(crate) fn offer_seconds(&mut self, rank: u8, seconds: f64) {
        if rank < self.rank(Field::TtftS) {
            self.seconds = seconds;
            self.fill(Field::TtftS, rank);
        }
    }

    #[inline]
    fn fill(&mut self, field: Field, rank: u8) {
        let held = slot(&mut self.ranks, field);
        let is_new = *held == EMPTY;
        *held = rank;
        if is_new && let Some(place) = self.order.get_mut(self.count) {
            *place = field;
            self.count += 1;
        }
    }

    /// The slots that are filled, in the order in which they were.
    #[inline]
    pub(crate) fn filled(&self) -> impl Iterator<Item = Field> + '_ {
        let order = self.order.iter().take(self.count).copied();
        order.filter(|field| self.has(*field))
    }

    fn set_number(&mut self, field: Field, number: Option<i64>) -> bool {
        number
            .map(|n| *slot(&mut self.numbers, field) = n)
            .is_some()
    }

    /// The rank of what fills `field`; the highest there is where nothing does.
    #[inline]
    pub(crate) fn rank(&self, field: Field) -> u8 {
        self.ranks.get(field as usize).copied().unwrap_or(EMPTY)
    }

    /// Whether something fills `field`.
    #[inline]
    pub(crate) fn has(&self, field: Field) -> bool {
        self.rank(field) != EMPTY
    }

    /// The text in `field`.
    #[inline]
    pub(crate) fn text(&self, field: Field) -> Option<&str> {
        if !self.has(field) {
            return None;
        }
        if !self.owned.is_empty()
            && let Some((_, text)) = self.owned.iter().find(|(of, _)| *of == field)
        {
            return Some(text);
        }
        self.texts.get(field as usize).copied()
    }

    /// The integer or truth value in `field`.
    #[inline]
    pub(crate) fn number(&self, field: Field) -> Option<i64> {
        let number = self.numbers.get(field as usize).copied();
        number.filter(|_| self.has(field))
    }

    /// Seconds to the first piece of the answer.
    pub(crate) fn seconds(&self) -> Option<f64> {
        self.has(Field::TtftS).then_some(self.seconds)
    }

    /// The cost as reported, in 10^-12 dollars.
    pub(crate) fn reported(&self) -> Option<i128> {
        self.has(Field::CostReported).then_some(self.reported)
    }

    /// Puts a number that a rule has corrected.
    pub(crate) fn put(&mut self, field: Field, number: i64) {
        *slot(&mut self.numbers, field) = number;
    }

    /// Empties these slots.
    pub(crate) fn drop_all(&mut self, fields: &[Field]) {
        for field in fields {
            *slot(&mut self.ranks, *field) = EMPTY;
        }
    }
}

#[inline]
#[expect(
    clippy::indexing_slicing,
    reason = "the arrays have a place for every field, by its number"
)]
fn slot<T>(slots: &mut [T; COUNT], field: Field) -> &mut T {
    &mut slots[field as usize]
}
