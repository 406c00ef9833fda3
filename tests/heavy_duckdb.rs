//! Reads the lake with a reader that is not ours.

#![cfg(test)]

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use support::load::Load;
use support::oracle::Oracle;
use support::random::Random;
use support::server::Settings;
use support::traffic::{TABLES, Table, id_of, text_of};

/// Prints each row's id and text, and fails where the tables are not what the protocol says.
const SCRIPT: &str = r#"
import os, sys, duckdb, duckdb_extension_delta
folder = os.path.join(os.path.dirname(duckdb_extension_delta.__file__), "extensions")
(version,) = os.listdir(folder)
connection = duckdb.connect()
connection.execute(f"LOAD '{folder}/{version}/delta.duckdb_extension'")
table, id, text = sys.argv[1:]
rows = connection.execute(
    f"SELECT {id}, {text}, tenant_id, part_date, _node, _batch, _row FROM delta_scan(?)", [table]
).fetchall()
assert {row[2] for row in rows} <= {"default"}, "another tenant"
assert all(row[3] is not None for row in rows), "a row without its date"
assert len({row[4:] for row in rows}) == len(rows), "a place taken twice"
for row in rows:
    print(row[0], row[1])
"#;

fn read(python: &str, lake: &Path, table: Table) -> Vec<String> {
    let output = Command::new(python)
        .args(["-c", SCRIPT])
        .arg(lake.join(table.name))
        .args([table.id, table.text])
        .output()
        .unwrap();
    let faults = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {faults}", table.name);
    let mut rows: Vec<String> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    rows.sort_unstable();
    rows
}

#[test]
fn duckdb_reads_exactly_the_acknowledged_rows_from_the_lake_folder() {
    if support::skip_unless_heavy() {
        return;
    }
    let Ok(python) = std::env::var("WEIR_TEST_PYTHON") else {
        return support::not_run("DuckDB: WEIR_TEST_PYTHON is not set; `cargo xtask test` sets it");
    };
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::hasty(&folder.path().join("data"));
    let oracle = Arc::new(Oracle::default());
    let server = settings.start();
    let load = Load::start(&oracle, server.http, 4, &mut Random::from_env());
    thread::sleep(Duration::from_secs(3));
    load.stop();
    server.wait_stored();
    let lake = settings.data_dir().join("lake");
    for table in TABLES {
        let mut expected: Vec<String> = oracle
            .claims()
            .iter()
            .filter(|claim| claim.kind.table() == table && claim.acknowledged)
            .flat_map(|claim| claim.first..claim.first + claim.count)
            .map(|number| format!("{} {}", id_of(number), text_of(number)))
            .collect();
        expected.sort_unstable();
        let found = read(&python, &lake, table);
        println!("{}: {} rows", table.name, found.len());
        assert!(!found.is_empty(), "{}", table.name);
        assert!(
            found == expected,
            "{}: {} rows, not {}",
            table.name,
            found.len(),
            expected.len()
        );
    }
}
