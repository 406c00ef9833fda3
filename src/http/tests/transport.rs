//! What only sockets show: two protocols on one port, slow clients, a clean end, a second start.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::app::rig::{Rig, config_in};
use crate::app::{App, StartError};
use crate::client::{Call, Client};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_nothing_is_closed_after_the_header_timeout() {
    let rig = Rig::start_with(|config| {
        config.limits.first_byte_timeout = Duration::from_millis(100);
        config.limits.header_timeout = Duration::from_millis(100);
        config.limits.keep_alive = Duration::from_millis(100);
    })
    .await;
    for first in ["", "PRI * HT", "GET / HTTP/1.1\r\nHost"] {
        let address = rig.app.addresses().otlp_http;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(first.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest));
        assert!(closed.await.is_ok(), "{first:?} holds its connection");
    }
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_lines_client_reaches_a_real_server() {
    let rig = Rig::start().await;
    let client = Client::new(&format!("http://{}", rig.app.addresses().http), None).unwrap();
    let call = Call {
        content_type: Some("application/json"),
        body: r#"{"sql":"SELECT 1 AS one"}"#.into(),
        ..Call::default()
    };
    let answer = client
        .post("/v1/query", call)
        .await
        .unwrap()
        .success()
        .unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("one"));
    let wrong = client.get("/nowhere").await.unwrap().success().unwrap_err();
    assert!(wrong.to_string().contains("not_found"), "{wrong}");
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_on_the_directory_is_refused_and_a_later_one_works() {
    let rig = Rig::start().await;
    let config = config_in(rig.dir.path());
    let second = Box::pin(App::start(&config)).await;
    let error = second.err().unwrap();
    let told = format!("{:#}", anyhow::Error::new(error));
    assert!(told.contains("in use by another weir process"), "{told}");
    assert_eq!(told.matches("in use").count(), 1, "{told}");
    let Rig { app, dir } = rig;
    app.stop().await.unwrap();
    let app = Box::pin(App::start(&config)).await.unwrap();
    app.stop().await.unwrap();
    drop(dir);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_others_can_reach_needs_a_key_and_a_word_about_tls() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config_in(dir.path());
    config.listen.http = ([0, 0, 0, 0], 0).into();
    let refused = Box::pin(App::start(&config)).await.err().unwrap();
    assert!(matches!(refused, StartError::Insecure { .. }), "{refused}");
    config.listen.insecure_http = true;
    let refused = Box::pin(App::start(&config)).await.err().unwrap();
    assert!(matches!(refused, StartError::NoKeys { .. }), "{refused}");
    let clock = std::sync::Arc::new(weir_model::SystemClock);
    let keys = weir_store::Keys::open(dir.path(), clock).unwrap();
    let tenant = weir_model::TenantId::local();
    keys.create(&tenant, weir_store::Scopes::all(), "").unwrap();
    let app = Box::pin(App::start(&config)).await.unwrap();
    app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_is_told_to_those_who_watch() {
    let rig = Rig::start().await;
    let base = format!("http://{}", rig.app.addresses().http);
    let client = Client::new(&base, None).unwrap();
    let mut watched = client.stream("/v1/tail").await.unwrap();
    let body = r#"{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c",
        "spanId":"eee19b7ec3c1b174","name":"seen"}]}"#;
    let call = Call {
        content_type: Some("application/json"),
        body: body.into(),
        ..Call::default()
    };
    client
        .post("/v1/traces", call)
        .await
        .unwrap()
        .success()
        .unwrap();
    let heard = async {
        loop {
            use http_body_util::BodyExt as _;
            let frame = watched.body_mut().frame().await.unwrap().unwrap();
            let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
            if text.contains("\"name\":\"seen\"") {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), heard)
        .await
        .unwrap();
    rig.app.stop().await.unwrap();
}
