//! A real node for tests: a fresh directory, free ports, the routes without sockets.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::app::App;
use crate::config::Config;
use crate::http::routes;

/// A node and its directory, which goes with it.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) app: App,
    pub(crate) dir: tempfile::TempDir,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
    }
}

/// A configuration on free ports that flushes soon, in `dir`.
pub(crate) fn config_in(dir: &std::path::Path) -> Config {
    let mut config = Config {
        data_dir: dir.to_owned(),
        ..Config::default()
    };
    let free = ([127, 0, 0, 1], 0).into();
    config.listen.http = free;
    config.listen.otlp_http = free;
    config.listen.otlp_grpc = free;
    config.wal.segment_size = 1 << 20;
    config.wal.reserve = 64 << 10;
    config.wal.batch_age = Duration::from_millis(20);
    config.lake.flush_interval = Duration::from_millis(50);
    config
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config_in(dir.path());
        change(&mut config);
        let app = Box::pin(App::start(&config)).await.unwrap();
        Self { app, dir }
    }

    pub(crate) fn api(&self) -> Router {
        routes::api(self.app.node())
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.api().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        Reply {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    pub(crate) async fn post(&self, path: &str, kind: &str, body: impl Into<Body>) -> Reply {
        let request = Request::post(path).header("content-type", kind);
        self.send(request.body(body.into()).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    /// The rows of a query, as JSON.
    pub(crate) async fn sql(&self, sql: &str) -> Vec<Value> {
        let question = serde_json::json!({ "sql": sql }).to_string();
        let reply = self.post("/v1/query", "application/json", question).await;
        assert_eq!(reply.status, StatusCode::OK, "{sql}: {:?}", reply.body);
        reply.json()["rows"].as_array().cloned().unwrap_or_default()
    }
}
