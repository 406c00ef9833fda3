//! Records that were refused on their own, as rows of `rejected_events`.

use std::borrow::Cow;

use arrow_array::{ArrayRef, RecordBatch};
use weir_model::Dataset;

use super::columns::{Numbers, Text, assemble};
use super::{Acceptance, DecodeError};

/// The most rows that one request may leave behind; the rest is only counted.
const ROWS_MAX: usize = 100;

/// A refused record.
#[derive(Clone, Debug)]
pub(super) struct Rejection {
    pub(super) code: &'static str,
    pub(super) reason: Cow<'static, str>,
    pub(super) index: usize,
    pub(super) id: Option<String>,
    pub(super) payload: Option<String>,
}

/// The first refused records of a request.
#[derive(Debug)]
pub(super) struct Rejections {
    source: &'static str,
    kept: Vec<Rejection>,
}

impl Rejections {
    /// None yet, of the receiver `source`.
    pub(super) fn new(source: &'static str) -> Self {
        Self {
            source,
            kept: Vec::new(),
        }
    }

    /// Adds a record, if there is room.
    pub(super) fn push(&mut self, rejection: Rejection) {
        if self.kept.len() < ROWS_MAX {
            self.kept.push(rejection);
        }
    }

    /// The rows, in the accepted schema; none where nothing was refused.
    pub(super) fn finish(self, at: &Acceptance) -> Result<Option<RecordBatch>, DecodeError> {
        let rows = self.kept.len();
        if rows == 0 {
            return Ok(None);
        }
        let mut codes = Text::new(rows, 16);
        let mut reasons = Text::new(rows, 64);
        let mut indexes = Numbers::new(rows);
        let mut ids = Text::new(rows, 50);
        let mut payloads = Text::new(rows, 0);
        for rejection in &self.kept {
            codes.push(rejection.code.as_bytes());
            reasons.push(rejection.reason.as_bytes());
            indexes.push_opt(i64::try_from(rejection.index).ok());
            ids.push_opt(rejection.id.as_deref().map(str::as_bytes));
            payloads.push_opt(rejection.payload.as_deref().map(str::as_bytes));
        }
        let mut columns = vec![
            ("source", repeated_text(self.source, rows)?),
            ("reason_code", codes.finish()?),
            ("reason", reasons.finish()?),
            ("item_index", indexes.finish()),
            ("item_id", ids.finish()?),
            ("payload", payloads.finish()?),
        ];
        columns.extend(common_columns(at, rows)?);
        columns.push(("part_date", received_dates(at, rows)));
        assemble(Dataset::RejectedEvents, rows, columns).map(Some)
    }
}

/// The same text in every row.
pub(super) fn repeated_text(text: &str, rows: usize) -> Result<ArrayRef, DecodeError> {
    let mut one = Text::new(1, text.len());
    one.push(text.as_bytes());
    one.repeat(&[rows], rows).finish()
}

/// The columns that the acceptance alone decides: `tenant_id` and `received_at`.
pub(super) fn common_columns(
    at: &Acceptance,
    rows: usize,
) -> Result<[(&'static str, ArrayRef); 2], DecodeError> {
    common_columns_of(&[at], &[rows])
}

/// The same for several acceptances, each with so many rows.
pub(super) fn common_columns_of(
    all: &[&Acceptance],
    counts: &[usize],
) -> Result<[(&'static str, ArrayRef); 2], DecodeError> {
    let rows = counts.iter().sum();
    let mut tenants = Text::new(all.len(), 16);
    let mut received = Numbers::new(all.len());
    for at in all {
        tenants.push(at.tenant.as_str().as_bytes());
        received.push(at.received_at_us);
    }
    Ok([
        ("tenant_id", tenants.repeat(counts, rows).finish()?),
        ("received_at", received.repeat(counts, rows).finish_times()),
    ])
}

fn received_dates(at: &Acceptance, rows: usize) -> ArrayRef {
    let mut date = Numbers::new(1);
    date.push(at.part_date(None).0);
    date.repeat(&[rows], rows).finish_dates()
}
