use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray,
    UInt64Array, new_null_array,
};
use proptest::prelude::*;
use weir_model::Histogram;
use weir_model::histogram::bucket_of_ms;

use super::*;

/// 2026-11-20T22:00:00Z, so that two hours later is another day.
const START_US: i64 = 1_795_212_000_000_000;

/// What a test says of a booking.
#[derive(Clone, Debug)]
struct Short {
    sign: i32,
    tenant: usize,
    skill: Option<usize>,
    after_us: i64,
    input: Option<i64>,
    reported: Option<i128>,
    cost: Option<i128>,
    ms: Option<f64>,
    failed: bool,
}

fn short() -> impl Strategy<Value = Short> {
    let money = || proptest::option::of(-10_i128.pow(24) + 1..10_i128.pow(24));
    (
        (prop_oneof![Just(1), Just(-1)], 0_usize..2),
        proptest::option::of(0_usize..3),
        0..5 * HOUR_US,
        proptest::option::of(0_i64..1_000_000),
        (money(), money()),
        proptest::option::of(0.0..1e7_f64),
        any::<bool>(),
    )
        .prop_map(
            |((sign, tenant), skill, after_us, input, money, ms, failed)| Short {
                sign,
                tenant,
                skill,
                after_us,
                input,
                reported: money.0,
                cost: money.1,
                ms,
                failed,
            },
        )
}

fn tenant_of(n: usize) -> &'static str {
    ["acme", "globex"][n]
}

fn skill_of(n: usize) -> &'static str {
    ["pdf", "search", "triage"][n]
}

