//! Bookings to and from rows of the table `cost_ledger`.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type};
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{ArrowError, DataType, Field};
use weir_model::schema::MONEY;
use weir_model::{Dataset, TenantId};
use weir_transforms::trace::{
    Attribution, Booking, BookingFlags, ContentKey, CostStatus, OpKind, Sign, SpanId, TraceId,
    Usage, UsageCount,
};
use xxhash_rust::xxh3::xxh3_128;

use super::{COUNTS, Row, Signed, in_columns, millis, nanos};
use crate::cells::Cells;
use crate::store::TraceKey;

/// What these rows are booked from.
const SOURCE: &str = "span";

/// The columns that bookings are read back from.
pub(crate) const COLUMNS: &[&str] = &[
    "tenant_id",
    "source",
    "sign",
    "event_time",
    "trace_id",
    "span_id",
    "content_key",
    "skill",
    "skill_version",
    "skill_attribution",
    "agent_name",
    "agent_id",
    "provider",
    "model",
    "session_id",
    "user_id",
    "team_id",
    "project",
    "cost_center",
    "workflow_name",
    "environment",
    "op_kind",
    "usage_input_tokens",
    "usage_output_tokens",
    "usage_cache_read_tokens",
    "usage_cache_write_tokens",
    "usage_cache_write_1h_tokens",
    "usage_reasoning_tokens",
    "cost_reported_usd",
    "cost_computed_usd",
    "cost_usd",
    "cost_status",
    "cost_disagrees",
    "price_ref",
    "duration_ms",
    "error_type",
    "flags",
    "part_date",
    "received_at",
    "_node",
    "_batch",
    "_row",
];

/// Names a booking: what it books, in which turn of the ledger, and with which sign.
fn booking_id(signed: &Signed, turn: i64, place: usize) -> String {
    let text = format!(
        "{}/{}/{}/{turn}/{place}/{}",
        signed.key.tenant,
        signed.key.trace,
        signed.booking.span,
        signed.sign.number()
    );
    format!("{:032x}", xxh3_128(text.as_bytes()))
}

fn texts<'a>(rows: &'a [Signed], of: impl Fn(&'a Signed) -> Option<&'a str>) -> ArrayRef {
    Arc::new(rows.iter().map(of).collect::<StringArray>())
}

fn owned(rows: &[Signed], of: impl Fn(&Signed) -> Option<String>) -> ArrayRef {
    Arc::new(rows.iter().map(of).collect::<StringArray>())
}

fn times(rows: &[Signed], of: impl Fn(&Signed) -> i64) -> ArrayRef {
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(of));
    Arc::new(times.with_timezone("UTC"))
}

fn money(rows: &[Signed], of: impl Fn(&Booking) -> Option<i128>) -> Result<ArrayRef, ArrowError> {
    let amounts: Decimal128Array = rows.iter().map(|r| of(&r.booking)).collect();
    Ok(Arc::new(
        amounts.with_precision_and_scale(MONEY.0, MONEY.1)?,
    ))
}

fn flags(rows: &[Signed]) -> ArrayRef {
    let element = Field::new("element", DataType::Utf8, true);
    let mut list = ListBuilder::new(StringBuilder::new()).with_field(element);
    for row in rows {
        let mut any = false;
        for word in row.booking.flags.words() {
            list.values().append_value(word);
            any = true;
        }
        list.append(any);
    }
    Arc::new(list.finish())
}

