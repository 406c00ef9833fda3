//! What administrators set over HTTP: budgets, marks of periods that were held against a bill, and
//! the prices that anybody who may ask can read.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use chrono::{Days, NaiveDate};
use serde_json::{Value, json};
use weir_model::{Dataset, TenantId};
use weir_store::NoteKind;

use super::rollups::command;
use crate::app::rig::{Reply, Rig};
use crate::app::rollups::fixture::{Booking, ledger_batch};

const BUDGET: &str = "/v1/observability/costs/budget";
const MARKS: &str = "/v1/reconciliations";
const DAY_US: i64 = 86_400_000_000;
/// 2025-03-01T00:00:00Z.
const MARCH_US: i64 = 1_740_787_200_000_000;

async fn send(rig: &Rig, method: Method, path: &str, body: Value) -> Reply {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("content-type", "application/json");
    let body = if body.is_null() {
        Body::empty()
    } else {
        Body::from(body.to_string())
    };
    rig.send(request.body(body).unwrap()).await
}

async fn put(rig: &Rig, path: &str, body: Value) -> Reply {
    send(rig, Method::PUT, path, body).await
}

async fn delete(rig: &Rig, path: &str) -> Reply {
    send(rig, Method::DELETE, path, Value::Null).await
}

fn refused(reply: &Reply) -> (u16, String) {
    let code = reply.json()["code"].as_str().unwrap_or_default().to_owned();
    (reply.status.as_u16(), code)
}

async fn booked(rig: &Rig, number: i64, bookings: &[Booking]) {
    let batch = ledger_batch(number, bookings);
    let lake = rig.app.node().lakes.shared();
    lake.append(Dataset::CostLedger, &[batch]).await.unwrap();
}

fn call(at_us: i64) -> Booking {
    Booking {
        tenant: "default",
        ..Booking::at(at_us)
    }
}

/// The budgets of the caller, by what they are for.
async fn budgets(rig: &Rig) -> Vec<(String, String, String)> {
    let answer = rig.get(BUDGET).await.json();
    let all = answer["budgets"].as_array().unwrap().iter();
    let text = |b: &Value, name: &str| b[name].as_str().unwrap_or_default().to_owned();
    all.map(|b| (text(b, "name"), text(b, "origin"), text(b, "state")))
        .collect()
}

