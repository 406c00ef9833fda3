//! The comparison of bookings with the truth.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use prost::Message as _;
use weir_ingest::decode::otlp::{OtlpEncoding, decode_traces};
use weir_ingest::decode::{Acceptance, Limits};
use weir_model::TenantId;
use weir_traffic::{Call, Content, Settings, Totals, Traffic, Window};
use weir_transforms::trace::{
    Booking, Fact, Shared, Sign, SpanId, TraceId, UsageCount, book, difference,
};
use weir_transforms::{Enricher, Tariff};

/// How many spans the quick tier checks.
pub(crate) const SPANS_QUICK: u64 = 100_000;

/// 2026-11-20T00:00:00Z.
const START: u64 = 1_795_132_800_000_000_000;

/// What turns requests into bookings.
struct Pipeline {
    enricher: Enricher,
    prices: Tariff,
    shared: Shared,
    seen: Seen,
}

/// The facts of a trace, and what is booked of it so far.
#[derive(Default)]
struct Kept {
    facts: Vec<Fact>,
    booked: Vec<Booking>,
}

impl Pipeline {
    /// Decodes and enriches a request; its facts by trace.
    fn facts(&mut self, body: &[u8], received_at_us: i64) -> Vec<(TraceId, Fact)> {
        let at = Acceptance {
            tenant: TenantId::local(),
            received_at_us,
        };
        let decoded = decode_traces(body, OtlpEncoding::Protobuf, &at, &Limits::default()).unwrap();
        assert_eq!(decoded.rejected_count, 0);
        let rows = self.enricher.enrich_spans(decoded.rows).unwrap();
        let facts = Fact::read(&rows, &mut self.shared).unwrap();
        facts.map(|(_, trace, fact)| (trace, fact)).collect()
    }

    /// Takes a window request by request. Every trace of an even number is booked anew with each
    /// request that touches it, and the differences are summed up; the others at the end.
    fn run(&mut self, window: &Window) -> HashMap<(u128, u64), Booking> {
        let mut traces: HashMap<TraceId, Kept> = HashMap::new();
        let mut signed: HashMap<(TraceId, Booking), i32> = HashMap::new();
        for (at, request) in window.requests.iter().enumerate() {
            let received = i64::try_from(START / 1000).unwrap() + i64::try_from(at).unwrap();
            let mut touched = Vec::new();
            for (trace, fact) in self.facts(&request.body.encode_to_vec(), received) {
                traces.entry(trace).or_default().facts.push(fact);
                touched.push(trace);
            }
            touched.sort_unstable();
            touched.dedup();
            for trace in touched {
                let kept = traces.get_mut(&trace).unwrap();
                let small = kept.facts.len() < 200;
                if small && trace.0 / 2 % 2 == 0 {
                    self.seen.corrected += settle(trace, kept, &self.prices, &mut signed);
                }
            }
        }
        for (trace, kept) in &mut traces {
            self.seen.corrected += settle(*trace, kept, &self.prices, &mut signed);
            let spans: HashSet<SpanId> = kept.facts.iter().map(|f| f.span).collect();
            self.seen.copies += (kept.facts.len() - spans.len()) as u64;
            let orphans = kept.facts.iter().filter_map(|f| f.parent);
            self.seen.orphans += orphans.filter(|p| !spans.contains(p)).count() as u64;
        }
        let booked = signed.into_iter().filter(|(_, sign)| *sign != 0);
        let booked = booked.map(|((trace, booking), sign)| {
            assert_eq!(sign, 1);
            ((trace.0, booking.span.0), booking)
        });
        booked.collect()
    }
}

/// Books what is new; how much was taken back for it.
fn settle(
    trace: TraceId,
    kept: &mut Kept,
    prices: &Tariff,
    signed: &mut HashMap<(TraceId, Booking), i32>,
) -> u64 {
    let after = book(&kept.facts, prices);
    let mut taken_back = 0;
    for (sign, booking) in difference(&kept.booked, &after) {
        *signed.entry((trace, booking)).or_default() += match sign {
            Sign::Plus => 1,
            Sign::Minus => {
                taken_back += 1;
                -1
            }
        };
    }
    kept.booked = after;
    taken_back
}

