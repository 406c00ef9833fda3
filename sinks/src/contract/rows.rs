//! Rows of every dataset, with the values that break things.
//!
//! They are made from a seed, so that a failure can be seen again. Each column goes through the
//! extremes of its type as the rows go on: NULL, empty, the least and greatest numbers, control
//! characters and NUL, text that looks like SQL or CSV, other scripts, nested emptiness.

use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder, Int64Builder, ListBuilder, MapBuilder, MapFieldNames, StringBuilder,
    StructBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    RecordBatch,
};
use arrow_schema::{ArrowError, Field, Fields};
use weir_model::Dataset;
use weir_model::schema::{Column, ColumnType, MONEY, event_fields, link_fields};

/// Texts that have broken something somewhere.
const TEXTS: &[&str] = &[
    "",
    "plain",
    "nul \0 inside",
    "control \u{1} \u{1f} \u{7f} \u{85}",
    "tab\tnewline\nreturn\r",
    "quote ' double \" back \\ tick `",
    "comma,semi;pipe|",
    "\\N",
    "NULL",
    "'; DROP TABLE spans; --",
    "{\"json\": [1, 2.5, null, \"\\u0000\"]}",
    "\u{e4}\u{df} \u{4e2d}\u{6587} \u{1f980} \u{202e}rtl",
    "\u{feff}bom",
    "e\u{301} is not \u{e9}",
    "trailing space ",
    "-1e999",
];

/// Money in units of 10^-12 USD: nothing, the least unit, an ordinary call, and both ends of
/// `Decimal128(24, 12)`.
const MONEYS: &[i128] = &[
    0,
    1,
    -1,
    15_000_000,
    123_456_789_012,
    999_999_999_999_999_999_999_999,
    -999_999_999_999_999_999_999_999,
];

const INTS: &[i64] = &[0, 1, -1, 42, i64::MAX, i64::MIN, 1 << 53, (1 << 53) + 1];
const SMALL_INTS: &[i32] = &[0, 1, -1, i32::MAX, i32::MIN];
const FLOATS: &[f64] = &[0.0, -0.0, 1.5, f64::MAX, f64::MIN_POSITIVE, -1e-300, 0.1];

/// 2026-01-01T00:00:00Z in microseconds.
const NEW_YEAR_US: i64 = 1_767_225_600_000_000;
/// 2026-01-01 in days.
const NEW_YEAR_DAYS: i32 = 20_454;

/// A small generator: good enough to vary, the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        let n = n.max(1) as u64;
        usize::try_from(self.roll() % n).unwrap_or(0)
    }

    fn of<T: Copy>(&mut self, values: &[T]) -> Option<T> {
        let at = self.below(values.len());
        values.get(at).copied()
    }

    fn text(&mut self) -> String {
        let base = self.of(TEXTS).unwrap_or_default();
        match self.below(8) {
            0 => format!("{base}{:x}", self.roll()),
            1 => base.repeat(self.below(40)),
            _ => base.to_owned(),
        }
    }

    fn hex(&mut self, digits: usize) -> String {
        let mut text = format!("{:016x}{:016x}", self.roll(), self.roll());
        text.truncate(digits);
        text
    }

    fn null(&mut self) -> bool {
        self.below(4) == 0
    }
}

/// `count` rows of `dataset` in its accepted schema, the same for the same `seed`: two tenants,
/// two days, times out of order, and the edges of every type.
///
/// # Errors
///
/// Where a column's type has changed and this was forgotten.
pub fn sample_rows(dataset: Dataset, seed: u64, count: usize) -> Result<RecordBatch, ArrowError> {
    let schema = dataset.accepted_schema();
    let columns = dataset.columns().iter().take(schema.fields().len());
    let arrays: Vec<ArrayRef> = columns
        .enumerate()
        .map(|(i, column)| {
            let dice = Dice(seed.wrapping_mul(1_000_003).wrapping_add(i as u64));
            array(dataset, column, dice, count)
        })
        .collect();
    RecordBatch::try_new(schema, arrays)
}

