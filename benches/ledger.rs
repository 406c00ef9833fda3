//! Bookings as a fleet of agents leaves them in the ledger, for benches of what reads it.
//!
//! The same numbers always give the same rows.

use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Decimal128Builder, Float64Builder, Int32Builder, Int64Builder, ListBuilder,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, Date32Array, RecordBatch, new_null_array};
use arrow_schema::{ArrowError, DataType, Field};
use weir_model::Dataset;
use weir_model::schema::ColumnType;

use crate::Numbers;

/// 2026-11-01T00:00:00Z, the first day, in microseconds since the epoch.
pub const FIRST_DAY_US: i64 = 1_793_491_200_000_000;
const DAY_US: i64 = 86_400_000_000;

/// Groups that a day's sums have: skills, agents and models that occur together.
pub const GROUPS: u64 = 800;
/// Skills among them.
const SKILLS: u64 = 40;

/// Microseconds of a call: most take seconds, a few minutes.
fn duration_us(numbers: &mut Numbers) -> u64 {
    let scale = 1_u64 << (17 + numbers.below(8));
    scale + numbers.below(scale)
}

/// `count` bookings that are spread over the day `day` after [`FIRST_DAY_US`], as accepted rows of
/// `cost_ledger`. Every hundredth takes another one back.
///
/// # Errors
///
/// Where the model's schema has a column that this does not know how to fill.
pub fn bookings(day: i64, count: usize) -> Result<RecordBatch, ArrowError> {
    let mut numbers = Numbers(u64::try_from(day).unwrap_or(0) ^ 0x5eed);
    let mut rows = Rows::default();
    let step = DAY_US / i64::try_from(count.max(1)).unwrap_or(1);
    for row in 0..i64::try_from(count).unwrap_or(i64::MAX) {
        rows.push(FIRST_DAY_US + day * DAY_US + row * step, row, &mut numbers);
    }
    rows.finish(day, count)
}

#[derive(Default)]
struct Rows {
    sign: Int32Builder,
    times: TimestampMicrosecondBuilder,
    ids: StringBuilder,
    texts: [StringBuilder; TEXTS.len()],
    attribution: StringBuilder,
    status: StringBuilder,
    errors: StringBuilder,
    tokens: [Int64Builder; TOKENS.len()],
    reported: Decimal128Builder,
    computed: Decimal128Builder,
    cost: Decimal128Builder,
    disagrees: BooleanBuilder,
    duration: Float64Builder,
}

const TEXTS: [&str; 6] = [
    "skill",
    "agent_name",
    "provider",
    "model",
    "team_id",
    "cost_center",
];
const TOKENS: [&str; 3] = [
    "usage_input_tokens",
    "usage_output_tokens",
    "usage_cache_read_tokens",
];

impl Rows {
    fn push(&mut self, at_us: i64, row: i64, numbers: &mut Numbers) {
        let group = numbers.below(GROUPS);
        let skill = group % SKILLS;
        let named = skill != 0;
        let team = group % 8;
        let values = [
            named.then(|| format!("skill-{skill:02}")),
            Some(format!("agent-{:02}", group / SKILLS)),
            Some("anthropic".to_owned()),
            Some(format!("claude-{}", group % 4)),
            Some(format!("team-{team}")),
            (team != 7).then(|| format!("cc-{team}")),
        ];
        for (column, value) in self.texts.iter_mut().zip(values) {
            column.append_option(value);
        }
        self.sign.append_value(if row % 100 == 99 { -1 } else { 1 });
        self.times.append_value(at_us);
        self.ids.append_value(format!("{:016x}", numbers.next()));
        self.attribution
            .append_value(if named { "ancestor" } else { "none" });
        let priced = numbers.below(50) != 0;
        self.status
            .append_value(if priced { "computed" } else { "unpriced" });
        self.errors
            .append_option((numbers.below(60) == 0).then_some("timeout"));
        let input = i64::try_from(500 + numbers.below(30_000)).unwrap_or(0);
        let output = i64::try_from(20 + numbers.below(900)).unwrap_or(0);
        for (column, tokens) in self.tokens.iter_mut().zip([input, output, input / 2]) {
            column.append_value(tokens);
        }
        // 3 and 15 dollars a million tokens, in 10^-12.
        let cost = i128::from(input) * 3_000_000 + i128::from(output) * 15_000_000;
        let cost = priced.then_some(cost);
        self.reported
            .append_option(cost.filter(|_| numbers.below(4) == 0));
        self.computed.append_option(cost);
        self.cost.append_option(cost);
        self.disagrees.append_value(false);
        // Far below 2^53 microseconds.
        self.duration
            .append_value(duration_us(numbers) as f64 / 1000.0);
    }

