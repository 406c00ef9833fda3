//! `testdata/isolation.sql`: nothing that a tenant can ask tells of another one's rows.
//!
//! That an answer shows no canary is the lesser half. Each attack is run in two worlds that differ
//! in the rows of others only ([`worlds`](crate::worlds)): whatever the answer, the error and the
//! plan are, they have to be the same in both, so that not even a count, a statistic or the failure
//! of a predicate comes through.

use std::path::Path;
use std::sync::Arc;

use futures::StreamExt;
use weir_lake::Partition;
use weir_model::schema::ColumnType;
use weir_model::{Dataset, TenantId};
use weir_queries::{Answer, QueryError, format};

use crate::fixture::{Site, csv, run};
use crate::worlds::{CANARIES, Others, crowd, without_file_names, world};

/// How many attacks run at a time.
const AT_ONCE: usize = 4;

/// One attack a line; also the statements that are empty.
fn attacks() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/isolation.sql");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut attacks: Vec<String> = lines.map(str::to_owned).collect();
    // The least and the greatest value of every column that has one.
    for dataset in [
        Dataset::Spans,
        Dataset::ProxyAudit,
        Dataset::OcsfEvents,
        Dataset::TelemetryEvents,
        Dataset::LogEvents,
    ] {
        let plain = |kind| {
            !matches!(
                kind,
                ColumnType::Attributes
                    | ColumnType::SpanEvents
                    | ColumnType::SpanLinks
                    | ColumnType::Texts
                    | ColumnType::Ints
                    | ColumnType::Bool
            )
        };
        let columns = dataset.columns().iter().filter(|c| plain(c.kind));
        let names: Vec<&str> = columns.map(|c| c.name).collect();
        for some in names.chunks(8) {
            let of = |name: &&str| format!("min({name}), max({name}), count(DISTINCT {name})");
            let list: Vec<String> = some.iter().map(of).collect();
            attacks.push(format!(
                "SELECT {} FROM {}",
                list.join(", "),
                dataset.name()
            ));
        }
    }
    attacks
}

/// Whether two runs of the same statement may give different answers over the same rows.
fn is_vague(sql: &str) -> bool {
    let limited = sql.contains(" LIMIT ") && !sql.contains("ORDER BY");
    let words = [
        "random()",
        "uuid()",
        "now()",
        "any_value",
        "array_agg(name)",
        "SYSTEM (50)",
    ];
    limited || words.iter().any(|word| sql.contains(word))
}

/// Everything that the caller gets to see, in each format; rows in the order of their text.
fn shown(outcome: &Result<Answer, QueryError>) -> String {
    let answer = match outcome {
        Ok(answer) => answer,
        // What is like a misspelt name is picked from a list in no order.
        Err(error) => {
            let message = error
                .message()
                .split("\nDid you mean")
                .next()
                .unwrap_or_default();
            return format!("{} {} {message}", error.status(), error.code());
        }
    };
    let text = if format::write_csv(answer, &mut Vec::new()).is_ok() {
        csv(answer)
    } else {
        let mut text = Vec::new();
        format::write_json(answer, &mut text).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        json["rows"].as_array().map_or_else(
            || json.to_string(),
            |rows| rows.iter().map(|row| format!("{row}\n")).collect(),
        )
    };
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    without_file_names(&lines.join("\n"))
}

/// The bytes of the answer in the binary formats, and their text in the others.
fn formats(answer: &Answer) -> String {
    let mut all = Vec::new();
    // A format that cannot hold a column's type writes nothing that could show a row.
    let _ = format::write_csv(answer, &mut all);
    let _ = format::write_json(answer, &mut all);
    let _ = format::write_arrow_stream(answer, &mut all);
    let _ = format::write_parquet(answer, &mut all);
    String::from_utf8_lossy(&all).into_owned()
}

/// The canaries in `text`; but for those in `harmless`, which the caller has put there.
fn canaries(text: &str, harmless: &str) -> Vec<&'static str> {
    let found = CANARIES
        .iter()
        .filter(|c| text.contains(**c) && !harmless.contains(**c));
    found.copied().collect()
}

