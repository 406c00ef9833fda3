//! Requests that are broken in every place, over real HTTP: no panic, no 5xx but shedding, and
//! memory stays flat.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use super::random::Random;
use super::server::{Settings, memory_mib};
use super::traffic::{KINDS, Kind};

/// The soundness of one answer; `None` where the server rightly closed without one.
fn status_of(answer: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(answer.get(..12)?).into_owned();
    text.strip_prefix("HTTP/1.1 ")?.parse().ok()
}

/// A request as bytes, and the length of its head; sound where its body is not `damaged`.
fn request(random: &mut Random, damaged: bool) -> (Vec<u8>, usize) {
    let kind = KINDS[usize::try_from(random.within(0, 4)).unwrap()];
    let mut body = kind.body(random.within(0, 1 << 40), random.within(1, 5));
    if damaged {
        damage(&mut body, 0, random);
    }
    let body = match random.within(0, 3) {
        0 => (body, "identity"),
        1 => (zstd::encode_all(body.as_slice(), 1).unwrap(), "zstd"),
        _ => {
            let level = flate2::Compression::fast();
            let mut coder = flate2::write::GzEncoder::new(Vec::new(), level);
            coder.write_all(&body).unwrap();
            (coder.finish().unwrap(), "gzip")
        }
    };
    let path = match random.within(0, 8) {
        0 => "/v1/logs",
        1 => "/v1/metrics",
        2 => "/v1/query",
        _ => kind.path(),
    };
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {}\r\nContent-Encoding: {}\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n",
        kind.content_type(),
        body.1,
        body.0.len()
    );
    let length = head.len();
    ([head.into_bytes(), body.0].concat(), length)
}

/// A request that is broken within what it says, or in how it is sent: in its coding, its length,
/// sometimes its head.
fn broken(random: &mut Random) -> Vec<u8> {
    let inside = random.chance(60);
    let (mut bytes, head) = request(random, inside);
    if !inside {
        let from = if random.chance(80) { head } else { 0 };
        damage(&mut bytes, from, random);
    }
    bytes
}

/// Changes one to eight places of `bytes` behind `from`.
fn damage(bytes: &mut Vec<u8>, from: usize, random: &mut Random) {
    for _ in 0..random.within(1, 9) {
        let length = bytes.len();
        if length <= from + 1 {
            break;
        }
        let at = usize::try_from(random.within(from as u64, length as u64)).unwrap();
        match random.within(0, 6) {
            0 => bytes[at] ^= 1 << random.within(0, 8),
            1 => bytes[at] = u8::try_from(random.within(0, 256)).unwrap(),
            2 if random.chance(20) => bytes.truncate(at),
            2 | 3 => drop(bytes.remove(at)),
            4 => bytes.insert(at, u8::try_from(random.within(0, 256)).unwrap()),
            _ => {
                let end = (at + usize::try_from(random.within(1, 64)).unwrap()).min(length);
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
}

/// Sends it, says that no more comes, and reads what the server has to say.
fn send(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    // It may close before it has read all: its answer is what counts.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_ne!(
            error.kind(),
            std::io::ErrorKind::WouldBlock,
            "no answer, no end"
        );
    }
    answer
}

/// Sends `count` broken requests, and holds the server to what it must do.
pub(crate) fn storm(count: u32) {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::hasty(&folder.path().join("data"))
        .with("WEIR_LIMITS_IDLE_TIMEOUT", "2s")
        .with("WEIR_WAL_RECENT_MEMORY", "8MiB");
    let mut server = settings.start();
    let mut random = Random::from_env();
    let address = server.http;
    let mut half_way = 0;
    for part in 0..2_u32 {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let mut random = Random::new(random.next());
                thread::spawn(move || {
                    let mut counts = [0_u32; 6];
                    for _ in 0..count / 8 {
                        let bytes = broken(&mut random);
                        let answer = send(address, &bytes);
                        let status = status_of(&answer);
                        let class = status.map_or(0, |status| usize::from(status / 100));
                        counts[class] += 1;
                        assert!(
                            !matches!(status, Some(500..=502 | 504..)),
                            "{status:?} to {:?}: {}",
                            String::from_utf8_lossy(&bytes),
                            String::from_utf8_lossy(&answer)
                        );
                    }
                    counts
                })
            })
            .collect();
        for worker in workers {
            println!(
                "closed, 1xx, 2xx, 3xx, 4xx, 5xx: {:?}",
                worker.join().unwrap()
            );
        }
        let now = memory_mib(server.process.id(), "VmRSS:");
        println!("part {part}: {now} MiB resident");
        if part == 0 {
            half_way = now;
        } else {
            assert!(
                now <= half_way + half_way / 4 + 32,
                "{half_way} MiB, then {now} MiB"
            );
        }
    }
    let log = server.process.log();
    assert!(!log.contains("panicked"), "{log}");
    // It still does its work, and every row that it took can be accounted for.
    let kind = Kind::SpansJson;
    let body = kind.body(1 << 50, 3);
    let answer = super::http::post(address, kind.path(), kind.content_type(), &body).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    server.wait_stored();
    let (status, took) = server.terminate(Duration::from_secs(5));
    assert_eq!(status.code(), Some(0), "after {took:?}");
}
