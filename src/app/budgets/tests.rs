use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use tokio::sync::mpsc;
use weir_model::Dataset;

use super::*;
use crate::app::rig::Rig;
use crate::app::rollups::fixture::{Booking, ledger_batch};

const USD: i128 = 1_000_000_000_000;
/// 2026-11-16T12:30:00Z: the month is half over.
const NOW_US: i64 = 1_794_832_200_000_000;

fn budget(limit: i128) -> Arc<Budget> {
    Arc::new(Budget {
        origin: Origin::File,
        tenant: TenantId::local(),
        scope: None,
        name: None,
        limit: limit * USD,
        period: Period::Month,
    })
}

#[test]
fn a_budget_is_on_track_at_risk_or_exceeded() {
    let state = |limit, spend: i128, of_day: i128| {
        State::of(&budget(limit), spend * USD, of_day * USD, NOW_US).unwrap()
    };
    // 14.5 days are left: 10 a day make 145 more.
    let calm = state(300, 150, 10);
    assert_eq!(
        (calm.forecast, calm.standing),
        (295 * USD, Standing::OnTrack)
    );
    assert_eq!(calm.remaining(), 150 * USD);
    assert_eq!(state(290, 150, 10).standing, Standing::AtRisk);
    let over = state(100, 150, 0);
    assert_eq!(
        (over.remaining(), over.standing),
        (-50 * USD, Standing::Exceeded)
    );
    assert_eq!(over.json()["remaining_usd"], "-50.000000000000");
    // What corrections took back yesterday is no income.
    assert_eq!(state(300, 150, -10).forecast, 150 * USD);
}

#[test]
fn the_file_says_what_is_wrong_with_it() {
    let good = r#"{"webhook":"https://x","budgets":[
        {"tenant":"acme","scope":"tenant","limit_usd":5000},
        {"tenant":"acme","scope":"skill","name":"pdf","limit_usd":"20.50","period":"day"}]}"#;
    let file = BudgetFile::parse(good).unwrap();
    assert_eq!(file.budgets[0].limit, 5000 * USD);
    assert_eq!(file.budgets[1].limit, 20_500_000_000_000);
    assert_eq!(file.budgets[1].scope, Some(Dimension::Skill));
    for (wrong, right, fault) in [
        ("\"tenant\":\"acme\"", "\"tenant\":\"A B\"", "budget 1"),
        ("\"scope\":\"skill\"", "\"scope\":\"hour\"", "budget 2"),
        ("\"name\":\"pdf\",", "", "has a `name`"),
        ("\"20.50\"", "\"free\"", "above 0"),
        ("\"20.50\"", "0", "above 0"),
        ("https://x", "ftp://x", "webhook"),
        ("\"period\":\"day\"", "\"every\":\"day\"", "unknown field"),
    ] {
        let text = good.replacen(wrong, right, 1);
        let error = format!("{:#}", BudgetFile::parse(&text).unwrap_err());
        assert!(error.contains(fault), "{text}: {error}");
    }
    let twice = r#"{"budgets":[{"tenant":"a","scope":"tenant","limit_usd":1},
        {"tenant":"a","scope":"tenant","limit_usd":2}]}"#;
    assert!(
        BudgetFile::parse(twice)
            .unwrap_err()
            .to_string()
            .contains("twice")
    );
}

/// What the webhook was told next.
async fn heard(calls: &mut mpsc::Receiver<Value>) -> Value {
    let soon = tokio::time::timeout(Duration::from_secs(20), calls.recv());
    soon.await.unwrap().unwrap()
}

/// A webhook that refuses the first call and takes all others.
async fn webhook() -> (String, mpsc::Receiver<Value>) {
    let (heard, calls) = mpsc::channel(16);
    let first = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let take = move |body: String| {
        let (heard, first) = (heard.clone(), Arc::clone(&first));
        async move {
            if first.swap(false, std::sync::atomic::Ordering::SeqCst) {
                return StatusCode::SERVICE_UNAVAILABLE;
            }
            heard
                .send(serde_json::from_str(&body).unwrap())
                .await
                .unwrap();
            StatusCode::NO_CONTENT
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let app = Router::new().route("/hook", post(take));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, calls)
}

/// What answers and metrics say of a budget that is used up.
async fn shown(rig: &Rig) {
    let answer = rig.get("/v1/rollups/cost-per-skill").await.json();
    let budgets = answer["budgets"].as_array().unwrap();
    let states: Vec<_> = budgets
        .iter()
        .map(|b| (b["scope"].as_str(), b["state"].as_str()))
        .collect();
    assert_eq!(
        states,
        [
            (Some("tenant"), Some("on_track")),
            (Some("skill"), Some("exceeded"))
        ]
    );
    assert_eq!(budgets[1]["remaining_usd"], "-0.005000000000");
    let metrics = String::from_utf8(rig.get("/metrics").await.body.to_vec()).unwrap();
    assert!(
        metrics.contains("weir_budgets{state=\"exceeded\"} 1"),
        "{metrics}"
    );
    let used = "weir_budget_used_ratio{tenant=\"default\",scope=\"skill\",name=\"pdf\"} 1.333";
    assert!(metrics.contains(used), "{metrics}");
    let costs = rig.get("/v1/observability/costs").await.json();
    assert_eq!(costs["budget"]["configured"], true);
    assert_eq!(costs["budget"]["limit_usd"], 1.0);
    assert_eq!(costs["budget"]["utilization"], 0.02);
    assert_eq!(costs["forecast"]["status"], "on_track");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_shows_in_answers_metrics_and_the_webhook() {
    let (url, mut calls) = webhook().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("budgets.json");
    let text = |limit: &str| {
        format!(
            r#"{{"webhook":"{url}","budgets":[
            {{"tenant":"default","scope":"tenant","limit_usd":"1"}},
            {{"tenant":"default","scope":"skill","name":"pdf","limit_usd":"{limit}"}}]}}"#
        )
    };
    std::fs::write(&path, text("0.015")).unwrap();
    let file = path.to_str().unwrap().to_owned();
    let rig = Rig::start_with(|config| {
        config.budgets.file = file;
        config.metrics.tenants = true;
    })
    .await;
    let node = rig.app.node();
    let booking = || Booking {
        tenant: "default",
        ..Booking::at(node.intake.clock.now_us())
    };
    let batch = ledger_batch(1, &[booking(), booking()]);
    node.lakes
        .append(Dataset::CostLedger, &[batch])
        .await
        .unwrap();
    // The first call is refused, and made again in the next round.
    node.budgets.refresh(node).await;
    node.budgets.refresh(node).await;
    let told = heard(&mut calls).await;
    assert_eq!(
        (told["event"].as_str(), told["previous"].as_str()),
        (Some("budget.exceeded"), Some("on_track"))
    );
    assert_eq!(told["budget"]["spend_usd"], "0.020000000000");
    assert_eq!(told["budget"]["name"], "pdf");
    node.budgets.refresh(node).await;
    assert!(calls.try_recv().is_err(), "told once");
    shown(&rig).await;
    // The file is read again when it changes, and a bad one leaves the last good one.
    let later = path.metadata().unwrap().modified().unwrap() + Duration::from_secs(5);
    std::fs::write(&path, text("30")).unwrap();
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(later)
        .unwrap();
    node.budgets.refresh(node).await;
    assert_eq!(heard(&mut calls).await["event"], "budget.on_track");
    std::fs::write(&path, "{").unwrap();
    node.budgets.refresh(node).await;
    assert_eq!(node.budgets.of(&TenantId::local()).len(), 2);
    rig.app.stop().await.unwrap();
}
