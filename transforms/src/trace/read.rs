//! Facts from rows of spans.

use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Decimal128Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, BooleanArray, ListArray, PrimitiveArray, RecordBatch, StringArray, StringViewArray,
};
use arrow_schema::ArrowError;

use super::booking::CostStatus;
use super::fact::{
    ContentKey, Context, Fact, Inherited, ModelCall, Shared, Skill, SkillSource, SpanId, ToolRole,
    TraceId, Usage, UsageCount,
};
use super::names::OpKind;

/// The error type of spans that failed without saying how, by OpenTelemetry's conventions.
const SOME_ERROR: &str = "_OTHER";

/// The columns that are read beside [`Inherited`] and [`UsageCount`].
const OTHERS: [&str; 32] = [
    "tenant_id",
    "trace_id",
    "span_id",
    "parent_span_id",
    "kind",
    "status_code",
    "content_key",
    "dialect",
    "op_kind",
    "provider",
    "model_request",
    "model_response",
    "response_id",
    "service_tier",
    "environment",
    "mcp_method",
    "skill_name",
    "skill_version",
    "skill_source",
    "error_type",
    "cost_status",
    "price_ref",
    "start_time_unix_nano",
    "end_time_unix_nano",
    "start_time",
    "received_at",
    "is_batch",
    "cost_disagrees",
    "cost_reported_usd",
    "cost_computed_usd",
    "cost_usd",
    "usage_flags",
];

/// A text column, as rows hold it in memory or as queries answer.
#[derive(Clone, Copy, Debug)]
enum Texts<'a> {
    Plain(&'a StringArray),
    View(&'a StringViewArray),
}

impl<'a> Texts<'a> {
    fn of(column: &'a dyn Array) -> Option<Self> {
        let any = column.as_any();
        let plain = any.downcast_ref().map(Self::Plain);
        plain.or_else(|| any.downcast_ref().map(Self::View))
    }

    fn get(self, row: usize) -> Option<&'a str> {
        match self {
            Self::Plain(column) => column.is_valid(row).then(|| column.value(row)),
            Self::View(column) => column.is_valid(row).then(|| column.value(row)),
        }
    }
}

/// The columns of a batch that facts are read from.
#[derive(Debug)]
struct Columns<'a> {
    tenant: Texts<'a>,
    trace: Texts<'a>,
    span: Texts<'a>,
    parent: Texts<'a>,
    span_kind: Texts<'a>,
    status_code: Texts<'a>,
    content_key: Texts<'a>,
    dialect: Texts<'a>,
    op_kind: Texts<'a>,
    provider: Texts<'a>,
    model_request: Texts<'a>,
    model_response: Texts<'a>,
    response_id: Texts<'a>,
    service_tier: Texts<'a>,
    environment: Texts<'a>,
    mcp_method: Texts<'a>,
    skill_name: Texts<'a>,
    skill_version: Texts<'a>,
    skill_source: Texts<'a>,
    error_type: Texts<'a>,
    cost_status: Texts<'a>,
    price_ref: Texts<'a>,
    inherited: Vec<Texts<'a>>,
    counts: Vec<&'a PrimitiveArray<Int64Type>>,
    start_nanos: &'a PrimitiveArray<Int64Type>,
    end_nanos: &'a PrimitiveArray<Int64Type>,
    start: &'a PrimitiveArray<TimestampMicrosecondType>,
    received: &'a PrimitiveArray<TimestampMicrosecondType>,
    batch: &'a BooleanArray,
    disagrees: &'a BooleanArray,
    reported: &'a PrimitiveArray<Decimal128Type>,
    computed: &'a PrimitiveArray<Decimal128Type>,
    cost: &'a PrimitiveArray<Decimal128Type>,
    usage_flags: &'a ListArray,
}

fn lacks(name: &str) -> ArrowError {
    ArrowError::SchemaError(format!("facts need the column {name}"))
}

fn texts<'a>(rows: &'a RecordBatch, name: &str) -> Result<Texts<'a>, ArrowError> {
    let column = rows
        .column_by_name(name)
        .and_then(|c| Texts::of(c.as_ref()));
    column.ok_or_else(|| lacks(name))
}

fn typed<'a, T: 'static>(rows: &'a RecordBatch, name: &str) -> Result<&'a T, ArrowError> {
    let column = rows.column_by_name(name);
    column
        .and_then(|c| c.as_any().downcast_ref())
        .ok_or_else(|| lacks(name))
}

fn value<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    column.is_valid(row).then(|| column.value(row))
}

