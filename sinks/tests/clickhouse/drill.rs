//! The drill of exactness in weather that HTTP knows, and the sums behind the view after it.

use std::time::Duration;

use weir_model::Dataset;
use weir_sinks::Sink;
use weir_sinks::clickhouse::ClickHouseConfig;
use weir_sinks::testing::{Drill, FaultProxy, LinkFault};

use crate::server::{Place, Server, ask};

/// The sums of the view, and the same sums over the ledger itself.
pub(crate) async fn sums(config: &ClickHouseConfig) -> (String, String) {
    let db = &config.database;
    let view = format!(
        "SELECT sum(calls), sum(errors), sum(usage_calls), sum(unpriced_calls), \
         sum(disagreeing_calls), sum(usage_input_tokens), sum(cost_usd), sum(cost_reported_usd) \
         FROM {db}.cost_per_skill"
    );
    let ledger = format!(
        "SELECT sum(toInt64(sign)), sum(sign * toInt64(isNotNull(error_type))), \
         sum(sign * toInt64(isNotNull(usage_input_tokens) OR isNotNull(usage_output_tokens))), \
         sum(sign * toInt64(isNull(cost_usd))), sum(sign * toInt64(cost_disagrees)), \
         sum(sign * usage_input_tokens), sum(sign * cost_usd), sum(sign * cost_reported_usd) \
         FROM {db}.cost_ledger"
    );
    (ask(config, &view).await, ask(config, &ledger).await)
}

/// Weather that HTTP knows, beside that of any protocol.
pub(crate) fn of(dataset: Dataset, batches: i64, seed: u64) -> Drill {
    let mut drill = Drill::new(batches, seed).with_weather([
        (LinkFault::http(503, &[]), 3),
        (LinkFault::http(429, &["Retry-After: 1"]), 3),
        (LinkFault::http(500, &[]), 2),
        (LinkFault::Silence, 1),
    ]);
    drill.datasets = vec![dataset];
    drill.limit = Duration::from_secs(400);
    drill
}

/// A password that is refused for a while: seldom, as the sink then waits for seconds.
fn refused() -> Vec<LinkFault> {
    let answer = "HTTP/1.1 403 Forbidden\r\nX-ClickHouse-Exception-Code: 516\r\n\
                  Content-Length: 9\r\nConnection: close\r\n\r\nCode: 516";
    let mut plan = vec![LinkFault::None; 40];
    plan.push(LinkFault::Answer(answer.into()));
    plan
}

/// Runs the drill against `server` and compares the sums of the view too.
pub(crate) async fn run(server: &Server, drill: Drill) {
    let proxy = FaultProxy::start(server.address(), drill.seed)
        .await
        .unwrap();
    let direct = server.config();
    let place = Place {
        config: ClickHouseConfig {
            url: format!("http://{}", proxy.address()),
            timeout: Duration::from_millis(1_200),
            concurrency: 4,
            ..direct.clone()
        },
        readers: vec![direct.clone()],
    };
    // Tables first: the drill is about rows.
    Place::at(&direct).open().probe().await.unwrap();
    if drill.batches >= 100 {
        proxy.plan(refused());
    }
    let folder = tempfile::tempdir().unwrap();
    drill.run(&place, &proxy, folder.path()).await;
    if drill.datasets != [Dataset::CostLedger] {
        return;
    }
    let (view, ledger) = sums(&direct).await;
    assert_eq!(view, ledger, "seed {}: the sums of the view", drill.seed);
}
