//! Made traffic of agents, and the truth about what it costs.
//!
//! ```text
//! seed, tenant, number --> a story: who calls which model, for which skill
//!                             |                              |
//!                     spans in a dialect's words        what is true of each call
//!                             |                              |
//!              requests: split, late, resent            totals by skill
//! ```
//!
//! What a pipeline makes of the requests can be compared with the truth to the last digit. The truth
//! comes from the story alone: from what an agent knows when it calls a model, and from prices that
//! are stated in [`catalog`]. No span is ever read back for it, so that a rule that is wrong in the
//! pipeline is not wrong here alike.
//!
//! Shares and distributions are those of a stated workload: nine dialects, five kinds of traces,
//! twins nested and beside each other, sums repeated on agents and steps, skills by attribute,
//! arguments, metadata and resource, retries, calls without usage or with nonsense, cost reported by
//! the sender, parents that come late or never, traces split over requests, requests and spans sent
//! twice, and conversations recorded everywhere, nowhere or by some. Audit records, security events
//! and bodies that are refused are not made.
//!
//! # Invariants
//!
//! * The same settings give the same traffic, byte for byte, on one kind of machine; each tenant and
//!   each trace draws from a stream of its own.
//! * A [`Window`] holds whole traces: all that is ever sent of them.
//! * What is true is decided by what is sent: where a parent never comes, what only it would have
//!   told is not known.

mod calls;
pub mod catalog;
mod dialect;
mod draft;
mod random;
mod story;
mod tenant;
mod text;
mod truth;
mod wire;

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

pub use truth::{Attribution, Call, Group, Sums, Totals};

use crate::random::Stream;
use crate::story::Story;
use crate::tenant::Tenant;
use crate::wire::Schedule;

/// Traces of one tenant that are made and mixed together.
const WINDOW_TRACES: u64 = 24;

/// Who records conversations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// Nobody.
    #[default]
    Off,
    /// Every service.
    On,
    /// Three services in ten.
    Mixed,
}

/// What to make.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Other seeds give other traffic.
    pub seed: u64,
    /// How many tenants send; the first sends most.
    pub tenants: u32,
    /// How many spans at least; the last window is made whole.
    pub spans: u64,
    /// Who records conversations.
    pub content: Content,
    /// When it begins, in nanoseconds since 1970 UTC; all takes place within the day after.
    pub start_unix_nano: u64,
}

/// A request as a service or a collector sends it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whose it is.
    pub tenant: String,
    /// What is sent.
    pub body: ExportTraceServiceRequest,
    /// How many spans it has.
    pub spans: u64,
}

/// Some traces of one tenant, whole.
#[derive(Clone, Debug)]
pub struct Window {
    /// Whose they are.
    pub tenant: String,
    /// In the order in which they are sent.
    pub requests: Vec<Request>,
    /// The calls to be booked.
    pub calls: Vec<Call>,
    /// Spans, copies not counted.
    pub spans: u64,
    /// Traces.
    pub traces: u64,
}

/// The traffic, window by window.
#[derive(Debug)]
pub struct Traffic {
    settings: Settings,
    tenants: BTreeMap<u64, (Tenant, u64)>,
    windows: u64,
    made: u64,
}

impl Traffic {
    /// All the traffic that `settings` describe.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            tenants: BTreeMap::new(),
            windows: 0,
            made: 0,
        }
    }
}

impl Iterator for Traffic {
    type Item = Window;

    fn next(&mut self) -> Option<Window> {
        let Settings {
            seed,
            tenants,
            spans,
            content,
            ..
        } = self.settings;
        if self.made >= spans {
            return None;
        }
        let mut stream = Stream::of(&[seed, self.windows, 2]);
        self.windows += 1;
        let number = stream.popular(usize::try_from(tenants).unwrap_or(1));
        let number = u64::try_from(number).unwrap_or_default();
        let share = match content {
            Content::Off => 0.0,
            Content::On => 1.0,
            Content::Mixed => 0.3,
        };
        let (tenant, begun) = self
            .tenants
            .entry(number)
            .or_insert_with(|| (Tenant::of(seed, number, share), 0));
        let first = *begun;
        *begun += WINDOW_TRACES;
        let window = window(&self.settings, tenant, (number, first), &mut stream);
        self.made += window.spans;
        Some(window)
    }
}

