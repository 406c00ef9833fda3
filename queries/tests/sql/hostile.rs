//! Statements that try to break out or to break down: `testdata/hostile.sql`, each run over two
//! tenants' rows in both layouts of the lake.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_lake::Partition;
use weir_model::Dataset;
use weir_queries::{Answer, ErrorKind, QueryError, format};

use crate::fixture::{Site, run, spans};
use crate::limits::all_have_ended;

/// What is in every text of the other tenant's rows.
const CANARY: &str = "canary-7f3a9c";

/// How long a query may take.
const TIMEOUT: Duration = Duration::from_millis(250);

/// How long it may take to say so, on a busy machine with a debug build.
const ANSWERED_WITHIN: Duration = Duration::from_secs(8);

/// What must become of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Refused,
    Bounded,
}

fn cases(lake: &str) -> Vec<(Fate, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/hostile.sql");
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text
        .lines()
        .skip_while(|l| l.starts_with('#') || l.is_empty());
    let mut cases = Vec::new();
    while let Some(fate) = lines.next() {
        let fate = match fate {
            "-- refused" => Fate::Refused,
            "-- bounded" => Fate::Bounded,
            other => panic!("neither refused nor bounded: {other}"),
        };
        cases.push((fate, expand(lines.next().unwrap(), lake)));
    }
    cases
}

