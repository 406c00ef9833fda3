//! Rows in, rows out: the columns that the mapping owns, filled.

use std::borrow::Cow;

use arrow_array::{Array, Int64Array, ListArray, MapArray, RecordBatch, StringArray, StructArray};
use arrow_array::{ArrayRef, TimestampMicrosecondArray};
use arrow_schema::ArrowError;

use crate::columns::Column;
use crate::derive::{self, Span};
use crate::field::{Field, Kind};
use crate::keys::Feed;
use crate::mapping::{Mapping, MappingError};
use crate::price::{Call, PriceList, Priced, Tokens};
use crate::row::Row;
use crate::source::{self, Attributes};
use crate::usage::{self, UsageFlags};
use crate::{json, money};

/// Reported and computed cost disagree beyond this many parts in a hundred.
const DISAGREE_PERCENT: i128 = 2;

/// Columns that are worked out rather than read.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
enum Derived {
    Dialect,
    OpKind,
    Provider,
    Model,
    UsageFlags,
    SkillSource,
    CostComputed,
    Cost,
    CostStatus,
    CostDisagrees,
    PriceRef,
}

/// Their names, by number.
const DERIVED: [&str; 11] = [
    "dialect",
    "op_kind",
    "provider",
    "model",
    "usage_flags",
    "skill_source",
    "cost_computed_usd",
    "cost_usd",
    "cost_status",
    "cost_disagrees",
    "price_ref",
];

/// Fills the canonical and the cost columns of spans.
///
/// It is made once and shared: all it keeps between batches is which list entry a model name means.
#[derive(Debug)]
pub struct Enricher {
    mapping: Mapping,
    prices: PriceList,
}

/// The columns of a batch that are read.
struct Input<'a> {
    attributes: Attributes<'a>,
    types: Attributes<'a>,
    resource: Attributes<'a>,
    events: &'a ListArray,
    names: &'a StringArray,
    scopes: &'a StringArray,
    starts: &'a TimestampMicrosecondArray,
    start_nanos: &'a Int64Array,
    received: &'a TimestampMicrosecondArray,
}

impl<'a> Input<'a> {
    fn of(rows: &'a RecordBatch) -> Result<Self, ArrowError> {
        Ok(Self {
            attributes: Attributes::named(rows, "attributes")?,
            types: Attributes::named(rows, "attribute_types")?,
            resource: Attributes::named(rows, "resource_attributes")?,
            events: source::column(rows, "events")?,
            names: source::column(rows, "name")?,
            scopes: source::column(rows, "scope_name")?,
            starts: source::column(rows, "start_time")?,
            start_nanos: source::column(rows, "start_time_unix_nano")?,
            received: source::column(rows, "received_at")?,
        })
    }

    fn span(&self, row: usize) -> Span<'a> {
        Span {
            name: self.names.value(row),
            scope: if self.scopes.is_valid(row) {
                self.scopes.value(row)
            } else {
                ""
            },
            start_unix_nano: self
                .start_nanos
                .is_valid(row)
                .then(|| self.start_nanos.value(row)),
        }
    }

    /// When the call began, as far as a price needs it: a span without a start was made about when
    /// it was received.
    fn priced_at_us(&self, row: usize) -> i64 {
        match self.starts.value(row) {
            start if start > 0 => start,
            _ => self.received.value(row),
        }
    }
}

/// The columns in the making.
struct Output {
    fields: Vec<Column>,
    derived: Vec<Column>,
}

impl Output {
    fn new(rows: usize) -> Self {
        let columns = |n| {
            std::iter::repeat_with(|| Column::new(rows))
                .take(n)
                .collect()
        };
        Self {
            fields: columns(Field::COLUMNS),
            derived: columns(DERIVED.len()),
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "one column for each, by its number"
    )]
    fn derived(&mut self, which: Derived) -> &mut Column {
        &mut self.derived[which as usize]
    }

    /// Takes over what the slots of `row` hold.
    fn put_fields(&mut self, at: usize, row: &Row<'_>) {
        for field in row.filled() {
            // Slots that only rules read have no column.
            let Some(column) = self.fields.get_mut(field as usize) else {
                continue;
            };
            match field.kind() {
                Kind::Text => row.text(field).into_iter().for_each(|t| column.text(at, t)),
                Kind::Texts => {
                    let text = row.text(field).unwrap_or_default();
                    match json::only_text(text) {
                        Some(only) => column.texts(at, std::iter::once(only)),
                        None => column.texts(at, json::texts(text).into_iter()),
                    }
                }
                Kind::Int => row
                    .number(field)
                    .into_iter()
                    .for_each(|n| column.int(at, n)),
                Kind::Bool => row
                    .number(field)
                    .into_iter()
                    .for_each(|n| column.truth(at, n != 0)),
                Kind::Double => row.seconds().into_iter().for_each(|s| column.double(at, s)),
                Kind::Money => row.reported().into_iter().for_each(|m| column.money(at, m)),
            }
        }
    }

