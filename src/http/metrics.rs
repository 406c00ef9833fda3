//! `GET /metrics`: counters in Prometheus' text format.
//!
//! Names are `weir_<noun>_<unit>[_total]`. A tenant is never a label.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::Response;

use crate::app::Node;
use crate::app::account;
use crate::app::counters::{ROUTES, RouteCounters, read};

/// The text of one scrape.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: f64) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help);
        self.sample(name, "", value);
    }

    fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "counter", help);
        self.sample(name, "", value);
    }
}

/// Counts are shown as Prometheus keeps them, in floating point.
#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus samples are 64-bit floats"
)]
fn float(count: u64) -> f64 {
    count as f64
}

fn float_of(count: usize) -> f64 {
    float(u64::try_from(count).unwrap_or(u64::MAX))
}

/// Answers a scrape.
pub(crate) async fn scrape(State(node): State<Arc<Node>>) -> Response {
    let mut page = Page(String::with_capacity(8 << 10));
    requests(&mut page, &node);
    balance(&mut page, &node);
    log(&mut page, &node);
    let mut response = Response::new(Body::from(page.0));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

type Pick = fn(&RouteCounters) -> u64;

type PickLine = fn(&account::Line) -> u64;

fn requests(page: &mut Page, node: &Node) {
    let counters = &node.intake.counters;
    let families: [(&str, &str, Pick); 6] = [
        ("weir_requests_total", "Requests accepted", |c| {
            read(&c.requests)
        }),
        (
            "weir_requests_folded_total",
            "Requests that repeated an earlier one",
            |c| read(&c.folded),
        ),
        ("weir_requests_refused_total", "Requests turned away", |c| {
            read(&c.refused)
        }),
        (
            "weir_request_rows_total",
            "Rows accepted since the start",
            |c| read(&c.rows),
        ),
        (
            "weir_request_rejected_rows_total",
            "Records refused one by one",
            |c| read(&c.rejected),
        ),
        (
            "weir_request_bytes_total",
            "Bytes of accepted bodies, decompressed",
            |c| read(&c.bytes),
        ),
    ];
    for (name, help, pick) in families {
        page.family(name, "counter", help);
        for (route, label) in ROUTES {
            let value = pick(counters.route(route));
            page.sample(name, &format!("{{route=\"{label}\"}}"), float(value));
        }
    }
    others(page, node);
}

/// What is not of one route.
fn others(page: &mut Page, node: &Node) {
    let counters = &node.intake.counters;
    let plain = [
        (
            "weir_unstored_records_total",
            "Log records and metric points not stored",
            &counters.unstored,
        ),
        ("weir_queries_total", "Queries answered", &counters.queries),
        (
            "weir_queries_failed_total",
            "Queries refused or failed",
            &counters.queries_failed,
        ),
    ];
    for (name, help, counter) in plain {
        page.counter(name, help, float(read(counter)));
    }
    page.gauge(
        "weir_connections",
        "Connections open",
        float(read(&counters.connections)),
    );
    let held = float_of(node.intake.budget.used());
    page.gauge(
        "weir_in_flight_bytes",
        "Bytes that requests in flight hold",
        held,
    );
    let (answers, window_s) = node.intake.resend_window();
    page.gauge(
        "weir_resends_remembered",
        "Requests whose resend is recognised",
        float_of(answers),
    );
    let window_s = float(u64::try_from(window_s).unwrap_or(0));
    page.gauge(
        "weir_resend_window_seconds",
        "How far back resends are recognised",
        window_s,
    );
}

/// The closing account: accepted = stored + set aside + pending, by dataset and sink.
fn balance(page: &mut Page, node: &Node) {
    let lines = account::of_memory(node);
    page.family(
        "weir_accepted_rows_total",
        "counter",
        "Rows accepted by this data directory",
    );
    for line in &lines {
        let labels = format!("{{dataset=\"{}\"}}", line.dataset);
        page.sample("weir_accepted_rows_total", &labels, float(line.accepted));
    }
    let families: [(&str, &str, PickLine); 3] = [
        ("weir_stored_rows_total", "Rows that the sink holds", |l| {
            l.stored
        }),
        (
            "weir_set_aside_rows_total",
            "Rows that the sink refused for good",
            |l| l.set_aside,
        ),
        (
            "weir_pending_rows",
            "Rows that the sink has still to get",
            |l| l.pending,
        ),
    ];
    for (name, help, pick) in families {
        let kind = if name.ends_with("_total") {
            "counter"
        } else {
            "gauge"
        };
        page.family(name, kind, help);
        for line in &lines {
            let labels = format!("{{sink=\"{}\",dataset=\"{}\"}}", line.sink, line.dataset);
            page.sample(name, &labels, float(pick(line)));
        }
    }
}

fn log(page: &mut Page, node: &Node) {
    let log = node.log.status();
    page.gauge(
        "weir_log_disk_bytes",
        "Bytes of the log's files",
        float(log.disk_bytes),
    );
    page.gauge(
        "weir_log_budget_bytes",
        "Bytes that they may take",
        float(log.budget_bytes),
    );
    page.gauge("weir_log_segments", "Segment files", float_of(log.segments));
    page.gauge(
        "weir_recent_bytes",
        "Bytes of recent rows in memory",
        float_of(log.recent_bytes),
    );
    page.gauge(
        "weir_log_full",
        "1 while the log takes nothing",
        float(u64::from(log.full)),
    );
    page.gauge(
        "weir_log_broken",
        "1 after a failed fsync",
        float(u64::from(log.broken)),
    );
    let counted = log.counters;
    page.counter(
        "weir_log_frames_total",
        "Group commits",
        float(counted.frames),
    );
    page.counter(
        "weir_log_bytes_total",
        "Bytes written to the log",
        float(counted.bytes),
    );
    page.counter(
        "weir_log_fsync_seconds_total",
        "Time in them",
        counted.fsync_seconds,
    );
    page.counter(
        "weir_log_encode_seconds_total",
        "Time encoding frames",
        counted.encode_seconds,
    );
    page.counter(
        "weir_log_refused_total",
        "Requests refused as full",
        float(counted.refused_full),
    );
}
