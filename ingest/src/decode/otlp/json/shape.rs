//! The members of each message, as data.

use Kind::*;

/// A message: its members by their JSON names.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) members: &'static [Member],
}

/// A member of a message.
#[derive(Debug)]
pub(super) struct Member {
    /// Its name in JSON.
    pub(super) name: &'static str,
    /// Its other name, taken in the flat form only; empty where there is none.
    pub(super) alias: &'static str,
    /// Its field number.
    pub(super) number: u32,
    /// What it holds.
    pub(super) kind: Kind,
}

/// What a member holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A message.
    One(&'static Shape),
    /// A list of messages.
    Many(&'static Shape),
    /// A list of values, where `null` counts.
    Values(&'static Shape),
    /// A list of attributes, or an object of plain values.
    Attributes,
    /// A list of texts.
    Texts,
    /// A list of flat spans, wrapped as if they had a resource and a scope.
    FlatSpans,
    /// Text.
    Text,
    /// An id of so many bytes, in hex.
    Id(usize),
    /// `fixed64`.
    Fixed64,
    /// `fixed32`.
    Fixed32,
    /// `uint32`.
    Uint32,
    /// An enum: the prefix of its names, and the names from 0.
    Enum(&'static str, &'static [&'static str]),
    /// `bool`.
    Bool,
    /// `int64` of an `AnyValue`.
    Int64,
    /// `double`.
    Double,
    /// `bytes`.
    Bytes,
}

const fn member(name: &'static str, number: u32, kind: Kind) -> Member {
    Member {
        name,
        alias: "",
        number,
        kind,
    }
}

const fn also(name: &'static str, alias: &'static str, number: u32, kind: Kind) -> Member {
    Member {
        name,
        alias,
        number,
        kind,
    }
}

/// `ExportTraceServiceRequest`, and the flat form beside it.
pub(super) static REQUEST: Shape = Shape {
    members: &[
        member("resourceSpans", 1, Many(&RESOURCE_SPANS)),
        member("spans", 1, FlatSpans),
    ],
};

static RESOURCE_SPANS: Shape = Shape {
    members: &[
        member("resource", 1, One(&RESOURCE)),
        member("scopeSpans", 2, Many(&SCOPE_SPANS)),
        member("schemaUrl", 3, Text),
    ],
};

/// `ExportLogsServiceRequest`.
pub(super) static LOGS_REQUEST: Shape = Shape {
    members: &[member("resourceLogs", 1, Many(&RESOURCE_LOGS))],
};

static RESOURCE_LOGS: Shape = Shape {
    members: &[
        member("resource", 1, One(&RESOURCE)),
        member("scopeLogs", 2, Many(&SCOPE_LOGS)),
        member("schemaUrl", 3, Text),
    ],
};

static SCOPE_LOGS: Shape = Shape {
    members: &[
        member("scope", 1, One(&SCOPE)),
        member("logRecords", 2, Many(&LOG_RECORD)),
        member("schemaUrl", 3, Text),
    ],
};

const SEVERITIES: Kind = Enum(
    "SEVERITY_NUMBER_",
    &[
        "UNSPECIFIED",
        "TRACE",
        "TRACE2",
        "TRACE3",
        "TRACE4",
        "DEBUG",
        "DEBUG2",
        "DEBUG3",
        "DEBUG4",
        "INFO",
        "INFO2",
        "INFO3",
        "INFO4",
        "WARN",
        "WARN2",
        "WARN3",
        "WARN4",
        "ERROR",
        "ERROR2",
        "ERROR3",
        "ERROR4",
        "FATAL",
        "FATAL2",
        "FATAL3",
        "FATAL4",
    ],
);

static LOG_RECORD: Shape = Shape {
    members: &[
        member("timeUnixNano", 1, Fixed64),
        member("severityNumber", 2, SEVERITIES),
        member("severityText", 3, Text),
        member("body", 5, One(&VALUE)),
        member("attributes", 6, Many(&KEY_VALUE)),
        member("droppedAttributesCount", 7, Uint32),
        member("flags", 8, Fixed32),
        member("traceId", 9, Id(16)),
        member("spanId", 10, Id(8)),
        member("observedTimeUnixNano", 11, Fixed64),
        member("eventName", 12, Text),
    ],
};

static RESOURCE: Shape = Shape {
    members: &[
        member("attributes", 1, Many(&KEY_VALUE)),
        member("droppedAttributesCount", 2, Uint32),
        member("entityRefs", 3, Many(&ENTITY_REF)),
    ],
};

static ENTITY_REF: Shape = Shape {
    members: &[
        member("schemaUrl", 1, Text),
        member("type", 2, Text),
        member("idKeys", 3, Texts),
        member("descriptionKeys", 4, Texts),
    ],
};

static SCOPE_SPANS: Shape = Shape {
    members: &[
        member("scope", 1, One(&SCOPE)),
        member("spans", 2, Many(&SPAN)),
        member("schemaUrl", 3, Text),
    ],
};

static SCOPE: Shape = Shape {
    members: &[
        member("name", 1, Text),
        member("version", 2, Text),
        member("attributes", 3, Many(&KEY_VALUE)),
        member("droppedAttributesCount", 4, Uint32),
    ],
};

const KINDS: Kind = Enum(
    "SPAN_KIND_",
    &[
        "UNSPECIFIED",
        "INTERNAL",
        "SERVER",
        "CLIENT",
        "PRODUCER",
        "CONSUMER",
    ],
);

const CODES: Kind = Enum("STATUS_CODE_", &["UNSET", "OK", "ERROR"]);

static SPAN: Shape = Shape {
    members: &[
        member("traceId", 1, Id(16)),
        member("spanId", 2, Id(8)),
        member("traceState", 3, Text),
        member("parentSpanId", 4, Id(8)),
        member("name", 5, Text),
        member("kind", 6, KINDS),
        member("startTimeUnixNano", 7, Fixed64),
        member("endTimeUnixNano", 8, Fixed64),
        member("attributes", 9, Many(&KEY_VALUE)),
        member("droppedAttributesCount", 10, Uint32),
        member("events", 11, Many(&EVENT)),
        member("droppedEventsCount", 12, Uint32),
        member("links", 13, Many(&LINK)),
        member("droppedLinksCount", 14, Uint32),
        member("status", 15, One(&STATUS)),
        member("flags", 16, Fixed32),
    ],
};

/// A span of the flat form.
pub(super) static FLAT_SPAN: Shape = Shape {
    members: &[
        also("traceId", "trace_id", 1, Id(16)),
        also("spanId", "span_id", 2, Id(8)),
        also("traceState", "trace_state", 3, Text),
        also("parentSpanId", "parent_span_id", 4, Id(8)),
        member("name", 5, Text),
        member("kind", 6, KINDS),
        also("startTimeUnixNano", "start_time_unix_nano", 7, Fixed64),
        also("endTimeUnixNano", "end_time_unix_nano", 8, Fixed64),
        member("attributes", 9, Attributes),
        also(
            "droppedAttributesCount",
            "dropped_attributes_count",
            10,
            Uint32,
        ),
        member("events", 11, Many(&FLAT_EVENT)),
        also("droppedEventsCount", "dropped_events_count", 12, Uint32),
        member("links", 13, Many(&FLAT_LINK)),
        also("droppedLinksCount", "dropped_links_count", 14, Uint32),
        member("status", 15, One(&STATUS)),
        member("flags", 16, Fixed32),
    ],
};

static STATUS: Shape = Shape {
    members: &[member("message", 2, Text), member("code", 3, CODES)],
};

static EVENT: Shape = Shape {
    members: &[
        member("timeUnixNano", 1, Fixed64),
        member("name", 2, Text),
        member("attributes", 3, Many(&KEY_VALUE)),
        member("droppedAttributesCount", 4, Uint32),
    ],
};

static FLAT_EVENT: Shape = Shape {
    members: &[
        also("timeUnixNano", "time_unix_nano", 1, Fixed64),
        member("name", 2, Text),
        member("attributes", 3, Attributes),
        also(
            "droppedAttributesCount",
            "dropped_attributes_count",
            4,
            Uint32,
        ),
    ],
};

static LINK: Shape = Shape {
    members: &[
        member("traceId", 1, Id(16)),
        member("spanId", 2, Id(8)),
        member("traceState", 3, Text),
        member("attributes", 4, Many(&KEY_VALUE)),
        member("droppedAttributesCount", 5, Uint32),
        member("flags", 6, Fixed32),
    ],
};

static FLAT_LINK: Shape = Shape {
    members: &[
        also("traceId", "trace_id", 1, Id(16)),
        also("spanId", "span_id", 2, Id(8)),
        also("traceState", "trace_state", 3, Text),
        member("attributes", 4, Attributes),
        also(
            "droppedAttributesCount",
            "dropped_attributes_count",
            5,
            Uint32,
        ),
        member("flags", 6, Fixed32),
    ],
};

/// `KeyValue`.
pub(super) static KEY_VALUE: Shape = Shape {
    members: &[member("key", 1, Text), member("value", 2, One(&VALUE))],
};

/// `AnyValue`.
static VALUE: Shape = Shape {
    members: &[
        member("stringValue", 1, Text),
        member("boolValue", 2, Bool),
        member("intValue", 3, Int64),
        member("doubleValue", 4, Double),
        member("arrayValue", 5, One(&ARRAY)),
        member("kvlistValue", 6, One(&KV_LIST)),
        member("bytesValue", 7, Bytes),
    ],
};

static ARRAY: Shape = Shape {
    members: &[member("values", 1, Values(&VALUE))],
};

static KV_LIST: Shape = Shape {
    members: &[member("values", 1, Many(&KEY_VALUE))],
};
