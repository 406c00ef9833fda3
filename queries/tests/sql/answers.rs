//! Answers as reviewable text: `testdata/*.slt`, over the same rows in three states: all in the
//! lake, half of them, none.
//!
//! A case is SQL, a line `----`, and the answer as CSV up to an empty line. `WEIR_COMPLETE=1` in
//! the environment writes the files anew.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use weir_lake::Partition;
use weir_model::Dataset;

use crate::fixture::{Site, csv, rows, run};

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// Where the rows are.
#[derive(Clone, Copy, Debug)]
enum State {
    InLake,
    Half,
    Recent,
}

async fn site(state: State) -> Site {
    let site = Site::new(Partition::DateAndTenant).await;
    for dataset in [Dataset::Spans, Dataset::ProxyAudit, Dataset::CostLedger] {
        let path = testdata().join(format!("{}.ndjson", dataset.name()));
        let text = fs::read_to_string(path).unwrap();
        let objects: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let (first, rest) = objects.split_at(objects.len() / 2);
        match state {
            State::InLake => site.store(dataset, &rows(dataset, &objects)).await,
            State::Recent => site.recent.accept(dataset, &rows(dataset, &objects)),
            State::Half => {
                site.store(dataset, &rows(dataset, first)).await;
                site.recent.accept(dataset, &rows(dataset, rest));
            }
        }
    }
    site
}

/// Runs every case of `text` and gives the file as it should be.
async fn complete(site: &Site, text: &str) -> String {
    let mut out = String::new();
    for block in text.split("\n\n").map(str::trim).filter(|b| !b.is_empty()) {
        if !out.is_empty() {
            out.push('\n');
        }
        let Some((sql, _)) = block.split_once("\n----") else {
            out.push_str(block);
            out.push('\n');
            continue;
        };
        let plain: Vec<&str> = sql.lines().filter(|l| !l.starts_with('#')).collect();
        let answer = match site.query("acme", &plain.join("\n")).await {
            Ok(answer) => csv(&answer),
            Err(error) => format!("error {} {error}\n", error.code()),
        };
        out.push_str(&format!("{sql}\n----\n{answer}"));
    }
    out
}

#[test]
fn answers_are_as_written_wherever_the_rows_are() {
    run(async {
        let mut files: Vec<PathBuf> = fs::read_dir(testdata())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "slt"))
            .collect();
        files.sort();
        assert!(!files.is_empty());
        let bless = std::env::var_os("WEIR_COMPLETE").is_some();
        for state in [State::InLake, State::Half, State::Recent] {
            let site = site(state).await;
            for file in &files {
                let written = fs::read_to_string(file).unwrap();
                let found = complete(&site, &written).await;
                if bless {
                    fs::write(file, &found).unwrap();
                } else {
                    assert_eq!(found, written, "{} with {state:?}", file.display());
                }
            }
        }
    });
}
