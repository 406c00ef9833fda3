//! What a rollup answers.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use weir_model::Histogram;
use weir_model::schema::ColumnType;

use super::question::{Dimension, spell};
use crate::Answer;

/// The counts of a group, in the order of [`RollupSums::counts`].
pub(super) const COUNTS: [&str; 15] = [
    "calls",
    "errors",
    "usage_calls",
    "reported_calls",
    "computed_calls",
    "unpriced_calls",
    "disagreeing_calls",
    "unattributed_calls",
    "reconciled_calls",
    "usage_input_tokens",
    "usage_output_tokens",
    "usage_cache_read_tokens",
    "usage_cache_write_tokens",
    "usage_cache_write_1h_tokens",
    "usage_reasoning_tokens",
];

/// Those of them that are no column of sums.
pub(super) const DERIVED: [&str; 2] = ["unattributed_calls", "reconciled_calls"];

/// What the cost of a group rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Prices of a list, or one's own, and the senders' word: nobody has seen a bill.
    Estimate,
    /// All of it was held against a provider's bill.
    Reconciled,
    /// Some of it was.
    Mixed,
}

impl Basis {
    /// Its word in answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Estimate => "list_price_estimate",
            Self::Reconciled => "reconciled",
            Self::Mixed => "mixed",
        }
    }
}

/// The amounts of a group, in the order of [`RollupSums::money`].
pub(super) const MONEY: [&str; 3] = ["cost_reported_usd", "cost_computed_usd", "cost_usd"];

/// The sums of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RollupSums {
    /// What tells it apart, in the order that was asked for: names, or the start of a period. What
    /// is not known has the dimension's [`unknown`](Dimension::unknown).
    pub keys: Vec<String>,
    counts: [i64; COUNTS.len()],
    money: [i128; MONEY.len()],
    latency: Histogram,
}

impl RollupSums {
    /// A count or a sum of tokens by the name of its column; 0 for any other name.
    pub fn count(&self, name: &str) -> i64 {
        let at = COUNTS.iter().position(|n| *n == name);
        at.and_then(|at| self.counts.get(at)).copied().unwrap_or(0)
    }

    /// The sum of what is known of an amount, in 10^-12 US dollars, by the name of its column.
    pub fn known_usd(&self, name: &str) -> i128 {
        let at = MONEY.iter().position(|n| *n == name);
        at.and_then(|at| self.money.get(at)).copied().unwrap_or(0)
    }

    /// An amount in 10^-12 US dollars; `None` where no call of the group has one, which is not the
    /// same as nothing to pay.
    pub fn usd(&self, name: &str) -> Option<i128> {
        let calls = match name {
            "cost_reported_usd" => self.count("reported_calls"),
            "cost_computed_usd" => self.count("computed_calls"),
            "cost_usd" => self
                .count("calls")
                .wrapping_sub(self.count("unpriced_calls")),
            _ => 0,
        };
        let known = self.known_usd(name);
        (calls != 0 || known != 0).then_some(known)
    }

    /// Tokens by the name of their column; `None` where no call of the group says how many.
    pub fn tokens(&self, name: &str) -> Option<i64> {
        let tokens = self.count(name);
        (self.count("usage_calls") != 0 || tokens != 0).then_some(tokens)
    }

    /// The share of the calls that no skill can be named for; `None` without calls.
    pub fn unattributed_share(&self) -> Option<f64> {
        let calls = self.count("calls");
        // Counts are far below 2^53.
        (calls > 0).then(|| self.count("unattributed_calls") as f64 / calls as f64)
    }

    /// What its cost rests on.
    pub fn basis(&self) -> Basis {
        match self.count("reconciled_calls") {
            0 => Basis::Estimate,
            calls if calls == self.count("calls") => Basis::Reconciled,
            _ => Basis::Mixed,
        }
    }

    /// How long the calls took.
    pub fn latency(&self) -> &Histogram {
        &self.latency
    }

