//! Views with the columns of the OpenTelemetry Collector's ClickHouse exporter, so that boards
//! made for it (Grafana's data source, ClickStack) work on `spans`.
//!
//! `Timestamp` is the column that is stored, to the microsecond: an expression that adds the
//! nanoseconds would keep every filter by time from the indexes.

use super::ddl::{Form, Kind, Object, mark};
use super::types::literal;

/// The views.
pub(super) fn views(form: Form<'_>) -> [Object; 2] {
    let spans = form.table("spans");
    let plain = |map: &str| format!("mapApply((k, v) -> (k, ifNull(v, '')), {map})");
    let text = |map: &str| {
        let map = plain(map);
        format!("CAST({map}, 'Map(LowCardinality(String), String)')")
    };
    let texts = |list: &str| {
        let map = plain("x.attributes");
        format!("CAST(arrayMap(x -> {map}, {list}), 'Array(Map(LowCardinality(String), String))')")
    };
    let traces = format!(
        "SELECT\n  start_time AS Timestamp, trace_id AS TraceId, span_id AS SpanId,\n  \
         ifNull(parent_span_id, '') AS ParentSpanId, ifNull(trace_state, '') AS TraceState,\n  \
         name AS SpanName, initcap(kind) AS SpanKind, ifNull(service_name, '') AS ServiceName,\n  \
         {resource} AS ResourceAttributes,\n  \
         ifNull(scope_name, '') AS ScopeName, ifNull(scope_version, '') AS ScopeVersion,\n  \
         {attributes} AS SpanAttributes,\n  \
         toUInt64(greatest(ifNull(duration_nanos, 0), 0)) AS Duration,\n  \
         initcap(status_code) AS StatusCode, ifNull(status_message, '') AS StatusMessage,\n  \
         arrayMap(x -> fromUnixTimestamp64Nano(ifNull(x.time_unix_nano, 0), 'UTC'), events) AS `Events.Timestamp`,\n  \
         arrayMap(x -> ifNull(x.name, ''), events) AS `Events.Name`,\n  \
         {events} AS `Events.Attributes`,\n  \
         arrayMap(x -> ifNull(x.trace_id, ''), links) AS `Links.TraceId`,\n  \
         arrayMap(x -> ifNull(x.span_id, ''), links) AS `Links.SpanId`,\n  \
         arrayMap(x -> ifNull(x.trace_state, ''), links) AS `Links.TraceState`,\n  \
         {links} AS `Links.Attributes`,\n  tenant_id AS TenantId\nFROM {spans}",
        resource = text("resource_attributes"),
        attributes = text("attributes"),
        events = texts("events"),
        links = texts("links"),
    );
    let times = format!(
        "SELECT trace_id AS TraceId, min(start_time) AS Start, max(start_time) AS End\n\
         FROM {spans}\nGROUP BY TraceId"
    );
    [("otel_traces", traces), ("otel_traces_trace_id_ts", times)].map(|(name, select)| Object {
        kind: Kind::View,
        name: name.to_owned(),
        sql: format!(
            "CREATE OR REPLACE VIEW {}{}\nAS {select}\nCOMMENT {}",
            form.table(name),
            form.on_cluster(),
            literal(&mark())
        ),
    })
}
