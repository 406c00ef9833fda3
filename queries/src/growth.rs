//! Keeps functions from making values that are much longer than those they are given.
//!
//! `x || x` doubles a value, and a chain of thirty of them makes gigabytes of one letter; so do
//! `replace`, `concat` and the makers of lists and structs. What a function allocates is in no
//! memory pool, and constants are folded while a query is planned. So each call of such a function
//! is checked before it is made: how much can come out is estimated from what goes in, and too
//! much is an error.
//!
//! The check is put in by a rule that runs after types are settled and before anything is folded.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, StringArray};
use arrow_schema::{DataType, Field, FieldRef};
use datafusion::arrow::compute::cast;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, LogicalPlan, Operator, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;

use crate::QueryError;

/// The most bytes that one call may make for a batch of rows.
const CALL_BYTES_MAX: u64 = 64 << 20;

/// The most bytes that a call may make of constants alone: that is done while planning, and the
/// planner copies what comes out time and again.
const CONSTANT_BYTES_MAX: u64 = 1 << 20;

/// How much a function can make of what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Growth {
    /// All arguments together.
    Sum,
    /// The arguments, and the first of them between each two others.
    Separated,
    /// The first argument with the third in place of each find of the second.
    Replaced,
    /// As before, where a find may be of no length.
    Matched,
    /// The elements of the first argument with the second between each two.
    Joined,
    /// Twice the first argument.
    Doubled,
}

/// The functions that are checked; all others give no more than they get, or a little.
const GROWING: &[(&str, Growth)] = &[
    ("concat", Growth::Sum),
    ("concat_ws", Growth::Separated),
    ("replace", Growth::Replaced),
    ("regexp_replace", Growth::Matched),
    ("overlay", Growth::Sum),
    ("encode", Growth::Doubled),
    ("make_array", Growth::Sum),
    ("make_list", Growth::Sum),
    ("array_append", Growth::Sum),
    ("array_prepend", Growth::Sum),
    ("array_concat", Growth::Sum),
    ("array_to_string", Growth::Joined),
    ("array_replace", Growth::Matched),
    ("array_replace_n", Growth::Matched),
    ("array_replace_all", Growth::Matched),
    ("struct", Growth::Sum),
    ("row", Growth::Sum),
    ("named_struct", Growth::Sum),
    ("map", Growth::Sum),
    ("arrays_zip", Growth::Sum),
];

/// Puts the check around each call of a growing function.
#[derive(Debug)]
pub(crate) struct CheckGrowth;

impl AnalyzerRule for CheckGrowth {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let checked = plan.transform_up_with_subqueries(|node| {
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                let checked = expr.transform_up(check)?;
                Ok(checked.update_data(|e| name.restore(e)))
            })
        });
        checked.map(|t| t.data)
    }

    fn name(&self) -> &str {
        "check_growth"
    }
}

fn check(expr: Expr) -> Result<Transformed<Expr>> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "no other expression makes long values"
    )]
    match expr {
        Expr::ScalarFunction(call) => {
            let growth = GROWING.iter().find(|(name, _)| *name == call.func.name());
            let checked_already = call.func.inner().downcast_ref::<Checked>().is_some();
            let Some((_, growth)) = growth.filter(|_| !checked_already) else {
                return Ok(Transformed::no(Expr::ScalarFunction(call)));
            };
            let checked = Checked {
                inner: call.func,
                growth: *growth,
            };
            Ok(Transformed::yes(call_of(checked, call.args)))
        }
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::StringConcat,
            right,
        }) => Ok(Transformed::yes(call_of(Join::new(), vec![*left, *right]))),
        other => Ok(Transformed::no(other)),
    }
}

fn call_of(function: impl ScalarUDFImpl + 'static, args: Vec<Expr>) -> Expr {
    let func = Arc::new(ScalarUDF::new_from_impl(function));
    Expr::ScalarFunction(ScalarFunction { func, args })
}

/// A function with the check before it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    inner: Arc<ScalarUDF>,
    growth: Growth,
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.inner.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        admit(self.growth, &args)?;
        self.inner.invoke_with_args(args)
    }
}

/// The operator `||` on texts, with the check before it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Join {
    signature: Signature,
}