    fn finish(mut self, day: i64, count: usize) -> Result<RecordBatch, ArrowError> {
        let dataset = Dataset::CostLedger;
        let schema = dataset.accepted_schema();
        let times: ArrayRef = Arc::new(self.times.finish().with_timezone("UTC"));
        let plain = |text: &str| -> ArrayRef {
            let mut column = StringBuilder::new();
            (0..count).for_each(|_| column.append_value(text));
            Arc::new(column.finish())
        };
        let money = |mut of: Decimal128Builder| -> ArrayRef {
            Arc::new(of.finish().with_data_type(ColumnType::Money.arrow()))
        };
        let (reported, computed, cost) =
            (money(self.reported), money(self.computed), money(self.cost));
        let mut columns: Vec<ArrayRef> = Vec::new();
        for column in dataset.columns().iter().take(schema.fields().len()) {
            let text = TEXTS.iter().position(|name| *name == column.name);
            let token = TOKENS.iter().position(|name| *name == column.name);
            let text = text.and_then(|at| self.texts.get_mut(at));
            let token = token.and_then(|at| self.tokens.get_mut(at));
            let made: ArrayRef = match (column.name, text, token) {
                (_, Some(text), _) => Arc::new(text.finish()),
                (_, _, Some(token)) => Arc::new(token.finish()),
                ("tenant_id", ..) => plain("acme"),
                ("source", ..) => plain("span"),
                ("op_kind", ..) => plain("llm"),
                ("sign", ..) => Arc::new(self.sign.finish()),
                ("booking_id", ..) => Arc::new(self.ids.finish()),
                ("skill_attribution", ..) => Arc::new(self.attribution.finish()),
                ("cost_status", ..) => Arc::new(self.status.finish()),
                ("error_type", ..) => Arc::new(self.errors.finish()),
                ("cost_reported_usd", ..) => Arc::clone(&reported),
                ("cost_computed_usd", ..) => Arc::clone(&computed),
                ("cost_usd", ..) => Arc::clone(&cost),
                ("cost_disagrees", ..) => Arc::new(self.disagrees.finish()),
                ("duration_ms", ..) => Arc::new(self.duration.finish()),
                ("event_time" | "booked_at" | "received_at", ..) => Arc::clone(&times),
                ("part_date", ..) => {
                    let day = (FIRST_DAY_US + day * DAY_US).div_euclid(DAY_US);
                    let day = i32::try_from(day).unwrap_or(0);
                    Arc::new(Date32Array::from(vec![day; count]))
                }
                ("flags", ..) => {
                    let element = Field::new("element", DataType::Utf8, true);
                    let mut list = ListBuilder::new(StringBuilder::new()).with_field(element);
                    (0..count).for_each(|_| list.append(false));
                    Arc::new(list.finish())
                }
                _ => new_null_array(&column.kind.arrow(), count),
            };
            columns.push(made);
        }
        RecordBatch::try_new(schema, columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_bookings_has_the_columns_of_the_ledger_and_is_the_same_each_time() {
        let day = bookings(3, 1_000).ok();
        assert_eq!(day.as_ref().map(RecordBatch::num_rows), Some(1_000));
        assert_eq!(day, bookings(3, 1_000).ok());
        assert_ne!(day, bookings(4, 1_000).ok());
    }
}