/// Traces `first` and following of tenant number `number`.
fn window(
    settings: &Settings,
    tenant: &Tenant,
    (number, first): (u64, u64),
    stream: &mut Stream,
) -> Window {
    let mut schedule = Schedule::new();
    let mut calls = Vec::new();
    for index in first..first + WINDOW_TRACES {
        let mut own = Stream::of(&[settings.seed, number, index, 3]);
        let place = own.popular(tenant.services.len());
        let Some(service) = tenant.services.get(place) else {
            continue;
        };
        let within = u64::try_from(own.below(86_400_000)).unwrap_or_default() * story::MILLI;
        let now = settings.start_unix_nano + within;
        let mut packing = own.clone();
        let story = Story::tell(tenant, service, own, now);
        packing.bits();
        schedule.add(&story.drafts, story.trace, (place, service), &mut packing);
        calls.extend(story.calls);
    }
    let spans = schedule.spans;
    let packed = schedule.pack(&tenant.services, stream);
    let requests = packed.into_iter().map(|packed| Request {
        tenant: tenant.name.clone(),
        body: packed.body,
        spans: packed.spans,
    });
    Window {
        tenant: tenant.name.clone(),
        requests: requests.collect(),
        calls,
        spans,
        traces: WINDOW_TRACES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;

    fn settings(content: Content) -> Settings {
        Settings {
            seed: 11,
            tenants: 20,
            spans: 20_000,
            content,
            start_unix_nano: 1_795_132_800_000_000_000,
        }
    }

    #[test]
    fn the_same_settings_give_the_same_bytes() {
        let all = || {
            let windows = Traffic::new(settings(Content::Mixed)).take(12);
            windows
                .flat_map(|w| w.requests)
                .map(|r| (r.tenant, r.body.encode_to_vec()))
                .collect::<Vec<_>>()
        };
        assert_eq!(all(), all());
    }

    #[test]
    fn the_shares_are_about_those_of_the_stated_workload() {
        let mut totals = Totals::default();
        let (mut bytes, mut tenants) = (0, BTreeMap::new());
        for window in Traffic::new(settings(Content::Off)) {
            totals.spans += window.spans;
            totals.traces += window.traces;
            *tenants.entry(window.tenant.clone()).or_insert(0) += window.spans;
            for request in &window.requests {
                totals.sent += request.spans;
                bytes += request.body.encoded_len();
            }
            window
                .calls
                .iter()
                .for_each(|call| totals.add(&window.tenant, call));
        }
        let each = bytes / usize::try_from(totals.sent).unwrap();
        assert!((300..900).contains(&each), "{each} bytes a span");
        let a_trace = totals.spans / totals.traces;
        assert!((8..60).contains(&a_trace), "{a_trace} spans a trace");
        assert!(totals.sent > totals.spans, "nothing was sent twice");
        assert!(tenants.len() > 5, "{tenants:?}");
        let calls = totals.all.calls;
        assert!(totals.all.unpriced * 100 / calls < 12);
        assert!(totals.all.errors * 100 / calls < 8);
        let attributions: std::collections::BTreeSet<&str> =
            totals.groups.keys().map(|group| group.2).collect();
        let expected = ["ancestor", "last_loaded", "metadata", "none", "resource"];
        assert!(attributions.iter().eq(&expected), "{attributions:?}");
    }

    #[test]
    fn recorded_conversations_make_spans_large() {
        let large = |content| {
            let window = Traffic::new(settings(content)).next().unwrap();
            window
                .requests
                .iter()
                .map(|r| r.body.encoded_len())
                .sum::<usize>()
        };
        assert!(large(Content::On) > 5 * large(Content::Off));
    }
}
