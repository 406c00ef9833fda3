//! A raw socket to a node, for what no client library would send.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::app::rig::Rig;

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to the API.
pub(super) async fn connect(rig: &Rig) -> TcpStream {
    TcpStream::connect(rig.app.addresses().http).await.unwrap()
}

/// Reads one answer, head and body.
pub(super) async fn answer(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = tokio::time::timeout(PATIENCE, stream.read(&mut piece)).await;
        let count = count.expect("no answer").unwrap();
        assert!(count > 0, "closed: {:?}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&seen).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let line = line.to_ascii_lowercase();
            line.strip_prefix("content-length: ")?.parse::<usize>().ok()
        });
        if body.len() >= length.unwrap_or(0) {
            return text;
        }
    }
}

/// Reads one answer; its first line.
pub(super) async fn status_line(stream: &mut TcpStream) -> String {
    let answer = answer(stream).await;
    answer.lines().next().unwrap_or_default().to_owned()
}
