//! `docs/sql.md` says what the code says, and what it names can be asked.

use std::fs;
use std::path::Path;

use weir_lake::Partition;

use crate::fixture::{Site, run};

/// `WEIR_COMPLETE=1` in the environment writes the page anew.
#[test]
fn the_page_is_what_the_code_gives() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sql.md");
    let made = weir_queries::reference().unwrap();
    if std::env::var_os("WEIR_COMPLETE").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    assert!(
        made == written,
        "docs/sql.md is old: weir schema > docs/sql.md"
    );
}

/// Every table and view of `SHOW TABLES` has a heading, and `DESCRIBE` gives its columns with a
/// meaning for each.
#[test]
fn every_table_and_column_is_documented() {
    let page = weir_queries::reference().unwrap();
    run(async {
        let site = Site::new(Partition::DateAndTenant).await;
        let tables = site.csv("acme", "SHOW TABLES").await;
        for line in tables.lines().skip(1) {
            let name = line.split(',').next().unwrap();
            assert!(page.contains(&format!("\n### `{name}`\n")), "{name}");
            let columns = site.csv("acme", &format!("DESCRIBE {name}")).await;
            for column in columns.lines().skip(1) {
                assert!(!column.ends_with(','), "{name}: {column} has no meaning");
                let column = column.split(',').next().unwrap();
                assert!(page.contains(&format!("| `{column}` |")), "{name}.{column}");
            }
        }
    });
}
