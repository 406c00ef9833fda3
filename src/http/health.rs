//! Whether the node lives and takes requests, for load balancers and for people.
//!
//! ```text
//! /livez    503 only where nothing but a new process helps
//! /readyz   503 while requests are turned away; also says what is amiss without stopping them
//! ```

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use crate::app::Node;
use crate::http::ocsf::success;

/// How far behind the lake may be before it is told: many flushes, and far below what the log holds.
const LAG_MAX: Duration = Duration::from_mins(5);

/// How far behind the lake the ledger may be before it is told: many rounds.
const LEDGER_LAG_MAX: Duration = Duration::from_mins(1);

/// Something that is amiss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// An fsync failed.
    Broken,
    /// The process is stopping.
    Draining,
    /// The log takes nothing.
    DiskFull,
    /// The lake gives no answer.
    LakeUnreachable,
    /// Sinks do not keep up.
    LakeLagging,
    /// The ledger does not keep up.
    LedgerLagging,
}

impl Reason {
    fn word(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Draining => "draining",
            Self::DiskFull => "disk_full",
            Self::LakeUnreachable => "lake_unreachable",
            Self::LakeLagging => "lake_lagging",
            Self::LedgerLagging => "ledger_lagging",
        }
    }

    /// Whether requests are turned away for it.
    fn blocks(self) -> bool {
        match self {
            Self::Broken | Self::Draining | Self::DiskFull => true,
            Self::LakeUnreachable | Self::LakeLagging | Self::LedgerLagging => false,
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Self::Broken => {
                "the disk failed to make a write durable; this process ends, look at the disk"
            }
            Self::Draining => "this process is stopping",
            Self::DiskFull => {
                "the disk or `wal.budget` is full; it goes on by itself once there is room"
            }
            Self::LakeUnreachable => {
                "the lake does not answer: rows are accepted and safe in the log, queries wait for \
                 it; it is asked again and again, and the server's log says what came of it"
            }
            Self::LakeLagging => {
                "rows wait for the lake for more than 5 minutes; they are safe in the log. \
                 `weir_sink_failures_total` and the server's log say why"
            }
            Self::LedgerLagging => {
                "spans in the lake wait for the ledger for more than a minute, so cost is behind; \
                 `weir_ledger_failures_total` and the server's log say why"
            }
        }
    }
}

/// What is amiss with `node` now, the worst first.
fn reasons(node: &Node) -> Vec<Reason> {
    let log = node.log.status();
    let unreachable = !node.lake_reached.get() || node.delivery.status().breaker_open;
    let lagging = node.lags().iter().any(|(_, lag)| *lag > LAG_MAX);
    let booking = node.booking.as_ref().map(|b| b.shown().lag);
    let ledger = booking.is_some_and(|lag| lag > LEDGER_LAG_MAX);
    let all = [
        (log.broken, Reason::Broken),
        (node.is_stopping(), Reason::Draining),
        (log.full, Reason::DiskFull),
        (unreachable, Reason::LakeUnreachable),
        (lagging, Reason::LakeLagging),
        (ledger, Reason::LedgerLagging),
    ];
    let found = all.into_iter().filter(|(is, _)| *is);
    found.map(|(_, reason)| reason).collect()
}

/// `GET /livez`: 200 while the process can go on.
pub(crate) async fn live(State(node): State<Arc<Node>>) -> Response {
    let broken = node.log.status().broken;
    let status = if broken {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    let word = if broken { "broken" } else { "alive" };
    success(status, json!({ "status": word }).to_string().into())
}

/// `GET /readyz`: 200 while requests are taken, with a hint where none has come yet.
pub(crate) async fn ready(State(node): State<Arc<Node>>) -> Response {
    let reasons = reasons(&node);
    let blocking = reasons.iter().find(|reason| reason.blocks());
    let status = match blocking {
        Some(_) => StatusCode::SERVICE_UNAVAILABLE,
        None => StatusCode::OK,
    };
    let shown: Vec<Value> = reasons.iter().map(shown).collect();
    let mut body = json!({
        "status": blocking.map_or("ready", |reason| reason.word()),
        "node": node.log.node().as_str(),
        "reasons": shown,
    });
    if let (false, Some(fields)) = (node.anything_arrived(), body.as_object_mut()) {
        fields.insert("hint".into(), node.hint().into());
    }
    success(status, body.to_string().into())
}

fn shown(reason: &Reason) -> Value {
    json!({
        "reason": reason.word(),
        "blocks": reason.blocks(),
        "detail": reason.detail(),
    })
}

/// `GET /`: what this is, and where to look.
pub(crate) async fn hello(State(node): State<Arc<Node>>) -> Response {
    let body = json!({
        "name": "weir",
        "version": env!("CARGO_PKG_VERSION"),
        "node": node.log.node().as_str(),
        "send": ["POST /v1/traces", "POST /v1/proxy/audit", "POST /v1/ocsf/ingest"],
        "ask": ["POST /v1/query", "GET /v1/tail", "GET /v1/status", "GET /metrics"],
        "docs": ["GET /docs", "GET /v1/openapi.json"],
    });
    success(StatusCode::OK, body.to_string().into())
}
