//! The shapes that the description refers to.

use serde_json::{Value, json};

pub(super) fn problem() -> Value {
    json!({
        "type": "object",
        "description": "A problem document (RFC 9457)",
        "required": ["type", "title", "status", "detail", "code", "request_id"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "code": { "type": "string" },
            "request_id": { "type": "string" },
        },
    })
}

pub(super) fn status() -> Value {
    json!({
        "type": "object",
        "description": "google.rpc.Status, as OTLP wants it; in protobuf where the request was",
        "required": ["code", "message"],
        "properties": {
            "code": { "type": "integer" },
            "message": { "type": "string" },
            "details": { "type": "array", "items": { "type": "object" } },
            "detail": { "type": "string" },
        },
    })
}

pub(super) fn query() -> Value {
    json!({
        "type": "object",
        "required": ["sql"],
        "additionalProperties": false,
        "properties": {
            "sql": { "type": "string" },
            "format": { "enum": ["json", "csv", "arrow", "parquet"] },
            "limit": { "type": "integer", "minimum": 0 },
            "timeout_ms": { "type": "integer", "minimum": 0 },
        },
    })
}