impl Join {
    fn new() -> Self {
        Self {
            signature: Signature::any(2, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Join {
    fn name(&self) -> &str {
        "||"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(arg_types.first().cloned().unwrap_or(DataType::Utf8))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let kinds: Vec<DataType> = args
            .arg_fields
            .iter()
            .map(|f| f.data_type().clone())
            .collect();
        let nullable = args.arg_fields.iter().any(|f| f.is_nullable());
        let field = Field::new(self.name(), self.return_type(&kinds)?, nullable);
        Ok(Arc::new(field))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        admit(Growth::Sum, &args)?;
        let scalar = args
            .args
            .iter()
            .all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let text = |at: usize| -> Result<ArrayRef> {
            let arg = args.args.get(at).cloned();
            let arg = arg.ok_or_else(|| DataFusionError::from(QueryError::internal()))?;
            Ok(cast(&arg.into_array(rows)?, &DataType::Utf8)?)
        };
        let (left, right) = (text(0)?, text(1)?);
        let (left, right) = (left.as_string::<i32>(), right.as_string::<i32>());
        let pairs = left.iter().zip(right.iter());
        let joined = pairs.map(|(l, r)| Some(format!("{}{}", l?, r?)));
        let joined: StringArray = joined.collect();
        let joined = cast(&joined, args.return_field.data_type())?;
        if scalar {
            let value = datafusion::common::ScalarValue::try_from_array(&joined, 0)?;
            return Ok(ColumnarValue::Scalar(value));
        }
        Ok(ColumnarValue::Array(joined))
    }
}

/// Estimates from above what the call makes, and refuses too much.
fn admit(growth: Growth, args: &ScalarFunctionArgs) -> Result<()> {
    let rows = args.number_rows.max(1) as u64;
    let sizes: Vec<Size> = args.args.iter().map(|a| Size::of(a, rows)).collect();
    let total: u64 = sizes.iter().map(|s| s.bytes).fold(0, u64::saturating_add);
    let get = |at: usize| sizes.get(at).copied().unwrap_or_default();
    let made = match growth {
        Growth::Sum => total,
        Growth::Separated => {
            let gaps = (sizes.len() as u64).saturating_sub(2);
            total.saturating_add(gaps.saturating_mul(get(0).bytes))
        }
        Growth::Replaced => {
            let finds = get(0).bytes / get(1).shortest.max(1);
            finds
                .saturating_add(rows)
                .saturating_mul(get(2).longest)
                .saturating_add(get(0).bytes)
        }
        Growth::Matched => {
            let finds = get(0).bytes.saturating_add(rows);
            finds
                .saturating_mul(get(2).longest)
                .saturating_add(get(0).bytes)
        }
        Growth::Joined => {
            let gaps = get(0).elements;
            gaps.saturating_mul(get(1).longest.max(get(2).longest))
                .saturating_add(total)
        }
        Growth::Doubled => get(0).bytes.saturating_mul(2),
    };
    let constant = |a: &ColumnarValue| matches!(a, ColumnarValue::Scalar(_));
    let (made, most) = if args.args.iter().all(constant) {
        (made / rows, CONSTANT_BYTES_MAX)
    } else {
        (made, CALL_BYTES_MAX)
    };
    if made > most {
        return Err(QueryError::refused(
            "query_memory",
            "the query makes values that are too long",
        )
        .into());
    }
    Ok(())
}

/// What an argument holds.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    /// All its values.
    bytes: u64,
    /// Its values, and the elements of lists among them.
    elements: u64,
    /// The shortest value that is a text.
    shortest: u64,
    /// The longest value.
    longest: u64,
}

impl Size {
    fn of(value: &ColumnarValue, rows: u64) -> Self {
        match value {
            ColumnarValue::Array(array) => Self::of_array(array.as_ref()),
            ColumnarValue::Scalar(scalar) => {
                let one = scalar.to_array().map(|a| Self::of_array(a.as_ref()));
                let one = one.unwrap_or_default();
                Self {
                    bytes: one.bytes.saturating_mul(rows),
                    elements: one.elements.saturating_mul(rows),
                    ..one
                }
            }
        }
    }

    fn of_array(array: &dyn Array) -> Self {
        let data = array.to_data();
        let held = data.get_slice_memory_size().unwrap_or(usize::MAX) as u64;
        let views = array.as_string_view_opt();
        let lengths = if let Some(texts) = array.as_string_opt::<i32>() {
            extremes(texts.iter())
        } else if let Some(texts) = array.as_string_opt::<i64>() {
            extremes(texts.iter())
        } else {
            views.and_then(|texts| extremes(texts.iter()))
        };
        let (shortest, longest) = lengths.unwrap_or((1, held));
        // Views may share their text, so it is counted by the values and not by the buffers.
        let bytes = match views {
            Some(_) => longest.saturating_mul(array.len() as u64),
            None => held,
        };
        let elements = if let Some(lists) = array.as_list_opt::<i32>() {
            lists.values().len()
        } else if let Some(lists) = array.as_list_opt::<i64>() {
            lists.values().len()
        } else if let Some(lists) = array.as_fixed_size_list_opt() {
            lists.values().len()
        } else {
            array.len()
        };
        Self {
            bytes,
            elements: elements as u64,
            shortest,
            longest,
        }
    }
}

/// The lengths of the shortest and the longest text.
fn extremes<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> Option<(u64, u64)> {
    let lengths = texts.flatten().map(|t| t.len() as u64);
    lengths.fold(None, |found, n| {
        let (low, high) = found.unwrap_or((n, n));
        Some((low.min(n), high.max(n)))
    })
}