/// The column `name` of `rows`, which are booked at `now_us` as batch `turn`; `None` where the
/// ledger does not fill it.
fn column(
    name: &str,
    rows: &[Signed],
    (now_us, turn): (i64, i64),
) -> Result<Option<ArrayRef>, ArrowError> {
    if let Some(count) = COUNTS.into_iter().find(|count| count.name() == name) {
        let counts = rows.iter().map(|r| r.booking.usage.get(count));
        return Ok(Some(Arc::new(counts.collect::<Int64Array>())));
    }
    if let Some(of) = text_of(name) {
        return Ok(Some(texts(rows, |r| of(&r.booking))));
    }
    Ok(Some(match name {
        "tenant_id" => texts(rows, |r| Some(r.key.tenant.as_str())),
        "booking_id" => {
            let ids = rows
                .iter()
                .enumerate()
                .map(|(place, r)| booking_id(r, turn, place));
            Arc::new(StringArray::from_iter_values(ids))
        }
        "sign" => Arc::new(Int32Array::from_iter_values(
            rows.iter().map(|r| r.sign.number()),
        )),
        "source" => texts(rows, |_| Some(SOURCE)),
        "event_time" => times(rows, |r| r.booking.start.div_euclid(1000)),
        "booked_at" | "received_at" => times(rows, |_| now_us),
        "trace_id" => owned(rows, |r| Some(r.key.trace.to_string())),
        "span_id" => owned(rows, |r| Some(r.booking.span.to_string())),
        "content_key" => owned(rows, |r| Some(r.booking.content_key.to_string())),
        "cost_reported_usd" => money(rows, |b| b.reported)?,
        "cost_computed_usd" => money(rows, |b| b.computed)?,
        "cost_usd" => money(rows, |b| b.cost)?,
        "cost_disagrees" => Arc::new(
            rows.iter()
                .map(|r| r.booking.disagrees)
                .collect::<BooleanArray>(),
        ),
        "duration_ms" => {
            let all = rows.iter().map(|r| r.booking.duration_nanos.map(millis));
            Arc::new(all.collect::<Float64Array>())
        }
        "flags" => flags(rows),
        "part_date" => Arc::new(Date32Array::from_iter_values(
            rows.iter().map(|r| r.part_date),
        )),
        _ => return Ok(None),
    }))
}

/// Where a booking keeps the text of the column `name`.
fn text_of(name: &str) -> Option<fn(&Booking) -> Option<&str>> {
    Some(match name {
        "skill" => |b| b.skill.as_deref(),
        "skill_version" => |b| b.skill_version.as_deref(),
        "skill_attribution" => |b| Some(b.attribution.name()),
        "agent_name" => |b| b.agent_name.as_deref(),
        "agent_id" => |b| b.agent_id.as_deref(),
        "provider" => |b| b.provider.as_deref(),
        "model" => |b| b.model.as_deref(),
        "session_id" => |b| b.session_id.as_deref(),
        "user_id" => |b| b.user_id.as_deref(),
        "team_id" => |b| b.team_id.as_deref(),
        "project" => |b| b.project.as_deref(),
        "cost_center" => |b| b.cost_center.as_deref(),
        "workflow_name" => |b| b.workflow_name.as_deref(),
        "environment" => |b| b.environment.as_deref(),
        "op_kind" => |b| Some(b.kind.name()),
        "cost_status" => |b| Some(b.status.name()),
        "price_ref" => |b| b.price_ref.as_deref(),
        "error_type" => |b| b.error_type.as_deref(),
        _ => return None,
    })
}

/// The rows of a batch, in their order; columns that the ledger does not know are NULL.
pub(crate) fn to_rows(rows: &[Signed], now_us: i64, turn: i64) -> Result<RecordBatch, ArrowError> {
    let schema = Dataset::CostLedger.accepted_schema();
    let columns = schema.fields().iter().map(|field| {
        let known = column(field.name(), rows, (now_us, turn))?;
        Ok(known.unwrap_or_else(|| arrow_array::new_null_array(field.data_type(), rows.len())))
    });
    let columns: Vec<ArrayRef> = columns.collect::<Result<_, ArrowError>>()?;
    RecordBatch::try_new(Arc::clone(&schema), columns)
}

/// One piece of the table, row by row.
struct Piece<'a>(Cells<'a>);

