//! Cost by the tags that senders put on their spans, through the whole node: sent, booked, asked.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::app::rig::Rig;

const COSTS: &str = "/v1/observability/costs";

/// A call of gpt-4o with 1,000 input tokens, which costs 0.0025 dollars.
fn span(id: u8, agent: &str, tags: &[(&str, &str)]) -> Value {
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let mut attributes = vec![
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.provider.name", "openai"),
        text("gen_ai.request.model", "gpt-4o"),
        text("gen_ai.agent.name", agent),
        json!({ "key": "gen_ai.usage.input_tokens", "value": { "intValue": 1000 } }),
    ];
    attributes.extend(tags.iter().map(|(key, value)| text(key, value)));
    json!({
        "traceId": format!("{id:032x}"), "spanId": format!("{id:016x}"), "name": "chat",
        "startTimeUnixNano": "1795208519000000000", "endTimeUnixNano": "1795208520000000000",
        "attributes": attributes,
    })
}

fn body(spans: &[Value], resource: &[(&str, &str)]) -> String {
    let text =
        |(key, value): &(&str, &str)| json!({ "key": key, "value": { "stringValue": value } });
    let resource: Vec<Value> = resource.iter().map(text).collect();
    let spans =
        json!([{ "resource": { "attributes": resource }, "scopeSpans": [{ "spans": spans }] }]);
    json!({ "resourceSpans": spans }).to_string()
}

async fn calls(rig: &Rig) -> i64 {
    let costs = rig.get(COSTS).await.json();
    costs["total_calls"].as_i64().unwrap_or(0)
}

/// The groups of a tag: value, calls, input tokens.
async fn groups(rig: &Rig, question: &str) -> Vec<(String, i64, i64)> {
    let reply = rig.get(&format!("{COSTS}?{question}")).await;
    assert_eq!(reply.status, 200, "{question}: {:?}", reply.body);
    let answer = reply.json();
    let groups = answer["tag_rollup"]["by_tag"].as_array().unwrap().clone();
    let sum: f64 = groups.iter().map(|g| g["cost_usd"].as_f64().unwrap()).sum();
    let total = answer["total_cost_usd"].as_f64().unwrap();
    assert!((sum - total).abs() < 1e-9, "{question}: {sum} of {total}");
    let group = |g: &Value| {
        let count = |name: &str| g[name].as_i64().unwrap();
        (
            g["key"].as_str().unwrap().to_owned(),
            count("calls"),
            count("input_tokens"),
        )
    };
    let mut found: Vec<_> = groups.iter().map(group).collect();
    found.sort();
    found
}

fn expected(groups: &[(&str, i64)]) -> Vec<(String, i64, i64)> {
    let groups = groups.iter();
    groups
        .map(|(key, calls)| ((*key).to_owned(), *calls, calls * 1000))
        .collect()
}

/// Sends five calls, one of them twice, and waits until they are booked.
async fn sent_and_booked(rig: &Rig) {
    let long = "x".repeat(200);
    let spans = [
        span(1, "one", &[("allocation.tag.feature", "search")]),
        span(
            2,
            "one",
            &[
                ("allocation.tag.feature", "search"),
                ("metadata.feature", "other"),
            ],
        ),
        span(
            3,
            "two",
            &[("traceloop.association.properties.feature", "chat's")],
        ),
        span(
            4,
            "two",
            &[
                ("allocation.tag.feature", ""),
                ("allocation.tag.long", &long),
            ],
        ),
    ];
    // The first comes twice: a copy is one call.
    for spans in [&spans[..], &spans[..1]] {
        let sent = rig
            .post("/v1/traces", "application/json", body(spans, &[]))
            .await;
        assert_eq!(sent.status, 200, "{:?}", sent.body);
    }
    let of_resource = body(
        &[span(5, "two", &[])],
        &[("allocation.tag.feature", "batch")],
    );
    rig.post("/v1/traces", "application/json", of_resource)
        .await;
    let began = Instant::now();
    while calls(rig).await < 5 {
        assert!(began.elapsed() < Duration::from_secs(30), "not booked");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_tag_of_a_span_can_be_asked_for() {
    let rig = Rig::start().await;
    sent_and_booked(&rig).await;
    let found = groups(&rig, "tag=feature").await;
    let all = [
        ("batch", 1),
        ("chat's", 1),
        ("search", 2),
        ("unallocated", 1),
    ];
    assert_eq!(found, expected(&all));
    assert_eq!(
        groups(&rig, "tag=feature&agent=one").await,
        expected(&[("search", 2)])
    );
    let day = "tag=feature&since=2026-11-20&until=2026-11-22";
    assert_eq!(groups(&rig, day).await, expected(&all));
    assert_eq!(groups(&rig, "tag=feature&since=2026-11-22").await, []);
    let value = "x".repeat(120);
    assert_eq!(
        groups(&rig, "tag=long").await,
        expected(&[("unallocated", 4), (&value, 1)])
    );
    assert_eq!(
        groups(&rig, "tag=nobody").await,
        expected(&[("unallocated", 5)])
    );
    // A dimension of rollups is one still.
    assert_eq!(
        groups(&rig, "tag=agent").await,
        expected(&[("one", 2), ("two", 3)])
    );
    for odd in [
        "tag=",
        "tag=a'b",
        "tag=day",
        &format!("tag={}", "a".repeat(61)),
    ] {
        assert_eq!(
            rig.get(&format!("{COSTS}?{odd}")).await.status,
            400,
            "{odd}"
        );
    }
    rig.app.stop().await.unwrap();
}
