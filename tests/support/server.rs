//! The real `weir` as a child process: started on free ports, asked, hurt and stopped.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a start may take, recovery included, on a machine that compiles beside it.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How a server is started; the same settings serve for its next life.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    data_dir: PathBuf,
    environment: Vec<(String, String)>,
    otlp_http: Option<SocketAddr>,
}

impl Settings {
    /// Small files and a short flush, so that a test of seconds sees rotation, sealing, commits
    /// and truncation many times.
    pub(crate) fn hasty(data_dir: &Path) -> Self {
        Self {
            data_dir: data_dir.to_path_buf(),
            environment: Vec::new(),
            otlp_http: None,
        }
        .with("WEIR_WAL_SEGMENT_SIZE", "1MiB")
        .with("WEIR_WAL_GROUP_SIZE", "256KiB")
        .with("WEIR_WAL_RESERVE", "1MiB")
        .with("WEIR_WAL_BATCH_AGE", "100ms")
        .with("WEIR_WAL_BATCH_ROWS", "2000")
        .with("WEIR_WAL_RETAIN", "1s")
        .with("WEIR_LAKE_FLUSH_INTERVAL", "300ms")
        .with("WEIR_QUERY_ROWS", "1000000")
    }

    /// As a user gets it.
    pub(crate) fn plain(data_dir: &Path) -> Self {
        Self {
            data_dir: data_dir.to_path_buf(),
            environment: Vec::new(),
            otlp_http: None,
        }
        .with("WEIR_LAKE_FLUSH_INTERVAL", "500ms")
    }

    /// Sets a variable of the server's environment.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes OTLP over HTTP at this address instead of a free one.
    pub(crate) fn at_otlp_http(mut self, address: SocketAddr) -> Self {
        self.otlp_http = Some(address);
        self
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The variables of the server's environment.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        self.environment.clone()
    }

    /// Starts the process and does not wait for it.
    pub(crate) fn launch(&self) -> Starting {
        self.launch_at("127.0.0.1:0")
    }

    /// As [`Settings::launch`], with the HTTP API at `http`.
    pub(crate) fn launch_at(&self, http: &str) -> Starting {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let log =
            std::env::temp_dir().join(format!("weir-test-{}-{number}.log", std::process::id()));
        let otlp_http = self.otlp_http.unwrap_or(([127, 0, 0, 1], 0).into());
        let mut child = weir()
            .args(["serve", "--http", http, "--otlp-http"])
            .arg(otlp_http.to_string())
            .args(["--otlp-grpc", "127.0.0.1:0", "--data-dir"])
            .arg(&self.data_dir)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let (sender, ready) = channel();
        thread::spawn(move || {
            let mut lines = BufReader::new(stdout).lines();
            while let Some(Ok(line)) = lines.next() {
                // Nobody may be waiting any more; reading on keeps the pipe from filling.
                drop(sender.send(line));
            }
        });
        Starting {
            process: Process { child, log },
            ready,
        }
    }

    /// Starts the process and waits until it says that it is ready.
    pub(crate) fn start(&self) -> Weir {
        self.launch().wait_ready()
    }
}

/// Names another build of weir to test, an optimised one, whose speed can be measured.
const PROGRAM: &str = "WEIR_TEST_PROGRAM";

/// Whether the weir under test is an optimised build.
pub(crate) fn is_optimised() -> bool {
    std::env::var_os(PROGRAM).is_some() || !cfg!(debug_assertions)
}

