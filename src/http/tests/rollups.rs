//! Rollups over HTTP: bookings in the node's lake, read back in every form.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::Value;
use weir_model::Dataset;

use crate::app::rig::{Reply, Rig};
use crate::app::rollups::fixture::{Booking, DAY_START_US, ledger_batch};

const ROUTE: &str = "/v1/rollups/cost-per-skill?since=all";
const HOUR_US: i64 = 3_600_000_000;

/// Bookings of the tenant that needs no key.
fn bookings() -> Vec<Booking> {
    let call = |hour: i64, skill, cost: i128| Booking {
        tenant: "default",
        skill,
        cost: Some(cost * 1_000_000_000),
        ..Booking::at(DAY_START_US + hour * HOUR_US)
    };
    let unpriced = Booking {
        tokens: None,
        cost: None,
        failed: true,
        ..call(3, Some("triage"), 0)
    };
    vec![
        call(0, Some("pdf"), 10),
        call(1, Some("pdf"), 11),
        call(1, Some("search"), 5),
        call(2, None, 2),
        unpriced,
    ]
}

async fn booked(rig: &Rig, number: i64, bookings: &[Booking]) {
    let batch = ledger_batch(number, bookings);
    let lakes = &rig.app.node().lakes;
    lakes.append(Dataset::CostLedger, &[batch]).await.unwrap();
}

async fn with_bookings() -> Rig {
    let rig = Rig::start().await;
    booked(&rig, 1, &bookings()).await;
    rig
}

fn skills(answer: &Value) -> Vec<String> {
    let rows = answer["rows"].as_array().unwrap();
    rows.iter()
        .map(|r| r["skill"].as_str().unwrap().to_owned())
        .collect()
}

async fn ok(rig: &Rig, path: &str) -> Reply {
    let reply = rig.get(path).await;
    assert_eq!(reply.status, StatusCode::OK, "{path}: {:?}", reply.body);
    reply
}