    /// Adds the sums of `other`.
    pub fn add(&mut self, other: &Self) {
        for (sum, n) in self.counts.iter_mut().zip(other.counts) {
            *sum = sum.wrapping_add(n);
        }
        for (sum, n) in self.money.iter_mut().zip(other.money) {
            *sum = sum.wrapping_add(n);
        }
        self.latency.merge(&other.latency);
    }

    /// Whether nothing is left of what was booked.
    fn is_zero(&self) -> bool {
        self.counts.iter().all(|n| *n == 0)
            && self.money.iter().all(|n| *n == 0)
            && self.latency.is_zero()
    }
}

/// The answer to a rollup.
#[derive(Clone, Debug, Default)]
pub struct Rollup {
    /// What the rows are grouped by.
    pub by: Vec<Dimension>,
    /// The groups, each of calls of the preferred source of its day: periods ascending, then the
    /// most expensive first.
    pub rows: Vec<RollupSums>,
    /// All rows together.
    pub totals: RollupSums,
    /// What other sources say of the same days, by their name. It is beside the totals and not in
    /// them: it tells of the same calls.
    pub other_sources: Vec<(String, RollupSums)>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Rollup {
    /// Reads the rows of the query. `None` where they are not what the query asked for.
    pub(crate) fn read(by: &[Dimension], answer: &Answer) -> Option<Self> {
        let mut rollup = Self {
            by: by.to_vec(),
            elapsed: answer.elapsed,
            ..Self::default()
        };
        for batch in &answer.batches {
            rollup.read_batch(batch)?;
        }
        rollup.rows.retain(|row| !row.is_zero());
        let order = by.to_vec();
        rollup.rows.sort_by(|a, b| compare(&order, a, b));
        let mut totals = RollupSums::default();
        rollup.rows.iter().for_each(|row| totals.add(row));
        rollup.totals = totals;
        rollup.other_sources.retain(|(_, sums)| !sums.is_zero());
        rollup.other_sources.sort_by(|a, b| a.0.cmp(&b.0));
        Some(rollup)
    }

    fn read_batch(&mut self, batch: &RecordBatch) -> Option<()> {
        let column = |name: &str| batch.column_by_name(name);
        let mut counts = Vec::new();
        for name in COUNTS {
            counts.push(column(name)?.as_primitive_opt::<Int64Type>()?);
        }
        let mut money = Vec::new();
        for name in MONEY {
            money.push(column(name)?.as_primitive_opt::<Decimal128Type>()?);
        }
        let latency = column("latency_histogram")?.as_list_opt::<i32>()?;
        let other = column("other_source")?.as_string_opt::<i32>()?;
        for row in 0..batch.num_rows() {
            let mut sums = RollupSums::default();
            for (sum, column) in sums.counts.iter_mut().zip(&counts) {
                *sum = column.value(row);
            }
            for (sum, column) in sums.money.iter_mut().zip(&money) {
                *sum = column.value(row);
            }
            let pairs = latency.value(row);
            sums.latency
                .add_pairs(pairs.as_primitive_opt::<Int64Type>()?.values());
            if other.is_valid(row) {
                let source = other.value(row);
                let known = self
                    .other_sources
                    .iter_mut()
                    .find(|(name, _)| name == source);
                match known {
                    Some((_, all)) => all.add(&sums),
                    None => self.other_sources.push((source.to_owned(), sums)),
                }
                continue;
            }
            for (at, dimension) in self.by.iter().enumerate() {
                sums.keys
                    .push(key(column(&format!("key_{at}"))?, row, *dimension)?);
            }
            self.rows.push(sums);
        }
        Some(())
    }

    /// The rows as a table for the writers of [`format`](crate::format).
    ///
    /// # Errors
    ///
    /// Where a sum does not fit the column's type.
    pub fn table(&self, rows: &[RollupSums]) -> Result<Answer, ArrowError> {
        let mut fields = Vec::new();
        let mut columns: Vec<ArrayRef> = Vec::new();
        for (at, dimension) in self.by.iter().enumerate() {
            fields.push(Field::new(dimension.name(), DataType::Utf8, false));
            let values = rows.iter().map(|r| r.keys.get(at).map(String::as_str));
            columns.push(Arc::new(values.collect::<StringArray>()));
        }
        let mut push = |name: &str, nullable, column: ArrayRef| {
            fields.push(Field::new(name, column.data_type().clone(), nullable));
            columns.push(column);
        };
        for (name, source, token) in INTEGERS {
            let value = |r: &RollupSums| {
                if token {
                    r.tokens(source)
                } else {
                    Some(r.count(source))
                }
            };
            let values: Int64Array = rows.iter().map(value).collect();
            push(name, token, Arc::new(values));
        }
        for name in MONEY {
            let values: Decimal128Array = rows.iter().map(|r| r.usd(name)).collect();
            let values = values.with_data_type(ColumnType::MoneySum.arrow());
            push(name, true, Arc::new(values));
        }
        let shares: Float64Array = rows.iter().map(RollupSums::unattributed_share).collect();
        push("unattributed_share", true, Arc::new(shares));
        for (name, q) in QUANTILES {
            let values: Float64Array = rows.iter().map(|r| r.latency.quantile_ms(q)).collect();
            push(name, true, Arc::new(values));
        }
        let bases = rows.iter().map(|r| Some(r.basis().word()));
        push("basis", false, Arc::new(bases.collect::<StringArray>()));
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
        Ok(Answer {
            schema,
            batches: vec![batch],
            truncated: false,
            elapsed: self.elapsed,
        })
    }

    /// The order of rows, for whoever goes on after one of them.
    pub fn compare(&self, a: &RollupSums, b: &RollupSums) -> Ordering {
        compare(&self.by, a, b)
    }
}

/// The integers of an answer: their name, the column they come from, and whether they are tokens.
pub(crate) const INTEGERS: [(&str, &str, bool); 11] = [
    ("calls", "calls", false),
    ("errors", "errors", false),
    ("input_tokens", "usage_input_tokens", true),
    ("output_tokens", "usage_output_tokens", true),
    ("cache_read_tokens", "usage_cache_read_tokens", true),
    ("cache_write_tokens", "usage_cache_write_tokens", true),
    ("cache_write_1h_tokens", "usage_cache_write_1h_tokens", true),
    ("reasoning_tokens", "usage_reasoning_tokens", true),
    ("unpriced_calls", "unpriced_calls", false),
    ("disagreeing_calls", "disagreeing_calls", false),
    ("unattributed_calls", "unattributed_calls", false),
];

/// The latencies of an answer.
pub(crate) const QUANTILES: [(&str, f64); 3] = [
    ("latency_p50_ms", 0.5),
    ("latency_p95_ms", 0.95),
    ("latency_p99_ms", 0.99),
];

/// Periods ascending, then the most expensive first, then more calls first, then by name.
fn compare(by: &[Dimension], a: &RollupSums, b: &RollupSums) -> Ordering {
    let periods = |row: &RollupSums| -> Vec<String> {
        let keys = by.iter().zip(&row.keys).filter(|(d, _)| d.is_time());
        keys.map(|(_, key)| key.clone()).collect()
    };
    let cost = |row: &RollupSums| row.usd("cost_usd");
    periods(a)
        .cmp(&periods(b))
        .then_with(|| cost(b).cmp(&cost(a)))
        .then_with(|| b.count("calls").cmp(&a.count("calls")))
        .then_with(|| a.keys.cmp(&b.keys))
}

/// A key as text.
fn key(column: &ArrayRef, row: usize, dimension: Dimension) -> Option<String> {
    if column.is_null(row) {
        return Some(dimension.unknown().to_owned());
    }
    if let Some(texts) = column.as_string_opt::<i32>() {
        return Some(texts.value(row).to_owned());
    }
    let start = column.as_primitive_opt::<TimestampMicrosecondType>()?;
    let spelt = spell(start.value(row))?;
    if dimension == Dimension::Day {
        return spelt.get(..10).map(str::to_owned);
    }
    Some(spelt)
}
