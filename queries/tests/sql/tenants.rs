//! No row of another tenant can be had, inferred or stumbled over.

use serde_json::json;
use weir_lake::Partition;
use weir_model::Dataset;

use crate::fixture::{Site, run, spans};

/// Two tenants, each with rows in the lake and recent rows, in shared batches.
pub(crate) async fn two_tenants(site: &Site) {
    let one = |tenant: &str, n: u32| {
        json!({
            "tenant_id": tenant,
            "span_id": format!("{n:016x}"),
            "name": if tenant == "acme" { format!("{n}") } else { "canary-rival".to_owned() },
            "service_name": if tenant == "acme" { "shop" } else { "canary-rival" },
            "duration_nanos": if tenant == "acme" { 100 } else { 0 },
            "attributes": { "secret": if tenant == "acme" { "own" } else { "canary-rival" } },
        })
    };
    let both = [
        one("acme", 1),
        one("rival", 2),
        one("acme", 3),
        one("rival", 4),
    ];
    site.store(Dataset::Spans, &spans(&both)).await;
    let more = [one("rival", 5), one("acme", 6), one("rival", 7)];
    site.recent.accept(Dataset::Spans, &spans(&more));
}

fn for_each_partition(check: impl AsyncFn(&Site)) {
    run(async {
        for partition in [Partition::DateAndTenant, Partition::Date] {
            let site = Site::new(partition).await;
            two_tenants(&site).await;
            check(&site).await;
        }
    });
}

#[test]
fn each_tenant_sees_its_own_rows() {
    for_each_partition(async |site| {
        let sql = "SELECT tenant_id, count(*) AS n FROM spans GROUP BY 1";
        assert_eq!(site.csv("acme", sql).await, "tenant_id,n\nacme,3\n");
        assert_eq!(site.csv("rival", sql).await, "tenant_id,n\nrival,4\n");
        assert_eq!(site.csv("nobody", sql).await, "tenant_id,n\n");
    });
}

#[test]
fn a_predicate_that_fails_on_foreign_rows_does_not_fail() {
    for_each_partition(async |site| {
        for sql in [
            "SELECT count(*) AS n FROM spans WHERE 100 / duration_nanos = 1",
            "SELECT count(*) AS n FROM spans WHERE cast(name AS int) > 0",
            "SELECT count(*) AS n FROM spans \
             WHERE 1 / (CASE WHEN tenant_id = 'rival' THEN 0 ELSE 1 END) = 1",
            "SELECT count(*) AS n FROM spans \
             WHERE 1 / (CASE WHEN service_name LIKE 'canary%' THEN 0 ELSE 1 END) = 1",
            "SELECT count(*) AS n FROM (SELECT cast(name AS int) AS x FROM spans) WHERE x > 0",
        ] {
            assert_eq!(site.csv("acme", sql).await, "n\n3\n", "{sql}");
        }
    });
}

#[test]
fn asking_for_a_foreign_tenant_by_name_gives_nothing() {
    for_each_partition(async |site| {
        for sql in [
            "SELECT count(*) AS n FROM spans WHERE tenant_id = 'rival'",
            "SELECT count(*) AS n FROM spans WHERE tenant_id <> 'acme'",
            "SELECT count(*) AS n FROM spans WHERE tenant_id IS NULL OR tenant_id LIKE '%riv%'",
            "SELECT count(*) AS n FROM spans WHERE service_name = 'canary-rival'",
            "SELECT count(*) AS n FROM spans a JOIN spans b ON a.tenant_id <> b.tenant_id",
        ] {
            assert_eq!(site.csv("acme", sql).await, "n\n0\n", "{sql}");
        }
        assert_eq!(
            site.csv("acme", "SELECT count(*) AS n FROM traces").await,
            "n\n3\n"
        );
    });
}

#[test]
fn a_plan_names_no_foreign_file_or_tenant() {
    for_each_partition(async |site| {
        let sql = "EXPLAIN VERBOSE SELECT * FROM spans WHERE name = 'x' ORDER BY start_time";
        let plan = site.csv("acme", sql).await;
        assert!(!plan.contains("rival"), "{plan}");
        // Stores name files without the first slash.
        let folder = site.dir.path().to_str().unwrap().trim_start_matches('/');
        assert!(!plan.contains(folder), "{plan}");
    });
}

#[test]
fn columns_that_are_read_in_any_order_and_number_are_right() {
    for_each_partition(async |site| {
        let sql = "SELECT part_date, name, tenant_id, _row, name AS again, attributes['secret'] \
                   AS secret FROM spans ORDER BY name";
        let expected = "part_date,name,tenant_id,_row,again,secret\n\
                        2026-11-21,1,acme,0,1,own\n\
                        2026-11-21,3,acme,2,3,own\n\
                        2026-11-21,6,acme,1,6,own\n";
        assert_eq!(site.csv("acme", sql).await, expected);
        let sql = "SELECT part_date FROM spans LIMIT 1";
        assert_eq!(site.csv("acme", sql).await, "part_date\n2026-11-21\n");
        let sql = "SELECT * FROM spans WHERE name = '3'";
        assert_eq!(site.query("acme", sql).await.unwrap().rows(), 1);
    });
}

/// Wherever the predicate is evaluated, its failure is the caller's to mend, and no fault of the
/// store that the file is read from.
#[test]
fn a_predicate_that_fails_on_own_rows_is_refused_in_the_same_words() {
    let cases = [
        ("1 / (duration_nanos - 100) > 0", "division by zero"),
        ("cast(service_name AS int) > 0", "try_cast gives NULL"),
        ("to_date(service_name) IS NOT NULL", "try_cast gives NULL"),
        ("service_name ~ '('", "a regular expression cannot be read"),
        ("decode(service_name, 'hex') IS NOT NULL", "does not fit"),
    ];
    run(async {
        for partition in [Partition::DateAndTenant, Partition::Date] {
            for in_lake in [true, false] {
                let site = Site::new(partition).await;
                let row = json!({ "name": "n", "service_name": "shop", "duration_nanos": 100 });
                if in_lake {
                    site.store(Dataset::Spans, &spans(&[row])).await;
                } else {
                    site.recent.accept(Dataset::Spans, &spans(&[row]));
                }
                for (predicate, words) in cases {
                    let sql = format!("SELECT name FROM spans WHERE {predicate}");
                    let case = format!("{predicate}, {partition:?}, in the lake: {in_lake}");
                    let error = site.query("acme", &sql).await.expect_err(&case);
                    assert!(matches!(error.status(), 400 | 422), "{case}: {error:?}");
                    assert!(error.message().contains(words), "{case}: {error:?}");
                    assert!(!error.message().contains("shop"), "{case}: {error:?}");
                }
            }
        }
    });
}
