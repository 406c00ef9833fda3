//! One call, seen by the program as a span and by a gateway as an audit record (rule B5): it is billed
//! once, as the span, whichever of the two comes first and however requests are cut.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::app::rig::Rig;

/// A call of gpt-4o with that many input tokens; its answer has an id that the gateway knows too.
fn span(id: usize, tokens: u32) -> Value {
    let text = |key: &str, value: String| json!({ "key": key, "value": { "stringValue": value } });
    json!({
        "traceId": format!("{:032x}", id / 3 + 1), "spanId": format!("{:016x}", id + 1),
        "name": "chat",
        "startTimeUnixNano": "1795208519000000000", "endTimeUnixNano": "1795208520000000000",
        "attributes": [
            text("gen_ai.operation.name", "chat".into()),
            text("gen_ai.provider.name", "openai".into()),
            text("gen_ai.request.model", "gpt-4o".into()),
            text("gen_ai.response.id", format!("chatcmpl-{id:08}")),
            json!({ "key": "gen_ai.usage.input_tokens", "value": { "intValue": tokens } }),
        ],
    })
}

/// What a gateway reports of the same call, with its own word on usage and cost.
fn audit(id: usize, tokens: u32) -> Value {
    json!({
        "event_id": format!("audit-{id}"), "type": "llm_request", "ts": "2026-11-20T12:21:59Z",
        "model": "gpt-4o", "response_id": format!("chatcmpl-{id:08}"),
        "request_id": format!("chatcmpl-{id:08}"), "trace_id": format!("{:032x}", id / 3 + 1),
        "span_id": format!("{:016x}", id + 1), "input_tokens": tokens, "cost_usd": 1.0,
    })
}

/// Calls, each with its tokens and whether program, gateway or both have seen it, in an order of
/// arrival.
fn world() -> impl Strategy<Value = Vec<(bool, usize, u32)>> {
    let call = (
        1..100_000_u32,
        prop_oneof![3 => Just((true, true)), 1 => Just((true, false))],
    );
    proptest::collection::vec(call, 12..40).prop_flat_map(|calls| {
        let mut arrivals = Vec::new();
        for (id, (tokens, (program, gateway))) in calls.into_iter().enumerate() {
            arrivals.extend(program.then_some((true, id, tokens)));
            arrivals.extend(gateway.then_some((false, id, tokens)));
        }
        Just(arrivals).prop_shuffle()
    })
}

async fn post(rig: &Rig, path: &str, body: Value) {
    let reply = rig.post(path, "application/json", body.to_string()).await;
    assert!(reply.status.is_success(), "{path}: {:?}", reply.body);
}

async fn send(rig: &Rig, arrivals: &[(bool, usize, u32)]) {
    // A few at a time, so that spans and records of one call come apart and together.
    for piece in arrivals.chunks(7) {
        let of = |wanted: bool| {
            piece
                .iter()
                .filter(move |(is_span, _, _)| *is_span == wanted)
        };
        let spans: Vec<Value> = of(true).map(|(_, id, tokens)| span(*id, *tokens)).collect();
        let scopes = json!([{ "scopeSpans": [{ "spans": spans }] }]);
        post(rig, "/v1/traces", json!({ "resourceSpans": scopes })).await;
        let alerts: Vec<Value> = of(false)
            .map(|(_, id, tokens)| audit(*id, *tokens))
            .collect();
        post(
            rig,
            "/v1/proxy/audit",
            json!({ "source_id": "gateway", "alerts": alerts }),
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_a_gateway_reports_too_is_billed_once() {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    for _ in 0..3 {
        let arrivals = world().new_tree(&mut runner).unwrap().current();
        let rig = Rig::start().await;
        send(&rig, &arrivals).await;
        let spans = arrivals.iter().filter(|(is_span, _, _)| *is_span);
        let (calls, tokens) = spans.fold((0_i64, 0_i64), |(calls, sum), (_, _, tokens)| {
            (calls + 1, sum + i64::from(*tokens))
        });
        let began = Instant::now();
        let answer = loop {
            let answer = rig.get("/v1/rollups/cost-per-skill?since=all").await.json();
            if answer["totals"]["calls"].as_i64() >= Some(calls) {
                break answer;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "{answer}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        // At 2.50 dollars a million, in 10^-12 dollars.
        let cost = i128::from(tokens) * 2_500_000;
        let totals = &answer["totals"];
        assert_eq!(
            (totals["calls"].as_i64(), totals["input_tokens"].as_i64()),
            (Some(calls), Some(tokens))
        );
        assert_eq!(totals["cost_usd"], crate::usd::text(cost));
        // The records are all there, as records.
        let records = rig.sql("SELECT count(*) FROM proxy_audit").await;
        let sent = arrivals.len() - usize::try_from(calls).unwrap();
        assert_eq!(records[0][0].as_u64(), u64::try_from(sent).ok());
        rig.app.stop().await.unwrap();
    }
}
