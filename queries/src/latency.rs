//! SQL functions over latency histograms, as the tables of sums keep them: a list of bucket, count,
//! bucket, count, ... with signed counts; see [`weir_model::histogram`].

use std::sync::{Arc, LazyLock};

use arrow_array::builder::{Float64Builder, Int64Builder, ListBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, ListArray};
use arrow_schema::{DataType, Field, FieldRef};
use datafusion::arrow::compute::cast;
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, DocSection, Documentation, EmitTo,
    GroupsAccumulator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use weir_model::Histogram;
use weir_model::histogram::bucket_of_ms;

use crate::QueryError;

/// Where the reference lists them.
const SECTION: DocSection = DocSection {
    include: true,
    label: "Latency Functions",
    description: None,
};

/// The scalar functions.
pub(crate) fn scalar() -> Vec<Arc<ScalarUDF>> {
    vec![
        Arc::new(ScalarUDF::new_from_impl(Quantile::new())),
        Arc::new(ScalarUDF::new_from_impl(OfCall::new())),
    ]
}

/// The aggregate functions.
pub(crate) fn aggregate() -> Vec<Arc<AggregateUDF>> {
    vec![Arc::new(AggregateUDF::new_from_impl(Merge::new()))]
}

/// How a histogram is kept: the type of the tables' column.
fn stored() -> DataType {
    DataType::List(element())
}

fn element() -> FieldRef {
    Arc::new(Field::new("element", DataType::Int64, true))
}

fn lists() -> ListBuilder<Int64Builder> {
    ListBuilder::new(Int64Builder::new()).with_field(element())
}

fn as_lists(array: &ArrayRef) -> Result<ListArray> {
    let lists = cast(array, &stored())?;
    let lists = lists.as_list_opt::<i32>().cloned();
    lists.ok_or_else(|| QueryError::internal().into())
}

/// Adds the histogram in `row`, if there is one.
fn add_row(sum: &mut Histogram, lists: &ListArray, row: usize) {
    if row < lists.len() && lists.is_valid(row) {
        let pairs = lists.value(row);
        if let Some(pairs) = pairs.as_primitive_opt::<Int64Type>() {
            sum.add_pairs(pairs.values());
        }
    }
}

fn wrong(what: &str) -> DataFusionError {
    DataFusionError::Plan(what.to_owned())
}

/// The argument at `at` as an array of `kind`.
fn argument(args: &ScalarFunctionArgs, at: usize, kind: &DataType) -> Result<ArrayRef> {
    let arg = args.args.get(at).cloned();
    let arg = arg.ok_or_else(|| DataFusionError::from(QueryError::internal()))?;
    Ok(cast(&arg.into_array(args.number_rows)?, kind)?)
}

/// `latency_quantile(histogram, q)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Quantile {
    signature: Signature,
}