/// A booking in the words of the truth.
fn as_call(trace: u128, booking: &Booking) -> Call {
    let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
    let count = |which| booking.usage.get(which);
    let used = booking.usage.is_used();
    let tokens = used.then(|| weir_traffic::catalog::Tokens {
        input: count(UsageCount::Input).unwrap_or_default(),
        cache_read: count(UsageCount::CacheRead).unwrap_or_default(),
        cache_write: count(UsageCount::CacheWrite).unwrap_or_default(),
        output: count(UsageCount::Output).unwrap_or_default(),
        reasoning: count(UsageCount::Reasoning).unwrap_or_default(),
    });
    Call {
        trace,
        span: booking.span.0,
        skill: text(&booking.skill),
        attribution: booking.attribution.name(),
        agent: text(&booking.agent_name),
        user: text(&booking.user_id),
        session: text(&booking.session_id),
        cost_center: text(&booking.cost_center),
        model: text(&booking.model),
        tokens,
        reported: booking.reported,
        computed: booking.computed,
        status: booking.status.name(),
        failed: booking.error_type.is_some(),
    }
}

/// What must have occurred for a check to say anything.
#[derive(Debug, Default)]
struct Seen {
    /// Bookings that another span reports too.
    twins: u64,
    /// Spans whose parent never came.
    orphans: u64,
    /// Spans that came again.
    copies: u64,
    /// Bookings that were taken back since something came late.
    corrected: u64,
    statuses: BTreeMap<&'static str, u64>,
    attributions: BTreeMap<&'static str, u64>,
}

impl Seen {
    fn check(&self, calls: i64) {
        let calls = u64::try_from(calls).unwrap();
        assert!(self.twins * 50 > calls, "{self:?}");
        assert!(self.orphans * 10_000 > calls, "{self:?}");
        assert!(self.copies * 1_000 > calls, "{self:?}");
        assert!(self.corrected * 100 > calls, "{self:?}");
        let statuses = [
            "computed",
            "invalid_usage",
            "no_usage",
            "reported",
            "unpriced",
        ];
        assert!(self.statuses.keys().eq(&statuses), "{self:?}");
        let attributions = ["ancestor", "last_loaded", "metadata", "none", "resource"];
        assert!(self.attributions.keys().eq(&attributions), "{self:?}");
    }
}

/// Checks at least `spans` spans: every call by itself, and the sums.
pub(crate) fn check(seed: u64, spans: u64, content: Content) {
    let settings = Settings {
        seed,
        tenants: 20,
        spans,
        content,
        start_unix_nano: START,
    };
    let mut pipeline = Pipeline {
        enricher: Enricher::standard().unwrap(),
        prices: Tariff::standard().unwrap(),
        shared: Shared::default(),
        seen: Seen::default(),
    };
    let (mut truth, mut ours) = (Totals::default(), Totals::default());
    let mut wrong = Vec::new();
    for window in Traffic::new(settings) {
        truth.spans += window.spans;
        let mut booked = pipeline.run(&window);
        for call in &window.calls {
            truth.add(&window.tenant, call);
            let seen = &mut pipeline.seen;
            *seen.statuses.entry(call.status).or_default() += 1;
            *seen.attributions.entry(call.attribution).or_default() += 1;
            let Some(booking) = booked.remove(&(call.trace, call.span)) else {
                wrong.push(format!("not booked: {call:?}"));
                continue;
            };
            pipeline.seen.twins += u64::from(booking.flags.twin_merged);
            assert!(!booking.flags.conflict && !booking.flags.cycle);
            let cost = booking.cost;
            let booked = as_call(call.trace, &booking);
            if booked != *call || cost != call.cost() {
                wrong.push(format!(
                    "booked {booked:?}\n  true {call:?}\n{:?} {:?} {:?}",
                    booking.kind, booking.provider, booking.price_ref
                ));
            }
            ours.add(&window.tenant, &booked);
        }
        wrong.extend(
            booked
                .values()
                .map(|booking| format!("booked twice: {booking:?}")),
        );
        assert!(
            wrong.is_empty(),
            "{} of {}:\n{}",
            wrong.len(),
            truth.all.calls,
            wrong[..wrong.len().min(5)].join("\n")
        );
    }
    assert_eq!(ours.all, truth.all);
    assert_eq!(ours.groups, truth.groups);
    assert!(truth.spans >= spans);
    if spans >= SPANS_QUICK {
        pipeline.seen.check(truth.all.calls);
    }
}
