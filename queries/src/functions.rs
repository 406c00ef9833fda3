//! Which of DataFusion's functions queries may call.
//!
//! A function is off where one call can take memory or time out of proportion to what it is given
//! (`repeat('a', 1e9)`), since both are spent in one step that no limit can interrupt; or where it
//! tells of files. Functions that make long values out of given ones stay, behind
//! [`growth`](crate::growth)'s check.

use std::sync::Arc;

use datafusion::execution::SessionStateDefaults;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::ScalarUDF;

/// Functions that are off, each with its aliases.
pub(crate) const OFF: &[&str] = &[
    // As long as a number says.
    "repeat",
    "lpad",
    "rpad",
    "range",
    "generate_series",
    "gen_series",
    "array_repeat",
    "array_resize",
    // Time grows with the product of two lengths, in one step.
    "levenshtein",
    // A type of any width, by a text.
    "arrow_cast",
    "arrow_try_cast",
    // Tell of files.
    "input_file_name",
    "file_row_index",
];

/// The scalar functions that are on.
pub(crate) fn scalar() -> Vec<Arc<ScalarUDF>> {
    let all = SessionStateDefaults::default_scalar_functions();
    let off = |f: &Arc<ScalarUDF>| {
        let names = f.aliases().iter().map(String::as_str);
        names.chain([f.name()]).any(|name| OFF.contains(&name))
    };
    all.into_iter().filter(|f| !off(f)).collect()
}

/// Adds the functions that queries may call: scalars as above, aggregates and windows all. Table
/// functions and functions of functions are off.
pub(crate) fn register(builder: SessionStateBuilder) -> SessionStateBuilder {
    builder
        .with_scalar_functions(scalar())
        .with_aggregate_functions(SessionStateDefaults::default_aggregate_functions())
        .with_window_functions(SessionStateDefaults::default_window_functions())
        .with_expr_planners(SessionStateDefaults::default_expr_planners())
}