fn array(dataset: Dataset, column: &Column, mut dice: Dice, count: usize) -> ArrayRef {
    match column.kind {
        ColumnType::Text => text(column, dice, count),
        ColumnType::Date => {
            let days = (0..count).map(|_| NEW_YEAR_DAYS + i32::from(dice.below(8) == 0));
            Arc::new(Date32Array::from_iter_values(days))
        }
        ColumnType::Time => time(dataset, column, dice, count),
        ColumnType::Texts => {
            let element = Field::new("element", arrow_schema::DataType::Utf8, true);
            let mut list = ListBuilder::new(StringBuilder::new()).with_field(element);
            for _ in 0..count {
                let some = !(column.nullable && dice.null());
                if some {
                    for _ in 0..dice.below(4) {
                        let value = (!dice.null()).then(|| dice.text());
                        list.values().append_option(value);
                    }
                }
                list.append(some);
            }
            Arc::new(list.finish())
        }
        ColumnType::Attributes => {
            let mut map = attributes();
            (0..count).for_each(|_| put_attributes(&mut map, &mut dice, column.nullable));
            Arc::new(map.finish())
        }
        ColumnType::SpanEvents => structs(event_fields(), column.nullable, dice, count),
        ColumnType::SpanLinks => structs(link_fields(), column.nullable, dice, count),
        ColumnType::Int32
        | ColumnType::Int64
        | ColumnType::Float64
        | ColumnType::Bool
        | ColumnType::Money
        | ColumnType::MoneySum => number(column, dice, count),
        ColumnType::Ints => {
            let element = Field::new("element", arrow_schema::DataType::Int64, true);
            let mut list = ListBuilder::new(Int64Builder::new()).with_field(element);
            for _ in 0..count {
                for _ in 0..dice.below(4) {
                    list.values().append_option(dice.of(INTS));
                }
                list.append(true);
            }
            Arc::new(list.finish())
        }
    }
}

fn number(column: &Column, mut dice: Dice, count: usize) -> ArrayRef {
    debug_assert_eq!(MONEY, (24, 12), "MONEYS reach the ends of the type");
    let dice = &mut dice;
    if column.kind == ColumnType::Int32 {
        Arc::new(pick(dice, column, SMALL_INTS, count).collect::<Int32Array>())
    } else if column.kind == ColumnType::Float64 {
        Arc::new(pick(dice, column, FLOATS, count).collect::<Float64Array>())
    } else if column.kind == ColumnType::Bool {
        Arc::new(pick(dice, column, &[true, false], count).collect::<BooleanArray>())
    } else if matches!(column.kind, ColumnType::Money | ColumnType::MoneySum) {
        let money: Decimal128Array = pick(dice, column, MONEYS, count).collect();
        Arc::new(money.with_data_type(column.kind.arrow()))
    } else {
        let ordinary: Vec<i64> = (0..8)
            .map(|_| i64::try_from(dice.roll() >> 40).unwrap_or(0))
            .chain(INTS.iter().copied())
            .collect();
        Arc::new(pick(dice, column, &ordinary, count).collect::<Int64Array>())
    }
}

/// Values from a list, with NULLs between where the column may have them.
fn pick<T: Copy>(
    dice: &mut Dice,
    column: &Column,
    values: &[T],
    count: usize,
) -> impl Iterator<Item = Option<T>> {
    (0..count).map(move |_| {
        let null = column.nullable && dice.null();
        dice.of(values).filter(|_| !null)
    })
}

fn text(column: &Column, mut dice: Dice, count: usize) -> ArrayRef {
    let mut texts = StringBuilder::new();
    for _ in 0..count {
        if column.nullable && dice.null() {
            texts.append_null();
            continue;
        }
        let value = match column.name {
            "tenant_id" => dice.of(&["acme", "globex-2"]).unwrap_or("acme").to_owned(),
            "trace_id" if !column.nullable => dice.hex(32),
            "span_id" if !column.nullable => dice.hex(16),
            _ => dice.text(),
        };
        texts.append_value(value);
    }
    Arc::new(texts.finish())
}

