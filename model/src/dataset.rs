//! The kinds of record, each with one schema and one table in every sink.

use std::fmt;

use arrow_schema::SchemaRef;

use crate::schema::{self, Column};

/// A kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Dataset {
    /// Spans, from OTLP traces.
    Spans = 1,
    /// Audit events of gateways and MCP proxies.
    ProxyAudit = 2,
    /// Security events in the Open Cybersecurity Schema Framework.
    OcsfEvents = 3,
    /// Signed bookings of cost, derived from spans.
    CostLedger = 4,
    /// Input that was refused after its request was accepted, kept with the reason.
    RejectedEvents = 5,
    /// Partial sums of the cost ledger by hour.
    CostHourly = 6,
    /// Partial sums of the cost ledger by day.
    CostDaily = 7,
    /// Telemetry events that carry their own cost.
    TelemetryEvents = 8,
    /// Log records that tell of calls of models, from OTLP logs.
    LogEvents = 9,
}

impl Dataset {
    /// Every dataset, in the order of their codes.
    pub const ALL: [Self; 9] = [
        Self::Spans,
        Self::ProxyAudit,
        Self::OcsfEvents,
        Self::CostLedger,
        Self::RejectedEvents,
        Self::CostHourly,
        Self::CostDaily,
        Self::TelemetryEvents,
        Self::LogEvents,
    ];

    /// The datasets whose rows come through the write-ahead log.
    pub const RECEIVED: [Self; 6] = [
        Self::Spans,
        Self::ProxyAudit,
        Self::OcsfEvents,
        Self::RejectedEvents,
        Self::TelemetryEvents,
        Self::LogEvents,
    ];

    /// The table's name, the same in every sink and in SQL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::ProxyAudit => "proxy_audit",
            Self::OcsfEvents => "ocsf_events",
            Self::CostLedger => "cost_ledger",
            Self::RejectedEvents => "rejected_events",
            Self::CostHourly => "cost_hourly",
            Self::CostDaily => "cost_daily",
            Self::TelemetryEvents => "telemetry_events",
            Self::LogEvents => "log_events",
        }
    }

    /// The dataset of that table name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.name() == name)
    }

    /// The number that stands for it in the write-ahead log; never reused.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The dataset of that code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.code() == code)
    }

    /// Its columns in order, from `tenant_id` to `_row`.
    pub fn columns(self) -> &'static [Column] {
        schema::columns(self)
    }

    /// The Arrow schema of sealed rows: all columns, as stored in every sink.
    pub fn schema(self) -> SchemaRef {
        schema::sealed(self)
    }

    /// The Arrow schema of accepted rows that no batch holds yet: all columns but the last three
    /// (`_node`, `_batch`, `_row`). This is what decoding makes and the write-ahead log keeps.
    pub fn accepted_schema(self) -> SchemaRef {
        schema::accepted(self)
    }

    /// The column that says when the event happened: the order of files and the usual filter.
    pub const fn time_column(self) -> &'static str {
        match self {
            Self::Spans => "start_time",
            Self::ProxyAudit
            | Self::OcsfEvents
            | Self::CostLedger
            | Self::TelemetryEvents
            | Self::LogEvents => "event_time",
            Self::RejectedEvents => "received_at",
            Self::CostHourly | Self::CostDaily => "period_start",
        }
    }
}

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
