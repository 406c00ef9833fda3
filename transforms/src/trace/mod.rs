//! What a trace costs: which of its spans are billed, as which calls, and for which skill.
//!
//! ```text
//! rows of spans --Fact::read--> facts --book--> bookings --difference--> what the ledger appends
//!                                 |
//!                                 '--explain--> the same, with the reason for everything
//! ```
//!
//! [`book`] is a function of the *set* of facts that are known of one trace of one tenant. Spans come
//! in any order, over many requests, some never; so it is called again whenever a span has come, and
//! [`difference`] says what has to be corrected. The rules, by the names that explanations use:
//!
//! * B0: a span books once, whoever sent it how often. Of several copies the smallest content key
//!   wins; copies that differ are a conflict, which the booking says.
//! * B1: only model calls (`llm`, `embedding`, `rerank`) are billed. B4: fetching an answer is none.
//! * B2: a call whose nearest ancestor that is not `other` is a call of the same kind is that call's
//!   transport. B3: calls with the same response id that overlap in time are one; the earlier keeps
//!   the bill. What the billed span lacks is filled from its twins, in the order of start and span
//!   id; then the rules of usage hold again, and the call is priced again.
//! * C1: agent, session, conversation, user, workflow, team, cost centre and project come from the
//!   nearest ancestor that has them, at most 512 up.
//! * K1, K2: a skill that the span itself names. K3: the nearest ancestor's. K4: that of the latest
//!   tool span under the same agent that had ended when the call began. K5: none.
//!
//! # Invariants
//!
//! * Any permutation of the facts, and any fact given twice, gives the same bookings.
//! * Time and memory grow with the number of spans times its logarithm, whatever the shape: a chain,
//!   a star, a circle of parents.
//! * A circle of parents is cut at its first span by start and id, which so becomes a root; bookings
//!   below say so. No span is lost by it.

mod attribute;
mod bill;
mod book;
mod booking;
mod charge;
mod codec;
mod fact;
mod names;
mod read;
mod shape;
#[cfg(test)]
mod testing;
mod why;

pub use book::book;
pub use booking::{Attribution, Booking, BookingFlags, CostStatus, Sign, difference};
pub use codec::DecodeError;
pub use fact::{ContentKey, SpanId, TraceId, Usage, UsageCount};
pub use fact::{Context, Fact, Inherited, ModelCall, Shared, Skill, SkillSource, ToolRole};
pub use names::OpKind;
pub use read::Facts;
pub use why::{Explanation, Filled, From, Gap, Verdict, Why, explain};
