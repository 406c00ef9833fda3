//! Wrong configuration: what a person is told, and that no row is given up for it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;
use weir_model::{Dataset, Fault, NodeId};
use weir_sinks::clickhouse::{ClickHouseConfig, ClickHouseSink};
use weir_sinks::contract::sample_batch;
use weir_sinks::{Part, Sink, SinkError};

use crate::server::{Place, Server};

async fn complaint(config: &ClickHouseConfig) -> String {
    let sink = Place::at(config).open();
    let part = Part::whole(sample_batch(Dataset::Spans, &NodeId::from_bits(3), 1));
    let error = sink
        .write(&[part])
        .await
        .expect_err("nothing can be written");
    assert!(
        matches!(error.fault(), Fault::Transient { .. }),
        "no row is given up: {error}"
    );
    let error: SinkError = sink.probe().await.expect_err("it cannot work");
    assert!(matches!(error.fault(), Fault::Transient { .. }));
    let text = error.to_string();
    assert!(!text.contains("s3cret"), "{text}");
    text
}

#[tokio::test]
async fn a_person_is_told_what_to_change() {
    let Some(shared) = Server::shared().filter(|s| s.is_own()) else {
        return;
    };
    let server = Server::own(Some(("weir", "s3cret"))).unwrap();
    let good = ClickHouseConfig {
        user: "weir".to_owned(),
        password: "s3cret".into(),
        ..server.config()
    };
    let engine = Place::at(&good).open().probe().await.unwrap();
    assert_eq!(engine.name, "clickhouse");
    assert!(engine.version.starts_with("26."), "{}", engine.version);

    let text = complaint(&ClickHouseConfig {
        password: "s3cret wrong".into(),
        ..good.clone()
    })
    .await;
    assert!(text.contains("does not let user weir in"), "{text}");

    let text = complaint(&ClickHouseConfig {
        create_tables: false,
        ..server.config()
    })
    .await;
    assert!(text.contains("does not let user default in"), "{text}");

    let text = complaint(&ClickHouseConfig {
        create_tables: false,
        ..shared.config()
    })
    .await;
    assert!(text.contains("lacks the table spans"), "{text}");

    let text = complaint(&ClickHouseConfig {
        url: "http://127.0.0.1:1".to_owned(),
        ..shared.config()
    })
    .await;
    assert!(
        text.contains("no ClickHouse answers at http://127.0.0.1:1"),
        "{text}"
    );
}

/// TLS in front of `server`, with a certificate for `localhost`; its port, and the certificate.
async fn with_tls(server: std::net::SocketAddr) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust us ends here.
                if let Ok(mut client) = acceptor.accept(client).await {
                    let mut server = tokio::net::TcpStream::connect(server).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    (port, made.cert.pem())
}

#[tokio::test]
async fn https_trusts_the_named_authority_and_no_other() {
    let Some(server) = Server::shared() else {
        return;
    };
    let (port, certificate) = with_tls(server.address()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, certificate).unwrap();
    let trusting = ClickHouseConfig {
        url: format!("https://localhost:{port}"),
        ca_file: file.to_str().unwrap().to_owned(),
        ..server.config()
    };
    let sink = Place::at(&trusting).open();
    let part = Part::whole(sample_batch(Dataset::Spans, &NodeId::from_bits(3), 1));
    assert_eq!(sink.write(&[part]).await.unwrap().rows, 60);
    let text = complaint(&ClickHouseConfig {
        ca_file: String::new(),
        ..trusting
    })
    .await;
    assert!(text.contains("certificate"), "{text}");
}

#[tokio::test]
async fn a_user_who_may_only_read_is_found() {
    let Some(server) = Server::shared() else {
        return;
    };
    let config = server.config();
    Place::at(&config).open().probe().await.unwrap();
    let mut config = config;
    config
        .settings
        .insert("readonly".to_owned(), "1".to_owned());
    let sink = Place::at(&config).open();
    let part = Part::whole(sample_batch(Dataset::Spans, &NodeId::from_bits(3), 1));
    let error = sink.write(&[part]).await.unwrap_err();
    assert!(matches!(error.fault(), Fault::Transient { .. }), "{error}");
    let text = sink.probe().await.unwrap_err().to_string();
    assert!(text.contains("may only read"), "{text}");
}

/// Answers every request with a version, as an old server would.
fn old_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request).unwrap();
            let body = "[\"22.3.2.1\"]\n";
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all((head + body).as_bytes()).unwrap();
        }
    });
    url
}

#[tokio::test]
async fn an_old_server_is_refused_with_the_reason() {
    let config = ClickHouseConfig {
        url: old_server(),
        ..ClickHouseConfig::default()
    };
    let text = Place::at(&config)
        .open()
        .probe()
        .await
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("22.3.2.1") && text.contains("at least 24.8"),
        "{text}"
    );
}

#[tokio::test]
async fn a_server_that_never_answers_is_late_not_for_ever() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = ClickHouseConfig {
        url: format!("http://{}", listener.local_addr().unwrap()),
        timeout: Duration::from_millis(200),
        ..ClickHouseConfig::default()
    };
    let text = Place::at(&config)
        .open()
        .probe()
        .await
        .unwrap_err()
        .to_string();
    assert!(text.contains("within 200ms"), "{text}");
}

#[test]
fn what_cannot_be_a_url_is_refused_at_once_without_quoting_it() {
    for url in [
        "clickhouse",
        "tcp://host:9000",
        "http://weir:s3cret@host:8123",
    ] {
        let config = ClickHouseConfig {
            url: url.to_owned(),
            ..ClickHouseConfig::default()
        };
        let error = ClickHouseSink::new("clickhouse", config).unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
        assert!(error.to_string().contains("URL"), "{error}");
    }
    let config = ClickHouseConfig {
        url: "https://host:8443".to_owned(),
        ca_file: "/nowhere/ca.pem".to_owned(),
        ..ClickHouseConfig::default()
    };
    let error = ClickHouseSink::new("clickhouse", config).unwrap_err();
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
    let shown = format!(
        "{:?}",
        ClickHouseConfig {
            password: "s3cret".into(),
            ..ClickHouseConfig::default()
        }
    );
    assert!(!shown.contains("s3cret"));
}