/// Runs one attack in both worlds; gives what is wrong.
async fn attack(sql: &str, hostile: &Site, plain: &Site) -> Vec<String> {
    let mut faults = Vec::new();
    let plan = format!("EXPLAIN {sql}");
    for sql in [sql, &plan] {
        let (here, there) = (
            hostile.query("acme", sql).await,
            plain.query("acme", sql).await,
        );
        let place = hostile.dir.path().to_str().unwrap().trim_start_matches('/');
        let (a, b) = (shown(&here), shown(&there));
        let bytes = [&here, &there].map(|o| o.as_ref().map(formats).unwrap_or_default());
        for (text, harmless) in [(&a, &b), (&bytes[0], &bytes[1])] {
            for canary in canaries(text, harmless) {
                faults.push(format!("{sql}\n   shows {canary}"));
            }
            if text.contains(place) {
                faults.push(format!("{sql}\n   names a folder of this machine"));
            }
        }
        if a != b && !is_vague(sql) {
            faults.push(format!(
                "{sql}\n   tells the worlds apart:\n{a}\n   and\n{b}"
            ));
        }
        if here.is_ok() != there.is_ok() {
            faults.push(format!("{sql}\n   fails in one world only"));
        }
    }
    faults
}

/// `rival` asks for all of its rows, so that whatever is kept between queries is warm with them.
async fn let_rival_ask(site: &Site) {
    let all = site
        .query(
            "rival",
            "SELECT count(*), max(name), max(trace_id) FROM spans",
        )
        .await;
    let text = csv(&all.unwrap());
    assert!(text.contains(CANARIES[0]), "{text}");
}

