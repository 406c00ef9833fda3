//! A real Postgres for tests: a fresh cluster in a temporary folder, on a Unix socket only.
//!
//! It runs under a small shell that ends it, and removes its folder, as soon as the shell's
//! standard input closes: the test process holds the other end, so that nothing stays however it
//! ends.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

#[path = "../../../tests/support/heavy.rs"]
#[allow(clippy::duplicate_mod, reason = "a binary may have it beside this")]
mod heavy;

#[allow(unused_imports, reason = "the tests of the binary have it already")]
pub(crate) use heavy::not_run;

/// How long a start may take on a machine that compiles beside it.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Takes the folder and the server's command; a file `keep` in the folder keeps it.
const KEEPER: &str = r#"
folder=$1
shift
"$@" >"$folder/log" 2>&1 &
server=$!
cat >/dev/null
kill -QUIT "$server" 2>/dev/null
kill -CONT "$server" 2>/dev/null
wait "$server" 2>/dev/null
[ -e "$folder/keep" ] || rm -rf "$folder"
"#;

/// A cluster; its server runs unless it was stopped.
#[derive(Debug)]
pub(crate) struct Postgres {
    folder: PathBuf,
    bin: PathBuf,
    settings: Vec<String>,
    port: u16,
    keeper: Option<Child>,
}

impl Postgres {
    /// Makes a cluster and starts its server.
    ///
    /// # Errors
    /// Why there is none, in a sentence: the programs are not installed, or did not work.
    #[allow(dead_code, reason = "some test binaries need a port")]
    pub(crate) fn start() -> Result<Self, String> {
        let mut postgres = Self::make()?;
        postgres.resume()?;
        Ok(postgres)
    }

    /// The same, but that it takes connections on a loopback port: without a password from all
    /// roles but `weir_secret`.
    ///
    /// # Errors
    /// As for [`Self::start`].
    #[allow(dead_code, reason = "not every test binary needs a port")]
    pub(crate) fn start_on_loopback() -> Result<Self, String> {
        Self::start_on_loopback_with(&[])
    }

    /// The same with further settings of the server, `name=value`.
    ///
    /// # Errors
    /// As for [`Self::start`].
    #[allow(dead_code, reason = "not every test binary needs a port")]
    pub(crate) fn start_on_loopback_with(settings: &[&str]) -> Result<Self, String> {
        let mut postgres = Self::make()?;
        let rules = "local all all trust\n\
            host all weir_secret 127.0.0.1/32 scram-sha-256\n\
            host all all 127.0.0.1/32 trust\n";
        fs::write(postgres.folder.join("data/pg_hba.conf"), rules)
            .map_err(|fault| fault.to_string())?;
        postgres.port = free_port();
        postgres.settings = vec![
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={}", postgres.port),
        ];
        let settings = settings.iter().map(|setting| (*setting).to_owned());
        postgres.settings.extend(settings);
        postgres.resume()?;
        Ok(postgres)
    }

