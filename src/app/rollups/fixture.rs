//! Bookings for tests, as rows of the ledger.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use weir_model::schema::ColumnType;
use weir_model::{Batch, BatchId, Dataset, NodeId};

const DAY_US: i64 = 86_400_000_000;
/// 2026-11-20T00:00:00Z.
pub(crate) const DAY_START_US: i64 = 1_795_132_800_000_000;

/// A booking in short.
#[derive(Clone, Debug)]
pub(crate) struct Booking {
    pub(crate) tenant: &'static str,
    pub(crate) source: &'static str,
    pub(crate) sign: i32,
    pub(crate) at_us: i64,
    pub(crate) skill: Option<&'static str>,
    pub(crate) agent: &'static str,
    pub(crate) model: &'static str,
    pub(crate) tokens: Option<(i64, i64)>,
    /// In 10^-12 US dollars.
    pub(crate) cost: Option<i128>,
    pub(crate) ms: f64,
    pub(crate) failed: bool,
}

impl Booking {
    /// A call of `acme` that costs 1 US cent.
    pub(crate) fn at(at_us: i64) -> Self {
        Self {
            tenant: "acme",
            source: "span",
            sign: 1,
            at_us,
            skill: Some("pdf"),
            agent: "research",
            model: "gpt-4o",
            tokens: Some((100, 10)),
            cost: Some(10_000_000_000),
            ms: 250.0,
            failed: false,
        }
    }
}

/// The bookings as rows of the ledger that are not sealed yet.
pub(crate) fn rows(bookings: &[Booking]) -> RecordBatch {
    let dataset = Dataset::CostLedger;
    let schema = dataset.accepted_schema();
    let texts = |f: &dyn Fn(&Booking) -> Option<String>| -> ArrayRef {
        Arc::new(bookings.iter().map(f).collect::<StringArray>())
    };
    let ints = |f: fn(&Booking) -> Option<i64>| -> ArrayRef {
        Arc::new(bookings.iter().map(f).collect::<Int64Array>())
    };
    let columns = dataset.columns().iter().take(schema.fields().len());
    let columns = columns.map(|column| -> ArrayRef {
        match (column.name, column.kind) {
            ("tenant_id", _) => texts(&|b| Some(b.tenant.to_owned())),
            ("booking_id", _) => texts(&|b| Some(format!("{}-{}", b.at_us, b.sign))),
            ("source", _) => texts(&|b| Some(b.source.to_owned())),
            ("skill", _) => texts(&|b| b.skill.map(str::to_owned)),
            ("skill_attribution", _) => {
                texts(&|b| Some(b.skill.map_or("none", |_| "direct").to_owned()))
            }
            ("agent_name", _) => texts(&|b| Some(b.agent.to_owned())),
            ("model", _) => texts(&|b| Some(b.model.to_owned())),
            ("provider", _) => texts(&|_| Some("openai".to_owned())),
            ("cost_status", _) => {
                texts(&|b| Some(b.cost.map_or("unpriced", |_| "computed").to_owned()))
            }
            ("error_type", _) => texts(&|b| b.failed.then(|| "timeout".to_owned())),
            ("usage_input_tokens", _) => ints(|b| Some(b.tokens?.0)),
            ("usage_output_tokens", _) => ints(|b| Some(b.tokens?.1)),
            ("cost_computed_usd" | "cost_usd", _) => {
                let values: Decimal128Array = bookings.iter().map(|b| b.cost).collect();
                Arc::new(values.with_data_type(ColumnType::Money.arrow()))
            }
            ("sign", _) => Arc::new(Int32Array::from_iter_values(
                bookings.iter().map(|b| b.sign),
            )),
            ("cost_disagrees", _) => Arc::new(BooleanArray::from(vec![false; bookings.len()])),
            ("duration_ms", _) => Arc::new(Float64Array::from_iter_values(
                bookings.iter().map(|b| b.ms),
            )),
            ("part_date", _) => {
                let day = |b: &Booking| i32::try_from(b.at_us.div_euclid(DAY_US)).unwrap();
                Arc::new(Date32Array::from_iter_values(bookings.iter().map(day)))
            }
            ("flags", _) => {
                let element =
                    arrow_schema::Field::new("element", arrow_schema::DataType::Utf8, true);
                let mut list = ListBuilder::new(StringBuilder::new()).with_field(element);
                bookings.iter().for_each(|_| list.append(false));
                Arc::new(list.finish())
            }
            (_, ColumnType::Time) => {
                let times = bookings.iter().map(|b| b.at_us);
                Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
            }
            (_, kind) => new_null_array(&kind.arrow(), bookings.len()),
        }
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

/// A batch of the ledger.
pub(crate) fn ledger_batch(number: i64, bookings: &[Booking]) -> Batch {
    let id = BatchId {
        node: NodeId::from_bits(1),
        dataset: Dataset::CostLedger,
        number,
    };
    Batch::seal(id, &rows(bookings)).unwrap()
}