    /// `rows` with the columns that were filled in place of its own.
    fn finish(self, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
        let schema = rows.schema();
        let names = Field::ALL
            .iter()
            .take(Field::COLUMNS)
            .map(|f| f.name())
            .chain(DERIVED);
        for (name, column) in names.zip(self.fields.into_iter().chain(self.derived)) {
            let Some((at, field)) = schema.column_with_name(name) else {
                continue;
            };
            let Some(slot) = columns.get_mut(at) else {
                continue;
            };
            if column.is_unused() && slot.null_count() == slot.len() {
                continue;
            }
            *slot = column.finish(field.data_type())?;
        }
        RecordBatch::try_new(schema, columns)
    }
}

impl Enricher {
    /// With the mapping and the price list that are built in.
    ///
    /// # Errors
    ///
    /// Where one of them is not readable, which is a fault of the build.
    pub fn standard() -> Result<Self, MappingError> {
        Ok(Self {
            mapping: Mapping::standard()?,
            prices: PriceList::standard()?,
        })
    }

    /// Fills the canonical and cost columns of `rows`, which have the accepted schema of spans.
    ///
    /// What those columns held before is replaced; all others are untouched.
    ///
    /// # Errors
    ///
    /// Where `rows` lack a column that is read, or have it in another type. No row is enriched then.
    pub fn enrich_spans(&self, rows: RecordBatch) -> Result<RecordBatch, ArrowError> {
        let input = Input::of(&rows)?;
        let mut output = Output::new(rows.num_rows());
        let mut row = Row::new();
        let mut resource: Vec<(Feed, &str)> = Vec::new();
        for at in 0..rows.num_rows() {
            row.clear();
            if at == 0 || !input.resource.same(at - 1, at) {
                self.read_resource(&input, at, &mut resource);
            }
            for (feed, value) in &resource {
                let place = (feed.field, feed.rank);
                row.offer(place, Cow::Borrowed(*value), &self.mapping, || false);
            }
            self.read_span(&input, at, &mut row);
            self.read_hosts(&mut row);
            self.read_events(&input, at, &mut row)?;
            derive::apply(&mut row, input.span(at), &self.mapping);
            self.settle(&input, at, &mut row, &mut output);
        }
        output.finish(&rows)
    }

    /// Collects what the resource of row `at` feeds.
    fn read_resource<'a>(&self, input: &Input<'a>, at: usize, feeds: &mut Vec<(Feed, &'a str)>) {
        feeds.clear();
        for i in input.resource.range(at) {
            let known = self.mapping.resource.get(input.resource.key(i).as_bytes());
            if let (Some(known), Some(value)) = (known, input.resource.value(i)) {
                feeds.extend(known.feeds.iter().map(|f| (*f, value)));
            }
        }
    }

