//! TLS and mTLS on real sockets, with certificates made here.

use std::path::Path;
use std::time::{Duration, Instant};

use axum::http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Endpoint;

use crate::app::rig::{Rig, config_in};
use crate::app::{App, StartError};
use crate::client::Client;
use crate::config::Tls;
use crate::tls::testing::{Authority, Files};
use crate::tls::{self, Trust};

fn settings(files: &Files, clients: Option<&Authority>) -> Tls {
    Tls {
        cert_file: files.certificate.clone(),
        key_file: files.key.clone(),
        client_ca_file: clients.map(Authority::path).unwrap_or_default(),
        handshake_timeout: Duration::from_millis(300),
        reload_interval: Duration::from_secs(3_600),
    }
}

fn trust(authority: &Authority, own: Option<&Files>) -> Trust {
    Trust {
        ca_file: Some(authority.path()),
        own: own.map(|files| (files.certificate.clone(), files.key.clone())),
    }
}

fn client(rig: &Rig, trust: &Trust) -> Client {
    let url = format!("https://{}", rig.app.addresses().http);
    Client::trusting(&url, None, trust).unwrap()
}

async fn alive(client: &Client) -> Result<(), String> {
    let answer = client
        .get("/livez")
        .await
        .map_err(|error| format!("{error:#}"))?;
    assert_eq!(answer.status.as_u16(), 200);
    Ok(())
}

/// Calls the log export, which takes an empty message.
async fn grpc(rig: &Rig, trust: &Trust) -> Result<(), String> {
    let mut config = tls::client(trust).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let address = rig.app.addresses().otlp_grpc;
    let connect = tower::service_fn(move |_| {
        let connector = connector.clone();
        async move {
            let name = rustls::pki_types::ServerName::IpAddress(address.ip().into());
            let stream = TcpStream::connect(address).await?;
            Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, stream).await?))
        }
    });
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = endpoint.connect_with_connector(connect).await;
    let mut grpc = tonic::client::Grpc::new(channel.map_err(|error| error.to_string())?);
    grpc.ready().await.map_err(|error| error.to_string())?;
    let path = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    let path = PathAndQuery::from_static(path);
    let codec = crate::bench::wire::Raw;
    let request = tonic::Request::new(bytes::Bytes::new());
    let answer = grpc.unary(request, path, codec).await;
    answer.map(drop).map_err(|status| status.to_string())
}

