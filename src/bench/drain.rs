//! What a server uses until the lake has every row: a lake that lags behind would look cheap.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::server::{Server, Usage};

/// The lake may lag so far when the load ends.
const PATIENCE: Duration = Duration::from_secs(300);

/// The whole run, from the first body to the last row in the lake.
#[derive(Clone, Copy, Debug)]
pub(super) struct WholeRun {
    /// Spans accepted, those of the warm-up too.
    pub(super) spans: u64,
    /// What the server used for them.
    pub(super) cpu: Duration,
    /// How long the lake went on after the load had ended.
    pub(super) behind: Duration,
}

/// Waits until the lake has all rows; `before` is what the server had used when the load began.
///
/// # Errors
///
/// Where the lake does not get there within five minutes, or the server says nothing of itself.
pub(super) async fn drained(server: &Server, before: Usage) -> anyhow::Result<WholeRun> {
    let started = std::time::Instant::now();
    loop {
        let metrics = metrics(server).await?;
        let pending = sum(&metrics, "weir_pending_rows", "sink=\"lake\"");
        if pending == 0 {
            return Ok(WholeRun {
                spans: sum(&metrics, "weir_accepted_rows_total", "dataset=\"spans\""),
                cpu: server.usage()?.since(before).cpu,
                behind: started.elapsed(),
            });
        }
        ensure!(
            started.elapsed() < PATIENCE,
            "the lake has still {pending} rows to get"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn metrics(server: &Server) -> anyhow::Result<String> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let url = format!("http://{}/metrics", server.addresses().http).parse()?;
    let answer = client.get(url).await.context("the server's metrics")?;
    let body = answer.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// The sum of a family's samples that have a label.
fn sum(metrics: &str, family: &str, label: &str) -> u64 {
    let samples = metrics
        .lines()
        .filter_map(|line| line.strip_prefix(family)?.strip_prefix('{'));
    let values = samples.filter_map(|rest| {
        let (labels, value) = rest.split_once('}')?;
        labels.contains(label).then(|| value.trim().parse().ok())?
    });
    values.fold(0, |sum: u64, value: u64| sum.saturating_add(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_family_are_added_by_their_label() {
        let text = "# TYPE a gauge\na{sink=\"lake\",dataset=\"x\"} 3\na{sink=\"lake\"} 4\n\
                    a{sink=\"other\"} 9\nab{sink=\"lake\"} 100\n";
        assert_eq!(sum(text, "a", "sink=\"lake\""), 7);
        assert_eq!(sum(text, "b", "sink=\"lake\""), 0);
    }
}
