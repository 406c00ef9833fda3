//! The server that is measured: `weir serve` as a child process, and what it uses.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::Lake;

/// How long the server may take to start and to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// Its line when it is ready.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Ready {
    pub(super) http: std::net::SocketAddr,
    pub(super) otlp_http: std::net::SocketAddr,
    pub(super) otlp_grpc: std::net::SocketAddr,
}

/// What a process has used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// CPU time, of all its threads, in itself and in the kernel.
    pub(super) cpu: Duration,
    /// The most memory it had at once, in bytes.
    pub(super) peak_bytes: u64,
}

impl Usage {
    /// What was used after `before`.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            ..self
        }
    }
}

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pid: Pid,
    ready: Ready,
    folder: PathBuf,
    temporary: bool,
}

impl Server {
    /// Starts this very program as `weir serve` on free ports; returns when it is ready.
    ///
    /// # Errors
    ///
    /// Where it does not become ready; it is ended then.
    pub(super) async fn start(
        data_dir: Option<PathBuf>,
        cpus: Option<u32>,
        lake: Lake,
    ) -> anyhow::Result<Self> {
        let temporary = data_dir.is_none();
        let folder = data_dir.unwrap_or_else(|| {
            std::env::temp_dir().join(format!("weir-bench-{:08x}", rand::random::<u32>()))
        });
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").arg("--data-dir").arg(&folder);
        for flag in ["--http", "--otlp-http", "--otlp-grpc"] {
            command.args([flag, "127.0.0.1:0"]);
        }
        command.args(["--log-level", "warn"]);
        if lake == Lake::Off {
            command.args([
                "--set",
                "lake.flush_interval=1d",
                "--set",
                "lake.flush_rows=1000000000",
            ]);
        }
        command.stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = spawn_on(&mut command, cpus)?;
        let id = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        let pid = id.context("the server ended at once")?;
        let stdout = child.stdout.take().context("the server has no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let line = line.context("the server is not ready in time")??;
        let line = line.context("the server ended before it was ready")?;
        let ready = serde_json::from_str(&line).context("the server's ready line")?;
        Ok(Self {
            child,
            pid,
            ready,
            folder,
            temporary,
        })
    }

    /// Where it listens.
    pub(super) fn addresses(&self) -> Ready {
        self.ready
    }

    /// What it has used so far.
    ///
    /// # Errors
    ///
    /// Where `/proc` does not say, or the server has ended.
    pub(super) fn usage(&self) -> anyhow::Result<Usage> {
        let pid = self.pid.as_raw_nonzero();
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}"));
        let (stat, status) = (read("stat")?, read("status")?);
        let ticks = cpu_ticks(&stat).context("/proc/PID/stat is of an unknown form")?;
        let a_second = rustix::param::clock_ticks_per_second();
        let cpu = Duration::from_millis(ticks * 1000 / a_second.max(1));
        let peak_bytes = peak_bytes(&status).context("/proc/PID/status is of an unknown form")?;
        Ok(Usage { cpu, peak_bytes })
    }

    /// Ends the server and removes its data where nobody named a place.
    ///
    /// # Errors
    ///
    /// Where it does not end by itself; it is killed then.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        kill_process(self.pid, Signal::TERM)?;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        if ended.is_err() {
            self.child.kill().await?;
        }
        if self.temporary {
            // What stays is in the system's folder for temporary files.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
        let ended = ended.context("the server did not stop in time")??;
        ensure!(ended.success(), "the server ended with {ended}");
        Ok(())
    }
}

/// Starts `command` on the first `cpus` of our cores: a child is born where its parent runs.
fn spawn_on(command: &mut Command, cpus: Option<u32>) -> anyhow::Result<Child> {
    let Some(cpus) = cpus else {
        return Ok(command.spawn()?);
    };
    let ours = sched_getaffinity(None)?;
    let mut narrow = CpuSet::new();
    let allowed = (0..CpuSet::MAX_CPU).filter(|cpu| ours.is_set(*cpu));
    allowed
        .take(usize::try_from(cpus)?)
        .for_each(|cpu| narrow.set(cpu));
    ensure!(
        narrow.count() == cpus,
        "this machine has not {cpus} cores for the server"
    );
    sched_setaffinity(None, &narrow)?;
    let child = command.spawn();
    sched_setaffinity(None, &ours)?;
    Ok(child?)
}

/// Fields 14 and 15 of `/proc/PID/stat`, after the name, which may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn peak_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_figures_are_read() {
        let stat = "7 (we) ir) x) S 1 7 7 0 -1 4194560 90 0 0 0 123 45 0 0 20 0 4 0 99 1 2";
        assert_eq!(cpu_ticks(stat), Some(168));
        assert_eq!(cpu_ticks("7 (weir) S 1"), None);
        let status = "Name:\tweir\nVmPeak:\t  999 kB\nVmHWM:\t  2048 kB\n";
        assert_eq!(peak_bytes(status), Some(2 << 20));
        assert_eq!(peak_bytes("Name:\tweir\n"), None);
    }
}
