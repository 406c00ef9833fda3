//! Rows in, rows out: the columns that the mapping owns, filled.

mod cost;
mod explain;
mod input;
mod output;
mod recent;
mod scope;
mod telemetry;

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::{Array, MapArray, RecordBatch, StringArray, StructArray};
use arrow_schema::ArrowError;

use crate::addition::Addition;
use crate::derive;
use crate::field::Field;
use crate::json;
use crate::mapping::{EventSource, Mapping, MappingError};
use crate::price::Tariff;
use crate::row::Row;
use crate::shape::{Shapes, Step};
use crate::source::{self, Attributes};
use crate::usage;

pub(crate) use cost::disagree;
pub use explain::{ColumnSource, Explained};
use input::Input;
use output::{Derived, Output};
use recent::{Recent, RecentCalls};
pub(crate) use scope::Scope;

/// Fills the canonical and the cost columns of spans.
///
/// It is made once and shared; what it keeps between batches is in its tariffs, and no result
/// depends on it.
#[derive(Debug)]
pub struct Enricher {
    mapping: Mapping,
    standard: Arc<Tariff>,
}

/// One batch in the making.
struct Work<'m, 'a> {
    mapping: &'m Mapping,
    tariff: &'m Tariff,
    input: &'a Input<'a>,
    row: Row<'a>,
    scope: Scope<'a>,
    shapes: Shapes,
    resources: Shapes,
    op_kinds: Recent<&'m str>,
    providers: Recent<Option<Cow<'m, str>>>,
    calls: RecentCalls,
}

impl Enricher {
    /// With the mapping and the price list that are built in.
    ///
    /// # Errors
    ///
    /// Where one of them is not readable, which is a fault of the build.
    pub fn standard() -> Result<Self, MappingError> {
        Self::new(&[], Arc::new(Tariff::standard()?))
    }

    /// With what an operator adds to the mapping, and a tariff for rows of which no other is said.
    ///
    /// # Errors
    ///
    /// [`MappingError::Additions`] with all faults of the additions.
    pub fn new(additions: &[Addition], standard: Arc<Tariff>) -> Result<Self, MappingError> {
        Ok(Self {
            mapping: Mapping::with(additions)?,
            standard,
        })
    }

    /// Looks for the faults of additions to the mapping without using them.
    ///
    /// # Errors
    ///
    /// [`MappingError::Additions`] with all of them.
    pub fn check(additions: &[Addition]) -> Result<(), MappingError> {
        Mapping::with(additions).map(|_| ())
    }

    /// The provider's common name, as in the `provider` column; `None` for what is none.
    pub fn provider(&self, sent: &str) -> Option<String> {
        self.mapping.provider(sent).map(Cow::into_owned)
    }

    /// Fills the canonical and cost columns of `rows`, which have the accepted schema of spans, at
    /// the prices that it was made with.
    ///
    /// What those columns held before is replaced; all others are untouched.
    ///
    /// # Errors
    ///
    /// Where `rows` lack a column that is read, or have it in another type. No row is enriched then.
    pub fn enrich_spans(&self, rows: RecordBatch) -> Result<RecordBatch, ArrowError> {
        self.enrich_spans_at(rows, &self.standard)
    }

    /// As [`Enricher::enrich_spans`], at the prices of `tariff`: that of the tenant of all `rows`.
    /// Rows of `log_events` are taken too: a record's attributes are read as those of a span.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn enrich_spans_at(
        &self,
        rows: RecordBatch,
        tariff: &Tariff,
    ) -> Result<RecordBatch, ArrowError> {
        let input = Input::of(&rows)?;
        let mut output = Output::new(rows.num_rows());
        let mut work = Work::new(&self.mapping, tariff, &input);
        for at in 0..rows.num_rows() {
            work.read(at)?;
            work.settle(at, &mut output);
        }
        output.finish(&rows)
    }
}

impl<'m, 'a> Work<'m, 'a> {
    fn new(mapping: &'m Mapping, tariff: &'m Tariff, input: &'a Input<'a>) -> Self {
        Self {
            mapping,
            tariff,
            input,
            row: Row::new(),
            scope: Scope::of(""),
            shapes: Shapes::default(),
            resources: Shapes::default(),
            op_kinds: Recent::new(),
            providers: Recent::new(),
            calls: RecentCalls::new(),
        }
    }

    /// Fills the slots from all that the span at `at` says.
    fn read(&mut self, at: usize) -> Result<(), ArrowError> {
        let input = self.input;
        let span = input.span(at);
        self.row.clear();
        if span.scope != self.scope.name {
            self.scope = Scope::of(span.scope);
        }
        self.read_resource(at);
        self.read_span(at);
        if !self.row.hosts.is_empty() {
            self.read_hosts();
        }
        self.read_events(at)?;
        derive::apply(&mut self.row, span, &self.scope, self.mapping);
        Ok(())
    }