impl<'a> Columns<'a> {
    fn of(rows: &'a RecordBatch) -> Result<Self, ArrowError> {
        Ok(Self {
            tenant: texts(rows, "tenant_id")?,
            trace: texts(rows, "trace_id")?,
            span: texts(rows, "span_id")?,
            parent: texts(rows, "parent_span_id")?,
            span_kind: texts(rows, "kind")?,
            status_code: texts(rows, "status_code")?,
            content_key: texts(rows, "content_key")?,
            dialect: texts(rows, "dialect")?,
            op_kind: texts(rows, "op_kind")?,
            provider: texts(rows, "provider")?,
            model_request: texts(rows, "model_request")?,
            model_response: texts(rows, "model_response")?,
            response_id: texts(rows, "response_id")?,
            service_tier: texts(rows, "service_tier")?,
            environment: texts(rows, "environment")?,
            mcp_method: texts(rows, "mcp_method")?,
            skill_name: texts(rows, "skill_name")?,
            skill_version: texts(rows, "skill_version")?,
            skill_source: texts(rows, "skill_source")?,
            error_type: texts(rows, "error_type")?,
            cost_status: texts(rows, "cost_status")?,
            price_ref: texts(rows, "price_ref")?,
            inherited: Inherited::ALL
                .into_iter()
                .map(|column| texts(rows, column.name()))
                .collect::<Result<_, _>>()?,
            counts: UsageCount::ALL
                .into_iter()
                .map(|count| typed(rows, count.name()))
                .collect::<Result<_, _>>()?,
            start_nanos: typed(rows, "start_time_unix_nano")?,
            end_nanos: typed(rows, "end_time_unix_nano")?,
            start: typed(rows, "start_time")?,
            received: typed(rows, "received_at")?,
            batch: typed(rows, "is_batch")?,
            disagrees: typed(rows, "cost_disagrees")?,
            reported: typed(rows, "cost_reported_usd")?,
            computed: typed(rows, "cost_computed_usd")?,
            cost: typed(rows, "cost_usd")?,
            usage_flags: typed(rows, "usage_flags")?,
        })
    }

    /// Who reports the call of a tool that `row` is.
    fn role(&self, row: usize, kind: OpKind) -> Option<ToolRole> {
        let mcp = self.mcp_method.get(row).is_some();
        if mcp && self.span_kind.get(row) == Some("server") {
            return Some(ToolRole::McpServer);
        }
        match (kind, mcp) {
            (OpKind::Tool, true) => Some(ToolRole::McpClient),
            (OpKind::Tool, false) => Some(ToolRole::Agent),
            _ => None,
        }
    }

    /// The words of `usage_flags`.
    fn flags(&self, row: usize) -> Flags {
        let mut flags = Flags::default();
        if self.usage_flags.is_null(row) {
            return flags;
        }
        let words = self.usage_flags.value(row);
        let Some(texts) = Texts::of(words.as_ref()) else {
            return flags;
        };
        for word in (0..words.len()).filter_map(|at| texts.get(at)) {
            match word {
                "aggregate" => flags.aggregate = true,
                "made_inclusive" => flags.made_inclusive = true,
                "invalid" => flags.invalid = true,
                "reasoning_added" => flags.reasoning_added = true,
                _ => {}
            }
        }
        flags
    }

    fn call(&self, row: usize, flags: Flags, shared: &mut Shared) -> ModelCall {
        let mut usage = Usage::default();
        for (count, column) in UsageCount::ALL.into_iter().zip(&self.counts) {
            usage.set(count, value(column, row));
        }
        let mut text = |column: Texts<'a>| column.get(row).map(|t| shared.text(t));
        let price_ref = text(self.price_ref);
        let list = price_ref.as_deref().and_then(list_of).map(str::to_owned);
        let status = self.cost_status.get(row).and_then(CostStatus::from_name);
        ModelCall {
            provider: text(self.provider),
            model_request: text(self.model_request),
            model_response: text(self.model_response),
            service_tier: text(self.service_tier),
            // Each answer has its own: there is nothing to share.
            response_id: self.response_id.get(row).map(Arc::from),
            batch: self.batch.is_valid(row).then(|| self.batch.value(row)),
            usage,
            invalid: flags.invalid,
            made_inclusive: flags.made_inclusive,
            reasoning_added: flags.reasoning_added,
            reported: value(self.reported, row),
            computed: value(self.computed, row),
            cost: value(self.cost, row),
            status: status.unwrap_or_default(),
            disagrees: self
                .disagrees
                .is_valid(row)
                .then(|| self.disagrees.value(row)),
            price_ref,
            list: list.map(|name| shared.text(&name)),
        }
    }