async fn attack_all(partition: Partition) {
    let attacks = attacks();
    let (hostile, plain) = (
        world(partition, Others::Rival).await,
        world(partition, Others::Filler).await,
    );
    crowd(&hostile);
    let (hostile, plain) = (&hostile, &plain);
    let faults: Vec<Vec<String>> = futures::stream::iter(attacks.iter().enumerate())
        .map(async |(n, sql)| {
            if n.is_multiple_of(25) {
                let_rival_ask(hostile).await;
            }
            attack(sql, hostile, plain).await
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let faults = faults.concat();
    println!("{} attacks, {partition:?}", attacks.len());
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

#[test]
fn there_are_many_attacks_and_no_two_are_the_same() {
    let attacks = attacks();
    let distinct: std::collections::BTreeSet<&String> = attacks.iter().collect();
    assert_eq!(distinct.len(), attacks.len());
    assert!(attacks.len() >= 400, "{} attacks", attacks.len());
}

#[test]
fn no_attack_tells_of_rows_in_shared_files() {
    run(attack_all(Partition::Date));
}

#[test]
fn no_attack_tells_of_rows_in_files_beside() {
    run(attack_all(Partition::DateAndTenant));
}

/// The attacks find what is there to be found: for the one whose rows they are, they show it.
#[test]
fn the_same_attacks_show_the_canaries_to_their_owner() {
    run(async {
        let site = world(Partition::Date, Others::Rival).await;
        let mut shows = 0;
        for sql in attacks().iter().filter(|sql| canaries(sql, "").is_empty()) {
            let answer = site.query("rival", sql).await;
            shows += usize::from(answer.is_ok_and(|a| !canaries(&csv_or_json(&a), "").is_empty()));
        }
        println!("{shows} attacks show a canary to its owner");
        assert!(shows >= 60, "{shows}");
    });
}

fn csv_or_json(answer: &Answer) -> String {
    shown(&Ok(answer.clone()))
}

/// Names near another one's, and names that would be paths, are other tenants or none.
#[test]
fn a_tenant_that_looks_like_another_sees_nothing() {
    run(async {
        for partition in [Partition::Date, Partition::DateAndTenant] {
            let site = world(partition, Others::Rival).await;
            for near in [
                "riva",
                "rival-",
                "rival_",
                "rival0",
                "rivalrival",
                "r",
                "acme-rival",
                "acme_",
                "acm",
                "0",
            ] {
                for table in [
                    "spans",
                    "proxy_audit",
                    "ocsf_events",
                    "traces",
                    "spans_distinct",
                ] {
                    let sql = format!("SELECT count(*) AS n FROM {table}");
                    assert_eq!(site.csv(near, &sql).await, "n\n0\n", "{near} {table}");
                }
            }
        }
    });
    for none in [
        "",
        "..",
        "../rival",
        "acme/../rival",
        "rival/",
        "/rival",
        "rival%2f",
        "RIVAL",
        "Rival",
        "rival ",
        "rival\0",
        "rival'",
        "*",
        "%",
        "-rival",
        "_rival",
        "acme,rival",
        "acme rival",
        "tenant_id=rival",
        "r\u{456}val",
        "\u{ff52}ival",
        "rival\u{200b}",
    ] {
        assert!(
            TenantId::new(none).is_err(),
            "{none:?} is taken for a tenant"
        );
    }
}

#[test]
fn a_trace_of_another_tenant_is_empty() {
    run(async {
        let site = world(Partition::Date, Others::Rival).await;
        let acme = TenantId::new("acme").unwrap();
        let foreign = site
            .engine
            .trace(&acme, &"cafebabe".repeat(4))
            .await
            .unwrap();
        assert_eq!(foreign.rows(), 0);
        let shared = format!("{:032x}", 1);
        let mine = site.engine.trace(&acme, &shared).await.unwrap();
        assert_eq!(canaries(&shown(&Ok(mine.clone())), ""), [""; 0]);
        assert_eq!(mine.rows(), 5, "three spans, two of them stored twice");
        for id in [
            "",
            "' OR '1'='1",
            "cafebabe",
            &"'".repeat(32),
            &"%".repeat(32),
        ] {
            let error = site.engine.trace(&acme, id).await.unwrap_err();
            assert_eq!(error.status(), 400, "{id}");
        }
    });
}

/// A file that the log gives to `rival` and that lies in `acme`'s folder is not read.
#[test]
fn a_file_in_a_foreign_folder_is_not_read() {
    run(async {
        let site = world(Partition::DateAndTenant, Others::Rival).await;
        let log = site.dir.path().join("lake/spans/_delta_log");
        let newest = newest(&log);
        let text = std::fs::read_to_string(&newest).unwrap();
        let moved = text
            .replace("tenant_id=rival", "tenant_id=acme")
            .replace("\"tenant_id\":\"acme\"", "\"tenant_id\":\"rival\"");
        assert_ne!(text, moved);
        let next = log.join(format!("{:020}.json", number(&newest) + 1));
        std::fs::write(next, only_adds(&moved)).unwrap();
        let error = site
            .query("rival", "SELECT name FROM spans")
            .await
            .unwrap_err();
        assert_eq!((error.status(), error.code()), (500, "internal"));
        assert_eq!(canaries(error.message(), ""), [""; 0]);
    });
}

fn newest(log: &Path) -> std::path::PathBuf {
    let entries = std::fs::read_dir(log).unwrap().map(|e| e.unwrap().path());
    entries
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
        .max()
        .unwrap()
}

fn number(path: &Path) -> u64 {
    path.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

/// The lines of a commit that add files.
fn only_adds(commit: &str) -> String {
    let adds = commit.lines().filter(|line| line.starts_with("{\"add\""));
    adds.map(|line| format!("{line}\n")).collect()
}

/// Answers to many tenants at once come from the same engine, and are not mixed up.
#[test]
fn tenants_that_ask_at_once_get_their_own_answers() {
    run(async {
        let site = Arc::new(world(Partition::Date, Others::Rival).await);
        let ask = |n: usize| {
            let site = Arc::clone(&site);
            async move {
                let tenant = ["acme", "rival", "filler"][n % 3];
                let sql = "SELECT tenant_id, count(*) AS n FROM spans GROUP BY 1";
                (tenant, site.csv(tenant, sql).await)
            }
        };
        let answers = futures::stream::iter(0..60).map(ask).buffer_unordered(6);
        let answers: Vec<(&str, String)> = answers.collect().await;
        for (tenant, text) in answers {
            let lines: Vec<&str> = text.lines().skip(1).collect();
            match tenant {
                "filler" => assert!(lines.is_empty(), "{text}"),
                _ => assert!(lines.len() == 1 && lines[0].starts_with(tenant), "{text}"),
            }
        }
    });
}