    /// Works out what the slots mean together, and writes the row.
    fn settle(&mut self, at: usize, out: &mut Output) {
        let span = self.input.span(at);
        let dialect = derive::dialect(&self.row, &self.scope);
        let op_kind = derive::op_kind(&self.row, span.name, &mut |name| {
            let found = || self.mapping.op_kinds.get(name).map_or("", |k| k.as_str());
            let kind = self.op_kinds.get(name, found).copied();
            kind.filter(|k| !k.is_empty())
        });
        let billable = derive::billable(op_kind);
        let exclusive = self.mapping.exclusive_dialects.iter().any(|d| d == dialect);
        let flags = usage::settle(&mut self.row, billable, exclusive);
        let row = &self.row;
        out.put_fields(at, row);
        out.derived(Derived::Dialect).text(at, dialect);
        out.derived(Derived::OpKind).text(at, op_kind);
        if flags.any() {
            out.derived(Derived::UsageFlags).texts(at, flags.words());
        }
        let raw = row.text(Field::ProviderRaw);
        let provider = raw.and_then(|raw| {
            let found = || self.mapping.provider(raw);
            self.providers.get(raw, found)?.as_deref()
        });
        if let Some(provider) = provider {
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
            let call = cost::call(row, provider, self.input.priced_at_us(at));
            let tariff = self.tariff;
            let calls = &mut self.calls;
            cost::put(out, at, (row, flags), tariff.prefer(), || {
                let meaning = calls.get(tariff, &call)?;
                Some(tariff.price_as(meaning, &call))
            });
        }
    }

    /// Offers what the resource says to its slots.
    fn read_resource(&mut self, at: usize) {
        let (input, row) = (self.input, &mut self.row);
        let range = input.resource.range(at);
        let keys = input.resource.keys(&range);
        let Some(shape) = self.resources.get(keys, &self.mapping.resource) else {
            return;
        };
        for Step { at: place, feed } in &shape.steps {
            if let Some(value) = input.resource.value(range.start + place) {
                row.offer(*feed, value, self.mapping, || false);
            }
        }
    }

    /// Offers the span's own attributes to their slots.
    fn read_span(&mut self, at: usize) {
        let (input, row) = (self.input, &mut self.row);
        let range = input.attributes.range(at);
        let keys = input.attributes.keys(&range);
        let Some(shape) = self.shapes.get(keys, &self.mapping.span) else {
            return;
        };
        row.families = shape.families;
        row.for_rules = shape.for_rules;
        for Step { at: place, feed } in &shape.steps {
            let place = range.start + place;
            let Some(value) = input.attributes.value(place) else {
                continue;
            };
            if feed.per_mille {
                row.offer_per_mille(feed.field, feed.rank, value);
                continue;
            }
            let double = || input.types.get(at, input.attributes.key(place)) == Some("double");
            row.offer(*feed, value, self.mapping, double);
        }
        for (place, host) in &shape.hosts {
            if let Some(value) = input.attributes.value(range.start + place) {
                row.hosts.push((*host, value));
            }
        }
    }

    /// Looks into attributes that hold JSON, where a member could improve a slot.
    fn read_hosts(&mut self) {
        let row = &mut self.row;
        for (host, text) in std::mem::take(&mut row.hosts) {
            let Some(members) = self.mapping.hosts.get(usize::from(host)) else {
                continue;
            };
            if !members.iter().any(|m| m.feed.rank < row.rank(m.feed.field)) {
                continue;
            }
            let Some(object) = json::object(text) else {
                continue;
            };
            for member in members {
                let Some(value) = object.get(&member.name).filter(|v| !v.is_null()) else {
                    continue;
                };
                let double = || value.is_f64();
                let text = Cow::Owned(json::plain(value));
                row.offer_owned(member.feed, text, self.mapping, double);
            }
        }
    }

    /// Reads attributes of events, where one could improve a slot.
    fn read_events(&mut self, at: usize) -> Result<(), ArrowError> {
        let (Some(events), row) = (self.input.events, &mut self.row) else {
            return Ok(());
        };
        let range = source::range(events.value_offsets(), at);
        let wanted = |e: &&EventSource| e.feed.rank < row.rank(e.feed.field);
        if range.is_empty() || events.is_null(at) || !self.mapping.events.iter().any(|e| wanted(&e))
        {
            return Ok(());
        }
        let events = events.values().as_any().downcast_ref::<StructArray>();
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
                row.offer(source.feed, value, self.mapping, || false);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
