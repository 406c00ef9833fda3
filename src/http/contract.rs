//! The error contract: every refusal that this server can give, once, in one table.
//!
//! What a client sees, `docs/errors.md` and the tests all come from [`ROWS`]. A refusal that is not
//! in it fails the tests (a debug assertion where refusals are rendered), so that no code and no
//! status reaches a client that the page does not explain.

#[cfg(test)]
mod page;

use crate::http::refusal::Refusal;

/// Through which door a request came; it decides what a refusal looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Door {
    /// OTLP over HTTP: `google.rpc.Status` in the request's encoding.
    Otlp,
    /// OTLP over gRPC: `grpc-status`, `grpc-message` and the same `google.rpc.Status` as details.
    Grpc,
    /// `POST /v1/proxy/audit`: a problem document (RFC 9457), as all that follow.
    Audit,
    /// `POST /v1/ocsf/ingest`.
    Ocsf,
    /// `POST /api/v1/telemetry/events`, and its batches.
    Events,
    /// `POST /v1/query`.
    Query,
    /// Every other route.
    Other,
}

/// Whether sending the same again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// It cannot; `Retry-After` and `RetryInfo` are absent.
    Never,
    /// It can, at once; no wait is told.
    Now,
    /// It can, after the wait in `Retry-After`, and in `RetryInfo` where there is a status message.
    After,
}

/// One refusal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// The stable word for programs: `code` in problem documents.
    pub(crate) code: &'static str,
    /// The HTTP status.
    pub(crate) status: u16,
    /// Where it can be met.
    pub(crate) doors: &'static [Door],
    /// Whether to send it again.
    pub(crate) retry: Retry,
    /// What happened.
    pub(crate) when: &'static str,
}

use Door::{Audit, Events, Grpc, Ocsf, Other, Otlp, Query};
use Retry::{After, Never, Now};

/// Every door that takes a body over plain HTTP.
const BODIES: &[Door] = &[Otlp, Audit, Ocsf, Events, Query];
/// The same, and gRPC.
const CALLS: &[Door] = &[Otlp, Grpc, Audit, Ocsf, Events, Query];
/// Every door that stores.
const STORES: &[Door] = &[Otlp, Grpc, Audit, Ocsf, Events];
/// Everything.
const ALL: &[Door] = &[Otlp, Grpc, Audit, Ocsf, Events, Query, Other];

const fn row(
    code: &'static str,
    status: u16,
    doors: &'static [Door],
    retry: Retry,
    when: &'static str,
) -> Row {
    Row {
        code,
        status,
        doors,
        retry,
        when,
    }
}

