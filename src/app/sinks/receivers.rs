//! Sinks that send on to others, held to what they promise by receivers that are strict about what
//! they take and careless about what they answer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use parking_lot::Mutex;
use serde_json::Value;
use weir_model::clock::FixedClock;
use weir_model::{BatchSource, Cursors, Dataset, NodeId};
use weir_sinks::contract::{Proven, record, sample_batch};
use weir_sinks::outbound::{SplunkHecConfig, SplunkHecSink, WebhookConfig, WebhookSink};
use weir_sinks::testing::{ListSource, MemoryCursors};
use weir_sinks::{DeadLetters, Delivery, DeliveryConfig, Engine, Sink};

/// Notes that a kind of sink was proven to deliver at least once.
pub(crate) fn at_least_once(kind: &str, engine: &str, version: &str) {
    let proven = Proven {
        engine: Engine {
            name: engine.to_owned(),
            version: version.to_owned(),
        },
        capabilities: ["at_least_once".to_owned()].into(),
    };
    record(kind, &proven);
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
enum Weather {
    Fine,
    /// Refused, nothing stored.
    Says(u16),
    /// Refused for a second.
    Wait,
    /// Stored, and the answer says otherwise.
    AnswerLost,
}

#[derive(Debug, Default)]
struct Receiver {
    weather: Mutex<VecDeque<Weather>>,
    /// Bodies by the name of the post.
    bodies: Mutex<BTreeMap<String, Bytes>>,
    /// `_batch` and `_row` of what was stored.
    rows: Mutex<BTreeSet<(i64, i64)>>,
    faults: Mutex<Vec<String>>,
    /// The row that is refused for good.
    bad: Option<(i64, i64)>,
}

type Read = fn(&HeaderMap, &Bytes) -> Result<(String, Vec<Value>), String>;

impl Receiver {
    fn names(rows: &[Value]) -> Vec<(i64, i64)> {
        let name = |row: &Value| Some((row["_batch"].as_i64()?, row["_row"].as_i64()?));
        rows.iter().map(|row| name(row).unwrap()).collect()
    }

    fn take(&self, read: Read, headers: &HeaderMap, body: &Bytes) -> Response {
        let weather = self.weather.lock().pop_front().unwrap_or(Weather::Fine);
        match weather {
            Weather::Says(status) => return StatusCode::from_u16(status).unwrap().into_response(),
            Weather::Wait => {
                return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response();
            }
            Weather::Fine | Weather::AnswerLost => {}
        }
        let (key, rows) = match read(headers, body) {
            Ok(read) => read,
            Err(fault) => {
                self.faults.lock().push(fault);
                return StatusCode::BAD_REQUEST.into_response();
            }
        };
        let names = Self::names(&rows);
        if self.bad.is_some_and(|bad| names.contains(&bad)) {
            return StatusCode::UNPROCESSABLE_ENTITY.into_response();
        }
        let before = self.bodies.lock().insert(key.clone(), body.clone());
        if before.is_some_and(|before| before != body) {
            self.faults
                .lock()
                .push(format!("{key} came with another body"));
        }
        self.rows.lock().extend(names);
        match weather {
            Weather::AnswerLost => StatusCode::GATEWAY_TIMEOUT.into_response(),
            Weather::Fine | Weather::Says(_) | Weather::Wait => StatusCode::OK.into_response(),
        }
    }

    async fn serve(self: &Arc<Self>, path: &'static str, read: Read) -> String {
        let take = move |State(receiver): State<Arc<Self>>, headers: HeaderMap, body: Bytes| async move {
            receiver.take(read, &headers, &body)
        };
        let routes = Router::new()
            .route(path, post(take))
            .with_state(Arc::clone(self));
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(socket, routes).await });
        format!("http://{address}")
    }

    /// Delivers eight batches through `sink` in bad weather, one row of which is bad.
    async fn drill(&self, sink: Arc<dyn Sink>) {
        let weather = [
            Weather::Says(500),
            Weather::AnswerLost,
            Weather::Wait,
            Weather::Says(401),
            Weather::AnswerLost,
            Weather::Says(503),
            Weather::Fine,
            Weather::AnswerLost,
            Weather::Says(404),
        ];
        self.weather.lock().extend(weather);
        let dir = tempfile::tempdir().unwrap();
        let node = NodeId::from_bits(7);
        let source = Arc::new(ListSource::new(node.clone()));
        for number in 1..=8 {
            source.push(sample_batch(Dataset::Spans, &node, number));
        }
        let cursors = Arc::new(MemoryCursors::default());
        let dead = DeadLetters::open(dir.path(), Arc::new(FixedClock::at(1))).unwrap();
        let dead = Arc::new(dead);
        let name = sink.name().to_owned();
        let delivery = Delivery::start(
            sink,
            source as Arc<dyn BatchSource>,
            Arc::clone(&cursors) as Arc<dyn Cursors>,
            Arc::clone(&dead),
            DeliveryConfig {
                datasets: vec![Dataset::Spans],
                retry_base: Duration::from_millis(10),
                retry_cap: Duration::from_millis(50),
                breaker: weir_sinks::delivery::BreakerConfig {
                    failures: 3,
                    open: Duration::from_millis(50),
                },
                ..DeliveryConfig::default()
            },
        );
        let done = cursors.reached(&name, Dataset::Spans, 8);
        let waited = tokio::time::timeout(Duration::from_secs(20), done).await;
        assert!(waited.is_ok(), "{:?}", delivery.status());
        delivery.stop().await;
        assert_eq!(*self.faults.lock(), Vec::<String>::new());
        let letters = dead.list().unwrap();
        let aside: u64 = letters.iter().map(|letter| letter.rows).sum();
        assert_eq!(aside, u64::from(self.bad.is_some()), "{letters:?}");
        let mut wanted: BTreeSet<(i64, i64)> = (1..=8)
            .flat_map(|batch| (0..60).map(move |row| (batch, row)))
            .collect();
        wanted.retain(|name| Some(*name) != self.bad);
        assert_eq!(*self.rows.lock(), wanted);
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn json_lines(body: &[u8]) -> Result<Vec<Value>, String> {
    let lines = body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let rows = lines.map(serde_json::from_slice);
    rows.collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

fn webhook(headers: &HeaderMap, body: &Bytes) -> Result<(String, Vec<Value>), String> {
    let key = header(headers, "idempotency-key").to_owned();
    if header(headers, "x-token") != "hunter2" || header(headers, "x-weir-dataset") != "spans" {
        return Err(format!("{headers:?}"));
    }
    let rows = match header(headers, "content-type") {
        "application/x-ndjson" => json_lines(body)?,
        "application/json" => {
            let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
            if body["part"] != key.as_str() || body["dataset"] != "spans" {
                return Err(format!("{key}: {}", body["part"]));
            }
            body["rows"].as_array().cloned().ok_or("no rows")?
        }
        other => return Err(format!("content-type {other}")),
    };
    Ok((key, rows))
}

fn hec(headers: &HeaderMap, body: &Bytes) -> Result<(String, Vec<Value>), String> {
    if header(headers, "authorization") != "Splunk hunter2" {
        return Err(format!("{headers:?}"));
    }
    let mut rows = Vec::new();
    let mut key = String::new();
    for event in json_lines(body)? {
        let members = event.as_object().ok_or("no object")?;
        let names: Vec<&str> = members.keys().map(String::as_str).collect();
        let sound = event["time"].is_number()
            && event["sourcetype"] == "weir:spans"
            && event["source"] == "weir"
            && event["index"] == "agents";
        if names.len() != 5 || !sound {
            return Err(format!("{names:?}"));
        }
        key.push_str(&format!(
            "{}-{} ",
            event["event"]["_batch"], event["event"]["_row"]
        ));
        rows.push(event["event"].clone());
    }
    Ok((key, rows))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_gets_every_row_under_one_name_in_any_weather() {
    for (format, compression) in [("ndjson", "none"), ("json", "none")] {
        let receiver = Arc::new(Receiver {
            bad: Some((5, 17)),
            ..Receiver::default()
        });
        let config = WebhookConfig {
            url: format!("{}/rows", receiver.serve("/rows", webhook).await),
            format: format.to_owned(),
            headers: [("x-token".to_owned(), "hunter2".into())].into(),
            compression: compression.to_owned(),
            ..WebhookConfig::default()
        };
        let sink = WebhookSink::new("hook", &config).unwrap();
        receiver.drill(Arc::new(sink)).await;
    }
    at_least_once("webhook", "http receiver", "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_of_events_gets_every_row_in_any_weather() {
    let receiver = Arc::new(Receiver {
        bad: Some((5, 17)),
        ..Receiver::default()
    });
    let config = SplunkHecConfig {
        url: receiver.serve("/services/collector/event", hec).await,
        token: "hunter2".into(),
        index: "agents".to_owned(),
        ..SplunkHecConfig::default()
    };
    let sink = SplunkHecSink::new("splunk", &config).unwrap();
    assert!(!format!("{sink:?}").contains("hunter2"), "{sink:?}");
    receiver.drill(Arc::new(sink)).await;
    at_least_once("splunk_hec", "http receiver", "");
}

#[tokio::test]
async fn what_is_wrong_is_said_before_anything_is_sent() {
    let wrong = |change: fn(&mut WebhookConfig)| {
        let mut config = WebhookConfig {
            url: "http://127.0.0.1:9/".to_owned(),
            ..WebhookConfig::default()
        };
        change(&mut config);
        WebhookSink::new("hook", &config).unwrap_err().to_string()
    };
    let faults = [
        (
            wrong(|c| c.url = "ftp://x".into()),
            "`url` cannot be used: it must begin with http",
        ),
        (
            wrong(|c| c.url = "nowhere".into()),
            "`url` cannot be used: relative URL",
        ),
        (
            wrong(|c| c.timeout = Duration::ZERO),
            "`timeout` cannot be used: it must be above 0",
        ),
        (
            wrong(|c| c.ca_file = "/nonexistent.pem".into()),
            "`ca_file` cannot be used: No such file",
        ),
        (
            wrong(|c| drop(c.headers.insert("bad name".into(), "secret".into()))),
            "`headers` cannot be used: `bad name` cannot be a header",
        ),
    ];
    for (fault, wanted) in faults {
        assert!(fault.starts_with(wanted), "{fault}");
        assert!(!fault.contains("secret"), "{fault}");
    }
    let config = WebhookConfig {
        url: "http://127.0.0.1:9/?token=hunter2".to_owned(),
        ..WebhookConfig::default()
    };
    let sink = WebhookSink::new("hook", &config).unwrap();
    let fault = super::told(sink.probe().await.unwrap_err().as_ref());
    assert!(
        fault.starts_with("no answer came from 127.0.0.1:9"),
        "{fault}"
    );
    assert!(!fault.contains("hunter2"), "{fault}");
}
