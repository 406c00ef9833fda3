//! Every metric, once: `/metrics` and `docs/metrics.md` are made from this table.
//!
//! Names are `weir_<noun>_<unit>[_total]`, units are base units. Labels are bounded: routes,
//! datasets, sinks and codes are ours; tenants are shown only on request, and capped.

/// What a family holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only grows, until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by class.
    Histogram,
}

/// A metric with all its series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Family {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it holds.
    pub(crate) kind: Kind,
    /// Its labels, in their order.
    pub(crate) labels: &'static [&'static str],
    /// What it says, in a sentence without a full stop, as Prometheus shows it.
    pub(crate) help: &'static str,
}

impl Kind {
    /// The word in the text format.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

macro_rules! families {
    ($($constant:ident = $kind:ident $name:literal $labels:expr, $help:literal;)*) => {
        $(
            pub(crate) const $constant: Family = Family {
                name: $name,
                kind: Kind::$kind,
                labels: &$labels,
                help: $help,
            };
        )*
        /// All of them.
        #[cfg(test)]
        pub(crate) const FAMILIES: &[Family] = &[$($constant),*];
    };
}

families! {
    BUILD_INFO = Gauge "weir_build_info" ["version"], "Always 1, the version as a label";
    REQUESTS_RECEIVED = Counter "weir_requests_received_total" ["route"],
        "Requests that came: accepted, folded, refused, abandoned, or under way";
    REQUESTS = Counter "weir_requests_total" ["route"], "Requests whose rows were accepted";
    REQUESTS_FOLDED = Counter "weir_requests_folded_total" ["route"],
        "Requests that repeated an earlier one and got its answer";
    REQUESTS_REFUSED = Counter "weir_requests_refused_total" ["route", "code"],
        "Requests turned away, by the code of docs/errors.md";
    REQUESTS_ABANDONED = Counter "weir_requests_abandoned_total" ["route"],
        "Requests whose client left or whose time ran out before the answer";
    REQUEST_ROWS = Counter "weir_request_rows_total" ["route"], "Rows accepted since the start";
    REQUEST_REJECTED_ROWS = Counter "weir_request_rejected_rows_total" ["route"],
        "Records refused one by one within accepted requests; they are kept in rejected_events";
    REQUEST_BYTES = Histogram "weir_request_bytes" ["route"],
        "Bodies of accepted requests, decompressed";
    ACKNOWLEDGED = Histogram "weir_acknowledgement_seconds" ["route"],
        "From the first look at a request to the answer that its rows are durable";
    TENANT_REQUESTS = Counter "weir_tenant_requests_total" ["tenant"],
        "Requests accepted, by tenant, where metrics.tenants is on";
    TENANT_ROWS = Counter "weir_tenant_rows_total" ["tenant"],
        "Rows accepted, by tenant, where metrics.tenants is on";
    TENANT_BYTES = Counter "weir_tenant_bytes_total" ["tenant"],
        "Bytes of accepted bodies, by tenant, where metrics.tenants is on";
    UNSTORED = Counter "weir_unstored_records_total" [],
        "Log records and metric points that were counted and not stored";
    LAST_ARRIVAL = Gauge "weir_last_arrival_timestamp_seconds" [],
        "When a request was last accepted; the start of the process where none was";
    CONNECTIONS = Gauge "weir_connections" [], "Connections open";
    CONNECTIONS_CUT = Counter "weir_connections_cut_total" ["by"],
        "Connections that the server ended, by the timer or cap that did it";
    QUOTA_REFUSALS = Counter "weir_quota_refusals_total" ["quota"],
        "Requests and questions refused as a quota of their tenant or key was used up";
    CERTIFICATE_END = Gauge "weir_tls_certificate_expiry_timestamp_seconds" [],
        "When the first certificate of the chain in use ends, where TLS is on";
    IN_FLIGHT = Gauge "weir_in_flight_bytes" [], "Bytes that requests in flight hold";
    IN_FLIGHT_LIMIT = Gauge "weir_in_flight_limit_bytes" [], "Bytes that they may hold";
    RESENDS = Gauge "weir_resends_remembered" ["kind"],
        "Requests whose resend is recognised, by their bytes or by the sender's idempotency key";
    RESEND_WINDOW = Gauge "weir_resend_window_seconds" ["kind"],
        "How far back all resends are recognised: less than 600 or 86400 where the table is full";
    DUPLICATES = Counter "weir_suspected_duplicate_rows_total" [],
        "Spans stored whose tenant, ids and content were accepted before, by a late or re-batched retry; spans_distinct leaves them out";
    DUPLICATE_WINDOW = Gauge "weir_suspected_duplicate_window_seconds" [],
        "How far back such spans are recognised: since the start, or as many as half a million places hold";
    QUERIES = Counter "weir_queries_total" [], "Queries answered";
    QUERIES_FAILED = Counter "weir_queries_failed_total" [], "Queries refused or failed";
    ACCEPTED = Counter "weir_accepted_rows_total" ["dataset"],
        "Rows accepted by this data directory since it was made";
    STORED = Counter "weir_stored_rows_total" ["sink", "dataset"],
        "Rows that the sink holds, by its receipts";
    SET_ASIDE = Counter "weir_set_aside_rows_total" ["sink", "dataset"],
        "Rows that the sink refused for good: dead letters";
    PENDING = Gauge "weir_pending_rows" ["sink", "dataset"], "Rows that the sink has still to get";
    LOST = Counter "weir_lost_rows_total" ["dataset"], "Rows that the log lost to damage";
    UNACCOUNTED = Gauge "weir_unaccounted_rows" ["sink", "dataset"],
        "Stored, set aside, pending and lost together, less accepted: 0 but for moments";
    LAG = Gauge "weir_lag_seconds" ["sink", "dataset"],
        "Age of the oldest row that the sink has still to get";
    ATTEMPTS = Counter "weir_sink_attempts_total" ["sink", "dataset"], "Calls of the sink";
    FAILURES = Counter "weir_sink_failures_total" ["sink", "dataset"], "Calls that failed";
    BREAKER = Gauge "weir_sink_breaker_open" ["sink"],
        "1 while a failing sink is left alone";
    COMMITS = Histogram "weir_batch_commit_seconds" ["sink"],
        "How long a commit of batches to the sink takes";
    LEDGER_BOOKING = Gauge "weir_ledger_booking" [],
        "1 on the node that books cost; of all nodes on one lake it is one";
    LEDGER_LAG = Gauge "weir_ledger_lag_seconds" [],
        "How long spans have been in the lake that are not booked";
    LEDGER_LAG_BATCHES = Gauge "weir_ledger_lag_batches" [], "How many batches these are";
    LEDGER_ROUNDS = Counter "weir_ledger_rounds_total" [], "Commits of the ledger by this node";
    LEDGER_FENCED = Counter "weir_ledger_fenced_total" [],
        "Commits given up, as another node had been faster";
    LEDGER_SPANS = Counter "weir_ledger_spans_total" [], "Spans that the ledger has read";
    LEDGER_TRACES = Counter "weir_ledger_traces_total" [],
        "Traces computed, each as often as spans came to it";
    LEDGER_BOOKINGS = Counter "weir_ledger_bookings_total" [], "Rows booked, of either sign";
    LEDGER_REREAD = Counter "weir_ledger_reread_traces_total" [],
        "Traces read again from the lake, since a late span came to them";
    LEDGER_FAILURES = Counter "weir_ledger_failures_total" [], "Steps that failed and were taken again";
    LEDGER_FACTS = Gauge "weir_ledger_facts" [], "Spans that the ledger knows without the lake";
    LEDGER_DISK = Gauge "weir_ledger_facts_disk_bytes" [], "Disk that they take";
    LEDGER_MEMORY = Gauge "weir_ledger_memory_bytes" [], "Memory that they take";
    LOG_DISK = Gauge "weir_log_disk_bytes" [], "Bytes of the log's files";
    LOG_BUDGET = Gauge "weir_log_budget_bytes" [], "Bytes that they may take";
    LOG_SEGMENTS = Gauge "weir_log_segments" [], "Segment files";
    RECENT = Gauge "weir_recent_bytes" [], "Bytes of recent rows in memory";
    LOG_FULL = Gauge "weir_log_full" [], "1 while the log takes nothing";
    LOG_BROKEN = Gauge "weir_log_broken" [], "1 after a failed fsync; the process then ends";
    LOG_FRAMES = Counter "weir_log_frames_total" [], "Group commits";
    LOG_BYTES = Counter "weir_log_bytes_total" [], "Bytes written to the log";
    BUDGETS = Gauge "weir_budgets" ["state"],
        "Budgets by how they stand: on_track, at_risk, exceeded, or unknown until summed up";
    BUDGET_USED = Gauge "weir_budget_used_ratio" ["tenant", "scope", "name"],
        "The share of a budget that is spent, where `metrics.tenants` allows to name tenants";
    COMMITMENT_USED = Gauge "weir_commitment_used_ratio" ["tenant", "name"],
        "The share of a commitment of `prices.file` that is used, where tenants may be named";
    LOG_FSYNC = Histogram "weir_log_fsync_seconds" [], "How long the fsync of a group commit takes";
    LOG_ENCODE = Counter "weir_log_encode_seconds_total" [], "Time spent encoding frames";
    LOG_REFUSED = Counter "weir_log_refused_total" [], "Requests refused as the log was full";
    LOG_LINES = Counter "weir_log_lines_total" ["level"], "Lines logged as errors and warnings";
    DISK_FREE = Gauge "weir_data_dir_free_bytes" [], "Bytes free where the data directory lies";
    CPU = Counter "process_cpu_seconds_total" [], "Processor time of this process";
    RESIDENT = Gauge "process_resident_memory_bytes" [], "Memory of this process";
    OPEN_FDS = Gauge "process_open_fds" [], "File descriptors open";
    STARTED = Gauge "process_start_time_seconds" [], "When this process started";
}

/// `docs/metrics.md`.
#[cfg(test)]
pub(crate) fn page() -> String {
    let mut out = String::from(PREAMBLE);
    for family in FAMILIES {
        let labels: Vec<String> = family.labels.iter().map(|l| format!("`{l}`")).collect();
        out.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            family.name,
            family.kind.word(),
            labels.join(", "),
            family.help
        ));
    }
    out
}

#[cfg(test)]
const PREAMBLE: &str = "\
# Metrics

<!-- Made from the table in src/http/metrics/families.rs by its test; do not edit. -->

`GET /metrics` answers in Prometheus' text format, without a key. Alerting rules that use these
names are in [alerts.yml](alerts.yml), with their tests in [alerts_test.yml](alerts_test.yml).

Two accounts close, by route and by dataset:

```text
weir_requests_received_total = weir_requests_total + weir_requests_folded_total
                             + weir_requests_refused_total + weir_requests_abandoned_total
                             + those under way
weir_accepted_rows_total     = weir_stored_rows_total + weir_set_aside_rows_total
                             + weir_pending_rows + weir_lost_rows_total      (for each sink)
```

`weir_unaccounted_rows` is what is missing (below zero) or too many (above) in the second. `weir
verify` recounts the same in the lake's own files. Routes are `traces`, `proxy_audit`, `ocsf`,
`telemetry_events` and `logs`; codes are those of [errors.md](errors.md).

| name | kind | labels | what it says |
|---|---|---|---|
";
