//! What is not read of the files that a plan keeps: row groups that statistics or a bloom filter
//! rule out, pages that the index rules out, columns that nobody asked for. Judged by the bytes
//! that the object store was asked for, against the places that the files' own footers give.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::json;
use url::Url;
use weir_lake::{Lake, Partition};
use weir_model::Dataset;

use crate::fixture::{Site, run, spans};
use crate::ranges::Watched;

/// An id that says nothing of its place: the ids of all files lie in one range.
fn trace(n: u64) -> String {
    format!(
        "{:016x}{:016x}",
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        n.wrapping_mul(0xd6e8_feb8_6659_fd93)
    )
}

/// Spans of `tenant` numbered `numbers`, a millisecond apart, each of a trace of its own.
fn numbered(tenant: &str, numbers: Range<u64>) -> RecordBatch {
    let one = spans(&[json!({ "tenant_id": tenant, "service_name": "shop" })]);
    let count = usize::try_from(numbers.end - numbers.start).unwrap();
    let same = UInt64Array::from(vec![0; count]);
    let columns = one
        .columns()
        .iter()
        .zip(one.schema().fields().iter().cloned().collect::<Vec<_>>());
    let start = 1_795_000_000_000_000_i64;
    let columns = columns.map(|(column, field)| -> ArrayRef {
        match field.name().as_str() {
            "trace_id" => Arc::new(StringArray::from_iter_values(numbers.clone().map(trace))),
            "span_id" => Arc::new(StringArray::from_iter_values(
                numbers.clone().map(|n| format!("{n:016x}")),
            )),
            "name" => Arc::new(StringArray::from_iter_values(
                numbers.clone().map(|n| format!("name-{n}")),
            )),
            "start_time" => {
                let times = numbers
                    .clone()
                    .map(|n| start + i64::try_from(n).unwrap() * 1000);
                Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
            }
            _ => arrow_select::take::take(column, &same, None).unwrap(),
        }
    });
    RecordBatch::try_new(one.schema(), columns.collect()).unwrap()
}

/// A lake in memory whose reads are watched.
async fn watched(partition: Partition) -> (Site, Arc<Watched>) {
    let store = Arc::new(Watched::new(Arc::new(InMemory::new())));
    let url = Url::parse("memory:///lake").unwrap();
    let lake = Lake::with_store(Arc::clone(&store) as _, url, partition).unwrap();
    (Site::over(Arc::new(lake), |_| {}), store)
}

/// For each row group of each file, by its number: the place of each column that has one name.
type Places = BTreeMap<(Path, usize), BTreeMap<String, Range<u64>>>;

async fn places(site: &Site) -> Places {
    let snapshot = site.lake.snapshot(Dataset::Spans).await.unwrap();
    let mut places = Places::new();
    for file in snapshot.files() {
        let prefix = site.lake.table_prefix(Dataset::Spans);
        let path = Path::parse(format!("{prefix}/{}", file.path)).unwrap();
        let bytes = site
            .lake
            .store()
            .get(&path)
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        let reader = SerializedFileReader::new(bytes).unwrap();
        for (n, group) in reader.metadata().row_groups().iter().enumerate() {
            let columns = group.columns().iter().map(|column| {
                let (start, length) = column.byte_range();
                (column.column_path().string(), start..start + length)
            });
            places.insert((path.clone(), n), columns.collect());
        }
    }
    places
}

/// The bytes that a query read of each row group, by column; columns that it left out are not there.
async fn read_by(
    site: &Site,
    store: &Watched,
    tenant: &str,
    sql: &str,
) -> (BTreeMap<(Path, usize), BTreeMap<String, u64>>, String) {
    let places = places(site).await;
    // Footers are read once and kept.
    site.csv(tenant, "SELECT max(service_name) FROM spans")
        .await;
    store.take();
    let answer = site.csv(tenant, sql).await;
    let mut found = BTreeMap::new();
    for (path, range) in store.take() {
        for ((of, group), columns) in places.iter().filter(|((of, _), _)| *of == path) {
            for (name, place) in columns {
                let from = range.start.max(place.start);
                let to = range.end.min(place.end);
                if from < to {
                    let group: &mut BTreeMap<String, u64> =
                        found.entry((of.clone(), *group)).or_default();
                    *group.entry(name.clone()).or_default() += to - from;
                }
            }
        }
    }
    (found, answer)
}

fn names(columns: &BTreeMap<String, u64>) -> Vec<&str> {
    columns.keys().map(String::as_str).collect()
}

/// Two row groups in one file, all ids in one range: only the bloom filter can tell them apart.
#[test]
fn a_bloom_filter_rules_out_row_groups_whose_bounds_do_not() {
    run(async {
        let (site, store) = watched(Partition::DateAndTenant).await;
        let rows = 262_144 + 20_000;
        site.store(Dataset::Spans, &numbered("acme", 0..rows)).await;
        for (n, group) in [(1000, 0), (262_144 + 77, 1)] {
            let sql = format!(
                "SELECT span_id, name FROM spans WHERE trace_id = '{}'",
                trace(n)
            );
            let (read, answer) = read_by(&site, &store, "acme", &sql).await;
            assert_eq!(answer, format!("span_id,name\n{n:016x},name-{n}\n"));
            let groups: Vec<usize> = read.keys().map(|(_, group)| *group).collect();
            assert_eq!(groups, [group], "of the two row groups: {read:?}");
            let columns = read.values().next().unwrap();
            assert_eq!(names(columns), ["name", "span_id", "trace_id"]);
        }
        let sql = format!(
            "SELECT name FROM spans WHERE trace_id = '{}'",
            trace(rows + 5)
        );
        let (read, answer) = read_by(&site, &store, "acme", &sql).await;
        assert_eq!(answer, "name\n");
        assert!(read.is_empty(), "an id that is in no row group: {read:?}");
        // The bounds of the time rule out the first row group, and most pages of the second.
        let sql = "SELECT max(name) AS name FROM spans WHERE start_time >= '2026-11-18T11:11:21Z'";
        let (read, _) = read_by(&site, &store, "acme", sql).await;
        let groups: Vec<usize> = read.keys().map(|(_, group)| *group).collect();
        assert_eq!(groups, [1], "{read:?}");
    });
}

