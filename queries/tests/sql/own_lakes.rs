//! Tenants with a lake of their own beside the default one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use weir_lake::{Lake, LakeConfig, Lakes, Partition};
use weir_model::{Batch, Dataset, RecentRows, TenantId};
use weir_queries::{Answer, Engine, EngineConfig, QueryError, QueryLimits};

use crate::fixture::{HeldRows, csv, run, spans};

const SPANS: Dataset = Dataset::Spans;

async fn lake(folder: &Path, name: &str, partition: Partition) -> Arc<Lake> {
    let config = LakeConfig {
        url: folder.join(name).to_str().unwrap().to_owned(),
        partition,
        ..LakeConfig::default()
    };
    Arc::new(Lake::open(&config).await.unwrap())
}

fn acme(own: &Arc<Lake>, default: &Arc<Lake>) -> Lakes {
    let tenants = BTreeSet::from([TenantId::new("acme").unwrap()]);
    let lakes = Lakes::from(Arc::clone(default));
    lakes.with_own(Arc::clone(own), tenants).unwrap()
}

fn engine(lakes: &Lakes, recent: &Arc<HeldRows>, folder: &Path) -> Engine {
    let config = EngineConfig {
        spill_dir: folder.join("spill"),
        threads: 2,
        ..EngineConfig::default()
    };
    let rows = Arc::clone(recent) as Arc<dyn RecentRows>;
    Engine::new(lakes.clone(), rows, config).unwrap()
}

async fn ask(engine: &Engine, tenant: &str, timeout: Duration) -> Result<Answer, QueryError> {
    let limits = QueryLimits {
        timeout: Some(timeout),
        ..QueryLimits::default()
    };
    let tenant = TenantId::new(tenant).unwrap();
    let sql = "SELECT string_agg(name, ' ' ORDER BY name) AS names FROM spans WHERE name < 'z'";
    engine.query(&tenant, sql, &limits).await
}

/// Rows of two tenants under names that nobody else has.
fn accept(recent: &HeldRows, names: [&str; 4]) {
    let tenants = ["acme", "base", "acme", "base"];
    let rows = names.iter().zip(tenants);
    let rows: Vec<_> = rows
        .map(|(name, tenant)| json!({ "name": name, "tenant_id": tenant }))
        .collect();
    recent.accept(SPANS, &spans(&rows));
}

/// Each row is seen once by its owner, at every moment between its acceptance and the lake: in the
/// log alone, in the tenant's lake and not in the default one, in pieces, in both, and let go of.
#[test]
fn every_row_is_seen_once_wherever_it_is_on_its_way() {
    for partitions in [
        [Partition::DateAndTenant, Partition::DateAndTenant],
        [Partition::Date, Partition::Date],
    ] {
        run(async {
            let dir = tempfile::TempDir::with_prefix("weir-queries-").unwrap();
            let [default, decoy, own] = [
                lake(dir.path(), "lake", partitions[0]).await,
                lake(dir.path(), "decoy", partitions[0]).await,
                lake(dir.path(), "own", partitions[1]).await,
            ];
            let (lakes, only_own) = (acme(&own, &default), acme(&own, &decoy));
            let recent = Arc::new(HeldRows::new(7));
            let engine = engine(&lakes, &recent, dir.path());
            let check = async |acme: &str, base: &str, when: &str| {
                for (tenant, names) in [("acme", acme), ("base", base)] {
                    let found = ask(&engine, tenant, Duration::from_secs(30)).await.unwrap();
                    assert_eq!(csv(&found), format!("names\n{names}\n"), "{tenant}, {when}");
                }
            };
            let seal = || -> Batch { recent.seal(SPANS).unwrap() };

            // Before the tenant had a lake of its own.
            accept(&recent, ["a", "b", "c", "d"]);
            let first = seal();
            default.append(SPANS, &[first]).await.unwrap();
            check("a c", "b d", "moved, the cursor not kept").await;
            recent.let_go(SPANS, 1);
            check("a c", "b d", "moved").await;

            accept(&recent, ["e", "f", "g", "h"]);
            check("a c e g", "b d f h", "in the log").await;
            let second = seal();
            only_own
                .append(SPANS, std::slice::from_ref(&second))
                .await
                .unwrap();
            check("a c e g", "b d f h", "in the own lake alone").await;
            lakes.append(SPANS, &[second]).await.unwrap();
            check("a c e g", "b d f h", "in both").await;
            recent.let_go(SPANS, 2);
            check("a c e g", "b d f h", "let go of").await;

            accept(&recent, ["i", "j", "k", "l"]);
            let third = seal();
            for (rows, when) in [(0..1, "a row"), (1..3, "three rows"), (3..4, "all")] {
                let piece = only_own.append_part(&third, rows.clone()).await;
                piece.unwrap();
                check("a c e g i k", "b d f h j l", when).await;
                lakes.append_part(&third, rows).await.unwrap();
                check("a c e g i k", "b d f h j l", when).await;
            }
            recent.let_go(SPANS, 3);
            check("a c e g i k", "b d f h j l", "at the end").await;
        });
    }
}

#[test]
fn a_lake_that_is_away_fails_its_tenants_queries_and_nobody_elses() {
    run(async {
        let dir = tempfile::TempDir::with_prefix("weir-queries-").unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let options = [
            ("aws_endpoint", endpoint.as_str()),
            ("aws_allow_http", "true"),
            ("aws_region", "us-east-1"),
            ("aws_access_key_id", "x"),
            ("aws_secret_access_key", "y"),
        ];
        let away = LakeConfig {
            url: "s3://bucket/own".to_owned(),
            options: BTreeMap::from(options.map(|(k, v)| (k.to_owned(), v.to_owned()))),
            ..LakeConfig::default()
        };
        let own = Arc::new(Lake::configured(&away).unwrap());
        let default = lake(dir.path(), "lake", Partition::DateAndTenant).await;
        let recent = Arc::new(HeldRows::new(7));
        let engine = engine(&acme(&own, &default), &recent, dir.path());
        accept(&recent, ["a", "b", "c", "d"]);
        let began = Instant::now();
        let patient = Duration::from_secs(30);
        let waiting = ask(&engine, "acme", patient);
        let theirs = async {
            for _ in 0..20 {
                let found = ask(&engine, "base", Duration::from_secs(30)).await.unwrap();
                assert_eq!(csv(&found), "names\nb d\n");
            }
            began.elapsed()
        };
        let (refused, theirs) = tokio::join!(waiting, theirs);
        let error = refused.expect_err("rows may lie where nobody answers");
        assert_eq!(error.status(), 503, "{error:?}");
        let took = began.elapsed();
        assert!(
            took < Duration::from_secs(5),
            "its place is wanted: {took:?}"
        );
        let began = Instant::now();
        assert!(ask(&engine, "acme", patient).await.is_err());
        let took = began.elapsed();
        assert!(took < Duration::from_millis(500), "it is known: {took:?}");
        assert!(!format!("{error:?}").contains("bucket"), "{error:?}");
        println!("20 queries of another tenant took {theirs:?} meanwhile");
    });
}
