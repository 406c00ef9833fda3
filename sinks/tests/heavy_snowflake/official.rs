//! Snowflake's own client at the stand-in: if it delivers each row once through kills, lost answers
//! and invalid channels, then what the stand-in does is what that client was made for.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::snowpipe::destination::Snow;
use crate::snowpipe::{Trouble, auth, integer, variant};
use crate::support::not_run;

const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/support/snowpipe/x_once.py"
);
const ROWS: u64 = 400;

/// One life of the client, and what it has said so far.
struct Client {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Client {
    fn start(python: &str, snow: &Snow) -> Self {
        let mut child = Command::new(python)
            .args([SCRIPT, &snow.config.url, auth::KEY_FILE])
            .arg(ROWS.to_string())
            .env("SSL_CERT_FILE", snow.emulator.ca_file())
            .env("SS_LOG_LEVEL", "error")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::<Mutex<String>>::default();
        let pipes: [Box<dyn std::io::Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        for pipe in pipes {
            let said = Arc::clone(&said);
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    let mut said = said.lock();
                    said.push_str(&line);
                    said.push('\n');
                }
            });
        }
        Self { child, said }
    }

    /// Waits until `what` holds, or the time is over.
    async fn until(&mut self, what: impl Fn(&str) -> bool) {
        for _ in 0..3_000 {
            if what(&self.said.lock()) {
                return;
            }
            assert!(
                self.child.try_wait().unwrap().is_none() || what(&self.said.lock()),
                "the client has ended: {}",
                self.said.lock()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the client takes too long: {}", self.said.lock());
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn has_client(python: &str) -> bool {
    let import = ["-c", "import snowflake.ingest.streaming"];
    let mut run = Command::new(python);
    let status = run.args(import).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_delivers_once() {
    if crate::support::skip_unless_heavy() {
        return;
    }
    let Ok(python) = std::env::var("WEIR_TEST_PYTHON") else {
        return not_run("Snowflake's client: WEIR_TEST_PYTHON is not set");
    };
    if !has_client(&python) {
        return not_run("Snowflake's client: WEIR_TEST_PYTHON lacks snowpipe-streaming");
    }
    let snow = Snow::start().await;
    snow.emulator.requests_per_second(10);
    snow.emulator.commit_delay(Duration::from_millis(300));
    let columns = [("SEQ", integer()), ("V", variant())];
    snow.emulator.make_table("EVENTS", &columns);
    let rows = || snow.emulator.rows_in("WEIR", "EVENTS", 0).len();

    let mut client = Client::start(&python, &snow);
    for _ in 0..3_000 {
        if rows() >= 60 {
            break;
        }
        client.until(|_| true).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(rows() >= 60, "{}", client.said.lock());
    // Killed in the middle: what it has sent and not committed may or may not arrive.
    drop(client);

    snow.emulator
        .fault("/rows", 2, Trouble::Refuse(503, "", None));
    snow.emulator.fault("/rows", 1, Trouble::Lose);
    snow.emulator.fault("/rows", 1, Trouble::DoneBut(500));
    let mut client = Client::start(&python, &snow);
    client.until(|said| said.contains("start")).await;
    for _ in 0..1_000 {
        if snow.emulator.faults_left() == 0 {
            break;
        }
        client.until(|_| true).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(snow.emulator.faults_left(), 0, "{}", client.said.lock());
    snow.emulator.invalidate();
    client.until(|said| said.contains("done")).await;

    let said = client.said.lock().clone();
    assert!(
        said.contains("again"),
        "the invalid channel was met: {said}"
    );
    let found = snow.emulator.rows_in("WEIR", "EVENTS", 0);
    let found: Vec<u64> = found
        .iter()
        .map(|row| row["SEQ"].as_str().unwrap().parse().unwrap())
        .collect();
    let wanted: Vec<u64> = (0..ROWS).collect();
    assert!(found == wanted, "each once and in order: {said}");
}