async fn start(folder: &Path, tls: Tls) -> Result<App, StartError> {
    let mut config = config_in(folder);
    config.tls = tls;
    Box::pin(App::start(&config)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn both_protocols_are_served_and_an_unknown_authority_is_not_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (
        Authority::new(folder.path(), "ours"),
        Authority::new(folder.path(), "other"),
    );
    let tls = settings(&ours.sign("server"), None);
    let rig = Rig::start_with(|config| config.tls = tls).await;
    alive(&client(&rig, &trust(&ours, None))).await.unwrap();
    grpc(&rig, &trust(&ours, None)).await.unwrap();
    let refused = alive(&client(&rig, &trust(&other, None)))
        .await
        .unwrap_err();
    assert!(
        refused.contains("UnknownIssuer") && refused.contains("--ca-file"),
        "{refused}"
    );
    // The hint of an idle node names the scheme.
    assert!(rig.app.node().hint().contains("=https://"));
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_authority_for_clients_only_its_own_come_in() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (
        Authority::new(folder.path(), "ours"),
        Authority::new(folder.path(), "other"),
    );
    let tls = settings(&ours.sign("server"), Some(&ours));
    let (friend, stranger) = (ours.sign("friend"), other.sign("stranger"));
    let rig = Rig::start_with(|config| config.tls = tls).await;
    alive(&client(&rig, &trust(&ours, Some(&friend))))
        .await
        .unwrap();
    grpc(&rig, &trust(&ours, Some(&friend))).await.unwrap();
    for own in [None, Some(&stranger)] {
        alive(&client(&rig, &trust(&ours, own))).await.unwrap_err();
        grpc(&rig, &trust(&ours, own)).await.unwrap_err();
    }
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_taken_up_and_nobody_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, next) = (
        Authority::new(folder.path(), "ours"),
        Authority::new(folder.path(), "next"),
    );
    let files = ours.sign("server");
    let mut tls = settings(&files, None);
    tls.reload_interval = Duration::from_millis(30);
    let rig = Rig::start_with(|config| config.tls = tls).await;
    let early = client(&rig, &trust(&ours, None));
    alive(&early).await.unwrap();
    // A bad file first: the one from before stays.
    std::fs::write(&files.certificate, "nonsense").unwrap();
    rig.app.reload();
    alive(&client(&rig, &trust(&ours, None))).await.unwrap();
    // Half of the change: certificate and key do not go together, and nothing breaks.
    let renewed = next.sign("renewed");
    std::fs::copy(&renewed.certificate, &files.certificate).unwrap();
    rig.app.reload();
    alive(&client(&rig, &trust(&ours, None))).await.unwrap();
    std::fs::copy(&renewed.key, &files.key).unwrap();
    let began = Instant::now();
    while alive(&client(&rig, &trust(&next, None))).await.is_err() {
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "it is not taken up"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    alive(&client(&rig, &trust(&ours, None))).await.unwrap_err();
    // Its connection is the old one: a new handshake would not be trusted.
    alive(&early).await.unwrap();
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_bad_files_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new(folder.path(), "ours");
    let (one, other) = (ours.sign("one"), ours.sign("other"));
    let mixed = Files {
        certificate: one.certificate,
        key: other.key,
    };
    let data = folder.path().join("data");
    let refused = start(&data, settings(&mixed, None)).await.err().unwrap();
    let said = format!("{:#}", anyhow::Error::from(refused));
    assert!(
        said.contains("other.key does not belong to the certificate"),
        "{said}"
    );
    assert!(!data.try_exists().unwrap(), "nothing was begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_plainly_to_tls_or_tls_to_plain_is_told_or_closed() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new(folder.path(), "ours");
    let tls = settings(&ours.sign("server"), None);
    let rig = Rig::start_with(|config| config.tls = tls).await;
    let plain = format!("http://{}", rig.app.addresses().http);
    let answer = Client::new(&plain, None)
        .unwrap()
        .get("/livez")
        .await
        .unwrap();
    let told = answer.success().unwrap_err().to_string();
    assert!(told.contains("must begin with https"), "{told}");
    // Half a handshake, and silence.
    for first in [&b""[..], &[0x16, 3, 1]] {
        let mut stream = TcpStream::connect(rig.app.addresses().http).await.unwrap();
        stream.write_all(first).await.unwrap();
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest));
        assert!(closed.await.is_ok(), "{first:?} holds its connection");
    }
    rig.app.stop().await.unwrap();

    let rig = Rig::start().await;
    let refused = alive(&client(&rig, &trust(&ours, None))).await.unwrap_err();
    assert!(!refused.is_empty());
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_tls_other_machines_may_come_if_there_is_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new(folder.path(), "ours");
    let mut config = config_in(&folder.path().join("data"));
    config.listen.http = ([0, 0, 0, 0], 0).into();
    config.tls = settings(&ours.sign("server"), None);
    let refused = Box::pin(App::start(&config)).await.err().unwrap();
    assert!(matches!(refused, StartError::NoKeys { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ends_soon_is_told_in_the_metrics_and_once_a_day() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path(), "ca");
    let files = authority.sign_until("soon", (2031, 2, 3));
    let rig = Rig::start_with(|config| config.tls = settings(&files, None)).await;
    let metrics = rig.get("/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    let told = "weir_tls_certificate_expiry_timestamp_seconds 1927843200\n";
    assert!(metrics.contains(told), "{metrics}");
    let certificates = rig.app.node().certificates.clone().unwrap();
    let (end, day) = (1_927_843_200, 86_400);
    assert!(
        !certificates.warn_of_end(end - 31 * day),
        "more than 30 days"
    );
    assert!(certificates.warn_of_end(end - 30 * day));
    assert!(!certificates.warn_of_end(end - 30 * day + 60), "told today");
    assert!(certificates.warn_of_end(end - 29 * day));
    assert!(certificates.warn_of_end(end + day), "it has ended");
    rig.app.stop().await.unwrap();
}