    /// Offers the span's own attributes to their slots.
    fn read_span<'a>(&self, input: &Input<'a>, at: usize, row: &mut Row<'a>) {
        for i in input.attributes.range(at) {
            let key = input.attributes.key(i);
            row.families.note(key);
            let Some(known) = self.mapping.span.get(key.as_bytes()) else {
                continue;
            };
            let Some(value) = input.attributes.value(i) else {
                continue;
            };
            if let Some(host) = known.host {
                row.hosts.push((host, value));
            }
            for feed in &known.feeds {
                if feed.per_mille {
                    row.offer_per_mille(feed.field, feed.rank, value);
                    continue;
                }
                let double = || input.types.get(at, key) == Some("double");
                let place = (feed.field, feed.rank);
                row.offer(place, Cow::Borrowed(value), &self.mapping, double);
            }
        }
    }

    /// Looks into attributes that hold JSON, where a member could improve a slot.
    fn read_hosts(&self, row: &mut Row<'_>) {
        for (host, text) in std::mem::take(&mut row.hosts) {
            let Some(members) = self.mapping.hosts.get(usize::from(host)) else {
                continue;
            };
            if !members.iter().any(|m| m.rank < row.rank(m.field)) {
                continue;
            }
            let Some(object) = json::object(text) else {
                continue;
            };
            for member in members {
                let Some(value) = object.get(&member.name).filter(|v| !v.is_null()) else {
                    continue;
                };
                let place = (member.field, member.rank);
                let double = || value.is_f64();
                row.offer(place, Cow::Owned(json::plain(value)), &self.mapping, double);
            }
        }
    }

    /// Reads attributes of events, where one could improve a slot.
    fn read_events<'a>(
        &self,
        input: &Input<'a>,
        at: usize,
        row: &mut Row<'a>,
    ) -> Result<(), ArrowError> {
        let range = source::range(input.events.value_offsets(), at);
        let wanted = |e: &&crate::mapping::EventSource| e.rank < row.rank(e.field);
        if range.is_empty()
            || input.events.is_null(at)
            || !self.mapping.events.iter().any(|e| wanted(&e))
        {
            return Ok(());
        }
        let events = input.events.values().as_any().downcast_ref::<StructArray>();
        let member = |name| events.and_then(|e| e.column_by_name(name));
        let names = member("name").and_then(|c| c.as_any().downcast_ref::<StringArray>());
        let maps = member("attributes").and_then(|c| c.as_any().downcast_ref::<MapArray>());
        let (Some(names), Some(maps)) = (names, maps) else {
            return Err(ArrowError::SchemaError(
                "events need names and attributes".into(),
            ));
        };
        let attributes = Attributes::of(maps)?;
        for source in &self.mapping.events {
            let named = |i: &usize| names.is_valid(*i) && names.value(*i) == source.event;
            let event = range.clone().find(named);
            if let Some(value) = event.and_then(|i| attributes.get(i, &source.key)) {
                let place = (source.field, source.rank);
                row.offer(place, Cow::Borrowed(value), &self.mapping, || false);
            }
        }
        Ok(())
    }

    /// Works out what the slots mean together, and writes the row.
    fn settle(&self, input: &Input<'_>, at: usize, row: &mut Row<'_>, out: &mut Output) {
        let span = input.span(at);
        let dialect = derive::dialect(row, span.scope);
        let op_kind = derive::op_kind(row, span.name, &self.mapping);
        let billable = derive::billable(op_kind);
        let exclusive = self.mapping.exclusive_dialects.iter().any(|d| d == dialect);
        let flags = usage::settle(row, billable, exclusive);
        out.put_fields(at, row);
        out.derived(Derived::Dialect).text(at, dialect);
        out.derived(Derived::OpKind).text(at, op_kind);
        if flags.any() {
            out.derived(Derived::UsageFlags).texts(at, flags.words());
        }
        let provider = derive::provider(row, &self.mapping);
        if let Some(provider) = &provider {
            out.derived(Derived::Provider).text(at, provider);
        }
        let models = [
            row.text(Field::ModelResponse),
            row.text(Field::ModelRequest),
        ];
        if let Some(model) = models.into_iter().flatten().next() {
            out.derived(Derived::Model).text(at, model);
        }
        if row.has(Field::SkillName) {
            let rank = usize::from(row.rank(Field::SkillName));
            let source = self.mapping.skill_sources.get(rank);
            source
                .into_iter()
                .for_each(|s| out.derived(Derived::SkillSource).text(at, s));
        }
        if billable {
            let call = Call {
                provider: provider.as_deref(),
                models,
                start_us: input.priced_at_us(at),
                tier: row.text(Field::ServiceTier),
                batch: row.number(Field::IsBatch) == Some(1),
                tokens: tokens(row),
            };
            self.put_cost(at, &call, (row, flags), out);
        }
    }

    /// Writes the cost columns of a model call.
    fn put_cost(
        &self,
        at: usize,
        call: &Call<'_>,
        (row, flags): (&Row<'_>, UsageFlags),
        out: &mut Output,
    ) {
        let used = row.has(Field::InputTokens) || row.has(Field::OutputTokens);
        let mut status = if flags.invalid {
            "invalid_usage"
        } else {
            "no_usage"
        };
        let mut computed = None;
        if used {
            match self.prices.price(call) {
                Priced::Amount(amount, reference) => {
                    status = "computed";
                    computed = Some(amount);
                    out.derived(Derived::CostComputed).money(at, amount);
                    out.derived(Derived::PriceRef).text(at, &reference);
                }
                Priced::Unpriced => status = "unpriced",
                Priced::InvalidUsage => status = "invalid_usage",
            }
        }
        let reported = row.reported().filter(|_| !flags.invalid);
        if reported.is_some() {
            status = "reported";
        }
        if let (Some(reported), Some(computed)) = (reported, computed) {
            out.derived(Derived::CostDisagrees)
                .truth(at, disagree(reported, computed));
        }
        if let Some(cost) = reported.or(computed) {
            out.derived(Derived::Cost).money(at, cost);
        }
        out.derived(Derived::CostStatus).text(at, status);
    }
}

/// Whether two amounts differ by more than two parts in a hundred of the reported one.
pub(crate) fn disagree(reported: i128, computed: i128) -> bool {
    let least = 10_i128.pow(money::SCALE.unsigned_abs() - 9);
    (reported - computed).abs() * 100 > DISAGREE_PERCENT * reported.max(least)
}

fn tokens(row: &Row<'_>) -> Tokens {
    let count = |field| row.number(field).unwrap_or_default();
    Tokens {
        input: count(Field::InputTokens),
        output: count(Field::OutputTokens),
        cache_read: count(Field::CacheReadTokens),
        cache_write: count(Field::CacheWriteTokens),
        cache_write_1h: count(Field::CacheWrite1hTokens),
        reasoning: count(Field::ReasoningTokens),
        audio_input: count(Field::AudioInputTokens),
        audio_output: count(Field::AudioOutputTokens),
        image_input: count(Field::ImageInputTokens),
        image_output: count(Field::ImageOutputTokens),
    }
}

#[cfg(test)]
mod tests;