    fn skill(&self, row: usize, shared: &mut Shared) -> Option<Skill> {
        let name = self.skill_name.get(row)?;
        let source = self.skill_source.get(row).and_then(SkillSource::from_name);
        Some(Skill {
            name: shared.text(name),
            version: self.skill_version.get(row).map(|t| shared.text(t)),
            source: source.unwrap_or(SkillSource::Metadata),
        })
    }

    fn error(&self, row: usize, shared: &mut Shared) -> Option<Arc<str>> {
        let failed = self.status_code.get(row) == Some("error");
        let said = self.error_type.get(row);
        said.or(failed.then_some(SOME_ERROR))
            .map(|t| shared.text(t))
    }

    fn fact(&self, row: usize, shared: &mut Shared) -> Option<(TraceId, Fact)> {
        let trace = self.trace.get(row).and_then(TraceId::parse)?;
        let span = self.span.get(row).and_then(SpanId::parse)?;
        let kind = match self.op_kind.get(row) {
            None => OpKind::Other,
            Some(name) => OpKind::from_name(name).unwrap_or(OpKind::Unlisted),
        };
        let flags = self.flags(row);
        let mut context = Context {
            environment: self.environment.get(row).map(|t| shared.text(t)),
            ..Context::default()
        };
        for (which, column) in Inherited::ALL.into_iter().zip(&self.inherited) {
            context.set(which, column.get(row).map(|t| shared.text(t)));
        }
        let start = value(self.start_nanos, row);
        let key = self.content_key.get(row).and_then(ContentKey::parse);
        let mut fact = Fact {
            span,
            content_key: key.unwrap_or(ContentKey(0)),
            received_us: self.received.value(row),
            parent: self.parent.get(row).and_then(SpanId::parse),
            start: start.unwrap_or_else(|| self.start.value(row).saturating_mul(1000)),
            end: value(self.end_nanos, row),
            kind,
            role: self.role(row, kind),
            aggregate: flags.aggregate,
            error: self.error(row, shared),
            dialect: self.dialect.get(row).map(|t| shared.text(t)),
            context: shared.context(context),
            skill: self.skill(row, shared),
            call: kind
                .is_model_call()
                .then(|| Box::new(self.call(row, flags, shared))),
        };
        if key.is_none() {
            fact.content_key = fact.hashed();
        }
        Some((trace, fact))
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    aggregate: bool,
    made_inclusive: bool,
    invalid: bool,
    reasoning_added: bool,
}

/// The list's name in a `price_ref`, which ends at the first colon.
fn list_of(price_ref: &str) -> Option<&str> {
    price_ref.split_once(':').map(|(list, _)| list)
}

/// The facts of a batch, in the order of its rows.
#[derive(Debug)]
pub struct Facts<'a> {
    columns: Columns<'a>,
    rows: std::ops::Range<usize>,
    shared: &'a mut Shared,
    unreadable: usize,
}

impl Facts<'_> {
    /// How many rows so far had no readable id and gave no fact: such rows are refused at the door,
    /// so that there are none unless a table was written by others.
    pub fn unreadable(&self) -> usize {
        self.unreadable
    }
}

impl<'a> Iterator for Facts<'a> {
    /// The tenant, the trace and the fact.
    type Item = (&'a str, TraceId, Fact);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let row = self.rows.next()?;
            let tenant = self.columns.tenant.get(row);
            match tenant.zip(self.columns.fact(row, self.shared)) {
                Some((tenant, (trace, fact))) => return Some((tenant, trace, fact)),
                None => self.unreadable += 1,
            }
        }
    }
}

impl Fact {
    /// The facts in `rows`, which have the columns of spans (see [`Fact::columns`]; others are not
    /// looked at). Equal texts are shared by `shared`.
    ///
    /// # Errors
    ///
    /// Where `rows` lack a column or have it in another type. Nothing is read then.
    pub fn read<'a>(
        rows: &'a RecordBatch,
        shared: &'a mut Shared,
    ) -> Result<Facts<'a>, ArrowError> {
        Ok(Facts {
            columns: Columns::of(rows)?,
            rows: 0..rows.num_rows(),
            shared,
            unreadable: 0,
        })
    }

    /// The columns of spans that facts are read from: what has to be read of a table, and no more.
    pub fn columns() -> impl Iterator<Item = &'static str> {
        let counts = UsageCount::ALL.into_iter().map(UsageCount::name);
        let inherited = Inherited::ALL.into_iter().map(Inherited::name);
        OTHERS.into_iter().chain(counts).chain(inherited)
    }
}
