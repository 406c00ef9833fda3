//! Starts a server whose lake gives no answer, and lets the lake come back while it is loaded.

#![cfg(test)]

mod support;

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use support::load::Load;
use support::oracle::Oracle;
use support::random::Random;
use support::server::{Settings, Weir};

/// How long a server may take to see that its lake is back.
const REACH_LIMIT: Duration = Duration::from_secs(30);

/// A port at which nobody listens yet.
fn dead_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

/// From now on passes on to `server` what comes to `address`, for as long as the test runs.
fn revive(address: SocketAddr, server: String) {
    let listener = TcpListener::bind(address).unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(behind)) = (client, TcpStream::connect(&server)) else {
                continue;
            };
            let back = (behind.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || pass_on(client, behind));
            thread::spawn(move || pass_on(back.0, back.1));
        }
    });
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    // Whichever side ends first ends the other; a test that is over ends both.
    drop(io::copy(&mut from, &mut to));
    drop(to.shutdown(Shutdown::Both));
    drop(from.shutdown(Shutdown::Both));
}

/// The reasons that `/readyz` gives; it must say that requests are taken.
fn reasons(server: &Weir) -> Vec<String> {
    let mut stream = TcpStream::connect(server.http).unwrap();
    let request = "GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let reasons = body["reasons"].as_array().unwrap().iter();
    reasons
        .map(|reason| reason["reason"].as_str().unwrap().to_owned())
        .collect()
}

fn load_for(server: &Weir, oracle: &Arc<Oracle>, random: &mut Random) {
    let load = Load::start(oracle, server.http, 3, random);
    support::wait_for("rows are accepted", Duration::from_secs(20), || {
        (load.tally.acknowledged.load(Ordering::Relaxed) > 50).then_some(())
    });
    assert_eq!(load.tally.refused.load(Ordering::Relaxed), 0);
    load.stop();
}

#[test]
fn a_node_whose_lake_is_silent_starts_accepts_and_catches_up_by_itself() {
    if support::skip_unless_heavy() {
        return;
    }
    let Ok(s3) = std::env::var("WEIR_TEST_S3_ENDPOINT") else {
        return support::not_run(
            "S3: WEIR_TEST_S3_ENDPOINT is not set; `cargo xtask test` sets it",
        );
    };
    let s3 = s3
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned();
    let mut random = Random::from_env();
    let address = dead_address();
    let folder = tempfile::tempdir().unwrap();
    let place = format!(
        "s3://weir-test/absent-{}",
        random.millis(0, u64::MAX).as_millis()
    );
    let settings = Settings::hasty(&folder.path().join("data"))
        .with("WEIR_LAKE_URL", &place)
        .with("AWS_ENDPOINT", &format!("http://{address}"))
        .with("AWS_ALLOW_HTTP", "true")
        .with("AWS_REGION", "us-east-1")
        .with("AWS_ACCESS_KEY_ID", "test")
        .with("AWS_SECRET_ACCESS_KEY", "test");
    let oracle = Arc::new(Oracle::default());

    let mut server = settings.start();
    assert_eq!(reasons(&server), ["lake_unreachable"]);
    assert!(server.process.log().contains("lake.unreachable"));
    load_for(&server, &oracle, &mut random);
    server.process.kill();

    // Rows of two lives wait now, under two names.
    let server = settings.start();
    load_for(&server, &oracle, &mut random);
    assert!(reasons(&server).contains(&"lake_unreachable".to_owned()));

    revive(address, s3);
    support::wait_for("the lake is found", REACH_LIMIT, || {
        reasons(&server).is_empty().then_some(())
    });
    assert!(server.process.log().contains("lake.reached"));
    load_for(&server, &oracle, &mut random);
    server.wait_stored();
    let verdict = oracle.judge(&server);
    println!("{verdict}");
    assert!(verdict.is_clean(), "{verdict}");
}