/// The table.
#[rustfmt::skip]
pub(crate) static ROWS: &[Row] = &[
    // Of the sender.
    row("unauthorized", 401, ALL, Never, "A key is required, and the request carries none or one that does not hold."),
    row("invalid_key", 401, ALL, Never, "The key is not known here, or was revoked."),
    row("expired_key", 401, ALL, Never, "The key has expired."),
    row("forbidden", 403, ALL, Never, "The key holds, but not for this: its scopes do not name what was asked."),
    row("tenant_mismatch", 403, &[Events], Never, "`X-Claresia-Tenant` names another tenant than the key."),
    // Of the address.
    row("not_found", 404, &[Other], Never, "There is nothing at this path."),
    row("no_signal_path", 404, &[Otlp], Never, "OTLP was posted to `/`: the endpoint of one signal was configured without its path."),
    row("method_not_allowed", 405, &[Otlp, Audit, Ocsf, Events, Query, Other], Never, "The route does not take this method; `Allow` names the one that it takes."),
    row("unimplemented", 501, &[Grpc], Never, "There is no such gRPC call."),
    row("not_grpc", 501, &[Grpc], Never, "A gRPC path was called by something that does not speak gRPC; the HTTP status is 415."),
    // Of the body as bytes.
    row("bad_length", 400, CALLS, Never, "`Content-Length` is not a number."),
    row("bad_frame", 400, &[Grpc], Never, "The call does not hold one whole gRPC message."),
    row("body_incomplete", 400, CALLS, Now, "The connection broke off before the body was whole; nothing of it was kept."),
    row("body_timeout", 408, CALLS, Now, "The body paused for longer than `limits.idle_timeout`; nothing of it was kept."),
    row("body_too_large", 413, CALLS, Never, "The body is larger than `limits.body_compressed`, or than `limits.body_decompressed` once decompressed."),
    row("corrupt_body", 400, CALLS, Never, "The body is not what its `Content-Encoding` says."),
    row("unsupported_encoding", 415, BODIES, Never, "`Content-Encoding` is none of identity, gzip, deflate and zstd, or names several."),
    row("unsupported_encoding", 501, &[Grpc], Never, "`grpc-encoding` is none of identity, gzip, deflate and zstd."),
    row("unsupported_media_type", 415, &[Otlp, Audit, Ocsf, Events], Never, "`Content-Type` names nothing that the route takes."),
    // Of the body's meaning.
    row("malformed_protobuf", 400, &[Otlp, Grpc], Never, "The body is no OTLP message; the answer names the byte."),
    row("invalid_utf8", 400, &[Otlp, Grpc], Never, "A text field is not UTF-8."),
    row("malformed_json", 400, &[Otlp, Audit, Ocsf, Events], Never, "The body is no JSON; the answer names line and column."),
    row("unexpected_shape", 400, &[Otlp, Ocsf, Events], Never, "The JSON is of another shape than the route takes."),
    row("too_deep", 400, &[Otlp, Grpc, Events], Never, "The body nests too deeply."),
    row("too_deep", 422, &[Audit, Ocsf], Never, "The same, with the status that the contract of its senders names."),
    row("contract_violated", 422, &[Audit, Ocsf], Never, "The body breaks the contract of its senders; `detail` is the contract's own sentence."),
    row("too_many_events", 400, &[Events], Never, "A batch holds more than 1,000 events."),
    row("too_many_records", 413, &[Otlp, Grpc, Audit, Events], Never, "More than `limits.rows` spans or events in one request; for OCSF events see `contract_violated`."),
    row("too_many_values", 413, &[Audit, Ocsf, Events], Never, "The body holds more JSON values than `limits.json_values`."),
    row("too_many_bytes", 413, &[Otlp, Grpc, Audit, Ocsf], Never, "The rows would take too much memory once decoded."),
    row("rows_too_large", 413, STORES, Never, "The rows do not fit one write to the log."),
    row("CONFLICT", 409, &[Audit], Never, "The idempotency key was used with another payload; the word is that of the senders' product."),
    // Of a question.
    row("bad_question", 400, &[Query], Never, "The body is neither `{\"sql\": ...}` nor SQL."),
    row("unknown_format", 400, &[Query], Never, "`format` is none of json, csv, arrow and parquet."),
    row("bad_rollup", 400, &[Query], Never, "A parameter of a rollup is not known or cannot be read."),
    row("bad_setting", 400, &[Query], Never, "A budget or a mark cannot be read; `detail` says what of it."),
    row("set_in_file", 409, &[Query], Never, "`budgets.file` has a budget for the same thing, which only the server's operator changes."),
    row("too_many_set", 409, &[Query], Never, "The tenant has set as many of the kind as it may."),
    row("not_set", 404, &[Query], Never, "There is no such budget, mark or price list."),
    row("query_rows", 422, &[Query], Never, "A rollup has more groups than `query.rows`: a shorter time, or fewer dimensions."),
    row("sql_invalid", 400, &[Query], Never, "The SQL is wrong; `detail` speaks of it."),
    row("table_unknown", 400, &[Query], Never, "There is no such table."),
    row("sql_too_long", 413, &[Query], Never, "The SQL is longer than `query.statement`."),
    row("sql_not_one", 422, &[Query], Never, "More or less than one statement."),
    row("sql_not_a_query", 422, &[Query], Never, "A statement that would change something."),
    row("sql_unsupported", 422, &[Query], Never, "SQL that this server does not run."),
    row("sql_explain_analyze", 422, &[Query], Never, "EXPLAIN ANALYZE, which would show more than the caller's rows."),
    row("sql_recursive", 422, &[Query], Never, "A recursive query."),
    row("sql_table_function", 422, &[Query], Never, "A table function."),
    row("sql_too_complex", 422, &[Query], Never, "A query of more joins, nesting or terms than a plan may hold."),
    row("query_failed", 422, &[Query], Never, "A value did not fit the operation it was given to."),
    row("query_memory", 422, &[Query], Never, "The query needs more memory or disk than `query.memory` and `query.spill` give it."),
    row("query_timeout", 408, &[Query], Never, "The query ran longer than `query.timeout`, or than the question allows."),
    row("query_stopped", 408, &[Query], Never, "The query was stopped because nobody waits for it any more."),
    row("quota_queries", 429, &[Query], After, "The tenant or the key has used up its queries a minute."),
    row("quota_queries_at_once", 429, &[Query], After, "As many queries run as the quota of the tenant or the key allows."),
    row("queries_busy", 429, &[Query], After, "`query.concurrency` queries are running."),
    row("storage_unavailable", 503, &[Query], After, "Stored rows cannot be read just now."),
    // Of what a tenant may use; headers say the limit, what remains, and when it is full again.
    row("quota_bytes", 429, STORES, After, "The tenant or the key has used up its bytes a second."),
    row("quota_rows", 429, STORES, After, "The tenant or the key has used up its rows a second."),
    row("quota_storage", 429, STORES, After, "The tenant holds as much in the lake as its quota allows."),
    // Of this server.
    row("state_unavailable", 503, &[Query], After, "The state of tenants cannot be changed just now; nothing was set."),
    row("keys_unconfirmed", 503, ALL, After, "Whether the key holds could not be asked for longer than `state.grace`."),
    row("overloaded", 503, CALLS, After, "Requests in flight hold all of `limits.in_flight`."),
    row("request_timeout", 503, ALL, After, "The request took longer than `limits.request_timeout`; sent again, it is not stored twice where resends are folded."),
    row("log_full", 503, STORES, After, "The disk, or `wal.budget`, is full: the sinks do not keep up."),
    row("disk_refused", 503, STORES, After, "The disk refused one write; the next goes to another file."),
    row("log_broken", 503, STORES, After, "The disk failed to make a write durable; this process is ending."),
    row("log_failed", 503, STORES, After, "The log refused for another reason."),
    row("shutting_down", 503, CALLS, After, "This process is stopping."),
    row("verify_failed", 503, &[Other], After, "The sinks could not be counted just now."),
    row("internal", 500, ALL, Never, "A defect of this server; its log says more under the request's id."),
];

