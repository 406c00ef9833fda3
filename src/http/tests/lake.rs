//! A lake that gives no answer, and one that answers with a refusal.

use crate::app::rig::{Rig, config_in};
use crate::app::{App, StartError};
use crate::config::Config;

const SPAN: &str = r#"{"spans":[{"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331","name":"a","start_time":1760000000000000000}]}"#;

/// An S3 at `endpoint`.
fn s3(config: &mut Config, endpoint: &str) {
    config.lake.url = "s3://bucket/lake".into();
    let options = [
        ("aws_endpoint", endpoint),
        ("aws_allow_http", "true"),
        ("aws_region", "us-east-1"),
        ("aws_access_key_id", "x"),
        ("aws_secret_access_key", "y"),
    ];
    config.lake.options = options
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_starts_and_accepts_without_its_lake_and_says_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let rig = Rig::start_with(|config| s3(config, &endpoint)).await;
    let ready = rig.get("/readyz").await;
    assert_eq!(ready.status, 200, "{:?}", ready.body);
    assert_eq!(ready.json()["reasons"][0]["reason"], "lake_unreachable");
    assert_eq!(ready.json()["reasons"][0]["blocks"], false);
    let taken = rig.post("/v1/traces", "application/json", SPAN).await;
    assert_eq!(taken.status, 200, "{:?}", taken.body);
    let status = rig.app.node().log.status();
    let rows: u64 = status.datasets.iter().map(|d| d.recent_rows).sum();
    assert_eq!(rows, 1, "it waits in the log");
    assert_eq!(
        rig.app.node().log.nodes().len(),
        2,
        "under a name of its own"
    );
    rig.app.stop().await.unwrap();
}

/// Answers 403 to everything.
fn refusing() -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            let answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    endpoint
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_refuses_is_told_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config_in(dir.path());
    s3(&mut config, &refusing());
    let refused = Box::pin(App::start(&config)).await.err().unwrap();
    assert!(matches!(refused, StartError::Lake { .. }), "{refused}");
}
