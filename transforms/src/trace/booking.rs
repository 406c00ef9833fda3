//! A booking: one call that is billed, with all that follows from its trace.

use std::sync::Arc;

use super::fact::{ContentKey, SpanId, Usage};
use super::names::{OpKind, words};

words! {
    /// How a call came by its skill.
    Attribution {
        /// Its own attribute.
        Direct = 1 "direct",
        /// Its own metadata.
        Metadata = 2 "metadata",
        /// Its own arguments.
        ToolArgs = 3 "tool_args",
        /// Its resource.
        Resource = 4 "resource",
        /// Its nearest ancestor that names one.
        Ancestor = 5 "ancestor",
        /// The one that was loaded last under the same agent.
        LastLoaded = 6 "last_loaded",
        /// It has none.
        None = 7 "none",
    }
}

words! {
    /// How a cost came about.
    CostStatus {
        /// By the price list.
        Computed = 1 "computed",
        /// By the sender's word.
        Reported = 2 "reported",
        /// The call says nothing of its usage.
        NoUsage = 3 "no_usage",
        /// What it says of its usage cannot be.
        InvalidUsage = 4 "invalid_usage",
        /// The list has no price for it.
        Unpriced = 5 "unpriced",
    }
}

impl Default for CostStatus {
    fn default() -> Self {
        Self::NoUsage
    }
}

/// What a report should know of a booking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BookingFlags {
    /// Different spans came under this id; the one with the smallest content key is booked.
    pub conflict: bool,
    /// Another span reports the same call.
    pub twin_merged: bool,
    /// An ancestor, or the span itself, was its own ancestor.
    pub cycle: bool,
}

impl BookingFlags {
    /// The flags as words, in the order of the schema's documentation.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        [
            (self.conflict, "conflict"),
            (self.twin_merged, "twin_merged"),
            (self.cycle, "cycle"),
        ]
        .into_iter()
        .filter_map(|(set, word)| set.then_some(word))
    }
}

/// One call that is billed: the columns of the cost ledger that follow from its trace alone.
///
/// The trace's id and tenant, which are the caller's, and what belongs to the act of booking
/// (`booking_id`, `sign`, `source`, `booked_at`) are not here. The order is that of start and span.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Booking {
    /// Start in nanoseconds since 1970 UTC; `event_time` is this, cut to microseconds.
    pub start: i64,
    /// The span that is billed.
    pub span: SpanId,
    /// Which of several copies of it.
    pub content_key: ContentKey,
    /// End minus start in nanoseconds; `None` where there is no end or it lies before the start.
    pub duration_nanos: Option<i64>,
    /// What kind of call.
    pub kind: OpKind,
    /// The skill; `None` where unattributed.
    pub skill: Option<Arc<str>>,
    /// Its version, where the span that names the skill says it.
    pub skill_version: Option<Arc<str>>,
    /// How the call came by it.
    pub attribution: Attribution,
    /// The agent.
    pub agent_name: Option<Arc<str>>,
    /// Its id.
    pub agent_id: Option<Arc<str>>,
    /// The provider.
    pub provider: Option<Arc<str>>,
    /// The model that answered, else the one asked for.
    pub model: Option<Arc<str>>,
    /// The session.
    pub session_id: Option<Arc<str>>,
    /// The user.
    pub user_id: Option<Arc<str>>,
    /// The team.
    pub team_id: Option<Arc<str>>,
    /// The project.
    pub project: Option<Arc<str>>,
    /// The cost centre.
    pub cost_center: Option<Arc<str>>,
    /// The workflow.
    pub workflow_name: Option<Arc<str>>,
    /// The environment.
    pub environment: Option<Arc<str>>,
    /// What it used.
    pub usage: Usage,
    /// The sender's word, in 10^-12 US dollars.
    pub reported: Option<i128>,
    /// Usage at list price, in 10^-12 US dollars.
    pub computed: Option<i128>,
    /// The one to use, in 10^-12 US dollars.
    pub cost: Option<i128>,
    /// How it came about.
    pub status: CostStatus,
    /// Reported and computed differ by more than 2 %; `None` where there are not both.
    pub disagrees: Option<bool>,
    /// The price list and entry.
    pub price_ref: Option<Arc<str>>,
    /// What went wrong.
    pub error_type: Option<Arc<str>>,
    /// What a report should know.
    pub flags: BookingFlags,
}

/// Whether a booking is made or taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sign {
    /// Takes back what was booked before.
    Minus,
    /// Books.
    Plus,
}

impl Sign {
    /// The number that the column `sign` holds.
    pub const fn number(self) -> i32 {
        match self {
            Self::Minus => -1,
            Self::Plus => 1,
        }
    }
}

/// What makes `after` of `before`: bookings to take back and to make, in the order of start and span,
/// a span's old booking before its new one. What is in both is in neither.
pub fn difference(before: &[Booking], after: &[Booking]) -> Vec<(Sign, Booking)> {
    let sorted = |bookings: &'_ [Booking]| {
        let mut order: Vec<usize> = (0..bookings.len()).collect();
        order.sort_by_key(|at| bookings.get(*at));
        order
    };
    let (mut old, mut new) = (
        sorted(before)
            .into_iter()
            .filter_map(|at| before.get(at))
            .peekable(),
        sorted(after)
            .into_iter()
            .filter_map(|at| after.get(at))
            .peekable(),
    );
    let mut changes = Vec::new();
    loop {
        let order = match (old.peek(), new.peek()) {
            (Some(a), Some(b)) => a.cmp(b),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => break,
        };
        match order {
            std::cmp::Ordering::Less => {
                changes.extend(old.next().map(|b| (Sign::Minus, b.clone())))
            }
            std::cmp::Ordering::Greater => {
                changes.extend(new.next().map(|b| (Sign::Plus, b.clone())));
            }
            std::cmp::Ordering::Equal => {
                old.next();
                new.next();
            }
        }
    }
    changes.sort_by(|(a, x), (b, y)| (x.start, x.span, a, x).cmp(&(y.start, y.span, b, y)));
    changes
}
