//! What was refused after its request was accepted: one row a record.

use super::ColumnType::*;
use super::{Column, may, must};

/// Between `tenant_id` and `part_date`.
pub(super) const COLUMNS: &[Column] = &[
    must("source", Text, "Which receiver took the request"),
    must("reason_code", Text, "Why it was refused, as a stable word"),
    must("reason", Text, "Why it was refused, for people"),
    may("item_index", Int64, "The record's place in its request"),
    may("item_id", Text, "The record's own id, where it has one"),
    may("payload", Text, "The record, where policy lets it be kept"),
];