fn owned(a: &str, b: &str, c: &str) -> (String, String, String) {
    (a.to_owned(), b.to_owned(), c.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_set_counts_and_one_that_is_dropped_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("budgets.json");
    let text =
        r#"{"budgets":[{"tenant":"default","scope":"agent","name":"research","limit_usd":"1"}]}"#;
    std::fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap().to_owned();
    let rig = Rig::start_with(|config| config.budgets.file = path).await;
    let node = rig.app.node();
    booked(&rig, 1, &[call(node.intake.clock.now_us())]).await;

    let set = json!({ "scope": "skill", "name": "pdf", "limit_usd": "0.005", "period": "day" });
    let answer = put(&rig, BUDGET, set.clone()).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    assert_eq!(answer.json()["limit_usd"], "0.005000000000");
    let owner = json!({ "owner": "jo", "limit_usd": 20.5, "mode": "report" });
    assert_eq!(put(&rig, BUDGET, owner).await.status, StatusCode::OK);
    // The node looks for new budgets every second; here it is told to.
    node.budgets.refresh(node).await;
    let all = budgets(&rig).await;
    let exceeded = owned("pdf", "http", "exceeded");
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(
        all.contains(&owned("research", "file", "on_track")),
        "{all:?}"
    );
    assert!(
        all.contains(&exceeded) && all.contains(&owned("jo", "http", "on_track")),
        "{all:?}"
    );
    let rollup = rig.get("/v1/rollups/cost-per-skill").await.json();
    assert_eq!(rollup["budgets"].as_array().unwrap().len(), 3);

    // The same thing again is a change of its limit.
    let more = json!({ "scope": "skill", "name": "pdf", "limit_usd": "5", "period": "day" });
    put(&rig, BUDGET, more).await;
    let waiting = budgets(&rig).await;
    assert!(
        waiting.contains(&owned("pdf", "http", "unknown")),
        "{waiting:?}"
    );
    node.budgets.refresh(node).await;
    assert!(
        budgets(&rig)
            .await
            .contains(&owned("pdf", "http", "on_track"))
    );

    let of_file = json!({ "agent": "research", "limit_usd": 7 });
    let answer = put(&rig, BUDGET, of_file).await;
    assert_eq!(refused(&answer), (409, "set_in_file".into()));
    let answer = delete(&rig, &format!("{BUDGET}?agent=research")).await;
    assert_eq!(refused(&answer), (409, "set_in_file".into()));
    let named = format!("{BUDGET}?scope=skill&name=pdf&period=day");
    assert_eq!(delete(&rig, &named).await.status, StatusCode::OK);
    assert_eq!(
        refused(&delete(&rig, &named).await),
        (404, "not_set".into())
    );
    assert_eq!(budgets(&rig).await.len(), 2);
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_of_the_state_counts_by_itself_within_seconds() {
    let rig = Rig::start().await;
    let node = rig.app.node();
    booked(&rig, 1, &[call(node.intake.clock.now_us())]).await;
    let set = json!({ "limit_usd": "0.005" });
    assert_eq!(put(&rig, BUDGET, set).await.status, StatusCode::OK);
    let began = std::time::Instant::now();
    while budgets(&rig).await != [owned("", "http", "exceeded")] {
        assert!(began.elapsed().as_secs() < 20, "{:?}", budgets(&rig).await);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_set_is_refused_with_the_reason() {
    let rig = Rig::start().await;
    for odd in [
        json!({}),
        json!({ "limit_usd": 0 }),
        json!({ "limit_usd": 1, "agent": "a", "owner": "b" }),
        json!({ "limit_usd": 1, "scope": "skill" }),
        json!({ "limit_usd": 1, "scope": "hour", "name": "3" }),
        json!({ "limit_usd": 1, "mode": "enforce" }),
        json!({ "limit_usd": 1, "tenant": "other" }),
        json!({ "limit_usd": 1, "agent": "x".repeat(5_000) }),
        json!([1]),
    ] {
        let answer = put(&rig, BUDGET, odd.clone()).await;
        assert_eq!(refused(&answer), (400, "bad_setting".into()), "{odd}");
    }
    let mark = |change: &dyn Fn(&mut Value)| {
        let mut mark = json!({
            "providers": ["openai"], "since": "2025-03-01", "until": "2025-03-02",
            "file_hash": "a".repeat(64), "ledger_usd": "1",
        });
        change(&mut mark);
        mark
    };
    assert_eq!(put(&rig, MARKS, mark(&|_| {})).await.status, StatusCode::OK);
    let changes: [&dyn Fn(&mut Value); 8] = [
        &|m| m["since"] = "0001-01-01".into(),
        &|m| m["until"] = "2025-03-01".into(),
        &|m| m["until"] = "2999-03-01".into(),
        &|m| m["providers"] = json!([]),
        &|m| m["models"] = json!([""]),
        &|m| m["file_hash"] = "xyz".into(),
        &|m| m["provider_usd"] = "much".into(),
        &|m| m["tenant"] = "other".into(),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let answer = put(&rig, MARKS, mark(change)).await;
        assert_eq!(refused(&answer), (400, "bad_setting".into()), "{at}");
    }
    for path in [format!("{MARKS}?id=00"), format!("{BUDGET}?owner=jo")] {
        assert_eq!(refused(&delete(&rig, &path).await), (404, "not_set".into()));
    }
    for path in [format!("{MARKS}?name=00"), format!("{BUDGET}?hour=3")] {
        assert_eq!(
            refused(&delete(&rig, &path).await),
            (400, "bad_setting".into())
        );
    }
    let post = rig.post(MARKS, "application/json", "{}").await;
    assert_eq!(refused(&post), (405, "method_not_allowed".into()));
    let keys = rig.app.node().access.keys();
    let tenant = TenantId::local();
    let note = ("newer".to_owned(), "{}".to_owned());
    keys.put_note(NoteKind::Reconciled, &tenant, note).unwrap();
    // What another version wrote, and this one does not read, is no mark.
    assert_eq!(
        rig.get(MARKS).await.json()["reconciliations"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    rig.app.stop().await.unwrap();
}

async fn basis(rig: &Rig, question: &str) -> String {
    let path = format!("/v1/rollups/cost-per-skill?{question}");
    let reply = rig.get(&path).await;
    assert_eq!(reply.status, StatusCode::OK, "{path}: {:?}", reply.body);
    let csv = rig.get(&format!("{path}&format=csv")).await;
    assert!(String::from_utf8_lossy(&csv.body).contains("basis"));
    reply.json()["basis"].as_str().unwrap().to_owned()
}

/// A mark of calls of OpenAI.
fn mark(models: Value, since: &str, until: &str) -> Value {
    json!({
        "providers": ["openai"], "models": models, "since": since, "until": until,
        "file_hash": "0f".repeat(32), "provider_usd": "0.021", "ledger_usd": "0.02",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn many_marks_are_one_question_still() {
    let rig = Rig::start().await;
    booked(&rig, 1, &[call(MARCH_US), call(MARCH_US + 5 * DAY_US)]).await;
    put(&rig, MARKS, mark(json!([]), "2025-03-01", "2025-03-02")).await;
    for n in 0..60 {
        let day = NaiveDate::from_ymd_opt(2020, 1, 1).unwrap() + Days::new(2 * n);
        let (since, until) = (day.to_string(), (day + Days::new(1)).to_string());
        let reply = put(&rig, MARKS, mark(json!([]), &since, &until)).await;
        assert_eq!(reply.status, StatusCode::OK);
    }
    assert_eq!(basis(&rig, "since=all&skill=pdf").await, "mixed");
    assert_eq!(
        basis(&rig, "since=2025-03-01&until=2025-03-03").await,
        "reconciled"
    );
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_held_against_a_bill_is_no_estimate() {
    let rig = Rig::start().await;
    let other_model = Booking {
        model: "gpt-4.1",
        skill: Some("search"),
        ..call(MARCH_US + 2 * DAY_US)
    };
    let bookings = [call(MARCH_US), call(MARCH_US + DAY_US - 1), other_model];
    booked(&rig, 1, &bookings).await;
    let (estimate, reconciled, mixed) = ("list_price_estimate", "reconciled", "mixed");
    assert_eq!(basis(&rig, "since=all").await, estimate);
    let first = put(&rig, MARKS, mark(json!([]), "2025-03-01", "2025-03-02"))
        .await
        .json();
    assert_eq!(first["difference_usd"], "0.001000000000");
    let cases = [
        ("since=all", mixed),
        ("since=2025-03-01&until=2025-03-02", reconciled),
        ("since=2025-03-01T06:00:00Z&until=2025-03-02", reconciled),
        ("since=2025-03-02", estimate),
        ("since=all&skill=pdf", reconciled),
        ("since=all&skill=search", estimate),
        ("since=all&skill=nobody", estimate),
    ];
    for (question, expected) in cases {
        assert_eq!(basis(&rig, question).await, expected, "{question}");
    }
    let rows = rig
        .get("/v1/rollups/cost-per-skill?since=all&by=skill")
        .await
        .json();
    let rows = rows["rows"].as_array().unwrap().iter();
    let rows: Vec<_> = rows
        .map(|r| (r["skill"].as_str(), r["basis"].as_str()))
        .collect();
    assert!(rows.contains(&(Some("pdf"), Some(reconciled))), "{rows:?}");
    assert!(rows.contains(&(Some("search"), Some(estimate))), "{rows:?}");
    // Of one model alone, on the last day; what is covered twice counts once.
    put(
        &rig,
        MARKS,
        mark(json!(["gpt-4.1"]), "2025-03-03", "2025-03-04"),
    )
    .await;
    put(
        &rig,
        MARKS,
        mark(json!(["gpt-4o"]), "2025-02-01", "2025-03-02"),
    )
    .await;
    assert_eq!(basis(&rig, "since=all").await, reconciled);
    let costs = rig.get("/v1/observability/costs?since=all").await.json();
    assert_eq!(costs["basis"], reconciled);
    let listed = rig.get(MARKS).await.json();
    assert_eq!(listed["reconciliations"].as_array().unwrap().len(), 3);
    let id = first["id"].as_str().unwrap();
    assert_eq!(
        delete(&rig, &format!("{MARKS}?id={id}")).await.status,
        StatusCode::OK
    );
    assert_eq!(
        basis(&rig, "since=all&skill=pdf").await,
        reconciled,
        "the other still covers it"
    );
    booked(&rig, 2, &[call(MARCH_US + 5 * DAY_US)]).await;
    assert_eq!(basis(&rig, "since=all&skill=pdf").await, mixed);
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_marks_what_agrees_and_takes_marks_away() {
    let rig = Rig::start().await;
    let late = call(MARCH_US + 4 * DAY_US);
    booked(&rig, 1, &[call(MARCH_US), call(MARCH_US + DAY_US), late]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("usage.csv");
    let url = format!("http://{}", rig.app.addresses().http);
    let run = async |words: &[&str]| {
        let server = ["--url", url.as_str()];
        let words = ["weir", "cost"].iter().chain(words).chain(&server);
        command(words.map(|w| (*w).to_owned()).collect()).await
    };
    let done = format!("{:?}", std::process::ExitCode::SUCCESS);
    let differs = format!("{:?}", std::process::ExitCode::FAILURE);
    let write = |last: &str| {
        let mut usage =
            "start_time_iso,num_model_requests,model,input_tokens,output_tokens\n".to_owned();
        for (day, tokens) in [("01", "100,10"), ("02", "100,10"), ("05", last)] {
            usage.push_str(&format!("2025-03-{day}T00:00:00+00:00,1,gpt-4o,{tokens}\n"));
        }
        std::fs::write(&file, usage).unwrap();
    };
    let file = file.to_str().unwrap();
    let marks = async || rig.get(MARKS).await.json()["reconciliations"].clone();
    write("900,90");
    assert_eq!(run(&["reconcile", file]).await, differs);
    assert_eq!(run(&["reconcile", file, "--mark"]).await, differs);
    assert_eq!(marks().await, json!([]), "nothing is marked that differs");
    let accepted = ["reconcile", file, "--mark", "--accept-differences"];
    assert_eq!(run(&accepted).await, differs);
    assert_eq!(marks().await.as_array().unwrap().len(), 2);
    write("100,10");
    assert_eq!(run(&["reconcile", file, "--mark"]).await, done);
    let all = marks().await;
    let days: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|m| (&m["since"], &m["until"]))
        .collect();
    let run_of = |a: &str, b: &str| (Value::from(a), Value::from(b));
    let (first, second) = (
        run_of("2025-03-01", "2025-03-03"),
        run_of("2025-03-05", "2025-03-06"),
    );
    assert_eq!(days.len(), 2, "the same period is one mark: {all}");
    assert!(days.contains(&(&first.0, &first.1)) && days.contains(&(&second.0, &second.1)));
    let hash = blake3::hash(&std::fs::read(file).unwrap()).to_hex();
    assert_eq!(all[0]["file_hash"], hash.as_str());
    assert_eq!(all[0]["providers"], json!(["openai"]));
    assert_eq!(
        basis(&rig, "since=2025-03-01&until=2025-03-06").await,
        "reconciled"
    );
    assert_eq!(run(&["marks", "--json"]).await, done);
    let id = all[0]["id"].as_str().unwrap();
    assert_eq!(run(&["unmark", id]).await, done);
    assert_ne!(run(&["unmark", id]).await, done, "there is none any more");
    assert_eq!(
        basis(&rig, "since=2025-03-01&until=2025-03-06").await,
        "mixed"
    );
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn commitments_say_what_is_used_and_what_remains() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prices.yaml");
    let text = "\
commitments:
  - {name: march, tenant: default, provider: openai, model_prefix: gpt-4o, from: 2025-03-01, until: 2025-04-01, amount_usd: 0.05}
  - {name: small, tenant: default, from: 2025-03-01, until: 2025-04-01, amount_usd: 0.01}
  - {name: later, tenant: default, from: 2998-01-01, until: 2999-01-01, amount_usd: 1}
  - {name: theirs, tenant: acme, from: 2025-03-01, until: 2025-04-01, amount_usd: 1}
";
    std::fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap().to_owned();
    let rig = Rig::start_with(|config| {
        config.prices.file = path;
        config.metrics.tenants = true;
    })
    .await;
    let other = Booking {
        model: "gpt-4.1",
        ..call(MARCH_US + 1)
    };
    let april = call(MARCH_US + 31 * DAY_US);
    booked(&rig, 1, &[call(MARCH_US), call(MARCH_US + 9), other, april]).await;
    let node = rig.app.node();
    node.budgets.refresh(node).await;
    let answer = rig.get("/v1/rollups/cost-per-skill").await.json();
    let all = answer["commitments"].as_array().unwrap().iter();
    let text = |c: &Value, name: &str| c[name].as_str().unwrap().to_owned();
    let all: Vec<_> = all
        .map(|c| {
            (
                text(c, "name"),
                text(c, "used_usd"),
                text(c, "remaining_usd"),
                text(c, "state"),
            )
        })
        .collect();
    let line = |a: &str, b: &str, c: &str, d: &str| (a.into(), b.into(), c.into(), d.into());
    assert_eq!(
        all,
        [
            line("march", "0.020000000000", "0.030000000000", "ended"),
            line("small", "0.030000000000", "0.000000000000", "used_up"),
            line("later", "0.000000000000", "1.000000000000", "upcoming"),
        ]
    );
    let costs = rig.get("/v1/observability/costs").await.json();
    assert_eq!(costs["commitments"][0]["amount_usd"], "0.050000000000");
    let metrics = String::from_utf8(rig.get("/metrics").await.body.to_vec()).unwrap();
    let used = "weir_commitment_used_ratio{tenant=\"default\",name=\"march\"} 0.4";
    assert!(metrics.contains(used), "{metrics}");
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_are_given_by_name_to_those_whom_they_concern() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prices.yaml");
    let text = "prices:\n  - {tenant: acme, provider: openai, percent_off: 10}\n";
    std::fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap().to_owned();
    let rig = Rig::start_with(|config| config.prices.file = path).await;
    let route = |name: &str| format!("/v1/prices/tariffs/{name}");
    let current = rig.get(&route("current")).await.json();
    let name = current["name"].as_str().unwrap();
    assert_eq!(rig.get(&route(name)).await.json(), current);
    let list = rig.get(&format!("{}/list", route(name))).await;
    let hash = blake3::hash(&list.body).to_hex();
    assert_eq!(current["list_hash"], hash.as_str());
    // What is agreed with another tenant is not there.
    let acme = TenantId::new("acme").unwrap();
    let theirs = rig.app.node().prices.current(&acme).name().to_owned();
    assert_ne!(theirs, name);
    for name in [
        theirs.as_str(),
        "genai-prices-0.2.1-000000000000",
        "..%2Fnode",
    ] {
        let reply = rig.get(&route(name)).await;
        assert_eq!(refused(&reply), (404, "not_set".into()), "{name}");
    }
    rig.app.stop().await.unwrap();
}