    /// Where it takes connections, after [`Self::start_on_loopback`].
    #[allow(dead_code, reason = "not every test binary needs a port")]
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Makes all its processes stand still, or go on.
    #[allow(dead_code, reason = "not every test binary stops it")]
    pub(crate) fn freeze(&self, still: bool) {
        let file = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        let server = file.lines().next().unwrap();
        let signal = if still { "-STOP" } else { "-CONT" };
        let script = r#"kill "$1" "$2" $(pgrep -P "$2")"#;
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "freeze", signal, server]);
        assert!(shell.status().unwrap().success());
    }

    fn make() -> Result<Self, String> {
        let bin = programs().ok_or("Postgres: apt-get install postgresql")?;
        let folder = tempfile::tempdir()
            .map_err(|fault| fault.to_string())?
            .keep();
        own(&folder)?;
        let postgres = Self {
            folder,
            bin,
            settings: vec!["listen_addresses=".to_owned()],
            port: 5432,
            keeper: None,
        };
        let data = postgres.folder.join("data");
        let mut initdb = as_postgres(&postgres.bin.join("initdb"));
        initdb.args(["--auth", "trust", "--username", "postgres", "--no-sync"]);
        initdb.args(["--encoding", "UTF8", "--locale", "C", "--pgdata"]);
        let made = initdb
            .arg(&data)
            .output()
            .map_err(|fault| fault.to_string())?;
        if !made.status.success() {
            return Err(format!("initdb: {}", String::from_utf8_lossy(&made.stderr)));
        }
        Ok(postgres)
    }

    /// Starts the server of a stopped cluster.
    ///
    /// # Errors
    /// Where it does not take connections in time.
    pub(crate) fn resume(&mut self) -> Result<(), String> {
        let port = self.port;
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(&self.folder);
        let server = as_postgres(&self.bin.join("postgres"));
        keeper.arg(server.get_program()).args(server.get_args());
        keeper.arg("-D").arg(self.folder.join("data"));
        keeper.arg("-k").arg(&self.folder);
        for setting in [
            "fsync=off",
            "shared_buffers=16MB",
            "max_connections=50",
            "autovacuum=off",
        ] {
            keeper.args(["-c", setting]);
        }
        for setting in &self.settings {
            keeper.args(["-c", setting]);
        }
        keeper
            .stdin(Stdio::piped())
            .process_group(0)
            .current_dir("/");
        self.keeper = Some(keeper.spawn().map_err(|fault| fault.to_string())?);
        let began = Instant::now();
        while !self.is_ready(port) {
            if began.elapsed() > START_LIMIT {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                return Err(format!("Postgres takes no connections: {log}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Starts it anew so that it takes connections on a loopback port, under TLS only; gives what
    /// to connect with, and its certificate, which vouches for itself.
    ///
    /// # Errors
    /// Where no certificate could be made, or the server did not start.
    #[allow(dead_code, reason = "not every test binary needs TLS")]
    pub(crate) fn serve_tls(&mut self) -> Result<(String, PathBuf), String> {
        let url = self.database();
        self.stop();
        let (certificate, key) = (self.folder.join("cert.pem"), self.folder.join("key.pem"));
        let made = as_postgres("openssl".as_ref())
            .args([
                "req",
                "-x509",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
            ])
            .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args([
                "-extensions",
                "usr_cert",
                "-addext",
                "subjectAltName=DNS:localhost",
            ])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .map_err(|fault| format!("TLS of Postgres: openssl: {fault}"))?;
        if !made.status.success() {
            return Err(format!(
                "openssl: {}",
                String::from_utf8_lossy(&made.stderr)
            ));
        }
        self.port = free_port();
        let port = self.port;
        let rule = "local all all trust\nhostssl all all 127.0.0.1/32 trust\n";
        fs::write(self.folder.join("data/pg_hba.conf"), rule).unwrap();
        self.settings = vec![
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", certificate.display()),
            format!("ssl_key_file={}", key.display()),
        ];
        self.resume()?;
        let (_, name) = url.rsplit_once(' ').unwrap();
        let host = "host=localhost hostaddr=127.0.0.1";
        Ok((
            format!("{host} port={port} user=postgres {name}"),
            certificate,
        ))
    }

    /// Ends the server at once, as a crash would; the cluster stays.
    pub(crate) fn stop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            fs::write(self.folder.join("keep"), "").unwrap();
            drop(keeper.stdin.take());
            keeper.wait().unwrap();
            fs::remove_file(self.folder.join("keep")).unwrap();
        }
    }

    fn is_ready(&self, port: u16) -> bool {
        let asked = Command::new(self.bin.join("pg_isready"))
            .arg("-q")
            .arg("-h")
            .arg(&self.folder)
            .args(["-p", &port.to_string()])
            .status();
        asked.is_ok_and(|status| status.success())
    }

    /// What its own client answers to `sql` in `database`: a line a row, columns between `|`.
    #[allow(dead_code, reason = "not every test binary asks it")]
    pub(crate) fn ask(&self, database: &str, sql: &str) -> String {
        let mut psql = Command::new(self.bin.join("psql"));
        psql.arg("-h").arg(&self.folder);
        psql.args(["-p", &self.port.to_string(), "-U", "postgres"]);
        let answer = psql.args(["-qAt", "-d", database, "-c", sql]).output();
        let answer = answer.unwrap();
        let faults = String::from_utf8_lossy(&answer.stderr);
        assert!(answer.status.success(), "{sql}: {faults}");
        String::from_utf8_lossy(&answer.stdout).trim().to_owned()
    }

    /// A new, empty database; gives what to connect with.
    pub(crate) fn database(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("weir_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let made = Command::new(self.bin.join("createdb"))
            .arg("-h")
            .arg(&self.folder)
            .args(["-p", &self.port.to_string()])
            .args(["-U", "postgres", "-T", "template0", &name])
            .status()
            .unwrap();
        assert!(made.success(), "createdb: {made}");
        if self
            .settings
            .iter()
            .any(|setting| setting.starts_with("port="))
        {
            let port = self.port;
            return format!("host=127.0.0.1 port={port} user=postgres dbname={name}");
        }
        format!("host={} user=postgres dbname={name}", self.folder.display())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn free_port() -> u16 {
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    free.local_addr().unwrap().port()
}

/// The folder of the newest Postgres that is installed.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version = path.file_name()?.to_str()?.parse().ok()?;
            Some((version, path.join("bin")))
        })
        .filter(|(_, bin)| bin.join("initdb").is_file())
        .collect();
    found.sort();
    if let Some((_, bin)) = found.pop() {
        return Some(bin);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find(|folder| folder.join("initdb").is_file())
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// A command as a user that Postgres runs under: it refuses root.
fn as_postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    command.arg(program).current_dir("/");
    command
}

fn own(folder: &Path) -> Result<(), String> {
    if !is_root() {
        return Ok(());
    }
    let program: &OsStr = "chown".as_ref();
    let owned = Command::new(program).arg("postgres").arg(folder).status();
    match owned {
        Ok(status) if status.success() => Ok(()),
        _ => Err("Postgres: there is no user postgres: apt-get install postgresql".to_owned()),
    }
}