/// The row of that code and status.
pub(crate) fn find(code: &str, status: u16) -> Option<&'static Row> {
    ROWS.iter().find(|r| r.code == code && r.status == status)
}

/// The place of `refusal` in the table, for counting; the last row, `internal`, where it has none.
pub(crate) fn index(refusal: &Refusal) -> usize {
    let status = refusal.status.as_u16();
    let at = ROWS
        .iter()
        .position(|r| r.code == refusal.code && r.status == status);
    at.unwrap_or(ROWS.len() - 1)
}

/// Holds a refusal to the table, in tests and debug builds.
pub(crate) fn check(refusal: &Refusal) {
    let row = find(refusal.code, refusal.status.as_u16());
    debug_assert!(
        row.is_some_and(|r| (r.retry == After) == refusal.retry_after.is_some()),
        "`{}` with status {} and retry {:?} is not in the table of src/http/contract.rs",
        refusal.code,
        refusal.status,
        refusal.retry_after
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_refusal_is_in_the_table_once() {
        let mut seen = BTreeSet::new();
        for row in ROWS {
            assert!(seen.insert((row.code, row.status)), "{} twice", row.code);
            assert!(!row.doors.is_empty() && row.when.ends_with('.'), "{row:?}");
            // What exporters send again by themselves must tell them when.
            let again = matches!(row.status, 429 | 502..=504);
            assert_eq!(again, row.retry == After, "{row:?}");
        }
        assert_eq!(ROWS.last().map(|r| r.code), Some("internal"), "see `index`");
    }
}
