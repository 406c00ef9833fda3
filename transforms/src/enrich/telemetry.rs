//! Telemetry events: their columns stand there already; what is missing is the price.

use std::borrow::Cow;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::ArrowError;

use super::output::{Derived, Output};
use super::recent::RecentCalls;
use super::{Enricher, cost};
use crate::field::{Field, Kind};
use crate::keys::Feed;
use crate::price::Tariff;
use crate::row::Row;
use crate::{source, usage};

/// The columns of a batch that are read.
struct Input<'a> {
    texts: Vec<(Field, &'a StringArray)>,
    counts: Vec<(Field, &'a Int64Array)>,
    reported: &'a Decimal128Array,
    rows: &'a RecordBatch,
}

impl<'a> Input<'a> {
    fn of(rows: &'a RecordBatch) -> Result<Self, ArrowError> {
        let mut texts = vec![(Field::ModelRequest, source::column(rows, "model")?)];
        let mut counts = Vec::new();
        for field in rows.schema().fields() {
            let Some(of) = Field::by_name(field.name()) else {
                continue;
            };
            match of.kind() {
                Kind::Text => texts.push((of, source::column(rows, of.name())?)),
                Kind::Int => counts.push((of, source::column(rows, of.name())?)),
                Kind::Texts | Kind::Bool | Kind::Double | Kind::Money => {}
            }
        }
        Ok(Self {
            texts,
            counts,
            reported: source::column(rows, "cost_reported_usd")?,
            rows,
        })
    }

    /// When the event happened, as far as a price needs it.
    fn priced_at_us(&self, at: usize) -> i64 {
        let time = |name| {
            let column = self.rows.column_by_name(name)?;
            let times = column.as_primitive_opt::<TimestampMicrosecondType>()?;
            times.is_valid(at).then(|| times.value(at))
        };
        let said = time("event_time").filter(|us| *us > 0);
        said.or_else(|| time("received_at")).unwrap_or_default()
    }

    /// Whether a count was sent that cannot be.
    fn is_invalid(&self, at: usize) -> bool {
        let flags = self.rows.column_by_name("flags");
        let flags = flags.and_then(|c| c.as_list_opt::<i32>());
        let Some(flags) = flags.filter(|flags| flags.is_valid(at)) else {
            return false;
        };
        let words = flags.value(at);
        let words = words.as_string_opt::<i32>();
        words.is_some_and(|words| words.iter().flatten().any(|w| w == "tokens_invalid"))
    }
}

impl Enricher {
    /// Fills the provider and the cost columns of telemetry events, at the prices of `tariff`: that
    /// of the tenant of all `rows`, which have the accepted schema of `telemetry_events`.
    ///
    /// An event is a call of a model. What its sender estimated is its reported cost; where it also
    /// names a model and tokens, the list price stands beside it, as for spans.
    ///
    /// # Errors
    ///
    /// Where `rows` lack a column that is read. No row is enriched then.
    pub fn enrich_telemetry_at(
        &self,
        rows: &RecordBatch,
        tariff: &Tariff,
    ) -> Result<RecordBatch, ArrowError> {
        let input = Input::of(rows)?;
        let mut output = Output::new(rows.num_rows());
        let mut row = Row::new();
        let mut calls = RecentCalls::new();
        for at in 0..rows.num_rows() {
            row.clear();
            self.read_event(&mut row, &input, at);
            let mut flags = usage::settle(&mut row, true, false);
            if input.is_invalid(at) {
                row.drop_all(&usage::COUNTS);
                flags.invalid = true;
            }
            output.put_fields(at, &row);
            let raw = row.text(Field::ProviderRaw);
            let provider = raw.and_then(|raw| self.mapping.provider(raw));
            if let Some(provider) = &provider {
                output.derived(Derived::Provider).text(at, provider);
            }
            if let Some(model) = row.text(Field::ModelRequest) {
                output.derived(Derived::Model).text(at, model);
            }
            let call = cost::call(&row, provider.as_deref(), input.priced_at_us(at));
            cost::put(&mut output, at, (&row, flags), tariff.prefer(), || {
                let meaning = calls.get(tariff, &call)?;
                Some(tariff.price_as(meaning, &call))
            });
        }
        output.finish(rows)
    }

    /// Fills the slots from the columns of the event at `at`.
    fn read_event<'a>(&self, row: &mut Row<'a>, input: &Input<'a>, at: usize) {
        let feed = |field: Field| Feed {
            field,
            rank: 0,
            kind: field.kind(),
            per_mille: false,
        };
        for (field, column) in &input.texts {
            if column.is_valid(at) {
                row.offer(feed(*field), column.value(at), &self.mapping, || false);
            }
        }
        for (field, column) in &input.counts {
            if column.is_valid(at) {
                let text = Cow::Owned(column.value(at).to_string());
                row.offer_owned(feed(*field), text, &self.mapping, || false);
            }
        }
        if input.reported.is_valid(at) {
            row.offer_money(0, input.reported.value(at));
        }
    }
}