/// Of the pages of a column, those are read in which a row can match.
#[test]
fn the_page_index_rules_out_pages() {
    run(async {
        let (site, store) = watched(Partition::DateAndTenant).await;
        site.store(Dataset::Spans, &numbered("acme", 0..40_000))
            .await;
        let all = "SELECT max(name) AS name FROM spans";
        let (read, _) = read_by(&site, &store, "acme", all).await;
        let whole = read.values().next().unwrap()["name"];
        let one = format!(
            "SELECT name FROM spans WHERE trace_id = '{}'",
            trace(20_000)
        );
        let (read, answer) = read_by(&site, &store, "acme", &one).await;
        assert_eq!(answer, "name\nname-20000\n");
        let part = read.values().next().unwrap()["name"];
        assert!(part * 2 < whole, "{part} bytes of {whole} for one row");
    });
}

/// Several files with all ids in one range: the bloom filters leave one of them.
#[test]
fn a_trace_is_looked_for_in_the_files_that_may_hold_it() {
    run(async {
        let (site, store) = watched(Partition::DateAndTenant).await;
        for n in 0..6_u64 {
            site.store(Dataset::Spans, &numbered("acme", n * 2000..n * 2000 + 2000))
                .await;
        }
        let sql = format!("SELECT name FROM spans WHERE trace_id = '{}'", trace(5_500));
        let plan = site.csv("acme", &format!("EXPLAIN {sql}")).await;
        assert_eq!(
            plan.matches(".parquet").count(),
            6,
            "no bounds rule out a file: {plan}"
        );
        let (read, answer) = read_by(&site, &store, "acme", &sql).await;
        assert_eq!(answer, "name\nname-5500\n");
        assert_eq!(read.len(), 1, "{read:?}");
    });
}

/// In either layout no byte of a row group that holds only rows of others is read, and none of a
/// day that is not asked for.
#[test]
fn partitions_rule_out_other_tenants_and_other_days() {
    run(async {
        for partition in [Partition::DateAndTenant, Partition::Date] {
            let (site, store) = watched(partition).await;
            for (tenant, day) in [("acme", 20), ("acme", 21), ("rival", 20), ("rival", 22)] {
                let row = json!({
                    "tenant_id": tenant,
                    "name": format!("{tenant}-{day}"),
                    "part_date": format!("2026-11-{day}"),
                });
                site.store(Dataset::Spans, &spans(&[row])).await;
            }
            let (read, _) = read_by(&site, &store, "acme", "SELECT name FROM spans").await;
            assert_eq!(days(&read), ["2026-11-20", "2026-11-21"], "{partition:?}");
            let sql = "SELECT name FROM spans WHERE part_date = '2026-11-21'";
            let (read, answer) = read_by(&site, &store, "acme", sql).await;
            assert_eq!(answer, "name\nacme-21\n");
            assert_eq!(days(&read), ["2026-11-21"], "{partition:?}");
            let sql = "SELECT name FROM spans WHERE part_date > '2026-11-21'";
            let (read, answer) = read_by(&site, &store, "acme", sql).await;
            assert_eq!(answer, "name\n");
            assert!(read.is_empty(), "{partition:?}: {read:?}");
        }
    });
}

/// The days of the files that were read, each file's once.
fn days(read: &BTreeMap<(Path, usize), BTreeMap<String, u64>>) -> Vec<String> {
    let mut days: Vec<String> = read
        .keys()
        .map(|(path, _)| {
            let folder = path.parts().find(|p| p.as_ref().starts_with("part_date="));
            folder
                .unwrap()
                .as_ref()
                .trim_start_matches("part_date=")
                .to_owned()
        })
        .collect();
    days.sort();
    days
}

/// In files that several tenants share, a tenant's rows stand together: of the pages of others,
/// only those are read that hold the first or the last of its own rows.
#[test]
fn pages_of_other_tenants_are_left_out_of_shared_files() {
    run(async {
        let (site, store) = watched(Partition::Date).await;
        let parts = [numbered("acme", 0..100), numbered("rival", 0..60_000)];
        let rows = arrow_select::concat::concat_batches(&parts[0].schema(), &parts).unwrap();
        site.store(Dataset::Spans, &rows).await;
        let sql = "SELECT count(*) AS n, max(name) AS name FROM spans";
        let (read, answer) = read_by(&site, &store, "acme", sql).await;
        assert_eq!(answer, "n,name\n100,name-99\n");
        let mine = read.values().next().unwrap()["name"];
        let (read, _) = read_by(&site, &store, "rival", sql).await;
        let theirs = read.values().next().unwrap()["name"];
        assert!(mine * 3 < theirs, "{mine} bytes of {theirs}");
    });
}
