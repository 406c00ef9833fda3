//! Which functions queries may call: most of DataFusion's, and ours.
//!
//! A function is off where one call can take memory or time out of proportion to what it is given
//! (`repeat('a', 1e9)`), since both are spent in one step that no limit can interrupt; or where it
//! tells of files. Functions that make long values out of given ones stay, behind
//! [`growth`](crate::growth)'s check.

use std::sync::Arc;

use datafusion::execution::SessionStateDefaults;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

/// Functions that are off, each with its aliases.
pub(crate) const OFF: &[&str] = &[
    // As long as a number says.
    "repeat",
    "lpad",
    "rpad",
    "range",
    "generate_series",
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
    let ours = crate::latency::scalar();
    all.into_iter().filter(|f| !off(f)).chain(ours).collect()
}

/// The aggregate functions, all of them.
pub(crate) fn aggregate() -> Vec<Arc<AggregateUDF>> {
    let all = SessionStateDefaults::default_aggregate_functions();
    all.into_iter().chain(crate::latency::aggregate()).collect()
}

/// Adds the functions that queries may call: scalars as above, aggregates and windows all. Table
/// functions and functions of functions are off.
pub(crate) fn register(builder: SessionStateBuilder) -> SessionStateBuilder {
    builder
        .with_scalar_functions(scalar())
        .with_aggregate_functions(aggregate())
        .with_window_functions(SessionStateDefaults::default_window_functions())
        .with_expr_planners(SessionStateDefaults::default_expr_planners())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn a_function_that_datafusion_adds_is_looked_at() {
        let mut names: Vec<String> = scalar().iter().map(|f| f.name().to_owned()).collect();
        names.sort();
        let found = names.join("\n") + "\n";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/functions.txt");
        if std::env::var_os("WEIR_COMPLETE").is_some() {
            fs::write(&path, &found).unwrap();
        }
        let known = fs::read_to_string(&path).unwrap();
        assert_eq!(
            found, known,
            "decide for each new function whether it is off, checked for growth, or harmless"
        );
    }

    #[test]
    fn every_function_that_is_off_was_there() {
        let all = SessionStateDefaults::default_scalar_functions();
        let is = |name: &&&str| {
            let named =
                |f: &Arc<ScalarUDF>| f.name() == **name || f.aliases().iter().any(|a| a == **name);
            !all.iter().any(named)
        };
        let gone: Vec<_> = OFF.iter().filter(is).collect();
        assert!(gone.is_empty(), "no such function any more: {gone:?}");
    }
}
