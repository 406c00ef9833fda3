//! Servers that tests talk to: started on free loopback ports, stopped whatever happens.
//!
//! Each runs under a small shell that ends it as soon as the shell's standard input closes. This
//! process holds the other end, so the server ends with it, however it ends: by a return, a panic,
//! Ctrl-C or a kill. The shell has its own process group, which keeps a terminal's Ctrl-C from
//! reaching it before it has stopped its server.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::tree;

/// How long a server may take to listen: both are interpreted and start slowly on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(90);

const KEEPER: &str = r#"
"$@" &
server=$!
cat >/dev/null
kill "$server" 2>/dev/null
wait "$server" 2>/dev/null
"#;

/// A running server; stopped on drop.
pub(crate) struct Server {
    keeper: Child,
    address: SocketAddr,
}

impl Server {
    fn start(name: &str, program: &Path, arguments: &[&str], port: u16) -> anyhow::Result<Self> {
        let log = tree::cache().join(format!("{name}.log"));
        let out = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, name])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(out.try_clone()?)
            .stderr(out)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut server = Self { keeper, address };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.keeper.try_wait()? {
                bail!("{name} ended at once with {status}; see {}", log.display());
            }
            if began.elapsed() > START_LIMIT {
                bail!("{name} does not listen; see {}", log.display());
            }
            thread::sleep(Duration::from_millis(50));
        }
        println!("{name} listens on {address}");
        Ok(server)
    }

    /// `http://HOST:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // A keeper that cannot be waited for has ended already.
        drop(self.keeper.wait());
    }
}

/// Starts moto, which answers as S3, with one empty bucket named `weir-test`.
pub(crate) fn start_s3(bin: &Path) -> anyhow::Result<Server> {
    let port = free_port()?;
    let text = port.to_string();
    let arguments = ["-H", "127.0.0.1", "-p", text.as_str()];
    let server = Server::start("moto", &bin.join("moto_server"), &arguments, port)?;
    let mut stream = TcpStream::connect(server.address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let request = format!(
        "PUT /weir-test HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        server.address
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if !answer.starts_with("HTTP/1.1 200") {
        let line = answer.lines().next().unwrap_or("nothing");
        bail!("moto did not make the bucket: {line}");
    }
    Ok(server)
}

/// Starts azurite, which answers as Azure Blob Storage.
pub(crate) fn start_azurite(bin: &Path) -> anyhow::Result<Server> {
    let port = free_port()?;
    let text = port.to_string();
    let arguments = [
        "--blobHost",
        "127.0.0.1",
        "--blobPort",
        text.as_str(),
        "--inMemoryPersistence",
        "--skipApiVersionCheck",
        "--disableTelemetry",
        "--silent",
    ];
    Server::start("azurite", &bin.join("azurite-blob"), &arguments, port)
}

fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keeper_ends_its_server_when_its_input_closes() {
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper", "sleep", "600"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let began = Instant::now();
        drop(keeper.stdin.take());
        keeper.wait().unwrap();
        assert!(began.elapsed() < Duration::from_secs(60));
    }
}
