//! `GET /metrics`: what the node counts, in Prometheus' text format.

pub(crate) mod families;
mod process;
mod text;

use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use weir_ingest::wal::FSYNC_BOUNDS_S;
use weir_sinks::lake;

use crate::app::Node;
use crate::app::account::{self, Line};
use crate::app::budgets::Standing;
use crate::app::counters::{ROUTES, RouteCounters, TenantCounters, read};
use crate::app::histogram::Shown;
use crate::app::ledger::Booking;
use crate::cli::logging;
use families::Family;
use text::{Text, float, float_of};

/// Answers a scrape.
pub(crate) async fn scrape(State(node): State<Arc<Node>>) -> Response {
    let mut text = Text::default();
    text.many(
        families::BUILD_INFO,
        [([env!("CARGO_PKG_VERSION").to_owned()], 1.0)],
    );
    requests(&mut text, &node);
    tenants(&mut text, &node);
    door(&mut text, &node);
    balance(&mut text, &node);
    delivery(&mut text, &node);
    ledger(&mut text, &node);
    budgets(&mut text, &node);
    log(&mut text, &node);
    of_process(&mut text, &node);
    let mut response = Response::new(Body::from(text.finish()));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

type Pick = fn(&RouteCounters) -> u64;
type PickTenant = fn(&TenantCounters) -> u64;
type PickLine = fn(&Line) -> u64;
type PickShown = fn(&RouteCounters) -> Shown;

/// The received requests and how they ended, by route.
fn requests(text: &mut Text, node: &Node) {
    let counters = &node.intake.counters;
    // Ends before beginnings: what ends between the two readings then counts as under way.
    let plain: [(Family, Pick); 6] = [
        (families::REQUESTS, |c| read(&c.requests)),
        (families::REQUESTS_FOLDED, |c| read(&c.folded)),
        (families::REQUESTS_ABANDONED, |c| read(&c.abandoned)),
        (families::REQUEST_ROWS, |c| read(&c.rows)),
        (families::REQUEST_REJECTED_ROWS, |c| read(&c.rejected)),
        (families::REQUESTS_RECEIVED, |c| read(&c.received)),
    ];
    let by_route = |pick: Pick| {
        ROUTES.map(|(route, label)| {
            let value = pick(counters.route(route));
            ([label.to_owned()], float(value))
        })
    };
    let refused = ROUTES.iter().flat_map(|(route, label)| {
        let counted = counters.route(*route).refused();
        counted.map(move |(row, count)| ([(*label).to_owned(), row.code.to_owned()], float(count)))
    });
    text.many(families::REQUESTS_REFUSED, summed(refused));
    for (family, pick) in plain {
        text.many(family, by_route(pick));
    }
    let histograms: [(Family, PickShown); 2] = [
        (families::REQUEST_BYTES, |c| c.bytes.shown()),
        (families::ACKNOWLEDGED, |c| c.acknowledged.shown()),
    ];
    for (family, pick) in histograms {
        let of = |(route, label): (_, &str)| ([label.to_owned()], pick(counters.route(route)));
        text.histograms(family, ROUTES.map(of));
    }
}

/// Adds up samples of the same labels: one code may stand for two statuses.
fn summed(samples: impl Iterator<Item = ([String; 2], f64)>) -> Vec<([String; 2], f64)> {
    let mut out: Vec<([String; 2], f64)> = Vec::new();
    for (labels, value) in samples {
        match out.iter_mut().find(|(known, _)| *known == labels) {
            Some((_, sum)) => *sum += value,
            None => out.push((labels, value)),
        }
    }
    out
}

/// What tenants sent, where that may be shown.
fn tenants(text: &mut Text, node: &Node) {
    let all = if node.show_tenants {
        node.intake.counters.tenants.all()
    } else {
        Vec::new()
    };
    let picks: [(Family, PickTenant); 3] = [
        (families::TENANT_REQUESTS, |c| read(&c.requests)),
        (families::TENANT_ROWS, |c| read(&c.rows)),
        (families::TENANT_BYTES, |c| read(&c.bytes)),
    ];
    for (family, pick) in picks {
        let samples = all.iter().map(|(name, c)| ([name.clone()], float(pick(c))));
        text.many(family, samples);
    }
}

/// How budgets stand.
fn budgets(text: &mut Text, node: &Node) {
    let (states, unknown) = node.budgets.all();
    let standing = Standing::ALL.map(|standing| {
        let count = states.iter().filter(|s| s.standing == standing).count();
        ([standing.word().to_owned()], float_of(count))
    });
    let unknown = ([String::from("unknown")], float_of(unknown));
    text.many(families::BUDGETS, standing.into_iter().chain([unknown]));
    let named = states.iter().filter(|_| node.show_tenants).map(|state| {
        let budget = &state.budget;
        let tenant = budget.tenant.as_str().to_owned();
        let name = budget.name.clone().unwrap_or_default();
        ([tenant, budget.scope_name().to_owned(), name], state.used())
    });
    text.many(families::BUDGET_USED, named);
    let commitments = node.budgets.commitments();
    let named = commitments.iter().filter(|_| node.show_tenants);
    let named = named.map(|c| ([c.tenant.as_str().to_owned(), c.name.clone()], c.used()));
    text.many(families::COMMITMENT_USED, named);
}

/// What is not of one route.
fn door(text: &mut Text, node: &Node) {
    let counters = &node.intake.counters;
    text.one(families::UNSTORED, float(read(&counters.unstored)));
    text.one(families::LAST_ARRIVAL, last_arrival(node));
    text.one(families::CONNECTIONS, float(read(&counters.connections)));
    let cuts = counters.cuts.read();
    let cuts = cuts.map(|(cut, count)| ([cut.word().to_owned()], float(count)));
    text.many(families::CONNECTIONS_CUT, cuts);
    let ends = node.certificates.as_ref().and_then(|c| c.ends());
    let ends = ends.and_then(|end| u64::try_from(end).ok());
    let ends: Vec<([String; 0], f64)> = ends.map(|end| ([], float(end))).into_iter().collect();
    text.many(families::CERTIFICATE_END, ends);
    let refused = node.access.meters().refused();
    let refused = refused.map(|(quota, count)| ([quota.to_owned()], float(count)));
    text.many(families::QUOTA_REFUSALS, refused);
    let budget = &node.intake.budget;
    text.one(families::IN_FLIGHT, float_of(budget.used()));
    text.one(families::IN_FLIGHT_LIMIT, float_of(budget.limit()));
    let windows = [
        ("bytes", node.intake.resend_window()),
        ("key", node.intake.key_window()),
    ];
    let kind = |kind: &str| [kind.to_owned()];
    let answers = windows.map(|(name, (answers, _))| (kind(name), float_of(answers)));
    text.many(families::RESENDS, answers);
    let back =
        windows.map(|(name, (_, back_s))| (kind(name), float(u64::try_from(back_s).unwrap_or(0))));
    text.many(families::RESEND_WINDOW, back);
    let (seen, now_s) = (&counters.duplicates, counters.began.seconds());
    text.one(families::DUPLICATES, float(seen.found()));
    text.one(families::DUPLICATE_WINDOW, float(seen.window_s(now_s)));
    text.one(families::QUERIES, float(read(&counters.queries)));
    text.one(
        families::QUERIES_FAILED,
        float(read(&counters.queries_failed)),
    );
}

fn last_arrival(node: &Node) -> f64 {
    let arrived = &node.intake.counters.last_arrival_us;
    let us = arrived.load(std::sync::atomic::Ordering::Relaxed);
    let arrived = u64::try_from(us).ok().filter(|us| *us > 0);
    arrived.map_or_else(|| started(node), |us| float(us) / 1e6)
}

/// The closing account, by dataset and sink.
fn balance(text: &mut Text, node: &Node) {
    let lines = account::of_memory(node);
    let accepted = lines
        .iter()
        .map(|l| ([l.dataset.clone()], float(l.accepted)));
    text.many(families::ACCEPTED, accepted);
    let picks: [(Family, PickLine); 3] = [
        (families::STORED, |l| l.stored),
        (families::SET_ASIDE, |l| l.set_aside),
        (families::PENDING, |l| l.pending),
    ];
    let labels = |line: &Line| [line.sink.clone(), line.dataset.clone()];
    for (family, pick) in picks {
        text.many(family, lines.iter().map(|l| (labels(l), float(pick(l)))));
    }
    let lost = lines.iter().map(|l| ([l.dataset.clone()], float(l.lost)));
    text.many(families::LOST, lost);
    let difference = lines.iter().map(|l| {
        let size = float(l.difference.unsigned_abs());
        let signed = if l.difference < 0 { -size } else { size };
        (labels(l), signed)
    });
    text.many(families::UNACCOUNTED, difference);
}

/// How the delivery to the sink goes.
fn delivery(text: &mut Text, node: &Node) {
    let sink = || lake::NAME.to_owned();
    let lags = node.lags();
    let lag = lags
        .iter()
        .map(|(dataset, age)| ([sink(), dataset.name().to_owned()], age.as_secs_f64()));
    text.many(families::LAG, lag);
    let status = node.delivery.status();
    let of = |pick: fn(&weir_sinks::DatasetStatus) -> u64| {
        let samples = status.datasets.iter();
        samples.map(move |(d, s)| ([sink(), d.name().to_owned()], float(pick(s))))
    };
    text.many(families::ATTEMPTS, of(|s| s.attempts));
    text.many(families::FAILURES, of(|s| s.failures));
    let open = float(u64::from(status.breaker_open));
    text.many(families::BREAKER, [([sink()], open)]);
    text.histograms(families::COMMITS, [([sink()], node.commits.shown())]);
}

/// How the bookings of cost go.
fn ledger(text: &mut Text, node: &Node) {
    let shown = node
        .booking
        .as_ref()
        .map(Booking::shown)
        .unwrap_or_default();
    let all = [
        (families::LEDGER_BOOKING, float(u64::from(shown.booking))),
        (families::LEDGER_LAG, shown.lag.as_secs_f64()),
        (families::LEDGER_LAG_BATCHES, float(shown.lag_batches)),
        (families::LEDGER_ROUNDS, float(shown.rounds)),
        (families::LEDGER_FENCED, float(shown.fenced)),
        (families::LEDGER_SPANS, float(shown.spans)),
        (families::LEDGER_TRACES, float(shown.traces)),
        (families::LEDGER_BOOKINGS, float(shown.bookings)),
        (families::LEDGER_REREAD, float(shown.reread)),
        (families::LEDGER_FAILURES, float(shown.failures)),
        (families::LEDGER_FACTS, float(shown.facts)),
        (families::LEDGER_DISK, float(shown.facts_disk_bytes)),
        (families::LEDGER_MEMORY, float(shown.memory_bytes)),
    ];
    for (family, value) in all {
        text.one(family, value);
    }
}

fn log(text: &mut Text, node: &Node) {
    let log = node.log.status();
    text.one(families::LOG_DISK, float(log.disk_bytes));
    text.one(families::LOG_BUDGET, float(log.budget_bytes));
    text.one(families::LOG_SEGMENTS, float_of(log.segments));
    text.one(families::RECENT, float_of(log.recent_bytes));
    text.one(families::LOG_FULL, float(u64::from(log.full)));
    text.one(families::LOG_BROKEN, float(u64::from(log.broken)));
    let counted = log.counters;
    text.one(families::LOG_FRAMES, float(counted.frames));
    text.one(families::LOG_BYTES, float(counted.bytes));
    let mut count = 0;
    let upto = FSYNC_BOUNDS_S.iter().zip(counted.fsyncs).map(|(bound, n)| {
        count += n;
        (*bound, count)
    });
    let fsyncs = Shown {
        upto: upto.collect(),
        count: counted.fsyncs.iter().sum(),
        sum: counted.fsync_seconds,
    };
    text.histograms(families::LOG_FSYNC, [([], fsyncs)]);
    text.one(families::LOG_ENCODE, counted.encode_seconds);
    text.one(families::LOG_REFUSED, float(counted.refused_full));
    let lines = logging::counted();
    let lines = lines.map(|(level, count)| ([level.to_owned()], float(count)));
    text.many(families::LOG_LINES, lines);
}

fn of_process(text: &mut Text, node: &Node) {
    let mut maybe = |family: Family, value: Option<f64>| {
        let samples: Vec<([String; 0], f64)> = value.map(|v| ([], v)).into_iter().collect();
        text.many(family, samples);
    };
    let free = process::free_bytes(&node.data_dir);
    maybe(families::DISK_FREE, free.map(float));
    maybe(families::CPU, process::cpu_seconds());
    maybe(families::RESIDENT, process::resident_bytes().map(float));
    maybe(families::OPEN_FDS, process::open_fds().map(float_of));
    maybe(families::STARTED, Some(started(node)));
}

/// When the node started, in seconds since the epoch; the same in every scrape.
#[expect(
    clippy::disallowed_methods,
    reason = "what the system calls now, beside the system's own scrape times"
)]
fn started(node: &Node) -> f64 {
    static STARTED: OnceLock<f64> = OnceLock::new();
    *STARTED.get_or_init(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.unwrap_or_default().as_secs_f64() - node.uptime().as_secs_f64()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_made_from_the_table() {
        crate::document::compare("docs/metrics.md", &families::page());
    }

    #[test]
    fn names_say_kind_and_unit() {
        for family in families::FAMILIES {
            let total = family.name.ends_with("_total");
            assert_eq!(
                total,
                family.kind == families::Kind::Counter,
                "{}",
                family.name
            );
            assert!(!family.help.ends_with('.'), "{}", family.name);
        }
    }
}
