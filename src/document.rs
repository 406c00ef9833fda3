//! Pages of `docs/` that are made from tables in the code, and held to them by tests.

use std::path::Path;

/// Compares the page at `path` with `text`; with `WEIR_WRITE_DOCS=1` it is written instead.
///
/// # Panics
///
/// Where the page says otherwise than the code.
pub(crate) fn compare(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var("WEIR_WRITE_DOCS").is_ok_and(|value| value == "1") {
        std::fs::write(&file, text).unwrap();
    }
    let page = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        page == text,
        "{path} is not what the code says: run `WEIR_WRITE_DOCS=1 cargo test --workspace --lib --bins`"
    );
}