fn time(dataset: Dataset, column: &Column, mut dice: Dice, count: usize) -> ArrayRef {
    // The ends of what nanoseconds in 64 bits can say: years 1677 and 2262.
    let ends = [i64::MIN / 1000, i64::MAX / 1000, 0, -1];
    let mut times = TimestampMicrosecondBuilder::new().with_data_type(ColumnType::Time.arrow());
    for _ in 0..count {
        let near = NEW_YEAR_US + i64::try_from(dice.roll() >> 27).unwrap_or(0);
        let odd = dice.below(6) == 0 && column.name != "received_at";
        let value = if odd { dice.of(&ends) } else { Some(near) };
        let null = column.nullable && dice.null();
        times.append_option(value.filter(|_| !null));
    }
    debug_assert!(dataset.columns().iter().any(|c| c.name == column.name));
    Arc::new(times.finish())
}

type Attributes = MapBuilder<StringBuilder, StringBuilder>;

fn attributes() -> Attributes {
    let names = MapFieldNames {
        entry: "key_value".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    };
    MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
}

fn put_attributes(map: &mut Attributes, dice: &mut Dice, nullable: bool) {
    let some = !(nullable && dice.null());
    if some {
        // Keys differ, as they do once decoding has folded those that were sent twice.
        for n in 0..dice.below(4) {
            map.keys().append_value(format!("key.{n} {}", dice.text()));
            let value = (!dice.null()).then(|| dice.text());
            map.values().append_option(value);
        }
    }
    // Keys and values were appended in pairs, so the builder cannot refuse.
    map.append(some).ok();
}

fn structs(fields: Fields, nullable: bool, mut dice: Dice, count: usize) -> ArrayRef {
    let builders = fields.iter().map(|f| -> Box<dyn ArrayBuilder> {
        if *f.data_type() == arrow_schema::DataType::Int64 {
            Box::new(Int64Builder::new())
        } else if *f.data_type() == arrow_schema::DataType::Utf8 {
            Box::new(StringBuilder::new())
        } else {
            Box::new(attributes())
        }
    });
    let builders = builders.collect();
    let data_type = arrow_schema::DataType::Struct(fields.clone());
    let element = Field::new("element", data_type, true);
    let mut list = ListBuilder::new(StructBuilder::new(fields, builders)).with_field(element);
    for _ in 0..count {
        let some = !(nullable && dice.null());
        if some {
            for _ in 0..dice.below(3) {
                put_struct(list.values(), &mut dice);
            }
        }
        list.append(some);
    }
    Arc::new(list.finish())
}

fn put_struct(builder: &mut StructBuilder, dice: &mut Dice) {
    for i in 0..builder.num_fields() {
        let null = dice.null();
        if let Some(ints) = builder.field_builder::<Int64Builder>(i) {
            ints.append_option(dice.of(INTS).filter(|_| !null));
        } else if let Some(texts) = builder.field_builder::<StringBuilder>(i) {
            texts.append_option((!null).then(|| dice.text()));
        } else if let Some(map) = builder.field_builder::<Attributes>(i) {
            put_attributes(map, dice, true);
        }
    }
    builder.append(true);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_seed_are_always_the_same_and_fit_their_schema() {
        for dataset in Dataset::ALL {
            let rows = sample_rows(dataset, 7, 500).unwrap();
            assert_eq!(rows, sample_rows(dataset, 7, 500).unwrap());
            assert_ne!(rows, sample_rows(dataset, 8, 500).unwrap());
            for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
                let nulls = column.null_count();
                assert_eq!(nulls > 0, field.is_nullable(), "{dataset}.{}", field.name());
            }
        }
    }
}
