//! The comparison of bookings with the truth.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use prost::Message as _;
use weir_ingest::decode::otlp::{OtlpEncoding, decode_traces};
use weir_ingest::decode::{Acceptance, Limits};
use weir_model::TenantId;
use weir_traffic::{Call, Content, Settings, Totals, Traffic, Window};
use weir_transforms::trace::{Booking, Fact, Shared, Sign, TraceId, UsageCount, book, difference};
use weir_transforms::{Enricher, PriceList};

/// How many spans the quick tier checks.
pub(crate) const SPANS_QUICK: u64 = 100_000;

/// 2026-11-20T00:00:00Z.
const START: u64 = 1_795_132_800_000_000_000;

/// What turns requests into bookings.
struct Pipeline {
    enricher: Enricher,
    prices: PriceList,
    shared: Shared,
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
                    settle(trace, kept, &self.prices, &mut signed);
                }
            }
        }
        for (trace, kept) in &mut traces {
            settle(*trace, kept, &self.prices, &mut signed);
        }
        let booked = signed.into_iter().filter(|(_, sign)| *sign != 0);
        let booked = booked.map(|((trace, booking), sign)| {
            assert_eq!(sign, 1);
            ((trace.0, booking.span.0), booking)
        });
        booked.collect()
    }
}

fn settle(
    trace: TraceId,
    kept: &mut Kept,
    prices: &PriceList,
    signed: &mut HashMap<(TraceId, Booking), i32>,
) {
    let after = book(&kept.facts, prices);
    for (sign, booking) in difference(&kept.booked, &after) {
        *signed.entry((trace, booking)).or_default() += match sign {
            Sign::Plus => 1,
            Sign::Minus => -1,
        };
    }
    kept.booked = after;
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
        prices: PriceList::standard().unwrap(),
        shared: Shared::default(),
    };
    let (mut truth, mut ours) = (Totals::default(), Totals::default());
    let (mut twins, mut wrong) = (0, Vec::new());
    let mut statuses: BTreeMap<&str, u64> = BTreeMap::new();
    for window in Traffic::new(settings) {
        truth.spans += window.spans;
        let mut booked = pipeline.run(&window);
        for call in &window.calls {
            truth.add(&window.tenant, call);
            *statuses.entry(call.status).or_default() += 1;
            let Some(booking) = booked.remove(&(call.trace, call.span)) else {
                wrong.push(format!("not booked: {call:?}"));
                continue;
            };
            twins += u64::from(booking.flags.twin_merged);
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
        assert!(
            twins * 50 > u64::try_from(truth.all.calls).unwrap(),
            "{twins} twins"
        );
        let all = [
            "computed",
            "invalid_usage",
            "no_usage",
            "reported",
            "unpriced",
        ];
        assert!(statuses.keys().eq(&all), "{statuses:?}");
    }
}