/// The command without the settings of whoever runs the tests.
pub(crate) fn weir() -> Command {
    let program = std::env::var_os(PROGRAM);
    let mut command = Command::new(program.unwrap_or(env!("CARGO_BIN_EXE_weir").into()));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WEIR_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command of the CLI to its end.
pub(crate) fn run_cli(arguments: &[&str]) -> Output {
    weir()
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// A process that ends with its owner.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        // A process that has just ended by itself cannot be signalled, which is no fault.
        let _ = kill_process(Pid::from_raw(id).unwrap(), signal);
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`; also of a stopped process.
    pub(crate) fn kill(&mut self) -> ExitStatus {
        self.signal(Signal::KILL);
        self.child.wait().unwrap()
    }

    /// Its status where it has ended within `limit`.
    pub(crate) fn wait_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            if began.elapsed() > limit {
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn end_of_log(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            println!("--- the server's last words\n{}", self.end_of_log());
        }
        drop(fs::remove_file(&self.log));
    }
}

/// A process that is not known to be ready.
#[derive(Debug)]
pub(crate) struct Starting {
    pub(crate) process: Process,
    ready: Receiver<String>,
}

impl Starting {
    /// Waits for the ready line; panics where the process ends or says nothing.
    pub(crate) fn wait_ready(self) -> Weir {
        match self.try_ready() {
            Ok(server) => server,
            Err((status, log)) => panic!("the server did not start: {status:?}\n{log}"),
        }
    }

    /// Waits for the ready line, or for the process to end without one.
    pub(crate) fn try_ready(mut self) -> Result<Weir, (Option<ExitStatus>, String)> {
        match self.ready.recv_timeout(START_LIMIT) {
            Ok(line) => {
                let ready: serde_json::Value = serde_json::from_str(&line)
                    .unwrap_or_else(|fault| panic!("ready line {line:?}: {fault}"));
                let address = |name: &str| -> SocketAddr {
                    let text = ready[name].as_str();
                    text.and_then(|text| text.parse().ok())
                        .unwrap_or_else(|| panic!("{name} in ready line {line:?}"))
                };
                Ok(Weir {
                    http: address("http"),
                    otlp_http: address("otlp_http"),
                    otlp_grpc: address("otlp_grpc"),
                    process: self.process,
                })
            }
            Err(RecvTimeoutError::Timeout) => Err((None, self.process.end_of_log())),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.process.wait_within(Duration::from_secs(10));
                Err((status, self.process.end_of_log()))
            }
        }
    }
}

/// A server that is ready.
#[derive(Debug)]
pub(crate) struct Weir {
    pub(crate) http: SocketAddr,
    pub(crate) otlp_http: SocketAddr,
    pub(crate) otlp_grpc: SocketAddr,
    pub(crate) process: Process,
}

impl Weir {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// `SIGTERM`, then its status and how long it took; panics past `limit`.
    pub(crate) fn terminate(&mut self, limit: Duration) -> (ExitStatus, Duration) {
        let began = Instant::now();
        self.process.signal(Signal::TERM);
        match self.process.wait_within(limit) {
            Some(status) => (status, began.elapsed()),
            None => panic!("still running {limit:?} after SIGTERM"),
        }
    }

    /// Asks in SQL by the command line; the rows of its CSV answer, without the header.
    pub(crate) fn query(&self, sql: &str) -> Vec<Vec<String>> {
        self.try_query(sql)
            .unwrap_or_else(|fault| panic!("{sql}: {fault}"))
    }

    pub(crate) fn try_query(&self, sql: &str) -> Result<Vec<Vec<String>>, String> {
        let output = run_cli(&["query", "--url", &self.url(), "--format", "csv", sql]);
        let text = String::from_utf8_lossy(&output.stdout);
        let faults = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(format!("{}: {faults}{text}", output.status));
        }
        Ok(text
            .lines()
            .skip(1)
            .map(|line| line.split(',').map(str::to_owned).collect())
            .collect())
    }

    /// The one number that `sql` answers.
    pub(crate) fn number(&self, sql: &str) -> u64 {
        let rows = self.query(sql);
        rows[0][0]
            .parse()
            .unwrap_or_else(|fault| panic!("{sql}: {rows:?}: {fault}"))
    }

    /// Waits until nothing accepted is pending; the recount must close at every look.
    pub(crate) fn wait_stored(&self) {
        super::wait_for("all is in the lake", Duration::from_secs(60), || {
            (pending(&["verify", "--json", "--url", &self.url()]) == 0).then_some(())
        });
    }
}

/// Recounts by the command line; how many rows are pending. Panics where the account does not close.
pub(crate) fn pending(arguments: &[&str]) -> u64 {
    let output = run_cli(arguments);
    let said = String::from_utf8_lossy(&output.stdout);
    let faults = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "verify: {said}{faults}");
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["ok"], true, "{report}");
    let lines = report["lines"].as_array().unwrap();
    assert!(!lines.is_empty(), "{report}");
    lines
        .iter()
        .map(|line| line["pending"].as_u64().unwrap())
        .sum()
}

/// The processor time that a process has taken, in steps of 10 ms.
pub(crate) fn processor_time(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name in parentheses may hold anything; utime and stime are fields 14 and 15.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// A size that the kernel tells of the process `id`, as `VmRSS:` (resident) or `VmHWM:` (the most
/// so far), in MiB.
pub(crate) fn memory_mib(id: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches("kB")
        .trim()
        .parse()
        .unwrap();
    kib / 1_024
}