/// Puts in what the file's head says of `@{...}`.
fn expand(text: &str, lake: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("@{") {
        let (inside, after) = after.split_once('}').unwrap();
        out.push_str(before);
        if inside == "lake" {
            out.push_str(lake);
        } else if let Some(number) = inside.strip_prefix("U+") {
            let number = u32::from_str_radix(number, 16).unwrap();
            out.push(char::from_u32(number).unwrap());
        } else if let Some((count, again)) = inside.split_once('|') {
            out.push_str(&again.repeat(count.parse().unwrap()));
        } else {
            let (count, kind) = inside.split_at(inside.len() - 1);
            out.push_str(&chain(count.parse().unwrap(), kind));
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Common table expressions from `a` to `z`, each twice the one before.
fn chain(count: usize, kind: &str) -> String {
    let mut names = vec!["a".to_owned()];
    names.extend((0..count - 2).map(|n| format!("c{n}")));
    names.push("z".to_owned());
    let step = |pair: &[String]| match kind {
        "!" => format!(
            "{} AS (SELECT l.x FROM {} l, {} r)",
            pair[1], pair[0], pair[0]
        ),
        _ => format!("{} AS (SELECT x || x AS x FROM {})", pair[1], pair[0]),
    };
    names.windows(2).map(step).collect::<Vec<_>>().join(", ") + " "
}

async fn site(partition: Partition) -> Site {
    let site = Site::with(partition, |c| {
        c.timeout = TIMEOUT;
        c.query_memory_bytes = 64 << 20;
        c.memory_bytes = 128 << 20;
        c.spill_bytes = 64 << 20;
        c.rows_max = 10_000;
        c.bytes_max = 8 << 20;
    })
    .await;
    let row = |n: u32| {
        let mine = !n.is_multiple_of(4);
        let text = if mine {
            format!("name-{n}")
        } else {
            format!("{CANARY}-{n}")
        };
        json!({
            "tenant_id": if mine { "acme" } else { "rival" },
            "span_id": format!("{n:016x}"),
            "name": text,
            "service_name": text,
            "model": text,
            "duration_nanos": if mine { i64::from(n) + 1 } else { 0 },
            "attributes": { "a": text, "b": "x".repeat(60) },
            "finish_reasons": [text],
            "op_kind": "llm",
        })
    };
    let objects: Vec<Value> = (0..2000).map(row).collect();
    site.store(Dataset::Spans, &spans(&objects[..1200])).await;
    site.recent.accept(Dataset::Spans, &spans(&objects[1200..]));
    site
}

/// All files that a statement could have made in the places that the statements name.
fn files(site: &Site) -> BTreeSet<PathBuf> {
    let here = std::env::current_dir().unwrap();
    let mut found = BTreeSet::new();
    for place in [here, site.dir.path().to_owned(), PathBuf::from("/tmp")] {
        let names = fs::read_dir(&place).unwrap().map(|e| e.unwrap().path());
        // Other tests work in folders of their own beside ours.
        let own = |p: &PathBuf| {
            !p.to_string_lossy().contains("weir-queries-") || p.starts_with(site.dir.path())
        };
        let planted =
            |p: &PathBuf| place != Path::new("/tmp") || p.to_string_lossy().contains("planted");
        found.extend(names.filter(own).filter(planted));
    }
    found
}

/// Everything that a caller gets to see.
fn shown(outcome: &Result<Answer, QueryError>) -> String {
    match outcome {
        Ok(answer) => {
            let mut text = Vec::new();
            if format::write_json(answer, &mut text).is_err() {
                text.clear();
                format::write_csv(answer, &mut text).unwrap();
            }
            String::from_utf8(text).unwrap()
        }
        Err(error) => format!("{error} {error:?}"),
    }
}

fn judge(
    fate: Fate,
    sql: &str,
    outcome: &Result<Answer, QueryError>,
    took: Duration,
) -> Vec<String> {
    let mut faults = Vec::new();
    let shown = shown(outcome);
    if shown.contains(CANARY) {
        faults.push("shows another tenant's row".to_owned());
    }
    if outcome.is_err() && shown.contains("/weir-queries-") && !sql.contains("/weir-queries-") {
        faults.push("names a folder of this machine".to_owned());
    }
    if fate == Fate::Refused {
        match outcome {
            Ok(answer) => faults.push(format!("was run, and gave {} rows", answer.rows())),
            Err(error) => {
                let kinds = [ErrorKind::Invalid, ErrorKind::TooLarge, ErrorKind::Refused];
                if !kinds.contains(&error.kind()) {
                    faults.push(format!("ended as {:?} {}", error.kind(), error.code()));
                }
            }
        }
    } else if let Err(error) = outcome {
        let bad = [ErrorKind::Internal, ErrorKind::Unavailable, ErrorKind::Busy];
        if bad.contains(&error.kind()) {
            faults.push(format!("ended as {:?} {}", error.kind(), error.code()));
        }
    }
    if took > ANSWERED_WITHIN {
        faults.push(format!("took {took:?}"));
    }
    faults
}

/// The most memory that this process has had so far, in MiB; 0 where it cannot be told.
fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

#[test]
fn hostile_statements_are_refused_or_bounded_and_show_no_foreign_row() {
    run(async {
        for partition in [Partition::DateAndTenant, Partition::Date] {
            let site = site(partition).await;
            let before = files(&site);
            let cases = cases(site.dir.path().join("lake").to_str().unwrap());
            let distinct: BTreeSet<&String> = cases.iter().map(|(_, sql)| sql).collect();
            assert_eq!(
                distinct.len(),
                cases.len(),
                "a statement stands there twice"
            );
            assert!(cases.len() >= 390, "{} statements", cases.len());
            let mut wrong = Vec::new();
            for (fate, sql) in &cases {
                let started = Instant::now();
                let outcome = site.query("acme", sql).await;
                let faults = judge(*fate, sql, &outcome, started.elapsed());
                if !faults.is_empty() {
                    let start: String = sql.chars().take(100).collect();
                    wrong.push(format!(
                        "{start}\n      {}: {:?}",
                        faults.join("; "),
                        outcome.err()
                    ));
                }
            }
            assert!(
                wrong.is_empty(),
                "{} of {}:\n{}",
                wrong.len(),
                cases.len(),
                wrong.join("\n")
            );
            all_have_ended(&site).await;
            let fresh: Vec<_> = files(&site).difference(&before).cloned().collect();
            let fresh: Vec<_> = fresh.iter().filter(|p| !p.ends_with("spill")).collect();
            assert!(fresh.is_empty(), "files were made: {fresh:?}");
            let peak = peak_mib();
            println!(
                "{} statements, {partition:?}; the process peaked at {peak} MiB",
                cases.len()
            );
            assert!(peak < 1536, "{peak} MiB");
        }
    });
}
