//! Thousands of connections that say next to nothing, beside an honest client that must not notice.

#![cfg(test)]

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::http::Connection;
use support::server::Settings;
use support::traffic::Kind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// How many connections; half say nothing, half have begun a request.
const SLOW: u32 = 5_000;
/// How long each of them may stay.
const CLOSED_LIMIT: Duration = Duration::from_secs(15);
/// Below this a p99 is noise of the machine.
const NOISE: Duration = Duration::from_millis(25);
const PROBES: u64 = 800;

/// Room for our half of the connections; `false` where the system does not give it.
fn room_for_files() -> bool {
    let now = getrlimit(Resource::Nofile);
    let wanted = u64::from(SLOW) + 500;
    if now.current.is_none_or(|current| current >= wanted) {
        return true;
    }
    let raised = Rlimit {
        current: now
            .maximum
            .map_or(Some(wanted), |most| Some(most.min(wanted))),
        maximum: now.maximum,
    };
    setrlimit(Resource::Nofile, raised).is_ok()
        && getrlimit(Resource::Nofile)
            .current
            .is_none_or(|current| current >= wanted)
}

/// The p50 and p99 of an honest client that sends one small request after the other.
fn honest(address: SocketAddr, from: u64) -> [Duration; 2] {
    let kind = Kind::SpansProtobuf;
    let headers = [("content-type", kind.content_type())];
    let mut connection = Connection::open(address).unwrap();
    let mut took: Vec<Duration> = (0..PROBES)
        .map(|number| {
            let body = kind.body(from + number * 10, 5);
            let began = Instant::now();
            let answer = connection
                .send("POST", kind.path(), &headers, &body)
                .unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    [took[took.len() / 2], took[took.len() * 99 / 100]]
}

/// Connections from many addresses of the loopback network, as a botnet has.
async fn slow_connections(address: SocketAddr) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for number in 0..SLOW {
        let socket = TcpSocket::new_v4().unwrap();
        let [_, _, high, low] = (number / 100 + 2).to_be_bytes();
        let own = Ipv4Addr::new(127, 1, high, low);
        socket.bind((own, 0).into()).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        if number % 2 == 0 {
            stream
                .write_all(b"POST /v1/traces HTTP/1.1\r\nHost: a\r\nX")
                .await
                .unwrap();
        }
        all.push(stream);
    }
    all
}

#[test]
fn five_thousand_slow_clients_do_not_slow_an_honest_one() {
    if support::skip_unless_heavy() {
        return;
    }
    if !room_for_files() {
        return support::not_run("5,000 slow connections: too few open files are allowed");
    }
    let folder = tempfile::tempdir().unwrap();
    let server = Settings::plain(&folder.path().join("data")).start();
    let address = server.otlp_http;
    honest(address, 0);
    let before = honest(address, 1 << 20);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let opened = Instant::now();
    let slow = runtime.block_on(slow_connections(address));
    println!("{SLOW} connections in {:?}", opened.elapsed());
    let during = honest(address, 2 << 20);
    println!("honest p50 and p99: {before:?} alone, {during:?} among {SLOW}");
    let closed: Vec<Duration> = runtime.block_on(async {
        let mut tasks = Vec::new();
        for mut stream in slow {
            tasks.push(tokio::spawn(async move {
                let mut rest = Vec::new();
                let read = stream.read_to_end(&mut rest);
                // A reset is an end as well.
                let ended = tokio::time::timeout(CLOSED_LIMIT, read).await;
                drop(ended.expect("it is not closed"));
                opened.elapsed()
            }));
        }
        let mut closed = Vec::new();
        for task in tasks {
            closed.push(task.await.unwrap());
        }
        closed
    });
    println!(
        "the last was closed {:?} after the first was opened",
        closed.iter().max().unwrap()
    );
    for (alone, among) in before.into_iter().zip(during) {
        assert!(
            among < (alone * 2).max(NOISE),
            "{alone:?} alone, {among:?} among them"
        );
    }
}
