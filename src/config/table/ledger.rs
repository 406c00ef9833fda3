//! The settings of the ledger.

use crate::config::setting::{Kind, Setting, Value};

/// The bookings of cost.
pub(super) const SETTINGS: &[Setting] = &[
    setting!(
        "ledger.enabled",
        Kind::Switch,
        Switch,
        ledger.enabled,
        "Whether this node books cost. Of all nodes on one lake that do, one at a time works."
    ),
    setting!(
        "ledger.memory",
        Kind::Size,
        Count,
        ledger.memory,
        "Memory of the ledger: half for the traces that it knows, half for those that it computes."
    ),
    setting!(
        "ledger.facts_disk",
        Kind::Size,
        Count,
        ledger.facts_disk,
        "Disk for what the ledger knows of recent traces, in the data directory; above it the oldest are dropped."
    ),
    setting!(
        "ledger.facts_kept",
        Kind::Span,
        Span,
        ledger.facts_kept,
        "How long that is kept. A span that comes later has its trace read again from the lake."
    ),
    setting!(
        "ledger.facts_written",
        Kind::Span,
        Span,
        ledger.facts_written,
        "How often that is written; after a crash, what came since is read again from the lake."
    ),
    setting!(
        "ledger.lookback",
        Kind::Span,
        Span,
        ledger.lookback,
        "How far back the lake is searched for the trace of a late span; older traces count as new."
    ),
    setting!(
        "ledger.interval",
        Kind::Span,
        Span,
        ledger.interval,
        "How often the lake is asked for new spans."
    ),
    setting!(
        "ledger.lease",
        Kind::Span,
        Span,
        ledger.lease,
        "After how long without a sign of life of the node that books another one takes over."
    ),
];