impl Piece<'_> {
    fn shared(&self, name: &str, at: usize) -> Option<Arc<str>> {
        self.0.text(name, at).map(Arc::from)
    }

    fn part_date(&self, at: usize) -> Option<i32> {
        self.0.number::<Date32Type>("part_date", at)
    }

    fn duration(&self, at: usize) -> Option<i64> {
        self.0.number::<Float64Type>("duration_ms", at).map(nanos)
    }

    fn flags(&self, at: usize) -> BookingFlags {
        let mut flags = BookingFlags::default();
        let list = self
            .0
            .array("flags", at)
            .and_then(|c| c.as_list_opt::<i32>());
        let words = list.map(|list| list.value(at));
        let words = words.as_ref().and_then(|w| w.as_string_opt::<i32>());
        for word in words.into_iter().flatten().flatten() {
            match word {
                "conflict" => flags.conflict = true,
                "twin_merged" => flags.twin_merged = true,
                "cycle" => flags.cycle = true,
                _ => {}
            }
        }
        flags
    }

    fn booking(&self, at: usize) -> Option<Booking> {
        let mut usage = Usage::default();
        for count in COUNTS {
            usage.set(count, self.0.long(UsageCount::name(count), at));
        }
        let text = |name| self.shared(name, at);
        Some(in_columns(Booking {
            start: self.0.time("event_time", at)?.saturating_mul(1000),
            span: SpanId::parse(self.0.text("span_id", at)?)?,
            content_key: ContentKey::parse(self.0.text("content_key", at)?)?,
            duration_nanos: self.duration(at),
            kind: OpKind::from_name(self.0.text("op_kind", at)?)?,
            skill: text("skill"),
            skill_version: text("skill_version"),
            attribution: Attribution::from_name(self.0.text("skill_attribution", at)?)?,
            agent_name: text("agent_name"),
            agent_id: text("agent_id"),
            provider: text("provider"),
            model: text("model"),
            session_id: text("session_id"),
            user_id: text("user_id"),
            team_id: text("team_id"),
            project: text("project"),
            cost_center: text("cost_center"),
            workflow_name: text("workflow_name"),
            environment: text("environment"),
            usage,
            reported: self.0.money("cost_reported_usd", at),
            computed: self.0.money("cost_computed_usd", at),
            cost: self.0.money("cost_usd", at),
            status: CostStatus::from_name(self.0.text("cost_status", at)?)?,
            disagrees: self.0.truth("cost_disagrees", at),
            price_ref: text("price_ref"),
            error_type: text("error_type"),
            flags: self.flags(at),
        }))
    }

    fn row(&self, at: usize) -> Option<(TraceKey, Row)> {
        let key = TraceKey {
            tenant: TenantId::new(self.0.text("tenant_id", at)?).ok()?,
            trace: TraceId::parse(self.0.text("trace_id", at)?)?,
        };
        let row = Row {
            batch: self.0.long("_batch", at)?,
            row: u32::try_from(self.0.int("_row", at)?).ok()?,
            sign: if self.0.int("sign", at)? < 0 {
                Sign::Minus
            } else {
                Sign::Plus
            },
            part_date: self.part_date(at)?,
            booking: self.booking(at)?,
        };
        Some((key, row))
    }
}

/// The bookings of spans in a piece of the table; rows that other sources have booked are left out.
pub(crate) fn from_rows(piece: &RecordBatch) -> impl Iterator<Item = (TraceKey, Row)> + '_ {
    let rows = piece.num_rows();
    let piece = Piece(Cells(piece));
    (0..rows).filter_map(move |at| {
        (piece.0.text("source", at) == Some(SOURCE))
            .then(|| piece.row(at))
            .flatten()
    })
}

/// The columns are all there, and in the types that are read.
#[cfg(test)]
pub(super) fn kinds() -> Vec<(&'static str, Option<weir_model::schema::ColumnType>)> {
    let all = Dataset::CostLedger.columns();
    let kind = |name: &str| all.iter().find(|c| c.name == name).map(|c| c.kind);
    COLUMNS.iter().map(|name| (*name, kind(name))).collect()
}
