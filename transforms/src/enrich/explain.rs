//! Which source filled which column, for a person who asks.

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;

use super::input::Input;
use super::output::{DERIVED, Output};
use super::{Enricher, Work};
use crate::field::{Field, Kind};
use crate::price::{Prefer, Tariff};
use crate::row::Row;

/// Enriched rows, and where each column of each row comes from.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The rows, as [`Enricher::enrich_spans_at`] gives them.
    pub rows: RecordBatch,
    /// For each row its columns, in the order of the schema's documentation.
    pub sources: Vec<Vec<ColumnSource>>,
}

/// Where a column's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnSource {
    /// The column.
    pub column: &'static str,
    /// The source as the mapping writes it, or in words where a column is worked out.
    pub source: String,
    /// The place among the column's sources, from 1; `None` where it is worked out.
    pub rank: Option<usize>,
    /// What the source said where a rule of usage took it out again.
    pub dropped: Option<String>,
}

impl Enricher {
    /// Enriches `rows` as [`Enricher::enrich_spans_at`] does, and says from where.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn explain_spans_at(
        &self,
        rows: &RecordBatch,
        tariff: &Tariff,
    ) -> Result<Explained, ArrowError> {
        let input = Input::of(rows)?;
        let mut output = Output::new(rows.num_rows());
        let mut work = Work::new(&self.mapping, tariff, &input);
        let mut sources = Vec::with_capacity(rows.num_rows());
        for at in 0..rows.num_rows() {
            work.read(at)?;
            let mut read: Vec<Field> = work.row.filled().collect();
            read.sort_unstable_by_key(|field| *field as u8);
            let read: Vec<_> = read.into_iter().map(|f| source_of(&work, f)).collect();
            let derived = derived(&work, at);
            work.settle(at, &mut output);
            let kept = |mut source: ColumnSource| {
                let stays = Field::by_name(source.column).is_none_or(|f| work.row.has(f));
                source.dropped = source.dropped.filter(|_| !stays);
                source
            };
            let columns = read.into_iter().flatten().map(kept).chain(derived);
            sources.push(columns.collect());
        }
        Ok(Explained {
            rows: output.finish(rows)?,
            sources,
        })
    }
}

/// The source of a slot; `None` for slots that have no column.
fn source_of(work: &Work<'_, '_>, field: Field) -> Option<ColumnSource> {
    let rank = work.row.rank(field);
    let source = work.mapping.source(field, rank)?;
    Some(ColumnSource {
        column: field.name(),
        source: source.to_owned(),
        rank: Some(usize::from(rank) + 1),
        dropped: (field.kind() == Kind::Int).then(|| number(&work.row, field)),
    })
}

fn number(row: &Row<'_>, field: Field) -> String {
    row.number(field)
        .map_or_else(String::new, |n| n.to_string())
}

/// What the columns that are worked out rest on. That they are filled is for the row to say.
fn derived(work: &Work<'_, '_>, at: usize) -> Vec<ColumnSource> {
    let row = &work.row;
    let span = work.input.span(at);
    let first_word = span.name.split(' ').next().unwrap_or_default();
    let op_kind = if row.has(Field::McpMethod) {
        "mcp_method"
    } else if row.has(Field::OpName) {
        "op_name"
    } else if work.mapping.op_kinds.contains_key(first_word) {
        "the first word of the span's name"
    } else if row.has(Field::InputTokens) || row.has(Field::OutputTokens) {
        "usage without an operation"
    } else {
        "nothing names an operation"
    };
    let model = if row.has(Field::ModelResponse) {
        "model_response"
    } else {
        "model_request"
    };
    let reported = row.has(Field::CostReported);
    let cost = match work.tariff.prefer() {
        Prefer::Reported if reported => "cost_reported_usd, which is preferred",
        Prefer::Reported => "cost_computed_usd, since none is reported",
        Prefer::Computed => "cost_computed_usd, which is preferred where there is one",
    };
    let rests_on = |column: &str| match column {
        "dialect" => "scope name and families of keys",
        "op_kind" => op_kind,
        "provider" => "provider_raw, by its common name",
        "model" => model,
        "usage_flags" => "rules of usage",
        "skill_source" => "the source of skill_name",
        "cost_disagrees" => "cost_reported_usd and cost_computed_usd",
        "cost_usd" => cost,
        _ => "usage at the price of price_ref",
    };
    let raw = row.text(Field::ProviderRaw);
    let ignored = raw.filter(|raw| work.mapping.provider(raw).is_none());
    let worked_out = DERIVED.into_iter().map(|column| ColumnSource {
        column,
        source: rests_on(column).to_owned(),
        rank: None,
        // What is no provider is said, so that nobody looks for it.
        dropped: ignored.filter(|_| column == "provider").map(str::to_owned),
    });
    worked_out.collect()
}