fn bookings(rows: &[Short]) -> RecordBatch {
    let dataset = Dataset::CostLedger;
    let schema = dataset.accepted_schema();
    let n = rows.len();
    let at = |r: &Short| START_US + r.after_us;
    let texts = |f: fn(&Short) -> Option<&'static str>| -> ArrayRef {
        Arc::new(rows.iter().map(f).collect::<StringArray>())
    };
    let money = |f: fn(&Short) -> Option<i128>| -> ArrayRef {
        let values: Decimal128Array = rows.iter().map(f).collect();
        Arc::new(values.with_data_type(weir_model::schema::ColumnType::Money.arrow()))
    };
    let times = || -> ArrayRef {
        let values = TimestampMicrosecondArray::from_iter_values(rows.iter().map(at));
        Arc::new(values.with_timezone("UTC"))
    };
    let columns = dataset.columns().iter().take(schema.fields().len());
    let columns = columns.map(|column| match column.name {
        "tenant_id" => texts(|r| Some(tenant_of(r.tenant))),
        "sign" => Arc::new(Int32Array::from_iter_values(rows.iter().map(|r| r.sign))),
        "event_time" | "booked_at" | "received_at" => times(),
        "skill" => texts(|r| r.skill.map(skill_of)),
        "skill_attribution" => texts(|r| Some(r.skill.map_or("none", |_| "direct"))),
        "usage_input_tokens" => Arc::new(rows.iter().map(|r| r.input).collect::<Int64Array>()),
        "cost_reported_usd" => money(|r| r.reported),
        "cost_usd" => money(|r| r.cost),
        "cost_status" => texts(|r| Some(r.cost.map_or("unpriced", |_| "reported"))),
        "cost_disagrees" => Arc::new(
            rows.iter()
                .map(|r| Some(r.failed))
                .collect::<BooleanArray>(),
        ),
        "duration_ms" => Arc::new(rows.iter().map(|r| r.ms).collect::<Float64Array>()),
        "error_type" => texts(|r| r.failed.then_some("timeout")),
        "part_date" => {
            let days = rows
                .iter()
                .map(|r| i32::try_from(at(r).div_euclid(DAY_US)).unwrap());
            Arc::new(Date32Array::from_iter_values(days)) as ArrayRef
        }
        _ if column.nullable => new_null_array(&column.kind.arrow(), n),
        _ => texts(|_| Some("span")),
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

/// What a row of sums holds that the test reckons itself.
type Expected = (i64, i64, i64, i128, i128, i64, Histogram);

/// The sums by (tenant, skill, period, status), straight from what the test said.
fn expected(
    grain: Grain,
    rows: &[Short],
) -> BTreeMap<(String, Option<String>, i64, bool), Expected> {
    let mut all: BTreeMap<_, Expected> = BTreeMap::new();
    for r in rows {
        let key = (
            tenant_of(r.tenant).to_owned(),
            r.skill.map(|s| skill_of(s).to_owned()),
            grain.period_of(START_US + r.after_us),
            r.cost.is_none(),
        );
        let sign = i64::from(r.sign);
        let e = all.entry(key).or_default();
        e.0 += sign;
        e.1 += sign * i64::from(r.failed);
        e.2 += sign * r.input.unwrap_or(0);
        e.3 += i128::from(sign) * r.reported.unwrap_or(0);
        e.4 += i128::from(sign) * r.cost.unwrap_or(0);
        e.5 += sign * i64::from(r.cost.is_none());
        if let Some(ms) = r.ms {
            e.6.add(bucket_of_ms(ms).unwrap(), sign);
        }
    }
    all
}

fn read(sums: &RecordBatch) -> BTreeMap<(String, Option<String>, i64, bool), Expected> {
    let text = |name| sums.column_by_name(name).unwrap().as_string::<i32>();
    let int = |name, row| {
        sums.column_by_name(name)
            .unwrap()
            .as_primitive::<Int64Type>()
            .value(row)
    };
    let money = |name, row| {
        sums.column_by_name(name)
            .unwrap()
            .as_primitive::<Decimal128Type>()
            .value(row)
    };
    let start = sums.column_by_name("period_start").unwrap();
    let start = start.as_primitive::<TimestampMicrosecondType>();
    let latency = sums
        .column_by_name("latency_histogram")
        .unwrap()
        .as_list::<i32>();
    let mut all = BTreeMap::new();
    for row in 0..sums.num_rows() {
        let skill = text("skill");
        let key = (
            text("tenant_id").value(row).to_owned(),
            skill.is_valid(row).then(|| skill.value(row).to_owned()),
            start.value(row),
            text("cost_status").value(row) == "unpriced",
        );
        let mut histogram = Histogram::default();
        histogram.add_pairs(latency.value(row).as_primitive::<Int64Type>().values());
        let found = (
            int("calls", row),
            int("errors", row),
            int("usage_input_tokens", row),
            money("cost_reported_usd", row),
            money("cost_usd", row),
            int("unpriced_calls", row),
            histogram,
        );
        assert!(all.insert(key, found).is_none(), "a key twice");
    }
    all
}

fn without_zeros(
    mut all: BTreeMap<(String, Option<String>, i64, bool), Expected>,
) -> BTreeMap<(String, Option<String>, i64, bool), Expected> {
    // Tokens known and money named are counted too: rows that differ in them only stay.
    all.retain(|_, e| *e != Expected::default());
    all
}

proptest! {
    #[test]
    fn sums_of_parts_in_any_order_are_the_sums_of_the_ledger(
        rows in proptest::collection::vec(short(), 1..60),
        cuts in proptest::collection::vec(1_usize..20, 1..8),
        turn in any::<u64>(),
    ) {
        for grain in Grain::ALL {
            let whole = by(grain, &bookings(&rows)).unwrap();
            prop_assert_eq!(read(&whole), expected(grain, &rows));
            let mut parts = Vec::new();
            let mut rest = rows.as_slice();
            for cut in cuts.iter().cycle() {
                let (part, after) = rest.split_at((*cut).min(rest.len()));
                parts.push(by(grain, &bookings(part)).unwrap());
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            let n = parts.len();
            let shift = usize::try_from(turn % 1000).unwrap() % n;
            parts.rotate_left(shift);
            let at_once = merge(grain, &parts).unwrap();
            prop_assert_eq!(
                without_zeros(read(&at_once)),
                without_zeros(expected(grain, &rows))
            );
            // Merged in steps, and merged again, no sum changes. (When the newest row came may: what
            // cancels out on the way is not there any more to tell.)
            let (a, b) = parts.split_at(n / 2);
            let steps = [merge(grain, b).unwrap(), merge(grain, a).unwrap()];
            prop_assert_eq!(read(&merge(grain, &steps).unwrap()), read(&at_once));
            prop_assert_eq!(merge(grain, std::slice::from_ref(&at_once)).unwrap(), at_once);
        }
    }

    #[test]
    fn corrections_bring_everything_back_to_nothing(
        rows in proptest::collection::vec(short(), 1..60),
    ) {
        let back: Vec<Short> = rows
            .iter()
            .rev()
            .map(|r| Short { sign: -r.sign, ..r.clone() })
            .collect();
        for grain in Grain::ALL {
            let parts = [by(grain, &bookings(&rows)).unwrap(), by(grain, &bookings(&back)).unwrap()];
            prop_assert_eq!(merge(grain, &parts).unwrap().num_rows(), 0);
            // In one batch they cancel out too, and the batch still shows.
            let both: Vec<Short> = rows.iter().chain(&back).cloned().collect();
            let both = by(grain, &bookings(&both)).unwrap();
            prop_assert!(both.num_rows() > 0);
            prop_assert_eq!(merge(grain, &[both]).unwrap().num_rows(), 0);
        }
    }

    #[test]
    fn the_order_of_bookings_does_not_show(rows in proptest::collection::vec(short(), 1..40)) {
        let batch = bookings(&rows);
        let turned: UInt64Array = (0..batch.num_rows() as u64).rev().collect();
        let columns = batch.columns().iter();
        let columns = columns.map(|c| arrow_select::take::take(c, &turned, None).unwrap());
        let turned = RecordBatch::try_new(batch.schema(), columns.collect()).unwrap();
        prop_assert_eq!(by(Grain::Hour, &batch).unwrap(), by(Grain::Hour, &turned).unwrap());
    }
}

#[test]
fn days_are_the_sums_of_their_hours() {
    let rows: Vec<Short> = (0..200_i64)
        .map(|i| Short {
            sign: 1,
            tenant: 0,
            skill: Some(0),
            after_us: i * 90_000_000,
            input: Some(i),
            reported: None,
            cost: Some(i128::from(i)),
            ms: Some(12.5),
            failed: i % 7 == 0,
        })
        .collect();
    let days = read(&by(Grain::Day, &bookings(&rows)).unwrap());
    let hours = read(&by(Grain::Hour, &bookings(&rows)).unwrap());
    assert_eq!((days.len(), hours.len()), (2, 5));
    let calls = |all: &BTreeMap<_, Expected>| all.values().map(|e| e.0).sum::<i64>();
    assert_eq!(calls(&days), calls(&hours));
    assert_eq!(Grain::Hour.period_of(-1), -HOUR_US);
}

#[test]
fn rows_of_another_table_are_refused() {
    let fault = by(
        Grain::Hour,
        &RecordBatch::new_empty(Dataset::Spans.schema()),
    )
    .unwrap_err();
    assert!(matches!(fault, RollupError::Column(_)), "{fault}");
}