impl Quantile {
    fn new() -> Self {
        Self {
            signature: Signature::any(2, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Quantile {
    fn name(&self) -> &'static str {
        "latency_quantile"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, kinds: &[DataType]) -> Result<DataType> {
        match kinds {
            [DataType::List(_), q] if q.is_numeric() => Ok(DataType::Float64),
            _ => Err(wrong(
                "latency_quantile takes a latency histogram and a share between 0 and 1",
            )),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let histograms = as_lists(&argument(&args, 0, &stored())?)?;
        let shares = argument(&args, 1, &DataType::Float64)?;
        let shares = shares.as_primitive::<Float64Type>();
        let mut out = Float64Builder::with_capacity(histograms.len());
        for (row, share) in shares.iter().enumerate() {
            let mut sum = Histogram::default();
            add_row(&mut sum, &histograms, row);
            out.append_option(share.and_then(|q| sum.quantile_ms(q)));
        }
        Ok(ColumnarValue::Array(Arc::new(out.finish())))
    }

    fn documentation(&self) -> Option<&Documentation> {
        static DOC: LazyLock<Documentation> = LazyLock::new(|| {
            Documentation::builder(
                SECTION,
                "The latency in milliseconds below which that share of the calls lies, to 3.1 %",
                "latency_quantile(histogram, share)",
            )
            .build()
        });
        Some(&DOC)
    }
}

/// `latency_histogram(duration_ms, count)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct OfCall {
    signature: Signature,
}

impl OfCall {
    fn new() -> Self {
        Self {
            signature: Signature::any(2, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for OfCall {
    fn name(&self) -> &'static str {
        "latency_histogram"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, kinds: &[DataType]) -> Result<DataType> {
        match kinds {
            [ms, count] if ms.is_numeric() && count.is_integer() => Ok(stored()),
            _ => Err(wrong(
                "latency_histogram takes milliseconds and how many calls took so long",
            )),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let times = argument(&args, 0, &DataType::Float64)?;
        let counts = argument(&args, 1, &DataType::Int64)?;
        let mut out = lists();
        let rows = times.as_primitive::<Float64Type>().iter();
        for (ms, count) in rows.zip(counts.as_primitive::<Int64Type>()) {
            if let (Some(bucket), Some(count)) = (ms.and_then(bucket_of_ms), count) {
                out.values().append_value(i64::from(bucket));
                out.values().append_value(count);
            }
            out.append(true);
        }
        Ok(ColumnarValue::Array(Arc::new(out.finish())))
    }

    fn documentation(&self) -> Option<&Documentation> {
        static DOC: LazyLock<Documentation> = LazyLock::new(|| {
            Documentation::builder(
                SECTION,
                "The latency histogram of so many calls that took so many milliseconds",
                "latency_histogram(duration_ms, count)",
            )
            .build()
        });
        Some(&DOC)
    }
}

/// `latency_merge(histogram)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Merge {
    signature: Signature,
}

impl Merge {
    fn new() -> Self {
        Self {
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl AggregateUDFImpl for Merge {
    fn name(&self) -> &'static str {
        "latency_merge"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, kinds: &[DataType]) -> Result<DataType> {
        match kinds {
            [DataType::List(_)] => Ok(stored()),
            _ => Err(wrong("latency_merge takes latency histograms")),
        }
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(One(Histogram::default())))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(
        &self,
        _: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Groups::default()))
    }

    fn documentation(&self) -> Option<&Documentation> {
        static DOC: LazyLock<Documentation> = LazyLock::new(|| {
            Documentation::builder(
                SECTION,
                "The latency histogram of all calls together",
                "latency_merge(histogram)",
            )
            .build()
        });
        Some(&DOC)
    }
}

fn first(values: &[ArrayRef]) -> Result<ListArray> {
    as_lists(values.first().ok_or_else(QueryError::internal)?)
}

fn list_of(all: &[Histogram]) -> ListArray {
    let mut out = lists();
    for one in all {
        one.pairs().for_each(|n| out.values().append_value(n));
        out.append(true);
    }
    out.finish()
}

/// The sum of one group.
#[derive(Debug)]
struct One(Histogram);

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let lists = first(values)?;
        (0..lists.len()).for_each(|row| add_row(&mut self.0, &lists, row));
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let list = list_of(std::slice::from_ref(&self.0));
        Ok(ScalarValue::List(Arc::new(list)))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.0.heap_bytes()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}

/// The sums of many groups.
#[derive(Debug, Default)]
struct Groups(Vec<Histogram>);

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        let lists = first(values)?;
        self.0.resize_with(count, Histogram::default);
        for (row, group) in groups.iter().enumerate() {
            let kept = filter.is_none_or(|f| f.is_valid(row) && f.value(row));
            if let (true, Some(sum)) = (kept, self.0.get_mut(*group)) {
                add_row(sum, &lists, row);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        Ok(Arc::new(list_of(&emit.take_needed(&mut self.0))))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit)?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        self.update_batch(states, groups, None, count)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows = first(values)?;
        let mut out = lists();
        for row in 0..rows.len() {
            let mut one = Histogram::default();
            if filter.is_none_or(|f| f.is_valid(row) && f.value(row)) {
                add_row(&mut one, &rows, row);
            }
            one.pairs().for_each(|n| out.values().append_value(n));
            out.append(true);
        }
        Ok(vec![Arc::new(out.finish())])
    }

    fn size(&self) -> usize {
        let heap: usize = self.0.iter().map(Histogram::heap_bytes).sum();
        heap + self.0.capacity() * size_of::<Histogram>()
    }
}