#[tokio::test(flavor = "multi_thread")]
async fn cost_per_skill_says_what_is_known_and_what_is_not() {
    let rig = with_bookings().await;
    let answer = ok(&rig, ROUTE).await.json();
    assert_eq!(answer["basis"], "list_price_estimate");
    assert_eq!(
        skills(&answer),
        ["pdf", "search", "(unattributed)", "triage"]
    );
    let pdf = &answer["rows"][0];
    assert_eq!(pdf["cost_usd"], "0.021000000000");
    assert_eq!(
        (pdf["calls"].as_i64(), pdf["input_tokens"].as_i64()),
        (Some(2), Some(200))
    );
    assert_eq!(pdf["cost_reported_usd"], Value::Null, "nobody reported one");
    let triage = &answer["rows"][3];
    assert_eq!(
        (&triage["cost_usd"], &triage["input_tokens"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        (triage["unpriced_calls"].as_i64(), triage["errors"].as_i64()),
        (Some(1), Some(1))
    );
    let totals = &answer["totals"];
    assert_eq!(totals["cost_usd"], "0.028000000000");
    assert_eq!(totals["unattributed_share"], 0.2);
    let p50 = totals["latency_ms"]["p50"].as_f64().unwrap();
    assert!((p50 - 250.0).abs() < 8.0, "{p50}");
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_choose_time_groups_and_the_most_expensive() {
    let rig = with_bookings().await;
    let since = "/v1/rollups/cost-per-skill?since=2026-11-20T01:00:00Z&until=2026-11-20T02:00:00Z";
    let answer = ok(&rig, since).await.json();
    assert_eq!(skills(&answer), ["pdf", "search"]);
    assert_eq!(answer["totals"]["cost_usd"], "0.016000000000");
    let top = ok(&rig, &format!("{ROUTE}&top=1")).await.json();
    assert_eq!(skills(&top), ["pdf"]);
    assert_eq!(top["rest"]["calls"], 3);
    assert_eq!(top["totals"]["calls"], 5);
    let hours = ok(&rig, &format!("{ROUTE}&by=hour")).await.json();
    assert_eq!(hours["rows"][1]["hour"], "2026-11-20T01:00:00Z");
    assert_eq!(hours["rows"][1]["calls"], 2);
    let only = ok(&rig, &format!("{ROUTE}&by=agent,model&skill=search"))
        .await
        .json();
    assert_eq!(only["rows"][0]["model"], "gpt-4o");
    assert_eq!(only["totals"]["calls"], 1);
    let odd = rig.get(&format!("{ROUTE}&by=weather")).await;
    assert_eq!(
        (odd.status, odd.json()["code"].as_str()),
        (StatusCode::BAD_REQUEST, Some("bad_rollup"))
    );
    // The rows of whoever asks, and of nobody else.
    let other = Booking {
        tenant: "globex",
        ..bookings().remove(0)
    };
    booked(&rig, 2, &[other]).await;
    assert_eq!(ok(&rig, ROUTE).await.json()["totals"]["calls"], 5);
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_each_other_also_where_bookings_come_between() {
    let rig = with_bookings().await;
    let mut seen = Vec::new();
    let mut path = format!("{ROUTE}&limit=1");
    for number in 2.. {
        let answer = ok(&rig, &path).await.json();
        assert_eq!(answer["groups"].as_i64().map(|n| n >= 4), Some(true));
        seen.extend(skills(&answer));
        let Some(cursor) = answer["next_cursor"].as_str() else {
            break;
        };
        path = format!("{ROUTE}&limit=1&cursor={cursor}");
        // A new group before the place that is reached moves nothing.
        let dear = Booking {
            tenant: "default",
            skill: Some("dear"),
            cost: Some(10_i128.pow(13)),
            ..Booking::at(DAY_START_US)
        };
        booked(&rig, number, &[dear]).await;
    }
    assert_eq!(seen, ["pdf", "search", "(unattributed)", "triage"]);
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_says_nothing_new_is_304() {
    let rig = with_bookings().await;
    let first = ok(&rig, ROUTE).await;
    let tag = first.header("etag").to_owned();
    let again = |tag: String| {
        let request = Request::get(ROUTE).header("if-none-match", tag);
        rig.send(request.body(Body::empty()).unwrap())
    };
    let same = again(format!("\"x\", W/{tag}")).await;
    assert_eq!(
        (same.status, same.body.len()),
        (StatusCode::NOT_MODIFIED, 0)
    );
    assert_eq!(same.header("etag"), tag);
    // What others book changes nothing that this caller could see.
    let other = Booking {
        tenant: "globex",
        ..bookings().remove(0)
    };
    booked(&rig, 2, &[other]).await;
    assert_eq!(again(tag.clone()).await.status, StatusCode::NOT_MODIFIED);
    booked(&rig, 3, &bookings()).await;
    let changed = again(tag.clone()).await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_ne!(changed.header("etag"), tag);
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_written_in_every_format() {
    let rig = with_bookings().await;
    let csv = ok(&rig, &format!("{ROUTE}&format=csv")).await;
    let text = String::from_utf8(csv.body.to_vec()).unwrap();
    assert!(
        text.starts_with("skill,calls,errors,input_tokens,"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 5);
    assert!(text.contains("pdf,2,0,200,20,"), "{text}");
    let parquet = ok(&rig, &format!("{ROUTE}&format=parquet")).await;
    assert!(parquet.body.starts_with(b"PAR1") && parquet.body.ends_with(b"PAR1"));
    let arrow = ok(&rig, &format!("{ROUTE}&format=arrow")).await;
    let reader = arrow_ipc::reader::StreamReader::try_new(arrow.body.as_ref(), None).unwrap();
    let rows: usize = reader.map(|b| b.unwrap().num_rows()).sum();
    assert_eq!(rows, 4);
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn more_groups_than_an_answer_may_have_are_refused_not_cut() {
    let rig = Rig::start_with(|config| config.query.rows = 3).await;
    booked(&rig, 1, &bookings()).await;
    let reply = rig.get(ROUTE).await;
    assert_eq!(reply.json()["code"], "query_rows");
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    rig.app.stop().await.unwrap();
}

/// The names in an object and in those below it, with the kind of each value but numbers and NULL.
fn shape(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let at = format!("{at}.{name}");
                found.insert(at.clone());
                shape(value, &at, found);
            }
        }
        Value::Array(all) => {
            for one in all {
                shape(one, &format!("{at}[]"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The calls of the sample, as they are booked.
fn calls_of_the_sample(at_us: i64) -> [Booking; 3] {
    let call = |agent, model, skill, tokens, cost: Option<i128>| Booking {
        tenant: "default",
        agent,
        model,
        skill,
        tokens: Some(tokens),
        cost,
        ..Booking::at(at_us)
    };
    [
        call(
            "postmortem",
            "claude-sonnet-4.7",
            None,
            (4823, 1421),
            Some(35_784_000_000),
        ),
        call(
            "billing-agent",
            "gpt-4o",
            Some("invoice-summary"),
            (1000, 500),
            Some(7_500_000_000),
        ),
        call("billing-agent", "my-local-llm", None, (10, 10), None),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn observability_costs_have_the_shape_that_their_readers_know() {
    let golden = |name: &str| -> Value {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/agent-bom");
        let path = format!("{folder}/v1_observability_costs/{name}.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let shape_of = |value: &Value| {
        let mut found = BTreeSet::new();
        shape(value, "", &mut found);
        found
    };
    // What we say beyond their contract.
    let theirs = |mut value: Value| {
        let fields = value.as_object_mut().unwrap();
        assert!(fields.remove("basis").is_some() && fields.remove("commitments").is_some());
        value
    };
    let rig = Rig::start().await;
    let empty = theirs(ok(&rig, "/v1/observability/costs").await.json());
    let wanted = &golden("01_GET_v1_observability_costs")["response_body"];
    assert_eq!(shape_of(&empty), shape_of(wanted));
    assert_eq!(empty["forecast"]["status"], "insufficient_history");
    assert_eq!(empty["total_calls"], 0);
    let ahead = ok(&rig, "/v1/observability/costs/forecast").await.json();
    let wanted = &golden("02_GET_v1_observability_costs_forecast")["response_body"];
    assert_eq!(shape_of(&ahead), shape_of(wanted));
    let filled = golden("07_costs_by_tag")["response_body"].clone();
    let calls = calls_of_the_sample(rig.app.node().intake.clock.now_us() - HOUR_US);
    booked(&rig, 1, &calls).await;
    let found = theirs(ok(&rig, "/v1/observability/costs?tag=skill").await.json());
    assert_eq!(shape_of(&found), shape_of(&filled));
    for same in [
        "total_cost_usd",
        "total_calls",
        "total_input_tokens",
        "total_output_tokens",
        "unpriced_calls",
        "by_agent",
        "by_model",
        "tag_rollup",
        "by_owner",
        "schema_version",
    ] {
        assert_eq!(found[same], filled[same], "{same}");
    }
    assert_eq!(found["forecast"]["status"], "no_budget");
    assert_eq!(found["forecast"]["burn_rate_basis"], "trailing_24h");
    let one = ok(&rig, "/v1/observability/costs?agent=postmortem")
        .await
        .json();
    assert_eq!(one["total_calls"], 1);
    let odd = rig.get("/v1/observability/costs?tag=a%20tag").await;
    assert_eq!(odd.status, 400);
    rig.app.stop().await.unwrap();
}

/// Runs a command line as the program does, on a thread that no runtime owns; gives its code.
pub(super) async fn command(line: Vec<String>) -> String {
    let args = line.into_iter().map(std::ffi::OsString::from);
    let args: Vec<_> = args.collect();
    let run = || std::thread::spawn(move || crate::cli::run(args)).join();
    let code = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    format!("{code:?}")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_writes_rollups_and_focus_and_reconciles() {
    let rig = with_bookings().await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://{}", rig.app.addresses().http);
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let done = format!("{:?}", std::process::ExitCode::SUCCESS);
    let differs = format!("{:?}", std::process::ExitCode::FAILURE);
    let line = |words: &[&str]| -> Vec<String> {
        let server = ["--url", url.as_str()];
        let words = ["weir"].iter().chain(words).chain(&server);
        words.map(|w| (*w).to_owned()).collect()
    };
    for output in ["table", "json", "csv", "parquet"] {
        let file = at(output);
        let rollup = [
            "rollup",
            "cost-per-skill",
            "--since",
            "all",
            "--output",
            output,
            "--file",
            &file,
        ];
        assert_eq!(command(line(&rollup)).await, done, "{output}");
        let written = std::fs::read(&file).unwrap();
        let shows = written
            .windows(4)
            .any(|w| w == b"PAR1" || w.starts_with(b"pdf"));
        assert!(shows, "{output}");
    }
    let table = std::fs::read_to_string(at("table")).unwrap();
    assert!(
        table.contains("TOTAL") && table.contains("0.028"),
        "{table}"
    );
    let focus = at("focus.csv");
    let export = ["export", "focus", "--since", "all", "--file", &focus];
    assert_eq!(command(line(&export)).await, done);
    let focus = std::fs::read_to_string(&focus).unwrap();
    assert!(focus.starts_with("AvailabilityZone,BilledCost,"), "{focus}");
    assert_eq!(focus.lines().count(), 4, "what has no cost is not in it");
    // What OpenAI counts on that day is what was booked, until it counts more.
    for (tokens, code) in [("400,40", &done), ("800,80", &differs)] {
        let file = at("usage.csv");
        let usage = format!(
            "start_time_iso,num_model_requests,model,input_tokens,output_tokens\n\
             2026-11-20T00:00:00+00:00,5,gpt-4o-2024-08-06,{tokens}\n"
        );
        std::fs::write(&file, usage).unwrap();
        let reconcile = ["cost", "reconcile", &file];
        assert_eq!(&command(line(&reconcile)).await, code, "{tokens}");
    }
    rig.app.stop().await.unwrap();
}
